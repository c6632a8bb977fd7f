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

from typing import TypeAlias

import msgspec

from recorder.model.levels import parse_levels
from recorder.model.market import (
    NO_MARKET,
    UNAPPLIED,
    Bbo,
    Chain,
    ContractStats,
    DepthUpdate,
    Kline,
    Level,
    Levels,
    Liquidation,
    Market,
    Origin,
    RawLevels,
    Side,
    Ticker,
    Trade,
)
from recorder.model.own import (
    TAKEN_OVER,
    BinaryFrame,
    Checkpoint,
    ConnectionLife,
    Coverage,
    Gap,
    KeptFrame,
    Scope,
    beside,
    is_beside,
)
from recorder.model.venue import Balance, Order, StatusEvent


__all__ = [
    "NO_MARKET",
    "TABLE_OF",
    "TAKEN_OVER",
    "UNAPPLIED",
    "Balance",
    "Bbo",
    "BinaryFrame",
    "Chain",
    "Checkpoint",
    "ConnectionLife",
    "ContractStats",
    "Coverage",
    "DepthUpdate",
    "FetchedEvent",
    "Gap",
    "KeptFrame",
    "Kline",
    "LedgerRow",
    "Level",
    "Levels",
    "Liquidation",
    "Market",
    "Order",
    "Origin",
    "RawLevels",
    "Row",
    "Scope",
    "Side",
    "StatusEvent",
    "StoredEvent",
    "Ticker",
    "Trade",
    "WireEvent",
    "beside",
    "is_beside",
    "parse_levels",
]

WireEvent: TypeAlias = (
    Trade[str]
    | DepthUpdate[RawLevels]
    | Kline[str]
    | Ticker[str]
    | Bbo[str]
    | Liquidation[str]
    | ContractStats[str]
    | StatusEvent
    | Order[str]
    | Balance[str]
)
"""What a feed decodes from a frame."""

FetchedEvent: TypeAlias = WireEvent | Market[str]
"""What a feed decodes from an answer by HTTP."""

LedgerRow: TypeAlias = Gap | Coverage | ConnectionLife | KeptFrame
"""What the recorder writes about its own recording."""

StoredEvent: TypeAlias = (
    Trade[float]
    | DepthUpdate[Levels]
    | Kline[float]
    | Ticker[float]
    | Bbo[float]
    | Liquidation[float]
    | ContractStats[float]
    | StatusEvent
    | Market[float]
    | Order[float]
    | Balance[float]
    | Gap
)
"""What replay yields."""

TABLE_OF: dict[type, str] = {
    Trade: "trades",
    DepthUpdate: "depth",
    Kline: "klines",
    Ticker: "tickers",
    Bbo: "bbo",
    Liquidation: "liquidations",
    ContractStats: "contract_stats",
    StatusEvent: "status",
    Market: "markets",
    Order: "orders",
    Balance: "balances",
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
