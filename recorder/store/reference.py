"""The column reference, ``schemas/README.md``, made from the definitions."""

from collections.abc import Iterable
from pathlib import Path

from recorder.store.tables import TABLES, Column, Table, schemas_folder


_HEAD = """\
# The stored tables

Generated from `schemas/tables/<table>/v<N>.toml`; write there, not here,
then run `python -c 'from recorder.store.reference import write_column_reference as w; w()'`.

A table lies in `<store>/<table>/source=<source>/date=<YYYY-MM-DD>/*.parquet`.
`source` (the feed) and `date` (the UTC date of `ts_recv`) are in the path;
views have them as columns.

All times are nanoseconds since 1970-01-01, without a zone, and always UTC.
The column *clock* says whose clock a time was read from.
In SQL, adding an `INTERVAL`, subtracting two times, `date_trunc` and `time_bucket` go through microseconds:
DuckDB 1 cuts the last three digits off, DuckDB 2 rounds them, which may be up into the next second.
Where every digit counts, compute with `epoch_ns(ts_recv)`, and turn the result into a time with `make_timestamp_ns`.
`now()` has a zone, so compare with `now()::TIMESTAMP`, as in `ts_recv > now()::TIMESTAMP - INTERVAL 1 HOUR`.

The rows of the table `gaps` are revisions: SQL shows the newest one of each gap as `gaps`, which is what is known now, and all of them as `gaps_log`.
The view `outages` adds to each gap what the venue said of that time (`recorder schema outages` tells how the two are matched).
The views `trades_dedup` and `klines_final` show each trade once and each kline as it was last, whatever runs and jobs overlap (`recorder schema trades_dedup` tells by what they are told apart).
As SQL shows it, `coverage` also has the intervals that a run has not written yet: one that goes on has no `closed_by`, and ends where what is durable ends.
`coverage` and gaps of scope `rows` of one job, stream and market fill the time from the first run that lists it, without overlapping; `recorder coverage` and `Store.coverage` add them up.
Rows of `coverage` and `gaps` have the `date` of their own `ts_recv`, when they were made.
What they tell of may lie on other days: ask for it by `started_at` and `ended_at`.

All numbers are doubles and exactly what was sent:
where a number has no exact double, its whole frame is in `frames` with the reason `inexact`.
"""


def write_column_reference() -> Path:
    """Write ``schemas/README.md`` anew, and return its path."""
    path = schemas_folder() / "README.md"
    path.write_text(column_reference(TABLES.values()))
    return path


def column_reference(tables: Iterable[Table]) -> str:
    """Return the reference of tables as Markdown."""
    parts = [_HEAD]
    for table in sorted(tables, key=lambda table: table.name):
        parts += [
            f"\n## {table.name}\n\nVersion {table.version}. {table.doc}\n\n",
            "| column | type | null | unit | clock | meaning |\n",
            "|---|---|---|---|---|---|\n",
            *(_line(column) for column in table.columns),
        ]
    return "".join(parts)


def _line(column: Column) -> str:
    cells = (
        f"`{column.name}`",
        f"`{column.type}`",
        "yes" if column.null else "no",
        column.unit or "",
        column.clock or "",
        column.doc.replace("<", "\\<"),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
