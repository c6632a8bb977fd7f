"""The order book of one chain, plainly.

A chain is one market of one stream of a source; `recorder.continuity` judges
its messages. This module adds the levels, and the rule that a book whose
best bid is at or above its best ask is not known until the next snapshot.

How to feed it
--------------

Rows come in the order of ``ts_recv``, where updates precede the snapshot
fetched for them: they are held until it comes, as the live recorder does.
`Gap` rows are inputs too. A gap of rows means that something may be missing
from its ``started_at`` on: the book is not known until a snapshot comes, or
an update whose ids prove that nothing was missed. So a gap is never shown
across, and one that turns out to be empty (``healed_by`` ``sequence``, or
the gap of one of two jobs that record the same source) hides the book no
longer than until the next update. Gaps of scope ``book``, and those that are
told by ids (`is_told_by_ids`), say what the levels and ids show anyway,
except on streams without ids, and where an audit found the book wrong: then it is
not known until a snapshot comes.

A book is known *at its messages*. Between two of them a gap may begin that
only its own row tells of; for the book at an instant ask `book_at`, which
knows the ledger.

Streams without ids are a chain for each connection: a message of another
connection cannot be told from a double of one that came before. Give the
connection, and the book follows the one whose snapshot came last.

Rows of an origin among `UNAPPLIED` are not applied.

No I/O, no arrays; `recorder.replay.kernel` does the same in bulk, and tests
hold the two together.
"""

from bisect import bisect_left, insort
from typing import Final

from recorder.continuity import Continuity, Verdict
from recorder.errors import BookError, NotSyncedError
from recorder.model import TAKEN_OVER, UNAPPLIED, DepthUpdate, Gap, Level, Levels
from recorder.transitions import (
    ADOPT,
    APPLY,
    HOLD,
    IN_BAND,
    JOIN,
    PROVEN,
    RESTART,
    WAIT,
)


HELD_MAX: Final = 100_000
"""Updates held for a snapshot; a recorder asks for one within seconds.

When they are more, those held are forgotten and holding begins anew.
"""


_OF_NOBODY: Final = frozenset({"undecodable", "backpressure", "disk_full"})
_TOLD_BY_IDS: Final = _OF_NOBODY | {"sequence_gap"}


def is_told_by_ids(gap: Gap) -> bool:
    """Return whether ids show anyway what a gap of rows did to a chain.

    So it is where frames were lost while the connection went on: the next
    update tells whether one of this chain was among them. Unless the venue
    began to count anew.
    """
    after, before = gap.after_update_id, gap.before_update_id
    is_new_count = after is not None and before is not None and before <= after
    return gap.reason in _TOLD_BY_IDS and not is_new_count


def is_of_nobody(gap: Gap) -> bool:
    """Return whether nobody knows whose frames were lost in a gap of rows."""
    return gap.reason in _OF_NOBODY


def is_taken_over(gap: Gap) -> bool:
    """Return whether another run of the job recorded before anything was missing."""
    return gap.healed_by == TAKEN_OVER


def run_of_gap(gap: Gap) -> str:
    """Return the run that a gap befell."""
    return gap.gap_id.partition(".")[0]


def is_of_an_end(gap: Gap) -> bool:
    """Return whether a run ended, and that is all."""
    return gap.reason.startswith("process_")


def is_of_the_clock(gap: Gap) -> bool:
    """Return whether the wall clock was set, and that is all.

    Then our clock never showed the instants of a gap of rows, or showed others
    at another pace; what came over the connections came without a break.
    """
    return gap.reason == "clock_step"


def is_mismatch(gap: Gap) -> bool:
    """Return whether an audit found the book not to be the venue's.

    No id tells of that: it is not known from the gap's begin to a snapshot.
    """
    return gap.scope == "book" and gap.reason == "audit_mismatch"


class _Side:
    """Levels of one side: amounts by price, and the prices in order."""

    __slots__ = ("amounts", "prices")

    def __init__(self) -> None:
        self.amounts: dict[float, float] = {}
        self.prices: list[float] = []

    def clear(self) -> None:
        self.amounts.clear()
        self.prices.clear()

    def apply(self, levels: Levels) -> int:
        """Set or remove levels; return how many removed prices were unknown."""
        unknown_total = 0
        for price, amount in levels:
            if amount > 0:
                if price not in self.amounts:
                    insort(self.prices, price)
                self.amounts[price] = amount
            elif self.amounts.pop(price, None) is None:
                unknown_total += 1
            else:
                del self.prices[bisect_left(self.prices, price)]
        return unknown_total


class OrderBook:
    """The resting levels of one chain, known or not.

    Args:
        held_max: Most updates held while a snapshot is awaited.

    Attributes:
        unknown_deletes: Removals of a price that the book did not hold.
        stale: Updates that were wholly received before.
        foreign: Messages of a connection that the book does not follow.
        crossings: How often the best bid was at or above the best ask.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "_chain",
        "_conn",
        "_continuity",
        "_held",
        "_held_max",
        "_waiting",
        "crossings",
        "foreign",
        "stale",
        "unknown_deletes",
    )

    def __init__(self, *, held_max: int = HELD_MAX) -> None:
        self._continuity = Continuity()
        self._bids = _Side()
        self._asks = _Side()
        self._held: list[DepthUpdate[Levels]] = []
        self._held_max = held_max
        self._waiting: DepthUpdate[Levels] | None = None
        self._chain: tuple[str, str] | None = None
        self._conn: str | None = None
        self.unknown_deletes = 0
        self.stale = 0
        self.foreign = 0
        self.crossings = 0

    def __repr__(self) -> str:
        market, stream = self._chain or ("?", "?")
        return f"<OrderBook {market} {stream} {self._continuity.state_name}>"

    @property
    def is_known(self) -> bool:
        """Whether the book may be shown."""
        return self._continuity.is_live

    @property
    def last_update_id(self) -> int | None:
        """Id of the last book change applied; None on streams without ids.

        Raises:
            NotSyncedError: If the book is not known.
        """
        self._require_known()
        applied = self._continuity.applied
        return None if applied < 0 else applied

    @property
    def best_bid(self) -> Level | None:
        """Highest bid as (price, amount); None if there are no bids.

        Raises:
            NotSyncedError: If the book is not known.
        """
        self._require_known()
        return self._best(self._bids, -1)

    @property
    def best_ask(self) -> Level | None:
        """Lowest ask as (price, amount); None if there are no asks.

        Raises:
            NotSyncedError: If the book is not known.
        """
        self._require_known()
        return self._best(self._asks, 0)

    def bbo(self) -> tuple[Level | None, Level | None]:
        """Return best bid and best ask; None for an empty side.

        Raises:
            NotSyncedError: If the book is not known.
        """
        return self.best_bid, self.best_ask

    def top(self, levels: int) -> tuple[Levels, Levels]:
        """Return bids and asks, best first.

        Args:
            levels: Most levels to return of each side.

        Raises:
            NotSyncedError: If the book is not known.
        """
        self._require_known()
        bids = self._bids.prices[: -levels - 1 : -1]
        asks = self._asks.prices[:levels]
        return (
            tuple((price, self._bids.amounts[price]) for price in bids),
            tuple((price, self._asks.amounts[price]) for price in asks),
        )

    def apply(
        self, event: DepthUpdate[Levels] | Gap, *, conn: str | None = None
    ) -> Verdict | None:
        """Take the next event of the chain.

        Args:
            event: A depth message, or a gap; gaps of other chains are
                passed over.
            conn: The connection it came over. Needed only where a stream
                without ids is recorded over several.

        Returns:
            What was made of it; None if it says nothing about this book.

        Raises:
            BookError: If it is a message of another chain than those before, or
                neither a depth message nor a gap.
            ValueError: If its ids or a price are impossible.
        """
        if isinstance(event, Gap):
            return self._apply_gap(event)
        if not isinstance(event, DepthUpdate):
            raise BookError(
                "an order book takes depth messages and gaps, no "
                f"{type(event).__name__}; replay only a depth stream into it"
            )
        chain = (event.market, event.stream)
        if self._chain is None:
            self._chain = chain
        elif self._chain != chain:
            raise BookError(
                f"this is the book of {' '.join(self._chain)}, not of {' '.join(chain)}"
            )
        _check_prices(event)
        if event.origin in UNAPPLIED:
            return None
        if event.last_update_id is None and self._is_foreign(event, conn):
            self.foreign += 1
            return None
        if event.is_snapshot:
            return self._apply_snapshot(event)
        return self._apply_update(event)

    def lost(self) -> Verdict:
        """Note that messages may be missing from here on."""
        self._forget()
        return self._continuity.lost()

    def doubted(self) -> Verdict:
        """Note that messages may be missing, of which ids would tell."""
        return self._continuity.doubted()

    def _apply_gap(self, gap: Gap) -> Verdict | None:
        market, stream = self._chain or (None, None)
        if gap.market not in (None, market) or gap.stream not in (None, stream):
            return None
        if is_of_the_clock(gap):
            return None
        chain = self._continuity
        has_ids = max(chain.applied, chain.received) >= 0
        if is_taken_over(gap) and has_ids:
            return None
        if not has_ids and self._run not in (None, run_of_gap(gap)):
            return None  # it followed connections of its own
        if has_ids and is_mismatch(gap):
            self._forget()
            return chain.crossed()
        if has_ids and gap.scope == "book":
            return None
        if has_ids and is_told_by_ids(gap):
            return self.doubted() if is_of_nobody(gap) else None
        return self.lost()

    @property
    def _run(self) -> str | None:
        """The run whose connection the book follows; None if it is not known."""
        return None if self._conn is None else self._conn.partition(".")[0]

    def _is_foreign(self, event: DepthUpdate[Levels], conn: str | None) -> bool:
        if event.is_snapshot:
            self._conn = conn
        return conn != self._conn

    def _apply_update(self, event: DepthUpdate[Levels]) -> Verdict:
        if len(self._held) >= self._held_max:
            self.lost()
        verdict = self._continuity.update(event.first_update_id, event.last_update_id)
        if verdict.action == APPLY:
            self._forget()
            self._change(event)
            return self._checked(verdict, self._is_crossed)
        if verdict.action == JOIN and self._waiting is not None:
            self._held.append(event)
            return self._checked(verdict, self._adopt(self._waiting))
        if verdict.action == RESTART:
            self._held.clear()
        if verdict.action in (HOLD, RESTART):
            self._held.append(event)
        self.stale += verdict.is_double
        return verdict

    def _apply_snapshot(self, event: DepthUpdate[Levels]) -> Verdict:
        origin = IN_BAND if event.origin == "live" else PROVEN
        verdict = self._continuity.snapshot(event.last_update_id, origin)
        if verdict.action == WAIT:
            self._waiting = event
        if verdict.action != ADOPT:
            return verdict
        return self._checked(verdict, self._adopt(event))

    def _adopt(self, event: DepthUpdate[Levels]) -> bool:
        """Replace the book by a snapshot, then apply the updates held for it.

        Returns:
            Whether the book was crossed on the way: a false level may be left,
            also where it is no more.
        """
        self._bids.clear()
        self._asks.clear()
        self._bids.apply(event.bids)
        self._asks.apply(event.asks)
        was_crossed = self._is_crossed
        for held in self._held:
            # Where updates are held both have ids: others were refused.
            if (held.last_update_id or 0) > (event.last_update_id or 0):
                self._change(held)
                was_crossed |= self._is_crossed
        self._forget()
        return was_crossed

    def _forget(self) -> None:
        self._held.clear()
        self._waiting = None

    def _change(self, event: DepthUpdate[Levels]) -> None:
        self.unknown_deletes += self._bids.apply(event.bids)
        self.unknown_deletes += self._asks.apply(event.asks)

    @property
    def _is_crossed(self) -> bool:
        bids, asks = self._bids.prices, self._asks.prices
        return bool(bids and asks) and bids[-1] >= asks[0]

    def _checked(self, verdict: Verdict, was_crossed: bool) -> Verdict:  # noqa: FBT001 - private
        """Return the verdict, or another if the book was crossed."""
        if not was_crossed:
            return verdict
        self.crossings += 1
        return self._continuity.crossed()

    @staticmethod
    def _best(side: _Side, end: int) -> Level | None:
        if not side.prices:
            return None
        price = side.prices[end]
        return price, side.amounts[price]

    def _require_known(self) -> None:
        if not self.is_known:
            raise NotSyncedError(
                f"the book is not known at this instant ({self._continuity.state_name})"
            )


def _check_prices(event: DepthUpdate[Levels]) -> None:
    for levels in (event.bids, event.asks):
        for price, _ in levels:
            if price != price:
                raise ValueError("a level without a price")
