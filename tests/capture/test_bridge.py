"""Gaps of trades: bridged only where nothing can be missing, by random venues."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings, strategies as st

from recorder.capture.bridge import Bridge, Known
from recorder.errors import WireError
from recorder.model import Trade
from recorder.source import History, Wanted


S = 10**9


def history(paging, page_rows):
    return History(
        table="trades", page_rows=page_rows, paging=paging, ask=lambda *_: None
    )


def trade(trade_id, ns, number=None):
    return Trade(
        market="A_B",
        ts_event=ns,
        trade_id=trade_id,
        side="buy",
        price="1",
        amount="1",
        market_trade_id=number,
        origin="backfill",
    )


class Venue(NamedTuple):
    """A venue that answers as its documents may be read.

    Attributes:
        trades: All that happened, oldest first: id and time.
        forgets: So many of the oldest it tells no more.
        behind: So many of the newest it does not tell yet.
        cap: It never tells more in one answer, whatever is asked for.
        is_rising: Whether of too many it tells the oldest, oldest first.
        includes_end: Whether times up to the end of a second belong to it.
        refuses_skip: Whether it does not know how to pass rows over.
    """

    trades: tuple[tuple[int, int], ...]
    forgets: int = 0
    behind: int = 0
    cap: int = 1_000
    is_rising: bool = False
    includes_end: bool = True
    refuses_skip: bool = False

    def tell(self, wanted: Wanted) -> list[Trade[str]]:
        rows = list(self.trades[self.forgets : len(self.trades) - self.behind])
        if wanted.until_id is not None:
            rows = [row for row in rows if row[0] <= wanted.until_id]
        if wanted.since_id is not None:
            rows = [row for row in rows if row[0] >= wanted.since_id]
        if wanted.from_ns is not None:
            rows = [row for row in rows if row[1] >= wanted.from_ns]
        if wanted.to_ns is not None:
            last = wanted.to_ns + (S - 1 if self.includes_end else 0)
            rows = [row for row in rows if row[1] <= last]
        rows = rows if self.is_rising else rows[::-1]
        skip = 0 if self.refuses_skip else wanted.skip
        return [trade(*row) for row in rows[skip:][: min(self.cap, wanted.limit)]]


def bridged(bridge, venue, most=500):
    """Ask a venue until nothing more is to be asked; return what was told."""
    told = {}
    for _ in range(most):
        wanted = bridge.next()
        if wanted is None:
            return told
        for _, one in bridge.take(venue.tell(wanted)):
            told[one.trade_id] = one
    raise AssertionError("it never ends")


@st.composite
def cases(draw):
    """Draw a market's trades, what of them is known, and a venue."""
    steps = draw(
        st.lists(
            st.tuples(
                st.integers(1, 3),  # ids have holes
                st.sampled_from((0, 0, 1, S // 3, S, 5 * S)),  # instants are shared
            ),
            min_size=1,
            max_size=40,
        )
    )
    trades, trade_id, ns = [], 100, 1_000 * S + draw(st.integers(0, S - 1))
    for more, later in steps:
        trade_id, ns = trade_id + more, ns + later
        trades.append((trade_id, ns))
    low, high = sorted(draw(st.tuples(*[st.integers(0, len(trades) - 1)] * 2)))
    return (
        tuple(trades),
        low,
        draw(st.sampled_from((high, None))),
        Venue(
            trades=tuple(trades),
            forgets=draw(st.integers(0, low + 1)) if draw(st.booleans()) else 0,
            behind=draw(st.sampled_from((0, 0, 1, 3))),
            cap=draw(st.integers(2, 12)),
            is_rising=draw(st.booleans()),
            includes_end=draw(st.booleans()),
            refuses_skip=draw(st.booleans()),
        ),
        draw(st.sampled_from(("until_id", "since_id", "time"))),
        draw(st.integers(2, 12)),
        draw(st.booleans()),
    )


@settings(max_examples=250)
@given(cases())
def test_what_counts_as_bridged_is_whole(case):
    trades, low, high, venue, paging, page_rows, has_low = case
    if paging == "until_id":
        venue = venue._replace(is_rising=False)  # as documented
    ends = [Known(ns, trade_id) for trade_id, ns in trades]
    # Without a trade before the gap, all that happened after an instant is wanted.
    start = ends[low] if has_low else Known(trades[low][1])
    bridge = Bridge(
        history(paging, page_rows), start, None if high is None else ends[high]
    )

    told = bridged(bridge, venue)

    last = len(trades) - venue.behind if high is None else high
    wanted = {
        trade_id
        for trade_id, ns in trades[low:last]
        if trade_id > trades[low][0] and (has_low or ns > trades[low][1])
    }
    assert set(told) <= {trade_id for trade_id, _ in trades}
    if bridge.is_bridged:
        assert set(told) >= wanted
    if high is not None:
        assert all(trades[low][0] < one < trades[high][0] for one in told)


@settings(max_examples=150)
@given(cases())
def test_what_the_venue_tells_whole_is_bridged(case):
    trades, low, high, venue, paging, page_rows, _ = case
    venue = venue._replace(forgets=0, behind=0, cap=1_000, refuses_skip=False)
    if paging == "since_id":
        venue = venue._replace(is_rising=True)
    if paging == "until_id":
        venue = venue._replace(is_rising=False)
    ends = [Known(ns, trade_id) for trade_id, ns in trades]
    high_end = None if high is None else ends[high]

    bridge = Bridge(history(paging, page_rows), ends[low], high_end)
    told = bridged(bridge, venue)

    last = len(trades) if high is None else high
    assert bridge.is_bridged
    assert set(told) == {trade_id for trade_id, _ in trades[low + 1 : last]}


LINE = tuple((100 + n, 1_000 * S + n * S) for n in range(50))


def ends_of(low, high):
    return Known(LINE[low][1], LINE[low][0], low), Known(
        LINE[high][1], LINE[high][0], high
    )


@pytest.mark.parametrize("paging", ["until_id", "since_id", "time"])
def test_what_the_venue_has_forgotten_is_not_bridged(paging):
    bridge = Bridge(history(paging, 10), *ends_of(5, 45))

    told = bridged(bridge, Venue(trades=LINE, forgets=20))

    assert not bridge.is_bridged
    assert not bridge.reaches_low
    assert bridge.oldest_ns >= LINE[20][1]
    expected = 40 if paging == "since_id" else 20  # it tells the newest page alone
    assert min(told) == LINE[expected][0]


@pytest.mark.parametrize("paging", ["until_id", "since_id", "time"])
def test_what_the_venue_does_not_tell_yet_is_not_bridged(paging):
    bridge = Bridge(history(paging, 100), *ends_of(5, 45))

    bridged(bridge, Venue(trades=LINE, behind=10))

    assert not bridge.is_bridged
    assert not bridge.reaches_high


def test_a_page_that_does_not_go_on_where_the_one_before_ended_proves_nothing():
    bridge = Bridge(history("until_id", 10), *ends_of(5, 45))
    bridge.next()
    bridge.take([trade(*row) for row in LINE[36:46][::-1]])
    assert bridge.next() == Wanted(limit=10, until_id=LINE[36][0])

    kept = bridge.take([trade(*row) for row in LINE[2:30][::-1]])

    assert bridge.next() is None
    assert not bridge.is_bridged
    assert len(kept) == 24


def test_running_numbers_tell_how_many_are_missing():
    bridge = Bridge(history("until_id", 10), *ends_of(5, 45))
    bridge.next()
    bridge.take([trade(*LINE[n], n) for n in range(45, 35, -1)])
    bridge.next()
    bridge.take([])

    assert bridge.next() is None
    assert bridge.missing == 30


def test_a_running_number_that_is_left_out_is_missing():
    bridge = Bridge(history("until_id", 100), *ends_of(5, 45))
    bridge.next()
    bridge.take([trade(*LINE[n], n) for n in range(45, 4, -1) if n not in (20, 21)])

    assert bridge.left_out == 2
    assert not bridge.is_bridged
    assert bridge.next() is None


@pytest.mark.parametrize(
    "row",
    [
        Trade(
            market="A_B", ts_event=1, trade_id=None, side="buy", price="1", amount="1"
        ),
        Trade(
            market="A_B", ts_event=None, trade_id=1, side="buy", price="1", amount="1"
        ),
        trade(LINE[46][0], LINE[46][1]),
    ],
)
def test_a_trade_that_cannot_be_placed_is_refused(row):
    bridge = Bridge(history("until_id", 10), *ends_of(5, 45))
    bridge.next()

    with pytest.raises(WireError):
        bridge.take([row])


def test_nothing_can_be_taken_that_was_not_asked_for():
    with pytest.raises(ValueError, match="next"):
        Bridge(history("time", 10), *ends_of(5, 45)).take([])


def test_more_trades_of_one_instant_than_a_page_holds_are_passed_over_by_count():
    crowd = tuple((200 + n, 2_000 * S) for n in range(95))
    trades = (*LINE, *crowd, (400, 2_001 * S))
    low, high = Known(LINE[45][1], LINE[45][0]), Known(2_001 * S, 400)

    bridge = Bridge(history("time", 10), low, high)
    told = bridged(bridge, Venue(trades=trades))

    assert bridge.is_bridged
    assert len(told) == 4 + 95

    blind = Bridge(history("time", 10), low, high)
    bridged(blind, Venue(trades=trades, refuses_skip=True))
    assert not blind.is_bridged
