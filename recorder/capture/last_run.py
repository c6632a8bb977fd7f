"""What a run says of itself when it is over, for those who watch."""

from collections import Counter

from recorder.capture.backfill_gaps import is_told
from recorder.capture.plan import CapturePlan, CaptureResult
from recorder.clock import wall_ns
from recorder.errors import StoreError
from recorder.model import Gap
from recorder.store.last_runs import LastRun, write_last
from recorder.store.run import Run
from recorder.store.writer import Flush
from recorder.telemetry import LastRunUntold, emit
from recorder.times import show_time


class GapCount:
    """Counts the gaps of a run by their reasons, each once.

    Args:
        run: Id of the run; gaps of others that it ends are not its own.

    Attributes:
        by_reason: How many there were.
    """

    def __init__(self, run: str) -> None:
        self.by_reason: Counter[str] = Counter()
        self._mine = f"{run}."
        self._open: dict[str, str] = {}

    def see(self, flush: Flush) -> None:
        """Take the rows of a flush; a gap may have several, one after another."""
        for (table, _), rows in flush.rows.items():
            if table == "gaps":
                for row in rows:
                    self._count(row[4])

    def _count(self, gap: Gap) -> None:
        if not gap.gap_id.startswith(self._mine):
            return
        counted_as = self._open.pop(gap.gap_id, None)
        if counted_as is not None:  # its reason may be known better by now
            self.by_reason -= Counter({counted_as: 1})
        elif gap.healed_by is not None or is_told(gap):
            return  # it had ended, and was counted then
        self.by_reason[gap.reason] += 1
        if gap.ended_at is None:
            self._open[gap.gap_id] = gap.reason


def tell_last(
    run: Run, plan: CapturePlan, result: CaptureResult, gaps: GapCount
) -> None:
    """Put down how a run ended; that it cannot be is only logged.

    Args:
        run: The run, which holds its locks still.
        plan: What it was to record.
        result: How it went.
        gaps: Those that it stored.
    """
    progress = result.progress
    last = LastRun(
        job=plan.job,
        run=run.id,
        source=plan.source.name,
        state="failed" if result.exit_code else "ended",
        exit_code=result.exit_code,
        failure=result.failure,
        started_at=show_time(run.started_at),
        ended_at=show_time(max(wall_ns(), run.started_at)),
        rows=dict(sorted(progress.rows.items())),
        gaps=dict(sorted(gaps.by_reason.items())),
        chains=result.chains,
        refused=tuple(f"{c.words}: {why}" for c, why in sorted(result.refused.items())),
        books=progress.books,
        books_known=progress.books_known,
    )
    try:
        write_last(run.root, last)
    except StoreError as error:
        emit(LastRunUntold(why=str(error)))
