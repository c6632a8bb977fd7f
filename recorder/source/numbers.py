"""Decimal texts of time as nanoseconds."""

import re
from typing import Final

from recorder.errors import WireError


_MAX_NS: Final = 2**63 - 1
_TEXT_LIMIT: Final = 64
_UNIT_DIGITS: Final = {10**digits: digits for digits in range(10)}
_SCIENTIFIC = re.compile(r"([0-9]+)(?:\.([0-9]+))?[eE]([+-]?[0-9]{1,3})")


def decimal_ns(text: str, unit_ns: int) -> int:
    """Return a decimal text of some time unit as whole nanoseconds.

    Digits finer than a nanosecond are cut off; no other digit is lost.

    Args:
        text: ``"1619093543708.2642"``; a JSON number or the inside of a
            JSON string.
        unit_ns: Nanoseconds in the unit: a power of ten, 1 to 10**9.

    Raises:
        WireError: If the text is not a plain non-negative decimal number, or
            names a time that 64 bits of nanoseconds cannot hold.
    """
    digits = _UNIT_DIGITS[unit_ns]
    whole, _, fraction = text.partition(".")
    if len(text) > _TEXT_LIMIT or not text.isascii():
        ns = _MAX_NS + 1
    elif whole.isdigit() and (not fraction or fraction.isdigit()):
        ns = int(whole) * unit_ns + int(fraction[:digits].ljust(digits, "0") or 0)
    else:
        ns = _scientific_ns(text, digits)
    if ns > _MAX_NS:
        raise WireError(f"not a time: {text[:_TEXT_LIMIT]!r}")
    return ns


def _scientific_ns(text: str, digits: int) -> int:
    match = _SCIENTIFIC.fullmatch(text)
    if match is None:
        return _MAX_NS + 1
    whole, fraction, exponent = match.groups(default="")
    shift = int(exponent) - len(fraction) + digits
    number = int(whole + fraction)
    scale: int = 10 ** abs(shift)
    return number * scale if shift >= 0 else number // scale
