"""The truth as JSON lines in a folder, so that another process can be judged.

One file for each kind of row: ``markets``, ``trades``, ``changes``,
``v3_depths``, ``faults``, ``frames``, ``accepted``, ``notices``, ``account``, each
``.jsonl``.
Lines are appended while the exchange runs; a last line cut off by a kill is ignored.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.account_truth import AccountChange
from recorder.simulator.book import ASK, BID
from recorder.simulator.engine import Trade
from recorder.simulator.market_truth import ChangeRow, MarketStart
from recorder.simulator.truth import (
    Accepted,
    FaultDone,
    FrameSent,
    Notice,
    PlainRow,
    Truth,
    TruthRow,
    V3Depth,
)


_FILES: dict[type, str] = {
    MarketStart: "markets.jsonl",
    Trade: "trades.jsonl",
    ChangeRow: "changes.jsonl",
    V3Depth: "v3_depths.jsonl",
    FaultDone: "faults.jsonl",
    FrameSent: "frames.jsonl",
    Accepted: "accepted.jsonl",
    Notice: "notices.jsonl",
    AccountChange: "account.jsonl",
}

T = TypeVar("T")


class TruthFiles:
    """Writes the record into a folder; a context manager."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and open its files afresh.

        Args:
            folder: Made if it does not exist.

        Raises:
            ConfigError: If it cannot be written to.
        """
        self._encoder = msgspec.json.Encoder()
        self._files: dict[type, IO[bytes]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for kind, name in _FILES.items():
                self._files[kind] = (folder / name).open("wb")
        except OSError as error:
            self.close()
            raise ConfigError(
                f"the truth cannot be written to {folder}: {error.strerror}"
            ) from error

    def write(self, row: TruthRow) -> None:
        """Append one row to the file of its kind."""
        self._files[type(row)].write(self._encoder.encode(row) + b"\n")

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Write what is left and close the files."""
        for file in self._files.values():
            file.close()


def load_truth(folder: Path) -> Truth:
    """Return a record written by `TruthFiles`, whole in memory.

    Raises:
        ConfigError: If the folder does not hold one.
    """
    if not (folder / _FILES[MarketStart]).is_file():
        raise ConfigError(f"{folder} does not hold the truth of a simulator")
    truth = Truth(keep=True)
    bests: dict[str, _Bests] = {}
    for start in _rows(folder, MarketStart):
        truth.add(start)
        bests[start.spec.key] = _Bests(start)
    for change in _rows(folder, ChangeRow):
        best = bests[change.market]
        best.apply(change)
        truth.markets[change.market].append(change, best.of(BID), best.of(ASK))
    rows: Iterator[PlainRow] = chain(
        _rows(folder, Trade),
        _rows(folder, V3Depth),
        _rows(folder, FaultDone),
        _rows(folder, FrameSent),
        _rows(folder, Accepted),
        _rows(folder, Notice),
        _rows(folder, AccountChange),
    )
    for row in rows:
        truth.add(row)
    return truth


class _Bests:
    """The best level of both sides, kept while changes are read."""

    def __init__(self, start: MarketStart) -> None:
        # Signed prices, best first, as the book itself keeps them.
        self._keys = ([-p for p, _ in start.bids], [p for p, _ in start.asks])
        self._amounts = (dict(start.bids), dict(start.asks))

    def apply(self, change: ChangeRow) -> None:
        keys, amounts = self._keys[change.side], self._amounts[change.side]
        key = -change.price if change.side == BID else change.price
        if not change.amount:
            del amounts[change.price], keys[bisect_left(keys, key)]
            return
        if change.price not in amounts:
            insort(keys, key)
        amounts[change.price] = change.amount

    def of(self, side: int) -> tuple[int, int]:
        keys = self._keys[side]
        if not keys:
            return 0, 0
        price = abs(keys[0])
        return price, self._amounts[side][price]


def _rows(folder: Path, kind: type[T]) -> Iterator[T]:
    decoder = msgspec.json.Decoder(kind)
    with (folder / _FILES[kind]).open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield decoder.decode(line)
