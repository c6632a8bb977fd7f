"""Order books: are their ids whole, and can a replay show them where it should?

Each chain is replayed as a reader would replay it. After each message its book
is known, or a gap says why it is not. Files are read piece by piece.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from recorder.errors import CorruptSegmentError
from recorder.model import TAKEN_OVER, UNAPPLIED, Chain, Gap
from recorder.replay.book import run_of_gap
from recorder.replay.outages import Outages
from recorder.replay.walk import Stretch, Walk, start_walk
from recorder.store.listing import Listing
from recorder.verify.chains import spans_of
from recorder.verify.checks.accounts import FOREVER
from recorder.verify.checks.ids import Gaps, Hole, IdChain, Updates
from recorder.verify.checks.rows import Truths, runs_of
from recorder.verify.findings import Checked, Finding, Findings
from recorder.verify.ledger import SourceLedger
from recorder.verify.reading import numbers, texts


class BookCheck:
    """Replays the books of one source.

    Args:
        listing: The store.
        ledger: Of the source.
        findings: Told of what is wrong.
        checked: Counts what is looked at.
        horizon_ns: Rows of living runs received later are not judged yet.
        window: Received from and until when; None is no bound.
    """

    def __init__(
        self,
        listing: Listing,
        ledger: SourceLedger,
        findings: Findings,
        checked: Checked,
        horizon_ns: int,
        window: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self._listing = listing
        self._ledger = ledger
        self._findings = findings
        self._checked = checked
        self._horizon_ns = horizon_ns
        self._window = window

    def check(self, chain: Chain) -> None:
        """Replay a book, and follow its ids."""
        source = self._ledger.source
        outages = self._outages(chain)
        start, end = self._window
        if start is None:
            walk = Walk(self._listing, source, chain, outages)
        else:
            walk = start_walk(self._listing, source, chain, start, outages)
        ids = _Ids(self._ledger, chain, self._horizon_ns)
        shown = _Shown(self._ledger, chain, self._horizon_ns)
        self._checked.books += 1
        try:
            for stretch in walk.stretches(start or 0, FOREVER if end is None else end):
                self._checked.book_rows += stretch.times.size
                ids.follow(stretch.table)
                shown.follow(stretch, walk.crossings)
        except CorruptSegmentError as error:
            self._findings.add(
                Finding(
                    kind="impossible_ids",
                    detail=str(error),
                    source=source,
                    table="depth",
                    market=chain.market,
                    stream=chain.stream,
                )
            )
        for finding in (*ids.findings(), *shown.findings):
            self._findings.add(finding)

    def _outages(self, chain: Chain) -> Outages:
        """Return what the ledger says of a chain, as replays ask for it."""
        coverage: dict[str, list[tuple[int, int]]] = {}
        own: dict[str, list[tuple[int, int]]] = {}
        through = 0
        for row in self._ledger.coverage_of(chain):
            coverage.setdefault(row.job, []).append((row.start, row.end))
            if row.closed_by != TAKEN_OVER:  # that run went on
                own.setdefault(row.told_by, []).append((row.start, row.end))
            through = max(through, row.end)
        gaps = [said.gap for said in self._ledger.gaps_of(None, chain)]
        return Outages(gaps, coverage, self._ledger.jobs, through, own)


class _Ids:
    """The update ids of a chain, run by run."""

    def __init__(self, ledger: SourceLedger, chain: Chain, horizon_ns: int) -> None:
        self._ledger = ledger
        self._chain = chain
        self._horizon_ns = horizon_ns
        self._runs: dict[str, IdChain] = {}
        self._beside = IdChain(Gaps(()))

    def follow(self, table: pa.Table) -> None:
        """Take rows in the order of receipt."""
        origin, origins = texts(table, "origin")
        conn, conns = texts(table, "conn")
        updates = Updates(
            numbers(table, "ts_recv"),
            numbers(table, "first_update_id"),
            numbers(table, "last_update_id"),
            np.asarray(table["is_snapshot"].to_numpy(), np.bool_),
        )
        is_live = np.array([name == "live" for name in origins], np.bool_)[origin]
        # What came beside another run fills what that lacks, and need not be whole.
        is_asked = np.array([(c or "").endswith(".rest") for c in conns], np.bool_)
        beside = is_unapplied(table) & ~is_asked[conn]
        if beside.any():
            self._beside.follow(updates.rows(beside))
        for run, codes in _by_run(conns).items():
            mine = is_live & np.isin(conn, codes)
            if run in self._ledger.alive:
                mine &= updates.times < self._horizon_ns
            if mine.any():
                self._of(run).follow(updates.rows(mine))

    def _of(self, run: str) -> IdChain:
        if run not in self._runs:
            job = self._ledger.jobs.get(run)
            told = self._ledger.gaps_of(job, self._chain, "rows")
            mine = (said.gap for said in told if run_of_gap(said.gap) == run)
            self._runs[run] = IdChain(spans_of(told), unstored(mine))
        return self._runs[run]

    def findings(self) -> Iterable[Finding]:
        """Yield what was found."""
        for run, ids in self._runs.items():
            for hole in ids.holes:
                if self._has_other(run, hole) or self._is_named(run, hole):
                    continue
                yield self._finding(
                    "missing_updates",
                    run,
                    f"between the ids {hole.after} and {hole.before}",
                    hole.since,
                    hole.until,
                )
            for twice in ids.twice:
                yield self._finding(
                    "doubled_updates",
                    run,
                    f"the ids {twice.first} to {twice.last} came before",
                    twice.at,
                    twice.at + 1,
                )

    def _has_other(self, run: str, hole: Hole) -> bool:
        """Return whether a run beside it, of the same job, has what one lacks.

        While one run takes over from another, one account speaks for both.
        """
        job = self._ledger.jobs.get(run)
        missing = hole.after + 1, hole.before - 1
        return self._beside.has(*missing) or any(
            ids.has(*missing)
            for other, ids in self._runs.items()
            if other != run and self._ledger.jobs.get(other) == job
        )

    def _is_named(self, run: str, hole: Hole) -> bool:
        """Return whether a gap names the ids, wherever it lies.

        Rows of a run that took over from another are stored later than they came.
        """
        job = self._ledger.jobs.get(run)
        return any(
            said.gap.after_update_id is not None
            and said.gap.after_update_id <= hole.after
            and hole.before <= (said.gap.before_update_id or 0)
            for said in self._ledger.gaps_of(job, self._chain, "rows")
        )

    def _finding(
        self, kind: str, run: str, detail: str, start: int, end: int
    ) -> Finding:
        return Finding(
            kind=kind,
            detail=detail,
            source=self._ledger.source,
            table="depth",
            market=self._chain.market,
            stream=self._chain.stream,
            job=self._ledger.jobs.get(run),
            started_at=start,
            ended_at=end,
        )


class _Shown:
    """Where a replay cannot show a book, and nothing says so."""

    def __init__(self, ledger: SourceLedger, chain: Chain, horizon_ns: int) -> None:
        self._ledger = ledger
        self._chain = chain
        self._horizon_ns = horizon_ns if ledger.alive else FOREVER
        self._told: Gaps = spans_of(ledger.gaps_of(None, chain))
        self._crossings = 0
        self.findings: list[Finding] = []

    def follow(self, stretch: Stretch, crossings: int) -> None:
        """Take what is shown after some rows.

        Args:
            stretch: The rows.
            crossings: How often the book was crossed until their end.
        """
        was_crossed, self._crossings = crossings > self._crossings, crossings
        times = stretch.times
        untold = ~stretch.quoted.known & ~self._told.hold(times)
        untold &= (times < self._horizon_ns) & ~is_unapplied(stretch.table)
        if not untold.any():
            return
        for start, end in runs_of(untold.astype(np.int64)):
            if untold[start]:
                kind = "crossed_book" if was_crossed else "unknown_book"
                self.findings.append(
                    Finding(
                        kind=kind,
                        detail=f"after {end - start} messages",
                        source=self._ledger.source,
                        table="depth",
                        market=self._chain.market,
                        stream=self._chain.stream,
                        started_at=int(times[start]),
                        ended_at=int(times[end - 1]) + 1,
                        count=end - start,
                    )
                )


def unstored(gaps: Iterable[Gap]) -> Updates | None:
    """Return the updates that gaps name as received and not stored; None if none."""
    found = sorted(
        (gap.started_at, gap.after_update_id + 1, gap.before_update_id - 1)
        for gap in gaps
        if gap.reason == "undecodable"
        and gap.after_update_id is not None
        and gap.before_update_id is not None
    )
    if not found:
        return None
    times, firsts, lasts = np.array(found, np.int64).T
    return Updates(times, firsts, lasts, np.zeros(times.size, np.bool_))


def is_unapplied(table: pa.Table) -> Truths:
    """Return of which rows of ``depth`` no book is made."""
    origin, origins = texts(table, "origin")
    return np.array([name in UNAPPLIED for name in origins], np.bool_)[origin]


def _by_run(conns: Iterable[str | None]) -> dict[str, list[int]]:
    """Return the numbers of connections by their run."""
    found: dict[str, list[int]] = {}
    for code, name in enumerate(conns):
        if name is not None:
            found.setdefault(name.partition(".")[0], []).append(code)
    return found
