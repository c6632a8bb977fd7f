"""Every call by which a store changes the disk, noted in its order.

While a log is `noting`, the calls of `recorder.store.calls` are done and
written down, one at a time. Any one of them can be refused: a write then
leaves half of its bytes, a sync leaves its bytes in doubt for ever, for the
system may forget them and say so only once.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from recorder.store import calls


NAMES: Final = (
    *("create", "rewrite", "reopen", "open_lock", "write", "cut", "sync"),
    *("sync_data", "close", "make_folder", "link", "rename", "remove"),
    "sync_folder",
)
CHANGES: Final = frozenset(NAMES) - {"close", "reopen"}
"""Calls that change the disk, or make changes last."""


class Call(NamedTuple):
    """A call that was done, or what a refused one left behind.

    Attributes:
        name: Of the function in `recorder.store.calls`; ``doubt`` for a sync
            that was refused, ``durable`` for what the writer reported.
        values: What it was given; bytes that were written are a copy.
        gave: What it returned.
    """

    name: str
    values: tuple[Any, ...]
    gave: Any = None


class Refusal(NamedTuple):
    """Which call of the writer is refused, and how.

    Attributes:
        number: How many of its calls that change the disk are done before.
        code: What the system says, of `errno`.
    """

    number: int
    code: int


class DiskLog:
    """Calls in the order in which they were done.

    Args:
        refusal: What is refused, once; None for nothing.

    Attributes:
        calls: Everything that was done.
        refused: Name of the call that was refused; None if there were too few.
    """

    def __init__(self, refusal: Refusal | None = None) -> None:
        self.calls: list[Call] = []
        self.refused: str | None = None
        self._refusal = refusal
        self._by_writer = 0
        self._lock = threading.Lock()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note all calls meanwhile."""
        real = {name: getattr(calls, name) for name in NAMES}
        for name, function in real.items():
            setattr(calls, name, partial(self._call, name, function))
        try:
            yield
        finally:
            for name, function in real.items():
                setattr(calls, name, function)

    def mark(self, name: str, value: int) -> None:
        """Note something that is no call."""
        with self._lock:
            self.calls.append(Call(name, (value,)))

    def _call(
        self, name: str, real: Callable[..., Any], *given: Any, **more: Any
    ) -> Any:
        with self._lock:
            values = tuple(bytes(v) if isinstance(v, memoryview) else v for v in given)
            if self._is_refused(name):
                self._refuse(name, values, real)
            gave = real(*given, **more)
            if name == "write":  # some of it, perhaps
                values = (values[0], values[1][:gave], values[2])
            self.calls.append(Call(name, values, gave))
            return gave

    def _is_refused(self, name: str) -> bool:
        if name not in CHANGES or threading.current_thread().name != "writer":
            return False
        self._by_writer += 1
        is_it = self._refusal and self._by_writer == self._refusal.number + 1
        return bool(is_it)

    def _refuse(
        self, name: str, values: tuple[Any, ...], real: Callable[..., Any]
    ) -> None:
        """Do of a call what a disk does that refuses it."""
        if self._refusal is None:
            return
        self.refused = name
        if name == "write":
            handle, content, at = values
            part = content[: len(content) // 2]
            real(handle, part, at)
            self.calls.append(Call(name, (handle, part, at), len(part)))
        elif name in ("sync", "sync_data"):
            self.calls.append(Call("doubt", values))
        code = self._refusal.code
        raise OSError(code, os.strerror(code))


def relative(path: Path, root: Path) -> tuple[str, ...]:
    """Return the names on the way from a folder to what lies below it."""
    return path.relative_to(root).parts
