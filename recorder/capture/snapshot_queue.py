"""Which books want a snapshot by HTTP, and when it is to be asked for."""

import heapq
from typing import Final

from recorder.capture.depth_chain import DepthChain


RETRY_MAX_NS: Final = 10_000_000_000
"""The longest wait after a useless snapshot; each is half as long again."""


class SnapshotQueue:
    """The requests that are still to be made, the one due first in front."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, DepthChain]] = []
        self._total = 0

    def ask(self, book: DepthChain, at: int) -> None:
        """Schedule a request, unless one is on its way or due sooner."""
        if book.is_asked or 0 < book.asked_until <= at:
            return
        book.asked_until = at
        self._total += 1
        heapq.heappush(self._due, (at, self._total, book))

    def want(self, book: DepthChain, at: int, *, is_new: bool) -> None:
        """Schedule a request for an update that is held.

        Unless it is the first one, a pause that a useless snapshot asked for is
        left: what is asked for at every update overtakes a slow socket for ever.
        """
        if is_new or book.asked_until == 0:
            self.ask(book, at)

    def retry(self, book: DepthChain, now: int) -> None:
        """Schedule another request, later each time."""
        self.ask(book, now + book.retry_ns)
        book.retry_ns = min(book.retry_ns * 3 // 2, RETRY_MAX_NS)

    def is_due(self, now: int) -> bool:
        """Return whether a request may be waiting to be made."""
        return bool(self._due) and self._due[0][0] <= now

    def next_due(self, now: int) -> DepthChain | None:
        """Return a book to ask a snapshot for now; it counts as asked."""
        while self._due and self._due[0][0] <= now:
            _, _, book = heapq.heappop(self._due)
            if book.asked_until > 0 and not book.is_asked:
                book.asked_until = 0
                if not book.is_live:
                    book.is_asked = True
                    return book
        return None
