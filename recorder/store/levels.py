"""Levels in bulk: raw JSON text of many messages into one Arrow column.

The texts are joined and read once, by machine code (`recorder.store.text_code`),
into a price array and an amount array; no Python object is made for a level.
What that code is not sure about is left to a slow and strict reader, row by row.
"""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import repeat
from math import isfinite
from typing import Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorder.model import Levels, RawLevels
from recorder.store.machine_code import compiled
from recorder.store.tables import LEVEL, LEVELS
from recorder.store.text_code import scan_levels


Doubles = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]

_SEPARATOR: Final = b"\0"  # cannot stand in JSON text
_LEVEL_BYTES_MIN: Final = 6  # "[1,2],"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


class LevelColumn(NamedTuple):
    """The levels of many rows.

    Attributes:
        column: ``list<struct<price, amount>>``, one list for each row; empty
            where the row is faulty.
        inexact: Rows in which a number has no exact double, and which one.
        faulty: Rows that cannot be read, and why.
    """

    column: "pa.Array[Any]"
    inexact: dict[int, str]
    faulty: dict[int, str]


def parse_levels_bulk(raws: Sequence[RawLevels]) -> LevelColumn:
    """Return the levels of many rows as one column.

    Args:
        raws: For each row a JSON array of ``["price", "amount"]`` pairs or of
            objects with the keys ``p`` and ``s``; numbers quoted or bare,
            price in quote currency, amount in the venue's unit.
    """
    text = _SEPARATOR.join([*raws, b""])
    room = len(text) // _LEVEL_BYTES_MIN
    prices = np.empty(room)
    amounts = np.empty(room)
    offsets = np.zeros(len(raws) + 1, np.int32)
    slow = np.zeros(len(raws), np.bool_)
    read = scan_levels(np.frombuffer(text, np.uint8), prices, amounts, offsets, slow)
    if read != len(text):
        # A separator within a text would shift all rows after it. Such a
        # text is no JSON, and an empty one in its place is refused as well.
        return parse_levels_bulk(
            [b"" if _SEPARATOR in bytes(raw) else raw for raw in raws]
        )
    prices, amounts = prices[: offsets[-1]], amounts[: offsets[-1]]
    inexact: dict[int, str] = {}
    faulty: dict[int, str] = {}
    if slow.any():
        found: dict[int, Levels] = {}
        for row in np.flatnonzero(slow).tolist():
            try:
                found[row], doubt = _parse_slowly(bytes(raws[row]))
            except (msgspec.MsgspecError, ValueError) as error:
                faulty[row] = str(error)
                continue
            if doubt is not None:
                inexact[row] = doubt
        prices, amounts, offsets = _insert(prices, amounts, offsets, found)
    return LevelColumn(column_of_arrays(prices, amounts, offsets), inexact, faulty)


def column_of_levels(rows: Sequence[Levels]) -> "pa.Array[Any]":
    """Return levels that are numbers already as one column."""
    flat = np.array([level for levels in rows for level in levels], np.float64)
    flat = flat.reshape(-1, 2)
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(levels) for levels in rows], out=offsets[1:])
    return column_of_arrays(flat[:, 0].copy(), flat[:, 1].copy(), offsets)


@compiled
def _gather(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    order, offsets, prices, amounts, new_offsets, new_prices, new_amounts
):
    """Copy the levels of rows, in another order of the rows."""
    count = 0
    for place in range(order.size):
        row = order[place]
        for level in range(offsets[row], offsets[row + 1]):
            new_prices[count] = prices[level]
            new_amounts[count] = amounts[level]
            count += 1
        new_offsets[place + 1] = count


def levels_in_order(column: "pa.Array[Any]", order: Rows) -> "pa.Array[Any]":
    """Return some rows of a column of levels, in an order.

    Several times faster than Arrow, which does not know that no level is null.

    Args:
        column: The levels; no row is null.
        order: Numbers of rows.
    """
    lists = cast("pa.ListArray[Any]", column)
    values = cast("pa.StructArray", lists.values)
    offsets = lists.offsets.to_numpy()
    levels = int((offsets[order + 1] - offsets[order]).sum())
    prices, amounts = (values.field(n).to_numpy() for n in (0, 1))
    moved = np.zeros(len(order) + 1, np.int32)
    new_prices, new_amounts = np.empty(levels), np.empty(levels)
    _gather(order, offsets, prices, amounts, moved, new_prices, new_amounts)
    return column_of_arrays(new_prices, new_amounts, moved)


def warm_up() -> None:
    """Compile, which takes seconds the first time on a machine."""
    found = parse_levels_bulk([b'[["1","2"]]', b'[{"p":"1","s":2}]'])
    levels_in_order(found.column, np.array([1, 0]))


def is_exact(text: str, value: float) -> bool:
    """Return whether the shortest decimal form of a double equals a text.

    Args:
        text: A decimal number as sent.
        value: The double nearest to it.
    """
    try:
        return Decimal(text) == Decimal(repr(value))
    except InvalidOperation:  # an exponent beyond what even a Decimal holds
        return False


def read_number(text: str) -> float:
    """Return the double nearest to a decimal text.

    Raises:
        ValueError: If it is not a decimal number, or is beyond all doubles.
    """
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not a decimal number")
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text!r} is beyond the range of a double")
    return value


class _ObjectLevel(msgspec.Struct, frozen=True, gc=False):
    p: msgspec.Raw
    s: msgspec.Raw


_SHAPE = msgspec.json.Decoder(list[tuple[msgspec.Raw, msgspec.Raw] | _ObjectLevel])
_TEXT = msgspec.json.Decoder(str)


def _parse_slowly(raw: bytes) -> tuple[Levels, str | None]:
    """Return levels, and the first number that has no exact double.

    Raises:
        msgspec.MsgspecError: If the text is not an array of levels.
        ValueError: If something in it is not a number.
    """
    levels = []
    doubt: str | None = None
    for level in _SHAPE.decode(raw):
        parts = level if isinstance(level, tuple) else (level.p, level.s)
        numbers = []
        for part in parts:
            said = bytes(part)
            text = _TEXT.decode(said) if said.startswith(b'"') else said.decode()
            value = read_number(text)
            if doubt is None and not is_exact(text, value):
                doubt = text
            numbers.append(value)
        levels.append((numbers[0], numbers[1]))
    return tuple(levels), doubt


def _insert(
    prices: Doubles, amounts: Doubles, offsets: Offsets, found: dict[int, Levels]
) -> tuple[Doubles, Doubles, Offsets]:
    """Put the levels of some rows, empty so far, in their places."""
    where = [
        at for row, levels in found.items() for at in repeat(offsets[row], len(levels))
    ]
    flat = np.array(
        [level for levels in found.values() for level in levels], np.float64
    )
    flat = flat.reshape(-1, 2)
    counts = np.diff(offsets)
    for row, levels in found.items():
        counts[row] = len(levels)
    moved = np.zeros_like(offsets)
    np.cumsum(counts, out=moved[1:])
    at = np.array(where, np.int64)
    return np.insert(prices, at, flat[:, 0]), np.insert(amounts, at, flat[:, 1]), moved


def column_of_arrays(
    prices: Doubles, amounts: Doubles, offsets: Offsets
) -> "pa.Array[Any]":
    """Return levels as one column, without a copy.

    Args:
        prices: Of all levels, row by row.
        amounts: The same for the amounts.
        offsets: Where the levels of each row begin, and where the last end.
    """
    values = pa.StructArray.from_arrays(
        [pa.array(prices), pa.array(amounts)], fields=list(LEVEL)
    )
    return pa.ListArray.from_arrays(
        cast("pa.Int32Array", pa.array(offsets)), values, type=LEVELS
    )
