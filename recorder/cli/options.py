"""Options and arguments that several commands share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from recorder import sources, times
from recorder.errors import ConfigError
from recorder.source import canonical_stream


F = TypeVar("F", bound=Callable[..., Any])

_STDOUT = (Path("-"), Path("/dev/stdout"), Path("/dev/fd/1"))
DEFAULT_STORE = Path("data")


class StorePath(click.Path):
    """The folder of a store, whether it exists or not."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the folder, unless there cannot be one of that name."""
        if not str(value):
            self.fail("the name of the folder is missing", param, ctx)
        path: Path = super().convert(value, param, ctx)  # type: ignore[assignment]
        for part in path.parents:
            if part.is_file():
                self.fail(f"{part} is a file, so {path} cannot be a folder", param, ctx)
        try:
            path.exists()
        except OSError as error:
            self.fail(f"{path} cannot be: {error.strerror}", param, ctx)
        return path


class FiniteRange(click.FloatRange):
    """Numbers of a range; neither infinity nor what is no number at all."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; no comparison tells of one that is none."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no number to reckon with", param, ctx)
        return number


class Command(click.Command):
    """A command whose help names a source that there is, where it says <source>."""

    def format_help_text(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the docstring."""
        self.help = (self.help or "").replace("<source>", example_source())
        super().format_help_text(ctx, formatter)


def to_time(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> int | None:
    """Return the value of an option as nanoseconds since 1970 UTC.

    Raises:
        ConfigError: If it is not a time.
    """
    return None if value is None else times.parse_time(value)


def store_option(command: F) -> F:
    """Add ``--store DIR``."""
    return click.option(
        "--store",
        "store",
        metavar="DIR",
        type=StorePath(),
        default=DEFAULT_STORE,
        show_default=True,
        help="Folder of the store.",
    )(command)


def book_options(command: F) -> F:
    """Add ``--source``, ``--market`` and ``--stream``, which name one book."""
    for option in (
        click.option(
            "--stream",
            metavar="STREAM",
            help="Depth stream, such as depth:100ms; only needed if the store "
            "has several of this market.",
        ),
        click.option(
            "--market",
            required=True,
            metavar="MARKET",
            help="As the venue spells it, such as BTC_USDT.",
        ),
        click.option(
            "--source",
            required=True,
            metavar="SOURCE",
            help="Feed that it was recorded from.",
        ),
    ):
        command = option(command)
    return command


def named_stream(source: str, stream: str | None) -> str | None:
    """Return a stream as its feed calls it: ``depth`` is short for its default.

    What the feed does not know is returned as it is: the store may.
    """
    if stream is None or source not in sources.names():
        return stream
    try:
        return canonical_stream(sources.load(source), stream)
    except ConfigError:
        return stream


def check_range(start: int | None, end: int | None) -> None:
    """Check what `range_options` gave, nanoseconds.

    Raises:
        ConfigError: If it ends before it starts.
    """
    if start is not None and end is not None and start > end:
        raise ConfigError(
            f"--from {times.show_time(start)} lies after --to {times.show_time(end)}"
        )


def range_options(command: F) -> F:
    """Add ``--from`` and ``--to``: a half-open range of our clock."""
    for option in (
        click.option(
            "--to",
            "end",
            metavar="TIME",
            callback=to_time,
            help="First instant left out.",
        ),
        click.option(
            "--from",
            "start",
            metavar="TIME",
            callback=to_time,
            help="First instant taken.",
        ),
    ):
        command = option(command)
    return command


def to_speed(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    """Return how many times as fast to go; None for as fast as possible.

    Raises:
        ConfigError: If it is neither a number above zero nor ``max``.
    """
    if value == "max":
        return None
    try:
        factor = float(value)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise ConfigError(f"{value!r} is no speed; give 1, 10, 0.5 or max")
    return factor


def speed_option(default: str) -> Callable[[F], F]:
    """Add ``--speed``."""
    return click.option(
        "--speed",
        metavar="N|max",
        default=default,
        show_default=True,
        callback=to_speed,
        help="1 as it happened, 10 ten times as fast, max as fast as possible.",
    )


def to_output(
    ctx: click.Context, param: click.Parameter, value: Path | None
) -> Path | None:
    """Return the value of ``-o``; None means stdout, which ``-`` names as well.

    Raises:
        ConfigError: If it is empty.
    """
    if value is not None and value == Path():
        raise ConfigError("-o wants the name of a file, or - for stdout")
    return None if value in _STDOUT else value


def output_options(*formats: str) -> Callable[[F], F]:
    """Add ``--format``, ``-o`` and ``--force``.

    Args:
        formats: What may be chosen; the first is the default.
    """

    def add(command: F) -> F:
        for option in (
            click.option(
                "--force", is_flag=True, help="Let -o replace a file that exists."
            ),
            click.option(
                "-o",
                "--output",
                metavar="FILE",
                type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
                callback=to_output,
                help="Write to a file instead of stdout; it appears when it is "
                "complete. Its ending chooses the format if --format is not given.",
            ),
            click.option(
                "--format",
                "format_",
                type=click.Choice(formats),
                help=f"What to write.  [default: {formats[0]}]",
            ),
        ):
            command = option(command)
        return command

    return add


def parse_options(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return what ``-O KEY=VALUE`` gave, by key.

    Raises:
        ConfigError: If one is no such pair.
    """
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"-O wants KEY=VALUE, not {pair!r}")
        options[key] = value
    return options


def example_source() -> str:
    """Return a source for examples: the plainest of those of markets."""
    usual = {"trades", "depth", "klines"}
    offers = {n: {k.name for k in sources.load(n).streams} for n in sources.names()}
    plain = [name for name, streams in offers.items() if usual <= streams]
    return min(plain, key=lambda name: (len(offers[name]), name))
