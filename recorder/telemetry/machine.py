"""Log events: what happens to the machine that we run on."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


class ClockStepped(Signal, frozen=True):
    """Somebody set the wall clock."""

    message: ClassVar[str] = (
        "the wall clock was set; times of rows never go back, see clock_step in gaps"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "clock_steps_total"
    by_seconds: float


class ClockBehind(Signal, frozen=True):
    """The wall clock is behind the times that earlier runs stored."""

    message: ClassVar[str] = (
        "the wall clock is behind the newest rows of the store: rows get later times "
        "until it has caught up, which takes twice as long; if the old times are "
        "wrong, record into another store"
    )
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "clocks_behind_total"
    by_seconds: float


class MachineSlept(Signal, frozen=True):
    """The machine was suspended."""

    message: ClassVar[str] = "the machine slept"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "sleeps_total"
    seconds: float


class ProcessStoodStill(Signal, frozen=True):
    """The process did nothing for a while: stopped, or the machine too busy."""

    message: ClassVar[str] = "the process stood still; what came meanwhile is read now"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "standstills_total"
    seconds: float
