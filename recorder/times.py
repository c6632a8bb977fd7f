"""Times as people write them, and as the recorder counts them.

Inside, a time is an integer: nanoseconds since 1970-01-01 UTC. Outside it is
ISO-8601 text, or one of the objects that Python programs hold. This module
turns one into the other, losing no digit, and knows no other zone than UTC
and the offset that a text states. It asks no clock.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeAlias, runtime_checkable

from recorder.errors import ConfigError


NS_PER_SECOND: Final = 1_000_000_000
INT64_MAX: Final = 2**63 - 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"(Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
_SPAN_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@runtime_checkable
class HasNanoseconds(Protocol):
    """What a pandas ``Timestamp`` offers: ``value``, nanoseconds since 1970 UTC."""

    @property
    def value(self) -> int:
        """Return nanoseconds since 1970 UTC."""
        ...  # pragma: no cover - protocol


@runtime_checkable
class HasCast(Protocol):
    """What a numpy ``datetime64`` offers: a cast to another unit."""

    def astype(self, dtype: str) -> "HasCast":
        """Return the same time in another unit or as an integer."""
        ...  # pragma: no cover - protocol

    def __int__(self) -> int: ...  # pragma: no cover - protocol


Time: TypeAlias = str | int | datetime | HasNanoseconds | HasCast
"""A time as callers may give it, see `to_ns`."""


def to_ns(time: Time) -> int:
    """Return a time as nanoseconds since 1970 UTC.

    Args:
        time: ISO-8601 text (`parse_time`), whole nanoseconds since 1970 UTC, a
            ``datetime`` (UTC where it has no zone), a pandas ``Timestamp``
            or a numpy ``datetime64``.

    Raises:
        ConfigError: If it is none of these, or beyond 1677 to 2262.
    """
    if isinstance(time, str):
        return parse_time(time)
    if isinstance(time, bool):
        raise ConfigError(f"not a time: {time!r}")
    if isinstance(time, HasNanoseconds):  # before datetime: a Timestamp is both
        return _checked(int(time.value), time)
    if isinstance(time, datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        return _checked(_span_ns(aware - _EPOCH), time)
    if isinstance(time, HasCast) and not isinstance(time, int):
        return _from_numpy(time)
    if isinstance(time, int):
        return _checked(time, time)
    raise ConfigError(f"not a time: {time!r}; {_ADVICE}")


def parse_time(text: str) -> int:
    """Return ISO-8601 text as nanoseconds since 1970 UTC.

    Args:
        text: A date, or a date and a time with up to nine digits of a
            fraction: ``2024-05-01``, ``2024-05-01T12:30``,
            ``2024-05-01 12:30:00.123456789Z``. Without ``Z`` or an offset
            such as ``+02:00`` it is UTC.

    Raises:
        ConfigError: If it is anything else, or beyond 1677 to 2262.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"not a time: {text!r}; {_ADVICE}")
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=UTC,
        )
    except ValueError as error:
        raise ConfigError(f"not a time: {text!r}: {error}") from error
    ns = _span_ns(moment - _EPOCH) + int((fraction or "").ljust(9, "0"))
    return _checked(ns - _offset_ns(offset), text)


def show_time(ns: int) -> str:
    """Return nanoseconds since 1970 UTC as text: ``2024-05-01T12:30:00.123456789Z``."""
    seconds, fraction = divmod(ns, NS_PER_SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def parse_seconds(text: str) -> float:
    """Return a length of time such as ``90s``, ``15m``, ``1h`` in seconds.

    Args:
        text: A number and a unit: ``ms``, ``s``, ``m``, ``h`` or ``d``.

    Raises:
        ConfigError: If it is anything else.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"not a length of time: {text!r}; write a number and a unit, "
            "such as 500ms, 90s, 15m, 1h or 1d"
        )
    return float(match[1]) * _SPAN_SECONDS[match[2]]


_ADVICE: Final = "write it as 2024-05-01T12:30:00Z, with up to 9 digits of a fraction"


def _checked(ns: int, given: object) -> int:
    if not -INT64_MAX <= ns <= INT64_MAX:
        raise ConfigError(f"a time beyond 1677 to 2262: {given!r}")
    return ns


def _span_ns(span: timedelta) -> int:
    # In whole numbers: total_seconds() would round through a float.
    seconds = span.days * 86_400 + span.seconds
    return seconds * NS_PER_SECOND + span.microseconds * 1_000


def _offset_ns(text: str | None) -> int:
    if text is None or text in "Zz":
        return 0
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    sign = -1 if text[0] == "-" else 1
    return sign * (hours * 3600 + minutes * 60) * NS_PER_SECOND


def _from_numpy(time: HasCast) -> int:
    try:
        ns = int(time.astype("datetime64[ns]").astype("int64"))
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"not a time: {time!r}; {_ADVICE}") from error
    return _checked(ns, time)
