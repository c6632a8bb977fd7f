"""Gaps of klines: which closed in them, and what proves that none is missing."""

import pytest
from hypothesis import given, settings, strategies as st

from recorder.capture.kline_bridge import KlineBridge, closed_in, with_pushed
from recorder.model import Kline


S = 10**9
MINUTE = 60 * S
SLACK = 5 * S
NOW = 1_000 * MINUTE


def kline(at, *, is_closed=None):
    return Kline(
        market="A_B",
        ts_event=None,
        interval="1m",
        open_at=at,
        open="1",
        high="1",
        low="1",
        close="1",
        is_closed=is_closed,
        origin="backfill",
    )


def bridge_of(wanted, stored=(), page_rows=1_000, oldest_ns=0):
    return KlineBridge(
        wanted,
        stored,
        page_rows,
        slack_ns=SLACK,
        settled_ns=MINUTE,
        oldest_ns=oldest_ns,
    )


def at(*minutes):
    return [minute * MINUTE for minute in minutes]


def test_those_that_closed_in_a_gap_are_wanted_a_little_beyond_its_ends():
    gap = 10 * MINUTE + 30 * S, 13 * MINUTE + 10 * S

    assert list(closed_in(*gap, MINUTE, SLACK)) == at(10, 11, 12)
    # Just after a minute began the clocks may tell two minutes apart.
    assert list(closed_in(10 * MINUTE + S, 11 * MINUTE - S, MINUTE, SLACK)) == at(9, 10)
    assert not closed_in(10 * MINUTE + 6 * S, 10 * MINUTE + 9 * S, MINUTE, SLACK)


def test_a_gap_in_which_none_closed_is_bridged_without_a_question():
    bridge = bridge_of(range(0, 0, MINUTE))

    assert bridge.next() is None
    assert bridge.is_bridged


def test_what_is_stored_is_not_asked_for():
    bridge = bridge_of(range(0, 3 * MINUTE, MINUTE), stored=at(0, 1, 2))

    assert bridge.next() is None
    assert bridge.is_bridged


def test_closed_ones_are_taken_and_growing_ones_are_awaited():
    bridge = bridge_of(range(*at(10, 13), MINUTE))
    wanted = bridge.next()
    page = [kline(m) for m in at(8, 9, 10, 11)] + [kline(*at(12), is_closed=False)]

    taken = bridge.take(page, 13 * MINUTE + SLACK)

    assert (wanted.from_ns, wanted.to_ns) == (0, 13 * MINUTE)
    assert [(place, one.open_at) for place, one in taken] == [
        (2, 10 * MINUTE),
        (3, 11 * MINUTE),
    ]
    assert not bridge.is_bridged
    assert (bridge.unsettled, bridge.forgotten) == (1, 0)


@pytest.mark.parametrize(
    ("told", "asked_at", "count"),
    [
        ((9, 10, 11), 11 * MINUTE + SLACK - 1, 0),
        ((9, 10, 11), 11 * MINUTE + SLACK, 1),
        ((9, 10), 11 * MINUTE + SLACK, 0),  # our clock may be ahead
        ((9, 10), 71 * MINUTE, 1),
    ],
)
def test_without_a_flag_one_is_closed_when_its_time_is_over_by_both_clocks(
    told, asked_at, count
):
    bridge = bridge_of(range(*at(10, 11), MINUTE))
    bridge.next()

    assert len(bridge.take([kline(m) for m in at(*told)], asked_at)) == count
    assert bridge.is_bridged == bool(count)


@pytest.mark.parametrize(
    ("told", "asked_at", "unsettled", "forgotten"),
    [
        ((9, 11), 900, 0, 0),  # between two that are told nobody traded
        ((9,), 900, 0, 0),  # nor after the last one, a good while later
        ((9,), 11, 1, 0),  # but it may come yet
        ((11,), 900, 0, 1),  # what was before, the venue may have forgotten
        ((), 900, 0, 1),
        ((), 11, 1, 0),
    ],
)
def test_one_that_is_not_told_was_none_only_if_its_neighbours_are(
    told, asked_at, unsettled, forgotten
):
    bridge = bridge_of(range(*at(10, 11), MINUTE))
    bridge.next()
    bridge.take([kline(m) for m in at(*told)], asked_at * MINUTE + SLACK)

    assert (bridge.unsettled, bridge.forgotten) == (unsettled, forgotten)
    assert bridge.is_bridged == (unsettled == forgotten == 0)


def test_intervals_that_begin_elsewhere_are_not_believed():
    bridge = bridge_of(range(*at(10, 11), MINUTE))
    bridge.next()

    assert bridge.take([kline(10 * MINUTE + S), kline(*at(10))], NOW) == []
    assert bridge.is_elsewhere
    assert not bridge.is_bridged
    assert bridge.next() is None


def test_what_the_venue_refuses_to_tell_is_not_asked_for():
    bridge = bridge_of(range(*at(10, 20), MINUTE), oldest_ns=14 * MINUTE + 1)

    wanted = bridge.next()
    bridge.take([kline(m) for m in at(*range(15, 21))], NOW)

    assert wanted.from_ns == 15 * MINUTE
    assert bridge.forgotten == 5
    assert not bridge.is_bridged


@settings(max_examples=100)
@given(
    start=st.integers(0, 300 * MINUTE),
    length=st.integers(0, 200 * MINUTE),
    page_rows=st.integers(30, 60),
    traded=st.sets(st.integers(0, 600), min_size=1),
    remembered=st.integers(0, 600),
    stored=st.sets(st.integers(0, 600)),
)
def test_what_counts_as_bridged_is_whole(
    start, length, page_rows, traded, remembered, stored
):
    """The oracle: which klines with trades ended within the gap, a bit beyond."""
    gap = start, start + length
    stored = stored & traded
    wanted = closed_in(*gap, MINUTE, SLACK)
    bridge = bridge_of(wanted, at(*stored), page_rows)
    have = set(stored)
    while (asked := bridge.next()) is not None:
        points = (asked.to_ns - asked.from_ns) // MINUTE + 1
        assert points <= page_rows
        page = [
            kline(m * MINUTE)
            for m in sorted(traded)
            if m >= remembered and asked.from_ns <= m * MINUTE <= asked.to_ns
        ]
        have |= {one.open_at // MINUTE for _, one in bridge.take(page, NOW)}

    ended = {m for m in traded if start - SLACK < (m + 1) * MINUTE <= gap[1] + SLACK}
    if bridge.is_bridged:
        assert ended <= have


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, 120, []),
        (120, 120, []),
        (60, 180, [60, 120]),
    ],
    ids=["nothing before", "the same", "another"],
)
def test_pushes_show_what_closed_whatever_our_clock_showed(before, after, expected):
    assert list(with_pushed(range(600, 600, 60), before, after)) == expected


def test_what_closed_by_our_clock_is_wanted_beside_what_pushes_show():
    assert list(with_pushed(range(180, 240, 60), 60, 120)) == [60, 120, 180]
