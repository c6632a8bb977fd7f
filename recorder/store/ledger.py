"""The ledger: what was being recorded, and what is missing and why.

`Ledger` is told what happens to each chain of a job and answers with the
rows to store. It keeps one invariant for every chain, from the start of the
first run that lists it: each instant lies in exactly one of

* an open or closed coverage interval, or
* a gap of scope ``rows``.

So ``covered time + gaps of scope rows = wall time``. Gaps of scope ``book``
lie on top: nothing is missing, but the order book is not known.

A row that was stored is never taken back. So coverage that has ended is held
for a while before it is written (`recorder.store.account`): a break that is
noticed late is cut out of it. One that lies further back, in coverage that is
written, gets a gap row of no length, which says what is missing.

Times are our clock, nanoseconds since 1970 UTC; intervals are half-open.
This module does no I/O.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from recorder.model import Chain, Coverage, Gap, LedgerRow, Scope
from recorder.store.account import Account, Held, Span, ended_gap, state_of
from recorder.store.inheritance import NO_RUN, Heritage, Inheritance
from recorder.store.layout import DAY_NS
from recorder.store.runfile import RunState
from recorder.store.unaddressed import Unaddressed, UnaddressedGaps


_FOREVER: Final = (1 << 63) - 1


class Ledger:
    """The books of one job in one run.

    Args:
        job: Name of the job.
        run: Id of the run; gap ids start with it.
        chains: What this run records.
        left_open: Gaps that earlier runs of the job left open.
        stated_end: When the run before was to end, nanoseconds; None if it was
            to go on.

    Attributes:
        books_seen: Chains whose order book was known at some time of this run.
    """

    def __init__(
        self,
        job: str,
        run: str,
        chains: Iterable[Chain],
        left_open: Iterable[Gap] = (),
        stated_end: int | None = None,
    ) -> None:
        self._job = job
        self._run = run
        self._gaps_total = 0
        self._accounts = {chain: Account() for chain in chains}
        self._is_changed = True
        self._unaddressed = UnaddressedGaps(self._accounts)
        self.books_seen: set[Chain] = set()
        heritage = Heritage(tuple(left_open), stated_end)
        self._inheritance = Inheritance(self._accounts, heritage)

    def start(self, at: int) -> list[LedgerRow]:
        """Begin: from ``at`` on every chain is in a gap until it is `covered`.

        So also one that is never accepted has a row that says so.
        Inherited gaps that this run cannot go on with are closed.
        """
        rows = self._inheritance.settle(at)
        for chain in self._accounts:
            rows += self.lost(chain, NO_RUN, at)
        return rows

    def covered(self, chain: Chain, at: int) -> list[LedgerRow]:
        """Note that from now on everything the venue sends is recorded."""
        account = self._accounts[chain]
        gap = account.rows_gap
        if gap is None:
            if account.since is None:
                account.open(at)
                self._is_changed = True
            return []
        is_real = account.is_real
        [ended], at = account.end_gap(at)
        account.closed_gap = None if is_real else ended
        account.open(at)
        self._is_changed = True
        return [ended]

    def lost(
        self,
        chain: Chain,
        reason: str,
        at: int,
        *,
        detail: str | None = None,
        after_update_id: int | None = None,
        before_update_id: int | None = None,
        closed_by: str = "gap",
    ) -> list[LedgerRow]:
        """Note that from ``at`` on rows are missing, until `covered`.

        A chain that is already in a gap of rows stays in that gap. If other
        gaps lie between ``at`` and now, what was covered between them gets
        rows of its own.
        """
        account = self._accounts[chain]
        if account.rows_gap is not None:
            return []
        earlier: list[Span] = []
        # When the chain came back, its connection was heard.
        at = max(at, account.back_at)
        if account.since is not None and at < account.since:
            earlier = account.cut(at, account.since)
            at = account.since
            if earlier and earlier[-1][1] == at:
                at, _ = earlier.pop()
        account.close(at, closed_by)
        self._is_changed = True
        spans: list[tuple[int, int | None]] = [*earlier, (at, None)]
        after, before = after_update_id, before_update_id
        gaps = [
            self._gap(
                chain, "rows", reason, *span, detail=detail, after=after, before=before
            )
            for span in spans
        ]
        account.rows_gap = gaps[-1]
        return [*gaps]

    def refused(self, chain: Chain, at: int, detail: str) -> list[LedgerRow]:
        """Note that the venue refuses the chain: nothing of it will come."""
        ended = self.end_gap(chain, at)
        return ended + self.lost(chain, "subscription_rejected", at, detail=detail)

    def end_gap(self, chain: Chain, at: int) -> list[LedgerRow]:
        """End the gap that a chain is in, for another begins: say `lost` next."""
        account = self._accounts[chain]
        ended, account.back_at = account.end_gap(at)
        return [*ended]

    def missed(
        self,
        chain: Chain,
        reason: str,
        started_at: int,
        ended_at: int,
        *,
        detail: str | None = None,
        after_update_id: int | None = None,
        before_update_id: int | None = None,
    ) -> list[LedgerRow]:
        """Note a gap of rows that is already over; the chain goes on.

        Time that other gaps have told already is left out. A gap that reaches
        back beyond a lost connection begins when the chain came back: what a
        connection brought until it was lost came in order, the time since is
        told, and the ids say what is missing.

        Returns:
            A row for each stretch of coverage that it takes; one of no length
            if it lies in coverage that was written long ago, or between two
            messages a nanosecond apart.
        """
        account = self._accounts[chain]
        if account.rows_gap is not None and ended_at > account.rows_gap.started_at:
            return []
        if started_at < account.back_at < ended_at:
            started_at = account.back_at
        spans = account.cut(started_at, ended_at)
        if not spans:
            spans = [(started_at, started_at)]
        self._is_changed = True
        return [
            self._gap(
                chain,
                "rows",
                reason,
                *span,
                detail=detail,
                after=after_update_id,
                before=before_update_id,
            )
            for span in spans
        ]

    def missed_by_any(
        self,
        reason: str,
        started_at: int,
        ended_at: int,
        *,
        detail: str,
        chains: Collection[Chain] | None = None,
    ) -> None:
        """Note a gap of rows of which it is not known whom it hit.

        It is told with the next `due`, and stands for all of the chains; None
        means every chain of the job.
        """
        self._unaddressed.add(reason, started_at, ended_at, detail, chains)

    def due(self) -> list[LedgerRow]:
        """Return what is to be written with the next flush, before `state`.

        Gaps of the whole job, and intervals that need not be held any more.
        """
        rows: list[LedgerRow] = []
        for gap in self._unaddressed.take():
            rows += self._tell_unaddressed(gap)
        if self._is_changed:
            for chain, account in self._accounts.items():
                rows += self._written(chain, account.release())
        return rows

    def _tell_unaddressed(self, told: Unaddressed) -> list[LedgerRow]:
        self._is_changed = True
        return [
            self._gap(chain, "rows", told.reason, *span, detail=told.text)
            for chain, span in self._unaddressed.cut(told)
        ]

    def stepped(
        self, started_at: int, ended_at: int, *, is_skipped: bool, detail: str
    ) -> list[LedgerRow]:
        """Note that the wall clock was set.

        Args:
            started_at: What our clock showed then.
            ended_at: When it was the wall clock again.
            is_skipped: Whether it never shows the instants between: nothing
                can be here of them. Otherwise it shows them at another pace,
                and nothing is missing.
            detail: By how much it was set.
        """
        if is_skipped:
            told = Unaddressed("clock_step", started_at, ended_at, detail, None)
            return self._tell_unaddressed(told)
        span = started_at, ended_at
        return [self._gap(None, "times", "clock_step", *span, detail=detail)]

    def gaps_open(self) -> Iterator[tuple[Chain, Gap]]:
        """Yield the chains that are in a gap of rows, and the gap."""
        for chain, account in self._accounts.items():
            if account.rows_gap is not None:
                yield chain, account.rows_gap

    def reason_found(self, chain: Chain, reason: str, detail: str) -> list[LedgerRow]:
        """Note why a chain is in its gap of rows, if it is in one."""
        account = self._accounts[chain]
        if account.rows_gap is None or account.rows_gap.reason == reason:
            return []
        account.rows_gap = msgspec.structs.replace(
            account.rows_gap, reason=reason, detail=detail
        )
        self._is_changed = True
        return [account.rows_gap]

    def healed(self, chain: Chain, healed_by: str) -> list[LedgerRow]:
        """Note that nothing, or nothing any more, is missing in the last gap."""
        account = self._accounts[chain]
        if account.rows_gap is not None:
            account.rows_gap = msgspec.structs.replace(
                account.rows_gap, healed_by=healed_by
            )
            return []
        if account.closed_gap is None:
            return []
        gap = msgspec.structs.replace(account.closed_gap, healed_by=healed_by)
        account.closed_gap = None
        return [gap]

    def unhealable(self, chain: Chain) -> None:
        """Note that the last gap, open or over, is real: rows are missing in it."""
        account = self._accounts[chain]
        account.closed_gap = None
        account.is_real = account.rows_gap is not None

    def book_lost(
        self, chain: Chain, reason: str, at: int, *, detail: str | None = None
    ) -> list[LedgerRow]:
        """Note that the order book is not known, until `book_known`."""
        account = self._accounts[chain]
        if account.book_gap is not None:
            return []
        account.book_gap = self._gap(chain, "book", reason, at, detail=detail)
        self._is_changed = True
        return [account.book_gap]

    def book_was_lost(
        self, chain: Chain, reason: str, started_at: int, ended_at: int, *, detail: str
    ) -> list[LedgerRow]:
        """Note that the order book was not known, and is again or lost anew."""
        return [self._gap(chain, "book", reason, started_at, ended_at, detail=detail)]

    def book_gap(self, chain: Chain) -> Gap | None:
        """Return the gap that a chain's book is in."""
        return self._accounts[chain].book_gap

    def book_known(self, chain: Chain, at: int) -> list[LedgerRow]:
        """Note that the order book is known again."""
        self.books_seen.add(chain)
        return self._book_over(chain, at)

    def _book_over(self, chain: Chain, at: int) -> list[LedgerRow]:
        account = self._accounts[chain]
        if account.book_gap is None:
            return []
        gap = ended_gap(account.book_gap, at)
        account.book_gap = None
        self._is_changed = True
        return [gap]

    def midnight(self, at: int) -> list[LedgerRow]:
        """Close every interval at a UTC midnight and open it anew.

        Intervals are held for a day at most.
        """
        rows: list[LedgerRow] = []
        for chain, account in self._accounts.items():
            if account.since is not None and account.since < at:
                account.close(at, "midnight")
                account.since = at
                self._is_changed = True
            rows += self._written(chain, account.release(before=at - DAY_NS))
        return rows

    def stop(
        self, at: int, heard_until: Mapping[Chain, int] | None = None
    ) -> list[LedgerRow]:
        """Close everything: from ``at`` on nobody records.

        Args:
            at: When recording stopped.
            heard_until: First instant at which nothing was heard any more
                over a chain's connection: what was sent after that, if the
                connection was dead, is not here.
        """
        rows = self.due()
        heard = heard_until or {}
        for chain, account in self._accounts.items():
            rows += self._book_over(chain, at)
            end = at
            if account.rows_gap is not None:
                ended, end = account.end_gap(at)
                rows += ended
            elif account.since is None:
                continue
            else:
                end = min(at, heard.get(chain, at))
            gaps = self.lost(chain, "process_stopped", end, closed_by="stop")
            rows += self._written(chain, account.release(before=_FOREVER)) + gaps
        self._is_changed = True
        return rows

    def opened(self) -> Mapping[Chain, Account]:
        """Return the accounts of all chains, to be changed as another run's end asks."""
        self._is_changed = True
        return self._accounts

    def had_others(self, until: int) -> None:
        """Note that the job had other chains as well until then, nanoseconds."""
        self._unaddressed.others_until = until

    def is_covered(self, chain: Chain) -> bool:
        """Return whether the chain is being recorded without a gap now."""
        account = self._accounts[chain]
        return account.since is not None and account.rows_gap is None

    def covered_since(self, chain: Chain) -> int | None:
        """Return since when the chain is being recorded without a gap, if it is."""
        return self._accounts[chain].since if self.is_covered(chain) else None

    def state(self, links: Mapping[Chain, int] | None = None) -> RunState | None:
        """Return what is open or not written, for the run file.

        Args:
            links: Number of each chain's connection in the heartbeat.

        Returns:
            None if nothing changed.
        """
        if not self._is_changed:
            return None
        self._is_changed = False
        return state_of(self._accounts, links or {})

    def _written(self, chain: Chain, spans: Iterable[Held]) -> list[LedgerRow]:
        """Return the rows of intervals that are written now."""
        rows: list[LedgerRow] = [
            Coverage(
                market=chain.market or None,
                stream=chain.stream,
                job=self._job,
                started_at=span.started_at,
                ended_at=span.ended_at,
                closed_by=span.closed_by,
            )
            for span in spans
        ]
        self._is_changed = self._is_changed or bool(rows)
        return rows

    def _gap(
        self,
        chain: Chain | None,
        scope: Scope,
        reason: str,
        started_at: int,
        ended_at: int | None = None,
        *,
        detail: str | None,
        after: int | None = None,
        before: int | None = None,
    ) -> Gap:
        self._gaps_total += 1
        return Gap(
            gap_id=f"{self._run}.{self._gaps_total}",
            market=(chain and chain.market) or None,
            stream=None if chain is None else chain.stream,
            job=self._job,
            scope=scope,
            reason=reason,
            started_at=started_at,
            ended_at=ended_at,
            after_update_id=after,
            before_update_id=before,
            detail=detail,
        )
