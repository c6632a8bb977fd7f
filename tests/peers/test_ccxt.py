"""ccxt's class for Gate, pointed at the simulated exchange; nothing else is changed.

It keeps the books itself: on spot from the stream that brings its snapshot,
on contracts from REST and updates. Contracts are told with all digits.
"""

import asyncio

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


ccxt = pytest.importorskip(
    "ccxt.pro",
    reason="the group `peers` of pyproject.toml is not installed; "
    "scripts/check-peers does it",
)

BOOKS = 20
SETTINGS = Settings(
    contracts=("BTC_USDT", "ETH_USDT", "BTC_USD"),
    rate=200.0,
    ticker_seconds=0.2,
    kline_seconds=0.2,
)
SPOT, LINEAR, INVERSE = "BTC/USDT", "ETH/USDT:USDT", "BTC/USD:BTC"
KEYS = {
    SPOT: "BTC_USDT",
    "ETH/USDT": "ETH_USDT",
    LINEAR: "futures:ETH_USDT",
    INVERSE: "futures:BTC_USD",
}


def moved(urls, exchange):
    """Its addresses, those of the venue replaced by ours."""
    if isinstance(urls, dict):
        return {name: moved(url, exchange) for name, url in urls.items()}
    ours = {
        "https://api.gateio.ws/api/v4": exchange.rest_url,
        "wss://api.gateio.ws/ws/v4/": exchange.ws_url_spot,
        "wss://fx-ws.gateio.ws/v4/ws/usdt": exchange.ws_url_futures("usdt"),
        "wss://fx-ws.gateio.ws/v4/ws/btc": exchange.ws_url_futures("btc"),
    }
    return ours.get(urls, urls)


@pytest.fixture
async def venue():
    async with Exchange(SETTINGS) as exchange:
        gate = ccxt.gate()
        gate.urls = moved(gate.urls, exchange)
        try:
            await gate.load_markets()
            yield exchange, gate
        finally:
            await gate.close()


def side(levels, depth):
    return [(float(price), float(amount)) for price, amount in levels][:depth]


def assert_true(exchange, symbol, book, depth):
    bids, asks = exchange.truth.book_at(KEYS[symbol], book["nonce"], depth)
    assert side(book["bids"], depth) == side(bids, depth)
    assert side(book["asks"], depth) == side(asks, depth)


async def test_its_markets_are_those_of_the_exchange(venue):
    _, gate = venue

    assert {(m["symbol"], m["id"], m["type"]) for m in gate.markets.values()} == {
        ("BTC/USDT", "BTC_USDT", "spot"),
        ("ETH/USDT", "ETH_USDT", "spot"),
        ("GT/USDT", "GT_USDT", "spot"),
        ("BTC/USDT:USDT", "BTC_USDT", "swap"),
        ("ETH/USDT:USDT", "ETH_USDT", "swap"),
        ("BTC/USD:BTC", "BTC_USD", "swap"),
    }
    assert set(gate.currencies) >= {"BTC", "ETH", "GT", "USDT"}


@pytest.mark.parametrize("symbol", [SPOT, LINEAR, INVERSE])
async def test_whatever_it_can_watch_comes(venue, symbol):
    exchange, gate = venue

    ticker = await gate.watch_ticker(symbol)
    tickers = await gate.watch_tickers([symbol])
    best = (await gate.watch_bids_asks([symbol]))[symbol]
    trades = await gate.watch_trades(symbol)
    klines = await gate.watch_ohlcv(symbol, "1m")
    await gate.watch_order_book(symbol)

    assert ticker["symbol"] == tickers[symbol]["symbol"] == symbol
    bid, ask = exchange.truth.bbo_at(KEYS[symbol], best["info"]["u"])
    assert (best["bid"], best["bidVolume"]) == tuple(map(float, bid))
    assert (best["ask"], best["askVolume"]) == tuple(map(float, ask))
    made = {str(t.trade_id): t for t in exchange.truth.trades_of(KEYS[symbol])}
    for trade in trades:
        true = made[trade["id"]]
        assert (trade["side"], trade["price"], trade["amount"]) == (
            true.side,
            float(true.price),
            float(true.amount),
        )
    assert klines[-1][2] >= klines[-1][4] >= klines[-1][3]
    assert await gate.un_watch_trades(symbol)
    assert await gate.un_watch_order_book(symbol)


async def test_its_books_are_those_of_the_exchange(venue):
    exchange, gate = venue

    async def follow(symbol, limit, depth):
        for _ in range(BOOKS):
            book = await gate.watch_order_book(symbol, limit)
            assert_true(exchange, symbol, book, depth)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(SPOT, None, 50))
        tasks.create_task(follow("ETH/USDT", 400, 400))
        tasks.create_task(follow(LINEAR, None, 100))
        tasks.create_task(follow(INVERSE, 50, 50))


async def watch_until_it_fails(gate, symbol):
    while True:
        await gate.watch_order_book(symbol)


async def next_book(gate, symbol):
    """Its next book; it may have lost updates itself while it began afresh."""
    while True:
        try:
            return await gate.watch_order_book(symbol)
        except ccxt.ChecksumError:
            continue


async def test_it_notices_a_lost_update_and_its_book_is_true_again(venue):
    exchange, gate = venue
    before = await gate.watch_order_book(LINEAR)
    assert_true(exchange, LINEAR, before, 100)

    exchange.order(parse("drop:feed=futures,stream=depth,market=ETH_USDT,count=1"))
    with pytest.raises(ccxt.ChecksumError):
        await watch_until_it_fails(gate, LINEAR)
    for _ in range(3):
        assert_true(exchange, LINEAR, await next_book(gate, LINEAR), 100)

    assert len(exchange.truth.faults_of("drop", "futures")) == 1
