"""``recorder replay``: recorded events, one line of JSON each."""

import sys
import time
from pathlib import Path
from typing import Final

import click
import msgspec

from recorder import times
from recorder.cli.options import (
    Command,
    check_range,
    range_options,
    speed_option,
    store_option,
)
from recorder.clock import monotonic_ns
from recorder.model import TABLE_OF, Row
from recorder.query.store import open_store
from recorder.store.tables import TABLES


TIME_FIELDS: Final = {
    table.name: tuple(c.name for c in table.columns if c.type == "timestamp[ns]")
    for table in TABLES.values()
}
"""Names of the times that rows of each table have."""

FIELDS: Final = {
    table: tuple(
        field.name
        for field in msgspec.structs.fields(kind)
        if field.name in TABLES[table].schema.names
    )
    for kind, table in TABLE_OF.items()
}
"""Names of what is stored of the events of each table."""


@click.command(cls=Command)
@store_option
@click.option("--source", metavar="SOURCE", help="Only this one.")
@click.option(
    "-m", "--market", "markets", metavar="MARKET", multiple=True, help="Only these."
)
@click.option(
    "-s",
    "--stream",
    "streams",
    metavar="STREAM",
    multiple=True,
    help="Only these, such as trades or depth:100ms.",
)
@range_options
@speed_option("max")
def replay(
    store: Path,
    source: str | None,
    markets: tuple[str, ...],
    streams: tuple[str, ...],
    start: int | None,
    end: int | None,
    speed: float | None,
) -> None:
    """Print recorded events in the order in which they were received.

    One line of JSON for each event, of all streams and markets that were
    asked for, with gaps among them; "table" says which kind of event it is.
    Levels are [price, amount], times are UTC.

    \b
    Examples:
      recorder replay --store data -m BTC_USDT -s trades
      recorder replay --from 2024-05-01T12:00Z --to 2024-05-01T12:05Z --speed 10
    """
    check_range(start, end)
    rows = open_store(store).replay(
        source=source,
        markets=markets or None,
        streams=streams or None,
        start=start,
        end=end,
    )
    pace = Pace(speed) if speed is not None else None
    for row in rows:
        if pace is not None:
            sys.stdout.flush()
            pace.wait(row.ts_recv)
        sys.stdout.write(line_of(row))


class Pace:
    """Waits between events as long as it took when they were recorded.

    Args:
        factor: How many times as fast.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._first: tuple[int, int] | None = None

    def wait(self, ts_recv: int) -> None:
        """Wait until it is an event's turn; the first is at once.

        Args:
            ts_recv: When it was received, nanoseconds.
        """
        now = monotonic_ns()
        if self._first is None:
            self._first = now, ts_recv
        started_at, first = self._first
        left_ns = started_at + (ts_recv - first) / self._factor - now
        if left_ns > 0:
            time.sleep(left_ns / 1e9)


def line_of(row: Row) -> str:
    """Return an event and where it stands as a line of JSON."""
    event = row.event
    table = TABLE_OF[type(event)]
    content: dict[str, object] = {
        "table": table,
        "source": row.source,
        "ts_recv": row.ts_recv,
        "ts_event": event.ts_event,
        "market": event.market,
        "conn": row.conn,
        "seq": row.seq,
        "idx": row.idx,
    }
    content.update({name: getattr(event, name) for name in FIELDS[table]})
    for name in TIME_FIELDS[table]:
        value = content[name]
        if isinstance(value, int):
            content[name] = times.show_time(value)
    return msgspec.json.encode(content).decode() + "\n"
