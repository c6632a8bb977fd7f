"""The run file: what a run records and what it has open, for whoever comes after.

``<run>.json`` is replaced as a whole whenever intervals open or close;
``<run>.heartbeat`` holds numbers and is overwritten at every flush: through
when rows are durable, for each connection until when it was heard, how much of
each journal is on the disk, and what a clock showed that nobody sets.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from recorder.errors import StoreError
from recorder.model import Gap
from recorder.store.disk import told
from recorder.store.layout import runs_folder
from recorder.store.locks import is_held


class OpenInterval(msgspec.Struct, frozen=True, omit_defaults=True):
    """An interval of coverage that has not ended, or is not written yet.

    Attributes:
        market: The venue's spelling; None for a stream without markets.
        stream: Canonical stream name.
        started_at: First instant covered, our clock, nanoseconds.
        ended_at: First instant after; None if it has not ended.
        closed_by: Why it ended; None if it has not.
        link: Number of its connection in ``RunFile.heard``; None if what is
            heard is not told.
    """

    market: str | None
    stream: str
    started_at: int
    ended_at: int | None = None
    closed_by: str | None = None
    link: int | None = None


class RunState(msgspec.Struct, frozen=True):
    """What is open at one instant of a run.

    Attributes:
        intervals: Coverage that has not ended or is not written yet.
        gaps: Gaps that have not ended, as their newest rows say.
        is_laid: Whether the rows are on the disk by which the account of the job
            is this run's; until then it is as the run before it left it.
    """

    intervals: tuple[OpenInterval, ...] = ()
    gaps: tuple[Gap, ...] = ()
    is_laid: bool = True


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the run file says.

    Attributes:
        run: Id of the run.
        job: Name of its job.
        source: Name of its feed.
        pid: Its process, for people; a lock says whether it lives.
        started_at: Our clock, nanoseconds.
        through_ns: Every row received up to then is durable.
        state: What was open at ``through_ns``.
        found: Books that were found wrong in rows that are durable, each as the gap
            that it begins. The ledger tells of them in a later flush.
        is_beside: Whether it only runs beside another of its job, which keeps
            the account: if it dies, nothing is missing for that. Also while it
            takes over: then rows of gaps tell whether the account is its own.
        heard: For each connection, first instant at which nothing was heard
            any more over it. Not in the file itself, but beside the heartbeat.
        synced: By the number of a journal, how much of it was on the disk,
            bytes; as ``heard``. None if no heartbeat says so.
        counted: At ``through_ns``: the number of the machine's start, and what the
            clock showed that nobody sets, nanoseconds. As ``heard``; None if no
            heartbeat says so.
        shown_until: Of a run that died: last instant that it may have shown, our
            clock, nanoseconds. None if that is not known.
    """

    run: str
    job: str
    source: str
    pid: int
    started_at: int
    through_ns: int
    state: RunState = RunState()
    found: tuple[Gap, ...] = ()
    is_beside: bool = False
    heard: tuple[int, ...] = ()
    synced: Mapping[int, int] | None = None
    counted: tuple[int, int] | None = None
    shown_until: int | None = None

    def synced_of(self, number: int) -> int | None:
        """Return how much of a journal was on the disk, bytes; None if not known."""
        return None if self.synced is None else self.synced.get(number, 0)

    def covered_until(self, interval: OpenInterval) -> int:
        """Return the first instant of which an interval cannot speak, nanoseconds.

        What was not durable at the heartbeat may be lost; and a connection
        that is not heard may be dead.
        """
        end = self.through_ns
        if interval.ended_at is not None:
            end = min(end, interval.ended_at)
        if interval.link is not None:
            told = self.heard[interval.link : interval.link + 1]
            end = min(end, *told) if told else interval.started_at
        return max(end, interval.started_at)


class Beat(NamedTuple):
    """What a run's clock showed at a heartbeat.

    Attributes:
        boot: Number of the machine's start.
        counted: What `recorder.clock.counting_ns` showed, nanoseconds.
        shown: What the run's clock showed then, nanoseconds.
    """

    boot: int
    counted: int
    shown: int


_RUN_FILE = msgspec.json.Decoder(RunFile)
_SYNCED: Final = re.compile(rb"j(\d{10}):(\d{19})")
_COUNTED: Final = re.compile(rb"c(\d{10}):(\d{19})")


def run_path(root: Path, run: str) -> Path:
    """Return the run file of a run."""
    return runs_folder(root) / f"{run}.json"


def run_lock_path(root: Path, run: str) -> Path:
    """Return the lock file of a run, held while it lives."""
    return runs_folder(root) / f"{run}.lock"


def heartbeat_path(root: Path, run: str) -> Path:
    """Return the heartbeat file of a run."""
    return runs_folder(root) / f"{run}.heartbeat"


def encode_heartbeat(
    through_ns: int,
    heard: Sequence[int] = (),
    synced: Mapping[int, int] | None = None,
    counted: tuple[int, int] | None = None,
) -> bytes:
    """Return the content of a heartbeat file.

    No line crosses the end of a disk's sector, so that a power cut leaves old
    numbers or new ones. Lines that an earlier, longer one leaves at the end
    tell of journals that are segments now.
    """
    lines = [b"%031d\n" % number for number in (through_ns, *heard)]
    if counted is not None:
        lines.append(b"c%010d:%019d\n" % counted)
    lines += [b"j%010d:%019d\n" % pair for pair in (synced or {}).items()]
    return b"".join(lines)


def read_run_file(root: Path, run: str) -> RunFile | None:
    """Return what a run's file says, its heartbeat taken in.

    Returns:
        None if there is no such file: the run ended cleanly.

    Raises:
        StoreError: If the file is not a run file, or cannot be read now.
    """
    path = run_path(root, run)
    try:
        with told(f"read {path}"):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return None
        said = _RUN_FILE.decode(content)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the run file {path} cannot be read ({error}); move it away: what was "
            "open when that run ended is then not known"
        ) from error
    # A power cut may take the newest heartbeats; the run file has one too.
    beat = _heartbeat(heartbeat_path(root, run))
    counted = beat.counted
    if counted is not None:
        older_ns = max(0, said.through_ns - beat.through_ns)
        counted = counted[0], counted[1] + older_ns
    return msgspec.structs.replace(
        said,
        through_ns=max(said.through_ns, beat.through_ns),
        heard=beat.heard,
        synced=beat.synced,
        counted=counted,
    )


def read_beat(root: Path, run: str) -> Beat | None:
    """Return what the clock of a run showed at its newest heartbeat.

    Returns:
        None if there is none, or it does not say so.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        content = heartbeat_path(root, run).read_bytes()
    except FileNotFoundError:
        return None
    beat = _said_by(content)
    return None if beat.counted is None else Beat(*beat.counted, beat.through_ns)


class _Heartbeat(NamedTuple):
    through_ns: int
    heard: tuple[int, ...]
    synced: dict[int, int] | None
    counted: tuple[int, int] | None


def _heartbeat(path: Path) -> _Heartbeat:
    """Return what a heartbeat file says; nothing of what is not there or torn."""
    content = b""
    with told(f"read {path}"), suppress(FileNotFoundError):
        content = path.read_bytes()
    return _said_by(content)


def _said_by(content: bytes) -> _Heartbeat:
    """Return what the content of a heartbeat file says."""
    synced: dict[int, int] = {}
    times = []
    counted: tuple[int, int] | None = None
    for line in content.split():
        if (clock := _COUNTED.fullmatch(line)) is not None:
            counted = counted or (int(clock[1]), int(clock[2]))
            continue
        if (found := _SYNCED.fullmatch(line)) is None:
            times.append(int(line) if line.isdigit() else 0)
            continue
        # Of two lines about a journal one is left from before: it only grows.
        number, size = int(found[1]), int(found[2])
        synced[number] = max(size, synced.get(number, 0))
    through_ns, *heard = times or [0]
    return _Heartbeat(through_ns, tuple(heard), synced or None, counted)


def read_run_files(root: Path) -> tuple[RunFile, ...]:
    """Return what all run files of a store say, oldest run first.

    Raises:
        StoreError: If one of them is not a run file.
    """
    found = (
        read_run_file(root, path.stem)
        for path in sorted(runs_folder(root).glob("*.json"))
    )
    return tuple(run for run in found if run is not None)


def living_runs(root: Path) -> tuple[RunFile, ...]:
    """Return what the run files of runs that live say, oldest run first.

    Raises:
        StoreError: If one of them is not a run file, or may not be read.
    """
    return tuple(run for run in read_run_files(root) if _is_alive(root, run))


def dead_runs(root: Path) -> tuple[RunFile, ...]:
    """Return what the run files of runs that died say, oldest run first.

    They are those that did not end in order and that nobody has recovered, nor
    is recovering now: what they missed is in no table yet.

    Raises:
        StoreError: If one of them is not a run file, or may not be read.
    """
    # A run that ends in order removes its file before it lets go of its lock.
    return tuple(
        run
        for run in read_run_files(root)
        if not _is_alive(root, run) and run_path(root, run.run).exists()
    )


def _is_alive(root: Path, run: RunFile) -> bool:
    path = run_lock_path(root, run.run)
    with told(f"look at {path}"):
        return is_held(path)
