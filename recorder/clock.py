"""The only reader of system time.

Everything else is handed a time, or a `Clock` to ask.
Times are integers: nanoseconds since 1970-01-01 UTC.

The wall clock may be set while we record. So receive times are counted on by a
clock that nobody sets, and the wall clock is looked at once a second:

* What NTP slews, it slews in both clocks. So they part only if somebody sets
  the wall clock. Two clocks cannot be read at once; how long the reading took
  bounds what it may be wrong by, and only what lies beyond counts.
* A difference up to `STEP_NS` between two looks is followed silently.
* After a greater step forward time goes on at the wall clock's: the instants
  between are skipped, and none is ever shown.
* After a greater step back no instant may be shown twice. Time goes on from
  where it was, at half its pace, until the wall clock has caught up: a step
  back by a second is over after two seconds, in which a second was shown. Full
  pace would never catch up; to stand still would give an hour's rows one time,
  and stop what is timed by it.

While the machine sleeps, the clock that counts on goes on, as the wall clock
does: that is no step.

A new process begins after every instant that one before it may have shown, as far
as the store can tell (`recorder.store.last_instant`). Only what one showed whose
clock was set forward after its last heartbeat, and that was killed then, the next
may show again if the clock is set back meanwhile.
"""

from __future__ import annotations

import time
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol


STEP_NS: Final = 10_000_000
"""So far, between two looks, the wall clock may part from the clock that counts
on: what rounding, a virtual machine's host or a leap smear bring about. Far less
than what a venue's answer takes, so no order of events hangs on it."""

LOOK_NS: Final = 1_000_000_000
"""Between two looks at the wall clock."""

SLEW_PPM: Final = 0 if hasattr(time, "CLOCK_BOOTTIME") else 500
"""How fast the wall clock may be slewed, where that leaves the other alone."""

READINGS: Final = 8
"""How often the two clocks are read to find a reading that was not interrupted."""

SHARP_NS: Final = 20_000
"""One that took no longer is good enough."""

TURNS_MAX: Final = 256
"""How many changes of its pace a clock remembers."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

_COUNTING: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What gives receive times."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC, greater than any value before."""
        ...  # pragma: no cover - protocol

    def not_before(self, at_ns: int) -> None:
        """Let no reading from now on be below a time."""
        ...  # pragma: no cover - protocol


class Step(NamedTuple):
    """The wall clock was set, or had been before it was looked at first.

    Attributes:
        started_at: What was shown then, nanoseconds since 1970 UTC.
        ended_at: From when on the wall clock is shown again.
        by_ns: By how much the wall clock was set; above zero: forward.
        is_skipped: Whether the instants between are never shown. If they are,
            it is at half the pace of time.
    """

    started_at: int
    ended_at: int
    by_ns: int
    is_skipped: bool


class _Turn(NamedTuple):
    """From when on our clock goes as it does: what it counted, and what it showed."""

    at: int
    shown: int
    pace: int  # so many nanoseconds go by until one more is shown


def counting_ns() -> int:
    """Return a clock that nobody sets and that counts while the machine sleeps."""
    return time.clock_gettime_ns(_COUNTING)


def boot_number() -> int:
    """Return a number of the machine's start, below 10^10; 0 if it has none.

    What `counting_ns` returns can be compared only within one.
    """
    try:
        return zlib.crc32(_BOOT.read_bytes())
    except OSError:
        return 0


class SystemClock:
    """The wall clock, made strictly increasing; see the head of this module.

    Args:
        not_before: The first reading is not below this, nanoseconds since
            1970 UTC. If the wall clock is behind, it counts as set back.
        wall: Reads the wall clock.
        counting: Reads a clock that nobody sets.

    Attributes:
        stepped_at: What the clock that counts on showed when the wall clock was
            last seen to have been set; None if it never was.
    """

    __slots__ = (
        "_counting",
        "_last",
        "_lead",
        "_look_at",
        "_slow_from",
        "_steps",
        "_turns",
        "_wall",
        "stepped_at",
    )

    def __init__(
        self,
        not_before: int = 0,
        *,
        wall: Callable[[], int] = time.time_ns,
        counting: Callable[[], int] = counting_ns,
    ) -> None:
        self._wall = wall
        self._counting = counting
        self._steps: list[Step] = []
        self._slow_from: tuple[int, int] | None = None
        self.stepped_at: int | None = None
        at, self._lead, _ = self._read()
        self._look_at = at + LOOK_NS
        self._last = -1
        self._turns = deque([_Turn(at, at + self._lead, 1)], TURNS_MAX)
        self.not_before(not_before)

    def not_before(self, at_ns: int) -> None:
        """Let no reading from now on be below a time, nanoseconds since 1970 UTC.

        If the wall clock is behind that, it counts as set back.
        """
        at = self._counting()
        if max(self._shown(at), self._last + 1) >= at_ns:
            return
        self._last = at_ns - 1
        self._slow_from = at, at_ns
        self._turns.append(_Turn(at, at_ns, 2))
        behind = at_ns - (at + self._lead)
        if behind > STEP_NS:
            step = Step(at_ns, at_ns + behind, -behind, is_skipped=False)
            self._steps.append(step)

    def now_ns(self) -> int:
        """Return nanoseconds since 1970 UTC, greater than any value before."""
        at = self._counting()
        if at >= self._look_at:
            at = self._look()
        now = at + self._lead
        if self._slow_from is not None:
            now = self._shown(at)
        if now <= self._last:
            now = self._last + 1
        self._last = now
        return now

    def counted_ns(self) -> int:
        """Return the clock that counts on; its zero means nothing."""
        return self._counting()

    def shown_at(self, counted: int) -> int:
        """Return what was shown when the clock that counts on showed something.

        Args:
            counted: That, of not too long ago, nanoseconds.
        """
        place = bisect_right(self._turns, counted, key=lambda turn: turn.at)
        turn = self._turns[max(place - 1, 0)]
        return turn.shown + (counted - turn.at) // turn.pace

    def counted_at(self, shown: int) -> int:
        """Return what the clock that counts on showed at a reading of this one.

        Args:
            shown: The reading, not too long ago, nanoseconds since 1970 UTC.
        """
        place = bisect_right(self._turns, shown, key=lambda turn: turn.shown)
        turn = self._turns[max(place - 1, 0)]
        return turn.at + (shown - turn.shown) * turn.pace

    def follow(self, counted: int, shown: int) -> None:
        """Go as another clock of this kind and machine does, if that is ahead.

        It is ahead of the wall clock then, and goes at half its pace as well.

        Args:
            counted: What the clock that counts on showed, nanoseconds.
            shown: What the other showed then.
        """
        if shown > counted + self._lead:
            passed = max(self._counting() - counted, 0)
            self.not_before(shown + passed // 2)

    def take_steps(self) -> list[Step]:
        """Look at the wall clock; return its steps seen since the last call."""
        self._look()
        steps, self._steps = self._steps, []
        return steps

    def _shown(self, at: int) -> int:
        """Return what is shown when the other clock counts ``at``."""
        wall = at + self._lead
        if self._slow_from is not None:
            since, shown = self._slow_from
            slowed = shown + (at - since) // 2
            if slowed > wall:
                return slowed
            self._slow_from = None
            caught_up = max(2 * (shown - self._lead) - since, since)
            self._turns.append(_Turn(caught_up, caught_up + self._lead, 1))
        return wall

    def _look(self) -> int:
        """Look at the wall clock; return what the other clock counts."""
        at, least, most = self._read()
        since = at - (self._look_at - LOOK_NS)
        self._look_at = at + LOOK_NS
        shown = max(self._shown(at), self._last + 1)
        moved = min(max(self._lead, least), most) - self._lead
        self._lead += moved
        wall = at + self._lead
        if abs(moved) <= STEP_NS + since * SLEW_PPM // 1_000_000:
            if moved and self._slow_from is None:
                self._turns.append(_Turn(at, wall, 1))
            return at
        self.stepped_at = at
        if wall > shown:
            self._slow_from = None
            self._turns.append(_Turn(at, wall, 1))
            self._steps.append(Step(shown, wall, moved, is_skipped=True))
        else:
            self._slow_from = at, shown
            self._turns.append(_Turn(at, shown, 2))
            self._steps.append(Step(shown, 2 * shown - wall, moved, is_skipped=False))
        return at

    def _read(self) -> tuple[int, int, int]:
        """Read both clocks.

        Returns:
            What the one counts; and by how much the wall clock is ahead of it,
            at least and at most.
        """
        best = self._read_once()
        for _ in range(READINGS):
            if best[2] - best[1] <= SHARP_NS:
                break
            best = min(best, self._read_once(), key=lambda got: got[2] - got[1])
        return best

    def _read_once(self) -> tuple[int, int, int]:
        before = self._counting()
        wall = self._wall()
        after = self._counting()
        return after, wall - after, wall - before


def wall_ns() -> int:
    """Return the wall clock as it stands, in nanoseconds since 1970 UTC."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Return a clock for durations: it never steps, its zero means nothing."""
    return time.monotonic_ns()


def slept_ns() -> int:
    """Return how long the machine has slept since it was started, nanoseconds."""
    return counting_ns() - time.monotonic_ns()
