from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from recorder.simulator.book import ASK, BID
from recorder.simulator.candles import INTERVALS
from recorder.simulator.engine import BookChange, Engine
from recorder.simulator.markets import market_spec


START_NS = 1_700_000_000_000_000_000
SECOND_NS = 10**9


def make(seed: int = 1, *names: str, rate: float = 50.0, warmup: int = 200) -> Engine:
    names = names or ("BTC_USDT", "GT_USDT")
    return Engine(
        [market_spec(name) for name in names],
        seed=seed,
        rates=dict.fromkeys(names, rate),
        start_ns=START_NS,
        warmup_events=warmup,
    )


def state(engine: Engine) -> list[object]:
    return [
        (m.update_id, m.book.top(BID), m.book.top(ASK), list(m.trades))
        for m in engine.markets.values()
    ]


def test_the_same_seed_gives_the_same_market():
    one, two = make(5), make(5)
    one.advance(START_NS + 10 * SECOND_NS)
    two.advance(START_NS + 10 * SECOND_NS)

    assert state(one) == state(two)


def test_how_often_it_is_advanced_changes_nothing():
    one, two = make(), make()
    at_once = one.advance(START_NS + 7 * SECOND_NS)
    bit_by_bit = [
        trade
        for k in range(1, 701)
        for trade in two.advance(START_NS + k * SECOND_NS // 100)
    ]

    assert state(one) == state(two)
    assert sorted(at_once, key=lambda t: (t.market, t.trade_id)) == sorted(
        bit_by_bit, key=lambda t: (t.market, t.trade_id)
    )


def test_another_seed_gives_another_market():
    assert state(make(1)) != state(make(2))


def test_going_back_in_time_does_nothing():
    engine = make()
    engine.advance(START_NS + SECOND_NS)
    before = state(engine)

    assert engine.advance(START_NS) == []
    assert state(engine) == before


def test_a_quiet_market_has_a_past_but_no_present():
    engine = make(1, "BTC_USDT", rate=0.0)
    market = engine.markets["BTC_USDT"]
    before = state(engine)

    assert engine.advance(START_NS + 100 * SECOND_NS) == []
    assert state(engine) == before
    assert market.trades[-1].ts_ns < START_NS


def test_each_change_has_the_next_id_and_the_book_is_never_crossed():
    engine = make(3, "ETH_USDT", rate=200.0)
    market = engine.markets["ETH_USDT"]
    changes: list[BookChange] = []

    def look(change: BookChange) -> None:
        changes.append(change)
        bid, ask = market.book.best(BID), market.book.best(ASK)
        assert bid is not None
        assert ask is not None
        assert bid[0] < ask[0]

    market.observers.append(look)
    first = market.update_id
    engine.advance(START_NS + 30 * SECOND_NS)

    assert [c.update_id for c in changes] == list(
        range(first + 1, market.update_id + 1)
    )
    assert all(a.ts_ns <= b.ts_ns for a, b in pairwise(changes))
    assert len(changes) > 5_000


@pytest.mark.parametrize("name", ["BTC_USDT", "GT_USDT", "SIM0003_USDT"])
def test_the_book_is_deep_enough_for_windows_to_gain_and_lose_levels(name: str):
    engine = make(4, name, rate=500.0)
    market = engine.markets[name]
    counts: set[int] = set()
    market.observers.append(lambda _: counts.add(market.book.level_count(BID)))
    engine.advance(START_NS + 60 * SECOND_NS)

    assert min(counts) > 30
    assert min(counts) < 100 < max(counts) <= 160


def test_trade_ids_increase_and_market_ids_count_without_holes():
    engine = make(6, "BTC_USDT", rate=100.0)
    trades = engine.advance(START_NS + 20 * SECOND_NS)

    assert all(a.trade_id < b.trade_id for a, b in pairwise(trades))
    assert all(a.market_trade_id + 1 == b.market_trade_id for a, b in pairwise(trades))
    assert all(a.ts_ns <= b.ts_ns for a, b in pairwise(trades))
    assert {t.side for t in trades} == {"buy", "sell"}
    assert all(t.ts_ns % 100 == 0 for t in trades)
    assert all(
        Decimal(t.turnover) == Decimal(t.price) * Decimal(t.amount) for t in trades
    )


def test_klines_are_what_the_trades_say():
    engine = make(7, "GT_USDT", rate=100.0, warmup=0)
    engine.advance(START_NS + 50 * SECOND_NS)
    market = engine.markets["GT_USDT"]
    for text in ("10s", "30s", "1m", "7d"):
        seconds = INTERVALS[text]
        by_start = defaultdict(list)
        for trade in market.trades:
            ts = trade.ts_ns // SECOND_NS
            by_start[ts - ts % seconds].append(trade)
        rows = market.candles.rows(seconds)

        assert [row.open_at for row in rows] == sorted(by_start)
        for row in rows:
            trades = by_start[row.open_at]
            prices = [Decimal(t.price) for t in trades]
            assert [
                Decimal(market.price_text(p))
                for p in (row.open, row.high, row.low, row.close)
            ] == [prices[0], max(prices), min(prices), prices[-1]]
            assert Decimal(market.amount_text(row.volume)) == sum(
                Decimal(t.amount) for t in trades
            )
            assert Decimal(market.turnover_text(row.turnover)) == sum(
                Decimal(t.turnover) for t in trades
            )
