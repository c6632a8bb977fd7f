"""Which rows were stored before: one event is one row, over reconnects too.

Depth updates are told apart by their ids, in `recorder.continuity`. Here:
trades by id, klines by opening time and content, status events by content, or
by what their feed says makes two of them the same.
While two connections carry the same, all rows are laid beside each other
(`recorder.capture.handover`), by their `identity`.
Nothing but what was stored is ever taken for a double; what is so old that it
is not remembered any more is stored again rather than lost.
"""

from collections import deque
from collections.abc import Callable, Container, Hashable, Iterable
from typing import Final

import msgspec

from recorder.model import (
    Bbo,
    DepthUpdate,
    Kline,
    Liquidation,
    StatusEvent,
    Trade,
    WireEvent,
)


REMEMBERED_TRADES: Final = 256
"""Trade ids remembered for each market: more than twice what a venue pushes as
history, for between a trade and its last repetition as many newer ones come
at most, and as many older ones in the history of its own connection."""

REMEMBERED_BACKFILL: Final = 512
"""Trades fetched afterwards remembered for each market, the newest: live, one of
them comes late or not at all."""

WATCHED_MAX: Final = 65_536
"""Trades noted for each market while its gaps are being healed."""

REMEMBERED_IN_HANDOVERS: Final = 65_536
"""And remembered while two connections bring them, one perhaps far behind."""

REMEMBERED_CONTENTS: Final = 64
"""Contents of one kline remembered: for two minutes, at one push in two
seconds."""

REMEMBERED_KLINES: Final = 8
"""Opening times remembered for each interval of a market: a new connection
begins with the current kline and the last ones that closed."""

REMEMBERED_STATUS: Final = 1024
"""Status events remembered: a venue repeats the latest, not old ones."""


class _Recent:
    """The last keys, in the order in which they came."""

    __slots__ = ("_keys", "_order")

    def __init__(self) -> None:
        self._order: deque[object] = deque()
        self._keys: set[object] = set()

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: object, limit: int) -> bool:
        """Remember a key, and so many in all; return whether it is new."""
        if key in self._keys:
            return False
        while len(self._order) >= limit:
            self._keys.discard(self._order.popleft())
        self._order.append(key)
        self._keys.add(key)
        return True


class Doubles:
    """Remembers what was stored, within bounds, and recognizes it again.

    Args:
        status_identity: As of a `Source`.
    """

    def __init__(
        self, status_identity: Callable[[str], str | None] = lambda _payload: None
    ) -> None:
        self._status_identity = status_identity
        self._trades: dict[str, _Recent] = {}
        # By interval of a market, by opening time: contents, and who sent them.
        self._klines: dict[tuple[str, str], dict[int, dict[Hashable, str]]] = {}
        self._status = _Recent()
        self._earlier_status = _Recent()
        self._trades_max = REMEMBERED_TRADES
        self._status_max = REMEMBERED_STATUS
        self._backfilled: dict[str, _Recent] = {}
        self._watched: dict[str, _Recent] = {}

    def watch(self, markets: Iterable[str]) -> None:
        """Note the trades of some markets from now on, and of no others."""
        self._watched = {market: _Recent() for market in markets}

    def watched(self, market: str) -> Container[int]:
        """Return the ids noted of a market that is watched."""
        return self._watched.get(market) or _Recent()

    def backfilled(self, trade: Trade[str]) -> None:
        """Remember a trade that was fetched afterwards."""
        recent = self._backfilled.setdefault(trade.market, _Recent())
        recent.add(trade.trade_id, REMEMBERED_BACKFILL)

    def remember_more(self, *, is_more: bool) -> None:
        """Remember more trades and status events from now on, or the usual."""
        self._trades_max = REMEMBERED_IN_HANDOVERS if is_more else REMEMBERED_TRADES
        self._status_max = REMEMBERED_IN_HANDOVERS if is_more else REMEMBERED_STATUS

    def seed_trades(self, market: str, trade_ids: Iterable[int]) -> None:
        """Remember ids that an earlier run of the job stored."""
        recent = self._recent(market)
        for trade_id in trade_ids:
            recent.add(trade_id, self._trades_max)

    def seed_status(self, told: Iterable[tuple[str, str | None, str]]) -> None:
        """Remember status events that an earlier run stored, oldest first.

        Args:
            told: Kind, state and payload of each.
        """
        for kind, state, payload in told:
            key = self._status_key(kind, state, payload)
            self._earlier_status.add(key, REMEMBERED_STATUS)

    def is_new_trade(self, trade: Trade[str]) -> bool:
        """Return whether this trade was not stored yet; remember it."""
        trade_id, market = trade.trade_id, trade.market
        if trade_id is None:
            return True
        if self._backfilled and trade_id in self._backfilled.get(market, ()):
            return False
        is_new = self._recent(market).add(trade_id, self._trades_max)
        if is_new and self._watched and market in self._watched:
            self._watched[market].add(trade_id, WATCHED_MAX)
        return is_new

    def knows_trade(self, trade: Trade[str]) -> bool:
        """Return whether this trade was stored, as far as is remembered."""
        return trade.trade_id in self._recent(
            trade.market
        ) or trade.trade_id in self._backfilled.get(trade.market, ())

    def is_new_kline(self, kline: Kline[str], conn: str) -> bool:
        """Return whether this kline is not what another connection sent; remember it.

        A connection that repeats itself is believed: its rows are kept.
        """
        last = self._klines.setdefault((kline.market, kline.interval), {})
        contents = last.setdefault(kline.open_at, {})
        content = _content(kline)
        before = contents.pop(content, conn)
        contents[content] = conn
        if len(contents) > REMEMBERED_CONTENTS:
            del contents[next(iter(contents))]
        if len(last) > REMEMBERED_KLINES:
            del last[min(last)]
        return before == conn

    def knows_kline(self, kline: Kline[str], conn: str) -> bool:
        """Return whether another connection sent this kline."""
        last = self._klines.get((kline.market, kline.interval), {})
        before = last.get(kline.open_at, {}).get(_content(kline))
        return before is not None and before != conn

    def is_new_status(self, event: StatusEvent) -> bool:
        """Return whether this status event was not stored yet; remember it."""
        key = self._status_key(event.kind, event.state, event.payload)
        is_new = self._status.add(key, self._status_max)
        return is_new and key not in self._earlier_status

    def _status_key(self, kind: str, state: str | None, payload: str) -> object:
        """Return what makes a status event the same as another."""
        identity = self._status_identity(payload)
        return _told(kind, state, payload) if identity is None else identity

    def _recent(self, market: str) -> _Recent:
        recent = self._trades.get(market)
        if recent is None:
            recent = self._trades[market] = _Recent()
        return recent


def identity(event: WireEvent) -> Hashable:
    """Return what makes an event the same on two connections.

    Trades by id, depth by ids, klines by opening time and content; other rows
    by all that they say, for nothing else is known of them.
    """
    if isinstance(event, DepthUpdate):
        ids = event.first_update_id, event.last_update_id
        return "depth", event.market, event.stream, event.is_snapshot, ids
    if isinstance(event, Trade) and event.trade_id is not None:
        return "trades", event.market, event.trade_id
    if isinstance(event, Kline):
        return "klines", event.market, event.interval, event.open_at, _content(event)
    return event


def is_named(event: WireEvent) -> bool:
    """Return whether two events with the same `identity` are surely one.

    Two liquidations may be of the same moment, price and size.
    """
    if isinstance(event, DepthUpdate):
        return event.last_update_id is not None
    if isinstance(event, Trade):
        return event.trade_id is not None
    if isinstance(event, Kline):
        return True
    if isinstance(event, Bbo) and event.update_id is not None:
        return True
    return event.ts_event is not None and not isinstance(event, Liquidation)


def _content(kline: Kline[str]) -> Hashable:
    """What makes two pushes of a kline the same, but for the time of the push."""
    return (
        kline.open,
        kline.high,
        kline.low,
        kline.close,
        kline.volume,
        kline.turnover,
        kline.turnover_base,
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
