"""Places and trade ids that come more than once, over all files of a table.

Of each file only the lowest and the highest number of each group are kept. Two
files whose ranges overlap are read once more, and compared exactly; so memory
holds two files at most, and files that follow each other cost nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from recorder.verify.checks.rows import Ints, doubled, places, shared
from recorder.verify.files import SHARED_PLACES, Range, kinds_of
from recorder.verify.reading import DataFile, numbers, pieces, texts


Ranges: TypeAlias = Mapping[str, Range]
"""By group: the lowest and the highest number that a file has."""

Numbers: TypeAlias = Callable[[DataFile, frozenset[str]], dict[str, Ints]]
"""Reads the numbers of some groups of a file."""


class Shared(NamedTuple):
    """Numbers that two files have in common.

    Attributes:
        one: The first file.
        other: The second.
        group: A connection, or a market.
        numbers: Sorted.
    """

    one: DataFile
    other: DataFile
    group: str
    numbers: Ints


def find_shared(
    files: Iterable[tuple[DataFile, Ranges]], read: Numbers
) -> Iterator[Shared]:
    """Yield what files have in common.

    Args:
        files: With the ranges of their groups.
        read: Reads a file's numbers once more.
    """
    by_group: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    listed: list[DataFile] = []
    for number, (file, ranges) in enumerate(files):
        listed.append(file)
        for group, (low, high) in ranges.items():
            by_group[group].append((low, high, number))
    pairs: dict[tuple[int, int], set[str]] = defaultdict(set)
    for group, found in by_group.items():
        for one, other in _overlapping(found):
            pairs[one, other].add(group)
    for (one, other), groups in sorted(pairs.items()):
        wanted = frozenset(groups)
        mine, theirs = read(listed[one], wanted), read(listed[other], wanted)
        for group in sorted(groups):
            if group in mine and group in theirs:
                common = shared(mine[group], theirs[group])
                if common.size:
                    yield Shared(listed[one], listed[other], group, common)


def _overlapping(found: list[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of files whose ranges overlap."""
    open_: list[tuple[int, int]] = []
    for low, high, number in sorted(found):
        open_ = [(end, other) for end, other in open_ if end >= low]
        for _, other in open_:
            yield min(other, number), max(other, number)
        open_.append((high, number))


def read_places(file: DataFile, conns: frozenset[str]) -> dict[str, Ints]:
    """Return the places of a file's rows, by connection."""
    is_shared = file.partition.table in SHARED_PLACES
    names = ["conn", "seq", "idx", *(["reason"] if is_shared else [])]
    found: dict[str, list[Ints]] = defaultdict(list)
    for rows in pieces(file, names):
        codes, known = texts(rows, "conn")
        kind = kinds_of(rows) if is_shared else None
        numbered = places(numbers(rows, "seq"), numbers(rows, "idx"), kind)
        for code, conn in enumerate(known):
            if conn in conns and conn is not None:
                found[conn].append(numbered[codes == code])
    return {conn: np.concatenate(parts) for conn, parts in found.items()}


def read_trades(file: DataFile, markets: frozenset[str]) -> dict[str, Ints]:
    """Return the ids of a file's trades, by market."""
    found: dict[str, list[Ints]] = defaultdict(list)
    for rows in pieces(file, ["market", "trade_id"]):
        codes, known = texts(rows, "market")
        ids = numbers(rows, "trade_id")
        for code, market in enumerate(known):
            if market in markets and market is not None:
                found[market].append(ids[(codes == code) & (ids >= 0)])
    return {market: np.concatenate(parts) for market, parts in found.items()}


class TradeIds:
    """The trade ids of one file, by market."""

    def __init__(self) -> None:
        self._found: dict[str, list[Ints]] = defaultdict(list)

    def note(self, market: str, ids: Ints) -> None:
        """Note the ids of some trades; those without are below 0."""
        if (known := ids[ids >= 0]).size:
            self._found[market].append(known)

    def close(self) -> tuple[dict[str, Range], dict[str, Ints]]:
        """Return the range of each market, and the ids that come twice."""
        whole = {market: np.concatenate(parts) for market, parts in self._found.items()}
        ranges = {m: (int(ids.min()), int(ids.max())) for m, ids in whole.items()}
        twice = {m: found for m, ids in whole.items() if (found := doubled(ids)).size}
        return ranges, twice
