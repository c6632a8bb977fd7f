"""Updates that wait for a snapshot, of many books, in a bounded memory."""

from typing import Final, NamedTuple

from recorder.replay.compiled import Floats


UPDATE_BYTES: Final = 700
"""What an update takes beside its levels: four arrays, three tuples, an id."""


class Held(NamedTuple):
    """A depth message, as prices and amounts.

    Attributes:
        last: Its last update id.
        bids: Prices and amounts of one side, ``float64[n]`` each.
        asks: The same of the other side.
    """

    last: int
    bids: tuple[Floats, Floats]
    asks: tuple[Floats, Floats]

    def bytes(self) -> int:
        """Return about how much memory a copy takes."""
        return UPDATE_BYTES + sum(part.nbytes for part in (*self.bids, *self.asks))

    def copied(self) -> "Held":
        """Return levels that outlive the batch they came in."""
        (bid_prices, bid_amounts), (ask_prices, ask_amounts) = self.bids, self.asks
        return Held(
            self.last,
            (bid_prices.copy(), bid_amounts.copy()),
            (ask_prices.copy(), ask_amounts.copy()),
        )


class Holding:
    """The updates held for each of many books, under one budget.

    Args:
        bytes_max: How much memory all of them may take.

    Attributes:
        bytes: How much they take.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes = 0
        self._bytes_max = bytes_max
        self._updates: dict[int, list[Held]] = {}
        self._sizes: dict[int, int] = {}

    def add(self, book: int, update: Held) -> list[int]:
        """Hold a copy of an update.

        Args:
            book: Number of the book.
            update: The next update of it.

        Returns:
            The books for which nothing is held any more, this one perhaps
            among them: those that held the most, as long as the budget was
            exceeded.
        """
        size = update.bytes()
        self._updates.setdefault(book, []).append(update.copied())
        self._sizes[book] = self._sizes.get(book, 0) + size
        self.bytes += size
        dropped = []
        while self.bytes > self._bytes_max:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            self.take(largest)
            dropped.append(largest)
        return dropped

    def take(self, book: int) -> list[Held]:
        """Return what was held for a book, oldest first; it is held no more."""
        self.bytes -= self._sizes.pop(book, 0)
        return self._updates.pop(book, [])
