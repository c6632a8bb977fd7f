"""The feeds, one module each; this folder is the registry.

Adding a feed adds a module here and edits nothing that exists. Modules whose
name starts with an underscore are no feeds: they hold what feeds of one
venue share.
"""

import importlib
import pkgutil

from recorder.errors import ConfigError
from recorder.source import Source


def names() -> tuple[str, ...]:
    """Return the names of all feeds, sorted, without importing any."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(name: str) -> Source:
    """Return a feed by its name, importing that module alone.

    Raises:
        ConfigError: If there is no such feed; the message names those that
            are.
    """
    if name not in names():
        raise ConfigError(f"no source {name!r}; choose from {', '.join(names())}")
    source: Source = importlib.import_module(f"{__name__}.{name}").SOURCE
    return source
