"""Writing files so that they are whole or absent, also after a power cut.

What an operating system call refuses becomes a `StoreError` whose sentence
says what to do.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from recorder.errors import StoreError


_ADVICE: Final = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space or raise it",
    errno.EFBIG: "the file grew too large for this disk; use a shorter --rotate",
    errno.EACCES: "no permission; give the recorder the right to write there",
    errno.EPERM: "no permission; give the recorder the right to write there",
    errno.EROFS: "the disk is read-only; choose another --store",
    errno.ENOTDIR: "a part of that path is a file; choose another --store",
    errno.EEXIST: "a file is in the way; move it or choose another --store",
    errno.EISDIR: "a folder is in the way; move it or choose another --store",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an error; check it",
    errno.ENOMEM: "memory ran out; free some, and try again",
}

_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def store_error(doing: str, error: OSError) -> StoreError:
    """Return what to tell the operator about a refused system call.

    Args:
        doing: What was attempted and on which file, ``write /data/x``.
        error: What the operating system said.
    """
    known = _ADVICE.get(error.errno or 0)
    advice = known or f"{error}; check the disk and its permissions"
    return StoreError(f"cannot {doing}: {advice}")


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn what the system refuses the body into a `StoreError`.

    That is an `OSError`, and a `MemoryError`, Arrow's own among them. Its
    sentence says what to do.
    """
    try:
        yield
    except OSError as error:
        raise store_error(doing, error) from error
    except MemoryError as error:
        raise store_error(doing, OSError(errno.ENOMEM, str(error))) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, so that they survive a power cut."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Put content at a path: readers see the old file or the new one."""
    tmp = path.with_name(f"{path.name}.{os.getpid()}.new")
    with tmp.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    tmp.replace(path)
    sync_folder(path.parent)


def publish(tmp: Path, final: Path) -> bool:
    """Give a finished file its final name, if nothing has that name yet.

    Args:
        tmp: A complete file, synced, on the same disk; gone afterwards.
        final: Where it belongs; its folder exists.

    Returns:
        False if the name was taken: then the file there is left as it is.
    """
    try:
        os.link(tmp, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A disk without hard links. The lock of the run keeps others away
        # between the look and the renaming.
        if final.exists():
            return False
        tmp.rename(final)
    finally:
        tmp.unlink(missing_ok=True)
    sync_folder(final.parent)
    return True
