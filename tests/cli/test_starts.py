"""Starts from cron: of many one records, and the others touch nothing."""

import os
import subprocess
import sys
import time

import pytest

from recorder.store.job_lock import check_job, take_or_follow
from recorder.store.listing import open_listing
from recorder.store.revisions import plain_rows
from recorder.store.run import open_run


STARTS = 10
FORK = """
import os, sys
import recorder.cli.capture  # so that no start is ahead of another by its imports
from recorder.cli import main

ready, go = os.pipe()
children = []
for number in range(int(sys.argv.pop(1))):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(ready, 1)  # until the other end is closed
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
    children.append(child)
os.close(go)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(*sorted(codes))
"""


def tree(root):
    """Return all that is in a store: names, sizes, and when each was changed."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [root, *root.rglob("*")]
    }


def test_of_ten_starts_at_once_one_records(words, tmp_path):
    words = [str(word) for word in words("--duration", "2s", "--job", "cron")]
    finished = subprocess.run(
        [sys.executable, "-c", FORK, str(STARTS), *words],
        capture_output=True,
        text=True,
        check=True,
    )

    assert finished.stdout.split() == ["0", *["75"] * (STARTS - 1)]
    assert finished.stderr.count("job 'cron' is already running") == STARTS - 1
    listing = open_listing(tmp_path / "store")
    conns = {
        row["conn"].partition(".")[0] for row in plain_rows(listing.read("trades"))
    }
    assert len(conns) == 1
    check_job(tmp_path / "store", "cron")


@pytest.mark.parametrize("is_followed", [False, True], ids=["a start", "a successor"])
def test_a_start_that_is_one_too_many_touches_nothing(
    run, words, tmp_path, is_followed
):
    root = tmp_path / "store"
    first = open_run(root, job="cron", source="gate_spot", now_ns=time.time_ns())
    more = ["--take-over"] if is_followed else []
    successor = take_or_follow(root, "cron") if is_followed else None
    before = tree(root)

    result = run(*words("--job", "cron", *more))

    assert result.exit_code == 75
    assert f"already running (run {first.id}, process {os.getpid()}" in result.stderr
    assert ("another is taking it over" in result.stderr) == is_followed
    assert tree(root) == before
    if successor is not None:
        successor.release()
    first.release()


@pytest.mark.parametrize(
    ("more", "later"), [((), 0), (("--take-over",), 60)], ids=["alone", "followed"]
)
def test_a_run_ends_with_the_hour_and_a_minute_later_if_followed(
    run, words, monkeypatch, more, later
):
    """Which `until_end` then does, as its own tests say."""
    hour = 1_709_164_800 * 10**9
    asked = []

    async def note(plan, on_progress):
        asked.append(plan.config)

    monkeypatch.setattr("recorder.cli.capture.record", note)
    monkeypatch.setattr("recorder.cli.capture.wall_ns", lambda: hour + 10**9)

    result = run(*words("--align", "hour", *more))

    assert result.exit_code == 0, result.stderr
    assert asked[0].stop_at_ns == hour + (3_600 + later) * 10**9
    assert asked[0].takes_over == bool(more)


@pytest.mark.parametrize("other", [("--duration", "1h"), ("--until", "2099-01-01")])
def test_a_run_has_one_end(run, words, other):
    result = run(*words("--align", "hour", *other))

    assert result.exit_code == 2
    assert f"{other[0]} and --align both say when to stop; give one" in result.stderr


def test_a_step_that_makes_no_day_is_refused(run, words):
    result = run(*words("--align", "7m"))

    assert result.exit_code == 2
    assert "--align 7m: give hour, day, or a length of time" in result.stderr
