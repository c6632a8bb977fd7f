"""``recorder sql``: ask a store a question."""

from pathlib import Path

import click

from recorder.cli.options import output_options, store_option
from recorder.cli.output import FORMATS, check_output, choose_format, write_rows
from recorder.errors import QueryError
from recorder.query.store import open_store
from recorder.query.views import base_name, defined_views
from recorder.store.tables import TABLES


@click.command()
@click.argument("question", metavar="SQL")
@store_option
@output_options(*FORMATS)
def sql(
    question: str,
    store: Path,
    format_: str | None,
    output: Path | None,
    *,
    force: bool,
) -> None:
    """Ask a store a question in DuckDB's SQL.

    The tables are those of `recorder schema`; each has the columns source and
    date as well, and a condition on date, source and market reads only the
    files and row groups it must. All times are UTC.

    \b
    table   for people; shows at most 1,000 rows
    csv     with a header; nested values as JSON text, null as nothing
    json    one array, one object a line
    parquet compressed with zstd
    arrow   an Arrow IPC stream

    \b
    Examples:
      recorder sql "SELECT source, market, count(*) FROM trades GROUP BY ALL"
      recorder sql "FROM gaps WHERE healed_by IS NULL" --format csv
      recorder sql "FROM trades WHERE date = '2024-05-01'" -o trades.parquet
    """
    chosen = choose_format(format_, output, FORMATS)
    check_output(chosen, output, force=force)
    opened = open_store(store)
    try:
        schema, batches = opened.stream(question)
    except QueryError as error:
        raise QueryError(f"{error}{_hint(str(error))}") from error
    write_rows(schema, batches, chosen, output, force=force)


def _hint(error: str) -> str:
    """Return what helps whoever asks for a table that is not there."""
    if not error.startswith("Catalog Error: Table with name"):
        return ""
    views = [view.name for view in defined_views()]
    names = dict.fromkeys([*TABLES, *map(base_name, TABLES), *views])
    return (
        f"\nThe tables of a store are {', '.join(names)}; "
        "`recorder schema TABLE` tells what is in one."
    )
