"""Integers as the decimal texts that go over the wire.

Prices are whole ticks, amounts whole lots, times whole nanoseconds, so that
nothing in the simulator is ever rounded.
"""

from decimal import Decimal


SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
TIME_STEP_NS = 100
"""Trade times are multiples of this: the finest that both protocols can say."""


def decimal_text(value: int, decimals: int) -> str:
    """Return ``value / 10**decimals`` as a plain decimal without end zeros.

    Args:
        value: Ticks or lots, 0 or more.
        decimals: Digits after the point of one tick or lot.
    """
    if not decimals:
        return str(value)
    whole, fraction = divmod(value, 10**decimals)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{decimals}d}".rstrip("0")


def fixed_text(value: int, decimals: int) -> str:
    """Return ``value / 10**decimals`` with at least one digit after the point."""
    text = decimal_text(value, decimals)
    return text if "." in text else f"{text}.0"


def plain_text(number: Decimal) -> str:
    """Return a number as a plain decimal without end zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_interval(text: str) -> int | None:
    """Return the decimals of a price step such as ``"0.001"``.

    Returns:
        Digits after the point; None if the text is not a power of ten
        below one.
    """
    whole, _, fraction = text.partition(".")
    if whole == "0" and fraction and fraction == "1".rjust(len(fraction), "0"):
        return len(fraction)
    return None
