"""Kinds of rows: which belong to a chain, and how one of them is known again."""

from collections.abc import Collection
from typing import Final, TypeAlias

from recorder.continuity import ID_MAX
from recorder.model import (
    TABLE_OF,
    Balance,
    Bbo,
    Chain,
    ContractStats,
    DepthUpdate,
    Kline,
    Liquidation,
    Order,
    Ticker,
    Trade,
    WireEvent,
)


PlainEvent: TypeAlias = (
    Ticker[str]
    | Bbo[str]
    | Liquidation[str]
    | ContractStats[str]
    | Order[str]
    | Balance[str]
)
"""Events that are stored as they come."""

ROWS: Final = frozenset(
    {
        Trade,
        DepthUpdate,
        Kline,
        Ticker,
        Bbo,
        Liquidation,
        ContractStats,
        Order,
        Balance,
    }
)
"""Events that belong to a chain, so that two connections may bring them."""


def name_of(event: WireEvent) -> str:
    """Return the name of an event's stream, as far as the event tells it."""
    table = TABLE_OF[type(event)]
    if isinstance(event, ContractStats):
        return f"{table}:{event.interval}"
    return table


def begin_of(event: WireEvent) -> int | None:
    """Return the number with which a row begins, where rows go on one by one."""
    if isinstance(event, DepthUpdate):
        return event.first_update_id
    return event.market_trade_id if isinstance(event, Trade) else None


def is_numbered(event: WireEvent) -> bool:
    """Return whether a row is pushed once to each connection, and known again.

    A whole book is pushed to a connection when that begins, and so are trades
    of before: the other connection need not bring them.
    """
    if isinstance(event, DepthUpdate):
        return event.last_update_id is not None and not event.is_snapshot
    if isinstance(event, Trade):
        return event.trade_id is not None and event.origin == "live"
    return isinstance(event, Bbo) and event.update_id is not None


def is_impossible(event: WireEvent, bare: Collection[Chain]) -> bool:
    """Return whether the ids of a depth message are such as cannot be.

    Args:
        event: Any row.
        bare: Chains without ids.
    """
    if not isinstance(event, DepthUpdate) or (event.market, event.stream) in bare:
        return False
    first, last = event.first_update_id, event.last_update_id
    if last is not None and last > ID_MAX:
        return False
    if event.is_snapshot:
        return last is not None and last < 0
    return first is None or last is None or not 0 <= first <= last
