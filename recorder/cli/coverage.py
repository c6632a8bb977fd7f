"""``recorder coverage``: what was recorded when, and every hole."""

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from rich.text import Text

from recorder import times
from recorder.cli.coverage_json import json_of
from recorder.cli.coverage_picture import picture, signs_for
from recorder.cli.info import died
from recorder.cli.options import (
    Command,
    check_range,
    named_stream,
    range_options,
    store_option,
)
from recorder.cli.tables import new_table, show
from recorder.counts import counted
from recorder.query.coverage import Account, ChainCoverage, CoverageReport
from recorder.query.store import open_store


LINES_SHOWN = 40

_MARGIN = 1


@click.command(cls=Command)
@store_option
@click.option("--source", metavar="SOURCE", help="Only this feed.")
@click.option("--market", metavar="MARKET", help="Only this market.")
@click.option("--stream", metavar="STREAM", help="Only this stream.")
@click.option("--job", metavar="NAME", help="Only what this job recorded.")
@range_options
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=LINES_SHOWN,
    show_default=True,
    help="Show so many chains: those that miss most.",
)
@click.option("--json", "as_json", is_flag=True, help="Write all of it as JSON.")
def coverage(
    store: Path,
    source: str | None,
    market: str | None,
    stream: str | None,
    job: str | None,
    start: int | None,
    end: int | None,
    limit: int,
    *,
    as_json: bool,
) -> None:
    """Show what was recorded of each stream and market, and every hole.

    An instant is covered if any job recorded it. It is missing if only gaps
    tell of it and none of those was healed. Gaps that last, and a job that
    is not running, are counted up to the last instant of which the store knows.

    \b
    Examples:
      recorder coverage --store ./data
      recorder coverage --market BTC_USDT --from 2026-09-01 --to 2026-09-02
      recorder coverage --source <source> --json
    """
    check_range(start, end)
    if source is not None:
        stream = named_stream(source, stream)
    report = open_store(store).coverage(
        source, market, stream, job, start, end, with_gaps=as_json
    )
    if as_json:
        for piece in json_of(report):
            click.echo(piece, nl=False)
    else:
        _show(report, limit)


def _show(report: CoverageReport, limit: int) -> None:
    for run in report.died:
        show(Text(died(report.path, run.run, run.job, run.last_alive_at)))
    if not report.chains:
        show("Nothing of that was recorded, and no gap tells of it.")
        return
    shown = _worst(report.chains, limit)
    _show_picture(shown)
    _show_table(shown)
    left = len(report.chains) - len(shown)
    if left:
        more = counted(left, "more misses", "more miss")
        show(f"{more} no more than these; --limit shows them, --json too.")
    _show_sources(report)


def _worst(chains: Sequence[ChainCoverage], limit: int) -> list[ChainCoverage]:
    """Return the chains that miss most, in their order."""
    by_missing = sorted(chains, key=lambda chain: -_weight(chain))
    chosen = {id(chain) for chain in by_missing[:limit]}
    return [chain for chain in chains if id(chain) in chosen]


def _weight(chain: ChainCoverage) -> int:
    return chain.account.missing_ns + len(chain.marks)


def _show_picture(chains: Sequence[ChainCoverage]) -> None:
    start = min(chain.started_at for chain in chains)
    end = max(chain.ended_at for chain in chains)
    signs = signs_for(sys.stdout.encoding)
    width = shutil.get_terminal_size().columns - _MARGIN
    labels = [" ".join(_names(chain)) for chain in chains]
    show(Text(f"{_second(start)} to {_second(end)}: {signs.legend}"))
    show(*picture(chains, labels, width, signs))


def _show_table(chains: Iterable[ChainCoverage]) -> None:
    table = new_table(
        "source", "stream", "market", "job", "from", "to", ">covered", ">healed",
        ">missing", ">gaps", ">open", ">healed gaps",
    )  # fmt: skip
    for chain in chains:
        names, accounts = _names(chain), [("any", chain.account)]
        if len(chain.jobs) == 1:
            accounts = [(chain.jobs[0].job, chain.account)]
        span = _second(chain.started_at), _second(chain.ended_at)
        table.add_row(*names, accounts[0][0], *span, *_cells(chain.account))
        for job in chain.jobs if len(chain.jobs) > 1 else ():
            span = _second(job.started_at), _second(job.ended_at)
            table.add_row(*names, job.job, *span, *_cells(job.account))
    show(table)


def _show_sources(report: CoverageReport) -> None:
    table = new_table(
        "source", ">chains", ">covered", ">healed", ">missing", ">gaps", ">open",
        ">healed gaps",
    )  # fmt: skip
    for source, account in report.sources.items():
        count = sum(chain.source == source for chain in report.chains)
        table.add_row(source, str(count), *_cells(account))
    show(table)


def _names(chain: ChainCoverage) -> tuple[str, str, str]:
    return chain.source, chain.stream, chain.market or "(none)"


def _cells(account: Account) -> list[str]:
    gaps = account.gaps
    return [
        share_text(account),
        _duration(account.healed_ns),
        _duration(account.missing_ns),
        str(gaps.all),
        str(gaps.open),
        str(gaps.healed),
    ]


def share_text(account: Account) -> str:
    """Return the covered share in percent; 100 only if nothing else is told."""
    if not account.told_ns:
        return "-"
    hundredths = account.covered_ns * 1_000_000 // account.told_ns
    if hundredths == 1_000_000:
        return "100 %"
    return f"{hundredths / 10_000:.4f} %"


def _duration(ns: int) -> str:
    """Return a length of time; what is not nothing never looks so."""
    if ns == 0:
        return "0"
    if ns < 1_000_000:
        return "<1 ms"
    seconds, rest = divmod(ns, 1_000_000_000)
    if seconds < 60:
        return f"{seconds}.{rest // 1_000_000:03} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{hours:02}:{minutes:02}:{seconds:02}"
    return f"{days} d {text}" if days else text


def _second(ns: int) -> str:
    return f"{times.show_time(ns):.19}Z"
