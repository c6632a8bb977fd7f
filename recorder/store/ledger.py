"""The ledger: what was being recorded, and what is missing and why.

`Ledger` is told what happens to each chain of a job and answers with the
rows to store. It keeps one invariant for every chain, from the start of the
first run that lists it: each instant lies in exactly one of

* an open or closed coverage interval, or
* a gap of scope ``rows``.

So ``covered time + gaps of scope rows = wall time``. Gaps of scope ``book``
lie on top: nothing is missing, but the order book is not known.

Times are our clock, nanoseconds since 1970 UTC; intervals are half-open.
This module does no I/O; reading the gaps that an earlier run left open is
the one function at its end.
"""

from collections.abc import Iterable, Mapping
from typing import Final, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import Chain, Coverage, Gap, LedgerRow
from recorder.store.listing import Listing
from recorder.store.run import OpenInterval, RunState


DAY_NS: Final = 86_400_000_000_000


class _Account:
    """What the ledger knows of one chain."""

    __slots__ = ("book_gap", "closed_gap", "is_real", "rows_gap", "since")

    def __init__(self) -> None:
        self.since: int | None = None
        self.rows_gap: Gap | None = None
        self.is_real = False
        self.closed_gap: Gap | None = None
        self.book_gap: Gap | None = None


class Ledger:
    """The books of one job in one run.

    Args:
        job: Name of the job.
        run: Id of the run; gap ids start with it.
        chains: What this run records.
        left_open: Gaps that earlier runs of the job left open.
    """

    def __init__(
        self,
        job: str,
        run: str,
        chains: Iterable[Chain],
        left_open: Iterable[Gap] = (),
    ) -> None:
        self._job = job
        self._run = run
        self._gaps_total = 0
        self._accounts = {chain: _Account() for chain in chains}
        self._is_changed = True
        self._superseded: list[Gap] = []
        self._orphans: list[Gap] = []
        for gap in sorted(left_open, key=lambda gap: gap.started_at):
            self._inherit(gap)

    def _inherit(self, gap: Gap) -> None:
        """Take over a gap that an earlier run left open."""
        account = self._accounts.get(Chain(gap.market or "", gap.stream or ""))
        if account is None:
            self._orphans.append(gap)
            return
        earlier = account.rows_gap if gap.scope == "rows" else account.book_gap
        if earlier is not None:
            self._superseded.append(_ended(earlier, gap.started_at))
        if gap.scope == "rows":
            account.rows_gap = gap
        else:
            account.book_gap = gap

    def start(self, at: int) -> list[LedgerRow]:
        """Begin: from ``at`` on every chain is in a gap until it is `covered`.

        Inherited gaps that this run cannot go on with are closed: those of
        chains that the job no longer lists, and those that a later gap of the
        same chain has taken over from.
        """
        rows: list[LedgerRow] = list(self._superseded)
        rows += [
            _ended(gap, at, detail="no longer recorded by this job")
            for gap in self._orphans
        ]
        self._superseded.clear()
        self._orphans.clear()
        for chain in self._accounts:
            rows += self.lost(chain, "not_started", at)
        return rows

    def covered(self, chain: Chain, at: int) -> list[LedgerRow]:
        """Note that from now on everything the venue sends is recorded."""
        account = self._accounts[chain]
        rows: list[LedgerRow] = []
        if account.since is None:
            account.since = at
            self._is_changed = True
        if account.rows_gap is not None:
            ended = _ended(account.rows_gap, at)
            account.closed_gap = None if account.is_real else ended
            account.rows_gap = None
            account.is_real = False
            rows.append(ended)
        return rows

    def lost(
        self,
        chain: Chain,
        reason: str,
        at: int,
        *,
        detail: str | None = None,
        after_update_id: int | None = None,
    ) -> list[LedgerRow]:
        """Note that from ``at`` on rows are missing, until `covered`.

        A chain that is already in a gap of rows stays in that gap.
        """
        account = self._accounts[chain]
        if account.rows_gap is not None:
            return []
        rows = self._close_interval(chain, account, at, "gap")
        account.rows_gap = self._gap(
            chain,
            "rows",
            reason,
            at,
            detail=detail,
            after_update_id=after_update_id,
        )
        return [*rows, account.rows_gap]

    def refused(self, chain: Chain, at: int, detail: str) -> list[LedgerRow]:
        """Note that the venue refuses the chain: nothing of it will come."""
        account = self._accounts[chain]
        rows: list[LedgerRow] = []
        if account.rows_gap is not None:
            rows.append(_ended(account.rows_gap, at))
            account.rows_gap = None
            account.is_real = False
        return rows + self.lost(chain, "subscription_rejected", at, detail=detail)

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

        A chain that is in a gap has said so already. A gap that reaches back
        beyond a lost connection begins when the chain came back: the time
        before is told, and the ids say what is missing. One that was over
        before that lies on top of coverage told before anybody knew.
        """
        account = self._accounts[chain]
        if account.rows_gap is not None:
            return []
        if account.since is not None and started_at < account.since < ended_at:
            started_at = account.since
        gap = self._gap(
            chain,
            "rows",
            reason,
            started_at,
            detail=detail,
            ended_at=ended_at,
            after_update_id=after_update_id,
            before_update_id=before_update_id,
        )
        since = account.since
        rows = self._close_interval(chain, account, started_at, "gap")
        if since is not None:
            account.since = max(since, ended_at)
        return [*rows, gap]

    def missed_by_all(
        self, reason: str, started_at: int, ended_at: int, *, detail: str
    ) -> list[LedgerRow]:
        """Note a gap of rows of which it is not known whom it hit.

        One row without market and stream, on top of the coverage: it stands
        for every chain of the job.
        """
        gap = self._gap(
            None, "rows", reason, started_at, detail=detail, ended_at=ended_at
        )
        return [gap]

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

    def book_known(self, chain: Chain, at: int) -> list[LedgerRow]:
        """Note that the order book is known again."""
        account = self._accounts[chain]
        if account.book_gap is None:
            return []
        gap = _ended(account.book_gap, at)
        account.book_gap = None
        self._is_changed = True
        return [gap]

    def midnight(self, at: int) -> list[LedgerRow]:
        """Close every interval at a UTC midnight and open it anew."""
        rows: list[LedgerRow] = []
        for chain, account in self._accounts.items():
            if account.since is not None and account.since < at:
                rows += self._close_interval(chain, account, at, "midnight")
                account.since = at
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
        rows: list[LedgerRow] = []
        for chain, account in self._accounts.items():
            rows += self.book_known(chain, at)
            since = account.since
            end = min(at, (heard_until or {}).get(chain, at))
            end = end if since is None else max(end, since)
            rows += self._close_interval(chain, account, end, "stop")
            if account.rows_gap is not None:
                rows.append(_ended(account.rows_gap, at))
                end = at
            if since is not None or account.rows_gap is not None:
                account.rows_gap = None
                account.is_real = False
                rows += self.lost(chain, "process_stopped", end)
        self._is_changed = True
        return rows

    def is_covered(self, chain: Chain) -> bool:
        """Return whether the chain is being recorded without a gap now."""
        account = self._accounts[chain]
        return account.since is not None and account.rows_gap is None

    def covered_since(self, chain: Chain) -> int | None:
        """Return since when the chain is being recorded without a gap, if it is."""
        return self._accounts[chain].since if self.is_covered(chain) else None

    def state(self) -> RunState | None:
        """Return what is open, for the run file; None if nothing changed."""
        if not self._is_changed:
            return None
        self._is_changed = False
        intervals = tuple(
            OpenInterval(chain.market, chain.stream, account.since)
            for chain, account in self._accounts.items()
            if account.since is not None
        )
        gaps = tuple(
            gap
            for account in self._accounts.values()
            for gap in (account.rows_gap, account.book_gap)
            if gap is not None
        )
        return RunState(intervals=intervals, gaps=gaps)

    def _close_interval(
        self, chain: Chain, account: _Account, at: int, closed_by: str
    ) -> list[LedgerRow]:
        since, account.since = account.since, None
        self._is_changed = True
        if since is None or since >= at:
            return []
        return [
            Coverage(
                market=chain.market,
                stream=chain.stream,
                job=self._job,
                started_at=since,
                ended_at=at,
                closed_by=closed_by,
            )
        ]

    def _gap(
        self,
        chain: Chain | None,
        scope: str,
        reason: str,
        started_at: int,
        *,
        detail: str | None,
        ended_at: int | None = None,
        after_update_id: int | None = None,
        before_update_id: int | None = None,
    ) -> Gap:
        self._gaps_total += 1
        return Gap(
            gap_id=f"{self._run}.{self._gaps_total}",
            market=None if chain is None else chain.market,
            stream=None if chain is None else chain.stream,
            job=self._job,
            scope="rows" if scope == "rows" else "book",
            reason=reason,
            started_at=started_at,
            ended_at=ended_at,
            after_update_id=after_update_id,
            before_update_id=before_update_id,
            detail=detail,
        )


def _ended(gap: Gap, at: int, detail: str | None = None) -> Gap:
    return msgspec.structs.replace(
        gap, ended_at=max(at, gap.started_at), detail=detail or gap.detail
    )


def newest_revisions(rows: Iterable[Mapping[str, object]]) -> list[Gap]:
    """Return the newest revision of each gap, oldest gap first.

    Args:
        rows: Rows of the table ``gaps`` as mappings, times in nanoseconds.
    """
    newest: dict[str, Mapping[str, object]] = {}
    for row in rows:
        gap_id = cast(str, row["gap_id"])
        if gap_id not in newest or _revision(row) >= _revision(newest[gap_id]):
            newest[gap_id] = row
    names = Gap.__struct_fields__
    gaps = [
        msgspec.convert({name: row[name] for name in names}, Gap)
        for row in newest.values()
    ]
    return sorted(gaps, key=lambda gap: (gap.started_at, gap.gap_id))


def _revision(row: Mapping[str, object]) -> tuple[object, ...]:
    return row["ts_recv"], row["conn"], row["seq"], row["idx"]


def gaps_left_open(listing: Listing, job: str) -> list[Gap]:
    """Return the gaps that earlier runs of a job left open, oldest first."""
    table = listing.read("gaps")
    mine = table.filter(pc.equal(table.column("job"), pa.scalar(job)))
    return [gap for gap in newest_revisions(plain_rows(mine)) if gap.ended_at is None]


def plain_rows(table: pa.Table) -> list[dict[str, object]]:
    """Return a table's rows as mappings, times as integer nanoseconds."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            numbers = table.column(number).cast(pa.int64())
            table = table.set_column(number, field.name, numbers)
    return cast(list[dict[str, object]], table.to_pylist())
