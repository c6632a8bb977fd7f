"""Every log event and counter, each name written once.

A subclass of `Signal` is one kind of event: its class says the log message,
the level and the counter that it moves; its fields are the facts. Call sites
only `emit`. Logs go to the logger ``recorder``, one line an event.
"""

import logging
from collections import Counter
from typing import ClassVar

import msgspec


LOGGER = logging.getLogger("recorder")

COUNTERS: Counter[str] = Counter()
"""How often each kind of event was emitted in this process, by counter name."""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all log events; the fields of a subclass are its facts."""

    message: ClassVar[str] = ""
    level: ClassVar[int] = logging.INFO
    counter: ClassVar[str] = ""

    def facts(self) -> dict[str, object]:
        """Return the fields that are set, by name."""
        facts = msgspec.structs.asdict(self)
        return {name: value for name, value in facts.items() if value is not None}


def emit(signal: Signal) -> None:
    """Log an event and move its counter."""
    if signal.counter:
        COUNTERS[signal.counter] += 1
    if LOGGER.isEnabledFor(signal.level):
        LOGGER.log(signal.level, signal.message, extra={"signal": signal})


class ConnectionOpened(Signal, frozen=True):
    """A WebSocket is open."""

    message: ClassVar[str] = "connected"
    counter: ClassVar[str] = "connections_opened_total"
    conn: str
    url: str


class ConnectionClosed(Signal, frozen=True):
    """A WebSocket is gone."""

    message: ClassVar[str] = "connection closed"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "connections_closed_total"
    conn: str
    code: int | None
    reason: str | None
    frames: int


class ConnectionEnded(Signal, frozen=True):
    """A WebSocket was closed by us."""

    message: ClassVar[str] = "connection closed by us"
    counter: ClassVar[str] = "connections_ended_total"
    conn: str
    code: int | None
    reason: str | None
    frames: int


class ConnectionFailed(Signal, frozen=True):
    """A WebSocket could not be opened, or is to be opened again."""

    message: ClassVar[str] = "will connect again"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "reconnects_total"
    url: str
    why: str
    retry_in_seconds: float


class ChainsSubscribed(Signal, frozen=True):
    """The venue accepted a subscription."""

    message: ClassVar[str] = "subscribed"
    counter: ClassVar[str] = "subscriptions_total"
    stream: str
    markets: int


class SubscriptionRefused(Signal, frozen=True):
    """The venue refused a market of a stream."""

    message: ClassVar[str] = "the venue refused a subscription"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "subscriptions_refused_total"
    market: str
    stream: str
    reason: str


class StreamProbed(Signal, frozen=True):
    """Streams that brought nothing so far were asked for once more."""

    message: ClassVar[str] = "nothing came yet, asked once more"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "streams_probed_total"
    chains: int


class StreamRestarted(Signal, frozen=True):
    """A stream that is silent is asked for afresh."""

    message: ClassVar[str] = "a stream is silent, asked for it afresh"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "streams_restarted_total"
    market: str
    stream: str


class GapOpened(Signal, frozen=True):
    """Something is missing from here on, or was missing for a while."""

    message: ClassVar[str] = "gap"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "gaps_total"
    market: str | None
    stream: str | None
    reason: str
    detail: str | None = None
    since_last_line: int | None = None


class GapOpenedAgain(GapOpened, frozen=True):
    """A gap like one that was told less than a minute ago."""

    message: ClassVar[str] = "gap again"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "gaps_again_total"


class BookUnknown(Signal, frozen=True):
    """Nothing is missing, but an order book is not known from here on."""

    message: ClassVar[str] = "book not known"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "books_unknown_total"
    market: str | None
    stream: str | None
    reason: str
    detail: str | None = None


class BookKnown(Signal, frozen=True):
    """An order book is known from here on."""

    message: ClassVar[str] = "book known"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "books_synced_total"
    market: str
    stream: str
    last_update_id: int | None


class SnapshotUseless(Signal, frozen=True):
    """A book snapshot came that does not help; another is asked for."""

    message: ClassVar[str] = "snapshot too old"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "snapshots_useless_total"
    market: str
    base: int | None
    held_first: int


class SnapshotFailed(Signal, frozen=True):
    """A book snapshot could not be had; it is asked for again."""

    message: ClassVar[str] = "snapshot failed"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "snapshots_failed_total"
    market: str
    why: str


class SnapshotFailedAgain(Signal, frozen=True):
    """A book snapshot could not be had, for the same reason as the last one."""

    message: ClassVar[str] = "snapshot failed again"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "snapshots_failed_again_total"
    market: str
    why: str


class SnapshotsStillFailing(Signal, frozen=True):
    """Book snapshots go on failing; said about once a minute."""

    message: ClassVar[str] = (
        "book snapshots still fail, so these books are not known; check --rest-url"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "snapshots_still_failing_total"
    books: int


class BooksNeverKnown(Signal, frozen=True):
    """A run ends, and some of its books were not known at any time."""

    message: ClassVar[str] = (
        "books were never known: their updates are stored, but without a snapshot "
        "no book can be made of them"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "books_never_known_total"
    books: int
    of: int
    check: str | None


class RowDoubled(Signal, frozen=True):
    """A row came that was stored before; it is not stored again."""

    message: ClassVar[str] = "double"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "doubles_total"
    market: str
    stream: str


class FrameKept(Signal, frozen=True):
    """A frame that is not understood went verbatim to the table frames."""

    message: ClassVar[str] = "frame kept verbatim"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "frames_kept_total"
    conn: str
    seq: int
    reason: str
    error: str
    since_last_line: int | None = None


class FrameKeptAgain(FrameKept, frozen=True):
    """A frame like one that was told less than a minute ago."""

    message: ClassVar[str] = "frame kept verbatim again"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "frames_kept_again_total"


class KeyAppeared(Signal, frozen=True):
    """The venue sends a key that this version does not know."""

    message: ClassVar[str] = "the venue sends a new key"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "unknown_keys_total"
    source: str
    key: str


class TradeRuleDisproved(Signal, frozen=True):
    """A market's trades are not numbered one by one; they go unchecked."""

    message: ClassVar[str] = "trade numbers are not consecutive, check is off"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "trade_rules_disproved_total"
    market: str


class SheddingBegan(Signal, frozen=True):
    """The disk is too slow: frames are received and dropped from here on."""

    message: ClassVar[str] = "too slow, dropping frames"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "shedding_total"
    rows_waiting: int
    bytes_waiting: int


class SheddingEnded(Signal, frozen=True):
    """Frames are recorded again."""

    message: ClassVar[str] = "recording again"
    level: ClassVar[int] = logging.WARNING
    frames_dropped: int


class CaptureStarted(Signal, frozen=True):
    """A run began."""

    message: ClassVar[str] = "recording"
    source: str
    job: str
    run: str
    store: str
    chains: int


class CaptureStopped(Signal, frozen=True):
    """A run ended."""

    message: ClassVar[str] = "stopped"
    run: str
    why: str
    rows: int
    gaps: int


class CommandFailed(Signal, frozen=True):
    """A command ends with an error, the last line of its log."""

    message: ClassVar[str] = "failed"
    level: ClassVar[int] = logging.ERROR
    why: str


class SimulatorStarted(Signal, frozen=True):
    """The local exchange accepts connections."""

    message: ClassVar[str] = "simulator ready"
    port: int


class SimulatorFault(Signal, frozen=True):
    """The local exchange performed a fault that was ordered."""

    message: ClassVar[str] = "simulator fault"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "simulator_faults_total"
    name: str
    feed: str
    conn: int | None = None
    market: str | None = None


class SimulatorClientDropped(Signal, frozen=True):
    """The local exchange dropped a client that does not read."""

    message: ClassVar[str] = "simulator dropped a client that does not read"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "simulator_clients_dropped_total"
    feed: str
    conn: int


class FrameInexact(Signal, frozen=True):
    """A number has no exact double; its row is stored, its frame is kept too."""

    message: ClassVar[str] = "inexact number, frame kept verbatim"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "frames_inexact_total"
    conn: str
    seq: int
    error: str | None


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
