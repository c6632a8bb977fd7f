"""What the truth says of pushed frames, against what a client reads in them."""

import asyncio

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FrameSent


QUICK = {"ticker_seconds": 0.1, "kline_seconds": 0.1, "v3_batch_seconds": 0.1}


def said(exchange: Exchange, stream: str) -> list[FrameSent]:
    return [f for f in exchange.truth.frames if f.stream == stream]


async def test_facts_of_the_newer_protocol_are_what_its_frames_say(connect):
    settings = Settings(rate=200.0, log_frames=True, **QUICK)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.tickers", "BTC_USDT")
        await client.subscribe("spot.book_ticker", "BTC_USDT")
        await client.subscribe("spot.candlesticks", "1m", "BTC_USDT")
        await client.subscribe("spot.order_book_update", "BTC_USDT", "20ms")
        await client.pushed(
            3,
            "spot.tickers",
            "spot.book_ticker",
            "spot.candlesticks",
            "spot.order_book_update",
        )

    for row, frame in zip(
        client.updates("spot.tickers"), said(exchange, "tickers"), strict=False
    ):
        [fact] = frame.facts
        assert fact == {
            "last": row["last"],
            "bid": row["highest_bid"],
            "ask": row["lowest_ask"],
            "open": None,
            "close": None,
            "high": row["high_24h"],
            "low": row["low_24h"],
            "change_pct": row["change_percentage"],
            "base_volume": row["base_volume"],
            "quote_volume": row["quote_volume"],
            "period_s": None,
        }
    for row, frame in zip(
        client.updates("spot.book_ticker"), said(exchange, "bbo"), strict=False
    ):
        [fact] = frame.facts
        assert fact == {
            "ts_event": row["t"] * 10**6,
            "update_id": row["u"],
            "bid_price": row["b"],
            "bid_amount": row["B"],
            "ask_price": row["a"],
            "ask_amount": row["A"],
        }
    for row, frame in zip(
        client.updates("spot.candlesticks"), said(exchange, "klines"), strict=False
    ):
        [fact] = frame.facts
        assert frame.parameter == "1m"
        assert fact == {
            "open_at": int(row["t"]) * 10**9,
            "open": row["o"],
            "high": row["h"],
            "low": row["l"],
            "close": row["c"],
            "volume": row["a"],
            "turnover": row["v"],
            "is_closed": row["w"],
        }
    for row, frame in zip(
        client.updates("spot.order_book_update"), said(exchange, "depth"), strict=False
    ):
        [fact] = frame.facts
        assert frame.parameter == "20ms"
        assert (fact["first_update_id"], fact["last_update_id"]) == (row["U"], row["u"])
        assert sorted(map(list, fact["bids"])) == sorted(row["b"])
        assert sorted(map(list, fact["asks"])) == sorted(row["a"])


@pytest.mark.parametrize("is_late", [False, True])
async def test_facts_of_the_older_protocol_are_what_its_frames_say(
    connect, *, is_late: bool
):
    settings = Settings(rate=200.0, log_frames=True, v3_late=is_late, **QUICK)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_v3)
        await client.ask("ticker.subscribe", "BTC_USDT")
        await client.ask("kline.subscribe", "BTC_USDT", 60)
        await client.ask("depth.subscribe", "BTC_USDT", 30, "0.1")
        await client.pushed(3, "ticker.update", "kline.update", "depth.update")

    for (_, row), frame in zip(
        client.pushes("ticker.update"), said(exchange, "tickers"), strict=False
    ):
        [fact] = frame.facts
        assert fact == {
            "last": row["last"],
            "bid": None,
            "ask": None,
            "open": row["open"],
            "close": row["close"],
            "high": row["high"],
            "low": row["low"],
            "change_pct": row["change"],
            "base_volume": row["quoteVolume"],  # the venue has them swapped
            "quote_volume": row["baseVolume"],
            "period_s": 86_400,
        }
    for rows, frame in zip(
        client.pushes("kline.update"), said(exchange, "klines"), strict=False
    ):
        assert frame.parameter == "1m"
        for row, fact in zip(rows, frame.facts, strict=True):
            assert fact == {
                "open_at": row[0] * 10**9,
                "open": row[1],
                "close": row[2],
                "high": row[3],
                "low": row[4],
                "volume": row[5],
                "turnover": row[6],
                "is_closed": row[8] if is_late else None,
            }
    for (is_clean, depth, _), frame in zip(
        client.pushes("depth.update"), said(exchange, "depth"), strict=False
    ):
        [fact] = frame.facts
        assert frame.parameter == "30@0.1"
        assert fact["is_snapshot"] is is_clean
        assert [list(level) for level in fact["bids"]] == depth.get("bids", [])
        assert [list(level) for level in fact["asks"]] == depth.get("asks", [])


async def test_a_frame_that_a_fault_spoils_is_told_from_a_whole_one(connect):
    settings = Settings(
        rate=200.0, log_frames=True, faults=(parse("malformed:stream=trades"),)
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.pushed(3, "spot.trades")

    is_whole = [frame.is_whole for frame in said(exchange, "trades")]
    assert len(client.bad) == 1
    assert is_whole[0] is False
    assert set(is_whole[1:]) == {True}


async def test_the_first_subscription_is_told_and_the_time_of_faults_begins(connect):
    settings = Settings(rate=200.0, faults=(parse("abort:at=0.1"),))
    async with Exchange(settings) as exchange:
        waiting = asyncio.ensure_future(exchange.subscribed())
        client = await connect(exchange.ws_url_spot)
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert exchange.truth.faults == []

        await client.subscribe("spot.trades", "BTC_USDT")
        await waiting

        assert await client.ended() == 1006
        assert [fault.name for fault in exchange.truth.faults] == ["abort"]


async def test_an_upgrade_is_noted_for_each_connection_that_it_closes(connect):
    settings = Settings(rate=0.0, faults=(parse("upgrade:at=0.1,seconds=0.1"),))
    async with Exchange(settings) as exchange:
        clients = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await clients[0].subscribe("spot.trades", "BTC_USDT")
        for client in clients:
            await client.ended()

        assert [(f.name, f.conn) for f in exchange.truth.faults] == [
            ("upgrade", 1),
            ("upgrade", 2),
        ]
