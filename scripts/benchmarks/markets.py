"""P5: what a frame costs among few markets and among many, and how all grows.

The same way as `wire`, socket to closed Parquet, runs with few and with many
markets taking turns; then a run for each of several numbers of markets. The
snapshot that each market begins with is in the segments, too.
"""

import argparse
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks import bars
from benchmarks.account import Account
from benchmarks.capturing import Recorded, Setting
from benchmarks.made_frames import Load, depth_load
from benchmarks.options import runs, sized
from benchmarks.processes import serving
from benchmarks.report import Figure, Findings, ratios, spread, table
from benchmarks.wire import capture


FEW, MANY = 10, 2_500
NUMBERS = (FEW, 100, 1_000, MANY)


class _Kind(NamedTuple):
    """Captures of so many markets."""

    load: Load
    setting: Setting
    ran: list[Recorded]
    found: list[Account]

    def run(self, given: argparse.Namespace) -> None:
        recorded, found = capture(self.setting, self.load, given.folder)
        found.must_be_whole()
        self.ran.append(recorded)
        self.found.append(found)

    def micros(self) -> list[float]:
        """CPU of a frame in each run, microseconds."""
        return [run.cpu.total / self.setting.frames * 1e6 for run in self.ran]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--frames", type=int, help="in each run")
    parser.add_argument("--rate", type=float, default=25_000.0, help="a second")
    parser.add_argument("--numbers", type=int, nargs="*", help="of markets to try")


def measure(given: argparse.Namespace) -> Findings:
    """Return P5.

    Raises:
        WrongAnswerError: If a store does not hold exactly what was sent.
    """
    frames = int(sized(given, "frames", full=400_000, quick=1_000))
    numbers = given.numbers or ((2, 20) if given.quick else NUMBERS)
    few, many = min(numbers), max(numbers)
    kinds: dict[int, _Kind] = {}
    with ExitStack() as stack:
        for markets in sorted(numbers):
            base = min(frames, 100_000)
            load = depth_load(base, markets=markets, seed=given.seed, is_cycle=True)
            setting = Setting(
                port=stack.enter_context(serving(base, markets, given.seed)),
                markets=tuple(load.markets),
                pours=((frames, given.rate),),
                flush_seconds=0.2 if given.quick else 1.0,
            )
            kinds[markets] = _Kind(load, setting, [], [])
        for _ in range(runs(given)):
            for markets in (few, many):
                kinds[markets].run(given)
        for markets in set(kinds) - {few, many}:
            kinds[markets].run(given)
    ratio = ratios(*(kinds[markets].micros() for markets in (many, few)))
    return Findings(
        about=f"{frames:,} depth frames, {given.rate:,.0f} frames a second",
        figures=[Figure(bars.P5, ratio, f"{many:,} markets against {few:,}")],
        tables=[("Growth of the markets, socket to closed Parquet", _table(kinds))],
        compared=["ids of every row, and levels of one in 997, with what was sent"],
    )


def _table(kinds: dict[int, _Kind]) -> str:
    head = ("markets", "runs", "CPU us a frame", "event loop", "closing")
    rows = [[*head, "peak MB", "files", "depth bytes a frame"]]
    for markets, kind in kinds.items():
        count = kind.setting.frames
        loop = [(run.cpu.loop - run.closing.loop) / count * 1e6 for run in kind.ran]
        closing = [run.closing.total / count * 1e6 for run in kind.ran]
        rows.append(
            [
                f"{markets:,}",
                str(len(kind.ran)),
                spread(kind.micros()).text(),
                spread(loop).text(),
                spread(closing).text(),
                f"{max(run.peak for run in kind.ran):.0f}",
                str(max(found.files for found in kind.found)),
                f"{kind.found[0].bytes / count:.1f}",
            ]
        )
    return table(rows)
