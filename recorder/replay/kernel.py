"""The dense ladder: order books in bulk, compiled.

The distinct prices of a stretch of rows are ranked once (see
`recorder.replay.ranking`). Each side of the book is then a dense array of amounts over ranks:
a changed level is one store, and the best price is found by scanning from
where it last was. Ranks of asks are mirrored, so that on both sides the best
level is the highest rank, and one function serves both.

Whether a message may be applied is decided by the integer functions of
`recorder.continuity`, compiled as they are. Updates that wait for a snapshot
are not copied: they are rows of the stretch, from the first one held on, as
is a snapshot that waits for updates.

`recorder.replay.book.OrderBook` says the same plainly, and a test holds the
two together on random input.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from recorder import continuity, transitions
from recorder.replay.compiled import Codes, Flags, Floats, Ints, fingerprint
from recorder.store.machine_code import compiled
from recorder.transitions import (
    ADOPT,
    APPLY,
    HOLD,
    IN_STALE,
    JOIN,
    LIVE,
    NO_ID,
    PROVEN,
    RESTART,
    WAIT,
)


# Bits of a row's flags.
SNAPSHOT: Final = 1
IN_BAND: Final = 2
AUDIT: Final = 4
LOST: Final = 8  # messages may be missing before this row
DOUBTED: Final = 16  # so they may, and ids would tell whether they are
WRONG: Final = 32  # the book before this row was found not to be the venue's

# The state of a stretch, kept from one to the next.
HELD_FROM: Final = 6  # after the six fields of the chain: row of the first held
HELD_COUNT: Final = 7
WAITING: Final = 8  # row of the snapshot that waits
UNKNOWN_DELETES: Final = 9
STALE: Final = 10
CROSSINGS: Final = 11
IMAGES: Final = 12  # snapshots among the updates that were adopted
STATE_SIZE: Final = 13

DONE: Final = -1
"""No row was found impossible."""


class SideRows(NamedTuple):
    """One side of a stretch of rows, and of the book.

    Attributes:
        book: Amounts by rank; 0 where there is no level.
        ranks: Rank of each price code on this side.
        offsets: Levels of row i are ``offsets[i]`` to ``offsets[i + 1]``.
        codes: Prices of the levels, as codes.
        amounts: Amounts of the levels; one that is not above 0 removes.
            Read-only.
    """

    book: Floats
    ranks: Codes
    offsets: Ints
    codes: Codes
    amounts: Floats


class Quotes(NamedTuple):
    """The best level of one side after each row.

    Attributes:
        ranks: Its rank; left alone where there is none.
        amounts: Its amount; left alone where there is none.
    """

    ranks: Codes
    amounts: Floats


class Rows(NamedTuple):
    """What the sequence check needs to know of each row of a stretch.

    Attributes:
        flags: `SNAPSHOT` and so on.
        firsts: First change of an update, or ``NO_ID``.
        lasts: Last change of an update, a snapshot's id, or ``NO_ID``.
    """

    flags: Flags
    firsts: Ints
    lasts: Ints


class Output(NamedTuple):
    """What is filled for rows after which the book is known.

    Attributes:
        known: 1.
        applied: Id through which it is known, or ``NO_ID``.
        bids: Rank and amount of the best bid, left alone if there is none.
        asks: The same of the best ask.
    """

    known: Flags
    applied: Ints
    bids: Quotes
    asks: Quotes


@compiled
def apply_levels(  # pragma: no cover - compiled
    book: Floats,
    ranks: Codes,
    codes: Codes,
    amounts: Floats,
    start: int,
    end: int,
    best: int,
    lowest: int,
) -> tuple[int, int, int]:
    """Set or remove levels of one side.

    Args:
        book: As in `SideRows`, as are the next three.
        ranks: Ranks of codes.
        codes: Prices of levels.
        amounts: Amounts of levels.
        start: First level to apply.
        end: First level not to apply.
        best: No rank above it holds a level; -1 if none does.
        lowest: No rank below it holds a level.

    Returns:
        The new best and lowest, and how many removed prices were unknown.
    """
    unknown = 0
    # Few branches: whether a level is removed cannot be foreseen.
    for k in range(start, end):
        rank = int(ranks[codes[k]])
        amount = amounts[k]
        is_set = amount > 0.0
        unknown += int(not is_set and book[rank] == 0.0)
        book[rank] = amount if is_set else 0.0
        best = max(best, rank if is_set else best)
        lowest = min(lowest, rank if is_set else lowest)
    return best, lowest, unknown


@compiled
def apply_row(  # pragma: no cover - compiled
    bid: SideRows, ask: SideRows, bounds: Ints, row: int
) -> int:
    """Apply both sides of a row; return how many removed prices were unknown."""
    bounds[0], bounds[1], bids = apply_levels(
        bid.book,
        bid.ranks,
        bid.codes,
        bid.amounts,
        bid.offsets[row],
        bid.offsets[row + 1],
        bounds[0],
        bounds[1],
    )
    bounds[2], bounds[3], asks = apply_levels(
        ask.book,
        ask.ranks,
        ask.codes,
        ask.amounts,
        ask.offsets[row],
        ask.offsets[row + 1],
        bounds[2],
        bounds[3],
    )
    return bids + asks


@compiled
def settle(  # pragma: no cover - compiled
    book: Floats, best: int, lowest: int
) -> tuple[int, int]:
    """Return the best rank that holds a level, -1 if none, and the lowest."""
    while best >= lowest and book[best] == 0.0:
        best -= 1
    if best < lowest:
        return -1, book.size
    return best, lowest


@compiled
def is_crossed(  # pragma: no cover - compiled
    bids: Floats, asks: Floats, bounds: Ints
) -> bool:
    """Find the best levels; return whether the bid is at or above the ask."""
    bounds[0], bounds[1] = settle(bids, bounds[0], bounds[1])
    bounds[2], bounds[3] = settle(asks, bounds[2], bounds[3])
    if bounds[0] < 0 or bounds[2] < 0:
        return False
    return bool(bounds[0] >= asks.size - 1 - bounds[2])


@compiled
def adopt(  # pragma: no cover - compiled
    rows: Rows,
    bid: SideRows,
    ask: SideRows,
    bounds: Ints,
    row: int,
    held_from: int,
    held_end: int,
) -> tuple[int, bool]:
    """Replace the book by a snapshot, then apply the updates held for it.

    Args:
        rows: The stretch.
        bid: The bids.
        ask: The asks.
        bounds: As for `follow`.
        row: The snapshot.
        held_from: First row that is held, or -1.
        held_end: First row after those that are held.

    Returns:
        How many prices that held updates removed were unknown, and whether
        the book was crossed on the way: a false level may be left.
    """
    bid.book[bounds[1] : bounds[0] + 1] = 0.0
    ask.book[bounds[3] : bounds[2] + 1] = 0.0
    bounds[0] = bounds[2] = -1
    bounds[1] = bid.book.size
    bounds[3] = ask.book.size
    apply_row(bid, ask, bounds, row)
    unknown, was_crossed = 0, is_crossed(bid.book, ask.book, bounds)
    if held_from >= 0:
        through = rows.lasts[row]
        for held in range(held_from, held_end):
            # Snapshots that were refused, doubles and what lacks a first id lie
            # among those held.
            is_update = rows.flags[held] & (SNAPSHOT | AUDIT) == 0
            is_update &= rows.firsts[held] != NO_ID
            if is_update and rows.lasts[held] > through:
                through = rows.lasts[held]
                unknown += apply_row(bid, ask, bounds, held)
                was_crossed |= is_crossed(bid.book, ask.book, bounds)
    return unknown, was_crossed


@compiled
def is_impossible(first: int, last: int) -> bool:  # pragma: no cover - compiled
    """Return whether no update has such ids."""
    return last > continuity.ID_MAX or not (
        NO_ID == first <= last or 0 <= first <= last
    )


def _compile_follow(version: int) -> Callable[..., int]:  # noqa: C901 - below
    """Compile the main loop; its cache is valid for this version only."""

    @compiled
    def follow(  # noqa: C901 - one loop # pragma: no cover - compiled
        start: int,
        rows: Rows,
        bid: SideRows,
        ask: SideRows,
        bounds: Ints,
        state: Ints,
        held_max: int,
        output: Output,
    ) -> int:
        """Follow a chain over a stretch of rows.

        Args:
            start: First row to follow; those before it are held.
            rows: The stretch.
            bid: Its bids.
            ask: Its asks, their ranks mirrored.
            bounds: Best and lowest rank of bids, then of asks; changed.
            state: As the constants above say; changed.
            held_max: Most updates held.
            output: Filled.

        Returns:
            The first row whose ids are impossible, or `DONE`.
        """
        _ = version  # a closure's variables are part of the cache's key
        chain = (state[0], state[1], state[2], state[3], state[4], state[5])
        held_from, held_count = state[HELD_FROM], state[HELD_COUNT]
        waiting = state[WAITING]
        # Taken out of their tuples once: each time costs two atomic operations
        # on a reference count, which is more than a level does.
        flags, firsts, lasts = rows.flags, rows.firsts, rows.lasts
        bids, bid_ranks, bid_offsets = bid.book, bid.ranks, bid.offsets
        asks, ask_ranks, ask_offsets = ask.book, ask.ranks, ask.offsets
        bid_codes, bid_amounts = bid.codes, bid.amounts
        ask_codes, ask_amounts = ask.codes, ask.amounts
        known, applied = output.known, output.applied
        best_bids, best_bid_amounts = output.bids.ranks, output.bids.amounts
        best_asks, best_ask_amounts = output.asks.ranks, output.asks.amounts
        for row in range(start, flags.size):
            flag, first, last = flags[row], firsts[row], lasts[row]
            action, kind, was_crossed = NO_ID, NO_ID, False
            is_update = flag & (SNAPSHOT | AUDIT) == 0
            if flag & LOST or (is_update and held_count >= held_max):
                chain, _, _ = continuity.step_lost(chain)
                held_from, held_count = NO_ID, 0
            if flag & DOUBTED:
                chain, _, _ = continuity.step_doubted(chain)
            if flag & WRONG:
                chain, _, _ = continuity.step_crossed(chain)
                held_from, held_count = NO_ID, 0
            if is_update:
                if is_impossible(first, last):
                    return row
                chain, action, kind = continuity.step_update(chain, first, last)
            elif flag & AUDIT == 0:
                if last < NO_ID or last > continuity.ID_MAX:
                    return row
                origin = transitions.IN_BAND if flag & IN_BAND else PROVEN
                chain, action, kind = continuity.step_snapshot(chain, last, origin)
            if action == APPLY:
                bounds[0], bounds[1], unknown = apply_levels(
                    bids,
                    bid_ranks,
                    bid_codes,
                    bid_amounts,
                    bid_offsets[row],
                    bid_offsets[row + 1],
                    bounds[0],
                    bounds[1],
                )
                state[UNKNOWN_DELETES] += unknown
                bounds[2], bounds[3], unknown = apply_levels(
                    asks,
                    ask_ranks,
                    ask_codes,
                    ask_amounts,
                    ask_offsets[row],
                    ask_offsets[row + 1],
                    bounds[2],
                    bounds[3],
                )
                state[UNKNOWN_DELETES] += unknown
                held_from, held_count = NO_ID, 0
            elif action == ADOPT:
                unknown, was_crossed = adopt(
                    rows, bid, ask, bounds, row, held_from, row
                )
                state[UNKNOWN_DELETES] += unknown
                state[IMAGES] += int(flag & IN_BAND != 0)
                held_from, held_count = NO_ID, 0
            elif action == JOIN:
                joined = row if held_from == NO_ID else held_from
                unknown, was_crossed = adopt(
                    rows, bid, ask, bounds, waiting, joined, row + 1
                )
                state[UNKNOWN_DELETES] += unknown
                held_from, held_count = NO_ID, 0
            elif action == WAIT:
                waiting = row
            elif action == RESTART:
                held_from, held_count = row, 1
            elif action == HOLD:
                held_count += 1
            elif kind == IN_STALE:
                state[STALE] += 1
            if was_crossed or (action == APPLY and is_crossed(bids, asks, bounds)):
                state[CROSSINGS] += 1
                chain, _, _ = continuity.step_crossed(chain)
            if chain[0] == LIVE:
                known[row] = 1
                applied[row] = chain[1]
                if bounds[0] >= 0:
                    best_bids[row] = bounds[0]
                    best_bid_amounts[row] = bids[bounds[0]]
                if bounds[2] >= 0:
                    best_asks[row] = bounds[2]
                    best_ask_amounts[row] = asks[bounds[2]]
        state[0], state[1], state[2], state[3], state[4], state[5] = chain
        state[HELD_FROM], state[HELD_COUNT] = held_from, held_count
        state[WAITING] = waiting if chain[5] != NO_ID else NO_ID
        return DONE

    return follow


follow: Final = _compile_follow(fingerprint())
