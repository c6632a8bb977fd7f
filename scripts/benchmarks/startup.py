"""P8: how long the command takes to start, and a first answer.

Wall time, for that is what people wait for: `recorder --help` and a Python
that imports click take turns. The first `recorder bbo` of a small store is
measured as well, with and without what numba has compiled before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import bars
from benchmarks.day_store import SOURCE, depth_table, write_store
from benchmarks.options import runs
from benchmarks.report import Figure, Findings, WrongAnswerError, ratios, spread, table
from benchmarks.synthetic import MARKET, make_day


MESSAGES = 2_000


def add_options(_parser: argparse.ArgumentParser) -> None:
    """Add no options: there are none but the common ones."""


def measure(given: argparse.Namespace) -> Findings:
    """Return P8.

    Raises:
        WrongAnswerError: If a command does not say what it is to say.
    """
    command = Path(sys.executable).with_name("recorder")
    if not command.exists():
        raise RuntimeError(f"there is no {command.name} beside the Python that runs")
    plain, ours, bbo = [], [], []
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        write_store(folder / "store", depth_table(make_day(MESSAGES, given.seed)))
        ask = (
            *(command, "bbo", "--store", folder / "store", "--source", SOURCE),
            *("--market", MARKET, "--format", "csv"),
        )
        compiling = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache")}
        first = None if given.quick else _seconds(ask, MESSAGES + 2, compiling)
        for _ in range(runs(given, 21)):
            plain.append(_seconds((sys.executable, "-c", "import click"), 0))
            ours.append(_seconds((command, "--help"), 1))
            bbo.append(_seconds(ask, MESSAGES + 2))
    rows = [("command", "wall time, s")]
    rows += [
        (title, spread(seconds).text(3))
        for title, seconds in (
            ('python -c "import click"', plain),
            ("recorder --help", ours),
            (f"recorder bbo, {MESSAGES:,} messages", bbo),
            ("the same, compiling all of it", [] if first is None else [first]),
        )
        if seconds
    ]
    return Findings(
        about=f"{len(ours)} runs of each, taking turns",
        figures=[Figure(bars.P8, ratios(ours, plain))],
        tables=[("Starts", table(rows))],
        compared=["lines that the commands print, in number"],
    )


def _seconds(
    command: Sequence[object], lines: int, env: Mapping[str, str] | None = None
) -> float:
    """Return the wall time of a command that prints so many lines at least."""
    began = perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        check=False,
        text=True,
        env=env,
    )
    seconds = perf_counter() - began
    if done.returncode or len(done.stdout.splitlines()) < lines:
        raise WrongAnswerError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return seconds
