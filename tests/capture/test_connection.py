"""One WebSocket over real sockets: what a server can do to it, and what follows."""

import asyncio
import logging
import ssl
import subprocess

import aiohttp
import msgspec
import pytest
from aiohttp import web

from recorder.capture import connection as connection_module, life, reactions, unread
from recorder.capture.connection import Connection
from recorder.capture.doubles import Doubles
from recorder.capture.handshake import watched_handshakes
from recorder.capture.reactions import RefusedError
from recorder.capture.rest import Budget
from recorder.capture.session import Session
from recorder.clock import SystemClock
from recorder.model import Chain
from recorder.source import NO_SECRETS, Secrets, Verdict, told_of_maintenance
from recorder.store.ledger import Ledger


CHAIN = Chain("BTC_USDT", "trades")
OK = msgspec.json.encode([["ok", [CHAIN]]]).decode()


class Line:
    """A connection to some address, and all that its session stored."""

    def __init__(self, source, url, http, *, is_archiving=False, secrets=NO_SECRETS):
        clock = SystemClock()
        self.session = Session(
            source,
            {},
            [CHAIN],
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", [CHAIN]),
            doubles=Doubles(),
            secrets=secrets,
            is_archiving=is_archiving,
        )
        self.opened = 0
        self.connection = Connection(
            http,
            url,
            self.session,
            [CHAIN],
            clock=clock,
            name=self._name,
            connects=Budget(1000, burst=1),
        )
        self.task = asyncio.create_task(self.connection.run())
        self._rows = {}

    def _name(self):
        self.opened += 1
        return f"run.{self.opened - 1}"

    def events(self, table):
        for (name, _), rows in self.session.take(1).rows.items():
            self._rows.setdefault(name, []).extend(rows)
        return [row[4] for row in self._rows.get(table, [])]

    def lives(self):
        return [
            (life.close_code, life.close_reason, life.frames)
            for life in self.events("connections")
        ]

    def lost(self):
        newest = {gap.gap_id: gap for gap in self.events("gaps")}
        return [gap for gap in newest.values() if gap.reason == "connect_lost"]

    def gaps(self):
        newest = {gap.gap_id: gap for gap in self.events("gaps")}
        return [gap for gap in newest.values() if gap.reason != "not_started"]

    async def until(self, condition):
        """Wait until something is so, for a while."""
        async with asyncio.timeout(10):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.005)

    async def end(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(reactions, "backoff_seconds", lambda failures, backoff: 0.01)
    monkeypatch.setattr(life, "CLOSE_SECONDS", 0.2)


@pytest.fixture
async def line_to(fake):
    """Connect to an address; lines are ended after the test."""
    lines = []
    async with aiohttp.ClientSession(trace_configs=[watched_handshakes()]) as http:

        def line_to(url, *, is_archiving=False, secrets=NO_SECRETS, **changes):
            source = msgspec.structs.replace(fake, **changes)
            lines.append(
                Line(source, url, http, is_archiving=is_archiving, secrets=secrets)
            )
            return lines[-1]

        yield line_to
        for line in lines:
            await line.end()


@pytest.fixture
def venue(serve):
    """Serve WebSockets, each by the next of some coroutines; the last stays."""

    async def venue(*acts, **options):
        acts = list(acts)

        async def handler(request):
            act = acts.pop(0) if len(acts) > 1 else acts[0]
            socket = web.WebSocketResponse(**options)
            await socket.prepare(request)
            await act(socket, request)
            return socket

        return f"ws://{await serve({'/ws': handler})}/ws"

    return venue


async def stay(socket, request):
    """Accept every subscription, and stay."""
    async for message in socket:
        if "sub" in message.data:
            await socket.send_str(OK)


async def hear(socket, note):
    """Note every message."""
    async for message in socket:
        note(message)


async def test_frames_are_stamped_and_handed_over_in_order(line_to, venue):
    async def act(socket, request):
        assert request.headers.get("Sec-WebSocket-Extensions") is None
        assert await socket.receive_str() == '{"sub":["BTC_USDT","trades"]}'
        await socket.send_str(OK)
        await socket.send_str('[["trade","BTC_USDT",1]]')
        await socket.send_bytes(b'[["trade","BTC_USDT",2],["what","is it"]]')
        await stay(socket, request)

    line = line_to(await venue(act))
    await line.until(lambda: line.session.frames_total == 3)

    assert [trade.trade_id for trade in line.events("trades")] == [1, 2]
    assert [kept.opcode for kept in line.events("frames")] == ["binary"]
    assert line.connection.is_open
    times = [row[0] for row in line._rows["trades"]]
    assert times == sorted(set(times))


async def test_ending_it_ourselves_is_no_loss(line_to, venue, caplog):
    caplog.set_level(logging.INFO, logger="recorder")
    codes, told = [], asyncio.Event()

    async def act(socket, request):
        await stay(socket, request)
        codes.append(socket.close_code)
        told.set()

    line = line_to(await venue(act))
    await line.until(lambda: line.session.frames_total)
    line.session.stop(SystemClock().now_ns())
    await line.end()

    await asyncio.wait_for(told.wait(), 5)

    assert line.lives() == [(1000, "the recorder stopped", 1)]
    assert line.lost() == []
    assert "connection closed by us" in caplog.messages
    assert codes == [1000]


async def test_a_server_that_vanishes_is_a_gap_and_is_connected_to_again(
    line_to, venue
):
    async def vanish(socket, request):
        await socket.receive()
        await socket.send_str(OK)
        await socket.send_str('[["trade","BTC_USDT",1]]')
        await asyncio.sleep(0.05)
        request.transport.abort()

    line = line_to(await venue(vanish, stay))
    await line.until(lambda: line.opened == 2 and line.session.frames_total == 3)

    assert line.lives() == [(None, "the peer vanished without closing", 2)]
    assert [gap.detail for gap in line.lost()] == ["the peer vanished without closing"]
    assert line.lost()[0].ended_at is not None
    assert line.lost()[0].started_at == line._rows["trades"][0][0] + 1


async def test_nobody_comes_back_as_long_as_frames_would_be_dropped(
    line_to, venue, monkeypatch
):
    monkeypatch.setattr(connection_module, "ROOM_SECONDS", 0.01)
    asked = []

    async def act(socket, request):
        asked.append(request)
        await socket.send_str(OK)
        async for _ in socket:
            pass

    line = line_to(await venue(act))
    await line.until(lambda: CHAIN in line.session.accepted)
    line.session.shedding.since = 1
    next(iter(line.session._links.values())).is_dead = True
    await line.until(lambda: line.lives() != [])
    await asyncio.wait([line.task], timeout=0.1)
    assert len(asked) == 1

    line.session.shedding.since = None
    await line.until(lambda: len(asked) == 2)


async def test_a_server_that_hangs_up_without_a_word_has_vanished(line_to, venue):
    async def hang_up(socket, request):
        await socket.receive()
        request.transport.close()

    line = line_to(await venue(hang_up, stay))
    await line.until(lambda: line.opened == 2)

    assert line.lives() == [(None, "the peer vanished without closing", 0)]


@pytest.mark.parametrize(
    ("words", "stored"),
    [
        (b"maintenance at noon", "maintenance at noon"),
        (b"", "closed by the peer with code 1012"),
    ],
)
async def test_a_close_keeps_its_code_and_reason(line_to, venue, words, stored):
    async def close(socket, request):
        await socket.receive()
        await socket.close(code=1012, message=words)

    line = line_to(await venue(close, stay))
    await line.until(lambda: line.opened == 2)

    assert line.lives() == [(1012, stored, 0)]


async def test_frames_before_a_close_are_recorded_even_if_nothing_can_be_sent(
    line_to, venue
):
    async def close(socket, request):
        await socket.receive()
        await socket.send_str(OK)
        for number in range(500):
            await socket.send_str(f'[["trade","BTC_USDT",{number}]]')
        await socket.close(code=1001, message=b"bye")

    line = line_to(await venue(close, stay), ping_seconds=0.001)
    await line.until(lambda: line.opened == 2)

    assert line.lives()[0] == (1001, "bye", 501)
    assert len(line.events("trades")) == 500


async def test_a_silent_server_is_left(line_to, venue):
    pings = []

    async def silent(socket, request):
        await hear(socket, lambda message: pings.append(message.data))

    line = line_to(await venue(silent, stay), ping_seconds=0.05, silence_seconds=0.3)
    await line.until(lambda: line.opened == 2)

    assert line.lives() == [(None, "no frame for 0 s", 0)]
    assert '{"ping":1}' in pings


async def test_pings_that_are_answered_keep_a_connection_open(line_to, venue):
    async def answer(socket, request):
        async for message in socket:
            if "ping" in message.data:
                await socket.send_str('[["beat",1000000]]')

    line = line_to(await venue(answer), ping_seconds=0.05, silence_seconds=0.3)
    await line.until(lambda: line.session.frames_total >= 15)

    assert line.opened == 1


async def test_a_server_that_is_quieter_than_it_should_be_is_told_of_once(
    line_to, venue, caplog
):
    spoken_to = asyncio.Event()

    async def speak_late(socket, request):
        await socket.receive()
        await spoken_to.wait()
        await socket.send_str(OK)
        await stay(socket, request)

    def quiet():
        return [r.signal.conn for r in caplog.records if r.msg.startswith("nothing")]

    line = line_to(await venue(speak_late), ping_seconds=0.05, quiet_seconds=0.1)
    await line.until(quiet)
    await asyncio.sleep(0.3)
    assert quiet() == ["run.0"]

    spoken_to.set()
    await line.until(lambda: len(quiet()) == 2)

    assert line.session.frames_total == 1


class Mute:
    """A dialogue's part that has no ping."""

    def ping(self, now_ns):
        return None


async def test_a_venue_without_a_ping_is_sent_that_of_the_socket_before_a_stop(
    fake, line_to, venue
):
    said = []

    async def listen(socket, request):
        await socket.send_str(OK)
        await hear(socket, lambda message: said.append((message.type, message.data)))

    quiet = type("Quiet", (Mute, type(fake.dialogue([], {}))), {})
    line = line_to(
        await venue(listen, autoping=False), ping_seconds=0.01, dialogue=quiet
    )
    await line.until(lambda: line.session.frames_total and said)
    await asyncio.sleep(0.1)
    assert [kind for kind, _ in said] == [aiohttp.WSMsgType.TEXT]
    await line.connection.ask_for_life()

    assert [kind for kind, _ in said] == [
        aiohttp.WSMsgType.TEXT,
        aiohttp.WSMsgType.PING,
    ]


async def test_the_answer_of_a_venue_without_a_ping_shows_that_nothing_was_missed(
    fake, line_to, venue
):
    quiet = type("Quiet", (Mute, type(fake.dialogue([], {}))), {})
    line = line_to(await venue(stay), ping_seconds=60, dialogue=quiet)
    await line.until(lambda: line.session.frames_total == 1)
    asked_at = SystemClock().now_ns()

    await line.connection.ask_for_life()

    assert line.session.frames_total == 1
    line.session.stop(SystemClock().now_ns())
    line.session.settle()
    [covered] = line.events("coverage")
    assert covered.ended_at > asked_at


async def test_who_does_not_take_our_answers_does_not_make_us_too_slow(
    line_to, venue, monkeypatch
):
    asked, looks = asyncio.Event(), []

    async def pong(_socket, _message=b""):
        asked.set()
        await asyncio.Event().wait()

    def look(link, lies, now):
        real_look(link, lies, now)
        looks.append(link.behind_since)

    real_look = unread.look
    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "pong", pong)
    monkeypatch.setattr(unread, "unread_bytes", lambda _socket: unread.UNREAD_BYTES)
    monkeypatch.setattr(unread, "look", look)

    async def ask(socket, request):
        await socket.receive()
        await socket.send_str(OK)
        while not looks:  # noqa: ASYNC110 - a connection is looked at
            await asyncio.sleep(0.005)
        await socket.ping(b"are you there")
        await stay(socket, request)

    line = line_to(await venue(ask, autoping=False), ping_seconds=0.05)
    await line.until(asked.is_set)
    before = len(looks)
    await line.until(lambda: len(looks) > before + 1)

    assert looks[0] is not None
    assert looks[-1] is None


async def test_a_ping_of_the_venue_is_answered_and_shows_that_the_socket_lives(
    line_to, venue
):
    answered, pinged_at = [], []

    async def ask(socket, request):
        await socket.send_str(OK)
        pinged_at.append(SystemClock().now_ns())
        await socket.ping(b"are you there")
        await hear(
            socket, lambda message: answered.append((message.type, message.data))
        )

    line = line_to(await venue(ask, autoping=False), ping_seconds=60)
    await line.until(lambda: (aiohttp.WSMsgType.PONG, b"are you there") in answered)

    line.session.stop(SystemClock().now_ns())
    line.session.settle()
    [covered] = line.events("coverage")
    assert covered.ended_at > pinged_at[0]
    assert line.session.frames_total == 1


async def test_an_archive_holds_pings_too(line_to, venue):
    line = line_to(await venue(stay), ping_seconds=0.05, is_archiving=True)
    await line.until(lambda: len(line.events("frames")) >= 4)

    sent = [kept.payload for kept in line.events("frames") if kept.direction == "out"]

    assert sent[:3] == [b'{"sub":["BTC_USDT","trades"]}', *[b'{"ping":1}'] * 2]


async def test_before_a_stop_an_answer_shows_that_nothing_was_missed(line_to, venue):
    async def answer(socket, request):
        async for message in socket:
            if "sub" in message.data:
                await socket.send_str(OK)
            if "ping" in message.data:
                await socket.send_str('[["beat",1000000]]')

    line = line_to(await venue(answer), ping_seconds=60)
    await line.until(lambda: line.session.frames_total == 1)
    asked_at = SystemClock().now_ns()

    await line.connection.ask_for_life()

    assert line.session.frames_total == 2
    line.session.stop(SystemClock().now_ns())
    line.session.settle()
    [covered] = line.events("coverage")
    assert covered.ended_at > asked_at


async def test_a_server_that_does_not_answer_any_more_delays_a_stop_only_briefly(
    line_to, venue, monkeypatch
):
    monkeypatch.setattr(life, "ALIVE_SECONDS", 0.05)
    line = line_to(await venue(stay), ping_seconds=60)
    await line.until(lambda: line.session.frames_total == 1)
    asked_at = SystemClock().now_ns()

    async with asyncio.timeout(5):
        await line.connection.ask_for_life()

    line.session.stop(SystemClock().now_ns())
    line.session.settle()
    [covered] = line.events("coverage")
    assert covered.ended_at < asked_at


async def test_where_nothing_is_connected_nobody_is_asked_for_life(
    line_to, unused_port
):
    line = line_to(f"ws://127.0.0.1:{unused_port}/")

    async with asyncio.timeout(5):
        await line.connection.ask_for_life()

    assert line.session.frames_total == 0


async def test_a_server_whose_peer_does_not_answer_a_close_is_left_soon(line_to, venue):
    async def deaf(socket, request):
        await asyncio.sleep(3)

    line = line_to(
        await venue(deaf, stay, autoping=False), ping_seconds=0.05, silence_seconds=0.1
    )
    async with asyncio.timeout(2):
        await line.until(lambda: line.opened == 2)

    assert line.lives() == [(None, "no frame for 0 s", 0)]


async def test_a_subscription_that_is_not_answered_ends_the_connection(line_to, venue):
    async def ignore(socket, request):
        async for _ in socket:
            await socket.send_str('[["trade","BTC_USDT",1]]')

    line = line_to(await venue(ignore, stay))
    await line.until(lambda: line.session.frames_total)
    line.session.tick(SystemClock().now_ns() + 31 * 10**9)
    await line.until(lambda: line.opened == 2)

    [(code, reason, frames)] = line.lives()
    assert (code, frames) == (None, 1)
    assert reason == (
        "a subscription was not answered: "
        "check that --ws-url is an address of this source"
    )


async def test_a_frame_that_is_too_large_ends_the_connection(
    line_to, venue, monkeypatch
):
    monkeypatch.setattr(life, "FRAME_MAX_BYTES", 1_000)

    async def large(socket, request):
        await socket.send_str("x" * 999)
        await socket.send_str("x" * 1_001)
        await stay(socket, request)

    line = line_to(await venue(large, stay))
    await line.until(lambda: line.opened == 2)

    code, reason, frames = line.lives()[0]
    assert (code, frames) == (None, 1)
    assert reason.startswith("broken WebSocket frame: ")
    assert "1000" in reason


async def test_bytes_that_are_no_websocket_frames_end_the_connection(line_to, venue):
    async def garbage(socket, request):
        request.transport.write(b"\xff\xff garbage that is no frame \x00")
        await stay(socket, request)

    line = line_to(await venue(garbage, stay))
    await line.until(lambda: line.opened == 2)

    code, reason, frames = line.lives()[0]
    assert (code, frames) == (None, 0)
    assert reason.startswith("broken WebSocket frame: ")


async def test_when_all_is_refused_nobody_connects_again(line_to, venue):
    async def refuse(socket, request):
        await socket.receive()
        await socket.send_bytes(
            msgspec.json.encode([["no", [CHAIN], "no such market"]])
        )
        await stay(socket, request)

    line = line_to(await venue(refuse))
    async with asyncio.timeout(5):
        await line.task

    assert line.session.refused == {CHAIN: "no such market"}
    assert line.lives() == [(None, "the venue refused all that was asked for", 1)]


def quits(*facts):
    """An act that has the feed give the connection up."""

    async def act(socket, request):
        await socket.send_bytes(msgspec.json.encode([["quit", *facts]]))
        await hear(socket, lambda _: None)

    return act


async def test_a_feed_may_give_a_connection_up_and_say_when_to_come_back(
    line_to, venue, caplog
):
    caplog.set_level(logging.INFO, logger="recorder")
    too_often = quits("retry", "asked too often", 0.125)
    line = line_to(await venue(too_often, stay))
    await line.until(lambda: line.session.accepted)

    again = [r.signal for r in caplog.records if r.msg == "will connect again"]
    assert [(s.why, s.retry_in_seconds) for s in again] == [("asked too often", 0.125)]
    assert line.lives() == [(None, "asked too often", 1)]


async def test_a_feed_may_give_a_connection_up_for_good(line_to, venue):
    line = line_to(await venue(quits("stop", "renew the key")))

    with pytest.raises(RefusedError, match="renew the key"):
        async with asyncio.timeout(5):
            await line.task


async def test_requests_go_out_no_faster_than_the_venue_allows(line_to, venue, fake):
    times = []

    async def count(socket, request):
        await socket.send_bytes(msgspec.json.encode([["send", "a", "b", "c"]]))
        await hear(socket, lambda _: times.append(asyncio.get_running_loop().time()))

    line = line_to(await venue(count), requests_per_second=20.0, is_archiving=True)
    await line.until(lambda: len(times) == 4)

    assert times[3] - times[0] >= 0.14
    out = [k.payload for k in line.events("frames") if k.direction == "out"]
    assert sorted(out) == [b"a", b"b", b"c", b'{"sub":["BTC_USDT","trades"]}']


# Handshakes that fail


async def test_a_server_that_refuses_is_not_asked_again(line_to, serve):
    async def refuse(request):
        raise web.HTTPNotFound

    line = line_to(f"ws://u:pw@{await serve({'/ws': refuse})}/ws?key=1")

    with pytest.raises(RefusedError) as caught:
        await line.task
    url = line.connection._shown_url
    assert str(caught.value) == (
        f"{url} answered the WebSocket request with HTTP 404; check --ws-url"
    )
    assert "pw" not in url
    assert "key" not in url


async def test_a_feed_that_knows_better_stops_after_a_success_too(line_to, serve):
    tries = []

    async def handler(request):
        tries.append(request.headers["X-Key"])
        if len(tries) == 2:
            raise web.HTTPForbidden(text=f"expired: {tries[0]}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    def verdict(ending):
        if ending.status is None:
            return None
        assert (ending.status, ending.reason) == (403, "expired: ***")
        return Verdict(action="stop", why=f"{ending.reason}; get a new one")

    line = line_to(
        f"ws://{await serve({'/ws': handler})}/ws",
        verdict=verdict,
        secrets=Secrets({"key": "s3cret"}),
        headers=lambda options, secrets: {"X-Key": secrets["key"]},
    )

    with pytest.raises(RefusedError, match=r"expired: \*\*\*; get a new one"):
        await line.task
    assert tries == ["s3cret"] * 2


async def test_a_feed_may_say_how_long_to_wait_and_when_to_stop(line_to, venue, caplog):
    def closing(reason):
        async def close(socket, request):
            await socket.receive()
            await socket.close(code=4000, message=reason)

        return close

    verdicts = {
        "at once": Verdict(action="retry", why="They are in a hurry.", wait_seconds=0),
        "soon": Verdict(action="retry", why="They are tired.", wait_seconds=0.02),
        "never": Verdict(action="stop", why="They have had enough."),
    }
    line = line_to(
        await venue(*map(closing, (b"at once", b"soon", b"at once", b"x", b"never"))),
        verdict=lambda ending: verdicts.get(ending.reason),
    )

    with pytest.raises(RefusedError, match=r"They have had enough\."):
        await line.task
    again = [r.signal for r in caplog.records if r.msg == "will connect again"]
    assert [(signal.why, signal.retry_in_seconds) for signal in again] == [
        ("They are in a hurry.", 0.0),
        ("They are tired.", 0.02),
        ("They are in a hurry.", 0.01),  # once more at once would be no pause at all
        ("x", 0.01),
    ]


async def test_a_venue_that_refuses_in_plain_words_is_in_maintenance(line_to, serve):
    tries = []

    async def handler(request):
        tries.append(request)
        if 2 <= len(tries) <= 4:
            text = "Scheduled\nmaintenance until 10:00"
            raise web.HTTPServiceUnavailable(text=text, headers={"Retry-After": "0"})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str(OK)
        if len(tries) > 1:
            await stay(socket, request)
        return socket

    line = line_to(
        f"ws://{await serve({'/ws': handler})}/ws", verdict=told_of_maintenance
    )
    await line.until(lambda: len(tries) == 5)
    await line.until(lambda: line.session.accepted and line.connection.is_open)
    await line.until(lambda: [g for g in line.gaps() if g.ended_at is not None])

    [gap] = line.gaps()
    why = "the venue answered HTTP 503: Scheduled maintenance until 10:00"
    assert (gap.reason, gap.detail) == ("venue_maintenance", why)


async def test_a_redirect_is_not_followed(line_to, venue, serve):
    elsewhere = await venue(stay)

    async def redirect(request):
        raise web.HTTPFound(elsewhere.replace("ws:", "http:"))

    line = line_to(f"ws://{await serve({'/ws': redirect})}/ws")

    with pytest.raises(RefusedError, match="HTTP 302; check --ws-url"):
        await line.task
    assert line.opened == 0


async def test_a_server_in_trouble_is_asked_again(line_to, serve, caplog):
    tries = []

    async def trouble(request):
        tries.append(request.path)
        if len(tries) < 3:
            raise web.HTTPBadGateway
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await stay(socket, request)
        return socket

    address = await serve({"/ws": trouble})
    line = line_to(f"ws://{address}/ws")
    await line.until(lambda: line.session.frames_total)

    again = [r.signal for r in caplog.records if r.msg == "will connect again"]
    url = f"ws://{address}/ws"
    why = f"{url} answered the WebSocket request with HTTP 502; check --ws-url"
    assert {(signal.url, signal.why) for signal in again} == {(url, why)}
    assert len(again) == 2
    assert line.connection.was_connected


async def test_a_refusal_after_a_success_is_trouble_that_passes(line_to, serve):
    tries = []

    async def handler(request):
        tries.append(request.path)
        if len(tries) == 2:
            raise web.HTTPForbidden
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(tries) > 2:
            await stay(socket, request)
        return socket

    line = line_to(f"ws://{await serve({'/ws': handler})}/ws")
    await line.until(lambda: line.opened == 2)

    assert len(tries) == 3


async def test_a_server_that_speaks_no_http_is_asked_again(line_to):
    async def speak(reader, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        line = line_to(f"ws://127.0.0.1:{port}/")
        await line.until(lambda: line.connection.last_failure)
        await line.end()

    assert line.connection.last_failure == (
        f"ws://127.0.0.1:{port}/ answered with something that is not HTTP; "
        "check --ws-url"
    )
    assert not line.connection.was_connected


async def test_a_server_that_does_not_answer_is_given_up_after_a_while(
    line_to, monkeypatch
):
    for place in (life, reactions):
        monkeypatch.setattr(place, "CONNECT_SECONDS", 0.1)
    gone = asyncio.Event()

    async def listen(reader, writer):
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        line = line_to(f"ws://127.0.0.1:{port}/")
        await line.until(lambda: line.connection.last_failure)
        await line.end()
        gone.set()

    assert line.connection.last_failure == (
        f"ws://127.0.0.1:{port}/ did not answer within 0.1 s"
    )


async def test_nobody_listening_is_said_in_one_sentence(line_to, unused_port):
    line = line_to(f"ws://127.0.0.1:{unused_port}/")
    await line.until(lambda: line.connection.last_failure)

    assert line.connection.last_failure == (
        f"cannot connect to ws://127.0.0.1:{unused_port}/: Connection refused"
    )


@pytest.mark.parametrize("url", ["ws://", "ws://127.0.0.1:99999/", "ws://a..b/"])
async def test_an_address_that_is_none_stops_at_once(line_to, url):
    line = line_to(url)

    with pytest.raises(RefusedError, match=r"is not an address; --ws-url wants ws://"):
        await line.task


@pytest.fixture
def certificate(tmp_path):
    """A certificate that nobody vouches for."""
    key, pem = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
        "-days 2 -subj /CN=other.example -addext subjectAltName=DNS:other.example"
    )
    subprocess.run(
        [*command.split(), "-keyout", key, "-out", pem], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return pem, context


async def test_a_certificate_that_nobody_vouches_for_stops_at_once(
    line_to, serve, certificate
):
    _, context = certificate
    line = line_to(f"wss://{await serve({}, context)}/ws")

    with pytest.raises(RefusedError, match="shows a certificate that is not valid"):
        await line.task


async def test_a_certificate_of_another_name_stops_at_once(
    fake, serve, certificate, line_to
):
    pem, context = certificate
    url = f"wss://{await serve({}, context)}/ws"
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(pem)))

    async with aiohttp.ClientSession(connector=trust) as http:
        line = Line(fake, url, http)
        with pytest.raises(RefusedError) as caught:
            await line.task

    assert str(caught.value).startswith(
        f"{url} shows a certificate that is not valid for it ("
    )
    assert "'127.0.0.1'" in str(caught.value)
    assert str(caught.value).endswith("check --ws-url, or what intercepts it")


async def test_tls_to_a_server_without_it_is_told_as_that(line_to, venue):
    url = (await venue(stay)).replace("ws://", "wss://")

    line = line_to(url)
    await line.until(lambda: line.connection.last_failure is not None)

    assert line.connection.last_failure.startswith(
        f"cannot connect to {url}: the other end does not speak TLS; try "
    )
    assert "ws://" in line.connection.last_failure.rpartition("; ")[2]


async def test_only_a_connection_that_was_steady_begins_the_back_off_anew(
    line_to, venue, monkeypatch
):
    before = []

    def note(failures, backoff):
        before.append(failures)
        return 0.0

    async def kick(socket, request):
        await socket.receive()
        await socket.send_str(OK)
        await socket.close()

    async def last_a_little(socket, request):
        await socket.receive()
        await socket.send_str(OK)
        await asyncio.sleep(0.25)
        await socket.close()

    monkeypatch.setattr(reactions, "backoff_seconds", note)
    monkeypatch.setattr(life, "STEADY_SECONDS", 0.2)
    line = line_to(await venue(kick, kick, kick, last_a_little, stay))
    await line.until(lambda: line.opened == 5)

    assert before == [0, 1, 2, 0]


async def test_what_cannot_be_sent_does_not_end_the_reading(
    line_to, venue, monkeypatch
):
    async def broken(*_):
        raise aiohttp.ClientConnectionResetError("cannot write to closing transport")

    async def talk(socket, request):
        for number in range(20):
            await socket.send_str(f'[["trade","BTC_USDT",{number}]]')
            await asyncio.sleep(0.01)
        await socket.close(code=1001, message=b"bye")

    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "send_frame", broken)
    line = line_to(await venue(talk, stay), ping_seconds=0.02)
    await line.until(lambda: line.opened == 2)

    assert line.lives()[0] == (1001, "bye", 20)


async def test_a_ping_of_the_venue_that_cannot_be_answered_ends_the_connection(
    line_to, venue, monkeypatch
):
    async def broken(*_):
        raise aiohttp.ClientConnectionResetError("cannot write to closing transport")

    async def ping(socket, request):
        await socket.ping()
        await stay(socket, request)

    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "pong", broken)
    line = line_to(await venue(ping, stay))
    await line.until(lambda: line.opened == 2)

    assert line.lives()[0][:2] == (None, "cannot write to closing transport")
