"""What is in a store: how much of what, from when to when, with which gaps.

Rows and times of tables come from the footers of their files, so even a large
store answers soon. What was recorded comes from the ledger: coverage and gaps.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recorder.errors import CorruptSegmentError
from recorder.query.views import base_name
from recorder.store.last_runs import LastRun, read_last_runs
from recorder.store.listing import Listing
from recorder.store.runfile import dead_runs
from recorder.store.tables import TABLES


class TableInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One table of one source.

    Attributes:
        table: ``trades``, ``depth``, ...
        source: Name of the feed.
        rows: Rows in segments and journals.
        files: Segments.
        bytes: Size of the segments.
        journal_rows: How many of the rows are not in a segment yet.
        first_ts_recv: When the first row was received, nanoseconds.
        last_ts_recv: When the last row was received, nanoseconds.
    """

    table: str
    source: str
    rows: int
    files: int
    bytes: int
    journal_rows: int
    first_ts_recv: int
    last_ts_recv: int


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of one source, over all its markets.

    Attributes:
        source: Name of the feed.
        stream: Canonical name, ``depth:100ms``.
        markets: The markets recorded, sorted; empty for a stream without.
        jobs: The jobs that recorded it, sorted.
        started_at: First instant recorded, nanoseconds.
        ended_at: First instant after the last recorded, nanoseconds.
    """

    source: str
    stream: str
    markets: tuple[str, ...]
    jobs: tuple[str, ...]
    started_at: int
    ended_at: int


class GapInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The gaps of one source that have one reason.

    Attributes:
        source: Name of the feed.
        scope: ``rows`` or ``book``.
        reason: ``connect_lost``, ``resync``, ...
        gaps: How many there are.
        open: How many of them last.
        healed: How many were filled, or shown to be empty.
        seconds: Length of those that have ended, added up.
    """

    source: str
    scope: str
    reason: str
    gaps: int
    open: int
    healed: int
    seconds: float


class DeadRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that died: what it missed is not among the gaps yet.

    Attributes:
        run: Id of the run.
        job: Name of its job.
        source: Name of its feed.
        last_alive_at: Its rows are known to be complete up to then, our clock,
            nanoseconds.
    """

    run: str
    job: str
    source: str
    last_alive_at: int


class StoreInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds.

    Attributes:
        path: The store's folder.
        bytes: Size of its segments and journals.
        tables: Sizes, by source and table.
        streams: What was recorded, by source and stream.
        gaps: What is missing, by source, scope and reason.
        died: Runs that died and were not recovered, oldest first.
        last_runs: How the last run of each job ended, by job.
    """

    path: str
    bytes: int
    tables: tuple[TableInfo, ...]
    streams: tuple[StreamInfo, ...]
    gaps: tuple[GapInfo, ...]
    died: tuple[DeadRun, ...] = ()
    last_runs: tuple[LastRun, ...] = ()


Ask = Callable[[str], tuple[pa.Schema, Iterator[pa.RecordBatch]]]
"""Asks a store a question in SQL."""

STREAMS_SQL = """
SELECT
    source, stream,
    coalesce(
        list_sort(list(DISTINCT market) FILTER (WHERE market IS NOT NULL)), []
    ) AS markets,
    list_sort(list(DISTINCT job)) AS jobs,
    epoch_ns(min(started_at)) AS started_at,
    epoch_ns(max(ended_at)) AS ended_at
FROM coverage GROUP BY source, stream ORDER BY source, stream
"""

GAPS_SQL = """
SELECT
    source, scope, reason,
    count(*) AS gaps,
    count(*) - count(ended_at) AS open,
    count(healed_by) AS healed,
    coalesce(sum(epoch_ns(ended_at) - epoch_ns(started_at)), 0)::DOUBLE / 1e9
        AS seconds
FROM gaps GROUP BY source, scope, reason ORDER BY source, scope DESC, reason
"""


def read_info(path: Path, listing: Listing, ask: Ask) -> StoreInfo:
    """Return what a store holds.

    Args:
        path: The store's folder.
        listing: Its files.
        ask: Asks it a question.

    Raises:
        StoreError: If a file cannot be read.
    """
    tables = [
        _table_info(listing, table, source)
        for source in listing.sources()
        for table in TABLES
    ]
    return StoreInfo(
        path=str(path),
        bytes=sum(listing.bytes().values()),
        tables=tuple(table for table in tables if table.rows),
        streams=tuple(msgspec.convert(_rows(ask, STREAMS_SQL), list[StreamInfo])),
        gaps=tuple(msgspec.convert(_rows(ask, GAPS_SQL), list[GapInfo])),
        died=died(path),
        last_runs=read_last_runs(path),
    )


def died(path: Path) -> tuple[DeadRun, ...]:
    """Return runs that died and were not recovered, oldest first.

    Args:
        path: The store's folder.

    Raises:
        StoreError: If a run file cannot be read.
    """
    return tuple(
        DeadRun(
            run=run.run, job=run.job, source=run.source, last_alive_at=run.through_ns
        )
        for run in dead_runs(path)
    )


def _rows(ask: Ask, sql: str) -> list[dict[str, object]]:
    schema, batches = ask(sql)
    return pa.Table.from_batches(batches, schema).to_pylist()


def _table_info(listing: Listing, table: str, source: str) -> TableInfo:
    segments = listing.segments(table, source=source)
    rows, times = 0, []
    for segment in segments:
        footer = _footer(segment.path)
        rows += footer.num_rows
        times += [segment.first_ts_recv, _last_ts_recv(footer)]
    journal_rows = 0
    for journal in listing.journals(table, source=source):
        journal_rows += journal.rows.num_rows
        stamps = journal.rows.column("ts_recv").cast(pa.int64())
        times += [stamp.as_py() for stamp in (pc.min(stamps), pc.max(stamps))]
    return TableInfo(
        table=base_name(table),
        source=source,
        rows=rows + journal_rows,
        files=len(segments),
        bytes=sum(segment.path.stat().st_size for segment in segments),
        journal_rows=journal_rows,
        first_ts_recv=min(times, default=0),
        last_ts_recv=max(times, default=0),
    )


def _last_ts_recv(footer: pq.FileMetaData) -> int:
    # Every table starts with ts_recv, and every segment has statistics of it;
    # the raw value is nanoseconds, which a datetime could not hold.
    groups: Iterator[Any] = map(footer.row_group, range(footer.num_row_groups))
    return max(int(group.column(0).statistics.max_raw) for group in groups)


def _footer(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise CorruptSegmentError(f"cannot read the segment {path}: {error}") from error
