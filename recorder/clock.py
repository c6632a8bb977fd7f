"""The only reader of system time.

Everything else is handed a time, or a `Clock` to ask.
Times are integers: nanoseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import time
from typing import Final, Protocol


STEP_NS: Final = 1_000_000
"""So far behind, the wall clock has stepped back; else it only stood still."""


class Clock(Protocol):
    """What gives receive times."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC, greater than any value before."""
        ...  # pragma: no cover - protocol


class SystemClock:
    """The wall clock, made strictly increasing.

    A wall clock that steps back would put rows out of order. So no reading
    is below the last one: as long as the wall clock is behind, time goes on
    from there at its usual pace, so that waiting ends.

    Args:
        not_before: The first reading is not below this, nanoseconds since
            1970 UTC.
    """

    __slots__ = ("_last", "_lead")

    def __init__(self, not_before: int = 0) -> None:
        self._last = not_before - 1
        self._lead: int | None = None
        if not_before > 0:
            self._lead = not_before - time.monotonic_ns()

    def not_before(self, at_ns: int) -> None:
        """Let no reading from now on be below a time, nanoseconds since 1970 UTC."""
        if at_ns > self.now_ns():
            self._last = at_ns - 1
            self._lead = at_ns - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC, greater than any value before."""
        now = time.time_ns()
        if self._lead is not None:
            paced = time.monotonic_ns() + self._lead
            if paced > now:
                now = paced
            else:
                self._lead = None
        if now <= self._last:
            if self._lead is None and self._last - now > STEP_NS:
                self._lead = self._last + 1 - time.monotonic_ns()
            now = self._last + 1
        self._last = now
        return now


def wall_ns() -> int:
    """Return the wall clock as it stands, in nanoseconds since 1970 UTC."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Return a clock for durations: it never steps, its zero means nothing."""
    return time.monotonic_ns()
