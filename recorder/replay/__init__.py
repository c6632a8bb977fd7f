"""Replay: order books, and everything recorded in one order of time.

`replay`, `bbo` and `book_at` are imported when they are first asked for:
they need Arrow and compiled code, which an `OrderBook` does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recorder.replay.book import OrderBook


if TYPE_CHECKING:
    from recorder.replay.sampling import BookView, bbo, book_at
    from recorder.replay.stream import replay

__all__ = ["BookView", "OrderBook", "bbo", "book_at", "replay"]

_MODULES = {
    "BookView": "recorder.replay.sampling",
    "bbo": "recorder.replay.sampling",
    "book_at": "recorder.replay.sampling",
    "replay": "recorder.replay.stream",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
