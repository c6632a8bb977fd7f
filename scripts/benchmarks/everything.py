"""`scripts/bench all`: P1 to P9 in one run, one table, and the report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from benchmarks import bars, commands
from benchmarks.peers import PEERS
from benchmarks.report import Figure, Findings, WrongAnswerError, figures, machine


REPORT = Path(__file__).resolve().parents[1] / "bench-report.md"


def main(argv: Sequence[str]) -> int:
    """Measure everything and print it; return the exit code.

    The code is 1 if something was not what it must be, or failed; figures that
    miss their bar are told, and no error.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/bench all",
        description="Measure P1 to P9 and print one table of them. Options of the "
        "subcommands may be given, too: each takes those that it knows.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--report",
        nargs="?",
        type=Path,
        const=REPORT,
        metavar="FILE",
        help=f"write the report, {REPORT.name} if no file is named",
    )
    parser.add_argument(
        "--only", nargs="+", choices=_names(), help="leave out the other subcommands"
    )
    given, rest = parser.parse_known_args(argv)
    names = given.only or _names()
    asked = commands.parsed_of(names, rest)
    began = monotonic()
    about = f"{machine()}; peers {_peers(rest)}"
    print(about, flush=True)
    parts: dict[str, Findings] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            parts[name] = commands.run(name, asked[name])
        except (WrongAnswerError, RuntimeError) as error:
            failed[name] = str(error)
            print(f"{name} was not measured: {error}", file=sys.stderr)
            continue
        print(f"\n== {name}\n\n{parts[name].text()}", flush=True)
    summary = figures(_all_figures(parts, failed))
    print(f"\n== all, {(monotonic() - began) / 60:.0f} minutes\n\n{summary}")
    if given.report:
        given.report.write_text(_report(about, rest, summary, parts, failed))
    return 1 if failed else 0


def _names() -> list[str]:
    return [name for name in commands.COMMANDS if name != "all"]


def _peers(rest: Sequence[str]) -> str:
    return "left out" if "--no-peers" in rest else ", ".join(PEERS.values())


def _all_figures(parts: dict[str, Findings], failed: dict[str, str]) -> list[Figure]:
    """Return a figure for each bar, measured or not."""
    measured = {
        figure.bar.name: figure for found in parts.values() for figure in found.figures
    }
    why = "; ".join(f"{name} failed" for name in failed) or "not asked for"
    return [measured.get(bar.name, Figure(bar, None, why)) for bar in bars.ALL]


def _report(
    about: str,
    rest: Sequence[str],
    summary: str,
    parts: dict[str, Findings],
    failed: dict[str, str],
) -> str:
    """Return the report as Markdown."""
    lines = [
        "# What the recorder costs",
        "",
        f"Written by `{' '.join(['scripts/bench all --report', *rest])}`.",
        "CPU time unless something else is said; medians of runs that took turns.",
        "In brackets stand the least and the most.",
        f"Measured on {about}.",
        "",
        *_fenced(summary),
    ]
    for name, found in parts.items():
        lines += ["", f"## {name}", "", f"{commands.COMMANDS[name]}.", ""]
        lines += _fenced(found._replace(figures=[]).text())
    for name, why in failed.items():
        lines += ["", f"## {name}", "", f"Was not measured: {why}"]
    return "\n".join(lines) + "\n"


def _fenced(text: str) -> list[str]:
    return ["```", text, "```"]
