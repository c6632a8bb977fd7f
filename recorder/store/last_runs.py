"""How the last run of each job ended, for whoever watches the jobs.

A file for each job, ``.recorder/last/<job>.json``, is replaced as a whole when
a run ends, and when a run that was killed is put in order. It is for people
and their monitoring; nothing in the recorder depends on it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from recorder import __version__
from recorder.errors import StoreError
from recorder.store.disk import make_folder, told, write_whole
from recorder.store.layout import INTERNAL, job_lock_path, last_folder
from recorder.store.runfile import RunFile
from recorder.times import show_time


_PLAIN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", re.ASCII)


class LastRun(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended.

    Attributes:
        job: Name of the job.
        run: Id of the run.
        source: Name of the feed.
        state: ``ended``: as it was told to. ``failed``: by itself, or without
            some of what it was asked for. ``killed``: without a word; it is not
            known what it stored.
        exit_code: What its process ends with if it records nothing else; null
            if it was killed.
        failure: One sentence on what went wrong; null if nothing did.
        started_at: UTC, ISO-8601.
        ended_at: UTC, ISO-8601; of a run that was killed, when it was last alive.
        rows: Rows that it stored, by table; null if it was killed.
        gaps: Gaps that it noted, by reason; null if it was killed.
        chains: How many streams of a market it was asked for.
        refused: What of that the venue refused, each with its words.
        books: How many order books it kept.
        books_known: How many of them were known at its end.
        version: Of the recorder.
    """

    job: str
    run: str
    source: str
    state: Literal["ended", "failed", "killed"]
    exit_code: int | None
    failure: str | None
    started_at: str
    ended_at: str
    rows: Mapping[str, int] | None = None
    gaps: Mapping[str, int] | None = None
    chains: int | None = None
    refused: tuple[str, ...] = ()
    books: int | None = None
    books_known: int | None = None
    version: str = __version__


def last_path(root: Path, job: str) -> Path:
    """Return the file of a job: by its name, if that is fit for a file.

    Else as its lock is named, by its harmless characters and a hash.
    """
    stem = job if _PLAIN.fullmatch(job) else job_lock_path(root, job).stem
    return last_folder(root) / f"{stem}.json"


def write_last(root: Path, last: LastRun) -> None:
    """Put down how a run ended, in the place of the one before.

    Raises:
        StoreError: If the disk refuses.
    """
    path = last_path(root, last.job)
    with told(f"write {path}"):
        # Where its volume has vanished, nothing is put in its place.
        make_folder(path.parent, below=root / INTERNAL)
        encoded = msgspec.json.format(msgspec.json.encode(last), indent=2)
        write_whole(path, encoded + b"\n")


def note_killed(root: Path, said: RunFile) -> None:
    """Put down that a run was killed, unless a later one of its job has ended.

    Raises:
        StoreError: If the disk refuses.
    """
    last = _read(last_path(root, said.job))
    started_at = show_time(said.started_at)
    if last is not None and last.started_at > started_at:
        return
    alive_at = show_time(said.through_ns)
    write_last(
        root,
        LastRun(
            job=said.job,
            run=said.run,
            source=said.source,
            state="killed",
            exit_code=None,
            failure=f"it ended without stopping, last alive at {alive_at}",
            started_at=started_at,
            ended_at=alive_at,
        ),
    )


def read_last_runs(root: Path) -> tuple[LastRun, ...]:
    """Return how the last run of each job ended, by job.

    Raises:
        StoreError: If a file cannot be read.
    """
    with told(f"read the store {root}"):
        paths = sorted(last_folder(root).glob("*.json"))
        found = [last for path in paths if (last := _read(path)) is not None]
    return tuple(sorted(found, key=lambda last: last.job))


def _read(path: Path) -> LastRun | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=LastRun)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"{path} says nothing that can be understood ({error}); move it away: it "
            "tells only how a run ended"
        ) from error
