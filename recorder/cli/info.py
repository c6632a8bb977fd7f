"""``recorder info``: what a store holds, and what is missing."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.text import Text

from recorder import times
from recorder.cli.options import store_option
from recorder.cli.tables import new_table, number, show
from recorder.query.info import StoreInfo
from recorder.query.store import open_store
from recorder.store.last_runs import LastRun


MARKETS_SHOWN = 5
JOBS_SHOWN = 2


@click.command()
@store_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="What to write.",
)
def info(store: Path, format_: str) -> None:
    """Show what a store holds: sources, markets, streams, times, sizes, gaps.

    \b
    Examples:
      recorder info --store ./data
      recorder info --format json
    """
    found = open_store(store).info()
    if format_ == "json":
        click.echo(_as_json(found))
    else:
        _show(found)
        for run in found.died:
            show(Text(died(found.path, run.run, run.job, run.last_alive_at)))
        for last in found.last_runs:
            if last.state != "ended":
                show(Text(f"The last run of job {last.job} {last.state}: {why(last)}"))


def _as_json(found: StoreInfo) -> bytes:
    content = msgspec.to_builtins(found)
    for entry in (*content["tables"], *content["streams"], *content["died"]):
        for name in entry.keys() & _TIMES:
            entry[name] = times.show_time(entry[name])
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


_TIMES = {"first_ts_recv", "last_ts_recv", "started_at", "ended_at", "last_alive_at"}


def why(last: LastRun) -> str:
    """Return why a run did not end well, in words."""
    told = [*([] if last.failure is None else [last.failure]), *last.refused]
    return "; ".join(told[:3]) or f"its exit code was {last.exit_code}"


def died(path: str | Path, run: str, job: str, last_alive_at: int) -> str:
    """Return what there is to say of a run that died and was not recovered.

    Args:
        path: The store's folder.
        run: Id of the run.
        job: Name of its job.
        last_alive_at: Its last heartbeat, our clock, nanoseconds.
    """
    command = shlex.join(["recorder", "recover", "--store", str(path)])
    return (
        f"Run {run} of job {job} died; it was last alive at "
        f"{times.show_time(last_alive_at)}. What is missing since is not among the "
        f"gaps yet; {command} notes it, and so does the next capture."
    )


def _show(found: StoreInfo) -> None:
    show(Text(f"store {found.path}: {_size(found.bytes)} on disk"))
    if not found.tables:
        show("It is empty. Record something into it: recorder capture --help")
        return
    tables = new_table(
        "source", "table", ">rows", ">in segments", ">files", "first", "last"
    )
    for entry in found.tables:
        tables.add_row(
            entry.source,
            entry.table,
            f"{entry.rows:,}",
            _size(entry.bytes),
            str(entry.files),
            _to_the_second(entry.first_ts_recv),
            _to_the_second(entry.last_ts_recv),
        )
    show(tables)
    streams = new_table("source", "stream", "markets", "job", "recorded from", "to")
    for stream in found.streams:
        streams.add_row(
            stream.source,
            stream.stream,
            _several(stream.markets, MARKETS_SHOWN) or "(none)",
            _several(stream.jobs, JOBS_SHOWN),
            _to_the_second(stream.started_at),
            _to_the_second(stream.ended_at),
        )
    show(streams)
    if not found.gaps:
        show("No gaps noted yet." if found.died else "No gaps.")
        return
    gaps = new_table(
        "source", "scope", "reason", ">gaps", ">open", ">healed", ">seconds"
    )
    for gap in found.gaps:
        gaps.add_row(
            gap.source,
            gap.scope,
            gap.reason,
            str(gap.gaps),
            str(gap.open),
            str(gap.healed),
            number(round(gap.seconds, 3)),
        )
    show(gaps)


def _to_the_second(ns: int) -> str:
    return f"{times.show_time(ns):.19}Z"


def _several(names: Sequence[str], most: int) -> str:
    """Return the first of some names, and how many more there are."""
    text = ", ".join(names[:most])
    left = len(names) - most
    return f"{text} and {left} more" if left > 0 else text


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
