"""The run file: what a run records and what it has open, for whoever comes after.

``<run>.json`` is replaced as a whole whenever intervals open or close;
``<run>.heartbeat`` holds one number and is overwritten at every flush.
"""

from pathlib import Path

import msgspec

from recorder.errors import StoreError
from recorder.model import Gap
from recorder.store.layout import runs_folder


class OpenInterval(msgspec.Struct, frozen=True):
    """An interval of coverage that has not ended.

    Attributes:
        market: The venue's spelling; None for a stream without markets.
        stream: Canonical stream name.
        started_at: First instant covered, our clock, nanoseconds.
    """

    market: str | None
    stream: str
    started_at: int


class RunState(msgspec.Struct, frozen=True):
    """What is open at one instant of a run.

    Attributes:
        intervals: Coverage that has not ended.
        gaps: Gaps that have not ended, as their newest rows say.
    """

    intervals: tuple[OpenInterval, ...] = ()
    gaps: tuple[Gap, ...] = ()


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
    """

    run: str
    job: str
    source: str
    pid: int
    started_at: int
    through_ns: int
    state: RunState = RunState()


_RUN_FILE = msgspec.json.Decoder(RunFile)


def run_path(root: Path, run: str) -> Path:
    """Return the run file of a run."""
    return runs_folder(root) / f"{run}.json"


def run_lock_path(root: Path, run: str) -> Path:
    """Return the lock file of a run, held while it lives."""
    return runs_folder(root) / f"{run}.lock"


def heartbeat_path(root: Path, run: str) -> Path:
    """Return the heartbeat file of a run."""
    return runs_folder(root) / f"{run}.heartbeat"


def encode_heartbeat(through_ns: int) -> bytes:
    """Return the content of a heartbeat file; its size never changes."""
    return b"%019d\n" % through_ns


def read_run_file(root: Path, run: str) -> RunFile | None:
    """Return what a run's file says, its heartbeat taken in.

    Returns:
        None if there is no such file: the run ended cleanly.

    Raises:
        StoreError: If the file is not a run file.
    """
    path = run_path(root, run)
    try:
        said = _RUN_FILE.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the run file {path} cannot be read ({error}); move it away: what was "
            "open when that run ended is then not known"
        ) from error
    # A power cut may take the newest heartbeats; the run file has one too.
    through_ns = max(said.through_ns, _heartbeat(heartbeat_path(root, run)))
    return msgspec.structs.replace(said, through_ns=through_ns)


def _heartbeat(path: Path) -> int:
    try:
        text = path.read_bytes().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() else 0


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
