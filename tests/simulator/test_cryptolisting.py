"""The listing service over real sockets, read by an independent client."""

import asyncio
import json  # noqa: TID251 - the oracle must not share the simulator's decoder
import socket as sockets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from recorder.errors import ConfigError
from recorder.simulator.cryptolisting.client import CLOSES
from recorder.simulator.cryptolisting.door import REFUSALS
from recorder.simulator.cryptolisting.kinds import CLOSED, PREFIX, REFUSED
from recorder.simulator.cryptolisting.server import ListingServer
from recorder.simulator.cryptolisting.settings import (
    DEMO_KEY,
    ApiKey,
    ListingSettings,
    Scripted,
    settings_of,
)
from recorder.simulator.cryptolisting.truth import load_listing_truth
from recorder.simulator.faults import KINDS, Fault, parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


GOOD = {"X-API-Key": DEMO_KEY}


class Listener:
    """A client that counts what kinds of frames came, and keeps their JSON."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.kinds: list[aiohttp.WSMsgType] = []

    async def next(self) -> dict[str, Any]:
        """Return the next message, whatever frame it comes in."""
        message = await self.socket.receive(timeout=15)
        self.kinds.append(message.type)
        if message.type not in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}:
            raise ConnectionResetError(message.type)
        said: dict[str, Any] = json.loads(message.data)
        return said

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next message of a type."""
        while (said := await self.next())["type"] != kind:
            pass
        return said

    async def end(self) -> tuple[int | None, str | None]:
        """Read on to the end; return the close code and reason."""
        while True:
            message = await self.socket.receive(timeout=15)
            self.kinds.append(message.type)
            if message.type is aiohttp.WSMsgType.CLOSE:
                return message.data, message.extra
            if message.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR}:
                return None, None


class ManualClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000

    def now_ns(self) -> int:
        return self.seconds * 10**9


def quick(generation: str = "C", **changes: Any) -> ListingSettings:
    """Settings without the pauses between two connections."""
    return settings_of(generation, **{"cooldown_seconds": 0.0, **changes})


@asynccontextmanager
async def listening(
    server: ListingServer,
    query: str = "",
    headers: dict[str, str] = GOOD,
    **options: Any,
) -> AsyncIterator[Listener]:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{server.ws_url}{query}", headers=headers, **options) as ws,
    ):
        yield Listener(ws)


async def refusal(
    server: ListingServer, headers: dict[str, str] = GOOD, query: str = ""
) -> tuple[int, dict[str, Any]]:
    """Ask for a WebSocket in plain HTTP; return status and body."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    }
    url = server.ws_url.replace("ws:", "http:") + query
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers=upgrade | headers) as answer,
    ):
        return answer.status, json.loads(await answer.read())


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - the service tells nobody
            await asyncio.sleep(0.005)


async def test_a_client_is_welcomed_at_once_in_a_binary_frame():
    async with ListingServer(quick("C")) as server, listening(server) as client:
        said = await client.next()

    assert client.kinds == [aiohttp.WSMsgType.BINARY]
    assert said == {
        "type": "welcome",
        "tier": "premium",
        "maxDistinctIps": 2,
        "maxConnectionsPerIp": 5,
        "absoluteMaxConnections": 20,
        "allowedCex": "*",
        "expiresInSecs": None,
    }


@pytest.mark.parametrize("generation", ["A", "B"])
async def test_before_c_a_welcome_has_another_shape(generation: str):
    key = ApiKey(tier="trial", allowed_cex=("binance", "upbit"), expires_in_seconds=900)
    settings = quick(generation, keys=(key,))
    async with ListingServer(settings) as server, listening(server) as client:
        said = await client.next()

    assert said == {
        "type": "welcome",
        "tier": "trial",
        "maxConnections": 5,
        "allowedCex": "binance,upbit",
        "expiresInSecs": said["expiresInSecs"],
    }
    assert 880 < said["expiresInSecs"] <= 900


@pytest.mark.parametrize(
    ("generation", "fields"),
    [
        ("A", {"type"}),
        ("B", {"type"}),
        ("C", {"type", "timestampNs", "timeUtc"}),
    ],
)
async def test_heartbeats_come_again_and_again(generation: str, fields: set[str]):
    settings = quick(generation, heartbeat_seconds=0.02)
    async with ListingServer(settings) as server, listening(server) as client:
        beats = [await client.until("heartbeat") for _ in range(3)]

    assert {frozenset(beat) for beat in beats} == {frozenset(fields)}
    times = [beat.get("timestampNs", 0) for beat in beats]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("generation", "more"),
    [
        ("A", {"publishTimestampUs"}),
        ("B", {"publishTimestampUs"}),
        ("C", {"abnormalDetectionLatency"}),
    ],
)
async def test_an_announcement_says_what_the_documents_say(
    generation: str, more: set[str]
):
    async with (
        ListingServer(quick(generation)) as server,
        listening(server) as client,
    ):
        await client.next()
        news = server.service.announce(
            "신규 거래지원 안내", ["ABC", "D"], publisher="upbit"
        )
        said = await client.next()

    times = {"detectedTimestampUs", "dispatchTimestampUs"}
    fields = {"type", "title", "ticker", "publisher", "listingType"}
    assert said.keys() == fields | times | more
    assert said["type"] == "announcement"
    assert said["title"] == "신규 거래지원 안내"
    assert said["ticker"] == "ABC,D"
    assert said["publisher"] == "upbit"
    assert said["listingType"] == "spot_listing"
    assert said["detectedTimestampUs"] == news.detected_ns // 1_000
    assert said["dispatchTimestampUs"] >= said["detectedTimestampUs"]
    assert server.truth.news == [news]
    assert [json.loads(p.payload) for p in server.truth.pushed("announcement")] == [
        said
    ]


async def test_tickers_can_be_a_list():
    settings = quick(has_ticker_list=True)
    async with ListingServer(settings) as server, listening(server) as client:
        await client.next()
        server.service.announce("x", ["ABC", "D"])

        assert (await client.next())["ticker"] == ["ABC", "D"]


async def test_announcements_follow_the_script_and_the_seed():
    script = (
        Scripted(at_seconds=0.0, title="one", tickers=("A",)),
        Scripted(at_seconds=0.05, title="two", publisher="upbit"),
    )
    titles = []
    for _ in range(2):
        settings = quick(script=script, announcements_per_minute=60_000.0, seed=5)
        async with ListingServer(settings) as server, listening(server) as client:
            said = [await client.until("announcement") for _ in range(30)]
        titles.append([told["title"] for told in said])
        assert [t for t in titles[-1] if t in {"one", "two"}] == ["one", "two"]
        assert {told["publisher"] for told in said} == {"binance", "upbit", "bithumb"}

    made = [[t for t in run if t not in {"one", "two"}] for run in titles]
    assert made[0][:25] == made[1][:25]


@pytest.mark.parametrize(
    ("query", "allowed", "heard"),
    [
        ("", (), ["binance", "upbit"]),
        ("?cex=upbit", (), ["upbit"]),
        ("?cex=binance,upbit", ("upbit",), ["upbit"]),
        ("", ("binance",), ["binance"]),
        ("?cex=binance", ("upbit",), []),
    ],
)
async def test_only_the_exchanges_asked_for_and_allowed_are_heard(
    query: str, allowed: tuple[str, ...], heard: list[str]
):
    settings = quick(keys=(ApiKey(allowed_cex=allowed),), heartbeat_seconds=0.2)
    async with ListingServer(settings) as server, listening(server, query) as client:
        await client.next()
        for publisher in ("binance", "upbit"):
            server.service.announce("x", [], publisher=publisher)
        said = [await client.next() for _ in range(len(heard) + 1)]

    assert [told["publisher"] for told in said[:-1]] == heard
    assert said[-1]["type"] == "heartbeat"


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"X-API-Key": "dsk_wrong"}, 403), (GOOD, 101)]
)
async def test_a_key_is_required(headers: dict[str, str], status: int):
    async with ListingServer(quick()) as server:
        if status == 101:
            async with listening(server, headers=headers) as client:
                assert (await client.next())["type"] == "welcome"
        else:
            assert (await refusal(server, headers))[0] == status
            assert [s for s, _ in server.truth.refusals] == [status]


@pytest.mark.parametrize(("generation", "status"), [("A", 401), ("B", 101), ("C", 401)])
async def test_b_alone_takes_the_key_from_the_address(generation: str, status: int):
    query = f"?api_key={DEMO_KEY}"
    async with ListingServer(quick(generation)) as server:
        if status == 101:
            async with listening(server, query, headers={}) as client:
                assert (await client.next())["type"] == "welcome"
        else:
            assert (await refusal(server, {}, query))[0] == status


@pytest.mark.parametrize(("generation", "status"), [("A", 400), ("B", 400), ("C", 426)])
async def test_a_malformed_upgrade_is_refused(generation: str, status: int):
    async with ListingServer(quick(generation)) as server:
        answer = await refusal(server, GOOD | {"Sec-WebSocket-Version": "1"})

        assert answer[0] == status


@pytest.mark.parametrize("name", [name for name in REFUSALS if name != "http_503"])
async def test_every_documented_refusal_can_be_ordered(name: str):
    async with ListingServer(quick()) as server:
        server.service.order(Fault(name=f"{PREFIX}{name}"))
        status, body = await refusal(server)

        assert status == REFUSALS[name].status
        assert body == {"error": REFUSALS[name].error} | REFUSALS[name].facts
        async with listening(server) as client:
            assert (await client.next())["type"] == "welcome"
        assert server.truth.faults == [f"{PREFIX}{name}"]
    if status == 429:
        assert body["error"] == name


@pytest.mark.parametrize(
    ("generation", "changes", "body"),
    [
        (
            "A",
            {"connections_per_key": 1},
            {"error": "max_connections_reached", "limit": 1, "current": 1},
        ),
        (
            "C",
            {"connects_per_minute": 1},
            {"error": "connection_rate_limit_exceeded"},
        ),
        (
            "C",
            {"connections_per_ip": 1},
            {"error": "per_ip_concurrent_limit_reached"},
        ),
        (
            "C",
            {"connections_per_key_and_ip": 1},
            {"error": "per_ip_connection_limit_reached"},
        ),
        (
            "C",
            {"connections_per_key": 1},
            {"error": "absolute_connection_cap_reached"},
        ),
        (
            "C",
            {"cooldown_seconds": 4.5},
            {"error": "connection_cooldown", "retry_after_s": 5},
        ),
    ],
)
async def test_limits_are_kept(
    generation: str, changes: dict[str, Any], body: dict[str, Any]
):
    async with (
        ListingServer(quick(generation, **changes)) as server,
        listening(server) as client,
    ):
        await client.next()

        assert await refusal(server) == (429, body)


async def test_a_key_may_be_used_from_so_many_addresses():
    async with ListingServer(quick(ips_per_key=1)) as server:
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with (
            aiohttp.ClientSession(connector=elsewhere) as http,
            http.ws_connect(server.ws_url, headers=GOOD),
        ):
            assert await refusal(server) == (429, {"error": "max_distinct_ips_reached"})


async def test_a_place_is_free_again_when_its_client_is_gone():
    async with ListingServer(quick(connections_per_key=1)) as server:
        async with listening(server) as client:
            await client.next()
        await until(lambda: not server.service.clients)

        async with listening(server) as client:
            assert (await client.next())["type"] == "welcome"


async def test_pings_come_and_a_client_that_does_not_answer_is_dropped():
    settings = quick(ping_seconds=0.05, first_ping_seconds=0.0, pong_seconds=0.4)
    async with (
        ListingServer(settings) as server,
        listening(server, autoping=False) as deaf,
        listening(server) as client,
    ):
        waiting = asyncio.create_task(client.until("announcement"))
        end = await deaf.end()
        server.service.announce("still there", [])
        said = await waiting

    assert end == (None, None)
    assert aiohttp.WSMsgType.PING in deaf.kinds
    assert server.truth.ends[0] == (None, "dropped")
    assert said["title"] == "still there"


@pytest.mark.parametrize("generation", ["B", "C"])
async def test_a_test_announcement_comes_for_the_asking_to_the_sender_alone(
    generation: str,
):
    async with (
        ListingServer(quick(generation)) as server,
        listening(server) as client,
        listening(server) as other,
    ):
        await client.next()
        await other.next()
        await client.socket.send_str('{"type":"test"}')
        said = await client.next()
        await client.socket.send_bytes(b'{"type":"test"}')
        error = await client.next()
        server.service.announce("for all", [])

        assert (await other.next())["title"] == "for all"
    assert (said["type"], said["ticker"]) == ("test_announcement", "DUMMYTOKEN")
    assert error == {
        "type": "error",
        "code": "test_rate_limited",
        "retryAfterSecs": error["retryAfterSecs"],
    }
    assert 50 < error["retryAfterSecs"] <= 60


@pytest.mark.parametrize("sent", ['{"type":"test"}', "nonsense", "[1]", '{"type":7}'])
async def test_what_a_client_sends_is_ignored_as_a_says(sent: str):
    async with ListingServer(quick("A")) as server, listening(server) as client:
        await client.next()
        await client.socket.send_str(sent)
        await client.socket.send_bytes(b"\xff\xfe")
        await client.socket.send_str(sent)
        server.service.announce("next", [])

        assert (await client.next())["title"] == "next"


@pytest.mark.parametrize(
    ("generation", "messages", "size", "end"),
    [
        ("C", 4, 10, (1008, "rate_limit_exceeded")),
        ("A", 31, 10, (1008, "rate_limit_exceeded")),
        ("C", 1, 1025, (1009, "frame_too_large")),
    ],
)
async def test_a_client_that_says_too_much_is_closed(
    generation: str, messages: int, size: int, end: tuple[int, str]
):
    async with ListingServer(quick(generation)) as server, listening(server) as client:
        for _ in range(messages):
            await client.socket.send_str("x" * size)

        assert await client.end() == end
        assert server.truth.ends == [end]


async def test_messages_are_counted_by_the_minute():
    clock = ManualClock()
    settings = quick(pong_seconds=1_000.0)
    async with (
        ListingServer(settings, clock=clock) as server,
        listening(server) as client,
    ):
        await client.next()
        for _ in range(4):
            await client.socket.send_str('{"type":"test"}')
            assert (await client.until("test_announcement"))["ticker"] == "DUMMYTOKEN"
            clock.seconds += 61

        assert server.truth.ends == []


async def test_a_client_that_is_too_far_behind_is_closed():
    async with ListingServer(quick()) as server, listening(server) as client:
        await client.next()
        long = "x" * 1_000_000
        while not server.truth.ends:
            assert len(server.truth.news) < 200
            server.service.announce(long, [])
            await asyncio.sleep(0)

        assert await client.end() == (1008, "too_slow")


async def test_a_burst_is_no_reason_to_close_a_client_that_reads():
    async with ListingServer(quick()) as server, listening(server) as client:
        await client.next()
        for number in range(100):
            server.service.announce(str(number), [])
        said = [(await client.next())["title"] for _ in range(100)]

    assert said == [str(number) for number in range(100)]


@pytest.mark.parametrize("name", list(CLOSES))
async def test_every_documented_close_can_be_ordered(name: str):
    async with ListingServer(quick()) as server, listening(server) as client:
        await client.next()
        server.service.order(Fault(name=f"{PREFIX}{name}"))

        assert await client.end() == (CLOSES[name], name)


async def test_a_key_expires_at_its_time():
    key = ApiKey(expires_in_seconds=1.0)
    async with ListingServer(quick(keys=(key,))) as server:
        async with listening(server) as client:
            assert (await client.next())["expiresInSecs"] == 1
            assert await client.end() == (1000, "key_expired")

        assert (await refusal(server))[0] == 403


@pytest.mark.parametrize(
    ("generation", "reason"),
    [("A", "key_revoked"), ("B", "key_revoked"), ("C", "key_invalidated")],
)
async def test_a_key_taken_back_is_good_for_nothing(generation: str, reason: str):
    other = ApiKey(key="dsk_other")
    settings = quick(generation, keys=(ApiKey(), other))
    async with (
        ListingServer(settings) as server,
        listening(server) as client,
        listening(server, headers={"X-API-Key": "dsk_other"}) as untouched,
    ):
        server.service.revoke(DEMO_KEY)

        assert await client.end() == (1000, reason)
        assert (await refusal(server))[0] == 403
        server.service.announce("go on", [])
        assert (await untouched.until("announcement"))["title"] == "go on"


async def test_heartbeats_can_stop_while_announcements_go_on():
    async with (
        ListingServer(quick(heartbeat_seconds=0.02)) as server,
        listening(server) as client,
    ):
        await client.until("heartbeat")
        server.service.order(Fault(name=f"{PREFIX}mute"))
        await until(lambda: bool(server.truth.faults))
        beats = len(server.truth.pushed("heartbeat"))
        for number in range(5):
            server.service.announce(str(number), [])
            await client.until("announcement")

        assert len(server.truth.pushed("heartbeat")) <= beats + 1


async def test_everything_can_stop():
    settings = quick(heartbeat_seconds=0.02, ping_seconds=0.02, pong_seconds=60.0)
    async with ListingServer(settings) as server, listening(server) as client:
        await client.until("heartbeat")
        server.service.order(Fault(name=f"{PREFIX}stall"))
        await until(lambda: bool(server.truth.faults))
        server.service.announce("unheard", [])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.until("announcement")


async def test_who_has_stopped_answers_no_ping():
    async with (
        ListingServer(quick()) as server,
        listening(server, autoping=False) as client,
    ):
        server.service.order(Fault(name=f"{PREFIX}stall"))
        await until(lambda: bool(server.truth.faults))
        await client.socket.ping()

        async def pong() -> None:
            while (await client.socket.receive()).type is not aiohttp.WSMsgType.PONG:
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pong(), 0.3)


@pytest.mark.parametrize("name", ["malformed", "text", "changelog", "renewal_notice"])
async def test_what_the_documents_exclude_can_be_sent(name: str):
    async with ListingServer(quick()) as server, listening(server) as client:
        await client.next()
        server.service.order(Fault(name=f"{PREFIX}{name}"))
        if name in {"malformed", "text"}:
            server.service.announce("first", [])
            server.service.announce("second", [])
        message = await client.socket.receive(timeout=15)

        if name == "malformed":
            with pytest.raises(json.JSONDecodeError):
                json.loads(message.data)
            assert not server.truth.pushed("announcement")[0].is_whole
            assert (await client.next())["title"] == "second"
        elif name == "text":
            assert message.type is aiohttp.WSMsgType.TEXT
            assert json.loads(message.data)["title"] == "first"
            assert (await client.next())["title"] == "second"
            assert client.kinds[-1] is aiohttp.WSMsgType.BINARY
        else:
            assert json.loads(message.data)["type"] == name


async def test_the_welcome_can_come_late_or_never():
    async with ListingServer(quick()) as server:
        server.service.order(Fault(name=f"{PREFIX}late_welcome"))
        async with listening(server) as client:
            first = [(await client.next())["type"] for _ in range(2)]
        server.service.order(Fault(name=f"{PREFIX}no_welcome"))
        async with listening(server) as client:
            await until(lambda: bool(server.service.clients))
            server.service.announce("x", [])
            second = await client.next()

    assert first == ["heartbeat", "welcome"]
    assert second["type"] == "announcement"


async def test_a_connection_can_break_without_a_close_frame():
    async with ListingServer(quick()) as server, listening(server) as client:
        await client.next()
        server.service.order(Fault(name=f"{PREFIX}abort"))

        assert await client.end() == (None, None)
        assert server.truth.ends == [(None, "dropped")]


async def test_the_key_can_be_repeated_in_all_that_is_said():
    async with ListingServer(quick(is_echoing_keys=True)) as server:
        wrong = {"X-API-Key": "dsk_wrong"}
        body = (await refusal(server, wrong))[1]
        async with listening(server) as client:
            welcome = await client.next()
            server.service.close_all("key_expired")
            end = await client.end()

    assert body == {"error": "invalid_api_key", "key": "dsk_wrong"}
    assert welcome["key"] == DEMO_KEY
    assert end == (1000, f"key_expired: {DEMO_KEY}")


async def test_the_truth_can_be_read_from_its_folder(tmp_path: Path):
    settings = quick(truth_dir=tmp_path / "truth", keep_truth=False)
    async with ListingServer(settings) as server:
        await refusal(server, {})
        async with listening(server) as client:
            await client.next()
            news = server.service.announce("한국어", ["A"], publisher="bithumb")
            await client.next()
            server.service.close_all("too_slow")
            await client.end()
        assert server.truth.rows == []
    truth = load_listing_truth(tmp_path / "truth")

    assert truth.refusals == [(401, "missing_api_key")]
    assert truth.news == [news]
    assert [p.kind for p in truth.pushed()] == ["welcome", "announcement"]
    assert truth.ends == [(1008, "too_slow")]


def test_a_folder_without_truth_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="does not hold the truth"):
        load_listing_truth(tmp_path)


async def test_a_truth_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be written"):
        async with ListingServer(quick(truth_dir=tmp_path / "file" / "below")):
            pass


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generation": "D"}, "generation is one of A, B, C"),
        ({"announcements_per_minute": -1.0}, "cannot be negative"),
        ({"step_seconds": 0.0}, "above zero"),
    ],
)
def test_what_cannot_be_simulated_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        ListingSettings(**changes)


def test_there_is_a_fault_for_every_refusal_and_close():
    assert set(REFUSED) == set(REFUSALS)
    assert set(CLOSED) == set(CLOSES)
    assert {f"{PREFIX}{name}" for name in (*REFUSED, *CLOSED)} <= set(KINDS)


async def test_an_ordered_fault_waits_for_its_time():
    fault = parse(f"{PREFIX}too_slow:at=0.3")
    async with ListingServer(quick(faults=(fault,))) as server:
        loop = asyncio.get_running_loop()
        async with listening(server) as client:
            since = loop.time()
            assert await client.end() == (1008, "too_slow")

        assert loop.time() - since >= 0.25


async def test_a_client_that_is_gone_is_forgotten():
    async with ListingServer(quick()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            b"X-API-Key: " + DEMO_KEY.encode() + b"\r\n\r\n"
        )
        assert (await reader.readline()).split()[1] == b"101"
        await until(lambda: bool(server.service.clients))
        raw = writer.get_extra_info("socket")
        # A hard end: the service learns of it by a failing write or read.
        raw.setsockopt(
            sockets.SOL_SOCKET, sockets.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        writer.transport.abort()
        server.service.announce("into the void", [])
        await until(lambda: not server.service.clients)


async def test_a_message_waits_while_its_client_does_not_read():
    """A client may be as far behind as allowed, and is told all when it reads on."""
    async with (
        ListingServer(quick(queue_frames=50)) as server,
        listening(server) as client,
    ):
        await client.next()
        long = "x" * 1_000_000
        for _ in range(30):
            server.service.announce(long, [])
            await asyncio.sleep(0)
        said = [(await client.next())["title"] == long for _ in range(30)]

        assert said == [True] * 30
        assert server.truth.ends == []


async def test_expiry_can_be_ordered_while_it_runs():
    async with ListingServer(quick()) as server, listening(server) as client:
        server.service.expire(DEMO_KEY)

        assert await client.end() == (1000, "key_expired")
        assert (await refusal(server))[0] == 403


async def test_any_message_can_be_sent_to_all():
    async with ListingServer(quick()) as server, listening(server) as client:
        await client.next()
        server.service.say("odd", b'{"odd":1}', is_text=True)

        assert await client.next() == {"odd": 1}
        assert client.kinds[-1] is aiohttp.WSMsgType.TEXT


async def test_the_exchange_serves_it_at_the_same_port(tmp_path: Path):
    fault = parse(f"{PREFIX}http_403")
    settings = Settings(
        rate=0.0,
        faults=(fault,),
        truth_dir=tmp_path,
        listings=quick(heartbeat_seconds=0.02, announcements_per_minute=60_000.0),
    )
    async with Exchange(settings) as exchange:
        url = exchange.status_urls["cryptolisting"]
        assert url == f"ws://127.0.0.1:{exchange.port}/"
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as failure:
                await http.ws_connect(url, headers=GOOD)
            async with http.ws_connect(url, headers=GOOD) as ws:
                client = Listener(ws)
                for kind in ("welcome", "heartbeat", "announcement"):
                    await client.until(kind)
                exchange.order(Fault(name=f"{PREFIX}too_slow"))
                end = await client.end()

    assert failure.value.status == 403
    assert end == (1008, "too_slow")
    truth = load_listing_truth(tmp_path)
    assert truth.refusals == [(403, "invalid_api_key")]
    assert truth.ends == [(1008, "too_slow")]
    assert truth.news
