import asyncio
import time
from decimal import Decimal

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


BOOK = "/spot/order_book"


async def test_a_book_is_the_exchanges_own_at_its_id(get):
    async with Exchange(Settings(rate=100.0)) as exchange:
        for limit in (1, 10, 100, 1000):
            status, body = await get(
                exchange.rest_url,
                BOOK,
                currency_pair="BTC_USDT",
                limit=str(limit),
                with_id="true",
                interval="0",
            )
            bids, asks = exchange.truth.book_at("BTC_USDT", body["id"], limit)

            assert status == 200
            assert [tuple(level) for level in body["bids"]] == list(bids)
            assert [tuple(level) for level in body["asks"]] == list(asks)
            assert abs(body["current"] - time.time_ns() // 10**6) < 2_000
            assert body["update"] <= body["current"]


async def test_a_book_has_ten_levels_and_no_id_unless_asked(get):
    async with Exchange(Settings(rate=0.0)) as exchange:
        _, body = await get(exchange.rest_url, BOOK, currency_pair="BTC_USDT")

        assert (len(body["bids"]), len(body["asks"])) == (10, 10)
        assert "id" not in body


async def test_a_book_of_2021_has_nothing_but_id_and_levels(get):
    async with Exchange(Settings(rate=0.0, wire_era="2021")) as exchange:
        _, body = await get(
            exchange.rest_url, BOOK, currency_pair="BTC_USDT", with_id="true"
        )

        assert list(body) == ["id", "asks", "bids"]


@pytest.mark.parametrize(
    ("path", "query", "label"),
    [
        (BOOK, {}, "MISSING_REQUIRED_PARAM"),
        (BOOK, {"currency_pair": "X_Y"}, "INVALID_CURRENCY_PAIR"),
        (BOOK, {"currency_pair": "BTC_USDT", "limit": "1001"}, "INVALID_PARAM_VALUE"),
        (BOOK, {"currency_pair": "BTC_USDT", "limit": "0"}, "INVALID_PARAM_VALUE"),
        (BOOK, {"currency_pair": "BTC_USDT", "limit": "ten"}, "INVALID_PARAM_VALUE"),
        (BOOK, {"currency_pair": "BTC_USDT", "interval": "1"}, "INVALID_PARAM_VALUE"),
        (
            "/spot/trades",
            {"currency_pair": "BTC_USDT", "limit": "1001"},
            "INVALID_PARAM_VALUE",
        ),
        (
            "/spot/candlesticks",
            {"currency_pair": "BTC_USDT", "interval": "2m"},
            "INVALID_PARAM_VALUE",
        ),
        (
            "/spot/candlesticks",
            {"currency_pair": "BTC_USDT", "limit": "1001"},
            "INVALID_PARAM_VALUE",
        ),
    ],
)
async def test_a_bad_call_is_refused_with_a_label(
    get, path: str, query: dict[str, str], label: str
):
    async with Exchange(Settings(rate=0.0)) as exchange:
        status, body = await get(exchange.rest_url, path, **query)

        assert status == 400
        assert body["label"] == label
        assert body["message"]


async def test_markets_and_time_are_told(get):
    async with Exchange(Settings(rate=0.0)) as exchange:
        _, markets = await get(exchange.rest_url, "/spot/currency_pairs")
        _, now = await get(exchange.rest_url, "/spot/time")

        assert [(m["id"], m["base"], m["quote"]) for m in markets] == [
            ("BTC_USDT", "BTC", "USDT"),
            ("ETH_USDT", "ETH", "USDT"),
            ("GT_USDT", "GT", "USDT"),
        ]
        assert abs(now["server_time"] - time.time_ns() // 10**6) < 2_000


async def test_currencies_are_told_and_what_is_not_traded_is_an_empty_list(get):
    markets = ("BTC_USDT", "ETH_USDT", "ETH_BTC")
    async with Exchange(Settings(rate=0.0, markets=markets)) as exchange:
        _, currencies = await get(exchange.rest_url, "/spot/currencies")
        others = [
            await get(exchange.rest_url, path)
            for path in (
                "/margin/currency_pairs",
                "/delivery/usdt/contracts",
                "/delivery/btc/contracts",
                "/options/underlyings",
            )
        ]

    assert [row["currency"] for row in currencies] == ["BTC", "USDT", "ETH"]
    assert others == [(200, [])] * 4


async def test_trades_come_newest_first_and_can_be_paged(get):
    async with Exchange(Settings(rate=0.0)) as exchange:
        own = exchange.truth.trades_of("BTC_USDT")[::-1]

        async def ids(**query: str) -> list[int]:
            _, rows = await get(
                exchange.rest_url, "/spot/trades", currency_pair="BTC_USDT", **query
            )
            return [int(row["id"]) for row in rows]

        numbers = [t.trade_id for t in own]
        assert await ids() == numbers[:100]
        assert await ids(limit="3") == numbers[:3]
        assert await ids(last_id=str(numbers[5])) == numbers[:5]
        older = await ids(last_id=str(numbers[5]), reverse="true", limit="4")
        assert older == numbers[6:10]
        middle = own[40].ts_ns // 10**9
        recent = [t.trade_id for t in own if t.ts_ns // 10**9 >= middle]
        assert await ids(**{"from": str(middle)}) == recent
        assert await ids(to="1") == []
        _, (row,) = await get(
            exchange.rest_url, "/spot/trades", currency_pair="BTC_USDT", limit="1"
        )
        assert (row["price"], row["amount"], row["side"]) == (
            own[0].price,
            own[0].amount,
            own[0].side,
        )
        assert Decimal(row["create_time_ms"]) * 10**6 == own[0].ts_ns
        assert row["sequence_id"] == str(own[0].market_trade_id)


async def test_klines_come_oldest_first_as_rows_of_text(get):
    async with Exchange(Settings(rate=0.0)) as exchange:
        _, rows = await get(
            exchange.rest_url,
            "/spot/candlesticks",
            currency_pair="GT_USDT",
            interval="10s",
            limit="2",
        )
        own = list(exchange.engine.markets["GT_USDT"].candles.rows(10))[-2:]

        assert [row[0] for row in rows] == [str(c.open_at) for c in own]
        first = own[0].open_at
        trades = [
            t
            for t in exchange.truth.trades_of("GT_USDT")
            if first <= t.ts_ns // 10**9 < first + 10
        ]
        prices = [Decimal(t.price) for t in trades]
        values = [Decimal(text) for text in rows[0][1:7]]
        assert values == [
            sum(Decimal(t.turnover) for t in trades),
            prices[-1],
            max(prices),
            min(prices),
            prices[0],
            sum(Decimal(t.amount) for t in trades),
        ]
        assert rows[0][7] == "true"
        _, none = await get(
            exchange.rest_url,
            "/spot/candlesticks",
            currency_pair="GT_USDT",
            interval="10s",
            **{"from": str(first - 1), "to": str(first - 1)},
        )
        assert none == []


async def test_too_many_calls_are_refused_until_the_window_has_passed(http):
    settings = Settings(rate=0.0, rest_limit=3, rest_window_seconds=1.2)
    async with Exchange(settings) as exchange:
        url = f"{exchange.rest_url}/spot/time"
        answers = []
        for _ in range(4):
            async with http.get(url) as answer:
                answers.append(answer)
        async with http.get(f"{exchange.rest_url}/spot/currency_pairs") as other:
            assert other.status == 200
        await asyncio.sleep(1.25)
        async with http.get(url) as later:
            answers.append(later)

        assert [a.status for a in answers] == [200, 200, 200, 429, 200]
        remain = [a.headers["X-Gate-RateLimit-Requests-Remain"] for a in answers]
        assert remain == ["2", "1", "0", "0", "2"]
        assert {a.headers["X-Gate-RateLimit-Limit"] for a in answers} == {"3"}
        reset = int(answers[3].headers["X-Gate-RateLimit-Reset-Timestamp"])
        assert abs(reset - time.time_ns() // 10**9) <= 2


async def test_a_call_can_be_made_to_fail(http):
    settings = Settings(
        rate=0.0,
        faults=(parse("http_429:market=GT_USDT"), parse("http_502:market=GT_USDT")),
    )
    async with Exchange(settings) as exchange:
        url = f"{exchange.rest_url}{BOOK}"
        found = []
        for market in ("BTC_USDT", "GT_USDT", "GT_USDT", "GT_USDT"):
            async with http.get(url, params={"currency_pair": market}) as answer:
                found.append((answer.status, answer.content_type))

        assert found == [
            (200, "application/json"),
            (429, "application/json"),
            (502, "text/html"),
            (200, "application/json"),
        ]
        assert [(f.name, f.market) for f in exchange.truth.faults] == [
            ("http_429", "GT_USDT"),
            ("http_502", "GT_USDT"),
        ]


async def test_a_stale_book_is_real_but_old(get):
    settings = Settings(rate=100.0, faults=(parse("stale_snapshot:seconds=0.6"),))
    async with Exchange(settings) as exchange:
        query = {"currency_pair": "BTC_USDT", "with_id": "true", "limit": "100"}
        await asyncio.sleep(1.05)
        asked = time.time_ns() // 10**6
        _, stale = await get(exchange.rest_url, BOOK, **query)
        _, fresh = await get(exchange.rest_url, BOOK, **query)

        assert 100 <= asked - stale["current"] <= 1_000
        assert stale["id"] < fresh["id"]
        assert fresh["current"] >= asked
        bids, _ = exchange.truth.book_at("BTC_USDT", stale["id"], 100)
        assert [tuple(level) for level in stale["bids"]] == list(bids)
