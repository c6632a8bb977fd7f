"""Rows of Gate's v3 as events, whether they were pushed or asked for."""

from recorder.model import Kline, Origin, Ticker, Trade
from recorder.sources import _gate_v3_wire as wire
from recorder.sources._times import SECOND_NS


def trade_of(row: wire.Trade, market: str, ts_event: int, origin: Origin) -> Trade[str]:
    """Return a trade; ``ts_event`` is its time in nanoseconds."""
    return Trade(
        market=market,
        ts_event=ts_event,
        trade_id=row.id,
        side=row.type,
        price=row.price,
        amount=row.amount,
        origin=origin,
    )


def ticker_of(row: wire.Ticker, market: str) -> Ticker[str]:
    """Return a ticker; the venue sends no time with it."""
    return Ticker(
        market=market,
        ts_event=None,
        last=row.last or None,
        open=row.open or None,
        close=row.close or None,
        high=row.high or None,
        low=row.low or None,
        change_pct=row.change or None,
        base_volume=row.base_volume or None,
        quote_volume=row.quote_volume or None,
        period_s=row.period,
    )


def kline_of(
    row: wire.Kline, market: str, interval: str, origin: Origin = "live"
) -> Kline[str]:
    """Return a kline; the venue sends no time with it."""
    return Kline(
        market=market,
        ts_event=None,
        interval=interval,
        open_at=row.time * SECOND_NS,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
        turnover=row.turnover,
        is_closed=row.is_closed,
        origin=origin,
    )
