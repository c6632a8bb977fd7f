"""``recorder book``: an order book as it was at an instant."""

from decimal import Decimal
from itertools import accumulate
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.table import Table
from rich.text import Text

from recorder import times
from recorder.cli.info import died
from recorder.cli.options import (
    Command,
    book_options,
    named_stream,
    store_option,
    to_time,
)
from recorder.cli.tables import new_table, number, show
from recorder.model import Gap, Levels
from recorder.query.store import Store, open_store
from recorder.replay import BookView
from recorder.store.runfile import dead_runs


BAR_CELLS: Final = 24
"""Length of the bar of the largest total."""


@click.command(cls=Command)
@store_option
@book_options
@click.option(
    "--at",
    metavar="TIME",
    callback=to_time,
    help="The instant.  [default: that of the last message]",
)
@click.option(
    "--levels",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Most levels of each side.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="What to write; json is one object.",
)
def book(
    store: Path,
    source: str,
    market: str,
    stream: str | None,
    at: int | None,
    levels: int,
    format_: str,
) -> None:
    """Show the order book of a market as it was at an instant.

    If the book was not known then, that is said, and why; it is no failure.

    \b
    Examples:
      recorder book --source <source> --market BTC_USDT
      recorder book --source <source> --market BTC_USDT \\
          --at 2024-05-01T12:00:00.5Z --levels 5 --format json
    """
    opened = open_store(store)
    view = opened.book_at(
        source=source,
        market=market,
        stream=named_stream(source, stream),
        at=at,
        levels=levels,
    )
    if format_ == "json":
        click.echo(_as_json(view))
    else:
        show_book(opened, view)


def show_book(store: Store, view: BookView) -> None:
    """Print a book as a ladder, or that it is not known and why."""
    if view.known:
        show(_title(view), _ladder(view))
    else:
        show(_title(view), *(Text(line) for line in _reasons(store, view)))


def _as_json(view: BookView) -> bytes:
    return msgspec.json.encode(
        {
            "source": view.source,
            "market": view.market,
            "ts": times.show_time(view.ts_ns),
            "known": view.known,
            "bids": view.bids,
            "asks": view.asks,
        }
    )


def _title(view: BookView) -> Text:
    at = times.show_time(view.ts_ns)
    return Text(f"{view.source} {view.market} {view.stream} at {at}", style="bold")


def _ladder(view: BookView) -> Table:
    """Return both sides, asks above bids, the best prices in the middle."""
    table = new_table("", ">price", ">amount", ">total", "")
    asks, bids = _totals(view.asks), _totals(view.bids)
    largest = max([*asks, *bids], default=0.0)
    rows = list(zip(view.asks, asks, strict=True))
    for (price, amount), total in reversed(rows):
        table.add_row(*_row("ask", "red", price, amount, total, largest))
    table.add_section()
    table.add_row("", Text(_spread(view), style="dim"), "", "", "")
    table.add_section()
    for (price, amount), total in zip(view.bids, bids, strict=True):
        table.add_row(*_row("bid", "green", price, amount, total, largest))
    return table


def _totals(levels: Levels) -> list[float]:
    return [float(total) for total in accumulate(_exact(a) for _, a in levels)]


def _row(
    side: str, color: str, price: float, amount: float, total: float, largest: float
) -> tuple[Text, ...]:
    bar = "█" * max(1, round(BAR_CELLS * total / largest))
    return (
        Text(side, style=color),
        Text(number(price), style=color),
        Text(number(amount)),
        Text(number(total)),
        Text(bar, style=color),
    )


def _spread(view: BookView) -> str:
    if not view.asks or not view.bids:
        return "one side is empty"
    ask, bid = view.asks[0][0], view.bids[0][0]
    return f"spread {number(float(_exact(ask) - _exact(bid)))}"


def _exact(value: float) -> Decimal:
    """Return the number that was sent: the shortest that names this double."""
    return Decimal(repr(value))


def _reasons(store: Store, view: BookView) -> list[str]:
    lines = ["The book is not known at this instant."]
    gaps = store.gaps_at(view.source, view.market, view.stream, view.ts_ns)
    lines += [_sentence(gap) for gap in gaps]
    unsettled = [
        run
        for run in dead_runs(store.path)
        if run.source == view.source and run.through_ns <= view.ts_ns
    ]
    lines += [died(store.path, run.run, run.job, run.through_ns) for run in unsettled]
    if not gaps and not unsettled:
        lines.append(
            "No gap covers it: it is outside the recording, "
            "or no snapshot had come yet."
        )
    if view.updated_ns is not None:
        lines.append(f"Last message before: {times.show_time(view.updated_ns)}")
    return lines


def _sentence(gap: Gap) -> str:
    text = f"Gap {gap.reason} from {times.show_time(gap.started_at)}"
    text += f" to {times.show_time(gap.ended_at)}" if gap.ended_at else ", still open"
    return f"{text}: {gap.detail}" if gap.detail else text
