"""What one v3 connection is subscribed to, and what it is pushed.

Each connection has its own windows: a frame says what changed since the
frame before it on that connection. The session also follows what a correct
client holds, frame by frame, and writes it into the truth.
"""

import random
from collections.abc import Iterable, Sequence

import msgspec

from recorder.simulator import facts
from recorder.simulator.candles import INTERVALS, Candle
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.engine import Market, Trade
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Facts, V3Depth
from recorder.simulator.window import Levels, TopLevels
from recorder.simulator.wire_v3 import V3Wire


FIRST_TRADES = 100
NAMES = {seconds: name for name, seconds in INTERVALS.items()}


class DepthOrder(msgspec.Struct, frozen=True):
    """A depth subscription: market, levels a side, ticks merged into one, name."""

    market: Market
    limit: int
    step: int
    name: str


class _DepthStream:
    """The windows of one depth subscription.

    Attributes:
        sent: The window as of the last frame; None before the first.
        held: What a correct client holds; None before a clean frame reached it.
        due_ns: When the window is looked at next.
        clean_ns: When the next re-clean is due.
    """

    __slots__ = ("clean_ns", "due_ns", "held", "order", "sent")

    def __init__(self, order: DepthOrder, due_ns: int) -> None:
        self.order = order
        self.sent: TopLevels | None = None
        self.held: TopLevels | None = None
        self.due_ns = due_ns
        self.clean_ns = 0

    def window(self) -> TopLevels:
        order = self.order
        return TopLevels.of(order.market.book, order.limit, order.step)


class _KlineStream:
    """One kline subscription and the last kline that was pushed."""

    __slots__ = ("interval_s", "market", "sent")

    def __init__(self, market: Market, interval_s: int) -> None:
        self.market = market
        self.interval_s = interval_s
        self.sent: tuple[int, int] | None = None

    def changed(self) -> list[Candle]:
        """Return the klines that changed since the last call, oldest first."""
        rows = self.market.candles.rows(self.interval_s)
        if not rows:
            return []
        since = self.sent or (rows[-1].open_at, 0)
        fresh: list[Candle] = []
        for row in reversed(rows):
            if (row.open_at, row.trades) <= since:
                break
            fresh.append(row)
        self.sent = (rows[-1].open_at, rows[-1].trades)
        return fresh[::-1]


class V3Session:
    """The subscriptions of one connection."""

    def __init__(
        self,
        conn: Connection,
        wire: V3Wire,
        settings: Settings,
        context: Context,
        rng: random.Random,
    ) -> None:
        self._conn = conn
        self._wire = wire
        self._settings = settings
        self._context = context
        self._rng = rng
        self._depths: dict[str, _DepthStream] = {}
        self._trades: dict[str, list[Trade]] = {}
        self._tickers: list[Market] = []
        self._kline: _KlineStream | None = None
        self._batch_ns = 0
        self._depth_frames = 0

    def subscribe_depth(self, orders: Iterable[DepthOrder]) -> None:
        """Replace the depth subscriptions; clean frames follow soon."""
        now_ns = self._context.clock.now_ns()
        longest = self._settings.v3_first_clean_seconds
        self._depths = {
            order.market.spec.name: _DepthStream(
                order, now_ns + int(self._rng.uniform(0, longest) * SECOND_NS)
            )
            for order in orders
        }

    def subscribe_trades(self, markets: Iterable[Market]) -> None:
        """Replace the trade subscriptions; push the latest trades at once."""
        self._trades = {}
        for market in markets:
            self._trades[market.spec.name] = []
            latest = list(market.trades)[-FIRST_TRADES:]
            if latest:
                self._push_trades(market.spec.name, latest)

    def subscribe_tickers(self, markets: Iterable[Market]) -> None:
        """Replace the ticker subscriptions."""
        self._tickers = list(markets)

    def subscribe_kline(self, market: Market, interval_s: int) -> None:
        """Replace the kline subscription: there is only one."""
        self._kline = _KlineStream(market, interval_s)

    def unsubscribe(self, kind: str) -> None:
        """Drop all subscriptions of a kind: ``depth``, ``trades``, ..."""
        match kind:
            case "depth":
                self._depths = {}
            case "trades":
                self._trades = {}
            case "ticker":
                self._tickers = []
            case _:
                self._kline = None

    def publish(self, now_ns: int, trades: Sequence[Trade]) -> None:
        """Push what is due.

        Args:
            now_ns: The present.
            trades: What was traded since the last call, in order.
        """
        for trade in trades:
            waiting = self._trades.get(trade.market)
            if waiting is not None:
                waiting.append(trade)
        for stream in self._depths.values():
            if now_ns >= stream.due_ns:
                self._push_depth(stream, now_ns)
        if now_ns >= self._batch_ns:
            self._batch_ns = now_ns + int(self._settings.v3_batch_seconds * SECOND_NS)
            self._push_batches(now_ns)

    def _push_batches(self, now_ns: int) -> None:
        for name, waiting in self._trades.items():
            if waiting:
                self._trades[name] = []
                self._push_trades(name, waiting)
        for market in self._tickers:
            payload = self._wire.ticker(market, now_ns)
            said = facts.ticker_v3(market, now_ns)
            self._send(payload, "tickers", market, "", said)
        stream = self._kline
        rows = stream.changed() if stream else []
        if stream and rows:
            payload = self._wire.klines(stream.market, rows, stream.interval_s, now_ns)
            self._send(
                payload,
                "klines",
                stream.market,
                NAMES[stream.interval_s],
                *(self._kline_facts(stream, row, now_ns) for row in rows),
            )

    def _kline_facts(self, stream: _KlineStream, row: Candle, now_ns: int) -> Facts:
        market = stream.market
        closed = row.open_at + stream.interval_s <= now_ns // SECOND_NS
        volume = market.amount_text(row.volume)
        told = closed if self._settings.v3_late else None
        return facts.kline(market, row, volume=volume, is_closed=told)

    def _push_trades(self, market: str, trades: Sequence[Trade]) -> None:
        newest_first = trades[::-1]
        self._conn.push(
            Push(
                payload=self._wire.trades(market, newest_first),
                stream="trades",
                market=market,
                trade_ids=tuple(trade.trade_id for trade in newest_first),
            )
        )

    def _send(
        self, payload: bytes, stream: str, market: Market, parameter: str, *said: Facts
    ) -> bool:
        return self._conn.push(
            Push(
                payload=payload,
                stream=stream,
                market=market.spec.name,
                parameter=parameter,
                facts=said,
            )
        )

    def _send_depth(
        self, stream: _DepthStream, bids: Levels, asks: Levels, *, is_clean: bool
    ) -> bool:
        market, now_ns = stream.order.market, self._context.clock.now_ns()
        sides = market.level_texts(bids), market.level_texts(asks)
        payload = self._wire.depth(market, *sides, now_ns, is_clean=is_clean)
        said: Facts = {
            "is_snapshot": is_clean,
            "first_update_id": None,
            "last_update_id": None,
            "bids": tuple(sides[0]),
            "asks": tuple(sides[1]),
        }
        return self._send(payload, "depth", market, stream.order.name, said)

    def _push_depth(self, stream: _DepthStream, now_ns: int) -> None:
        stream.due_ns = now_ns + int(self._settings.v3_depth_seconds * SECOND_NS)
        window = stream.window()
        if stream.sent is None:
            self._push_clean(stream, window, now_ns)
            return
        bids, asks = window.since(stream.sent)
        if not bids and not asks:
            return
        if now_ns >= stream.clean_ns and not self._is_clean_omitted(stream, now_ns):
            # A re-clean rides on a change and takes its place.
            self._push_clean(stream, window, now_ns)
            return
        stream.sent = window
        if self._send_depth(stream, bids, asks, is_clean=False):
            if stream.held is not None:
                _apply(stream.held.bids, bids)
                _apply(stream.held.asks, asks)
            self._record(stream, window, now_ns, is_clean=False)

    def _push_clean(self, stream: _DepthStream, window: TopLevels, now_ns: int) -> None:
        self._plan_clean(stream, now_ns)
        stream.sent = window
        bids, asks = list(window.bids.items()), list(window.asks.items())
        if self._send_depth(stream, bids, asks, is_clean=True):
            stream.held = TopLevels(dict(window.bids), dict(window.asks))
            self._record(stream, window, now_ns, is_clean=True)

    def _is_clean_omitted(self, stream: _DepthStream, now_ns: int) -> bool:
        name = stream.order.market.spec.name
        if not self._context.plan.strike("v3_omit_clean", now_ns, market=name):
            return False
        self._context.performed(
            "v3_omit_clean", "v3", conn=self._conn.number, market=name
        )
        self._plan_clean(stream, now_ns)
        return True

    def _plan_clean(self, stream: _DepthStream, now_ns: int) -> None:
        wait = self._rng.uniform(*self._settings.v3_clean_seconds)
        stream.clean_ns = now_ns + int(wait * SECOND_NS)

    def _record(
        self, stream: _DepthStream, window: TopLevels, now_ns: int, *, is_clean: bool
    ) -> None:
        n, self._depth_frames = self._depth_frames, self._depth_frames + 1
        if not self._context.truth.is_wanted:
            return
        market = stream.order.market
        held = stream.held or TopLevels({}, {})
        self._context.truth.add(
            V3Depth(
                conn=self._conn.number,
                n=n,
                ts_ns=now_ns,
                market=market.spec.name,
                is_snapshot=is_clean,
                update_id=market.update_id,
                bids=market.level_texts(sorted(held.bids.items(), reverse=True)),
                asks=market.level_texts(sorted(held.asks.items())),
                is_exact=held.bids == window.bids and held.asks == window.asks,
            )
        )


def _apply(side: dict[int, int], changes: Levels) -> None:
    """Do to a held side what a client does with a frame."""
    for price, amount in changes:
        if amount:
            side[price] = amount
        else:
            side.pop(price, None)
