"""Views over one listing of a store, made in a DuckDB connection.

Each table of the store becomes a view over an explicit list of segments and,
while a capture runs, over the rows of its journals, which are in memory. The
views of ``schemas/views`` are laid on top. A table without data is an empty
view of the right types.

Only the tables that a question mentions are laid over their files: binding a
view opens files, a journal is decoded as a whole, and a question asks about
few of the tables. A table is mentioned if its name occurs anywhere in the
text, as a word or inside one. The views of the others have their columns, so
that ``SHOW TABLES`` and ``DESCRIBE`` list them, and no rows and no emptiness
either: who reads one, by a name that the text puts together or through what
another file defines, gets an error that says what to write.
"""

from datetime import date
from functools import cache
from typing import Final, NamedTuple

import duckdb
import pyarrow as pa

from recorder.errors import StoreError
from recorder.store.layout import date_of
from recorder.store.listing import JournalRows, Listing
from recorder.store.tables import TABLES, Table, schemas_folder


SQL_TYPES: Final[dict[str, str]] = {
    "timestamp[ns]": "TIMESTAMP_NS",
    "dictionary<string>": "VARCHAR",
    "string": "VARCHAR",
    "binary": "BLOB",
    "bool": "BOOLEAN",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "list<string>": "VARCHAR[]",
    "list<struct<price: double, amount: double>>": (
        "STRUCT(price DOUBLE, amount DOUBLE)[]"
    ),
}
"""DuckDB's name of each type that a column may have."""

BASE_NAMES: Final[dict[str, str]] = {"gaps": "gaps_log"}
"""Views of tables that are not named like them."""


class View(NamedTuple):
    """A view that is defined by a file of ``schemas/views``.

    Attributes:
        name: The file's name without its ending.
        sql: The whole file: a comment and one SELECT.
    """

    name: str
    sql: str


@cache
def defined_views() -> tuple[View, ...]:
    """Return the views of ``schemas/views``, by name.

    Raises:
        StoreError: If they cannot be read, or there are none.
    """
    folder = schemas_folder() / "views"
    try:
        files = sorted(folder.glob("*.sql"))
        views = tuple(View(file.stem, file.read_text("utf-8")) for file in files)
    except OSError as error:
        raise StoreError(
            f"cannot read the views in {folder}: {error}; install again"
        ) from error
    if not views:
        raise StoreError(f"no views in {folder}; install again")
    return views


def base_name(table: str) -> str:
    """Return the name of the view that shows a table's rows as stored."""
    return BASE_NAMES.get(table, table)


def create_views(
    connection: duckdb.DuckDBPyConnection, listing: Listing, question: str
) -> None:
    """Create all views in a fresh connection.

    Args:
        connection: In memory, without views of these names.
        listing: What the store holds now.
        question: The SQL to be asked; what it mentions gets its data, and to
            read anything else is an error.
    """
    views = defined_views()
    words = question.lower()
    # A view may read those before it in the alphabet, so the last come first.
    for view in reversed(views):
        if view.name in words:
            words += view.sql.lower()
    for table in TABLES.values():
        name = base_name(table.name)
        if name in words:
            columns = ", ".join(f'"{column}"' for column in _column_names(table))
            data = _data(connection, listing, table)
            rows = f"SELECT {columns} FROM ({_no_rows(table)}{data})"
        else:
            rows = _not_to_be_read(table)
        connection.execute(f'CREATE VIEW "{name}" AS {rows}')
    for view in views:
        connection.execute(f'CREATE VIEW "{view.name}" AS {view.sql}')


def _column_names(table: Table) -> list[str]:
    return [*(column.name for column in table.columns), "source", "date"]


def _no_rows(table: Table) -> str:
    return f"SELECT {_each_column(table, 'NULL')} WHERE false"


def _not_to_be_read(table: Table) -> str:
    """Return SQL that has a table's columns and fails as soon as it is run."""
    name = base_name(table.name)
    why = _quoted(
        f"the view {name} was left without its rows, because the SQL does not "
        f"mention it; write its name in the text, as a comment if need be: /* {name} */"
    )
    # DuckDB works out `error` last of all, so it never takes a column for a
    # constant, nor a condition on it for false.
    return f"SELECT {_each_column(table, f'error({why})')} WHERE error({why}) IS NULL"


def _each_column(table: Table, value: str) -> str:
    """Return a value as each column of a table, in its type."""
    types = [*(SQL_TYPES[column.type] for column in table.columns), "VARCHAR", "DATE"]
    typed = zip(_column_names(table), types, strict=True)
    return ", ".join(f'CAST({value} AS {type_}) AS "{name}"' for name, type_ in typed)


def _data(connection: duckdb.DuckDBPyConnection, listing: Listing, table: Table) -> str:
    """Return the SQL that adds a table's rows, registering those in memory."""
    sql = ""
    segments = listing.segments(table.name)
    if segments:
        paths = ", ".join(_quoted(str(segment.path)) for segment in segments)
        # Reading columns by name costs an opening of every file at every
        # binding, five times what the rest of it costs; as long as there is
        # but one version of a table, all its files have the same columns.
        by_name = "true" if table.version > 1 else "false"
        sql += (
            f" UNION ALL BY NAME SELECT * FROM read_parquet([{paths}],"
            " hive_partitioning = true,"
            " hive_types = {'source': VARCHAR, 'date': DATE},"
            f" union_by_name = {by_name})"
        )
    rows = _rows_in_memory(listing, table)
    if rows is not None:
        name = f"_journals_{table.name}"
        connection.register(name, rows)
        sql += f' UNION ALL BY NAME SELECT * FROM "{name}"'
    return sql


def _rows_in_memory(listing: Listing, table: Table) -> pa.Table | None:
    pieces = [_with_partition(journal) for journal in listing.journals(table.name)]
    if table.name == "coverage":
        pieces.append(_open_coverage(listing))
    pieces = [piece for piece in pieces if piece.num_rows]
    if not pieces:
        return None
    # An open interval has no end that could be named: there a null is legal.
    joined = pa.concat_tables(pieces, promote_options="default")
    return joined.unify_dictionaries()


def _with_partition(journal: JournalRows) -> pa.Table:
    rows = journal.rows
    day = date.fromisoformat(journal.date)
    return rows.append_column(
        "source", pa.repeat(pa.scalar(journal.source), rows.num_rows)
    ).append_column("date", pa.repeat(pa.scalar(day, pa.date32()), rows.num_rows))


def _open_coverage(listing: Listing) -> pa.Table:
    rows = listing.open_coverage()
    sources = rows.column("source").cast(pa.string())
    stamps = rows.column("ts_recv").cast(pa.int64()).to_pylist()
    dates = [date.fromisoformat(date_of(stamp or 0)) for stamp in stamps]
    return (
        rows.drop_columns("source")
        .append_column("source", sources)
        .append_column("date", pa.array(dates, pa.date32()))
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
