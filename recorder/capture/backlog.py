"""A book that goes on over a connection which was open already: what is behind?

Where one connection takes the place of another, and a process or the way stood
still, all that the first had brought may be read before anything of the second.
What the second then brings first is of the past: a snapshot older than the book,
and updates that are here. Taken for new, they would show a book of earlier, and be
stored twice.

So after such a change messages up to the last id of the connection before are left
out, but for those that were missing. It does not last long: a backlog is read at
once. Whoever goes on in lower ids counts anew.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from recorder.capture.depth_chain import DepthChain, Message
from recorder.capture.images import Images
from recorder.capture.jumps import Jumps
from recorder.model import LedgerRow
from recorder.store.ledger import Ledger
from recorder.telemetry import RowDoubled, emit
from recorder.transitions import NO_ID


BACKLOG_NS: Final = 10_000_000_000
"""How long after its first message a connection may bring what is of the past."""

ANEW: Final = "what came next had lower update ids, and was left out"


class Behind(NamedTuple):
    """How far a book had come before another connection brought it.

    Attributes:
        through: Last id received before.
        since: When the first message was left out; 0 if none was.
    """

    through: int
    since: int = 0


class Backlog:
    """Leaves out what is of the past.

    Args:
        ledger: Told of what was left out and was not of the past after all.
        note: Takes ledger rows to store.
        jumps: Told what comes first of a book that was begun anew.
        images: Asked for snapshots afresh.
        late: Takes messages that were missing.
    """

    def __init__(
        self,
        ledger: Ledger,
        note: Callable[[list[LedgerRow]], None],
        jumps: Jumps,
        images: Images,
        late: Callable[[DepthChain, Message], None],
    ) -> None:
        self._ledger = ledger
        self._note = note
        self._jumps = jumps
        self._images = images
        self._late = late

    @staticmethod
    def begin(book: DepthChain, opened_at: int) -> None:
        """Note that a connection goes on with a book that another brought.

        Args:
            book: What is known of it; its connection is lost already.
            opened_at: When the one that goes on was opened, nanoseconds.
        """
        if book.through != NO_ID and book.last_at > opened_at:
            book.behind = Behind(book.through)

    def takes(self, book: DepthChain, message: Message) -> bool:
        """Return whether a message is of the past: it is here, or comes late."""
        if self._is_past(book, message):
            return True
        is_snapshot = message.event.is_snapshot
        self._jumps.goes_on(
            book, message.ts_recv, *message.ids, is_snapshot=is_snapshot
        )
        return False

    def _is_past(self, book: DepthChain, message: Message) -> bool:
        behind, last = book.behind, message.event.last_update_id
        if behind is None or last is None:
            return False
        is_image = message.event.is_snapshot
        is_past = last < behind.through if is_image else last <= behind.through
        if not is_past:
            book.behind = None
            return False
        at = message.ts_recv
        if behind.since and at > behind.since + BACKLOG_NS:
            book.behind = None
            self._note(
                self._ledger.missed(
                    book.chain, "sequence_gap", behind.since, at, detail=ANEW
                )
            )
            return False
        book.behind = behind._replace(since=behind.since or at)
        if is_image:
            self._images.missed(book)
            self._images.ask(book, at)
        elif book.lacks(*message.ids):
            self._late(book, message)
            return True
        emit(RowDoubled(market=book.chain.market, stream=book.chain.stream))
        return True
