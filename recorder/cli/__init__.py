"""The command line. Only this package prints and decides exit codes.

Commands are imported when they are called, so that ``recorder --help`` costs
little more than click itself: this module imports nothing heavier, and the
one-line helps below are plain text.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from recorder import __version__
from recorder.cli import stdio
from recorder.errors import (
    ConfigError,
    JobRunningError,
    QuestionRefusedError,
    RecorderError,
)


EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_JOB_RUNNING: Final = 75
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141


class _Command(NamedTuple):
    module: str
    help: str


COMMANDS: Final[dict[str, _Command]] = {
    "probe": _Command("probe", "Look at a source for half a minute; store nothing."),
    "capture": _Command("capture", "Record markets of a source into a store."),
    "config": _Command("config", "Check a file of feeds to record, or show one."),
    "crontab": _Command("crontab", "Print the lines of cron that record a file."),
    "sql": _Command("sql", "Ask a store a question in SQL."),
    "book": _Command("book", "Show an order book as it was at an instant."),
    "bbo": _Command("bbo", "Show best bid and offer after every depth message."),
    "replay": _Command("replay", "Print recorded events in the order of time."),
    "info": _Command("info", "Show what a store holds, and what is missing."),
    "verify": _Command("verify", "Check a whole store: files, ids, books, ledger."),
    "coverage": _Command("coverage", "Show what was recorded when, and every hole."),
    "recover": _Command("recover", "Convert what killed runs left in a store."),
    "backfill": _Command("backfill", "Fetch what gaps of a store lost."),
    "schema": _Command("schema", "Show tables, columns, types and units."),
    "markets": _Command("markets", "List the markets of a source."),
    "fetch": _Command("fetch", "Ask a venue once over its WebSocket; store nothing."),
    "simulate": _Command("simulate", "Run an exchange on this machine."),
    "demo": _Command("demo", "See all of it work, in a few seconds."),
}
"""The commands, in the order of ``--help``: each is ``<module>.<name>``."""


def exit_code(error: RecorderError) -> int:
    """Return the exit code that tells of an error."""
    if isinstance(error, JobRunningError):
        return EXIT_JOB_RUNNING
    if isinstance(error, ConfigError | QuestionRefusedError):
        return EXIT_USAGE
    return EXIT_FAILED


class LazyGroup(click.Group):
    """The commands of `COMMANDS`, imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        known = COMMANDS.get(cmd_name)
        if known is None:
            return None
        command: click.Command = getattr(
            import_module(f"{__name__}.{known.module}"), cmd_name
        )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments call, or say which was meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches  # rarely needed

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, c.help) for name, c in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; turn what goes wrong into a sentence and a code."""
        with _explained():
            try:
                return super().main(*args, **extra)
            finally:
                sys.stdout.flush()

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; here, before click makes its own of what goes wrong."""
        with _explained():
            return super().invoke(ctx)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors into a sentence on stderr and an exit code."""
    try:
        yield
    except RecorderError as error:
        from recorder.cli import logs  # rarely needed

        logs.complain(str(error))
        sys.exit(exit_code(error))
    except click.UsageError as error:
        from recorder.cli import logs  # rarely needed

        if not logs.are_json():
            raise
        logs.complain(error.format_message())
        sys.exit(EXIT_USAGE)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Who read our output has seen enough.
        sys.exit(EXIT_BROKEN_PIPE)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="recorder")
def cli() -> None:
    """Record public market data, query it, replay its order books.

    A store is a folder of Parquet files that any tool can read. Each command
    has examples in its own --help. Times are ISO-8601 and UTC, ranges
    include their start and not their end.

    \b
    Exit codes: 0 done; 1 failed while running; 2 wrong usage or
    configuration; 75 another run holds the job.
    """
    import logging  # --help does without these

    from recorder.cli import logs

    # What is wrong with a store is told with its facts by each command.
    logs.configure(json_logs=False, level=logging.WARNING)


def main() -> None:
    """Run the command line of this process."""
    stdio.install()
    cli(prog_name="recorder")
