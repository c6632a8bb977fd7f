"""One life of the recording process, as a store knows it.

A run holds two locks: that of its job, so that no job runs twice, and its
own, so that nobody converts its journals while it lives. It tells what it
has open in its run file, for whoever comes after.

A run that is to take over from another of its job is *beside* that one at
first: it has its own lock and the right to follow, and its run file says so.
What it stores meanwhile is stored, but it keeps no account of the job.
"""

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from recorder.clock import boot_number
from recorder.errors import JobLostError, JobRunningError, StoreError
from recorder.model import Gap
from recorder.store import calls
from recorder.store.disk import (
    make_folder,
    remove,
    store_error,
    told,
    write_all,
    write_whole,
)
from recorder.store.job_lock import JobLock, Successor, take_job, take_or_follow
from recorder.store.layout import SECOND_NS, is_source, runs_folder, tmp_folder
from recorder.store.locks import Lock, relock, wait_lock
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


FOUND_NS: Final = 60 * SECOND_NS
"""Within this the ledger has told of what was found wrong."""


class Run:
    """A run that holds its locks. Made by `open_run`.

    Attributes:
        id: ``<YYYYMMDDTHHMMSS>-<6 hex>``, the time in UTC.
        job: Name of its job.
        source: Name of its feed.
        root: The store's folder.
        started_at: Our clock, nanoseconds.
        job_lock: The lock of the job; None while the run is beside another.
        successor: The right to follow that other; None if there is none.
        stated_end: When the run of the job before it was to end, nanoseconds
            since 1970 UTC; None if it was to go on, or there was none.
    """

    def __init__(
        self,
        root: Path,
        said: RunFile,
        job_lock: JobLock | Successor,
        run_lock: Lock,
        stated_end: int | None = None,
        ends_at: int | None = None,
    ) -> None:
        self.id = said.run
        self.job = said.job
        self.source = said.source
        self.root = root
        self.started_at = said.started_at
        self.stated_end = stated_end
        self._ends_at = ends_at
        self._said = said
        self.job_lock = None if isinstance(job_lock, Successor) else job_lock
        self.successor = job_lock if isinstance(job_lock, Successor) else None
        self._run_lock = run_lock
        self._is_over = False
        self._heartbeat = calls.reopen(heartbeat_path(root, self.id))

    def take_over(self, job_lock: JobLock) -> None:
        """Note that the job is this run's from now on.

        The next `write_state` tells those who come after.

        Raises:
            OSError: If the disk refuses.
        """
        job_lock.tell(self.id, self.started_at, self._ends_at)
        self.job_lock = job_lock
        if self.successor is not None:
            with suppress(OSError):  # what is left of it stands in nobody's way
                self.successor.release()
            self.successor = None

    def check(self) -> None:
        """Check that the job is still this run's, before anything is written.

        Raises:
            JobLostError: If another has taken it, because this run did not
                answer for long.
        """
        if self.job_lock is None:
            return
        with told(f"look at the locks of the store {self.root}"):
            is_settled = not run_path(self.root, self.id).exists()
            # Of a disk that is gone for a while, nothing follows.
            if self.job_lock.is_lost or (is_settled and self.job_lock.is_there):
                raise JobLostError(self.job)

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
        found = (g for g in self._said.found if g.started_at + FOUND_NS > through_ns)
        self._put_down(state=state, found=tuple(found), through_ns=through_ns)

    def note_found(self, gaps: Iterable[Gap]) -> None:
        """Put down what was found wrong, before the heartbeat vouches for its rows.

        Args:
            gaps: What begins with it; of which the ledger will tell.

        Raises:
            StoreError: If the disk refuses.
        """
        self._put_down(found=(*self._said.found, *gaps))

    def _put_down(self, **changes: Any) -> None:
        self._said = msgspec.structs.replace(self._said, **changes)
        path = run_path(self.root, self.id)
        is_beside = self.job_lock is None or not self._said.state.is_laid
        said = msgspec.structs.replace(self._said, is_beside=is_beside)
        with told(f"write {path}"):
            write_whole(path, msgspec.json.encode(said))

    def heartbeat(
        self,
        through_ns: int,
        heard: Sequence[int] = (),
        synced: Mapping[int, int] | None = None,
        counted_ns: int | None = None,
    ) -> None:
        """Put down that every row received up to a time is durable.

        Args:
            through_ns: Our clock, nanoseconds.
            heard: For each connection, first instant at which nothing was
                heard any more over it; never fewer than before.
            synced: By the number of a journal, how much of it is durable.
            counted_ns: What `recorder.clock.counting_ns` showed at that time.

        Raises:
            StoreError: If the disk refuses.
        """
        boot = boot_number()
        counted = None if counted_ns is None or not boot else (boot, counted_ns)
        said = encode_heartbeat(through_ns, heard, synced, counted)
        with told(f"write {heartbeat_path(self.root, self.id)}"):
            write_all(self._heartbeat, said, 0)
            calls.sync_data(self._heartbeat)
        self._said = msgspec.structs.replace(self._said, through_ns=through_ns)

    def check_place(self) -> bool:
        """Check that the store is still where this run began.

        A volume that vanishes leaves an empty folder, or another store, under
        its name, where nothing must be written. If it comes back as another
        mount, what was open on it is dead: then it is opened anew.

        Returns:
            Whether it had to be.

        Raises:
            DiskError: If the store is not there now.
            StoreError: If somebody else has put this run in order, or
                records its job.
        """
        path = run_lock_path(self.root, self.id)
        with told(f"find the store {self.root}"):
            with suppress(OSError):
                if self._run_lock.has_its_name():
                    return False
            path.parent.stat()  # or it has gone, and may come back
        with told(f"find the store {self.root} again"):
            if not path.exists():
                self.check()
                raise StoreError(
                    f"run {self.id} has no files in the store {self.root} any more: "
                    "somebody put it in order, or removed them; start it again"
                )
            self._open_again()
        return True

    def _open_again(self) -> None:
        """Open what was open on a volume that has been mounted anew.

        Raises:
            OSError: If the disk refuses.
            JobRunningError: If somebody else has a lock of ours there.
        """
        run_lock = relock(self._run_lock.path)
        if run_lock is None:
            raise JobRunningError(self.job, f"run {self.id} is held by another process")
        try:
            heartbeat = calls.reopen(heartbeat_path(self.root, self.id))
        except OSError:
            run_lock.release()
            raise
        with suppress(OSError):  # all that was written was synced
            calls.close(self._heartbeat)
        with suppress(OSError):
            self._run_lock.release()
        self._run_lock, self._heartbeat = run_lock, heartbeat
        for lock in (self.job_lock, self.successor):
            if lock is not None:
                lock.take_again()

    def release(self) -> None:
        """End cleanly: nothing is left open, the run file goes, then the locks.

        Raises:
            StoreError: If a file cannot be removed; the locks are let go.
        """
        if self._is_over:
            return
        try:
            with told(f"remove the files of run {self.id}"):
                # Or what was on its way comes back, and nobody looks for it.
                calls.sync_folder(tmp_folder(self.root))
                remove(run_path(self.root, self.id))
                remove(heartbeat_path(self.root, self.id))
                calls.sync_folder(runs_folder(self.root))
                remove(run_lock_path(self.root, self.id))
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let the locks go and leave the files: `recover` settles them.

        For a run that could not write all it had; to those who come after,
        it looks as if it had been killed.
        """
        if not self._is_over:
            self._is_over = True
            self._let_go()

    def _let_go(self) -> None:
        locks = (self._run_lock, self.successor, self.job_lock)
        with suppress(OSError):  # all that was written was synced
            calls.close(self._heartbeat)
        for lock in locks:
            with suppress(OSError):
                if lock is not None:
                    lock.release()


def open_run(
    root: Path,
    *,
    job: str,
    source: str,
    now_ns: int,
    takes_over: bool = False,
    ends_at: int | None = None,
) -> Run:
    """Start a run: take the lock of its job, before anything else.

    Args:
        root: The store's folder; created if it is not there.
        job: Name of the job; any text.
        source: Name of the feed.
        now_ns: Our clock, nanoseconds.
        takes_over: Whether to begin beside a run that holds the job.
        ends_at: When the run is to end, nanoseconds; None if it is to go on.

    Raises:
        ConfigError: If the store is a file.
        JobRunningError: If another run holds the job, or is taking it over.
        StoreError: If the store cannot be written.
    """
    if not is_source(source):
        raise StoreError(f"{source!r} cannot name a source: use a-z, 0-9 and _ only")
    job_lock = take_or_follow(root, job) if takes_over else take_job(root, job)
    try:
        return _begin(root, job, source, now_ns, ends_at, job_lock)
    except OSError as error:
        job_lock.release()
        raise store_error(f"write to the store {root}", error) from error


def _begin(
    root: Path,
    job: str,
    source: str,
    now_ns: int,
    ends_at: int | None,
    job_lock: JobLock | Successor,
) -> Run:
    moment = datetime.fromtimestamp(now_ns // SECOND_NS, UTC)
    said = RunFile(
        run=f"{moment:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        job=job,
        source=source,
        pid=os.getpid(),
        started_at=now_ns,
        through_ns=now_ns,
        is_beside=isinstance(job_lock, Successor),
    )
    stated_end = None
    if isinstance(job_lock, JobLock):
        stated_end = job_lock.stated_end
        job_lock.tell(said.run, now_ns, ends_at)
    make_folder(runs_folder(root))
    make_folder(tmp_folder(root))
    # Whoever recovers may hold the lock of a run that has only just made it.
    run_lock = wait_lock(run_lock_path(root, said.run))
    try:
        write_whole(
            heartbeat_path(root, said.run), encode_heartbeat(now_ns, (), {0: 0})
        )
        write_whole(run_path(root, said.run), msgspec.json.encode(said))
        return Run(root, said, job_lock, run_lock, stated_end, ends_at)
    except OSError:
        run_lock.release()
        raise
