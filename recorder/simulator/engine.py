"""The markets of the exchange: pure, seeded, stepped from outside.

A market's history depends on the seed, its name and the number of steps
taken, never on a clock. Times are handed in: step ``k`` of a market happens
up to ``k / rate`` seconds after the start, however the calls of
`Engine.advance` are spaced.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from recorder.simulator.book import BID, Fill, LevelChange, OrderBook
from recorder.simulator.candles import Candles
from recorder.simulator.flow import OrderFlow
from recorder.simulator.markets import MarketSpec
from recorder.simulator.numbers import MS_NS, SECOND_NS, decimal_text


TRADE_HISTORY = 5_000
"""Trades kept for each market, for queries and for the first push of v3."""


_SPREAD = 2_654_435_761
"""Multiples of it, cut to 32 bits, are spread evenly and in no plain order."""


class Trade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One execution.

    Attributes:
        market: ``BTC_USDT``.
        trade_id: Increasing within the market, with holes.
        market_trade_id: Counts the trades of the market, without holes.
        side: The taker's, ``buy`` or ``sell``.
        price: Decimal text, quote currency.
        amount: Decimal text, base currency.
        turnover: Decimal text, price times amount.
        ts_ns: When it happened, a multiple of the market's time step.
        is_internal: Whether clients are told that it was not made in the book.
    """

    market: str
    trade_id: int
    market_trade_id: int
    side: str
    price: str
    amount: str
    turnover: str
    ts_ns: int
    is_internal: bool = False


class BookChange(NamedTuple):
    """A change of a market's book and the id it was given.

    Attributes:
        update_id: One more than that of the change before.
        ts_ns: When it happened.
        level: What changed.
    """

    update_id: int
    ts_ns: int
    level: LevelChange


class Market:
    """One market: its book, its orders to come, its trades and klines.

    Attributes:
        spec: Name and units.
        book: The resting orders.
        candles: Klines of all intervals.
        trades: The latest trades, oldest first.
        update_id: Id of the last change of the book.
        changed_ns: When that change happened.
        observers: Called after each change, while the book stands so.
        trade_observers: Called for each trade.
    """

    def __init__(
        self, spec: MarketSpec, seed: int, start_ns: int, *, is_empty: bool = False
    ) -> None:
        """Make a market; an empty one had no orders ever."""
        self.spec = spec
        self.book = OrderBook()
        self.candles = Candles()
        self.trades: deque[Trade] = deque(maxlen=TRADE_HISTORY)
        self._rng = random.Random(f"{seed}:{spec.key}")
        self.update_id = 0 if is_empty else self._rng.randrange(10**9, 10**11)
        self._trade_id = self._rng.randrange(10**8, 10**9)
        self._market_trade_id = self._rng.randrange(10**5, 10**7)
        self.changed_ns = 0 if is_empty else start_ns
        self.observers: list[Callable[[BookChange], None]] = []
        self.trade_observers: list[Callable[[Trade], None]] = []
        self._flow = OrderFlow(spec, self._rng)
        self._now_ns = start_ns
        self.book.on_change = self._changed
        if not is_empty:
            self._flow.populate(self.book)

    def step(self, ts_ns: int) -> list[Trade]:
        """Perform one order event.

        Args:
            ts_ns: When; never before an earlier step. Trades are told with
                the time step of the market.

        Returns:
            The trades it caused, oldest first.
        """
        self._now_ns = ts_ns - ts_ns % self.spec.time_step_ns
        return [self._trade(fill) for fill in self._flow.event(self.book)]

    def price_text(self, ticks: int) -> str:
        """Return a price as it is sent."""
        return decimal_text(ticks, self.spec.price_decimals)

    def amount_text(self, lots: int) -> str:
        """Return an amount as it is sent."""
        return decimal_text(lots, self.spec.amount_decimals)

    def lots(self, amount: str) -> int:
        """Return the lots that an amount, as it is sent, stands for."""
        whole, _, fraction = amount.partition(".")
        return int(whole + fraction.ljust(self.spec.amount_decimals, "0"))

    def turnover_text(self, product: int) -> str:
        """Return ticks times lots as it is sent."""
        return decimal_text(
            product, self.spec.price_decimals + self.spec.amount_decimals
        )

    def level_texts(self, levels: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
        """Return (ticks, lots) pairs as they are sent."""
        return [(self.price_text(p), self.amount_text(a)) for p, a in levels]

    def _changed(self, level: LevelChange) -> None:
        self.update_id += 1
        self.changed_ns = self._now_ns
        change = BookChange(self.update_id, self._now_ns, level)
        for observe in self.observers:
            observe(change)

    def _trade(self, fill: Fill) -> Trade:
        self._trade_id += self._rng.randint(1, 4)
        self._market_trade_id += 1
        every = self.spec.internal_every
        trade = Trade(
            market=self.spec.name,
            trade_id=self._trade_id,
            market_trade_id=self._market_trade_id,
            side="buy" if self._flow.taker_side == BID else "sell",
            price=self.price_text(fill.price),
            amount=self.amount_text(fill.amount),
            turnover=self.turnover_text(fill.price * fill.amount),
            ts_ns=self._now_ns,
            is_internal=every > 0 and self._trade_id % every == 0,
        )
        self.trades.append(trade)
        self.candles.add(fill.price, fill.amount, self._now_ns // SECOND_NS)
        for observe in self.trade_observers:
            observe(trade)
        return trade


class Engine:
    """All markets and the pace at which orders reach them.

    Attributes:
        markets: By name, in the order given.
        start_ns: Time of step 0.
    """

    def __init__(
        self,
        specs: Sequence[MarketSpec],
        *,
        seed: int,
        rates: Mapping[str, float],
        start_ns: int,
        warmup_events: int = 0,
        empty: Collection[str] = (),
    ) -> None:
        """Make the markets and let them trade for a while before the start.

        Args:
            specs: The markets.
            seed: Decides everything.
            rates: Order events a second, by market; 0 is a quiet market.
            start_ns: Time of step 0, nanoseconds since 1970 UTC.
            warmup_events: Order events of each market before the start; they
                leave history to query. Ten of them take a second of the past.
            empty: Markets among them that have no orders and no history.
        """
        self.start_ns = start_ns - start_ns % MS_NS
        early_ns = self.start_ns - warmup_events * SECOND_NS // 10
        self.markets = {
            spec.name: Market(spec, seed, early_ns, is_empty=spec.name in empty)
            for spec in specs
        }
        for name, market in self.markets.items():
            if name in empty:
                continue
            for k in range(warmup_events):
                market.step(early_ns + k * SECOND_NS // 10)
        self._rates = dict(rates)
        self._steps = dict.fromkeys(self.markets, 0)

    def advance(self, now_ns: int) -> list[Trade]:
        """Perform all steps that are due.

        Args:
            now_ns: The present; steps at or before it are taken.

        Returns:
            The trades they caused, market by market, oldest first.
        """
        trades: list[Trade] = []
        elapsed = now_ns - self.start_ns
        for name, market in self.markets.items():
            rate = self._rates[name]
            if not rate:
                continue
            due = int(elapsed * rate / SECOND_NS)
            for k in range(self._steps[name] + 1, due + 1):
                # Somewhere in the k-th interval: real times are not even.
                offset = int((k - (k * _SPREAD % 2**32) / 2**32) * SECOND_NS / rate)
                trades += market.step(self.start_ns + offset)
            self._steps[name] = max(due, self._steps[name])
        return trades
