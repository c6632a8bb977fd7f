"""Rows in the formats that commands offer, piece by piece."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

import click
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from recorder.cli.cells import Column, encode_json, flat, plain
from recorder.cli.sink import check_free, is_device, open_sink
from recorder.cli.tables import print_rows
from recorder.errors import ConfigError


_CSV_OPTIONS: Final = {
    True: pcsv.WriteOptions(include_header=False, quoting_style="needed"),
    False: pcsv.WriteOptions(include_header=False, quoting_style="none"),
}

FORMATS: Final = ("table", "csv", "json", "parquet", "arrow")
BINARY: Final = ("parquet", "arrow")


def choose_format(
    given: str | None, output: Path | None, formats: tuple[str, ...]
) -> str:
    """Return the format asked for, by name or by the ending of the file.

    Args:
        given: The value of ``--format``, if any.
        output: The value of ``-o``, if any.
        formats: What the command offers; the first is the default of stdout.

    Raises:
        ConfigError: If the file's ending is that of no format, or of another.
    """
    if output is None or is_device(output):
        return given or formats[0]
    ending = output.suffix.removeprefix(".").lower()
    if given is not None:
        if ending in FORMATS and ending != given:
            raise ConfigError(
                f"{output} is named as {ending}, but --format is {given}; change one"
            )
        return given
    ending = "table" if ending == "txt" else ending
    if ending not in formats:
        raise ConfigError(
            f"the ending of {output} names no format; add --format with one of "
            f"{', '.join(formats)}"
        )
    return ending


def check_output(format_: str, output: Path | None, *, force: bool) -> None:
    """Check where a result is to go, before any work is done for it.

    Raises:
        ConfigError: If the file exists.
        UsageError: If bytes would be written to a terminal.
    """
    if output is not None:
        check_free(output, force=force)
    elif format_ in BINARY and sys.stdout.isatty():
        raise click.UsageError(
            f"{format_} is no text for a terminal; write it to a file with -o"
        )


def write_rows(
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    format_: str,
    output: Path | None,
    *,
    force: bool,
) -> None:
    """Write rows in a format to stdout or to a file.

    Args:
        schema: The columns.
        batches: The rows.
        format_: One of `FORMATS`.
        output: The file; None means stdout.
        force: Whether a file that exists may be replaced.

    Raises:
        ConfigError: If the file exists.
        StoreError: If it cannot be written.
    """
    with open_sink(output, force=force) as sink:
        _WRITERS[format_](schema, batches, sink)


def _write_csv(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO
) -> None:
    sink.write((",".join(map(_csv_name, schema.names)) + "\n").encode())
    for batch in batches:
        columns = [flat(column) for column in batch.columns]
        # pyarrow quotes all text or none: quotes come where they are needed.
        quoting = any(map(_needs_quotes, columns))
        names = [str(number) for number in range(len(columns))]
        buffer = io.BytesIO()
        pcsv.write_csv(
            pa.RecordBatch.from_arrays(columns, names), buffer, _CSV_OPTIONS[quoting]
        )
        sink.write(buffer.getvalue())


def _csv_name(name: str) -> str:
    if any(mark in name for mark in '",\r\n'):
        return '"' + name.replace('"', '""') + '"'
    return name


def _needs_quotes(column: Column) -> bool:
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return False
    # An empty text is quoted: a bare nothing is null.
    return bool(pc.any(pc.match_substring_regex(column, '[",\r\n]|^$')).as_py())


def _write_json(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO
) -> None:
    names = schema.names
    separator = b"[\n"
    for batch in batches:
        columns = [plain(column) for column in batch.columns]
        for row in zip(*columns, strict=True):
            sink.write(separator)
            sink.write(encode_json(dict(zip(names, row, strict=True))))
            separator = b",\n"
    sink.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _write_parquet(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO
) -> None:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_arrow(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: BinaryIO
) -> None:
    with pa.ipc.new_stream(cast(io.IOBase, sink), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


_WRITERS: Final[
    dict[str, Callable[[pa.Schema, Iterator[pa.RecordBatch], BinaryIO], None]]
] = {
    "table": print_rows,
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
}
