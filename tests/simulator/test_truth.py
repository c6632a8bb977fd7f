import random
from collections.abc import Callable
from decimal import Decimal

import pytest

from recorder.simulator.book import ASK, BID
from recorder.simulator.engine import Engine
from recorder.simulator.market_truth import ChangeRow, MarketStart, MarketTruth
from recorder.simulator.markets import market_spec
from recorder.simulator.truth import (
    FaultDone,
    Truth,
)


START_NS = 1_700_000_000_000_000_000
Books = dict[int, tuple[list[tuple[str, str]], list[tuple[str, str]]]]


def recorded(truth: Truth, seconds: int = 22) -> tuple[Engine, Books]:
    """Run a market and note every book beside the truth."""
    engine = Engine(
        [market_spec("BTC_USDT")],
        seed=11,
        rates={"BTC_USDT": 100.0},
        start_ns=START_NS,
        warmup_events=100,
    )
    market = engine.markets["BTC_USDT"]
    truth.watch(market)
    books: Books = {}

    def note(*_: object) -> None:
        books[market.update_id] = (
            market.level_texts(market.book.top(BID)),
            market.level_texts(market.book.top(ASK)),
        )

    note()
    market.observers.append(note)
    engine.advance(START_NS + seconds * 10**9)
    return engine, books


@pytest.fixture(scope="module")
def run() -> tuple[Truth, Engine, Books]:
    truth = Truth()
    return truth, *recorded(truth)


def orders() -> dict[str, Callable[[list[int]], list[int]]]:
    def shuffled(ids: list[int]) -> list[int]:
        return random.Random(1).sample(ids, 200)

    return {
        "ascending": lambda ids: ids[::3],
        "descending": lambda ids: ids[::-29],
        "any": shuffled,
    }


@pytest.mark.parametrize("order", ["ascending", "descending", "any"])
def test_the_book_after_every_change_is_kept(
    run: tuple[Truth, Engine, Books], order: str
):
    truth, _, books = run
    assert len(books) > 2_000
    for update_id in orders()[order](list(books)):
        bids, asks = truth.book_at("BTC_USDT", update_id)
        assert (list(bids), list(asks)) == books[update_id]
        bids, asks = truth.book_at("BTC_USDT", update_id, 20)
        assert (list(bids), list(asks)) == tuple(s[:20] for s in books[update_id])


def test_the_best_levels_after_every_change_are_kept(run: tuple[Truth, Engine, Books]):
    truth, _, books = run
    for update_id, (bids, asks) in books.items():
        assert truth.bbo_at("BTC_USDT", update_id) == (bids[0], asks[0])


def test_ids_outside_the_record_are_an_error(run: tuple[Truth, Engine, Books]):
    market = run[0].markets["BTC_USDT"]

    with pytest.raises(KeyError):
        market.book_at(market.first_id - 1)
    with pytest.raises(KeyError):
        market.bbo_at(market.last_id + 1)


def test_an_instant_leads_to_the_last_change_before_it(
    run: tuple[Truth, Engine, Books],
):
    market = run[0].markets["BTC_USDT"]
    ts = market.ts_at(market.first_id + 77)
    assert ts is not None

    assert market.ts_at(market.first_id) is None
    assert market.id_at(START_NS - 1) == market.first_id
    found = market.id_at(ts)
    assert found >= market.first_id + 77
    assert market.ts_at(found) == ts
    assert market.id_at(ts - 100) < market.first_id + 77


def test_every_trade_is_kept_those_before_the_start_too(
    run: tuple[Truth, Engine, Books],
):
    truth, engine, _ = run
    market = engine.markets["BTC_USDT"]

    assert truth.trades_of("BTC_USDT") == list(market.trades)
    assert truth.trades[0].ts_ns < START_NS < truth.trades[-1].ts_ns
    assert truth.trades_of("ETH_USDT") == []
    assert Decimal(truth.trades[-1].price) > 0


def test_an_empty_side_has_no_best_level():
    start = MarketStart(spec=market_spec("BTC_USDT"), update_id=5, bids=[], asks=[])
    market = MarketTruth(start)

    assert market.bbo_at(5) == (None, None)
    assert market.book_at(5) == ((), ())


def test_a_missing_change_is_an_error():
    truth = Truth()
    recorded(truth, 1)
    market = truth.markets["BTC_USDT"]
    row = ChangeRow("BTC_USDT", market.last_id + 2, START_NS, BID, 1, 1)

    with pytest.raises(ValueError, match="after"):
        market.append(row, (1, 1), (2, 1))


def test_a_record_that_nobody_wants_costs_nothing():
    truth = Truth(keep=False)
    engine, _ = recorded(truth, 1)

    assert not truth.is_wanted
    assert engine.markets["BTC_USDT"].trade_observers == []
    assert (truth.markets, truth.trades) == ({}, [])


def test_faults_are_found_by_name_and_feed():
    truth = Truth()
    rest = FaultDone(ts_ns=1, name="http_429", feed="rest")
    drop = FaultDone(ts_ns=2, name="drop", feed="v4", conn=1)
    truth.add(rest)
    truth.add(drop)

    assert truth.faults_of("drop") == [drop]
    assert truth.faults_of("drop", "rest") == []
    assert truth.faults_of("http_429", "rest") == [rest]
