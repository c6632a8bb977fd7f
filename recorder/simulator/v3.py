"""The v3 WebSocket: requests in order, each answered by its id.

A second subscription of a kind replaces the first. What a subscription
brings is pushed by `v3_push`, always after the answer; what needs keys is
answered and pushed by `v3_private`.
"""

import random
from collections.abc import Callable, Sequence

from recorder.simulator import wire_v3
from recorder.simulator.account import Account, Change
from recorder.simulator.candles import INTERVALS
from recorder.simulator.connection import Connection, Context
from recorder.simulator.engine import Engine, Market, Trade
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.past import Past
from recorder.simulator.settings import Settings
from recorder.simulator.v3_private import PrivateV3
from recorder.simulator.v3_push import DepthOrder, V3Session
from recorder.simulator.v3_requests import Params, RequestError, converted
from recorder.simulator.window import TopLevels, price_step
from recorder.simulator.wire_v3 import INVALID_ARGUMENT, METHOD_NOT_FOUND


DEPTH_LIMITS = (1, 5, 10, 20, 30)
DEPTH_INTERVALS = ("0", *("0." + "1".rjust(n, "0") for n in range(8, 0, -1)))
QUERY_LIMIT = 1_000
KINDS = ("ticker", "trades", "depth", "kline")


class SpotV3:
    """The v3 feed of the exchange."""

    def __init__(
        self, engine: Engine, account: Account, settings: Settings, context: Context
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._context = context
        self._rng = random.Random(f"{settings.seed}:v3")
        self._wire = wire_v3.V3Wire(is_late=settings.v3_late)
        self._past = Past(settings, context)
        self._private = PrivateV3(engine, account, settings, context)
        self._sessions: dict[Connection, V3Session] = {}
        self._queries: dict[str, Callable[[Params], object]] = {
            "server.ping": lambda _: "pong",
            "server.time": lambda _: context.clock.now_ns() // SECOND_NS,
            "ticker.query": self._query_ticker,
            "trades.query": self._query_trades,
            "depth.query": self._query_depth,
            "kline.query": self._query_klines,
        }
        # Each checks the parameters and returns what to do after the answer.
        self._changes: dict[str, Callable[[V3Session, Params], Callable[[], None]]] = {
            "ticker.subscribe": self._subscribe_tickers,
            "trades.subscribe": self._subscribe_trades,
            "depth.subscribe": self._subscribe_depth,
            "kline.subscribe": self._subscribe_kline,
        }

    def opened(self, conn: Connection) -> None:
        """Welcome a connection; the venue says nothing."""
        self._sessions[conn] = V3Session(
            conn, self._wire, self._settings, self._context, self._rng
        )
        self._private.opened(conn)

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        del self._sessions[conn]
        self._private.closed(conn)

    def receive(self, conn: Connection, text: str) -> None:
        """Answer what a client sent."""
        request = wire_v3.decode_request(text)
        if request is None:
            conn.reply(wire_v3.failure(None, INVALID_ARGUMENT))
            return
        context = self._context
        strike = context.plan.strike("v3_error", context.clock.now_ns())
        if strike:
            context.performed("v3_error", "v3", conn=conn.number)
            conn.reply(wire_v3.failure(request.id, strike.code))
            return
        try:
            result, follow = self._answer(conn, request)
        except RequestError as error:
            conn.reply(wire_v3.failure(request.id, error.code))
            return
        conn.reply(wire_v3.success(request.id, result))
        if follow is not None:
            context.accepted()
            follow()

    def _answer(
        self, conn: Connection, request: wire_v3.Request
    ) -> tuple[object, Callable[[], None] | None]:
        """Return the result of a request, and what is to be done after it is sent.

        Raises:
            RequestError: If it is answered with an error.
        """
        session, method, params = self._sessions[conn], request.method, request.params
        if method in self._private.methods:
            return self._private.answer(conn, method, params)
        if params is None:
            raise RequestError
        if method in self._queries:
            return self._queries[method](params), None
        if method in self._changes:
            return wire_v3.SUCCESS, self._changes[method](session, params)
        kind, _, verb = method.partition(".")
        if kind not in KINDS or verb != "unsubscribe":
            raise RequestError(METHOD_NOT_FOUND)
        session.unsubscribe(kind)
        return wire_v3.SUCCESS, None

    def publish(
        self, now_ns: int, trades: Sequence[Trade], changes: Sequence[Change]
    ) -> None:
        """Send what is due.

        Args:
            now_ns: The present; the engine has been advanced to it.
            trades: What was traded since the last call, in order.
            changes: What changed of the account since then, in order.
        """
        for session in self._sessions.values():
            session.publish(now_ns, trades)
        self._private.publish(changes)

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time."""
        for conn in self._sessions:
            conn.strike_time(now_ns, elapsed_seconds)

    def _subscribe_tickers(
        self, session: V3Session, params: Params
    ) -> Callable[[], None]:
        markets = self._markets(params)
        return lambda: session.subscribe_tickers(markets)

    def _subscribe_trades(
        self, session: V3Session, params: Params
    ) -> Callable[[], None]:
        markets = self._markets(params)
        return lambda: session.subscribe_trades(markets)

    def _subscribe_depth(
        self, session: V3Session, params: Params
    ) -> Callable[[], None]:
        is_single = bool(params) and isinstance(params[0], str)
        orders = [self._depth_order(p) for p in ([params] if is_single else params)]
        if not orders:
            raise RequestError
        return lambda: session.subscribe_depth(orders)

    def _subscribe_kline(
        self, session: V3Session, params: Params
    ) -> Callable[[], None]:
        name, interval_s = converted(params, tuple[str, int])
        market = self._market(name)
        if interval_s not in INTERVALS.values():
            raise RequestError
        return lambda: session.subscribe_kline(market, interval_s)

    def _query_ticker(self, params: Params) -> object:
        name, period_s = converted(params, tuple[str, int])
        market = self._market(name)
        if period_s <= 0:
            raise RequestError
        return wire_v3.ticker_row(market, period_s, self._context.clock.now_ns())

    def _query_trades(self, params: Params) -> object:
        name, limit, last_id = converted(params, tuple[str, int, int])
        market = self._market(name)
        if not 0 < limit <= QUERY_LIMIT:
            raise RequestError
        told = self._past.told(market)
        newest_first = [t for t in reversed(told) if t.trade_id >= last_id]
        return [wire_v3.trade_row(trade) for trade in newest_first[:limit]]

    def _query_depth(self, params: Params) -> object:
        order = self._depth_order(params)
        market = order.market
        window = TopLevels.of(market.book, order.limit, order.step)
        return {
            "asks": market.level_texts(list(window.asks.items())),
            "bids": market.level_texts(list(window.bids.items())),
        }

    def _query_klines(self, params: Params) -> object:
        name, start, end, interval_s = converted(params, tuple[str, int, int, int])
        market = self._market(name)
        if start <= 0 or interval_s not in INTERVALS.values():
            raise RequestError
        now_ns = self._context.clock.now_ns()
        return [
            self._wire.kline_row(market, row, interval_s, now_ns)
            for row in market.candles.rows(interval_s)
            if start <= row.open_at <= end
        ]

    def _depth_order(self, params: object) -> DepthOrder:
        name, limit, interval = converted(params, tuple[str, int, str])
        market = self._market(name)
        step = price_step(interval, market.spec.price_decimals)
        is_limit_legal = limit in DEPTH_LIMITS or (
            self._settings.v3_any_limit and limit > 0
        )
        if step is None or interval not in DEPTH_INTERVALS or not is_limit_legal:
            raise RequestError
        name = str(limit) if interval == "0" else f"{limit}@{interval}"
        return DepthOrder(market, limit, step, name)

    def _markets(self, params: Params) -> list[Market]:
        if not params:
            raise RequestError
        return [self._market(converted(name, str)) for name in params]

    def _market(self, name: str) -> Market:
        market = self._engine.markets.get(name)
        if market is None:
            raise RequestError
        return market
