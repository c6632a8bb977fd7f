"""``recorder capture``: record one source until told to stop."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import click

from recorder.boundaries import next_boundary, parse_step
from recorder.capture.market_lists import choose_markets
from recorder.capture.plan import (
    CapturePlan,
    CaptureResult,
    Progress,
    plan_capture,
)
from recorder.capture.run import Capture
from recorder.capture.until import unless
from recorder.cli import live, logs, stdio
from recorder.cli.capture_file import capture_file
from recorder.cli.capture_report import report, stop_on_signals
from recorder.cli.options import example_source, parse_options, store_option, to_time
from recorder.clock import wall_ns
from recorder.config import CaptureConfig, parse_audit
from recorder.errors import ConfigError
from recorder.source import Source
from recorder.sources import load, names
from recorder.store.job_lock import check_job
from recorder.times import parse_seconds, show_time


def to_seconds(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> float | None:
    """Return the value of an option such as ``90s`` in seconds.

    Raises:
        ConfigError: If it is not a length of time.
    """
    return None if value is None else parse_seconds(value)


def to_step(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> int | None:
    """Return the value of an option such as ``hour`` or ``15m`` in seconds.

    Raises:
        ConfigError: If it is no step of the clock.
    """
    return None if value is None else parse_step(value)


def to_audit(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return the value of ``--audit`` in seconds, 0 for never.

    Raises:
        ConfigError: If it is not a length of time.
    """
    return parse_audit(value)


def to_logs(ctx: click.Context, param: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - as click calls it
    """Set logs up before other options are looked at: what they lack is logged."""
    logs.configure(json_logs=value)
    return value


def _offer(source: Source) -> str:
    """Return what a source can record, for ``--help``."""
    lines = []
    for kind in source.streams:
        legal = " ".join(f"{kind.name}:{parameter}" for parameter in kind.parameters)
        default = f" (default {kind.name}:{kind.default})" if kind.default else ""
        lines.append(f"  {kind.name:<8} {kind.doc}{default}")
        if legal:
            lines.append(f"           {legal}")
    lines += [
        f"  -O {option.name}={'|'.join(option.choices) or '...'}  {option.doc}"
        for option in source.options
    ]
    lines += [f"  {secret.env}  {secret.doc}" for secret in source.secrets]
    return "\n".join(lines)


class _CaptureCommand(click.Command):
    """Adds to ``--help`` what each source offers, as its module says."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sources after the options."""
        for name in names():
            source = load(name)
            formatter.write(f"\n{name}: {source.doc}\n{_offer(source)}\n")
        example = example_source()
        formatter.write(
            "\nExamples:\n"
            f"  recorder capture {example} -m BTC_USDT -s trades -s depth --store data\n"
            f"  recorder capture {example} -m BTC_USDT -m ETH_USDT -s klines:1m "
            "--store data --duration 1h\n"
        )


@click.command(cls=_CaptureCommand)
@click.argument("source", metavar="SOURCE", required=False)
@click.option(
    "-m",
    "--market",
    "markets",
    multiple=True,
    help="Market, as the venue spells it; or a pattern: '*_USDT' for all that are like "
    "it and traded at the start, '!*3L_USDT' for all but these.",
)
@click.option(
    "-s", "--stream", "streams", multiple=True, help="NAME[:PARAMETER], at least one."
)
@click.option(
    "-O", "options", multiple=True, metavar="KEY=VALUE", help="Set a source's option."
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Record the feeds of a file instead of SOURCE; see `recorder config`.",
)
@store_option
@click.option(
    "--duration", callback=to_seconds, metavar="SPAN", help="Stop after: 90s, 1h."
)
@click.option(
    "--until", callback=to_time, metavar="TIME", help="Stop at this time, ISO-8601 UTC."
)
@click.option(
    "--align",
    callback=to_step,
    metavar="STEP",
    help="Stop at the next full hour, day, 15m or other step of the UTC clock; with "
    "--take-over up to a minute later.",
)
@click.option(
    "--take-over",
    "takes_over",
    is_flag=True,
    help="If the job is running, record beside that run until all is accepted and "
    "books are known, then have it stop: no gap lies between the two.",
)
@click.option("--ws-url", help="Instead of the venue's WebSocket address.")
@click.option("--rest-url", help="Instead of the venue's HTTP address.")
@click.option(
    "--job",
    help="Name of the job, which runs only once at a time.  [default: made of what is recorded]",
)
@click.option("--archive", is_flag=True, help="Keep every frame verbatim as well.")
@click.option(
    "--backfill/--no-backfill",
    default=True,
    show_default=True,
    help="Fetch afterwards what gaps lost, as far as the venue tells it.",
)
@click.option(
    "--rotate",
    callback=to_seconds,
    metavar="SPAN",
    default="15m",
    show_default=True,
    help="Make Parquet of what is older; a table with less than 1 MiB waits until "
    "midnight UTC or the end, and can be queried meanwhile.",
)
@click.option(
    "--flush",
    callback=to_seconds,
    metavar="SPAN",
    default="1s",
    show_default=True,
    help="What a killed process may lose at most.",
)
@click.option(
    "--memory",
    type=int,
    metavar="MB",
    default=384,
    show_default=True,
    help="What rows may take that wait for the disk, on top of 350 MB or so; beyond, "
    "frames are dropped, and the table gaps says so.",
)
@click.option(
    "--renew",
    callback=to_seconds,
    metavar="SPAN",
    default="12h",
    show_default=True,
    help="Replace a connection after so long, a little sooner by chance; the next "
    "one takes over before it is left.",
)
@click.option(
    "--audit",
    callback=to_audit,
    metavar="SPAN",
    default="10m",
    show_default=True,
    help="Compare each order book with a snapshot so often, or never; one that "
    "differs is a gap and is asked for afresh. Only books with ids whose snapshots "
    "are had by HTTP.",
)
@click.option(
    "--json-logs",
    is_flag=True,
    is_eager=True,
    callback=to_logs,
    help="Log JSON, one object a line.",
)
def capture(
    source: str | None,
    markets: tuple[str, ...],
    streams: tuple[str, ...],
    options: tuple[str, ...],
    config_file: Path | None,
    store: Path,
    duration: float | None,
    until: int | None,
    align: int | None,
    ws_url: str | None,
    rest_url: str | None,
    job: str | None,
    *,
    takes_over: bool,
    archive: bool,
    backfill: bool,
    rotate: float,
    flush: float,
    memory: int,
    renew: float,
    audit: float,
    json_logs: bool,
) -> None:
    """Record SOURCE into a store until stopped, or all feeds of --config.

    Stop it with Ctrl-C, SIGTERM, --duration, --until or --align: everything
    received is then on disk. What could not be received is in the table gaps.
    """
    _check_end(duration, until, align)
    if align is not None:
        until = next_boundary(wall_ns(), align, has_next=takes_over)
    if config_file is not None:
        ends = duration, until
        sys.exit(
            capture_file(config_file, *ends, json_logs=json_logs, takes_over=takes_over)
        )
    _check_given("source", "streams")
    config = CaptureConfig(
        source=source or "",
        markets=markets,
        streams=streams,
        store=store,
        options=parse_options(options),
        stop_after_seconds=duration,
        stop_at_ns=until,
        ws_url=ws_url,
        rest_url=rest_url,
        job=job,
        is_archiving=archive,
        is_backfilling=backfill,
        rotate_seconds=rotate,
        flush_seconds=flush,
        renew_seconds=renew,
        takes_over=takes_over,
        memory_mb=memory,
        audit_seconds=audit,
    )
    plan = plan_capture(config)
    display, on_progress = live.display(is_wanted=not json_logs)
    with stdio.apart(), display:
        result = asyncio.run(record(plan, on_progress))
    sys.exit(report(result))


def _check_end(duration: float | None, until: int | None, align: int | None) -> None:
    ends = {"--duration": duration, "--until": until, "--align": align}
    given = [name for name, value in ends.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} both say when to stop; give one")
    if until is not None and until <= wall_ns():
        raise ConfigError(f"--until {show_time(until)} is over; give a time to come")


def _check_given(*names: str) -> None:
    """Check that something was given that only a file can do without.

    Raises:
        MissingParameter: If it was not.
    """
    context = click.get_current_context()
    for param in context.command.params:
        if param.name in names and not context.params[param.name]:
            raise click.MissingParameter(ctx=context, param=param)


async def record(
    plan: CapturePlan, on_progress: Callable[[Progress], None] | None = None
) -> CaptureResult | None:
    """Run a capture in the running loop; SIGINT and SIGTERM end it in order.

    Returns:
        How it went; None if it was told to stop before it began.
    """
    stop = stop_on_signals()
    if plan.has_patterns:
        # Who comes second need not ask the venue for anything.
        check_job(plan.config.store, plan.job, takes_over=plan.config.takes_over)
        chosen = await unless(stop, choose_markets(plan))
        if chosen is None:
            return None
        plan = chosen
    return await Capture(plan, on_progress=on_progress, stop=stop).run()
