"""How the v4 futures protocol says things, in the formats of several years.

Pure: values in, frames out. The differences between the years are all here:

- Sizes are numbers and whole: what is less than a contract is cut off. A
  client that asks for it while connecting is sent texts with all digits.
- In 2021 prices of trades were numbers, and trades said the millisecond as a
  number with a point.
- What an array holds came in a further array in April 2021, and each object
  alone in March 2022.
- Since August 2026 a frame holds all liquidations of a second, with prices
  as texts, and says the millisecond under ``time``, not ``time_ms``.
"""

import random
from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from recorder.simulator.book import ASK, BID
from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market, Trade
from recorder.simulator.envelope_v4 import EnvelopeV4
from recorder.simulator.numbers import MS_NS, SECOND_NS, decimal_text, fixed_text
from recorder.simulator.perpetuals import Liquidation, Perpetual
from recorder.simulator.settings import Settings
from recorder.simulator.window import Levels
from recorder.simulator.wire_v4 import (
    DAY_SECONDS,
    DepthFrame,
    TextLevels,
    change_text,
)


Object = dict[str, object]


class FuturesWire(EnvelopeV4):
    """Encodes the frames of v4 futures for clients of one form of numbers."""

    prefix: ClassVar[str] = "futures"

    def __init__(
        self, settings: Settings, rng: random.Random, *, is_decimal: bool
    ) -> None:
        """Choose the formats.

        Args:
            settings: The year, and the shape of results.
            rng: Mixes levels.
            is_decimal: Sizes are texts with all digits; not known in 2021.
        """
        super().__init__(settings, rng)
        self._is_decimal = is_decimal and self._is_2026
        self._shape = settings.futures_shape
        self._has_batches = settings.liquidation_batches

    def size_text(self, market: Market, lots: int) -> str:
        """Return a size as this client is told it, as a text; it may be signed."""
        decimals = market.spec.amount_decimals
        if not self._is_decimal:
            lots, decimals = _cut(lots, 10**decimals), 0
        return f"{'-' if lots < 0 else ''}{decimal_text(abs(lots), decimals)}"

    def level_texts(self, market: Market, levels: Levels) -> list[tuple[str, str]]:
        """Return (ticks, lots) pairs as this client is told them, as texts."""
        return [(market.price_text(p), self.size_text(market, a)) for p, a in levels]

    def parts(self, count: int) -> Iterator[slice]:
        """Return which of so many objects go into one frame each."""
        if self._shape != "object":
            yield slice(0, count)
        else:
            yield from (slice(at, at + 1) for at in range(count))

    def several(self, channel: str, items: Sequence[Object], now_ns: int) -> bytes:
        """Return a push of objects of which `parts` says that they go together."""
        result: object = items
        if self._shape == "object":
            result = items[0]
        elif self._shape == "nested":
            result = [items]
        return self._push(f"futures.{channel}", result, now_ns)

    def trade(self, market: Market, trade: Trade) -> Object:
        """Return one trade; it is a buy if its size is above 0."""
        lots = market.lots(trade.amount)
        said: Object = {
            "size": self._size(market, lots if trade.side == "buy" else -lots),
            "id": trade.trade_id,
            "create_time": trade.ts_ns // SECOND_NS,
        }
        if self._is_2026:
            said |= {"create_time_ms": trade.ts_ns // MS_NS, "price": trade.price}
        else:
            ms = fixed_text(trade.ts_ns // MS_NS, 0)
            said |= {"create_time_ms": _number(ms), "price": _number(trade.price)}
        said["contract"] = trade.market
        if trade.is_internal:
            said["is_internal"] = True
        return said

    def ticker(self, perpetual: Perpetual, now_ns: int, *, is_partial: bool) -> Object:
        """Return a ticker, or that part of it that keeps changing."""
        contract, market = perpetual.contract, perpetual.market
        day = market.candles.summary(DAY_SECONDS, now_ns // SECOND_NS)
        said: Object = {"contract": market.spec.name}
        if day is not None:
            said["last"] = market.price_text(day.close)
        said |= {
            "mark_price": perpetual.price_text(perpetual.mark),
            "index_price": perpetual.price_text(perpetual.index),
            "funding_rate": perpetual.funding_rate,
            "funding_rate_indicative": perpetual.funding_rate_indicative,
        }
        if day is not None and not is_partial:
            base = contract.base_text(day.volume, day.turnover)
            quote = contract.quote_text(day.volume, day.turnover)
            is_linear = contract.multiplier != "0"
            said |= {
                "change_percentage": change_text(day),
                "total_size": self.size_text(market, perpetual.open_interest),
                "volume_24h": self.size_text(market, day.volume),
                "volume_24h_base": base,
                "volume_24h_quote": quote,
                "volume_24h_settle": quote if is_linear else base,
                "volume_24h_btc": "0",
                "volume_24h_usd": quote,
                "quanto_base_rate": "",
                "low_24h": market.price_text(day.low),
                "high_24h": market.price_text(day.high),
            }
        if self._is_2026:
            said |= {
                "funding_interval": contract.funding_hours * 3_600,
                "funding_offset": 0,
                "funding_next_apply": perpetual.funding_apply_s(now_ns),
                "price_type": "last",
                "t": now_ns // MS_NS,
            }
        return said

    def kline(
        self, perpetual: Perpetual, kind: str, interval: str, row: Candle
    ) -> Object:
        """Return one kline.

        Args:
            perpetual: The contract.
            kind: ``mark``, ``index``, or empty for its trades.
            interval: ``1m``.
            row: The kline; open and close alone may follow.
        """
        market = perpetual.market
        price = perpetual.price_text if kind else market.price_text
        name = f"{kind}_{market.spec.name}" if kind else market.spec.name
        said: Object = {
            "t": row.open_at,
            "v": self._size(market, row.volume),
            "c": price(row.close),
            "h": price(row.high),
            "l": price(row.low),
            "o": price(row.open),
            "n": f"{interval}_{name}",
        }
        if self._is_2026:
            said["a"] = perpetual.contract.base_text(row.volume, row.turnover)
        return said

    def closed(self, kline: Object, *, is_closed: bool) -> Object:
        """Return a kline with what says whether it is over, if this year says it."""
        return kline | {"w": is_closed} if self._is_2026 else kline

    def book_ticker(self, market: Market, now_ns: int) -> bytes:
        """Return the push of the best levels; all is 0 or empty if there are none."""
        bid, ask = market.book.best(BID), market.book.best(ASK)
        result: Object = {
            "t": market.changed_ns // MS_NS if bid or ask else 0,
            "u": market.update_id if bid or ask else 0,
            "s": market.spec.name,
            "b": market.price_text(bid[0]) if bid else "",
            "B": self._size(market, bid[1] if bid else 0),
            "a": market.price_text(ask[0]) if ask else "",
            "A": self._size(market, ask[1] if ask else 0),
        }
        return self._push("futures.book_ticker", result, now_ns)

    def order_book(
        self, market: Market, bids: Levels, asks: Levels, *, depth: int, now_ns: int
    ) -> bytes:
        """Return the push of the best levels of a book as a whole."""
        has_orders = bool(bids or asks)
        result: Object = {
            "t": market.changed_ns // MS_NS if has_orders else 0,
            "id": market.update_id if has_orders else 0,
            "contract": market.spec.name,
            "asks": self._objects(self.level_texts(market, asks)),
            "bids": self._objects(self.level_texts(market, bids)),
        }
        if self._is_2026:
            result["l"] = str(depth)
        return self._push("futures.order_book", result, now_ns, event="all")

    def book_changes(
        self, market: Market, bids: Levels, asks: Levels, now_ns: int
    ) -> bytes:
        """Return the old form of changes: of what is removed no side is told.

        What is removed comes first: there may be a new level of the other side
        at the very price.
        """
        changes = [(price, lots) for price, lots in bids]
        changes += [(price, -lots) for price, lots in asks]
        changes.sort(key=lambda change: change[1] != 0)
        result: list[Object] = [
            {
                "p": market.price_text(price),
                "s": self._size(market, lots),
                "c": market.spec.name,
                "id": market.update_id,
            }
            for price, lots in changes
        ]
        return self._push("futures.order_book", result, now_ns)

    def depth(self, frame: DepthFrame, now_ns: int) -> bytes:
        """Return the push of an order book update; 0 levels: none were asked for."""
        result: Object = {"t": frame.ts_ns // MS_NS}
        if frame.is_full:
            result["full"] = True
        result |= {
            "s": frame.market,
            "U": frame.first_id,
            "u": frame.last_id,
            "b": self._objects(self._mixed(frame.bids)),
            "a": self._objects(self._mixed(frame.asks)),
        }
        if self._is_2026 and frame.depth:
            result["l"] = str(frame.depth)
        return self._push("futures.order_book_update", result, now_ns)

    def obu(self, result: Object, now_ns: int) -> bytes:
        """Return the push of an ``ob.`` stream: texts for everyone."""
        return self._push("futures.obu", result, now_ns)

    def liquidation(self, market: Market, told: Liquidation) -> Object:
        """Return one liquidation."""
        price, ms = market.price_text(told.price), told.ts_ns // MS_NS
        size = self._size(market, told.lots)
        if self._has_batches:
            return {"price": price, "size": size, "time": ms, "contract": told.market}
        return {
            "price": _number(price),
            "size": size,
            "time_ms": ms,
            "contract": told.market,
        }

    def stats(self, perpetual: Perpetual, seconds: int, now_ns: int) -> Object:
        """Return the statistics of the interval that an instant lies in."""
        contract, market = perpetual.contract, perpetual.market
        start_s, sums = perpetual.liquidated(seconds, now_ns)
        interest = perpetual.open_interest
        mark = perpetual.price_text(perpetual.mark)
        ratios = [_number(decimal_text(ratio, 3)) for ratio in perpetual.ratios]
        said: Object = {"time": start_s, "contract": market.spec.name}
        said |= zip(
            ("lsr_taker", "lsr_account", "top_lsr_account", "top_lsr_size"),
            ratios,
            strict=True,
        )
        for side, lots, turnover in (
            ("long", sums.long, sums.long_turnover),
            ("short", sums.short, sums.short_turnover),
        ):
            said |= {
                f"{side}_liq_size": self._size(market, lots),
                f"{side}_liq_amount": _number(contract.base_text(lots, turnover)),
                f"{side}_liq_usd": _number(contract.quote_text(lots, turnover)),
            }
        value = contract.quote_text(interest, interest * perpetual.mark // 10)
        return said | {
            "open_interest": self._size(market, interest),
            "open_interest_usd": _number(value),
            "mark_price": _number(mark) if self._is_2026 else mark,
        }

    def _size(self, market: Market, lots: int) -> object:
        text = self.size_text(market, lots)
        return text if self._is_decimal else int(text)

    def _objects(self, levels: TextLevels) -> list[Object]:
        if self._is_decimal:
            return [{"p": price, "s": size} for price, size in levels]
        return [{"p": price, "s": int(size)} for price, size in levels]

    def _mixed(self, levels: TextLevels) -> TextLevels:
        mixed = list(levels)
        self._rng.shuffle(mixed)
        return mixed


def _cut(lots: int, unit: int) -> int:
    """Return lots as whole contracts, what is less than one cut off."""
    return lots // unit if lots >= 0 else -(-lots // unit)


def _number(text: str) -> msgspec.Raw:
    """Return a decimal text as a number with just these digits."""
    return msgspec.Raw(text.encode())
