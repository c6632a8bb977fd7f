"""Depth messages of two runs: those of the second are stored after the first."""

import pytest

from recorder.capture.held_depth import HeldDepth
from recorder.capture.takeover import is_unknown_at_end
from recorder.model import Chain, DepthUpdate, Gap
from recorder.store.unlaid import Last


CHAIN = Chain("BTC_USDT", "depth:100ms")


def row(at, first, last, *, conn="two.0", market="BTC_USDT", is_snapshot=False):
    event = DepthUpdate(
        market=market,
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=is_snapshot,
        first_update_id=first,
        last_update_id=last,
        bids=b"[]",
        asks=b"[]",
        depth_limit=100,
        origin="rest" if is_snapshot else "live",
    )
    return at, conn, at, 0, event, None


def test_messages_with_ids_wait_and_others_do_not():
    held = HeldDepth()
    plain = row(3, None, None)

    assert held.hold([row(1, 1, 2), plain, row(4, 3, 4)]) == [plain]
    assert len(held) == 2


def test_they_come_after_the_end_of_the_other_in_their_order():
    held = HeldDepth()
    other = row(7, 50, 60, market="ETH_USDT")
    snapshot = row(12, None, 3, conn="two.rest", is_snapshot=True)
    held.hold([snapshot, row(10, 1, 4), other, row(25, 5, 6)])

    rows = held.release(20)

    assert [(at, event.last_update_id) for at, _, _, _, event, _ in rows] == [
        (21, 60),
        (22, 4),
        (23, 3),
        (25, 6),
    ]
    assert held.release(0) == []


def test_no_replay_applies_a_snapshot_that_is_older_than_what_the_other_had():
    held = HeldDepth()
    held.hold([row(1, None, 3, is_snapshot=True), row(2, 4, 5)])
    held.hold([row(3, None, 7, market="ETH_USDT", is_snapshot=True)])

    held.hold([row(4, None, 9, is_snapshot=True)])

    rows = held.release(20, {CHAIN: Last(8, 20)})

    assert [(event.last_update_id, event.origin) for *_, event, _ in rows] == [
        (3, "audit"),
        (5, "live"),
        (7, "rest"),
        (9, "rest"),
    ]


@pytest.mark.parametrize(
    ("messages", "joins"),
    [
        ([(1, 10), (11, 20)], True),  # the other ended with the first of them
        ([(5, 7), (11, 20)], True),  # the second of them follows
        ([(1, 9), (10, 20)], False),  # the venue cuts them differently
        ([(1, 9)], False),
        ([(15, 20)], False),
        ([], False),
    ],
)
def test_whether_they_go_on_where_the_other_ended(messages, joins):
    held = HeldDepth()
    held.hold([row(at, *ids) for at, ids in enumerate(messages)])
    held.hold([row(9, 11, 12, market="ETH_USDT")])

    assert held.joins(CHAIN, Last(10, 5)) == joins


def test_an_image_that_is_newer_goes_on_from_anywhere():
    held = HeldDepth()
    held.hold([row(1, None, 12, is_snapshot=True)])

    assert held.joins(CHAIN, Last(10, 5))
    assert not held.joins(CHAIN, Last(12 + 1, 5))


def test_they_do_not_wait_in_more_memory_than_they_may_take():
    held = HeldDepth(bytes_max=1_500)
    first = held.hold([row(1, 1, 2), row(2, 3, 4)])

    given = held.hold([row(3, 5, 6)])

    assert first == []
    assert [r[0] for r in given] == [1, 2, 3]
    assert held.is_full
    assert len(held) == 0
    assert [r[0] for r in held.hold([row(4, 7, 8)])] == [4]
    assert not held.joins(CHAIN, Last(8, 5))


def gap(scope, reason, started_at, ended_at):
    return Gap(
        gap_id="run.1",
        market=None,
        stream=None,
        job="job",
        scope=scope,
        reason=reason,
        started_at=started_at,
        ended_at=ended_at,
    )


@pytest.mark.parametrize(
    ("told", "is_unknown"),
    [
        (gap("book", "resync", 5, 20), True),
        (gap("book", "resync", 5, None), True),
        (gap("book", "resync", 5, 19), False),
        (gap("rows", "process_stopped", 12, 13), True),  # then the clock was set
        (gap("rows", "clock_step", 13, 20), False),
        (gap("times", "clock_step", 13, 30), False),
        (gap("rows", "connect_lost", 5, 9), False),
        (gap("rows", "process_stopped", 20, None), False),  # that is the end
    ],
)
def test_whether_a_book_is_known_where_a_run_ended(told, is_unknown):
    assert is_unknown_at_end(told, Last(7, 10), 20) == is_unknown
