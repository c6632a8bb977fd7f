"""What happened: the values that flow from a feed to the store and back.

One class per kind of event, immutable, its fields named as the columns of
the table it fills (`schemas/tables`). All times are nanoseconds since
1970 UTC. A number has two forms, chosen by the type parameter:

* ``str``: the venue's own text, as decoded from a frame. Nothing is lost.
* ``float``: as stored and replayed.

So ``Trade[str]`` comes from the wire and ``Trade[float]`` from the store.
Levels of a `DepthUpdate` are likewise raw JSON text (`RawLevels`, made into
numbers in bulk by the store) or a tuple of (price, amount) pairs (`Levels`).

This module knows no venue, does no I/O and asks no clock.
"""

from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

import msgspec


Side = Literal["buy", "sell"]
Origin = Literal["live", "history", "backfill", "rest", "audit"]
Scope = Literal["rows", "book"]
Level: TypeAlias = tuple[float, float]
Levels: TypeAlias = tuple[Level, ...]
RawLevels: TypeAlias = bytes | msgspec.Raw
"""A JSON array as sent: ``[["price","amount"],...]`` or ``[{"p":..,"s":..},...]``."""

N = TypeVar("N", str, float)
L = TypeVar("L", RawLevels, Levels)


class Chain(NamedTuple):
    """One market of one stream of a source: what is subscribed and covered.

    Attributes:
        market: The venue's spelling, ``BTC_USDT``.
        stream: Canonical name with its parameter, ``depth:100ms``.
    """

    market: str
    stream: str


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
        origin: ``live``, ``rest`` (a snapshot we asked for) or ``audit``.
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
        high: Highest price of the period.
        low: Lowest price of the period.
        change_pct: Change over the period, percent.
        base_volume: Traded in the period, venue's unit (base on spot).
        quote_volume: Traded in the period, quote currency.
        mark_price: Futures only.
        index_price: Futures only.
        funding_rate: Futures only, per funding interval.
        open_interest: Futures only, contracts.
        period_s: Length of the period in seconds, where sent.
    """

    market: str
    ts_event: int | None
    last: N | None = None
    bid: N | None = None
    ask: N | None = None
    open: N | None = None
    high: N | None = None
    low: N | None = None
    change_pct: N | None = None
    base_volume: N | None = None
    quote_volume: N | None = None
    mark_price: N | None = None
    index_price: N | None = None
    funding_rate: N | None = None
    open_interest: N | None = None
    period_s: int | None = None


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


class StatusEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says about itself: upgrades, maintenance, announcements.

    Attributes:
        kind: ``upgrade``, ``maintenance``, ``announcement``, ...
        payload: The JSON as received.
        market: Set where the message is about exactly one market.
        ts_event: Venue's clock, nanoseconds.
        state: The venue's own word.
        title: One line of text.
        url: Where to read more.
        publisher: Who announced it.
        starts_at: Start of the interval it is about, nanoseconds.
        ends_at: End of that interval, nanoseconds.
        markets: Markets it names.
    """

    kind: str
    payload: str
    market: str | None = None
    ts_event: int | None = None
    state: str | None = None
    title: str | None = None
    url: str | None = None
    publisher: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    markets: tuple[str, ...] | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """An interval in which something is missing; one revision of its row.

    Attributes:
        gap_id: The same for all revisions of one gap.
        market: None means every market of the job.
        stream: None means every stream of the job.
        job: Name of the job that misses it.
        scope: ``rows``: something was sent and is not here. ``book``:
            nothing is missing but the order book is not known.
        reason: ``connect_lost``, ``sequence_gap``, ``resync``, ...
        started_at: First instant of the gap, our clock, nanoseconds.
        ended_at: First instant after it; None while it lasts.
        after_update_id: Last book change received before it.
        before_update_id: First book change received after it.
        healed_by: How it was filled or shown to be empty; None if it was not.
        detail: One sentence for people.
        ts_event: Always None; a gap is seen by our clock alone.
    """

    gap_id: str
    market: str | None
    stream: str | None
    job: str
    scope: Scope
    reason: str
    started_at: int
    ended_at: int | None = None
    after_update_id: int | None = None
    before_update_id: int | None = None
    healed_by: str | None = None
    detail: str | None = None
    ts_event: int | None = None


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """An interval in which everything that was sent is here.

    Attributes:
        market: The venue's spelling; None for streams without markets.
        stream: Canonical stream name.
        job: Name of the job that recorded it.
        started_at: First instant covered, our clock, nanoseconds.
        ended_at: First instant no longer covered.
        closed_by: ``gap``, ``stop``, ``midnight``, ``killed``.
        ts_event: Always None.
    """

    market: str | None
    stream: str
    job: str
    started_at: int
    ended_at: int
    closed_by: str
    ts_event: int | None = None


class ConnectionLife(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket connection from its opening to its end.

    Attributes:
        url: Where it went, without secrets.
        opened_at: Our clock, nanoseconds.
        closed_at: Our clock, nanoseconds.
        close_code: As received; None where the peer just vanished.
        close_reason: As received, or what was seen on our side.
        frames: Frames received.
        bytes: Payload bytes received.
        clock_offset_ms: Venue's clock minus ours, where it could be told.
        market: Always None.
        ts_event: Always None.
    """

    url: str
    opened_at: int
    closed_at: int
    close_code: int | None
    close_reason: str | None
    frames: int
    bytes: int
    clock_offset_ms: float | None = None
    market: str | None = None
    ts_event: int | None = None


class KeptFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame kept verbatim, a row of ``frames``.

    Attributes:
        direction: ``in`` or ``out``.
        opcode: ``text``, ``binary`` or ``http``.
        reason: ``archive``, ``undecodable``, ``unknown`` or ``inexact``.
        payload: The bytes as they were.
        request: What an HTTP body answers; None for frames of a socket.
        error: Why it could not be used; None for archived frames.
        market: None unless the frame is about exactly one market.
        ts_event: Always None.
    """

    direction: Literal["in", "out"]
    opcode: Literal["text", "binary", "http"]
    reason: Literal["archive", "undecodable", "unknown", "inexact"]
    payload: bytes
    request: str | None = None
    error: str | None = None
    market: str | None = None
    ts_event: int | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A whole book derived by us at a rotation, to start a replay from.

    Attributes:
        market: The venue's spelling.
        stream: Canonical stream name.
        last_update_id: Last book change applied; None on streams without ids.
        bids: Best first.
        asks: Best first.
        ts_event: Always None.
    """

    market: str
    stream: str
    last_update_id: int | None
    bids: Levels
    asks: Levels
    ts_event: int | None = None


WireEvent: TypeAlias = (
    Trade[str]
    | DepthUpdate[RawLevels]
    | Kline[str]
    | Ticker[str]
    | Bbo[str]
    | StatusEvent
)
"""What a feed decodes from a frame."""

LedgerRow: TypeAlias = Gap | Coverage | ConnectionLife | KeptFrame
"""What the recorder writes about its own recording."""

StoredEvent: TypeAlias = (
    Trade[float]
    | DepthUpdate[Levels]
    | Kline[float]
    | Ticker[float]
    | Bbo[float]
    | StatusEvent
    | Gap
)
"""What replay yields."""

TABLE_OF: dict[type, str] = {
    Trade: "trades",
    DepthUpdate: "depth",
    Kline: "klines",
    Ticker: "tickers",
    Bbo: "bbo",
    StatusEvent: "status",
    Gap: "gaps",
    Coverage: "coverage",
    ConnectionLife: "connections",
    KeptFrame: "frames",
    Checkpoint: "checkpoints",
}
"""The table that each class fills."""


class Row(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One event and where it stands in the data set.

    Attributes:
        source: The feed it was recorded from.
        ts_recv: Our clock when its frame was read, nanoseconds.
        conn: The connection, ``<run>.<n>`` or ``<run>.rest``.
        seq: Number of the frame within the connection, from 0.
        idx: Position within the frame, from 0.
        event: What happened.
    """

    source: str
    ts_recv: int
    conn: str
    seq: int
    idx: int
    event: StoredEvent


def parse_levels(raw: RawLevels) -> Levels:
    """Return raw levels as (price, amount) pairs, in wire order.

    The slow way, one Python object for each number, for single messages
    and tests; the store has a bulk parser.

    Args:
        raw: A JSON array of ``["price", "amount"]`` pairs or of objects
            with the keys ``p`` and ``s``.

    Returns:
        Price in quote currency and amount in the venue's unit.

    Raises:
        msgspec.DecodeError: If the text is not such an array.
    """
    return tuple(
        (float(x[0]), float(x[1])) if isinstance(x, tuple) else (float(x.p), float(x.s))
        for x in _LEVELS.decode(raw)
    )


class _ObjectLevel(msgspec.Struct, frozen=True, gc=False):
    p: str | float
    s: str | float


_LEVELS = msgspec.json.Decoder(list[tuple[str | float, str | float] | _ObjectLevel])
