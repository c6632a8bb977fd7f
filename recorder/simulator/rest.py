"""The REST calls of v4 spot."""

from collections.abc import Callable

from aiohttp import web

from recorder.simulator.candles import INTERVALS
from recorder.simulator.connection import Context
from recorder.simulator.engine import Engine, Market, Trade
from recorder.simulator.numbers import MS_NS, SECOND_NS, fixed_text
from recorder.simulator.past import Past
from recorder.simulator.rest_calls import (
    MAX_LIMIT,
    Query,
    RefusedError,
    RestCalls,
    invalid,
    whole,
)
from recorder.simulator.serving import REST_ROOT
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshots


NOT_TRADED = (
    "margin/currency_pairs",
    "delivery/usdt/contracts",
    "delivery/btc/contracts",
    "options/underlyings",
)
"""Lists of what the venue has besides; a general client asks for them all."""


class RestApi(RestCalls):
    """Answers REST calls about spot markets."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        context: Context,
        snapshots: Snapshots,
    ) -> None:
        super().__init__("currency_pair", settings, context, snapshots)
        self._engine = engine
        self._past = Past(settings, context)

    def routes(self) -> list[web.RouteDef]:
        """Return the calls as routes."""
        calls: dict[str, Callable[[Query], object]] = {
            "order_book": self._order_book,
            "currencies": self._currencies,
            "currency_pairs": self._market_list,
            "time": self._time,
            "trades": self._trades,
            "candlesticks": self._klines,
        }
        paths = {f"spot/{name}": _of_query(call) for name, call in calls.items()}
        return [
            web.get(f"{REST_ROOT}/{path}", self.served(call))
            for path, call in (paths | dict.fromkeys(NOT_TRADED, _nothing)).items()
        ]

    def _order_book(self, query: Query) -> object:
        market = self._market(query)
        limit = whole(query, "limit", 10)
        if not 0 < limit <= MAX_LIMIT:
            raise invalid("limit", query)
        if query.get("interval", "0") != "0":
            raise invalid("interval", query)
        book = self.snapshot_of(market.spec.name)
        body: dict[str, object] = {}
        if query.get("with_id") == "true":
            body["id"] = book.update_id
        if self._settings.wire_era == "2026":
            body["current"] = book.made_ns // MS_NS
            body["update"] = book.changed_ns // MS_NS
        body["asks"] = market.level_texts(book.asks[:limit])
        body["bids"] = market.level_texts(book.bids[:limit])
        return body

    def _currencies(self, query: Query) -> object:
        specs = [market.spec for market in self._engine.markets.values()]
        names = dict.fromkeys(
            name for spec in specs for name in (spec.base, spec.quote)
        )
        return [
            {
                "currency": name,
                "name": name,
                "delisted": False,
                "withdraw_disabled": False,
                "withdraw_delayed": False,
                "deposit_disabled": False,
                "trade_disabled": False,
                "fixed_rate": "",
                "chain": name,
                "chains": [],
            }
            for name in names
        ]

    def _market_list(self, query: Query) -> object:
        delisted = self._settings.delisted
        return [
            {
                "id": market.spec.name,
                "base": market.spec.base,
                "quote": market.spec.quote,
                "fee": "0.2",
                "min_quote_amount": "1",
                "amount_precision": market.spec.amount_decimals,
                "precision": market.spec.price_decimals,
                "trade_status": "untradable"
                if market.spec.name in delisted
                else "tradable",
                "sell_start": 0,
                "buy_start": 0,
            }
            for market in self._engine.markets.values()
        ]

    def _time(self, query: Query) -> object:
        return {"server_time": self._context.clock.now_ns() // MS_NS}

    def _trades(self, query: Query) -> object:
        market = self._market(query)
        trades = self._past.trades(market, query, paging="page")
        return [_trade_row(trade) for trade in trades]

    def _klines(self, query: Query) -> object:
        market = self._market(query)
        seconds = INTERVALS.get(query.get("interval", "30m"))
        if seconds is None:
            raise invalid("interval", query)
        rows = market.candles.rows(seconds)
        now_s = self._context.clock.now_ns() // SECOND_NS
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
            for row in self._past.points(rows, seconds, query, MAX_LIMIT)
        ]

    def _market(self, query: Query) -> Market:
        name = query.get("currency_pair")
        if not name:
            raise RefusedError(
                400, "MISSING_REQUIRED_PARAM", "Missing required param: currency_pair"
            )
        market = self._engine.markets.get(name)
        if market is None:
            raise RefusedError(
                400, "INVALID_CURRENCY_PAIR", f"Invalid currency pair {name}"
            )
        return market


def _nothing(_request: web.Request) -> object:
    return []


def _of_query(call: Callable[[Query], object]) -> Callable[[web.Request], object]:
    return lambda request: call(request.query)


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
