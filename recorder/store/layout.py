"""Where things lie in a store, and how files are named.

Data lies at ``<store>/<table>/source=<source>/date=<YYYY-MM-DD>/``, one
folder for each partition. Everything else lies under ``<store>/.recorder``,
where no glob for data reaches::

    .recorder/journals/<table>/source=<source>/date=<date>/<stem>.arrow
    .recorder/locks/<job>.lock         held by the run of a job
    .recorder/locks/<job>.next         held by the run that is to take over
    .recorder/locks/<job>.leave        asks the run of a job to leave
    .recorder/last/<job>.json          how its last run ended
    .recorder/locks/recovery.lock      held while dead runs are put in order
    .recorder/runs/<run>.lock          held while a run lives
    .recorder/runs/<run>.json          what it records, what is open
    .recorder/runs/<run>.heartbeat     through when its rows are durable
    .recorder/tmp/                     files on their way to a final name
    .recorder/torn/<as journals>       damaged journals, kept for people

A journal and the segment made from it have the same stem,
``<first ts_recv>_<run>_<number>``. Nothing that a venue sends takes part in
a path: sources are our own names, and markets are inside the files.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from recorder.errors import StoreError
from recorder.store.tables import TABLES


INTERNAL: Final = ".recorder"
DAY_NS: Final = 86_400_000_000_000
SECOND_NS: Final = 1_000_000_000

_SOURCE = re.compile(r"[a-z0-9_]+", re.ASCII)
_STEM = re.compile(r"(\d{19})_([0-9A-Za-z-]+)_(\d+)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)


class Partition(NamedTuple):
    """What one folder of data holds.

    Attributes:
        table: ``depth``.
        source: Name of the feed.
        date: UTC date of ``ts_recv``, ``YYYY-MM-DD``.
    """

    table: str
    source: str
    date: str

    def folder(self) -> Path:
        """Return the folder, relative to the store or to its journals."""
        if not is_source(self.source):
            raise StoreError(
                f"{self.source!r} cannot name a source: use a-z, 0-9 and _ only"
            )
        return Path(self.table, f"source={self.source}", f"date={self.date}")


class Stem(NamedTuple):
    """The name of a journal and of its segment, without the ending.

    Attributes:
        first_ts_recv: No row in it was received before, nanoseconds.
        run: Id of the run that wrote it.
        number: Counts the files of a run, from 0.
    """

    first_ts_recv: int
    run: str
    number: int

    def __str__(self) -> str:
        return f"{self.first_ts_recv:019d}_{self.run}_{self.number}"


def parse_stem(text: str) -> Stem | None:
    """Return the stem that a file name has without its ending, if it is one."""
    match = _STEM.fullmatch(text)
    if match is None:
        return None
    return Stem(int(match[1]), match[2], int(match[3]))


def is_source(text: str) -> bool:
    """Return whether a text may name a source, and so be part of a path."""
    return _SOURCE.fullmatch(text) is not None


def is_date(text: str) -> bool:
    """Return whether a text looks like the date of a partition."""
    return _DATE.fullmatch(text) is not None


def date_of(time_ns: int) -> str:
    """Return the UTC date of a time in nanoseconds since 1970."""
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).date().isoformat()


def utc_text(time_ns: int) -> str:
    """Return a time for people, to the second, with its ``Z``."""
    moment = datetime.fromtimestamp(time_ns // SECOND_NS, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def segment_path(root: Path, partition: Partition, stem: Stem) -> Path:
    """Return the final name of a segment."""
    return root / partition.folder() / f"{stem}.parquet"


def journal_path(root: Path, partition: Partition, stem: Stem) -> Path:
    """Return the name of a journal."""
    return journals_folder(root) / partition.folder() / f"{stem}.arrow"


def journals_folder(root: Path) -> Path:
    """Return the folder below which journals lie as data does below the store."""
    return root / INTERNAL / "journals"


def torn_path(root: Path, partition: Partition, stem: Stem) -> Path:
    """Return where a damaged journal is kept: no code reads it any more."""
    return root / INTERNAL / "torn" / partition.folder() / f"{stem}.arrow"


def runs_folder(root: Path) -> Path:
    """Return the folder of run files and run locks."""
    return root / INTERNAL / "runs"


def last_folder(root: Path) -> Path:
    """Return the folder of what is said of the last run of each job."""
    return root / INTERNAL / "last"


def tmp_folder(root: Path) -> Path:
    """Return the folder of files that are not yet complete."""
    return root / INTERNAL / "tmp"


def job_lock_path(root: Path, job: str) -> Path:
    """Return the lock file of a job.

    A job's name is free text: the file is named by its harmless characters,
    for people, and by a hash, so that no two jobs share a file.
    """
    readable = _UNSAFE.sub("_", job)[:48]
    digest = sha256(job.encode(errors="surrogatepass")).hexdigest()[:16]
    return root / INTERNAL / "locks" / f"{readable}-{digest}.lock"


def recovery_lock_path(root: Path) -> Path:
    """Return the lock file of who puts in order what dead runs left.

    No job's has this name: those end with a dash and a hash.
    """
    return root / INTERNAL / "locks" / "recovery.lock"


def backfill_lock_path(root: Path, source: str) -> Path:
    """Return the lock file of who stores what a feed's gaps had lost.

    Two who did so at once would store it twice. No job's has this name.
    """
    return root / INTERNAL / "locks" / f"backfill.{source}.lock"


def is_store(root: Path) -> bool:
    """Return whether a folder is a store: empty, or with something of ours in it.

    A copy may lack what is internal, and a new store the tables.
    """
    with os.scandir(root) as entries:
        names = {entry.name for entry in entries}
    ours = names.intersection([INTERNAL, *TABLES])
    return not names or any((root / name).is_dir() for name in ours)


def list_files(root: Path, ending: str) -> Iterator[tuple[Partition, Stem, Path]]:
    """Yield the files that lie below a folder as data does below a store.

    Anything that is not named as ours is passed over, and so is a folder
    that vanishes meanwhile.

    Args:
        root: The store, or its journals.
        ending: ``.parquet`` or ``.arrow``.

    Yields:
        In the order of table, source, date and name.
    """
    for table in TABLES:
        for source_name, source_path in _entries(root / table):
            source = source_name.removeprefix("source=")
            if source == source_name or not is_source(source):
                continue
            for date_name, date_path in _entries(source_path):
                date = date_name.removeprefix("date=")
                if date == date_name or not is_date(date):
                    continue
                partition = Partition(table, source, date)
                for name, path in _entries(date_path):
                    stem = parse_stem(name.removesuffix(ending))
                    if stem is not None and name.endswith(ending):
                        yield partition, stem, path


def _entries(folder: Path) -> list[tuple[str, Path]]:
    try:
        with os.scandir(folder) as entries:
            return [(name, folder / name) for name in sorted(e.name for e in entries)]
    except (FileNotFoundError, NotADirectoryError):
        return []
