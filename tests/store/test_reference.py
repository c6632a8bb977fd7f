"""The column reference is what the definitions say."""

from pathlib import Path

import pytest

from recorder.store import reference
from recorder.store.reference import column_reference, write_column_reference
from recorder.store.tables import TABLES, schemas_folder


def test_the_reference_in_the_repository_is_up_to_date() -> None:
    written = (schemas_folder() / "README.md").read_text()

    assert written == column_reference(TABLES.values())


def test_the_reference_has_a_line_for_each_column() -> None:
    lines = column_reference([TABLES["bbo"]]).splitlines()

    assert [line.split("`")[1] for line in lines if line.startswith("| `")] == (
        TABLES["bbo"].schema.names
    )
    assert (
        "| `bid_price` | `double` | yes | quote currency for one unit of base |  "
        "| Best bid price. |"
    ) in lines


def test_the_reference_is_written_beside_the_definitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "schemas_folder", lambda: tmp_path)

    path = write_column_reference()

    assert path == tmp_path / "README.md"
    assert path.read_text() == column_reference(TABLES.values())
