"""Is a book that is being recorded crossed? Seen within a flush, at little cost.

A crossed book can be mended only by asking the venue for a snapshot while the
capture runs. So the capture shows each depth batch to a `BookWatch`, which
keeps the levels of every book in compiled code, following the very sequence
check that the capture and the replay follow.

It can be given snapshots to compare books with, as they come to their ids
(`recorder.replay.audits`).

Where messages may be missing, it is told: from the rows alone a connection
that was lost cannot be told from one that another took over without a break.

It runs in the writer's thread, outside the interpreter's lock.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from recorder.continuity import FRESH, step_crossed, step_lost
from recorder.model import Chain, DepthUpdate, Levels, Origin
from recorder.replay.audits import Compared, Order, differences
from recorder.replay.breaks import Break, Breaks
from recorder.replay.compiled import Floats, Ints
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
from recorder.replay.watch_kernel import (
    BREAK,
    NARROW,
    NOTHING,
    REACHED,
    follow_rows,
    is_crossed,
    set_levels,
)
from recorder.store.batch import RowTuple, build
from recorder.store.tables import TABLES
from recorder.transitions import ADOPT, APPLY, JOIN, LIVE, NO_ID, RESTART, WAIT


PRICES_MAX: Final = 2048
"""Prices a side that a watched book can hold; the far ones go first."""

_FIRST_PRICES: Final = 256
"""Room for prices at first; it is doubled for all books when one needs more."""

HELD_BYTES_MAX: Final = 64 << 20
"""For updates that wait for snapshots, of all chains together. Beyond it the
chain that has the most forgets them: what comes later, it holds again, and a
snapshot that is too old for that is not used. (Snapshots that wait for updates
are one a chain at most.)"""

ORDER_NS: Final = 30_000_000_000
"""So long after it was received a snapshot waits for its book."""

_FIRST_CHAINS: Final = 64


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
        self._wanted = np.full(_FIRST_CHAINS, NO_ID, dtype=np.int64)
        self._last_at = np.zeros(_FIRST_CHAINS, dtype=np.int64)
        room = _FIRST_CHAINS, min(_FIRST_PRICES, PRICES_MAX)
        self._bids, self._bid_sizes = np.zeros(room), np.zeros(room)
        self._asks, self._ask_sizes = np.zeros(room), np.zeros(room)
        self._counts = np.zeros((_FIRST_CHAINS, 2), dtype=np.int64)
        self._told: deque[Order] = deque()
        self._orders: dict[int, Order] = {}
        self._compared: list[Compared] = []

    def see(self, batch: pa.RecordBatch) -> list[Crossing]:
        """Follow the rows of a ``depth`` batch, in their order.

        Args:
            batch: Rows of the table ``depth``, in order of receipt.

        Returns:
            The rows that left a known book crossed.
        """
        batch = without_audits(batch)
        self._take_orders()
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
            row, action, found = follow_rows(
                start,
                *arguments,
                self._states,
                self._wanted,
                self._bids,
                self._bid_sizes,
                self._asks,
                self._ask_sizes,
                self._counts,
                crossed,
                PRICES_MAX,
            )
            rows += crossed[:found].tolist()
            if action == NOTHING:
                break
            number = int(chains[row])
            if action in (BREAK, NARROW):
                start = row
                if action == BREAK:
                    self._break(number, breaks[row])
                else:
                    self._widen()
                continue
            start = row + 1
            if action == REACHED:
                touched = bid.row(row)[0], ask.row(row)[0]
                self._compare(number, int(times[row]), touched)
                continue
            if action == APPLY:
                self._let_go(number)
                self._compare(number, int(times[row]), None)
                continue
            held = Held(int(lasts[row]), bid.row(row), ask.row(row))
            if self._take_held(number, action, held):
                rows.append(row)
            self._compare(number, int(times[row]), None)
        np.maximum.at(self._last_at, chains, times)
        self._drop_orders(int(times[-1]))
        return [
            Crossing(
                names[int(chains[row])],
                int(times[row]),
                None if lasts[row] == NO_ID else int(lasts[row]),
            )
            for row in rows
        ]

    def _take_held(self, number: int, action: int, held: Held) -> bool:
        """Keep a message, or adopt a snapshot; return whether it was crossed."""
        if action == WAIT:
            self._waiting[number] = held.copied()
        elif action in (ADOPT, JOIN):
            image, updates = held, self._holding.take(number)
            if action == JOIN:
                image, updates = self._waiting[number], [*updates, held]
            self._let_go(number)
            return self._adopt(number, image, updates)
        else:
            self._hold(number, held, is_restart=action == RESTART)
        return False

    def lost(self, chain: Chain, ts_recv: int) -> None:
        """Note that messages of a chain may be missing.

        Call it before the rows that follow are given to `see`, from any
        thread.

        Args:
            chain: The chain; one that was never seen will do.
            ts_recv: Our clock at its last row before the break, nanoseconds.
        """
        self._breaks.add(chain, Break(ts_recv))

    def wrong(self, chain: Chain, ts_recv: int) -> None:
        """Note that a chain's book was found wrong: only a snapshot mends it.

        Otherwise as `lost`.
        """
        self._breaks.add(chain, Break(ts_recv, is_wrong=True))

    def counted_anew(self, chain: Chain, ts_recv: int) -> None:
        """Note that the venue numbers a chain's updates anew.

        What is known of its book ends with the rows received until then; it
        is watched again from the next snapshot on. Otherwise as `lost`.
        """
        self._breaks.add(chain, Break(ts_recv, is_new_count=True))

    def compare(self, order: Order) -> None:
        """Have a book compared with a snapshot as soon as it comes to its id.

        A snapshot takes the place of one that still waits for the same book. From
        any thread; what became of it, `take_compared` says.
        """
        self._told.append(order)

    def take_compared(self) -> list[Compared]:
        """Return what became of snapshots, once. Belongs to the thread of `see`."""
        compared, self._compared = self._compared, []
        return compared

    def _take_orders(self) -> None:
        """Take new orders; compare at once where a book stands at the id."""
        while self._told:
            order = self._told.popleft()
            number = self._numbers.get(order.chain)
            if number is None:
                self._compared.append(Compared(order, "unreached"))
                continue
            self._orders[number] = order
            self._wanted[number] = order.last_update_id
            self._compare(number, int(self._last_at[number]), None)

    def _drop_orders(self, now: int) -> None:
        """Give up the orders that waited for too long."""
        for number, order in list(self._orders.items()):
            if now > order.ts_recv + ORDER_NS:
                self._close(number, Compared(order, "unreached"))

    def _compare(
        self, number: int, ts_recv: int, touched: tuple[Floats, Floats] | None
    ) -> None:
        """Compare a book, if it has come to the id of its order.

        Args:
            number: Of its chain.
            ts_recv: Of the row that brought it there.
            touched: The prices that this row told of, if it was one update; None
                if more came together, so that no more is known than the end.
        """
        order = self._orders.get(number)
        state = self._states[number]
        if order is None or state[0] != LIVE or state[1] < order.last_update_id:
            return
        is_exact = bool(state[1] == order.last_update_id)
        if not is_exact and touched is None:
            self._close(number, Compared(order, "passed"))
            return
        left_out: tuple[list[float], list[float]] = [], []
        if not is_exact and touched is not None:
            left_out = touched[0].tolist(), touched[1].tolist()
        bid_count, ask_count = self._counts[number]
        found = differences(
            order,
            _levels(self._bids[number, :bid_count], self._bid_sizes[number]),
            _levels(self._asks[number, :ask_count], self._ask_sizes[number]),
            *left_out,
        )
        done = Compared(order, "compared", ts_recv, is_exact, found)
        self._close(number, done)

    def _close(self, number: int, done: Compared) -> None:
        self._orders.pop(number, None)
        self._wanted[number] = NO_ID
        self._compared.append(done)

    def _break(self, number: int, breaks: list[Break]) -> None:
        """Have a chain's book known no more."""
        if (order := self._orders.get(number)) is not None:
            self._close(number, Compared(order, "unreached"))
        for told in breaks:
            if told.is_new_count:
                self._forget(number)
                continue
            self._let_go(number)
            step = step_crossed if told.is_wrong else step_lost
            fields, _, _ = step(tuple(self._states[number].tolist()))
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
        updates = [image, *(u for u in held if u.last > image.last)]
        wide = max(
            sum(len(u.bids[0]) for u in updates), sum(len(u.asks[0]) for u in updates)
        )
        while wide > self._bids.shape[1] < PRICES_MAX:
            self._widen()
        counts = self._counts[number]
        counts[:] = 0
        was_crossed = False
        for update in updates:
            counts[0] = set_levels(
                self._bids[number], self._bid_sizes[number], counts[0], *update.bids, 1
            )
            counts[1] = set_levels(
                self._asks[number], self._ask_sizes[number], counts[1], *update.asks, 0
            )
            was_crossed |= is_crossed(self._bids, self._asks, self._counts, number)
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
        none = np.full(more, NO_ID, dtype=np.int64)
        self._wanted = np.concatenate([self._wanted, none])
        never = np.zeros(more, dtype=np.int64)
        self._last_at = np.concatenate([self._last_at, never])
        self._counts = np.concatenate(
            [self._counts, np.zeros((more, 2), dtype=np.int64)]
        )
        self._make_room(have + more, self._bids.shape[1])

    def _widen(self) -> None:
        """Make room for more prices of each book."""
        have, columns = self._bids.shape
        self._make_room(have, min(2 * columns, PRICES_MAX))

    def _make_room(self, chains: int, prices: int) -> None:
        self._bids = _grown(self._bids, chains, prices)
        self._bid_sizes = _grown(self._bid_sizes, chains, prices)
        self._asks = _grown(self._asks, chains, prices)
        self._ask_sizes = _grown(self._ask_sizes, chains, prices)


def _grown(books: Floats, chains: int, prices: int) -> Floats:
    """Return books with room for more."""
    grown = np.zeros((chains, prices))
    grown[: books.shape[0], : books.shape[1]] = books
    return grown


def _levels(prices: Floats, sizes: Floats) -> Levels:
    return tuple(zip(prices.tolist(), sizes[: prices.size].tolist(), strict=True))


def _fresh_states(count: int) -> Ints:
    return np.tile(np.array(FRESH, dtype=np.int64), (count, 1))
