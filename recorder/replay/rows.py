"""Rows of ``depth`` as flat arrays, taken from Arrow without copying prices."""

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import UNAPPLIED
from recorder.replay import kernel
from recorder.replay.compiled import Flags, Floats, Ints
from recorder.transitions import NO_ID


Truths: TypeAlias = npt.NDArray[np.bool_]

COLUMNS: Final = (
    "is_snapshot",
    "first_update_id",
    "last_update_id",
    "bids",
    "asks",
    "origin",
)
"""The columns of ``depth`` that a ladder reads."""


class SideLevels(NamedTuple):
    """The levels of one side of some rows.

    Attributes:
        offsets: Levels of row i are ``offsets[i]`` to ``offsets[i + 1]``.
        prices: All prices, in as many pieces as the table had.
        amounts: All amounts.
    """

    offsets: Ints
    prices: tuple[Floats, ...]
    amounts: Floats


class DepthRows(NamedTuple):
    """Rows of one chain in the order of receipt, as arrays.

    Attributes:
        rows: Flags and ids.
        bids: Levels of bids.
        asks: Levels of asks.
    """

    rows: kernel.Rows
    bids: SideLevels
    asks: SideLevels


def depth_rows(
    table: pa.Table,
    lost: Truths | None = None,
    doubted: Truths | None = None,
    wrong: Truths | None = None,
) -> DepthRows:
    """Return rows of the table ``depth`` as arrays; prices are not copied.

    Args:
        table: Rows of one chain in the order of receipt, with `COLUMNS`.
        lost: For each row, whether something may be missing before it.
        doubted: The same where ids would tell whether it is.
        wrong: For each row, whether the book before it was found wrong.
    """
    origin: Any = table["origin"]
    flags = _truths(table["is_snapshot"]) * np.uint8(kernel.SNAPSHOT)
    flags |= _truths(pc.equal(origin, pa.scalar("live"))) * np.uint8(kernel.IN_BAND)
    for name in UNAPPLIED:
        flags |= _truths(pc.equal(origin, pa.scalar(name))) * np.uint8(kernel.AUDIT)
    if lost is not None:
        flags |= lost * np.uint8(kernel.LOST)
    if doubted is not None:
        flags |= doubted * np.uint8(kernel.DOUBTED)
    if wrong is not None:
        flags |= wrong * np.uint8(kernel.WRONG)
    firsts, lasts = _ids(table["first_update_id"]), _ids(table["last_update_id"])
    return DepthRows(
        kernel.Rows(flags, firsts, lasts),
        _levels(table["bids"]),
        _levels(table["asks"]),
    )


def empty_row(flags: int) -> DepthRows:
    """Return one row without ids and levels."""
    ids = np.array([NO_ID], np.int64)
    side = SideLevels(np.zeros(2, np.int64), (), np.empty(0))
    return DepthRows(kernel.Rows(np.array([flags], np.uint8), ids, ids), side, side)


def joined(before: DepthRows, after: DepthRows) -> DepthRows:
    """Return rows followed by others."""
    first, second = before.rows, after.rows
    return DepthRows(
        kernel.Rows(
            np.concatenate([first.flags, second.flags]),
            np.concatenate([first.firsts, second.firsts]),
            np.concatenate([first.lasts, second.lasts]),
        ),
        _joined_side(before.bids, after.bids),
        _joined_side(before.asks, after.asks),
    )


def from_row(given: DepthRows, row: int) -> DepthRows:
    """Return a copy of the rows from one on: it keeps nothing else alive."""
    rows = given.rows
    return DepthRows(
        kernel.Rows(
            rows.flags[row:].copy(), rows.firsts[row:].copy(), rows.lasts[row:].copy()
        ),
        _side_from_row(given.bids, row),
        _side_from_row(given.asks, row),
    )


def _truths(column: Any) -> Flags:
    return np.asarray(column.to_numpy(), np.uint8)


def _ids(column: Any) -> Ints:
    return np.ascontiguousarray(column.fill_null(NO_ID).to_numpy(), np.int64)


def _levels(column: Any) -> SideLevels:
    offsets = [np.zeros(1, np.int64)]
    prices: list[Floats] = []
    amounts: list[Floats] = []
    total = 0
    for chunk in column.chunks:
        within = chunk.offsets.to_numpy().astype(np.int64)
        levels = chunk.values[within[0] : within[-1]].flatten()
        offsets.append(within[1:] + (total - within[0]))
        prices.append(levels[0].to_numpy())
        amounts.append(levels[1].to_numpy())
        total += within[-1] - within[0]
    return SideLevels(np.concatenate(offsets), tuple(prices), _flat(amounts))


def _flat(pieces: list[Floats]) -> Floats:
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.empty(0)


def _joined_side(before: SideLevels, after: SideLevels) -> SideLevels:
    shifted = after.offsets[1:] + before.offsets[-1]
    return SideLevels(
        np.concatenate([before.offsets, shifted]),
        before.prices + after.prices,
        np.concatenate([before.amounts, after.amounts]),
    )


def _side_from_row(side: SideLevels, row: int) -> SideLevels:
    first = side.offsets[row]
    prices = np.concatenate(side.prices) if side.prices else np.empty(0)
    return SideLevels(
        side.offsets[row:] - first,
        (prices[first:].copy(),),
        side.amounts[first:].copy(),
    )
