"""What the captures of one process have in common."""

from recorder.capture.pool import Pool
from recorder.capture.rest import Budget, without_secrets
from recorder.source import Source


class Shared:
    """Budgets of what venues allow one address, and of memory.

    Attributes:
        pool: Memory for rows that wait for the disk.
    """

    def __init__(self) -> None:
        self.pool = Pool()
        self._connects: dict[tuple[str, str], Budget] = {}
        self._calls: dict[tuple[str, str], Budget] = {}

    def connects(self, source: Source, url: str) -> Budget:
        """Return how fast connections to a feed's host may be opened."""
        budget = Budget(source.connects_per_second, burst=1)
        return self._connects.setdefault((source.name, _host(url)), budget)

    def calls(self, source: Source, url: str) -> Budget:
        """Return how fast a feed's host may be asked by HTTP."""
        budget = Budget(source.rest_per_second)
        return self._calls.setdefault((source.name, _host(url)), budget)


def _host(url: str) -> str:
    return without_secrets(url).partition("://")[2].partition("/")[0]
