"""HTTP calls to a venue: one at a time per budget, never in the read loop.

Redirects are not followed: a venue's host is the one that was asked.
Bodies are bounded. Errors are `TransportError`, or `ThrottledError` when
the venue asks to wait.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp

from recorder.clock import wall_ns
from recorder.errors import HttpStatusError, ThrottledError, TransportError
from recorder.source import HttpRequest


BODY_MAX_BYTES: Final = 16 * 1024 * 1024
"""The largest answer read; a full list of markets is about 2 MB."""

EXCERPT_BYTES: Final = 200
"""How much of what came is shown where it cannot be used."""

ANSWER_SECONDS: Final = 10.0
"""How long a call as a whole may take."""

DEFAULT_WAIT_SECONDS: Final = 10.0
"""How long to wait after a 429 that does not say how long."""


WAIT_MIN_SECONDS: Final = 0.5
WAIT_MAX_SECONDS: Final = 300.0


def without_secrets(url: str) -> str:
    """Return an address as it may be stored: without user, password and query."""
    scheme, mark, rest = url.partition("://")
    place = rest.partition("#")[0].partition("?")[0]
    host, slash, path = place.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


def host_of(url: str) -> str:
    """Return host and port of an address."""
    return without_secrets(url).partition("://")[2].partition("/")[0]


def words_of(exc: Exception) -> str:
    """Return what became of an HTTP request, in plain words."""
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"cannot be connected to: {reason_of(exc.os_error)}"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "closed the connection instead of answering"
    if isinstance(exc, aiohttp.InvalidURL | UnicodeError):
        return "is not an address"
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "sent an answer that is broken off or garbled"
    if isinstance(exc, aiohttp.ClientResponseError):
        return "answered with something that is not HTTP"
    return f"failed: {str(exc) or type(exc).__name__}"


def reason_of(error: OSError) -> str:
    """Return why a connection could not be made, as the system puts it."""
    if isinstance(error, ssl.SSLError):  # its errno is none of the system's
        reason = getattr(error, "reason", None)  # not every one has it
        return _TLS_REASONS.get(reason or "", f"TLS failed: {error}")
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


_NO_TLS: Final = (
    "the other end does not speak TLS; try an address that starts with ws:// or http://"
)
_TLS_REASONS: Final = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,  # as OpenSSL 3.2 and later call it
}


class Budget:
    """A token bucket: so many calls a second, in bursts of as many.

    Args:
        per_second: Calls allowed in the long run.
        burst: Calls that may follow one another at once; 1 keeps them evenly
            apart, None stands for those of a second.
    """

    def __init__(self, per_second: float, *, burst: float | None = None) -> None:
        self._interval = 1.0 / per_second
        self._burst = max(1.0, per_second) if burst is None else burst
        self._next = 0.0
        self._paused_until = 0.0

    def wait_seconds(self, now: float) -> float:
        """Return how long whoever asks now has to wait for a call.

        Args:
            now: The loop's clock.
        """
        return max(self._following(now), self._paused_until) - now

    def _following(self, now: float) -> float:
        """Return when the next call is due; it may have been in the past."""
        earliest = now - self._burst * self._interval
        return max(self._next, earliest) + self._interval

    async def take(self) -> None:
        """Wait until a call may be made."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._next = self._following(now)
        if self._next > now:
            await asyncio.sleep(self._next - now)
        # Whoever waited already when the venue asked for a pause waits too.
        if (wait := self._paused_until - loop.time()) > 0:
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Allow no call for so long: the venue asked for it."""
        until = asyncio.get_running_loop().time() + seconds
        self._next = max(self._next, until)
        self._paused_until = max(self._paused_until, until)


class RestClient:
    """Calls below one address, under a budget.

    Args:
        session: Open client session.
        base_url: Address without a final slash.
        budget: Shared by all calls to that address.
        timeout_seconds: For one call as a whole.
        reset_header: Header of a 429 that says, in unix seconds, from when on
            the venue answers again; None if it has none.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        budget: Budget,
        *,
        timeout_seconds: float = ANSWER_SECONDS,
        reset_header: str | None = None,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._budget = budget
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._reset_header = reset_header

    async def get(self, request: HttpRequest) -> bytes:
        """Return the body of a successful answer.

        Raises:
            ThrottledError: On HTTP 429; the budget is paused as well.
            TransportError: On any other failure or refusal.
        """
        await self._budget.take()
        url = without_secrets(self._base_url) + request.path
        try:
            async with self._session.get(
                self._base_url + request.path,
                params=list(request.query),
                headers=dict(request.headers),
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                body = await _read(answer)
                status, headers = answer.status, answer.headers
        except TimeoutError as exc:
            raise TransportError(f"{url} did not answer in time") from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise TransportError(f"{url} {words_of(exc)}") from exc
        if status == 429:
            wait = _wait_seconds(headers, self._reset_header)
            self._budget.pause(wait)
            raise ThrottledError(wait)
        if status != 200:
            words = excerpt(body)
            raise HttpStatusError(
                status,
                f"{url} answered HTTP {status}" + (f": {words}" if words else ""),
            )
        return body


def excerpt(payload: bytes) -> str:
    """Return how bytes begin, as one line that a terminal can show."""
    text = " ".join(payload[:EXCERPT_BYTES].decode("utf-8", "replace").split())
    shown = "".join(mark if mark.isprintable() else "?" for mark in text)
    return shown + ("..." if len(payload) > EXCERPT_BYTES else "")


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > BODY_MAX_BYTES:
            raise ValueError(f"the answer is larger than {BODY_MAX_BYTES} bytes")
    return bytes(body)


def _wait_seconds(headers: Mapping[str, str], reset_header: str | None) -> float:
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return min(float(text), WAIT_MAX_SECONDS)
    text = headers.get(reset_header, "") if reset_header is not None else ""
    if text.isascii() and text.isdigit():
        left = float(text) - wall_ns() / 1e9
        return min(max(left, WAIT_MIN_SECONDS), WAIT_MAX_SECONDS)
    return DEFAULT_WAIT_SECONDS


async def fetch_once(
    base_url: str, request: HttpRequest, *, timeout_seconds: float = ANSWER_SECONDS
) -> bytes:
    """Return the body of one call, with a client session of its own.

    Raises:
        TransportError: If it fails or is refused.
    """
    async with aiohttp.ClientSession() as session:
        client = RestClient(
            session, base_url, Budget(1.0), timeout_seconds=timeout_seconds
        )
        return await client.get(request)
