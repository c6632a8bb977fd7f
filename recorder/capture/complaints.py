"""What keeps going wrong: told when it begins, and seldom while it goes on."""

from collections.abc import Collection
from typing import Final

from recorder.model import Chain
from recorder.source import Source
from recorder.telemetry import BooksNeverKnown, emit


KEPT_EVERY: Final = 100
"""Of answers that go on making no sense in the same way, one in so many is kept."""

REMIND_NS: Final = 60_000_000_000
"""How long nothing more is said, at least, of what goes on going wrong."""


class Complaints:
    """Counts how often something went wrong in the same way, for each chain."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Chain, str], int] = {}
        self._since_told: set[Chain] = set()
        self._tell_at: int | None = None

    def again(self, chain: Chain, why: str) -> int:
        """Note that something went wrong.

        Args:
            chain: For which chain.
            why: In words; what follows the first colon and a space is detail,
                and of the same kind.

        Returns:
            How often it did before, in this way, since it last went well.
        """
        key = (chain, why.partition(": ")[0])
        before = self._counts.get(key, 0)
        self._counts[key] = before + 1
        self._since_told.add(chain)
        return before

    def over(self, chain: Chain) -> None:
        """Note that it went well."""
        for key in [key for key in self._counts if key[0] == chain]:
            del self._counts[key]
        self._since_told.discard(chain)
        if not self._counts:
            self._tell_at = None

    def due(self, now: int) -> int:
        """Return for how many chains it still goes wrong, about once a minute.

        Args:
            now: Our clock, nanoseconds; to be called about once a second.

        Returns:
            How many chains complained since the last answer other than 0, and
            not yet were well again; 0 while it is not time to tell.
        """
        if not self._since_told:
            return 0
        if self._tell_at is None:  # what goes wrong first is told by itself
            self._tell_at = now + REMIND_NS
        if now < self._tell_at:
            return 0
        self._tell_at = now + REMIND_NS
        count = len(self._since_told)
        self._since_told.clear()
        return count


def tell_of_books(source: Source, unknown: Collection[Chain], total: int) -> None:
    """Say at the end of a run of which books no state can ever be shown.

    Args:
        source: The feed.
        unknown: Books that were not known at any time.
        total: How many books there are.
    """
    if not unknown:
        return
    rules = [source.book_rule(chain.stream) for chain in unknown]
    by_http = any(rule is not None and rule.snapshot == "rest" for rule in rules)
    check = "--rest-url" if by_http else None
    emit(BooksNeverKnown(books=len(unknown), of=total, check=check))
