"""A chain followed through a store: its rows, and what the ledger adds.

A stream with ids is one chain, whatever connections its rows came over. A
stream without ids is a chain for each connection. So there are *lanes*: one,
or one for each connection. Several can be known at once (two jobs that
record the same source, or a handover). What is shown after a row is the book
of the row's own lane, or else the known one that was updated last.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import Chain
from recorder.replay.chain_rows import read_chain, span, times_of
from recorder.replay.compiled import Ints
from recorder.replay.ladder import Ladder, Positions, Quoted
from recorder.replay.outages import Interval, Marks, Outages, read_outages, run_of
from recorder.replay.rows import Truths, depth_rows
from recorder.store.layout import SECOND_NS
from recorder.store.listing import Listing


FIRST_LOOK_NS: Final = 3600 * SECOND_NS
"""How far before its start a walk looks for a snapshot at first."""

LOOK_GROWTH: Final = 6

_NO_ROWS: Final = np.empty(0, np.intp)
_NO_TIMES: Final = np.empty(0, np.int64)

_WHOLE: Final = ""
"""Name of the one lane of a stream with ids."""


class Stretch(NamedTuple):
    """Some rows of a chain, and the book after each.

    Attributes:
        table: The rows, as `read_chain` yields them.
        times: Their ``ts_recv``, nanoseconds.
        quoted: What is shown after each.
    """

    table: pa.Table
    times: Ints
    quoted: Quoted


class Trace(NamedTuple):
    """The book of a lane: before a stretch, then after each of its rows there.

    Attributes:
        times: ``ts_recv`` of its last row before (-1 if none), then of its rows.
        quoted: What it is after each, shown or not.
    """

    times: Ints
    quoted: Quoted


class Lane:
    """One ladder, and the marks that the ledger sets for it.

    Attributes:
        ladder: The book.
        marks: What it is told besides its rows.
        updated_ns: ``ts_recv`` of its last row, or -1.
        was_known: Whether the book was known after any row.
    """

    def __init__(self, marks: Marks) -> None:
        self.ladder = Ladder()
        self.marks = marks
        self.updated_ns = -1
        self.was_known = False
        self._told = 0
        self._doubts_told = 0
        self._wrongs_told = 0
        self._heard_ns = -1  # the last row over a socket
        self._open_handed = [*marks.handed]
        self._last = Quoted.nothing(1)

    def follow(self, table: pa.Table, times: Ints) -> Quoted:
        """Take rows; return its book after each, shown or not."""
        told, doubts, wrongs = (_until(marks, times) for marks in self._all)
        lost = np.diff(told, prepend=self._told) > 0
        if self.marks.quiet:
            heard = times[_is_heard(table)]
            ends = np.array(self._quiet_ends(int(times[-1]), heard), np.int64)
            lost |= np.diff(_until(ends, times), prepend=0) > 0
            self._heard_ns = max(self._heard_ns, int(heard[-1]) if heard.size else -1)
        lost |= self._handed(table, times)
        doubted = np.diff(doubts, prepend=self._doubts_told) > 0
        wrong = np.diff(wrongs, prepend=self._wrongs_told) > 0
        quoted = self.ladder.follow(depth_rows(table, lost, doubted, wrong))
        self.updated_ns = int(times[-1])
        self.was_known |= bool(quoted.known.any())
        self._told, self._doubts_told = int(told[-1]), int(doubts[-1])
        self._wrongs_told = int(wrongs[-1])
        self._last = quoted.each(lambda values: values[-1:].copy())
        return quoted

    def trace(self) -> Trace:
        """Return what its book is while it has no rows."""
        return Trace(np.array([self.updated_ns], np.int64), self._last)

    def pass_to(self, at_ns: int) -> None:
        """Let time pass without rows until an instant, that one included."""
        told, doubts, wrongs = (int(_until(marks, at_ns)) for marks in self._all)
        ended = [gap for gap in self._open_handed if gap[1] <= at_ns]
        self._open_handed = [gap for gap in self._open_handed if gap[1] > at_ns]
        if told > self._told or ended or self._quiet_ends(at_ns, _NO_TIMES):
            self.ladder.lost()
        if doubts > self._doubts_told:
            self.ladder.doubted()
        if wrongs > self._wrongs_told:
            self.ladder.wrong()
        if not self.ladder.is_known:
            self._last = Quoted.nothing(1)
        self._told, self._doubts_told, self._wrongs_told = told, doubts, wrongs

    def still(self, since: Ints, times: Ints) -> Truths:
        """Return whether what was shown at one time is shown at a later."""
        lost = self.marks.lost
        unmarked = _until(lost, since) == _until(lost, times)
        return np.asarray(unmarked, np.bool_)

    def hides(self, times: Ints) -> Truths:
        """Return whether times lie where the book must not be shown."""
        hidden = np.zeros(times.size, np.bool_)
        for start, end in self.marks.hidden:
            hidden |= (times >= start) & (times < end)
        return hidden

    def _handed(self, table: pa.Table, times: Ints) -> Truths:
        """Return before which rows another run takes the place of one that ended."""
        lost = np.zeros(times.size, np.bool_)
        still_open = []
        for start, end, run in self._open_handed:
            first = int(np.searchsorted(times, start))
            until = int(np.searchsorted(times, end))
            conns = table["conn"].slice(first, until - first).to_pylist()
            others = [n for n, conn in enumerate(conns) if run_of(f"{conn}") != run]
            row = first + others[0] if others else until
            if row < times.size:
                lost[row] = True
            else:
                still_open.append((start, end, run))
        self._open_handed = still_open
        return lost

    def _quiet_ends(self, until_ns: int, heard: Ints) -> list[int]:
        """Return ends of gaps, since the last row, in which nothing was heard.

        Args:
            until_ns: The last instant to look at.
            heard: Times of the rows over a socket since the last row.
        """
        times = np.concatenate([[self._heard_ns], heard])
        return [
            end
            for start, end in self.marks.quiet
            if self.updated_ns < end <= until_ns
            and times[np.searchsorted(times, end) - 1] < start
        ]

    @property
    def _all(self) -> tuple[Ints, Ints, Ints]:
        return self.marks.lost, self.marks.doubted, self.marks.wrong


class Walk:
    """Follows a chain; ask it for `stretches`, from one instant on.

    Args:
        listing: The store.
        source: Name of the feed.
        chain: The chain.
        outages: What the ledger says of it, if that was read before.
    """

    def __init__(
        self,
        listing: Listing,
        source: str,
        chain: Chain,
        outages: Outages | None = None,
    ) -> None:
        self._listing = listing
        self._source = source
        self._chain = chain
        self._lanes: dict[str, Lane] = {}
        self._crossings = 0
        self.outages = outages or read_outages(listing, source, chain)

    @property
    def is_anchored(self) -> bool:
        """Whether earlier rows could not change what is shown from here on."""
        lanes = self._lanes.values()
        if _WHOLE in self._lanes:
            return all(lane.ladder.is_proved for lane in lanes)
        return bool(lanes) and all(lane.was_known for lane in lanes)

    def stretches(self, start_ns: int, end_ns: int) -> Iterator[Stretch]:
        """Follow the rows received in an interval; yield them in order."""
        chain = (self._listing, self._source, self._chain)
        for table in read_chain(*chain, start_ns, end_ns):
            times = times_of(table, "ts_recv")
            yield Stretch(table, times, self._follow(table, times))

    def shown_at(self, at_ns: int) -> Lane | None:
        """Return the lane whose book is known at an instant, if any is.

        One of several is passed over where it must not be shown.

        Args:
            at_ns: Not before the last row followed.
        """
        shown = None
        for name, lane in sorted(self._lanes.items()):
            lane.pass_to(at_ns)
            if name != _WHOLE and lane.marks.hides(at_ns):
                continue
            if lane.ladder.is_known and (
                shown is None or lane.updated_ns >= shown.updated_ns
            ):
                shown = lane
        return shown

    @property
    def crossings(self) -> int:
        """How often a best bid was found at or above the best ask."""
        lanes = self._lanes.values()
        return self._crossings + sum(lane.ladder.crossings for lane in lanes)

    @property
    def updated_ns(self) -> int | None:
        """``ts_recv`` of the last row followed; None if there was none."""
        return max((lane.updated_ns for lane in self._lanes.values()), default=None)

    def _follow(self, table: pa.Table, times: Ints) -> Quoted:
        if _WHOLE in self._lanes:
            return self._lanes[_WHOLE].follow(table, times)
        if _has_ids(table):
            lane = Lane(self.outages.with_ids())
            self._lanes = {_WHOLE: lane}
            return lane.follow(table, times)
        return self._follow_lanes(table, times)

    def _follow_lanes(self, table: pa.Table, times: Ints) -> Quoted:
        """Follow rows of several connections, each in its own lane."""
        conns: Any = table["conn"].combine_chunks()
        codes = conns.indices.to_numpy()
        names = conns.dictionary.to_pylist()
        rows = {names[code]: np.flatnonzero(codes == code) for code in np.unique(codes)}
        self._drop_silent(set(rows), int(times[0]))
        shown = Quoted.nothing(times.size)
        traces = {name: lane.trace() for name, lane in self._lanes.items()}
        for name, at in rows.items():
            if name not in self._lanes:
                marks = self.outages.without_ids(name)
                self._lanes[name] = Lane(marks)
            lane = self._lanes[name]
            before = lane.trace()
            mine = table if at.size == times.size else table.take(at)
            after = Trace(times[at], lane.follow(mine, times[at]))
            traces[name] = _followed(before, after)
            seen = np.flatnonzero(~lane.hides(times[at]))
            shown.put(at[seen], _rows_of(after.quoted, seen))
        unknown = np.flatnonzero(~shown.known)
        since = np.full(unknown.size, -1, np.int64)
        for name, trace in sorted(traces.items()):
            before_or_at = np.searchsorted(
                rows.get(name, _NO_ROWS), unknown, side="right"
            )
            then = trace.times[before_or_at]
            is_better = trace.quoted.known[before_or_at] & (then >= since)
            is_better &= self._lanes[name].still(then, times[unknown])
            is_better &= ~self._lanes[name].hides(times[unknown])
            since[is_better] = then[is_better]
            chosen = before_or_at[is_better]
            shown.put(unknown[is_better], _rows_of(trace.quoted, chosen))
        return shown

    def _drop_silent(self, names: set[str], at_ns: int) -> None:
        """Forget lanes that are lost and silent: connections do not come back."""
        for name, lane in list(self._lanes.items()):
            if name not in names:
                lane.pass_to(at_ns)
                if not lane.ladder.is_known:
                    self._crossings += lane.ladder.crossings
                    del self._lanes[name]


def start_walk(
    listing: Listing,
    source: str,
    chain: Chain,
    start_ns: int,
    outages: Outages | None = None,
) -> Walk:
    """Return a walk that has come to an instant, knowing what went before.

    Looks back no further than it takes to be sure of the book.

    Args:
        listing: The store.
        source: Name of the feed.
        chain: The chain.
        start_ns: Rows before it have been followed.
        outages: What the ledger says of it, if that was read before.
    """
    data = span(listing, "depth", source)
    look_ns = FIRST_LOOK_NS
    while True:
        walk = Walk(listing, source, chain, outages)
        if data is None or start_ns <= data[0]:
            return walk
        begin_ns = max(start_ns - look_ns, data[0])
        for _ in walk.stretches(begin_ns, min(start_ns, data[1])):
            pass
        if walk.is_anchored or begin_ns == data[0]:
            return walk
        look_ns *= LOOK_GROWTH


def last_row_ns(
    listing: Listing, source: str, chain: Chain, data: Interval
) -> int | None:
    """Return when the last row of a chain was received; None if it has none."""
    end_ns, look_ns = data[1], FIRST_LOOK_NS
    while end_ns > data[0]:
        start_ns = max(end_ns - look_ns, data[0])
        last = None
        for table in read_chain(listing, source, chain, start_ns, end_ns):
            last = int(times_of(table, "ts_recv")[-1])
        if last is not None:
            return last
        end_ns = start_ns
        look_ns *= LOOK_GROWTH
    return None


def _until(marks: Ints, times: Any) -> Any:
    """Return how many marks lie at or before times."""
    return np.searchsorted(marks, times, side="right")


def _has_ids(table: pa.Table) -> bool:
    ids = table["last_update_id"]
    return bool(ids.null_count < len(ids))


def _is_heard(table: pa.Table) -> Truths:
    origin: Any = table["origin"]
    return np.asarray(pc.not_equal(origin, pa.scalar("rest")).to_numpy(), np.bool_)


def _rows_of(quoted: Quoted, rows: Positions) -> Quoted:
    return quoted.each(lambda values: values[rows])


def _followed(before: Trace, after: Trace) -> Trace:
    pairs = zip(before.quoted, after.quoted, strict=True)
    quoted: list[Any] = [np.concatenate(pair) for pair in pairs]
    return Trace(np.concatenate([before.times, after.times]), Quoted(*quoted))
