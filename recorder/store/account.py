"""What the ledger knows of one chain: coverage that can still be cut, and gaps.

A break may be noticed long after it happened: a row turns out not to be
storable when it is written, a broken numbering of trades is believed once it
is proved, a dead socket is noticed after its last frame. Rows of the table
``coverage`` cannot be taken back. So an interval that has ended is held here
for a while, and what is found to be missing is cut out of it.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from recorder.model import Chain, Gap
from recorder.store.runfile import OpenInterval, RunState


HELD_MAX: Final = 16
"""Ended intervals held for a chain; the oldest is written when there are more.

The run file has them all, and is replaced whenever one of them changes.
"""

Span: TypeAlias = tuple[int, int]
"""First instant, and first instant after, nanoseconds."""


class Held(NamedTuple):
    """An interval of coverage that has ended, and is not written yet.

    Attributes:
        started_at: First instant covered, our clock, nanoseconds.
        ended_at: First instant after.
        closed_by: Why it ended.
    """

    started_at: int
    ended_at: int
    closed_by: str


class Account:
    """What the ledger knows of one chain.

    Attributes:
        since: Since when it is covered, our clock, nanoseconds; None if not.
        back_at: When the last gap up to an acceptance ended.
        held: Intervals that have ended, oldest first.
        rows_gap: The gap of rows that it is in.
        is_real: Whether rows are known to be missing in ``rows_gap``.
        closed_gap: The last gap of rows, if it may still be healed.
        book_gap: The gap of scope ``book`` that it is in.
    """

    __slots__ = (
        "back_at",
        "book_gap",
        "closed_gap",
        "held",
        "is_real",
        "rows_gap",
        "since",
    )

    def __init__(self) -> None:
        self.since: int | None = None
        self.back_at = 0
        self.held: list[Held] = []
        self.rows_gap: Gap | None = None
        self.is_real = False
        self.closed_gap: Gap | None = None
        self.book_gap: Gap | None = None

    def open(self, at: int) -> None:
        """Begin an interval after a gap, or at the very first."""
        self.since = self.back_at = at

    def end_gap(self, at: int) -> tuple[list[Gap], int]:
        """End the gap of rows that it is in; return it, and when it ended."""
        gap, self.rows_gap = self.rows_gap, None
        if gap is None:
            return [], at
        self.is_real = False
        return [ended_gap(gap, at)], max(at, gap.started_at)

    def close(self, at: int, closed_by: str) -> None:
        """End the open interval, if there is one."""
        since, self.since = self.since, None
        if since is not None and since < at:
            self.held.append(Held(since, at, closed_by))

    def cut(self, start: int, end: int) -> list[Span]:
        """Take a span out of the coverage that is not written yet.

        An open interval goes on after the span.

        Returns:
            What of the span had been covered; spans that touch are one.
        """
        kept: list[Held] = []
        taken: list[Span] = []
        for held in self.held:
            first, last = max(start, held.started_at), min(end, held.ended_at)
            if first >= last:
                kept.append(held)
                continue
            if held.started_at < first:
                kept.append(Held(held.started_at, first, "gap"))
            if last < held.ended_at:
                kept.append(held._replace(started_at=last))
            taken.append((first, last))
        self.held = kept
        if self.since is not None and self.since < end and start < end:
            first = max(start, self.since)
            self.close(first, "gap")
            self.since = end
            taken.append((first, end))
        return merged(taken)

    def release(self, *, before: int | None = None) -> list[Held]:
        """Hand over intervals to be written.

        Args:
            before: Those that ended by then, nanoseconds; None for those that
                are too many.
        """
        if before is None:
            count = max(0, len(self.held) - HELD_MAX)
        else:
            count = sum(held.ended_at <= before for held in self.held)
        ready, self.held = self.held[:count], self.held[count:]
        return ready


def state_of(accounts: Mapping[Chain, Account], links: Mapping[Chain, int]) -> RunState:
    """Return what is open or not written of some chains, for the run file.

    Args:
        accounts: What is known of each.
        links: Number of each chain's connection in the heartbeat.
    """
    intervals: list[OpenInterval] = []
    for (market, stream), account in accounts.items():
        link = links.get(Chain(market, stream))
        intervals += [
            OpenInterval(market or None, stream, *held, link) for held in account.held
        ]
        if (since := account.since) is not None:
            intervals.append(OpenInterval(market or None, stream, since, link=link))
    gaps = tuple(
        gap
        for account in accounts.values()
        for gap in (account.rows_gap, account.book_gap)
        if gap is not None
    )
    return RunState(intervals=tuple(intervals), gaps=gaps)


def ended_gap(gap: Gap, at: int, detail: str | None = None) -> Gap:
    """Return a gap that ended at a time, no earlier than it began."""
    return msgspec.structs.replace(
        gap, ended_at=max(at, gap.started_at), detail=detail or gap.detail
    )


def outside(whole: Span, spans: Iterable[Span]) -> list[Span]:
    """Return what of a span lies in none of others, which may overlap."""
    start, end = whole
    left: list[Span] = []
    for first, last in sorted(spans):
        if start < min(first, end):
            left.append((start, min(first, end)))
        start = max(start, last)
    if start < end:
        left.append((start, end))
    return left


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return disjoint spans, sorted, of the same instants."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
