"""Rows of one chain, piece by piece, in the order of receipt.

Files are read one after the other, in the order of their names, which say
that nothing in them is older. Rows are given out up to where the next file
may begin; so only the files that overlap are in memory at a time, and each
is read once.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import Chain
from recorder.replay.compiled import Ints
from recorder.replay.outages import Interval
from recorder.replay.rows import COLUMNS
from recorder.store.layout import DAY_NS, SECOND_NS
from recorder.store.listing import JournalRows, Listing, Segment
from recorder.store.reading import read_segment, select_rows
from recorder.store.tables import TABLES


PIECE_ROWS: Final = 50_000
"""Rows that are enough to be given out."""

_NAMES: Final = ("ts_recv", "ts_event", "conn", "seq", "idx", "stream", *COLUMNS)


class _File(NamedTuple):
    first_ns: int
    content: Segment | JournalRows


def span(listing: Listing, table: str, source: str) -> Interval | None:
    """Return an interval that holds all rows of a table; None without any."""
    starts: list[int] = []
    ends: list[int] = []
    for segment in listing.segments(table, source=source):
        starts.append(segment.first_ts_recv)
        ends.append(_midnight_after(segment.date))
    for journal in listing.journals(table, source=source):
        if journal.rows.num_rows:
            times = times_of(journal.rows, "ts_recv")
            starts.append(int(times.min()))
            ends.append(int(times.max()) + 1)
    return (min(starts), max(ends)) if starts else None


def read_chain(
    listing: Listing, source: str, chain: Chain, start_ns: int, end_ns: int
) -> Iterator[pa.Table]:
    """Yield the rows of a chain received in an interval, in order.

    Yields:
        Tables with at least one row: the columns that a ladder reads, times,
        and the place of each row; sorted by (``ts_recv``, ``conn``, ``seq``,
        ``idx``), each later than the one before.
    """
    files = _files(listing, source, start_ns, end_ns)
    pending: list[pa.Table] = []
    for number, file in enumerate(files):
        rows = _read(file.content, chain, (start_ns, end_ns))
        if rows.num_rows:
            pending.append(rows)
        is_last = number == len(files) - 1
        if is_last or sum(rows.num_rows for rows in pending) >= PIECE_ROWS:
            until_ns = end_ns if is_last else files[number + 1].first_ns
            ready, later = _split(pending, until_ns)
            pending = [later] if later.num_rows else []
            if ready.num_rows:
                yield ready


def _files(listing: Listing, source: str, start_ns: int, end_ns: int) -> list[_File]:
    """Return what may hold rows of an interval, oldest first."""
    segments = listing.segments(
        "depth", source=source, start_ns=start_ns, end_ns=end_ns
    )
    files = [_File(segment.first_ts_recv, segment) for segment in segments]
    files += [
        _File(int(times_of(journal.rows, "ts_recv").min()), journal)
        for journal in listing.journals("depth", source=source)
        if journal.rows.num_rows
    ]
    return sorted(files, key=lambda file: file.first_ns)


def _read(content: Segment | JournalRows, chain: Chain, window: Interval) -> pa.Table:
    names, markets = list(_NAMES), [chain.market]
    if isinstance(content, Segment):
        depth = TABLES["depth"]
        rows = read_segment(content.path, depth, names, markets, window)
    else:
        rows = select_rows(content.rows, names, markets, window)
    is_mine = pc.equal(rows["stream"], pa.scalar(chain.stream))
    return rows if pc.all(is_mine).as_py() else rows.filter(is_mine)


def _split(pending: list[pa.Table], until_ns: int) -> tuple[pa.Table, pa.Table]:
    """Return the rows before an instant, in order, and the others."""
    if not pending:
        nothing = TABLES["depth"].schema.empty_table()
        return nothing, nothing
    whole = in_order(pa.concat_tables(pending).unify_dictionaries())
    cut = int(np.searchsorted(times_of(whole, "ts_recv"), until_ns))
    return whole.slice(0, cut), whole.slice(cut)


def in_order(table: pa.Table) -> pa.Table:
    """Return rows sorted by (``ts_recv``, ``conn``, ``seq``, ``idx``)."""
    times = times_of(table, "ts_recv")
    if bool(np.all(times[1:] > times[:-1])):
        return table
    keys = (
        table["idx"].to_numpy(),
        table["seq"].to_numpy(),
        text_ranks(table["conn"])[0],
        times,
    )
    order = np.lexsort(keys)
    if bool(np.all(order[1:] > order[:-1])):
        return table
    return table.take(order)


def times_of(table: pa.Table, column: str) -> Ints:
    """Return a column of times without nulls as integer nanoseconds."""
    return np.asarray(table[column].cast(pa.int64()).to_numpy(), np.int64)


def text_ranks(*columns: Any) -> list[Ints]:
    """Return numbers in the order of the texts of dictionary columns.

    Equal texts have equal numbers, in all of the columns.
    """
    parts = [column.combine_chunks() for column in columns]
    names = [part.dictionary.to_pylist() for part in parts]
    number = {text: i for i, text in enumerate(sorted({n for ns in names for n in ns}))}
    return [
        np.array([number[text] for text in texts], np.int64)[part.indices.to_numpy()]
        for texts, part in zip(names, parts, strict=True)
    ]


def _midnight_after(date: str) -> int:
    midnight = datetime.fromisoformat(date).replace(tzinfo=UTC)
    return int(midnight.timestamp()) * SECOND_NS + DAY_NS
