"""The handovers of a session: begun, ended, and what the ledger hears of them.

`recorder.capture.handover` knows one of them; here is what follows when one
of its two connections ends, and when any connection ends at all.
"""

from collections.abc import Callable

from recorder.capture.books import Books
from recorder.capture.clock_watch import unread
from recorder.capture.doubles import Doubles
from recorder.capture.handover import Handover
from recorder.capture.handover_live import PATIENCE_NS
from recorder.capture.intake import Intake
from recorder.capture.jumps import Jumps
from recorder.capture.link import Link
from recorder.capture.silence import Silence
from recorder.model import Chain, DepthUpdate, LedgerRow, RawLevels
from recorder.store.ledger import Ledger


class Handovers:
    """What becomes of chains when connections come and go.

    Args:
        intake: Takes rows.
        books: The depth chains.
        ledger: The books of the job.
        doubles: What was stored.
        silence: Told what is not expected any more.
        note: Takes ledger rows to store.
    """

    def __init__(
        self,
        intake: Intake,
        books: Books,
        ledger: Ledger,
        doubles: Doubles,
        silence: Silence,
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        self._intake = intake
        self._books = books
        self._ledger = ledger
        self._doubles = doubles
        self._silence = silence
        self._note = note
        self._jumps = Jumps(ledger, note)
        self._all: list[Handover] = []
        self._carried: dict[Chain, int] = {}

    def begin(self, first: Link, second: Link) -> None:
        """Note that a second connection was opened to replace a first that lives."""
        before = next((h for h in self._all if h.second is first), None)
        handover = Handover(
            first,
            second,
            chain_of=self._intake.chain_of,
            pass_on=self._intake.pass_on,
            keep=self._intake.keep,
            books=self._books,
            trades=self._intake.trade_check,
            doubles=self._doubles,
            heard=self._silence.heard,
            doubt=lambda chain, at: self._tell_doubt(first, chain, at),
            known=None if before is None else before.pairing.known,
        )
        first.second, second.first = second, first
        first.twins += (handover,)
        second.twins += (handover,)
        self._all.append(handover)
        self._doubles.remember_more(is_more=True)

    def of(self, first: Link) -> Handover | None:
        """Return the handover from a connection, if there is one."""
        return next(
            (h for h in self._all if h.first is first and h.second_ended_at is None),
            None,
        )

    def tick(self, now: int) -> None:
        """Forget handovers of which nothing can come twice any more."""
        for handover in [h for h in self._all if h.is_over(now)]:
            self._settle(handover)

    def closed(self, link: Link, at: int, detail: str | None) -> None:
        """Note that a connection is gone.

        What another carries on goes on; the rest is missing from now on.

        Args:
            link: The connection.
            at: When.
            detail: Why, in words.
        """
        following = self.of(link)
        for handover in [h for h in self._all if link in (h.first, h.second)]:
            if handover.second is link and handover.ended_at is None:
                self._second_closed(handover, at, detail)
            elif handover is not following:
                self._settle(handover)
        if following is not None:
            self._first_closed(following, at, detail)
        elif link.first is None:
            self._lose(link, link.chains, detail)
        link.first = link.second = None

    def _first_closed(self, handover: Handover, at: int, detail: str | None) -> None:
        first, second = handover.first, handover.second
        second.first = None
        self._tell_spoiled(
            handover, first, [c for c in first.chains if c not in first.idle]
        )
        lost = [c for c in first.chains if c not in second.accepted]
        self._lose(first, lost, detail, second)
        afresh = []
        for chain in [c for c in first.chains if c in second.accepted]:
            if not self._ledger.is_covered(chain):
                if chain not in first.idle:
                    afresh.append(chain)  # the first may have been asked for it
            elif _is_silent(handover, chain, at):
                self._tell_silent(handover, chain)
                handover.settle(chain)
                self._lose(first, [chain], detail, second)
                afresh.append(chain)
            elif handover.live.lacks_image(chain):
                self._lose(first, [chain], detail, second)
                self._books.accepted(chain, at, None)
            elif handover.silent_since(chain) is not None:
                self._tell_missed(handover, chain)
            elif (until := handover.missing_until(chain, at)) is not None:
                self._interrupt(handover, chain, until, detail)
            else:
                self._tell_missed(handover, chain)
        handover.end_first(at)
        taken_at = handover.pairing.taken_at
        for chain in first.chains:  # if the second was silent, here is more
            is_led = chain in first.idle
            until = taken_at.get(chain, 0) if is_led else first.sure_at
            self._carried[chain] = until
        for chain, reason in second.refused.items():
            self._intake.refuse(chain, at, reason)
        self._ask_afresh(second, afresh, at)

    def spoiled(self, link: Link, first: int, end: int, detail: str) -> None:
        """Note a frame that says nothing: of which chain it was, nobody knows.

        Args:
            link: Its connection.
            first: Its rows did not come before.
            end: Nor from then on.
            detail: Which frame, and why.
        """
        for twins in link.twins:
            twins.spoiled(link, first, end, detail)
        if chains := link.in_charge(link.chains):  # the rest comes over the other
            self._ledger.missed_by_any(
                "undecodable", first, end, detail=detail, chains=chains
            )

    def stop(self, at: int) -> None:
        """Take what waits for the first: nothing more will come."""
        for handover in self._all:
            if handover.second_ended_at is not None:
                handover.settle()
            elif handover.ended_at is None:
                first = handover.first
                mine = [chain for chain in first.chains if chain not in first.idle]
                self._tell_spoiled(handover, first, mine)
                for chain in handover.second.accepted:
                    if self._ledger.is_covered(chain):
                        self._tell_missed(handover, chain)
                        if _is_silent(handover, chain, at):
                            self._tell_silent(handover, chain)
                handover.end_first(at)

    def _tell_spoiled(
        self, handover: Handover, ended: Link, chains: list[Chain]
    ) -> None:
        """Tell of frames that said nothing, of which no twin came before the end."""
        for spoiled in handover.spoiled_alone(ended):
            for chain in chains:
                self._note(
                    self._ledger.missed(
                        chain,
                        "undecodable",
                        spoiled.first,
                        spoiled.end,
                        detail=spoiled.detail,
                    )
                )

    def _tell_missed(self, handover: Handover, chain: Chain) -> None:
        """Tell of rows that the second shows to be missing, though the first lived."""
        if (since := handover.silent_since(chain)) is not None:
            rows = self._ledger.missed(
                chain,
                "stale_stream",
                since,
                handover.second.accepted[chain],
                detail="what the next connection brought did not come over this one",
            )
            self._note(rows)
        if (call := handover.image_beyond(chain)) is not None:
            event: DepthUpdate[RawLevels] = call.item  # type: ignore[assignment]
            book, base = self._books[chain], event.last_update_id or 0
            self._jumps.missed(book, call.ts_recv, book.continuity.received, base + 1)

    def _tell_silent(self, handover: Handover, chain: Chain) -> None:
        """Tell that a chain began when the first accepted it, not the second."""
        first, second = handover.first, handover.second
        if chain in first.idle and chain in first.accepted:
            since, until = second.accepted[chain], first.accepted[chain]
            if since < until:
                detail = "it was accepted, and another connection had to bring it"
                rows = self._ledger.missed(
                    chain, "stale_stream", since, until, detail=detail
                )
                self._note(rows)

    def _interrupt(
        self, handover: Handover, chain: Chain, until: int, detail: str | None
    ) -> None:
        """Note that rows of a chain may be missing until some time ago."""
        self._lose(handover.first, [chain], detail, handover.second)
        self._note(self._ledger.covered(chain, until))
        self._silence.accepted(chain, until, is_covered=False)
        if chain in self._books:
            self._books.accepted(chain, until, None)

    def _second_closed(self, handover: Handover, at: int, detail: str | None) -> None:
        """Go on with the first; what the second alone brought is missing."""
        first, second = handover.first, handover.second
        first.second = None
        orphans = list(first.idle)
        for chain in [c for c in orphans if _is_silent(handover, c, at)]:
            self._tell_silent(handover, chain)
        handover.end_second(at)
        self._tell_spoiled(handover, second, orphans)
        first.idle.clear()
        self._lose(second, orphans, detail, first)
        self._ask_afresh(first, [c for c in orphans if c in first.accepted], at)

    def _ask_afresh(self, link: Link, chains: list[Chain], at: int) -> None:
        if chains:
            for chain in chains:
                self._silence.lost(chain)
            link.probed.difference_update(chains)
            link.outbox.extend(link.dialogue.resubscribe(chains, at))

    def _lose(
        self,
        link: Link,
        chains: list[Chain] | tuple[Chain, ...],
        detail: str | None,
        other: Link | None = None,
    ) -> None:
        """Note that rows of chains are missing since a connection was heard last.

        Args:
            link: The connection.
            chains: Some that it carried.
            detail: Why, in words.
            other: The one that goes on, and was open already.
        """
        reason = _reason(link)
        next_opened_at = None if other is None else other.opened_at
        for chain in chains:
            self._silence.lost(chain)
            after = None
            if chain in self._books:
                after = self._books.lost(chain, next_opened_at)
            if self._ledger.is_covered(chain):
                self._note(unread(self._ledger, link, chain))
                self._note(
                    self._ledger.lost(
                        chain,
                        reason,
                        max(link.last_at, self._carried.get(chain, 0)) + 1,
                        detail=detail,
                        after_update_id=after,
                    )
                )

    def _tell_doubt(self, first: Link, chain: Chain, at: int) -> None:
        """Tell of a row that is left out, for it may be here already."""
        self._note(
            self._ledger.missed(
                chain,
                _reason(first),
                at,
                at + 1,
                detail="what the two connections brought cannot be told apart",
            )
        )

    def _settle(self, handover: Handover) -> None:
        """Take what waits in a handover that is over, and forget it."""
        handover.settle()
        self._all.remove(handover)
        for link in (handover.first, handover.second):
            link.twins = tuple(t for t in link.twins if t is not handover)
        self._doubles.remember_more(is_more=bool(self._all))


def _is_silent(handover: Handover, chain: Chain, at: int) -> bool:
    """Return whether the second accepted a chain and brings nothing of it.

    Where the second is in charge, rows of the first wait for it.
    """
    first, second = handover.first, handover.second
    row = handover.pairing.oldest(chain)
    if chain not in first.idle:
        return row is None and handover.live.is_silent(chain, at)
    if row is None or row.call.link is not first or chain not in second.accepted:
        return False
    is_heard = handover.heard[chain] > second.accepted[chain]
    return not is_heard and row.call.ts_recv <= at - PATIENCE_NS


def _reason(link: Link) -> str:
    return "connect_lost" if link.leaving is None else "venue_upgrade"
