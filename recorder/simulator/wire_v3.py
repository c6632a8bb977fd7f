"""How the v3 protocol says things: JSON with a blank after each separator.

Pure: values in, frames out.
"""

from collections.abc import Mapping, Sequence

import msgspec

from recorder.simulator.account import Balance, Change, OrderState
from recorder.simulator.book import BID
from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market, Trade
from recorder.simulator.numbers import MS_NS, SECOND_NS, fixed_text
from recorder.simulator.wire_v4 import change_text


INVALID_ARGUMENT = 1
METHOD_NOT_FOUND = 4
REQUIRE_AUTHENTICATION = 6
AUTHENTICATION_FAIL = 11
ERRORS = {
    1: "invalid argument",
    2: "internal error",
    3: "service unavailable",
    4: "method not found",
    5: "service timeout",
    6: "require authentication",
    11: "Authentication fail.",
}
"""Codes and words. The venue's documents have 1 to 5. 11 was seen in a public
report of 2021-06-30 (gateio/WebSocket-API#18). 6 was not seen from the venue:
it is that of viabtc_exchange_server, a public exchange server with the same
methods, the same first five codes, and 11 for keys that are not accepted."""

TextLevels = Sequence[tuple[str, str]]
SUCCESS: Mapping[str, object] = {"status": "success"}


class Number(str):
    """A decimal text that is sent as a JSON number, digit for digit."""

    __slots__ = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sends."""

    method: str
    params: list[object] | None = []
    id: int | None = None


def decode_request(text: str) -> Request | None:
    """Return a client's request; None if the text is not one."""
    try:
        return msgspec.json.decode(text, type=Request)
    except msgspec.DecodeError:
        return None


def spaced(value: object) -> str:
    """Return a value as JSON with ``", "`` and ``": "`` between its parts.

    Args:
        value: Mappings with text keys, sequences, texts, numbers, booleans
            and None.
    """
    match value:
        case Number():
            return value
        case str():
            return msgspec.json.encode(value).decode()
        case Mapping():
            parts = (f"{spaced(key)}: {spaced(item)}" for key, item in value.items())
            return f"{{{', '.join(parts)}}}"
        case Sequence():
            return f"[{', '.join(spaced(item) for item in value)}]"
        case _:
            return msgspec.json.encode(value).decode()


def success(request_id: int | None, result: object = SUCCESS) -> bytes:
    """Return an answer that carries a result."""
    return _frame({"error": None, "result": result, "id": request_id})


def failure(request_id: int | None, code: int) -> bytes:
    """Return an answer that carries an error."""
    error = {"code": code, "message": ERRORS[code]}
    return _frame({"error": error, "result": None, "id": request_id})


class V3Wire:
    """Encodes the pushes of v3; late ones have a few keys more."""

    def __init__(self, *, is_late: bool) -> None:
        self._is_late = is_late

    def depth(
        self,
        market: Market,
        bids: TextLevels,
        asks: TextLevels,
        now_ns: int,
        *,
        is_clean: bool,
    ) -> bytes:
        """Return the push of a window (clean) or of what changed in it.

        A clean frame has both sides, another only those that changed.
        """
        depth: dict[str, object] = {}
        if is_clean or asks:
            depth["asks"] = asks
        if is_clean or bids:
            depth["bids"] = bids
        if is_clean:
            depth["id"] = market.update_id
        if self._is_late:
            depth["current"] = Number(fixed_text(now_ns // MS_NS, 3))
            depth["update"] = Number(fixed_text(market.changed_ns // MS_NS, 3))
        return self._push("depth.update", [is_clean, depth, market.spec.name])

    def trades(self, market: str, trades: Sequence[Trade]) -> bytes:
        """Return the push of trades, to be given newest first."""
        return self._push("trades.update", [market, [trade_row(t) for t in trades]])

    def ticker(self, market: Market, now_ns: int) -> bytes:
        """Return the push of a ticker over 24 h."""
        return self._push(
            "ticker.update", [market.spec.name, ticker_row(market, 86_400, now_ns)]
        )

    def klines(
        self, market: Market, rows: Sequence[Candle], interval_s: int, now_ns: int
    ) -> bytes:
        """Return the push of klines, oldest first."""
        return self._push(
            "kline.update",
            [self.kline_row(market, row, interval_s, now_ns) for row in rows],
        )

    def kline_row(
        self, market: Market, row: Candle, interval_s: int, now_ns: int
    ) -> list[object]:
        """Return a kline: time, open, close, highest, lowest, volume, amount."""
        values: list[object] = [
            row.open_at,
            market.price_text(row.open),
            market.price_text(row.close),
            market.price_text(row.high),
            market.price_text(row.low),
            market.amount_text(row.volume),
            market.turnover_text(row.turnover),
            market.spec.name,
        ]
        if self._is_late:
            values.append(row.open_at + interval_s <= now_ns // SECOND_NS)
        return values

    def order(self, change: Change, user: int) -> bytes:
        """Return the push of an order of the account."""
        return self._push("order.update", [change.event, order_row(change.order, user)])

    def balances(self, parts: Sequence[Mapping[str, Balance]]) -> bytes:
        """Return the push of balances, as a list of objects."""
        return self._push("balance.update", [balance_rows(part) for part in parts])

    def _push(self, method: str, params: list[object]) -> bytes:
        frame: dict[str, object] = {"method": method, "params": params, "id": None}
        if self._is_late:
            frame["v"] = 3
        return _frame(frame)


def trade_row(trade: Trade) -> dict[str, object]:
    """Return a trade as v3 sends it; its time is a number of seconds."""
    return {
        "id": trade.trade_id,
        "time": Number(fixed_text(trade.ts_ns // 100, 7)),
        "price": trade.price,
        "amount": trade.amount,
        "type": trade.side,
    }


def ticker_row(market: Market, period_s: int, now_ns: int) -> dict[str, object]:
    """Return a ticker; its volumes are named the other way round."""
    row = market.candles.summary(period_s, now_ns // SECOND_NS)
    if row is None:
        last = market.trades[-1].price if market.trades else "0"
        prices = dict.fromkeys(("open", "close", "high", "low", "last"), last)
        volumes = dict.fromkeys(("change", "quoteVolume", "baseVolume"), "0")
        return {"period": period_s, **prices, **volumes}
    return {
        "period": period_s,
        "open": market.price_text(row.open),
        "close": market.price_text(row.close),
        "high": market.price_text(row.high),
        "low": market.price_text(row.low),
        "last": market.price_text(row.close),
        "change": change_text(row),
        "quoteVolume": market.amount_text(row.volume),
        "baseVolume": market.turnover_text(row.turnover),
    }


def order_row(order: OrderState, user: int) -> dict[str, object]:
    """Return an order as v3 sends it; ``text`` only if it has one."""
    row: dict[str, object] = {
        "id": order.number,
        "market": order.market,
        "user": user,
        "ctime": Number(fixed_text(order.created_ns // 100, 7)),
        "mtime": Number(fixed_text(order.changed_ns // 100, 7)),
        "price": order.price,
        "amount": order.amount,
        "left": order.left,
        "dealFee": order.fee,
        "orderType": order.kind,
        "type": 2 if order.side == BID else 1,
        "filledAmount": order.filled,
        "filledTotal": order.filled_total,
    }
    return row if order.text is None else row | {"text": order.text}


def balance_rows(balances: Mapping[str, Balance]) -> dict[str, object]:
    """Return balances as v3 sends them, by currency."""
    return {
        name: {"available": balance.available, "freeze": balance.freeze}
        for name, balance in balances.items()
    }


def _frame(value: object) -> bytes:
    return spaced(value).encode()
