"""Log events: what becomes of files, and of what dead runs left."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


class SegmentWritten(Signal, frozen=True):
    """A segment is complete and has its final name."""

    message: ClassVar[str] = "segment written"
    counter: ClassVar[str] = "segments_written_total"
    table: str
    source: str
    rows: int
    bytes: int
    path: str


class JournalTorn(Signal, frozen=True):
    """A kill cut an append short; nothing of it was ever reported as written."""

    message: ClassVar[str] = "journal had a torn end, which was left out"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "journals_torn_total"
    path: str
    torn_bytes: int


class JournalDamaged(Signal, frozen=True):
    """A journal is no longer what was written; rows that were durable are lost."""

    message: ClassVar[str] = (
        "damaged journal, kept as it is; rows of it are missing, check the disk"
    )
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "journals_damaged_total"
    path: str
    torn_bytes: int


class RunRecovered(Signal, frozen=True):
    """What a dead run left was put in order."""

    message: ClassVar[str] = "recovered a run"
    counter: ClassVar[str] = "runs_recovered_total"
    run: str
    job: str | None
    segments: int
    was_killed: bool
    through: str | None = None


class RecoveryAwaited(Signal, frozen=True):
    """Another process puts in order what dead runs left; we wait for it."""

    message: ClassVar[str] = "waiting for a recovery that another process does"
    counter: ClassVar[str] = "recoveries_awaited_total"
    store: str


class JobLeftOpen(Signal, frozen=True):
    """A job that does not run recorded some of what this one, unnamed, begins."""

    message: ClassVar[str] = (
        "this is a new job, but a stopped job recorded some of the same before; "
        "its data ends in a gap that stays open; to continue that job instead, "
        "stop this one and start it with"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "jobs_left_open_total"
    option: str
    chains: int


class JobOverlaps(Signal, frozen=True):
    """A job that runs records some of what this one begins: its rows are doubled."""

    message: ClassVar[str] = (
        "another job is recording some of this too: rows will be stored by both; "
        "if that is not on purpose, stop it or give both the same --job"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "jobs_overlapping_total"
    job: str
    chains: int


class StoreFailed(Signal, frozen=True):
    """The disk refuses; nothing more is written."""

    message: ClassVar[str] = "cannot write"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "store_failures_total"
    why: str


class StorePaused(Signal, frozen=True):
    """The disk refuses for now: rows wait in memory, then frames are dropped."""

    message: ClassVar[str] = "cannot write, trying again; rows wait in memory"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "store_pauses_total"
    why: str


class StoreStillPaused(Signal, frozen=True):
    """The disk has refused for another minute."""

    message: ClassVar[str] = "still cannot write, trying again"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "store_pauses_told_again_total"
    why: str
    seconds: int


class StoreResumed(Signal, frozen=True):
    """The disk takes what is written again; all that waited is on it."""

    message: ClassVar[str] = "writing again; what waited in memory is stored"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "store_resumptions_total"
    seconds: float


class ConversionsDelayed(Signal, frozen=True):
    """There is no room for a segment; its journal stays readable until there is."""

    message: ClassVar[str] = (
        "cannot make Parquet for now, trying again; the rows are safe in a journal"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "conversions_delayed_total"
    why: str
    journals: int


class ConversionsDone(Signal, frozen=True):
    """The journals that had to wait are segments."""

    message: ClassVar[str] = "Parquet made of what had to wait"
    counter: ClassVar[str] = "conversions_caught_up_total"


class LastRunUntold(Signal, frozen=True):
    """How a run ended could not be put down for those who watch the jobs."""

    message: ClassVar[str] = "cannot write how this run ended"
    level: ClassVar[int] = logging.WARNING
    why: str


class HearsayUnread(Signal, frozen=True):
    """What others stored of the venue's maintenance cannot be read now."""

    message: ClassVar[str] = "cannot read what others stored of maintenance"
    level: ClassVar[int] = logging.WARNING
    why: str


class SeedUnread(Signal, frozen=True):
    """A run begins without some of what earlier ones stored: it may come again."""

    message: ClassVar[str] = "cannot read earlier rows; what is told again comes twice"
    level: ClassVar[int] = logging.WARNING
    table: str
    why: str
