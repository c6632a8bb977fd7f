"""Frames that are dropped unread because too much waits for the disk."""

from typing import Final

from recorder.capture.pool import Pool
from recorder.capture.rows import Rows
from recorder.telemetry import SheddingBegan, SheddingEnded, emit


SHEDDING_ENDS: Final = 0.5
"""Frames are taken again when no more than so much of what may wait does."""


class Shedding:
    """Decides when frames are dropped, and counts them.

    Args:
        rows: Knows how much waits.
        pool: Knows how much waits in all captures of the process.

    Attributes:
        since: Since when frames are dropped, nanoseconds; None if they are not.
        dropped_total: Frames dropped so far.
    """

    def __init__(self, rows: Rows, pool: Pool) -> None:
        self.since: int | None = None
        self.dropped_total = 0
        self._dropped_before = 0
        self._rows = rows
        self._pool = pool
        pool.join(rows)

    def is_over(self, now: int) -> bool:
        """Look at what waits; return whether frames are taken again from now on."""
        load = self._pool.load_of(self._rows)
        if self.since is not None:
            return load <= SHEDDING_ENDS
        if load > 1:
            self.since = now
            self._dropped_before = self.dropped_total
            emit(
                SheddingBegan(
                    rows_waiting=self._rows.waiting,
                    bytes_waiting=self._rows.bytes_waiting,
                )
            )
        return False

    def end(self) -> int:
        """Take frames again; return how many were dropped."""
        self.since = None
        dropped = self.dropped_total - self._dropped_before
        emit(SheddingEnded(frames_dropped=dropped))
        return dropped
