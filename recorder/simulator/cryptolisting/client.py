"""One accepted connection: its queue, its limits, its end."""

import asyncio
from collections import deque
from typing import Final, NamedTuple

from aiohttp import WSMsgType, web

from recorder.clock import Clock
from recorder.simulator.cryptolisting.door import Guest
from recorder.simulator.cryptolisting.settings import ListingSettings
from recorder.simulator.cryptolisting.truth import Ended, ListingTruth, Pushed
from recorder.simulator.numbers import SECOND_NS


CLOSES: Final = {
    "key_expired": 1000,
    "key_revoked": 1000,
    "key_invalidated": 1000,
    "too_slow": 1008,
    "rate_limit_exceeded": 1008,
    "frame_too_large": 1009,
    "internal_error": 1011,
}
"""Close code of every documented reason, and of one any service may give."""

DROPPED: Final = "dropped"
"""Reason in the truth of a connection that ended without a close frame."""


class _Frame(NamedTuple):
    """A frame that waits to be sent."""

    kind: str
    payload: bytes
    opcode: WSMsgType
    is_whole: bool = True


class Client:
    """A client as the service sees it.

    Attributes:
        number: From 1, in order of acceptance.
        guest: Who it is.
        is_open: False as soon as it is to end.
        is_mute: True if no heartbeats are sent any more.
        is_stalled: True if nothing is sent any more.
        heartbeat_ns: When the next heartbeat is due.
        ping_ns: When the next PING is due.
        pong_ns: When the last PONG came, or the connection began.
        test_ns: When it last was sent a test announcement.
    """

    def __init__(
        self,
        number: int,
        guest: Guest,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        *,
        settings: ListingSettings,
        clock: Clock,
        truth: ListingTruth,
    ) -> None:
        self.number = number
        self.guest = guest
        self.is_open = True
        self.is_mute = False
        self.is_stalled = False
        now_ns = clock.now_ns()
        self.heartbeat_ns = now_ns + int(settings.heartbeat_seconds * SECOND_NS)
        self.ping_ns = now_ns
        self.pong_ns = now_ns
        self.test_ns: int | None = None
        self._socket = socket
        self._transport = transport
        self._settings = settings
        self._clock = clock
        self._truth = truth
        self._queue: deque[_Frame] = deque()
        self._heard: deque[int] = deque()
        self._wake = asyncio.Event()
        self._end: tuple[int, str] | None = None

    def send(
        self, kind: str, payload: bytes, *, is_text: bool = False, is_whole: bool = True
    ) -> None:
        """Send a message, unless the client is too far behind: then it is closed.

        Args:
            kind: Its type, for the truth.
            payload: The message.
            is_text: Sent as a text frame, against the documents.
            is_whole: False if it was spoiled on purpose.
        """
        if not self.is_open or self.is_stalled:
            return
        # A burst that the kernel would take at once is no sign of a slow client.
        if len(self._queue) >= self._settings.queue_frames and self._is_blocked():
            self._queue.clear()
            self.end("too_slow")
            return
        opcode = WSMsgType.TEXT if is_text else WSMsgType.BINARY
        self._queue.append(_Frame(kind, payload, opcode, is_whole))
        self._wake.set()

    def ping(self) -> None:
        """Send a protocol PING."""
        if self.is_open and not self.is_stalled:
            self._queue.append(_Frame("ping", b"", WSMsgType.PING))
            self._wake.set()

    def end(self, reason: str) -> None:
        """Close the connection, after what was sent before."""
        if not self.is_open:
            return
        self.is_open = False
        code = CLOSES[reason]
        if self._settings.is_echoing_keys:
            reason = f"{reason}: {self.guest.key.key}"
        self._end = code, reason
        self._ended(code, reason)
        self._wake.set()

    def drop(self) -> None:
        """Drop the TCP connection: the client sees no close frame."""
        if self.is_open:
            self._ended(None, DROPPED)
        self.is_open = False
        self._transport.abort()
        self._wake.set()

    def heard(self, size: int) -> str | None:
        """Note a message of the client; return the limit that it breaks, if any."""
        if size > self._settings.message_bytes:
            return "frame_too_large"
        now_ns = self._clock.now_ns()
        self._heard.append(now_ns)
        while self._heard[0] <= now_ns - 60 * SECOND_NS:
            self._heard.popleft()
        if len(self._heard) > self._settings.messages_per_minute:
            return "rate_limit_exceeded"
        return None

    def nudge(self) -> None:
        """Look again whether the client has read on; call it now and then."""
        if self._queue:
            self._wake.set()

    async def write(self) -> None:
        """Send what is queued until the connection ends."""
        while self.is_open:
            await self._wake.wait()
            self._wake.clear()
            while self._queue and not self._is_blocked():
                if not await self._hand_over(self._queue.popleft()):
                    self.is_open = False
                    return
        if self._end is not None:
            for frame in self._queue:
                await self._hand_over(frame)
            code, reason = self._end
            await self._socket.close(code=code, message=reason.encode(), drain=False)

    def _is_blocked(self) -> bool:
        return self._transport.get_write_buffer_size() > 0

    async def _hand_over(self, frame: _Frame) -> bool:
        """Send a frame; return whether the client is still there."""
        now_ns = self._clock.now_ns()
        try:
            await self._socket.send_frame(frame.payload, frame.opcode)
        except ConnectionError:
            return False
        if frame.opcode is not WSMsgType.PING:
            self._truth.add(
                Pushed(
                    ts_ns=now_ns,
                    conn=self.number,
                    kind=frame.kind,
                    opcode=frame.opcode.name.lower(),
                    payload=frame.payload.decode(),
                    is_whole=frame.is_whole,
                )
            )
        return True

    def _ended(self, code: int | None, reason: str) -> None:
        self._truth.add(
            Ended(
                ts_ns=self._clock.now_ns(),
                conn=self.number,
                code=code,
                reason=reason,
            )
        )
