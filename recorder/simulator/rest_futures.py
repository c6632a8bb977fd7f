"""The REST calls of v4 futures, those of all settle currencies."""

from collections.abc import Callable, Mapping

import msgspec
from aiohttp import web

from recorder.simulator.candles import INTERVALS
from recorder.simulator.connection import Context
from recorder.simulator.engine import Market, Trade
from recorder.simulator.futures import DECIMAL_HEADER
from recorder.simulator.numbers import MS_NS, decimal_text
from recorder.simulator.past import Past
from recorder.simulator.perpetuals import Perpetual
from recorder.simulator.rest_calls import (
    RefusedError,
    RestCalls,
    invalid,
    whole,
)
from recorder.simulator.serving import REST_ROOT
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshots
from recorder.simulator.window import Levels


MAX_LEVELS = 300
MAX_POINTS = 2_000
KINDS = ("mark", "index")

Object = dict[str, object]


class FuturesRest(RestCalls):
    """Answers REST calls about contracts."""

    def __init__(
        self,
        perpetuals: Mapping[str, Mapping[str, Perpetual]],
        settings: Settings,
        context: Context,
        snapshots: Snapshots,
    ) -> None:
        """Begin without calls.

        Args:
            perpetuals: The contracts, by settle currency and name.
            settings: The year, and the rate limit.
            context: Faults and truth.
            snapshots: Takes books down.
        """
        super().__init__("contract", settings, context, snapshots)
        self._perpetuals = perpetuals
        self._is_2026 = settings.wire_era == "2026"
        self._past = Past(settings, context)

    def routes(self) -> list[web.RouteDef]:
        """Return the calls as routes."""
        calls: dict[str, Callable[[web.Request], object]] = {
            "order_book": self._order_book,
            "contracts": self._contracts,
            "trades": self._trades,
            "candlesticks": self._candlesticks,
        }
        return [
            web.get(f"{REST_ROOT}/futures/{{settle}}/{name}", self.served(call))
            for name, call in calls.items()
        ]

    def _order_book(self, request: web.Request) -> Object:
        market, query = self._market(request), request.query
        limit = whole(query, "limit", 10)
        if limit > MAX_LEVELS:
            raise RefusedError(400, "TOO_BIG", f"limit {MAX_LEVELS}")
        if not limit:
            raise invalid("limit", query)
        if query.get("interval", "0") != "0":
            raise invalid("interval", query)
        book = self.snapshot_of(market.spec.name)
        made, changed = (_seconds(ns) for ns in (book.made_ns, book.changed_ns))
        body: Object = {"current": made, "update": changed}
        for side, levels in (("asks", book.asks), ("bids", book.bids)):
            body[side] = self._levels(request, market, levels[:limit])
        if query.get("with_id") != "true":
            return body
        # The order of keys varies.
        named: Object = {"id": book.update_id}
        return named | body if self._is_2026 else body | named

    def _contracts(self, request: web.Request) -> list[Object]:
        return [self._contract(request, one) for one in self._settled(request).values()]

    def _trades(self, request: web.Request) -> list[Object]:
        market = self._market(request)
        return [
            self._trade(request, market, trade)
            for trade in self._past.trades(market, request.query, paging="offset")
        ]

    def _candlesticks(self, request: web.Request) -> list[Object]:
        query = request.query
        asked = query.get("contract", "")
        kind, _, name = asked.partition("_")
        kind = kind if kind in KINDS else ""
        perpetual = self._perpetual(request, name if kind else asked)
        seconds = INTERVALS.get(query.get("interval", "5m"))
        if seconds is None:
            raise invalid("interval", query)
        market = perpetual.market
        price = perpetual.price_text if kind else market.price_text
        candles = {
            "": market.candles,
            "mark": perpetual.mark_candles,
            "index": perpetual.index_candles,
        }[kind]
        rows = candles.rows(seconds)
        return [
            {
                "t": row.open_at,
                "v": self._size(request, market, row.volume),
                "c": price(row.close),
                "h": price(row.high),
                "l": price(row.low),
                "o": price(row.open),
            }
            for row in self._past.points(rows, seconds, query, MAX_POINTS)
        ]

    def _levels(
        self, request: web.Request, market: Market, levels: Levels
    ) -> list[Object]:
        return [
            {"s": self._size(request, market, lots), "p": market.price_text(price)}
            for price, lots in levels
        ]

    def _trade(self, request: web.Request, market: Market, trade: Trade) -> Object:
        lots = market.lots(trade.amount)
        said: Object = {
            "id": trade.trade_id,
            "create_time": _seconds(trade.ts_ns),
            "create_time_ms": _seconds(trade.ts_ns),
            "contract": trade.market,
            "size": self._size(request, market, lots if trade.side == "buy" else -lots),
            "price": trade.price,
        }
        if trade.is_internal:
            said["is_internal"] = True
        return said

    def _contract(self, request: web.Request, perpetual: Perpetual) -> Object:
        contract, market = perpetual.contract, perpetual.market
        spec = contract.spec
        now_ns = self._context.clock.now_ns()
        last = market.trades[-1].price if market.trades else "0"
        is_delisted = spec.name in self._settings.delisted
        held = 0 if is_delisted else perpetual.open_interest
        said: Object = {
            "name": spec.name,
            "type": "inverse" if contract.multiplier == "0" else "direct",
            "quanto_multiplier": contract.multiplier,
            "order_price_round": decimal_text(1, spec.price_decimals),
            "mark_price_round": decimal_text(1, contract.mark_decimals),
            "order_price_deviate": "0.5",
            "mark_type": "index",
            "last_price": last,
            "mark_price": perpetual.price_text(perpetual.mark),
            "index_price": perpetual.price_text(perpetual.index),
            "funding_rate": perpetual.funding_rate,
            "funding_rate_indicative": perpetual.funding_rate_indicative,
            "funding_interval": contract.funding_hours * 3_600,
            "funding_offset": 0,
            "funding_next_apply": perpetual.funding_apply_s(now_ns),
            "order_size_min": 1,
            "order_size_max": 1_000_000,
            "leverage_min": "1",
            "leverage_max": "100",
            "maintenance_rate": "0.005",
            "maker_fee_rate": "-0.00025",
            "taker_fee_rate": "0.00075",
            "in_delisting": is_delisted,
            "orders_limit": 50,
            "position_size": self._size(request, market, held),
            "orderbook_id": market.update_id,
            "trade_id": market.trades[-1].trade_id if market.trades else 0,
        }
        if self._is_2026:
            status = "delisted" if is_delisted else "trading"
            said |= {"enable_decimal": contract.is_decimal, "status": status}
        if self._tells_digits(request):
            smallest = decimal_text(1, spec.amount_decimals)
            said |= {"order_size_min": smallest, "order_size_max": "1000000"}
        return said

    def _size(self, request: web.Request, market: Market, lots: int) -> object:
        """Return a size as its asker wants it: a text, or a number cut to whole ones."""
        decimals = market.spec.amount_decimals
        if self._tells_digits(request):
            return f"{'-' if lots < 0 else ''}{decimal_text(abs(lots), decimals)}"
        whole_ones = abs(lots) // 10**decimals
        return -whole_ones if lots < 0 else whole_ones

    def _tells_digits(self, request: web.Request) -> bool:
        return self._is_2026 and request.headers.get(DECIMAL_HEADER) == "1"

    def _settled(self, request: web.Request) -> Mapping[str, Perpetual]:
        settle = request.match_info["settle"]
        found = self._perpetuals.get(settle)
        if found is None:
            raise RefusedError(400, "INVALID_PARAM_VALUE", f"Invalid settle: {settle}")
        return found

    def _market(self, request: web.Request) -> Market:
        name = request.query.get("contract")
        if not name:
            raise RefusedError(
                400, "MISSING_REQUIRED_PARAM", "Missing required param: contract"
            )
        return self._perpetual(request, name).market

    def _perpetual(self, request: web.Request, name: str) -> Perpetual:
        perpetual = self._settled(request).get(name)
        if perpetual is None:
            raise RefusedError(400, "CONTRACT_NOT_FOUND", f"contract {name} not found")
        return perpetual


def _seconds(ns: int) -> msgspec.Raw:
    """Return an instant as a number of seconds with a point."""
    return msgspec.Raw(decimal_text(ns // MS_NS, 3).encode())
