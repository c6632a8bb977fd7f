"""Long trials of the promise: nothing lost in silence, no book that is wrong.

  scripts/soak --minutes 6 --seed 1            all of it at once: faults, signals,
                                               a full volume, a clock that is set
  scripts/soak faults --minutes 5 --seed 1     all feeds under every fault, at random
  scripts/soak kills --count 50 --seed 1       kill -9 of a capture at random moments
  scripts/soak crons --count 10 --seed 1           runs that take over from each other
  scripts/soak handovers --count 20 --rate 2000       upgrades, one after another
  scripts/soak crashes --count 1000 --seed 1   stops between any two calls to the disk
  scripts/soak slow --seed 1           more than the disk or the processor can do
  scripts/soak disk --minutes 3 --seed 1       a volume that fills up, vanishes, ...
  scripts/soak fuzz --minutes 2 --seed 1       damaged frames of every feed, and damaged
                                               journals, so long each
  scripts/soak hostile                         servers that mean harm, one after another

The exchange runs in this process and knows the truth; the captures of the first,
of ``kills`` and of ``crons`` are real processes. The rows of ``crashes`` are made
up; the first and ``disk`` mount volumes of their own, for which one must be root
(else the first leaves that out). Exit code 0 only if everything held.
"""

import argparse
import asyncio
import logging
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from recorder.cli import logs
from recorder.counts import counted
from trials.campaign import run_campaign
from trials.crashes import run_crashes
from trials.crons import run_crons
from trials.disk import run_disk
from trials.faults import run_faults
from trials.fuzz.run import run_fuzz
from trials.handovers import FEEDS, run_handovers
from trials.hostile.run import run_hostile
from trials.kills import run_kills
from trials.slow import run_slow


TRIALS = (
    *("faults", "kills", "crons", "handovers"),
    *("crashes", "slow", "disk", "fuzz", "hostile"),
)


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=TRIALS)
    parser.add_argument(
        "--minutes",
        type=float,
        default=5.0,
        help="of all at once, faults, disk, or fuzzing of each",
    )
    parser.add_argument(
        "--only", action="append", default=[], help="of what is fuzzed, or of attacks"
    )
    parser.add_argument(
        "--without", action="append", default=[], help="leave this fault out"
    )
    parser.add_argument("--count", type=int, help="of kills, runs, upgrades or crashes")
    parser.add_argument(
        "--kill", action="store_true", help="one in every other hand-over of crons"
    )
    parser.add_argument("--rate", type=int, default=2_000, help="frames a second")
    parser.add_argument(
        "--seconds-after-notice",
        type=float,
        default=30.0,
        help="of an upgrade until the exchange closes; 0 is at once",
    )
    parser.add_argument("--feed", choices=FEEDS, default="spot", help="of upgrades")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", type=Path, help="keep the data in this new folder")
    given = parser.parse_args(arguments)
    logs.configure(json_logs=False, level=logging.ERROR)
    if given.what == "fuzz":
        return told(run_fuzz(given.minutes * 60, given.seed, given.only))
    if given.what == "crashes":
        return told(run_crashes(given.count or 1_000, given.seed))
    root = given.store or Path(tempfile.mkdtemp(prefix="soak-")) / "store"
    try:
        complaints = asyncio.run(trial_of(given, root))
    finally:
        if given.store is None:
            shutil.rmtree(root.parent)
    return told(complaints)


def trial_of(given: argparse.Namespace, root: Path) -> Coroutine[Any, Any, list[str]]:
    """Return the trial that was asked for, which records into a store."""
    if given.what is None:
        return run_campaign(root, given.minutes * 60, given.seed)
    if given.what == "faults":
        return run_faults(root, given.minutes * 60, given.seed, given.without)
    if given.what == "hostile":
        return run_hostile(root, given.only)
    if given.what == "disk":
        return run_disk(given.minutes * 60, given.seed)
    if given.what == "slow":
        return run_slow(root, given.seed)
    if given.what == "kills":
        return run_kills(root, given.count or 50, given.seed)
    if given.what == "crons":
        return run_crons(root, given.count or 10, given.seed, is_killing=given.kill)
    return run_handovers(
        root,
        given.feed,
        given.count or 20,
        given.rate,
        given.seconds_after_notice,
        given.seed,
    )


def told(complaints: Sequence[str]) -> int:
    """Say how it went; return the exit code."""
    print(
        "everything held" if not complaints else counted(len(complaints), "complaint")
    )
    return 1 if complaints else 0
