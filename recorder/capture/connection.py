"""A connection that is kept: opened, renewed, and opened again when it is gone.

What to do about a failure is decided in `recorder.capture.reactions`; what
happens while it is open, in `recorder.capture.life`; how the next one takes
over from it while it lives, in `recorder.capture.relay`.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp

from recorder.capture.life import Life, open_socket
from recorder.capture.reactions import (
    RefusedError,
    pause_seconds,
    told_verdict,
    usual_verdict,
    without_keys,
)
from recorder.capture.relay import NoSecondError, Relay
from recorder.capture.rest import Budget, without_secrets
from recorder.capture.session import Session
from recorder.clock import Clock
from recorder.model import Chain
from recorder.source import Ending, Verdict
from recorder.telemetry import ConnectionFailed, ConnectionOpened, emit


CONNECT_ERRORS: Final = (
    aiohttp.ClientError,
    OSError,
    TimeoutError,
    UnicodeError,  # a host that no DNS name can be made of
)
"""What opening a connection raises."""

ROOM_SECONDS: Final = 0.2
"""How often it is looked whether frames are still dropped."""

RENEW_JITTER: Final = 0.25
"""By so much of its time, at most, a connection is renewed sooner: not all of
a run at once."""


class Connection:
    """Keeps one connection of a session open until it is cancelled.

    Args:
        http: Open client session, made with `watched_handshakes`.
        url: Where to.
        session: Told of everything that happens.
        chains: What goes over this connection.
        clock: Gives receive times.
        name: Gives the name of the next connection that opens.
        connects: How fast connections may be opened.
        renew_seconds: After so long it is replaced by another; None for never.

    Attributes:
        was_connected: Whether it was ever open.
        last_failure: Why it ended or could not be opened, the last time.
        handovers: How often another has taken over.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        session: Session,
        chains: Sequence[Chain],
        *,
        clock: Clock,
        name: Callable[[], str],
        connects: Budget,
        renew_seconds: float | None = None,
    ) -> None:
        self._http = http
        self._connects = connects
        self._url = url
        self._shown_url = without_secrets(url)
        self._session = session
        self._chains = tuple(chains)
        self._clock = clock
        self._name = name
        self._renew_seconds = renew_seconds
        self._relay = Relay(session, clock, self._open_second)
        self._lives: list[Life] = []
        self._tasks = asyncio.TaskGroup()  # entered by run()
        self.was_connected = False
        self.last_failure: str | None = None
        self.handovers = 0

    @property
    def is_open(self) -> bool:
        """Whether it is open now."""
        return any(not life.is_over for life in self._lives)

    @property
    def is_handing_over(self) -> bool:
        """Whether a second connection is open beside the first."""
        return sum(not life.is_over for life in self._lives) > 1

    async def ask_for_life(self) -> None:
        """Before a stop: have it show that it lives, if it is open."""
        lives = [life for life in self._lives if not life.is_over]
        await asyncio.gather(*(life.ask_for_life(is_last=True) for life in lives))

    async def run(self) -> None:
        """Connect, and again whenever the connection is gone.

        Returns when every chain of the connection has been refused.

        Raises:
            RefusedError: If no further attempt can help.
        """
        async with self._tasks:
            refusal = await self._keep()
        if refusal is not None:
            raise RefusedError(refusal)

    async def _keep(self) -> str | None:
        """Keep a connection; return why no further attempt can help, if so."""
        session, backoff = self._session, self._session.source.backoff
        failures, is_first = 0, False
        while not self._is_pointless():
            await self._room()
            try:
                life = await self._serve(await self._open(None))
            except CONNECT_ERRORS as exc:
                told, verdict = self._verdicts_on(exc)
                self._tell_of_maintenance(verdict, is_first=is_first)
                is_first = False
            else:
                told = self._told_verdict(life)
                verdict = told or Verdict(
                    action="retry",
                    why=life.why_ended,
                    # An end that was announced was to be expected.
                    wait_seconds=None if life.link.leaving is None else 0.0,
                )
                failures, is_first = 0 if life.was_steady else failures, True
                self._tell_of_maintenance(verdict, is_first=True)
            why = self.last_failure = session.secrets.hide(verdict.why)
            if verdict.action == "stop":
                if told is not None:
                    session.gave_up(
                        self._chains, why, is_about_keys=verdict.is_about_keys
                    )
                return why
            if self._is_pointless():
                return None
            wait = pause_seconds(verdict, failures, backoff)
            failures += 1
            # Connections may not be opened faster than the venue allows, either.
            pace = self._connects.wait_seconds(asyncio.get_running_loop().time())
            emit(
                ConnectionFailed(
                    url=self._shown_url,
                    why=why,
                    retry_in_seconds=round(max(wait, pace), 3),
                )
            )
            await asyncio.sleep(wait)
        return None

    async def _room(self) -> None:
        """Wait as long as frames are dropped: to come back would be of no use."""
        while self._session.shedding.since is not None:  # noqa: ASYNC110 - a tick ends it
            await asyncio.sleep(ROOM_SECONDS)

    def _tell_of_maintenance(self, verdict: Verdict, *, is_first: bool) -> None:
        if verdict.is_maintenance:
            why = self._session.secrets.hide(verdict.why)
            at = self._clock.now_ns()
            self._session.explainer.told(self._chains, at, why, is_first=is_first)

    async def _serve(self, life: Life) -> Life:
        """Stay with a connection, and with those that take over from it.

        Returns:
            The last of them, which has ended.
        """
        while not life.is_over:
            if not await self._is_to_be_left(life):
                continue
            successor = await self._relay.hand_over(life)
            if successor is not None:
                self.handovers += 1
                life = successor
        return life

    async def _is_to_be_left(self, life: Life) -> bool:
        """Wait until a connection is to be left, or has ended."""
        seconds = self._renew_seconds
        jitter = 1.0 - RENEW_JITTER * random.random()  # noqa: S311 - no secret
        try:
            async with asyncio.timeout(None if seconds is None else seconds * jitter):
                await life.leaving.wait()
        except TimeoutError:
            return True
        if life.link.leaving is None:
            await life.over.wait()
        return not life.is_over

    def _is_pointless(self) -> bool:
        return all(chain in self._session.refused for chain in self._chains)

    async def _open(self, first: Life | None) -> Life:
        """Open a connection, and have it served."""
        await self._connects.take()
        socket = await open_socket(self._http, self._url, self._session)
        url = self._shown_url
        opened_at = self._clock.now_ns()
        link = self._session.opened(
            self._name(),
            url,
            self._chains,
            opened_at,
            None if first is None else first.link,
        )
        emit(ConnectionOpened(conn=link.conn, url=url))
        self.was_connected = True
        life = Life(socket, link, self._session, self._clock)
        self._lives = [*(one for one in self._lives if not one.is_over), life]
        self._tasks.create_task(life.run())
        return life

    async def _open_second(self, first: Life) -> Life:
        try:
            return await self._open(first)
        except CONNECT_ERRORS as exc:
            _, verdict = self._verdicts_on(exc)
            why = self._session.secrets.hide(verdict.why)
            raise NoSecondError(why, verdict) from exc

    def _verdicts_on(self, exc: Exception) -> tuple[Verdict | None, Verdict]:
        """Return what the feed wants done about a failed attempt, and what is."""
        session = self._session
        told = told_verdict(exc, session.source, session.secrets)
        usual = usual_verdict(exc, self._shown_url, was_connected=session.was_connected)
        return told, told or usual

    def _told_verdict(self, life: Life) -> Verdict | None:
        """Return what the feed wants done about an end, if anything."""
        ending = Ending(code=life.end.code, reason=life.end.reason)
        source, secrets = self._session.source, self._session.secrets
        return life.link.verdict or source.verdict(without_keys(ending, secrets))
