"""Options that subcommands share."""

import argparse
from pathlib import Path

from benchmarks import recorded_frames


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every subcommand takes."""
    parser.add_argument(
        "--quick", action="store_true", help="little of everything: a trial of the tool"
    )
    parser.add_argument(
        "--no-peers", action="store_true", help="leave out what others wrote"
    )
    parser.add_argument("--runs", type=int, help="of each kind that take turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where stores are made")
    parser.add_argument("--recordings", type=Path, default=recorded_frames.FOLDER)


def sized(given: argparse.Namespace, name: str, *, full: float, quick: float) -> float:
    """Return an option, or what it is without: more, or little if asked for."""
    value: float | None = getattr(given, name)
    return value if value is not None else quick if given.quick else full


def runs(given: argparse.Namespace, full: int = 5) -> int:
    """Return how many runs of each kind to make."""
    return int(sized(given, "runs", full=full, quick=1))
