"""What frames say, read plainly: an answer to compare faster ones with.

Decoded by msgspec into typed objects, numbers made by `float`; no code of the
recorder has a part in it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.report import WrongAnswerError


Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class DepthResult(msgspec.Struct, gc=False):
    """An order book update, every key of it."""

    t: int
    e: str
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class Depth(msgspec.Struct, gc=False):
    """The frame of an order book update."""

    time: int
    channel: str
    event: str
    result: DepthResult
    time_ms: int | None = None


class TradeResult(msgspec.Struct, gc=False):
    """A trade, every key of it."""

    id: int
    create_time: int
    create_time_ms: str
    side: str
    currency_pair: str
    amount: str
    price: str
    id_market: int | None = None
    range: str | None = None


class Trade(msgspec.Struct, gc=False):
    """The frame of a trade."""

    time: int
    channel: str
    event: str
    result: TradeResult
    time_ms: int | None = None


DECODE = {
    "depth": msgspec.json.Decoder(Depth).decode,
    "trades": msgspec.json.Decoder(Trade).decode,
}
"""How the frames of a table are decoded, fully typed."""


class Told(NamedTuple):
    """What frames say, one after another.

    Attributes:
        markets: Of each frame.
        numbers: Of each frame: first and last id, time in milliseconds and
            levels of both sides; or a trade's id.
        values: Prices and amounts of everything, one after another; bids
            precede asks.
    """

    markets: list[str]
    numbers: Ints
    values: Floats

    def compare(self, other: "Told", what: str) -> None:
        """Raise `WrongAnswerError` if another says something else."""
        same = {
            "markets": self.markets == other.markets,
            "ids and times": np.array_equal(self.numbers, other.numbers),
            "prices and amounts": np.array_equal(self.values, other.values),
        }
        wrong = [name for name, is_same in same.items() if not is_same]
        if wrong:
            raise WrongAnswerError(f"{what}: {', '.join(wrong)} differ")


def told_by_frames(frames: Sequence[bytes], table: str) -> Told:
    """Return what frames say.

    Args:
        frames: All of one table.
        table: ``depth`` or ``trades``.
    """
    decode = DECODE[table]
    told = [decode(frame).result for frame in frames]
    if table == "trades":
        return Told(
            [one.currency_pair for one in told],
            np.array([[one.id] for one in told], np.int64),
            np.array([(float(one.price), float(one.amount)) for one in told]).ravel(),
        )
    numbers = [(one.U, one.u, one.t, len(one.b), len(one.a)) for one in told]
    levels = [
        float(text)
        for one in told
        for side in (one.b, one.a)
        for level in side
        for text in level
    ]
    markets = [one.s for one in told]
    return Told(markets, np.array(numbers, np.int64), np.array(levels))


def told_by_rows(rows: pa.Table, table: str) -> Told:
    """Return what rows say that were made of frames.

    Args:
        rows: In the order of the frames.
        table: ``depth`` or ``trades``.
    """
    markets = rows["market"].to_pylist()
    if table == "trades":
        values = np.column_stack([rows["price"].to_numpy(), rows["amount"].to_numpy()])
        return Told(markets, rows["trade_id"].to_numpy()[:, None], values.ravel())
    times = rows["ts_event"].cast(pa.int64()).to_numpy() // 10**6
    ids = [rows[f"{end}_update_id"].to_numpy() for end in ("first", "last")]
    sizes, places, values = [], [], []
    for side in ("bids", "asks"):
        column = rows[side].combine_chunks()
        offsets = column.offsets.to_numpy().astype(np.int64)
        sizes.append(np.diff(offsets))
        levels = column.values.slice(offsets[0], offsets[-1] - offsets[0])
        both = [levels.field(name).to_numpy() for name in ("price", "amount")]
        values.append(np.column_stack(both))
    # Bids of a row come before its asks, and both before the next row.
    rounds = np.arange(len(rows))
    for part, size in enumerate(sizes):
        places.append(2 * np.repeat(rounds, size) + part)
    order = np.argsort(np.concatenate(places), kind="stable")
    numbers = np.column_stack([*ids, times, *sizes])
    return Told(markets, numbers, np.concatenate(values)[order].ravel())
