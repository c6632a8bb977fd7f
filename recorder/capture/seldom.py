"""What comes again and again, told the first time and then once a minute."""

from collections.abc import Hashable
from typing import Final


MINUTE_NS: Final = 60_000_000_000

KINDS_MAX: Final = 1_000
"""Kinds that are remembered; of more, those told longest ago are forgotten."""


class Seldom:
    """Decides which of many alike are worth a line of the log."""

    def __init__(self) -> None:
        self._told: dict[Hashable, tuple[int, int]] = {}

    def count(self, kind: Hashable, at: int) -> int | None:
        """Note that something happened.

        Args:
            kind: What is alike.
            at: When, our clock, nanoseconds.

        Returns:
            How many were not told since the last one of its kind that was,
            this one included; None if this one is not to be told either.
        """
        told_at, count = self._told.get(kind, (at - MINUTE_NS, 0))
        if at - told_at < MINUTE_NS:
            self._told[kind] = (told_at, count + 1)
            return None
        self._told.pop(kind, None)
        self._told[kind] = (at, 0)
        if len(self._told) > KINDS_MAX:
            del self._told[next(iter(self._told))]
        return count + 1
