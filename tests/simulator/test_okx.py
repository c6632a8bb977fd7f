"""The protocol of the documents, asked by an independent client."""

import json  # noqa: TID251 - the oracle must not share the simulator's decoder
from typing import Any

import aiohttp
import pytest

from recorder.simulator.faults import Fault, parse
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


STATUS = {"channel": "status"}
KEYS = {
    "begin",
    "end",
    "href",
    "preOpenBegin",
    "scheDesc",
    "serviceType",
    "state",
    "system",
    "maintType",
    "env",
    "title",
    "ts",
}


class Clock:
    """Stands still unless it is told otherwise."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)


def exchange_of(*faults: str, clock: Clock | None = None, **okx: object) -> Exchange:
    settings = Settings(
        rate=0.0,
        markets=("A_B",),
        log_frames=True,
        okx=OkxSettings(**({"change_seconds": 0.0} | okx)),
        faults=tuple(parse(text) for text in faults),
    )
    return Exchange(settings, clock=clock)


def url(exchange: Exchange) -> str:
    return exchange.status_urls["okx_status"]


async def ask(client, op: str, *channels: str, **more: Any) -> dict[str, Any]:
    """Send a request about some channels; return the first answer."""
    await client.send(op=op, args=[{"channel": name} for name in channels], **more)
    return await client.until(lambda frame: "event" in frame)


async def pushed(client) -> list[dict[str, str]]:
    frame = await client.until(lambda f: "data" in f)
    assert frame["arg"] == STATUS
    return frame["data"]


async def text(client) -> str:
    message = await client.socket.receive(timeout=15)
    assert message.type is aiohttp.WSMsgType.TEXT
    return message.data


async def test_a_ping_of_plain_text_is_answered_by_one(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.socket.send_str("ping")

        assert await text(client) == "pong"


async def test_a_subscription_is_answered_and_brings_the_latest_change(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        answer = await ask(client, "subscribe", "status", id="1512")
        (change,) = await pushed(client)

    assert answer == {
        "id": "1512",
        "event": "subscribe",
        "arg": STATUS,
        "connId": answer["connId"],
    }
    # The one sample of the documents.
    assert change == {
        "begin": "1672823400000",
        "end": "1672825980000",
        "href": "",
        "preOpenBegin": "",
        "scheDesc": "",
        "serviceType": "0",
        "state": "completed",
        "system": "unified",
        "maintType": "1",
        "env": "1",
        "title": "Trading account WebSocket system upgrade",
        "ts": "1672826038470",
    }


async def test_without_history_a_subscription_brings_nothing(connect):
    async with exchange_of(has_history=False) as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        await client.socket.send_str("ping")

        assert await text(client) == "pong"


async def test_each_channel_of_a_request_is_answered_on_its_own(connect):
    async with exchange_of(has_history=False) as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status", "statusx", "status", id="a1")
        await client.until(lambda f: f["event"] == "subscribe")
        frames = client.frames

    assert [frame["event"] for frame in frames] == ["subscribe", "error", "subscribe"]
    assert {frame["id"] for frame in frames} == {"a1"}
    assert frames[1]["code"] == "60018"
    assert "channel:statusx doesn't exist" in frames[1]["msg"]


@pytest.mark.parametrize(
    "sent",
    [
        '{"op": "subscribe", "argss":[{ "channel" : "statusx"}]}',
        "{not json",
        '{"op":"subscribe","args":[{"channel":"status"}],"id":"with space"}',
        '{"args":[]}',
    ],
)
async def test_a_request_of_another_shape_is_echoed_within_a_text(connect, sent: str):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.socket.send_str(sent)
        answer = json.loads(await text(client))

    assert (answer["event"], answer["code"]) == ("error", "60012")
    assert answer["msg"] == f"Invalid request: {sent}"
    assert "id" not in answer


async def test_an_error_names_the_request_if_it_can_be_read(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.socket.send_str('{"id": "1512", "op": "subscribe", "x": 1}')

        assert json.loads(await text(client))["id"] == "1512"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"op": "subscribe"}, "60013"),
        ({"op": "subscribe", "args": []}, "60013"),
        ({"op": "subscribe", "args": ["status"]}, "60013"),
        ({"op": "subscribe", "args": [{"instId": "x"}]}, "60013"),
        ({"op": "order", "args": [STATUS]}, "60019"),
        ({"op": "login", "args": [{"apiKey": "x"}]}, "60028"),
    ],
)
async def test_what_cannot_be_asked_has_its_code(connect, request_, code: str):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.send(**request_)

        assert json.loads(await text(client))["code"] == code


async def test_a_change_is_pushed_to_every_subscriber_and_written_down(connect):
    async with exchange_of(has_history=False) as exchange:
        clients = [await connect(url(exchange)) for _ in range(3)]
        for client in clients[:2]:
            await ask(client, "subscribe", "status")
        changes = [exchange.okx.change() for _ in range(7)]
        received = [[await pushed(c) for _ in changes] for c in clients[:2]]
        await clients[2].socket.send_str("ping")
        last = await text(clients[2])
        notices = exchange.truth.notices

    assert received[0] == received[1]
    assert last == "pong"
    flat = [change for data in received[0] for change in data]
    assert all(set(change) == KEYS for change in flat)
    assert [len(data) for data in received[0]] == [1, 1, 1, 1, 1, 1, 2]
    assert [json.loads(n.facts["payload"]) for n in notices] == flat
    assert [n.facts["state"] for n in notices] == [c["state"] for c in flat]
    assert [n.facts["title"] for n in notices] == [c["title"] for c in flat]
    assert [n.facts["url"] for n in notices] == [c["href"] or None for c in flat]
    for column, key in (("starts_at", "begin"), ("ends_at", "end"), ("ts_event", "ts")):
        assert [n.facts[column] for n in notices] == [
            int(c[key]) * 1_000_000 for c in flat
        ]


async def test_the_latest_change_is_repeated_after_each_subscription(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        await pushed(client)
        exchange.okx.change()
        (change,) = await pushed(client)
        await ask(client, "subscribe", "status")
        (again,) = await pushed(client)
        other = await connect(url(exchange))
        await ask(other, "subscribe", "status")

        assert change == again == (await pushed(other))[0]
        assert len(exchange.truth.notices) == 2


async def test_after_unsubscribing_nothing_comes(connect):
    async with exchange_of(has_history=False) as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        answer = await ask(client, "unsubscribe", "status")
        exchange.okx.change()
        await client.socket.send_str("ping")

        assert (answer["event"], answer["arg"]) == ("unsubscribe", STATUS)
        assert await text(client) == "pong"


async def test_changes_come_by_themselves(connect):
    async with exchange_of(change_seconds=0.05) as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        for _ in range(4):
            await pushed(client)

        assert len(exchange.truth.notices) >= 4


async def pong(client) -> None:
    """Ping, and read on to the answer."""
    await client.socket.send_str("ping")
    while await text(client) != "pong":
        pass


async def test_a_connection_that_only_pings_is_closed_for_want_of_a_subscription(
    connect,
):
    clock = Clock()
    async with exchange_of(clock=clock) as exchange:
        client = await connect(url(exchange))
        for _ in range(3):
            clock.seconds += 9.9
            await pong(client)
        clock.seconds += 0.4

        assert await client.ended() == 4004
        assert exchange.counters["idle_closes"] == 1


async def test_a_quiet_subscription_lives_as_long_as_it_pings(connect):
    clock = Clock()
    async with exchange_of(clock=clock) as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        for _ in range(5):
            clock.seconds += 29.9
            await pong(client)
        clock.seconds += 30.1

        assert await client.ended() == 4004


async def test_the_notice_of_an_upgrade_is_pretty_printed_and_then_it_closes(connect):
    async with exchange_of("v5_upgrade:seconds=0.3,at=0.05") as exchange:
        client = await connect(url(exchange))
        silent = await connect(url(exchange))
        conn_id = (await ask(client, "subscribe", "status"))["connId"]
        notice = await client.until(lambda f: f.get("event") == "notice")
        told = client.texts[-1]
        exchange.okx.change()
        assert await pushed(client)

        assert await client.ended() == 1001
        assert await silent.ended() == 1001
        assert notice["code"] == "64008"
        assert told == (
            '{\n  "event": "notice",\n  "msg": "The connection will soon be closed for '
            'a service upgrade. Please reconnect.",\n  "code": "64008",\n'
            f'  "connId": "{conn_id}"\n}}'
        )
        assert [fault.conn for fault in exchange.truth.faults] == [1, 2]
        # Who comes back is served.
        again = await connect(url(exchange))
        assert (await ask(again, "subscribe", "status"))["event"] == "subscribe"


async def test_more_than_three_connections_a_second_are_refused(connect):
    clock = Clock()
    async with exchange_of(clock=clock) as exchange:
        for _ in range(3):
            await connect(url(exchange))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await connect(url(exchange))
        clock.seconds += 1.1
        await connect(url(exchange))

    assert refusal.value.status == 429


async def test_too_many_requests_over_a_connection_are_refused(connect):
    async with exchange_of(operations_per_hour=2, has_history=False) as exchange:
        client = await connect(url(exchange))
        answers = [await ask(client, "subscribe", "status") for _ in range(3)]

    assert [a.get("code") for a in answers] == [None, None, "60014"]


async def test_connections_are_counted_on_request(connect):
    async with exchange_of(tells_connections=True) as exchange:
        clients = [await connect(url(exchange)) for _ in range(2)]
        for client in clients:
            await ask(client, "subscribe", "status")
        frame = await client.until(lambda f: f.get("event") == "channel-conn-count")

    assert frame == {
        "event": "channel-conn-count",
        "channel": "status",
        "connCount": "2",
        "connId": frame["connId"],
    }


@pytest.mark.parametrize("code", [60018, 60014, 63999, 64007])
async def test_an_error_can_be_ordered_by_its_code(connect, code: int):
    async with exchange_of(f"v5_error:code={code}") as exchange:
        client = await connect(url(exchange))
        refused = await ask(client, "subscribe", "status")
        accepted = await ask(client, "subscribe", "status")

    assert (refused["event"], refused["code"]) == ("error", str(code))
    assert accepted["event"] == "subscribe"


async def test_a_frame_can_be_spoiled_or_come_twice(connect):
    async with exchange_of("v5_malformed:count=1", "v5_duplicate:count=1") as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        assert await client.next() is None
        exchange.okx.change()
        twice = [await pushed(client) for _ in range(2)]
        frames = [f for f in exchange.truth.frames if f.stream == "status"]

    assert twice[0] == twice[1]
    assert [frame.is_whole for frame in frames] == [False, True, True]
    assert [len(frame.facts) for frame in frames] == [1, 1, 1]


async def test_a_handshake_can_fail(connect):
    async with exchange_of("v5_handshake_502") as exchange:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await connect(url(exchange))
        await connect(url(exchange))

        assert [(f.name, f.feed) for f in exchange.truth.faults] == [
            ("v5_handshake_502", "v5")
        ]


async def test_connections_can_be_dropped_and_stalled(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await ask(client, "subscribe", "status")
        await pushed(client)
        exchange.order(Fault(name="v5_stall", seconds=0.2))
        assert await client.ended() == 1006
        other = await connect(url(exchange))
        await ask(other, "subscribe", "status")
        exchange.drop_connections("v5")
        assert await other.ended() == 1006

        assert [f.name for f in exchange.truth.faults] == ["v5_stall"]
