"""What one clock of ours showed, laid beside real time.

A machine's wall clock may be set while it records, so what our clock shows
(`recorder.clock`) is not real time: where it is set forward instants are
skipped, and after it was set back time goes on at half its pace. But it never
shows an instant twice. So each instant that it showed was at one real time,
and what a store says of times can be told in real time, in which the exchange
knows what it sent.

Nothing of that is computed from the rules of the clock: who reads it notes
what it showed. `Noter` keeps of all readings those between which the others
lie on a line, `Shown` reads them back. Times are nanoseconds.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple


TOLERANCE_NS: Final = 50_000
"""So far from the line a reading may lie that is not kept."""

LATE_NS: Final = 4 * TOLERANCE_NS
"""So much is added to real times: none is then before what really was."""

STILL_NS: Final = 100_000_000
"""Two readings that are further apart are kept: nothing was read in between."""

OFTEN_NS: Final = 100_000_000
"""So often at least a reading is kept, for nobody knows which is the last."""


class Look(NamedTuple):
    """Two readings of one clock, with none between them.

    Attributes:
        real_before: Real time of the first.
        shown_before: What it showed.
        real: Real time of the second.
        shown: What it showed.
        is_slow: Whether our clock went at half its pace between them.
    """

    real_before: int
    shown_before: int
    real: int
    shown: int
    is_slow: bool


class Noter:
    """Keeps what is needed of a clock's readings.

    Args:
        keep: Takes what is kept.
    """

    def __init__(self, keep: Callable[[Look], None]) -> None:
        self._keep = keep
        self._last: tuple[int, int, bool] | None = None
        self._anchor = (0, 0, False)
        self._changed = False

    def read(self, real: int, shown: int, *, is_slow: bool) -> None:
        """Take a reading.

        Args:
            real: Real time.
            shown: What the clock showed.
            is_slow: Whether it goes at half its pace from now on.
        """
        before = self._last or (real, shown, is_slow)
        since, first, was_slow = self._anchor
        passed = (real - since) // 2 if was_slow else real - since
        if (
            abs(shown - first - passed) > TOLERANCE_NS
            or real - before[0] > STILL_NS
            or real - since > OFTEN_NS
            or is_slow != before[2]
            or self._changed  # nobody knows whether there will be another
        ):
            self._keep(Look(before[0], before[1], real, shown, before[2]))
            self._anchor = real, shown, is_slow
            self._changed = is_slow != before[2]
        self._last = real, shown, is_slow


class Shown:
    """What one clock showed from its first reading to its last.

    Args:
        looks: What a `Noter` kept, oldest first; one at least.

    Attributes:
        first: Real time of the first reading, and what it showed.
        last: The same of the last.

    Raises:
        ValueError: If it showed less than before.
    """

    def __init__(self, looks: Iterable[Look]) -> None:
        self._looks = sorted(looks)
        self._reals: list[int] = []
        self._shown: list[int] = []
        for look in self._looks:
            self._add(look.real_before, look.shown_before)
            passed = look.real - look.real_before
            passed = passed // 2 if look.is_slow else passed
            # Where instants were skipped, it was at the second reading.
            if look.shown - look.shown_before > passed + TOLERANCE_NS:
                self._add(look.real, look.shown_before + passed)
            self._add(look.real, look.shown)
        self.first = self._reals[0], self._shown[0]
        self.last = self._reals[-1], self._shown[-1]
        self._waking = [look.real for look in self._looks]

    def _add(self, real: int, shown: int) -> None:
        if self._reals and shown < self._shown[-1]:
            raise ValueError(f"a clock showed {shown} after {self._shown[-1]}")
        self._reals.append(real)
        self._shown.append(shown)

    def real(self, shown: int) -> int:
        """Return the real time of what was shown; of what was skipped, of the step.

        Not before it, and later by at most `LATE_NS` twice. Before the first reading
        both clocks go alike, after the last ours goes at the pace that it had.
        """
        place = bisect_left(self._shown, shown)
        if place == 0:
            return self.first[0] + shown - self.first[1] + LATE_NS
        if place == len(self._shown):
            passed = (shown - self.last[1]) * (2 if self._looks[-1].is_slow else 1)
            return self.last[0] + passed + LATE_NS
        (since, until), (first, last) = (
            series[place - 1 : place + 1] for series in (self._reals, self._shown)
        )
        passed = (until - since) * (shown - first) // (last - first)
        return since + passed + LATE_NS

    def read_after(self, real: int) -> int:
        """Return when it was read next, if it was not for a while; else ``real``."""
        place = bisect_left(self._waking, real)
        if place < len(self._looks):
            look = self._looks[place]
            if look.real_before < real and look.real - look.real_before > STILL_NS:
                return look.real
        return real
