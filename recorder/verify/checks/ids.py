"""Are the update ids of a chain, and the numbers of trades, without a hole?

Both follow one run's rows in the order of receipt. What is missing is told with
the instants between which it should have come, so that the ledger can be asked
whether it says so.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from recorder.verify.checks.rows import Ints, Truths


NO_ID: Final = -1
HOLES_MAX: Final = 1_000
"""Holes of a chain of which late updates are known; the oldest go first."""

PROOF: Final = 200
"""So many consecutive numbers of trades prove that a market numbers them: twice
what the recorder takes for a proof, so that it knew it, too."""

PROOF_SHARE: Final = 20
"""And so many numbers for each break among them, twice as many as well."""


class Updates(NamedTuple):
    """Depth rows of one chain of one run that came over sockets, in order.

    Attributes:
        times: ``ts_recv``.
        firsts: First book change, or `NO_ID`.
        lasts: Last book change, or `NO_ID`.
        is_snapshot: Whether a row replaces the book.
    """

    times: Ints
    firsts: Ints
    lasts: Ints
    is_snapshot: Truths

    def rows(self, where: Truths) -> "Updates":
        """Return some of the rows."""
        return Updates(
            self.times[where],
            self.firsts[where],
            self.lasts[where],
            self.is_snapshot[where],
        )

    def joined(self, others: "Updates") -> "Updates":
        """Return these and others together; others go after these of their instant."""
        order = np.argsort(np.concatenate([self.times, others.times]), kind="stable")
        pairs = zip(self, others, strict=True)
        return Updates(*(np.concatenate(pair)[order] for pair in pairs))


class Hole(NamedTuple):
    """Numbers that did not come.

    Attributes:
        since: When the last number before was received.
        until: When the first one after was.
        after: The last number before.
        before: The first one after.
    """

    since: int
    until: int
    after: int
    before: int


class Twice(NamedTuple):
    """Numbers that had come before.

    Attributes:
        since: When the newest number until then was received.
        at: When they came again.
        first: The first of them.
        last: The last.
    """

    since: int
    at: int
    first: int
    last: int


class IdChain:
    """The ids of one chain of one run.

    Ids that come again are told, but for those that a gap separates from what
    came before: there the venue may have begun to count anew.

    Args:
        gaps: The gaps of rows of the chain.
        unstored: Updates that came and could not be stored, in order. Each may come
            once more.

    Attributes:
        holes: Ids that did not come while no gap says so.
        twice: Ids that came twice.
    """

    def __init__(self, gaps: "Gaps", unstored: Updates | None = None) -> None:
        self._gaps = gaps
        self._unstored = unstored
        again = [] if unstored is None else [unstored.firsts, unstored.lasts]
        self._may_come = _Count(NO_ID, 0, list(zip(*again, strict=True)))
        self._count = _Count(NO_ID, 0, [])
        self._older: _Count | None = None
        self.holes: list[Hole] = []
        self.twice: list[Twice] = []

    def follow(self, updates: Updates) -> None:
        """Take the next rows."""
        if not updates.times.size:
            return
        if self._unstored is not None:
            came = self._unstored.times <= updates.times[-1]
            updates = updates.joined(self._unstored.rows(came))
            self._unstored = self._unstored.rows(~came)
        firsts, lasts = updates.firsts, updates.lasts
        before = np.concatenate([[NO_ID], lasts[:-1]])
        routine = ~updates.is_snapshot & (firsts == before + 1) & (lasts >= firsts)
        routine &= before != NO_ID
        turns = iter([*np.flatnonzero(~routine).tolist(), lasts.size])
        row, turn = 0, next(turns)
        while row < lasts.size:
            while turn < row:
                turn = next(turns)
            if row < turn and self._count.top == lasts[row - 1]:
                row = turn  # all of these continue each other
                self._rise(int(lasts[row - 1]), int(updates.times[row - 1]))
                continue
            self._take(
                int(updates.times[row]),
                int(firsts[row]),
                int(lasts[row]),
                is_snapshot=bool(updates.is_snapshot[row]),
            )
            row += 1

    def has(self, first: int, last: int) -> bool:
        """Return whether all of some ids came, in the present numbering."""
        return self._count.has(first, last)

    def _rise(self, last: int, at: int) -> None:
        self._count.top, self._count.top_at = last, at

    def _take(self, at: int, first: int, last: int, *, is_snapshot: bool) -> None:
        if last == NO_ID or (not is_snapshot and not 0 <= first <= last):
            return
        start = last if first == NO_ID else first
        is_for_all = is_snapshot and first == NO_ID
        self._decide(start, is_for_all=is_for_all)
        count = self._count
        if count.top == NO_ID:
            count.begin = start
            count.note_hole(0, last if is_snapshot else start - 1)
            self._rise(last, at)
        elif last <= count.top:
            self._take_lower(at, start, last, is_snapshot=is_snapshot)
        else:
            is_hole = start > count.top + 1 and not is_for_all
            if is_hole and not self._gaps.touch(count.top_at + 1, at):
                if self._is_late(start, last):
                    return
                self.holes.append(Hole(count.top_at, at, count.top, start))
            count.note_hole(count.top + 1, last if is_snapshot else start - 1)
            self._rise(last, at)

    def _decide(self, start: int, *, is_for_all: bool) -> None:
        """Decide whether lower ids were a new count once ids lie above the older.

        Args:
            start: First id of the next row.
            is_for_all: Whether that stands for all that came before it.
        """
        older, count = self._older, self._count
        if older is None or max(start, count.top) <= older.top:
            return
        if count.top >= older.top or is_for_all:
            # Either would go on like this: what one of them lacks may come late.
            count.may_lack(older)
        else:  # a row had come late
            self._count = older
        self._older = None

    def _take_lower(self, at: int, first: int, last: int, *, is_snapshot: bool) -> None:
        """Take ids below the newest."""
        count = self._count
        if self._gaps.touch(count.top_at + 1, at):
            hole = 0, last if is_snapshot else first - 1
            self._older, self._count = count, _Count(last, at, [hole])
        elif not (
            count.take(first, last)  # of which it may repeat some
            or is_snapshot  # that may come again
            or self._is_late(first, last)
            or self._may_come.fill(first, last)
        ):
            self.twice.append(Twice(count.top_at, at, first, last))

    def _is_late(self, first: int, last: int) -> bool:
        """Return whether a row fills a hole of the count before a new one.

        What lies below where that began is unknown, and no hole.
        """
        older = self._older
        return older is not None and first > older.begin and older.fill(first, last)


class _Count:
    """What came of one numbering: all up to ``top`` but for some holes."""

    __slots__ = ("begin", "holes", "top", "top_at")

    def __init__(self, top: int, top_at: int, holes: list[tuple[int, int]]) -> None:
        self.begin = top
        self.top = top
        self.top_at = top_at
        self.holes = holes

    def note_hole(self, first: int, last: int) -> None:
        """Note that ids did not come, or not each by itself."""
        if first <= last:
            self.holes.append((first, last))
            del self.holes[:-HOLES_MAX]

    def may_lack(self, other: "_Count") -> None:
        """Add the holes of a count that this one may have gone on with."""
        low = [(first, min(last, self.top)) for first, last in other.holes]
        joined: list[tuple[int, int]] = []
        for first, last in sorted([*self.holes, *(h for h in low if h[0] <= h[1])]):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = joined[-1][0], max(joined[-1][1], last)
            else:
                joined.append((first, last))
        self.holes = joined

    def has(self, first: int, last: int) -> bool:
        """Return whether all of some ids came."""
        return last <= self.top and not any(
            low <= last and first <= high for low, high in self.holes
        )

    def take(self, first: int, last: int) -> bool:
        """Take ids out of all holes; return whether any had one of them."""
        rest: list[tuple[int, int]] = []
        for low, high in self.holes:
            parts = (low, min(high, first - 1)), (max(low, last + 1), high)
            rest += [part for part in parts if part[0] <= part[1]]
        found, self.holes = rest != self.holes, rest
        return found

    def fill(self, first: int, last: int) -> bool:
        """Take ids out of the hole that has all of them, if one has."""
        for number, (low, high) in enumerate(self.holes):
            if low <= first <= last <= high:
                rest = [(low, first - 1), (last + 1, high)]
                self.holes[number : number + 1] = [r for r in rest if r[0] <= r[1]]
                return True
        return False


class TradeNumbers:
    """The running numbers of one market's trades in one run.

    A number that comes late fills the hole that it left.

    Attributes:
        steps: How often a number was the next above all before.
        longest: The most of them in a row.
        strays: Numbers below those before that fill no hole.
    """

    __slots__ = (
        "_first",
        "_holes",
        "_run",
        "_top",
        "_top_at",
        "longest",
        "steps",
        "strays",
    )

    def __init__(self) -> None:
        self.steps = self.longest = self.strays = 0
        self._holes: list[tuple[Hole, int]] = []
        self._run = self._first = 0
        self._top: int | None = None
        self._top_at = 0

    def follow(self, numbers: Ints, times: Ints) -> None:
        """Take the numbers of the next live trades, in the order of receipt."""
        if not numbers.size:
            return
        if self._top is None:
            self._first = int(numbers[0])
            self._top, self._top_at = self._first - 1, int(times[0])
        tops = np.maximum.accumulate(np.concatenate([[self._top], numbers]))
        is_rise = numbers > tops[:-1]
        risen = numbers[is_rise]
        steps = np.diff(risen, prepend=self._top)
        since = np.concatenate([[self._top_at], times[is_rise]])
        turns = np.flatnonzero(steps > 1)
        self.steps += int((steps == 1).sum())
        runs = np.diff(np.concatenate([[-1], turns, [risen.size]])) - 1
        runs[0] += self._run
        self.longest = max(self.longest, int(runs.max()))
        self._run = int(runs[-1])
        for row in turns.tolist():
            before, missing = int(risen[row]), int(steps[row]) - 1
            hole = Hole(
                int(since[row]), int(since[row + 1]), before - missing - 1, before
            )
            self._holes.append((hole, missing))
        for number in numbers[~is_rise].tolist():
            self._fill(number)
        self._top, self._top_at = int(tops[-1]), int(since[-1])

    def _fill(self, number: int) -> None:
        at = bisect_left(self._holes, number, key=lambda found: found[0].before)
        if at < len(self._holes):
            hole, missing = self._holes[at]
            if hole.after < number < hole.before and missing:
                self._holes[at] = hole, missing - 1
                return
        self.strays += 1

    def has(self, first: int, last: int) -> bool:
        """Return whether all of some numbers came."""
        if self._top is None or first < self._first or last > self._top:
            return False
        return not any(h.after < last and first < h.before for h in self.holes)

    @property
    def holes(self) -> list[Hole]:
        """Numbers that did not come, in ranges of which at least one did not."""
        return [hole for hole, missing in self._holes if missing]

    @property
    def is_proved(self) -> bool:
        """Whether the market numbers its trades one by one, beyond doubt."""
        is_rare = self.steps >= PROOF_SHARE * (len(self.holes) + self.strays)
        return self.longest >= PROOF and is_rare


def unexplained(holes: Iterable[Hole], gaps: "Gaps") -> list[Hole]:
    """Return the holes of which no gap of rows says that something is missing."""
    return [hole for hole in holes if not gaps.touch(hole.since + 1, hole.until)]


class Gaps:
    """Gaps of one chain, to be asked for instants.

    Args:
        spans: First instant and first instant after of each; they may overlap,
            and one that has no length counts at its instant.
    """

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = sorted((start, max(end, start + 1)) for start, end in spans)
        merged: list[list[int]] = []
        for start, end in ordered:
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        self._starts = np.array([start for start, _ in merged], np.int64)
        self._ends = np.array([end for _, end in merged], np.int64)

    def touch(self, first: int, last: int) -> bool:
        """Return whether a gap has an instant from ``first`` to ``last``."""
        at = int(np.searchsorted(self._ends, first, side="right"))
        return at < self._starts.size and bool(self._starts[at] <= last)

    def hold(self, times: Ints) -> Truths:
        """Return which instants lie in a gap."""
        at = np.searchsorted(self._ends, times, side="right")
        held = np.zeros(times.size, np.bool_)
        inside = at < self._starts.size
        held[inside] = self._starts[at[inside]] <= times[inside]
        return held
