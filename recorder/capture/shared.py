"""What the captures of one process have in common."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from recorder.capture.hearsay import venue_of
from recorder.capture.notices import Notices
from recorder.capture.plan import CapturePlan
from recorder.capture.pool import MEMORY_BYTES, Pool
from recorder.capture.rest import Budget, host_of
from recorder.capture.spread import Connections
from recorder.source import Source


class Shared:
    """Budgets of what venues allow one address, and of memory.

    Args:
        memory_bytes: What rows may take that wait for the disk.

    Attributes:
        pool: Memory for rows that wait for the disk.
        connections: How many connections venues are asked for.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.pool = Pool(memory_bytes)
        self.connections = Connections()
        self._notices: dict[str, Notices] = {}
        self._connects: dict[tuple[str, str], Budget] = {}
        self._calls: dict[tuple[str, str], Budget] = {}
        self._lists: dict[object, tuple[asyncio.Lock, set[int]]] = {}

    def connects(self, source: Source, url: str) -> Budget:
        """Return how fast connections to a feed's host may be opened."""
        budget = Budget(source.connects_per_second, burst=1)
        return self._connects.setdefault((source.name, host_of(url)), budget)

    def calls(self, source: Source, url: str) -> Budget:
        """Return how fast a feed's host may be asked by HTTP."""
        budget = Budget(source.rest_per_second)
        return self._calls.setdefault((source.name, host_of(url)), budget)

    def notices(self, source: Source) -> Notices:
        """Return what the feeds of a venue said of its maintenance."""
        return self._notices.setdefault(venue_of(source.name), Notices())

    @asynccontextmanager
    async def listing(self, plan: CapturePlan) -> AsyncIterator[set[int]]:
        """Let one capture at a time store a venue's list of markets.

        Yields:
            The UTC days of which it is stored, counted from 1970-01-01.
        """
        options = tuple(sorted(plan.options.items()))
        key = plan.source.name, plan.rest_url, options, plan.config.store
        lock, days = self._lists.setdefault(key, (asyncio.Lock(), set()))
        async with lock:
            yield days
