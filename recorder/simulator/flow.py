"""Random but behaving orders for one book.

Everything follows from the random generator handed in and the state of the
book, so equal seeds give equal markets. The number of levels a side is
steered towards `TARGET_LEVELS` and wanders on both sides of 100, so that a
window of the best 100, 30 or 20 levels gains and loses levels all the time.
"""

import random

from recorder.simulator.book import ASK, BID, Fill, OrderBook
from recorder.simulator.markets import MarketSpec


TARGET_LEVELS = 115
MAX_LEVELS = 150
MAX_ORDERS = 420
MEAN_DISTANCE = 70.0
"""Mean distance of a new order from the best price, ticks."""
LOWEST_MID = 2_000
"""Below so many ticks a market only rises: the book needs room underneath."""


class OrderFlow:
    """Makes one order event after the other.

    Attributes:
        taker_side: Side of the order that caused the last fills.
    """

    __slots__ = ("_burst", "_drift", "_last_price", "_rng", "_spec", "taker_side")

    def __init__(self, spec: MarketSpec, rng: random.Random) -> None:
        self._spec = spec
        self._rng = rng
        self._burst = 0
        self._drift = 0.0
        self._last_price = spec.start_price
        self.taker_side = BID

    def populate(self, book: OrderBook) -> None:
        """Fill an empty book to about its target depth."""
        for side, step in ((BID, -1), (ASK, 1)):
            price = self._spec.start_price
            for _ in range(TARGET_LEVELS + self._rng.randint(-5, 15)):
                price += step * (1 + int(self._rng.expovariate(1.2)))
                book.place(side, price, self._amount())

    def event(self, book: OrderBook) -> list[Fill]:
        """Perform one order event.

        Returns:
            What it traded, hit by hit; `taker_side` says who took.
        """
        rng = self._rng
        self._drift = 0.97 * self._drift + rng.gauss(0.0, 0.08)
        if self._burst:
            self._burst -= 1
            return self._take(book)
        if rng.random() < 0.1:
            bid = book.best(BID)
            rising = bid is None or bid[0] < LOWEST_MID
            buys = rising or rng.random() < 0.5 + self._drift
            self.taker_side = BID if buys else ASK
            if rng.random() < 0.3:
                self._burst = rng.randint(1, 4)
            return self._take(book)
        side = BID if rng.random() < 0.5 else ASK
        levels = book.level_count(side)
        if levels > MAX_LEVELS or book.order_count(side) > MAX_ORDERS:
            for order_id in book.worst_orders(side):
                book.cancel(order_id)
            return []
        wanted = 0.5 + (TARGET_LEVELS - levels) / 60
        if rng.random() < min(0.95, max(0.05, wanted)):
            return self._place(book, side)
        self._cancel(book, side)
        return []

    def _take(self, book: OrderBook) -> list[Fill]:
        amount = self._amount()
        if self._rng.random() < 0.15:
            amount *= self._rng.randint(2, 8)
        fills = book.take(self.taker_side, amount)
        if fills:
            self._last_price = fills[-1].price
        return fills

    def _place(self, book: OrderBook, side: int) -> list[Fill]:
        rng = self._rng
        away = -1 if side == BID else 1
        opposite = book.best(1 - side)
        own = book.best(side)
        # The best price that this side may quote without trading.
        limit = (opposite[0] if opposite else self._last_price) + away
        best = own[0] if own else limit
        roll = rng.random()
        if roll < 0.02:
            price = limit - away  # marketable: trades first, then rests
            self.taker_side = side
        elif roll < 0.22 and best != limit:
            price = limit if rng.random() < 0.3 else best - away
        else:
            price = best + away * int(rng.expovariate(1 / MEAN_DISTANCE))
        fills = book.place(side, max(1, price), self._amount())
        if fills:
            self._last_price = fills[-1].price
        return fills

    def _cancel(self, book: OrderBook, side: int) -> None:
        count = book.order_count(side)
        if not count:
            return
        if self._rng.random() < 0.1:
            book.cancel(book.worst_orders(side)[0])
        else:
            book.cancel(book.order_at(side, self._rng.randrange(count)))

    def _amount(self) -> int:
        """Return lots of an order; some round, most not."""
        typical = self._spec.typical_amount
        amount = 1 + int(self._rng.expovariate(1 / typical))
        if self._rng.random() < 0.3:
            unit = max(1, typical // 20)
            amount = max(unit, amount - amount % unit)
        return amount
