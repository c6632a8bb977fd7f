"""Writing files so that they are whole or absent, also after a power cut.

What an operating system call refuses becomes a `StoreError` whose sentence
says what to do; a `DiskError` if it may be granted later.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import Any, Final

from recorder.errors import DiskError, StoreError
from recorder.store import calls


_ADVICE: Final = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space or raise it",
    errno.EFBIG: "the file grew too large for this disk; use a shorter --rotate",
    errno.EACCES: "no permission; give the recorder the right to write there",
    errno.EPERM: "no permission; give the recorder the right to write there",
    errno.EROFS: "the disk is read-only; make it writable, or choose another --store",
    errno.ENOENT: "it is not there any more; mount its volume again, or put it back",
    errno.ESTALE: "it is not there any more; mount its volume again, or put it back",
    errno.ENOTDIR: "a part of that path is a file; choose another --store",
    errno.EEXIST: "a file is in the way; move it or choose another --store",
    errno.EISDIR: "a folder is in the way; move it or choose another --store",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close some",
    errno.EIO: "the disk reports an error; check it",
    errno.ENOMEM: "memory ran out; free some, and try again",
}

_PASSING: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE),
        *(errno.ENFILE, errno.ENOMEM, errno.ENOENT, errno.ESTALE, errno.EACCES),
        *(errno.EPERM, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ETIMEDOUT),
        *(errno.EHOSTDOWN, errno.ENOLCK, errno.EAGAIN, errno.EBUSY),
    }
)
"""What the machine refuses and somebody may mend while we wait."""

_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)

_BUFFER_BYTES: Final = 1 << 20


def store_error(doing: str, error: OSError) -> StoreError:
    """Return what to tell the operator about a refused system call.

    Args:
        doing: What was attempted and on which file, ``write /data/x``.
        error: What the operating system said.
    """
    known = _ADVICE.get(error.errno or 0)
    advice = known or f"{error}; check the disk and its permissions"
    kind = DiskError if error.errno in _PASSING else StoreError
    return kind(f"cannot {doing}: {advice}")


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


class NewFile(RawIOBase):
    """A new file that is written from its beginning to its end.

    Args:
        path: Where; a file that is there is emptied.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._buffer = bytearray()
        self._at = 0
        self._handle = -1
        self._handle = calls.rewrite(path)

    def writable(self) -> bool:
        """Return that it takes bytes."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._at + len(self._buffer)

    def write(self, content: Any) -> int:
        """Take bytes; they are on their way to the disk after `sync`."""
        before = len(self._buffer)
        self._buffer += content
        size = len(self._buffer) - before
        if len(self._buffer) >= _BUFFER_BYTES:
            self._pass_on()
        return size

    def sync(self) -> None:
        """Wait until all is on the disk."""
        self._pass_on()
        calls.sync(self._handle)

    def flush(self) -> None:
        """Do nothing: bytes are passed on where there are enough, and by `sync`."""

    def _pass_on(self) -> None:
        write_all(self._handle, self._buffer, self._at)
        self._at += len(self._buffer)
        self._buffer.clear()

    def close(self) -> None:
        """Let go of the file; what was not synced may be missing."""
        self._buffer.clear()
        handle, self._handle = self._handle, -1
        if handle >= 0:
            calls.close(handle)
        super().close()


def write_all(handle: int, content: bytes | bytearray, at: int) -> None:
    """Write at a place in a file, all of it."""
    done = 0
    with memoryview(content) as whole:
        while done < len(whole):
            # Let go of, whatever happens: what is looked at cannot be changed.
            with whole[done:] as left:
                written = calls.write(handle, left, at + done)
            if written == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += written


def make_folder(folder: Path, below: Path | None = None) -> None:
    """Create a folder and those above it, so that they survive a power cut.

    Args:
        folder: What is to be there.
        below: A folder above it that is never made: it is an error if it is
            not there, for then its volume has vanished. Only what lies below
            is synced, even if it is there: who made it may have been killed
            before that.

    Raises:
        FileNotFoundError: If ``below`` is not there.
    """
    if below is not None:
        path = below
        for part in folder.relative_to(below).parts:
            path /= part
            _make_one(path)
        return
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        _make_one(path)


def _make_one(path: Path) -> None:
    try:
        calls.make_folder(path)
    except FileExistsError:
        if not path.is_dir():
            raise
    calls.sync_folder(path.parent)


def remove(path: Path) -> None:
    """Take a file's name away, if it has one."""
    with suppress(FileNotFoundError):
        calls.remove(path)


def write_whole(path: Path, content: bytes) -> None:
    """Put content at a path: readers see the old file or the new one."""
    tmp = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with NewFile(tmp) as file:
            file.write(content)
            file.sync()
        calls.rename(tmp, path)
    except OSError:
        with suppress(OSError):  # the first error is told
            remove(tmp)
        raise
    calls.sync_folder(path.parent)


def publish(tmp: Path, final: Path) -> bool:
    """Give a finished file its final name, if nothing has that name yet.

    Args:
        tmp: A complete file, synced, on the same disk; gone afterwards.
        final: Where it belongs; its folder exists.

    Returns:
        False if the name was taken: then the file there is left as it is.
    """
    try:
        calls.link(tmp, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A disk without hard links. The lock of the run keeps others away
        # between the look and the renaming.
        if final.exists():
            return False
        calls.rename(tmp, final)
    finally:
        remove(tmp)
    calls.sync_folder(final.parent)
    return True
