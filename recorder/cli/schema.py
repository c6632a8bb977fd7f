"""``recorder schema``: what the columns of the tables mean."""

import click
from rich.text import Text

from recorder.cli.tables import new_table, show
from recorder.errors import ConfigError
from recorder.query.views import SQL_TYPES, base_name, defined_views
from recorder.store.tables import TABLES, Table


@click.command()
@click.argument("table", required=False)
def schema(table: str | None) -> None:
    """Show the tables of a store, or the columns of one TABLE.

    \b
    Examples:
      recorder schema
      recorder schema trades
    """
    if table is None:
        _show_tables()
        return
    tables = {base_name(name): TABLES[name] for name in TABLES} | TABLES
    views = {view.name: view.sql for view in defined_views()}
    if table in tables:
        _show_columns(table, tables[table])
    elif table not in views:
        names = ", ".join(dict.fromkeys([*TABLES, *tables, *views]))
        raise ConfigError(f"there is no table {table!r}; there are {names}")
    if table in views:
        click.echo(_comment(views[table]))


def _show_tables() -> None:
    tables = new_table("table", "version", "one row is")
    for table in TABLES.values():
        tables.add_row(table.name, f"v{table.version}", table.doc)
    views = new_table("view", "shows")
    for name, base in ((base_name(table), table) for table in TABLES):
        if name != base:
            views.add_row(name, f"all rows of the table {base}, as they were written")
    for view in defined_views():
        first, _, _ = _comment(view.sql).partition("\n")
        views.add_row(view.name, first.removeprefix(f"{view.name}: "))
    show(tables, views)


def _show_columns(name: str, table: Table) -> None:
    columns = new_table("column", "type", "null", "unit", "clock", "meaning")
    for column in table.columns:
        columns.add_row(
            column.name,
            SQL_TYPES[column.type],
            "yes" if column.null else "no",
            column.unit or "",
            column.clock or "",
            column.doc,
        )
    columns.add_row("source", "VARCHAR", "no", "", "", "Name of the feed.")
    columns.add_row("date", "DATE", "no", "", "", "UTC date of ts_recv.")
    show(Text(f"{name} v{table.version}: {table.doc}"), columns)


def _comment(sql: str) -> str:
    lines = (line for line in sql.splitlines() if line.startswith("--"))
    return "\n".join(line.removeprefix("--").strip() for line in lines)
