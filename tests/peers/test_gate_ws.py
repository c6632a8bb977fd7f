"""Gate's own SDK, pointed at the simulated exchange.

What it delivers is what a program that was written for the venue gets. Books
are kept from it as the venue's documents say: a REST snapshot with as many
levels as the stream has, then each update from where the last one ended.
"""

import asyncio
import re
import warnings
from decimal import Decimal

import aiohttp
import pytest

from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


WHY = (
    "the group `peers` of pyproject.toml is not installed; scripts/check-peers does it"
)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it names old classes
    gate_ws = pytest.importorskip("gate_ws", reason=WHY)
    from gate_ws import client, futures, spot

CHANNELS = {"spot": spot, "futures": futures}
LEVELS = 100
BOOKS = 20
ASKED = {
    "spot.tickers": ["ETH_USDT"],
    "spot.trades": ["ETH_USDT"],
    "spot.candlesticks": ["10s", "ETH_USDT"],
    "spot.book_ticker": ["ETH_USDT"],
    "spot.order_book_update": ["ETH_USDT", "100ms"],
    "spot.order_book": ["ETH_USDT", "20", "100ms"],
    "futures.tickers": ["BTC_USDT"],
    "futures.trades": ["BTC_USDT"],
    "futures.candlesticks": ["10s", "BTC_USDT"],
    "futures.book_ticker": ["BTC_USDT"],
    "futures.order_book_update": ["BTC_USDT", "100ms", str(LEVELS)],
    "futures.order_book": ["BTC_USDT", "20", "0"],
}
SETTINGS = Settings(
    contracts=("BTC_USDT",),
    rate=200.0,
    ticker_seconds=0.2,
    kline_seconds=0.2,
    snapshot_age_seconds=0.3,
)


# Of the channels without a key, those that are calls of the trading API.
CALLS = re.compile(r"\w+\.(login|order_(?!book).*)")


def offered(module):
    """The channels of the SDK that anybody can subscribe to, by name."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
    return {
        kind.name: kind
        for kind in kinds
        if kind.name and not kind.require_auth and not CALLS.fullmatch(kind.name)
    }


class Listener:
    """A connection of the SDK, subscribed to all that it offers of a kind of market.

    Attributes:
        answers: To subscriptions, by channel.
        results: What was pushed, by channel.
    """

    def __init__(self, app, host):
        self.answers, self.results = {}, {}
        self._came = asyncio.Condition()
        self.conn = client.Connection(client.Configuration(app=app, host=host))
        for name, kind in offered(CHANNELS[app]).items():
            self.results[name] = []
            kind(self.conn, self._take).subscribe(ASKED[name])

    async def _take(self, _conn, response):
        assert response.error is None, str(response)
        async with self._came:
            if response.event == "subscribe":
                self.answers[response.channel] = response.result
            else:
                rows = response.result
                rows = rows if isinstance(rows, list) else [rows]
                self.results[response.channel] += rows
            self._came.notify_all()

    async def until(self, is_enough):
        async with self._came:
            await self._came.wait_for(is_enough)


class Book:
    """The documented procedure."""

    def __init__(self, snapshot):
        self.id = snapshot["id"]
        self.sides = {
            side: dict(map(pair, snapshot[side])) for side in ("bids", "asks")
        }
        self.is_joined = False

    def apply(self, update):
        """Apply an update; say whether it was new."""
        if update["u"] <= self.id:
            return False
        if self.is_joined:
            assert update["U"] == self.id + 1
        else:
            assert update["U"] <= self.id + 1
        for side, levels in (("bids", update["b"]), ("asks", update["a"])):
            for price, size in map(pair, levels):
                self.sides[side].pop(price, None)
                if size:
                    self.sides[side][price] = size
        self.id, self.is_joined = update["u"], True
        return True

    def top(self):
        bids, asks = (sorted(self.sides[side].items()) for side in ("bids", "asks"))
        return bids[::-1][:LEVELS], asks[:LEVELS]


def pair(level):
    price, size = (level["p"], level["s"]) if isinstance(level, dict) else level
    return Decimal(price), Decimal(size)


def true_book(exchange, key, update_id, levels=LEVELS):
    book = exchange.truth.book_at(key, update_id, levels)
    return tuple(list(map(pair, side)) for side in book)


async def snapshot(exchange, path, query, first_id):
    """Ask until a snapshot reaches the first update that was received."""
    query |= {"limit": str(LEVELS), "with_id": "true"}
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{exchange.rest_url}{path}", params=query) as answer:
                body = await answer.json()
            if body["id"] >= first_id - 1:
                return body
            await asyncio.sleep(0.1)


WHERE = {
    "spot": ("ETH_USDT", "/spot/order_book", {"currency_pair": "ETH_USDT"}),
    "futures": (
        "futures:BTC_USDT",
        "/futures/usdt/order_book",
        {"contract": "BTC_USDT"},
    ),
}


@pytest.mark.parametrize("app", WHERE)
async def test_the_sdk_receives_on_every_channel_and_its_books_are_true(app):
    key, path, query = WHERE[app]
    async with Exchange(SETTINGS) as exchange:
        is_spot = app == "spot"
        host = exchange.ws_url_spot if is_spot else exchange.ws_url_futures("usdt")
        listener = Listener(app, host)
        running = asyncio.ensure_future(listener.conn.run())
        updates = listener.results[f"{app}.order_book_update"]
        await listener.until(lambda: updates)
        book = Book(await snapshot(exchange, path, query, updates[0]["U"]))
        enough = len(updates) + BOOKS
        await listener.until(
            lambda: len(updates) >= enough and all(listener.results.values())
        )
        listener.conn.close()
        await running

    names = offered(CHANNELS[app]).keys()
    assert listener.answers.keys() == listener.results.keys() == names
    assert all(answer == {"status": "success"} for answer in listener.answers.values())
    applied = 0
    for update in updates:
        if book.apply(update):
            applied += 1
            assert book.top() == true_book(exchange, key, book.id)
    assert applied >= BOOKS
    check_tops(exchange, key, listener.results[f"{app}.order_book"])
    check_bests(exchange, key, listener.results[f"{app}.book_ticker"])
    check_trades(exchange, key, listener.results[f"{app}.trades"])


def check_tops(exchange, key, tops):
    for top in tops:
        update_id = top.get("lastUpdateId") or top["id"]
        sides = list(map(pair, top["bids"])), list(map(pair, top["asks"]))
        assert sides == true_book(exchange, key, update_id, 20)


def check_bests(exchange, key, bests):
    for best in bests:
        bid, ask = exchange.truth.bbo_at(key, best["u"])
        assert pair((best["b"], best["B"])) == pair(bid)
        assert pair((best["a"], best["A"])) == pair(ask)


def check_trades(exchange, key, trades):
    """From the first to the last they are all there, as they were."""
    told = [
        (trade["id"], trade["side"], *pair((trade["price"], trade["amount"])))
        if "side" in trade
        else (
            trade["id"],
            "buy" if trade["size"] > 0 else "sell",
            *pair((trade["price"], abs(trade["size"]))),
        )
        for trade in trades
    ]
    assert told == [
        (trade.trade_id, trade.side, *pair((trade.price, trade.amount)))
        for trade in exchange.truth.trades_of(key)
        if told[0][0] <= trade.trade_id <= told[-1][0]
    ]


async def test_the_sdk_is_told_which_market_there_is_not():
    refused = asyncio.Queue()
    async with Exchange(SETTINGS) as exchange:

        async def take(_conn, response):
            await refused.put(response)

        conn = client.Connection(client.Configuration(host=exchange.ws_url_spot))
        spot.SpotPublicTradeChannel(conn, take).subscribe(["NOPE_USDT"])
        running = asyncio.ensure_future(conn.run())
        response = await refused.get()
        conn.close()
        await running

    assert response.event == "subscribe"
    assert response.error.code == 2
    assert response.error.message == "unknown currency pair: NOPE_USDT"
