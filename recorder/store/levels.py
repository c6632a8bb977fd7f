"""Levels in bulk: raw JSON text of many messages into one Arrow column.

The texts are joined and read once, by machine code, into a price array and
an amount array; no Python object is made for a level. What that code is not
sure about (a number of more than 15 digits, an exponent, an escape, another
shape) is left to a slow and strict reader, row by row.

Numbers of up to 15 significant digits survive float64 exactly, so the fast
way needs no check: digits below 2**53, divided by a power of ten of at most
10**22, give the nearest double (both are exact doubles, and a division
rounds correctly).
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
from numba import njit

from recorder.model import Levels, RawLevels
from recorder.store.machine_code import compiled
from recorder.store.tables import LEVEL, LEVELS


Doubles = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int32]

_SEPARATOR: Final = b"\0"  # cannot stand in JSON text
_LEVEL_BYTES_MIN: Final = 6  # "[1,2],"
_POWERS: Final = np.array([float(10**n) for n in range(23)])

# The kernel counts in unsigned integers: mixed with signed ones they would
# become doubles, and signed positions would be checked for wrapping around.
_0, _1, _2, _10 = (np.uint64(n) for n in (0, 1, 2, 10))
_DIGITS_MAX = np.uint64(15)
_PLACES_MAX = np.uint64(22)
_LIMIT = np.uint64(10**15)
_NUL, _SPACE = (np.uint64(n) for n in b"\0 ")
_BLANKS = tuple(np.uint64(n) for n in b" \n\r\t")
_QUOTE, _COMMA, _DOT, _ZERO, _COLON = (np.uint64(n) for n in b'",.0:')
_OPEN, _CLOSE, _P, _S, _BEGIN, _END = (np.uint64(n) for n in b"[]ps{}")

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


@njit(nogil=True, inline="always")
def _blanks(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the next position that is not a blank."""
    while text[at] <= _SPACE and text[at] in _BLANKS:
        at += _1
    return at


@njit(nogil=True, inline="always")
def _digits(text, at, mantissa):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read digits; more than 19 wrap around, so that the caller must count."""
    digit = np.uint64(text[at]) - _ZERO
    while digit < _10:  # a byte below the digits wraps around to above them
        mantissa = mantissa * _10 + digit
        at += _1
        digit = np.uint64(text[at]) - _ZERO
    return mantissa, at


@njit(nogil=True)
def _long_number(text, begin, dot, end):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the value of digits of which zeros at the ends may be many.

    The second value is False if more than 15 digits count.
    """
    if dot < end:
        while text[end - _1] == _ZERO:
            end -= _1
    mantissa = _0
    for at in range(begin, end):
        if at != dot:
            mantissa = mantissa * _10 + np.uint64(text[at]) - _ZERO
            if mantissa >= _LIMIT:
                return 0.0, False
    places = end - dot - _1 if dot < end else _0
    if places > _PLACES_MAX:
        return 0.0, False
    return np.float64(np.int64(mantissa)) / _POWERS[places], True


@njit(nogil=True, inline="always")
def _number(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read a plain decimal number, quoted or bare.

    Returns:
        The value and the position after it; position 0 if it is not so plain
        that its double is known to be exact.
    """
    quoted = text[at] == _QUOTE
    if quoted:
        at += _1
    begin = at
    mantissa, at = _digits(text, at, _0)
    places = _0
    dot = at
    if text[at] == _DOT:
        mantissa, at = _digits(text, at + _1, mantissa)
        places = at - dot - _1
        if places == _0 or dot == begin:
            return 0.0, _0
    end = at
    if quoted:
        if text[at] != _QUOTE:
            return 0.0, _0
        at += _1
    if end - begin <= _DIGITS_MAX:
        if end == begin:
            return 0.0, _0
        return np.float64(np.int64(mantissa)) / _POWERS[places], at
    value, is_plain = _long_number(text, begin, dot, end)
    return value, at if is_plain else _0


@njit(nogil=True, inline="always")
def _pair(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``["price", "amount"]``; the position returned is 0 if it is not one."""
    price, at = _number(text, _blanks(text, at + _1))
    if at == _0:
        return 0.0, 0.0, _0
    at = _blanks(text, at)
    if text[at] != _COMMA:
        return 0.0, 0.0, _0
    amount, at = _number(text, _blanks(text, at + _1))
    if at == _0:
        return 0.0, 0.0, _0
    at = _blanks(text, at)
    if text[at] != _CLOSE:
        return 0.0, 0.0, _0
    return price, amount, at + _1


@njit(nogil=True, inline="always")
def _member(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``"p": ..`` or ``"s": ..`` of an object.

    Returns:
        The key, its value, and the position of what follows; position 0 if it
        is something else.
    """
    at = _blanks(text, at)
    if text[at] != _QUOTE:
        return text[at], 0.0, _0
    key = text[at + _1]
    if (key != _P and key != _S) or text[at + _2] != _QUOTE:
        return key, 0.0, _0
    at = _blanks(text, at + _2 + _1)
    if text[at] != _COLON:
        return key, 0.0, _0
    value, at = _number(text, _blanks(text, at + _1))
    if at == _0:
        return key, 0.0, _0
    return key, value, _blanks(text, at)


@njit(nogil=True)
def _object(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``{"p": .., "s": ..}``; the position returned is 0 if it is not one."""
    key, price, at = _member(text, at + _1)
    if at == _0 or text[at] != _COMMA:
        return 0.0, 0.0, _0
    other, amount, at = _member(text, at + _1)
    if at == _0 or text[at] != _END or other == key:
        return 0.0, 0.0, _0
    if key == _S:
        return amount, price, at + _1
    return price, amount, at + _1


@njit(nogil=True)
def _row(text, at, prices, amounts, count):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read one array of levels with its separator.

    Returns:
        Levels in all arrays so far, and the position after the separator;
        position 0 if this row has to be read the slow way.
    """
    at = _blanks(text, at)
    if text[at] != _OPEN:
        return count, _0
    at = _blanks(text, at + _1)
    while text[at] != _CLOSE:
        if text[at] == _OPEN:
            price, amount, at = _pair(text, at)
        elif text[at] == _BEGIN:
            price, amount, at = _object(text, at)
        else:
            return count, _0
        if at == _0:
            return count, _0
        prices[count] = price
        amounts[count] = amount
        count += _1
        at = _blanks(text, at)
        if text[at] == _CLOSE:
            break
        if text[at] != _COMMA:
            return count, _0
        at = _blanks(text, at + _1)
        if text[at] == _CLOSE:  # a comma too many
            return count, _0
    at = _blanks(text, at + _1)
    return count, at + _1 if text[at] == _NUL else _0


@compiled
def _scan(text, prices, amounts, offsets, slow):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read all rows; those that are not plain are marked, and have no levels.

    The text ends each row with a separator, so that no step reads beyond it:
    every loop stops at a byte that it does not expect. Returns the position
    after the last row: before the end, if there are more separators.
    """
    at = _0
    count = _0
    for row in range(slow.size):
        after, end = _row(text, at, prices, amounts, count)
        if end == _0:
            slow[row] = True
            while text[at] != _NUL:
                at += _1
            at += _1
        else:
            at = end
            count = after
        offsets[row + 1] = count
    return at


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
    read = _scan(np.frombuffer(text, np.uint8), prices, amounts, offsets, slow)
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
    return LevelColumn(_column(prices, amounts, offsets), inexact, faulty)


def column_of_levels(rows: Sequence[Levels]) -> "pa.Array[Any]":
    """Return levels that are numbers already as one column."""
    flat = np.array([level for levels in rows for level in levels], np.float64)
    flat = flat.reshape(-1, 2)
    offsets = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(levels) for levels in rows], out=offsets[1:])
    return _column(flat[:, 0].copy(), flat[:, 1].copy(), offsets)


def warm_up() -> None:
    """Compile, which takes seconds the first time on a machine."""
    parse_levels_bulk([b'[["1","2"]]', b'[{"p":"1","s":2}]'])


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


def _column(prices: Doubles, amounts: Doubles, offsets: Offsets) -> "pa.Array[Any]":
    values = pa.StructArray.from_arrays(
        [pa.array(prices), pa.array(amounts)], fields=list(LEVEL)
    )
    return pa.ListArray.from_arrays(
        cast("pa.Int32Array", pa.array(offsets)), values, type=LEVELS
    )
