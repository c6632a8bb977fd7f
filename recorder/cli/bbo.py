"""``recorder bbo``: best bid and offer after every depth message."""

from pathlib import Path

import click

from recorder.cli.options import (
    Command,
    book_options,
    check_range,
    named_stream,
    output_options,
    range_options,
    store_option,
)
from recorder.cli.output import check_output, choose_format, write_rows
from recorder.query.store import open_store


FORMATS = ("csv", "json", "parquet", "table")


@click.command(cls=Command)
@store_option
@book_options
@range_options
@output_options(*FORMATS)
def bbo(
    store: Path,
    source: str,
    market: str,
    stream: str | None,
    start: int | None,
    end: int | None,
    format_: str | None,
    output: Path | None,
    *,
    force: bool,
) -> None:
    """Show the best bid and offer after every depth message of a market.

    One row for each message. Where the book is not known, known is false and
    the prices are null: a gap is never papered over.

    \b
    Examples:
      recorder bbo --source <source> --market BTC_USDT --format table
      recorder bbo --source <source> --market BTC_USDT -o bbo.parquet
      recorder bbo --source <source> --market BTC_USDT --stream depth:30 \\
          --from 2024-05-01 --to 2024-05-02 --format csv
    """
    check_range(start, end)
    chosen = choose_format(format_, output, FORMATS)
    check_output(chosen, output, force=force)
    rows = open_store(store).bbo(
        source=source,
        market=market,
        stream=named_stream(source, stream),
        start=start,
        end=end,
    )
    write_rows(rows.schema, iter(rows.to_batches()), chosen, output, force=force)
