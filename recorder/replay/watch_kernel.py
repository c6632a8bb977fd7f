"""The compiled part of `recorder.replay.watch`: many books followed row by row.

A side of a book is an ascending array of prices, and one of their amounts.
"""

from collections.abc import Callable
from typing import Final

from numba import njit

from recorder.continuity import step_crossed, step_snapshot, step_update
from recorder.replay.compiled import fingerprint
from recorder.store.machine_code import compiled
from recorder.transitions import (
    ADOPT,
    APPLY,
    HOLD,
    IN_BAND,
    JOIN,
    LIVE,
    NO_ID,
    PROVEN,
    RESTART,
    WAIT,
)


NOTHING: Final = -1
"""All rows were followed; nothing is left to do."""

BREAK: Final = -2
"""Before this row its chain breaks."""

NARROW: Final = -4
"""The levels of this row may not find room; it is still to be followed."""

REACHED: Final = -3
"""The row was followed, and its book came to the id that was asked for."""


@njit(nogil=True, inline="always")
def _place(book, count, price):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Return how many of the first prices of a side are below a price."""
    low = 0
    left = count
    while left > 1:
        half = left >> 1
        low += half if book[low + half - 1] < price else 0
        left -= half
    return low + (1 if left == 1 and book[low] < price else 0)


@njit(nogil=True, inline="always")
def _close_up(values, begin, end):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Take a value out: those behind it move to the front by one."""
    for k in range(begin, end - 1):
        values[k] = values[k + 1]


@njit(nogil=True, inline="always")
def _make_room(values, begin, end):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Make room for a value: it and those behind it move back by one."""
    for k in range(end, begin, -1):
        values[k] = values[k - 1]


@compiled
def set_levels(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    book, sizes, count, prices, amounts, is_bid
):
    """Apply levels to one ascending side; return its new number of prices."""
    for i in range(prices.size):
        price = prices[i]
        at = _place(book, count, price)
        is_there = at < count and book[at] == price
        if not amounts[i] > 0.0:
            if is_there:
                _close_up(book, at, count)
                _close_up(sizes, at, count)
                count -= 1
        elif is_there:
            sizes[at] = amounts[i]
        else:
            if count == book.size:
                if at == (0 if is_bid else count):
                    continue  # it is the farthest itself
                if is_bid:
                    _close_up(book, 0, count)
                    _close_up(sizes, 0, count)
                    at -= 1
                count -= 1
            _make_room(book, at, count)
            _make_room(sizes, at, count)
            book[at] = price
            sizes[at] = amounts[i]
            count += 1
    return count


@compiled
def is_crossed(bids, asks, counts, chain):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Return whether the best bid of a book is at or above its best ask."""
    bid_count, ask_count = counts[chain, 0], counts[chain, 1]
    if bid_count == 0 or ask_count == 0:
        return False
    return bids[chain, bid_count - 1] >= asks[chain, 0]


def _compile_follow(version: int) -> Callable[..., tuple[int, int, int]]:  # noqa: C901 - below
    """Compile the main loop; its cache is valid for this fingerprint only."""

    @compiled
    def follow(  # type: ignore[no-untyped-def]
        start,
        chains,
        is_broken,
        is_snapshot,
        is_in_band,
        firsts,
        lasts,
        bid_offsets,
        bid_prices,
        bid_amounts,
        ask_offsets,
        ask_prices,
        ask_amounts,
        states,
        wanted,
        bids,
        bid_sizes,
        asks,
        ask_sizes,
        counts,
        crossed,
        prices_max,
    ):
        """Follow rows from ``start`` on until one needs held updates.

        Returns:
            (row, action, crossings): the row that Python must deal with and
            the action it calls for, or the number of rows and ``NOTHING``;
            and how many entries of ``crossed`` are filled. ``BREAK`` and
            ``NARROW`` mean that the row itself is still to be followed.
            ``APPLY`` means that what was held is obsolete. ``REACHED`` means that
            the row brought a known book to the id that is wanted of it, or beyond.
        """
        _ = version  # a closure's variables are part of the cache's key
        found = 0
        for r in range(start, chains.size):
            chain = chains[r]
            row = states[chain]
            fields = (row[0], row[1], row[2], row[3], row[4], row[5])
            was_live = row[0] == LIVE
            if is_broken[r]:
                is_broken[r] = False
                return r, BREAK, found
            new_bids = bid_offsets[r + 1] - bid_offsets[r]
            new_asks = ask_offsets[r + 1] - ask_offsets[r]
            wide = max(counts[chain, 0] + new_bids, counts[chain, 1] + new_asks)
            if wide > bids.shape[1] and bids.shape[1] < prices_max:
                return r, NARROW, found
            if is_snapshot[r]:
                origin = IN_BAND if is_in_band[r] else PROVEN
                fields, action, _kind = step_snapshot(fields, lasts[r], origin)
            else:
                fields, action, _kind = step_update(fields, firsts[r], lasts[r])
            is_image = action == ADOPT and was_live  # then nothing is held
            if is_image:
                counts[chain, 0] = counts[chain, 1] = 0
            if action == APPLY or is_image:
                lo, hi = bid_offsets[r], bid_offsets[r + 1]
                counts[chain, 0] = set_levels(
                    bids[chain],
                    bid_sizes[chain],
                    counts[chain, 0],
                    bid_prices[lo:hi],
                    bid_amounts[lo:hi],
                    1,
                )
                lo, hi = ask_offsets[r], ask_offsets[r + 1]
                counts[chain, 1] = set_levels(
                    asks[chain],
                    ask_sizes[chain],
                    counts[chain, 1],
                    ask_prices[lo:hi],
                    ask_amounts[lo:hi],
                    0,
                )
                if is_crossed(bids, asks, counts, chain):
                    crossed[found] = r
                    found += 1
                    fields, _action, _kind = step_crossed(fields)
            row[0], row[1], row[2], row[3], row[4], row[5] = fields
            is_routine = was_live and action in (APPLY, ADOPT)
            if not is_routine and action in (APPLY, ADOPT, HOLD, RESTART, WAIT, JOIN):
                return r, action, found
            if wanted[chain] != NO_ID and row[0] == LIVE and row[1] >= wanted[chain]:
                return r, REACHED, found
        return chains.size, NOTHING, found

    return follow


follow_rows: Final = _compile_follow(fingerprint())
