"""``recorder crontab``: the lines of cron that record a file for ever."""

import os
import secrets
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from recorder.capture.feeds import Feeds, plan_feeds, variables_of
from recorder.capture.plan import kind_of
from recorder.cli.options import StorePath
from recorder.clock import wall_ns
from recorder.config_file import Overrides
from recorder.errors import ConfigError
from recorder.source import Source
from recorder.times import NS_PER_SECOND


COMMAND_MAX: Final = 990
"""Characters of a command that every cron takes."""

WHEN: Final = {"hour": ("0 * * * *", "00"), "day": ("0 * * * *", "0000")}
"""By step: when cron starts the next run, and the UTC time at which it is to be:
minutes, or hours and minutes."""


@click.command()
@click.option(
    "--config",
    "config_file",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The feeds to record; see `recorder config`.",
)
@click.option(
    "--store",
    metavar="DIR",
    type=StorePath(),
    help="Folder of the store.  [default: as the file says]",
)
@click.option(
    "--every",
    type=click.Choice(list(WHEN)),
    default="hour",
    show_default=True,
    help="How often one run takes over from another, by UTC.",
)
@click.option(
    "--log",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the log goes.  [default: beside the configuration, *.log]",
)
@click.option(
    "--env-file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of lines NAME=value with the keys, read at each start.",
)
def crontab(
    config_file: Path,
    store: Path | None,
    every: str,
    log: Path | None,
    env_file: Path | None,
) -> None:
    """Print the lines of cron that record a file of feeds for ever.

    A new run begins every hour, or day, of UTC, records beside the one before
    and has it stop. One that ended in between, whatever the cause, is started
    again within a minute. Nothing is installed: the lines go to stdout.

    \b
    Examples:
      recorder crontab --config recorder.toml
      recorder crontab --config recorder.toml --store /srv/market --every day
      (crontab -l; recorder crontab --config recorder.toml) | crontab -
    """
    feeds = plan_feeds(config_file, _with_any_keys(), Overrides(store=store))
    path = config_file.absolute()
    words = [*program(), "capture", "--config", str(path)]
    if store is not None:
        words += ["--store", str(store.absolute())]
    words += ["--align", every]
    target = path.with_suffix(".log") if log is None else log.absolute()
    line = _Line(words, target, env_file and env_file.absolute())
    click.echo(f"# {_plain(path)}, into {_plain(feeds.store.absolute())}")
    for comment in _about_keys(feeds, env_file):
        click.echo(f"# {comment}")
    schedule, test = _when(every)
    click.echo(f"# Every {every} a run takes over from the one before, without a gap.")
    click.echo(f"{schedule} {line.command('--take-over', test=test)}")
    click.echo("# One that ended is started again; exit code 75 says that it runs.")
    click.echo(f"* * * * * {line.command()}")


def program() -> list[str]:
    """Return the words that start this recorder from anywhere."""
    script = Path(sys.executable).parent / "recorder"
    if script.exists():
        return [str(script.absolute())]
    return [sys.executable, "-c", "from recorder.cli import main; main()"]


class _Line:
    """A command as cron wants it.

    Args:
        words: What is run.
        log: Where the log goes.
        env_file: Holds keys; None if there is none.
    """

    def __init__(self, words: list[str], log: Path, env_file: Path | None) -> None:
        self._words = words
        self._end = f">>{shlex.quote(str(log))} 2>&1"
        name = "" if env_file is None else shlex.quote(str(env_file))
        self._begin = f"set -a; . {name}; set +a; " if name else ""

    def command(self, *more: str, test: str = "") -> str:
        """Return the command with more words.

        Args:
            more: The words.
            test: A condition in front of it; empty for none.

        Raises:
            ConfigError: If cron could not read it.
        """
        run = shlex.join([*self._words, *more, "--json-logs"])
        command = f"{test}{self._begin}{run} {self._end}"
        if not command.isprintable():
            raise ConfigError(
                "a line of cron cannot hold a path with control characters; rename it"
            )
        # For cron a bare % is the end of the line, also between quotes.
        command = command.replace("%", r"\%")
        if len(command) > COMMAND_MAX:
            raise ConfigError(
                f"the line would have {len(command)} characters, and cron takes "
                f"{COMMAND_MAX}; use shorter paths, or links"
            )
        return command


def _when(every: str) -> tuple[str, str]:
    """Return when cron is to look, and a condition that it is time by UTC.

    Cron goes by the machine's time, of which an hour may begin at another
    minute than that of UTC, and a day at any hour, also twice a year another.
    """
    schedule, wanted = WHEN[every]
    if offset_seconds() % 3600:
        schedule = "*/15 * * * *"
    elif every == "hour":
        return schedule, ""
    shown = "%M" if len(wanted) == 2 else "%H%M"
    return schedule, f'[ "$(date -u +{shown})" = {wanted} ] || exit 0; '


def offset_seconds() -> int:
    """Return how far the machine's time is ahead of UTC now."""
    now = datetime.fromtimestamp(wall_ns() // NS_PER_SECOND, UTC)
    offset = now.astimezone().utcoffset() or timedelta()
    return round(offset.total_seconds())


def _with_any_keys() -> dict[str, str]:
    """Return the environment, with something for each key that it lacks."""
    lacking = {name: secrets.token_hex(16) for name in variables_of(None)}
    return lacking | {name: value for name, value in os.environ.items() if value}


def _about_keys(feeds: Feeds, env_file: Path | None) -> Iterator[str]:
    """Yield what there is to say of keys: their names, never what they are."""
    names = {
        secret.env
        for feed in feeds.feeds
        for secret in feed.plan.source.secrets
        if secret.name in _needed(feed.plan.streams, feed.plan.source)
        or os.environ.get(secret.env)
    }
    if not names:
        return
    yield f"It needs {', '.join(sorted(names))} in its environment, which cron"
    if env_file is None:
        yield "does not have: write lines NAME=value into a file that only you can"
        yield "read, and print these lines again with --env-file FILE."
    else:
        yield f"takes from {_plain(env_file.absolute())}: let only you read that."


def _needed(streams: tuple[str, ...], source: Source) -> set[str]:
    return {name for stream in streams for name in kind_of(source, stream).needs}


def _plain(path: Path) -> str:
    """Return a path for a comment, which is one line whatever is in it."""
    return "".join(c if c.isprintable() else "?" for c in str(path))
