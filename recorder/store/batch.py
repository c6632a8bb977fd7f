"""From rows in memory to one Arrow record batch, with nothing lost.

Every column is built for all rows at once, from the table's definition. Two
things are looked for on the way:

* a number whose double is not exactly what was sent: its row is stored, and
  its whole frame is kept verbatim as ``inexact``;
* a value that the column cannot hold (``NaN``, ``1e999``, text, an id beyond
  64 bits): its row is left out, and its frame is kept as ``undecodable``.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import BinaryFrame, KeptFrame
from recorder.store.levels import (
    column_of_levels,
    is_exact,
    parse_levels_bulk,
    read_number,
)
from recorder.store.tables import LEVELS, TEXT, Column, Table


RowTuple: TypeAlias = tuple[int, str, int, int, Any, bytes | None]
"""``(ts_recv, conn, seq, idx, event, payload)``: an event of `recorder.model`,
where it stands, and the frame that it came in (None for rows of our own)."""

Array: TypeAlias = "pa.Array[Any]"

EXACT_BYTES: Final = 15
"""A decimal text of at most so many bytes has at most so many digits."""

TINY: Final = 1e-290
"""Below this a double has fewer digits, down to none."""

SLICE_ROWS: Final = 4_096
"""Rows built at a time: few enough to stay in a core's cache, as every column
visits every row."""

ID_END: Final = 2**63 - 1
"""Ids below it, and those next to them, fit into a column."""

_INEXACT: Final = "has no exact double"
_OF_ROW: Final = {"ts_recv": 0, "conn": 1, "seq": 2, "idx": 3}
_UNFIT: Final = (pa.ArrowException, TypeError, ValueError, OverflowError)


class RowFault(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose values cannot be stored; it was left out.

    Attributes:
        source: Name of the feed.
        table: Where it should have gone.
        market: The venue's spelling, if the event has one.
        stream: As subscribed, if the event says so.
        conn: The connection of its frame.
        seq: Number of its frame.
        ts_recv: Our clock, nanoseconds.
        error: Which value, and why.
        ids: First and last book change that it said, if it said so.
    """

    source: str
    table: str
    market: str | None
    stream: str | None
    conn: str
    seq: int
    ts_recv: int
    error: str
    ids: tuple[int, int] | None = None


class Built(NamedTuple):
    """What became of some rows.

    Attributes:
        batch: The rows that fit, in their order.
        kept: Rows for the table ``frames``: frames kept verbatim, each once.
        faults: The rows that do not fit.
    """

    batch: pa.RecordBatch
    kept: list[RowTuple]
    faults: list[RowFault]


class _Doubts:
    """What was found wrong while columns were built, by row number."""

    __slots__ = ("faulty", "inexact")

    def __init__(self) -> None:
        self.inexact: dict[int, str] = {}
        self.faulty: dict[int, str] = {}


_Maker: TypeAlias = Callable[[Column, Sequence[Any], _Doubts], Array]


def build(table: Table, rows: Sequence[RowTuple], source: str = "") -> Built:
    """Return rows as one record batch.

    Args:
        table: Whose columns the events have as fields.
        rows: Any number of rows of that table, of one source.
        source: Name of the feed, for the faults.
    """
    if len(rows) <= SLICE_ROWS:
        return _build_slice(table, rows, source)
    parts = [
        _build_slice(table, rows[start : start + SLICE_ROWS], source)
        for start in range(0, len(rows), SLICE_ROWS)
    ]
    # A frame with a row that is left out is kept for that reason.
    found = sorted(
        (row for part in parts for row in part.kept),
        key=lambda row: row[4].reason != "undecodable",
    )
    kept: dict[tuple[str, int], RowTuple] = {}
    for row in found:
        kept.setdefault((row[1], row[2]), row)
    whole = pa.Table.from_batches([part.batch for part in parts])
    (batch,) = whole.unify_dictionaries().combine_chunks().to_batches()
    return Built(
        batch,
        list(kept.values()),
        [fault for part in parts for fault in part.faults],
    )


def _build_slice(table: Table, rows: Sequence[RowTuple], source: str) -> Built:
    doubts = _Doubts()
    columns = _build_columns(table, rows, doubts)
    faulty = doubts.faulty
    if not faulty:
        batch = pa.RecordBatch.from_arrays(columns, schema=table.schema)
        kept = _keep(rows, doubts.inexact, "inexact", {})
        return Built(batch, list(kept.values()), [])
    good = [row for number, row in enumerate(rows) if number not in faulty]
    rest = _build_slice(table, good, source)
    kept = _keep(rows, faulty, "undecodable", {})
    for row in rest.kept:
        kept.setdefault((row[1], row[2]), row)
    faults = [
        RowFault(
            source=source,
            table=table.name,
            market=rows[number][4].market,
            stream=getattr(rows[number][4], "stream", None),
            conn=rows[number][1],
            seq=rows[number][2],
            ts_recv=rows[number][0],
            error=error,
            ids=_ids_of(rows[number][4]),
        )
        for number, error in sorted(faulty.items())
    ]
    return Built(rest.batch, list(kept.values()), faults)


def _ids_of(event: Any) -> tuple[int, int] | None:
    first = getattr(event, "first_update_id", None)
    last = getattr(event, "last_update_id", None)
    if isinstance(first, int) and isinstance(last, int) and 0 < first <= last < ID_END:
        return first, last
    return None


def _keep(
    rows: Sequence[RowTuple],
    found: dict[int, str],
    reason: Literal["inexact", "undecodable"],
    kept: dict[tuple[str, int], RowTuple],
) -> dict[tuple[str, int], RowTuple]:
    """Return the frames of some rows as rows of ``frames``, each frame once."""
    for number, error in sorted(found.items()):
        ts_recv, conn, seq, _, event, payload = rows[number]
        if payload is None or (conn, seq) in kept:
            continue
        frame = KeptFrame(
            direction="in",
            opcode=_opcode(conn, payload),
            reason=reason,
            payload=payload,
            error=f"{event.market}: {error}" if event.market else error,
        )
        kept[conn, seq] = (ts_recv, conn, seq, 0, frame, None)
    return kept


def _opcode(conn: str, payload: bytes) -> Literal["text", "binary", "http"]:
    if conn.endswith(".rest"):
        return "http"
    return "binary" if isinstance(payload, BinaryFrame) else "text"


def _build_columns(
    table: Table, rows: Sequence[RowTuple], doubts: _Doubts
) -> list[Array]:
    """Return the columns of all rows; not all of them if some row is faulty."""
    # Not zip(*rows): an iterator for each row keeps the garbage collector busy.
    events = list(map(itemgetter(4), rows))
    columns = []
    for column in table.columns:
        where = _OF_ROW.get(column.name)
        if where is None:
            values: Sequence[Any] = list(map(attrgetter(column.name), events))
        else:
            values = list(map(itemgetter(where), rows))
        make = _MAKERS.get(column.arrow_type, _make_plain)
        try:
            array = make(column, values, doubts)
        except _UNFIT:
            if not _find_unfit(make, column, values, doubts):
                raise  # each value fits, but not all of them together
            continue
        if array.null_count and not column.null:
            nulls = array.is_null().to_numpy(zero_copy_only=False)
            for number in np.flatnonzero(nulls).tolist():
                doubts.faulty.setdefault(number, f"{column.name} is missing")
        columns.append(array)
    return columns


def _find_unfit(
    make: _Maker, column: Column, values: Sequence[Any], doubts: _Doubts
) -> bool:
    """Note which values do not fit; return whether there are any."""
    found = False
    for number, value in enumerate(values):
        try:
            make(column, [value], _Doubts())
        except _UNFIT as error:
            doubts.faulty.setdefault(number, f"{column.name}: {error}")
            found = True
    return found


def _make_plain(column: Column, values: Sequence[Any], _doubts: _Doubts) -> Array:
    return cast("Array", pa.array(values, column.arrow_type))


def _make_text(_column: Column, values: Sequence[Any], _doubts: _Doubts) -> Array:
    return cast("Array", pa.array(values, pa.string()).dictionary_encode())


def _make_doubles(column: Column, values: Sequence[Any], doubts: _Doubts) -> Array:
    sample = next((value for value in values if value is not None), None)
    if not isinstance(sample, str):
        return cast("Array", pa.array(values, pa.float64()))
    texts = pa.array(values, pa.string())
    array = texts.cast(pa.float64())
    doubles = array.to_numpy(zero_copy_only=False)  # null is NaN here
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False)
    suspects = (lengths > EXACT_BYTES) | (np.abs(doubles) < TINY)
    suspects |= ~np.isfinite(doubles)
    if texts.null_count:
        suspects &= texts.is_valid().to_numpy(zero_copy_only=False)
    for number in np.flatnonzero(suspects).tolist():
        text = values[number]
        if not is_exact(text, read_number(text)):
            doubts.inexact.setdefault(number, f"{column.name} {text} {_INEXACT}")
    return cast("Array", array)


def _make_levels(column: Column, values: Sequence[Any], doubts: _Doubts) -> Array:
    if values and isinstance(values[0], tuple):
        return column_of_levels(values)
    found = parse_levels_bulk(values)
    for number, text in found.inexact.items():
        doubts.inexact.setdefault(number, f"{column.name} {text} {_INEXACT}")
    for number, error in found.faulty.items():
        doubts.faulty.setdefault(number, f"{column.name}: {error}")
    return found.column


_MAKERS: Final[dict[pa.DataType, _Maker]] = {
    TEXT: _make_text,
    pa.float64(): _make_doubles,
    LEVELS: _make_levels,
}
"""How columns are built whose values are not simply handed to Arrow."""
