"""Every log event and counter, each name written once.

A subclass of `Signal` is one kind of event: its class says the log message,
the level and the counter that it moves; its fields are the facts. Call sites
only `emit`. Logs go to the logger ``recorder``, one line an event.
"""

from recorder.telemetry.books import (
    BookKnown,
    BooksNeverKnown,
    BookUnknown,
    ImageMissing,
    SnapshotFailed,
    SnapshotFailedAgain,
    SnapshotsStillFailing,
    SnapshotUseless,
)
from recorder.telemetry.connections import (
    ChainsSubscribed,
    ConnectionClosed,
    ConnectionEnded,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionQuiet,
    StreamProbed,
    StreamRestarted,
    SubscriptionRefused,
)
from recorder.telemetry.rows import (
    FrameInexact,
    FrameKept,
    FrameKeptAgain,
    GapOpened,
    GapOpenedAgain,
    KeyAppeared,
    RowDoubled,
    SheddingBegan,
    SheddingEnded,
    TradeRuleDisproved,
)
from recorder.telemetry.runs import (
    CaptureStarted,
    CaptureStopped,
    CommandFailed,
    SimulatorClientDropped,
    SimulatorFault,
    SimulatorStarted,
)
from recorder.telemetry.signal import COUNTERS, LOGGER, Signal, emit
from recorder.telemetry.store import (
    JobLeftOpen,
    JobOverlaps,
    JournalDamaged,
    JournalTorn,
    RecoveryAwaited,
    RunRecovered,
    SegmentWritten,
    StoreFailed,
)


__all__ = [
    "COUNTERS",
    "LOGGER",
    "BookKnown",
    "BookUnknown",
    "BooksNeverKnown",
    "CaptureStarted",
    "CaptureStopped",
    "ChainsSubscribed",
    "CommandFailed",
    "ConnectionClosed",
    "ConnectionEnded",
    "ConnectionFailed",
    "ConnectionOpened",
    "ConnectionQuiet",
    "FrameInexact",
    "FrameKept",
    "FrameKeptAgain",
    "GapOpened",
    "GapOpenedAgain",
    "ImageMissing",
    "JobLeftOpen",
    "JobOverlaps",
    "JournalDamaged",
    "JournalTorn",
    "KeyAppeared",
    "RecoveryAwaited",
    "RowDoubled",
    "RunRecovered",
    "SegmentWritten",
    "SheddingBegan",
    "SheddingEnded",
    "Signal",
    "SimulatorClientDropped",
    "SimulatorFault",
    "SimulatorStarted",
    "SnapshotFailed",
    "SnapshotFailedAgain",
    "SnapshotUseless",
    "SnapshotsStillFailing",
    "StoreFailed",
    "StreamProbed",
    "StreamRestarted",
    "SubscriptionRefused",
    "TradeRuleDisproved",
    "emit",
]
