"""What to do about a failure of a connection: wait, come back, or give up.

The feed is asked first (`recorder.source.Verdict`); what it has no opinion of
is decided here.
"""

import enum
import random
from collections.abc import Callable
from typing import Final

import aiohttp

from recorder.capture.handshake import RefusedHandshakeError
from recorder.capture.rest import reason_of, words_of
from recorder.errors import TransportError
from recorder.source import (
    Backoff,
    Ending,
    Secrets,
    Source,
    Verdict,
)


CONNECT_SECONDS: Final = 15.0

_NO_WEBSOCKET: Final = (RefusedHandshakeError, aiohttp.WSServerHandshakeError)
"""An answer with another status, and one that is wrong in another way."""


class Reaction(enum.Enum):
    """What to do about a failure of a connection."""

    RETRY = "retry"
    STOP = "stop"


class RefusedError(TransportError):
    """The other end will not talk to us, and asking again will not help."""


def reaction(exc: Exception, *, was_connected: bool) -> Reaction:
    """Decide whether a failure is worth another attempt.

    Args:
        exc: What opening or reading the connection raised.
        was_connected: Whether this run was ever connected to that address.

    Returns:
        ``STOP`` for what only the operator can mend, and only before the
        first success: a wrong certificate, a refusal by HTTP 4xx, an address
        that is none. Everything else is ``RETRY``.
    """
    if was_connected:
        return Reaction.RETRY
    if isinstance(
        exc, aiohttp.ClientConnectorCertificateError | aiohttp.InvalidURL | UnicodeError
    ):
        return Reaction.STOP
    if isinstance(exc, _NO_WEBSOCKET):
        is_final = 300 <= exc.status < 500 and exc.status not in (408, 425, 429)
        return Reaction.STOP if is_final else Reaction.RETRY
    return Reaction.RETRY


def describe(exc: Exception, url: str) -> str:
    """Return one sentence about a failure, for people."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return (
            f"{url} shows a certificate that is not valid for it "
            f"({exc.certificate_error}); check --ws-url, or what intercepts it"
        )
    if isinstance(exc, _NO_WEBSOCKET):
        return (
            f"{url} answered the WebSocket request with HTTP {exc.status}; "
            "check --ws-url"
        )
    if isinstance(exc, aiohttp.InvalidURL | UnicodeError):
        return f"{url} is not an address; --ws-url wants ws://... or wss://..."
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"cannot connect to {url}: {reason_of(exc.os_error)}"
    if isinstance(exc, TimeoutError):
        return f"{url} did not answer within {CONNECT_SECONDS:g} s"
    if isinstance(exc, aiohttp.ClientResponseError):
        return f"{url} {words_of(exc)}; check --ws-url"
    return f"{url} {words_of(exc)}"


def backoff_seconds(
    failures: int, backoff: Backoff, draw: Callable[[], float] = random.random
) -> float:
    """Return how long to wait after a failure, where nobody says how long.

    Args:
        failures: How many came right before it, from 0.
        backoff: How pauses grow.
        draw: Gives a number in [0, 1).
    """
    grown = backoff.first_seconds * 2.0 ** min(failures, 64)
    pause = min(backoff.max_seconds, grown)
    return draw() * pause if backoff.is_drawn else pause


def without_keys(ending: Ending, secrets: Secrets) -> Ending:
    """Return an ending as a feed may quote it, whole or in part."""
    return Ending(
        status=ending.status,
        code=ending.code,
        reason=secrets.hide(ending.reason),
        headers={name: secrets.hide(text) for name, text in ending.headers.items()},
    )


def told_verdict(exc: Exception, source: Source, secrets: Secrets) -> Verdict | None:
    """Return what the feed wants done about an attempt that failed, if anything.

    Args:
        exc: What opening the connection raised.
        source: The feed.
        secrets: What nobody may read, which the answer may hold.
    """
    if not isinstance(exc, RefusedHandshakeError):
        return None
    return source.verdict(without_keys(exc.ending, secrets))


def usual_verdict(exc: Exception, url: str, *, was_connected: bool) -> Verdict:
    """Return what is done about an attempt that failed, whatever the feed.

    Args:
        exc: What opening the connection raised.
        url: Where to, without secrets.
        was_connected: Whether this run was ever connected to that address.
    """
    stops = reaction(exc, was_connected=was_connected) is Reaction.STOP
    return Verdict(action="stop" if stops else "retry", why=describe(exc, url))


def pause_seconds(verdict: Verdict | None, failures: int, backoff: Backoff) -> float:
    """Return how long to wait before the next attempt.

    Args:
        verdict: What is to be done about the last; None for the usual.
        failures: How many came right before it, from 0. A venue that sends us
            away and says "at once" again and again is not asked without a
            pause.
        backoff: How pauses grow where the verdict does not say how long.
    """
    wait = None if verdict is None else verdict.wait_seconds
    if wait is None or (wait <= 0 and failures > 0):
        return backoff_seconds(failures, backoff)
    return max(0.0, wait)
