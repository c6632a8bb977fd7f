"""Checks of the rows of one file: their order, their places, their times."""

from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt


Ints: TypeAlias = npt.NDArray[np.int64]
Truths: TypeAlias = npt.NDArray[np.bool_]

IDX_BITS: Final = 23
"""A place in a frame and a kind of row take so many bits of a place's number."""


class Keys(NamedTuple):
    """The sort keys of rows, texts as numbers in the order of the texts.

    Attributes:
        market: Number of the market; null has the highest.
        ts_recv: Nanoseconds.
        conn: Number of the connection.
        seq: Number of the frame.
        idx: Place in the frame.
    """

    market: Ints
    ts_recv: Ints
    conn: Ints
    seq: Ints
    idx: Ints

    def rows(self, where: Truths) -> "Keys":
        """Return the keys of some of the rows."""
        return Keys(*(values[where] for values in self))


def unsorted_at(keys: Keys) -> Ints:
    """Return the rows that come before the row in front of them."""
    size = keys.ts_recv.size
    if size < 2:
        return np.empty(0, np.int64)
    tied = np.ones(size - 1, np.bool_)
    wrong = np.zeros(size - 1, np.bool_)
    for values in keys:
        wrong |= tied & (values[1:] < values[:-1])
        tied &= values[1:] == values[:-1]
    return np.flatnonzero(wrong) + 1


def backward_at(keys: Keys, group: Ints) -> Ints:
    """Return rows whose frame came earlier than one before it on its connection.

    Args:
        keys: Rows in any order.
        group: Number of each row's chain: rows of several chains of one
            connection may be moved in time apart, where another connection
            took over from a slower one.
    """
    order = np.lexsort((keys.idx, keys.seq, group, keys.conn))
    times, conns, groups = keys.ts_recv[order], keys.conn[order], group[order]
    same = (conns[1:] == conns[:-1]) & (groups[1:] == groups[:-1])
    return np.sort(order[1:][same & (times[1:] < times[:-1])])


def places(seq: Ints, idx: Ints, kind: Ints | None = None) -> Ints:
    """Return a number for the place of each row in its connection.

    Args:
        seq: Number of the frame, below 2 ** 40.
        idx: Place in the frame, below 2 ** 20.
        kind: Tells rows apart that stand at the same place for a reason, below 8.
    """
    numbers = (seq << IDX_BITS) + (idx << 3)
    return numbers if kind is None else numbers + kind


def doubled(values: Ints) -> Ints:
    """Return each value that occurs more than once, sorted."""
    ordered = np.sort(values)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def shared(one: Ints, other: Ints) -> Ints:
    """Return each value that occurs in both, sorted."""
    return np.intersect1d(one, other)


def early_at(ts_recv: Ints, ts_event: Ints, tolerance_ns: int) -> Ints:
    """Return rows received before they happened.

    Args:
        ts_recv: When they were received.
        ts_event: When they happened, by the venue's clock; 0 where unknown.
        tolerance_ns: By how much clocks may differ.
    """
    return np.flatnonzero(ts_event - ts_recv > tolerance_ns)


def runs_of(codes: Ints) -> list[tuple[int, int]]:
    """Return first row and first row after of each run of equal codes."""
    if not codes.size:
        return []
    cuts = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    edges = [0, *cuts.tolist(), codes.size]
    return list(pairwise(edges))
