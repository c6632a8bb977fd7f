"""Memory that rows may take while they wait for the disk.

It is a budget of the process: the captures of several feeds share it.
"""

from typing import Final

from recorder.capture.rows import Rows


MEMORY_BYTES: Final = 384 << 20
"""What rows may take if nothing else is said."""


class Pool:
    """Lets the rows of all captures together take what those of one may.

    What is too much then is dropped by those that hold more than their part:
    a feed whose rows are few goes on as if it were alone.

    Args:
        bytes_max: What all rows may take.
    """

    def __init__(self, bytes_max: int = MEMORY_BYTES) -> None:
        self._bytes_max = bytes_max
        self._members: list[Rows] = []

    @property
    def bytes_early(self) -> int:
        """So many bytes of rows are handed over before the flush interval is over.

        While they are written, as much again may come several times.
        """
        return self._bytes_max // 8

    def join(self, rows: Rows) -> None:
        """Count the rows of one more capture."""
        self._members.append(rows)

    def load_of(self, rows: Rows) -> float:
        """Return how much too much waits, as far as a capture is to blame.

        Args:
            rows: Those of the capture.

        Returns:
            Beyond 1 it is too much for all, and the capture holds more than
            its part of it.
        """
        total = sum(member.bytes_held for member in self._members)
        return min(total, rows.bytes_held * len(self._members)) / self._bytes_max
