"""Snapshots that come on the socket: awaited, asked for afresh, believed.

A stream whose snapshot comes first of all is believed only when it came: the
venue accepts much of which it never sends anything. Until then the chain
stays in the gap that it is in. If the snapshot does not come within
`IN_BAND_NS` of the acceptance, that is a gap ``stale_stream`` from the
acceptance on, and the stream is asked for afresh, at growing distances.

A break of a book is mended the same way, and at once. What the venue would
have sent between the last update and the fresh snapshot is missing then.
"""

from collections.abc import Callable, Iterable
from typing import Final

from recorder.capture.depth_chain import DepthChain
from recorder.model import Chain, LedgerRow
from recorder.store.ledger import Ledger
from recorder.telemetry import ImageMissing, emit
from recorder.transitions import NO_ID


IN_BAND_NS: Final = 10_000_000_000
"""How long a first snapshot on the socket may take."""

RESTART_FIRST_NS: Final = 10_000_000_000
"""Before a stream whose snapshot did not come again is asked for once more."""

RESTART_MAX_NS: Final = 600_000_000_000
"""The longest time before it is."""

_FOREVER: Final = 1 << 62


class Images:
    """The streams whose snapshot comes on the socket.

    Args:
        books: The depth chains; those with other snapshots are left alone.
        ledger: Told of what is missing.
        note: Takes ledger rows to store.

    Attributes:
        believed: Chains whose snapshot came after their acceptance, and since
            when they are believed. Whoever takes them empties it.
        failed: Chains that were believed, and whose fresh snapshot did not
            come. Whoever takes them empties it.
    """

    def __init__(
        self,
        books: Iterable[DepthChain],
        ledger: Ledger,
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        self.believed: list[tuple[Chain, int]] = []
        self.failed: list[Chain] = []
        self._books = [book for book in books if book.rule.snapshot == "in_band"]
        self._ledger = ledger
        self._note = note

    def accepted(self, book: DepthChain, at: int) -> bool:
        """Note an acceptance; return whether the chain is believed by it."""
        if book.rule.snapshot != "in_band":
            return True
        if book.renewed_until:
            book.renewed_until = at + IN_BAND_NS
        if book.continuity.is_live:
            return True
        book.asked_until = at + IN_BAND_NS
        book.accepted_at = at
        return self._ledger.is_covered(book.chain)

    def missed(self, book: DepthChain) -> None:
        """Note that a snapshot may have been among messages that were lost."""
        if book.accepted_at is not None:
            book.accepted_at = 0

    def came(self, book: DepthChain, at: int) -> None:
        """Note that a snapshot came and is adopted."""
        book.adopt(at)
        book.asked_until = 0
        self.known(book, at)

    def known(self, book: DepthChain, at: int) -> None:
        """Note that a book is known: nothing needs to be asked for."""
        if book.rule.snapshot != "in_band":
            return
        book.asked_until = book.restart_at = book.failures = 0
        if book.accepted_at is not None:
            if not self._ledger.is_covered(book.chain):
                self.believed.append((book.chain, book.accepted_at or at))
            book.accepted_at = None

    def is_renewed(self, book: DepthChain, at: int) -> bool:
        """Return whether a snapshot is the one that was asked for after a break.

        So is each from the request on, up to the first one after its answer.
        """
        until = book.renewed_until
        if until != _FOREVER:
            book.renewed_until = 0
        return at <= until

    def ask(self, book: DepthChain, at: int) -> None:
        """Have a book's snapshot asked for afresh."""
        if book.rule.snapshot == "in_band" and not book.continuity.is_live:
            book.restart_at = at
            book.asked_until = 0

    def take_restarts(self, now: int) -> list[Chain]:
        """Return chains that are to be asked for afresh now."""
        due = []
        for book in self._books:
            if 0 < book.asked_until <= now:
                self._fail(book, now)
            if 0 < book.restart_at <= now:
                book.restart_at = 0
                book.asked_until = now + IN_BAND_NS
                book.renewed_until = _FOREVER
                due.append(book.chain)
        return due

    def _fail(self, book: DepthChain, now: int) -> None:
        """Take note that a snapshot did not come in time."""
        pause = RESTART_FIRST_NS << min(book.failures, 16) >> 1
        book.restart_at = now + (min(pause, RESTART_MAX_NS) if book.failures else 0)
        book.asked_until = 0
        book.failures += 1
        chain = book.chain
        emit(ImageMissing(market=chain.market, stream=chain.stream))
        since = book.last_at + 1
        if self._ledger.is_covered(chain):
            self.failed.append(chain)
        elif book.failures == 1 and book.accepted_at:
            # The gap before is over: the venue has accepted the chain.
            since = book.accepted_at
            self._note(self._ledger.covered(chain, since))
        received = book.continuity.received
        self._note(
            self._ledger.lost(
                chain,
                "stale_stream",
                since,
                detail="it was accepted, and its book did not come",
                after_update_id=None if received == NO_ID else received,
            )
        )
        book.accepted_at = None
