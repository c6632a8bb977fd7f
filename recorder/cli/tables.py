"""Tables for people, on a terminal, in a pipe or in a file."""

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final

import click
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from recorder.cli.cells import encode_json, plain


ROWS_SHOWN: Final = 1_000
WIDE: Final = 10_000
"""Characters in a line that nobody folds: in a pipe or a file."""


def show(*parts: Table | Text | str) -> None:
    """Print tables and texts: folded to a terminal's width, never elsewhere."""
    # Not by a console on stdout: it would end the process if a pipe breaks.
    sys.stdout.write(_render(parts, on_terminal=sys.stdout.isatty()))


def new_table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; a column named ``>name`` is aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        name = column.removeprefix(">")
        table.add_column(
            Text(name),
            justify="left" if name == column else "right",
            overflow="fold",  # a value is never cut
        )
    return table


def number(value: float) -> str:
    """Return a number without an exponent where that can be read."""
    if isinstance(value, int):
        return str(value)
    if value == 0 or 1e-9 <= abs(value) < 1e16:
        return str(np.format_float_positional(value, trim="-"))
    return repr(value)


def cell(value: object) -> Text:
    """Return a value of `plain` as a cell; null is told from an empty text."""
    if value is None:
        return Text("null", style="dim")
    if isinstance(value, (bool, list, dict)):
        return Text(encode_json(value).decode())
    if isinstance(value, (int, float)):
        return Text(number(value))
    return Text(str(value))


def print_rows(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO
) -> None:
    """Write rows as a table, at most `ROWS_SHOWN` of them.

    What a terminal is too narrow for is written upright: a line for each value.
    Says on stderr if there are more.
    """
    table = new_table(*(_heading(field) for field in schema))
    rows = []
    left = ROWS_SHOWN
    more = False
    for batch in batches:
        shown = batch.slice(0, left)
        columns = [plain(column) for column in shown.columns]
        for row in zip(*columns, strict=True):
            rows.append([cell(value) for value in row])
            table.add_row(*rows[-1])
        left -= shown.num_rows
        more = batch.num_rows > shown.num_rows
        if more:
            break
    is_upright = rows and sink.isatty() and not _fits(table)
    shown_as = _upright(schema.names, rows) if is_upright else [table]
    sink.write(_render(shown_as, on_terminal=sink.isatty()).encode())
    if more:
        click.echo(
            f"Only the first {ROWS_SHOWN} rows are shown; "
            "--format csv, json, parquet or arrow has all.",
            err=True,
        )


def _render(parts: Iterable[Table | Text | str], *, on_terminal: bool) -> str:
    text = io.StringIO()
    console = _console(text, on_terminal=on_terminal)
    for part in parts:
        console.print(part)
    return text.getvalue()


def _console(text: io.StringIO, *, on_terminal: bool) -> Console:
    return Console(
        file=text,
        force_terminal=on_terminal,
        width=None if on_terminal else WIDE,
        highlight=False,
    )


def _fits(table: Table) -> bool:
    """Return whether a terminal shows a table without folding a value."""
    console = _console(io.StringIO(), on_terminal=True)
    as_wide_as_it_wants = console.options.update(width=WIDE)
    wanted = Measurement.get(console, as_wide_as_it_wants, table).maximum
    return wanted <= console.width


def _upright(names: Sequence[str], rows: Iterable[Sequence[Text]]) -> Iterator[Text]:
    """Yield ``column: value`` for each value, and nothing between two rows."""
    for number, row in enumerate(rows):
        if number:
            yield Text()
        for name, value in zip(names, row, strict=True):
            yield Text.assemble((f"{name}: ", "bold"), value, overflow="fold")


def _heading(field: "pa.Field[pa.DataType]") -> str:
    kind = field.type
    to_the_right = (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    )
    return f">{field.name}" if to_the_right else field.name
