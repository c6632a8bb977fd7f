"""The list of markets, stored once on each UTC day of a recording.

A run begins with one if the store has none of that day, and stores another
after each midnight. That it cannot be had is told, and does no more harm: it is
no stream and has no account, and the list of the day before must do.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from recorder.capture.choosing import choose
from recorder.capture.http_markets import HttpMarkets
from recorder.capture.market_lists import some_of
from recorder.capture.plan import CapturePlan
from recorder.capture.rest import RestClient
from recorder.capture.shared import Shared
from recorder.clock import Clock
from recorder.errors import StoreError, TransportError, WireError
from recorder.model import Market
from recorder.source import MarketList
from recorder.store.layout import DAY_NS
from recorder.store.market_days import has_list
from recorder.telemetry import (
    MarketListFailed,
    MarketListStored,
    MarketsAppeared,
    emit,
)


LOOK_SECONDS: Final = 60.0
"""How often to look whether a day is over: the clock may be set meanwhile."""

SPREAD_SECONDS: Final = 60.0
"""So long after a midnight at most; jobs of one store do not all ask at once."""

PAUSE_FIRST_SECONDS: Final = 10.0
PAUSE_MAX_SECONDS: Final = 600.0


class DailyList:
    """Keeps the table ``markets`` up to date.

    Args:
        plan: What is recorded, of which venue.
        rest: Asks the venue.
        lists: Takes the answers.
        clock: The run's clock.
        shared: Knows of other captures of the process.
        sleep: Waits so many seconds.
        draw: Gives a number in [0, 1).
    """

    def __init__(
        self,
        plan: CapturePlan,
        rest: RestClient,
        lists: HttpMarkets,
        clock: Clock,
        shared: Shared,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._plan = plan
        self._rest = rest
        self._lists = lists
        self._clock = clock
        self._shared = shared
        self._sleep = sleep
        self._draw = draw
        self._markets = {chain.market for chain in plan.chains if chain.market}
        self._is_kept = False

    async def run(self, listing: MarketList) -> None:
        """Store the list of each day, for ever.

        Args:
            listing: How the venue is asked.
        """
        day = None
        while True:
            now = self._clock.now_ns()
            if day is not None and now // DAY_NS != day:
                await self._sleep(self._draw() * SPREAD_SECONDS)
            if now // DAY_NS != day:
                day = self._clock.now_ns() // DAY_NS
                await self._keep(listing, day)
            left = ((day + 1) * DAY_NS - self._clock.now_ns()) / 1e9
            await self._sleep(min(max(left, 0.001), LOOK_SECONDS))

    async def _keep(self, listing: MarketList, day: int) -> None:
        """See to it that the store has the list of a day, while it lasts."""
        pause = PAUSE_FIRST_SECONDS
        while self._clock.now_ns() // DAY_NS == day:
            try:
                await self._store_once(listing, day)
            except (TransportError, StoreError, WireError, ValueError) as exc:
                source = self._plan.source.name
                emit(
                    MarketListFailed(
                        source=source, why=str(exc), retry_in_seconds=pause
                    )
                )
                await self._sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_SECONDS)
            else:
                return

    async def _store_once(self, listing: MarketList, day: int) -> None:
        """Store the list, unless somebody has."""
        plan = self._plan
        name = plan.source.name
        async with self._shared.listing(plan) as days:
            if day in days:
                return
            if not await asyncio.to_thread(
                has_list, plan.config.store, name, day, self._markets
            ):
                await self._ask(listing)
            days.add(day)

    async def _ask(self, listing: MarketList) -> None:
        request = listing.request(self._plan.options)
        body = self._plan.secrets.hide_bytes(await self._rest.get(request))
        ts_recv = self._clock.now_ns()
        try:
            markets = listing.decode(body)
            self._lists.take(request, ts_recv, body, markets)
        except (WireError, ValueError) as exc:
            if not self._is_kept:  # the same page every few minutes tells no more
                self._lists.keep(request, ts_recv, body, str(exc))
                self._is_kept = True
            raise
        self._is_kept = False
        emit(MarketListStored(source=self._plan.source.name, markets=len(markets)))
        self._tell_of_new(listing, markets)

    def _tell_of_new(
        self, listing: MarketList, markets: tuple[Market[str], ...]
    ) -> None:
        """Say which markets patterns would choose that were not there before."""
        if not self._plan.has_patterns:
            return
        choice = choose(self._plan.config.markets, markets, listing.is_traded)
        new = tuple(name for name in choice.markets if name not in self._markets)
        if new:
            source = self._plan.source.name
            emit(MarketsAppeared(source=source, markets=len(new), such_as=some_of(new)))
