import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import web

from recorder.errors import ConfigError
from recorder.simulator.serving import listen, settled


async def test_it_listens_until_the_stack_is_closed():
    async with AsyncExitStack() as stack:
        port = await listen(web.Application(), 0, stack)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_taken_port_is_an_error_that_says_what_to_do():
    async with AsyncExitStack() as stack:
        port = await listen(web.Application(), 0, stack)
        with pytest.raises(ConfigError, match="choose another port"):
            await listen(web.Application(), port, stack)


async def test_settled_waits_for_the_last_of_several_requests():
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    start = loop.time()
    for delay in (0.05, 0.12):
        loop.call_later(delay, asked.set)
    await settled(asked, 0.1)

    assert loop.time() - start >= 0.2
