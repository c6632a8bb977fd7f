"""A configuration file: TOML in, what is to be captured out.

Everything that is wrong with a file is found at once, and told with its
line. Keys of accounts are never in it: what looks like one is refused, with
the environment variable that is read instead, and is not shown.

This module knows no feed; what a feed makes of its table is checked by
`recorder.capture.feeds`.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from recorder.config import (
    CaptureConfig,
    check_audit,
    check_flush,
    check_job,
    check_market,
    check_memory,
    check_renew,
    check_rotate,
    parse_audit,
)
from recorder.errors import ConfigError
from recorder.times import parse_seconds
from recorder.toml_lines import TomlLines, TomlPath


T = TypeVar("T")

FILE_MAX_BYTES: Final = 4 << 20
"""A larger file is no configuration."""

FALLBACK_JOB: Final = "job"
"""Stands for a name that is wrong, so that the rest can be looked at."""

_SECRET_WORDS: Final = ("key", "secret", "token", "passw", "passphrase", "credential")


class FileTable(msgspec.Struct, frozen=True, kw_only=True):
    """The file as a whole.

    Attributes:
        store: Folder of the data set, relative to that of the file.
        rotate: Age at which a journal becomes a segment.
        flush: What a killed process may lose at most.
        renew: After so long a connection is replaced by another.
        audit: How often each order book is compared with the venue's.
        archive: Whether every frame is kept verbatim as well.
        memory: What rows may take that wait for the disk, MB.
        backfill: Whether what gaps lost is fetched afterwards.
        job: Name of the job; None for the file's name without its ending.
        source: The feeds.
    """

    store: str = "data"
    rotate: str = "15m"  # a quarter of an hour: small journals
    flush: str = "1s"  # what people accept to lose in a power cut
    renew: str = "12h"  # many venues close connections after a day
    audit: str = "10m"  # what is wrong is not known for longer
    archive: bool = False
    memory: int = 384  # a minute or two of a thousand markets
    backfill: bool = True
    job: str | None = None
    source: tuple[dict[str, Any], ...] = ()


class SourceTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table ``[[source]]``: one feed.

    Attributes:
        source: Name of the feed.
        streams: ``NAME[:PARAMETER]``.
        markets: Names and patterns.
        options: What ``-O`` gives on the command line.
        ws_url: Instead of the feed's own address.
        rest_url: Instead of the feed's own address.
        name: Its part of the job's name; None for the name of the source.
    """

    source: str
    streams: tuple[str, ...]
    markets: tuple[str, ...] = ()
    options: dict[str, str] = {}
    ws_url: str | None = None
    rest_url: str | None = None
    name: str | None = None


_WANTED: Final = {
    "store": "the name of a folder in quotes",
    "rotate": 'a length of time in quotes, as in rotate = "15m"',
    "flush": 'a length of time in quotes, as in flush = "1s"',
    "renew": 'a length of time in quotes, as in renew = "12h"',
    "audit": 'a length of time in quotes, or "never", as in audit = "10m"',
    "archive": "true or false",
    "memory": "a number of megabytes, as in memory = 384",
    "backfill": "true or false",
    "job": "a name in quotes",
    "source": "the name of a source in quotes",
    "streams": 'a list of streams, as in streams = ["trades", "depth"]',
    "markets": 'a list of markets, as in markets = ["BTC_USDT", "ETH_USDT"]',
    "options": 'a table of texts, as in options = { name = "value" }',
    "ws_url": "an address in quotes",
    "rest_url": "an address in quotes",
    "name": "a name in quotes",
}
"""What each key wants, for those who gave it something else."""


class Overrides(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be instead of what the file says; None where that stands."""

    store: Path | None = None
    job: str | None = None
    rotate_seconds: float | None = None
    flush_seconds: float | None = None
    renew_seconds: float | None = None
    audit_seconds: float | None = None
    is_archiving: bool | None = None
    memory_mb: int | None = None
    is_backfilling: bool | None = None


class Mistake(NamedTuple):
    """What is wrong, and in which line, from 1."""

    line: int
    text: str


class FeedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One feed of a file.

    Attributes:
        number: Its place among the feeds of the file, from 0.
        name: What tells it from the others.
        values: What its table says, as far as that is right.
        config: What is to be captured, as a job ``<job>.<name>``; None if
            something is wrong.
    """

    number: int
    name: str
    values: dict[str, Any]
    config: CaptureConfig | None


class ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was read.

    Attributes:
        path: The file.
        text: What is in it.
        lines: In which line everything stands.
        job: Name of the job as a whole.
        store: Folder of the data set.
        feeds: Its feeds.
        mistakes: What is wrong with it.
    """

    path: Path
    text: str
    lines: TomlLines
    job: str
    store: Path
    feeds: tuple[FeedEntry, ...]
    mistakes: tuple[Mistake, ...]

    def check(self, more: Sequence[Mistake] = ()) -> None:
        """Check that nothing is wrong.

        Args:
            more: What else was found.

        Raises:
            ConfigError: With all mistakes, in the order of their lines.
        """
        found = sorted({*self.mistakes, *more})
        if len(found) == 1:
            raise ConfigError(f"{self.path}, line {found[0].line}: {found[0].text}")
        if found:
            told = "".join(f"\n  line {line}: {text}" for line, text in found)
            raise ConfigError(f"{self.path} has {len(found)} mistakes:{told}")


Variables = Callable[[str | None], Sequence[str]]
"""Gives the environment variables that hold keys of a source, or of any."""


def read_config(
    path: Path, variables: Variables, overrides: Overrides | None = None
) -> ConfigFile:
    """Read a configuration file.

    Args:
        path: The file.
        variables: Which environment variables hold keys.
        overrides: What is to be instead of what the file says.

    Raises:
        ConfigError: If it cannot be read, or is no TOML. Everything else that
            is wrong is among the mistakes.
    """
    text = _text_of(path)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no valid TOML: {error}") from error
    return _Reader(path, text, variables, overrides or Overrides()).read(content)


def looks_secret(name: str) -> bool:
    """Return whether something of this name would be a key of an account."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def secret_advice(variables: Sequence[str]) -> str:
    """Return what to do instead of putting a key into a file."""
    where = " or ".join(variables) or "that `recorder capture --help` names"
    return f"keys are never in the file; put it into the environment variable {where}"


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            body = file.read(FILE_MAX_BYTES + 1)
        if len(body) > FILE_MAX_BYTES:
            raise ConfigError(f"{path} is too large to be a configuration")
        return body.decode().replace("\r\n", "\n")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text in UTF-8") from error


class _Reader:
    """Finds out what a file says, and everything that is wrong with it."""

    def __init__(
        self, path: Path, text: str, variables: Variables, overrides: Overrides
    ) -> None:
        self._path = path
        self._text = text
        self._variables = variables
        self._overrides = overrides
        self._lines = TomlLines(text)
        self._mistakes: list[Mistake] = []

    def read(self, content: Mapping[str, Any]) -> ConfigFile:
        given, tables = self._overrides, content.get("source", [])
        plain = {key: value for key, value in content.items() if key != "source"}
        table = FileTable(**self._values(plain, FileTable, ()))
        job = _either(_either(given.job, table.job), self._path.stem)
        if not self._is_right(("job",), check_job, job, "job"):
            job = FALLBACK_JOB
        if not table.store or "\0" in table.store:
            self._wrong(("store",), "store is no name of a folder")
        store = given.store or self._path.parent / table.store
        rotate = self._seconds("rotate", table.rotate, check_rotate)
        flush = self._seconds("flush", table.flush, check_flush)
        renew = self._seconds("renew", table.renew, check_renew)
        is_right = self._is_right(("memory",), check_memory, table.memory, "memory")
        memory = table.memory if is_right else None
        audit = self._seconds("audit", table.audit, check_audit, parse_audit)
        common = {
            "store": store,
            **_known("rotate_seconds", _either(given.rotate_seconds, rotate)),
            **_known("flush_seconds", _either(given.flush_seconds, flush)),
            **_known("renew_seconds", _either(given.renew_seconds, renew)),
            **_known("audit_seconds", _either(given.audit_seconds, audit)),
            "is_archiving": _either(given.is_archiving, table.archive),
            **_known("memory_mb", _either(given.memory_mb, memory)),
            "is_backfilling": _either(given.is_backfilling, table.backfill),
        }
        return ConfigFile(
            path=self._path,
            text=self._text,
            lines=self._lines,
            job=job,
            store=store,
            feeds=tuple(self._feeds(tables, job, common)),
            mistakes=tuple(self._mistakes),
        )

    def _feeds(
        self, tables: object, job: str, common: Mapping[str, Any]
    ) -> Iterator[FeedEntry]:
        """Yield the feeds, as far as they are right."""
        if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
            self._wrong(("source",), "a feed is a table with two brackets: [[source]]")
            return
        if not tables:
            self._wrong((), "there is no feed; add a table [[source]]")
        named: dict[str, int] = {}
        for number, content in enumerate(tables):
            count = len(self._mistakes)
            values = self._values(content, SourceTable, ("source", number))
            name = values.pop("name", values.get("source"))
            self._check_feed(values, name, number, named)
            config = None
            if len(self._mistakes) == count:
                facts = {"markets": (), **common, **values, "job": f"{job}.{name}"}
                config = CaptureConfig(**facts)
            yield FeedEntry(
                number=number, name=name or "", values=values, config=config
            )

    def _check_feed(
        self,
        values: Mapping[str, Any],
        name: str | None,
        number: int,
        named: dict[str, int],
    ) -> None:
        """Check the values of a feed, as far as they are those of any."""
        place: TomlPath = ("source", number)
        if values.get("streams") == ():
            self._wrong((*place, "streams"), f"streams wants {_WANTED['streams']}")
        for position, market in enumerate(values.get("markets", ())):
            where = (*place, "markets", position)
            self._is_right(where, check_market, market)
        for key in ("ws_url", "rest_url"):
            if _holds_secret(values.get(key) or ""):
                advice = secret_advice(self._variables(values.get("source")))
                self._wrong((*place, key), f"{key} holds a key or a password: {advice}")
        if name is None:
            return
        self._is_right((*place, "name"), check_job, name, "name")
        first = named.setdefault(name, number)
        if first != number:
            line = self._lines.line_of("source", first)
            self._wrong(
                place,
                f"the feed of line {line} is called {name!r} as well; "
                'give one of them a name, as in name = "other"',
            )

    def _values(
        self, content: Mapping[str, Any], kind: type[msgspec.Struct], place: TomlPath
    ) -> dict[str, Any]:
        """Return the values of a table that are right."""
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        values = {}
        for key, value in content.items():
            if key not in fields:
                self._unknown(key, tuple(fields), place, content.get("source"))
                continue
            try:
                values[key] = msgspec.convert(value, fields[key].type)
            except msgspec.ValidationError:
                self._wrong((*place, key), f"{key} wants {_WANTED[key]}")
        for key, field in fields.items():
            if field.required and key not in content:
                self._wrong(place, f"{key} is missing: it wants {_WANTED[key]}")
        return values

    def _unknown(
        self, key: str, known: Sequence[str], place: TomlPath, source: object
    ) -> None:
        if looks_secret(key):
            name = source if isinstance(source, str) else None
            text = f"{key!r}: {secret_advice(self._variables(name))}"
        else:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            text = f"unknown key {key!r}; {hint}"
        self._wrong((*place, key), text)

    def _seconds(
        self,
        key: str,
        text: str,
        check: Callable[[float, str], None],
        parse: Callable[[str], float] = parse_seconds,
    ) -> float | None:
        """Return a length of time in seconds; None if it is wrong."""

        def checked() -> None:
            check(parse(text), key)

        return parse(text) if self._is_right((key,), checked) else None

    def _is_right(
        self, place: TomlPath, check: Callable[..., None], *values: object
    ) -> bool:
        """Return whether a check accepts some values; note what it refuses."""
        try:
            check(*values)
        except ConfigError as error:
            self._wrong(place, str(error))
            return False
        return True

    def _wrong(self, place: TomlPath, text: str) -> None:
        self._mistakes.append(Mistake(self._lines.line_of(*place), text))


def _either(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _known(name: str, value: object) -> dict[str, object]:
    return {} if value is None else {name: value}


def _holds_secret(url: str) -> bool:
    """Return whether an address holds a password, or a key in its query."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        return "@" in parts.netloc or any(looks_secret(name) for name, _ in pairs)
    except ValueError:  # it is no address, which is said elsewhere
        return False
