"""What is different within a capture of the campaign.

It is the recorder, but its wall clock is ahead of the machine's by what a file
says, for no trial may set the machine's clock. What its clocks showed is
noted, and so are the ports of its connections. And every journal is large
enough to be made a segment.
"""

import mmap
import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Final

from recorder import clock
from recorder.capture import connection, run
from recorder.capture.life import Life
from recorder.clock import SystemClock
from recorder.judging.shown import Look, Noter
from recorder.store.writer import Writer
from recorder.telemetry import FEED


OFFSET: Final = struct.Struct("=q")
"""How the file says by how many nanoseconds the wall clock is ahead."""

SMALL: Final = {"small_bytes": 0}


class Notes:
    """A file of lines, each there as soon as it is written, also after a kill.

    Args:
        path: Written anew.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._handle = os.open(path, flags, 0o600)

    def write(self, *words: object) -> None:
        """Write a line."""
        os.write(self._handle, (" ".join(map(str, words)) + "\n").encode())


class NotedClock(SystemClock):
    """The recorder's clock, of which is noted what it showed."""

    notes: Notes

    def __init__(
        self,
        not_before: int = 0,
        *,
        wall: Callable[[], int] | None = None,
        counting: Callable[[], int] = clock.counting_ns,
    ) -> None:
        super().__init__(not_before, wall=wall or clock.wall_ns, counting=counting)
        self._noter = Noter(self._keep)
        self._feed = FEED.get()

    def now_ns(self) -> int:
        """Return what the recorder's clock shows."""
        shown = super().now_ns()
        is_slow = self._slow_from is not None
        self._noter.read(time.time_ns(), shown, is_slow=is_slow)
        return shown

    def _keep(self, look: Look) -> None:
        self.notes.write("look", self._feed, *map(int, look))


class NotedLife(Life):
    """A connection whose port is noted."""

    notes: Notes

    def __init__(self, socket, link, session, clock) -> None:  # type: ignore[no-untyped-def] # as its base has them
        port = (socket.get_extra_info("sockname") or ("", 0))[1]
        self.notes.write("opened", link.conn, time.time_ns(), port)
        super().__init__(socket, link, session, clock)


def main() -> None:
    """Be the recorder; the first two words are the file of the clock and the notes."""
    offset = mmap.mmap(os.open(sys.argv.pop(1), os.O_RDONLY), OFFSET.size, prot=1)
    NotedClock.notes = NotedLife.notes = Notes(Path(sys.argv.pop(1)))

    def wall_ns() -> int:
        ahead: int = OFFSET.unpack_from(offset)[0]
        return time.time_ns() + ahead

    clock.time = SimpleNamespace(**(vars(time) | {"time_ns": wall_ns}))  # type: ignore[assignment]
    defaults = SystemClock.__init__.__kwdefaults__
    if defaults is None or "wall" not in defaults:
        raise RuntimeError("the recorder's clock reads the wall clock otherwise")
    defaults["wall"] = wall_ns
    run.SystemClock = NotedClock  # type: ignore[misc]
    connection.Life = NotedLife  # type: ignore[misc]
    defaults = Writer.__init__.__kwdefaults__
    if defaults is None or not SMALL.keys() <= defaults.keys():
        raise RuntimeError("the writer converts journals otherwise")
    defaults.update(SMALL)
    from recorder.cli import main as recorder  # after the clock was replaced

    recorder()
