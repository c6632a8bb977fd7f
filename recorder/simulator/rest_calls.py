"""How REST calls are answered, counted and made to fail, whatever they ask."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from recorder.simulator.connection import Context
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshot, Snapshots


MAX_LIMIT = 1_000

Query = Mapping[str, str]


class RefusedError(Exception):
    """A call is refused: HTTP status, label and message."""

    def __init__(self, status: int, label: str, message: str) -> None:
        self.status = status
        self.label = label
        self.message = message
        super().__init__(status, label, message)


class _GarbledError(Exception):
    """A call is answered with half of an answer."""


class _BrokenError(Exception):
    """A call is to fail with 502."""


class RestCalls:
    """Answers REST calls of one family of markets.

    Args:
        market_key: Names the market in a query.
        settings: The rate limit.
        context: Faults and truth.
        snapshots: Takes books down.
    """

    def __init__(
        self,
        market_key: str,
        settings: Settings,
        context: Context,
        snapshots: Snapshots,
    ) -> None:
        self._market_key = market_key
        self._settings = settings
        self._context = context
        self._snapshots = snapshots
        self._encoder = msgspec.json.Encoder()
        # Times of the latest calls, by endpoint and caller.
        self._calls: dict[tuple[str, str | None], deque[int]] = {}

    def served(
        self, call: Callable[[web.Request], object]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return how a request is answered, by what a call makes of it."""

        async def serve(request: web.Request) -> web.StreamResponse:
            await request.read()
            headers = self._count(request)
            try:
                self._fail(request.query, headers)
                body = call(request)
            except _BrokenError:
                # Not from the exchange itself but from a proxy before it.
                return web.Response(
                    status=502,
                    text="<html><body><h1>502 Bad Gateway</h1></body></html>",
                    content_type="text/html",
                )
            except _GarbledError:
                return web.Response(body=b'[{"id": "12', headers=headers)
            except RefusedError as refusal:
                return web.Response(
                    status=refusal.status,
                    body=self._encoder.encode(
                        {"label": refusal.label, "message": refusal.message}
                    ),
                    content_type="application/json",
                    headers=headers,
                )
            return web.Response(
                body=self._encoder.encode(body),
                content_type="application/json",
                headers=headers,
            )

        return serve

    def snapshot_of(self, name: str) -> Snapshot:
        """Return the book of a market, an old one if a fault wants it."""
        now_ns = self._context.clock.now_ns()
        strike = self._context.plan.strike("stale_snapshot", now_ns, market=name)
        if not strike:
            return self._snapshots.current(name, now_ns)
        self._context.performed("stale_snapshot", "rest", market=name)
        return self._snapshots.stale(name, strike.seconds, now_ns)

    def _count(self, request: web.Request) -> dict[str, str]:
        """Count a call and return the headers that tell of the rate limit."""
        now_ns = self._context.clock.now_ns()
        window_ns = int(self._settings.rest_window_seconds * SECOND_NS)
        times = self._calls.setdefault((request.path, request.remote), deque())
        while times and times[0] <= now_ns - window_ns:
            times.popleft()
        limit = self._settings.rest_limit
        remain = limit - len(times) - 1
        if remain >= 0:
            times.append(now_ns)
        oldest_ns = times[0] if times else now_ns
        return {
            "X-Gate-RateLimit-Requests-Remain": str(remain),
            "X-Gate-RateLimit-Limit": str(limit),
            "X-Gate-RateLimit-Reset-Timestamp": str(
                -(-(oldest_ns + window_ns) // SECOND_NS)
            ),
        }

    def _fail(self, query: Query, headers: dict[str, str]) -> None:
        """Raise what the rate limit or a fault wants."""
        plan, now_ns = self._context.plan, self._context.clock.now_ns()
        market = query.get(self._market_key)
        remain = "X-Gate-RateLimit-Requests-Remain"
        if plan.strike("http_429", now_ns, market=market):
            self._context.performed("http_429", "rest", market=market)
            headers[remain] = "-1"
        if headers[remain] == "-1":
            headers[remain] = "0"
            raise RefusedError(429, "TOO_MANY_REQUESTS", "Request Rate Limit Exceeded")
        if plan.strike("http_garbled", now_ns, market=market):
            self._context.performed("http_garbled", "rest", market=market)
            raise _GarbledError
        if plan.strike("http_502", now_ns, market=market):
            self._context.performed("http_502", "rest", market=market)
            raise _BrokenError


def whole(query: Query, key: str, default: int) -> int:
    """Return a whole number of a query.

    Raises:
        RefusedError: If it is none.
    """
    text = query.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise invalid(key, query)
    return int(text)


def invalid(key: str, query: Query) -> RefusedError:
    """Return the refusal of a value of a query."""
    return RefusedError(
        400, "INVALID_PARAM_VALUE", f"Invalid {key}: {query.get(key, '')}"
    )
