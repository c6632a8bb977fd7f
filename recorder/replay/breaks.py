"""Breaks of books, kept until the rows come that follow them."""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from recorder.model import Chain
from recorder.replay.compiled import Ints


BREAKS_MAX: Final = 64
"""Breaks of a chain that wait for its next row; the newest matter."""


class Break(NamedTuple):
    """Messages of a chain may be missing, or its book is wrong.

    Attributes:
        ts_recv: Our clock at the last row before, nanoseconds.
        is_new_count: Whether the venue numbers them anew from there on.
        is_wrong: Whether none is missing, but the book was found wrong.
    """

    ts_recv: int
    is_new_count: bool = False
    is_wrong: bool = False


class Breaks:
    """Keeps breaks; `add` may be called from any thread, `before` from one."""

    def __init__(self) -> None:
        self._told: deque[tuple[Chain, Break]] = deque()
        self._waiting: dict[Chain, list[Break]] = defaultdict(list)

    def add(self, chain: Chain, told: Break) -> None:
        """Keep a break of a chain, perhaps of one that was never seen."""
        self._told.append((chain, told))

    def before(
        self, chains: Ints, names: Mapping[int, Chain], times: Ints
    ) -> dict[int, list[Break]]:
        """Return the breaks that come before rows of a batch; they are kept no more.

        Args:
            chains: Number of each row's chain.
            names: What the numbers mean.
            times: ``ts_recv`` of each row.

        Returns:
            By the row that comes next in its chain, oldest first.
        """
        while self._told:
            chain, told = self._told.popleft()
            waiting = self._waiting[chain]
            del waiting[: len(waiting) + 1 - BREAKS_MAX]
            waiting.append(told)
        found: dict[int, list[Break]] = defaultdict(list)
        for number, chain in names.items() if self._waiting else ():
            if chain not in self._waiting:
                continue
            mine = np.flatnonzero(chains == number)
            left = []
            for told in self._waiting.pop(chain):
                later = mine[times[mine] > told.ts_recv]
                if later.size:
                    found[int(later[0])].append(told)
                else:
                    left.append(told)
            if left:
                self._waiting[chain] = left
        return found
