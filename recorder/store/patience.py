"""Trying again what the disk refuses, at growing distances.

A disk that is full, read-only or gone is no reason to give up: somebody may
mend it. Until then whoever writes waits here, the log says so once a minute,
and the rest of the process goes on.
"""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from recorder.clock import monotonic_ns
from recorder.errors import DiskError, StoreError
from recorder.telemetry import StorePaused, StoreResumed, StoreStillPaused, emit


T = TypeVar("T")

PAUSES_SECONDS: Final = (0.2, 5.0)
"""First and longest time between two tries."""

LINE_SECONDS: Final = 60.0
"""How often the log says that it is still so."""

LOST: Final = "what waited for it is lost; the next start says since when"

_HURRIED_SECONDS: Final = 0.2


class Patience:
    """Insists on work that the disk refuses.

    Args:
        pauses_seconds: First and longest time between two tries.

    Attributes:
        trouble: What the disk refuses now, in words; None if nothing. May be
            read from any thread.
    """

    def __init__(self, pauses_seconds: tuple[float, float] = PAUSES_SECONDS) -> None:
        self.trouble: str | None = None
        self._pauses = pauses_seconds
        self._pause = pauses_seconds[0]
        self._since = 0.0
        self._told_at = 0.0
        self._deadline: float | None = None
        self._hurried = threading.Event()

    def insist(self, work: Callable[[], T], else_: str = LOST) -> T:
        """Do some work, again and again as long as the disk refuses.

        Args:
            work: The work.
            else_: What is if it cannot be done, in words.

        Raises:
            StoreError: If it refuses and no time is left, or for good.
        """
        while True:
            try:
                return work()
            except DiskError as error:
                self._wait(error, else_)

    def over(self) -> None:
        """Note that all that was to be written is."""
        if self.trouble is not None:
            self.trouble = None
            self._pause = self._pauses[0]
            emit(StoreResumed(seconds=round(_now() - self._since, 1)))

    def hurry(self, seconds: float) -> None:
        """Have it wait no longer than so long from now on; from any thread."""
        if self._deadline is None:
            self._deadline = _now() + seconds
            self._hurried.set()

    def _wait(self, error: DiskError, else_: str) -> None:
        now = _now()
        if self.trouble is None:
            self._since = self._told_at = now
            emit(StorePaused(why=str(error)))
        elif now - self._told_at >= LINE_SECONDS:
            self._told_at = now
            seconds = round(now - self._since)
            emit(StoreStillPaused(why=str(error), seconds=seconds))
        self.trouble = str(error)
        if self._deadline is None:
            pause, self._pause = self._pause, min(2 * self._pause, self._pauses[1])
            self._hurried.wait(pause)
        elif now < self._deadline:
            time.sleep(min(_HURRIED_SECONDS, self._deadline - now))
        else:
            raise StoreError(f"{error} ({else_})") from error


def _now() -> float:
    return monotonic_ns() / 1e9
