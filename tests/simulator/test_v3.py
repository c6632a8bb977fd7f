"""The v3 feed over real sockets, judged by an independent client."""

import asyncio
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


QUICK = {
    "v3_depth_seconds": 0.03,
    "v3_first_clean_seconds": 0.05,
    "v3_clean_seconds": (0.2, 0.3),
    "v3_batch_seconds": 0.1,
}


class Window:
    """What a client holds: replaced by a clean frame, changed by others."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
        self.unknown_deletes = 0

    def apply(self, depth: dict[str, Any], *, is_clean: bool) -> None:
        if is_clean:
            self.sides = {"bids": {}, "asks": {}}
        for key, side in self.sides.items():
            for price, amount in depth.get(key, ()):
                if amount == "0":
                    self.unknown_deletes += side.pop(price, None) is None
                else:
                    side[price] = amount

    def levels(self, key: str) -> list[tuple[str, str]]:
        sign = -1 if key == "bids" else 1
        return sorted(self.sides[key].items(), key=lambda x: sign * Decimal(x[0]))


def follow(exchange: Exchange, pushes: list[list[Any]], conn: int = 1) -> int:
    """Compare a client's window with the truth after each frame."""
    windows: dict[str, Window] = {}
    truth = [row for row in exchange.truth.v3_depths if row.conn == conn]
    assert [row.n for row in truth] == list(range(len(truth)))
    for (is_clean, depth, market), row in zip(pushes, truth, strict=False):
        window = windows.setdefault(market, Window())
        window.apply(depth, is_clean=is_clean)
        assert (row.market, row.is_snapshot) == (market, is_clean)
        assert window.levels("bids") == row.bids
        assert window.levels("asks") == row.asks
    assert sum(window.unknown_deletes for window in windows.values()) == 0
    return len(pushes)


@pytest.mark.parametrize(
    ("orders", "is_late"),
    [
        ([["BTC_USDT", 30, "0.00000001"], ["GT_USDT", 30, "0"]], False),
        ([["BTC_USDT", 5, "0"], ["GT_USDT", 10, "0.001"]], True),
        ([["ETH_USDT", 1, "0.1"]], False),
    ],
)
async def test_windows_equal_the_exchanges_own_after_every_frame(
    connect, orders: list[list[Any]], is_late: bool
):
    settings = Settings(rate=200.0, v3_late=is_late, **QUICK)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        answer = await client.ask("depth.subscribe", *orders)
        cleans_left = dict.fromkeys((order[0] for order in orders), 3)

        def has_all(frame: dict[str, Any]) -> bool:
            is_clean, _, market = frame["params"]
            cleans_left[market] -= is_clean
            return max(cleans_left.values()) <= 0

        await client.until(has_all)
        pushes = client.pushes("depth.update")

        assert answer == {"error": None, "result": {"status": "success"}, "id": 5}
        assert follow(exchange, pushes) > 5 * len(orders)
        assert all(row.is_exact for row in exchange.truth.v3_depths)
        for market, limit, interval in orders:
            own = [p for p in pushes if p[2] == market]
            cleans = [p[1] for p in own if p[0]]
            times = [
                row.ts_ns
                for row in exchange.truth.v3_depths
                if row.market == market and row.is_snapshot
            ]
            assert own[0][0]
            assert len(own) > len(cleans)
            assert all(b - a >= 0.2 * 10**9 for a, b in pairwise(times))
            assert all(len(c["asks"]) == len(c["bids"]) == limit for c in cleans)
            assert all(isinstance(c["id"], int) for c in cleans)
            if interval in {"0", "0.00000001"}:
                rows = [r for r in exchange.truth.v3_depths if r.market == market]
                for row in rows:
                    bids, asks = exchange.truth.book_at(market, row.update_id, limit)
                    assert (row.bids, row.asks) == (list(bids), list(asks))
        if is_late:
            assert {f.get("v") for f in client.frames[1:]} == {3}
            assert "current" in pushes[-1][1]


async def test_merged_prices_are_the_sums_of_the_levels_within(connect):
    settings = Settings(rate=100.0, **QUICK)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("depth.subscribe", "GT_USDT", 10, "0.001")
        await client.pushed(6, "depth.update")
        step = Decimal("0.001")

        for row in exchange.truth.v3_depths:
            bids, _ = exchange.truth.book_at("GT_USDT", row.update_id)
            sums: dict[Decimal, Decimal] = {}
            for price, amount in bids:
                down = Decimal(price) // step * step
                sums[down] = sums.get(down, Decimal(0)) + Decimal(amount)
            best = sorted(sums.items(), reverse=True)[:10]
            assert [(Decimal(p), Decimal(a)) for p, a in row.bids] == best


async def test_a_second_depth_subscription_replaces_the_first(connect):
    async with Exchange(Settings(rate=200.0, **QUICK)) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("depth.subscribe", "BTC_USDT", 5, "0")
        await client.pushed(2, "depth.update")
        await client.ask("depth.subscribe", ["GT_USDT", 5, "0"], number=6)
        client.frames.clear()
        await client.pushed(6, "depth.update")

        assert {p[2] for p in client.pushes("depth.update")} == {"GT_USDT"}
        assert client.pushes("depth.update")[0][0]


async def test_the_latest_hundred_trades_come_first_and_then_every_trade(connect):
    settings = Settings(rate=200.0, markets=("BTC_USDT", "GT_USDT"), **QUICK)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("trades.subscribe", "BTC_USDT", "GT_USDT")
        await client.pushed(12, "trades.update")
        for market in ("BTC_USDT", "GT_USDT"):
            pushes = [p[1] for p in client.pushes("trades.update") if p[0] == market]
            history = [t["id"] for t in pushes[0]]
            ids = [t["id"] for push in pushes for t in reversed(push)]
            truth = {t.trade_id: t for t in exchange.truth.trades_of(market)}

            assert len(history) == 100
            assert history == sorted(history, reverse=True)
            assert len(pushes) >= 3
            between = [i for i in truth if ids[0] <= i <= ids[-1]]
            assert ids == between
            for trade in pushes[1]:
                own = truth[trade["id"]]
                assert (trade["price"], trade["amount"], trade["type"]) == (
                    own.price,
                    own.amount,
                    own.side,
                )
        texts = "".join(client.texts)
        last = next(
            t
            for t in exchange.truth.trades_of("BTC_USDT")
            if t.trade_id == client.pushes("trades.update")[0][1][40]["id"]
        )
        seconds = f'"time": {last.ts_ns // 10**9}.{last.ts_ns % 10**9 // 100:07d}'
        assert f'{{"id": {last.trade_id}, {seconds.rstrip("0")}, ' in texts


async def test_a_market_without_trades_pushes_no_history(connect):
    async with Exchange(Settings(rate=0.0, warmup_events=0)) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("trades.subscribe", "BTC_USDT")
        await client.ask("kline.subscribe", "BTC_USDT", 60, number=6)
        await client.listen(0.15)

        assert client.pushes("trades.update") == []
        assert client.pushes("kline.update") == []


async def test_tickers_and_klines_are_pushed(connect):
    async with Exchange(Settings(rate=200.0, **QUICK)) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("ticker.subscribe", "BTC_USDT", "GT_USDT")
        await client.ask("kline.subscribe", "GT_USDT", 60, number=6)
        await client.ask("kline.subscribe", "BTC_USDT", 10, number=7)
        client.frames.clear()
        await client.pushed(4, "ticker.update", "kline.update")
        tickers, klines = client.pushes("ticker.update"), client.pushes("kline.update")

        assert {market for market, _ in tickers} == {"BTC_USDT", "GT_USDT"}
        assert {t["period"] for _, t in tickers} == {86400}
        # The last kline subscription wins.
        assert {row[7] for rows in klines for row in rows} == {"BTC_USDT"}
        rows = [tuple(row) for rows in klines for row in rows]
        assert len(rows) > 2
        assert len(set(rows)) == len(rows)
        assert all(a[0] <= b[0] for a, b in pairwise(rows))
        start = rows[-1][0]
        volumes = {Decimal(0)}
        for trade in exchange.truth.trades_of("BTC_USDT"):
            if start <= trade.ts_ns // 10**9 < start + 10:
                volumes.add(max(volumes) + Decimal(trade.amount))
        assert Decimal(rows[-1][5]) in volumes - {Decimal(0)}


@pytest.mark.parametrize("kind", ["depth", "trades", "ticker", "kline"])
async def test_what_was_unsubscribed_is_pushed_no_more(connect, kind: str):
    params: dict[str, list[Any]] = {
        "depth": ["BTC_USDT", 5, "0"],
        "trades": ["BTC_USDT"],
        "ticker": ["BTC_USDT"],
        "kline": ["BTC_USDT", 10],
    }
    async with Exchange(Settings(rate=300.0, **QUICK)) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask(f"{kind}.subscribe", *params[kind])
        await client.until(lambda f: f.get("method") == f"{kind}.update")
        answer = await client.ask(f"{kind}.unsubscribe", number=8)
        client.frames.clear()
        await client.listen(0.25)

        assert answer["result"] == {"status": "success"}
        assert client.frames == []


async def test_queries_answer_with_the_present(connect):
    async with Exchange(Settings(rate=100.0)) as exchange:
        client = await connect(exchange.ws_url_v3)
        exchange.pause()
        market = exchange.engine.markets["GT_USDT"]
        ids = [t.trade_id for t in exchange.truth.trades_of("GT_USDT")]
        assert (await client.ask("server.ping"))["result"] == "pong"
        now = (await client.ask("server.time"))["result"]
        assert abs(now - exchange.truth.trades[-1].ts_ns // 10**9) <= 2
        depth = (await client.ask("depth.query", "GT_USDT", 5, "0"))["result"]
        bids, asks = exchange.truth.book_at("GT_USDT", market.update_id, 5)
        assert depth == {
            "asks": [list(level) for level in asks],
            "bids": [list(level) for level in bids],
        }
        trades = (await client.ask("trades.query", "GT_USDT", 3, ids[-10]))["result"]
        assert [t["id"] for t in trades] == ids[-1:-4:-1]
        few = (await client.ask("trades.query", "GT_USDT", 50, ids[-2]))["result"]
        assert [t["id"] for t in few] == [ids[-1], ids[-2]]
        ticker = (await client.ask("ticker.query", "GT_USDT", 3600))["result"]
        assert ticker["last"] == exchange.truth.trades_of("GT_USDT")[-1].price
        rows = (await client.ask("kline.query", "GT_USDT", 1, now + 99, 10))["result"]
        assert [r[0] for r in rows] == [r.open_at for r in market.candles.rows(10)]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("depth.fly", [], 4),
        ("nothing", [], 4),
        ("depth.subscribe", [], 1),
        ("depth.subscribe", ["BTC_USDT", 2, "0"], 1),
        ("depth.subscribe", ["BTC_USDT", 5, "0.5"], 1),
        ("depth.subscribe", ["BTC_USDT", 5, "0.000000001"], 1),
        ("depth.subscribe", ["BTC_USDT", "5", "0"], 1),
        ("depth.subscribe", [["BTC_USDT", 5, "0"], ["X_Y", 5, "0"]], 1),
        ("trades.subscribe", [], 1),
        ("trades.subscribe", ["BTC_USDT", "X_Y"], 1),
        ("trades.subscribe", [5], 1),
        ("ticker.subscribe", ["X_Y"], 1),
        ("ticker.query", ["BTC_USDT", 0], 1),
        ("trades.query", ["BTC_USDT", 0, 1], 1),
        ("kline.subscribe", ["BTC_USDT", 61], 1),
        ("kline.query", ["BTC_USDT", 0, 5, 60], 1),
        ("depth.query", ["BTC_USDT", 5], 1),
    ],
)
async def test_what_is_not_legal_is_an_error_by_number(
    connect, method: str, params: list[Any], code: int
):
    async with Exchange(Settings(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_v3)
        answer = await client.ask(method, *params, number=77)

        assert answer["error"]["code"] == code
        assert (answer["result"], answer["id"]) == (None, 77)


async def test_text_that_is_no_request_is_an_error_without_id(connect):
    async with Exchange(Settings(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_v3.rstrip("/"))
        await client.socket.send_str("hello")
        answer = await client.next()

        assert answer is not None
        assert (answer["error"]["code"], answer["id"]) == (1, None)


async def test_limits_of_the_documents_examples_can_be_allowed(connect):
    async with Exchange(Settings(rate=0.0, v3_any_limit=True)) as exchange:
        client = await connect(exchange.ws_url_v3)
        answer = await client.ask("depth.query", "BTC_USDT", 2, "0")
        refused = await client.ask("depth.query", "BTC_USDT", 0, "0")

        assert len(answer["result"]["asks"]) == 2
        assert refused["error"]["code"] == 1


async def test_a_dropped_push_cannot_be_seen_and_the_next_clean_frame_mends_it(connect):
    settings = Settings(
        rate=200.0,
        markets=("BTC_USDT",),
        **(QUICK | {"v3_clean_seconds": (0.5, 0.5)}),
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("depth.subscribe", "BTC_USDT", 30, "0")
        await client.pushed(1, "depth.update")
        exchange.order(parse("v3_drop:stream=depth"))
        await client.until(lambda f: f["params"][0] and bool(exchange.truth.faults))
        await client.pushed(3, "depth.update")
        pushes = client.pushes("depth.update")
        rows = exchange.truth.v3_depths
        (fault,) = exchange.truth.faults
        # No exactness for unknown deletes here: the client misses a frame.
        windows = Window()
        for (is_clean, depth, _), row in zip(pushes, rows, strict=False):
            windows.apply(depth, is_clean=is_clean)
            assert windows.levels("bids") == row.bids
            assert windows.levels("asks") == row.asks
        wrong = [k for k, row in enumerate(rows) if not row.is_exact]
        mended = [k for k, row in enumerate(rows) if row.is_snapshot and k > wrong[0]]

        assert (fault.name, fault.feed, fault.market) == ("v3_drop", "v3", "BTC_USDT")
        assert rows[wrong[0]].ts_ns > fault.ts_ns
        assert all(row.is_exact for row in rows[: wrong[0]])
        assert all(row.is_exact for row in rows[mended[0] :])


async def test_without_its_first_clean_frame_a_client_holds_nothing(connect):
    settings = Settings(
        rate=200.0,
        markets=("BTC_USDT",),
        faults=(parse("v3_drop:stream=depth"),),
        **QUICK,
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("depth.subscribe", "BTC_USDT", 30, "0")
        await client.until(lambda f: f["params"][0])
        await client.pushed(3, "depth.update")
        rows = exchange.truth.v3_depths
        first_clean = [row.is_snapshot for row in rows].index(True)

        assert first_clean > 0
        assert all(row.bids == [] and not row.is_exact for row in rows[:first_clean])
        assert all(row.is_exact for row in rows[first_clean:])


async def test_a_clean_frame_can_be_omitted(connect):
    settings = Settings(
        rate=200.0,
        markets=("BTC_USDT",),
        faults=(parse("v3_omit_clean:count=99"),),
        **QUICK,
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("depth.subscribe", "BTC_USDT", 30, "0")
        await client.pushed(20, "depth.update")
        pushes = client.pushes("depth.update")

        assert [p[0] for p in pushes] == [True] + [False] * (len(pushes) - 1)
        assert len(exchange.truth.faults_of("v3_omit_clean")) >= 2
        assert follow(exchange, pushes) > 10


async def test_a_malformed_push_is_no_json(connect):
    settings = Settings(
        rate=200.0,
        markets=("BTC_USDT",),
        faults=(parse("v3_malformed:stream=trades"),),
        **QUICK,
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("trades.subscribe", "BTC_USDT")
        await client.pushed(2, "trades.update")
        (fault,) = exchange.truth.faults

        assert len(client.bad) == 1
        assert client.bad[0].endswith(",}")
        assert all(str(trade_id) in client.bad[0] for trade_id in fault.trade_ids)


async def test_a_server_error_answers_the_request(connect):
    settings = Settings(rate=0.0, faults=(parse("v3_error:code=5"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        failed = await client.ask("trades.subscribe", "BTC_USDT", number=1)
        again = await client.ask("trades.subscribe", "BTC_USDT", number=2)

        assert failed["error"] == {"code": 5, "message": "service timeout"}
        assert again["error"] is None


@pytest.mark.parametrize("fault", ["v3_abort:at=0.1", "v3_stall:at=0.1,seconds=0.1"])
async def test_a_connection_can_be_dropped(connect, fault: str):
    async with Exchange(Settings(rate=0.0, faults=(parse(fault),))) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("trades.subscribe", "BTC_USDT")

        assert await client.ended() == 1006
        assert [f.feed for f in exchange.truth.faults] == ["v3"]


async def test_a_record_that_nobody_wants_is_not_made(connect):
    settings = Settings(rate=100.0, keep_truth=False, **QUICK)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("depth.subscribe", "BTC_USDT", 30, "0")
        await client.pushed(3, "depth.update")

        assert exchange.truth.v3_depths == []


async def test_two_connections_have_windows_of_their_own(connect):
    async with Exchange(Settings(rate=200.0, **QUICK)) as exchange:
        clients = [await connect(exchange.ws_url_v3) for _ in range(2)]
        for client, limit in zip(clients, (5, 30), strict=True):
            await client.ask("depth.subscribe", "BTC_USDT", limit, "0")
        await asyncio.gather(*(c.pushed(8, "depth.update") for c in clients))

        for number, client in enumerate(clients, 1):
            assert follow(exchange, client.pushes("depth.update"), number) > 5
