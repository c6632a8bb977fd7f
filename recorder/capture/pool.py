"""Memory that the captures of one process share while the disk is slow."""

from recorder.capture.rows import Rows


class Pool:
    """Lets the rows of all captures together take what those of one may.

    What is too much then is dropped by those that hold more than their part:
    a feed whose rows are few goes on as if it were alone.
    """

    def __init__(self) -> None:
        self._members: list[Rows] = []

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
        own = rows.load
        total = sum(member.load for member in self._members)
        return min(total, own * len(self._members))
