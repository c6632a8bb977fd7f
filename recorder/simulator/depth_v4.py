"""The order book frames of one market at one interval, for all its readers."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple, Protocol

from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.engine import BookChange, Market
from recorder.simulator.faults import FaultPlan
from recorder.simulator.window import Levels, NetWindow
from recorder.simulator.wire_v4 import DepthFrame


class Topic(NamedTuple):
    """What can be subscribed: a channel, a market, an interval or nothing."""

    channel: str
    market: str
    parameter: str


class DepthWire(Protocol):
    """Makes frames of order book updates."""

    def depth(self, frame: DepthFrame, now_ns: int) -> bytes:
        """Return the push of an order book update."""
        ...  # pragma: no cover - protocol


class DepthSequence:
    """Nets the changes of a book into frames ``U..u`` without holes.

    Attributes:
        window: What happened since the last frame.
        due_ns: When the next frame is due.
    """

    def __init__(
        self,
        market: Market,
        wire: DepthWire,
        context: Context,
        *,
        depth: int,
        period_ns: int,
        now_ns: int,
        name: str = "",
    ) -> None:
        """Begin with the book as it stands: the first frame continues it.

        Args:
            market: The market.
            wire: Encodes the frames.
            context: Faults and truth.
            depth: Levels a side.
            period_ns: Time between frames.
            now_ns: The present.
            name: Of the interval, ``100ms``.
        """
        self.window = NetWindow(market.book, depth)
        self.due_ns = now_ns + period_ns
        self._market = market
        self._wire = wire
        self._context = context
        self._name = name
        self._depth = depth
        self._period_ns = period_ns
        self._sent_id = market.update_id
        market.observers.append(self._observe)

    def close(self) -> None:
        """Stop watching the market."""
        self._market.observers.remove(self._observe)

    def publish(self, now_ns: int, readers: Iterable[Connection]) -> None:
        """Send the next frame, if the book changed at all."""
        self.due_ns = now_ns + self._period_ns
        market = self._market
        if market.update_id == self._sent_id:
            return
        bids, asks = self.window.collect()
        first_id, self._sent_id = self._sent_id + 1, market.update_id
        frame = self._frame(first_id, bids, asks)
        payload = self._wire.depth(frame, now_ns)
        for conn in readers:
            altered = self._altered(conn, frame, now_ns)
            conn.push(self._push(frame, payload) if altered is None else altered)

    def image(self, now_ns: int) -> Push:
        """Return the whole window with ``U = u`` and no flag that says so.

        It must follow a call of `publish`, so that the next frame continues
        it. As at the venue it holds no removals: who takes it for the one
        change that its ids name keeps the level that this change took.
        """
        frame = self._image_frame()
        return self._push(frame, self._wire.depth(frame, now_ns))

    def _observe(self, change: BookChange) -> None:
        self.window.observe(change.level)

    def _altered(self, conn: Connection, frame: DepthFrame, now_ns: int) -> Push | None:
        """Return what a fault makes of the frame for one connection."""
        plan: FaultPlan = self._context.plan
        for name in ("unflagged_full", "full", "crossed", "drift"):
            strike = plan.strike(
                name,
                now_ns,
                stream="depth",
                parameter=self._name,
                market=self._market.spec.name,
            )
            if not strike:
                continue
            other = self._alteration(name, frame)
            if other is None:
                continue
            push = self._push(other, self._wire.depth(other, now_ns))
            self._context.performed(name, conn.feed, conn=conn.number, push=push)
            return push
        return None

    def _alteration(self, name: str, frame: DepthFrame) -> DepthFrame | None:
        if name == "unflagged_full":
            return self._image_frame()
        book = self._market.book
        if name == "full":
            return self._frame(
                frame.first_id,
                book.top(BID, self._depth),
                book.top(ASK, self._depth),
                is_full=True,
                is_window=True,
            )
        level = self._ghost() if name == "drift" else self._above_best_ask()
        if level is None:
            return None
        bogus = self._market.level_texts([level])
        return DepthFrame(
            market=frame.market,
            ts_ns=frame.ts_ns,
            first_id=frame.first_id,
            last_id=frame.last_id,
            # A removal at that very price would undo it.
            bids=[*bogus, *(b for b in frame.bids if b[0] != bogus[0][0])],
            asks=frame.asks,
            depth=frame.depth,
        )

    def _above_best_ask(self) -> tuple[int, int] | None:
        """Return a bid that crosses the book; None without asks."""
        ask = self._market.book.best(ASK)
        return None if ask is None else (ask[0] + 1, ask[1])

    def _ghost(self) -> tuple[int, int] | None:
        """Return a bid amid the window where nobody bids; None if there is none."""
        bids = self._market.book.top(BID, self._depth)
        for (above, amount), (below, _) in pairwise(bids[len(bids) // 3 :]):
            if above - below > 1:
                return above - 1, amount
        return None

    def _image_frame(self) -> DepthFrame:
        market, depth = self._market, self._depth
        bids, asks = market.book.top(BID, depth), market.book.top(ASK, depth)
        return self._frame(market.update_id, bids, asks, is_window=True)

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
        return DepthFrame(
            market=market.spec.name,
            ts_ns=market.changed_ns,
            first_id=first_id,
            last_id=market.update_id,
            bids=market.level_texts(bids),
            asks=market.level_texts(asks),
            depth=self._depth,
            is_full=is_full,
            is_window=is_window,
        )

    def _push(self, frame: DepthFrame, payload: bytes) -> Push:
        return Push(
            payload=payload,
            stream="depth",
            market=frame.market,
            first_update_id=frame.first_id,
            last_update_id=frame.last_id,
            parameter=self._name,
            facts=(
                {
                    "is_snapshot": frame.is_window,
                    "first_update_id": frame.first_id,
                    "last_update_id": frame.last_id,
                    "bids": tuple(frame.bids),
                    "asks": tuple(frame.asks),
                },
            ),
        )
