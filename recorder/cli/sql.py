"""``recorder sql``: ask a store a question."""

import re
from pathlib import Path
from typing import Final

import click

from recorder.cli.options import output_options, store_option
from recorder.cli.output import FORMATS, check_output, choose_format, write_rows
from recorder.errors import QueryError
from recorder.query.store import open_store
from recorder.query.views import base_name, defined_views
from recorder.store.tables import TABLES


_MEANT: Final = re.compile(r"\n[^\n]*[Dd]id you mean [^\n]*")


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
    files and row groups it must. All times are UTC and without a zone: compare
    them with now()::TIMESTAMP, not with now().

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
    if not question.strip():
        raise click.UsageError('the SQL is empty; try "FROM trades LIMIT 5"')
    chosen = choose_format(format_, output, FORMATS)
    check_output(chosen, output, force=force)
    opened = open_store(store)
    try:
        schema, batches = opened.stream(question)
    except QueryError as error:
        raise QueryError(_helpful(str(error))) from error
    write_rows(schema, batches, chosen, output, force=force)


def _helpful(error: str) -> str:
    """Return what DuckDB says, with our tables where one is not there.

    It would name a table of its own that is spelt alike.
    """
    if not error.startswith("Catalog Error: Table with name"):
        return error
    error = _MEANT.sub("", error)
    views = [view.name for view in defined_views()]
    names = dict.fromkeys([*TABLES, *map(base_name, TABLES), *views])
    return (
        f"{error}\nThe tables of a store are {', '.join(names)}; "
        "`recorder schema TABLE` tells what is in one."
    )
