import random

import pytest

from recorder.simulator.book import ASK, BID, OrderBook
from recorder.simulator.flow import LOWEST_MID, MAX_LEVELS, MAX_ORDERS, OrderFlow
from recorder.simulator.markets import MarketSpec, market_spec


def low_market() -> MarketSpec:
    return MarketSpec(
        name="LOW_USDT",
        price_decimals=4,
        amount_decimals=2,
        start_price=LOWEST_MID - 500,
        typical_amount=3,
    )


def test_a_market_that_fell_too_far_rises_again():
    book, flow = OrderBook(), OrderFlow(low_market(), random.Random(2))
    flow.populate(book)
    for _ in range(60_000):
        flow.event(book)

    bid = book.best(BID)
    assert bid is not None
    assert bid[0] > LOWEST_MID - 500


@pytest.mark.parametrize("side", [BID, ASK])
def test_an_emptied_side_fills_again(side: int):
    spec = market_spec("ETH_USDT")
    book, flow = OrderBook(), OrderFlow(spec, random.Random(5))
    flow.populate(book)
    book.take(1 - side, 10**12)
    assert book.best(side) is None
    for _ in range(3_000):
        flow.event(book)

    assert book.level_count(side) > 30


def test_a_book_with_too_many_levels_or_orders_loses_its_worst():
    book, flow = OrderBook(), OrderFlow(market_spec("ETH_USDT"), random.Random(5))
    for k in range(MAX_LEVELS + 40):
        book.place(BID, 341_000 - 3 * k, 10**6)
        book.place(ASK, 341_001 + 3 * k, 10**6)
    for _ in range(MAX_ORDERS):
        book.place(BID, 341_000, 10**6)
    for _ in range(1_500):
        flow.event(book)

    assert book.level_count(ASK) <= MAX_LEVELS + 5
    assert book.order_count(BID) <= MAX_ORDERS + 5
    assert book.top(ASK)[-1][0] < 341_001 + 3 * (MAX_LEVELS + 39)


def test_cancelling_on_an_empty_side_does_nothing():
    flow = OrderFlow(market_spec("ETH_USDT"), random.Random(5))
    book = OrderBook()

    flow._cancel(book, BID)

    assert book.best(BID) is None
