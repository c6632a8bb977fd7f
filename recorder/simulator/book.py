"""A limit order book with price-time priority, in whole ticks and lots.

It knows no market, no time and no wire. After each change of a price level
it calls `OrderBook.on_change`, while the book stands exactly as the change
left it.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import NamedTuple


BID = 0
ASK = 1


class LevelChange(NamedTuple):
    """One price level has a new total.

    Attributes:
        side: `BID` or `ASK`.
        price: Ticks.
        amount: Lots resting there now; 0 if the level is gone.
        rank: Levels that are better, on that side: after an insertion or an
            alteration where it stands, after a removal where it stood.
        shift: 1 inserted, 0 altered, -1 removed.
    """

    side: int
    price: int
    amount: int
    rank: int
    shift: int


class Fill(NamedTuple):
    """A resting order was hit: at this price (ticks), so much (lots)."""

    price: int
    amount: int


class Order:
    """A resting order; ``key`` is its price, signed so that less is better."""

    __slots__ = ("key", "left", "order_id", "side")

    def __init__(self, order_id: int, side: int, key: int, left: int) -> None:
        self.order_id = order_id
        self.side = side
        self.key = key
        self.left = left


class Level:
    """The orders at one price, oldest first, and their total in lots."""

    __slots__ = ("orders", "total")

    def __init__(self) -> None:
        self.orders: deque[Order] = deque()
        self.total = 0


class BookSide:
    """One side; bids are kept under negative keys, so that less is better."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}


class OrderBook:
    """Resting orders of one market."""

    __slots__ = ("_ids", "_next_id", "_orders", "_places", "on_change", "sides")

    def __init__(self) -> None:
        self.sides = (BookSide(-1), BookSide(1))
        self.on_change: Callable[[LevelChange], None] = _ignore
        self._orders: dict[int, Order] = {}
        self._next_id = 1
        # Order ids by side, in a list from which one is picked in O(1).
        self._ids: tuple[list[int], list[int]] = ([], [])
        self._places: dict[int, int] = {}

    def best(self, side: int) -> tuple[int, int] | None:
        """Return the best (price, amount) of a side, None if it is empty."""
        book_side = self.sides[side]
        if not book_side.keys:
            return None
        key = book_side.keys[0]
        return key * book_side.sign, book_side.levels[key].total

    def top(self, side: int, depth: int | None = None) -> list[tuple[int, int]]:
        """Return (price, amount) of the best levels, best first."""
        book_side = self.sides[side]
        keys = book_side.keys if depth is None else book_side.keys[:depth]
        return [(k * book_side.sign, book_side.levels[k].total) for k in keys]

    def amount_within(self, side: int, price: int, depth: int) -> int:
        """Return the lots at a price if it is among the best; else 0."""
        book_side = self.sides[side]
        key = price * book_side.sign
        level = book_side.levels.get(key)
        if level is None:
            return 0
        if len(book_side.keys) > depth and key > book_side.keys[depth - 1]:
            return 0
        return level.total

    def has_level(self, side: int, price: int) -> bool:
        """Return whether orders rest at a price."""
        book_side = self.sides[side]
        return price * book_side.sign in book_side.levels

    def level_count(self, side: int) -> int:
        """Return the number of price levels of a side."""
        return len(self.sides[side].keys)

    def order_count(self, side: int) -> int:
        """Return the number of resting orders of a side."""
        return len(self._ids[side])

    def place(self, side: int, price: int, amount: int) -> list[Fill]:
        """Place a limit order: it trades as far as it can, the rest rests.

        Args:
            side: Side of the order itself.
            price: Ticks, above 0.
            amount: Lots, above 0.

        Returns:
            The resting orders it hit, in order.
        """
        fills, left = self._match(side, amount, limit=price)
        if left:
            self._rest(side, price, left)
        return fills

    def take(self, side: int, amount: int) -> list[Fill]:
        """Execute a market order; what finds no counterpart is cancelled.

        Args:
            side: `BID` buys, `ASK` sells.
            amount: Lots.

        Returns:
            The resting orders it hit, in order.
        """
        return self._match(side, amount, limit=None)[0]

    def cancel(self, order_id: int) -> None:
        """Remove a resting order.

        Raises:
            KeyError: If no such order rests.
        """
        order = self._orders[order_id]
        level = self.sides[order.side].levels[order.key]
        level.orders.remove(order)
        level.total -= order.left
        self._forget(order)
        self._settle(order.side, order.key, level)

    def order_at(self, side: int, index: int) -> int:
        """Return the id of some resting order: the ``index``-th in no order."""
        return self._ids[side][index]

    def worst_orders(self, side: int) -> list[int]:
        """Return the ids of the orders of the worst level of a side."""
        book_side = self.sides[side]
        level = book_side.levels[book_side.keys[-1]]
        return [order.order_id for order in level.orders]

    def _match(
        self, side: int, amount: int, limit: int | None
    ) -> tuple[list[Fill], int]:
        resting = 1 - side
        book_side = self.sides[resting]
        worst = None if limit is None else limit * book_side.sign
        fills: list[Fill] = []
        while amount and book_side.keys:
            key = book_side.keys[0]
            if worst is not None and key > worst:
                break
            level = book_side.levels[key]
            while amount and level.orders:
                order = level.orders[0]
                traded = min(amount, order.left)
                fills.append(Fill(key * book_side.sign, traded))
                amount -= traded
                order.left -= traded
                level.total -= traded
                if not order.left:
                    level.orders.popleft()
                    self._forget(order)
            self._settle(resting, key, level)
        return fills, amount

    def _rest(self, side: int, price: int, amount: int) -> None:
        book_side = self.sides[side]
        key = price * book_side.sign
        order = Order(self._next_id, side, key, amount)
        self._next_id += 1
        self._orders[order.order_id] = order
        self._places[order.order_id] = len(self._ids[side])
        self._ids[side].append(order.order_id)
        level = book_side.levels.get(key)
        shift = 0
        if level is None:
            level = book_side.levels[key] = Level()
            insort(book_side.keys, key)
            shift = 1
        level.orders.append(order)
        level.total += amount
        rank = bisect_left(book_side.keys, key)
        self.on_change(LevelChange(side, price, level.total, rank, shift))

    def _settle(self, side: int, key: int, level: Level) -> None:
        """Tell of a level that lost something; drop it if it is empty."""
        book_side = self.sides[side]
        rank = bisect_left(book_side.keys, key)
        shift = 0
        if not level.total:
            del book_side.levels[key], book_side.keys[rank]
            shift = -1
        price = key * book_side.sign
        self.on_change(LevelChange(side, price, level.total, rank, shift))

    def _forget(self, order: Order) -> None:
        del self._orders[order.order_id]
        ids = self._ids[order.side]
        place = self._places.pop(order.order_id)
        last = ids.pop()
        if last != order.order_id:
            ids[place] = last
            self._places[last] = place


def _ignore(change: LevelChange) -> None:
    """Do nothing: nobody listens yet."""
