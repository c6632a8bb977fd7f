"""Log events: what becomes of a venue's list of markets."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


class MarketsChosen(Signal, frozen=True):
    """Patterns were looked up in the venue's list."""

    message: ClassVar[str] = "chose the markets"
    source: str
    markets: int
    listed: int


class MarketsUntraded(Signal, frozen=True):
    """Patterns found markets that are not traded; those are left out."""

    message: ClassVar[str] = "left out markets that are not traded"
    level: ClassVar[int] = logging.WARNING
    source: str
    markets: int
    such_as: str


class PatternUnmatched(Signal, frozen=True):
    """A pattern found nothing, while others did."""

    message: ClassVar[str] = "no market is like this"
    level: ClassVar[int] = logging.WARNING
    source: str
    pattern: str


class MarketListAwaited(Signal, frozen=True):
    """The list from which markets are to be chosen cannot be had yet."""

    message: ClassVar[str] = "cannot choose markets before the venue lists them"
    level: ClassVar[int] = logging.WARNING
    source: str
    why: str
    retry_in_seconds: float


class MarketListStored(Signal, frozen=True):
    """The venue's list of markets of this day is on its way to the store."""

    message: ClassVar[str] = "stored the list of markets"
    counter: ClassVar[str] = "market_lists_stored_total"
    source: str
    markets: int


class MarketListFailed(Signal, frozen=True):
    """The list of this day cannot be had yet; recording goes on."""

    message: ClassVar[str] = "cannot have the list of markets"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "market_lists_failed_total"
    source: str
    why: str
    retry_in_seconds: float


class MarketsAppeared(Signal, frozen=True):
    """The venue lists markets that patterns of this run would choose now."""

    message: ClassVar[str] = (
        "the venue lists new markets that the patterns are like; "
        "they are recorded after the next start"
    )
    level: ClassVar[int] = logging.WARNING
    source: str
    markets: int
    such_as: str
