"""Sets of instants of many groups at once, as arrays.

Instants are nanoseconds since 1970 UTC, intervals are half-open. Groups are
numbered from 0.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


Ints = npt.NDArray[np.int64]


class Islands(NamedTuple):
    """Intervals that neither overlap nor touch, by group and start.

    Attributes:
        groups: Whose each is.
        starts: First instants.
        ends: First instants after.

    Shape:
        All ``int64[n]``.
    """

    groups: Ints
    starts: Ints
    ends: Ints

    def of(self, group: int) -> Ints:
        """Return the intervals of a group.

        Shape:
            ``int64[m, 2]``.
        """
        first, last = np.searchsorted(self.groups, [group, group + 1])
        return np.column_stack([self.starts[first:last], self.ends[first:last]])

    def totals(self, count: int) -> Ints:
        """Return the length of all intervals of each of so many groups.

        Shape:
            ``int64[count]``, nanoseconds.
        """
        totals = np.zeros(count, np.int64)
        np.add.at(totals, self.groups, self.ends - self.starts)
        return totals


def islands_of(groups: Ints, starts: Ints, ends: Ints) -> Islands:
    """Return the union of intervals, for each group.

    Args:
        groups: Whose each is.
        starts: First instants.
        ends: First instants after; an interval may be empty.

    Shape:
        All ``int64[n]``, in any order.
    """
    keep = starts < ends
    order = np.lexsort((starts[keep], groups[keep]))
    groups, starts, ends = (part[keep][order] for part in (groups, starts, ends))
    count = len(groups)
    if not count:
        return Islands(groups, starts, ends)
    # How far the intervals up to each one reach: the greatest end within its
    # group. Ends are replaced by their ranks, so that a group can be put before.
    by_end = np.argsort(ends, kind="stable")
    ranks = np.empty(count, np.int64)
    ranks[by_end] = np.arange(count)
    reach = ends[by_end[np.maximum.accumulate(groups * count + ranks) % count]]
    is_new = np.ones(count, np.bool_)
    is_new[1:] = (groups[1:] != groups[:-1]) | (starts[1:] > reach[:-1])
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], count) - 1
    return Islands(groups[first], starts[first], reach[last])


def length_before(spans: Ints, instants: Ints) -> Ints:
    """Return how much of some intervals lies before each of some instants.

    Args:
        spans: Sorted and disjoint.
        instants: In any order.

    Shape:
        spans: ``int64[n, 2]``. instants and the result: ``int64[m]``, the
        latter nanoseconds.
    """
    if not len(spans):
        return np.zeros(len(instants), np.int64)
    whole = np.concatenate([[0], np.cumsum(spans[:, 1] - spans[:, 0])])
    number = np.searchsorted(spans[:, 0], instants, side="right")
    inside = np.maximum(number - 1, 0)
    ends = np.clip(instants, spans[inside, 0], spans[inside, 1])
    return np.where(number > 0, whole[inside] + ends - spans[inside, 0], 0)
