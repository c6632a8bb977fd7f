"""The lines of cron: they are what cron reads, and they record."""

import shlex
import subprocess
import sys
import time

import pytest

from recorder.cli import crontab
from recorder.store.listing import open_listing


FILE = """\
[[source]]
source = "gate_spot"
markets = ["BTC_USDT"]
streams = ["trades"]
"""
KEYS = """\
[[source]]
source = "gate_v3"
streams = ["balances"]
"""


def lines_of(text):
    """Return the lines of a crontab that are no comments: (schedule, command)."""
    jobs = [line.split(" ", 5) for line in text.splitlines() if line[0] != "#"]
    return [(" ".join(words[:5]), words[5]) for words in jobs]


def as_cron_runs(command):
    """Return what a shell gets: up to a bare %, and without the \\ before one."""
    text, is_escaped = "", False
    for character in command:
        if is_escaped and character != "%":
            text += "\\"
        if character == "%" and not is_escaped:
            return text
        is_escaped = character == "\\"
        text += "" if is_escaped else character
    return text


@pytest.fixture
def file(tmp_path):
    """Write a configuration file in a folder with an odd name."""

    def write(text, folder="plain"):
        path = tmp_path / folder / "jobs.toml"
        path.parent.mkdir()
        path.write_text(text)
        return path

    return write


def test_every_hour_a_run_takes_over_and_one_that_ended_is_started_again(
    run, file, monkeypatch
):
    monkeypatch.setattr(crontab, "offset_seconds", lambda: 0)
    path = file(FILE)

    result = run("crontab", "--config", path, "--store", path.parent / "data")

    assert result.exit_code == 0, result.stderr
    (schedule, command), (often, again) = lines_of(result.stdout)
    assert schedule == "0 * * * *"
    assert often == "* * * * *"
    words = shlex.split(command)
    end = [*crontab.program(), "capture", "--config", str(path), "--store"]
    end += [str(path.parent / "data"), "--align", "hour"]
    logged = ["--json-logs", f">>{path.with_suffix('.log')}", "2>&1"]
    assert words == [*end, "--take-over", *logged]
    assert shlex.split(again) == [*end, *logged]


@pytest.mark.parametrize(
    ("hours", "every", "schedule", "shown"),
    [
        (2, "hour", "0 * * * *", ""),
        (2, "day", "0 * * * *", '[ "$(date -u +\\%H\\%M)" = 0000 ] || exit 0; '),
        (5.5, "hour", "*/15 * * * *", '[ "$(date -u +\\%M)" = 00 ] || exit 0; '),
        (5.75, "day", "*/15 * * * *", '[ "$(date -u +\\%H\\%M)" = 0000 ] || exit 0; '),
    ],
)
def test_it_is_time_by_utc_wherever_the_machine_is(
    run, file, monkeypatch, hours, every, schedule, shown
):
    monkeypatch.setattr(crontab, "offset_seconds", lambda: int(hours * 3600))

    result = run("crontab", "--config", file(FILE), "--every", every)

    first, _ = lines_of(result.stdout)
    assert first[0] == schedule
    assert first[1].startswith(shown + shlex.join(crontab.program()))


def test_a_line_records_whatever_the_folder_is_called(run, file, venue, tmp_path):
    feed = f'ws_url = "{venue.ws_url}"\nrest_url = "{venue.rest_url}"\n'
    path = file(FILE + feed, "50% of 'my' $HOME; data")
    keys = tmp_path / "keys of 100%"
    keys.write_text("GATE_API_KEY=0123456789abcdef\n")
    result = run("crontab", "--config", path, "--env-file", keys)
    (_, first), (_, again) = lines_of(result.stdout)

    for command in (first, again):
        shell = as_cron_runs(command).replace("--align hour", "--duration 3s")
        subprocess.run(
            ["/bin/sh", "-c", shell], env={"PATH": "/usr/bin:/bin"}, cwd="/", check=True
        )

    log = path.with_suffix(".log").read_text()
    assert log.count('"event":"CaptureStarted"') == 2, log
    rows = open_listing(path.parent / "data").read("trades")
    assert rows.num_rows > 0


def test_keys_are_named_and_never_shown(run, file, monkeypatch):
    monkeypatch.setenv("GATE_API_KEY", "0123456789abcdef")
    monkeypatch.delenv("GATE_API_SECRET", raising=False)
    path = file(KEYS)

    bare = run("crontab", "--config", path)
    with_file = run("crontab", "--config", path, "--env-file", path.parent / "keys")

    for result in (bare, with_file):
        assert result.exit_code == 0, result.stderr
        assert "# It needs GATE_API_KEY, GATE_API_SECRET in its" in result.stdout
        assert "0123456789abcdef" not in result.stdout
    assert "again with --env-file FILE" in bare.stdout
    assert f"# takes from {path.parent / 'keys'}: let only you" in with_file.stdout
    assert f"set -a; . {path.parent / 'keys'}; set +a; " in with_file.stdout


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("two\nlines", "cannot hold a path with control characters"),
        ("x" * 250, "cron takes 990; use shorter paths"),
    ],
)
def test_what_cron_could_not_read_is_refused(run, file, folder, why):
    path = file(FILE, folder)
    more = ["--env-file", path, "--store", path.parent, "--log", path.parent / "log"]

    result = run("crontab", "--config", path, *more)

    assert result.exit_code == 2
    assert why in result.stderr


def test_a_file_that_cannot_be_recorded_has_no_lines(run, file):
    result = run("crontab", "--config", file("[[source]]\n"))

    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("zone", "hours"), [("UTC0", 0), ("XXX-5:30", 5.5), ("XXX4", -4)]
)
def test_the_machine_says_how_far_its_time_is_from_utc(monkeypatch, zone, hours):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert crontab.offset_seconds() == hours * 3600
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_run_of_the_day_waits_for_midnight_utc(run, file, tmp_path):
    """The condition keeps all of the command back, the keys as well."""
    path = file(FILE)
    keys = tmp_path / "keys"
    keys.write_text("touch was-read\n")
    result = run("crontab", "--config", path, "--env-file", keys, "--every", "day")
    (_, command), _ = lines_of(result.stdout)
    shell = as_cron_runs(command).replace("= 0000", "= never")

    subprocess.run(["/bin/sh", "-c", shell], cwd=tmp_path, check=True)

    assert not (tmp_path / "was-read").exists()
    assert not path.with_suffix(".log").exists()


def test_without_a_script_beside_it_python_itself_is_called(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    assert crontab.program()[:2] == [str(tmp_path / "python"), "-c"]
