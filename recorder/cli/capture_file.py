"""``recorder capture --config``: record the feeds of a file together."""

import asyncio
import os
from pathlib import Path
from typing import Final

import click

from recorder.capture.feeds import Feeds, plan_feeds
from recorder.capture.many import Captures, OnProgress, Outcome
from recorder.cli import live, stdio
from recorder.cli.capture_report import report_all, stop_on_signals
from recorder.config import (
    check_audit,
    check_flush,
    check_job,
    check_memory,
    check_renew,
    check_rotate,
)
from recorder.config_file import Overrides
from recorder.errors import ConfigError


_OF_FILE: Final = ("source", "markets", "streams", "options", "ws_url", "rest_url")
"""What only the file says."""


def capture_file(
    path: Path,
    duration: float | None,
    until: int | None,
    *,
    json_logs: bool,
    takes_over: bool = False,
) -> int:
    """Record what a file says, and what the command line says instead.

    Args:
        path: The file.
        duration: How long to record, seconds; None for no limit.
        until: When to stop, nanoseconds since 1970 UTC; None for never.
        json_logs: Whether there are to be no displays.
        takes_over: Whether to take over from who records it already.

    Returns:
        The exit code.

    Raises:
        ConfigError: If the file cannot be recorded, or the command line says
            what only the file can.
    """
    feeds = plan_feeds(path, os.environ, _overrides())
    if duration is not None and duration <= 0:
        raise ConfigError("--duration must be longer than nothing")
    names = [feed.name for feed in feeds.feeds]
    display, on_progress = live.display_many(names, is_wanted=not json_logs)
    with stdio.apart(), display:
        outcomes = asyncio.run(
            _record(feeds, duration, until, on_progress, takes_over=takes_over)
        )
    return report_all(outcomes)


async def _record(
    feeds: Feeds,
    duration: float | None,
    until: int | None,
    on_progress: OnProgress | None,
    *,
    takes_over: bool,
) -> tuple[Outcome, ...]:
    return await Captures(
        feeds,
        stop=stop_on_signals(),
        stop_after_seconds=duration,
        stop_at_ns=until,
        on_progress=on_progress,
        takes_over=takes_over,
    ).run()


def _overrides() -> Overrides:
    """Return what the command line says instead of the file.

    Raises:
        ConfigError: If it says what cannot be, or only the file can.
    """
    context = click.get_current_context()
    given = {
        param.name: (param.opts[0], context.params[param.name])
        for param in context.command.params
        if context.get_parameter_source(param.name)
        is click.core.ParameterSource.COMMANDLINE
    }
    if clashing := [given[name][0] for name in _OF_FILE if name in given]:
        raise ConfigError(
            f"--config says what is recorded, so leave out {', '.join(clashing)}"
        )
    values = {name: value for name, (_, value) in given.items()}
    if (job := values.get("job")) is not None:
        check_job(job)
    if (rotate := values.get("rotate")) is not None:
        check_rotate(rotate)
    if (flush := values.get("flush")) is not None:
        check_flush(flush)
    if (renew := values.get("renew")) is not None:
        check_renew(renew)
    if (memory := values.get("memory")) is not None:
        check_memory(memory)
    if (audit := values.get("audit")) is not None:
        check_audit(audit)
    return Overrides(
        store=values.get("store"),
        job=job,
        rotate_seconds=rotate,
        flush_seconds=flush,
        renew_seconds=renew,
        audit_seconds=audit,
        is_archiving=values.get("archive"),
        memory_mb=memory,
        is_backfilling=values.get("backfill"),
    )
