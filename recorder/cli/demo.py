"""``recorder demo``: all of it at work, in a few seconds, without a network."""

import asyncio
import logging
import shutil
import sys
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from recorder import times
from recorder.capture.plan import CaptureResult, plan_capture
from recorder.capture.run import Capture
from recorder.cli import EXIT_FAILED, logs
from recorder.cli.book import show_book
from recorder.cli.judge import BookVerdict, TradeVerdict, judge_books, judge_trades
from recorder.cli.output import write_rows
from recorder.cli.tables import new_table, show
from recorder.clock import wall_ns
from recorder.config import CaptureConfig
from recorder.errors import ConfigError
from recorder.query.store import Store, open_store
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth
from recorder.source import Source
from recorder.sources import load
from recorder.store.listing import open_listing


MARKETS: Final = ("BTC_USDT", "ETH_USDT", "GT_USDT")

STREAM_PARAMETERS_MAX: Final = 3
"""Of a stream with more parameters than this, only one is recorded."""

QUESTION: Final = """\
SELECT source, market, count(*) AS trades, round(sum(price * amount)) AS turnover,
       min(price) AS low, max(price) AS high
FROM trades GROUP BY ALL ORDER BY ALL"""

GAPS: Final = """\
SELECT source, reason, scope, coalesce(stream, 'all') AS stream, count(*) AS gaps,
       round(max(epoch_ns(ended_at) - epoch_ns(started_at)) / 1e6, 1) AS longest_ms,
       CASE WHEN count(ended_at) < count(*) THEN 'open: nobody records now'
            WHEN max(healed_by) = 'sequence' THEN 'ids prove that nothing was missed'
            WHEN scope = 'book' THEN 'a new snapshot came'
            ELSE 'rows between are missing, recording went on' END AS ended
FROM gaps GROUP BY source, reason, scope, stream
ORDER BY source, scope DESC, reason, stream"""


NEXT_QUESTION: Final = "SELECT * FROM gaps ORDER BY started_at"


@click.command()
@click.option(
    "--store",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="An empty or new folder.  [default: demo-data/<time>]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(4, 600),
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
    results, books, trades = asyncio.run(_record(root, seconds, seed))
    for result in results:
        if result.failure is not None or result.refused:
            click.echo(f"Error: {result.failure or result.refused}", err=True)
            sys.exit(EXIT_FAILED)
    sys.exit(0 if _tell(open_store(root), books, trades) else EXIT_FAILED)


async def _record(
    root: Path, seconds: float, seed: int
) -> tuple[list[CaptureResult], list[BookVerdict], list[TradeVerdict]]:
    """Run exchange and captures; return how it went, judged by the exchange."""
    settings = Settings(
        seed=seed,
        markets=MARKETS,
        faults=(
            faults.parse(f"drop:stream=depth,market=ETH_USDT,at={0.4 * seconds:g}"),
            faults.parse(f"abort:at={0.6 * seconds:g}"),
        ),
    )
    async with Exchange(settings) as exchange:
        captures = [
            Capture(
                plan_capture(
                    CaptureConfig(
                        source=source,
                        markets=MARKETS,
                        streams=_streams(load(source)),
                        store=root,
                        ws_url=ws_url,
                        rest_url=exchange.rest_url,
                        stop_after_seconds=seconds,
                        job=f"demo-{source}",
                    )
                )
            )
            for source, ws_url in exchange.ws_urls.items()
        ]
        results = list(await asyncio.gather(*(c.run() for c in captures)))
        books, trades = await asyncio.to_thread(_judge, root, exchange.truth)
    return results, books, trades


def _program() -> str:
    """Return how to call this program: by its name only if that finds it."""
    called = Path(sys.argv[0])
    found = shutil.which("recorder")
    is_found = found is not None and called.exists() and Path(found).samefile(called)
    if is_found or called.name != "recorder":
        return "recorder"
    return str(called)


def _streams(source: Source) -> tuple[str, ...]:
    """Return every kind of stream of a feed, with few parameters of each."""
    streams = []
    for kind in source.streams:
        parameters = kind.parameters
        if len(parameters) > STREAM_PARAMETERS_MAX:
            parameters = (kind.default or "1m",)
        streams += [f"{kind.name}:{parameter}" for parameter in parameters]
        if not parameters:
            streams.append(kind.name)
    return tuple(streams)


def _judge(root: Path, truth: Truth) -> tuple[list[BookVerdict], list[TradeVerdict]]:
    listing = open_listing(root)
    sources = listing.sources()
    return (
        [v for source in sources for v in judge_books(listing, truth, source)],
        [v for source in sources for v in judge_trades(listing, truth, source)],
    )


def _tell(store: Store, books: list[BookVerdict], trades: list[TradeVerdict]) -> bool:
    """Show what a newcomer wants to see; return whether all of it is right."""
    _tell_sizes(store)
    show("\nWhat is missing, why, and how it ended:")
    _ask(store, GAPS)
    show(f"\nA question in SQL:\n\n{QUESTION}\n")
    _ask(store, QUESTION)
    show("\nAn order book, replayed from Parquet:")
    first = books[0]
    view = store.book_at(
        source=first.source,
        market=first.market,
        stream=first.stream,
        at=_middle(store),
        levels=5,
    )
    show_book(store, view)
    is_right = _tell_verdict(books, trades)
    place = f"--store {store.path}"
    book = f"--source {first.source} --market {first.market} --stream {first.stream}"
    show(f"\nThe data is in {store.path}. Try next:\n")
    for command in ("info", f'sql "{NEXT_QUESTION}"', f"bbo {book}"):
        show(f"  {_program()} {command} {place}")
    return is_right


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


def _tell_verdict(books: list[BookVerdict], trades: list[TradeVerdict]) -> bool:
    states, equal = sum(b.states for b in books), sum(b.equal for b in books)
    expected = sum(t.expected for t in trades)
    stored, in_gaps = sum(t.stored for t in trades), sum(t.in_gaps for t in trades)
    faulty = [t for t in trades if not t.is_right]
    lost = sum(len(t.lost) for t in trades)
    show(
        Text(f"\n{equal} of {states} book states equal the exchange's own", "bold"),
        f"{stored} of {expected} trades are stored once and right, {in_gaps} lie in a "
        f"gap that says so, {lost} are lost in silence",
    )
    for book in books:
        if book.first_difference is not None:
            click.echo(
                f"Error: {book.market} {book.stream}: {book.first_difference}", err=True
            )
    for trade in faulty:
        click.echo(f"Error: {trade}", err=True)
    return equal == states > 0 and not faulty


def _ask(store: Store, question: str) -> None:
    schema, batches = store.stream(question)
    write_rows(schema, batches, "table", None, force=False)


def _middle(store: Store) -> int:
    """Return an instant before the first fault, when every book is known."""
    began, ended = store.sql(
        "SELECT min(epoch_ns(started_at)), max(epoch_ns(ended_at)) FROM coverage"
    ).fetchall()[0]
    return int(began + (ended - began) * 0.3)
