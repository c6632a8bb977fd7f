"""What a kind of fault is: what it does, and what it can be told.

The kinds themselves are listed by `recorder.simulator.faults`.
"""

import msgspec


TIMING = ("probability", "at", "every", "count")
"""Keys that every fault takes."""
FRAME = (*TIMING, "stream", "parameter", "market")
WITH_SECONDS = (*TIMING, "seconds")
MARKET = (*TIMING, "market")
BOOK = (*TIMING, "parameter", "market")


class FaultKind(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that can be ordered.

    Attributes:
        doc: One sentence for the help.
        keys: Keys that it takes.
        seconds: Meaning of its ``seconds`` and what it is if not given.
        codes: Error codes that its ``code`` may be, the usual one first.
        streams: Streams it can hit; empty if it does not hit frames.
        per_second: True if its probability is for each second of each
            connection, False if for each opportunity.
        random: Its probability under ``random``; 0 leaves it out there.
    """

    doc: str
    keys: tuple[str, ...]
    seconds: float = 0.0
    codes: tuple[int, ...] = ()
    streams: tuple[str, ...] = ()
    per_second: bool = False
    random: float = 0.0
