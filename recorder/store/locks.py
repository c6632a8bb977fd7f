"""Locks of the operating system: they die with the process that holds them.

A lock is a flock on a file. The file's name stays when the lock is let go,
except where its holder removes it, so whoever gets a lock checks that the
file it locked is still the one that has the name.
"""

import fcntl
import os
from pathlib import Path

from recorder.store import calls, disk


class Lock:
    """A lock that is held, until `release` or the end of the process.

    Attributes:
        path: The lock file.
    """

    __slots__ = ("_handle", "path")

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    def write(self, content: bytes) -> None:
        """Leave a note for those who find the file locked.

        Raises:
            OSError: If the disk refuses.
        """
        disk.write_all(self._handle, content, 0)
        calls.cut(self._handle, len(content))

    @property
    def is_replaced(self) -> bool:
        """Whether another file has the name of the one that is locked.

        Raises:
            OSError: If that cannot be looked at.
        """
        try:
            return not os.path.samestat(self.path.stat(), os.fstat(self._handle))
        except FileNotFoundError:
            return False  # nobody holds it; the disk may be gone for a while

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock.

        Args:
            remove: Whether to remove the file first, while it is still held.

        Raises:
            OSError: If the file cannot be removed.
        """
        try:
            if remove:
                disk.remove(self.path)
        finally:
            calls.close(self._handle)

    def has_its_name(self) -> bool:
        """Return whether the file that has the name is the one that is locked.

        Raises:
            OSError: If there is none, or the disk has gone.
        """
        return os.path.samestat(self.path.stat(), os.fstat(self._handle))


def try_lock(path: Path) -> Lock | None:
    """Return the lock on a file, or None if somebody holds it.

    Args:
        path: The lock file; created if it is not there. Its folder exists.

    Raises:
        OSError: If the file cannot be created or opened.
    """
    while True:
        try:
            return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may be that somebody only looked whether it is held.
            if is_held(path):
                return None


def is_held(path: Path) -> bool:
    """Return whether somebody holds the lock on a file.

    It looks by a lock that others may share, for an instant, of which nobody
    who uses this module notices anything.

    Args:
        path: The lock file; it need not be there, and is not made.

    Raises:
        OSError: If the file cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def wait_lock(path: Path) -> Lock:
    """Return the lock on a file as soon as nobody else holds it.

    Args:
        path: The lock file; created if it is not there. Its folder exists.

    Raises:
        OSError: If the file cannot be created or opened.
    """
    return _lock(path, fcntl.LOCK_EX)


def lock_anew(path: Path) -> Lock:
    """Return the lock on a new file of this name, whoever holds that of the old.

    Whoever looks at the name sees a file that is locked, at any time.

    Args:
        path: The lock file. Its folder exists.

    Raises:
        OSError: If the disk refuses.
    """
    tmp = path.with_name(f"{path.name}.{os.getpid()}.new")
    disk.remove(tmp)
    handle = calls.open_lock(tmp, is_new=True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        calls.rename(tmp, path)
    except OSError:
        calls.close(handle)
        raise
    return Lock(path, handle)


def relock(path: Path) -> Lock | None:
    """Return the lock on a file that exists, or None if somebody holds it.

    Raises:
        OSError: If it cannot be opened.
    """
    handle = calls.open_lock(path, is_new=False)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        calls.close(handle)
        return None
    except OSError:
        calls.close(handle)
        raise
    return Lock(path, handle)


def _lock(path: Path, how: int) -> Lock:
    while True:
        handle = calls.open_lock(path, is_new=True)
        try:
            fcntl.flock(handle, how)
            # Between opening and locking, the holder may have removed the
            # file and another may have made a new one of that name.
            if os.path.samestat(path.stat(), os.fstat(handle)):
                return Lock(path, handle)
        except FileNotFoundError:
            pass
        except OSError:
            calls.close(handle)
            raise
        calls.close(handle)
