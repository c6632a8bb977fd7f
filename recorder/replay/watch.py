"""Is a book that is being recorded crossed? Seen within a flush, at little cost.

A crossed book can be mended only by asking the venue for a snapshot while the
capture runs. So the capture shows each depth batch to a `BookWatch`, which
keeps the prices of every book (no amounts) in compiled code, following the
very sequence check that the capture and the replay follow.

Where messages may be missing, it is told: from the rows alone a connection
that was lost cannot be told from one that another took over without a break.

It runs in the writer's thread, outside the interpreter's lock.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from recorder.continuity import (
    FRESH,
    step_crossed,
    step_lost,
    step_snapshot,
    step_update,
)
from recorder.model import Chain, DepthUpdate, Levels, Origin
from recorder.replay.breaks import Break, Breaks
from recorder.replay.compiled import Ints, fingerprint
from recorder.replay.depth_batch import (
    codes_of,
    flags_of,
    ids_of,
    is_live,
    side_of,
    times_of,
    without_audits,
)
from recorder.replay.holding import Held, Holding
from recorder.store.batch import RowTuple, build
from recorder.store.machine_code import compiled
from recorder.store.tables import TABLES
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


PRICES_MAX: Final = 2048
"""Prices a side that a watched book can hold; the far ones go first."""

HELD_BYTES_MAX: Final = 64 << 20
"""For updates that wait for snapshots, of all chains together. Beyond it the
chain that has the most forgets them: what comes later, it holds again, and a
snapshot that is too old for that is not used. (Snapshots that wait for updates
are one a chain at most.)"""

_FIRST_CHAINS: Final = 64

NOTHING: Final = -1
"""All rows were followed; nothing is left to do."""

BREAK: Final = -2
"""Before this row its chain breaks."""


class Crossing(NamedTuple):
    """A book that a row left with its best bid at or above its best ask.

    Attributes:
        chain: Whose book.
        ts_recv: Our clock at the row, nanoseconds.
        last_update_id: Of the row; None on streams without ids.
    """

    chain: Chain
    ts_recv: int
    last_update_id: int | None


@compiled
def _set_levels(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    book, count, prices, amounts, is_bid
):
    """Apply levels to one ascending side; return its new number of prices."""
    for i in range(prices.size):
        price = prices[i]
        at = np.searchsorted(book[:count], price)
        is_there = at < count and book[at] == price
        if not amounts[i] > 0.0:
            if is_there:
                book[at : count - 1] = book[at + 1 : count].copy()
                count -= 1
        elif not is_there:
            if count == book.size:
                if at == (0 if is_bid else count):
                    continue  # it is the farthest itself
                if is_bid:
                    book[: count - 1] = book[1:count].copy()
                    at -= 1
                count -= 1
            book[at + 1 : count + 1] = book[at:count].copy()
            book[at] = price
            count += 1
    return count


@compiled
def _is_crossed(bids, asks, counts, chain):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    bid_count, ask_count = counts[chain, 0], counts[chain, 1]
    if bid_count == 0 or ask_count == 0:
        return False
    return bids[chain, bid_count - 1] >= asks[chain, 0]


def _compile_follow(fingerprint: int) -> Callable[..., tuple[int, int, int]]:
    """Compile the main loop; its cache is valid for this fingerprint only."""

    @compiled
    def follow(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
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
        bids,
        asks,
        counts,
        crossed,
    ):
        """Follow rows from ``start`` on until one needs held updates.

        Returns:
            (row, action, crossings): the row that Python must deal with and
            the action it calls for, or the number of rows and ``NOTHING``;
            and how many entries of ``crossed`` are filled. ``BREAK`` means
            that the row itself is still to be followed. ``APPLY`` means that
            what was held is obsolete.
        """
        _ = fingerprint  # a closure's variables are part of the cache's key
        found = 0
        for r in range(start, chains.size):
            chain = chains[r]
            row = states[chain]
            fields = (row[0], row[1], row[2], row[3], row[4], row[5])
            was_live = row[0] == LIVE
            if is_broken[r]:
                is_broken[r] = False
                return r, BREAK, found
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
                counts[chain, 0] = _set_levels(
                    bids[chain],
                    counts[chain, 0],
                    bid_prices[lo:hi],
                    bid_amounts[lo:hi],
                    1,
                )
                lo, hi = ask_offsets[r], ask_offsets[r + 1]
                counts[chain, 1] = _set_levels(
                    asks[chain],
                    counts[chain, 1],
                    ask_prices[lo:hi],
                    ask_amounts[lo:hi],
                    0,
                )
                if _is_crossed(bids, asks, counts, chain):
                    crossed[found] = r
                    found += 1
                    fields, _action, _kind = step_crossed(fields)
            row[0], row[1], row[2], row[3], row[4], row[5] = fields
            is_routine = was_live and action in (APPLY, ADOPT)
            if not is_routine and action in (APPLY, ADOPT, HOLD, RESTART, WAIT, JOIN):
                return r, action, found
        return chains.size, NOTHING, found

    return follow


_follow: Final = _compile_follow(fingerprint())


def warm_up() -> None:
    """Compile, which takes seconds the first time on a machine."""
    said: list[tuple[int | None, int, Origin]]
    said = [(1, 2, "live"), (3, 4, "live"), (None, 1, "rest"), (5, 5, "live")]
    rows: list[RowTuple] = [
        (place, "run.0", place, 0, _some_event(first, last, origin), None)
        for place, (first, last, origin) in enumerate(said)
    ]
    BookWatch().see(build(TABLES["depth"], rows).batch)


def _some_event(first: int | None, last: int, origin: Origin) -> DepthUpdate[Levels]:
    return DepthUpdate(
        market="any",
        stream="any",
        ts_event=None,
        is_snapshot=first is None,
        first_update_id=first,
        last_update_id=last,
        bids=((1.0, 1.0),),
        asks=((2.0, 1.0),),
        origin=origin,
    )


class BookWatch:
    """Follows the books of every chain that passes by.

    One capture, one watch. `see` belongs to one thread; `lost` and
    `counted_anew` may be called from another.
    """

    def __init__(self) -> None:
        self._numbers: dict[Chain, int] = {}
        self._holding = Holding(HELD_BYTES_MAX)
        self._waiting: dict[int, Held] = {}
        self._breaks = Breaks()
        self._states = _fresh_states(_FIRST_CHAINS)
        self._bids = np.zeros((_FIRST_CHAINS, PRICES_MAX))
        self._asks = np.zeros((_FIRST_CHAINS, PRICES_MAX))
        self._counts = np.zeros((_FIRST_CHAINS, 2), dtype=np.int64)

    def see(self, batch: pa.RecordBatch) -> list[Crossing]:
        """Follow the rows of a ``depth`` batch, in their order.

        Args:
            batch: Rows of the table ``depth``, in order of receipt.

        Returns:
            The rows that left a known book crossed.
        """
        batch = without_audits(batch)
        if batch.num_rows == 0:
            return []
        chains, names = self._chain_numbers(batch)
        firsts, lasts = (
            ids_of(batch, "first_update_id"),
            ids_of(batch, "last_update_id"),
        )
        bid, ask = side_of(batch, "bids"), side_of(batch, "asks")
        crossed = np.zeros(batch.num_rows, dtype=np.int64)
        rows: list[int] = []
        start = 0
        times = times_of(batch)
        breaks = self._breaks.before(chains, names, times)
        is_broken = np.zeros(batch.num_rows, dtype=np.bool_)
        is_broken[list(breaks)] = True
        arguments = (
            chains,
            is_broken,
            flags_of(batch, "is_snapshot"),
            is_live(batch),
            firsts,
            lasts,
            *bid,
            *ask,
        )
        while start < batch.num_rows:
            row, action, found = _follow(
                start,
                *arguments,
                self._states,
                self._bids,
                self._asks,
                self._counts,
                crossed,
            )
            rows += crossed[:found].tolist()
            if action == NOTHING:
                break
            number = int(chains[row])
            if action == BREAK:
                self._break(number, breaks[row])
                start = row
                continue
            if action == APPLY:
                self._let_go(number)
                start = row + 1
                continue
            held = Held(int(lasts[row]), bid.row(row), ask.row(row))
            if action == WAIT:
                self._waiting[number] = held.copied()
            elif action in (ADOPT, JOIN):
                image, updates = held, self._holding.take(number)
                if action == JOIN:
                    image, updates = self._waiting[number], [*updates, held]
                self._let_go(number)
                if self._adopt(number, image, updates):
                    rows.append(row)
            else:
                self._hold(number, held, is_restart=action == RESTART)
            start = row + 1
        return [
            Crossing(
                names[int(chains[row])],
                int(times[row]),
                None if lasts[row] == NO_ID else int(lasts[row]),
            )
            for row in rows
        ]

    def lost(self, chain: Chain, ts_recv: int) -> None:
        """Note that messages of a chain may be missing.

        Call it before the rows that follow are given to `see`, from any
        thread.

        Args:
            chain: The chain; one that was never seen will do.
            ts_recv: Our clock at its last row before the break, nanoseconds.
        """
        self._breaks.add(chain, Break(ts_recv, is_new_count=False))

    def counted_anew(self, chain: Chain, ts_recv: int) -> None:
        """Note that the venue numbers a chain's updates anew.

        What is known of its book ends with the rows received until then; it
        is watched again from the next snapshot on. Otherwise as `lost`.
        """
        self._breaks.add(chain, Break(ts_recv, is_new_count=True))

    def _break(self, number: int, breaks: list[Break]) -> None:
        """Have a chain's book known no more."""
        for told in breaks:
            if told.is_new_count:
                self._forget(number)
            else:
                self._let_go(number)
                fields, _, _ = step_lost(tuple(self._states[number].tolist()))
                self._states[number] = fields

    def _hold(self, number: int, held: Held, *, is_restart: bool) -> None:
        if is_restart:
            self._holding.take(number)
        for dropped in self._holding.add(number, held):
            self._forget(dropped)

    def _let_go(self, number: int) -> None:
        """Hold nothing for a chain any more."""
        self._holding.take(number)
        self._waiting.pop(number, None)

    def _forget(self, number: int) -> None:
        """Begin a chain anew: it is known from its next snapshot on."""
        self._let_go(number)
        self._states[number] = _fresh_states(1)[0]

    def _adopt(self, number: int, image: Held, held: Sequence[Held]) -> bool:
        """Replace a book; return whether it was crossed on the way."""
        counts = self._counts[number]
        counts[:] = 0
        was_crossed = False
        for update in (image, *(u for u in held if u.last > image.last)):
            counts[0] = _set_levels(self._bids[number], counts[0], *update.bids, 1)
            counts[1] = _set_levels(self._asks[number], counts[1], *update.asks, 0)
            was_crossed |= _is_crossed(self._bids, self._asks, self._counts, number)
        if not was_crossed:
            return False
        fields, _, _ = step_crossed(tuple(self._states[number].tolist()))
        self._states[number] = fields
        return True

    def _chain_numbers(self, batch: pa.RecordBatch) -> tuple[Ints, dict[int, Chain]]:
        """Return each row's chain as a number, and what the numbers mean."""
        markets, streams = codes_of(batch, "market"), codes_of(batch, "stream")
        width = len(streams.names)
        pairs, inverse = np.unique(
            markets.codes * width + streams.codes, return_inverse=True
        )
        names: dict[int, Chain] = {}
        numbers = np.empty(pairs.size, dtype=np.int64)
        for i, pair in enumerate(pairs.tolist()):
            chain = Chain(markets.names[pair // width], streams.names[pair % width])
            numbers[i] = self._numbers.setdefault(chain, len(self._numbers))
            names[int(numbers[i])] = chain
        self._grow(len(self._numbers))
        return numbers[inverse], names

    def _grow(self, wanted: int) -> None:
        have = len(self._states)
        if wanted <= have:
            return
        more = max(wanted - have, have)
        self._states = np.concatenate([self._states, _fresh_states(more)])
        self._bids = np.concatenate([self._bids, np.zeros((more, PRICES_MAX))])
        self._asks = np.concatenate([self._asks, np.zeros((more, PRICES_MAX))])
        self._counts = np.concatenate(
            [self._counts, np.zeros((more, 2), dtype=np.int64)]
        )


def _fresh_states(count: int) -> Ints:
    return np.tile(np.array(FRESH, dtype=np.int64), (count, 1))
