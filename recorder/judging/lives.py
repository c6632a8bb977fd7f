"""Lives of capturing processes, of which a trial noted what a store cannot tell.

Real time is that of the exchange. The clocks of several runs of one feed may
show different times, where they run side by side and the wall clock is set;
so rows are told in real time by the clock of the run that received them. The
account of a job is kept by one run after another: by the older one, as long
as it lives.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Final, NamedTuple

from recorder.judging.shown import Shown


FOREVER: Final = (1 << 63) - 1


class Life(NamedTuple):
    """A run as it was noted.

    Attributes:
        run: Its id.
        source: What it recorded.
        shown: What its clock showed.
        settled_at: When it had the job of another, which it took over; real time,
            nanoseconds. 0 if there was no other; after its end if it never had.
    """

    run: str
    source: str
    shown: Shown
    settled_at: int = 0

    def is_beside(self, other: "Life") -> bool:
        """Return whether both lived at some time."""
        return (
            self.shown.first[0] <= other.shown.last[0]
            and other.shown.first[0] <= self.shown.last[0]
        )


class Opened(NamedTuple):
    """A connection of ours as it was noted.

    Attributes:
        real: When it was open, real time, nanoseconds.
        port: Its TCP port here.
    """

    real: int
    port: int


class Lives:
    """All runs of a store, but those that only fetch what others lost.

    Args:
        lives: The runs.
        opened: Their connections, by our names of them.
    """

    def __init__(self, lives: Iterable[Life], opened: Mapping[str, Opened]) -> None:
        self.opened = opened
        self._by_run = {life.run: life for life in lives}
        self._by_source: dict[str, list[Life]] = {}
        for life in sorted(self._by_run.values(), key=lambda life: life.shown.first):
            self._by_source.setdefault(life.source, []).append(life)

    def of(self, source: str) -> list[Life]:
        """Return the runs of a feed, in the order in which they began."""
        return self._by_source.get(source, [])

    def _keepers(self, source: str) -> list[Life]:
        """Return the runs of a feed that ever kept the account of their job."""
        return [
            life for life in self.of(source) if life.settled_at <= life.shown.last[0]
        ]

    def life_of(self, conn: str) -> Life | None:
        """Return the run of one of our connections."""
        return self._by_run.get(run_of(conn))

    def received(self, source: str, conn: str, shown: int) -> int:
        """Return the real time at which a row was received."""
        life = self.life_of(conn)
        return self.told(source, shown) if life is None else life.shown.real(shown)

    def told(self, source: str, shown: int) -> int:
        """Return the real time of an instant of which the ledger speaks.

        The end of all time is `FOREVER` in both.
        """
        if shown == FOREVER:
            return shown
        before: Life | None = None
        for life in self._keepers(source):
            first, last = life.shown.first, life.shown.last
            if shown <= last[1]:
                if shown >= first[1] or before is None:
                    return life.shown.real(shown)
                return min(before.shown.real(shown), first[0])
            if before is None or last[1] > before.shown.last[1]:
                before = life
        return shown if before is None else before.shown.real(shown)

    def bounds(self, source: str, shown: int, runs: Iterable[str]) -> tuple[int, int]:
        """Return between which real times an instant of the ledger was.

        Two runs side by side may see at different times that the wall clock is set,
        and show different times from then on. Then it is not known whose clock
        showed the instant, if both had a part in what is told of it.

        Args:
            source: The feed.
            shown: The instant.
            runs: Who had a part in it.
        """
        showed = (
            life.shown.real(shown)
            for run in runs
            if (life := self._by_run.get(run)) is not None
            and life.shown.first[1] <= shown <= life.shown.last[1]
        )
        times = [self.told(source, shown), *showed]
        return min(times), max(times)

    def read_after(self, source: str, real: int) -> int:
        """Return when a run read on that stood still at a time, the last of them.

        Returns:
            The time itself if none stood still.
        """
        lives = [life for life in self.of(source) if life.shown.first[0] <= real]
        return max((life.shown.read_after(real) for life in lives), default=real)

    def has_no_account(self, conn: str, real: int) -> bool:
        """Return whether another run kept the account of the job at a time.

        That is an older one, or one that began a little later, but not beside it.
        """
        mine = self.life_of(conn)
        if mine is None:
            return False
        return any(
            real < life.shown.last[0]
            and (
                life.shown.first[0] < mine.shown.first[0]
                or life.shown.first[0] <= real < mine.settled_at
            )
            for life in self._keepers(mine.source)
            if life is not mine
        )

    def is_followed(self, conn: str) -> bool:
        """Return whether another run had begun when that of a connection ended."""
        mine = self.life_of(conn)
        return mine is not None and any(
            mine.shown.first[0] < life.shown.first[0] < mine.shown.last[0]
            and life.shown.last[0] > mine.shown.last[0]
            for life in self.of(mine.source)
        )

    def is_held(self, conn: str, real: int) -> bool:
        """Return whether a row may be stored with a later time than it came at."""
        life = self.life_of(conn)
        return life is not None and real <= life.settled_at

    def is_twice(self, conns: Iterable[str]) -> bool:
        """Return whether what came over these connections is stored too often.

        Runs that live side by side store it both, each once.
        """
        counts = Counter(run_of(conn) for conn in conns)
        if max(counts.values(), default=0) > 1:
            return True
        lives = [life for run in counts if (life := self._by_run.get(run)) is not None]
        if len(lives) < len(counts):
            return len(counts) > 1
        return not all(one.is_beside(two) for one, two in combinations(lives, 2))


def run_of(conn: str) -> str:
    """Return the run of one of our connections."""
    return conn.rpartition(".")[0]
