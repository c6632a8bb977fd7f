"""The feeds, one module each; this folder is the registry.

Adding a feed adds a module here and edits nothing that exists. Modules whose
name starts with an underscore are no feeds: they hold what feeds of one
venue share.

Feeds that are not part of this package lie in folders named
``recorder_sources`` wherever Python looks for modules: installed, or below a
folder that ``PYTHONPATH`` names. Each becomes one more folder of the registry,
after this one, so that a name that is taken stays with whom it belongs to.
"""

import importlib
import importlib.util
import pkgutil
from typing import Final

from recorder.errors import ConfigError
from recorder.source import Source


ELSEWHERE: Final = "recorder_sources"
"""What the folders of feeds are called that are not part of this package."""


def _elsewhere() -> list[str]:
    spec = importlib.util.find_spec(ELSEWHERE)
    return [] if spec is None else list(spec.submodule_search_locations or ())


__path__.extend(_elsewhere())


def names() -> tuple[str, ...]:
    """Return the names of all feeds, sorted, without importing any."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(name: str) -> Source:
    """Return a feed by its name, importing that module alone.

    Raises:
        ConfigError: If there is no such feed, and the message names those
            that are; or if its module does not define it.
    """
    if name not in names():
        raise ConfigError(f"no source {name!r}; choose from {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    source = getattr(module, "SOURCE", None)
    if not isinstance(source, Source) or source.name != name:
        raise ConfigError(
            f"{module.__file__} is no feed: it must define SOURCE, a "
            f"recorder.source.Source whose name is {name!r}"
        )
    return source
