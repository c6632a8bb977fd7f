"""The feeds of a configuration file, each checked against what it is.

What each would be refused for on a command line is a mistake of its line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, TypeVar

import msgspec

from recorder.capture.plan import (
    CapturePlan,
    check_patterns,
    check_url,
    kind_of,
    plan_capture,
)
from recorder.capture.spread import Connections
from recorder.config_file import (
    ConfigFile,
    FeedEntry,
    Mistake,
    Overrides,
    looks_secret,
    read_config,
    secret_advice,
)
from recorder.errors import ConfigError
from recorder.source import Source, canonical_stream, resolve_options
from recorder.sources import load, names


T = TypeVar("T")

_ADDRESSES: Final[dict[Literal["--ws-url", "--rest-url"], str]] = {
    "--ws-url": "ws_url",
    "--rest-url": "rest_url",
}

SECRET_CHARACTERS_MIN: Final = 8
"""A shorter key is not looked for: it may be part of anything."""


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """One of several feeds that are captured together.

    Attributes:
        name: What tells it from the others.
        plan: What is captured.
    """

    name: str
    plan: CapturePlan


class Feeds(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be captured together.

    Attributes:
        job: Name of the job as a whole.
        store: Folder of the data set.
        feeds: The feeds, at least one.
    """

    job: str
    store: Path
    feeds: tuple[Feed, ...]

    @property
    def memory_bytes(self) -> int:
        """What rows of all may take that wait for the disk."""
        return max(feed.plan.config.memory_bytes for feed in self.feeds)


def plan_feeds(
    path: Path, environ: Mapping[str, str], overrides: Overrides | None = None
) -> Feeds:
    """Read a configuration file and check it against the feeds that it names.

    Args:
        path: The file.
        environ: Holds the keys.
        overrides: What is to be instead of what the file says.

    Raises:
        ConfigError: With everything that is wrong, by line.
    """
    file = read_config(path, variables_of, overrides)
    mistakes = list(_secrets_in(file, environ))
    feeds = []
    connections = Connections()
    for entry in file.feeds:
        checked = _Checked(file, entry, environ, connections)
        mistakes += checked.mistakes
        if checked.plan is not None:
            feeds.append(Feed(name=entry.name, plan=checked.plan))
    file.check(mistakes)
    return Feeds(job=file.job, store=file.store, feeds=tuple(feeds))


def variables_of(source: str | None) -> tuple[str, ...]:
    """Return the environment variables with keys of a source.

    Args:
        source: Its name; without one, or with none that there is, the keys of
            all sources are meant.
    """
    wanted = (source,) if source in names() else names()
    return tuple(
        dict.fromkeys(secret.env for name in wanted for secret in load(name).secrets)
    )


def _secrets_in(file: ConfigFile, environ: Mapping[str, str]) -> Iterator[Mistake]:
    """Yield a mistake for each key of the environment that is in the file, too."""
    for variable in variables_of(None):
        value = environ.get(variable, "").strip()
        if len(value) < SECRET_CHARACTERS_MIN or value not in file.text:
            continue
        line = file.text[: file.text.index(value)].count("\n") + 1
        yield Mistake(line, f"the key of {variable} stands here: take it out")


class _Checked:
    """What a feed makes of its table, and what those before it left of venues.

    Attributes:
        plan: What is to be captured; None if something is wrong.
        mistakes: What is wrong.
    """

    def __init__(
        self,
        file: ConfigFile,
        entry: FeedEntry,
        environ: Mapping[str, str],
        connections: Connections,
    ) -> None:
        self.plan: CapturePlan | None = None
        self.mistakes: list[Mistake] = []
        self._file = file
        self._number = entry.number
        self._values = values = entry.values
        if "source" not in values:
            return
        source = self._tried(partial(load, values["source"]), "source")
        if source is None:
            return
        self._check_options(source)
        streams = self._streams(source)
        self._check_markets(source, streams)
        for option, key in _ADDRESSES.items():
            self._tried(partial(check_url, option, values.get(key), key), key)
        if not self.mistakes and entry.config is not None:
            self.plan = self._tried(partial(plan_capture, entry.config, environ))
        if self.plan is not None and not self.plan.has_patterns:
            add, plan = connections.add, self.plan
            self._tried(partial(add, plan.source, plan.ws_url, plan.chains), "markets")

    def _check_options(self, source: Source) -> None:
        known = {option.name for option in source.options}
        for name, value in self._values.get("options", {}).items():
            if name not in known and looks_secret(name):
                advice = secret_advice(variables_of(source.name))
                self._wrong(f"{name!r}: {advice}", "options", name)
            else:
                work = partial(resolve_options, source, {name: value})
                self._tried(work, "options", name)

    def _streams(self, source: Source) -> list[str]:
        """Return the streams that there are, in canonical form."""
        found = [
            self._tried(partial(canonical_stream, source, text), "streams", position)
            for position, text in enumerate(self._values.get("streams", ()))
        ]
        return [stream for stream in found if stream is not None]

    def _check_markets(self, source: Source, streams: Sequence[str]) -> None:
        markets = self._values.get("markets", ())
        needing = [stream for stream in streams if kind_of(source, stream).has_markets]
        if needing and "markets" not in self._values:
            self._wrong(f'{needing[0]} is of markets: add markets = ["BTC_USDT"]')
        elif needing and not markets:
            self._wrong(f"{needing[0]} is of markets: name some", "markets")
        elif markets and streams and not needing:
            self._wrong(f"{streams[0]} is of no market: leave markets out", "markets")
        else:
            self._tried(partial(check_patterns, source, markets), "markets")

    def _tried(self, work: Callable[[], T], *place: str | int) -> T | None:
        """Return what some work gives; note why it is refused."""
        try:
            return work()
        except ConfigError as error:
            self._wrong(str(error), *place)
            return None

    def _wrong(self, text: str, *place: str | int) -> None:
        line = self._file.lines.line_of("source", self._number, *place)
        self.mistakes.append(Mistake(line, text))
