"""The stored tables, read from ``schemas/tables/<table>/v<N>.toml``.

Those files are the one place where a column is defined. The Arrow schema,
the field metadata in every file and the column reference come from them;
nothing about a column is repeated in Python.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from recorder.errors import StoreError


LEVEL: Final = pa.struct(
    [
        pa.field("price", pa.float64(), nullable=False),
        pa.field("amount", pa.float64(), nullable=False),
    ]
)
"""One level of an order book."""

LEVELS: Final = pa.list_(pa.field("element", LEVEL, nullable=False))
"""The levels of one side. A level is never null, nor is a part of one."""

TEXT: Final = pa.dictionary(pa.int32(), pa.string())
"""Text of which the same few values come again and again."""

TIME: Final = pa.timestamp("ns")
"""Nanoseconds since 1970-01-01 UTC, without a zone."""

ARROW_TYPES: Final[dict[str, pa.DataType]] = {
    "timestamp[ns]": TIME,
    "dictionary<string>": TEXT,
    "string": pa.string(),
    "binary": pa.binary(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "list<string>": pa.list_(pa.field("element", pa.string(), nullable=False)),
    "list<struct<price: double, amount: double>>": LEVELS,
}
"""The types that a column may have, as its definition spells them."""


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The definition of one column.

    Attributes:
        name: As in the files; the events of `recorder.model` have it too.
        type: A key of `ARROW_TYPES`.
        null: Whether it may be null.
        doc: What it means, for readers.
        unit: Unit of a number; None where it has none.
        clock: ``ours`` or ``venue``, for times; None for anything else.
    """

    name: str
    type: str
    null: bool
    doc: str
    unit: str | None = None
    clock: str | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of its values."""
        return ARROW_TYPES[self.type]

    def field(self) -> "pa.Field[pa.DataType]":
        """Return the column as an Arrow field; its metadata says all of this."""
        facts = {"doc": self.doc, "unit": self.unit, "clock": self.clock}
        return pa.field(
            self.name,
            self.arrow_type,
            nullable=self.null,
            metadata={key: text for key, text in facts.items() if text is not None},
        )


class _Definition(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A definition file as it is written."""

    table: str
    version: int
    doc: str
    columns: tuple[Column, ...]


class Table:
    """A stored table.

    Attributes:
        name: ``trades``, ``depth``, ...
        version: Version of the definition, from 1.
        doc: What one row is.
        columns: The definitions, in stored order.
        schema: The same as an Arrow schema, with field metadata.
    """

    __slots__ = ("columns", "doc", "name", "schema", "version")

    def __init__(
        self, name: str, version: int, doc: str, columns: tuple[Column, ...]
    ) -> None:
        self.name = name
        self.version = version
        self.doc = doc
        self.columns = columns
        self.schema = pa.schema([column.field() for column in columns])

    def __repr__(self) -> str:
        return f"Table({self.name!r}, v{self.version})"


def schemas_folder() -> Path:
    """Return the folder of our promises to readers: ``tables/`` and ``views/``.

    An installed package carries it as ``recorder/_schemas``; in a checkout it
    is ``schemas/`` beside the package.
    """
    package = Path(str(files("recorder")))
    installed = package / "_schemas"
    return installed if installed.is_dir() else package.parent / "schemas"


def read_definition(path: Path) -> Table:
    """Return the table that a definition file describes.

    Args:
        path: ``.../<table>/v<N>.toml``.

    Raises:
        StoreError: If it cannot be read, is malformed, or disagrees with its
            own path.
    """
    try:
        given = msgspec.toml.decode(path.read_bytes(), type=_Definition)
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(
            f"cannot read the table definition {path}: {error}; install again"
        ) from error
    unknown = [c.type for c in given.columns if c.type not in ARROW_TYPES]
    if unknown:
        raise StoreError(f"the table definition {path} has unknown types: {unknown}")
    if (given.table, f"v{given.version}") != (path.parent.name, path.stem):
        raise StoreError(
            f"the table definition {path} describes {given.table} v{given.version}"
        )
    return Table(given.table, given.version, given.doc, given.columns)


def _read_tables() -> dict[str, Table]:
    folder = schemas_folder() / "tables"
    tables = [read_definition(path) for path in sorted(folder.glob("*/v1.toml"))]
    if not tables:
        raise StoreError(f"no table definitions in {folder}; install again")
    return {table.name: table for table in tables}


TABLES: Final[dict[str, Table]] = _read_tables()
"""The newest version of every table, by name."""
