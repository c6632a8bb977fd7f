"""One life of the recording process, as a store knows it.

A run holds two locks: that of its job, so that no job runs twice, and its
own, so that nobody converts its journals while it lives. It tells what it
has open in its run file, for whoever comes after.
"""

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from recorder.errors import ConfigError, JobRunningError, StoreError
from recorder.store.disk import (
    make_folder,
    store_error,
    sync_folder,
    told,
    write_whole,
)
from recorder.store.layout import (
    SECOND_NS,
    is_source,
    job_lock_path,
    runs_folder,
    tmp_folder,
    utc_text,
)
from recorder.store.locks import Lock, is_held, try_lock, wait_lock
from recorder.store.runfile import (
    OpenInterval,
    RunFile,
    RunState,
    encode_heartbeat,
    heartbeat_path,
    run_lock_path,
    run_path,
)


__all__ = ["OpenInterval", "Run", "RunState", "open_run"]


class _Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The note in a job's lock file; a job of several runs names none."""

    run: str | None
    pid: int
    started_at: int


class Run:
    """A run that holds its locks. Made by `open_run`.

    Attributes:
        id: ``<YYYYMMDDTHHMMSS>-<6 hex>``, the time in UTC.
        job: Name of its job.
        source: Name of its feed.
        root: The store's folder.
    """

    def __init__(
        self, root: Path, said: RunFile, job_lock: Lock, run_lock: Lock
    ) -> None:
        self.id = said.run
        self.job = said.job
        self.source = said.source
        self.root = root
        self._said = said
        self._job_lock = job_lock
        self._run_lock = run_lock
        self._is_over = False
        self._heartbeat = os.open(
            heartbeat_path(root, self.id), os.O_WRONLY | os.O_CLOEXEC
        )

    def write_state(self, state: RunState, through_ns: int | None = None) -> None:
        """Put down what is open now, so that it survives a power cut.

        Args:
            state: What is open.
            through_ns: What is open was told by rows received up to then,
                and all of them are durable; None for the newest heartbeat.

        Raises:
            StoreError: If the disk refuses.
        """
        through_ns = self._said.through_ns if through_ns is None else through_ns
        self._said = msgspec.structs.replace(
            self._said, state=state, through_ns=through_ns
        )
        path = run_path(self.root, self.id)
        with told(f"write {path}"):
            write_whole(path, msgspec.json.encode(self._said))

    def heartbeat(self, through_ns: int, heard: Sequence[int] = ()) -> None:
        """Put down that every row received up to a time is durable.

        Args:
            through_ns: Our clock, nanoseconds.
            heard: For each connection, first instant at which nothing was
                heard any more over it; never fewer than before.

        Raises:
            StoreError: If the disk refuses.
        """
        self._said = msgspec.structs.replace(self._said, through_ns=through_ns)
        with told(f"write {heartbeat_path(self.root, self.id)}"):
            os.pwrite(self._heartbeat, encode_heartbeat(through_ns, heard), 0)
            os.fdatasync(self._heartbeat)

    def release(self) -> None:
        """End cleanly: nothing is left open, the run file goes, then the locks.

        Raises:
            StoreError: If a file cannot be removed; the locks are let go.
        """
        if self._is_over:
            return
        try:
            with told(f"remove the files of run {self.id}"):
                run_path(self.root, self.id).unlink(missing_ok=True)
                heartbeat_path(self.root, self.id).unlink(missing_ok=True)
                sync_folder(runs_folder(self.root))
                run_lock_path(self.root, self.id).unlink(missing_ok=True)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let the locks go and leave the files: `recover` settles them.

        For a run that could not write all it had; to those who come after,
        it looks as if it had been killed.
        """
        if not self._is_over:
            self._is_over = True
            os.close(self._heartbeat)
            self._run_lock.release()
            self._job_lock.release()


def open_run(root: Path, *, job: str, source: str, now_ns: int) -> Run:
    """Start a run: take the lock of its job, before anything else.

    Args:
        root: The store's folder; created if it is not there.
        job: Name of the job; any text.
        source: Name of the feed.
        now_ns: Our clock, nanoseconds.

    Raises:
        ConfigError: If the store is a file.
        JobRunningError: If another run holds the job.
        StoreError: If the store cannot be written.
    """
    if not is_source(source):
        raise StoreError(f"{source!r} cannot name a source: use a-z, 0-9 and _ only")
    job_lock = _lock_job(root, job)
    try:
        return _begin(root, job, source, now_ns, job_lock)
    except OSError as error:
        job_lock.release()
        raise store_error(f"write to the store {root}", error) from error


def hold_job(root: Path, *, job: str, now_ns: int) -> Lock:
    """Take the lock of a job that consists of others, which `open_run` starts.

    Args:
        root: The store's folder; created if it is not there.
        job: Name of the job; any text.
        now_ns: Our clock, nanoseconds.

    Returns:
        The lock, to be released when all of it is over.

    Raises:
        ConfigError: If the store is a file.
        JobRunningError: If somebody holds the job.
        StoreError: If the store cannot be written.
    """
    lock = _lock_job(root, job)
    note = _Holder(run=None, pid=os.getpid(), started_at=now_ns)
    try:
        lock.write(msgspec.json.encode(note))
    except OSError as error:
        lock.release()
        raise store_error(f"write to the store {root}", error) from error
    return lock


def check_job(root: Path, job: str) -> None:
    """Check that nobody holds a job now; nothing is made or locked.

    Raises:
        JobRunningError: If somebody does.
        StoreError: If the lock cannot be looked at.
    """
    path = job_lock_path(root, job)
    with told(f"read the store {root}"):
        if is_held(path):
            raise JobRunningError(job, _read_holder(path))


def _lock_job(root: Path, job: str) -> Lock:
    if root.exists() and not root.is_dir():
        raise ConfigError(f"the store {root} is a file; choose another --store")
    path = job_lock_path(root, job)
    with told(f"write to the store {root}"):
        make_folder(path.parent)
        job_lock = try_lock(path)
    if job_lock is None:
        raise JobRunningError(job, _read_holder(path))
    return job_lock


def _begin(root: Path, job: str, source: str, now_ns: int, job_lock: Lock) -> Run:
    moment = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    said = RunFile(
        run=f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        job=job,
        source=source,
        pid=os.getpid(),
        started_at=now_ns,
        through_ns=now_ns,
    )
    job_lock.write(
        msgspec.json.encode(_Holder(run=said.run, pid=said.pid, started_at=now_ns))
    )
    make_folder(runs_folder(root))
    make_folder(tmp_folder(root))
    # Whoever recovers may hold the lock of a run that has only just made it.
    run_lock = wait_lock(run_lock_path(root, said.run))
    try:
        write_whole(heartbeat_path(root, said.run), encode_heartbeat(now_ns))
        write_whole(run_path(root, said.run), msgspec.json.encode(said))
        return Run(root, said, job_lock, run_lock)
    except OSError:
        run_lock.release()
        raise


def _read_holder(path: Path) -> str:
    try:
        holder = msgspec.json.decode(path.read_bytes(), type=_Holder)
    except (OSError, msgspec.MsgspecError):
        return "it is only just starting"
    since = utc_text(holder.started_at)
    run = "" if holder.run is None else f"run {holder.run}, "
    return f"{run}process {holder.pid}, since {since}"
