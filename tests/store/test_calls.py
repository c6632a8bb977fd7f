"""All that changes a store's disk goes through one module, where trials watch."""

import ast
from pathlib import Path

import pytest

import recorder.store


FOLDER = Path(recorder.store.__file__).parent
OF_OS = {
    *("write", "pwrite", "ftruncate", "truncate", "fsync", "fdatasync", "link"),
    *("rename", "replace", "unlink", "remove", "mkdir", "makedirs", "rmdir", "open"),
}
OF_PATHS = {
    *("unlink", "rename", "replace", "mkdir", "rmdir", "touch", "write_bytes"),
    *("write_text", "hardlink_to", "symlink_to"),
}
ELSEWHERE = {
    ("locks.py", "open"),  # to look whether a lock is held
    ("reference.py", "write_text"),  # the column reference, not a store
}


def changes(path: Path) -> set[tuple[str, str]]:
    """Return the calls of a module that would change the disk."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, owner = node.func.attr, node.func.value
        of = owner.id if isinstance(owner, ast.Name) else ""
        is_of_path = name in OF_PATHS and of not in ("calls", "disk", "os")
        if name == "replace" and (len(node.args) != 1 or node.keywords):
            is_of_path = False  # of a text or a structure
        if is_of_path or (of == "os" and name in OF_OS):
            found.add((path.name, name))
    return found


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda p: p.name)
def test_a_module_changes_the_disk_only_through_calls(path: Path) -> None:
    found = changes(path)

    if path.name == "calls.py":
        assert len(found) > 8
    else:
        assert found <= ELSEWHERE
