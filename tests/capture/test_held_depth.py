"""Depth messages of two runs: those of the second are stored after the first."""

from recorder.capture.held_depth import HeldDepth
from recorder.model import Chain, DepthUpdate
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


def test_no_replay_applies_what_is_not_newer_than_what_the_other_had():
    held = HeldDepth()
    held.hold([row(1, None, 3, is_snapshot=True), row(2, 4, 8), row(3, 8, 9)])
    held.hold([row(4, None, 7, market="ETH_USDT", is_snapshot=True)])
    held.hold([row(5, None, 9, is_snapshot=True)])

    rows = held.release(20, {CHAIN: Last(8, 20)})

    assert [(event.last_update_id, event.origin) for *_, event, _ in rows] == [
        (3, "beside"),
        (8, "beside"),
        (9, "live"),
        (7, "rest"),
        (9, "rest"),
    ]


def test_nothing_of_a_torn_book_is_applied():
    held = HeldDepth()
    held.hold([row(1, 9, 9), row(2, 5, 6, market="ETH_USDT")])

    rows = held.release(20, {CHAIN: Last(8, 20)}, {CHAIN})

    assert [event.origin for *_, event, _ in rows] == ["beside", "live"]


def test_what_waits_is_shown_as_it_will_be_stored():
    held = HeldDepth()
    held.hold([row(10, 1, 4), row(7, 50, 60, market="ETH_USDT"), row(25, 5, 6)])

    shown = held.of_chains(20)

    assert {chain: [r[0] for r in rows] for chain, rows in shown.items()} == {
        CHAIN: [22, 25],
        Chain("ETH_USDT", "depth:100ms"): [21],
    }
    assert sorted([*shown[CHAIN], *shown["ETH_USDT", "depth:100ms"]]) == held.release(
        20
    )


def test_they_do_not_wait_in_more_memory_than_they_may_take():
    held = HeldDepth(bytes_max=1_500)
    first = held.hold([row(1, 1, 2), row(2, 3, 4)])

    given = held.hold([row(3, 5, 6)])

    assert first == []
    assert [r[0] for r in given] == [1, 2, 3]
    assert held.is_full
    assert len(held) == 0
    assert [r[0] for r in held.hold([row(4, 7, 8)])] == [4]
