from collections import Counter

from recorder.clock import SystemClock
from recorder.simulator.connection import Context
from recorder.simulator.engine import Engine
from recorder.simulator.faults import Fault, FaultPlan
from recorder.simulator.markets import market_spec
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshots
from recorder.simulator.truth import Truth


SECOND_NS = 10**9
NAMES = ("BTC_USDT", "GT_USDT")


def made(age_seconds: float, *faults: Fault) -> tuple[Snapshots, Engine, list[str]]:
    engine = Engine(
        [market_spec(name) for name in NAMES],
        seed=1,
        rates=dict.fromkeys(NAMES, 50.0),
        start_ns=0,
    )
    context = Context(
        clock=SystemClock(),
        plan=FaultPlan(faults, seed=1, start_ns=0),
        truth=Truth(keep=False),
        counters=Counter(),
    )
    settings = Settings(markets=NAMES, snapshot_age_seconds=age_seconds)
    snapshots = Snapshots(engine, settings, context)
    taken: list[str] = []
    snapshots.on_taken = taken.append
    return snapshots, engine, taken


def test_without_an_age_a_book_is_taken_when_asked_for():
    snapshots, engine, taken = made(0.0)
    snapshots.publish(SECOND_NS)

    assert taken == []
    book = snapshots.current("BTC_USDT", SECOND_NS)
    assert taken == ["BTC_USDT"]
    assert (book.made_ns, book.update_id) == (
        SECOND_NS,
        engine.markets["BTC_USDT"].update_id,
    )


def test_with_an_age_books_are_renewed_at_that_pace_and_not_all_at_once():
    snapshots, engine, _ = made(4.0)
    ages: dict[str, set[int]] = {name: set() for name in NAMES}
    made_at: dict[str, set[int]] = {name: set() for name in NAMES}
    for second in range(40):
        now_ns = second * SECOND_NS // 2
        engine.advance(now_ns)
        snapshots.publish(now_ns)
        for name in NAMES:
            book = snapshots.current(name, now_ns)
            ages[name].add(now_ns - book.made_ns)
            made_at[name].add(book.made_ns)

    assert max(max(a) for a in ages.values()) == 3.5 * SECOND_NS
    assert made_at["BTC_USDT"] != made_at["GT_USDT"]
    assert len(made_at["GT_USDT"]) == 6


def test_a_stale_book_is_the_oldest_that_is_young_enough():
    snapshots, engine, _ = made(0.0, Fault(name="stale_snapshot", seconds=2.0))
    for quarter in range(41):
        engine.advance(quarter * SECOND_NS // 4)
        snapshots.publish(quarter * SECOND_NS // 4)

    now_ns = 10 * SECOND_NS
    assert snapshots.stale("GT_USDT", 2.0, now_ns).made_ns == 8 * SECOND_NS
    assert snapshots.stale("GT_USDT", 1.1, now_ns).made_ns == 9 * SECOND_NS
    assert snapshots.stale("GT_USDT", 2.0, now_ns + 60 * SECOND_NS).made_ns == (
        70 * SECOND_NS
    )


def test_nobody_need_listen():
    snapshots, _, _ = made(0.0)
    fresh = Snapshots(snapshots._engine, Settings(markets=NAMES), snapshots._context)

    assert fresh.current("BTC_USDT", 5).made_ns == 5
