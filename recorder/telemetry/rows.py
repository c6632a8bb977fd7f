"""Log events: what becomes of frames and rows."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


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


class RowDoubled(Signal, frozen=True):
    """A row came that was stored before; it is not stored again."""

    message: ClassVar[str] = "double"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "doubles_total"
    market: str | None
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


class FrameInexact(Signal, frozen=True):
    """A number has no exact double; its row is stored, its frame is kept too."""

    message: ClassVar[str] = "inexact number, frame kept verbatim"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "frames_inexact_total"
    conn: str
    seq: int
    error: str | None


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
    """Too much waits: frames are received and dropped from here on."""

    message: ClassVar[str] = "dropping frames"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "shedding_total"
    why: str
    rows_waiting: int
    bytes_waiting: int


class SheddingEnded(Signal, frozen=True):
    """Frames are recorded again."""

    message: ClassVar[str] = "recording again"
    level: ClassVar[int] = logging.WARNING
    frames_dropped: int
