"""``recorder verify``: is a store what it says it is?"""

import shlex
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.text import Text

from recorder import times
from recorder.cli.options import Command, check_range, range_options, store_option
from recorder.cli.tables import show
from recorder.counts import counted
from recorder.verify import KINDS, Finding, Report, verify as verify_store


EXIT_FINDINGS: Final = 1
SHOWN: Final = 5
"""Findings of a kind that people are shown."""


@click.command(cls=Command)
@store_option
@click.option("--source", metavar="SOURCE", help="Only this one.")
@click.option(
    "-m", "--market", "markets", metavar="MARKET", multiple=True, help="Only these."
)
@range_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with all findings.")
def verify(
    *,
    store: Path,
    source: str | None,
    markets: tuple[str, ...],
    start: int | None,
    end: int | None,
    as_json: bool,
) -> None:
    """Check a whole store: files, rows, ids, books, ledger, what runs left.

    Every file is read to its end and compared with its footer, its table, its
    folder and its name. Rows must be sorted and stand there once. Ids of depth
    and numbers of trades must have no hole that no gap tells of. Every book is
    replayed: where it cannot be shown, a gap must say why. Covered time and gaps
    must add up to wall time for each job, market and stream. What dead runs left
    is told, and what does not belong into a store.

    Nothing is changed, and captures may run meanwhile: what they have not told
    yet is left out. With -m, --from or --to what runs left is not looked at.

    Exit codes: 0 nothing is wrong (warnings may be told); 1 something is;
    2 wrong usage.

    \b
    Examples:
      recorder verify --store ./data
      recorder verify --source SOURCE --from 2026-11-01 --json
      recorder verify -m BTC_USDT -m ETH_USDT
    """
    check_range(start, end)
    report = verify_store(
        store,
        source=source,
        markets=markets or None,
        start_ns=start,
        end_ns=end,
    )
    if as_json:
        click.echo(_as_json(report))
    else:
        _show(report, store)
    if report.errors:
        raise SystemExit(EXIT_FINDINGS)


def _as_json(report: Report) -> bytes:
    content: dict[str, Any] = msgspec.to_builtins(report)
    for finding in content["findings"]:
        finding["severity"] = KINDS[finding["kind"]].severity
        for name in ("started_at", "ended_at"):
            if name in finding:
                finding[name] = times.show_time(finding[name])
    content["errors"], content["warnings"] = report.errors, report.warnings
    content["kinds"] = {
        kind: msgspec.to_builtins(KINDS[kind]) for kind in report.counts
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2)


def _show(report: Report, store: Path) -> None:
    checked = report.checked
    alive = counted(checked.runs_alive, "run records now", "runs record now")
    told = (
        counted(checked.files, "file"),
        counted(checked.rows, "row"),
        counted(checked.chains, "account"),
        counted(checked.books, "book"),
    )
    show(
        Text(
            f"store {report.store}: {', '.join(told)}"
            f"{f'; {alive}' if checked.runs_alive else ''}"
        )
    )
    for kind, found in groupby(report.findings, key=lambda finding: finding.kind):
        show(*_group(kind, list(found), report.counts[kind], store))
    for what in report.skipped:
        show(Text(f"Not looked at: {what}."))
    if not report.findings:
        show("Nothing is wrong.")
        return
    show(
        Text(
            f"\n{counted(report.errors, 'error')}, {counted(report.warnings, 'warning')}."
        )
    )


def _group(kind: str, found: list[Finding], count: int, store: Path) -> Iterable[Text]:
    told = KINDS[kind]
    colour = "red" if told.severity == "error" else "yellow"
    yield Text.assemble(
        "\n", (told.severity, colour), f" {kind}: {told.title} ({count})"
    )
    yield Text(f"  {told.meaning}")
    advice = told.advice.replace("--store DIR", shlex.join(["--store", str(store)]))
    yield Text(f"  What to do: {advice}")
    for finding in found[:SHOWN]:
        yield Text(f"    {_line(finding)}")
    if count > SHOWN:
        yield Text(f"    and {count - SHOWN:,} more")


def _line(finding: Finding) -> str:
    about = (finding.source, finding.table, finding.market, finding.stream)
    words = [finding.path] if finding.path else [word for word in about if word]
    if finding.path and finding.market:
        words.append(finding.market)
    if finding.job:
        words.append(f"(job {finding.job})")
    if finding.started_at is not None and not finding.path:
        words.append(f"from {times.show_time(finding.started_at)}")
        if finding.ended_at is not None:
            words.append(f"to {times.show_time(finding.ended_at)}")
    place = " ".join(words)
    return f"{place}: {finding.detail}" if place else finding.detail
