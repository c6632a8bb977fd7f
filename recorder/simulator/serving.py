"""What everything that serves on a local port has in common."""

import asyncio
from contextlib import AsyncExitStack

from aiohttp import web

from recorder.errors import ConfigError
from recorder.telemetry import SimulatorStarted, emit


HOST = "127.0.0.1"


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
