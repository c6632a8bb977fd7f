"""Processes of a benchmark: what is measured has one of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

from benchmarks import sender


class _Contexts:
    """How processes are begun."""

    now: BaseContext = get_context("spawn")


def begin_cheaply() -> None:
    """Begin processes by a fork of one that has imported all, from now on.

    That is quick; what is measured, though, is not as fresh as a command.
    """
    _Contexts.now = get_context("forkserver")
    _Contexts.now.set_forkserver_preload(["benchmarks.capturing", "benchmarks.sender"])


@contextmanager
def serving(frames: int, markets: int, seed: int) -> Iterator[int]:
    """Run the sender of a load; give its port."""
    ours, theirs = _Contexts.now.Pipe()
    process = _Contexts.now.Process(
        target=sender.serve, args=(theirs, frames, markets, seed)
    )
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def in_process(function: Callable[..., object], *arguments: object) -> Any:
    """Return what a function returns in a fresh process.

    Raises:
        RuntimeError: If it fails there; its own words are on standard error.
    """
    ours, theirs = _Contexts.now.Pipe(duplex=False)
    process = _Contexts.now.Process(target=_answer, args=(theirs, function, *arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed in its process") from None
    finally:
        process.join()


def _answer(
    pipe: Connection, function: Callable[..., object], *arguments: object
) -> None:
    pipe.send(function(*arguments))
