"""Log events: what becomes of order books and their snapshots."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


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


class ImageMissing(Signal, frozen=True):
    """A stream was accepted whose book is to come on the socket, and did not."""

    message: ClassVar[str] = "no book came though it was accepted, asking afresh"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "images_missing_total"
    market: str
    stream: str


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


class AuditFailed(Signal, frozen=True):
    """A snapshot to compare a known book with could not be had, or is of no use."""

    message: ClassVar[str] = "audit failed, it is tried again"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "audits_failed_total"
    market: str
    why: str


class BookMismatch(Signal, frozen=True):
    """A book that counted as known is not the venue's; it is asked for afresh."""

    message: ClassVar[str] = "book is not the exchange's, asking for it afresh"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "books_mismatched_total"
    market: str
    stream: str
    detail: str


class BooksAudited(Signal, frozen=True):
    """How often books were compared with the venue's own since the run began."""

    message: ClassVar[str] = "books audited"
    level: ClassVar[int] = logging.INFO
    counter: ClassVar[str] = "audit_reports_total"
    books: int
    equal: int
    mismatched: int
