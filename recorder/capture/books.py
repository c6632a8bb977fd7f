"""The order books of a run, as far as recording needs them: are they known?

No levels are kept here. For each depth chain the sequence check of
`recorder.continuity` is run, rows that came before are left out, breaks go
to the ledger, and snapshots are asked for until the chain is live.

A snapshot had by HTTP may be a cached one. Updates prove it, as
`recorder.continuity` says; until then it waits (`DepthChain.pending`). With
nothing received the venue's clock can prove that it is younger than the
subscription. It is stored once it is proven, with the time at which it was
received. Snapshots that come on the socket are the matter of
`recorder.capture.images`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from recorder.capture.backlog import Backlog
from recorder.capture.depth_chain import FIRST_RETRY_NS, DepthChain, Message, Put
from recorder.capture.images import Images
from recorder.capture.jumps import Jumps
from recorder.capture.new_counts import NewCounts
from recorder.capture.snapshot_queue import SnapshotQueue
from recorder.capture.wrong_books import WrongBooks, crossed_by
from recorder.continuity import Verdict, is_row_gap
from recorder.model import Chain, DepthUpdate, LedgerRow, RawLevels
from recorder.source import BookRule
from recorder.store.ledger import Ledger
from recorder.telemetry import RowDoubled, emit
from recorder.transitions import (
    ADOPT,
    ASKED,
    IN_BAND,
    JOIN,
    NO_ID,
    PROVEN,
    RESTART,
    WAIT,
)


FIRST_ASK_NS: Final = 100_000_000
"""After the first held update, before the snapshot is asked for."""

QUIET_ASK_NS: Final = 1_500_000_000
"""After an acceptance without any update, before a snapshot is asked for."""


class Books:
    """All depth chains of a run.

    Args:
        chains: The depth chains with their rules.
        ledger: Told of every break.
        put: Takes rows to store.
        note: Takes ledger rows to store.

    Attributes:
        believed: As of `Images`.
        doubted: As of `Images`.
    """

    def __init__(
        self,
        chains: Iterable[tuple[Chain, BookRule]],
        ledger: Ledger,
        put: Put,
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        # Looked up by plain tuples: to make a `Chain` takes longer than the rest.
        self._books: dict[tuple[str, str], DepthChain] = {
            chain: DepthChain(chain, rule) for chain, rule in chains
        }
        self._ledger = ledger
        self._put = put
        self._note = note
        self._queue = SnapshotQueue()
        self._lost: list[tuple[Chain, int]] = []
        self._jumps = Jumps(ledger, note)
        self._images = Images(self._books.values(), ledger, note)
        self._backlog = Backlog(ledger, note, self._jumps, self._images, self._stale)
        self.believed = self._images.believed
        self.doubted = self._images.doubted
        self._counts = NewCounts(
            *(ledger, note, put, self._take, self._start_over, self._jumps.missed)
        )
        self._wrong = WrongBooks(ledger, note, self._start_over)
        self._found_wrong: list[tuple[Chain, int]] = []

    def __contains__(self, chain: Chain) -> bool:
        return chain in self._books

    def __getitem__(self, chain: Chain) -> DepthChain:
        """Return what is known of a chain, to be looked at."""
        return self._books[chain]

    @property
    def known_total(self) -> int:
        """Books that are known now."""
        return sum(book.is_live for book in self._books.values())

    @property
    def total(self) -> int:
        """Books that are to be kept."""
        return len(self._books)

    def states(self) -> dict[Chain, str]:
        """Return the state of every chain, in words."""
        return {book.chain: book.continuity.state_name for book in self.all()}

    def all(self) -> list[DepthChain]:
        """Return what is known of each chain."""
        return list(self._books.values())

    def accepted(self, chain: Chain, at: int, ts_event: int | None) -> bool:
        """Note that the venue accepted the chain: its updates will come.

        Returns:
            Whether it counts as recorded now; if not, it will be among
            `believed` once its snapshot came.
        """
        book = self._books[chain]
        if not (book.rule.has_ids or self._ledger.is_covered(chain)):
            book.continuity.lost()  # a replay loses it where its gap ends
        is_believed = self._images.accepted(book, at)
        if book.continuity.is_live:
            return is_believed
        book.accepted_event = ts_event
        if book.continuity.received == NO_ID and not self._ledger.is_covered(chain):
            book.last_at = at
        self._note(
            self._ledger.book_lost(
                chain, "resync", at, detail="the first snapshot is awaited"
            )
        )
        if book.rule.snapshot == "rest":
            self._queue.ask(book, at + QUIET_ASK_NS)
        return is_believed

    def lost(self, chain: Chain, next_opened_at: int | None = None) -> int | None:
        """Note that the connection went away; return the last id received.

        Args:
            chain: What it brought.
            next_opened_at: When the one that goes on was opened, if one does.
        """
        book = self._books[chain]
        self._counts.decide(book)  # more of them will not come
        received = book.continuity.received
        if received != NO_ID and not self._ledger.is_covered(chain):
            at = book.last_at + 1
            self._note(self._ledger.end_gap(chain, at))
            self._note(self._ledger.lost(chain, "connect_lost", at))
        self._break_off(book)
        if next_opened_at is not None:
            self._backlog.begin(book, next_opened_at)
        return None if received == NO_ID else received

    def stop(self) -> None:
        """Store what was kept until it is clear what it is."""
        for book in self._books.values():
            self._counts.decide(book)

    def event(
        self,
        ts_recv: int,
        conn: str,
        seq: int,
        idx: int,
        event: DepthUpdate[RawLevels],
        payload: bytes,
    ) -> bool:
        """Take a depth message; return False if nobody asked for its chain."""
        book = self._books.get((event.market, event.stream))
        if book is None:
            return False
        first, last = event.first_update_id, event.last_update_id
        if event.is_snapshot or not book.continuity.follows(first, last):
            message = Message(ts_recv, conn, seq, idx, event, payload)
            if self._backlog.takes(book, message):
                return True
            if event.is_snapshot:
                self._in_band(book, message)
                return True
            if not self._is_taken(book, message):
                return True
        elif book.suspects:
            self._counts.pass_over(book)
        if first is not None and last is not None:
            book.recent.append((False, first, last))
        book.last_at = ts_recv
        self._put(ts_recv, conn, seq, idx, event, payload)
        return True

    def _is_taken(self, book: DepthChain, message: Message) -> bool:
        """Judge an update that is not routine; return whether it is to be stored."""
        first, last = message.ids
        continuity = book.continuity
        before = continuity.received
        proven = continuity.applied if before == NO_ID else NO_ID
        held_first = continuity.held_first
        if before == NO_ID and message.name in book.recent:
            emit(RowDoubled(market=book.chain.market, stream=book.chain.stream))
            return False
        verdict = continuity.update(first, last)
        if verdict.is_double:
            self._stale(book, message)
            return False
        if book.suspects:
            self._counts.pass_over(book)
        book.lower(message.ts_recv, first, held_first)
        book.begin(first)
        book.has_changes = book.rule.snapshot == "each"
        if verdict.was_live and first is not None and is_row_gap(proven, first):
            self._jumps.missed(book, message.ts_recv, proven, first)
        self._judge(book, verdict, message.ts_recv, before, first)
        return True

    def _judge(
        self,
        book: DepthChain,
        verdict: Verdict,
        ts_recv: int,
        before: int,
        first: int | None,
    ) -> None:
        """Tell the ledger what an update that is not routine means."""
        if verdict.is_row_gap and first is not None:
            self._jumps.missed(book, ts_recv, before, first)
        if verdict.was_live and not verdict.is_live:
            self._note(
                self._ledger.book_lost(
                    book.chain,
                    "resync",
                    book.last_at + 1 if verdict.is_row_gap else ts_recv,
                )
            )
        pending = book.pending
        if pending is not None and book.continuity.waiting == NO_ID:
            book.pending = None
            if verdict.action == JOIN:
                self._adopt(book, pending, None if book.is_pending_first else ts_recv)
                return
            book.tell_useless(pending.event.last_update_id)
        if verdict.is_live and not verdict.was_live:
            if before == NO_ID:  # else the connection was not lost
                self._note(self._ledger.healed(book.chain, "sequence"))
            self._images.known(book, ts_recv)
            self._known(book, ts_recv)  # the levels are those of before
        elif not verdict.is_live and book.rule.snapshot == "rest":
            is_new = verdict.action == RESTART
            self._queue.want(book, ts_recv + FIRST_ASK_NS, is_new=is_new)
        elif not verdict.is_live:
            self._images.missed(book)  # it precedes its changes
            if verdict.was_live or book.lacks_image:
                self._images.ask(book, ts_recv)

    def _take(self, message: Message) -> None:
        self.event(*message)

    def _stale(self, book: DepthChain, message: Message) -> None:
        """Take a message that lies wholly below what was received."""
        if message.name in book.recent:  # whatever is missing, it is here
            emit(RowDoubled(market=book.chain.market, stream=book.chain.stream))
            return
        is_late = self._jumps.filled(book, *message.ids)
        if book.was_passed(*message.ids) or is_late:
            self._counts.weigh(book, message)
            before_at = book.last_at
            book.note(message)
            if not book.suspects:  # else a gap may have begun before it
                book.last_at = message.ts_recv
            self._put(*message)
            self._counts.came_late(book, message, before_at)
        else:
            self._counts.suspect(book, message)

    def _in_band(self, book: DepthChain, message: Message) -> None:
        """Take a snapshot that came on the socket."""
        event, ts_recv = message.event, message.ts_recv
        base, first = event.last_update_id, event.first_update_id
        continuity = book.continuity
        received = continuity.received
        if base is not None and received == NO_ID:
            book.pass_over(base if first is None else first, base)
        elif base is not None:
            if book.is_repeated(first, base):
                emit(RowDoubled(market=book.chain.market, stream=book.chain.stream))
                return
            if base < received:
                is_useful = not continuity.is_live and base + 1 >= continuity.held_first
                if book.suspects or not is_useful:
                    self._stale(book, message)
                    return
            elif book.suspects:
                self._counts.pass_over(book)
            self._jumps.passed(book, ts_recv, received, first, base)
        verdict = continuity.snapshot(base, IN_BAND)
        if base is not None:
            book.begin(base + 1 if first is None else first)
            self._jumps.filled(book, first, base)
            book.recent.append(message.name)
        book.last_at = ts_recv
        self._put(*message)
        if verdict.action == ADOPT:
            book.pending = None
            self._images.came(book, ts_recv)
        if verdict.is_live and not verdict.was_live:
            self._known(book, ts_recv)

    def snapshot(
        self,
        chain: Chain,
        epoch: int,
        ts_recv: int,
        conn: str,
        seq: int,
        event: DepthUpdate[RawLevels],
        payload: bytes,
    ) -> None:
        """Take a snapshot asked for in an epoch; ValueError: an impossible id."""
        book = self._books[chain]
        if epoch != book.epoch:
            return
        book.is_asked = False
        continuity = book.continuity
        if continuity.is_live:
            return
        if book.suspects or book.awaits_update:  # which numbering is it of?
            self._queue.retry(book, ts_recv)
            return
        message = Message(ts_recv, conn, seq, 0, event, payload)
        is_first = continuity.received == NO_ID
        base = NO_ID if event.last_update_id is None else event.last_update_id
        book.is_pending_first = is_first and continuity.held_first <= base + 1
        is_proven = is_first and book.is_younger(event.ts_event)
        verdict = continuity.snapshot(
            event.last_update_id, PROVEN if is_proven else ASKED
        )
        if verdict.action == ADOPT:
            book.pending = None
            self._adopt(book, message, None)
        elif verdict.action == WAIT:
            book.pending = message
            # With nothing received, only a later clock could prove another.
            if event.ts_event is not None or not is_first:
                self._queue.retry(book, ts_recv)
        else:
            book.tell_useless(event.last_update_id)
            self._queue.retry(book, ts_recv)

    def snapshot_failed(self, chain: Chain, epoch: int, now: int) -> None:
        """Note that a snapshot could not be had; it will be asked for again."""
        book = self._books[chain]
        if epoch == book.epoch:
            book.is_asked = False
            self._queue.retry(book, now)

    def crossed(self, chain: Chain, ts_recv: int, update_id: int | None) -> None:
        """Note that the book was crossed by the row received at ``ts_recv``."""
        told = "crossed", ts_recv, ts_recv, crossed_by(update_id)
        self._wrong.tell(self._books[chain], *told)

    def mismatched(self, chain: Chain, since: int, at: int, detail: str) -> None:
        """Note that an audit found the book wrong; as `WrongBooks.tell` has it."""
        if self._wrong.tell(self._books[chain], "audit_mismatch", since, at, detail):
            self._found_wrong.append((chain, self._books[chain].last_at))

    def take_wrong(self) -> list[tuple[Chain, int]]:
        """Return chains that an audit found wrong, and when the last row came; once."""
        told, self._found_wrong = self._found_wrong, []
        return told

    def spoiled(
        self, chain: Chain, ts_recv: int, error: str, ids: tuple[int, int] | None = None
    ) -> None:
        """Note that a row was received but could not be stored; `WrongBooks.spoil`."""
        self._wrong.spoil(self._books[chain], ts_recv, error, ids)

    def unsure(self, chain: Chain, at: int, reason: str) -> None:
        """Note that messages were lost; only ids could tell whether of this."""
        book = self._books[chain]
        self._images.missed(book)
        continuity = book.continuity
        was_live = continuity.is_live
        if book.rule.has_ids:
            continuity.doubted()
        elif was_live:
            continuity.lost()
        if was_live and not continuity.is_live:
            self._lost.append((chain, book.last_at))
            self.ask_anew(chain, at, reason)

    def ask_anew(self, chain: Chain, at: int, reason: str) -> None:
        """Note that a book is not known from a time on, and ask for it."""
        self._note(self._ledger.book_lost(chain, "resync", at, detail=reason))
        self._start_over(self._books[chain], at)

    def take_lost(self) -> list[tuple[Chain, int]]:
        """Return chains of which messages may be missing, and when the last row came.

        Once.
        """
        told, self._lost = self._lost, []
        return told

    def take_counted_anew(self) -> list[tuple[Chain, int]]:
        """Return chains that the venue counts anew, and when the last old row came.

        Once.
        """
        return self._counts.take_told()

    def are_due(self, now: int) -> bool:
        """Return whether snapshots wait to be asked for."""
        return self._queue.is_due(now)

    def next_due(self, now: int) -> tuple[Chain, int] | None:
        """Return a chain to ask a snapshot for now, with its epoch."""
        book = self._queue.next_due(now)
        return None if book is None else (book.chain, book.epoch)

    def take_restarts(self, now: int) -> list[Chain]:
        """Return chains whose snapshot on the socket must be asked for afresh."""
        return self._images.take_restarts(now)

    def _break_off(self, book: DepthChain) -> None:
        """Forget what was known: messages may be missing from here on."""
        book.break_off()
        self._lost.append((book.chain, max(book.last_at, book.known_since)))

    def _start_over(self, book: DepthChain, at: int) -> None:
        if book.rule.snapshot == "rest":
            self._queue.ask(book, at + FIRST_ASK_NS)
        else:
            self._images.ask(book, at)

    def _adopt(self, book: DepthChain, proven: Message, at: int | None) -> None:
        """Store a snapshot; the book is known from ``at``, else from it on."""
        book.adopt(proven.ts_recv)
        self._put(*proven)
        self._known(book, proven.ts_recv if at is None else at)

    def _known(self, book: DepthChain, at: int) -> None:
        book.retry_ns = FIRST_RETRY_NS
        self._note(self._ledger.book_known(book.chain, at))
        book.tell_known()
