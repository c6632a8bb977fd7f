"""May the first of two connections be left, as far as the second goes?

The second is live when all it carries was answered for, `OVERLAP_NS` have
gone by since, and it has brought something of every chain of which the first
has. No I/O; times are our clock, nanoseconds.
"""

from collections.abc import Callable
from typing import Final

from recorder.capture.books import Books
from recorder.capture.link import Link
from recorder.model import Chain, DepthUpdate, WireEvent


SECOND_NS: Final = 1_000_000_000

OVERLAP_NS: Final = 3 * SECOND_NS
"""How late a venue may push what it executed before an acceptance: twice what
the slowest batch of trades was seen to take."""

PATIENCE_NS: Final = 2 * SECOND_NS
"""How far behind the first a second connection may be that works."""


class Liveness:
    """What the second connection has shown of itself.

    Args:
        first: The connection that is to be left.
        second: The one that takes its place.
        books: The depth chains.
        overlaps: Says whether updates of a chain wait that reach back to what
            is here.

    Attributes:
        bare: Chains of books without ids.
    """

    def __init__(
        self, first: Link, second: Link, books: Books, overlaps: Callable[[Chain], bool]
    ) -> None:
        self.bare: set[Chain] = set()
        self._first = first
        self._second = second
        self._books = books
        self._overlaps = overlaps
        self._alive: set[Chain] = set()
        self._ahead: dict[Chain, int] = {}
        self._imaged: set[Chain] = set()
        self._in_band: set[Chain] = set()
        for chain in second.chains:
            if chain in books:
                book = books[chain]
                if not book.rule.has_ids:
                    self.bare.add(chain)
                elif book.rule.snapshot == "in_band":
                    self._in_band.add(chain)

    def first_alone(self, chain: Chain, ts_recv: int) -> None:
        """Note a row of the first that the second has not brought."""
        if chain in self._second.accepted and chain not in self._alive:
            self._ahead.setdefault(chain, ts_recv)

    def shown(self, chain: Chain) -> None:
        """Note that the second brings something of a chain."""
        self._alive.add(chain)
        self._ahead.pop(chain, None)

    def second_brought(self, chain: Chain, event: WireEvent) -> None:
        """Note a row of the second; of an update its ids tell whether it is of use."""
        if not isinstance(event, DepthUpdate):
            self.shown(chain)
        elif event.is_snapshot:
            self._imaged.add(chain)

    def has_images(self, chain: Chain) -> bool:
        """Return whether the books of a chain come on the socket, with ids."""
        return chain in self._in_band

    @property
    def ready_at(self) -> int | None:
        """Since when the second is answered for; None if it is not yet."""
        accepted, refused = self._second.accepted, self._second.refused
        if any(c not in accepted and c not in refused for c in self._second.chains):
            return None
        return max(accepted.values(), default=self._second.opened_at)

    def blockers(self, now: int) -> list[Chain]:
        """Return chains of which the second should have brought something."""
        if self.ready_at is None:
            return []
        late = [
            chain
            for chain, at in self._ahead.items()
            if at <= now - PATIENCE_NS and not self._overlaps(chain)
        ]
        late += [
            chain
            for chain in self.bare
            if self.lacks_image(chain) and self._books[chain].is_live
        ]
        return late + [chain for chain in self._in_band if self.lacks_image(chain)]

    def lacks_image(self, chain: Chain) -> bool:
        """Return whether the snapshot that comes first of all did not come yet.

        Until then nobody knows whether the second will bring anything of it.
        Where the first brings nothing of it either, nothing is lost with it.
        """
        if chain in self._first.idle:
            return False
        return chain in self.bare or (
            chain in self._in_band and chain not in self._imaged
        )

    def is_silent(self, chain: Chain, at: int) -> bool:
        """Return whether the second brings nothing of what the first brought until then."""
        ahead = self._ahead.get(chain)
        is_late = ahead is not None and ahead <= at - PATIENCE_NS
        return is_late and chain not in self._imaged and not self._overlaps(chain)

    def settled_at(self, chain: Chain, lag: int) -> int:
        """Return from when on the second brings all of a chain that it accepted."""
        return self._second.accepted[chain] + OVERLAP_NS + lag

    def is_live(self, now: int, lag: int) -> bool:
        """Return whether the first, so far behind, may be left."""
        ready_at = self.ready_at
        return (
            ready_at is not None
            and now >= ready_at + OVERLAP_NS + lag
            and not self.blockers(now)
        )

    def is_first_heard(self, lag: int) -> bool:
        """Return whether the first was heard for long enough that it may be left."""
        ready_at = self.ready_at
        return ready_at is not None and self._first.last_at >= (
            ready_at + OVERLAP_NS + lag
        )
