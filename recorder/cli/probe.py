"""``recorder probe``: look at a source for a while, and store nothing."""

import asyncio
import logging
import signal
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from recorder import times
from recorder.capture.plan import CapturePlan
from recorder.cli import EXIT_FAILED, EXIT_USAGE, logs
from recorder.cli.options import Command, FiniteRange, parse_options
from recorder.cli.tables import new_table, number, show
from recorder.counts import counted
from recorder.probe.choice import choose
from recorder.probe.findings import clock_words, span
from recorder.probe.report import (
    Finding,
    Outcome,
    ProbeReport,
    Severity,
    StreamReport,
)
from recorder.probe.run import Probe


EXIT_CODES: Final[dict[Outcome, int]] = {
    "good": 0,
    "amiss": EXIT_FAILED,
    "failed": EXIT_USAGE,
}

_VERDICTS: Final[dict[Outcome, str]] = {
    "good": "Good: it can be recorded.",
    "amiss": "Amiss: it can be recorded, but rows would be missing or times wrong.",
    "failed": "Failed: like this, it cannot be recorded.",
}
_MARKS: Final[dict[Severity, str]] = {
    "failed": "FAILED ",
    "amiss": "AMISS  ",
    "remark": "Remark ",
}


@click.command(cls=Command)
@click.argument("source", metavar="SOURCE")
@click.option(
    "-m",
    "--market",
    "markets",
    multiple=True,
    help="Market, as the venue spells it.  [default: a lively one]",
)
@click.option(
    "-s",
    "--stream",
    "streams",
    multiple=True,
    help="NAME[:PARAMETER].  [default: one of each kind]",
)
@click.option(
    "-O", "options", multiple=True, metavar="KEY=VALUE", help="Set a source's option."
)
@click.option(
    "--seconds",
    type=FiniteRange(min=0.0, min_open=True),
    default=30.0,
    show_default=True,
    help="How long to look.",
)
@click.option("--ws-url", help="Instead of the venue's WebSocket address.")
@click.option("--rest-url", help="Instead of the venue's HTTP address.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def probe(
    source: str,
    markets: tuple[str, ...],
    streams: tuple[str, ...],
    options: tuple[str, ...],
    seconds: float,
    ws_url: str | None,
    rest_url: str | None,
    *,
    as_json: bool,
) -> None:
    """Look at SOURCE for half a minute: what would a recording be like?

    Connects, subscribes, and checks what comes as a recording does, but stores
    nothing. Tells which subscriptions are accepted, whether sequences are
    whole and order books known, which keys and frames are not known, and how
    far the venue's clock is from this machine's. Ctrl-C ends it early.

    \b
    Exit codes: 0 it can be recorded; 1 it can, but rows would be missing or
    times wrong; 2 nothing comes of it, keys are not accepted, or wrong usage.

    \b
    Examples:
      recorder probe <source>
      recorder probe <source> -m ETH_USDT -s trades -s depth --seconds 120
      recorder probe <source> --json
    """
    # The report tells all of it.
    logs.configure(json_logs=False, level=logging.CRITICAL)
    choice = asyncio.run(
        choose(
            source,
            markets=markets,
            streams=streams,
            options=parse_options(options),
            ws_url=ws_url,
            rest_url=rest_url,
        )
    )
    for note in choice.notes:
        click.echo(f"{note}.", err=True)
    report = asyncio.run(_probe(choice.plan, seconds))
    if as_json:
        click.echo(_as_json(report))
    else:
        _show(report)
    sys.exit(EXIT_CODES[report.outcome])


async def _probe(plan: CapturePlan, seconds: float) -> ProbeReport:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    click.echo(
        f"Looking at {counted(len(plan.chains), 'stream')} of {plan.source.name} for "
        f"{number(seconds)} s ...",
        err=True,
    )
    live, on_progress = _display()
    with live:
        return await Probe(plan, seconds, stop=stop, on_progress=on_progress).run()


def _display() -> tuple[
    AbstractContextManager[object], Callable[[ProbeReport], None] | None
]:
    """Return a live line and what feeds it; nothing unless on a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return nullcontext(), None
    live = Live(console=console, refresh_per_second=2, transient=True)
    return live, lambda report: live.update(Text(_progress(report)))


def _progress(report: ProbeReport) -> str:
    answers = Counter(stream.answer for stream in report.streams)
    told = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    return f"{report.seconds:.0f} s: {counted(report.frames, 'frame')}; {told}"


def _as_json(report: ProbeReport) -> bytes:
    content = msgspec.to_builtins(report)
    content["started_at"] = times.show_time(report.started_at)
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


def _show(report: ProbeReport) -> None:
    show(
        Text(
            f"{report.source} at {report.ws_url}, {report.seconds:.1f} s "
            f"from {times.show_time(report.started_at):.19}Z"
        )
    )
    if report.connections:
        streams = new_table(
            "stream", "market", "subscription", ">frames", ">rows", "sequence", "book"
        )
        for stream in report.streams:
            streams.add_row(
                stream.stream,
                stream.market or "",
                stream.answer,
                f"{stream.frames:,}",
                _rows(stream),
                _sequence(stream),
                _book(stream),
            )
        show(streams)
        show(*(Text(line) for line in _facts(report)))
    for finding in report.findings:
        show(Text(_line(finding)))
    show(Text(_VERDICTS[report.outcome]))


def _rows(stream: StreamReport) -> str:
    past = f" ({stream.history:,} of the past)" if stream.history else ""
    return f"{stream.rows:,}{past}"


def _sequence(stream: StreamReport) -> str:
    if stream.sequence is None:
        return ""
    if stream.last_update_id is None:
        return stream.sequence
    return f"{stream.sequence}, {stream.first_update_id} to {stream.last_update_id}"


def _book(stream: StreamReport) -> str:
    if stream.book_seconds is None:
        return stream.book or ""
    return f"{stream.book}, first after {stream.book_seconds:.1f} s"


def _facts(report: ProbeReport) -> list[str]:
    """Return what is worth a line though nothing is wrong with it."""
    size = sum(life.bytes for life in report.connections)
    ping = report.clock.ping_seconds
    answers = "none came" if ping is None else f"the fastest took {span(ping)[1:]}"
    connections = len(report.connections)
    frames = counted(report.frames, "frame")
    searched = counted(
        report.frames_searched, "frame was searched", "frames were searched"
    )
    return [
        f"Connections: {connections}; {frames}, {size / 1000:,.1f} kB",
        f"Answers: {answers}",
        f"Venue's clock minus ours: {clock_words(report.clock)}",
        f"Keys not known: {len(report.unknown_keys)}; {searched}",
    ]


def _line(finding: Finding) -> str:
    return f"{_MARKS[finding.severity]}{finding.text}"
