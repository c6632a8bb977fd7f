"""What happened in a market: trades, books, klines, tickers.

See `recorder.model` for what all of these have in common.
"""

from typing import Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec


Side = Literal["buy", "sell"]
Origin = Literal["live", "history", "backfill", "rest", "audit", "beside"]
UNAPPLIED: Final[frozenset[Origin]] = frozenset({"audit", "beside"})
"""Depth messages that no book is made of."""

Level: TypeAlias = tuple[float, float]
Levels: TypeAlias = tuple[Level, ...]
RawLevels: TypeAlias = bytes | msgspec.Raw
"""A JSON array as sent: ``[["price","amount"],...]`` or ``[{"p":..,"s":..},...]``."""

N = TypeVar("N", str, float)
L = TypeVar("L", RawLevels, Levels)


NO_MARKET: Final = ""
"""The market of a chain whose stream has none; null in stored rows."""


class Chain(NamedTuple):
    """One market of one stream of a source: what is subscribed and covered.

    Attributes:
        market: The venue's spelling, ``BTC_USDT``; `NO_MARKET` where the
            stream is about no market.
        stream: Canonical name with its parameter, ``depth:100ms``.
    """

    market: str
    stream: str

    @property
    def words(self) -> str:
        """The chain in a sentence: ``trades of BTC_USDT``, or its stream alone."""
        return f"{self.stream} of {self.market}" if self.market else self.stream


class Trade(msgspec.Struct, Generic[N], frozen=True, gc=False, kw_only=True):
    """One execution.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock, nanoseconds; None where none is sent.
        trade_id: The venue's id of this trade within the market.
        side: The taker's side.
        price: Quote currency for one unit of base.
        amount: Venue's unit: base currency on spot, contracts on futures.
        market_trade_id: Running number among the trades of this market.
        range_first: First of the running numbers that the message spans.
        range_last: Last of them.
        is_internal: True where the venue says that it was not made in the book.
        stock: What the venue sends under this name, as it is.
        money: What the venue sends under this name, as it is.
        trade_mode: In which mode it was made, the venue's own word.
        origin: ``live``, ``history`` (pushed on subscribing) or ``backfill``.
    """

    market: str
    ts_event: int | None
    trade_id: int | None
    side: Side
    price: N
    amount: N
    market_trade_id: int | None = None
    range_first: int | None = None
    range_last: int | None = None
    is_internal: bool | None = None
    stock: str | None = None
    money: str | None = None
    trade_mode: str | None = None
    origin: Origin = "live"


class DepthUpdate(msgspec.Struct, Generic[L], frozen=True, gc=False, kw_only=True):
    """One message about resting levels.

    Attributes:
        market: The venue's spelling.
        stream: As subscribed, canonical: ``depth:100ms``.
        ts_event: Venue's clock, nanoseconds; None where none is sent.
        is_snapshot: True where the message replaces the whole book.
        first_update_id: First book change folded in; None where not sent.
        last_update_id: Last book change folded in; a snapshot's own id.
        bids: Levels with absolute amounts; amount 0 removes; wire order.
        asks: The same for the other side.
        depth_limit: Levels a side that the stream maintains.
        origin: ``live``, ``rest`` (a snapshot we asked for), or one of `UNAPPLIED`.
    """

    market: str
    stream: str
    ts_event: int | None
    is_snapshot: bool
    first_update_id: int | None
    last_update_id: int | None
    bids: L
    asks: L
    depth_limit: int | None = None
    origin: Origin = "live"


class Kline(msgspec.Struct, Generic[N], frozen=True, gc=False, kw_only=True):
    """Open, high, low, close and volume of one interval.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock, nanoseconds.
        interval: ``1m``, ``4h``, as subscribed.
        open_at: Start of the interval, nanoseconds.
        open: First price.
        high: Highest price.
        low: Lowest price.
        close: Last price.
        volume: In the venue's unit; None where not sent.
        turnover: In quote currency; None where not sent.
        turnover_base: In base currency, where it is not the volume.
        is_closed: True when the venue says the interval is over.
        origin: ``live`` or ``backfill``.
    """

    market: str
    ts_event: int | None
    interval: str
    open_at: int
    open: N
    high: N
    low: N
    close: N
    volume: N | None = None
    turnover: N | None = None
    turnover_base: N | None = None
    is_closed: bool | None = None
    origin: Origin = "live"


class Ticker(msgspec.Struct, Generic[N], frozen=True, gc=False, kw_only=True):
    """A market's summary over a period; a field not sent is None.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock, nanoseconds.
        last: Last price.
        bid: Best bid price.
        ask: Best ask price.
        open: Price at the start of the period.
        close: Price at its end, where it is told apart from the last price.
        high: Highest price of the period.
        low: Lowest price of the period.
        change_pct: Change over the period, percent.
        base_volume: Traded in the period, venue's unit (base on spot).
        quote_volume: Traded in the period, quote currency.
        turnover_base: Futures only: traded in the period, base currency.
        turnover_settle: The same in the currency of settlement.
        turnover_btc: The same in bitcoin.
        turnover_usd: The same in US dollars.
        mark_price: Futures only.
        index_price: Futures only.
        funding_rate: Futures only, per funding interval.
        funding_rate_indicative: The one expected for the next interval.
        funding_interval_s: Time between two fundings, seconds.
        funding_offset_s: How far fundings are moved, seconds.
        funding_next_at: When funding is paid next, nanoseconds.
        quanto_base_rate: Settle currency for one unit of base.
        open_interest: Futures only, contracts.
        period_s: Length of the period in seconds, where sent.
        price_type: Which price moves the ticker, the venue's own word.
    """

    market: str
    ts_event: int | None
    last: N | None = None
    bid: N | None = None
    ask: N | None = None
    open: N | None = None
    close: N | None = None
    high: N | None = None
    low: N | None = None
    change_pct: N | None = None
    base_volume: N | None = None
    quote_volume: N | None = None
    turnover_base: N | None = None
    turnover_settle: N | None = None
    turnover_btc: N | None = None
    turnover_usd: N | None = None
    mark_price: N | None = None
    index_price: N | None = None
    funding_rate: N | None = None
    funding_rate_indicative: N | None = None
    funding_interval_s: int | None = None
    funding_offset_s: int | None = None
    funding_next_at: int | None = None
    quanto_base_rate: N | None = None
    open_interest: N | None = None
    period_s: int | None = None
    price_type: str | None = None


class Bbo(msgspec.Struct, Generic[N], frozen=True, gc=False, kw_only=True):
    """Best bid and offer as the venue pushes it; an empty side is None.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock, nanoseconds.
        update_id: Same series as the depth update ids.
        bid_price: Best bid price.
        bid_amount: Amount at it, venue's unit.
        ask_price: Best ask price.
        ask_amount: Amount at it, venue's unit.
    """

    market: str
    ts_event: int | None
    update_id: int | None = None
    bid_price: N | None = None
    bid_amount: N | None = None
    ask_price: N | None = None
    ask_amount: N | None = None


class Liquidation(msgspec.Struct, Generic[N], frozen=True, gc=False, kw_only=True):
    """One liquidation of a position on a futures market.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock, nanoseconds.
        price: Price of the liquidation order.
        size: Contracts, signed as sent; the sign is not interpreted.
    """

    market: str
    ts_event: int | None
    price: N
    size: N


class ContractStats(msgspec.Struct, Generic[N], frozen=True, gc=False, kw_only=True):
    """Statistics of a futures market over an interval; None where not sent.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock, nanoseconds.
        interval: As subscribed: ``1m``.
        mark_price: Mark price.
        open_interest: Contracts.
        open_interest_usd: US dollars.
        long_short_taker: Long to short among takers.
        long_short_accounts: Long to short among accounts.
        top_long_short_accounts: The same among accounts of top traders.
        top_long_short_size: Long to short among positions of top traders.
        long_liq_size: Long positions liquidated, contracts.
        long_liq_amount: The same as the venue's amount.
        long_liq_usd: The same in US dollars.
        short_liq_size: Short positions liquidated, contracts.
        short_liq_amount: The same as the venue's amount.
        short_liq_usd: The same in US dollars.
    """

    market: str
    ts_event: int | None
    interval: str
    mark_price: N | None = None
    open_interest: N | None = None
    open_interest_usd: N | None = None
    long_short_taker: N | None = None
    long_short_accounts: N | None = None
    top_long_short_accounts: N | None = None
    top_long_short_size: N | None = None
    long_liq_size: N | None = None
    long_liq_amount: N | None = None
    long_liq_usd: N | None = None
    short_liq_size: N | None = None
    short_liq_amount: N | None = None
    short_liq_usd: N | None = None


class Market(msgspec.Struct, Generic[N], frozen=True, kw_only=True):
    """One market in a venue's list of markets.

    Attributes:
        market: The venue's spelling.
        kind: ``spot`` or ``futures``.
        payload: Its JSON as received.
        status: The venue's own word for whether it is traded.
        base: Currency that is traded.
        quote: Currency that it is priced in.
        tick_size: Smallest step of a price, quote currency.
        lot_size: Smallest step of an amount, venue's unit.
        multiplier: An amount times this is in base currency; None on spot,
            where it is 1; 0 for an inverse contract.
        ts_event: Always None.
    """

    market: str
    kind: str
    payload: str
    status: str | None = None
    base: str | None = None
    quote: str | None = None
    tick_size: N | None = None
    lot_size: N | None = None
    multiplier: N | None = None
    ts_event: int | None = None
