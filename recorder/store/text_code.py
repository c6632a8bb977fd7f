"""Machine code that reads JSON text: numbers and levels.

What it is not sure about (a number of more than 15 digits, an exponent, an
escape, another shape) it refuses, and leaves to slower and stricter readers.

Numbers of up to 15 significant digits survive float64 exactly, so they need
no check: digits below 2**53, divided by a power of ten of at most 10**22,
give the nearest double (both are exact doubles, and a division rounds
correctly).

Machine code is kept by the file of the function that is called from Python. One
in another module that calls these must have a fingerprint of `READERS` in it.
"""

from typing import Final

import numpy as np
from numba import njit

from recorder.store.machine_code import compiled


_POWERS: Final = np.array([float(10**n) for n in range(23)])

# The kernel counts in unsigned integers: mixed with signed ones they would
# become doubles, and signed positions would be checked for wrapping around.
_0, _1, _2, _10 = (np.uint64(n) for n in (0, 1, 2, 10))
_DIGITS_MAX = np.uint64(15)
_PLACES_MAX = np.uint64(22)
_LIMIT = np.uint64(10**15)
_NUL, SPACE = (np.uint64(n) for n in b"\0 ")
_BLANKS = tuple(np.uint64(n) for n in b" \n\r\t")
QUOTE, COMMA, _DOT, ZERO, COLON = (np.uint64(n) for n in b'",.0:')
OPEN, CLOSE, _P, _S, BEGIN, END = (np.uint64(n) for n in b"[]ps{}")


@njit(nogil=True, inline="always")
def blanks(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the next position that is not a blank."""
    while text[at] <= SPACE and text[at] in _BLANKS:
        at += _1
    return at


@njit(nogil=True, inline="always")
def digits(text, at, mantissa):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read digits; more than 19 wrap around, so that the caller must count."""
    digit = np.uint64(text[at]) - ZERO
    while digit < _10:  # a byte below the digits wraps around to above them
        mantissa = mantissa * _10 + digit
        at += _1
        digit = np.uint64(text[at]) - ZERO
    return mantissa, at


@njit(nogil=True)
def _long_number(text, begin, dot, end):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the value of digits of which zeros at the ends may be many.

    The second value is False if more than 15 digits count.
    """
    if dot < end:
        while text[end - _1] == ZERO:
            end -= _1
    mantissa = _0
    for at in range(begin, end):
        if at != dot:
            mantissa = mantissa * _10 + np.uint64(text[at]) - ZERO
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
    quoted = text[at] == QUOTE
    if quoted:
        at += _1
    begin = at
    mantissa, at = digits(text, at, _0)
    places = _0
    dot = at
    if text[at] == _DOT:
        mantissa, at = digits(text, at + _1, mantissa)
        places = at - dot - _1
        if places == _0 or dot == begin:
            return 0.0, _0
    end = at
    if quoted:
        if text[at] != QUOTE:
            return 0.0, _0
        at += _1
    elif text[begin] == ZERO and dot > begin + _1:  # no number of JSON
        return 0.0, _0
    if end - begin <= _DIGITS_MAX:
        if end == begin:
            return 0.0, _0
        return np.float64(np.int64(mantissa)) / _POWERS[places], at
    value, is_plain = _long_number(text, begin, dot, end)
    return value, at if is_plain else _0


@njit(nogil=True, inline="always")
def pair(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``["price", "amount"]``; the position returned is 0 if it is not one."""
    price, at = _number(text, blanks(text, at + _1))
    if at == _0:
        return 0.0, 0.0, _0
    at = blanks(text, at)
    if text[at] != COMMA:
        return 0.0, 0.0, _0
    amount, at = _number(text, blanks(text, at + _1))
    if at == _0:
        return 0.0, 0.0, _0
    at = blanks(text, at)
    if text[at] != CLOSE:
        return 0.0, 0.0, _0
    return price, amount, at + _1


@njit(nogil=True, inline="always")
def _member(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``"p": ..`` or ``"s": ..`` of an object.

    Returns:
        The key, its value, and the position of what follows; position 0 if it
        is something else.
    """
    at = blanks(text, at)
    if text[at] != QUOTE:
        return text[at], 0.0, _0
    key = text[at + _1]
    if (key != _P and key != _S) or text[at + _2] != QUOTE:
        return key, 0.0, _0
    at = blanks(text, at + _2 + _1)
    if text[at] != COLON:
        return key, 0.0, _0
    value, at = _number(text, blanks(text, at + _1))
    if at == _0:
        return key, 0.0, _0
    return key, value, blanks(text, at)


@njit(nogil=True)
def object_level(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``{"p": .., "s": ..}``; the position returned is 0 if it is not one."""
    key, price, at = _member(text, at + _1)
    if at == _0 or text[at] != COMMA:
        return 0.0, 0.0, _0
    other, amount, at = _member(text, at + _1)
    if at == _0 or text[at] != END or other == key:
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
    at = blanks(text, at)
    if text[at] != OPEN:
        return count, _0
    at = blanks(text, at + _1)
    while text[at] != CLOSE:
        if text[at] == OPEN:
            price, amount, at = pair(text, at)
        elif text[at] == BEGIN:
            price, amount, at = object_level(text, at)
        else:
            return count, _0
        if at == _0:
            return count, _0
        prices[count] = price
        amounts[count] = amount
        count += _1
        at = blanks(text, at)
        if text[at] == CLOSE:
            break
        if text[at] != COMMA:
            return count, _0
        at = blanks(text, at + _1)
        if text[at] == CLOSE:  # a comma too many
            return count, _0
    at = blanks(text, at + _1)
    return count, at + _1 if text[at] == _NUL else _0


@compiled
def scan_levels(text, prices, amounts, offsets, slow):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
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


READERS: Final = (blanks, digits, _long_number, _number, pair, _member, object_level)
"""What others call, and what that calls."""
