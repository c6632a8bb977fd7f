"""When more comes than can be written or read: what is dropped, and what is said."""

import asyncio
import os
import socket as sockets

import aiohttp
import pytest
from aiohttp import web

from recorder.capture.doubles import Doubles
from recorder.capture.pool import Pool
from recorder.capture.rows import ROW_BYTES
from recorder.capture.session import Session
from recorder.capture.shedding import NAMED_MAX
from recorder.capture.unread import (
    BEHIND_NS,
    UNREAD_BYTES,
    is_behind,
    look,
    unread_bytes,
)
from recorder.model import Chain
from recorder.store.layout import DAY_NS
from recorder.store.ledger import Ledger


TRADES = Chain("BTC_USDT", "trades")
T0 = 19_000 * DAY_NS + 1_000_000_000_000
ROOM = 40
"""Rows, about, that may wait."""


class Desk:
    """A session with little memory, connections and a disk that stands still."""

    def __init__(self, source, clock):
        self.clock = clock
        self.session = Session(
            source,
            {"taste": "sweet"},
            (TRADES,),
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", (TRADES,)),
            doubles=Doubles(),
            pool=Pool(ROOM * ROW_BYTES),
        )
        self.count = 0
        self.takes = 0

    def open(self, name="run.0"):
        link = self.session.opened(name, "ws://x/", (TRADES,), self.clock.now_ns())
        while link.outbox:
            self.session.sent(link, link.outbox.popleft(), self.clock.now_ns())
        return link

    def trade(self, link, count=1):
        for _ in range(count):
            self.count += 1
            payload = f'[["trade","BTC_USDT",{self.count}]]'.encode()
            self.session.frame(link, self.clock.now_ns(), payload, opcode="text")

    def accept(self, link):
        payload = b'[["ok",[["BTC_USDT","trades"]]]]'
        self.session.frame(link, self.clock.now_ns(), payload, opcode="text")

    def wait(self, ns=1_000_000_000):
        self.clock.now += ns
        self.session.tick(self.clock.now_ns())

    def write(self):
        """Have all rows written; return the events."""
        rows = self.session.take(self.clock.now).rows
        self.takes += 1
        self.session.written(self.takes)
        return [row[4] for part in rows.values() for row in part]


@pytest.fixture
def desk(fake, make_clock):
    desk = Desk(fake, make_clock(T0))
    desk.link = desk.open()
    desk.accept(desk.link)
    desk.write()
    return desk


def gaps(events):
    return [
        e for e in events if getattr(e, "reason", "") in ("backpressure", "disk_full")
    ]


def test_rows_never_wait_for_more_memory_than_there_is_however_many_come(desk):
    desk.trade(desk.link, 10 * ROOM)

    # The clock did not tick in between: it is looked at while they come.
    assert desk.session.dropped_total > 0
    assert desk.session._rows.bytes_held < 2.5 * ROOM * ROW_BYTES
    stored = [e.trade_id for e in desk.write() if hasattr(e, "trade_id")]
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) + desk.session.dropped_total == 10 * ROOM


def test_a_gap_says_what_the_disk_refused_and_where_frames_were_dropped(desk):
    desk.session.shedding.trouble = "cannot write /x: the disk is full"
    desk.trade(desk.link, 4 * ROOM)
    desk.wait()
    dropped = desk.session.dropped_total

    desk.session.shedding.trouble = None
    stored = desk.write()
    desk.wait()

    (gap,) = gaps(desk.write())
    times = [e for e in stored if hasattr(e, "trade_id")]
    assert (gap.reason, gap.market, gap.stream) == ("disk_full", None, None)
    assert gap.detail == (
        f"{dropped} frames were dropped, {dropped} of run.0: "
        "cannot write /x: the disk is full"
    )
    assert len(times) + dropped == 4 * ROOM


def test_a_disk_that_refuses_costs_nothing_as_long_as_rows_can_wait(desk):
    desk.session.shedding.trouble = "cannot write /x: the disk is full"
    desk.trade(desk.link, ROOM // 4)
    desk.wait()
    desk.session.shedding.trouble = None
    events = desk.write()
    desk.wait()

    assert sum(hasattr(event, "trade_id") for event in events) == ROOM // 4
    assert gaps([*events, *desk.write()]) == []


def test_of_many_connections_those_that_lost_most_are_named(desk):
    links = [desk.open(f"run.{number}") for number in range(1, NAMED_MAX + 3)]
    desk.trade(desk.link, 4 * ROOM)
    before = desk.session.dropped_total
    for number, link in enumerate(links):
        desk.trade(link, number + 1)
    desk.write()
    desk.wait()

    (gap,) = gaps(desk.write())
    assert gap.detail.startswith(
        f"{before + 55} frames were dropped, {before} of run.0, 10 of run.10, "
    )
    assert ", others of 3 more connections: " in gap.detail


def test_answers_that_were_dropped_are_not_waited_for(desk):
    desk.trade(desk.link, 4 * ROOM)
    late = desk.open("run.1")
    desk.accept(late)  # which is dropped
    desk.wait(100_000_000_000)
    assert not late.is_dead  # as long as frames are dropped nobody is judged

    desk.write()
    desk.wait()

    assert (late.is_dead, desk.link.is_dead) == (True, False)
    assert "was dropped" in late.why_dead


# A processor that is too slow


def behind(desk, seconds):
    """Have a socket be full at every look for so long."""
    for _ in range(seconds):
        look(desk.link, UNREAD_BYTES, desk.clock.now)
        desk.wait()


def test_a_socket_that_stays_full_has_frames_dropped_until_it_is_empty(desk):
    behind(desk, BEHIND_NS // 1_000_000_000 - 1)
    desk.trade(desk.link)
    assert desk.session.dropped_total == 0

    behind(desk, 2)
    desk.trade(desk.link, 7)
    assert desk.session.dropped_total == 7

    look(desk.link, UNREAD_BYTES - 1, desk.clock.now)
    desk.wait()
    desk.trade(desk.link)
    events = desk.write()
    (gap,) = gaps(events)
    assert gap.reason == "backpressure"
    assert gap.detail == (
        "7 frames were dropped, 7 of run.0: "
        "the processor is too slow to read what comes"
    )
    assert [e.trade_id for e in events if hasattr(e, "trade_id")] == [1, 9]


def test_a_burst_that_is_read_in_time_costs_nothing(desk):
    for _ in range(10):
        behind(desk, BEHIND_NS // 1_000_000_000 - 1)
        look(desk.link, 0, desk.clock.now)
        desk.trade(desk.link)
        desk.wait()

    assert desk.session.dropped_total == 0
    assert not is_behind([desk.link], desk.clock.now, was_behind=False)


async def test_what_was_not_read_is_asked_of_the_socket():
    parts = []

    async def serve(request):
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        raw = request.transport.get_extra_info("socket")
        await socket.receive()
        await asyncio.to_thread(flood, raw.fileno(), parts)
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as http:
        client = await http.ws_connect(f"ws://127.0.0.1:{port}/", autoping=False)
        client._response.connection.transport.pause_reading()
        before = unread_bytes(client)
        await client.send_str("go")
        async with asyncio.timeout(20):
            while unread_bytes(client) < sum(parts) or not parts:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert unread_bytes(client) == sum(parts) > before == 0
        client._response.connection.transport.resume_reading()
        await client.close()
        assert unread_bytes(client) == 0
    await runner.cleanup()


def flood(handle, parts):
    """Send a ping of 125 bytes some hundred times, past the event loop."""
    raw = sockets.socket(fileno=os.dup(handle))
    with raw:
        for _ in range(100):
            raw.send(b"\x89\x7d" + bytes(125))
        parts.append(100 * 127)
