"""A connection that is kept: opened, and again whenever it is gone.

What to do about a failure is decided in `recorder.capture.reactions`; what
happens while it is open, in `recorder.capture.life`.
"""

import asyncio
from collections.abc import Callable, Sequence

import aiohttp

from recorder.capture.life import Life, open_socket
from recorder.capture.reactions import (
    RefusedError,
    pause_seconds,
    told_verdict,
    usual_verdict,
    without_keys,
)
from recorder.capture.rest import Budget, without_secrets
from recorder.capture.session import Session
from recorder.clock import Clock
from recorder.model import Chain
from recorder.source import Ending, Verdict
from recorder.telemetry import ConnectionFailed, ConnectionOpened, emit


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

    Attributes:
        was_connected: Whether it was ever open.
        last_failure: Why it ended or could not be opened, the last time.
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
    ) -> None:
        self._http = http
        self._connects = connects
        self._url = url
        self._shown_url = without_secrets(url)
        self._session = session
        self._chains = tuple(chains)
        self._clock = clock
        self._name = name
        self._life: Life | None = None
        self.was_connected = False
        self.last_failure: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open now."""
        return self._life is not None and not self._life.is_over

    async def ask_for_life(self) -> None:
        """Before a stop: have it show that it lives, if it is open."""
        if self._life is not None and not self._life.is_over:
            await self._life.ask_for_life()

    async def run(self) -> None:
        """Connect, and again whenever the connection is gone.

        Returns when every chain of the connection has been refused.

        Raises:
            RefusedError: If no further attempt can help.
        """
        session = self._session
        failures, source, secrets = 0, session.source, session.secrets
        told: Verdict | None
        while not self._is_pointless():
            try:
                self._life = life = await self._open()
                await life.run()
            # A host that no DNS name can be made of is a UnicodeError.
            except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as exc:
                told = told_verdict(exc, source, secrets)
                verdict = told or usual_verdict(
                    exc, self._shown_url, was_connected=session.was_connected
                )
            else:
                ending = Ending(code=life.end.code, reason=life.end.reason)
                told = life.link.verdict or source.verdict(
                    without_keys(ending, secrets)
                )
                verdict = told or Verdict(action="retry", why=life.why_ended)
                failures = 0 if life.was_steady else failures
            why = self.last_failure = secrets.hide(verdict.why)
            if verdict.action == "stop":
                if told is not None:
                    session.gave_up(self._chains, why)
                raise RefusedError(why)
            if self._is_pointless():
                return
            wait = pause_seconds(verdict, failures, source.backoff)
            failures += 1
            emit(
                ConnectionFailed(
                    url=self._shown_url,
                    why=why,
                    retry_in_seconds=round(wait, 3),
                )
            )
            await asyncio.sleep(wait)

    def _is_pointless(self) -> bool:
        return all(chain in self._session.refused for chain in self._chains)

    async def _open(self) -> Life:
        """Open a connection, to be served."""
        await self._connects.take()
        socket = await open_socket(self._http, self._url, self._session)
        url = self._shown_url
        opened_at = self._clock.now_ns()
        link = self._session.opened(self._name(), url, self._chains, opened_at)
        emit(ConnectionOpened(conn=link.conn, url=url))
        self.was_connected = True
        return Life(socket, link, self._session, self._clock)
