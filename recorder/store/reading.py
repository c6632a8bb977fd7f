"""Reading one segment: only the row groups and columns that are asked for."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recorder.errors import (
    CorruptSegmentError,
    DiskError,
    StoreError,
    UnknownSchemaError,
)
from recorder.store.disk import told
from recorder.store.tables import TEXT, TIME, Table


Window: TypeAlias = tuple[int | None, int | None]
"""Half-open on ``ts_recv``: from, until; nanoseconds; None is no bound."""

TABLE_KEY: Final = b"recorder.table"
VERSION_KEY: Final = b"recorder.table_version"

# Positions of columns that every table starts with.
_TS_RECV: Final = 0
_MARKET: Final = 2


def read_segment(
    path: Path,
    table: Table,
    names: Sequence[str],
    markets: Collection[str] | None,
    window: Window,
) -> pa.Table:
    """Return the rows of a segment that match, in its order.

    Args:
        path: The segment.
        table: Whose rows it is to hold.
        names: The columns to return, in this order.
        markets: Only rows of these; None means all rows.
        window: Only rows received within it.

    Raises:
        CorruptSegmentError: If the file cannot be read as a segment.
        UnknownSchemaError: If it is of another table or a newer version.
        StoreError: If it may not be read.
        DiskError: If it is gone, or the machine refuses for now.
    """
    with _told_of(path), pq.ParquetFile(path, pre_buffer=True) as file:
        check_schema(file.schema_arrow, table, path)
        groups = [
            number
            for number in range(file.num_row_groups)
            if _may_match(file.metadata.row_group(number), markets, window)
        ]
        filters = ["ts_recv"] if window != (None, None) else []
        filters += ["market"] if markets is not None else []
        rows = file.read_row_groups(groups, [*{*names, *filters}])
    return select_rows(rows, names, markets, window)


def last_row_ns(path: Path) -> int:
    """Return when the last row of a segment was received, as its footer says.

    Returns:
        Nanoseconds; the end of time where the footer does not say.

    Raises:
        CorruptSegmentError: If the file cannot be read.
        StoreError: If it may not be read.
        DiskError: If it is gone, or the machine refuses for now.
    """
    last = 0
    with _told_of(path):
        facts = pq.read_metadata(path)
    for number in range(facts.num_row_groups):
        times: Any = facts.row_group(number).column(_TS_RECV).statistics
        if times is None or not times.has_min_max:
            return (1 << 63) - 1
        last = max(last, times.max_raw)
    return last


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Turn what reading a segment raises into a `StoreError`.

    What the system itself refuses, memory among it, says nothing of the file.
    """
    with told(f"read the segment {path}"):
        try:
            yield
        except FileNotFoundError as error:
            raise DiskError(
                f"the segment {path} was removed while it was read; ask again"
            ) from error
        except PermissionError as error:
            raise StoreError(f"no permission to read the segment {path}") from error
        except MemoryError:  # Arrow's is one of its exceptions, too
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise CorruptSegmentError(
                f"the segment {path} cannot be read ({error}); restore it from a "
                "copy, or move it away and ask again"
            ) from error


def check_schema(schema: pa.Schema, table: Table, path: Path) -> None:
    """Check that a segment holds rows of a version of a table that we know.

    Raises:
        UnknownSchemaError: If it does not.
    """
    facts = schema.metadata or {}
    name = facts.get(TABLE_KEY, b"").decode(errors="replace")
    version = facts.get(VERSION_KEY, b"").decode(errors="replace")
    if name != table.name or version != str(table.version):
        raise UnknownSchemaError(
            f"the segment {path} holds {name or 'an unnamed table'} "
            f"v{version or '?'}, not {table.name} v{table.version}; "
            "install a newer release, or move the file away"
        )


def select_rows(
    rows: pa.Table,
    names: Sequence[str],
    markets: Collection[str] | None,
    window: Window,
) -> pa.Table:
    """Return the rows and columns that match.

    Args:
        rows: Has the columns asked for and those that are compared.
        names: The columns to return, in this order.
        markets: Only rows of these; None means all rows.
        window: Only rows received within it.
    """
    start_ns, end_ns = window
    masks = []
    if start_ns is not None:
        masks.append(pc.greater_equal(rows["ts_recv"], pa.scalar(start_ns, TIME)))
    if end_ns is not None:
        masks.append(pc.less(rows["ts_recv"], pa.scalar(end_ns, TIME)))
    if markets is not None:
        chosen = pa.array(sorted(markets), pa.string())
        masks.append(pc.is_in(rows["market"], value_set=chosen))
    for mask in masks[1:]:
        masks[0] = pc.and_(masks[0], mask)
    if masks and not pc.all(masks[0]).as_py():
        rows = rows.filter(masks[0])
    return rows.select(names)


def with_source(rows: pa.Table, source: str) -> pa.Table:
    """Return rows with the name of their feed as a last column."""
    codes = np.zeros(rows.num_rows, np.int32)
    names = pa.DictionaryArray.from_arrays(codes, pa.array([source]))
    return rows.append_column(pa.field("source", TEXT, nullable=False), names)


def _may_match(
    group: pq.RowGroupMetaData, markets: Collection[str] | None, window: Window
) -> bool:
    """Return whether the statistics of a row group let a matching row be in it."""
    start_ns, end_ns = window
    times: Any = group.column(_TS_RECV).statistics
    if times is not None and times.has_min_max:
        if start_ns is not None and times.max_raw < start_ns:
            return False
        if end_ns is not None and times.min_raw >= end_ns:
            return False
    if markets is None:
        return True
    texts: Any = group.column(_MARKET).statistics
    if texts is None or not texts.has_min_max:
        return texts is None or texts.null_count != group.num_rows
    return any(texts.min <= market <= texts.max for market in markets)
