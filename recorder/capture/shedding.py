"""Frames that are dropped unread because too much waits, and what for.

What is done when more comes than can be written or read, in this order:

1. Rows are handed to the writer before their time.
2. They wait in memory, up to the budget of the process.
3. Frames are received and dropped before anything is made of them, all alike,
   until half of what may wait does: by those feeds that hold more than their
   part. Nothing that was received before is given up for it.

Where the processor is too slow, frames wait in the socket instead, where the
venue sees it and may cut us off; so the third step is taken at once. The
socket is always read.
"""

from collections import Counter
from typing import Final

from recorder.capture.pool import Pool
from recorder.capture.rows import Rows
from recorder.counts import counted
from recorder.telemetry import SheddingBegan, SheddingEnded, emit


SHEDDING_ENDS: Final = 0.5
"""Frames are taken again when no more than so much of what may wait does."""

NAMED_MAX: Final = 8
"""Connections that a gap names, of those over which frames were dropped."""

LOOK_EVERY: Final = 32
"""Frames after which it is looked at what waits: a power of two."""

TOO_SLOW_TO_READ: Final = "the processor is too slow to read what comes"
TOO_SLOW_TO_WRITE: Final = "the disk is too slow to write what comes"


class Shedding:
    """Decides when frames are dropped, and counts them.

    Args:
        rows: Knows how much waits.
        pool: Knows how much waits in all captures of the process.

    Attributes:
        since: Since when frames are dropped, nanoseconds; None if they are not.
        dropped_total: Frames dropped so far.
        trouble: What the disk refuses now, in words; None if nothing.
        is_behind: Whether more comes over a socket than we can read.
    """

    def __init__(self, rows: Rows, pool: Pool) -> None:
        self.since: int | None = None
        self.dropped_total = 0
        self.trouble: str | None = None
        self.is_behind = False
        self._dropped: Counter[str] = Counter()
        self._cause = ("", "")
        self._rows = rows
        self._pool = pool
        pool.join(rows)

    @property
    def bytes_early(self) -> int:
        """So many bytes of rows are handed over before the flush interval is over."""
        return self._pool.bytes_early

    def drop(self, conn: str) -> None:
        """Count a frame that is dropped."""
        self.dropped_total += 1
        self._dropped[conn] += 1

    def look(self, now: int) -> None:
        """Look at what waits: from now on, frames may be dropped.

        Args:
            now: Our clock; every frame received before was taken.
        """
        if self.since is None:
            if self._pool.load_of(self._rows) > 1:
                self._begin(now, "backpressure", TOO_SLOW_TO_WRITE)
            elif self.is_behind:
                self._begin(now, "backpressure", TOO_SLOW_TO_READ)
        if self.since is not None and self.trouble is not None:
            self._cause = "disk_full", self.trouble

    def _begin(self, now: int, reason: str, why: str) -> None:
        self.since = now
        self._cause = reason, why
        self._dropped.clear()
        emit(
            SheddingBegan(
                why=self.trouble or why,
                rows_waiting=self._rows.waiting,
                bytes_waiting=self._rows.bytes_held,
            )
        )

    @property
    def is_over(self) -> bool:
        """Whether there is room for frames again."""
        is_much = self._pool.load_of(self._rows) > SHEDDING_ENDS
        return not (self.since is None or is_much or self.is_behind)

    def end(self) -> tuple[str, str] | None:
        """Take frames again.

        Returns:
            Reason and detail of the gap; None if nothing was dropped.
        """
        self.since = None
        dropped = self._dropped.total()
        emit(SheddingEnded(frames_dropped=dropped))
        reason, why = self._cause
        return (reason, f"{self._counts()}: {why}") if dropped else None

    def _counts(self) -> str:
        """Return in words how many frames were dropped, and where."""
        most = self._dropped.most_common(NAMED_MAX)
        parts = [f"{count} of {conn}" for conn, count in most]
        if left := len(self._dropped) - len(most):
            parts.append(f"others of {counted(left, 'more connection')}")
        dropped = counted(
            self._dropped.total(), "frame was dropped", "frames were dropped"
        )
        return f"{dropped}, {', '.join(parts)}"
