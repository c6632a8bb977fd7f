"""The REST calls of v4 spot, and how they fail."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web

from recorder.simulator.candles import INTERVALS
from recorder.simulator.connection import Context
from recorder.simulator.engine import Engine, Market, Trade
from recorder.simulator.numbers import MS_NS, SECOND_NS, fixed_text
from recorder.simulator.serving import REST_ROOT
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshots


MAX_LIMIT = 1_000

Query = Mapping[str, str]


class _RefusedError(Exception):
    """A call is refused: HTTP status, label and message."""

    def __init__(self, status: int, label: str, message: str) -> None:
        self.status = status
        self.label = label
        self.message = message
        super().__init__(status, label, message)


class _BrokenError(Exception):
    """A call is to fail with 502."""


class RestApi:
    """Answers REST calls."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        context: Context,
        snapshots: Snapshots,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._context = context
        self._snapshots = snapshots
        self._encoder = msgspec.json.Encoder()
        # Times of the latest calls, by endpoint and caller.
        self._calls: dict[tuple[str, str | None], deque[int]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the calls as routes."""
        calls: dict[str, Callable[[Query], object]] = {
            "order_book": self._order_book,
            "currency_pairs": self._market_list,
            "time": self._time,
            "trades": self._trades,
            "candlesticks": self._klines,
        }
        return [
            web.get(f"{REST_ROOT}/spot/{name}", self._served(call))
            for name, call in calls.items()
        ]

    def _served(
        self, call: Callable[[Query], object]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            await request.read()
            headers = self._count(request)
            try:
                self._fail(request.query, headers)
                body = call(request.query)
            except _BrokenError:
                # Not from the exchange itself but from a proxy before it.
                return web.Response(
                    status=502,
                    text="<html><body><h1>502 Bad Gateway</h1></body></html>",
                    content_type="text/html",
                )
            except _RefusedError as refusal:
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
        market = query.get("currency_pair")
        remain = "X-Gate-RateLimit-Requests-Remain"
        if plan.strike("http_429", now_ns, market=market):
            self._context.performed("http_429", "rest", market=market)
            headers[remain] = "-1"
        if headers[remain] == "-1":
            headers[remain] = "0"
            raise _RefusedError(429, "TOO_MANY_REQUESTS", "Request Rate Limit Exceeded")
        if plan.strike("http_502", now_ns, market=market):
            self._context.performed("http_502", "rest", market=market)
            raise _BrokenError

    def _order_book(self, query: Query) -> object:
        market = self._market(query)
        limit = _whole(query, "limit", 10)
        if not 0 < limit <= MAX_LIMIT:
            raise _invalid("limit", query)
        if query.get("interval", "0") != "0":
            raise _invalid("interval", query)
        now_ns = self._context.clock.now_ns()
        name = market.spec.name
        strike = self._context.plan.strike("stale_snapshot", now_ns, market=name)
        if strike:
            book = self._snapshots.stale(name, strike.seconds, now_ns)
            self._context.performed("stale_snapshot", "rest", market=name)
        else:
            book = self._snapshots.current(name, now_ns)
        body: dict[str, object] = {}
        if query.get("with_id") == "true":
            body["id"] = book.update_id
        if self._settings.wire_era == "2026":
            body["current"] = book.made_ns // MS_NS
            body["update"] = book.changed_ns // MS_NS
        body["asks"] = market.level_texts(book.asks[:limit])
        body["bids"] = market.level_texts(book.bids[:limit])
        return body

    def _market_list(self, query: Query) -> object:
        return [
            {
                "id": market.spec.name,
                "base": market.spec.base,
                "quote": market.spec.quote,
                "fee": "0.2",
                "min_quote_amount": "1",
                "amount_precision": market.spec.amount_decimals,
                "precision": market.spec.price_decimals,
                "trade_status": "tradable",
                "sell_start": 0,
                "buy_start": 0,
            }
            for market in self._engine.markets.values()
        ]

    def _time(self, query: Query) -> object:
        return {"server_time": self._context.clock.now_ns() // MS_NS}

    def _trades(self, query: Query) -> object:
        """Return trades, newest first.

        With ``last_id`` those after it; with ``reverse`` those before it.
        """
        market = self._market(query)
        limit = _whole(query, "limit", 100)
        if not 0 < limit <= MAX_LIMIT:
            raise _invalid("limit", query)
        rows = list(market.trades)
        start, end = _whole(query, "from", 0), _whole(query, "to", 2**40)
        rows = [t for t in rows if start <= t.ts_ns // SECOND_NS <= end]
        if "last_id" in query:
            last_id = _whole(query, "last_id", 0)
            if query.get("reverse") == "true":
                rows = [t for t in rows if t.trade_id < last_id]
            else:
                rows = [t for t in rows if t.trade_id > last_id]
        return [_trade_row(trade) for trade in reversed(rows[-limit:])]

    def _klines(self, query: Query) -> object:
        market = self._market(query)
        seconds = INTERVALS.get(query.get("interval", "30m"))
        if seconds is None:
            raise _invalid("interval", query)
        limit = _whole(query, "limit", 100)
        if not 0 < limit <= MAX_LIMIT:
            raise _invalid("limit", query)
        start, end = _whole(query, "from", 0), _whole(query, "to", 2**40)
        now_s = self._context.clock.now_ns() // SECOND_NS
        rows = [r for r in market.candles.rows(seconds) if start <= r.open_at <= end]
        return [
            [
                str(row.open_at),
                market.turnover_text(row.turnover),
                market.price_text(row.close),
                market.price_text(row.high),
                market.price_text(row.low),
                market.price_text(row.open),
                market.amount_text(row.volume),
                "true" if row.open_at + seconds <= now_s else "false",
            ]
            for row in rows[-limit:]
        ]

    def _market(self, query: Query) -> Market:
        name = query.get("currency_pair")
        if not name:
            raise _RefusedError(
                400, "MISSING_REQUIRED_PARAM", "Missing required param: currency_pair"
            )
        market = self._engine.markets.get(name)
        if market is None:
            raise _RefusedError(
                400, "INVALID_CURRENCY_PAIR", f"Invalid currency pair {name}"
            )
        return market


def _trade_row(trade: Trade) -> dict[str, str]:
    return {
        "id": str(trade.trade_id),
        "create_time": str(trade.ts_ns // SECOND_NS),
        "create_time_ms": fixed_text(trade.ts_ns // 100, 4),
        "currency_pair": trade.market,
        "side": trade.side,
        "amount": trade.amount,
        "price": trade.price,
        "sequence_id": str(trade.market_trade_id),
    }


def _whole(query: Query, key: str, default: int) -> int:
    text = query.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise _invalid(key, query)
    return int(text)


def _invalid(key: str, query: Query) -> _RefusedError:
    return _RefusedError(
        400, "INVALID_PARAM_VALUE", f"Invalid {key}: {query.get(key, '')}"
    )
