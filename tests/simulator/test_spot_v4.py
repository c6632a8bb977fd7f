"""The v4 feed over real sockets, judged by an independent client.

The client keeps books by the documented procedure: take a snapshot with its
id, drop updates up to it, bridge it with the first one, then go on without a
hole. After each update its book must be the exchange's own at that id.
"""

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from recorder.simulator.depth_v4 import Topic
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


Frame = dict[str, Any]
BOOK = "spot.order_book_update"


class Book:
    """A client's book: a snapshot, then updates."""

    def __init__(self, snapshot: Frame) -> None:
        self.applied = snapshot["id"]
        self.is_joined = False
        self.sides = {
            "b": dict(map(tuple, snapshot["bids"])),
            "a": dict(map(tuple, snapshot["asks"])),
        }
        self.unknown_deletes = 0

    def apply(self, update: Frame) -> bool:
        """Apply an update; False if it is wholly older than the book."""
        if update["u"] <= self.applied:
            return False
        if self.is_joined:
            assert update["U"] == self.applied + 1
        else:
            assert update["U"] <= self.applied + 1
        # One change moves two levels at most: more of them are the whole window.
        is_image = update["U"] == update["u"] and len(update["b"] + update["a"]) > 2
        for key, side in self.sides.items():
            if update.get("full") or is_image:
                side.clear()
            for price, amount in update[key]:
                if amount == "0":
                    self.unknown_deletes += side.pop(price, None) is None
                else:
                    side[price] = amount
        self.applied = update["u"]
        self.is_joined = True
        return True

    def texts(self) -> tuple[tuple[tuple[str, str], ...], ...]:
        bids = sorted(self.sides["b"].items(), key=lambda x: -Decimal(x[0]))
        asks = sorted(self.sides["a"].items(), key=lambda x: Decimal(x[0]))
        return tuple(bids), tuple(asks)


def check(
    exchange: Exchange,
    market: str,
    snapshots: Iterable[Frame],
    updates: list[Frame],
    depth: int,
) -> int:
    """Rebuild from every snapshot; return how many books were compared."""
    compared = 0
    for snapshot in snapshots:
        if not updates or updates[0]["U"] > snapshot["id"] + 1:
            continue  # too old: the procedure asks again
        book = Book(snapshot)
        assert book.texts() == exchange.truth.book_at(market, snapshot["id"], depth)
        for update in updates:
            if book.apply(update):
                expected = exchange.truth.book_at(market, update["u"], depth)
                assert book.texts() == expected
                compared += 1
    return compared


def past(frame: Frame, update_id: int) -> bool:
    """Return whether a book update reaches beyond an id."""
    return frame["channel"] == BOOK and frame["result"].get("u", 0) > update_id


async def snapshots_of(get, exchange: Exchange, market: str, depth: int, count: int):
    """Ask for so many snapshots, one every few milliseconds."""
    found = []
    for k in range(count):
        status, body = await get(
            exchange.rest_url,
            "/spot/order_book",
            currency_pair=market,
            limit=str(depth),
            with_id="true",
        )
        assert status == 200
        found.append(body)
        await asyncio.sleep(0.003 * (k % 13))
    return found


@pytest.mark.parametrize(
    ("interval", "depth", "era", "has_image"),
    [
        ("100ms", 100, "2021", True),
        ("100ms", 100, "2026", False),
        ("20ms", 20, "2021", False),
        ("20ms", 20, "2026", True),
    ],
)
async def test_books_rebuilt_from_any_snapshot_equal_the_exchanges_own_at_every_id(
    connect, get, interval: str, depth: int, era: str, has_image: bool
):
    settings = Settings(
        seed=7,
        rate=400.0,
        markets=("BTC_USDT", "GT_USDT"),
        wire_era=era,
        initial_image=has_image,
        rest_limit=10_000,
    )
    async with Exchange(settings) as exchange:
        first, second = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await first.subscribe(BOOK, "GT_USDT", interval)
        snapshots = await snapshots_of(get, exchange, "GT_USDT", depth, 15)
        await second.subscribe(BOOK, "GT_USDT", interval)
        snapshots += await snapshots_of(get, exchange, "GT_USDT", depth, 8)
        last = snapshots[-1]["id"] + 300

        for client in (first, second):
            await client.until(lambda f: past(f, last))
            updates = client.updates(BOOK)
            assert all(a["u"] + 1 == b["U"] for a, b in pairwise(updates))
            assert check(exchange, "GT_USDT", snapshots, updates, depth) > len(updates)
        theirs, ours = second.updates(BOOK), first.updates(BOOK)
        # Both connections are told the same, the image of the second aside.
        start = 1 if has_image else 0
        assert [(u["U"], u["u"]) for u in theirs[start + 1 : 4]] == [
            (u["U"], u["u"]) for u in ours if u["U"] > theirs[start]["u"]
        ][: 3 - start]
        if has_image:
            assert theirs[0]["U"] == theirs[0]["u"]
            assert len(theirs[0]["b"]) + len(theirs[0]["a"]) > depth


async def test_snapshots_of_some_age_join_as_well(connect, get):
    settings = Settings(
        rate=300.0, markets=("BTC_USDT",), snapshot_age_seconds=0.25, seed=3
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "100ms")
        await asyncio.sleep(0.4)
        snapshots = await snapshots_of(get, exchange, "BTC_USDT", 100, 20)
        last = snapshots[-1]["id"] + 200
        await client.until(lambda f: past(f, last))

        assert check(exchange, "BTC_USDT", snapshots, client.updates(BOOK), 100) > 50


async def test_updates_with_nothing_inside_the_window_are_sent_empty(connect):
    settings = Settings(rate=30.0, markets=("BTC_USDT",), seed=5)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        empty = await client.until(
            lambda f: f["event"] == "update" and not f["result"]["b"] + f["result"]["a"]
        )

        update = empty["result"]
        assert update["U"] <= update["u"]
        books = [
            exchange.truth.book_at("BTC_USDT", update_id, 20)
            for update_id in (update["U"] - 1, update["u"])
        ]
        assert books[0] == books[1]


async def test_every_trade_is_pushed_once_as_one_object(connect):
    settings = Settings(rate=100.0, markets=("BTC_USDT", "ETH_USDT"))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT", "ETH_USDT")
        await client.pushed(60, "spot.trades")
        pushed = client.updates("spot.trades")

        for market in ("BTC_USDT", "ETH_USDT"):
            ours = [t for t in pushed if t["currency_pair"] == market]
            ids = [t["id"] for t in ours]
            truth = {t.trade_id: t for t in exchange.truth.trades_of(market)}
            between = [t for t in truth if ids[0] <= t <= ids[-1]]
            assert ids == between
            for trade in ours:
                own = truth[trade["id"]]
                assert (trade["price"], trade["amount"], trade["side"]) == (
                    own.price,
                    own.amount,
                    own.side,
                )
                assert Decimal(trade["create_time_ms"]) * 10**6 == own.ts_ns
                assert trade["create_time"] == own.ts_ns // 10**9
                assert trade["id_market"] == own.market_trade_id


async def test_best_levels_are_pushed_when_they_change(connect):
    async with Exchange(Settings(rate=200.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.book_ticker", "BTC_USDT")
        await client.pushed(15, "spot.book_ticker")
        pushed = client.updates("spot.book_ticker")

        for best in pushed:
            assert exchange.truth.bbo_at("BTC_USDT", best["u"]) == (
                (best["b"], best["B"]),
                (best["a"], best["A"]),
            )
        shown = [[p[k] for k in "bBaA"] for p in pushed]
        assert all(a != b for a, b in pairwise(shown))


async def test_tickers_come_at_their_pace_with_the_last_price(connect):
    settings = Settings(rate=100.0, markets=("GT_USDT",), ticker_seconds=0.1)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.tickers", "GT_USDT")
        await client.pushed(1, "spot.tickers")
        loop = asyncio.get_running_loop()
        start = loop.time()
        await client.pushed(4, "spot.tickers")
        pushed = client.updates("spot.tickers")

        assert 0.3 < loop.time() - start < 1.5
        prices = {t.price for t in exchange.truth.trades}
        assert {t["last"] for t in pushed} <= prices
        assert Decimal(pushed[0]["base_volume"]) < Decimal(pushed[-1]["base_volume"])


async def test_klines_are_pushed_as_they_change_and_closed_once(connect):
    settings = Settings(rate=60.0, markets=("GT_USDT",), kline_seconds=0.05)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.candlesticks", "10s", "GT_USDT")
        answer = await client.subscribe("spot.candlesticks", "1m", "GT_USDT")
        assert answer["result"] == {"status": "success"}
        await client.pushed(12, "spot.candlesticks")
        sent = client.updates("spot.candlesticks")
        ten = [k for k in sent if k["n"] == "10s_GT_USDT"]

        assert {k["n"] for k in sent} == {"10s_GT_USDT", "1m_GT_USDT"}
        assert len({(k["t"], k["a"], k["w"]) for k in ten}) == len(ten)
        # The last one pushed holds exactly the trades up to some instant.
        start = int(ten[-1]["t"])
        volumes = {Decimal(0)}
        for trade in exchange.truth.trades:
            if start <= trade.ts_ns // 10**9 < start + 10:
                volumes.add(max(volumes) + Decimal(trade.amount))
        assert Decimal(ten[-1]["a"]) in volumes - {Decimal(0)}


async def test_a_kline_that_closes_is_told_so_once():
    async with Exchange(Settings(rate=0.0, markets=("GT_USDT",))) as exchange:
        candles = exchange.engine.markets["GT_USDT"].candles
        topic = Topic("spot.candlesticks", "GT_USDT", "10s")
        start = candles.rows(10)[-1].open_at + 10

        def changed(after_seconds: int) -> list[tuple[int, int, bool]]:
            now_ns = (start + after_seconds) * 10**9
            return [
                (row.open_at - start, row.volume, is_closed)
                for row, is_closed in exchange._spot._changed_klines(topic, now_ns)
            ]

        candles.add(95_000, 4, start + 1)
        assert changed(2) == [(0, 4, False)]
        assert changed(3) == []
        candles.add(95_001, 1, start + 9)
        candles.add(95_002, 2, start + 30)
        assert changed(31) == [(0, 5, True), (30, 2, False)]
        assert changed(39) == []
        assert changed(40) == [(30, 2, True)]
        assert changed(50) == []


async def test_a_market_without_trades_has_no_klines_and_no_tickers(connect):
    settings = Settings(
        rate=0.0, warmup_events=0, ticker_seconds=0.02, kline_seconds=0.02
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.candlesticks", "1m", "GT_USDT")
        await client.subscribe("spot.tickers", "GT_USDT")
        await client.listen(0.15)

        assert [f["event"] for f in client.frames] == ["subscribe", "subscribe"]


@pytest.mark.parametrize(
    ("channel", "payload", "message"),
    [
        ("spot.nope", ["BTC_USDT"], "Unknown channel spot.nope"),
        ("spot.trades", ["BTC_USDT", "NOPE_USD"], "unknown currency pair: NOPE_USD"),
        ("spot.trades", [], "invalid argument"),
        ("spot.trades", "BTC_USDT", "invalid argument"),
        (BOOK, ["NOPE_USD", "100ms"], "unknown currency pair: NOPE_USD"),
        (BOOK, ["BTC_USDT", "50ms"], "incorrect update interval specified: 50ms"),
        (BOOK, ["BTC_USDT"], "invalid argument"),
        ("spot.candlesticks", ["2m", "BTC_USDT"], "incorrect interval specified: 2m"),
        ("spot.candlesticks", ["1m", "X_Y"], "unknown currency pair: X_Y"),
        ("spot.candlesticks", ["1m", "BTC_USDT", "GT_USDT"], "invalid argument"),
    ],
)
async def test_a_bad_subscription_is_refused_in_the_venues_words(
    connect, channel: str, payload: object, message: str
):
    async with Exchange(Settings(rate=100.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.send(channel=channel, event="subscribe", payload=payload, id=3)
        answer = await client.until(lambda f: f.get("id") == 3)
        await client.listen(0.05)

        assert answer["error"]["code"] == 2
        assert answer["error"]["message"].startswith(message)
        assert answer["result"] == {"status": "fail"}
        # A list is refused as a whole: no market of it is pushed.
        assert client.updates(channel) == []


async def test_requests_that_make_no_sense_are_answered_or_ignored(connect):
    async with Exchange(Settings(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.socket.send_str("this is not JSON")
        await client.socket.send_bytes(b"nor is this text")
        await client.socket.send_str("{}")
        shape = await client.next()
        await client.send(channel="spot.trades", event="dance", payload=["BTC_USDT"])
        event = await client.next()
        await client.send(channel="spot.ping", time=5, id=9)
        pong = await client.next()

        assert shape is not None
        assert shape["error"] == {"code": 1, "message": "invalid request body"}
        assert event is not None
        assert event["error"] == {"code": 1, "message": "unknown event: dance"}
        assert pong is not None
        assert (pong["channel"], pong["id"]) == ("spot.pong", 9)


async def test_subscriptions_add_up_and_can_be_taken_back(connect):
    async with Exchange(Settings(rate=200.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.subscribe("spot.trades", "GT_USDT")
        again = await client.subscribe(BOOK, "GT_USDT", "100ms")
        twice = await client.subscribe(BOOK, "GT_USDT", "100ms")
        await client.pushed(3, BOOK)
        await client.pushed(40, "spot.trades")
        both = {t["currency_pair"] for t in client.updates("spot.trades")}
        for channel, payload in (
            ("spot.trades", ["GT_USDT"]),
            ("spot.trades", ["ETH_USDT"]),
            (BOOK, ["GT_USDT", "100ms"]),
        ):
            await client.send(
                channel=channel, event="unsubscribe", payload=payload, id=1
            )
            gone = await client.until(lambda f: f.get("event") == "unsubscribe")
            assert gone["result"] == {"status": "success"}
        client.frames.clear()
        await client.pushed(30, "spot.trades")

        assert again["result"] == twice["result"] == {"status": "success"}
        assert both == {"BTC_USDT", "GT_USDT"}
        assert {t["currency_pair"] for t in client.updates("spot.trades")} == {
            "BTC_USDT"
        }
        assert client.updates(BOOK) == []


async def test_with_and_without_the_final_slash_and_never_compressed(connect):
    async with Exchange(Settings(rate=0.0)) as exchange:
        for url in (exchange.ws_url_spot, exchange.ws_url_spot.rstrip("/")):
            client = await connect(url)
            assert client.socket.compress == 0
            answer = await client.subscribe("spot.trades", "BTC_USDT")
            assert answer["result"] == {"status": "success"}


async def test_an_idle_connection_is_dropped_without_a_close_frame(connect):
    settings = Settings(
        rate=0.0,
        idle_unsubscribed_seconds=0.5,
        idle_subscribed_seconds=1.0,
    )
    async with Exchange(settings) as exchange:
        idle = await connect(exchange.ws_url_spot)
        subscribed = await connect(exchange.ws_url_spot)
        talking = await connect(exchange.ws_url_spot)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await subscribed.subscribe("spot.trades", "BTC_USDT")

        async def ping() -> None:
            while True:
                await talking.send(channel="spot.ping", time=1)
                await asyncio.sleep(0.05)

        pinging = asyncio.create_task(ping())
        assert await idle.ended() == 1006
        unsubscribed_seconds = loop.time() - start
        assert await subscribed.ended() == 1006
        subscribed_seconds = loop.time() - start
        pinging.cancel()

        assert 0.4 < unsubscribed_seconds < 0.95
        assert 0.9 < subscribed_seconds < 3
        await talking.send(channel="spot.ping", time=1)
        assert await talking.until(lambda f: f["channel"] == "spot.pong")
        assert exchange.counters["idle_closes"] == 2


async def test_a_dropped_depth_frame_leaves_a_hole_that_the_truth_knows(connect):
    settings = Settings(rate=200.0, markets=("BTC_USDT",))
    async with Exchange(settings) as exchange:
        clients = [await connect(exchange.ws_url_spot) for _ in range(2)]
        for client in clients:
            await client.subscribe(BOOK, "BTC_USDT", "20ms")
            await client.pushed(1, BOOK)
        exchange.order(parse("drop:stream=depth"))
        for client in clients:
            await client.pushed(12, BOOK)
        (fault,) = exchange.truth.faults
        for number, client in enumerate(clients, 1):
            holes = [
                (a["u"] + 1, b["U"] - 1)
                for a, b in pairwise(client.updates(BOOK))
                if a["u"] + 1 != b["U"]
            ]
            dropped = (fault.first_update_id, fault.last_update_id)
            assert holes == ([dropped] if number == fault.conn else [])

        assert (fault.name, fault.stream, fault.market) == ("drop", "depth", "BTC_USDT")


async def test_a_dropped_trade_is_still_in_the_truth(connect):
    async with Exchange(Settings(rate=200.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.pushed(1, "spot.trades")
        exchange.order(parse("drop:stream=trades,count=2"))
        await client.pushed(60, "spot.trades")
        ids = [t["id"] for t in client.updates("spot.trades")]
        truth = [t.trade_id for t in exchange.truth.trades]
        missing = [i for i in truth if ids[0] <= i <= ids[-1] and i not in ids]
        dropped = [i for f in exchange.truth.faults_of("drop") for i in f.trade_ids]

        assert len(dropped) == 2
        assert missing == dropped


async def test_a_duplicated_frame_comes_twice(connect):
    settings = Settings(
        rate=200.0, markets=("BTC_USDT",), faults=(parse("duplicate:stream=trades"),)
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.pushed(20, "spot.trades")
        ids = [t["id"] for t in client.updates("spot.trades")]
        (fault,) = exchange.truth.faults

        assert [i for i in set(ids) if ids.count(i) > 1] == list(fault.trade_ids)


async def test_a_delayed_frame_comes_after_newer_ones(connect):
    async with Exchange(Settings(rate=200.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        await client.pushed(1, BOOK)
        exchange.order(parse("delay:stream=depth,seconds=0.15"))
        await client.pushed(30, BOOK)
        firsts = [u["U"] for u in client.updates(BOOK)]
        (fault,) = exchange.truth.faults
        place = firsts.index(fault.first_update_id)
        in_order = [first for first in firsts if first != fault.first_update_id]

        assert firsts[place - 1] > fault.first_update_id
        assert firsts.count(fault.first_update_id) == 1
        assert in_order == sorted(in_order)


async def test_a_malformed_frame_is_no_json(connect):
    settings = Settings(
        rate=200.0, markets=("BTC_USDT",), faults=(parse("malformed:stream=trades"),)
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.pushed(10, "spot.trades")
        (fault,) = exchange.truth.faults
        pushed = {t["id"] for t in client.updates("spot.trades")}

        assert len(client.bad) == 1
        assert str(fault.trade_ids[0]) in client.bad[0]
        assert fault.trade_ids[0] not in pushed


async def test_a_flagged_full_frame_replaces_the_book(connect, get):
    async with Exchange(Settings(rate=400.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "100ms")
        await client.pushed(1, BOOK)
        snapshots = await snapshots_of(get, exchange, "BTC_USDT", 100, 1)
        await client.pushed(1, BOOK)
        exchange.order(parse("full"))
        await client.pushed(6, BOOK)
        updates = client.updates(BOOK)
        (full,) = [u for u in updates if u.get("full")]
        (fault,) = exchange.truth.faults

        assert (full["U"], full["u"]) == (fault.first_update_id, fault.last_update_id)
        assert len(full["b"]) > 30
        assert all(a["u"] + 1 == b["U"] for a, b in pairwise(updates))
        assert check(exchange, "BTC_USDT", snapshots, updates, 100) > 3


async def test_an_unflagged_full_frame_skips_ids_and_can_be_joined(connect):
    async with Exchange(Settings(rate=400.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "100ms")
        await client.pushed(1, BOOK)
        exchange.order(parse("unflagged_full"))
        await client.pushed(7, BOOK)
        updates = client.updates(BOOK)
        (fault,) = exchange.truth.faults
        at = [u["U"] for u in updates].index(fault.first_update_id)
        image = updates[at]

        assert "full" not in image
        assert image["U"] == image["u"] == fault.last_update_id
        assert image["U"] > updates[at - 1]["u"] + 1
        assert all(amount != "0" for _, amount in image["b"] + image["a"])
        # Whoever holds the book one change earlier is to replace it.
        bids, asks = exchange.truth.book_at("BTC_USDT", image["U"] - 1, 100)
        before = {"id": image["U"] - 1, "bids": bids, "asks": asks}
        assert check(exchange, "BTC_USDT", [before], updates[at:], 100) > 2


async def test_a_crossing_level_stays_until_the_client_takes_a_new_snapshot(
    connect, get
):
    async with Exchange(Settings(rate=100.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        await client.pushed(1, BOOK)
        (snapshot,) = await snapshots_of(get, exchange, "BTC_USDT", 20, 1)
        exchange.order(parse("crossed"))
        await client.pushed(10, BOOK)
        (fresh,) = await snapshots_of(get, exchange, "BTC_USDT", 20, 1)
        (fault,) = exchange.truth.faults
        book = Book(snapshot)
        for update in client.updates(BOOK):
            book.apply(update)
            if book.applied == fault.last_update_id:
                break
        bids, asks = book.texts()
        own_bids, own_asks = exchange.truth.book_at("BTC_USDT", book.applied, 20)

        assert Decimal(bids[0][0]) > Decimal(asks[0][0])
        assert (bids[1:], asks) == (own_bids, own_asks)
        assert Decimal(fresh["bids"][0][0]) < Decimal(fresh["asks"][0][0])


async def test_a_stalled_connection_is_open_but_silent(connect):
    async with Exchange(Settings(rate=200.0)) as exchange:
        stalled, lively = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await stalled.subscribe("spot.trades", "BTC_USDT")
        exchange.order(parse("stall:count=1"))
        while not exchange.truth.faults:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
        await lively.subscribe("spot.trades", "BTC_USDT")
        # What was sent before the stall may still be on its way.
        await stalled.listen(0.1)
        stalled.frames.clear()
        await stalled.send(channel="spot.ping", time=1)
        await stalled.socket.ping()
        await stalled.listen(0.2)

        assert stalled.frames == []
        assert not stalled.socket.closed
        assert [(f.name, f.conn) for f in exchange.truth.faults] == [("stall", 1)]
        await lively.pushed(3, "spot.trades")


async def test_a_stall_can_end_in_a_dropped_connection(connect):
    settings = Settings(rate=200.0, faults=(parse("stall:seconds=0.2"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        assert await client.ended() == 1006
        assert [f.name for f in exchange.truth.faults] == ["stall"]


async def test_a_dropped_connection_ends_without_a_close_frame(connect):
    settings = Settings(rate=200.0, faults=(parse("abort:at=0.2"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        assert await client.ended() == 1006
        assert [(f.name, f.conn) for f in exchange.truth.faults] == [("abort", 1)]
        again = await connect(exchange.ws_url_spot)
        assert (await again.subscribe("spot.trades", "BTC_USDT"))["result"]


async def test_an_upgrade_is_announced_to_all_and_closes_them_later(connect):
    settings = Settings(
        rate=0.0,
        faults=(parse("upgrade:at=0.1,seconds=0.4"),),
    )
    async with Exchange(settings) as exchange:
        clients = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await clients[0].subscribe("spot.trades", "BTC_USDT")
        loop = asyncio.get_running_loop()
        for client in clients:
            notice = await client.until(lambda f: f["channel"] == "spot.system")
            assert notice["result"]["type"] == "upgrade"
        told = loop.time()
        late = await connect(exchange.ws_url_spot)
        for client in clients:
            assert await client.ended() == 1001
        closed = loop.time()

        assert 0.3 < closed - told < 3
        # A connection opened after the notice lives on.
        assert (await late.subscribe("spot.trades", "BTC_USDT"))["result"]


async def test_an_upgrade_can_close_as_soon_as_it_is_announced(connect):
    async with Exchange(Settings(rate=500.0)) as exchange:
        clients = [await connect(exchange.ws_url_spot) for _ in range(3)]
        for client in clients[:2]:
            await client.subscribe("spot.trades", "BTC_USDT")
        exchange.order(parse("upgrade:seconds=0"))
        for client in clients:
            assert await client.ended() == 1001
            assert client.frames[-1]["channel"] == "spot.system"
            assert client.frames[-1]["result"]["type"] == "upgrade"

        assert [f.conn for f in exchange.truth.faults_of("upgrade")] == [1, 2, 3]


async def test_a_slow_answer_holds_up_the_ones_after_it(connect):
    settings = Settings(rate=0.0, faults=(parse("slow_ack:seconds=0.3"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        loop = asyncio.get_running_loop()
        start = loop.time()
        await client.send(channel="spot.ping", id=1)
        await client.send(channel="spot.ping", id=2)
        answers = [await client.next(), await client.next()]

        assert [a["id"] for a in answers if a] == [1, 2]
        assert loop.time() - start >= 0.3


async def test_a_silent_subscription_is_accepted_and_brings_nothing(connect):
    settings = Settings(
        rate=200.0, faults=(parse("silent_ack:stream=trades,market=GT_USDT"),)
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        answer = await client.subscribe("spot.trades", "BTC_USDT", "GT_USDT")
        await client.pushed(25, "spot.trades")
        assert answer["result"] == {"status": "success"}
        assert {t["currency_pair"] for t in client.updates("spot.trades")} == {
            "BTC_USDT"
        }
        await client.subscribe("spot.trades", "GT_USDT")
        assert await client.until(
            lambda f: (
                f["event"] == "update" and f["result"]["currency_pair"] == "GT_USDT"
            )
        )
