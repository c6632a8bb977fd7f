"""Every book that a market of the exchange has had, for tests to judge by.

Book changes are kept as numbers in arrays, 57 bytes each, with a whole book
now and then to start from.
"""

from array import array
from bisect import bisect_right

import msgspec

from recorder.simulator.book import BID
from recorder.simulator.markets import MarketSpec
from recorder.simulator.numbers import decimal_text


TextLevel = tuple[str, str]
TextBook = tuple[tuple[TextLevel, ...], tuple[TextLevel, ...]]
"""Bids and asks, best first, as decimal texts."""

_BOOK_EVERY = 1_000
"""Changes between two whole books."""


class MarketStart(msgspec.Struct, frozen=True, kw_only=True):
    """A market as the record begins.

    Attributes:
        spec: Name and units.
        update_id: Id of the last change before the record.
        bids: (ticks, lots), best first.
        asks: (ticks, lots), best first.
    """

    spec: MarketSpec
    update_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class ChangeRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A book change as written: market, id, time, side, ticks, lots."""

    market: str
    update_id: int
    ts_ns: int
    side: int
    price: int
    amount: int


class MarketTruth:
    """Every book that a market has had since the record began."""

    def __init__(self, start: MarketStart) -> None:
        self.spec = start.spec
        self.first_id = start.update_id
        self._sides = array("b")
        self._prices = array("q")
        self._amounts = array("q")
        self._times = array("q")
        # Best bid price, lots, best ask price, lots; lots 0: no such side.
        self._bbo = array("q")
        self._books: list[tuple[dict[int, int], dict[int, int]]] = [
            (dict(start.bids), dict(start.asks))
        ]
        # The book at some index, walked forward while questions ascend.
        self._cursor = (0, *self._copy(0))
        best_bid = start.bids[0] if start.bids else (0, 0)
        best_ask = start.asks[0] if start.asks else (0, 0)
        self._append_bbo(best_bid, best_ask)

    @property
    def last_id(self) -> int:
        """Id of the last change recorded."""
        return self.first_id + len(self._sides)

    def append(
        self,
        row: ChangeRow,
        best_bid: tuple[int, int],
        best_ask: tuple[int, int],
    ) -> None:
        """Record a change; ids must come one by one.

        Raises:
            ValueError: If an id is missing or comes twice.
        """
        if row.update_id != self.last_id + 1:
            raise ValueError(f"change {row.update_id} after {self.last_id}")
        self._sides.append(row.side)
        self._prices.append(row.price)
        self._amounts.append(row.amount)
        self._times.append(row.ts_ns)
        self._append_bbo(best_bid, best_ask)
        if len(self._sides) % _BOOK_EVERY == 0:
            bids, asks = self._at(len(self._sides))
            self._books.append((dict(bids), dict(asks)))

    def book_at(self, update_id: int, depth: int | None = None) -> TextBook:
        """Return the book right after a change.

        Args:
            update_id: From `first_id` (the book before the first change
                recorded) to `last_id`. Ascending questions are fast.
            depth: Best levels a side; None for all.

        Raises:
            KeyError: If the id is outside the record.
        """
        bids, asks = self._at(self._index(update_id))
        best_bids = sorted(bids, reverse=True)[:depth]
        best_asks = sorted(asks)[:depth]
        return (
            tuple(self._texts(price, bids[price]) for price in best_bids),
            tuple(self._texts(price, asks[price]) for price in best_asks),
        )

    def bbo_at(self, update_id: int) -> tuple[TextLevel | None, TextLevel | None]:
        """Return the best bid and ask right after a change; None if empty.

        Raises:
            KeyError: If the id is outside the record.
        """
        at = 4 * self._index(update_id)
        bid_price, bid_amount, ask_price, ask_amount = self._bbo[at : at + 4]
        return (
            self._texts(bid_price, bid_amount) if bid_amount else None,
            self._texts(ask_price, ask_amount) if ask_amount else None,
        )

    def ts_at(self, update_id: int) -> int | None:
        """Return when a change happened, nanoseconds; None for `first_id`.

        Raises:
            KeyError: If the id is outside the record.
        """
        index = self._index(update_id)
        return self._times[index - 1] if index else None

    def id_at(self, ts_ns: int) -> int:
        """Return the id of the last change at or before an instant."""
        return self.first_id + bisect_right(self._times, ts_ns)

    def _index(self, update_id: int) -> int:
        if not self.first_id <= update_id <= self.last_id:
            raise KeyError(update_id)
        return update_id - self.first_id

    def _at(self, index: int) -> tuple[dict[int, int], dict[int, int]]:
        at, bids, asks = self._cursor
        if index < at or index - at > index % _BOOK_EVERY:
            at = min(index // _BOOK_EVERY, len(self._books) - 1) * _BOOK_EVERY
            bids, asks = self._copy(at // _BOOK_EVERY)
        for k in range(at, index):
            side = bids if self._sides[k] == BID else asks
            if self._amounts[k]:
                side[self._prices[k]] = self._amounts[k]
            else:
                del side[self._prices[k]]
        self._cursor = (index, bids, asks)
        return bids, asks

    def _copy(self, number: int) -> tuple[dict[int, int], dict[int, int]]:
        bids, asks = self._books[number]
        return dict(bids), dict(asks)

    def _append_bbo(self, bid: tuple[int, int], ask: tuple[int, int]) -> None:
        self._bbo.extend((*bid, *ask))

    def _texts(self, price: int, amount: int) -> TextLevel:
        return (
            decimal_text(price, self.spec.price_decimals),
            decimal_text(amount, self.spec.amount_decimals),
        )
