"""Order book streams over real sockets, judged by an independent client.

The client knows the documented rules only: a full frame is the book, after
it each change begins where the last one ended.
"""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


Frame = dict[str, Any]
OBU = "spot.obu"
FIRST = "ob.BTC_USDT.50"
LEVELS = {"400": 400, "50": 50}


class Reader:
    """A client's book of one stream, compared with the truth at each frame."""

    def __init__(self, exchange: Exchange, name: str) -> None:
        self.exchange = exchange
        self.name = name
        self.market, levels = name.removeprefix("ob.").rsplit(".", 1)
        self.depth = LEVELS[levels]
        self.last: int | None = None
        self.sides: dict[str, dict[str, str]] = {}
        self.compared = 0

    def apply(self, result: Frame) -> None:
        if result.get("full"):
            assert "U" not in result
            self.sides = {key: dict(map(tuple, result[key])) for key in "ba"}
        else:
            assert self.last is not None, "a change came before the book"
            assert result["U"] == self.last + 1
            for key, side in self.sides.items():
                for price, amount in result.get(key, []):
                    if amount == "0":
                        del side[price]  # nothing unknown is ever removed
                    else:
                        side[price] = amount
        self.last = result["u"]
        bids = sorted(self.sides["b"].items(), key=lambda x: -Decimal(x[0]))
        asks = sorted(self.sides["a"].items(), key=lambda x: Decimal(x[0]))
        expected = self.exchange.truth.book_at(self.market, result["u"], self.depth)
        assert (tuple(bids), tuple(asks)) == expected
        self.compared += 1


def told(client, name: str = FIRST) -> list[Frame]:
    return [r for r in client.updates(OBU) if r["s"] == name]


async def receive(client, count: int, name: str = FIRST) -> None:
    """Read on until so many frames of a stream came."""
    await client.gather(
        count,
        lambda f: f.get("event") == "update" and f["result"].get("s") == name,
    )


@pytest.mark.parametrize("is_full_first", [False, True])
async def test_every_book_of_every_stream_is_the_exchanges_own(
    connect, *, is_full_first: bool
):
    settings = Settings(
        seed=7,
        rate=300.0,
        markets=("BTC_USDT", "GT_USDT"),
        obu_full_first=is_full_first,
    )
    names = ["ob.BTC_USDT.50", "ob.BTC_USDT.400", "ob.GT_USDT.400"]
    async with Exchange(settings) as exchange:
        client, late = [await connect(exchange.ws_url_spot) for _ in range(2)]
        await client.subscribe(OBU, *names)
        for name in names:
            await receive(client, 5, name)
        await late.subscribe(OBU, FIRST)
        await receive(late, 20)
        await receive(client, 20)

        for reading in (client, late):
            for name in names if reading is client else [FIRST]:
                reader = Reader(exchange, name)
                frames = told(reading, name)
                assert [bool(f.get("full")) for f in frames[:3]] == [True, False, False]
                for frame in frames:
                    reader.apply(frame)
                assert reader.compared >= 5
        # The window of whoever comes later is his alone.
        assert sum(bool(f.get("full")) for f in told(client)) == 1
        kinds = [f["event"] for f in late.frames]
        assert kinds[:2] == (
            ["update", "subscribe"] if is_full_first else ["subscribe", "update"]
        )


async def test_where_nothing_in_the_window_changed_only_ids_are_sent(connect):
    async with Exchange(
        Settings(rate=100.0, markets=("BTC_USDT",), seed=5)
    ) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST)
        bare = await client.until(
            lambda f: f["event"] == "update" and not {"a", "b"} & f["result"].keys()
        )

        result = bare["result"]
        assert set(result) == {"t", "s", "U", "u"}
        before, after = [
            exchange.truth.book_at("BTC_USDT", update_id, 50)
            for update_id in (result["U"] - 1, result["u"])
        ]
        assert before == after


async def test_frames_have_the_keys_that_were_recorded_and_levels_in_any_order(connect):
    async with Exchange(Settings(rate=2_000.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, "ob.BTC_USDT.400")
        await receive(client, 5, "ob.BTC_USDT.400")
    full, *changes = [f for f in client.frames if f["event"] == "update"]

    assert list(full) == ["channel", "result", "time_ms", "event"]
    assert list(full["result"]) == ["t", "full", "s", "u", "b", "a"]
    for change in changes:
        assert list(change["result"]) == ["t", "s", "U", "u", "b", "a"]
    prices = [[Decimal(p) for p, _ in c["result"]["b"]] for c in changes]
    assert any(p not in (sorted(p), sorted(p, reverse=True)) for p in prices)
    amounts = {a for c in changes for _, a in c["result"]["b"]}
    assert "0" in amounts


async def test_a_quiet_market_has_its_book_told_and_nothing_else(connect):
    settings = Settings(rate=100.0, quiet_markets=("GT_USDT",))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, "ob.GT_USDT.50", FIRST)
        await receive(client, 15)

        (frame,) = told(client, "ob.GT_USDT.50")
        Reader(exchange, "ob.GT_USDT.50").apply(frame)


async def test_a_stream_can_be_asked_for_once_and_again_when_taken_back(connect):
    async with Exchange(Settings(rate=200.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST)
        await receive(client, 2)
        for payload in ([FIRST], ["ob.GT_USDT.50", FIRST], ["ob.A_B.1", "ob.A_B.1"]):
            twice = await client.subscribe(OBU, *payload)
            assert twice["result"] == {"status": "fail"}
            assert twice["error"] == {"code": 2, "message": f"Alert sub {payload[-1]}"}
        await receive(client, 3)  # the first goes on
        assert [bool(f.get("full")) for f in told(client)].count(True) == 1
        assert told(client, "ob.GT_USDT.50") == []  # refused as a whole

        await client.send(channel=OBU, event="unsubscribe", payload=[FIRST, "ob.X.1"])
        gone = await client.until(lambda f: f["event"] == "unsubscribe")
        assert gone["result"] == {"status": "success"}
        client.frames.clear()
        await client.subscribe(OBU, FIRST)
        await receive(client, 3)
        frames = told(client)

        assert frames[0]["full"] is True
        reader = Reader(exchange, FIRST)
        for frame in frames:
            reader.apply(frame)


@pytest.mark.parametrize(
    "name", ["ob.NOPE_USDT.50", "ob.BTC_USDT.20", "ob.BTC_USDT", "something"]
)
async def test_what_is_not_served_is_accepted_and_silent(connect, name: str):
    async with Exchange(Settings(rate=200.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        answer = await client.subscribe(OBU, name)
        await client.subscribe(OBU, FIRST)
        await receive(client, 10)
        again = await client.subscribe(OBU, name)

        assert answer["result"] == {"status": "success"}
        assert {r["s"] for r in client.updates(OBU)} == {FIRST}
        assert again["error"]["message"] == f"Alert sub {name}"


@pytest.mark.parametrize("payload", [[], "ob.BTC_USDT.50", [50], None])
async def test_a_payload_of_another_shape_is_refused(connect, payload: object):
    async with Exchange(Settings(rate=200.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        for event in ("subscribe", "unsubscribe"):
            await client.send(channel=OBU, event=event, payload=payload)
            answer = await client.until(lambda f: f["channel"] == OBU)
            assert answer["error"]["code"] == 2
            assert answer["event"] == event
        await client.send(channel=OBU, event="dance", payload=[FIRST])
        answer = await client.until(lambda f: f["channel"] == OBU)
        assert answer["error"] == {"code": 1, "message": "unknown event: dance"}


async def test_a_full_frame_can_come_in_between(connect):
    async with Exchange(Settings(rate=300.0, markets=("BTC_USDT",))) as exchange:
        client, other = [await connect(exchange.ws_url_spot) for _ in range(2)]
        for reading in (client, other):
            await reading.subscribe(OBU, FIRST, "ob.BTC_USDT.400")
            await receive(reading, 3)
        exchange.order(parse("full:parameter=obu.50"))
        for reading in (client, other):
            await receive(reading, 12)
        (fault,) = exchange.truth.faults

        for number, reading in enumerate((client, other), 1):
            frames = told(reading)
            reader = Reader(exchange, FIRST)
            for frame in frames:
                reader.apply(frame)
            fulls = [f["u"] for f in frames if f.get("full")]
            hit = [fault.last_update_id] if number == fault.conn else []
            assert fulls[1:] == hit
        assert (fault.parameter, fault.first_update_id) == ("obu.50", None)


async def test_a_dropped_change_leaves_a_hole_that_the_truth_knows(connect):
    async with Exchange(Settings(rate=300.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST)
        await receive(client, 3)
        exchange.order(parse("drop:parameter=obu.50"))
        await receive(client, 12)
        (fault,) = exchange.truth.faults
        holes = [
            (a["u"] + 1, b["U"] - 1)
            for a, b in pairwise(told(client))
            if a["u"] + 1 != b["U"]
        ]

        assert holes == [(fault.first_update_id, fault.last_update_id)]


async def test_a_crossing_level_stays_until_the_stream_is_asked_for_again(connect):
    async with Exchange(Settings(rate=100.0, markets=("BTC_USDT",))) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST)
        await receive(client, 3)
        exchange.order(parse("crossed:parameter=obu.50"))
        await receive(client, 8)
        (fault,) = exchange.truth.faults
        frames = told(client)
        (hit,) = [f for f in frames if f["u"] == fault.last_update_id]
        bids, asks = exchange.truth.book_at("BTC_USDT", hit["u"], 50)

        assert max(Decimal(p) for p, a in hit["b"] if a != "0") > Decimal(asks[0][0])
        assert Decimal(bids[0][0]) < Decimal(asks[0][0])
        await client.send(channel=OBU, event="unsubscribe", payload=[FIRST])
        await client.until(lambda f: f["event"] == "unsubscribe")
        client.frames.clear()
        await client.subscribe(OBU, FIRST)
        await receive(client, 2)
        reader = Reader(exchange, FIRST)
        for frame in told(client):
            reader.apply(frame)


async def test_a_silenced_stream_stays_silent_until_it_is_taken_back(connect):
    settings = Settings(rate=200.0, faults=(parse("silent_ack:parameter=obu.50"),))
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        answer = await client.subscribe(OBU, FIRST, "ob.BTC_USDT.400")
        await receive(client, 3, "ob.BTC_USDT.400")
        again = await client.subscribe(OBU, FIRST)

        assert answer["result"] == {"status": "success"}
        assert again["error"]["message"] == f"Alert sub {FIRST}"
        assert told(client) == []
        (fault,) = exchange.truth.faults
        assert (fault.market, fault.stream, fault.parameter) == (
            "BTC_USDT",
            "depth",
            "obu.50",
        )
        await client.send(channel=OBU, event="unsubscribe", payload=[FIRST])
        await client.subscribe(OBU, FIRST)
        await receive(client, 2)
        assert told(client)[0]["full"] is True


async def test_the_truth_says_of_frames_what_is_in_them(connect):
    settings = Settings(rate=300.0, markets=("BTC_USDT",), log_frames=True)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST)
        await receive(client, 8)
        pushed = [f for f in exchange.truth.frames if f.stream == "depth"]

        for frame, sent in zip(told(client), pushed, strict=False):
            (fact,) = sent.facts
            assert sent.parameter == "obu.50"
            assert sent.last_update_id == frame["u"]
            assert fact["ts_event"] == frame["t"] * 10**6
            assert fact["is_snapshot"] is bool(frame.get("full"))
            assert fact["first_update_id"] == frame.get("U")
            assert fact["last_update_id"] == frame["u"]
            assert sorted(map(list, fact["bids"])) == sorted(frame.get("b", []))
            assert sorted(map(list, fact["asks"])) == sorted(frame.get("a", []))


async def test_streams_keep_a_connection_from_being_idle(connect):
    settings = Settings(
        rate=0.0, idle_unsubscribed_seconds=0.7, idle_subscribed_seconds=60.0
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST)
        idle = await connect(exchange.ws_url_spot)
        await idle.ended()
        await client.send(channel="spot.ping", id=1)

        assert await client.until(lambda f: f["channel"] == "spot.pong")


async def test_nothing_is_made_for_a_stream_that_nobody_reads(connect):
    async with Exchange(Settings(rate=100.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(OBU, FIRST, "ob.NOPE.50")
        await receive(client, 2)
        await client.socket.close()
        other = await connect(exchange.ws_url_spot)
        await other.subscribe(OBU, "ob.GT_USDT.50")
        await receive(other, 2, "ob.GT_USDT.50")

        assert list(exchange._spot._obu._sequences) == ["ob.GT_USDT.50"]
