"""Which rows were stored before: one event is one row, over reconnects too.

Depth updates are told apart by their ids, in `recorder.continuity`. Here:
trades by id, klines by opening time and content, status events by content, or
by what their feed says makes two of them the same.
Nothing but what was stored is ever taken for a double; what is so old that it
is not remembered any more is stored again rather than lost.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from recorder.model import Kline, StatusEvent, Trade


REMEMBERED_TRADES: Final = 256
"""Trade ids remembered for each market: more than twice what a venue pushes as
history, for between a trade and its last repetition as many newer ones come
at most, and as many older ones in the history of its own connection."""

REMEMBERED_KLINES: Final = 8
"""Opening times remembered for each interval of a market: a new connection
begins with the current kline and the last ones that closed."""

REMEMBERED_STATUS: Final = 1024
"""Status events remembered: a venue repeats the latest, not old ones."""


class _Recent:
    """The last so many keys, in the order in which they came."""

    __slots__ = ("_keys", "_order")

    def __init__(self, limit: int) -> None:
        self._order: deque[object] = deque(maxlen=limit)
        self._keys: set[object] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def add(self, key: object) -> bool:
        """Remember a key; return whether it is new."""
        if key in self._keys:
            return False
        if len(self._order) == self._order.maxlen:
            self._keys.discard(self._order[0])
        self._order.append(key)
        self._keys.add(key)
        return True


class Doubles:
    """Remembers what was stored, within bounds, and recognizes it again."""

    def __init__(self) -> None:
        self._trades: dict[str, _Recent] = {}
        self._klines: dict[tuple[str, str], dict[int, tuple[str, Kline[str]]]] = {}
        self._status = _Recent(REMEMBERED_STATUS)
        self._earlier_status = _Recent(REMEMBERED_STATUS)

    def seed_trades(self, market: str, trade_ids: Iterable[int]) -> None:
        """Remember ids that an earlier run of the job stored."""
        recent = self._recent(market)
        for trade_id in trade_ids:
            recent.add(trade_id)

    def seed_status(self, told: Iterable[tuple[str, str | None, str]]) -> None:
        """Remember status events that an earlier run stored, oldest first.

        Args:
            told: Kind, state and payload of each.
        """
        for kind, state, payload in told:
            self._earlier_status.add(_told(kind, state, payload))

    def is_new_trade(self, trade: Trade[str]) -> bool:
        """Return whether this trade was not stored yet; remember it."""
        if trade.trade_id is None:
            return True
        return self._recent(trade.market).add(trade.trade_id)

    def is_new_kline(self, kline: Kline[str], conn: str) -> bool:
        """Return whether this kline is not what another connection sent last.

        A connection that repeats itself is believed: its rows are kept.
        """
        last = self._klines.setdefault((kline.market, kline.interval), {})
        before = last.get(kline.open_at)
        last[kline.open_at] = (conn, kline)
        if len(last) > REMEMBERED_KLINES:
            del last[min(last)]
        if before is None or before[0] == conn:
            return True
        return _content(before[1]) != _content(kline)

    def is_new_status(self, event: StatusEvent) -> bool:
        """Return whether this status event was not stored yet; remember it.

        What earlier runs stored is known by its content alone.
        """
        content = _told(event.kind, event.state, event.payload)
        key = content if event.identity is None else event.identity
        return self._status.add(key) and content not in self._earlier_status

    def _recent(self, market: str) -> _Recent:
        recent = self._trades.get(market)
        if recent is None:
            recent = self._trades[market] = _Recent(REMEMBERED_TRADES)
        return recent


def _content(kline: Kline[str]) -> tuple[object, ...]:
    """What makes two pushes of a kline the same, but for the time of the push."""
    return (
        kline.open,
        kline.high,
        kline.low,
        kline.close,
        kline.volume,
        kline.turnover,
        kline.is_closed,
    )


_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _told(kind: str, state: str | None, payload: str) -> tuple[object, ...]:
    """What makes two status events the same, however their keys are ordered."""
    try:
        fields = _OBJECT.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return kind, state, payload
    return kind, state, *sorted((name, bytes(raw)) for name, raw in fields.items())
