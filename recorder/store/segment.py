"""Segments: a journal's rows, sorted, as one immutable Parquet file.

A segment exists under its final name if and only if it is complete: it is
written outside the folders of data, synced, and only then named. Its name
follows from the journal's, so a conversion that was killed anywhere is
simply done again.
"""

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.store import calls
from recorder.store.damage import gap_of_damage, last_instant
from recorder.store.disk import NewFile, make_folder, publish, remove, told
from recorder.store.journal import map_file, read_journal
from recorder.store.layout import (
    INTERNAL,
    Partition,
    Stem,
    journal_path,
    segment_path,
    tmp_folder,
    torn_path,
)
from recorder.store.levels import levels_in_order
from recorder.store.reading import TABLE_KEY, VERSION_KEY
from recorder.store.runfile import read_run_file
from recorder.store.tables import LEVELS, TABLES, Table
from recorder.telemetry import JournalDamaged, JournalTorn, SegmentWritten, emit


VERSION: Final = version("recorder")
"""Read once: who installs another version while this one runs takes it away."""

ROW_GROUP_ROWS: Final = 131_072
ROW_GROUP_ROWS_OF: Final = {"depth": 16_384, "trades": 16_384}
"""Small row groups where one market among thousands is asked for."""

COMPRESSION_LEVEL: Final = 2
"""Of zstd: 17 % smaller than level 1; higher levels cost more than they save."""


def convert(
    root: Path,
    partition: Partition,
    stem: Stem,
    *,
    synced: int | None = None,
    is_living: bool = False,
    change: Callable[[pa.Table], pa.Table] | None = None,
) -> Path | None:
    """Turn a journal into its segment, and remove it.

    Doing it twice changes nothing. Only who holds the lock of the journal's
    run may do it. A torn end is left out. A journal that is damaged elsewhere
    goes to ``.recorder/torn`` instead, when its good rows are in the segment
    and a gap says what is missing.

    Args:
        root: The store's folder.
        partition: Where the journal lies.
        stem: Its name.
        synced: How much of it was on the disk at least, bytes; None if that is
            not known.
        is_living: Whether its run goes on: it has closed the journal, so that
            a torn end is a damage, too.
        change: Makes of its rows those to be stored; None if they are.

    Returns:
        The segment; None if the journal has no complete batch.

    Raises:
        StoreError: If the disk refuses, or memory runs out; the journal is
            still there then, and no temporary file.
    """
    journal = journal_path(root, partition, stem)
    segment = segment_path(root, partition, stem)
    with told(f"convert the journal {journal}"):
        made = segment.exists()
        try:
            content = map_file(journal)
        except FileNotFoundError:
            if made:
                return segment
            raise
        size = content.size
        batches, seals = read_journal(content, TABLES[partition.table], journal)
        del content
        last_ns = last_instant(batches)
        if made:
            # Whoever made it may have been stopped right then.
            calls.sync_folder(segment.parent)
            remove(_tmp_path(root, partition, stem))
        elif batches:
            rows = _combine(batches)
            rows = rows if change is None else change(rows)
            _write(root, partition, stem, rows, is_living=is_living)
            del rows
            made = True
        del batches
        pa.default_memory_pool().release_unused()
    if is_living and synced is None:
        synced = size
    lost = seals.lost_bytes(size, synced)
    if lost:
        _keep_damaged(root, partition, stem, lost, last_ns)
        return segment if made else None
    if seals.torn_bytes:
        emit(JournalTorn(path=str(journal), torn_bytes=seals.torn_bytes))
    with told(f"remove the journal {journal}"):
        remove(journal)
        calls.sync_folder(journal.parent)
    return segment if made else None


def _keep_damaged(
    root: Path, partition: Partition, stem: Stem, lost_bytes: int, last_ns: int | None
) -> None:
    """Say what a journal lost, and put it where nobody reads or removes it."""
    journal = journal_path(root, partition, stem)
    kept = torn_path(root, partition, stem)
    said = read_run_file(root, stem.run)
    # A run without a file ended in order and left no journal; if one is here
    # all the same, nobody knows any more whose job it was.
    if said is not None:
        detail = (
            f"{lost_bytes} bytes of a journal of {partition.table} cannot be read; "
            f"it is kept as {kept.relative_to(root)}"
        )
        write_segment(root, *gap_of_damage(partition, stem, said, last_ns, detail))
    with told(f"move the damaged journal {journal} to {kept}"):
        make_folder(kept.parent, below=root / INTERNAL)
        calls.rename(journal, kept)
        calls.sync_folder(kept.parent)
        calls.sync_folder(journal.parent)
    emit(JournalDamaged(path=str(kept), torn_bytes=lost_bytes))


def write_segment(root: Path, partition: Partition, stem: Stem, rows: pa.Table) -> bool:
    """Write rows as a segment, unless it exists.

    Args:
        root: The store's folder.
        partition: Where it is to lie.
        stem: Its name.
        rows: At least one row, in any order, with the table's schema.

    Returns:
        False if there is such a segment already: it is left as it is.

    Raises:
        StoreError: If the disk refuses; nothing is left behind then.
    """
    return _write(root, partition, stem, _combine(rows.to_batches()))


def _write(
    root: Path,
    partition: Partition,
    stem: Stem,
    rows: pa.Table,
    *,
    is_living: bool = False,
) -> bool:
    """Write rows of one chunk a column as a segment, unless it exists."""
    table = TABLES[partition.table]
    final = segment_path(root, partition, stem)
    tmp = _tmp_path(root, partition, stem)
    with told(f"write the segment {final}"):
        try:
            if not is_living:  # or there is a store, or its volume has vanished
                make_folder(root / INTERNAL)
            make_folder(tmp.parent, below=root / INTERNAL)
            _write_parquet(tmp, table, rows, _facts(table, partition, stem, rows))
            # While that was written, the volume may have vanished.
            size = tmp.stat().st_size
            make_folder(final.parent, below=root)
            is_new = publish(tmp, final)
        except BaseException:
            with suppress(OSError):  # it is written anew, under the same name
                remove(tmp)
            raise
    emit(
        SegmentWritten(
            table=partition.table,
            source=partition.source,
            rows=rows.num_rows,
            bytes=size,
            path=str(final),
        )
    )
    return is_new


def _tmp_path(root: Path, partition: Partition, stem: Stem) -> Path:
    """Return where a segment is written; only who holds its run's lock does."""
    name = f"{stem}_{partition.table}_{partition.source}_{partition.date}.parquet"
    return tmp_folder(root) / name


def _combine(batches: list[pa.RecordBatch]) -> pa.Table:
    """Return batches as a table of one chunk a column, and empty their list.

    Column by column, and memory given back at once, so that there are never
    two copies of everything.
    """
    schema = batches[0].schema
    columns = pa.Table.from_batches(batches).columns[::-1]
    batches.clear()
    combined = []
    while columns:
        combined.append(columns.pop().unify_dictionaries().combine_chunks())
        pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(combined, schema=schema)


def sort_order(rows: pa.Table) -> npt.NDArray[np.intp]:
    """Return the row numbers in the order of a segment.

    Args:
        rows: One chunk for each column.

    Returns:
        By market (none comes last), ``ts_recv``, ``conn``, ``seq``, ``idx``.
    """
    market = _ranks(rows["market"])
    keys = (
        rows["ts_recv"].chunk(0).cast(pa.int64()).to_numpy(),
        _ranks(rows["conn"]),
        rows["seq"].chunk(0).to_numpy(),
        rows["idx"].chunk(0).to_numpy(),
    )
    if _is_sorted(keys):  # as rows arrive, unless several connections took turns
        return np.argsort(market, kind="stable")
    return np.lexsort((*reversed(keys), market))


def _is_sorted(keys: tuple[npt.NDArray[Any], ...]) -> bool:
    """Return whether rows are in the order of several keys, first one first."""
    tied = np.ones(max(keys[0].size - 1, 0), np.bool_)
    for key in keys:
        if (tied & (key[1:] < key[:-1])).any():
            return False
        tied &= key[1:] == key[:-1]
    return True


def _ranks(column: "pa.ChunkedArray[Any]") -> npt.NDArray[np.uint16 | np.uint32]:
    """Return for each text of a dictionary column its place in sorted order."""
    codes: Any = column.chunk(0)
    texts = codes.dictionary.to_pylist()
    order = np.argsort(np.array(texts, np.object_), kind="stable")
    # Stable sorting is several times faster on 16 bits.
    kind: Any = np.uint16 if len(texts) < np.iinfo(np.uint16).max else np.uint32
    places = np.empty(len(texts) + 1, kind)
    places[order] = np.arange(len(texts), dtype=kind)
    places[-1] = len(texts)  # null
    where = codes.indices.fill_null(len(texts)).to_numpy()
    return cast("npt.NDArray[np.uint16 | np.uint32]", places[where])


def _encodings(table: Table) -> tuple[list[str], list[str]]:
    """Return which columns are stored as differences, and which by dictionary.

    Times, ids and counters come sorted or nearly so: their differences take
    15 % less space than anything else, and less time to write. Levels are stored
    as they are: a dictionary of them costs a fifth of the time, and what zstd
    makes of it is a tenth larger.
    """
    integers = []
    others = []
    for field in table.schema:
        if pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type):
            integers.append(field.name)
        elif field.type == LEVELS:
            continue
        elif pa.types.is_list(field.type):
            others.append(f"{field.name}.list.element")
        else:
            others.append(field.name)
    return integers, others


def _facts(
    table: Table, partition: Partition, stem: Stem, rows: pa.Table
) -> dict[bytes, bytes]:
    """Return what a segment's footer says about it."""
    times = rows["ts_recv"].cast(pa.int64()).to_numpy()
    facts = {
        "recorder.version": VERSION,
        "recorder.run": stem.run,
        "recorder.source": partition.source,
        "recorder.rows": rows.num_rows,
        "recorder.first_ts_recv": times.min(),
        "recorder.last_ts_recv": times.max(),
    }
    texts = {key.encode(): str(value).encode() for key, value in facts.items()}
    texts[TABLE_KEY] = table.name.encode()
    texts[VERSION_KEY] = str(table.version).encode()
    return texts


def _write_parquet(
    path: Path, table: Table, rows: pa.Table, facts: dict[bytes, bytes]
) -> None:
    order = sort_order(rows)
    integers, dictionary = _encodings(table)
    size = ROW_GROUP_ROWS_OF.get(table.name, ROW_GROUP_ROWS)
    with NewFile(path) as file:
        with pq.ParquetWriter(
            cast("IO[bytes]", file),
            table.schema.with_metadata(facts),
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            write_page_index=True,
            write_page_checksum=True,
            use_dictionary=cast("bool", dictionary),  # a list, too
            column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
        ) as writer:
            # One row group at a time, so that no sorted copy of all is made.
            for start in range(0, rows.num_rows, size):
                group = _taken(rows, order[start : start + size])
                writer.write_table(group.cast(table.schema), row_group_size=size)
        file.sync()


def _taken(rows: pa.Table, order: npt.NDArray[np.intp]) -> pa.Table:
    """Return some rows, of one chunk a column, in an order."""
    columns = [
        levels_in_order(cast("pa.Array[Any]", rows[field.name].chunk(0)), order)
        if field.type == LEVELS
        else rows[field.name].take(order)
        for field in rows.schema
    ]
    return pa.Table.from_arrays(columns, schema=rows.schema)
