"""Audits: books that are known are compared with the venue's own, now and then.

A snapshot is asked for by HTTP, as it is for a book that is not known, and laid
beside the book when that comes to its id (`recorder.replay.audits`). Here it is
decided which book is next and when, and what follows: agreement is counted; a
difference makes a gap ``audit_mismatch`` of scope ``book``, from the last time
at which the book was proved right, and only a snapshot mends it.

Only books with ids whose snapshots are had by HTTP can be audited. Requests are
spread evenly over the interval, stay below a share of what the venue allows, and
are made only while no book waits for a snapshot.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from recorder.capture.books import Books
from recorder.capture.depth_chain import DepthChain
from recorder.capture.rows import Rows
from recorder.errors import WireError
from recorder.model import Chain, DepthUpdate, RawLevels, parse_levels
from recorder.replay.audits import Compared, Difference, Order, told
from recorder.source import Secrets, Source
from recorder.telemetry import AuditFailed, BookMismatch, BooksAudited, emit
from recorder.transitions import NO_ID


SHARE: Final = 0.2
"""Of the calls that a venue allows, audits make so many at most."""

AGAIN_SHARE: Final = 0.05
"""What could not be compared is asked for again after so much of the interval, and
later each time."""

AGAIN_MIN_NS: Final = 1_000_000_000

ORDERS_MAX: Final = 64
"""Snapshots that may wait to be taken away. They are with each flush, and while the
disk refuses there is none for hours."""


class _Audited(msgspec.Struct):
    """What is known of the audits of one chain.

    Attributes:
        due_at: When it is to be audited next, nanoseconds.
        again_ns: How long to wait if that fails.
        right_at: Our clock at the last row after which it was proved right.
        suspicion: Differences that one snapshot showed, and no proof yet.
        epoch: Of the chain when the snapshot was asked for.
    """

    due_at: int
    again_ns: int
    right_at: int = 0
    suspicion: frozenset[Difference] = frozenset()
    epoch: int = 0


class _Evidence(NamedTuple):
    """A snapshot that waits for its book, with its place in the data."""

    event: DepthUpdate[RawLevels]
    ts_recv: int
    body: bytes
    conn: str
    seq: int


class Audits:
    """The audits of a run.

    Args:
        source: The feed.
        chains: What is recorded.
        books: The depth chains among them.
        rows: Takes snapshots that differ, as evidence.
        secrets: Are blotted out of what the venue answers.
        every_ns: How often each book is audited; 0 for never.
        now: When the run began, nanoseconds.

    Attributes:
        equal: How often a book was found right.
        mismatched: How often one was found wrong.
        total: How many books can be audited.
    """

    def __init__(
        self,
        source: Source,
        chains: Sequence[Chain],
        books: Books,
        rows: Rows,
        secrets: Secrets,
        every_ns: int,
        now: int,
    ) -> None:
        self.equal = 0
        self.mismatched = 0
        self._source = source
        self._books = books
        self._rows = rows
        self._secrets = secrets
        self._every_ns = every_ns
        self._told_at = now
        self._told = (0, 0)
        mine = [c for c in chains if c in books and _can_be_audited(source, c)]
        if not every_ns:
            mine = []
        again_ns = max(int(self._every_ns * AGAIN_SHARE), AGAIN_MIN_NS)
        # The first time, too, they are spread over the interval.
        self._chains = {
            chain: _Audited(now + self._every_ns * (n + 1) // len(mine), again_ns)
            for n, chain in enumerate(mine)
        }
        self._again_ns = again_ns
        self._pace_ns = int(1e9 / (SHARE * source.rest_per_second))
        self._next_at = now
        self._orders: list[Order] = []
        self._waiting: dict[Chain, _Evidence] = {}

    @property
    def total(self) -> int:
        """How many books can be audited."""
        return len(self._chains)

    def next_due(self, now: int) -> Chain | None:
        """Return a book to ask a snapshot for now; it counts as asked."""
        if now < self._next_at or not self._chains:
            return None
        if len(self._orders) >= ORDERS_MAX:
            return None
        chain, mine = min(self._chains.items(), key=lambda item: item[1].due_at)
        if mine.due_at > now:
            self._next_at = min(mine.due_at, now + self._pace_ns)
            return None
        self._next_at = now + self._pace_ns
        mine.due_at = now + self._every_ns
        book = self._books[chain]
        if not book.is_live or book.suspects:
            return None  # it is being mended, by a snapshot
        mine.epoch = book.epoch
        return chain

    def take(self, chain: Chain, ts_recv: int, body: bytes) -> None:
        """Take the answer to a request."""
        rule, book, mine = (
            self._source.snapshot,
            self._books[chain],
            self._chains[chain],
        )
        if rule is None:
            raise ValueError(f"{self._source.name} has no snapshots by HTTP")
        body = self._secrets.hide_bytes(body)
        try:
            event = rule.decode(chain, body)
            order = _order(event, chain, ts_recv, book.rule.depth_limit)
        except (WireError, ValueError) as error:
            self.failed(chain, str(error), ts_recv)
            return
        if book.epoch != mine.epoch or not book.is_live:
            return
        self._waiting[chain] = _Evidence(event, ts_recv, body, *self._rows.rest_frame())
        self._orders.append(order)

    def failed(self, chain: Chain, why: str, now: int) -> None:
        """Note that a snapshot to compare with could not be had."""
        emit(AuditFailed(market=chain.market, why=self._secrets.hide(why)))
        self._again(chain, now)

    def take_orders(self) -> list[Order]:
        """Return the snapshots to compare with, once."""
        orders, self._orders = self._orders, []
        return orders

    def settle(self, compared: Iterable[Compared], now: int) -> None:
        """Take what became of snapshots."""
        for done in compared:
            if done.outcome != "compared":
                self._waiting.pop(done.order.chain, None)
                self._again(done.order.chain, now)
            elif done.differences:
                self._differs(done, now)
            else:
                self._agrees(done)
        if self._chains and now >= self._told_at + self._every_ns:
            self._told_at = now
            self._tell()

    def stop(self) -> None:
        """Say how many audits there were, if any."""
        self._tell()

    def _tell(self) -> None:
        if self._told != (self.equal, self.mismatched):
            self._told = self.equal, self.mismatched
            emit(
                BooksAudited(
                    books=self.total, equal=self.equal, mismatched=self.mismatched
                )
            )

    def _again(self, chain: Chain, now: int) -> None:
        mine = self._chains[chain]
        mine.due_at = min(mine.due_at, now + mine.again_ns)
        mine.again_ns = min(mine.again_ns * 2, self._every_ns)

    def _agrees(self, done: Compared) -> None:
        chain = done.order.chain
        mine = self._chains[chain]
        self._waiting.pop(chain, None)
        self.equal += 1
        mine.again_ns = self._again_ns
        mine.suspicion = frozenset()
        mine.right_at = max(mine.right_at, done.ts_recv)

    def _differs(self, done: Compared, now: int) -> None:
        chain = done.order.chain
        mine, book = self._chains[chain], self._books[chain]
        seen = frozenset(done.differences)
        proved = done.differences
        if not done.is_exact:
            # Across an update only what two snapshots show is believed.
            proved = tuple(d for d in done.differences if d in mine.suspicion)
        mine.suspicion = frozenset() if proved else seen
        evidence = self._waiting.pop(chain, None)
        if not proved:
            # At once, while it can be seen again.
            mine.due_at = now + AGAIN_MIN_NS
            return
        self.mismatched += 1
        mine.again_ns = self._again_ns
        self._tell_wrong(done, proved, book, mine)
        if evidence is not None:
            self._keep(evidence)

    def _tell_wrong(
        self,
        done: Compared,
        proved: tuple[Difference, ...],
        book: DepthChain,
        mine: _Audited,
    ) -> None:
        """Have a book known no more, from when it was last proved right."""
        at = done.ts_recv
        detail = f"at update {done.order.last_update_id}: {told(proved)}"
        since = max(book.known_from(at), mine.right_at) + 1
        self._books.mismatched(book.chain, min(since, at), at, detail)
        market, stream = book.chain
        emit(BookMismatch(market=market, stream=stream, detail=detail))

    def _keep(self, seen: _Evidence) -> None:
        """Store a snapshot that differs: it is not applied, but told."""
        event = msgspec.structs.replace(seen.event, origin="audit")
        self._rows.put(seen.ts_recv, seen.conn, seen.seq, 0, event, seen.body)


def _can_be_audited(source: Source, chain: Chain) -> bool:
    rule = source.book_rule(chain.stream)
    is_asked = rule is not None and rule.has_ids and rule.snapshot == "rest"
    return is_asked and source.snapshot is not None


def _order(
    event: DepthUpdate[RawLevels], chain: Chain, ts_recv: int, limit: int
) -> Order:
    """Return a snapshot as numbers; raises `WireError` if it is of no use."""
    last = NO_ID if event.last_update_id is None else event.last_update_id
    if last < 0:
        raise WireError("it has no id")
    bids, asks = parse_levels(event.bids), parse_levels(event.asks)
    return Order(chain, last, ts_recv, bids, asks, limit)
