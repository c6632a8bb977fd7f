"""What the machine's clocks do to a run: it is told, and judged by nobody else.

* **The wall clock is set** (`recorder.clock`): the ledger hears of it. Instants
  that our clock skips are a gap; where it goes at half its pace, nothing is
  missing, and a row says so.
* **The process stands still**: it was stopped, the machine slept, or a virtual
  machine was held. What came meanwhile is read late, if it is still there, and
  has the time at which it was read. As long as the connection lives, nothing is
  missing. If it is lost soon after, nobody knows when the venue gave it up: so
  much as stood in the buffers came, and all of that has the time of the waking.
  So for a while what was sent since the process stood still is not claimed; if
  the connection is lost by then, that is a gap ``backpressure`` up to its last
  frame, for we did not read.
* Until what had been waiting is read, nothing is overdue: whoever counts
  seconds of silence begins anew.
"""

from collections.abc import Callable, Iterable
from typing import Final

from recorder.capture.link import Link
from recorder.capture.silence import Silence
from recorder.clock import Clock, Step, SystemClock, slept_ns
from recorder.model import Chain, LedgerRow
from recorder.store.ledger import Ledger
from recorder.telemetry import (
    ClockBehind,
    ClockStepped,
    MachineSlept,
    ProcessStoodStill,
    emit,
)


STANDSTILL_NS: Final = 5_000_000_000
"""A run looks at the clock once a second. If so much goes by, it stood still."""

SETTLING_NS: Final = 10_000_000_000
"""After that, the time for reading what had been waiting."""


def unread(ledger: Ledger, link: Link, chain: Chain) -> list[LedgerRow]:
    """Tell of what a connection that has ended may not have brought.

    Args:
        ledger: Told of what is missing.
        link: The connection.
        chain: Something that it carried.

    Returns:
        Rows of the ledger; none if nobody doubts what the connection brought.
    """
    if link.doubted_at is None or not ledger.is_covered(chain):
        return []
    return ledger.missed(
        chain,
        "backpressure",
        link.sure_at + 1,
        link.last_at + 1,
        detail="the process stood still, and the connection did not last much longer",
    )


class ClockWatch:
    """Watches the clock of a run.

    Args:
        clock: Gives receive times. Only the system's own can be set.
        ledger: Told of what is missing.
        silence: Told to count anew.
        links: The connections that are open.
        note: Takes ledger rows to store.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        silence: Silence,
        links: Callable[[], Iterable[Link]],
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        self._clock = clock if isinstance(clock, SystemClock) else None
        self._ledger = ledger
        self._silence = silence
        self._links = links
        self._note = note
        self._minded_at: int | None = None
        self._counted = 0 if self._clock is None else self._clock.counted_ns()
        self._slept = slept_ns()
        self._settles_at = 0

    def counted_at(self, at: int) -> int | None:
        """Return what the clock showed that nobody sets, at a time not long ago.

        Args:
            at: That time, our clock.

        Returns:
            Nanoseconds; None if there is no such clock.
        """
        return None if self._clock is None else self._clock.counted_at(at)

    @property
    def is_settling(self) -> bool:
        """Whether the run stood still a moment ago: nothing is overdue yet."""
        return self._counted < self._settles_at

    @property
    def is_in_doubt(self) -> bool:
        """Whether a connection may be found to have ended when the run stood still."""
        return any(link.doubted_at is not None for link in self._links())

    def mind(self, now: int) -> None:
        """Look at what happened since the last call; before anything is judged.

        Args:
            now: Our clock, read just before.
        """
        if self._clock is None:
            return
        counted, before = self._clock.counted_ns(), self._minded_at
        stood = counted - self._counted
        self._minded_at, self._counted = max(now, before or 0), counted
        for step in self._clock.take_steps():
            self._stepped(step, is_first=before is None)
            # A machine that was held knows nothing of it but this.
            stood = max(stood, abs(step.by_ns))
        if stood >= STANDSTILL_NS and before is not None:
            self._stood_still(stood, before)
        elif not self.is_settling:
            self._settled()

    def stop(self) -> None:
        """Tell of what is still in doubt when the run ends."""
        for link in self._links():
            for chain in link.in_charge(link.chains):
                self._note(unread(self._ledger, link, chain))
            link.doubted_at = link.settled_at = None

    def _stepped(self, step: Step, *, is_first: bool) -> None:
        seconds = step.by_ns / 1e9
        kind = ClockBehind if is_first else ClockStepped
        emit(kind(by_seconds=round(seconds, 3)))
        where = "forward" if seconds > 0 else "back"
        rows = self._ledger.stepped(
            step.started_at,
            step.ended_at,
            is_skipped=step.is_skipped,
            detail=f"the wall clock was set {where} by {abs(seconds):.3f} s",
        )
        self._note(rows)

    def _stood_still(self, stood: int, since: int) -> None:
        """Doubt what comes, until all that had been waiting must have come.

        Args:
            stood: For how long, nanoseconds.
            since: When all was well, our clock.
        """
        slept, self._slept = self._slept, slept_ns()
        kind = MachineSlept if self._slept - slept > stood // 2 else ProcessStoodStill
        emit(kind(seconds=round(stood / 1e9, 1)))
        self._settles_at = self._counted + SETTLING_NS
        self._silence.begin_anew(self._minded_at or since)
        for link in self._links():
            link.settled_at = None
            if link.doubted_at is None:
                link.doubted_at = since

    def _settled(self) -> None:
        """Believe connections that were heard after the settling."""
        if not self._settles_at:
            return
        for link in self._links():
            if link.doubted_at is not None:
                if link.settled_at is None:
                    link.settled_at = self._minded_at
                elif link.last_at > link.settled_at:
                    link.doubted_at = link.settled_at = None
