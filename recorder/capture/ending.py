"""When a run ends by itself: its time is over, or another takes its place."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from recorder.clock import wall_ns


LOOK_SECONDS: Final = 0.25
"""How often a run looks at the clock, and at who asks it to leave."""

SUCCESSOR_SECONDS: Final = 300.0
"""So long at most a run whose time is over goes on for one that is to take over
and does not record everything yet."""


async def until_end(
    stop: asyncio.Event,
    *,
    seconds: float | None,
    at_ns: int | None,
    is_asked: Callable[[], bool] = lambda: False,
    is_awaited: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait until it is time to end, or until told to.

    The wall clock is asked again and again, so that an end at a time of day is
    one also after that clock was set, or the machine slept.

    Args:
        stop: Set by whoever wants an end; set here when it is time.
        seconds: How long to go on at most; None for no limit.
        at_ns: When to end, nanoseconds since 1970 UTC; None for never.
        is_asked: Whether a successor wants this run to end.
        is_awaited: Whether a successor gets ready, which this run should wait
            for though its time is over.

    Returns:
        Whether the time was over; False if it was told, or asked, to end.
    """
    now = asyncio.get_running_loop().time
    deadline = None if seconds is None else now() + seconds
    over_at: float | None = None
    while not stop.is_set():
        if is_asked():
            stop.set()
            return False
        left = [LOOK_SECONDS]
        left += [] if deadline is None else [deadline - now()]
        left += [] if at_ns is None else [(at_ns - wall_ns()) / 1e9]
        if min(left) <= 0:
            over_at = now() if over_at is None else over_at
            if now() - over_at >= SUCCESSOR_SECONDS or not is_awaited():
                stop.set()
                return True
            left = [LOOK_SECONDS]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left)):
                await stop.wait()
    return False
