"""Log events: runs, commands and the simulator."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


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


class TakeOverBegan(Signal, frozen=True):
    """A run records beside another of its job, to take its place."""

    message: ClassVar[str] = "another run has this job; recording beside it until ready"
    job: str
    run: str


class TakeOverAsked(Signal, frozen=True):
    """A run asked another to leave."""

    message: ClassVar[str] = "ready: the other run was asked to leave"
    job: str
    run: str | None


class TakeOverDone(Signal, frozen=True):
    """A run has the job of another now."""

    message: ClassVar[str] = "took over"
    job: str
    run: str


class TakeOverDelayed(Signal, frozen=True):
    """What a take-over needs of the disk cannot be had now; it is tried again."""

    message: ClassVar[str] = "cannot take over for now, recording on"
    level: ClassVar[int] = logging.WARNING
    job: str
    why: str


class TakeOverForced(Signal, frozen=True):
    """A run did not answer when it was asked to leave, and has lost its job."""

    message: ClassVar[str] = "the other run does not answer; its job was taken from it"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "take_overs_forced_total"
    job: str
    run: str | None


class AskedToLeave(Signal, frozen=True):
    """Another run is ready to take over from this one."""

    message: ClassVar[str] = "another run takes over; stopping"
    job: str


class FeedEnded(Signal, frozen=True):
    """One of several feeds ended by itself."""

    message: ClassVar[str] = (
        "this feed is not recorded any more; others go on; "
        "it begins again with the next start"
    )
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "feeds_ended_total"
    why: str


class FeedFailed(Signal, frozen=True):
    """One of several feeds could not begin, or failed."""

    message: ClassVar[str] = (
        "this feed failed and is not recorded; others go on; "
        "it begins again with the next start"
    )
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "feeds_failed_total"
    why: str
    trace: str | None = None


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
