"""The only reader of system time.

Everything else is handed a time, or a `Clock` to ask.
Times are integers: nanoseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What gives receive times."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC, greater than any value before."""
        ...  # pragma: no cover - protocol


class SystemClock:
    """The wall clock, made strictly increasing.

    A wall clock that steps back would put rows out of order, so each
    reading is ``max(wall clock, last reading + 1 ns)``.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC, greater than any value before."""
        now = time.time_ns()
        if now <= self._last:
            now = self._last + 1
        self._last = now
        return now


def wall_ns() -> int:
    """Return the wall clock as it stands, in nanoseconds since 1970 UTC."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Return a clock for durations: it never steps, its zero means nothing."""
    return time.monotonic_ns()
