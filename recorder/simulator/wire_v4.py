"""How the v4 spot protocol says things, in the formats of 2021 and of 2026.

Pure: values in, frames out. The differences between the eras are all here:
which keys there are, whether levels come in order, the shape of answers.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market, Trade
from recorder.simulator.envelope_v4 import EnvelopeV4, Request, decode_request
from recorder.simulator.numbers import MS_NS, SECOND_NS, decimal_text, fixed_text
from recorder.simulator.window import Levels


TextLevels = Sequence[tuple[str, str]]
DAY_SECONDS = 86_400


class DepthFrame(msgspec.Struct, frozen=True, kw_only=True):
    """Content of an order book update, best levels first.

    Attributes:
        market: The market.
        ts_ns: When the book last changed.
        first_id: First change folded in.
        last_id: Last change folded in.
        bids: Price and amount as texts, ``"0"`` removes.
        asks: The same for the other side.
        depth: Levels a side of the stream.
        is_full: Flagged as replacing the book.
        is_window: The whole window, flagged or not.
    """

    market: str
    ts_ns: int
    first_id: int
    last_id: int
    bids: TextLevels
    asks: TextLevels
    depth: int
    is_full: bool = False
    is_window: bool = False


def plain_answer(text: str, now_ns: int) -> tuple[bytes | None, bool]:
    """Return a friendly answer to whatever a client asks for.

    For those that serve given frames and have nothing to refuse.

    Returns:
        The answer, None to what is no request; and whether the request
        subscribed to something.
    """
    request = decode_request(text)
    if not isinstance(request, Request):
        return None, False
    frame: dict[str, object] = {
        "time": now_ns // SECOND_NS,
        "time_ms": now_ns // MS_NS,
    }
    if request.id is not None:
        frame["id"] = request.id
    if request.channel.endswith(".ping"):
        pong = request.channel.replace(".ping", ".pong")
        frame |= {"channel": pong, "event": "", "result": None}
        return msgspec.json.encode(frame), False
    frame |= {
        "channel": request.channel,
        "event": request.event,
        "payload": request.payload,
        "result": {"status": "success"},
    }
    return msgspec.json.encode(frame), request.event == "subscribe"


class V4Wire(EnvelopeV4):
    """Encodes the frames of v4 spot."""

    prefix: ClassVar[str] = "spot"

    def trade(self, trade: Trade, now_ns: int) -> bytes:
        """Return the push of one trade."""
        result: dict[str, object] = {"id": trade.trade_id}
        if self._is_2026:
            result["id_market"] = trade.market_trade_id
        result |= {
            "create_time": trade.ts_ns // SECOND_NS,
            "create_time_ms": fixed_text(trade.ts_ns // 100, 4),
            "side": trade.side,
            "currency_pair": trade.market,
            "amount": trade.amount,
            "price": trade.price,
        }
        if self._is_2026:
            number = trade.market_trade_id
            result |= {
                "range": f"{number}-{number}",
                "stock": trade.amount,
                "money": trade.turnover,
                "trade_mode": 0,
            }
        return self._push("spot.trades", result, now_ns)

    def ticker(self, market: Market, now_ns: int) -> bytes | None:
        """Return the push of a ticker; None if nothing was traded in 24 h."""
        day = market.candles.summary(DAY_SECONDS, now_ns // SECOND_NS)
        if day is None:
            return None
        bid, ask = market.book.best(0), market.book.best(1)
        return self._push(
            "spot.tickers",
            {
                "currency_pair": market.spec.name,
                "last": market.price_text(day.close),
                "lowest_ask": market.price_text(ask[0]) if ask else "",
                "highest_bid": market.price_text(bid[0]) if bid else "",
                "change_percentage": change_text(day),
                "base_volume": market.amount_text(day.volume),
                "quote_volume": market.turnover_text(day.turnover),
                "high_24h": market.price_text(day.high),
                "low_24h": market.price_text(day.low),
            },
            now_ns,
        )

    def kline(
        self,
        market: Market,
        interval: str,
        row: Candle,
        now_ns: int,
        *,
        is_closed: bool,
    ) -> bytes:
        """Return the push of one kline."""
        result: dict[str, object] = {
            "t": str(row.open_at),
            "v": market.turnover_text(row.turnover),
            "c": market.price_text(row.close),
            "h": market.price_text(row.high),
            "l": market.price_text(row.low),
            "o": market.price_text(row.open),
            "n": f"{interval}_{market.spec.name}",
        }
        if self._is_2026:
            result |= {"a": market.amount_text(row.volume), "w": is_closed}
        return self._push("spot.candlesticks", result, now_ns)

    def book_ticker(self, market: Market, now_ns: int) -> bytes:
        """Return the push of the best levels; an empty side is empty text."""
        bid, ask = market.book.best(0), market.book.best(1)
        return self._push(
            "spot.book_ticker",
            {
                "t": market.changed_ns // MS_NS,
                "u": market.update_id,
                "s": market.spec.name,
                "b": market.price_text(bid[0]) if bid else "",
                "B": market.amount_text(bid[1]) if bid else "",
                "a": market.price_text(ask[0]) if ask else "",
                "A": market.amount_text(ask[1]) if ask else "",
            },
            now_ns,
        )

    def depth(self, frame: DepthFrame, now_ns: int) -> bytes:
        """Return the push of an order book update."""
        result: dict[str, object] = {"t": frame.ts_ns // MS_NS}
        if frame.is_full:
            result["full"] = True
        if self._is_2026:
            result["l"] = str(frame.depth)
        result |= {
            "e": "depthUpdate",
            "E": frame.ts_ns // SECOND_NS,
            "s": frame.market,
            "U": frame.first_id,
            "u": frame.last_id,
            "b": self._ordered(frame.bids),
            "a": self._ordered(frame.asks),
        }
        return self._push("spot.order_book_update", result, now_ns)

    def obu(self, result: dict[str, object], now_ns: int) -> bytes:
        """Return the push of an order book stream, in keys and order as recorded."""
        frame: dict[str, object] = {"channel": "spot.obu", "result": result}
        frame |= {"time_ms": now_ns // MS_NS, "event": "update"}
        if self._null_keys:
            frame |= {"id": None, "error": None}
        return self._encoder.encode(frame)

    def order_book(
        self, market: Market, bids: Levels, asks: Levels, depth: int, now_ns: int
    ) -> bytes:
        """Return the push of the best levels of a book, as (ticks, lots)."""
        result: dict[str, object] = {
            "t": market.changed_ns // MS_NS,
            "lastUpdateId": market.update_id,
            "s": market.spec.name,
        }
        if self._is_2026:
            result["l"] = str(depth)
        result |= {
            "bids": market.level_texts(bids),
            "asks": market.level_texts(asks),
        }
        return self._push("spot.order_book", result, now_ns)

    def _ordered(self, levels: TextLevels) -> TextLevels:
        """Return levels as the era sends them: sorted, or in any order."""
        if not self._is_2026 or len(levels) < 2:
            return levels
        mixed = list(levels)
        self._rng.shuffle(mixed)
        return mixed


def change_text(row: Candle) -> str:
    """Return the change from open to close in percent, cut to four digits."""
    change = (row.close - row.open) * 1_000_000 // row.open
    return f"{'-' if change < 0 else ''}{decimal_text(abs(change), 4)}"
