"""What everything that serves on a local port has in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import WSMsgType, web

from recorder.clock import monotonic_ns
from recorder.errors import ConfigError
from recorder.simulator.numbers import SECOND_NS
from recorder.telemetry import SimulatorStarted, emit


HOST = "127.0.0.1"
REST_ROOT = "/api/v4"
"""Path of the REST calls, without a final slash."""


class LocalServer(ABC):
    """Serves on a local port while it is open: a context manager."""

    def __init__(self) -> None:
        self._port = 0
        self._stack = AsyncExitStack()

    @property
    def port(self) -> int:
        """The TCP port that it serves."""
        return self._port

    @property
    def rest_url(self) -> str:
        """Address of the REST calls, without a final slash."""
        return f"http://{HOST}:{self._port}{REST_ROOT}"

    def ws_url_of(self, path: str) -> str:
        """Return the address of the WebSocket at a path."""
        return f"ws://{HOST}:{self._port}{path}"

    async def __aenter__(self) -> Self:
        """Start to serve.

        Raises:
            ConfigError: If the port is taken, or something else that was
                asked for cannot be.
        """
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all connections and stop."""
        await self._stack.aclose()

    @abstractmethod
    async def _open(self, stack: AsyncExitStack) -> None:
        """Start all there is, and leave it to the stack to end it."""

    async def _listen(
        self, app: web.Application, port: int, stack: AsyncExitStack
    ) -> None:
        """Serve an application; see `listen`."""
        self._port = await listen(app, port, stack)


S = TypeVar("S", bound=LocalServer)


async def serve_forever(server: S, on_ready: Callable[[S], None] | None) -> None:
    """Serve until cancelled.

    Args:
        server: What serves.
        on_ready: Called once connections are accepted.

    Raises:
        ConfigError: If it cannot be opened.
    """
    async with server:
        if on_ready is not None:
            on_ready(server)
        await asyncio.Event().wait()


async def listen(app: web.Application, port: int, stack: AsyncExitStack) -> int:
    """Serve an application on a local port until the stack is closed.

    Args:
        app: What is served.
        port: TCP port on 127.0.0.1; 0 takes any that is free.
        stack: Takes over the end of it.

    Returns:
        The port.

    Raises:
        ConfigError: If the port is taken.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, HOST, port)
    try:
        await site.start()
    except OSError as error:
        raise ConfigError(
            f"the simulator cannot listen on {HOST}:{port}: {error.strerror}; "
            "choose another port"
        ) from error
    taken = int(runner.addresses[0][1])
    emit(SimulatorStarted(port=taken))
    return taken


def port_of(transport: asyncio.Transport) -> int:
    """Return the TCP port of a client; 0 if it is gone already."""
    peer = transport.get_extra_info("peername")
    return int(peer[1]) if peer else 0


async def settled(asked: asyncio.Event, seconds: float) -> None:
    """Wait for a first request, and then until none came for some time.

    Args:
        asked: Set by whoever reads requests, at each of them.
        seconds: How long must pass without one.
    """
    await asked.wait()
    while asked.is_set():
        asked.clear()
        await asyncio.sleep(seconds)


async def converse(
    socket: web.WebSocketResponse,
    answer: Callable[[str], tuple[bytes | None, bool]],
    send: Callable[[], Awaitable[None]],
    settle_seconds: float,
) -> None:
    """Answer a client's requests until it goes; send once it has subscribed.

    Args:
        socket: The connection, prepared.
        answer: Returns the answer to a request, and whether it subscribes.
        send: Sends the data.
        settle_seconds: It is called when no request came for so long.
    """
    asked = asyncio.Event()

    async def send_when_settled() -> None:
        await settled(asked, settle_seconds)
        await send()

    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send_when_settled())
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            reply, is_subscription = answer(message.data)
            if reply is not None:
                await socket.send_frame(reply, WSMsgType.TEXT)
            if is_subscription:
                asked.set()
        sending.cancel()


async def sleep_until(due_ns: int) -> None:
    """Sleep until the monotonic clock says so, nanoseconds."""
    await asyncio.sleep(max(0.0, (due_ns - monotonic_ns()) / SECOND_NS))
