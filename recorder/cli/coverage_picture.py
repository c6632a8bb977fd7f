"""Coverage as a picture: a line for each chain, time from left to right.

A cell that is drawn whole has nothing missing. One in which anything is missing,
however short, never looks whole.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from rich.text import Text

from recorder.query.coverage import ChainCoverage
from recorder.query.spans import Ints, length_before


class Signs(NamedTuple):
    """What cells are drawn with.

    Attributes:
        whole: Everything is here.
        healed: Everything is here, some of it in gaps that were filled.
        partly: A part is here, from little to nearly all.
        missing: Nothing is here.
        untold: The ledger does not tell of that time.
    """

    whole: str
    healed: str
    partly: str
    missing: str
    untold: str

    @property
    def legend(self) -> str:
        """What the signs mean, on one line."""
        return (
            f"{self.whole} all here   {self.healed} some of it healed   "
            f"{self.partly[0]}..{self.partly[-1]} a part is missing   "
            f"{self.missing} all missing   blank: not told"
        )


BLOCKS: Final = Signs("█", "▒", "▁▂▃▄▅▆▇", "·", " ")
PLAIN: Final = Signs("#", "+", "123456789", ".", " ")

CELLS_MIN: Final = 20
"""A narrower picture shows nothing."""

_STYLES: Final = {"whole": "green", "healed": "cyan", "hole": "red", "untold": ""}


class Cell(NamedTuple):
    """One cell of a line.

    Attributes:
        sign: What is drawn.
        kind: ``whole``, ``healed``, ``hole`` or ``untold``.
    """

    sign: str
    kind: str


def signs_for(encoding: str | None) -> Signs:
    """Return the signs that a stream of text can show."""
    try:
        "".join(BLOCKS).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return BLOCKS


def cells_of(
    chain: ChainCoverage, start: int, end: int, count: int, signs: Signs
) -> list[Cell]:
    """Return the line of a chain.

    Args:
        chain: What is drawn.
        start: Where the line begins, nanoseconds.
        end: Where it ends.
        count: How many cells it has.
        signs: What they are drawn with.
    """
    edges = start + (end - start) * np.arange(count + 1, dtype=object) // count
    bounds = edges.astype(np.int64)

    def inside(spans: Ints) -> list[int]:
        result: list[int] = np.diff(length_before(spans, bounds)).tolist()
        return result

    marks = np.diff(np.searchsorted(chain.marks, bounds)).tolist()
    counts = zip(
        inside(chain.told),
        inside(chain.here),
        inside(chain.covered),
        marks,
        strict=True,
    )
    return [_cell(*count, signs) for count in counts]


def _cell(told: int, here: int, covered: int, marks: int, signs: Signs) -> Cell:
    if here < told or marks:
        if not here:
            return Cell(signs.missing, "hole")
        share = len(signs.partly) * here // max(told, 1)
        return Cell(signs.partly[min(share, len(signs.partly) - 1)], "hole")
    if not told:
        return Cell(signs.untold, "untold")
    if covered < here:
        return Cell(signs.healed, "healed")
    return Cell(signs.whole, "whole")


def picture(
    chains: Sequence[ChainCoverage], labels: Sequence[str], width: int, signs: Signs
) -> Iterator[Text]:
    """Yield the lines of a picture.

    Args:
        chains: What is drawn, one a line; at least one.
        labels: What each is called.
        width: Characters in a line.
        signs: What cells are drawn with.
    """
    start = min(chain.started_at for chain in chains)
    end = max(chain.ended_at for chain in chains)
    room = max(CELLS_MIN, width - max(map(len, labels)) - 1)
    widest = max(map(len, labels))
    for chain, label in zip(chains, labels, strict=True):
        line = Text(f"{label:{widest}} ", no_wrap=True, overflow="ignore")
        cells = cells_of(chain, start, max(end, start + 1), room, signs)
        for kind, same in groupby(cells, key=lambda cell: cell.kind):
            line.append("".join(cell.sign for cell in same), style=_STYLES[kind])
        yield line
