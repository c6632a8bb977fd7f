"""The live line of a capture on a terminal; of several, a line each."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from recorder.capture.many import OnProgress
from recorder.capture.plan import Progress
from recorder.clock import monotonic_ns
from recorder.replay.names import EVENT_TABLES


RATE_NS: Final = 1_000_000_000
"""A rate is that of at least so long: flushes may follow one another closely."""


def display(
    *, is_wanted: bool
) -> tuple[AbstractContextManager[object], Callable[[Progress], None] | None]:
    """Return a live display and what feeds it; nothing unless on a terminal."""
    live = _live(is_wanted=is_wanted)
    if live is None:
        return nullcontext(), None
    meter = Meter()
    return live, lambda progress: live.update(meter.draw(progress))


def display_many(
    names: Sequence[str], *, is_wanted: bool
) -> tuple[AbstractContextManager[object], OnProgress | None]:
    """Return a live display of several feeds, and what feeds it.

    Args:
        names: Of the feeds.
        is_wanted: False for none; and there is none unless on a terminal.
    """
    live = _live(is_wanted=is_wanted)
    if live is None:
        return nullcontext(), None
    board = Board(names)
    return live, lambda name, progress: live.update(board.draw(name, progress))


def _live(*, is_wanted: bool) -> Live | None:
    console = Console(stderr=True)
    if not is_wanted or not console.is_terminal:
        return None
    return Live(
        console=console, refresh_per_second=2, transient=True, redirect_stdout=False
    )


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
        figures = self.figures(progress) | {
            f"{name} rows": f"{count:,}" for name, count in _event_rows(progress)
        }
        return _table([figures])

    def figures(self, progress: Progress) -> dict[str, str]:
        """Return what there is to tell of any run, by heading."""
        return {
            "frames/s": f"{self._rate_of(progress.frames):,.0f}",
            "lag": f"{progress.lag_seconds:.1f} s",
            "books known": f"{progress.books_known}/{progress.books}",
            "gaps": f"{progress.gaps:,}",
            "connections": f"{progress.connections_open}/{progress.connections}",
            **_audits(progress),
            **_handovers(progress),
        }

    def _rate_of(self, frames: int) -> float:
        since, before = self._before
        now = self._clock()
        if now - since >= RATE_NS:
            self._rate = (frames - before) * 1e9 / (now - since)
            self._before = now, frames
        return self._rate


class Board:
    """Draws the progress of several feeds, a row each.

    Args:
        names: Of the feeds.
        clock: Gives nanoseconds that never step.
    """

    def __init__(
        self, names: Sequence[str], clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._meters = {name: Meter(clock) for name in names}
        self._rows = {name: {"feed": name} for name in names}

    def draw(self, name: str, progress: Progress | None) -> Table:
        """Return all rows, of which one is new; None is for a feed that ended."""
        if progress is None:
            self._rows[name] = {"feed": name, "connections": "ended"}
            return _table(list(self._rows.values()))
        rows = sum(count for _, count in _event_rows(progress))
        figures = self._meters[name].figures(progress)
        self._rows[name] = {"feed": name, **figures, "rows": f"{rows:,}"}
        return _table(list(self._rows.values()))


def _event_rows(progress: Progress) -> list[tuple[str, int]]:
    rows = sorted(progress.rows.items())
    return [(name, count) for name, count in rows if name in EVENT_TABLES]


def _table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return a table of rows that have the same headings, or lack some."""
    table = Table(box=None, pad_edge=False)
    headings = max(rows, key=len)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "feed" else "right")
    for row in rows:
        table.add_row(*(row.get(heading, "-") for heading in headings))
    return table


def _handovers(progress: Progress) -> dict[str, str]:
    """Return what is to be told of handovers: nothing before the first."""
    if not progress.handovers and not progress.handing_over:
        return {}
    now = f" + {progress.handing_over} now" if progress.handing_over else ""
    return {"handovers": f"{progress.handovers}{now}"}


def _audits(progress: Progress) -> dict[str, str]:
    """Return what is to be told of audits: nothing before the first."""
    if not progress.audits_equal and not progress.audits_mismatched:
        return {}
    wrong = (
        f", {progress.audits_mismatched} wrong" if progress.audits_mismatched else ""
    )
    return {"audits": f"{progress.audits_equal:,} right{wrong}"}
