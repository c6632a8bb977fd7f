"""Rows of order book changes, many at a time, as arrays from the start.

No object stands for a row or a level: machine code reads frames right into the
arrays of a block (`recorder.store.plain_code`), and a block becomes a record batch
without looking at a row.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorder.model import Chain
from recorder.store.levels import column_of_arrays
from recorder.store.plain_code import (
    ROW_CHAIN,
    ROW_CONN,
    ROW_FIELDS,
    ROW_FIRST,
    ROW_LAST,
    ROW_MS,
    ROW_SEQ,
    ROW_TS,
)
from recorder.store.tables import TABLES


Ints: TypeAlias = npt.NDArray[np.int64]

ROWS_MAX: Final = 1 << 15
"""Rows of a block."""

LEVELS_MAX: Final = 24 * ROWS_MAX
"""Levels of a side of a block."""

LEVEL_BYTES_MIN: Final = 6
"""Text of the shortest level: ``[1,2]`` and a comma."""

_MS_NS: Final = 1_000_000


class Place(NamedTuple):
    """What all rows of a chain have in common.

    Attributes:
        chain: The chain.
        depth_limit: Levels a side that its stream maintains.
    """

    chain: Chain
    depth_limit: int


class DepthBlock:
    """Rows of depth, in the order of their receipt.

    Args:
        source: Name of the feed.
        places: Of chains, by number.

    Attributes:
        source: As given.
        rows: Columns of rows, as `recorder.store.plain_code` numbers them.
        ends: Where the levels of each row end, bids and asks.
        levels: Prices and amounts of bids, and of asks.
        count: Rows so far.
        conns: Names of connections, by number.
    """

    __slots__ = ("_places", "conns", "count", "ends", "levels", "rows", "source")

    def __init__(self, source: str, places: Sequence[Place]) -> None:
        self.source = source
        self.count = 0
        self.conns: list[str] = []
        self._places = places
        self.rows = np.empty((ROWS_MAX, len(ROW_FIELDS)), np.int64)
        self.ends = np.zeros((ROWS_MAX + 1, 2), np.int32)
        self.levels = np.empty((4, LEVELS_MAX))

    def has_room(self, frames: int, size: int) -> bool:
        """Return whether some frames fit, of so many bytes in all."""
        levels = size // LEVEL_BYTES_MIN
        return (
            self.count + frames <= ROWS_MAX
            and int(self.ends[self.count].max()) + levels <= LEVELS_MAX
        )

    def number_of(self, conn: str) -> int:
        """Return the number of a connection, which it has from now on."""
        if conn not in self.conns:
            self.conns.append(conn)
        return self.conns.index(conn)

    @property
    def bytes(self) -> int:
        """About how much memory its rows take."""
        levels: int = sum(self.ends[self.count].tolist())
        return self.count * 8 * (len(ROW_FIELDS) + 1) + levels * 16

    def batch(self) -> pa.RecordBatch:
        """Return the rows as a record batch of the table ``depth``."""
        count = self.count
        columns = np.ascontiguousarray(self.rows[:count].T)
        chains = columns[ROW_CHAIN]
        markets = [place.chain.market for place in self._places]
        streams = [place.chain.stream for place in self._places]
        limits = np.array([place.depth_limit for place in self._places], np.int32)
        made = {
            "ts_recv": columns[ROW_TS].view("datetime64[ns]"),
            "ts_event": (columns[ROW_MS] * _MS_NS).view("datetime64[ns]"),
            "market": _texts(chains, markets),
            "conn": _texts(columns[ROW_CONN], self.conns),
            "seq": columns[ROW_SEQ],
            "idx": np.zeros(count, np.int32),
            "stream": _texts(chains, streams),
            "is_snapshot": np.zeros(count, np.bool_),
            "first_update_id": columns[ROW_FIRST],
            "last_update_id": columns[ROW_LAST],
            "bids": self._side(0),
            "asks": self._side(1),
            "depth_limit": limits[chains],
            "origin": pa.repeat("live", count),
        }
        schema = TABLES["depth"].schema
        return pa.RecordBatch.from_arrays(
            [pa.array(made[name]) for name in schema.names], schema=schema
        )

    def _side(self, side: int) -> "pa.Array[Any]":
        offsets = np.ascontiguousarray(self.ends[: self.count + 1, side])
        prices, amounts = self.levels[2 * side : 2 * side + 2, : offsets[-1]]
        return column_of_arrays(prices, amounts, offsets)


def _texts(numbers: Ints, texts: Sequence[str]) -> "pa.Array[Any]":
    """Return numbers of texts as a dictionary column of those that occur."""
    codes = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    used = np.array([codes[text] for text in texts], np.int32)[numbers]
    is_there = np.zeros(len(codes), np.bool_)
    is_there[used] = True
    found = np.flatnonzero(is_there)
    places = np.zeros(len(codes), np.int32)
    places[found] = np.arange(len(found), dtype=np.int32)
    names = list(codes)
    return pa.DictionaryArray.from_arrays(
        cast("pa.Int32Array", pa.array(places[used])),
        pa.array([names[code] for code in found.tolist()], pa.string()),
    )


def laid_together(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Return the rows of some batches as one, in the order of their receipt."""
    if len(batches) == 1:
        return batches[0]
    whole = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    times = whole["ts_recv"].cast(pa.int64()).to_numpy()
    order = np.argsort(times, kind="stable")
    if (order[1:] < order[:-1]).any():
        whole = whole.take(cast("pa.Int64Array", pa.array(order))).combine_chunks()
    (batch,) = whole.to_batches()
    return batch
