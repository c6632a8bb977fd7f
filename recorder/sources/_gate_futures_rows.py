"""What Gate futures' results say, as events; what is sent, `_gate_futures_wire` has."""

from collections.abc import Sequence

import msgspec

from recorder.errors import WireError
from recorder.model import (
    Bbo,
    Chain,
    ContractStats,
    DepthUpdate,
    Kline,
    Liquidation,
    RawLevels,
    Ticker,
    Trade,
)
from recorder.sources import _gate_futures_wire as wire
from recorder.sources._gate import moment_ns
from recorder.sources._gate_futures_wire import (
    is_zero,
    ns_of,
    number_of,
    seconds_of,
    text_of,
)
from recorder.sources._gate_v4_asking import Stamped
from recorder.sources._gate_v4_books import Books, parameter_of
from recorder.sources._json import text_as_sent
from recorder.sources._times import MILLISECOND_NS, SECOND_NS


def trade(market: str, row: wire.Trade) -> Trade[str]:
    """Return a trade.

    Raises:
        WireError: If it lacks a number, or its size is 0: that is on no side.
    """
    size = number_of(row.size)
    if is_zero(size):
        raise WireError(f"a trade of size {size}, which is on no side")
    exact = ns_of(row.create_time_ms, MILLISECOND_NS)
    return Trade(
        market=market,
        ts_event=exact or ns_of(row.create_time, SECOND_NS),
        trade_id=row.id,
        side="sell" if size.startswith("-") else "buy",
        price=number_of(row.price),
        amount=size.removeprefix("-"),
        is_internal=row.is_internal,
    )


def changed_top(
    top: Books, market: str, changes: Sequence[wire.Change], stamp: Stamped
) -> DepthUpdate[RawLevels]:
    """Return the changes of a whole top, in the old form.

    A removal names no side, so it removes its price from both: on the other
    there is none, or the book would be crossed.

    Args:
        top: The stream.
        market: The contract as it was asked for.
        changes: What one push says of it, in its order.
        stamp: Its times.

    Raises:
        WireError: If a change lacks a number.
    """
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    for change in changes:
        price, size = number_of(change.price), number_of(change.size)
        level = price, size.removeprefix("-")
        if is_zero(size):
            bids.append(level)
            asks.append(level)
        else:
            (asks if size.startswith("-") else bids).append(level)
    return DepthUpdate(
        market=market,
        stream=top.stream,
        ts_event=stamp.ts_event(),
        is_snapshot=False,
        first_update_id=None,
        last_update_id=max(change.id for change in changes) or None,
        bids=msgspec.json.encode(bids),
        asks=msgspec.json.encode(asks),
        depth_limit=top.depth_limit,
    )


def kline(chain: Chain, row: wire.Kline, stamp: Stamped) -> Kline[str]:
    """Return a kline.

    Raises:
        WireError: If it lacks a number.
    """
    return Kline(
        market=chain.market,
        ts_event=stamp.ts_event(),
        interval=parameter_of(chain.stream),
        open_at=ns_of(row.t, SECOND_NS) or 0,
        open=number_of(row.open),
        high=number_of(row.high),
        low=number_of(row.low),
        close=number_of(row.close),
        volume=text_of(row.volume),
        turnover_base=text_of(row.turnover_base),
        is_closed=row.is_closed,
    )


def ticker(market: str, row: wire.Ticker, stamp: Stamped) -> Ticker[str]:
    """Return a ticker.

    Raises:
        WireError: If a value is neither a text nor a number.
    """
    return Ticker(
        market=market,
        ts_event=moment_ns(row.t or 0) or stamp.ts_event(),
        last=text_of(row.last),
        high=text_of(row.high_24h),
        low=text_of(row.low_24h),
        change_pct=text_of(row.change_percentage),
        base_volume=text_of(row.volume_24h),
        quote_volume=text_of(row.volume_24h_quote),
        turnover_base=text_of(row.volume_24h_base),
        turnover_settle=text_of(row.volume_24h_settle),
        turnover_btc=text_of(row.volume_24h_btc),
        turnover_usd=text_of(row.volume_24h_usd),
        mark_price=text_of(row.mark_price),
        index_price=text_of(row.index_price),
        funding_rate=text_of(row.funding_rate),
        funding_rate_indicative=text_of(row.funding_rate_indicative),
        funding_interval_s=seconds_of(row.funding_interval),
        funding_offset_s=seconds_of(row.funding_offset),
        funding_next_at=ns_of(row.funding_next_apply, SECOND_NS),
        quanto_base_rate=text_of(row.quanto_base_rate),
        open_interest=text_of(row.total_size),
        price_type=text_as_sent(row.price_type),
    )


def bbo(market: str, row: wire.Bbo) -> Bbo[str]:
    """Return best bid and offer; 0 stands for "none" in time and id.

    Raises:
        WireError: If a value is neither a text nor a number.
    """
    bid_price, bid_amount = _best(row.bid_price, row.bid_amount)
    ask_price, ask_amount = _best(row.ask_price, row.ask_amount)
    return Bbo(
        market=market,
        ts_event=moment_ns(row.t),
        update_id=row.update_id or None,
        bid_price=bid_price,
        bid_amount=bid_amount,
        ask_price=ask_price,
        ask_amount=ask_amount,
    )


def _best(price: msgspec.Raw, amount: msgspec.Raw) -> tuple[str | None, str | None]:
    """Return best price and amount of a side; None for both if it is empty."""
    price_text, amount_text = text_of(price), text_of(amount)
    if all(text is None or is_zero(text) for text in (price_text, amount_text)):
        return None, None
    return price_text, amount_text


def liquidation(market: str, row: wire.Liquidation) -> Liquidation[str]:
    """Return a liquidation.

    Raises:
        WireError: If it lacks a number.
    """
    exact = ns_of(row.time_ms, MILLISECOND_NS)
    return Liquidation(
        market=market,
        ts_event=exact or wire.moment_of(row.time),
        price=number_of(row.price),
        size=number_of(row.size),
    )


def statistics(market: str, interval: str, row: wire.Stats) -> ContractStats[str]:
    """Return statistics.

    Raises:
        WireError: If a value is neither a text nor a number.
    """
    return ContractStats(
        market=market,
        ts_event=wire.moment_of(row.time),
        interval=interval,
        mark_price=text_of(row.mark_price),
        open_interest=text_of(row.open_interest),
        open_interest_usd=text_of(row.open_interest_usd),
        long_short_taker=text_of(row.lsr_taker),
        long_short_accounts=text_of(row.lsr_account),
        top_long_short_accounts=text_of(row.top_lsr_account),
        top_long_short_size=text_of(row.top_lsr_size),
        long_liq_size=text_of(row.long_liq_size),
        long_liq_amount=text_of(row.long_liq_amount),
        long_liq_usd=text_of(row.long_liq_usd),
        short_liq_size=text_of(row.short_liq_size),
        short_liq_amount=text_of(row.short_liq_amount),
        short_liq_usd=text_of(row.short_liq_usd),
    )
