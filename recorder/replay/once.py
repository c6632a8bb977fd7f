"""Events that two runs recorded, told once.

Where one run takes over from another, or two jobs record the same market, both
store what they receive. In a replay the first row of an event stands for it:
of a trade with an id, and of a kline with the same content that came over
another connection. Of other rows nothing tells whether they are the same event;
an order book passes over changes that it has.
"""

from collections.abc import Hashable
from typing import Any, Final

from recorder.model import Kline, Row, Trade


REMEMBERED: Final = 100_000
"""So many events are remembered at least, and at most twice as many."""


class Once:
    """Recognizes events that came before.

    Args:
        remembered: How many at least.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._older: dict[Hashable, str] = {}
        self._newer: dict[Hashable, str] = {}

    def is_new(self, row: Row) -> bool:
        """Return whether an event was not told yet, as far as is remembered."""
        event: Any = row.event
        key: Hashable
        if isinstance(event, Trade) and event.trade_id is not None:
            key = row.source, event.market, event.trade_id
            return self._conn(key, row.conn) is None
        if isinstance(event, Kline):
            content = event.open, event.high, event.low, event.close, event.volume
            about = event.market, event.interval, event.open_at, event.is_closed
            key = row.source, *about, *content, event.turnover
            # A connection that repeats itself has something to say.
            return self._conn(key, row.conn) in (None, row.conn)
        return True

    def _conn(self, key: Hashable, conn: str) -> str | None:
        """Return over which connection an event came first; remember it."""
        known = self._newer.get(key) or self._older.get(key)
        if known is None:
            if len(self._newer) >= self._remembered:
                self._older, self._newer = self._newer, {}
            self._newer[key] = conn
        return known
