"""What a store holds at one instant, for one query or one replay.

A capture may be writing meanwhile. So the files are listed in an order that
shows every row once: first the run files are read, then the journals are
opened (an open journal stays readable when it is converted and removed),
then the segments are listed, and journals whose segment exists are left
out. From then on nothing that the capture does changes the listing.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from recorder.errors import ConfigError, DiskError
from recorder.store.disk import told
from recorder.store.journal import map_file, read_journal
from recorder.store.layout import (
    Partition,
    Stem,
    date_of,
    is_store,
    journals_folder,
    list_files,
)
from recorder.store.reading import read_segment, select_rows, with_source
from recorder.store.runfile import read_run_files
from recorder.store.tables import TABLES, TEXT, Table
from recorder.telemetry import JournalDamaged, emit


class Segment(NamedTuple):
    """One Parquet file.

    Attributes:
        path: Where it lies.
        table: Name of its table.
        source: Name of its feed.
        date: UTC date of ``ts_recv``, ``YYYY-MM-DD``.
        first_ts_recv: No row in it was received before, nanoseconds.
        run: Id of the run whose rows it holds.
        number: Counts the files of a run.
    """

    path: Path
    table: str
    source: str
    date: str
    first_ts_recv: int
    run: str
    number: int


class JournalRows(NamedTuple):
    """The rows of one journal, in the order of their arrival.

    Attributes:
        source: Name of the feed.
        date: UTC date of ``ts_recv``.
        rows: The rows, with the schema of the table.
    """

    source: str
    date: str
    rows: pa.Table


class _OpenJournal(NamedTuple):
    partition: Partition
    stem: Stem
    path: Path
    content: pa.Buffer


class Listing:
    """The files of a store as they stood when it was opened.

    Attributes:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # Read first: no journal is shorter than they say.
        self._run_files = {said.run: said for said in read_run_files(root)}
        opened = list(_open_journals(root))
        self._segments: dict[str, list[Segment]] = {table: [] for table in TABLES}
        for partition, stem, path in list_files(root, ".parquet"):
            self._segments[partition.table].append(Segment(path, *partition, *stem))
        converted = {
            (s.table, s.source, s.date, Stem(s.first_ts_recv, s.run, s.number))
            for segments in self._segments.values()
            for s in segments
        }
        self._journals = [
            journal
            for journal in opened
            if (*journal.partition, journal.stem) not in converted
        ]
        self._rows: dict[str, tuple[JournalRows, ...]] = {}

    def sources(self) -> tuple[str, ...]:
        """Return the names of the feeds that the store has rows of, sorted."""
        listed = {s.source for group in self._segments.values() for s in group}
        return tuple(sorted(listed | {j.partition.source for j in self._journals}))

    def segments(
        self,
        table: str,
        *,
        source: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> tuple[Segment, ...]:
        """Return the segments of a table that may hold what is asked for.

        Args:
            table: Name of the table.
            source: Only this feed's.
            start_ns: Only rows received at or after this time are wanted.
            end_ns: Only rows received before this time are wanted.

        Returns:
            In the order of source, date and name.
        """
        first_date = None if start_ns is None else date_of(start_ns)
        return tuple(
            segment
            for segment in self._segments[table]
            if (source is None or segment.source == source)
            and (first_date is None or segment.date >= first_date)
            and (end_ns is None or segment.first_ts_recv < end_ns)
        )

    def journals(
        self, table: str, *, source: str | None = None
    ) -> tuple[JournalRows, ...]:
        """Return the rows of a table that are not yet in a segment.

        Args:
            table: Name of the table.
            source: Only this feed's.
        """
        rows = self._rows.get(table)
        if rows is None:
            rows = tuple(
                self._rows_of(journal, TABLES[table])
                for journal in self._journals
                if journal.partition.table == table
            )
            self._rows[table] = rows
        return tuple(part for part in rows if source in (None, part.source))

    def _rows_of(self, journal: _OpenJournal, table: Table) -> JournalRows:
        content, stem = journal.content, journal.stem
        batches, seals = read_journal(content, table, journal.path)
        said = self._run_files.get(stem.run)
        synced = None if said is None else said.synced_of(stem.number)
        lost = seals.lost_bytes(content.size, synced)
        if lost:
            emit(JournalDamaged(path=str(journal.path), torn_bytes=lost))
        rows = pa.Table.from_batches(batches, schema=table.schema)
        return JournalRows(journal.partition.source, journal.partition.date, rows)

    def read(
        self,
        table: str,
        *,
        source: str | None = None,
        markets: Collection[str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return rows of segments and journals together.

        Row groups that cannot hold what is asked for are not read.

        Args:
            table: Name of the table.
            source: Only this feed's.
            markets: Only these markets; rows without a market are left out
                then. None means all rows.
            start_ns: Received at or after this time, nanoseconds.
            end_ns: Received before this time, nanoseconds.
            columns: Only these columns; None means all.

        Returns:
            The columns asked for, then ``source`` (dictionary). Rows come as
            the files do: each file sorted, the whole not.

        Raises:
            CorruptSegmentError: If a segment cannot be read.
            UnknownSchemaError: If a segment is of a version not known.
        """
        wanted = TABLES[table]
        names = wanted.schema.names if columns is None else list(columns)
        names = [name for name in names if name != "source"]
        window = (start_ns, end_ns)
        parts = [
            with_source(
                read_segment(segment.path, wanted, names, markets, window),
                segment.source,
            )
            for segment in self.segments(
                table, source=source, start_ns=start_ns, end_ns=end_ns
            )
        ]
        parts.extend(
            with_source(select_rows(part.rows, names, markets, window), part.source)
            for part in self.journals(table, source=source)
        )
        empty = select_rows(wanted.schema.empty_table(), names, None, (None, None))
        whole = pa.concat_tables([with_source(empty, ""), *parts])
        return whole.unify_dictionaries()

    def open_coverage(self) -> pa.Table:
        """Return the intervals of coverage that are open, or not written yet.

        They come from the run files of runs that live, or that died and have
        not been recovered: everything up to the heartbeat is here, as far as
        the connection was heard.

        Returns:
            The columns of ``coverage``, then ``source``; of an interval that
            is open ``closed_by`` is null.
        """
        rows = [
            (run, interval)
            for run in self._run_files.values()
            for interval in run.state.intervals
            if interval.started_at < run.covered_until(interval)
        ]
        # An interval whose closing row was written since the run file was
        # read is closed.
        if rows:
            first = min(interval.started_at for _, interval in rows)
            closed = set(_keys(self.read("coverage", start_ns=first)))
            rows = [
                (run, i)
                for run, i in rows
                if (run.source, run.job, i.stream, i.market, i.started_at) not in closed
            ]
        through = [run.covered_until(interval) for run, interval in rows]
        count = len(rows)
        values: dict[str, list[Any]] = {
            "ts_recv": through,
            "ts_event": [None] * count,
            "market": [interval.market for _, interval in rows],
            "conn": [f"{run.run}.ledger" for run, _ in rows],
            "seq": list(range(count)),
            "idx": [0] * count,
            "stream": [interval.stream for _, interval in rows],
            "job": [run.job for run, _ in rows],
            "started_at": [interval.started_at for _, interval in rows],
            "ended_at": through,
            "closed_by": [interval.closed_by for _, interval in rows],
            "source": [run.source for run, _ in rows],
        }
        schema = TABLES["coverage"].schema
        where = schema.get_field_index("closed_by")
        schema = schema.set(where, schema.field(where).with_nullable(nullable=True))
        schema = schema.append(pa.field("source", TEXT, nullable=False))
        return pa.table(values, schema=schema)

    def bytes(self) -> dict[str, int]:
        """Return the size on disk of each table that has files."""
        sizes: dict[str, int] = {}
        for table, segments in self._segments.items():
            for segment in segments:
                with told(f"look at {segment.path}"), suppress(FileNotFoundError):
                    size = segment.path.stat().st_size
                    sizes[table] = sizes.get(table, 0) + size
        for journal in self._journals:
            table = journal.partition.table
            sizes[table] = sizes.get(table, 0) + journal.content.size
        return sizes


def open_listing(root: Path, *, is_living: bool = False) -> Listing:
    """Return what a store holds now.

    Args:
        root: The store's folder.
        is_living: Whether a run of this process goes on in it: then there is a
            store, or its volume has vanished.

    Raises:
        ConfigError: If there is no such folder, or it holds something else.
        DiskError: If that is so though a run goes on in it.
        StoreError: If it may not be read.
    """
    try:
        check_store(root)
    except ConfigError as error:
        if not is_living:
            raise
        raise DiskError(
            f"the store {root} is not there any more; mount its volume again"
        ) from error
    with told(f"read the store {root}"):
        return Listing(root)


def check_store(root: Path) -> None:
    """Check that there is a store.

    Raises:
        ConfigError: If there is no such folder, or it holds something else.
        StoreError: If it may not be read.
    """
    with told(f"read the store {root}"):
        if not root.exists():
            raise ConfigError(
                f"there is no store at {root}; give the folder of a capture as --store"
            )
        if not root.is_dir():
            raise ConfigError(
                f"{root} is a file, not a store; give the folder of a capture as "
                "--store"
            )
        looks_like_one = is_store(root)
    if not looks_like_one:
        raise ConfigError(
            f"{root} holds other things than a store; give the folder of a capture "
            "as --store"
        )


def _keys(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Return what names each interval of ``coverage`` rows."""
    names = ("source", "job", "stream", "market")
    texts = [rows[name].to_pylist() for name in names]
    starts = rows["started_at"].cast(pa.int64()).to_pylist()
    return zip(*texts, starts, strict=True)


def _open_journals(root: Path) -> Iterator[_OpenJournal]:
    for partition, stem, path in list_files(journals_folder(root), ".arrow"):
        # A journal that is gone by now was converted: its segment exists.
        with suppress(FileNotFoundError):
            yield _OpenJournal(partition, stem, path, map_file(path))
