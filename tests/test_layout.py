"""The house: which rooms there are, and what may not stand in them."""

import ast
import re
import subprocess
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {".ci", "recorder", "schemas", "tests", "notebooks", "scripts"}
MODULE_LINES_MAX = 450
VENUES = ("gate", "okx", "cryptolisting")


def tracked() -> list[Path]:
    """Return the files of the project: those that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def modules() -> list[Path]:
    return [p for p in tracked() if p.suffix == ".py" and p.exists()]


def test_only_these_folders_stand_at_the_top():
    tops = {p.relative_to(ROOT).parts[0] for p in tracked() if p.parent != ROOT}

    assert tops <= FOLDERS


def test_schemas_holds_no_code():
    assert not [p for p in modules() if p.relative_to(ROOT).parts[0] == "schemas"]


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if p.relative_to(ROOT).parts[0] == "recorder"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_a_module_holds_one_thing(path):
    lines = len(path.read_text().splitlines())

    assert lines <= MODULE_LINES_MAX, f"{path} has {lines} lines"


def test_generic_code_names_no_venue():
    allowed = ("sources", "simulator")
    pattern = re.compile("|".join(rf"(?<![a-z]){venue}(?![a-z])" for venue in VENUES))
    found = []
    for path in modules():
        parts = path.relative_to(ROOT).parts
        if parts[0] != "recorder" or parts[1] in allowed:
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if pattern.search(line.lower()):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")

    assert found == []


@pytest.mark.parametrize(
    "path",
    [p for p in modules() if p.relative_to(ROOT).parts[0] == "recorder"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_recordings_are_not_part_of_the_project():
    assert not [
        p for p in tracked() if p.name.startswith("gate-") and p.suffix == ".jsonl"
    ]
