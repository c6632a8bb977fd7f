"""Asking again: how often, after which pause, and who is still to be asked."""

from typing import Final, Generic, TypeVar

from recorder.sources._times import SECOND_NS


T = TypeVar("T")

TRIES: Final = 5
"""How often one thing is asked before the venue's trouble counts as a no."""


def wait_ns(tries: int) -> int:
    """Return how long to wait after so many tries, nanoseconds.

    The first failure is answered at once, then 1, 2 and 4 seconds pass: an
    overloaded server is not helped by five requests in a row.
    """
    return 0 if tries == 1 else SECOND_NS << (tries - 2)


class Later(Generic[T]):
    """Things to do again, each not before its time.

    A dialogue looks here whenever a frame comes in, and when it is asked what
    is due.

    Attributes:
        due_ns: When the next is due, our clock, nanoseconds.
    """

    __slots__ = ("_held", "due_ns")

    _NEVER: Final = 2**63

    def __init__(self) -> None:
        self._held: list[tuple[int, T]] = []
        self.due_ns = self._NEVER

    def put(self, item: T, at_ns: int) -> None:
        """Hold an item until a time."""
        self._held.append((at_ns, item))
        self.due_ns = min(self.due_ns, at_ns)

    def take(self, now_ns: int) -> list[T]:
        """Return the items whose time has come, in the order they were put."""
        due = [item for at_ns, item in self._held if at_ns <= now_ns]
        self._held = [entry for entry in self._held if entry[0] > now_ns]
        self.due_ns = min((at_ns for at_ns, _ in self._held), default=self._NEVER)
        return due
