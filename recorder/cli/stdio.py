"""The standard streams of a process, such that logs never stand in its way.

Whoever reads stderr may be gone, slow or asleep, and the disk behind it may
be full: what cannot be written there is left out, and the work goes on. What
cannot be written to stdout is a result that nobody gets: that is an error,
and said in one sentence.
"""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Full, Queue
from threading import Thread
from typing import TYPE_CHECKING, Final

from recorder.errors import StoreError


if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PIECES_MAX: Final = 2_000
"""Texts that wait for a slow reader of stderr; those beyond are left out."""

DRAIN_SECONDS: Final = 2.0
"""How long the end of a command waits for a slow reader of stderr."""


class Unfailing(io.RawIOBase):
    """Bytes to a file that are left out where they cannot be written.

    Args:
        fd: Number of the open file; it stays open.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_torn = False
        self._pieces: Queue[bytes | None] | None = None

    def writable(self) -> bool:
        """Return true."""
        return True

    def fileno(self) -> int:
        """Return the number of the file."""
        return self._fd

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._fd)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of it, or what can be; return its length either way."""
        piece = bytes(data)
        if self._pieces is None:
            self._put(piece)
        elif not self._pieces.full():
            self._pieces.put(piece)
        return len(piece)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Let a thread do the writing meanwhile, so that nobody waits for it.

        At the end what still waits is written, unless that takes longer than
        `DRAIN_SECONDS`; the thread does not keep the process alive.
        """
        pieces: Queue[bytes | None] = Queue(PIECES_MAX)
        thread = Thread(target=self._put_all, args=(pieces,), daemon=True)
        thread.start()
        self._pieces = pieces
        try:
            yield
        finally:
            if _ended(thread, pieces):
                self._pieces = None

    def _put_all(self, pieces: "Queue[bytes | None]") -> None:
        while (piece := pieces.get()) is not None:
            self._put(piece)

    def _put(self, piece: bytes) -> None:
        left = memoryview(b"\n" + piece if self._is_torn else piece)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError:
                # There is no other place to tell of it.
                self._is_torn = self._is_torn or len(left) < len(piece)
                return
        self._is_torn = False


def _ended(thread: Thread, pieces: "Queue[bytes | None]") -> bool:
    """Tell a thread to end; return whether it did, which it may not soon."""
    try:
        pieces.put(None, timeout=DRAIN_SECONDS)
    except Full:
        return False
    thread.join(DRAIN_SECONDS)
    return not thread.is_alive()


class Stdout(io.FileIO):
    """Stdout, which says once what stands in its way."""

    _is_broken = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write some of it; return how many bytes.

        Raises:
            BrokenPipeError: If whoever read it is gone.
            StoreError: If it cannot be written for another reason.
        """
        if self._is_broken:
            # What is left in buffers must not fail again when the process ends.
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            self._is_broken = True
            raise
        except OSError as error:
            self._is_broken = True
            raise StoreError(
                f"cannot write to stdout: {error.strerror}; the result is not complete"
            ) from error


def install() -> None:
    """Put `Stdout` and `Unfailing` in the place of this process's streams."""
    # A file opened later must not get the number of a stream that is closed.
    while (fd := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(fd)
    out, err = sys.stdout, sys.stderr
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(Stdout(1, "w", closefd=False)),
        encoding=out.encoding if out else "utf-8",
        errors=out.errors if out else "strict",
        line_buffering=os.isatty(1),
    )
    sys.stderr = io.TextIOWrapper(
        Unfailing(2),
        encoding=err.encoding if err else "utf-8",
        errors="backslashreplace",
        write_through=True,
    )


@contextmanager
def apart() -> Iterator[None]:
    """Let nobody wait for whoever reads stderr, where it is that of a process."""
    raw = getattr(sys.stderr, "buffer", None)
    if not isinstance(raw, Unfailing):
        yield
        return
    with raw.apart():
        yield
