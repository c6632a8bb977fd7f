"""Record public market data, ask SQL of it, replay its order books."""

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from recorder.query.store import open_store
    from recorder.replay.book import OrderBook

__all__ = ["OrderBook", "__version__", "open_store"]

__version__ = "0.1.0.dev0"

# Where the public names live; they are imported when they are first used, so
# that `recorder --help` does not wait for DuckDB and Arrow.
_HOMES = {"OrderBook": "recorder.replay.book", "open_store": "recorder.query.store"}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
