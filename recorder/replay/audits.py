"""Is a book that is being recorded the exchange's own? Compared with a snapshot.

A snapshot tells the book at one update id. So it can be laid beside a book only
where that stands at this very id, or where one update takes it from before the
id to beyond it: then the prices that this update tells of are left out, for the
snapshot may lie before or behind each of them.

What one such update leaves out of its net changes nobody knows. So a difference
that is seen across an update is only a suspicion, until another snapshot shows
the same; one at the very id is a proof.

Far levels are compared only as far as both the stream and the snapshot reach:
what lies beyond a stream's window is never told of again.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from recorder.model import Chain, Levels


Side = Literal["bid", "ask"]


class Order(NamedTuple):
    """A snapshot to compare a book with.

    Attributes:
        chain: Whose book.
        last_update_id: The snapshot's id.
        ts_recv: When it was received, our clock, nanoseconds.
        bids: (price, amount), in any order.
        asks: The same of the other side.
        limit: Levels a side that the stream maintains, and that the snapshot was
            asked for.
    """

    chain: Chain
    last_update_id: int
    ts_recv: int
    bids: Levels
    asks: Levels
    limit: int


class Difference(NamedTuple):
    """A level that is not the same; an amount of 0 means that there is none.

    Attributes:
        side: Of the book.
        price: Of the level.
        ours: Amount in our book.
        theirs: Amount in the snapshot.
    """

    side: Side
    price: float
    ours: float
    theirs: float

    def __str__(self) -> str:
        return f"{self.side} {self.price:g} is {self.ours:g} here and {self.theirs:g} there"


class Compared(NamedTuple):
    """What became of an order.

    Attributes:
        order: The snapshot.
        outcome: ``compared``; ``passed`` if the book was beyond the snapshot,
            ``unreached`` if it did not come to it.
        ts_recv: Our clock at the row after which they were compared; 0 if they
            were not.
        is_exact: Whether the book stood at the snapshot's id.
        differences: Levels that are not the same, best first.
    """

    order: Order
    outcome: Literal["compared", "passed", "unreached"]
    ts_recv: int = 0
    is_exact: bool = False
    differences: tuple[Difference, ...] = ()


def differences(
    order: Order,
    bids: Levels,
    asks: Levels,
    touched_bids: Iterable[float] = (),
    touched_asks: Iterable[float] = (),
) -> tuple[Difference, ...]:
    """Return the levels in which a book and a snapshot differ, best first.

    Args:
        order: The snapshot.
        bids: Of our book, best first.
        asks: The same of the other side.
        touched_bids: Prices that are left out.
        touched_asks: The same of the other side.
    """
    return (
        *_of_side("bid", bids, order.bids, order.limit, frozenset(touched_bids)),
        *_of_side("ask", asks, order.asks, order.limit, frozenset(touched_asks)),
    )


def _of_side(
    side: Side, ours: Levels, theirs: Levels, limit: int, touched: frozenset[float]
) -> list[Difference]:
    sign = -1.0 if side == "bid" else 1.0
    # Each price that is left out may have moved a level into the window, or out.
    reach = limit - len(touched)
    if reach <= 0:
        return []
    window = sorted(theirs, key=lambda level: sign * level[0])[:reach]
    is_all = len(window) < reach
    end = float("inf") if is_all else sign * window[-1][0]
    known, said = dict(ours), dict(window)
    found = []
    for price in sorted(known.keys() | said.keys(), key=lambda price: sign * price):
        if sign * price > end:
            break
        one, two = known.get(price, 0.0), said.get(price, 0.0)
        if one != two and price not in touched:
            found.append(Difference(side, price, one, two))
    return found


def told(found: tuple[Difference, ...], most: int = 3) -> str:
    """Return differences in words."""
    more = f", and {len(found) - most} more levels" if len(found) > most else ""
    return ", ".join(str(difference) for difference in found[:most]) + more
