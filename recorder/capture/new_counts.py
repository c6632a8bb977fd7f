"""Stale depth messages: doubles, late ones, or the first of a new numbering?

A venue may begin to number its updates anew on a connection that goes on.
The first ones look like doubles. So stale messages that were not seen lately
are *suspects*: they are kept, as `DepthChain.suspects`, until it is clear
what they are. They are doubles if updates go on in the old numbers, and late
ones if they end where the connection began. Many of them, or the end of the
connection, mean a new numbering. Snapshots that come meanwhile are not believed.

Updates that fill a gap are late ones, and are stored as they come. But if the
venue, or one message of it, has jumped far ahead and its updates go on where they
were before, all of them fill that gap: nothing would be told of what is lost among
them, and the book would never be known. So many in a row that do not get near its
end are a new numbering, too.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, TypedDict

from recorder.capture.depth_chain import DepthChain, LateRun, Message, Put
from recorder.counts import counted
from recorder.model import Chain, Gap, LedgerRow
from recorder.store.ledger import Ledger
from recorder.telemetry import RowDoubled, emit


SUSPECTS_MAX: Final = 20
"""So many stale messages with ids that increase: the venue counts anew."""

LATE_SHARE: Final = 100
"""Late updates are a numbering of their own if so many times as many ids as they
brought would have to come before they reach what was received."""

UNCLEAR_MAX: Final = 3 * SUSPECTS_MAX
"""So many stale messages whatever their ids."""


_STARTED_OVER: Final = "the venue's update ids started over at lower numbers"


class _Told(TypedDict):
    """What a gap says besides when and why."""

    detail: str
    after_update_id: int
    before_update_id: int


class NewCounts:
    """Decides about suspects.

    Args:
        ledger: Told of every new numbering.
        note: Takes ledger rows to store.
        put: Takes rows to store.
        take: Takes messages that are no doubles after all.
        start_over: Asks for a snapshot of a chain, at a time.
        missed: Tells of ids that are missing: as `Jumps.missed`.
    """

    def __init__(
        self,
        ledger: Ledger,
        note: Callable[[list[LedgerRow]], None],
        put: Put,
        take: Callable[[Message], None],
        start_over: Callable[[DepthChain, int], None],
        missed: Callable[[DepthChain, int, int, int], None],
    ) -> None:
        self._ledger = ledger
        self._note = note
        self._put = put
        self._take = take
        self._start_over = start_over
        self._missed = missed
        self._told: list[tuple[Chain, int]] = []

    def suspect(self, book: DepthChain, message: Message) -> None:
        """Take a stale message: count it as a double, and keep it if it may be none."""
        emit(RowDoubled(market=book.chain.market, stream=book.chain.stream))
        if message.event.last_update_id is None or message.name in book.recent:
            return
        suspects = book.suspects
        if suspects and not _goes_on(suspects[-1], message):
            if any(message.event == suspect.event for suspect in suspects):
                return
            if not _has_snapshot(suspects):
                self.decide(book)
                self._take(message)
                return
        suspects.append(message)
        if _run(suspects) >= SUSPECTS_MAX or len(suspects) >= UNCLEAR_MAX:
            self._count_anew(book)

    def weigh(self, book: DepthChain, late: Message) -> None:
        """Note that an update came that the old numbering lacked.

        If it does not continue the suspects, the old numbering goes on.
        """
        if book.suspects and _start_of(late) != _end_of(book.suspects[-1]) + 1:
            self.pass_over(book)

    def came_late(self, book: DepthChain, message: Message, before_at: int) -> None:
        """Note an update that was stored as a late one.

        Args:
            book: Whose.
            message: The update.
            before_at: When the message before it was received.
        """
        first, last = message.ids
        if book.suspects or first is None or last is None or message.event.is_snapshot:
            return
        run, received = book.late, book.continuity.received
        if run is None or run.received != received or first <= run.last:
            run = LateRun(received, before_at + 1, message.ts_recv, first, last)
        run = book.late = run._replace(last=last, length=run.length + 1)
        brought = last - run.first + 1
        if run.length >= SUSPECTS_MAX and received - last > LATE_SHARE * brought:
            self._go_back(book, run, message)

    def _go_back(self, book: DepthChain, run: LateRun, message: Message) -> None:
        """Take updates that came late for those of a new numbering."""
        self._tell(book, run.since, run.began_at, run.first, _STARTED_OVER)
        self._told.append((book.chain, run.since - 1))
        book.count_anew()
        # They are stored; what follows has to go on from the last of them.
        book.continuity.update(*message.ids)
        book.begin(run.first)
        book.note(message)
        self._start_over(book, message.ts_recv)

    def decide(self, book: DepthChain) -> None:
        """Decide about suspects of which no more will come."""
        if _has_snapshot(book.suspects):
            self._leave_out(book)
        elif book.suspects and book.are_first():
            self.pass_over(book)
        elif book.suspects:
            self._count_anew(book)

    def pass_over(self, book: DepthChain) -> None:
        """Go on in the old numbering: suspects are doubles unless they came late.

        Ids that are missing among those, and up to where the connection began, did
        not come with them: a gap says so.
        """
        late = [suspect for suspect in book.suspects if book.is_new(suspect)]
        updates = [message for message in late if not message.event.is_snapshot]
        jumps = {
            after.name: (_end_of(before), _start_of(after))
            for before, after in pairwise(updates)
            if _end_of(before) + 1 < _start_of(after)
        }
        if updates and _end_of(updates[-1]) + 1 < book.began:
            self._missed(book, updates[0].ts_recv, _end_of(updates[-1]), book.began)
        for message in late:
            if message.name in jumps:
                self._missed(book, message.ts_recv, *jumps[message.name])
            book.note(message)
            book.last_at = max(book.last_at, message.ts_recv)
            self._put(*message)
        book.suspects = []

    def take_told(self) -> list[tuple[Chain, int]]:
        """Return chains that are counted anew, and when their last old row came.

        Once.
        """
        told, self._told = self._told, []
        return told

    def _leave_out(self, book: DepthChain) -> None:
        """Tell of suspects of which it stays unclear what they are.

        An old snapshot must not be shown as the book, nor may the book be
        shown if it is a new one. So none of them is stored, and a gap of a
        new numbering says so.
        """
        suspects, book.suspects = book.suspects, []
        since = suspects[0].ts_recv
        self._tell(
            book,
            since,
            suspects[-1].ts_recv + 1,
            min(map(_start_of, suspects)),
            f"{counted(len(suspects), 'message')} with older ids, late or of a new "
            "numbering, came last: left out",
        )

    def _tell(
        self, book: DepthChain, since: int, until: int, first: int, detail: str
    ) -> None:
        """Tell the ledger of messages that may be the first of a new numbering."""
        chain, ledger, after = book.chain, self._ledger, book.continuity.received
        told: _Told = {
            "detail": detail,
            "after_update_id": after,
            "before_update_id": first,
        }
        if ledger.is_covered(chain):
            rows = ledger.missed(chain, "sequence_gap", since, until, **told)
        else:  # a gap that began before must not hide it
            rows = ledger.end_gap(chain, since)
            begun = ledger.lost(chain, "sequence_gap", since, **told)
            if all(gap.started_at > since for gap in begun if isinstance(gap, Gap)):
                # Other gaps tell of the time before: where it began, none says.
                begun += ledger.missed(chain, "sequence_gap", since, since, **told)
            rows += begun
        self._note(rows)
        gap = ledger.book_gap(chain)
        if gap is not None and since < gap.started_at:  # for another reason, later
            until = gap.started_at
            self._note(
                ledger.book_was_lost(chain, "resync", since, until, detail=detail)
            )
        self._note(ledger.book_lost(chain, "resync", since))

    def _count_anew(self, book: DepthChain) -> None:
        """Take the suspects for the first messages of a new numbering."""
        suspects, book.suspects = book.suspects, []
        began_at = suspects[0].ts_recv
        # A snapshot of the old numbering that came later proves nothing.
        proven_at = book.known_since if book.known_since < began_at else 0
        since = min(max(book.last_at, proven_at) + 1, began_at)
        self._tell(
            book,
            since,
            began_at,
            _start_of(suspects[0]),
            _STARTED_OVER,
        )
        self._told.append((book.chain, since - 1))
        book.count_anew()
        for suspect in suspects:
            self._take(suspect)
        self._start_over(book, suspects[-1].ts_recv)


def _start_of(message: Message) -> int:
    first, last = message.ids
    return (last if first is None else first) or 0


def _end_of(message: Message) -> int:
    return message.event.last_update_id or 0


def _goes_on(before: Message, after: Message) -> bool:
    """Return whether the ids of a message lie beyond those of another."""
    return _start_of(after) > _end_of(before)


def _has_snapshot(suspects: Sequence[Message]) -> bool:
    return any(suspect.event.is_snapshot for suspect in suspects)


def _run(suspects: Sequence[Message]) -> int:
    """Return how many messages at the end have ids that increase."""
    count = 1
    for before, after in pairwise(suspects):
        count = count + 1 if _goes_on(before, after) else 1
    return count
