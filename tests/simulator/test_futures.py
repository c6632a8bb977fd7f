"""The futures feed over real sockets, judged by an independent client.

The client keeps books by the documented procedure: a snapshot with as many
levels as it subscribed to, then updates without a hole.
"""

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


Frame = dict[str, Any]
BOOK = "futures.order_book_update"
DECIMAL = {"X-Gate-Size-Decimal": "1"}
KEY = "futures:ETH_USDT"
Sides = tuple[tuple[tuple[str, str], ...], ...]


def whole(settings_of: Frame | None = None, **changed: object) -> Settings:
    given: Frame = {"contracts": ("ETH_USDT", "BTC_USDT"), "seed": 7, "rate": 200.0}
    return Settings(**(given | (settings_of or {}) | changed))


class Book:
    """A client's book: a snapshot, then updates.

    Removals of what it does not hold are counted from the second update on: the
    first may be about a time before the snapshot.
    """

    def __init__(self, snapshot: Frame) -> None:
        self.applied = snapshot["id"]
        self.is_joined = False
        self.unknown_deletes = 0
        self.sides = {
            key: {level["p"]: level["s"] for level in snapshot[name]}
            for key, name in (("b", "bids"), ("a", "asks"))
        }

    def apply(self, update: Frame) -> bool:
        """Apply an update; False if it is wholly older than the book."""
        if update["u"] <= self.applied:
            return False
        if self.is_joined:
            assert update["U"] == self.applied + 1
        else:
            assert update["U"] <= self.applied + 1
        for key, side in self.sides.items():
            for level in update[key]:
                price, size = level["p"], level["s"]
                if Decimal(size) == 0:
                    is_unknown = side.pop(price, None) is None
                    self.unknown_deletes += is_unknown and self.is_joined
                else:
                    side[price] = size
        self.applied = update["u"]
        self.is_joined = True
        return True

    def texts(self, depth: int) -> Sides:
        bids = sorted(self.sides["b"].items(), key=lambda x: -Decimal(x[0]))
        asks = sorted(self.sides["a"].items(), key=lambda x: Decimal(x[0]))
        return tuple(bids[:depth]), tuple(asks[:depth])


async def snapshots_of(get, exchange: Exchange, levels: int, count: int) -> list[Frame]:
    found = []
    for k in range(count):
        _, body = await get(
            exchange.rest_url,
            "/futures/usdt/order_book",
            DECIMAL,
            contract="ETH_USDT",
            limit=str(levels),
            with_id="true",
        )
        found.append(body)
        await asyncio.sleep(0.003 * (k % 11))
    return found


@pytest.mark.parametrize(
    ("payload", "levels"),
    [
        (("ETH_USDT", "100ms", "100"), 100),
        (("ETH_USDT", "100ms", "50"), 50),
        (("ETH_USDT", "100ms", "20"), 20),
        (("ETH_USDT", "20ms", "20"), 20),
    ],
)
async def test_books_rebuilt_from_any_snapshot_equal_the_exchanges_own(
    connect, get, payload: tuple[str, ...], levels: int
):
    async with Exchange(whole(rest_limit=1_000)) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await client.subscribe(BOOK, *payload)
        snapshots = await snapshots_of(get, exchange, levels, 12)
        last = snapshots[-1]["id"] + 100
        await client.until(lambda f: f["result"].get("u", 0) >= last)
        updates = client.updates(BOOK)

        assert all(a["u"] + 1 == b["U"] for a, b in pairwise(updates))
        assert {u["l"] for u in updates} == {payload[2]}
        books = [Book(s) for s in snapshots if updates[0]["U"] <= s["id"] + 1]
        assert len(books) > 6
        for book in books:
            for update in updates:
                if book.apply(update):
                    truth = exchange.truth.book_at(KEY, update["u"], levels)
                    assert book.texts(levels + 1) == truth


async def test_who_names_no_levels_is_told_of_all(connect, get):
    async with Exchange(whole(redundancy=0.0)) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await client.subscribe(BOOK, "ETH_USDT", "100ms")
        await client.pushed(1, BOOK)
        (deep,) = await snapshots_of(get, exchange, 300, 1)
        shallow = deep | {"bids": deep["bids"][:20], "asks": deep["asks"][:20]}
        await client.until(lambda f: f["result"].get("u", 0) >= deep["id"] + 300)
        books = Book(deep), Book(shallow)
        for update in client.updates(BOOK):
            for book in books:
                book.apply(update)

        assert "l" not in client.updates(BOOK)[-1]
        truth = exchange.truth.book_at(KEY, books[0].applied)
        assert books[0].texts(1_000) == truth
        # Who began with fewer levels is told of some that it never had.
        assert (books[0].unknown_deletes, books[1].unknown_deletes > 0) == (0, True)


async def test_the_whole_top_is_the_exchanges_own_at_its_id(connect):
    async with Exchange(whole(empty_contracts=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await client.subscribe("futures.order_book", "ETH_USDT", "20", "0")
        await client.subscribe("futures.order_book", "BTC_USDT", "5", "0")
        whole_tops = await client.gather(
            8, lambda f: f["event"] == "all" and f["result"]["contract"] == "ETH_USDT"
        )
        empty = [f for f in client.frames if f["result"].get("contract") == "BTC_USDT"]

        for frame in whole_tops:
            told = frame["result"]
            sides = [tuple((x["p"], x["s"]) for x in told[k]) for k in ("bids", "asks")]
            assert tuple(sides) == exchange.truth.book_at(KEY, told["id"], 20)
        assert [
            {k: f["result"][k] for k in ("t", "id", "asks", "bids")} for f in empty
        ] == [{"t": 0, "id": 0, "asks": [], "bids": []}]


async def test_in_the_old_form_changes_follow_the_whole_top(connect):
    async with Exchange(whole(old_book_changes=True)) as exchange:
        first = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await first.subscribe("futures.order_book", "ETH_USDT", "20", "0")
        await first.pushed(5, "futures.order_book")
        second = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await second.subscribe("futures.order_book", "ETH_USDT", "20", "0")
        await second.pushed(5, "futures.order_book")

        for client in (first, second):
            frames = [f for f in client.frames if f["event"] in {"all", "update"}]
            assert [f["event"] for f in frames].count("all") == 1
            assert frames[0]["event"] == "all"
            told = frames[0]["result"]
            bids = {level["p"]: level["s"] for level in told["bids"]}
            asks = {level["p"]: level["s"] for level in told["asks"]}
            for frame in frames[1:]:
                for change in frame["result"]:
                    price, size = change["p"], change["s"]
                    if size == "0":
                        assert (
                            bids.pop(price, None) or asks.pop(price, None)
                        ) is not None
                    elif size.startswith("-"):
                        asks[price] = size[1:]
                    else:
                        bids[price] = size
                book = exchange.truth.book_at(KEY, frame["result"][0]["id"], 20)
                assert bids == dict(book[0])
                assert asks == dict(book[1])


async def test_every_trade_is_pushed_once_with_its_side_as_sign(connect):
    async with Exchange(whole()) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await client.subscribe("futures.trades", "ETH_USDT", "BTC_USDT")
        await client.pushed(40, "futures.trades")
        pushed = [t for told in client.updates("futures.trades") for t in told]

        for market in ("ETH_USDT", "BTC_USDT"):
            ours = [t for t in pushed if t["contract"] == market]
            truth = {
                t.trade_id: t for t in exchange.truth.trades_of(f"futures:{market}")
            }
            between = [i for i in truth if ours[0]["id"] <= i <= ours[-1]["id"]]
            assert [t["id"] for t in ours] == between
            for told in ours:
                trade = truth[told["id"]]
                assert told["create_time_ms"] * 10**6 == trade.ts_ns
                assert told["price"] == trade.price
                sign = "" if trade.side == "buy" else "-"
                assert told["size"] == sign + trade.amount
        assert max(len(told) for told in client.updates("futures.trades")) > 1


KINDS = (
    ("futures.trades", "ETH_USDT"),
    ("futures.book_ticker", "ETH_USDT"),
    ("futures.candlesticks", "10s", "ETH_USDT"),
    ("futures.contract_stats", "ETH_USDT", "1m"),
    (BOOK, "ETH_USDT", "20ms", "20"),
    ("futures.obu", "ob.ETH_USDT.50"),
)


def types_of_sizes(client: Any) -> list[object]:
    trades = client.updates("futures.trades")
    books = client.updates(BOOK)
    obu = client.updates("futures.obu")
    return [
        {type(t["size"]) for told in trades for t in told},
        type(client.updates("futures.book_ticker")[0]["A"]),
        type(client.updates("futures.candlesticks")[0][0]["v"]),
        type(client.updates("futures.contract_stats")[0][0]["open_interest"]),
        {type(x["s"]) for u in books for x in u["b"] + u["a"]},
        {type(x[1]) for u in obu for x in u.get("b", []) + u.get("a", [])},
    ]


async def test_without_the_header_sizes_are_whole_numbers_cut_off(connect):
    settings = whole(kline_seconds=0.05, stats_seconds=0.05)
    async with Exchange(settings) as exchange:
        texts = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        ints = await connect(exchange.ws_url_futures("usdt"))
        for kind in KINDS:
            for client in (texts, ints):
                await client.subscribe(*kind)
        for client in (ints, texts):
            await client.pushed(3, *(channel for channel, *_ in KINDS))
        cut = [t for told in ints.updates("futures.trades") for t in told]
        await texts.until(
            lambda f: (
                f["channel"] == "futures.trades"
                and f["result"][-1]["id"] >= cut[-1]["id"]
            )
        )
        exact = {
            t["id"]: t["size"] for told in texts.updates("futures.trades") for t in told
        }

        assert types_of_sizes(texts) == [{str}, str, str, str, {str}, {str}]
        assert types_of_sizes(ints) == [{int}, int, int, int, {int}, {str}]
        assert any("." in size for size in exact.values())
        assert [t["size"] for t in cut] == [int(Decimal(exact[t["id"]])) for t in cut]


async def test_a_socket_serves_one_settle_currency(connect, http):
    settings = whole(contracts=("ETH_USDT", "BTC_USD"))
    async with Exchange(settings) as exchange:
        usdt = await connect(exchange.ws_url_futures("usdt"))
        btc = await connect(exchange.ws_url_futures("btc"))
        refused = await usdt.subscribe("futures.trades", "ETH_USDT", "BTC_USD")
        accepted = await btc.subscribe("futures.trades", "BTC_USD")

        assert refused["error"] == {"code": 2, "message": "unknown contract: BTC_USD"}
        assert accepted["result"] == {"status": "success"}
        # Streams that bring their snapshot along accept it, and nothing comes.
        silent = await usdt.subscribe("futures.obu", "ob.BTC_USD.50")
        assert silent["result"] == {"status": "success"}
        await usdt.subscribe("futures.obu", "ob.ETH_USDT.50")
        await usdt.pushed(3, "futures.obu")
        assert {u["s"] for u in usdt.updates("futures.obu")} == {"ob.ETH_USDT.50"}
        async with http.get(f"http://127.0.0.1:{exchange.port}/v4/ws/eur") as answer:
            assert answer.status == 404


async def test_text_that_is_not_json_is_answered_and_the_socket_stays(connect):
    async with Exchange(whole(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        await client.socket.send_str("hello")
        answer = await client.next()
        await client.send(time=1, channel="futures.ping")
        pong = await client.next()

        assert answer["error"] == {
            "code": 1,
            "message": "request message need json scheme",
        }
        assert (pong["channel"], pong["event"]) == ("futures.pong", "")


async def test_answers_say_no_milliseconds_if_so_set(connect):
    async with Exchange(whole(rate=0.0, zero_ack_time_ms=True)) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        answer = await client.subscribe("futures.trades", "ETH_USDT")

        assert answer["time_ms"] == 0


async def test_a_stream_with_its_snapshot_can_be_ended(connect):
    async with Exchange(whole()) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        await client.subscribe("futures.obu", "ob.ETH_USDT.50")
        await client.pushed(2, "futures.obu")
        stream = {"channel": "futures.obu", "payload": ["ob.ETH_USDT.50"], "time": 1}
        await client.send(event="tell", **stream)
        refused = await client.until(lambda f: f["event"] == "tell")
        await client.send(event="unsubscribe", **stream)
        await client.until(lambda f: f["event"] == "unsubscribe")
        before = len(client.updates("futures.obu"))
        await client.subscribe("futures.book_ticker", "ETH_USDT")
        await client.pushed(10, "futures.book_ticker")

        assert refused["error"] == {"code": 1, "message": "unknown event: tell"}
        assert len(client.updates("futures.obu")) == before


async def test_the_first_frame_is_the_whole_window_if_so_set(connect):
    async with Exchange(whole(initial_image=True)) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"), **DECIMAL)
        await client.subscribe(BOOK, "ETH_USDT", "20ms", "20")
        await client.pushed(2, BOOK)
        image, update = client.updates(BOOK)[:2]
        sides = [tuple((x["p"], x["s"]) for x in image[key]) for key in "ba"]
        truth = exchange.truth.book_at(KEY, image["u"], 20)

        assert [set(side) for side in sides] == [set(side) for side in truth]
        assert image["U"] == image["u"] == update["U"] - 1


async def test_liquidations_are_told_to_those_who_asked_for_all_or_one(connect):
    settings = whole(liquidation_chance=1.0, liquidation_batches=True)
    async with Exchange(settings) as exchange:
        every, one = [
            await connect(exchange.ws_url_futures("usdt"), **DECIMAL) for _ in range(2)
        ]
        await every.subscribe("futures.public_liquidates", "!all")
        await every.subscribe("futures.public_liquidates", "ETH_USDT")
        await one.subscribe("futures.public_liquidates", "ETH_USDT")
        for client in (every, one):
            await client.pushed(3, "futures.public_liquidates")

        told = every.updates("futures.public_liquidates")
        assert {t["contract"] for part in told for t in part} == {
            "ETH_USDT",
            "BTC_USDT",
        }
        own = one.updates("futures.public_liquidates")
        assert {t["contract"] for part in own for t in part} == {"ETH_USDT"}
        assert own[0] in told
        assert told.count(own[0]) == 1
        assert {tuple(t) for part in told for t in part} == {
            ("price", "size", "time", "contract")
        }


async def test_statistics_can_be_taken_back_at_once(connect):
    async with Exchange(whole(stats_seconds=0.02)) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        await client.subscribe("futures.contract_stats", "ETH_USDT", "1m")
        await client.subscribe("futures.contract_stats", "BTC_USDT", "10s")
        await client.pushed(4, "futures.contract_stats")
        await client.send(
            time=1, channel="futures.contract_stats", event="unsub_all", payload=[]
        )
        await client.until(lambda f: f["event"] == "unsub_all")
        await client.subscribe("futures.trades", "ETH_USDT")
        await client.pushed(2, "futures.trades")

        channels = [f["channel"] for f in client.frames]
        ended = [f["event"] for f in client.frames].index("unsub_all")
        assert "futures.contract_stats" not in channels[ended + 1 :]


async def test_the_notice_of_an_upgrade_comes_before_the_end(connect):
    settings = whole(faults=(parse("upgrade:seconds=0.1,feed=futures"),))
    async with Exchange(settings) as exchange:
        spot = await connect(exchange.ws_url_spot)
        client = await connect(exchange.ws_url_futures("usdt"))
        await client.subscribe("futures.trades", "ETH_USDT")

        assert await client.ended() == 1001
        (notice,) = client.updates("futures.system")
        assert notice["type"] == "upgrade"
        (done,) = exchange.truth.faults_of("upgrade")
        assert (done.feed, done.conn) == ("futures", 1)
        assert not spot.socket.closed


@pytest.mark.parametrize("name", ["drop", "duplicate", "malformed"])
async def test_faults_hit_frames_of_futures(connect, name: str):
    settings = whole(faults=(parse(f"{name}:stream=depth,feed=futures,at=0.2"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        await client.subscribe(BOOK, "ETH_USDT", "20ms", "20")
        await client.until(
            lambda f: bool(exchange.truth.faults) and f["channel"] == BOOK
        )
        await client.pushed(3, BOOK)
        (done,) = exchange.truth.faults_of(name, "futures")
        ids = [(u["U"], u["u"]) for u in client.updates(BOOK)]
        hit = (done.first_update_id, done.last_update_id)

        assert (done.market, done.stream, done.parameter) == (
            "ETH_USDT",
            "depth",
            "20ms",
        )
        assert ids.count(hit) == (2 if name == "duplicate" else 0)
        assert len(client.bad) == (name == "malformed")


async def test_a_silent_ack_brings_nothing(connect):
    settings = whole(faults=(parse("silent_ack:stream=trades,feed=futures"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        answer = await client.subscribe("futures.trades", "ETH_USDT")
        await client.subscribe("futures.book_ticker", "ETH_USDT")
        await client.pushed(30, "futures.book_ticker")

        assert answer["result"] == {"status": "success"}
        assert client.updates("futures.trades") == []
        (done,) = exchange.truth.faults_of("silent_ack", "futures")
        assert done.market == "ETH_USDT"


async def test_idle_connections_are_dropped(connect):
    settings = whole(idle_unsubscribed_seconds=0.05)
    async with Exchange(settings) as exchange:
        idle = await connect(exchange.ws_url_futures("usdt"))

        assert await idle.ended() == 1006
        assert exchange.counters["idle_closes"] == 1
        assert exchange.counters["futures"] == 1


async def test_a_slow_answer_is_late_but_comes(connect):
    settings = whole(faults=(parse("slow_ack:seconds=0.05,feed=futures"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        answer = await client.subscribe("futures.trades", "ETH_USDT")

        assert answer["result"] == {"status": "success"}
        assert len(exchange.truth.faults_of("slow_ack", "futures")) == 1


async def test_a_topic_can_be_left_and_joined_again(connect):
    async with Exchange(whole()) as exchange:
        client = await connect(exchange.ws_url_futures("usdt"))
        await client.subscribe(BOOK, "ETH_USDT", "20ms", "20")
        await client.subscribe(BOOK, "ETH_USDT", "20ms", "20")
        await client.pushed(3, BOOK)
        await client.send(
            time=1, channel=BOOK, event="unsubscribe", payload=["ETH_USDT", "20ms"]
        )
        await client.until(lambda f: f["event"] == "unsubscribe")
        before = len(client.updates(BOOK))
        await client.subscribe("futures.book_ticker", "ETH_USDT")
        await client.pushed(20, "futures.book_ticker")
        left = len(client.updates(BOOK))
        await client.subscribe(BOOK, "ETH_USDT", "20ms", "20")
        await client.pushed(1, BOOK)
        updates = client.updates(BOOK)

        assert left == before
        assert all(a["u"] + 1 == b["U"] for a, b in pairwise(updates[:before]))
        assert updates[before]["U"] > updates[before - 1]["u"] + 1
