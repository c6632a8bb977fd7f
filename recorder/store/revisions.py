"""Reading the ledger: which of a gap's rows says what is known of it now.

A row of the table ``gaps`` is a revision. Times are our clock, nanoseconds
since 1970 UTC.
"""

from collections.abc import Iterable, Mapping
from typing import cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import Gap
from recorder.store.last_instant import TIMED, UNWRITTEN_MAX_NS
from recorder.store.listing import Listing


def newest_revisions(rows: Iterable[Mapping[str, object]]) -> list[Gap]:
    """Return the newest revision of each gap, oldest gap first.

    A gap that has ended stays so: whatever the clocks of two runs said, no
    revision without an end is newer than one with.

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
    is_over = row["ended_at"] is not None
    return is_over, row["ts_recv"], row["conn"], row["seq"], row["idx"]


def gaps_left_open(listing: Listing, job: str) -> list[Gap]:
    """Return the gaps that earlier runs of a job left open, oldest first."""
    return [gap for gap in gaps_of_job(listing, job) if gap.ended_at is None]


def gaps_of_job(listing: Listing, job: str) -> list[Gap]:
    """Return the newest revision of each gap of a job, oldest gap first."""
    table = listing.read("gaps")
    mine = table.filter(pc.equal(table.column("job"), pa.scalar(job)))
    return newest_revisions(plain_rows(mine))


def newest_row_ns(listing: Listing, source: str) -> int:
    """Return when the last row of gaps of a feed was written, nanoseconds.

    Whatever ended a run wrote such rows, and after all others.

    Returns:
        0 if there is none.
    """
    rows = listing.read("gaps", source=source, columns=["ts_recv"])
    return pc.max(rows["ts_recv"]).value or 0 if rows.num_rows else 0


def first_instant(listing: Listing, source: str, wall_ns: int) -> int:
    """Return the first instant that a new run of a feed may call its own.

    None that an earlier run may have shown, however the wall clock was set since.
    What a killed run had not written, it may have shown all the same; until when
    at most, is often known (`recorder.store.last_instant`).

    Args:
        listing: The store's files.
        source: Name of the feed.
        wall_ns: The wall clock, nanoseconds.
    """
    newest = newest_row_ns(listing, source)
    if wall_ns > newest:
        return newest + 1
    rows = listing.read("gaps", source=source, columns=["ts_recv", "conn", "idx"])
    last = rows.filter(pc.equal(rows["ts_recv"].cast(pa.int64()), pa.scalar(newest)))
    was_killed = any(
        str(row["conn"]).endswith(".killed") and row["idx"] != TIMED
        for row in last.select(["conn", "idx"]).to_pylist()
    )
    return newest + 1 + (UNWRITTEN_MAX_NS if was_killed else 0)


def plain_rows(table: pa.Table) -> list[dict[str, object]]:
    """Return a table's rows as mappings, times as integer nanoseconds."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            numbers = table.column(number).cast(pa.int64())
            table = table.set_column(number, field.name, numbers)
    return cast(list[dict[str, object]], table.to_pylist())
