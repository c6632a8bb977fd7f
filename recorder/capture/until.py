"""Work that is given up when a run is told to stop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar


T = TypeVar("T")


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what some work gives; None if it was told to stop before.

    The work has ended when this returns, one way or the other.

    Args:
        stop: Set by whoever wants an end.
        work: What is to be done; what it raises is raised.
    """
    doing = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, stopping):
            task.cancel()
        await asyncio.wait((doing, stopping))
