"""Order books in bulk: the kernel, and what is kept between its runs.

`Ladder` follows one chain over any number of stretches of rows. Between two
stretches it keeps the sequence check's state, the levels of the book and the
rows that are still held; prices are ranked anew for each stretch, so that
memory follows the stretch and not the history.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from recorder.continuity import FRESH
from recorder.errors import CorruptSegmentError
from recorder.model import Levels
from recorder.replay import kernel
from recorder.replay.book import HELD_MAX
from recorder.replay.compiled import Codes, Floats, Ints, read_only
from recorder.replay.ranking import Ranking
from recorder.replay.rows import DepthRows, Truths, empty_row, from_row, joined
from recorder.transitions import LIVE, NO_ID


Positions: TypeAlias = npt.NDArray[np.intp]


class Quoted(NamedTuple):
    """The book after each row of a stretch.

    Attributes:
        known: Whether it is known.
        bid_price: Best bid; NaN where not known or without bids.
        bid_amount: Amount at it.
        ask_price: Best ask; NaN where not known or without asks.
        ask_amount: Amount at it.
        last_update_id: Id through which it is known; -1 where it is not, and
            on streams without ids.
    """

    known: Truths
    bid_price: Floats
    bid_amount: Floats
    ask_price: Floats
    ask_amount: Floats
    last_update_id: Ints

    @staticmethod
    def nothing(count: int) -> "Quoted":
        """Return that the book is not known after any of some rows."""
        bid_price, bid_amount, ask_price, ask_amount = np.full((4, count), np.nan)
        return Quoted(
            known=np.zeros(count, np.bool_),
            bid_price=bid_price,
            bid_amount=bid_amount,
            ask_price=ask_price,
            ask_amount=ask_amount,
            last_update_id=np.full(count, NO_ID, np.int64),
        )

    def each(self, change: Callable[[Any], Any]) -> "Quoted":
        """Return all of the arrays changed in the same way."""
        return Quoted(*(change(values) for values in self))

    def put(self, rows: Positions, given: "Quoted") -> None:
        """Replace what is said of some rows."""
        for values, replacements in zip(self, given, strict=True):
            values[rows] = replacements


_KEPT_ROWS: Final = (kernel.HELD_FROM, kernel.WAITING)
"""Where the state names rows that the next stretch still needs."""


class Ladder:
    """The order book of one chain, followed in bulk.

    Says what `recorder.replay.book.OrderBook` says of the same rows.

    Args:
        held_max: Most updates held while a snapshot is awaited.
    """

    def __init__(self, *, held_max: int = HELD_MAX) -> None:
        self._state = np.zeros(kernel.STATE_SIZE, np.int64)
        self._state[: len(FRESH)] = FRESH
        self._state[list(_KEPT_ROWS)] = NO_ID
        self._held_max = held_max
        self._held: DepthRows | None = None
        self._bids = self._asks = _Side(np.empty(0), np.empty(0))

    @property
    def is_known(self) -> bool:
        """Whether the book may be shown."""
        return bool(self._state[0] == LIVE)

    @property
    def is_proved(self) -> bool:
        """Whether it is known, and messages have proved what it began with.

        An update that bridges a snapshot does, and so does a second snapshot
        among the updates: of several that came late, none is the newest.
        """
        has_images = self._state[kernel.IMAGES] > 1
        return self.is_known and bool(self._state[4] == 0 or has_images)

    @property
    def last_update_id(self) -> int | None:
        """Id of the last change applied; None if not known, or without ids."""
        applied = int(self._state[1])
        return applied if self.is_known and applied != NO_ID else None

    @property
    def unknown_deletes(self) -> int:
        """Removals of a price that the book did not hold."""
        return int(self._state[kernel.UNKNOWN_DELETES])

    @property
    def stale(self) -> int:
        """Updates that were wholly received before."""
        return int(self._state[kernel.STALE])

    @property
    def crossings(self) -> int:
        """How often the best bid was at or above the best ask."""
        return int(self._state[kernel.CROSSINGS])

    def top(self, levels: int) -> tuple[Levels, Levels]:
        """Return bids and asks, best first; none if the book is not known.

        Args:
            levels: Most levels to return of each side.
        """
        if not self.is_known:
            return (), ()
        return self._bids.top(levels), self._asks.top(levels)

    def lost(self) -> None:
        """Note that messages may be missing from here on."""
        # A row that is not applied: the kernel alone knows the sequence check.
        self.follow(empty_row(kernel.LOST | kernel.AUDIT))

    def doubted(self) -> None:
        """Note that messages may be missing, of which ids would tell."""
        self.follow(empty_row(kernel.DOUBTED | kernel.AUDIT))

    def wrong(self) -> None:
        """Note that the book was found not to be the venue's."""
        self.follow(empty_row(kernel.WRONG | kernel.AUDIT))

    def follow(self, given: DepthRows) -> Quoted:
        """Take the next rows of the chain.

        Args:
            given: The rows, in the order of receipt.

        Returns:
            The book after each of them.

        Raises:
            CorruptSegmentError: If a row has impossible ids or prices, which
                the recorder never stores.
        """
        start = 0
        if self._held is not None:
            start = self._held.rows.flags.size
            given = joined(self._held, given)
        ranking = Ranking()
        bids_before = ranking.encode([self._bids.prices])
        asks_before = ranking.encode([self._asks.prices])
        bid_codes = ranking.encode(given.bids.prices)
        ask_codes = ranking.encode(given.asks.prices)
        ranks = ranking.ranks()
        bid = kernel.SideRows(
            self._bids.ranked(ranks.bids, bids_before),
            ranks.bids,
            given.bids.offsets,
            bid_codes,
            read_only(given.bids.amounts),
        )
        ask = kernel.SideRows(
            self._asks.ranked(ranks.asks, asks_before),
            ranks.asks,
            given.asks.offsets,
            ask_codes,
            read_only(given.asks.amounts),
        )
        bounds = np.array([*_bounds(bid.book), *_bounds(ask.book)], np.int64)
        output = _output(given.rows.flags.size)
        failed = kernel.follow(
            start, given.rows, bid, ask, bounds, self._state, self._held_max, output
        )
        if failed != kernel.DONE:
            ids = f"{given.rows.firsts[failed]} to {given.rows.lasts[failed]}"
            raise CorruptSegmentError(f"a depth row has impossible update ids: {ids}")
        self._bids = _Side.from_ranked(bid.book, ranks.bid_prices, bounds[:2])
        self._asks = _Side.from_ranked(ask.book, ranks.ask_prices, bounds[2:])
        self._held = self._kept(given)
        return Quoted(
            known=output.known[start:].view(np.bool_),
            bid_price=ranks.bid_prices[output.bids.ranks[start:]],
            bid_amount=output.bids.amounts[start:],
            ask_price=ranks.ask_prices[output.asks.ranks[start:]],
            ask_amount=output.asks.amounts[start:],
            last_update_id=output.applied[start:],
        )

    def _kept(self, given: DepthRows) -> DepthRows | None:
        """Return the rows that are still needed, and number them from 0."""
        needed = [row for row in self._state[list(_KEPT_ROWS)].tolist() if row >= 0]
        if not needed:
            return None
        first = min(needed)
        for place in _KEPT_ROWS:
            if self._state[place] >= 0:
                self._state[place] -= first
        return from_row(given, first)


class _Side(NamedTuple):
    """Levels of one side of a book, best first."""

    prices: Floats
    amounts: Floats

    @staticmethod
    def from_ranked(book: Floats, prices: Floats, bounds: Ints) -> "_Side":
        """Return the levels of a ranked side, all of which lie within bounds."""
        best, lowest = bounds
        held = lowest + np.flatnonzero(book[lowest : best + 1])[::-1]
        return _Side(prices[held], book[held])

    def ranked(self, ranks: Codes, codes: Codes) -> Floats:
        """Return amounts by rank, given the codes of the prices."""
        book = np.zeros(ranks.size)
        book[ranks[codes]] = self.amounts
        return book

    def top(self, levels: int) -> Levels:
        """Return the best levels as pairs."""
        prices, amounts = self.prices[:levels], self.amounts[:levels]
        return tuple(zip(prices.tolist(), amounts.tolist(), strict=True))


def _bounds(book: Floats) -> tuple[int, int]:
    held = np.flatnonzero(book)
    return (int(held[-1]), int(held[0])) if held.size else (-1, book.size)


def _output(count: int) -> kernel.Output:
    bids, asks = (
        kernel.Quotes(np.full(count, -1, np.int32), np.full(count, np.nan))
        for _ in range(2)
    )
    return kernel.Output(
        np.zeros(count, np.uint8), np.full(count, NO_ID, np.int64), bids, asks
    )
