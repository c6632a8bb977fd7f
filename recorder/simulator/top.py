"""Streams that tell the best levels of a book as a whole, when they change."""

from collections.abc import Iterable
from typing import Protocol

from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.engine import Market
from recorder.simulator.numbers import MS_NS
from recorder.simulator.window import Levels


class Encode(Protocol):
    """Makes frames."""

    def __call__(
        self, market: Market, bids: Levels, asks: Levels, *, now_ns: int
    ) -> bytes:
        """Return the frame of a market's best (ticks, lots), sent at ``now_ns``."""
        ...  # pragma: no cover - protocol


class TopSequence:
    """The frames of one stream, for all its readers.

    Attributes:
        due_ns: When the next frame is due.
    """

    def __init__(
        self,
        market: Market,
        encode: Encode,
        context: Context,
        *,
        name: str,
        depth: int,
        period_ns: int,
        now_ns: int,
    ) -> None:
        """Begin without readers.

        Args:
            market: The market.
            encode: Makes the frames.
            context: Faults and truth.
            name: What faults and truth call the parameter: ``top.20``.
            depth: Levels a side.
            period_ns: Shortest time between frames.
            now_ns: The present.
        """
        self.due_ns = now_ns + period_ns
        self._market = market
        self._encode = encode
        self._context = context
        self._name = name
        self._depth = depth
        self._period_ns = period_ns
        self._sent: tuple[Levels, Levels] | None = None
        self._served: set[Connection] = set()

    def join(self, conn: Connection) -> None:
        """Note that a connection has none of the levels yet."""
        self._served.discard(conn)

    def publish(self, now_ns: int, readers: Iterable[Connection]) -> None:
        """Send the best levels if they changed, and to who has none of them yet."""
        self.due_ns = now_ns + self._period_ns
        book, depth = self._market.book, self._depth
        window = book.top(BID, depth), book.top(ASK, depth)
        has_changed = window != self._sent
        self._sent = window
        here = list(readers)
        due = [c for c in here if has_changed or c not in self._served]
        self._served = set(here)
        if not due:
            return
        push = self._push(*window, now_ns)
        for conn in due:
            conn.push(self._crossed(conn, now_ns) or push)

    def _crossed(self, conn: Connection, now_ns: int) -> Push | None:
        """Return what a fault makes of a frame for one connection."""
        best = self._market.book.best(ASK)
        if best is None:
            return None
        strike = self._context.plan.strike(
            "crossed",
            now_ns,
            stream="depth",
            parameter=self._name,
            market=self._market.spec.name,
        )
        if not strike:
            return None
        book, depth = self._market.book, self._depth
        bids = [(best[0] + 1, best[1]), *book.top(BID, depth - 1)]
        push = self._push(bids, book.top(ASK, depth), now_ns)
        self._context.performed("crossed", conn.feed, conn=conn.number, push=push)
        return push

    def _push(self, bids: Levels, asks: Levels, now_ns: int) -> Push:
        market = self._market
        return Push(
            payload=self._encode(market, bids, asks, now_ns=now_ns),
            stream="depth",
            market=market.spec.name,
            last_update_id=market.update_id,
            parameter=self._name,
            facts=(
                {
                    "ts_event": market.changed_ns // MS_NS * MS_NS,
                    "is_snapshot": True,
                    "first_update_id": None,
                    "last_update_id": market.update_id,
                    "bids": tuple(market.level_texts(bids)),
                    "asks": tuple(market.level_texts(asks)),
                },
            ),
        )
