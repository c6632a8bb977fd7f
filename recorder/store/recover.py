"""Putting in order what dead runs left.

A run is dead if its lock can be taken. Its journals become segments; if it
did not end cleanly, its open intervals of coverage are closed at its last
heartbeat, and a gap begins there. Those rows go into segments named after
the dead run, so a recovery that is itself killed anywhere, and done again,
changes nothing.

What the dead run still wrote after its last run file is taken into account:
an end of coverage or a gap that reached the disk is believed.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import TABLE_OF, Coverage, Gap
from recorder.store.batch import RowTuple, build
from recorder.store.disk import make_folder, sync_folder, told
from recorder.store.layout import (
    Partition,
    Stem,
    date_of,
    journals_folder,
    list_files,
    runs_folder,
    tmp_folder,
    utc_text,
)
from recorder.store.listing import Listing, check_store, open_listing
from recorder.store.locks import try_lock
from recorder.store.runfile import (
    OpenInterval,
    RunFile,
    read_run_file,
    run_lock_path,
    run_path,
)
from recorder.store.segment import convert, write_segment
from recorder.store.tables import TABLES
from recorder.telemetry import RunRecovered, emit


CLOSING_NUMBER: Final = 999_999
"""Number of the segments that close a dead run: no run makes so many files."""


_Chain: TypeAlias = tuple[str | None, str]
_Interval: TypeAlias = tuple[str | None, str, int]
_ENDINGS: Final = (".json", ".heartbeat", ".lock")


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

    Args:
        root: The store's folder.

    Returns:
        The runs for which something was done, oldest first.

    Raises:
        ConfigError: If there is no such store.
        StoreError: If the disk refuses; what was not done is done next time.
    """
    check_store(root)
    recovered = []
    for run in sorted(_runs_seen(root)):
        lock_path = run_lock_path(root, run)
        with told(f"lock {lock_path}"):
            make_folder(lock_path.parent)
            lock = try_lock(lock_path)
        if lock is None:
            continue
        is_done = False
        try:
            done = _recover_run(root, run)
            is_done = True
        finally:
            with told(f"remove {lock_path}"):
                lock.release(remove=is_done)
        if done is not None:
            recovered.append(done)
            emit(
                RunRecovered(
                    run=run,
                    job=done.job,
                    segments=done.segments,
                    was_killed=done.was_killed,
                    through=None
                    if done.through_ns is None
                    else utc_text(done.through_ns),
                )
            )
    return tuple(recovered)


def _runs_seen(root: Path) -> set[str]:
    """Return the ids of all runs of which anything is left."""
    with told(f"read the store {root}"):
        found = {
            path.stem for path in runs_folder(root).glob("*") if path.suffix in _ENDINGS
        }
        return found | {stem.run for _, stem in _journals(root)}


def _journals(root: Path) -> list[tuple[Partition, Stem]]:
    return [(p, stem) for p, stem, _ in list_files(journals_folder(root), ".arrow")]


def _recover_run(root: Path, run: str) -> RecoveredRun | None:
    """Do all that is to be done for a run whose lock is held."""
    said = read_run_file(root, run)
    journals = [(p, stem) for p, stem in _journals(root) if stem.run == run]
    segments = [convert(root, partition, stem) for partition, stem in journals]
    if said is not None:
        _close(root, said)
    with told(f"remove the files of run {run}"):
        for path in tmp_folder(root).glob(f"*_{run}_*"):
            path.unlink(missing_ok=True)
        # The run file goes first: what is left without it means nothing.
        run_path(root, run).unlink(missing_ok=True)
        for path in runs_folder(root).glob(f"{run}.*"):
            if path != run_lock_path(root, run):
                path.unlink(missing_ok=True)
        sync_folder(runs_folder(root))
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


def _close(root: Path, said: RunFile) -> None:
    """Write the rows that end a killed run."""
    known = _Known(root, said)
    events: list[Coverage | Gap] = [*known.unwritten_gaps()]
    events += [
        Coverage(
            market=interval.market,
            stream=interval.stream,
            job=said.job,
            started_at=interval.started_at,
            ended_at=said.through_ns,
            closed_by="killed",
        )
        for interval in said.state.intervals
        if known.end_of(interval) is None and interval.started_at < said.through_ns
    ]
    alive = utc_text(said.through_ns)
    events += [
        Gap(
            gap_id=f"{said.run}.killed.{stream}.{market or ''}",
            market=market,
            stream=stream,
            job=said.job,
            scope="rows",
            reason="process_killed",
            started_at=since,
            detail=f"run {said.run} ended without stopping, last alive at {alive}",
        )
        for (market, stream), since in known.chains().items()
    ]
    _write_events(root, said, events)


class _Known:
    """What the disk says about a killed run beyond its run file.

    The run file is written after the rows of its flush: rows of a flush that
    was interrupted may end intervals and gaps that the run file has as open.
    """

    def __init__(self, root: Path, said: RunFile) -> None:
        self._said = said
        listing = open_listing(root)
        self._ends = self._read_ends(listing)
        self._gaps = self._read_gaps(listing)

    def end_of(self, interval: OpenInterval) -> int | None:
        """Return where the disk ends an interval; None if it does not."""
        return self._ends.get((interval.market, interval.stream, interval.started_at))

    def unwritten_gaps(self) -> list[Gap]:
        """Return the run's own open gaps of which no row reached the disk."""
        mine = f"{self._said.run}."
        return [
            gap
            for gap in self._said.state.gaps
            if gap.gap_id.startswith(mine) and gap.gap_id not in self._written
        ]

    def chains(self) -> dict[_Chain, int]:
        """Return the chains of which nobody says what is missing, since when."""
        since: dict[_Chain, int] = {}
        for interval in self._said.state.intervals:
            end = self.end_of(interval)
            if end is None:
                end = max(interval.started_at, self._said.through_ns)
            since[interval.market, interval.stream] = end
        for gap in self._said.state.gaps:
            if gap.scope == "rows" and gap.stream is not None:
                since.setdefault((gap.market, gap.stream), gap.started_at)
        for chain, end in list(since.items()):
            ends = [gap.ended_at for gap in self._gaps if _covers(gap, chain)]
            if None in ends:
                del since[chain]  # it is in a gap, which stays open
            else:
                since[chain] = max([end, *(e for e in ends if e is not None)])
        return since

    def _read_ends(self, listing: Listing) -> dict[_Interval, int]:
        starts = [interval.started_at for interval in self._said.state.intervals]
        if not starts:
            return {}
        rows = listing.read("coverage", source=self._said.source, start_ns=min(starts))
        rows = rows.filter(pc.field("job") == self._said.job)
        return {
            (row["market"], row["stream"], row["started_at"]): row["ended_at"]
            for row in _plain(rows, "market", "stream", "started_at", "ended_at")
        }

    def _read_gaps(self, listing: Listing) -> list[Gap]:
        """Return the newest revisions of the gaps that concern this run."""
        gaps = {gap.gap_id: gap for gap in self._said.state.gaps}
        self._written: set[str] = set()
        rows = listing.read(
            "gaps", source=self._said.source, start_ns=self._said.started_at
        )
        rows = rows.filter(pc.field("job") == self._said.job)
        names = [*Gap.__struct_fields__, "ts_recv", "seq"]
        revisions = _plain(rows, *names)
        for row in sorted(revisions, key=lambda row: (row["ts_recv"], row["seq"])):
            row.pop("ts_recv")
            row.pop("seq")
            gaps[row["gap_id"]] = Gap(**row)
            self._written.add(row["gap_id"])
        return [gap for gap in gaps.values() if gap.scope == "rows"]


def _covers(gap: Gap, chain: _Chain) -> bool:
    """Return whether a gap is about a chain: its own, or that of many."""
    market, stream = chain
    return gap.market in (None, market) and gap.stream in (None, stream)


def _plain(rows: pa.Table, *names: str) -> list[dict[str, Any]]:
    """Return rows with their times as integers, nanoseconds."""
    columns = [
        rows[name].cast(pa.int64())
        if pa.types.is_timestamp(rows.schema.field(name).type)
        else rows[name]
        for name in names
    ]
    return pa.table(columns, names=list(names)).to_pylist()


def _write_events(root: Path, said: RunFile, events: Iterable[Coverage | Gap]) -> None:
    """Write rows into segments whose names follow from the dead run."""
    stem = Stem(said.through_ns, said.run, CLOSING_NUMBER)
    rows: dict[str, list[RowTuple]] = {"coverage": [], "gaps": []}
    for seq, event in enumerate(events):
        place = (said.through_ns, f"{said.run}.killed", seq, 0)
        rows[TABLE_OF[type(event)]].append((*place, event, None))
    for table, part in rows.items():  # coverage first: a gap follows its end
        if part:
            batch = build(TABLES[table], part, said.source).batch
            partition = Partition(table, said.source, date_of(said.through_ns))
            write_segment(root, partition, stem, pa.Table.from_batches([batch]))
