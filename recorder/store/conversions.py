"""Journals that are to become segments, as soon as the disk lets them.

To make a segment takes room that an append does not. A journal whose segment
cannot be written stays as it is, readable, and is tried again later; rows go
on into the next one meanwhile.
"""

from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

from recorder.clock import monotonic_ns
from recorder.errors import DiskError
from recorder.store.journal import Journal
from recorder.store.layout import SECOND_NS, Partition, Stem
from recorder.store.segment import convert
from recorder.telemetry import ConversionsDelayed, ConversionsDone, emit


PAUSES_NS: Final = (1 * SECOND_NS, 60 * SECOND_NS)
"""First and longest time between two tries."""


class _Waiting(NamedTuple):
    partition: Partition
    stem: Stem
    synced: int


class Conversions:
    """Turns journals that take no more rows into segments.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._waiting: deque[_Waiting] = deque()
        self._pause_ns = 0
        self._next_ns = 0

    @property
    def synced(self) -> dict[int, int]:
        """By the number of each journal that waits, how much of it is durable."""
        return {waiting.stem.number: waiting.synced for waiting in self._waiting}

    def add(self, journal: Journal) -> None:
        """Take a journal to which nothing is appended any more."""
        journal.close()
        self._waiting.append(_Waiting(journal.partition, journal.stem, journal.bytes))

    def do_due(self) -> None:
        """Convert what waits, unless the disk refused not long ago.

        Raises:
            StoreError: If a journal cannot be converted, whatever the disk does.
        """
        if not self._waiting or monotonic_ns() < self._next_ns:
            return
        try:
            self.do_all()
        except DiskError as error:
            first, longest = PAUSES_NS
            if not self._pause_ns:
                emit(ConversionsDelayed(why=str(error), journals=len(self._waiting)))
            self._pause_ns = min(2 * self._pause_ns or first, longest)
            self._next_ns = monotonic_ns() + self._pause_ns

    def do_all(self) -> None:
        """Convert what waits, now.

        Raises:
            DiskError: If the disk refuses one of them; the others are done.
            StoreError: If a journal cannot be converted, whatever the disk does.
        """
        refused: DiskError | None = None
        for _ in range(len(self._waiting)):
            waiting = self._waiting[0]
            try:
                convert(self._root, *waiting[:2], synced=waiting.synced, is_living=True)
            except DiskError as error:
                refused = error
                self._waiting.rotate(-1)
            else:
                self._waiting.popleft()
        if refused is not None:
            raise refused
        if self._pause_ns:
            self._pause_ns = self._next_ns = 0
            emit(ConversionsDone())
