"""The lock of a job: who holds it, who may have it next, and how they agree.

Three files of a job lie in ``.recorder/locks``:

* ``<job>.lock`` is locked by the run of the job, and holds a note on it.
* ``<job>.next`` is locked by a start that records beside that run already and
  is to take its place.
* ``<job>.leave`` is what that start asks: a copy of the note of the run that
  it wants to leave. A run that finds its own note there, and ``<job>.next``
  locked, removes the file, which says that it was heard, and ends in order.

Locks are those of the operating system and die with their processes, so what
a dead process left stands in nobody's way, and no number of a process is
believed. A run that does not hear is not killed: its lock is replaced by
another of the same name, and it finds that out before it writes anything more.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from recorder.errors import ConfigError, JobRunningError
from recorder.store.disk import make_folder, remove, told, write_whole
from recorder.store.layout import job_lock_path, utc_text
from recorder.store.locks import Lock, is_held, lock_anew, relock, try_lock


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock file says of its holder; a job of several runs names none.

    Attributes:
        run: Id of the run.
        pid: Its process, for people.
        started_at: Our clock, nanoseconds.
        ends_at: When it is to end, nanoseconds; None if it is to go on. The
            next run of the job wants to know.
    """

    run: str | None
    pid: int
    started_at: int
    ends_at: int | None = None


class JobLock:
    """The lock of a job, held by this process.

    Args:
        root: The store's folder.
        job: Name of the job.
        lock: The lock on its file.
    """

    def __init__(self, root: Path, job: str, lock: Lock) -> None:
        self.root = root
        self.job = job
        self._lock = lock
        self._note = b""

    @property
    def stated_end(self) -> int | None:
        """When whoever left the last note was to end; None for never, or no note.

        Raises:
            OSError: If it cannot be read.
        """
        note = _decoded(self._lock.path.read_bytes())
        return None if note is None else note.ends_at

    def tell(self, run: str | None, now_ns: int, ends_at: int | None = None) -> None:
        """Leave a note for those who find the job running.

        Args:
            run: Id of the run; None for a job of several.
            now_ns: Since when, our clock, nanoseconds.
            ends_at: When it is to end, nanoseconds; None for never.

        Raises:
            OSError: If the disk refuses.
        """
        note = Note(run=run, pid=os.getpid(), started_at=now_ns, ends_at=ends_at)
        content = msgspec.json.encode(note)
        self._lock.write(content)
        self._note = content

    @property
    def has_successor(self) -> bool:
        """Whether somebody who lives gets ready to take over.

        Raises:
            OSError: If that cannot be looked at.
        """
        return is_held(next_path(self.root, self.job))

    def is_asked_to_leave(self) -> bool:
        """Return whether a successor that lives wants this run to end, once.

        It is told that it was heard.

        Raises:
            OSError: If that cannot be looked at.
        """
        path = leave_path(self.root, self.job)
        try:
            is_meant = path.read_bytes() == self._note
        except FileNotFoundError:
            return False
        if not is_meant or not self.has_successor:
            return False
        remove(path)
        return True

    @property
    def is_lost(self) -> bool:
        """Whether another has replaced this lock.

        Raises:
            OSError: If that cannot be looked at.
        """
        return self._lock.is_replaced

    @property
    def is_there(self) -> bool:
        """Whether the lock file can be seen at all."""
        return self._lock.path.exists()

    def take_again(self) -> None:
        """Take the lock anew where its volume has been mounted anew.

        Raises:
            OSError: If the disk refuses.
            JobRunningError: If somebody else has it there.
        """
        self._lock = _again(self.root, self.job, self._lock)

    def release(self) -> None:
        """Let go of the job."""
        self._lock.release()


class Successor:
    """The right to follow in a job that another holds; only one has it.

    Args:
        root: The store's folder.
        job: Name of the job.
        lock: The lock that nobody else gets meanwhile.
    """

    def __init__(self, root: Path, job: str, lock: Lock) -> None:
        self._root = root
        self._job = job
        self._lock = lock
        self._asked = b""

    @property
    def holder(self) -> Note | None:
        """What the lock file says of who holds the job; None if nothing yet.

        Raises:
            OSError: If it cannot be read.
        """
        return _decoded(self._read())

    def ask(self) -> bool:
        """Ask whoever holds the job to leave, each of them once.

        Returns:
            Whether somebody was asked now.

        Raises:
            OSError: If the disk refuses.
        """
        note = self._read()
        if note == self._asked or _decoded(note) is None:
            return False
        write_whole(leave_path(self._root, self._job), note)
        self._asked = note
        return True

    @property
    def has_asked(self) -> bool:
        """Whether anybody was asked to leave."""
        return self._asked != b""

    @property
    def is_heard(self) -> bool:
        """Whether nobody has still to hear what was asked."""
        return not leave_path(self._root, self._job).exists()

    def try_job(self) -> JobLock | None:
        """Return the lock of the job, or None if somebody still holds it.

        Raises:
            OSError: If the disk refuses.
        """
        lock = try_lock(job_lock_path(self._root, self._job))
        return None if lock is None else JobLock(self._root, self._job, lock)

    def replace_lock(self) -> JobLock:
        """Take the job from a run that does not hear.

        That run finds its lock gone before it writes anything more.

        Raises:
            OSError: If the disk refuses.
        """
        lock = lock_anew(job_lock_path(self._root, self._job))
        return JobLock(self._root, self._job, lock)

    def take_again(self) -> None:
        """Take the lock anew where its volume has been mounted anew.

        Raises:
            OSError: If the disk refuses.
            JobRunningError: If somebody else has it there.
        """
        self._lock = _again(self._root, self._job, self._lock)

    def release(self) -> None:
        """Follow no more: the job was taken, or is given up.

        Raises:
            OSError: If a file cannot be removed.
        """
        try:
            remove(leave_path(self._root, self._job))
        finally:
            self._lock.release(remove=True)

    def _read(self) -> bytes:
        try:
            return job_lock_path(self._root, self._job).read_bytes()
        except FileNotFoundError:
            return b""


def take_job(root: Path, job: str) -> JobLock:
    """Take the lock of a job.

    Args:
        root: The store's folder; created if it is not there.
        job: Name of the job; any text.

    Raises:
        ConfigError: If the store is a file.
        JobRunningError: If somebody holds the job.
        StoreError: If the store cannot be written.
    """
    lock = _try_job(root, job)
    if lock is None:
        raise JobRunningError(job, _holder(root, job))
    return lock


def take_or_follow(root: Path, job: str) -> JobLock | Successor:
    """Take the lock of a job, or else the right to follow who holds it.

    Args:
        root: The store's folder; created if it is not there.
        job: Name of the job; any text.

    Raises:
        ConfigError: If the store is a file.
        JobRunningError: If somebody holds the job and another is following.
        StoreError: If the store cannot be written.
    """
    lock = _try_job(root, job)
    if lock is not None:
        return lock
    with told(f"write to the store {root}"):
        following = try_lock(next_path(root, job))
    if following is None:
        raise JobRunningError(job, f"{_holder(root, job)}; another is taking it over")
    return Successor(root, job, following)


def tell_of_many(lock: JobLock, now_ns: int) -> None:
    """Leave the note of a job that consists of others; give it up if that fails.

    Raises:
        StoreError: If the store cannot be written.
    """
    try:
        with told(f"write to the store {lock.root}"):
            lock.tell(None, now_ns)
    except BaseException:
        lock.release()
        raise


def check_job(root: Path, job: str, *, takes_over: bool = False) -> None:
    """Check that a job can be started now; nothing is made or locked.

    Args:
        root: The store's folder.
        job: Name of the job.
        takes_over: Whether who holds it does not matter, but who follows.

    Raises:
        JobRunningError: If it cannot.
        StoreError: If a lock cannot be looked at.
    """
    path = next_path(root, job) if takes_over else job_lock_path(root, job)
    with told(f"read the store {root}"):
        if is_held(path):
            raise JobRunningError(job, _holder(root, job))


def next_path(root: Path, job: str) -> Path:
    """Return the lock file of who takes a job over next."""
    return job_lock_path(root, job).with_suffix(".next")


def leave_path(root: Path, job: str) -> Path:
    """Return the file that asks who holds a job to leave."""
    return job_lock_path(root, job).with_suffix(".leave")


def _try_job(root: Path, job: str) -> JobLock | None:
    if root.exists() and not root.is_dir():
        raise ConfigError(f"the store {root} is a file; choose another --store")
    path = job_lock_path(root, job)
    with told(f"write to the store {root}"):
        make_folder(path.parent)
        lock = try_lock(path)
    return None if lock is None else JobLock(root, job, lock)


def _again(root: Path, job: str, lock: Lock) -> Lock:
    """Return a lock on the file that has a lock's name now."""
    again = relock(lock.path)
    if again is None:
        raise JobRunningError(job, _holder(root, job))
    with suppress(OSError):  # of a volume that has gone
        lock.release()
    return again


def _holder(root: Path, job: str) -> str:
    """Return what there is to say of who holds a job."""
    try:
        note = _decoded(job_lock_path(root, job).read_bytes())
    except OSError:  # gone by now; the lock itself was looked at
        note = None
    if note is None:
        return "it is only just starting"
    since = utc_text(note.started_at)
    run = "" if note.run is None else f"run {note.run}, "
    return f"{run}process {note.pid}, since {since}"


def _decoded(content: bytes) -> Note | None:
    try:
        return msgspec.json.decode(content, type=Note)
    except msgspec.MsgspecError:
        return None
