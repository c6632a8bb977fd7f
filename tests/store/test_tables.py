"""The definitions, and what Arrow and readers see of them."""

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from recorder.errors import StoreError
from recorder.model import TABLE_OF
from recorder.store import tables
from recorder.store.tables import (
    TABLES,
    TEXT,
    TIME,
    read_definition,
    schemas_folder,
)


COMMON = ["ts_recv", "ts_event", "market", "conn", "seq", "idx"]


def test_there_is_a_table_for_every_class_of_event() -> None:
    assert set(TABLES) == set(TABLE_OF.values())


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_table_starts_with_the_same_columns(name: str) -> None:
    assert TABLES[name].schema.names[:6] == COMMON


@pytest.mark.parametrize("kind", TABLE_OF, ids=lambda kind: kind.__name__)
def test_columns_are_the_fields_of_the_event(kind: type) -> None:
    fields = {field.name for field in msgspec.structs.fields(kind)}

    columns = set(TABLES[TABLE_OF[kind]].schema.names)

    assert columns - {"ts_recv", "conn", "seq", "idx"} == fields


def test_market_may_be_null_only_where_the_design_says_so() -> None:
    nullable = {name for name, t in TABLES.items() if t.schema.field("market").nullable}

    assert nullable == {
        "balances",
        "status",
        "gaps",
        "coverage",
        "connections",
        "frames",
    }


def test_times_are_nanoseconds_without_a_zone_and_say_whose_clock() -> None:
    for table in TABLES.values():
        for field in table.schema:
            if pa.types.is_temporal(field.type):
                assert field.type == TIME
                assert field.metadata[b"clock"] in {b"ours", b"venue"}
                assert field.metadata[b"unit"] == b"ns, UTC"


def test_every_column_is_described_in_a_sentence() -> None:
    for table in TABLES.values():
        for column in table.columns:
            assert column.doc.endswith(".")
            assert table.schema.field(column.name).metadata[b"doc"].decode() == (
                column.doc
            )


def test_levels_are_a_nested_list_without_nulls_inside() -> None:
    bids = TABLES["depth"].schema.field("bids")

    assert not bids.nullable
    assert not bids.type.value_field.nullable
    assert [(f.name, f.type, f.nullable) for f in bids.type.value_type] == [
        ("price", pa.float64(), False),
        ("amount", pa.float64(), False),
    ]


def test_texts_that_repeat_are_dictionaries() -> None:
    schema = TABLES["depth"].schema

    assert {schema.field(n).type for n in ("market", "conn", "stream")} == {TEXT}


def test_a_table_names_itself() -> None:
    assert repr(TABLES["bbo"]) == "Table('bbo', v1)"


def test_an_installed_package_brings_its_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "files", lambda _: tmp_path / "recorder")
    assert schemas_folder() == tmp_path / "schemas"

    (tmp_path / "recorder" / "_schemas").mkdir(parents=True)
    assert schemas_folder() == tmp_path / "recorder" / "_schemas"


def test_missing_definitions_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "schemas_folder", lambda: tmp_path)

    with pytest.raises(StoreError, match="no table definitions"):
        tables._read_tables()


DEFINITION = """
table = "x"
version = 1
doc = "d"
[[columns]]
name = "a"
type = "int64"
null = false
doc = "d"
"""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (DEFINITION.replace("int64", "uint7"), "unknown types"),
        (DEFINITION.replace('"x"', '"y"'), "describes y v1"),
        (DEFINITION.replace("version = 1", "version = 2"), "describes x v2"),
        (DEFINITION + "size = 3\n", "cannot read"),
        ("table = ", "cannot read"),
    ],
)
def test_a_wrong_definition_is_an_error(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "x" / "v1.toml"
    path.parent.mkdir()
    path.write_text(text)

    with pytest.raises(StoreError, match=error):
        read_definition(path)


def test_a_definition_becomes_an_arrow_schema(tmp_path: Path) -> None:
    path = tmp_path / "x" / "v1.toml"
    path.parent.mkdir()
    path.write_text(DEFINITION)

    schema = read_definition(path).schema

    assert schema == pa.schema([pa.field("a", pa.int64(), nullable=False)])
