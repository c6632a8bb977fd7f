"""What a log event is, and the one way to emit it."""

import logging
from collections import Counter
from contextvars import ContextVar
from typing import ClassVar, Final

import msgspec


LOGGER = logging.getLogger("recorder")

COUNTERS: Counter[str] = Counter()
"""How often each kind of event was emitted in this process, by counter name."""


FEED: Final[ContextVar[str | None]] = ContextVar("feed", default=None)
"""Of which feed it is what happens now, where one process captures several."""


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
        facts = {"signal": signal, "feed": FEED.get()}
        LOGGER.log(signal.level, signal.message, extra=facts)
