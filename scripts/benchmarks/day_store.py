"""The synthetic day as rows of the recorder, and as a store on disk."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.synthetic import MARKET, START_NS, STEP_NS, STREAM, Day
from recorder.model import Coverage
from recorder.store.batch import build
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.segment import write_segment
from recorder.store.tables import LEVEL, LEVELS, TABLES


SOURCE = "bench"
RUN = "20231115T000000-abcdef"
SEGMENT_MESSAGES = 9_000  # a quarter of an hour


def same(text: str, count: int) -> pa.DictionaryArray:
    """Return a dictionary column that says the same in each row."""
    codes = pa.array(np.zeros(count, np.int32))
    return pa.DictionaryArray.from_arrays(codes, [text])


def depth_table(day: Day) -> pa.Table:
    """Return the day as rows of the table ``depth``."""
    count = day.ids.size
    is_image = np.arange(count) == 0
    times = pa.array(day.times(), pa.timestamp("ns"))
    firsts = np.concatenate([[0], day.ids[:-1] + 1])
    columns = {
        "ts_recv": times,
        "ts_event": times,
        "market": same(MARKET, count),
        "conn": same(f"{RUN}.0", count),
        "seq": pa.array(np.arange(count, dtype=np.int64)),
        "idx": pa.array(np.zeros(count, np.int32)),
        "stream": same(STREAM, count),
        "is_snapshot": pa.array(is_image),
        "first_update_id": pa.array(firsts, mask=is_image),
        "last_update_id": pa.array(day.ids),
        "bids": side(day, day.is_bid),
        "asks": side(day, ~day.is_bid),
        "depth_limit": pa.array(np.full(count, 500, np.int32)),
        "origin": same("live", count),
    }
    schema = TABLES["depth"].schema
    return pa.table([columns[name] for name in schema.names], schema=schema)


def side(day: Day, mine: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Return the levels of one side, a list for each message."""
    offsets = np.concatenate([[0], np.cumsum(mine)])[day.offsets]
    columns = [pa.array(day.prices()[mine]), pa.array(day.amounts()[mine])]
    levels = pa.StructArray.from_arrays(columns, fields=list(LEVEL))
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), levels, type=LEVELS
    )


def write_store(root: Path, rows: pa.Table) -> None:
    """Write the day, and the coverage of all of it."""
    for number, start in enumerate(range(0, rows.num_rows, SEGMENT_MESSAGES)):
        first = START_NS + start * STEP_NS
        partition = Partition("depth", SOURCE, date_of(first))
        part = rows.slice(start, SEGMENT_MESSAGES)
        write_segment(root, partition, Stem(first, RUN, number), part)
    write_coverage(root, [MARKET], START_NS + rows.num_rows * STEP_NS)


def write_coverage(root: Path, markets: list[str], end: int) -> None:
    """Write that all was recorded from the start of the day to an instant."""
    rows = [
        Coverage(
            market=market,
            stream=STREAM,
            job=SOURCE,
            started_at=START_NS,
            ended_at=end,
            closed_by="stop",
        )
        for market in markets
    ]
    ledger = build(
        TABLES["coverage"],
        [(end, f"{RUN}.ledger", 0, i, row, None) for i, row in enumerate(rows)],
    )
    write_segment(
        root,
        Partition("coverage", SOURCE, date_of(end)),
        Stem(end, RUN, 0),
        pa.Table.from_batches([ledger.batch]),
    )
