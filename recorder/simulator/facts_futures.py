"""What the rows of pushed futures frames say, in the names of stored columns.

As in `facts`, made from the state of a contract and not from the frame.
Sizes depend on the form of numbers that a client asked for, so whoever calls
hands in how sizes are told.
"""

from collections.abc import Callable

from recorder.simulator.book import ASK, BID
from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market
from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.perpetuals import Liquidation, Perpetual
from recorder.simulator.truth import Facts
from recorder.simulator.wire_v4 import DAY_SECONDS, change_text


SizeText = Callable[[Market, int], str]
"""Tells lots, which may be below 0, as a client is told them."""


def bbo(market: Market, size: SizeText) -> Facts:
    """Return the best levels of a contract as they stand."""
    bid, ask = market.book.best(BID), market.book.best(ASK)
    is_empty = bid is None and ask is None
    return {
        "ts_event": None if is_empty else market.changed_ns // MS_NS * MS_NS,
        "update_id": None if is_empty else market.update_id,
        "bid_price": market.price_text(bid[0]) if bid else None,
        "bid_amount": size(market, bid[1]) if bid else None,
        "ask_price": market.price_text(ask[0]) if ask else None,
        "ask_amount": size(market, ask[1]) if ask else None,
    }


def ticker(
    perpetual: Perpetual,
    now_ns: int,
    size: SizeText,
    *,
    is_partial: bool,
    tells_funding: bool,
) -> Facts:
    """Return a ticker; what it leaves out is None.

    Args:
        perpetual: The contract.
        now_ns: The present.
        size: How sizes are told.
        is_partial: Whether it tells only what keeps changing.
        tells_funding: Whether it says when funding is paid, as since 2026.
    """
    contract, market = perpetual.contract, perpetual.market
    day = market.candles.summary(DAY_SECONDS, now_ns // SECOND_NS)
    has_day = day is not None and not is_partial
    told: Facts = {
        "last": market.price_text(day.close) if day else None,
        "bid": None,
        "ask": None,
        "open": None,
        "high": market.price_text(day.high) if day and has_day else None,
        "low": market.price_text(day.low) if day and has_day else None,
        "change_pct": change_text(day) if day and has_day else None,
        "base_volume": size(market, day.volume) if day and has_day else None,
        "quote_volume": None,
        "mark_price": perpetual.price_text(perpetual.mark),
        "index_price": perpetual.price_text(perpetual.index),
        "turnover_base": None,
        "turnover_settle": None,
        "turnover_btc": None,
        "turnover_usd": None,
        "funding_rate": perpetual.funding_rate,
        "funding_rate_indicative": perpetual.funding_rate_indicative,
        "funding_interval_s": contract.funding_hours * 3_600 if tells_funding else None,
        "funding_offset_s": 0 if tells_funding else None,
        "funding_next_at": perpetual.funding_apply_s(now_ns) * SECOND_NS
        if tells_funding
        else None,
        "quanto_base_rate": None,
        "price_type": "last" if tells_funding else None,
        "open_interest": size(market, perpetual.open_interest) if has_day else None,
    }
    if day and has_day:
        base = contract.base_text(day.volume, day.turnover)
        quote = contract.quote_text(day.volume, day.turnover)
        is_linear = contract.multiplier != "0"
        told |= {
            "quote_volume": quote,
            "turnover_base": base,
            "turnover_settle": quote if is_linear else base,
            "turnover_btc": "0",
            "turnover_usd": quote,
        }
    return told


def kline(
    perpetual: Perpetual,
    kind: str,
    row: Candle,
    size: SizeText,
    *,
    is_closed: bool | None,
    tells_base: bool,
) -> Facts:
    """Return a kline of trades, or of the ``mark`` or ``index`` price.

    Args:
        perpetual: The contract.
        kind: ``mark``, ``index``, or empty.
        row: The kline.
        size: How sizes are told.
        is_closed: As far as the frame tells it.
        tells_base: Whether it tells what was traded in base currency.
    """
    market = perpetual.market
    price = perpetual.price_text if kind else market.price_text
    base = perpetual.contract.base_text(row.volume, row.turnover)
    return {
        "open_at": row.open_at * SECOND_NS,
        "open": price(row.open),
        "high": price(row.high),
        "low": price(row.low),
        "close": price(row.close),
        "volume": size(market, row.volume),
        "turnover": None,
        "turnover_base": base if tells_base else None,
        "is_closed": is_closed,
    }


def liquidation(market: Market, told: Liquidation, size: SizeText) -> Facts:
    """Return one liquidation."""
    return {
        "ts_event": told.ts_ns,
        "price": market.price_text(told.price),
        "size": size(market, told.lots),
    }


def stats(perpetual: Perpetual, seconds: int, now_ns: int, size: SizeText) -> Facts:
    """Return the statistics of the interval that an instant lies in."""
    contract, market = perpetual.contract, perpetual.market
    start_s, sums = perpetual.liquidated(seconds, now_ns)
    takers, accounts, top_accounts, top_size = (
        f"{ratio // 1_000}.{ratio % 1_000:03d}" for ratio in perpetual.ratios
    )
    interest = perpetual.open_interest
    return {
        "ts_event": start_s * SECOND_NS,
        "mark_price": perpetual.price_text(perpetual.mark),
        "open_interest": size(market, interest),
        "open_interest_usd": contract.quote_text(
            interest, interest * perpetual.mark // 10
        ),
        "long_short_taker": takers,
        "long_short_accounts": accounts,
        "top_long_short_accounts": top_accounts,
        "top_long_short_size": top_size,
        "long_liq_size": size(market, sums.long),
        "long_liq_amount": contract.base_text(sums.long, sums.long_turnover),
        "long_liq_usd": contract.quote_text(sums.long, sums.long_turnover),
        "short_liq_size": size(market, sums.short),
        "short_liq_amount": contract.base_text(sums.short, sums.short_turnover),
        "short_liq_usd": contract.quote_text(sums.short, sums.short_turnover),
    }
