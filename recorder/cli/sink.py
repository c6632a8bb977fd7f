"""Where results go: stdout, or a file that appears only when it is complete."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from recorder.errors import ConfigError, StoreError


@contextmanager
def open_sink(path: Path | None, *, force: bool = False) -> Iterator[BinaryIO]:
    """Open the place for a command's result.

    A file is written under a temporary name beside its own and renamed at
    the end, so nothing half-written is ever seen; if anything goes wrong it
    is removed. A pipe or a device is written as it is.

    Args:
        path: The file; None means stdout.
        force: Whether a file that exists may be replaced.

    Raises:
        ConfigError: If the file exists.
        StoreError: If it cannot be written.
    """
    if path is None:
        # What was printed as text before must come before it.
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    check_free(path, force=force)
    if is_device(path):
        with _failing_as_one(path), path.open("wb") as device:
            yield device
        return
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    with _failing_as_one(path):
        file = partial.open("xb")
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            check_free(path, force=force)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def _failing_as_one(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # who reads a pipe has seen enough
        raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def is_device(path: Path) -> bool:
    """Return whether bytes may be put there without replacing any: a pipe, a device."""
    return path.is_fifo() or path.is_char_device()


def check_free(path: Path, *, force: bool) -> None:
    """Check that a file may be written.

    Raises:
        ConfigError: If it exists and may not be replaced.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write")
    if path.exists() and not force and not is_device(path):
        raise ConfigError(f"{path} exists; choose another -o, or add --force")
