"""The machine of the campaign: its wall clock, and the volume of the store.

Both are in trouble at random while captures run, are started, stopped and
killed. The clock is set for the captures alone, the volume is mounted for them.
"""

import asyncio
import errno
import mmap
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from trials.campaign_inside import OFFSET


AHEAD_MAX_NS: Final = 25_000_000_000
"""Further ahead than this the wall clock is set right again."""

BELIEVED_NS: Final = 1_000_000_000
"""Whose clock is not further off than this has its keys accepted."""

BLOCK: Final = bytes(1 << 20)


class Setting(NamedTuple):
    """The wall clock was set.

    Attributes:
        at: When, real time, nanoseconds.
        by_ns: By how much; above zero: forward.
    """

    at: int
    by_ns: int


class Wall:
    """A wall clock that can be set.

    Args:
        path: Where it says how far it is ahead of the machine's.
        rng: Decides when it is set, and by how much.

    Attributes:
        settings: How it was set.
    """

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.path = path
        self.settings: list[Setting] = []
        self._rng = rng
        self._ahead_ns = 0
        path.write_bytes(OFFSET.pack(0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), OFFSET.size)

    def set(self) -> None:
        """Set it forward or back, or right again as NTP would."""
        rng = self._rng
        if abs(self._ahead_ns) > AHEAD_MAX_NS or rng.random() < 0.4:
            by_ns = -self._ahead_ns
        elif rng.random() < 0.5:
            by_ns = round(0.3e9 * (20 / 0.3) ** rng.random())
        else:
            by_ns = -round(rng.uniform(0.3e9, 5e9))
        if by_ns:
            self._ahead_ns += by_ns
            OFFSET.pack_into(self._map, 0, self._ahead_ns)
            self.settings.append(Setting(time.time_ns(), by_ns))

    def was_off(self, since: int, until: int) -> bool:
        """Return whether it ever was so far off that venues believe no signature.

        Args:
            since: Real time, nanoseconds.
            until: Real time, nanoseconds.
        """
        ahead_ns = 0
        for setting in self.settings:
            if since <= setting.at and abs(ahead_ns) > BELIEVED_NS:
                return True
            if setting.at > until:
                return False
            ahead_ns += setting.by_ns
        return abs(ahead_ns) > BELIEVED_NS

    async def wander(self, every: tuple[float, float]) -> None:
        """Set it again and again, with so many seconds in between."""
        while True:
            await asyncio.sleep(self._rng.uniform(*every))
            self.set()


class Full(NamedTuple):
    """A time in which the volume had no room, real time, nanoseconds."""

    since: int
    until: int


class Volume:
    """A volume that fills up and is emptied again.

    Args:
        folder: Where it is mounted.
        rng: Decides when it is full, and for how long.

    Attributes:
        full: When it was full.
    """

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.full: list[Full] = []
        self._filler = folder / "filler"
        self._rng = rng
        self._since: int | None = None

    async def wander(
        self, every: tuple[float, float], lasting: tuple[float, float]
    ) -> None:
        """Fill it again and again, so many seconds apart and for so many."""
        while True:
            await asyncio.sleep(self._rng.uniform(*every))
            since = self._since = time.time_ns()
            try:
                end = asyncio.get_running_loop().time() + self._rng.uniform(*lasting)
                while asyncio.get_running_loop().time() < end:
                    # What is removed meanwhile makes room.
                    await asyncio.to_thread(self._fill)
                    await asyncio.sleep(0.2)
            finally:
                with suppress(FileNotFoundError):
                    self._filler.unlink()
                self.full.append(Full(since, time.time_ns()))
                self._since = None

    def _fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                while True:
                    try:
                        file.write(BLOCK[:size])
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break

    def was_full(self, since: int, until: int) -> bool:
        """Return whether it was full at some time between two."""
        if self._since is not None and self._since <= until:
            return True
        return any(full.since <= until and since <= full.until for full in self.full)
