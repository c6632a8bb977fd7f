"""The handshake of a WebSocket: no redirect, and what a refusal says.

The client library follows redirects and throws the body of a refusal away.
A venue's host is the one that was asked, and some venues say only in the
body why they refuse and when to come again.
"""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Final

import aiohttp

from recorder.source import Ending


BODY_MAX_BYTES: Final = 4_096
BODY_SECONDS: Final = 2.0

_SWITCHING: Final = 101


class RefusedHandshakeError(aiohttp.ClientError):
    """A handshake that was answered, but not with a WebSocket.

    The library's own error shows all headers of the request, and so the keys
    among them.

    Attributes:
        status: HTTP status of the answer.
        ending: The answer for the feed, which may know what it means.
    """

    def __init__(self, status: int, ending: Ending) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.ending = ending


def open_http() -> aiohttp.ClientSession:
    """Return a client session for WebSockets and HTTP; close it when done.

    It keeps no cookies: a venue needs none, and they would pile up.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[watched_handshakes()],
    )


def watched_handshakes() -> aiohttp.TraceConfig:
    """Return what a client session needs so that its handshakes are watched."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    trace.on_request_end.append(_read_refusal)
    return trace


async def _refuse_redirect(
    _http: aiohttp.ClientSession,
    _context: SimpleNamespace,
    said: aiohttp.TraceRequestRedirectParams,
) -> None:
    said.response.close()
    raise _refusal(said.response, "redirect")


async def _read_refusal(
    _http: aiohttp.ClientSession,
    _context: SimpleNamespace,
    said: aiohttp.TraceRequestEndParams,
) -> None:
    response = said.response
    if "Upgrade" not in said.headers or response.status == _SWITCHING:
        return
    body = b""
    # Whoever refuses need not say why, nor soon.
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while len(body) < BODY_MAX_BYTES and not response.content.at_eof():
                body += await response.content.read(BODY_MAX_BYTES - len(body))
    response.close()
    raise _refusal(response, body.decode("utf-8", "replace"))


def _refusal(response: aiohttp.ClientResponse, reason: str) -> RefusedHandshakeError:
    headers = {name.lower(): text for name, text in response.headers.items()}
    ending = Ending(status=response.status, reason=reason, headers=headers)
    return RefusedHandshakeError(response.status, ending)
