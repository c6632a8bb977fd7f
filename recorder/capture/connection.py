"""One WebSocket, kept open: connect, read, ping, watch, reconnect.

What to do about a failure is decided in `recorder.capture.reactions`. The socket is
read as fast as it can be, and nothing slow is awaited between two reads.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import aiohttp

from recorder.capture.link import Link, Opcode
from recorder.capture.reactions import (
    CONNECT_SECONDS,
    RefusedError,
    pause_seconds,
    verdict_on,
)
from recorder.capture.rest import without_secrets
from recorder.capture.session import Session
from recorder.clock import Clock
from recorder.model import Chain
from recorder.source import Ending, Request, Verdict
from recorder.telemetry import (
    ConnectionClosed,
    ConnectionEnded,
    ConnectionFailed,
    ConnectionOpened,
    emit,
)


FRAME_MAX_BYTES: Final = 16 * 1024 * 1024
"""The largest message accepted; a full book of 1,000 levels is about 60 kB."""

STOPPED: Final = "the recorder stopped"
"""Why a connection ended that we ended ourselves."""

CLOSE_SECONDS: Final = 2.0

ALIVE_SECONDS: Final = 1.0
"""How long a ping may take to be answered before a stop."""

STEADY_SECONDS: Final = 10.0
"""A connection that lived so long and said something begins the back-off anew."""


class _End(NamedTuple):
    """How a connection ended: the code that was received, if any, and why."""

    code: int | None
    reason: str


class Connection:
    """Keeps one connection of a session open until it is cancelled.

    Args:
        http: Open client session, made with `watched_handshakes`.
        url: Where to.
        session: Told of everything that happens.
        chains: What goes over this connection.
        clock: Gives receive times.
        name: Gives the name of the next connection that opens.
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
    ) -> None:
        self._http = http
        self._url = url
        self._shown_url = without_secrets(url)
        self._session = session
        self._chains = tuple(chains)
        self._clock = clock
        self._name = name
        self.is_open = False
        self.was_connected = False
        self.last_failure: str | None = None
        self._line: tuple[Link, aiohttp.ClientWebSocketResponse[bool]] | None = None

    async def ask_for_life(self) -> None:
        """Ping, and wait a moment until anything was heard.

        Before a stop: a market may have been quiet since the last frame, or
        the socket stalled, and only an answer tells the two apart.
        """
        if self._line is None:
            return
        link, socket = self._line
        heard = link.seq
        with suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_SECONDS):
                await self._ping(link, socket)
                while self.is_open and link.seq == heard:  # noqa: ASYNC110 - every frame would have to set it
                    await asyncio.sleep(0.002)

    async def run(self) -> None:
        """Connect, and again whenever the connection is gone.

        Returns when every chain of the connection has been refused.

        Raises:
            RefusedError: If no further attempt can help.
        """
        attempt, source = 0, self._session.source
        verdict: Verdict | None
        while not self._is_pointless():
            try:
                was_steady, end = await self._once()
            # A host that no DNS name can be made of is a UnicodeError.
            except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as exc:
                verdict = verdict_on(
                    exc,
                    source,
                    self._shown_url,
                    was_connected=self._session.was_connected,
                )
                self.last_failure = self._session.secrets.hide(verdict.why)
                attempt += 1
            else:
                verdict = source.verdict(Ending(code=end.code, reason=end.reason))
                attempt = 0 if was_steady else attempt + 1
                if verdict is not None:
                    self.last_failure = self._session.secrets.hide(verdict.why)
            if verdict is not None and verdict.action == "stop":
                raise RefusedError(self.last_failure or verdict.why)
            if self._is_pointless():
                return
            wait = pause_seconds(verdict, attempt)
            emit(
                ConnectionFailed(
                    url=self._shown_url,
                    why=self.last_failure or "the connection was closed",
                    retry_in_seconds=round(wait, 3),
                )
            )
            await asyncio.sleep(wait)

    def _is_pointless(self) -> bool:
        return all(chain in self._session.refused for chain in self._chains)

    async def _once(self) -> tuple[bool, _End]:
        """Open one connection and serve it to its end.

        Returns:
            Whether it was good for a while: worth coming back to soon; and
            how it ended.
        """
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await self._http.ws_connect(
                self._url,
                headers=self._session.headers(),
                decode_text=False,
                compress=0,
                max_msg_size=FRAME_MAX_BYTES,
                autoping=True,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
        loop = asyncio.get_running_loop()
        since, opened_at = loop.time(), self._clock.now_ns()
        url = self._shown_url
        link = self._session.opened(self._name(), url, self._chains, opened_at)
        emit(ConnectionOpened(conn=link.conn, url=url))
        self.is_open = self.was_connected = True
        self._line = link, socket
        end = _End(aiohttp.WSCloseCode.OK, STOPPED)
        try:
            async with asyncio.TaskGroup() as tasks:
                talking = tasks.create_task(self._talk(link, socket))
                watching = tasks.create_task(self._watch(link, socket))
                end = await self._read(link, socket)
                talking.cancel()
                watching.cancel()
        except* (aiohttp.ClientError, OSError) as group:
            error = group.exceptions[0]
            end = _End(None, str(error) or type(error).__name__)
        finally:
            self.is_open = False
            self._line = None
            await _close(socket)
            self._closed(link, end)
        return link.seq > 0 and loop.time() - since >= STEADY_SECONDS, end

    def _closed(self, link: Link, end: _End) -> None:
        """Tell of the end of a connection."""
        reason = link.why_dead or end.reason
        self.last_failure = reason
        self._session.closed(link, self._clock.now_ns(), end.code, reason)
        kind = ConnectionEnded if end.reason is STOPPED else ConnectionClosed
        emit(kind(conn=link.conn, code=end.code, reason=reason, frames=link.seq))

    async def _read(
        self, link: Link, socket: aiohttp.ClientWebSocketResponse[bool]
    ) -> _End:
        """Hand every message to the session; return why there are no more."""
        receive = socket.receive
        now_ns = self._clock.now_ns
        frame = self._session.frame
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        while True:
            message = await receive()
            ts_recv = now_ns()
            kind = message.type
            if kind is text or kind is binary:
                opcode: Opcode = "binary" if kind is binary else "text"
                frame(link, ts_recv, message.data, opcode=opcode)
            elif kind is aiohttp.WSMsgType.CLOSE:
                words = message.extra or f"closed by the peer with code {message.data}"
                return _End(message.data, words)
            elif kind is aiohttp.WSMsgType.ERROR:
                return _End(None, f"broken WebSocket frame: {message.data}")
            else:
                return _End(None, "the peer vanished without closing")

    async def _talk(
        self, link: Link, socket: aiohttp.ClientWebSocketResponse[bool]
    ) -> None:
        """Send what the session wants sent, no faster than the venue allows."""
        pause = 1.0 / self._session.source.requests_per_second
        while True:
            while link.outbox:
                request = link.outbox.popleft()
                self._session.sent(link, request, self._clock.now_ns())
                if not await _send(socket, request.payload):
                    return
                await asyncio.sleep(pause)
            await asyncio.sleep(0.02)

    async def _watch(
        self, link: Link, socket: aiohttp.ClientWebSocketResponse[bool]
    ) -> None:
        """Ping, and close a socket that is silent or given up."""
        source = self._session.source
        loop = asyncio.get_running_loop()
        heard, heard_at = link.seq, loop.time()
        next_ping = heard_at + source.ping_seconds
        while True:
            await asyncio.sleep(min(0.25, source.ping_seconds))
            # A clock that never steps: the wall clock would mistake a step for
            # silence, or silence for none.
            now = loop.time()
            if link.seq != heard:
                heard, heard_at = link.seq, now
            elif now - heard_at > source.silence_seconds and not link.is_dead:
                link.is_dead = True
                link.why_dead = f"no frame for {now - heard_at:.0f} s"
            if link.is_dead:
                await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
                return
            if now >= next_ping:
                next_ping = now + source.ping_seconds
                if not await self._ping(link, socket):
                    return

    async def _ping(
        self, link: Link, socket: aiohttp.ClientWebSocketResponse[bool]
    ) -> bool:
        """Send a ping, if the feed has one; return whether the socket took it."""
        now = self._clock.now_ns()
        payload = link.dialogue.ping(now)
        if payload is None:
            return True
        ping = Request(payload=payload)
        self._session.sent(link, ping, now)
        return await _send(socket, ping.payload)


async def _close(socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
    """Close politely, but not for long."""
    # What the peer made of it changes nothing: it was told, and we go.
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close()


async def _send(socket: aiohttp.ClientWebSocketResponse[bool], payload: bytes) -> bool:
    """Send a frame; return whether the socket took it.

    One that does not has ended: its reader hears of that, after what still came.
    """
    try:
        await socket.send_frame(payload, aiohttp.WSMsgType.TEXT)
    except (aiohttp.ClientError, ConnectionError):
        return False
    return True
