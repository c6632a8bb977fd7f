"""What the ledger says of a journal that the disk damaged."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import Gap
from recorder.store.batch import build
from recorder.store.layout import DAY_NS, Partition, Stem
from recorder.store.runfile import RunFile
from recorder.store.tables import TABLES


NUMBERS_FROM: Final = 900_000
"""Segments with such a gap are numbered from here on, after their journals."""


def last_instant(batches: list[pa.RecordBatch]) -> int | None:
    """Return when the newest of some rows was received; None without rows."""
    times = [pc.max(batch.column("ts_recv")).value for batch in batches]
    return max((time for time in times if time is not None), default=None)


def gap_of_damage(
    partition: Partition,
    stem: Stem,
    said: RunFile,
    last_ns: int | None,
    detail: str,
) -> tuple[Partition, Stem, pa.Table]:
    """Return the gap that a damaged journal leaves, ready to be a segment.

    It is one of the whole job, on top of the coverage: nobody can tell whose
    the rows were. It lasts from the last row that can be read to the last
    one that may have been in the journal.

    Args:
        partition: Where the journal lies.
        stem: Its name.
        said: What the run file of its run says.
        last_ns: When its newest readable row was received; None without any.
        detail: What happened, for people.

    Returns:
        Where the segment is to lie, its name and its one row. They follow
        from the arguments: to write it twice changes nothing.
    """
    start = stem.first_ts_recv if last_ns is None else last_ns + 1
    midnight = (stem.first_ts_recv // DAY_NS + 1) * DAY_NS
    end = max(min(said.through_ns, midnight), start + 1)
    name = f"{said.run}.damaged"
    gap = Gap(
        gap_id=f"{name}.{partition.table}.{stem.number}",
        market=None,
        stream=None,
        job=said.job,
        scope="rows",
        reason="journal_damaged",
        started_at=start,
        ended_at=end,
        detail=detail,
    )
    rows = build(TABLES["gaps"], [(start, name, stem.number, 0, gap, None)])
    return (
        Partition("gaps", partition.source, partition.date),
        Stem(start, said.run, NUMBERS_FROM + stem.number),
        pa.Table.from_batches([rows.batch]),
    )
