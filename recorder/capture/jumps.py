"""Updates whose ids show that others are missing, and those that come late.

One that comes late, out of a gap, is stored though the book does not need it any
more; when all of a gap came, it is marked ``healed_by = 'late'``.
"""

from collections.abc import Callable

import msgspec

from recorder.capture.depth_chain import DepthChain
from recorder.continuity import is_row_gap
from recorder.model import Gap, LedgerRow
from recorder.store.ledger import Ledger
from recorder.transitions import NO_ID


class Jumps:
    """Tells the ledger of ranges of book changes that are missing.

    Args:
        ledger: Told of them.
        note: Takes ledger rows to store.
    """

    def __init__(self, ledger: Ledger, note: Callable[[list[LedgerRow]], None]) -> None:
        self._ledger = ledger
        self._note = note

    def missed(self, book: DepthChain, ts_recv: int, before: int, first: int) -> None:
        """Note that updates between two ids are missing."""
        rows = self._ledger.missed(
            book.chain,
            "sequence_gap",
            book.last_at + 1,
            ts_recv,
            after_update_id=before,
            before_update_id=first,
        )
        self._note(rows)
        gaps = [row for row in rows if isinstance(row, Gap)]
        for gap in gaps:
            book.miss(gap, before + 1, first - 1)
        if not gaps:  # the chain is in a gap, and yet it may come late
            book.pass_over(before + 1, first - 1)

    def passed(
        self, book: DepthChain, at: int, received: int, first: int | None, base: int
    ) -> None:
        """Note the changes that come after what was received, up to a snapshot.

        Those before its first id are missing, if it says one. For the rest it
        stands; they may still come, late, as updates.
        """
        if first is not None and is_row_gap(received, first):
            self.missed(book, at, received, first)
            received = first - 1
        if base > received:
            book.pass_over(received + 1, base)

    def goes_on(
        self,
        book: DepthChain,
        at: int,
        first: int | None,
        last: int | None,
        *,
        is_snapshot: bool = False,
    ) -> None:
        """Note a message of a book that was begun anew; its connection goes on."""
        before = book.goes_on_from
        if before == NO_ID or last is None or last <= before:
            return
        book.goes_on_from = NO_ID
        if is_snapshot:
            self.passed(book, at, before, first, last)
        elif first is not None and is_row_gap(before, first):
            self.missed(book, at, before, first)

    def filled(self, book: DepthChain, first: int | None, last: int | None) -> bool:
        """Return whether an update comes late, out of a gap: it is no double.

        The book does not need it any more, the data does.
        """
        if first is None or last is None:
            return False
        gaps = book.fill(first, last)
        for gap in gaps:
            if gap not in book.missing:
                healed = msgspec.structs.replace(gap, healed_by="late")
                self._note([healed])
        return bool(gaps)
