"""An example of a configuration file, with every source there is.

A line that begins with ``#`` and a blank is text; one that begins with ``#``
and no blank is a setting that is not in force.
"""

from typing import Final

from recorder.cli.options import example_source
from recorder.source import Source, StreamKind
from recorder.sources import load, names


_HEAD: Final = """\
# What `recorder capture --config FILE` records: every feed as a job of its own,
# all of them in one process. `recorder config check FILE` says whether it is right.

# Folder of the data set; one that is not absolute lies beside this file.
store = "data"

# The job as a whole, which runs only once at a time. That of a feed is called
# <job>.<name of the feed>. Without it, the job is called as this file is.
#job = "recorder"

# Make Parquet of what is older.
#rotate = "15m"

# What a killed process may lose at most.
#flush = "1s"

# Replace a connection after so long; the next one takes over before it is left.
#renew = "12h"

# Megabytes that rows of all feeds may take while they wait for the disk; beyond,
# frames are dropped, and the table gaps says so.
#memory = 384

# Compare each order book with a snapshot so often, or "never".
#audit = "10m"

# Keep every frame verbatim as well.
#archive = false

# Fetch afterwards what gaps lost, as far as the venues tell it.
#backfill = true

# Keys of accounts are never in this file: they are read from the environment.

# The feeds. Markets are as the venue spells them, or patterns that are looked up
# in its list at the start: "*_USDT" is all that are like it and traded, "!*3L_USDT"
# leaves out what is like that. Two feeds of one source need names, as in
# name = "deep". options.KEY = "VALUE" sets what -O does on the command line, ws_url
# and rest_url replace the venue's own addresses.
"""

_MARKETS: Final = '["BTC_USDT", "ETH_USDT"]'


def example_file() -> str:
    """Return the example, which `recorder config check` accepts."""
    first = example_source()
    others = [name for name in names() if name != first]
    feeds = [_feed(load(first), "")]
    feeds += [_feed(load(name), "#") for name in others]
    return "\n".join([_HEAD, *feeds])


def _feed(source: Source, mark: str) -> str:
    """Return the table of a feed; a mark puts it out of force."""
    # Streams of our own account are for those who look for them.
    free = [kind for kind in source.streams if not kind.needs]
    kinds = free or source.streams
    lines = [f"# {source.doc}"]
    lines += [f"# {secret.env}: {secret.doc}" for secret in source.secrets]
    lines += [f"{mark}[[source]]", f'{mark}source = "{source.name}"']
    if any(kind.has_markets for kind in kinds):
        lines.append(f"{mark}markets = {_MARKETS}")
    streams = ", ".join(f'"{_typed(kind)}"' for kind in kinds)
    lines.append(f"{mark}streams = [{streams}]")
    for option in source.options:
        choice = f" ({', '.join(option.choices)})" if option.choices else ""
        lines.append(f"# options.{option.name}: {option.doc}{choice}")
        if value := option.default or "".join(option.choices[:1]):
            lines.append(f'#options.{option.name} = "{value}"')
    return "\n".join([*lines, ""])


def _typed(kind: StreamKind) -> str:
    """Return a stream as people type it."""
    if kind.default is not None or not kind.parameters:
        return kind.name
    usual = "1m" if "1m" in kind.parameters else kind.parameters[0]
    return f"{kind.name}:{usual}"
