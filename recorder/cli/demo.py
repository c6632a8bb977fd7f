"""``recorder demo``: all of it at work, in a few seconds, without a network."""

import asyncio
import logging
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from recorder import times
from recorder.capture.plan import CaptureResult, plan_capture
from recorder.capture.run import Capture
from recorder.cli import EXIT_FAILED, logs
from recorder.cli.book import show_book
from recorder.cli.options import FiniteRange
from recorder.cli.output import write_rows
from recorder.cli.tables import new_table, show
from recorder.clock import wall_ns
from recorder.config import CaptureConfig
from recorder.counts import counted
from recorder.errors import ConfigError
from recorder.judging import Judgement, judge
from recorder.query.store import Store, open_store
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FaultDone
from recorder.source import Source
from recorder.sources import load, names
from recorder.store.listing import open_listing


MARKETS: Final = ("BTC_USDT", "ETH_USDT", "GT_USDT")

STREAM_PARAMETERS_MAX: Final = 3
"""Of a stream with more parameters than this, few are recorded."""

QUESTION: Final = """\
SELECT source, market, count(*) AS trades, round(sum(price * amount)) AS turnover,
       min(price) AS low, max(price) AS high
FROM trades GROUP BY ALL ORDER BY ALL"""

GAPS: Final = """\
SELECT source, reason, scope, coalesce(stream, 'all') AS stream, count(*) AS gaps,
       round(max(epoch_ns(ended_at) - epoch_ns(started_at)) / 1e6, 1) AS longest_ms,
       CASE WHEN count(ended_at) < count(*) THEN 'open: nobody records now'
            WHEN max(healed_by) = 'sequence' THEN 'ids prove that nothing was missed'
            WHEN reason = 'not_started' THEN 'before recording began'
            WHEN scope = 'book' THEN 'a new snapshot came'
            ELSE 'rows between are missing, recording went on' END AS ended
FROM gaps GROUP BY source, reason, scope, stream
ORDER BY source, scope DESC, reason, stream"""


_LOST_FRAME: Final = "drop:feed=v4,stream=depth,parameter=100ms,market=ETH_USDT"
"""Of a stream whose ids show it."""

MISHAPS: Final = {"drop": "a frame", "abort": "a connection"}
"""What is to be lost on purpose, by the name of the fault."""

CONNECT_SECONDS: Final = 60.0
"""How long a slow machine may take to come to the first subscription."""

NEXT_QUESTION: Final = (
    "SELECT started_at::TIME AS began, reason, scope, market, stream "
    "FROM gaps ORDER BY started_at"
)
"""Of columns that fit side by side on a terminal of 80 characters."""


@click.command()
@click.option(
    "--store",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="An empty or new folder.  [default: demo-data/<time>]",
)
@click.option(
    "--seconds",
    type=FiniteRange(4, 600),
    default=10,
    show_default=True,
    help="How long to record.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the exchange.")
def demo(store: Path | None, seconds: float, seed: int) -> None:
    """Record an exchange that comes along, and show what came of it.

    The exchange runs on this machine, drops a frame and a connection on
    purpose, and knows the truth: every replayed book state and every trade
    is compared with it. The exit code is 0 only if all are right.
    """
    root = store or Path("demo-data") / f"{times.show_time(wall_ns()):.19}".replace(
        ":", ""
    )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(f"{root} is not empty; give --store a new folder")
    logs.configure(json_logs=False, level=logging.ERROR)
    show(
        Text(
            f"Recording {', '.join(MARKETS)} for {seconds:g} s. "
            "A frame and a connection will be lost on purpose.",
            style="bold",
        )
    )
    results, judgement, faults_done = asyncio.run(_record(root, seconds, seed))
    for result in results:
        if result.failure is not None or result.refused:
            click.echo(f"Error: {result.failure or result.refused}", err=True)
            sys.exit(EXIT_FAILED)
    wrong = [*not_lost(faults_done), *judgement.complaints]
    _tell(open_store(root), judgement)
    for complaint in wrong:
        click.echo(f"Error: {complaint}", err=True)
    sys.exit(EXIT_FAILED if wrong else 0)


async def _record(
    root: Path, seconds: float, seed: int
) -> tuple[list[CaptureResult], Judgement, list[FaultDone]]:
    """Run exchange and captures; return how it went, judged by the exchange.

    Both the length and the faults count from the first subscription: how
    long it takes to come there depends on the machine.
    """
    settings = Settings(
        seed=seed,
        markets=MARKETS,
        faults=(
            faults.parse(f"{_LOST_FRAME},at={0.4 * seconds:g}"),
            faults.parse(f"abort:at={0.6 * seconds:g}"),
        ),
        log_frames=True,
    )
    async with Exchange(settings) as exchange:
        plans = [
            plan_capture(
                CaptureConfig(
                    source=source,
                    markets=MARKETS,
                    streams=_streams(load(source)),
                    store=root,
                    ws_url=ws_url,
                    rest_url=exchange.rest_url,
                    stop_after_seconds=seconds + CONNECT_SECONDS,
                    job=f"demo-{source}",
                )
            )
            for source, ws_url in exchange.ws_urls.items()
            if source in names()
        ]
        captures = [Capture(plan) for plan in plans]
        stopping = asyncio.ensure_future(_stop(captures, exchange, seconds))
        results = list(await asyncio.gather(*(c.run() for c in captures)))
        stopping.cancel()
    # Nothing moves any more: the truth holds still while it is compared with.
    asked = {plan.source.name: plan.chains for plan in plans}
    return (
        results,
        judge(open_listing(root), exchange.truth, asked),
        exchange.truth.faults,
    )


async def _stop(captures: list[Capture], exchange: Exchange, seconds: float) -> None:
    """Stop the captures so long after the first subscription."""
    await exchange.subscribed()
    await asyncio.sleep(seconds)
    for capture in captures:
        capture.request_stop()


def not_lost(done: Iterable[FaultDone]) -> list[str]:
    """Return complaints about what was to be lost on purpose and was not.

    That it left a gap if it was lost, the judge sees to.
    """
    names = {fault.name for fault in done}
    return [
        f"the exchange did not come to lose {what} on purpose, so nothing is shown of "
        "it; run the demo again with more --seconds"
        for name, what in MISHAPS.items()
        if name not in names
    ]


def _program() -> str:
    """Return how to call this program: by its name only if that finds it."""
    called = Path(sys.argv[0])
    found = shutil.which("recorder")
    is_found = found is not None and called.exists() and Path(found).samefile(called)
    if is_found or called.name != "recorder":
        return "recorder"
    return str(called)


def _streams(source: Source) -> tuple[str, ...]:
    """Return every kind of stream that needs no key, with few parameters of each.

    Of books, one for each way in which their snapshots come.
    """
    streams = []
    for kind in source.streams:
        if kind.needs:
            continue
        parameters = kind.parameters
        if len(parameters) > STREAM_PARAMETERS_MAX:
            parameters = (kind.default or "1m", *parameters)
            ways = {
                rule.snapshot: parameter
                for parameter in reversed(parameters)
                if (rule := source.book_rule(f"{kind.name}:{parameter}"))
            }
            parameters = tuple(reversed(ways.values())) or parameters[:1]
        streams += [f"{kind.name}:{parameter}" for parameter in parameters]
        if not parameters:
            streams.append(kind.name)
    return tuple(streams)


def _tell(store: Store, judgement: Judgement) -> None:
    """Show what a newcomer wants to see."""
    _tell_sizes(store)
    show("\nWhat is missing, why, and how it ended:")
    _ask(store, GAPS)
    show(f"\nA question in SQL:\n\n{QUESTION}\n")
    _ask(store, QUESTION)
    show("\nAn order book, replayed from Parquet:")
    first = judgement.books[0]
    market, stream = first.chain
    view = store.book_at(
        source=first.source,
        market=market,
        stream=stream,
        at=_middle(store),
        levels=5,
    )
    show_book(store, view)
    _tell_verdict(judgement)
    place = f"--store {store.path}"
    book = f"--source {first.source} --market {market} --stream {stream}"
    show(f"\nThe data is in {store.path}. Try next:\n")
    for command in ("info", f'sql "{NEXT_QUESTION}"', f"bbo {book}"):
        show(f"  {_program()} {command} {place}")


def _tell_sizes(store: Store) -> None:
    table = new_table("source", "table", ">rows", ">bytes on disk", ">bytes a row")
    for entry in store.info().tables:
        table.add_row(
            entry.source,
            entry.table,
            f"{entry.rows:,}",
            f"{entry.bytes:,}",
            f"{entry.bytes / max(1, entry.rows):,.0f}",
        )
    show("\nWhat was recorded:", table)


def _tell_verdict(judgement: Judgement) -> None:
    books, trades, pushes = judgement.books, judgement.trades, judgement.pushes
    states, equal = sum(b.states for b in books), sum(b.equal for b in books)
    expected = sum(t.expected for t in trades)
    stored, in_gaps = sum(t.stored for t in trades), sum(t.in_gaps for t in trades)
    lost = sum(len(t.lost) for t in trades)
    sent, kept = sum(p.sent for p in pushes), sum(p.stored for p in pushes)
    missing, again = sum(p.in_gaps for p in pushes), sum(p.repeated for p in pushes)
    owed = sum(t.owed for t in judgement.traces)
    told = sum(t.told for t in judgement.traces)
    show(
        Text(f"\n{equal} of {states} book states equal the exchange's own", "bold"),
        f"{stored} of {expected} trades are stored once and right, {counted(in_gaps, 'lies', 'lie')} in a "
        f"gap that says so, {counted(lost, 'is', 'are')} lost in silence",
        f"{kept} of {sent} other rows that were pushed are stored once and right, "
        f"{counted(missing, 'lies', 'lie')} in a gap that says so, {counted(again, 'repeats', 'repeat')} a stored one",
        f"{told} of {owed} gaps that the faults must leave are there",
    )


def _ask(store: Store, question: str) -> None:
    schema, batches = store.stream(question)
    write_rows(schema, batches, "table", None, force=False)


def _middle(store: Store) -> int:
    """Return an instant before the first fault, when every book is known."""
    began, ended = store.sql(
        "SELECT min(epoch_ns(started_at)), max(epoch_ns(ended_at)) FROM coverage"
    ).fetchall()[0]
    return int(began + (ended - began) * 0.3)
