"""Logs on stderr, one line an event, for people or as JSON."""

import logging
import sys
from typing import Final

import click
import msgspec

from recorder import times
from recorder.telemetry import LOGGER, CommandFailed, Signal, emit


_SPACED: Final = frozenset(' "=\n\t')


class _StderrHandler(logging.Handler):
    """Writes to whatever stderr is at that moment, each line at once."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; `recorder.cli.stdio` sees to it that this cannot fail."""
        sys.stderr.write(self.format(record).replace("\n", "\\n") + "\n")
        sys.stderr.flush()


class TextFormatter(logging.Formatter):
    """``<time> <LEVEL> <message> <fact>=<value> ...``; of several feeds, which."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line for people."""
        feed = _feed(record)
        named = {**({"feed": feed} if feed else {}), **_facts(record)}
        facts = "".join(f" {name}={_word(value)}" for name, value in named.items())
        return f"{_time(record)} {record.levelname:<7} {record.getMessage()}{facts}"


class JsonFormatter(logging.Formatter):
    """One object: ``ts``, ``level``, ``event``, ``message``, ``facts``.

    And ``feed``, where one process captures several.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line of JSON."""
        signal = getattr(record, "signal", None)
        line = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "event": type(signal).__name__ if signal else record.name,
            "message": record.getMessage(),
            "facts": _facts(record),
        }
        if feed := _feed(record):
            line["feed"] = feed
        return msgspec.json.encode(line, enc_hook=str).decode()


def configure(*, json_logs: bool, level: int = logging.INFO) -> None:
    """Send logs to stderr, in place of what an earlier call set up.

    Args:
        json_logs: Whether lines are JSON objects.
        level: The lowest level of the recorder's own events that is written;
            other packages' are written from warnings up.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _StderrHandler):
            root.removeHandler(handler)
    handler = _StderrHandler()
    handler.setFormatter(JsonFormatter() if json_logs else TextFormatter())
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    LOGGER.setLevel(level)


def are_json() -> bool:
    """Return whether `configure` was told to write JSON."""
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    return any(isinstance(formatter, JsonFormatter) for formatter in formatters)


def complain(sentence: str) -> None:
    """Say on stderr what went wrong: as JSON where logs are that."""
    if are_json():
        emit(CommandFailed(why=sentence))
    else:
        click.echo(f"Error: {sentence}", err=True)


def _time(record: logging.LogRecord) -> str:
    # Log times are floats: microseconds are what they can hold.
    return times.show_time(int(record.created * 1_000_000) * 1_000)


def _feed(record: logging.LogRecord) -> str | None:
    return getattr(record, "feed", None)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    signal = getattr(record, "signal", None)
    facts = signal.facts() if isinstance(signal, Signal) else {}
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        facts["error"] = f"{type(error).__name__}: {error}"
    return facts


def _word(value: object) -> str:
    text = str(value)
    if not text or not _SPACED.isdisjoint(text):
        return msgspec.json.encode(text).decode()
    return text
