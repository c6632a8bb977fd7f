"""One WebSocket from its opening to its end: read, asked, pinged, watched.

The socket is read as fast as it can be, and nothing slow is awaited between
two reads.
"""

import asyncio
import math
from contextlib import suppress
from typing import Final, NamedTuple

import aiohttp

from recorder.capture import unread
from recorder.capture.before_waiting import before_waiting
from recorder.capture.link import Link, Opcode
from recorder.capture.plain import RUN_MAX
from recorder.capture.reactions import CONNECT_SECONDS
from recorder.capture.session import Session
from recorder.clock import Clock
from recorder.source import Request
from recorder.telemetry import (
    ConnectionClosed,
    ConnectionEnded,
    ConnectionQuiet,
    emit,
)


FRAME_MAX_BYTES: Final = 16 * 1024 * 1024
"""The largest message accepted; a full book of 1,000 levels is about 60 kB."""

STOPPED: Final = "the recorder stopped"
"""Why a connection ended that we ended ourselves."""

HANDED_OVER: Final = "handed over to"
"""How the reason begins for which one ended that another took over from."""

CLOSE_SECONDS: Final = 2.0

STANDSTILL_SECONDS: Final = 5.0
"""A connection is looked at four times a second. If so much goes by, the process
stood still: what came meanwhile is not read yet."""

ALIVE_SECONDS: Final = 1.0
"""How long a ping may take to be answered."""

STEADY_SECONDS: Final = 10.0
"""A connection that lived so long and said something begins the back-off anew."""

LEFT_SECONDS: Final = 2.0
"""So does one that lived so long and that the venue closed as it had said."""


class End(NamedTuple):
    """How a connection ended: the code that was received, if any, and why."""

    code: int | None
    reason: str


async def open_socket(
    http: aiohttp.ClientSession, url: str, session: Session
) -> aiohttp.ClientWebSocketResponse[bool]:
    """Return a new WebSocket.

    Args:
        http: Open client session.
        url: Where to.
        session: Knows the headers that the feed wants sent.

    Raises:
        aiohttp.ClientError, OSError, TimeoutError, UnicodeError: If it cannot
            be had.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        return await http.ws_connect(
            url,
            headers=session.headers(),
            decode_text=False,
            compress=0,
            max_msg_size=FRAME_MAX_BYTES,
            autoping=False,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        )


class Life:
    """One connection, open from the start.

    Args:
        socket: The WebSocket, just opened.
        link: What the session knows of it.
        session: Told of everything that happens.
        clock: Gives receive times.

    Attributes:
        link: As given.
        over: Set when it has ended.
        leaving: Set when the venue says that it will close it, and when it
            has ended.
        end: How it ended, if it has.
    """

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse[bool],
        link: Link,
        session: Session,
        clock: Clock,
    ) -> None:
        self.link = link
        self.over = asyncio.Event()
        self.leaving = asyncio.Event()
        self.end = End(aiohttp.WSCloseCode.OK, STOPPED)
        self._socket = socket
        self._session = session
        self._clock = clock
        self._opcode: Opcode = "text"
        self._payloads: list[bytes] = []
        self._read_at = 0
        self._opened_at = asyncio.get_running_loop().time()
        self._is_answering = False

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.over.is_set()

    @property
    def was_steady(self) -> bool:
        """Whether it is good for a while now: worth coming back to soon."""
        age = asyncio.get_running_loop().time() - self._opened_at
        # A venue that says beforehand that it will go is not in trouble.
        least = STEADY_SECONDS if self.link.leaving is None else LEFT_SECONDS
        return self.link.seq > 0 and age >= least

    @property
    def why_ended(self) -> str:
        """Why it ended, in words."""
        return self._session.secrets.hide(self.link.why_dead or self.end.reason)

    async def run(self) -> None:
        """Serve the connection to its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                talking = tasks.create_task(self._talk())
                watching = tasks.create_task(self._watch())
                self.end = await before_waiting(self._read(), self._hand_on)
                talking.cancel()
                watching.cancel()
        except* (aiohttp.ClientError, OSError) as group:
            error = group.exceptions[0]
            self.end = End(None, str(error) or type(error).__name__)
        finally:
            self._hand_on()
            self.leaving.set()
            await _close(self._socket)
            self._tell()
            self.over.set()

    def _tell(self) -> None:
        """Tell of the end of the connection."""
        link, end, reason = self.link, self.end, self.why_ended
        self._session.closed(link, self._clock.now_ns(), end.code, reason)
        is_ours = end.reason is STOPPED or reason.startswith(HANDED_OVER)
        kind = ConnectionEnded if is_ours else ConnectionClosed
        emit(kind(conn=link.conn, code=end.code, reason=reason, frames=link.seq))

    def leave(self, why: str) -> None:
        """Have it closed soon, politely."""
        self.link.is_dead = True
        self.link.why_dead = why

    async def ask_for_life(self, *, is_last: bool = False) -> bool:
        """Ping, and wait a moment until anything was heard.

        A market may have been quiet since the last frame, or the socket
        stalled, and only an answer tells the two apart.

        Args:
            is_last: Whether we leave after it. A feed without a ping of its
                own is sent that of the WebSocket (RFC 6455, 5.5.2) then: some
                venues count what they are sent, so only then.

        Returns:
            Whether there was a ping to send.
        """
        heard_at = self.link.last_at
        with suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_SECONDS):
                if await self._ping() is None:
                    if not is_last:
                        return False  # nothing makes this venue answer
                    with suppress(aiohttp.ClientError, ConnectionError):
                        await self._socket.ping()
                while not self.is_over and self.link.last_at == heard_at:  # noqa: ASYNC110 - every frame would have to set it
                    await asyncio.sleep(0.002)
        return True

    async def _read(self) -> End:
        """Gather messages to be handed on; return why there are no more."""
        link = self.link
        receive = self._socket.receive
        text, binary = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY
        payloads = self._payloads
        while True:
            message = await receive()
            kind = message.type
            if kind is text or kind is binary:
                opcode: Opcode = "binary" if kind is binary else "text"
                if opcode is not self._opcode or len(payloads) == RUN_MAX:
                    self._hand_on()
                    self._opcode = opcode
                if not payloads:
                    self._read_at = self._clock.now_ns()
                payloads.append(message.data)
                continue
            self._hand_on()
            ts_recv = self._clock.now_ns()
            if kind is aiohttp.WSMsgType.PING:
                self._session.heard(link, ts_recv)
                self._is_answering = True
                await self._socket.pong(message.data)
                self._is_answering = False
            elif kind is aiohttp.WSMsgType.PONG:
                self._session.heard(link, ts_recv)
            elif kind is aiohttp.WSMsgType.CLOSE:
                words = message.extra or f"closed by the peer with code {message.data}"
                return End(message.data, words)
            elif kind is aiohttp.WSMsgType.ERROR:
                return End(None, f"broken WebSocket frame: {message.data}")
            else:
                return End(None, "the peer vanished without closing")

    def _hand_on(self) -> None:
        """Hand what was gathered to the session.

        Before anything is waited for: nobody may see the session without what
        was received before. All of it lay in the socket when the first was read,
        so the others are said to be received a nanosecond after one another.
        """
        if not self._payloads:
            return
        payloads = self._payloads.copy()
        self._payloads.clear()
        end = self._read_at + len(payloads)
        self._clock.not_before(end)
        stamps = range(self._read_at, end)
        self._session.frames(self.link, stamps, payloads, opcode=self._opcode)
        if self.link.leaving is not None:
            self.leaving.set()

    async def _talk(self) -> None:
        """Send what the session wants sent, no faster than the venue allows."""
        link = self.link
        pause = 1.0 / self._session.source.requests_per_second
        while True:
            while link.outbox:
                request = link.outbox.popleft()
                self._session.sent(link, request, self._clock.now_ns())
                if not await _send(self._socket, request.payload):
                    return
                await asyncio.sleep(pause)
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        """Ping, and close a socket that is silent or given up."""
        link, source = self.link, self._session.source
        loop = asyncio.get_running_loop()
        heard, heard_at = link.seq, loop.time()
        now = heard_at
        is_quiet = False
        next_ping = heard_at + source.ping_seconds
        while True:
            await asyncio.sleep(min(0.25, source.ping_seconds))
            # Who waits until the peer takes an answer is not too slow to read.
            lies = 0 if self._is_answering else unread.unread_bytes(self._socket)
            unread.look(link, lies, self._clock.now_ns())
            # A clock that never steps: the wall clock would mistake a step for
            # silence, or silence for none.
            now, looked_at = loop.time(), now
            if now - looked_at > STANDSTILL_SECONDS:
                heard_at = now
            if link.seq != heard:
                heard, heard_at, is_quiet = link.seq, now, False
            elif now - heard_at > source.silence_seconds and not link.is_dead:
                link.is_dead = True
                link.why_dead = f"no frame for {now - heard_at:.0f} s"
            elif not is_quiet and now - heard_at > (source.quiet_seconds or math.inf):
                is_quiet = True
                emit(ConnectionQuiet(conn=link.conn, seconds=round(now - heard_at)))
            if link.is_dead:
                await self._socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)
                return
            if now >= next_ping:
                next_ping = now + source.ping_seconds
                if await self._ping() is False:
                    return

    async def _ping(self) -> bool | None:
        """Send a ping; return whether the socket took it, None if there is none."""
        now = self._clock.now_ns()
        payload = self.link.dialogue.ping(now)
        if payload is None:
            return None
        ping = Request(payload=payload)
        self._session.sent(self.link, ping, now)
        return await _send(self._socket, ping.payload)


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
