"""The order book frames of futures, where they differ from those of spot."""

import random
from collections.abc import Iterable
from functools import partial

from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.depth_v4 import DepthSequence
from recorder.simulator.engine import Market
from recorder.simulator.top import TopSequence
from recorder.simulator.window import Levels, TopLevels
from recorder.simulator.wire_futures import FuturesWire
from recorder.simulator.wire_v4 import DepthFrame


ALL_LEVELS = 100_000
"""More levels than any book has."""

_MOST_REDUNDANT = 4
"""Unchanged levels that a frame repeats, at most."""

_FAR = 40
"""So many ticks from the best price lie levels that nobody has, at most."""


class FuturesDepthSequence(DepthSequence):
    """Frames ``U..u`` that say more than what changed.

    Four levels of ten say again what they said, and now and then a price is
    removed that has no level: so it was in a recording. Of a reader who
    named no number of levels every level is told, and so levels that its
    snapshot does not reach.
    """

    def __init__(
        self,
        market: Market,
        wire: FuturesWire,
        context: Context,
        rng: random.Random,
        *,
        levels: int,
        period_ns: int,
        now_ns: int,
        name: str,
        redundancy: float,
    ) -> None:
        """Begin with the book as it stands.

        Args:
            market: The market.
            wire: Encodes the frames.
            context: Faults and truth.
            rng: Decides what is said again.
            levels: A side; 0 if none were asked for.
            period_ns: Time between frames.
            now_ns: The present.
            name: Of the parameter, ``100ms``.
            redundancy: Chance that a frame says more than what changed.
        """
        super().__init__(
            market,
            wire,
            context,
            depth=levels or ALL_LEVELS,
            period_ns=period_ns,
            now_ns=now_ns,
            name=name,
        )
        self._book = market.book
        self._texts = wire.level_texts
        self._told_levels = levels
        self._window_levels = levels or ALL_LEVELS
        self._redundancy = redundancy
        self._rng = rng

    def _frame(
        self,
        first_id: int,
        bids: Levels,
        asks: Levels,
        *,
        is_full: bool = False,
        is_window: bool = False,
    ) -> DepthFrame:
        market = self._market
        if not is_window and self._rng.random() < self._redundancy:
            bids = bids + self._repeated(BID, bids)
            asks = asks + self._repeated(ASK, asks)
        return DepthFrame(
            market=market.spec.name,
            ts_ns=market.changed_ns,
            first_id=first_id,
            last_id=market.update_id,
            bids=self._texts(market, bids),
            asks=self._texts(market, asks),
            depth=self._told_levels,
            is_full=is_full,
            is_window=is_window,
        )

    def _repeated(self, side: int, changed: Levels) -> Levels:
        """Return levels that did not change, and removals of none."""
        rng, book = self._rng, self._book
        there = book.top(side, self._window_levels)
        told = {price for price, _ in changed}
        same = [level for level in there if level[0] not in told]
        again = rng.sample(same, min(len(same), rng.randint(0, _MOST_REDUNDANT)))
        if not there or rng.random() < 0.5:
            return again
        away = -1 if side == BID else 1
        price = there[0][0] + away * rng.randint(1, _FAR)
        if price > 0 and price not in told and not book.has_level(side, price):
            again.append((price, 0))
        return again


class FuturesTopSequence(TopSequence):
    """The whole top of a book, and in the old form what changed in it.

    In the old form whole tops come only to who has none yet; all others are
    sent changes.
    """

    def __init__(
        self,
        market: Market,
        wire: FuturesWire,
        context: Context,
        *,
        levels: int,
        period_ns: int,
        now_ns: int,
        sends_changes: bool,
    ) -> None:
        """Begin without readers.

        Args:
            market: The market.
            wire: Encodes the frames.
            context: Faults and truth.
            levels: A side.
            period_ns: Shortest time between frames.
            now_ns: The present.
            sends_changes: The old form.
        """
        super().__init__(
            market,
            partial(wire.order_book, depth=levels),
            context,
            name=f"top.{levels}",
            depth=levels,
            period_ns=period_ns,
            now_ns=now_ns,
        )
        self._wire = wire
        self._sends_changes = sends_changes
        self._window = TopLevels.of(market.book, levels, 1)
        self._told: set[Connection] = set()

    def join(self, conn: Connection) -> None:
        """Note that a connection has none of the levels yet."""
        super().join(conn)
        self._told.discard(conn)

    def publish(self, now_ns: int, readers: Iterable[Connection]) -> None:
        """Send what is due to each reader."""
        if not self._sends_changes:
            super().publish(now_ns, readers)
            return
        self.due_ns = now_ns + self._period_ns
        window = TopLevels.of(self._market.book, self._depth, 1)
        changes = window.since(self._window)
        self._window = window
        here = list(readers)
        if any(changes):
            push = self._changes_push(*changes, now_ns)
            for conn in here:
                if conn in self._told:
                    conn.push(push)
        fresh = [conn for conn in here if conn not in self._told]
        self._told = set(here)
        super().publish(now_ns, fresh)

    def _changes_push(self, bids: Levels, asks: Levels, now_ns: int) -> Push:
        """Return a frame of changes; what it removes, it removes on either side."""
        market, texts = self._market, self._wire.level_texts
        gone = [level for level in (*bids, *asks) if not level[1]]
        return Push(
            payload=self._wire.book_changes(market, bids, asks, now_ns),
            stream="depth",
            market=market.spec.name,
            last_update_id=market.update_id,
            parameter=self._name,
            facts=(
                {
                    "is_snapshot": False,
                    "last_update_id": market.update_id,
                    "bids": tuple(texts(market, gone + [b for b in bids if b[1]])),
                    "asks": tuple(texts(market, gone + [a for a in asks if a[1]])),
                },
            ),
        )

    def _push(self, bids: Levels, asks: Levels, now_ns: int) -> Push:
        market, texts = self._market, self._wire.level_texts
        has_orders = bool(bids or asks)
        return Push(
            payload=self._encode(market, bids, asks, now_ns=now_ns),
            stream="depth",
            market=market.spec.name,
            last_update_id=market.update_id if has_orders else None,
            parameter=self._name,
            facts=(
                {
                    "is_snapshot": True,
                    "last_update_id": market.update_id if has_orders else None,
                    "bids": tuple(texts(market, bids)),
                    "asks": tuple(texts(market, asks)),
                },
            ),
        )
