"""Locks: one holder, none after a kill."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recorder.store.locks import is_held, try_lock, wait_lock


HOLD = """
import sys, time
from pathlib import Path
from recorder.store.locks import try_lock
lock = try_lock(Path(sys.argv[1]))
lock.write(b"mine")
print("held", flush=True)
time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that holds a lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock = try_lock(path)
    assert lock is not None

    assert try_lock(path) is None

    lock.release()
    again = try_lock(path)
    assert again is not None
    again.release()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    process = hold(path)
    try:
        assert try_lock(path) is None
        assert path.read_bytes() == b"mine"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

    lock = try_lock(path)
    assert lock is not None
    lock.release()


def test_a_note_replaces_a_longer_one(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "a.lock")
    assert lock is not None

    lock.write(b"a long note")
    lock.write(b"short")

    assert lock.path.read_bytes() == b"short"
    lock.release()


def test_whoever_waits_while_the_file_is_removed_locks_the_new_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.lock"
    first = try_lock(path)
    assert first is not None
    waited = []
    thread = threading.Thread(target=lambda: waited.append(wait_lock(path)))
    thread.start()
    thread.join(0.2)
    assert waited == []

    first.release(remove=True)
    thread.join()

    assert path.exists()
    assert try_lock(path) is None
    waited[0].release()


@pytest.mark.parametrize("is_made_again", [True, False])
def test_a_file_that_goes_between_opening_and_locking_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_made_again: bool
) -> None:
    path = tmp_path / "a.lock"
    real = fcntl.flock
    calls = []

    def go(handle: int, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            path.rename(tmp_path / "gone")
            if is_made_again:
                path.touch()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", go)
    lock = try_lock(path)
    monkeypatch.undo()

    assert lock is not None
    assert len(calls) == 2
    assert try_lock(path) is None
    assert try_lock(tmp_path / "gone") is not None
    lock.release()


def test_only_one_of_many_holds_a_lock_that_is_removed_and_made_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.lock"
    inside = 0
    seen = []

    def work() -> None:
        nonlocal inside
        for _ in range(50):
            lock = wait_lock(path)
            inside += 1
            seen.append(inside)
            inside -= 1
            lock.release(remove=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [1] * 200


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        try_lock(tmp_path / "nowhere" / "a.lock")


def test_a_disk_that_cannot_lock_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)

    with pytest.raises(OSError, match="No locks available"):
        try_lock(tmp_path / "a.lock")


def test_to_look_whether_a_lock_is_held_neither_makes_nor_takes_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.lock"
    assert not is_held(path)
    assert not path.exists()

    lock = try_lock(path)
    assert lock is not None
    assert is_held(path)

    lock.release()
    assert not is_held(path)
    assert path.exists()


def test_who_looks_at_a_lock_does_not_keep_it_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    flock = fcntl.flock

    def looked(handle: int, how: int) -> None:
        """Let the onlooker go as soon as it was met."""
        try:
            flock(handle, how)
        except BlockingIOError:
            flock(looking, fcntl.LOCK_UN)
            raise

    monkeypatch.setattr(fcntl, "flock", looked)
    lock = try_lock(path)
    os.close(looking)

    assert lock is not None
    lock.release()
