"""The whole top of a book, pushed when it changes, as a client sees it."""

import asyncio
import json  # noqa: TID251 - the oracle must not share the simulator's decoder
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from recorder.clock import SystemClock
from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Context, Push
from recorder.simulator.engine import Market
from recorder.simulator.faults import FaultPlan, parse
from recorder.simulator.markets import market_spec
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.top import TopSequence
from recorder.simulator.truth import Truth


TOP = "spot.order_book"


def levels(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(tuple(map(tuple, result[side])) for side in ("bids", "asks"))


@pytest.mark.parametrize(
    ("level", "interval", "era"), [("20", "100ms", "2026"), ("5", "100ms", "2021")]
)
async def test_each_push_is_the_top_of_the_book_at_its_id_and_differs_from_the_last(
    connect, level: str, interval: str, era: str
):
    settings = Settings(
        rate=60.0, markets=("BTC_USDT", "GT_USDT"), seed=7, wire_era=era
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(TOP, "GT_USDT", level, interval)
        await client.pushed(8, TOP)
        pushed = client.updates(TOP)

        for result in pushed:
            truth = exchange.truth.book_at(
                "GT_USDT", result["lastUpdateId"], int(level)
            )
            assert levels(result) == truth
            assert result["s"] == "GT_USDT"
            assert result.get("l") == (level if era == "2026" else None)
        assert all(
            levels(a) != levels(b) and a["lastUpdateId"] < b["lastUpdateId"]
            for a, b in pairwise(pushed)
        )


async def test_a_quiet_book_is_told_once_to_whoever_subscribes(connect):
    async with Exchange(Settings(rate=0.0, markets=("BTC_USDT",))) as exchange:
        first, second = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await first.subscribe(TOP, "BTC_USDT", "20", "100ms")
        await first.pushed(1, TOP)
        await second.subscribe(TOP, "BTC_USDT", "20", "100ms")
        await second.pushed(1, TOP)
        await first.send(
            channel=TOP, event="unsubscribe", payload=["BTC_USDT", "20", "100ms"]
        )
        await first.until(lambda f: f["event"] == "unsubscribe")
        await first.subscribe(TOP, "BTC_USDT", "20", "100ms")
        await first.pushed(1, TOP)

        assert len(first.updates(TOP)) == 2
        assert len(second.updates(TOP)) == 1


async def test_the_slow_interval_is_slower(connect):
    settings = Settings(rate=400.0, markets=("BTC_USDT",), log_frames=True)
    async with Exchange(settings) as exchange:
        fast, slow = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await slow.subscribe(TOP, "BTC_USDT", "20", "1000ms")
        await fast.subscribe(TOP, "BTC_USDT", "20", "100ms")
        await slow.pushed(1, TOP)
        await fast.pushed(3, TOP)
        sent = Counter(
            f.parameter for f in exchange.truth.frames if f.stream == "depth"
        )

        assert set(sent) == {"top.20", "top.20@1000ms"}
        assert sent["top.20"] > 2 * sent["top.20@1000ms"]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (["NOPE_USD", "20", "100ms"], "unknown currency pair: NOPE_USD"),
        (["BTC_USDT", "30", "100ms"], "provided level not supported: 30"),
        (["BTC_USDT", "20", "20ms"], "incorrect update interval specified: 20ms"),
        (["BTC_USDT", "20"], "invalid argument"),
    ],
)
async def test_what_cannot_be_had_is_refused(connect, payload: list[str], message: str):
    async with Exchange(Settings(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        answer = await client.subscribe(TOP, *payload)

        assert answer["error"]["code"] == 2
        assert answer["error"]["message"].startswith(message)


async def test_the_truth_says_of_a_push_what_is_in_it(connect):
    settings = Settings(rate=100.0, markets=("BTC_USDT",), log_frames=True)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(TOP, "BTC_USDT", "20", "100ms")
        await client.pushed(3, TOP)
        sent = [f for f in exchange.truth.frames if f.stream == "depth"]

        for result, frame in zip(client.updates(TOP), sent, strict=False):
            bids, asks = levels(result)
            assert frame.facts == (
                {
                    "ts_event": result["t"] * 10**6,
                    "is_snapshot": True,
                    "first_update_id": None,
                    "last_update_id": result["lastUpdateId"],
                    "bids": bids,
                    "asks": asks,
                },
            )
            assert frame.first_update_id is None
            assert frame.last_update_id == result["lastUpdateId"]


async def test_a_crossed_push_is_mended_by_the_next(connect):
    async with Exchange(Settings(rate=100.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(TOP, "BTC_USDT", "20", "100ms")
        await client.pushed(1, TOP)
        exchange.order(parse("crossed:parameter=top.20"))
        async with asyncio.timeout(15):
            while not exchange.truth.faults:
                await client.pushed(1, TOP)
        await client.pushed(2, TOP)
        (fault,) = exchange.truth.faults

        for result in client.updates(TOP):
            bids, asks = levels(result)
            is_crossed = Decimal(bids[0][0]) >= Decimal(asks[0][0])
            assert is_crossed == (result["lastUpdateId"] == fault.last_update_id)
            assert len(bids) == len(asks) == 20


class Reader:
    """Stands for a connection: keeps what it is pushed."""

    number = 1
    feed = "v4"

    def __init__(self) -> None:
        self.pushes: list[Push] = []

    def push(self, push: Push) -> bool:
        self.pushes.append(push)
        return True


def test_an_empty_side_is_an_empty_list_and_cannot_be_crossed():
    market = Market(market_spec("BTC_USDT"), 1, 0)
    market.book.take(BID, 10**12)
    truth = Truth()
    context = Context(
        clock=SystemClock(),
        plan=FaultPlan([parse("crossed")], seed=1, start_ns=0),
        truth=truth,
        counters=Counter(),
    )

    def encode(market: Market, bids: Any, asks: Any, *, now_ns: int) -> bytes:
        return json.dumps([bids, asks, now_ns]).encode()

    sequence = TopSequence(
        market, encode, context, name="top.5", depth=5, period_ns=10, now_ns=0
    )
    reader = Reader()
    sequence.publish(5, [reader])
    (push,) = reader.pushes

    assert sequence.due_ns == 15
    assert truth.faults == []
    assert json.loads(push.payload) == [
        [list(level) for level in market.book.top(BID, 5)],
        [],
        5,
    ]
    assert market.book.top(ASK, 5) == []
