"""The best N levels of a book, as two protocols tell of them.

A subscriber is never shown the book but a *window*: its best N levels a
side. A level can leave the window because it is gone or because better ones
pushed it out, and can enter it because it is new or because others left.

`NetWindow` collects what a frame of net changes has to say (v4).
`TopLevels` compares two windows (v3).
"""

from recorder.simulator.book import ASK, BID, LevelChange, OrderBook
from recorder.simulator.numbers import parse_interval


Key = tuple[int, int]
"""Side and price of a level."""
Levels = list[tuple[int, int]]
"""Price in ticks and amount in lots; amount 0 removes."""


class NetWindow:
    """What happened to a window since the last frame.

    Each frame must bring three readers to the same window: who applied the
    last frame, who joined with a snapshot taken anywhere between the two
    frames, and who saw neither. So it lists every level whose amount or
    membership changed at *any* id since the last frame, with its amount now;
    and a removal for such a level that is no longer inside, if anybody was
    ever shown it.
    """

    __slots__ = ("_book", "_depth", "_shown")

    def __init__(self, book: OrderBook, depth: int) -> None:
        self._book = book
        self._depth = depth
        # Levels that changed since the last frame: were they ever shown?
        self._shown: dict[Key, bool] = {}

    def observe(self, change: LevelChange) -> None:
        """Note a change, while the book stands exactly as it left it."""
        side, rank = change.side, change.rank
        if rank >= self._depth:
            return
        # An altered or removed level was inside before, so it was shown.
        self._shown.setdefault((side, change.price), change.shift <= 0)
        if not change.shift:
            return
        book_side = self._book.sides[side]
        if change.shift > 0:
            if len(book_side.keys) > self._depth:
                evicted = book_side.keys[self._depth] * book_side.sign
                self._shown.setdefault((side, evicted), True)
        elif len(book_side.keys) >= self._depth:
            entered = book_side.keys[self._depth - 1] * book_side.sign
            self._shown.setdefault((side, entered), False)

    def mark_shown(self) -> None:
        """Note that a snapshot of the book as it stands was given to somebody."""
        for key in self._shown:
            if self._book.amount_within(*key, self._depth):
                self._shown[key] = True

    def collect(self) -> tuple[Levels, Levels]:
        """Return bids and asks of the next frame, best first, and start anew."""
        found: tuple[Levels, Levels] = ([], [])
        for (side, price), shown in self._shown.items():
            amount = self._book.amount_within(side, price, self._depth)
            if amount or shown:
                found[side].append((price, amount))
        self._shown.clear()
        found[BID].sort(reverse=True)
        found[ASK].sort()
        return found


class TopLevels:
    """The best levels of a book, prices merged to a step.

    Attributes:
        bids: Price in ticks to lots, best first.
        asks: The same for the other side.
    """

    __slots__ = ("asks", "bids")

    def __init__(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        self.bids = bids
        self.asks = asks

    @classmethod
    def of(cls, book: OrderBook, limit: int, step: int) -> "TopLevels":
        """Return the window of a book as it stands.

        Args:
            book: The book.
            limit: Levels a side after merging.
            step: Ticks that are merged into one price; bids are rounded
                down, asks up.
        """
        return cls(_merged(book, BID, limit, step), _merged(book, ASK, limit, step))

    def since(self, before: "TopLevels") -> tuple[Levels, Levels]:
        """Return the changes that turn an earlier window into this one."""
        return (
            sorted(_difference(before.bids, self.bids), reverse=True),
            sorted(_difference(before.asks, self.asks)),
        )


def price_step(interval: str, price_decimals: int) -> int | None:
    """Return how many ticks a price interval merges.

    Args:
        interval: ``"0"`` for none, or ``"0.01"``.
        price_decimals: Digits after the point of one tick.

    Returns:
        1 or more; None if the text is no interval.
    """
    if interval == "0":
        return 1
    decimals = parse_interval(interval)
    if decimals is None:
        return None
    return int(10 ** max(0, price_decimals - decimals))


def _merged(book: OrderBook, side: int, limit: int, step: int) -> dict[int, int]:
    if step == 1:
        return dict(book.top(side, limit))
    levels: dict[int, int] = {}
    for price, amount in book.top(side):
        down = price - price % step
        merged = down if side == BID or down == price else down + step
        if merged not in levels and len(levels) == limit:
            break
        levels[merged] = levels.get(merged, 0) + amount
    return levels


def _difference(before: dict[int, int], after: dict[int, int]) -> Levels:
    changed = [(p, a) for p, a in after.items() if before.get(p) != a]
    return changed + [(p, 0) for p in before if p not in after]
