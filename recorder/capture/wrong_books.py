"""Books that are found wrong some time after the row that made them so.

What the writer's thread finds comes a second or two late. By then the book may
have been mended by a snapshot, or lost for another reason: then it was not known
from the row on until then. Otherwise it is asked for afresh, and only a snapshot
mends it.
"""

from collections.abc import Callable

from recorder.capture.depth_chain import DepthChain
from recorder.model import LedgerRow
from recorder.store.ledger import Ledger
from recorder.transitions import BROKEN, LIVE


def crossed_by(update_id: int | None) -> str:
    """Return in words after which row a book was crossed."""
    return f"after update {update_id}"


class WrongBooks:
    """Tells the ledger of wrong books, and has them mended.

    Args:
        ledger: Told of them.
        note: Takes ledger rows to store.
        start_over: Asks for a snapshot of a chain, at a time.
    """

    def __init__(
        self,
        ledger: Ledger,
        note: Callable[[list[LedgerRow]], None],
        start_over: Callable[[DepthChain, int], None],
    ) -> None:
        self._ledger = ledger
        self._note = note
        self._start_over = start_over

    def tell(
        self, book: DepthChain, reason: str, since: int, ts_recv: int, detail: str
    ) -> bool:
        """Note that a book was found wrong.

        Args:
            book: Whose.
            reason: Of the gap.
            since: From when on it cannot be believed.
            ts_recv: Our clock at the row after which it was found wrong.
            detail: What is wrong, for people.

        Returns:
            Whether it was known until now, and is no more.
        """
        chain, state = book.chain, book.continuity.state
        is_past = ts_recv < book.known_since
        if not is_past and state in (LIVE, BROKEN):
            book.continuity.crossed()  # it is to come back by a snapshot only
        if not is_past and state == LIVE:
            self._note(self._ledger.book_lost(chain, reason, since, detail=detail))
            self._start_over(book, ts_recv)
            return True
        # It was mended or lost meanwhile; until then it was not known. Rows that
        # waited for another run's end are stored later than they were received.
        until = book.mended_at(ts_recv) if is_past else book.last_at + 1
        until = max(until, ts_recv + 1)
        self._note(
            self._ledger.book_was_lost(chain, reason, since, until, detail=detail)
        )
        return False

    def spoil(
        self,
        book: DepthChain,
        ts_recv: int,
        error: str,
        ids: tuple[int, int] | None,
    ) -> None:
        """Note that a row could not be stored: replays know nothing of it.

        Args:
            book: Whose.
            ts_recv: Our clock at the row.
            error: Why, for people.
            ids: First and last book change that it said, if it said so.
        """
        chain, ledger = book.chain, self._ledger
        after, before = (None, None) if ids is None else (ids[0] - 1, ids[1] + 1)
        self._note(
            ledger.missed(
                *(chain, "undecodable", ts_recv, ts_recv + 1),
                detail=error,
                after_update_id=after,
                before_update_id=before,
            )
        )
        gap = ledger.book_gap(chain)
        lost_at = ts_recv if gap is None else gap.started_at
        if ts_recv < lost_at:  # for another reason, and later than in truth
            is_past = ts_recv < book.known_since
            until = min(lost_at, book.mended_at(ts_recv)) if is_past else lost_at
            self._note(
                ledger.book_was_lost(chain, "resync", ts_recv, until, detail=error)
            )
        book.continuity.crossed()
        book.spoil(ts_recv)
        self._note(ledger.book_lost(chain, "resync", ts_recv))
        self._start_over(book, ts_recv)
