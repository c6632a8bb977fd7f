"""The live line of a capture, on a terminal."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from recorder.capture.plan import Progress
from recorder.clock import monotonic_ns
from recorder.replay.names import EVENT_TABLES


RATE_NS: Final = 1_000_000_000
"""A rate is that of at least so long: flushes may follow one another closely."""


def display(
    *, is_wanted: bool
) -> tuple[AbstractContextManager[object], Callable[[Progress], None] | None]:
    """Return a live display and what feeds it; nothing unless on a terminal."""
    console = Console(stderr=True)
    if not is_wanted or not console.is_terminal:
        return nullcontext(), None
    live = Live(
        console=console, refresh_per_second=2, transient=True, redirect_stdout=False
    )
    meter = Meter()
    return live, lambda progress: live.update(meter.draw(progress))


class Meter:
    """Draws a run's progress; remembers what was before to tell a rate.

    Args:
        clock: Gives nanoseconds that never step.
    """

    def __init__(self, clock: Callable[[], int] = monotonic_ns) -> None:
        self._clock = clock
        self._before = clock(), 0
        self._rate = 0.0

    def draw(self, progress: Progress) -> Table:
        """Return one row of figures; rows are those of tables that hold events."""
        figures = {
            "frames/s": f"{self._rate_of(progress.frames):,.0f}",
            "lag": f"{progress.lag_seconds:.1f} s",
            "books known": f"{progress.books_known}/{progress.books}",
            "gaps": f"{progress.gaps:,}",
            "connections": f"{progress.connections_open}/{progress.connections}",
            **{
                f"{name} rows": f"{count:,}"
                for name, count in sorted(progress.rows.items())
                if name in EVENT_TABLES
            },
        }
        table = Table(box=None, pad_edge=False)
        for name in figures:
            table.add_column(name, justify="right")
        table.add_row(*figures.values())
        return table

    def _rate_of(self, frames: int) -> float:
        since, before = self._before
        now = self._clock()
        if now - since >= RATE_NS:
            self._rate = (frames - before) * 1e9 / (now - since)
            self._before = now, frames
        return self._rate
