"""Sends made-up frames as a venue would, as cheaply as possible.

A process of its own: whoever is measured pays for receiving alone. It
answers subscriptions and asks for book snapshots, and pours the frames, many
with one write, once ``GET /pour`` says so.
"""

import asyncio
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection

from aiohttp import WSMsgType, web

from benchmarks.frames import Load, depth_load
from recorder.clock import monotonic_ns, wall_ns
from recorder.simulator.serving import HOST, listen
from recorder.simulator.wire_v4 import plain_answer


WRITE_FRAMES = 256
_BUFFER_BYTES = 4 << 20
_POLL_SECONDS = 0.001


def serve(
    pipe: Connection, frames: int, markets: int, seed: int, rate: float | None
) -> None:
    """Serve a depth load until terminated.

    Args:
        pipe: Gets the port once connections are accepted.
        frames: How many frames each connection is sent.
        markets: How many markets take turns.
        seed: Decides the frames.
        rate: Frames a second; None for as fast as they are read.
    """
    load = depth_load(frames, markets=markets, seed=seed)
    asyncio.run(_Sender(load, rate).run(pipe))


class _Sender:
    def __init__(self, load: Load, rate: float | None) -> None:
        self._load = load
        self._numbers = {market: i for i, market in enumerate(load.markets)}
        self._rate = rate
        self._waiting: set[asyncio.Event] = set()
        starts = range(0, len(load.frames), WRITE_FRAMES)
        self._chunks = [
            b"".join(map(_framed, load.frames[start : start + WRITE_FRAMES]))
            for start in starts
        ]
        load.frames.clear()

    async def run(self, pipe: Connection) -> None:
        app = web.Application()
        app.router.add_get("/ws/v4/", self._socket)
        app.router.add_get("/api/v4/spot/order_book", self._order_book)
        app.router.add_get("/pour", self._pour)
        async with AsyncExitStack() as stack:
            pipe.send(await listen(app, 0, stack))
            await asyncio.Event().wait()

    async def _order_book(self, request: web.Request) -> web.Response:
        number = self._numbers[request.query["currency_pair"]]
        body = self._load.snapshot(number, wall_ns() // 10**6)
        return web.Response(body=body, content_type="application/json")

    async def _pour(self, _request: web.Request) -> web.Response:
        for event in self._waiting:
            event.set()
        return web.Response(text="")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:  # gone already
            return socket
        go = asyncio.Event()
        self._waiting.add(go)
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send(transport, go))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    answer, _ = plain_answer(message.data, wall_ns())
                    if answer is not None:
                        await socket.send_frame(answer, WSMsgType.TEXT)
            sending.cancel()
        self._waiting.discard(go)
        return socket

    async def _send(self, transport: asyncio.Transport, go: asyncio.Event) -> None:
        await go.wait()
        began = monotonic_ns()
        for number, chunk in enumerate(self._chunks):
            if self._rate is not None:
                due = began + int(number * WRITE_FRAMES / self._rate * 1e9)
                await asyncio.sleep(max(0.0, (due - monotonic_ns()) / 1e9))
            # The library's own flow control does not see these writes.
            while transport.get_write_buffer_size() > _BUFFER_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
            if transport.is_closing():
                return
            transport.write(chunk)


def _framed(payload: bytes) -> bytes:
    """Return a text message of a server as it goes over the wire (RFC 6455)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return b"\x81\x7e" + size.to_bytes(2, "big") + payload


def ws_url(port: int) -> str:
    """Return the address of the WebSocket."""
    return f"ws://{HOST}:{port}/ws/v4/"


def rest_url(port: int) -> str:
    """Return the address of the REST calls, without a final slash."""
    return f"http://{HOST}:{port}/api/v4"


def pour_url(port: int) -> str:
    """Return what to get for the frames to come."""
    return f"http://{HOST}:{port}/pour"
