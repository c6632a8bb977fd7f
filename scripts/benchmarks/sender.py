"""Sends made-up frames as a venue would, as cheaply as possible.

A process of its own: whoever is measured pays for receiving alone. It
answers subscriptions and asks for book snapshots, and pours frames into all
open connections, each those of its markets, many with one write, whenever
``GET /pour`` says so. Frames that run out come again, with ids that run on.
"""

import asyncio
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection

import msgspec
from aiohttp import WSMsgType, web

from benchmarks.cycle import Cycle, Part
from benchmarks.made_frames import depth_load
from recorder.clock import monotonic_ns, wall_ns
from recorder.simulator.envelope_v4 import Request, decode_request
from recorder.simulator.serving import HOST, listen
from recorder.simulator.wire_v4 import plain_answer


WRITE_FRAMES = 256
_BUFFER_BYTES = 4 << 20
_POLL_SECONDS = 0.001


class Poured(msgspec.Struct, frozen=True):
    """What was sent.

    Attributes:
        first: Number of the first frame, counted over all that was ever sent.
        frames: How many were sent.
        seconds: Until the last one had left.
    """

    first: int
    frames: int
    seconds: float


def serve(pipe: Connection, frames: int, markets: int, seed: int) -> None:
    """Serve a depth load until terminated, or whoever began it is gone.

    Args:
        pipe: Gets the port once connections are accepted; its other end is
            closed by the end of whoever has it.
        frames: After how many frames the way back begins.
        markets: How many markets take turns.
        seed: Decides the frames.
    """
    load = depth_load(frames, markets=markets, seed=seed, is_cycle=True)
    asyncio.run(_Sender(Cycle(load)).run(pipe))


class _Sender:
    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle
        self._sent = 0
        self._open: dict[asyncio.Transport, set[str]] = {}

    async def run(self, pipe: Connection) -> None:
        app = web.Application()
        app.router.add_get("/ws/v4/", self._socket)
        app.router.add_get("/api/v4/spot/order_book", self._order_book)
        app.router.add_get("/pour", self._pour)
        is_left = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            pipe.send(await listen(app, 0, stack))
            loop.add_reader(pipe.fileno(), is_left.set)
            stack.callback(loop.remove_reader, pipe.fileno())
            await is_left.wait()

    async def _order_book(self, request: web.Request) -> web.Response:
        market = request.query["currency_pair"]
        body = self._cycle.snapshot(market, self._sent, wall_ns() // 10**6)
        return web.Response(body=body, content_type="application/json")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:  # gone already
            return socket
        markets = self._open[transport] = set[str]()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = decode_request(message.data)
                if isinstance(asked, Request) and isinstance(asked.payload, list):
                    markets.update(map(str, asked.payload[:1]))
                answer, _ = plain_answer(message.data, wall_ns())
                if answer is not None:
                    await socket.send_frame(answer, WSMsgType.TEXT)
        del self._open[transport]
        return socket

    async def _pour(self, request: web.Request) -> web.Response:
        """Send so many frames, at so many a second; answer when they have left."""
        frames, rate = int(request.query["frames"]), float(request.query["rate"])
        to = [
            (transport, self._cycle.part(markets or None))
            for transport, markets in self._open.items()
            if not transport.is_closing()
        ]
        first, began = self._sent, monotonic_ns()
        while self._sent < first + frames:
            if rate:
                due = began + int((self._sent - first) / rate * 1e9)
                await asyncio.sleep(max(0.0, (due - monotonic_ns()) / 1e9))
            else:
                await asyncio.sleep(0)
            count = min(WRITE_FRAMES, first + frames - self._sent)
            await self._write(to, count)
        while any(transport.get_write_buffer_size() for transport, _ in to):  # noqa: ASYNC110 - a transport tells nobody
            await asyncio.sleep(_POLL_SECONDS)
        seconds = (monotonic_ns() - began) / 1e9
        body = msgspec.json.encode(Poured(first, frames, seconds))
        return web.Response(body=body, content_type="application/json")

    async def _write(
        self, to: list[tuple[asyncio.Transport, Part]], count: int
    ) -> None:
        for transport, _ in to:
            # The library's own flow control does not see these writes.
            while transport.get_write_buffer_size() > _BUFFER_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
            if transport.is_closing():
                raise web.HTTPInternalServerError(text="a connection was lost")
        for transport, part in to:
            for piece in part.wire(self._sent, count):
                transport.write(piece)
        self._sent += count


def ws_url(port: int) -> str:
    """Return the address of the WebSocket."""
    return f"ws://{HOST}:{port}/ws/v4/"


def rest_url(port: int) -> str:
    """Return the address of the REST calls, without a final slash."""
    return f"http://{HOST}:{port}/api/v4"


def pour_url(port: int, frames: int, rate: float | None) -> str:
    """Return what to get for frames to come."""
    return f"http://{HOST}:{port}/pour?frames={frames}&rate={rate or 0.0}"
