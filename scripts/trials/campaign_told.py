"""Does the ledger tell of all that the campaign did, and why?

Of every end of a capture, of every setting of its clock, and of every full
volume that cost rows. Times are real ones, nanoseconds.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from recorder.judging.evidence import ENDS, Evidence, contains
from recorder.judging.lives import Life
from recorder.model import Gap
from trials.campaign_machine import Setting, Volume
from trials.campaign_runs import Process


SECOND_NS: Final = 1_000_000_000

REASONS: Final = {
    "TERM": frozenset({"process_stopped"}),
    "asked": frozenset({"process_stopped"}),
    "KILL": frozenset({"process_killed"}),
}
"""What a gap says of an end."""

LOST: Final = frozenset({"connect_lost", "venue_upgrade", "stale_stream"})
"""Reasons of gaps in which chains are already that a run records no more."""

MANY: Final = 4
"""So many chains are not all in other gaps just before an end."""

LOST_NS: Final = 3 * SECOND_NS
"""What a kill may cost: a flush interval, and a flush on a machine that is busy."""

LOOK_NS: Final = 3 * SECOND_NS
"""Within this a run has looked at the wall clock and told what it saw."""

WIDTH_NS: Final = 20_000_000
"""By so much the width of a step may be told wrong: it is looked at from time to
time, and what has gone by meanwhile is measured by two clocks."""

SET: Final = re.compile(r"set (forward|back) by ([0-9.]+) s")


class Told:
    """Compares what was done with what the ledger of one feed says.

    Args:
        evidence: What both sides say, in real time.
        processes: The captures.
        volume: Where the store was; None if it never filled up.

    Attributes:
        counts: What was told, by what it was.
        complaints: What was not.
    """

    def __init__(
        self, evidence: Evidence, processes: Sequence[Process], volume: Volume | None
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._evidence = evidence
        self._processes = processes
        self._volume = volume
        self._lives = evidence.lives.of(evidence.source) if evidence.lives else []
        self._by_run = {life.run: life for life in self._lives}

    def judge(self, settings: Sequence[Setting]) -> None:
        """Look for all of it."""
        for process in self._processes:
            for line in process.events("CaptureStarted"):
                life = self._by_run.get(line["facts"]["run"])
                if life is not None and process.ended_at is not None:
                    self._judge_end(process, life)
            self._judge_dropped(process)
        for before, setting, after in neighbours(settings):
            if setting.at - before > LOOK_NS and after - setting.at > LOOK_NS:
                self._judge_setting(setting)

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{self._evidence.source}: {what}")

    # Ends ----------------------------------------------------------------------

    def _judge_end(self, process: Process, life: Life) -> None:
        """Every chain is in a gap when its capture has ended, or another has it.

        What was covered up to the end is in a gap that says why, unless it was not
        covered by this one: it had not taken over yet.
        """
        at = process.ended_at or 0
        others = [one for one in self._lives if one.run != life.run]
        if any(o.shown.first[0] <= at <= o.shown.last[0] for o in others):
            self.counts["ends beside another"] += 1
            return
        reasons = REASONS.get(process.ended_by, frozenset())
        if process.code and reasons:
            reasons |= REASONS["KILL"]  # the volume was full: it could not say
        named = silent = lost = 0
        for chain in self._evidence.chains:
            gaps = self._evidence.gaps_of(chain, "rows")
            here = [gap for gap in gaps if contains(gap, at)]
            if not here:
                self._complain(
                    f"nobody recorded {chain} at {at}, by {process.ended_by}, "
                    "and no gap says so"
                )
            named += any(gap.reason in reasons for gap in here)
            silent += any(gap.reason not in reasons for gap in here)
            lost += any(
                gap.reason in LOST and gap.started_at <= life.shown.last[0]
                for gap in here
            )
            if process.ended_by == "KILL":
                self._judge_cost(process, here, at)
        self.counts[f"{process.ended_by} told"] += bool(named)
        was_covering = any(
            life.shown.last[0] - LOST_NS <= c.ended_at <= at
            for c in self._evidence.coverage
        )
        is_plain = lost < len(self._evidence.chains) >= MANY
        is_plain &= life.settled_at <= life.shown.last[0]
        if is_plain and reasons and was_covering and not named:
            told = " or ".join(sorted(reasons))
            self._complain(f"no gap says {told} at {at}, where {silent} are")

    def _judge_cost(self, process: Process, here: Iterable[Gap], at: int) -> None:
        """A kill costs little, unless the disk or the process itself was in the way."""
        since = at - 60 * SECOND_NS
        was_slow = self._volume is not None and self._volume.was_full(since, at)
        stood = any(until >= at - 10 * SECOND_NS for _, until in process.stopped)
        for gap in here:
            cost = at - gap.started_at
            if gap.reason == "process_killed" and not (was_slow or stood):
                self.counts["chains killed"] += 1
                if cost > LOST_NS:
                    self._complain(
                        f"a kill at {at} cost {gap.market} {gap.stream} "
                        f"{cost / SECOND_NS:.2f} s"
                    )

    # The clock -----------------------------------------------------------------

    def _judge_setting(self, setting: Setting) -> None:
        """Whoever keeps the account says by how much the clock was set."""
        lives = [
            life
            for life in self._lives
            if max(life.shown.first[0], life.settled_at) < setting.at
            and setting.at + LOOK_NS < life.shown.last[0]
            and self._reads_on(life, setting.at)
            and not self._has_no_account(life, setting.at)
        ]
        for life in lives[:1]:
            near = [
                gap
                for gap in self._evidence.gaps
                if gap.reason == "clock_step"
                and abs(gap.started_at - setting.at) < LOOK_NS
            ]
            widths = [width for gap in near if (width := told_width(gap)) is not None]
            if any(abs(width - setting.by_ns) <= WIDTH_NS for width in widths):
                self.counts["settings of the clock told"] += 1
            elif any(
                gap.reason in ENDS and contains(gap, setting.at)
                for gap in self._evidence.gaps
            ):
                # What had not been written was lost, that it was set among it; with
                # all that was said since it took over, if nothing could be written.
                self.counts["settings of the clock in kills"] += 1
            else:
                self._complain(
                    f"the clock was set by {setting.by_ns / 1e9:.3f} s at {setting.at}, "
                    f"and the run {life.run} tells of {widths}"
                )

    def _has_no_account(self, life: Life, at: int) -> bool:
        lives = self._evidence.lives
        return lives is not None and lives.has_no_account(f"{life.run}.0", at)

    @staticmethod
    def _reads_on(life: Life, at: int) -> bool:
        """Return whether a run did not stand still around a time."""
        return all(
            life.shown.read_after(t) == t
            for t in range(at, at + LOOK_NS, SECOND_NS // 10)
        )

    # The disk ------------------------------------------------------------------

    def _judge_dropped(self, process: Process) -> None:
        """Where frames were dropped because the disk refused, a gap says so."""
        gaps = [gap for gap in self._evidence.gaps if gap.reason == "disk_full"]
        mine = [
            line
            for line in process.said
            if line.get("feed") in (None, self._evidence.source)
        ]
        for began, ended in pairwise(only(mine, "SheddingBegan", "SheddingEnded")):
            if (began["event"], ended["event"]) != ("SheddingBegan", "SheddingEnded"):
                continue
            since, until = began["heard_at"], ended["heard_at"]
            is_told = any(
                gap.started_at <= until and (gap.ended_at or until) >= since - SECOND_NS
                for gap in gaps
            )
            if not ended["facts"]["frames_dropped"]:
                continue
            self.counts["full volumes told"] += is_told
            was_full = self._volume is not None and self._volume.was_full(since, until)
            if was_full and not is_told:
                self._complain(f"no gap says disk_full from {since} to {until}")


def only(lines: Iterable[dict[str, Any]], *events: str) -> list[dict[str, Any]]:
    """Return the lines of some events."""
    return [line for line in lines if line["event"] in events]


def told_width(gap: Gap) -> int | None:
    """Return by how much a clock was set as a gap tells, nanoseconds."""
    found = SET.search(gap.detail or "")
    if found is None:
        return None
    seconds = float(found[2]) if found[1] == "forward" else -float(found[2])
    return round(seconds * SECOND_NS)


def neighbours(
    settings: Sequence[Setting],
) -> Iterable[tuple[int, Setting, int]]:
    """Yield each setting with the times of the one before and the one after."""
    times = [0, *(setting.at for setting in settings), 1 << 62]
    for number, setting in enumerate(settings):
        yield times[number], setting, times[number + 2]
