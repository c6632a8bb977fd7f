"""What the ledger of a store says, read once: coverage, gaps, and who wrote them.

Of a gap the newest revision counts. Beside captures that live, tables and run
files are read until both tell of the same moment.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa

from recorder.errors import StoreError
from recorder.model import Chain, Gap, is_beside
from recorder.store.layout import SECOND_NS
from recorder.store.runfile import RunFile, living_runs, read_run_files
from recorder.verify.checks.accounts import FOREVER, Span
from recorder.verify.reading import BROKEN, DataFile, list_data, numbers, pieces


TRIES: Final = 8
PAUSE_SECONDS: Final = 0.25
"""Beside a capture, the ledger is read so often until nothing moved meanwhile."""

LEDGER_TABLES: Final = ("coverage", "gaps")

CLOSED_NS: Final = 60 * SECOND_NS
"""Within this a connection is closed over which nothing comes any more."""

ON_TOP: Final = frozenset({"journal_damaged"})
"""Reasons of gaps of rows that lie on top of the coverage: nobody can tell whose
rows they were."""

Key: TypeAlias = tuple[str, Chain]
"""A job and a chain: what has an account."""


class GapSaid(NamedTuple):
    """What is known of a gap.

    Attributes:
        gap: Its newest revision.
        told_by: The run that wrote that.
    """

    gap: Gap
    told_by: str

    @property
    def start(self) -> int:
        """First instant."""
        return self.gap.started_at

    @property
    def end(self) -> int:
        """First instant after; `FOREVER` while it lasts."""
        return FOREVER if self.gap.ended_at is None else self.gap.ended_at

    @property
    def run(self) -> str:
        """The run that found it."""
        return self.gap.gap_id.partition(".")[0]

    def concerns(self, chain: Chain) -> bool:
        """Return whether it is a gap of a chain."""
        return self.gap.market in (None, chain.market or None) and (
            self.gap.stream in (None, chain.stream)
        )


class Covered(NamedTuple):
    """An interval of coverage; one of a living run that is open ends at `FOREVER`."""

    job: str
    chain: Chain
    start: int
    end: int
    told_by: str
    closed_by: str | None


class Lived(NamedTuple):
    """A connection that ended: its number in its run, and its two ends."""

    number: int
    opened_at: int
    closed_at: int


class SourceLedger:
    """The ledger of one source.

    Attributes:
        source: Its name.
        gaps: The newest revision of each gap.
        coverage: All intervals.
        connections: Those that ended, by run.
        jobs: Job of each run.
        alive: Runs that live.
        only_beside: Runs that recorded beside another of their job until they
            ended: its gaps say nothing of their rows.
        dead_jobs: Jobs with a run that died and was not put in order.
        unread: Runs of which a file of connections could not be read.
        broken: Files of intervals and gaps that could not be read: what they
            say is not here.
        is_settled: Whether tables and run files tell of the same moment.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.gaps: list[GapSaid] = []
        self.coverage: list[Covered] = []
        self.connections: dict[str, list[Lived]] = defaultdict(list)
        self.jobs: dict[str, str] = {}
        self.alive: set[str] = set()
        self.only_beside: set[str] = set()
        self.dead_jobs: set[str] = set()
        self.unread: set[str] = set()
        self.broken: list[Path] = []
        self.is_settled = True
        self._spans: dict[Key, list[Span]] | None = None
        self._by_market: dict[str | None, list[GapSaid]] = {}
        self._covered: dict[Chain, list[Covered]] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it could be read."""
        return not self.broken

    def spans(self) -> dict[Key, list[Span]]:
        """Return what the ledger says of each chain of each job, by time.

        Gaps of a whole job count for each chain within the time of which the
        ledger speaks of the chain itself; those that lie on top of the coverage
        by design do not.
        """
        if self._spans is None:
            self._spans = self._read_spans()
        return self._spans

    def gaps_of(self, job: str | None, chain: Chain, *scopes: str) -> list[GapSaid]:
        """Return the gaps of a chain, of one job or of all, of some scopes."""
        return [
            gap
            for gap in (
                *self._by_market.get(chain.market, ()),
                *self._by_market.get(None, ()),
            )
            if job in (None, gap.gap.job)
            and gap.concerns(chain)
            and (not scopes or gap.gap.scope in scopes)
        ]

    def coverage_of(self, chain: Chain) -> list[Covered]:
        """Return the intervals of a chain, of all jobs."""
        if self._covered is None:
            self._covered = defaultdict(list)
            for row in self.coverage:
                self._covered[row.chain].append(row)
        return self._covered.get(chain, [])

    def goes_on(self, conn: str, lost_at: int) -> bool:
        """Return whether a connection goes on where another was lost.

        It was there already then, and its rows are no contradiction. Where not
        all connections of its run are known, nothing can be said against it.

        Args:
            conn: Its name.
            lost_at: Since when nothing came over the other.
        """
        run, _, number = conn.rpartition(".")
        if run in self.unread:
            return True
        ended = {str(one.number): one for one in self.connections.get(run, ())}
        own = ended.pop(number, None)
        until = min(lost_at + CLOSED_NS, FOREVER if own is None else own.closed_at)
        return any(
            other.opened_at < lost_at <= other.closed_at <= until
            for other in ended.values()
        )

    def index(self) -> None:
        """Get ready to answer; call it when all is read."""
        self._by_market = {}
        for said in self.gaps:
            if is_beside(said.gap):
                self.only_beside.add(said.run)
            market, stream = said.gap.market, said.gap.stream
            place = "" if market is None and stream is not None else market
            self._by_market.setdefault(place, []).append(said)

    def _read_spans(self) -> dict[Key, list[Span]]:
        writers: dict[Key, set[str]] = defaultdict(set)
        spans: dict[Key, list[Span]] = defaultdict(list)
        for row in self.coverage:
            key = row.job, row.chain
            spans[key].append(Span(row.start, row.end, "coverage", ""))
            writers[key].add(row.told_by)
        shared: dict[str, list[GapSaid]] = defaultdict(list)
        mine: list[tuple[Key, GapSaid]] = []
        for said in self.gaps:
            gap = said.gap
            if gap.scope != "rows" or gap.reason in ON_TOP:
                continue
            if gap.stream is None:
                shared[gap.job].append(said)
                continue
            key = gap.job, Chain(gap.market or "", gap.stream)
            mine.append((key, said))
            writers[key].add(said.run)
        for key, said in mine:
            is_last = said.end != FOREVER and said.told_by not in writers[key]
            spans[key].append(_span(said, ends_listing=is_last))
        for (job, _), found in spans.items():
            first = min(span.start for span in found)
            last = max(span.end for span in found)
            found += [
                _span(said)._replace(
                    start=max(said.start, first), end=min(said.end, last)
                )
                for said in shared[job]
                if said.start < last and said.end > first
            ]
        return spans


def _span(said: GapSaid, *, ends_listing: bool = False) -> Span:
    gap = said.gap
    return Span(said.start, said.end, gap.reason, gap.gap_id, ends_listing)


class Ledgers(NamedTuple):
    """The ledgers of all sources.

    Attributes:
        by_source: Each by its name.
        alive: What the run files of living runs say.
        dead: What those of runs that died say.
    """

    by_source: dict[str, SourceLedger]
    alive: tuple[RunFile, ...]
    dead: tuple[RunFile, ...]

    def of(self, source: str) -> SourceLedger:
        """Return the ledger of a source; an empty one if there is none."""
        if source not in self.by_source:
            self.by_source[source] = SourceLedger(source)
            self.by_source[source].index()
        return self.by_source[source]


def read_ledgers(root: Path) -> Ledgers:
    """Return what the ledgers say, of one moment where that can be had.

    Raises:
        StoreError: If a folder may not be read.
    """
    for _ in range(TRIES):
        alive, dead = _run_files(root)
        before = {run.run: run.state for run in alive}
        found = _read(root, alive, dead)
        now, _ = _run_files(root)
        newest = min((run.through_ns for run in alive), default=FOREVER)
        moved = {run.run: run.state for run in now} != before
        if not moved and found.newest_alive <= newest:
            return found.ledgers
        time.sleep(PAUSE_SECONDS)
    for ledger in found.ledgers.by_source.values():
        ledger.is_settled = not ledger.alive
    return found.ledgers


class _Found(NamedTuple):
    ledgers: Ledgers
    newest_alive: int


def _run_files(root: Path) -> tuple[tuple[RunFile, ...], tuple[RunFile, ...]]:
    """Return the run files of living runs, and those of dead ones."""
    try:
        alive = living_runs(root)
        names = {run.run for run in alive}
        return alive, tuple(r for r in read_run_files(root) if r.run not in names)
    except StoreError:  # it is told among what runs left
        return (), ()


def _read(root: Path, alive: Iterable[RunFile], dead: Iterable[RunFile]) -> _Found:
    by_source: dict[str, SourceLedger] = {}
    newest_alive = 0
    names = {run.run for run in alive}
    revisions: dict[tuple[str, str], _Revision] = {}
    closed: set[tuple[str, Chain, int]] = set()
    files = list_data(root)
    for file in files:
        table, source = file.partition.table, file.partition.source
        if table not in LEDGER_TABLES:
            continue
        ledger = by_source.setdefault(source, SourceLedger(source))
        try:
            rows = _rows(file)
        except BROKEN:
            ledger.broken.append(file.path)
            continue
        for row in rows:
            run = row["conn"].rpartition(".")[0]
            ledger.jobs[run] = row["job"]
            if run in names:
                newest_alive = max(newest_alive, row["ts_recv"])
            if table == "coverage":
                covered = _covered(row, run)
                ledger.coverage.append(covered)
                closed.add((covered.job, covered.chain, covered.start))
            else:
                _revise(revisions, source, row, run)
    for (source, _), newest in revisions.items():
        by_source[source].gaps.append(newest.said)
    for run_file in (*alive, *dead):
        ledger = by_source.setdefault(run_file.source, SourceLedger(run_file.source))
        is_alive = run_file.run in names
        _add_open(ledger, run_file, closed, is_alive=is_alive)
    for ledger in by_source.values():
        ledger.index()
    _read_connections(files, by_source)
    return _Found(Ledgers(by_source, tuple(alive), tuple(dead)), newest_alive)


def _add_open(
    ledger: SourceLedger,
    run_file: RunFile,
    closed: set[tuple[str, Chain, int]],
    *,
    is_alive: bool,
) -> None:
    """Take what is open in a run: only its file has that."""
    ledger.jobs[run_file.run] = run_file.job
    if is_alive:
        ledger.alive.add(run_file.run)
    else:
        ledger.dead_jobs.add(run_file.job)
    for interval in run_file.state.intervals:
        chain = Chain(interval.market or "", interval.stream)
        if (run_file.job, chain, interval.started_at) in closed:
            continue
        end = interval.ended_at
        if end is None:
            end = FOREVER if is_alive else run_file.covered_until(interval)
        if interval.started_at < end:
            ledger.coverage.append(
                Covered(
                    run_file.job,
                    chain,
                    interval.started_at,
                    end,
                    run_file.run,
                    interval.closed_by,
                )
            )
    known = {said.gap.gap_id for said in ledger.gaps}
    ledger.gaps += [
        GapSaid(gap, run_file.run)
        for gap in run_file.state.gaps
        if gap.gap_id not in known
    ]


def _read_connections(
    files: Iterable[DataFile], by_source: Mapping[str, SourceLedger]
) -> None:
    """Take when connections lived.

    Files that cannot be read are found where each file is checked.
    """
    for file in files:
        ledger = by_source.get(file.partition.source)
        if file.partition.table != "connections" or ledger is None:
            continue
        try:
            for rows in pieces(file, ["conn", "opened_at", "closed_at"]):
                _add_connections(ledger, rows)
        except BROKEN:
            ledger.unread.add(file.stem.run)


def _add_connections(ledger: SourceLedger, rows: pa.Table) -> None:
    names = rows["conn"].to_pylist()
    opened, closed = (numbers(rows, name) for name in ("opened_at", "closed_at"))
    for name, *ends in zip(names, opened.tolist(), closed.tolist(), strict=True):
        run, _, number = (name or "").rpartition(".")
        if number.isdecimal():
            ledger.connections[run].append(Lived(int(number), *ends))


_PLACE: Final = ("ts_recv", "conn", "seq", "idx")
_INTERVAL: Final = ("job", "market", "stream", "started_at", "ended_at")
_GAP: Final = (
    *("gap_id", "scope", "reason", "healed_by", "detail"),
    *("after_update_id", "before_update_id"),
)


def _rows(file: DataFile) -> list[dict[str, Any]]:
    """Return rows of the ledger, their times as nanoseconds."""
    is_gaps = file.partition.table == "gaps"
    names = [*_PLACE, *_INTERVAL, *(_GAP if is_gaps else ("closed_by",))]
    found: list[dict[str, Any]] = []
    for rows in pieces(file, names):
        columns = [
            rows[name].cast(pa.int64())
            if pa.types.is_timestamp(rows[name].type)
            else rows[name]
            for name in names
        ]
        found += pa.table(columns, names=names).to_pylist()
    return found


def _covered(row: Mapping[str, Any], run: str) -> Covered:
    chain = Chain(row["market"] or "", row["stream"])
    times = row["started_at"], row["ended_at"]
    return Covered(row["job"], chain, *times, run, row["closed_by"])


class _Revision(NamedTuple):
    """A row of ``gaps``, and which of two is newer."""

    rank: tuple[bool, int, str, int, int]
    said: GapSaid


def _revise(
    revisions: dict[tuple[str, str], _Revision],
    source: str,
    row: Mapping[str, Any],
    run: str,
) -> None:
    """Keep a revision of a gap if it is the newest; one that ended stays so."""
    gap = Gap(**{name: row[name] for name in (*_INTERVAL, *_GAP)})
    rank = (gap.ended_at is not None, *(row[name] for name in _PLACE))
    key = source, gap.gap_id
    if key not in revisions or revisions[key].rank <= rank:
        revisions[key] = _Revision(rank, GapSaid(gap, run))
