"""Whether our clock shows what that of the run beside us shows.

Two runs of a job each have a clock (`recorder.clock`), and when the wall clock was
set back before we began, the other's is ahead of ours: it goes at half its pace,
until the wall clock has caught up. Then one instant has two times, and what we
covered cannot be laid over what the other missed.

So we begin with what the other's clock shows, which its heartbeat tells, and go on
as it does, for both follow one wall clock. Where it is set, one may see that later
than the other, or have stood still; so from each step on, what we cover is not
compared until a later heartbeat shows that both go alike.
"""

from typing import Final

from recorder.clock import LOOK_NS, STEP_NS, Clock, SystemClock, boot_number
from recorder.store.run import Run
from recorder.store.runfile import Beat, read_beat


APART_NS: Final = 2 * STEP_NS
"""So far two clocks may be apart that follow one wall clock, each by itself."""

SEEN_NS: Final = 2 * LOOK_NS
"""Within this every clock that is read has seen that the wall clock was set."""


class InStep:
    """Keeps our clock in step with that of the run beside us.

    Args:
        run: Our run, which is beside another.
        clock: Our clock. Others than the system's are in step always.
    """

    def __init__(self, run: Run, clock: Clock) -> None:
        self._run = run
        self._clock = clock if isinstance(clock, SystemClock) else None
        self._boot = boot_number()
        self._beat: Beat | None = None
        self._since: int | None = None
        self._followed_at: int | None = None

    def look(self) -> None:
        """Look at the other's newest heartbeat, and follow its clock if that is ahead."""
        successor, clock = self._run.successor, self._clock
        if successor is None or clock is None:
            return
        beat = _beat_of(self._run)
        clock.now_ns()  # looks at the wall clock
        if beat is not None and beat.boot == self._boot:
            self._beat = beat
            ahead = beat.shown - clock.shown_at(beat.counted)
            if self._is_pending or ahead < -APART_NS:
                self._since = None
            elif ahead > APART_NS:
                clock.follow(beat.counted, beat.shown)
                self._followed_at = clock.counted_ns()
                self._since = None
            elif self._since is None:
                self._since = clock.now_ns()

    def is_since(self, at: int) -> bool:
        """Return whether both clocks have gone alike from a time on.

        Args:
            at: Our clock, nanoseconds.
        """
        return self.since(at + 1) <= at

    def since(self, now: int) -> int:
        """Return from when on both clocks have gone alike, our clock, nanoseconds.

        0 if the other has never told what its clock shows: it has stored nothing.

        Args:
            now: What it is if they do not.
        """
        if self._beat is None or self._clock is None:
            return 0
        return now if self._since is None or self._is_pending else self._since

    @property
    def _is_pending(self) -> bool:
        """Whether the other has not beaten since the clocks may have parted or met."""
        if self._beat is None or self._clock is None:
            return False
        counted, stepped_at = self._beat.counted, self._clock.stepped_at
        if self._followed_at is not None and counted < self._followed_at:
            return True
        return stepped_at is not None and counted < stepped_at + SEEN_NS


def _beat_of(run: Run) -> Beat | None:
    """Return the newest heartbeat of who has the job; None if it is not to be had."""
    try:
        holder = None if run.successor is None else run.successor.holder
        if holder is None or holder.run is None:
            return None
        return read_beat(run.root, holder.run)
    except OSError:
        return None  # of a disk that refuses: then what is known stays as it is
