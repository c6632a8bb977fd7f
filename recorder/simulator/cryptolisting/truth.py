"""What the service really did: for tests to judge by.

Held in memory, written as JSON lines to ``cryptolisting.jsonl``, or both.
"""

from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.cryptolisting.wire import Announcement


FILE: Final = "cryptolisting.jsonl"


class Made(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """An announcement, whoever heard of it; `payload` is how it is told."""

    ts_ns: int
    news: Announcement
    payload: str


class Entered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A connection that was accepted.

    Attributes:
        ts_ns: When.
        conn: Its number, from 1.
        port: The client's TCP port; 0 if it was gone already.
    """

    ts_ns: int
    conn: int
    port: int = 0


class Pushed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A frame that was handed to a connection.

    Attributes:
        ts_ns: When, no later than it can have arrived.
        conn: Number of the connection, from 1.
        kind: ``welcome``, ``heartbeat``, ``announcement``, ...
        opcode: ``binary``, or ``text`` if a fault had it so.
        payload: The frame.
        is_whole: False if a fault spoiled it: it is no JSON.
    """

    ts_ns: int
    conn: int
    kind: str
    opcode: str
    payload: str
    is_whole: bool = True


class Turned(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A handshake that was answered with an HTTP error."""

    ts_ns: int
    status: int
    error: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A connection that the service ended; `code` is None for a dropped one."""

    ts_ns: int
    conn: int
    code: int | None
    reason: str


class Struck(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A fault that was really performed; `conn` is None outside a connection."""

    ts_ns: int
    name: str
    conn: int | None = None


TruthRow = Struck | Made | Entered | Pushed | Turned | Ended


class ListingTruth:
    """The record; a context manager if it has a folder.

    Args:
        keep: Hold rows in memory.
        folder: Where they are written to as well; made if need be.

    Attributes:
        rows: All that was noted, in order; empty unless they are held.
        observers: Are told of each row.

    Raises:
        ConfigError: If the folder cannot be written to.
    """

    def __init__(self, *, keep: bool = True, folder: Path | None = None) -> None:
        self.rows: list[TruthRow] = []
        self.observers: list[Callable[[TruthRow], None]] = []
        self._keep = keep
        self._file: IO[bytes] | None = None
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = (folder / FILE).open("wb")
            except OSError as error:
                raise ConfigError(
                    f"the truth cannot be written to {folder}: {error.strerror}"
                ) from error

    @property
    def news(self) -> list[Announcement]:
        """All announcements made, in order."""
        return [row.news for row in self.rows if isinstance(row, Made)]

    @property
    def refusals(self) -> list[tuple[int, str]]:
        """Status and error of all refused handshakes, in order."""
        return [(row.status, row.error) for row in self.rows if isinstance(row, Turned)]

    @property
    def ends(self) -> list[tuple[int | None, str]]:
        """Code and reason of all connections that the service ended, in order."""
        return [(row.code, row.reason) for row in self.rows if isinstance(row, Ended)]

    @property
    def faults(self) -> list[str]:
        """Names of all faults performed, in order."""
        return [row.name for row in self.rows if isinstance(row, Struck)]

    def pushed(self, *kinds: str) -> list[Pushed]:
        """Return the frames of some kinds, or all, in order."""
        return [
            row
            for row in self.rows
            if isinstance(row, Pushed) and (not kinds or row.kind in kinds)
        ]

    def add(self, row: TruthRow) -> None:
        """Take a row."""
        if self._keep:
            self.rows.append(row)
        if self._file is not None:
            self._file.write(msgspec.json.encode(row) + b"\n")
        for tell in self.observers:
            tell(row)

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        if self._file is not None:
            self._file.close()


def load_listing_truth(folder: Path) -> ListingTruth:
    """Return a record that was written to a folder.

    Raises:
        ConfigError: If the folder does not hold one.
    """
    decoder = msgspec.json.Decoder(TruthRow)
    truth = ListingTruth()
    try:
        lines = (folder / FILE).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(f"{folder} does not hold the truth of a simulator") from error
    for line in lines:
        if line.endswith(b"\n"):
            truth.add(decoder.decode(line))
    return truth
