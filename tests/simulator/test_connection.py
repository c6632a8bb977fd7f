import asyncio
from collections import Counter
from collections.abc import Callable

import pytest
from aiohttp import WSMsgType

from recorder.clock import SystemClock
from recorder.errors import ConfigError
from recorder.simulator.connection import Connection, Context
from recorder.simulator.faults import FaultPlan
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth


BOOK = "spot.order_book_update"


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(0.01)


async def flood(exchange: Exchange, frames: int) -> None:
    """Send so many frames of 10 kB to the only client, a few at a time."""
    (conn,) = exchange._connections["v4"]
    for _ in range(0, frames, 50):
        for _ in range(50):
            conn.reply(b'"' + b"x" * 10_000 + b'"')
        await asyncio.sleep(0.001)
        if not conn.is_open:
            return


async def test_a_client_that_does_not_read_is_dropped_and_counted(connect):
    async with Exchange(Settings(rate=0.0, queue_frames=300)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        client.socket._conn.transport.pause_reading()
        await flood(exchange, 10_000)
        client.socket._conn.transport.resume_reading()

        received = 0
        while (await client.socket.receive(timeout=15)).type is WSMsgType.TEXT:
            received += 1
        assert received < 10_000
        assert client.socket.close_code == 1006
        assert exchange.counters["overflows"] == 1


async def test_a_client_that_reads_is_sent_everything(connect):
    async with Exchange(Settings(rate=0.0, queue_frames=300)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        flooding = asyncio.create_task(flood(exchange, 2_000))
        for _ in range(2_000):
            assert len(await client.socket.receive_str(timeout=15)) == 10_002
        await flooding

        assert exchange.counters["overflows"] == 0


async def test_frames_are_logged_on_request_in_the_order_they_were_sent(connect):
    settings = Settings(rate=200.0, markets=("BTC_USDT",), log_frames=True)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        await client.pushed(8, "spot.trades", BOOK)
        logged = exchange.truth.frames[: len(client.frames)]
        (accepted,) = exchange.truth.accepted

        port = client.socket.get_extra_info("sockname")[1]
        assert (accepted.feed, accepted.conn, accepted.port) == ("v4", 1, port)
        assert accepted.ts_ns <= logged[0].ts_ns
        assert [f.n for f in logged] == list(range(len(logged)))
        assert {(f.feed, f.conn) for f in logged} == {("v4", 1)}
        for frame, row in zip(client.frames, logged, strict=True):
            if frame["event"] == "subscribe":
                assert row.stream == "control"
            elif frame["channel"] == BOOK:
                assert row.stream == "depth"
                assert (row.first_update_id, row.last_update_id) == (
                    frame["result"]["U"],
                    frame["result"]["u"],
                )
            else:
                assert (row.stream, row.market) == ("trades", "BTC_USDT")
                assert row.trade_ids == (frame["result"]["id"],)


class Socket:
    """Stands for a socket: keeps what is sent, and how it was closed."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.code: int | None = None

    async def send_frame(self, payload: bytes, kind: WSMsgType) -> None:
        self.sent.append(payload)

    async def close(self, *, code: int, message: bytes) -> None:
        self.code = code


class Transport:
    """Stands for a TCP connection that is open."""

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass


async def test_what_was_queued_is_sent_before_the_end_even_at_the_very_beginning():
    clock = SystemClock()
    context = Context(
        clock=clock,
        plan=FaultPlan([], seed=1),
        truth=Truth(),
        counters=Counter(),
    )
    socket = Socket()
    conn = Connection(1, "v4", socket, Transport(), context, 10)
    conn.reply(b"notice")
    conn.close_at_ns = now_ns = clock.now_ns()
    conn.strike_time(now_ns, 0.01)
    await conn.write()

    assert socket.sent == [b"notice"]
    assert socket.code == 1001


def lagging(seconds: float) -> tuple[Connection, Socket]:
    """A connection on which all takes so long."""
    context = Context(
        clock=SystemClock(),
        plan=FaultPlan([], seed=1),
        truth=Truth(),
        counters=Counter(),
    )
    socket = Socket()
    return Connection(
        1, "v4", socket, Transport(), context, 10, lag_seconds=seconds
    ), socket


async def test_each_connection_has_its_lag_and_keeps_its_order():
    conns, sockets = zip(*map(lagging, (0.0, 0.02, 3_600.0)), strict=True)
    writing = [asyncio.create_task(conn.write()) for conn in conns]
    for conn in conns:
        conn.reply(b"first")
        conn.reply(b"second")
    quick, slow, slowest = sockets
    await until(lambda: len(quick.sent) == len(slow.sent) == 2)

    assert quick.sent == slow.sent == [b"first", b"second"]
    assert slowest.sent == []
    for task in writing:
        task.cancel()


async def test_what_has_not_reached_the_client_is_lost_with_its_connection():
    conn, socket = lagging(0.2)
    writing = asyncio.create_task(conn.write())
    conn.reply(b"first")
    await until(lambda: socket.sent == [b"first"])
    conn.reply(b"second")
    conn.abort()
    await writing

    assert socket.sent == [b"first"]


def test_the_lags_are_those_of_the_connections_of_a_feed_in_turn():
    settings = Settings(lags=(0.0, 0.5))

    assert [settings.lag_of(number) for number in (1, 2, 3)] == [0.0, 0.5, 0.0]
    assert Settings().lag_of(1) == 0.0
    with pytest.raises(ConfigError, match="before it was sent"):
        Settings(lags=(-0.1,))


async def test_a_client_that_leaves_is_forgotten(connect):
    settings = Settings(rate=300.0)
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe(BOOK, "BTC_USDT", "20ms")
        other = await connect(exchange.ws_url_v3)
        await other.ask("trades.subscribe", "BTC_USDT")
        await client.socket.close()
        other.socket._response.close()
        async with asyncio.timeout(3):
            await until(lambda: not any(exchange._connections.values()))

        market = exchange.engine.markets["BTC_USDT"]
        # Only the truth still watches the market.
        assert len(market.observers) == 1
