import asyncio
import time
from decimal import Decimal
from typing import Any

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


BOOK = "/futures/usdt/order_book"
DECIMAL = {"X-Gate-Size-Decimal": "1"}


def whole(**given: Any) -> Settings:
    return Settings(**({"contracts": ("ETH_USDT", "BTC_USDT", "BTC_USD")} | given))


@pytest.mark.parametrize("era", ["2021", "2026"])
async def test_a_book_is_the_exchanges_own_at_its_id(get, era: str):
    async with Exchange(whole(rate=100.0, wire_era=era)) as exchange:
        for limit in (1, 20, 300):
            status, body = await get(
                exchange.rest_url,
                BOOK,
                DECIMAL,
                contract="ETH_USDT",
                limit=str(limit),
                with_id="true",
            )
            truth = exchange.truth.book_at("futures:ETH_USDT", body["id"], limit)

            assert status == 200
            for side, levels in zip(("bids", "asks"), truth, strict=True):
                told = [(x["p"], str(x["s"])) for x in body[side]]
                assert told == list(levels)
            assert abs(body["current"] - time.time_ns() / 10**9) < 2.0
            assert body["update"] <= body["current"]
            first = "id" if era == "2026" else "current"
            assert next(iter(body)) == first


async def test_without_the_header_sizes_are_whole_numbers(get):
    async with Exchange(whole(rate=0.0)) as exchange:
        query = {"contract": "ETH_USDT", "limit": "5"}
        _, cut = await get(exchange.rest_url, BOOK, **query)
        _, exact = await get(exchange.rest_url, BOOK, DECIMAL, **query)

        assert "id" not in cut
        sizes = [x["s"] for x in cut["asks"]]
        assert sizes == [int(Decimal(x["s"])) for x in exact["asks"]]
        assert any("." in x["s"] for x in exact["asks"])


@pytest.mark.parametrize(
    ("path", "query", "status", "label"),
    [
        (BOOK, {}, 400, "MISSING_REQUIRED_PARAM"),
        (BOOK, {"contract": "X_USDT"}, 400, "CONTRACT_NOT_FOUND"),
        (BOOK, {"contract": "BTC_USD"}, 400, "CONTRACT_NOT_FOUND"),
        (BOOK, {"contract": "ETH_USDT", "limit": "301"}, 400, "TOO_BIG"),
        (BOOK, {"contract": "ETH_USDT", "limit": "0"}, 400, "INVALID_PARAM_VALUE"),
        (BOOK, {"contract": "ETH_USDT", "interval": "1"}, 400, "INVALID_PARAM_VALUE"),
        ("/futures/eur/contracts", {}, 400, "INVALID_PARAM_VALUE"),
        ("/futures/usdt/trades", {"contract": "X_USDT"}, 400, "CONTRACT_NOT_FOUND"),
    ],
)
async def test_calls_that_make_no_sense_are_refused(
    get, path: str, query: dict[str, str], status: int, label: str
):
    async with Exchange(whole(rate=0.0)) as exchange:
        answer = await get(exchange.rest_url, path, **query)

        assert (answer[0], answer[1]["label"]) == (status, label)


async def test_trades_are_the_exchanges_own_newest_first(get):
    async with Exchange(whole(rate=0.0)) as exchange:
        path = "/futures/usdt/trades"
        query = {"contract": "ETH_USDT", "limit": "20"}
        _, rows = await get(exchange.rest_url, path, DECIMAL, **query)
        _, cut = await get(exchange.rest_url, path, **query)
        last = str(rows[5]["id"])
        _, newer = await get(exchange.rest_url, path, DECIMAL, **query, last_id=last)

    truth = exchange.truth.trades_of("futures:ETH_USDT")[::-1][:20]
    assert [
        (r["id"], r["price"], r["size"], round(r["create_time"] * 1000)) for r in rows
    ] == [
        (
            t.trade_id,
            t.price,
            ("" if t.side == "buy" else "-") + t.amount,
            t.ts_ns // 10**6,
        )
        for t in truth
    ]
    assert [r["size"] for r in cut] == [int(Decimal(r["size"])) for r in rows]
    assert newer == rows[:5]


async def test_the_list_of_contracts_tells_their_units(get):
    async with Exchange(whole(rate=0.0)) as exchange:
        _, usdt = await get(exchange.rest_url, "/futures/usdt/contracts", DECIMAL)
        _, plain = await get(exchange.rest_url, "/futures/usdt/contracts")
        _, btc = await get(exchange.rest_url, "/futures/btc/contracts")
        _, none = await get(exchange.rest_url, "/futures/usd1/contracts")

    told = [
        [
            (
                row["name"],
                row["type"],
                row["quanto_multiplier"],
                row["order_price_round"],
                row["order_price_deviate"],
                row["order_size_min"],
                row["enable_decimal"],
            )
            for row in rows
        ]
        for rows in (usdt, plain, btc)
    ]
    assert told == [
        [
            ("ETH_USDT", "direct", "0.01", "0.01", "0.5", "0.1", True),
            ("BTC_USDT", "direct", "0.0001", "0.1", "0.5", "1", False),
        ],
        [
            ("ETH_USDT", "direct", "0.01", "0.01", "0.5", 1, True),
            ("BTC_USDT", "direct", "0.0001", "0.1", "0.5", 1, False),
        ],
        [("BTC_USD", "inverse", "0", "0.1", "0.5", 1, False)],
    ]
    assert none == []


async def test_a_contract_that_nobody_traded_is_listed(get):
    settings = whole(rate=0.0, empty_contracts=("ETH_USDT",))
    async with Exchange(settings) as exchange:
        _, rows = await get(exchange.rest_url, "/futures/usdt/contracts")
        _, book = await get(
            exchange.rest_url, BOOK, contract="ETH_USDT", with_id="true"
        )

    assert (rows[0]["last_price"], rows[0]["trade_id"]) == ("0", 0)
    assert (book["id"], book["bids"], book["asks"]) == (0, [], [])


@pytest.mark.parametrize(("name", "status"), [("http_429", 429), ("http_502", 502)])
async def test_faults_hit_calls_about_futures(http, name: str, status: int):
    settings = whole(rate=0.0, faults=(parse(f"{name}:feed=futures,market=ETH_USDT"),))
    async with Exchange(settings) as exchange:
        found = []
        for path, key, market in (
            ("/spot/order_book", "currency_pair", "ETH_USDT"),
            (BOOK, "contract", "BTC_USDT"),
            (BOOK, "contract", "ETH_USDT"),
            (BOOK, "contract", "ETH_USDT"),
        ):
            async with http.get(
                f"{exchange.rest_url}{path}", params={key: market}
            ) as answer:
                found.append(answer.status)

        assert found == [200, 200, status, 200]
        (done,) = exchange.truth.faults_of(name, "rest")
        assert done.market == "ETH_USDT"


async def test_a_stale_book_is_one_of_the_past(get):
    settings = whole(
        rate=200.0,
        faults=(parse("stale_snapshot:feed=futures,probability=1,seconds=0.5"),),
    )
    async with Exchange(settings) as exchange:
        async with asyncio.timeout(15):
            while True:
                newest = exchange.truth.markets["futures:ETH_USDT"].last_id
                _, body = await get(
                    exchange.rest_url, BOOK, contract="ETH_USDT", with_id="true"
                )
                if body["id"] < newest:
                    break

        assert exchange.truth.faults_of("stale_snapshot", "rest")
