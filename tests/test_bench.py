"""The benchmarks run and print their figures; what they measure is not judged."""

import os
import re
import subprocess
import sys
from pathlib import Path


BENCH = Path(__file__).resolve().parents[1] / "scripts" / "bench"


def bench(*arguments):
    # Measured by the benchmark itself, so not by coverage as well.
    quiet = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, BENCH, *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env=quiet,
    )


def test_ingest_prints_p1_and_p2_with_their_bars():
    done = bench("ingest", "--frames", "2000", "--runs", "1")

    assert done.stderr == ""
    assert done.returncode == 0
    lines = {line[:2]: line for line in done.stdout.splitlines()}
    for name, bar, goal in (("P1", "2", "1.5"), ("P2", "6", "4")):
        figure = re.search(
            rf"([\d.]+) \([\d.]+-[\d.]+\) +<= {bar} +<= {goal} +"
            r"(goal reached|bar reached|MISSED)$",
            lines[name],
        )
        assert figure is not None, lines[name]
        assert float(figure[1]) > 0


def test_what_is_not_a_subcommand_is_refused_with_the_list_of_them():
    done = bench("nonsense")

    assert done.returncode == 2
    assert "ingest" in done.stderr
    assert "replay" in done.stderr
    assert done.stdout == ""
