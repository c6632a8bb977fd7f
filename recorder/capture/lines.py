"""All connections of a run to one source: made, counted, asked for life."""

import asyncio
from itertools import count

import aiohttp

from recorder.capture.connection import Connection
from recorder.capture.plan import CapturePlan
from recorder.capture.rest import Budget
from recorder.capture.session import Session
from recorder.capture.spread import spread
from recorder.clock import Clock


class Lines:
    """The connections that a plan asks for.

    Args:
        plan: What is recorded.
        run: Id of the run; names of connections start with it.
        session: Told of everything that happens.
        clock: Gives receive times.
        connects: How fast connections may be opened.
    """

    def __init__(
        self,
        plan: CapturePlan,
        run: str,
        session: Session,
        clock: Clock,
        connects: Budget,
    ) -> None:
        self._connects = connects
        self._plan = plan
        self._run = run
        self._session = session
        self._clock = clock
        self._numbers = count()
        self._connections: list[Connection] = []

    def make(self, http: aiohttp.ClientSession) -> list[Connection]:
        """Return the connections, to be run; none is open yet."""
        plan = self._plan
        self._connections = [
            Connection(
                http,
                plan.ws_url,
                self._session,
                chains,
                clock=self._clock,
                name=self._next_name,
                connects=self._connects,
                renew_seconds=plan.config.renew_seconds,
            )
            for chains in spread(plan.source, plan.chains)
        ]
        return self._connections

    @property
    def total(self) -> int:
        """How many are wanted."""
        return len(self._connections)

    @property
    def open_total(self) -> int:
        """How many are open now."""
        return sum(connection.is_open for connection in self._connections)

    @property
    def handovers(self) -> int:
        """How often another connection has taken over."""
        return sum(connection.handovers for connection in self._connections)

    @property
    def handing_over(self) -> int:
        """How many have a second connection beside the first now."""
        return sum(c.is_handing_over for c in self._connections)

    @property
    def was_connected(self) -> bool:
        """Whether any was ever open."""
        return any(connection.was_connected for connection in self._connections)

    @property
    def failures(self) -> list[str]:
        """Why connections were lost or could not be made, last."""
        return [c.last_failure for c in self._connections if c.last_failure]

    async def ask_for_life(self) -> None:
        """Have each show that it lives, as far as it does."""
        await asyncio.gather(*(c.ask_for_life() for c in self._connections))

    def _next_name(self) -> str:
        return f"{self._run}.{next(self._numbers)}"
