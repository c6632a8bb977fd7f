"""A run holds its job; who comes second is told by whom and since when."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.errors import ConfigError, JobRunningError, StoreError
from recorder.store.job_lock import check_job, take_job, tell_of_many
from recorder.store.layout import job_lock_path, runs_folder
from recorder.store.locks import try_lock
from recorder.store.recover import recover
from recorder.store.run import OpenInterval, Run, RunState, open_run
from recorder.store.runfile import read_run_file, run_lock_path


STATE = RunState((OpenInterval("A", "trades", 5),))
START = """
import sys, time
from pathlib import Path
from recorder.store.run import open_run
run = open_run(Path(sys.argv[1]), job=sys.argv[2], source="gate_spot", now_ns=10**18)
print(run.id, flush=True)
time.sleep(60)
"""


def test_a_run_is_named_by_its_start_and_makes_its_store(
    root: Path, start_ns: int
) -> None:
    run = open_run(root, job="job", source="gate_spot", now_ns=start_ns)

    assert re.fullmatch(r"20231114T221320-[0-9a-f]{6}", run.id)
    assert (run.job, run.source, run.root) == ("job", "gate_spot", root)
    said = read_run_file(root, run.id)
    assert said is not None
    assert (said.job, said.pid, said.started_at) == ("job", os.getpid(), start_ns)
    assert (said.through_ns, said.state) == (start_ns, RunState())
    run.release()


def test_a_second_run_of_a_job_is_refused_and_told_who_holds_it(
    run: Run, root: Path, start_ns: int
) -> None:
    before = sorted(root.rglob("*"))

    with pytest.raises(JobRunningError) as caught:
        open_run(root, job="job", source="gate_spot", now_ns=start_ns + 1)

    assert caught.value.job == "job"
    assert caught.value.holder == (
        f"run {run.id}, process {os.getpid()}, since 2023-11-14T22:13:20Z"
    )
    assert sorted(root.rglob("*")) == before


def test_a_job_of_several_runs_is_held_like_any_other(
    root: Path, start_ns: int
) -> None:
    check_job(root, "all")
    lock = take_job(root, "all")
    tell_of_many(lock, start_ns)
    holder = f"process {os.getpid()}, since 2023-11-14T22:13:20Z"

    for second in (
        lambda: take_job(root, "all"),
        lambda: open_run(root, job="all", source="gate_spot", now_ns=start_ns + 1),
        lambda: check_job(root, "all"),
    ):
        with pytest.raises(JobRunningError) as caught:
            second()
        assert (caught.value.job, caught.value.holder) == ("all", holder)

    open_run(root, job="all.one", source="gate_spot", now_ns=start_ns).release()
    lock.release()
    check_job(root, "all")
    take_job(root, "all").release()


def test_to_look_whether_a_job_runs_makes_nothing(root: Path) -> None:
    check_job(root / "new", "all")

    assert not (root / "new").exists()


def test_two_jobs_may_record_the_same_source(
    run: Run, root: Path, start_ns: int
) -> None:
    other = open_run(root, job="other", source="gate_spot", now_ns=start_ns)

    assert other.id != run.id
    other.release()


def test_a_job_that_is_only_just_starting_has_no_name_yet(
    root: Path, start_ns: int
) -> None:
    path = job_lock_path(root, "job")
    path.parent.mkdir(parents=True)
    lock = try_lock(path)
    assert lock is not None

    with pytest.raises(JobRunningError, match="only just starting"):
        open_run(root, job="job", source="gate_spot", now_ns=start_ns)

    lock.release()


def test_a_killed_run_holds_nothing(root: Path, start_ns: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(root), "job"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    name = process.stdout.readline().decode().strip()
    with pytest.raises(JobRunningError, match=f"run {name}, process {process.pid}"):
        open_run(root, job="job", source="gate_spot", now_ns=start_ns)
    assert try_lock(run_lock_path(root, name)) is None

    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    run = open_run(root, job="job", source="gate_spot", now_ns=start_ns)
    dead = try_lock(run_lock_path(root, name))
    assert dead is not None
    assert read_run_file(root, name) is not None
    dead.release()
    run.release()


def test_state_and_heartbeat_are_put_down(run: Run, root: Path, start_ns: int) -> None:
    run.heartbeat(start_ns + 5)
    said = read_run_file(root, run.id)
    assert said is not None
    assert (said.through_ns, said.state) == (start_ns + 5, RunState())

    run.write_state(STATE)
    said = read_run_file(root, run.id)
    assert said is not None
    assert (said.through_ns, said.state) == (start_ns + 5, STATE)

    run.write_state(RunState(), start_ns + 9)
    said = read_run_file(root, run.id)
    assert said is not None
    assert (said.through_ns, said.state) == (start_ns + 9, RunState())


def test_a_clean_end_leaves_no_trace_of_the_run(run: Run, root: Path) -> None:
    run.write_state(STATE)

    run.release()
    run.release()

    assert list(runs_folder(root).iterdir()) == []
    again = open_run(root, job="job", source="gate_spot", now_ns=1)
    again.release()


def test_an_abandoned_run_leaves_its_files_to_recover(
    run: Run, root: Path, start_ns: int
) -> None:
    run.write_state(STATE)

    run.abandon()

    said = read_run_file(root, run.id)
    assert said is not None
    assert said.state == STATE
    again = open_run(root, job="job", source="gate_spot", now_ns=start_ns)
    again.release()


def test_a_store_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    with pytest.raises(ConfigError, match="is a file"):
        open_run(path, job="job", source="gate_spot", now_ns=1)
    with pytest.raises(StoreError, match="a file is in the way"):
        open_run(path / "below", job="job", source="gate_spot", now_ns=1)


def test_a_source_that_could_be_a_path_is_refused(root: Path) -> None:
    with pytest.raises(StoreError, match="cannot name a source"):
        open_run(root, job="job", source="../x", now_ns=1)

    assert not root.exists()


def test_a_store_that_cannot_be_written_is_refused_and_the_job_is_free(
    root: Path, monkeypatch: pytest.MonkeyPatch, start_ns: int
) -> None:
    def refuse(*_args: object) -> None:
        raise PermissionError(13, "denied")

    with monkeypatch.context() as patch:
        patch.setattr("recorder.store.run.write_whole", refuse)
        with pytest.raises(StoreError, match="no permission"):
            open_run(root, job="job", source="gate_spot", now_ns=start_ns)

    assert recover(root) == ()
    assert list(runs_folder(root).iterdir()) == []
    open_run(root, job="job", source="gate_spot", now_ns=start_ns).release()


def test_a_disk_that_refuses_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recorder.store.run.write_whole", refuse)
    with pytest.raises(StoreError, match="the disk is full"):
        run.write_state(STATE)
    monkeypatch.setattr("recorder.store.calls.write", refuse)
    with pytest.raises(StoreError, match="the disk is full"):
        run.heartbeat(5)
    monkeypatch.setattr("recorder.store.calls.sync_folder", refuse)
    with pytest.raises(StoreError, match="the disk is full"):
        run.release()


def test_a_run_knows_when_the_one_before_was_to_end(root: Path, start_ns: int) -> None:
    ends = [start_ns + 5, None, None]
    known = []
    for number, ends_at in enumerate(ends):
        now_ns = start_ns + number
        run = open_run(root, job="job", source="fake", now_ns=now_ns, ends_at=ends_at)
        known.append(run.stated_end)
        run.release()

    assert known == [None, start_ns + 5, None]
