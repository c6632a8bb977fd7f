"""A made-up market whose book behaves: drifting, bounded, never crossed."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import msgspec


LEVELS = 100
"""Levels a side at most: as many as a market starts with."""

DRIFT = 0.15
"""How often a market's price moves between two frames."""

LEVELS_MOST = 24
"""Levels that a frame folds at most, unless the price moved."""

ID_DIGITS = 11
"""Digits of every id, however long the frames are repeated."""

REMOVED = "0"


class Update(NamedTuple):
    """Levels that changed: price in ticks, and the amount as text."""

    bids: dict[int, str]
    asks: dict[int, str]

    @property
    def size(self) -> int:
        """How many levels changed."""
        return len(self.bids) + len(self.asks)


class MadeMarket:
    """Bids at and below the middle, asks above it, in ticks.

    Args:
        name: Its name.
        rng: Decides everything about it.

    Attributes:
        update_id: Last id given out.
        trade_id: Last trade's id.
        trades: Number of trades so far.
        middle: The best bid there may be, ticks.
    """

    def __init__(self, name: str, rng: Random) -> None:
        self.name = name
        self.middle = int(10 ** rng.uniform(3.5, 6.5))
        self.places = rng.randint(1, 7)
        self.lot_places = rng.randint(2, 6)
        self.update_id = rng.randrange(10 ** (ID_DIGITS - 1), 9 * 10 ** (ID_DIGITS - 1))
        self.trade_id = rng.randrange(10**9, 10**10)
        self.trades = rng.randrange(10**6)
        self._rng = rng
        self._bids = {self.middle - i: self.amount() for i in range(LEVELS)}
        self._asks = {self.middle + 1 + i: self.amount() for i in range(LEVELS)}
        self._first = Update(dict(self._bids), dict(self._asks))

    def price(self, ticks: int) -> str:
        """Return a price as text."""
        return fixed(ticks, self.places)

    def amount(self) -> str:
        """Return some amount as text."""
        return fixed(int(10 ** self._rng.uniform(2.0, 8.0)), self.lot_places)

    def sides(self) -> tuple[bytes, bytes]:
        """Return all asks and all bids as JSON, best first."""
        asks, bids = sorted(self._asks), sorted(self._bids, reverse=True)
        return self._side(asks, self._asks), self._side(bids, self._bids)

    def _side(self, ticks: list[int], amounts: dict[int, str]) -> bytes:
        return msgspec.json.encode([(self.price(i), amounts[i]) for i in ticks])

    def update(self) -> Update:
        """Change the book; return what changed."""
        rng = self._rng
        changed = Update({}, {})
        if rng.random() < DRIFT:
            self._drift(changed)
        wanted = 2 + int((LEVELS_MOST - 1) * rng.random())
        while changed.size < wanted:
            distance = min(int(rng.expovariate(0.05)), LEVELS - 1)
            if rng.random() < 0.5:
                self._change(self._bids, self.middle - distance, changed.bids)
            else:
                self._change(self._asks, self.middle + 1 + distance, changed.asks)
        return changed

    def _drift(self, changed: Update) -> None:
        """Move by a tick; what the price crosses or leaves behind goes."""
        up = self._rng.random() < 0.5
        self.middle += 1 if up else -1
        if up:
            leaving = (self._asks, self.middle, changed.asks)
            fading = (self._bids, self.middle - LEVELS, changed.bids)
        else:
            leaving = (self._bids, self.middle + 1, changed.bids)
            fading = (self._asks, self.middle + 1 + LEVELS, changed.asks)
        for side, tick, told in (leaving, fading):
            if side.pop(tick, None) is not None:
                told[tick] = REMOVED

    def _change(self, side: dict[int, str], tick: int, told: dict[int, str]) -> None:
        if tick in told:
            return
        if tick in side and self._rng.random() < 0.3:
            del side[tick]
            told[tick] = REMOVED
        else:
            side[tick] = told[tick] = self.amount()

    def way_back(self) -> Iterator[Update]:
        """Return updates that make the book what it was at first."""
        now = Update(self._bids, self._asks)
        gone: list[tuple[int, int, str]] = []
        back: list[tuple[int, int, str]] = []
        for number, (side, first) in enumerate(zip(now, self._first, strict=True)):
            gone += [(number, tick, REMOVED) for tick in side if tick not in first]
            back += [(number, *x) for x in first.items() if side.get(x[0]) != x[1]]
        changes = gone + back  # in this order no book between is crossed
        for start in range(0, len(changes), LEVELS_MOST // 2):
            part = Update({}, {})
            for number, tick, amount in changes[start : start + LEVELS_MOST // 2]:
                part[number][tick] = amount
            yield part


def fixed(units: int, places: int) -> str:
    """Return units of 10**-places as people write them, no zeros at the end."""
    whole, fraction = divmod(units, 10**places)
    return f"{whole}.{fraction:0{places}d}".rstrip("0").rstrip(".")
