"""The columns of a ``depth`` batch, as arrays that compiled code takes."""

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorder.replay.compiled import Floats, Ints
from recorder.transitions import NO_ID


class Side(NamedTuple):
    """One side of a batch: ``prices[offsets[r]:offsets[r + 1]]`` is row r.

    Attributes:
        offsets: ``int64[rows + 1]``.
        prices: ``float64`` of all rows, and perhaps of more.
        amounts: The same.
    """

    offsets: Ints
    prices: Floats
    amounts: Floats

    def row(self, number: int) -> tuple[Floats, Floats]:
        """Return the prices and amounts of a row; they live with the batch."""
        start, end = self.offsets[number], self.offsets[number + 1]
        return self.prices[start:end], self.amounts[start:end]


class Codes(NamedTuple):
    """A text column.

    Attributes:
        codes: A number for each row.
        names: What each number stands for.
    """

    codes: Ints
    names: list[str]


def codes_of(batch: pa.RecordBatch, column: str) -> Codes:
    """Return a text column as numbers and the texts that they stand for."""
    encoded = batch.column(column)
    if not isinstance(encoded, pa.DictionaryArray):
        encoded = encoded.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Codes(codes, [str(name) for name in encoded.dictionary.to_pylist()])


def ids_of(batch: pa.RecordBatch, column: str) -> Ints:
    """Return a column of ids, ``NO_ID`` where there is none."""
    numbers = batch.column(column).fill_null(NO_ID).to_numpy(zero_copy_only=False)
    return numbers.astype(np.int64, copy=False)


def times_of(batch: pa.RecordBatch) -> Ints:
    """Return when each row was received, our clock, nanoseconds."""
    return cast("Ints", batch.column("ts_recv").cast(pa.int64()).to_numpy())


def flags_of(batch: pa.RecordBatch, column: str) -> npt.NDArray[np.bool_]:
    """Return a column of yes and no."""
    return np.asarray(batch.column(column).to_numpy(zero_copy_only=False), dtype=bool)


def without_audits(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows that are not there to be compared only."""
    origins = codes_of(batch, "origin")
    if "audit" not in origins.names:
        return batch
    is_audit = np.array([name == "audit" for name in origins.names], dtype=bool)
    return batch.filter(pa.array(~is_audit[origins.codes]))


def is_live(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Return which rows came on a socket, among the updates.

    Also beside another run: for whoever received them these are as any others.
    """
    origins, conns = codes_of(batch, "origin"), codes_of(batch, "conn")
    is_live = np.array([name == "live" for name in origins.names], dtype=bool)
    is_beside = np.array([name == "beside" for name in origins.names], dtype=bool)
    is_asked = np.array([name.endswith(".rest") for name in conns.names], dtype=bool)
    pushed = is_beside[origins.codes] & ~is_asked[conns.codes]
    return np.asarray(is_live[origins.codes] | pushed, np.bool_)


def side_of(batch: pa.RecordBatch, column: str) -> Side:
    """Return the levels of one side, ``bids`` or ``asks``."""
    levels = cast("pa.ListArray[Any]", batch.column(column))
    values = cast(pa.StructArray, levels.values)
    return Side(
        levels.offsets.to_numpy().astype(np.int64),
        values.field("price").to_numpy(),
        values.field("amount").to_numpy(),
    )
