"""Snapshots that come on the socket: awaited, asked for afresh, believed.

A stream whose snapshot comes first of all is believed only when it came: the
venue accepts much of which it never sends anything. Until then the chain
stays in the gap that it is in. If the snapshot does not come within
`IN_BAND_NS` of the acceptance, that is a gap ``stale_stream`` from the
acceptance on, and the stream is asked for afresh, at growing distances.

A break of a book is mended the same way, and at once, also of one that brings
changes where each message should be the whole book. Where ids tell of
changes, those between the last one and the fresh snapshot are missing: while
a chain is asked for afresh, nobody listens. So it is in a gap from its last
row on, until the fresh snapshot came.
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


class Images:
    """The streams whose snapshot comes on the socket.

    Args:
        books: The depth chains; those with other snapshots are left alone.
        ledger: Told of what is missing.
        note: Takes ledger rows to store.

    Attributes:
        believed: Chains whose snapshot came after their acceptance, and since
            when they are believed. Whoever takes them empties it.
        doubted: Chains that were believed and are no more. Whoever takes them
            empties it.
    """

    def __init__(
        self,
        books: Iterable[DepthChain],
        ledger: Ledger,
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        self.believed: list[tuple[Chain, int]] = []
        self.doubted: list[Chain] = []
        self._books = [book for book in books if book.rule.snapshot != "rest"]
        self._ledger = ledger
        self._note = note

    def accepted(self, book: DepthChain, at: int) -> bool:
        """Note an acceptance; return whether the chain is believed by it."""
        if book.rule.snapshot != "in_band":
            return True
        if book.is_live:
            return True
        book.asked_until = at + IN_BAND_NS
        book.accepted_at = at
        book.is_image_missed = False
        return self._is_covered(book)

    def missed(self, book: DepthChain) -> None:
        """Note that a snapshot was, or may have been, among messages that were lost.

        What was missed with it, no gap says but the one that the chain is in.
        """
        book.is_image_missed = True

    def came(self, book: DepthChain, at: int) -> None:
        """Note that a snapshot came and is adopted."""
        book.adopt(at)
        book.asked_until = 0
        self.known(book, at)

    def known(self, book: DepthChain, at: int) -> None:
        """Note that a book is known: nothing needs to be asked for."""
        book.asked_until = book.restart_at = book.failures = 0
        if book.rule.snapshot == "in_band" and book.accepted_at is not None:
            if not self._is_covered(book):
                since = at if book.is_image_missed else book.accepted_at
                self.believed.append((book.chain, since))
            book.accepted_at = None

    def ask(self, book: DepthChain, at: int) -> None:
        """Have a book's snapshot asked for afresh."""
        if book.is_asked_afresh and not book.is_live:
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
                if book.rule.has_ids:
                    since = book.last_at + 1
                    self._lose(book, since, "sequence_gap", "it is asked for afresh")
                due.append(book.chain)
        return due

    def _fail(self, book: DepthChain, now: int) -> None:
        """Take note that a snapshot did not come in time."""
        pause = RESTART_FIRST_NS << min(book.failures, 16) >> 1
        book.restart_at = now + (min(pause, RESTART_MAX_NS) if book.failures else 0)
        book.asked_until = 0
        book.failures += 1
        emit(ImageMissing(market=book.chain.market, stream=book.chain.stream))
        since = book.last_at + 1
        if (
            book.failures == 1
            and book.accepted_at is not None
            and not self._is_covered(book)
        ):
            # The gap before is over: the venue has accepted the chain.
            since = book.accepted_at
            self._note(self._ledger.covered(book.chain, since))
        why = "it was accepted, and its book did not come"
        self._lose(book, since, "stale_stream", why)
        book.accepted_at = None

    def _is_covered(self, book: DepthChain) -> bool:
        return self._ledger.is_covered(book.chain)

    def _lose(self, book: DepthChain, since: int, reason: str, detail: str) -> None:
        """Tell that rows may be missing from then on, unless a gap says so."""
        if not self._is_covered(book):
            return
        received = book.continuity.received
        self.doubted.append(book.chain)
        self._note(
            self._ledger.lost(
                book.chain,
                reason,
                since,
                detail=detail,
                after_update_id=None if received == NO_ID else received,
            )
        )
