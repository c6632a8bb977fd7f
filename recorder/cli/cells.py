r"""Arrow values for people and for other programs' text formats.

Times become ISO-8601 with nine digits and ``Z``. Bytes become text in which
what is not printable ASCII is written ``\xNN``. Lengths of time become
ISO-8601 durations.
"""

from typing import Any, Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc


Column: TypeAlias = Any
"""A ``pyarrow.Array``; its stubs do not know what arrays of a type can do."""

_FRACTION_ENDS: Final = {
    "s": ".000000000Z",
    "ms": "000000Z",
    "us": "000Z",
    "ns": "Z",
}
_JSON: Final = msgspec.json.Encoder(decimal_format="number")
_NS_PER_SECOND: Final = 1_000_000_000


def encode_json(value: object) -> bytes:
    """Return a value of `plain` values as JSON; NaN and infinity become null."""
    return _JSON.encode(value)


def flat(column: Column) -> Column:
    """Return a column as one that fits into CSV, nested values as JSON text."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return flat(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return _time_texts(column)
    if _is_simple(kind):
        return column
    if _is_text_made(kind):
        return pa.array(plain(column), pa.string())
    texts = [None if v is None else encode_json(v).decode() for v in plain(column)]
    return pa.array(texts, pa.string())


def plain(column: Column) -> list[object]:
    """Return a column as Python values that JSON can hold."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return list(_time_texts(column).to_pylist())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if v is None else _bytes_text(v) for v in column.to_pylist()]
    if pa.types.is_interval(kind):
        return [None if v is None else _duration(*v) for v in column.to_pylist()]
    if pa.types.is_struct(kind):
        return _structs(column)
    if pa.types.is_map(kind):
        entries = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return plain(column.cast(pa.list_(entries)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(column)
    return list(column.to_pylist())


def _is_simple(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_date(kind)
        or pa.types.is_time(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
    )


def _is_text_made(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_interval(kind)
    )


def _time_texts(column: Column) -> Column:
    unit = column.type.unit
    # A zoned time is UTC inside; without its zone it is printed as that.
    bare: Any = column.cast(pa.timestamp(unit))
    texts = pc.strftime(bare, format="%Y-%m-%dT%H:%M:%S")
    parts: list[Any] = [texts, pa.scalar(_FRACTION_ENDS[unit]), ""]
    return pc.binary_join_element_wise(*parts)


def _structs(column: Column) -> list[object]:
    names = [field.name for field in column.type]
    rows = zip(*(plain(child) for child in column.flatten()), strict=True)
    known = column.is_valid().to_pylist()
    return [
        dict(zip(names, row, strict=True)) if valid else None
        for row, valid in zip(rows, known, strict=True)
    ]


def _lists(column: Column) -> list[object]:
    values = iter(plain(column.flatten()))
    lengths = pc.list_value_length(column).to_pylist()
    return [
        None if length is None else [next(values) for _ in range(length)]
        for length in lengths
    ]


def _bytes_text(value: bytes) -> str:
    # As DuckDB casts a BLOB to text, so the value can be had back from it.
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02X}"
        for byte in value
    )


def _duration(months: int, days: int, ns: int) -> str:
    text = "P"
    text += f"{months}M" if months else ""
    text += f"{days}D" if days else ""
    if ns or text == "P":
        sign = "-" if ns < 0 else ""
        seconds, fraction = divmod(abs(ns), _NS_PER_SECOND)
        digits = f".{fraction:09d}".rstrip("0") if fraction else ""
        text += f"T{sign}{seconds}{digits}S"
    return text
