"""Log events: what a gap lost and is fetched afterwards."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


class GapHealed(Signal, frozen=True):
    """All that a gap had lost is stored now."""

    message: ClassVar[str] = "gap healed"
    counter: ClassVar[str] = "gaps_healed_total"
    market: str | None
    stream: str | None
    reason: str
    rows: int


class GapNotHealed(Signal, frozen=True):
    """What a gap lost cannot be had, or not all of it."""

    message: ClassVar[str] = "gap cannot be healed"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "gaps_not_healed_total"
    market: str | None
    stream: str | None
    reason: str
    rows: int
    why: str


class HealingPutOff(Signal, frozen=True):
    """The disk refuses what healing needs; recording goes on."""

    message: ClassVar[str] = "cannot heal gaps now, trying again soon"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "healings_put_off_total"
    why: str
    retry_in_seconds: float


class HistoryUseless(Signal, frozen=True):
    """What a venue told of the past makes no sense."""

    message: ClassVar[str] = "the venue's history makes no sense"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "history_useless_total"
    market: str | None
    request: str
    why: str


class GapsLeft(Signal, frozen=True):
    """There are more gaps than a run heals."""

    message: ClassVar[str] = (
        "too many gaps to heal meanwhile; `recorder backfill` heals the others"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "gaps_left_total"
    gaps: int
