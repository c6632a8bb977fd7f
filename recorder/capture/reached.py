"""How far the rows of each chain have come, while two connections bring them."""

from collections.abc import Iterable

from recorder.capture.books import Books
from recorder.capture.row_kinds import begin_of
from recorder.capture.trade_ids import TradeCheck
from recorder.model import Chain, DepthUpdate, RawLevels, Trade, WireEvent
from recorder.transitions import NO_ID


class Reached:
    """Lays a row of the second connection beside what was stored.

    Args:
        books: The depth chains.
        trades: The running numbers of trades.
        chains: What both connections carry.
    """

    def __init__(
        self, books: Books, trades: TradeCheck, chains: Iterable[Chain]
    ) -> None:
        self._books = books
        self._trades = trades
        # Ids beyond these came while both were open.
        self._since: dict[Chain, int] = {
            chain: received
            for chain in chains
            if chain in books
            and (received := books[chain].continuity.received) != NO_ID
        }
        # And these are the last that did so over the one that is followed.
        self._through = dict(self._since)
        self._anew: set[Chain] = set()

    def note(self, chain: Chain, event: WireEvent) -> None:
        """Note a row of the connection that is followed."""
        if isinstance(event, DepthUpdate):
            begin = event.first_update_id or event.last_update_id
            if begin is not None:
                since = self._since.setdefault(chain, begin - 1)
                through = self._through.get(chain, since)
                self._through[chain] = max(through, event.last_update_id or since)

    def begin_anew(self, chain: Chain) -> None:
        """Note that another connection is followed now."""
        self._since.pop(chain, None)
        self._through.pop(chain, None)
        self._anew.add(chain)

    def next_number(self, chain: Chain, event: WireEvent) -> int | None:
        """Return the number that follows all that were taken; None if unknown.

        Args:
            chain: The chain.
            event: A row of it, of the kind that is meant.
        """
        if isinstance(event, DepthUpdate):
            received = self._books[chain].continuity.received
            return None if received == NO_ID else received + 1
        last = self._trades.last(chain)
        return None if last is None else last + 1

    def known(self, chain: Chain) -> int:
        """Return the last change of a book that is here, or `NO_ID`.

        It came in a snapshot if no update came yet.
        """
        continuity = self._books[chain].continuity
        is_image = continuity.received == NO_ID and continuity.is_live
        return continuity.applied if is_image else continuity.received

    def lacks(self, place: tuple[Chain, int] | None) -> bool:
        """Return whether numbers between what was taken and another did not come.

        Args:
            place: That number, and its chain; None if there are no numbers.
        """
        if place is None:
            return False
        chain, number = place
        if chain in self._books:
            return NO_ID < self.known(chain) < number - 1
        last = self._trades.last(chain)
        return last is not None and last < number - 1

    def skipped(self, chain: Chain, event: WireEvent) -> bool:
        """Return whether the first went past a row without bringing it."""
        if isinstance(event, DepthUpdate):
            first, last = event.first_update_id, event.last_update_id
            book = self._books[chain]
            is_past = last is not None and last <= book.continuity.received
            return is_past and book.lacks(first, last)
        if not isinstance(event, Trade):
            return False
        number, next_one = begin_of(event), self.next_number(chain, event)
        return number is not None and next_one is not None and number < next_one

    def awaits(self, chain: Chain, event: WireEvent) -> bool:
        """Return whether an event is the snapshot that a book waits for.

        Where every push is a whole book, none is waited for.
        """
        if not isinstance(event, DepthUpdate) or not event.is_snapshot:
            return False
        book, base = self._books[chain], event.last_update_id
        continuity = book.continuity
        return (
            base is not None
            and book.rule.snapshot == "in_band"
            and not continuity.is_live
            and continuity.held_first <= base + 1
            and base <= continuity.received
        )

    def is_past(self, chain: Chain, event: DepthUpdate[RawLevels]) -> bool:
        """Return whether all of a message lies within what the first brought."""
        first, last = event.first_update_id, event.last_update_id
        since, book = self._since.get(chain), self._books[chain]
        if last is None or since is None:
            return False
        through = min(book.continuity.received, self._through[chain])
        if event.is_snapshot:
            is_of_both = since <= last or chain in self._anew
            return is_of_both and last <= through and not self.awaits(chain, event)
        return since < last <= through and not book.lacks(first, last)

    def is_beyond(self, chain: Chain, event: DepthUpdate[RawLevels]) -> bool:
        """Return whether a snapshot contains changes that did not come."""
        received, base = self._books[chain].continuity.received, event.last_update_id
        return event.is_snapshot and base is not None and NO_ID < received < base
