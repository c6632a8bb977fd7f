"""What the rows of a pushed frame say, in the names of the stored columns.

For the truth: made from the state of a market and not from the frame, so
that whoever compares stored rows with it shares no step with them.
Numbers are decimal texts, times nanoseconds.
"""

from recorder.simulator.book import ASK, BID
from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market
from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.truth import Facts
from recorder.simulator.wire_v4 import DAY_SECONDS, change_text


def bbo(market: Market) -> Facts:
    """Return the best levels of a market as they stand."""
    bid, ask = market.book.best(BID), market.book.best(ASK)
    return {
        "ts_event": market.changed_ns // MS_NS * MS_NS,
        "update_id": market.update_id,
        "bid_price": market.price_text(bid[0]) if bid else None,
        "bid_amount": market.amount_text(bid[1]) if bid else None,
        "ask_price": market.price_text(ask[0]) if ask else None,
        "ask_amount": market.amount_text(ask[1]) if ask else None,
    }


def ticker_v4(market: Market, now_ns: int) -> Facts:
    """Return the last 24 hours of a market, which must have seen a trade."""
    bid, ask = market.book.best(BID), market.book.best(ASK)
    return _day(market, now_ns) | {
        "bid": market.price_text(bid[0]) if bid else None,
        "ask": market.price_text(ask[0]) if ask else None,
        "open": None,
        "close": None,
        "period_s": None,
    }


def ticker_v3(market: Market, now_ns: int) -> Facts:
    """Return the last 24 hours of a market, empty if it saw no trade."""
    day = market.candles.summary(DAY_SECONDS, now_ns // SECOND_NS)
    told: Facts = {"bid": None, "ask": None, "period_s": DAY_SECONDS}
    if day is None:
        return told
    return _day(market, now_ns) | told | {"close": market.price_text(day.close)}


def kline(
    market: Market, row: Candle, *, volume: str | None, is_closed: bool | None
) -> Facts:
    """Return a kline; volume and closed flag as far as the frame tells them."""
    return {
        "open_at": row.open_at * SECOND_NS,
        "open": market.price_text(row.open),
        "high": market.price_text(row.high),
        "low": market.price_text(row.low),
        "close": market.price_text(row.close),
        "volume": volume,
        "turnover": market.turnover_text(row.turnover),
        "is_closed": is_closed,
    }


def _day(market: Market, now_ns: int) -> Facts:
    day = market.candles.summary(DAY_SECONDS, now_ns // SECOND_NS)
    if day is None:
        return {}
    return {
        "last": market.price_text(day.close),
        "open": market.price_text(day.open),
        "high": market.price_text(day.high),
        "low": market.price_text(day.low),
        "change_pct": change_text(day),
        "base_volume": market.amount_text(day.volume),
        "quote_volume": market.turnover_text(day.turnover),
    }
