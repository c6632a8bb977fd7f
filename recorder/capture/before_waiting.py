"""Doing something each time before a coroutine waits.

What a coroutine gathers between two waits nobody else has seen: all that happens
in a loop happens while something waits. So what is gathered can be worked off at
once, and still in the order in which everything came.
"""

from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar


T = TypeVar("T")


@coroutine
def before_waiting(
    work: Coroutine[Any, Any, T], do: Callable[[], None]
) -> Generator[Any, Any, T]:
    """Run a coroutine, and do something each time before it waits.

    Args:
        work: The coroutine.
        do: Called without arguments; what it raises ends the work.

    Returns:
        What the coroutine returns.
    """
    step: Callable[[Any], Any] = work.send
    given: object = None
    try:
        while True:
            try:
                awaited = step(given)
            except StopIteration as end:
                result: T = end.value
                return result
            do()
            try:
                given = yield awaited
                step = work.send
            except BaseException as error:  # noqa: BLE001 - it is the work's
                step, given = work.throw, error
    finally:
        work.close()
