"""Every call by which a store changes the disk, one function each.

Nothing else below `recorder.store` makes such a call, and these are called
as ``calls.sync(...)``: so a trial can note what is done, in order, or refuse
any one of them. Handles are file descriptors. What the system refuses is an
`OSError`.
"""

import os
from pathlib import Path


def create(path: Path) -> int:
    """Open a new file for writing; one that exists is an error."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def rewrite(path: Path) -> int:
    """Open a file for writing, new or emptied."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)


def reopen(path: Path) -> int:
    """Open a file that exists for writing, as it is."""
    return os.open(path, os.O_WRONLY | os.O_CLOEXEC)


def open_lock(path: Path, *, is_new: bool) -> int:
    """Open a lock file; it is made if it is not there and may be new."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if is_new else 0)
    return os.open(path, flags, 0o644)


def write(handle: int, content: bytes | bytearray | memoryview, at: int) -> int:
    """Write at a place in a file; return how much was written, perhaps not all."""
    return os.pwrite(handle, content, at)


def cut(handle: int, size: int) -> None:
    """Make a file that long."""
    os.ftruncate(handle, size)


def sync(handle: int) -> None:
    """Wait until a file is on the disk."""
    os.fsync(handle)


def sync_data(handle: int) -> None:
    """Wait until the content of a file is on the disk."""
    os.fdatasync(handle)


def close(handle: int) -> None:
    """Let go of a file."""
    os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder; that above it exists."""
    path.mkdir()


def link(old: Path, new: Path) -> None:
    """Give a file one more name; a name that is taken is an error."""
    os.link(old, new)


def rename(old: Path, new: Path) -> None:
    """Give a file another name, in place of whatever has that name."""
    old.replace(new)


def remove(path: Path) -> None:
    """Take a file's name away; that it has none is an error."""
    path.unlink()


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
