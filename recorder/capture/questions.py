"""One connection over which a venue is asked questions, one after the other.

Nothing is subscribed, stored or asked twice, and no connection is opened
again: who asks decides what a failure is worth.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import msgspec

from recorder.capture.handshake import open_http
from recorder.capture.life import CLOSE_SECONDS, FRAME_MAX_BYTES
from recorder.capture.reactions import told_verdict, usual_verdict
from recorder.capture.rest import Budget, without_secrets
from recorder.clock import Clock, SystemClock
from recorder.errors import (
    QuestionRefusedError,
    SourceError,
    TransportError,
    WireError,
)
from recorder.model import WireEvent
from recorder.source import (
    NO_SECRETS,
    Denied,
    Ending,
    Query,
    Secrets,
    Source,
    Told,
    Value,
)


TIMEOUT_SECONDS: Final = 10.0

_OPENING: Final = (aiohttp.ClientError, OSError, UnicodeError)
"""What opening a WebSocket raises; a host that is no DNS name, a UnicodeError."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue answered.

    Attributes:
        ts_recv: Our clock when the frame was read, nanoseconds.
        payload: The frame, keys of ours blotted out.
        events: What it says, in its order.
    """

    ts_recv: int
    payload: bytes
    events: tuple[WireEvent, ...]


class Questions:
    """An open connection to a venue; made by `open_questions`."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse[bool],
        source: Source,
        shown_url: str,
        secrets: Secrets,
        clock: Clock,
        timeout_seconds: float,
    ) -> None:
        self._socket = socket
        self._source = source
        self._shown_url = shown_url
        self._secrets = secrets
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._budget = Budget(source.requests_per_second)
        self._asked = 0

    async def ask(
        self, query: Query, market: str, values: Mapping[str, Value]
    ) -> Answer:
        """Ask, and return the answer.

        Args:
            query: One of the feed's.
            market: The venue's spelling.
            values: All its parameters, as `Query.values` returns them.

        Raises:
            QuestionRefusedError: If the venue does not want to be asked that.
            SourceError: If what it answers is no answer.
            TransportError: If no answer comes, or the venue is in trouble.
        """
        await self._budget.take()
        self._asked += 1
        question = query.ask(self._asked, market, values)
        about = f"{query.name} of {market}"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._socket.send_frame(question, aiohttp.WSMsgType.TEXT)
                while True:
                    payload = await self._receive(about)
                    ts_recv = self._clock.now_ns()
                    said = self._meaning(query, market, values, payload)
                    if said is not None:
                        break
        except TimeoutError as error:
            raise TransportError(
                f"{self._shown_url} did not answer about {about} within "
                f"{self._timeout_seconds:g} s; ask again with a longer --timeout"
            ) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise TransportError(
                f"{self._shown_url} was gone before it was asked about {about}"
            ) from error
        if isinstance(said, Denied):
            raise self._refusal(said, about)
        return Answer(ts_recv=ts_recv, payload=payload, events=said.events)

    async def _receive(self, about: str) -> bytes:
        """Return the next frame.

        Raises:
            TransportError: If the connection ends instead.
        """
        message = await self._socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return self._secrets.hide_bytes(message.data)
        why = "the peer vanished without closing"
        if message.type is aiohttp.WSMsgType.CLOSE:
            reason = self._secrets.hide(message.extra or "no reason given")
            ending = Ending(code=message.data, reason=reason)
            verdict = self._source.verdict(ending)
            why = verdict.why if verdict else f"code {message.data}, {reason}"
        raise TransportError(
            f"{self._shown_url} ended the connection instead of answering about "
            f"{about}: {why}"
        )

    def _meaning(
        self, query: Query, market: str, values: Mapping[str, Value], payload: bytes
    ) -> Told | Denied | None:
        try:
            return query.answer(self._asked, market, values, payload)
        except WireError as error:
            raise SourceError(
                f"what {self._shown_url} answers about {query.name} of {market} is "
                f"no answer of {self._source.name} ({error}); check --ws-url"
            ) from error

    def _refusal(self, said: Denied, about: str) -> SourceError | TransportError:
        if said.is_trouble:
            return TransportError(
                f"{self._source.name} cannot tell {about} now: {said.reason}; "
                "ask again in a while"
            )
        hint = ""
        if self._source.market_list is not None:
            hint = f"; `recorder markets {self._source.name}` lists what it has"
        return QuestionRefusedError(
            f"{self._source.name} refused to tell {about}: {said.reason}{hint}"
        )


@asynccontextmanager
async def open_questions(
    source: Source,
    url: str,
    *,
    options: Mapping[str, str],
    secrets: Secrets = NO_SECRETS,
    clock: Clock | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> AsyncIterator[Questions]:
    """Connect to a venue for as long as it is to be asked.

    Args:
        source: The feed.
        url: Where its WebSocket is.
        options: The feed's, all of them.
        secrets: Keys for the handshake, where the feed needs some.
        clock: Gives receive times; None for that of the system.
        timeout_seconds: For the handshake, and for each answer.

    Raises:
        TransportError: If it cannot be connected to.
    """
    shown_url = without_secrets(url)
    async with open_http() as http:
        try:
            async with asyncio.timeout(timeout_seconds):
                socket = await http.ws_connect(
                    url,
                    headers=dict(source.headers(options, secrets)),
                    decode_text=False,
                    compress=0,
                    max_msg_size=FRAME_MAX_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                )
        except TimeoutError as error:
            raise TransportError(
                f"{shown_url} did not answer within {timeout_seconds:g} s; "
                "check --ws-url, or wait longer with --timeout"
            ) from error
        except _OPENING as error:
            verdict = told_verdict(error, source, secrets) or usual_verdict(
                error, shown_url, was_connected=False
            )
            raise TransportError(secrets.hide(verdict.why)) from error
        async with socket:
            yield Questions(
                socket,
                source,
                shown_url,
                secrets,
                clock or SystemClock(),
                timeout_seconds,
            )
