"""Putting in order what dead runs left.

A run is dead if its lock can be taken. Its journals become segments; if it
did not end cleanly, its open intervals of coverage are closed at its last
heartbeat, and a gap begins there. Those rows go into segments named after
the dead run, so a recovery that is itself killed anywhere, and done again,
changes nothing.

What the dead run still wrote after its last run file is taken into account:
an end of coverage or a gap that reached the disk is believed. Coverage is
claimed up to the heartbeat, but no further than the chain's connection was
heard: a socket that is silent may be dead.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from recorder.errors import StoreError
from recorder.model import TABLE_OF, Coverage, Gap, beside
from recorder.store import calls
from recorder.store.account import Span, merged, outside
from recorder.store.batch import RowTuple, build
from recorder.store.disk import make_folder, remove, told
from recorder.store.last_instant import TIMED, with_last_instant
from recorder.store.last_runs import note_killed
from recorder.store.layout import (
    Partition,
    Stem,
    date_of,
    journals_folder,
    list_files,
    recovery_lock_path,
    runs_folder,
    tmp_folder,
    utc_text,
)
from recorder.store.listing import Listing, check_store, open_listing
from recorder.store.locks import Lock, try_lock, wait_lock
from recorder.store.reading import read_segment
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.runfile import (
    OpenInterval,
    RunFile,
    read_run_file,
    run_lock_path,
    run_path,
)
from recorder.store.segment import convert, write_segment
from recorder.store.tables import TABLES
from recorder.store.unlaid import change_of_depth, has_account, is_unlaid
from recorder.telemetry import RecoveryAwaited, RunRecovered, emit


CLOSING_NUMBER: Final = 999_999
"""Number of the segments that close a dead run: no run makes so many files."""


_Chain: TypeAlias = tuple[str | None, str]
_FOREVER: Final = (1 << 63) - 1
_OF_RUN: Final = re.compile(r"([^.]+)\.(?:json|heartbeat|lock)(?:\.\d+\.new)?")


class RecoveredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What was done for one dead run.

    Attributes:
        run: Id of the run.
        job: Name of its job; None if its run file is gone.
        source: Name of its feed; None if its run file is gone.
        segments: How many journals became segments.
        was_killed: Whether it ended without saying so.
        through_ns: Its last heartbeat; None if its run file is gone.
    """

    run: str
    job: str | None
    source: str | None
    segments: int
    was_killed: bool
    through_ns: int | None


def recover(root: Path) -> tuple[RecoveredRun, ...]:
    """Put in order what dead runs left; living runs are not touched.

    Only one process does it at a time, others wait. When it returns, no run
    that was dead when it was called has anything left to be put in order.

    Args:
        root: The store's folder.

    Returns:
        The runs for which something was done, oldest first.

    Raises:
        ConfigError: If there is no such store.
        StoreError: If the disk refuses; what was not done is done next time.
    """
    check_store(root)
    if not _runs_seen(root):
        return ()
    alone = _only_one(root)
    try:
        done = [_recover_if_dead(root, run) for run in sorted(_runs_seen(root))]
    finally:
        with told(f"remove {alone.path}"):
            alone.release(remove=True)
    return tuple(run for run in done if run is not None)


def _only_one(root: Path) -> Lock:
    """Wait until nobody else recovers the store.

    Whoever starts must not read the ledger while another is still closing
    what its last run left open.
    """
    path = recovery_lock_path(root)
    with told(f"lock {path}"):
        make_folder(path.parent)
        lock = try_lock(path)
        if lock is None:
            emit(RecoveryAwaited(store=str(root)))
            lock = wait_lock(path)
        return lock


def _recover_if_dead(root: Path, run: str) -> RecoveredRun | None:
    """Do all that is to be done for a run, unless it lives."""
    lock_path = run_lock_path(root, run)
    with told(f"lock {lock_path}"):
        make_folder(lock_path.parent)
        lock = try_lock(lock_path)
    if lock is None:
        return None
    is_done = False
    try:
        done = _recover_run(root, run)
        is_done = True
    except MemoryError as error:  # Arrow's is one too
        raise StoreError(
            f"not enough memory to recover run {run} of the store {root}; nothing is "
            "lost: free some memory and run `recorder recover`"
        ) from error
    finally:
        with told(f"remove {lock_path}"):
            lock.release(remove=is_done)
    if done is not None:
        through = None if done.through_ns is None else utc_text(done.through_ns)
        emit(
            RunRecovered(
                run=run,
                job=done.job,
                segments=done.segments,
                was_killed=done.was_killed,
                through=through,
            )
        )
    return done


def _runs_seen(root: Path) -> set[str]:
    """Return the ids of all runs of which anything is left."""
    with told(f"read the store {root}"):
        names = (path.name for path in runs_folder(root).glob("*"))
        found = {match[1] for name in names if (match := _OF_RUN.fullmatch(name))}
        return found | {stem.run for _, stem in _journals(root)}


def _journals(root: Path) -> list[tuple[Partition, Stem]]:
    return [(p, stem) for p, stem, _ in list_files(journals_folder(root), ".arrow")]


def _recover_run(root: Path, run: str) -> RecoveredRun | None:
    """Do all that is to be done for a run whose lock is held."""
    said = read_run_file(root, run)
    journals = [(p, stem) for p, stem in _journals(root) if stem.run == run]
    segments = []
    for partition, stem in journals:
        synced = None if said is None else said.synced_of(stem.number)
        change = None
        if partition.table == "depth" and said is not None:
            change = change_of_depth(open_listing(root), said)
        segments.append(convert(root, partition, stem, synced=synced, change=change))
    if said is not None:
        said = with_last_instant(root, said)
        _end_account(root, said)
        note_killed(root, said)
    with told(f"remove the files of run {run}"):
        for path in tmp_folder(root).glob(f"*_{run}_*"):
            remove(path)
        if tmp_folder(root).is_dir():
            calls.sync_folder(tmp_folder(root))
        # The run file goes first: what is left without it means nothing.
        remove(run_path(root, run))
        for path in runs_folder(root).glob(f"{run}.*"):
            if path != run_lock_path(root, run):
                remove(path)
        calls.sync_folder(runs_folder(root))
    if said is None and not journals:
        return None
    return RecoveredRun(
        run=run,
        job=None if said is None else said.job,
        source=None if said is None else said.source,
        segments=sum(segment is not None for segment in segments),
        was_killed=said is not None,
        through_ns=None if said is None else said.through_ns,
    )


def settle_hung(root: Path, run: str) -> None:
    """Close the account of a run that lives, but does not answer, as if it died.

    It finds its run file gone, and writes nothing more.

    Args:
        root: The store's folder.
        run: Id of the run.

    Raises:
        StoreError: If the disk refuses.
    """
    alone = _only_one(root)
    try:
        said = read_run_file(root, run)
        if said is not None:
            _end_account(root, with_last_instant(root, said))
            with told(f"remove the run file of run {run}"):
                remove(run_path(root, run))
                calls.sync_folder(runs_folder(root))
    finally:
        with told(f"remove {alone.path}"):
            alone.release(remove=True)


def _end_account(root: Path, said: RunFile) -> None:
    """Write the rows that end a killed run."""
    known = _Known(root, said)
    (_close_beside if is_unlaid(known.listing, said) else _close)(root, said, known)


def _close(root: Path, said: RunFile, known: "_Known") -> None:
    """Write the rows that end the account of a killed run."""
    events: list[Coverage | Gap] = [*known.unwritten_gaps(), *known.untold_gaps()]
    alive = utc_text(said.through_ns)
    for chain in known.chains():
        market, stream = chain
        told, coverage = known.told(chain), known.unwritten_coverage(chain)
        events += coverage
        told += [(row.started_at, row.ended_at) for row in coverage]
        for start, end in outside((known.began(chain), _FOREVER), told):
            is_last = end == _FOREVER
            hole = "" if is_last else f".{start}"
            gap = Gap(
                gap_id=f"{said.run}.killed.{stream}.{market or ''}{hole}",
                market=market,
                stream=stream,
                job=said.job,
                scope="rows",
                reason="process_killed",
                started_at=start,
                ended_at=None if is_last else end,
                detail=f"run {said.run} ended without stopping, last alive at {alive}",
            )
            events.append(gap)
    if not events and not has_account(known.listing, said):
        # All is as it was found; but whose the rows are must be known.
        events += said.state.gaps[:1]
    _write_events(root, said, max(said.through_ns, known.last_row_ns), events)


def _close_beside(root: Path, said: RunFile, known: "_Known") -> None:
    """Write the rows that end a killed run which did not have the account yet.

    What the job had not recorded before is missing since the run began.
    """
    at = max(said.through_ns, known.last_row_ns)
    gap = beside(said.run, said.job, "process_killed", at)
    _write_events(root, said, at, [*known.unwritten_gaps(), gap])


class _Known:
    """What the disk says about a killed run beyond its run file.

    The run file is written after the rows of its flush: rows of a flush that
    was interrupted may end intervals and gaps that the run file has as open.

    Attributes:
        last_row_ns: When the last row of the run was received, nanoseconds;
            0 if it has none after the heartbeat.
        listing: The store.
    """

    def __init__(self, root: Path, said: RunFile) -> None:
        self._said = said
        self._began: dict[_Chain, int] = {}
        self._intervals: dict[_Chain, list[OpenInterval]] = defaultdict(list)
        for interval in said.state.intervals:
            chain = interval.market, interval.stream
            self._intervals[chain].append(interval)
            self._begin(chain, interval.started_at)
        for gap in said.state.gaps:
            if gap.scope == "rows" and gap.stream is not None:
                self._begin((gap.market, gap.stream), gap.started_at)
        self.listing = listing = open_listing(root)
        self._read_coverage(listing)
        self._read_gaps(listing)
        self.last_row_ns = _last_row_ns(listing, said)

    def _begin(self, chain: _Chain, at: int) -> None:
        self._began[chain] = min(at, self._began.get(chain, at))

    def chains(self) -> Iterable[_Chain]:
        """Return what the run was recording."""
        return self._began

    def began(self, chain: _Chain) -> int:
        """Return since when the run file speaks of a chain; rows told all before."""
        return self._began[chain]

    def told(self, chain: _Chain) -> list[Span]:
        """Return when rows on the disk say of a chain what is here or missing."""
        return self._coverage[chain] + self._gaps[chain] + self._shared

    def unwritten_coverage(self, chain: _Chain) -> list[Coverage]:
        """Return what was covered of a chain, and no row says so.

        Where the disk ends an interval, its end is believed, and that the
        run knew more of what came after is not.
        """
        told = self.told(chain)
        starts = {start for start, _ in self._coverage[chain]}
        return [
            Coverage(
                market=interval.market,
                stream=interval.stream,
                job=self._said.job,
                started_at=start,
                ended_at=end,
                closed_by=(
                    interval.closed_by
                    if interval.closed_by is not None and end == interval.ended_at
                    else "killed"
                ),
            )
            for interval in self._intervals[chain]
            if interval.started_at not in starts
            for start, end in outside(
                (interval.started_at, self._said.covered_until(interval)), told
            )
        ]

    def unwritten_gaps(self) -> list[Gap]:
        """Return the run's own open gaps of which no row reached the disk."""
        mine = f"{self._said.run}."
        return [
            gap
            for gap in self._said.state.gaps
            if gap.gap_id.startswith(mine) and gap.gap_id not in self._written
        ]

    def untold_gaps(self) -> list[Gap]:
        """Return the gaps of books that were found wrong, and of which no gap tells."""
        return [gap for gap in self._said.found if _place(gap) not in self._books]

    def _read_coverage(self, listing: Listing) -> None:
        self._coverage: dict[_Chain, list[Span]] = defaultdict(list)
        starts = [interval.started_at for interval in self._said.state.intervals]
        if not starts:
            return
        rows = listing.read("coverage", source=self._said.source, start_ns=min(starts))
        rows = rows.filter(pc.field("job") == self._said.job)
        names = Coverage.__struct_fields__
        for row in plain_rows(rows.select(names)):
            told = msgspec.convert(row, Coverage)
            span = told.started_at, told.ended_at
            self._coverage[told.market, told.stream].append(span)

    def _read_gaps(self, listing: Listing) -> None:
        """Keep the newest revisions of the gaps of rows that concern this run."""
        gaps = {gap.gap_id: gap for gap in self._said.state.gaps}
        rows = listing.read(
            "gaps", source=self._said.source, start_ns=self._said.started_at
        )
        rows = rows.filter(pc.field("job") == self._said.job)
        on_disk = {gap.gap_id: gap for gap in newest_revisions(plain_rows(rows))}
        self._written = set(on_disk)
        known = (gaps | on_disk).values()
        self._books = {_place(gap) for gap in known if gap.scope == "book"}
        self._gaps: dict[_Chain, list[Span]] = defaultdict(list)
        first = min(self._began.values(), default=0)
        shared = []
        for gap in (gaps | on_disk).values():
            span = gap.started_at, _FOREVER if gap.ended_at is None else gap.ended_at
            if gap.scope != "rows" or span[1] <= first:
                continue
            if gap.stream is None:  # the whole job
                shared.append(span)
            else:
                self._gaps[gap.market, gap.stream].append(span)
        self._shared = merged(shared)


def _place(gap: Gap) -> tuple[str | None, str | None, int]:
    return gap.market, gap.stream, gap.started_at


def _last_row_ns(listing: Listing, said: RunFile) -> int:
    """Return when a run received its last row, if after its heartbeat, else 0."""
    last = 0
    for table in TABLES.values():
        for segment in listing.segments(table.name, start_ns=said.through_ns):
            if segment.run == said.run:
                window = said.through_ns, None
                rows = read_segment(segment.path, table, ["ts_recv"], None, window)
                if rows.num_rows:
                    last = max(last, pc.max(rows["ts_recv"]).value)
    return last


def _write_events(
    root: Path, said: RunFile, at: int, events: Iterable[Coverage | Gap]
) -> None:
    """Write rows into segments whose names follow from the dead run."""
    idx = 0
    if said.shown_until is not None:
        at, idx = max(at, said.shown_until), TIMED
    stem = Stem(at, said.run, CLOSING_NUMBER)
    rows: dict[str, list[RowTuple]] = {"coverage": [], "gaps": []}
    for seq, event in enumerate(events):
        place = (at, f"{said.run}.killed", seq, idx)
        rows[TABLE_OF[type(event)]].append((*place, event, None))
    for table, part in rows.items():  # coverage first: a gap follows its end
        if part:
            batch = build(TABLES[table], part, said.source).batch
            partition = Partition(table, said.source, date_of(at))
            write_segment(root, partition, stem, pa.Table.from_batches([batch]))
