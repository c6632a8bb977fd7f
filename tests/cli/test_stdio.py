"""Standard streams that cannot be written, with real processes."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows


PROGRAM = [sys.executable, "-c", "from recorder.cli import main; main()"]
LONGEST = 60


@pytest.fixture
def spawn():
    """Start a command with the given streams; it does not survive the test."""
    processes = []

    def spawn(words, **streams):
        command = [*PROGRAM, *(str(word) for word in words)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        process = subprocess.Popen(command, env=environment, **streams)
        processes.append(process)
        return process

    yield spawn
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def full():
    with Path("/dev/full").open("wb") as file:
        yield file


@pytest.fixture
def ends():
    """Both ends of a pipe that holds little: (read, write)."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield reading, writing
    for number in (reading, writing):
        try:
            os.close(number)
        except OSError:
            continue  # closed by the test


def fill(fd):
    """Write until nothing more fits: whoever writes next waits."""
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"." * 1024)
    except BlockingIOError:
        os.set_blocking(fd, True)


def assert_recorded(root):
    """A run came to its end in order: nothing is left to recover."""
    listing = open_listing(root)
    assert not list(root.glob(".recorder/journals/**/*.arrow"))
    assert not list(root.glob(".recorder/runs/*"))
    assert plain_rows(listing.read("trades"))
    reasons = {
        gap.reason
        for gap in newest_revisions(plain_rows(listing.read("gaps")))
        if gap.ended_at is None
    }
    assert reasons == {"process_stopped"}


# A log that cannot be written


def test_a_full_disk_behind_the_log_leaves_the_recording_alone(
    spawn, words, full, tmp_path
):
    process = spawn(words("--duration", "3s"), stderr=full)

    assert process.wait(LONGEST) == 0
    assert_recorded(tmp_path / "store")


def test_a_log_whose_reader_is_gone_leaves_the_recording_alone(
    spawn, words, ends, tmp_path
):
    reading, writing = ends
    process = spawn(words("--duration", "3s"), stderr=writing)
    os.close(writing)
    assert b" recording " in os.read(reading, 4096)

    os.close(reading)

    assert process.wait(LONGEST) == 0
    assert_recorded(tmp_path / "store")


def test_a_log_that_nobody_reads_leaves_the_recording_alone(
    spawn, words, ends, tmp_path
):
    _, writing = ends
    fill(writing)
    process = spawn(words("--duration", "3s"), stderr=writing)

    assert process.wait(LONGEST) == 0
    assert_recorded(tmp_path / "store")


def test_a_closed_log_leaves_the_recording_alone(spawn, words, tmp_path):
    process = spawn(words("--duration", "3s"), preexec_fn=lambda: os.close(2))

    assert process.wait(LONGEST) == 0
    assert_recorded(tmp_path / "store")


def test_a_terminal_that_hangs_leaves_the_recording_alone(spawn, words, tmp_path):
    ours, theirs = pty.openpty()
    fill(theirs)
    process = spawn(words("--duration", "3s"), stderr=theirs)
    os.close(theirs)

    assert process.wait(LONGEST) == 0
    os.close(ours)
    assert_recorded(tmp_path / "store")


def test_a_terminal_that_goes_away_leaves_the_recording_alone(spawn, words, tmp_path):
    ours, theirs = pty.openpty()
    process = spawn(words("--duration", "3s"), stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"books known" not in shown:
        shown += os.read(ours, 4096)

    os.close(ours)

    assert process.wait(LONGEST) == 0
    assert_recorded(tmp_path / "store")


def test_a_signal_ends_a_run_in_order_though_its_log_has_no_reader(
    spawn, words, ends, tmp_path
):
    reading, writing = ends
    process = spawn(words(), stderr=writing)
    os.close(writing)
    said = b""
    while b" subscribed " not in said:
        said += os.read(reading, 4096)
    os.close(reading)

    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0
    assert not list((tmp_path / "store").glob(".recorder/runs/*"))


def test_an_error_that_cannot_be_said_has_its_exit_code_even_so(spawn, full, tmp_path):
    missing = spawn(["info", "--store", tmp_path / "none"], stderr=full)
    wrong = spawn(["info", "--nonsense"], stderr=full)

    assert missing.wait(LONGEST) == 2
    assert wrong.wait(LONGEST) == 2


def test_a_torn_line_of_the_log_is_followed_by_a_whole_one(tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from recorder.cli import stdio\n"
        "stdio.install()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6, resource.RLIM_INFINITY))\n"
        "sys.stderr.write('0123456789\\n')\n"
        "sys.stderr.write('lost\\n')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))\n"
        "sys.stderr.write('whole\\n')\n"
    )

    with (tmp_path / "log").open("wb") as log:
        done = subprocess.run([sys.executable, "-c", code], stderr=log, check=False)

    assert done.returncode == 0
    assert (tmp_path / "log").read_text() == "012345\nwhole\n"


def test_a_log_that_does_not_block_is_written_in_full(ends, spawn):
    reading, writing = ends
    os.set_blocking(writing, False)
    code = (
        "import sys\nfrom recorder.cli import stdio\nstdio.install()\n"
        "sys.stderr.write('x' * 100_000)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=writing)
    os.close(writing)

    said = b""
    while piece := os.read(reading, 65_536):
        said += piece

    assert process.wait(LONGEST) == 0
    assert said == b"x" * 100_000


# A result that cannot be written


COMMANDS = {
    "sql": ["sql", "FROM trades"],
    "csv": ["sql", "FROM trades", "--format", "csv"],
    "json": ["sql", "FROM trades", "--format", "json"],
    "parquet": ["sql", "FROM trades", "--format", "parquet"],
    "arrow": ["sql", "FROM trades", "--format", "arrow"],
    "info": ["info"],
    "info json": ["info", "--format", "json"],
    "replay": ["replay"],
    "replay paced": ["replay", "--speed", "1000"],
}
WITHOUT_A_STORE = {
    "schema": ["schema"],
    "schema gaps": ["schema", "gaps"],
    "help": ["--help"],
    "help of a command": ["sql", "--help"],
    "version": ["--version"],
}


def assert_one_sentence(done, why):
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: cannot write to stdout: {why}; the result is not complete\n"
    )


@pytest.fixture
def trades(maker):
    maker.segment([maker.trade(n) for n in range(5)])
    return maker.root


def run_into(stdout, words, **how):
    return subprocess.run(
        [*PROGRAM, *(str(word) for word in words)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=LONGEST,
        **how,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_result_that_does_not_fit_on_the_disk_is_one_sentence(name, full, trades):
    done = run_into(full, [*COMMANDS[name], "--store", trades])

    assert_one_sentence(done, "No space left on device")


@pytest.mark.parametrize("name", WITHOUT_A_STORE)
def test_a_text_that_does_not_fit_on_the_disk_is_one_sentence(name, full):
    done = run_into(full, WITHOUT_A_STORE[name])

    assert_one_sentence(done, "No space left on device")


def test_a_large_result_that_does_not_fit_on_the_disk_is_one_sentence(full, maker):
    maker.segment([maker.trade(n) for n in range(20_000)])

    for format_ in ("csv", "json", "parquet", "arrow", "table"):
        words = ["sql", "FROM trades", "--format", format_, "--store", maker.root]
        done = run_into(full, words)

        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("Error: cannot write to stdout")
        assert "Traceback" not in done.stderr


def test_a_closed_stdout_is_one_sentence(trades):
    words = ["info", "--store", trades]

    done = run_into(None, words, preexec_fn=lambda: os.close(1))

    assert_one_sentence(done, "Bad file descriptor")
