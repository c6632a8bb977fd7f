"""P2 and P9: from the socket to closed Parquet, and how many frames it carries.

A capture in a process of its own is compared with a process that receives the
same frames from the same sender and drops them. Then a capture on one core is
sent more and more a second, until it drops frames; after each rate a few come
slowly, to see that recording goes on.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks import bars
from benchmarks.account import Account, account
from benchmarks.capturing import Cpu, Recorded, Setting, read_and_drop, record
from benchmarks.made_frames import Load, depth_load
from benchmarks.options import runs, sized
from benchmarks.processes import in_process, serving
from benchmarks.report import Figure, Findings, micros, ratios, spread, table


RATES = (1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0, 75_000.0, 100_000.0)
FASTER = 1.5
"""Beyond those, each rate is so much more than the one before."""

RATE_MAX = 500_000.0
KEPT_UP = 0.98
"""A rate is carried if frames left the sender so nearly at it."""

OVERLOAD_SECONDS = 30.0
"""How long a rate lasts that is not carried: shedding begins after ten seconds."""

TAIL_RATE, TAIL_SECONDS = 2_000.0, 6.0
"""What comes after each rate: the end of it must be recorded."""


class Step(NamedTuple):
    """A capture at some rate.

    Attributes:
        rate: Frames a second that were asked for.
        run: How it went.
        found: What became of the frames.
    """

    rate: float
    run: Recorded
    found: Account

    @property
    def sent_rate(self) -> float:
        """Frames a second that left the sender."""
        poured = self.run.poured[0]
        return poured.frames / poured.seconds

    @property
    def has_recovered(self) -> bool:
        """Whether all of the end is there, and every book is known."""
        progress = self.run.progress
        return self.found.is_end_stored and progress.books_known == progress.books

    @property
    def is_carried(self) -> bool:
        """Whether all frames were taken as fast as they were to come."""
        return not self.found.named and self.sent_rate >= KEPT_UP * self.rate


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--frames", type=int, help="in each run of P2")
    parser.add_argument("--markets", type=int, help="that take turns")
    parser.add_argument("--rate", type=float, help="frames a second for P2; 0: most")
    parser.add_argument("--rates", type=float, nargs="*", help="to be tried for P9")
    parser.add_argument("--step-seconds", type=float, help="how long each lasts")


def measure(given: argparse.Namespace) -> Findings:
    """Return P2 and P9.

    Raises:
        WrongAnswerError: If a store does not hold exactly what was sent.
    """
    count = int(sized(given, "frames", full=200_000, quick=1_000))
    markets = int(sized(given, "markets", full=300, quick=10))
    rate = sized(given, "rate", full=25_000.0, quick=5_000.0) or None
    base = min(count, 100_000)
    load = depth_load(base, markets=markets, seed=given.seed, is_cycle=True)
    with serving(base, markets, given.seed) as port:
        setting = Setting(
            port=port,
            markets=tuple(load.markets),
            pours=((count, rate),),
            flush_seconds=0.2 if given.quick else 1.0,
        )
        bare, ours = [], []
        for _ in range(runs(given)):
            bare.append(in_process(read_and_drop, setting))
            run, found = capture(setting, load, given.folder)
            found.must_be_whole()
            ours.append(run)
        steps = _growth(given, setting, load)
    pace = f"{rate:,.0f} frames a second" if rate else "as fast as they are read"
    return Findings(
        about=(
            f"{count:,} depth frames of {markets} markets, {pace}; "
            f"{len(ours)} runs of each"
        ),
        figures=[
            Figure(
                bars.P2,
                ratios([run.cpu.total for run in ours], [cpu.total for cpu in bare]),
            ),
            Figure(
                bars.P9,
                spread([step.found.unaccounted for step in steps]),
                _told(steps),
            ),
        ],
        tables=[
            ("CPU us a frame, socket to closed Parquet", _parts(bare, ours, count)),
            ("Growth of the rate, capture on one core", growth(steps)),
        ],
        compared=["ids of every row, and levels of one in 997, with what was sent"],
    )


def capture(
    setting: Setting, load: Load, folder: Path | None
) -> tuple[Recorded, Account]:
    """Record into a store, account for every frame, remove the store."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        run: Recorded = in_process(record, setting, store)
        return run, account(Path(store), load, run.poured)


def _growth(given: argparse.Namespace, setting: Setting, load: Load) -> list[Step]:
    """Try one rate after another, until one is not carried."""
    seconds = sized(given, "step_seconds", full=10.0, quick=0.2)
    rates = list(given.rates or ((2_000.0,) if given.quick else RATES))
    goes_on = not (given.quick or given.rates)
    tail = (int(TAIL_RATE * (0.2 if given.quick else TAIL_SECONDS)), TAIL_RATE)
    steps: list[Step] = []
    while rates:
        rate = rates.pop(0)
        step = _step(setting, load, rate, seconds, tail, given.folder)
        if not (step.is_carried or step.found.named or given.quick):
            step = _step(setting, load, rate, OVERLOAD_SECONDS, tail, given.folder)
        steps.append(step)
        if step.found.named and goes_on:
            break
        if not rates and goes_on and rate * FASTER <= RATE_MAX:
            rates.append(rate * FASTER)
    return steps


def _step(
    setting: Setting,
    load: Load,
    rate: float,
    seconds: float,
    tail: tuple[int, float],
    folder: Path | None,
) -> Step:
    asked = Setting(
        port=setting.port,
        markets=setting.markets,
        pours=((int(rate * seconds), rate), tail),
        flush_seconds=setting.flush_seconds,
        cpu=max(os.sched_getaffinity(0)),
    )
    return Step(rate, *capture(asked, load, folder))


def _told(steps: list[Step]) -> str:
    """Return where the knee is, in words."""
    carried = [step.rate for step in steps if step.is_carried]
    dropped = [step for step in steps if step.found.named]
    knee = f"one core carries {max(carried):,.0f}/s" if carried else "none was carried"
    if not dropped:
        return f"{knee}; no rate made it drop frames"
    recovered = all(step.has_recovered for step in dropped)
    after = "recording recovers" if recovered else "RECORDING DID NOT RECOVER"
    return f"{knee}; beyond, {dropped[0].found.named:,} dropped and named, {after}"


def growth(steps: list[Step]) -> str:
    """Return a table of rates and what they took."""
    head = ("asked/s", "sent/s", "CPU us a frame", "peak MB", "files")
    rows = [[*head, "stored", "dropped", "unaccounted", "gaps", "whole at the end"]]
    for step in steps:
        run, found = step.run, step.found
        rows.append(
            [
                f"{step.rate:,.0f}",
                f"{step.sent_rate:,.0f}",
                f"{run.cpu.total / found.sent * 1e6:.2f}",
                f"{run.peak:.0f}",
                f"{found.files}",
                f"{found.stored:,}",
                f"{found.named:,}",
                f"{found.unaccounted}",
                ", ".join(f"{x} {n}" for x, n in found.reasons.items()) or "none",
                "yes" if step.has_recovered else "NO",
            ]
        )
    return table(rows)


def _parts(bare: list[Cpu], ours: list[Recorded], frames: int) -> str:
    parts = {
        "receive and drop": [cpu.total for cpu in bare],
        "recorder": [run.cpu.total for run in ours],
        "= while recording, event loop": [
            run.cpu.loop - run.closing.loop for run in ours
        ],
        "+ while recording, writer": [
            _writer(run.cpu) - _writer(run.closing) for run in ours
        ],
        "+ closing: rotation to Parquet": [run.closing.total for run in ours],
    }
    rows = [(name, micros(part, frames)) for name, part in parts.items()]
    return table([("process", "us a frame"), *rows])


def _writer(cpu: Cpu) -> float:
    return cpu.total - cpu.loop
