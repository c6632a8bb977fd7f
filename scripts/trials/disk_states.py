"""What a kill or a power cut between two calls leaves on a disk.

A kill leaves everything that was done. A power cut leaves what was synced;
of the rest, of the content of files as of the names in folders, it may leave
anything: nothing, the first part, or some sectors and not others, with zeros
between them where a file had grown. Folders are disks of their own here: a
name is lasting when its folder was synced, and not before.
"""

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from trials.disk_log import Call, relative


SECTOR: Final = 512
"""Bytes that a disk writes as a whole, or not at all."""


class _Change(NamedTuple):
    """A change of a file's content that is not on the disk yet.

    Attributes:
        at: Where bytes are written.
        content: The bytes; None if the file is cut off there.
    """

    at: int
    content: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.content is None:
            del content[self.at :]
            return
        content.extend(bytes(max(0, self.at - len(content))))
        content[self.at : self.at + len(self.content)] = self.content


class File:
    """Content as the system shows it, and as it is on the disk."""

    def __init__(self, content: bytes = b"") -> None:
        self.shown = bytearray(content)
        self._lasting = bytearray(content)
        self._changes: list[_Change] = []

    def change(self, at: int, content: bytes | None) -> None:
        """Write some bytes, or cut the file."""
        change = _Change(at, content)
        change.apply(self.shown)
        self._changes.append(change)

    def sync(self) -> None:
        """Have all changes on the disk."""
        for change in self._changes:
            change.apply(self._lasting)
        self._changes.clear()

    def doubt(self) -> None:
        """Forget changes that could not be synced, though they are shown."""
        size = len(self.shown)
        self._changes.clear()
        self._lasting.extend(bytes(max(0, size - len(self._lasting))))
        del self._lasting[size:]

    def after_cut(self, rng: random.Random) -> bytes:
        """Return what a power cut leaves."""
        left = bytearray(self._lasting)
        kind = rng.choice(("nothing", "beginning", "sectors", "all"))
        if kind == "nothing":
            return bytes(left)
        count = len(self._changes)
        if kind == "beginning":
            count = rng.randint(0, count)
        for change in self._changes[:count]:
            if change.content is None or kind == "all":
                change.apply(left)
                continue
            is_last = change is self._changes[count - 1]
            if kind == "beginning":
                size = len(change.content)
                kept = rng.randint(0, size) // SECTOR * SECTOR if is_last else size
                _Change(change.at, change.content[:kept]).apply(left)
                continue
            left.extend(bytes(max(0, change.at + len(change.content) - len(left))))
            for part in _sectors(change.at, change.content):
                if rng.random() < 0.5:
                    part.apply(left)
        return bytes(left)


def _sectors(at: int, content: bytes) -> Iterable[_Change]:
    """Yield a write as the disk does it."""
    done = 0
    while done < len(content):
        size = SECTOR - (at + done) % SECTOR
        yield _Change(at + done, content[done : done + size])
        done += size


class Folder:
    """Names as the system shows them, and as they are on the disk."""

    def __init__(self) -> None:
        self.shown: dict[str, Node] = {}
        self._lasting: dict[str, Node] = {}
        # Each is one change: a file that is renamed has one name or the other.
        self._changes: list[dict[str, Node | None]] = []

    def change(self, names: "dict[str, Node | None]") -> None:
        """Give names to files and folders, or take them away (None)."""
        _rename(self.shown, names)
        self._changes.append(names)

    def sync(self) -> None:
        """Have all names on the disk."""
        for names in self._changes:
            _rename(self._lasting, names)
        self._changes.clear()

    def after_cut(self, rng: random.Random) -> "dict[str, Node]":
        """Return the names that a power cut leaves."""
        left = dict(self._lasting)
        kind = rng.choice(("nothing", "beginning", "some", "all"))
        kept = {"nothing": 0, "beginning": rng.randint(0, len(self._changes))}
        for names in self._changes[: kept.get(kind)]:
            if kind != "some" or rng.random() < 0.5:
                _rename(left, names)
        return left


Node = File | Folder


def _rename(shown: dict[str, Node], names: dict[str, Node | None]) -> None:
    for name, node in names.items():
        if node is None:
            shown.pop(name, None)
        else:
            shown[name] = node


class Disk:
    """The disk below a folder, after some calls.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = Folder()
        self._handles: dict[int, File] = {}

    @classmethod
    def of(cls, root: Path) -> "Disk":
        """Return a disk that holds what lies below a folder, all of it synced."""
        disk = cls(root)
        for path in sorted(root.rglob("*")):
            node = Folder() if path.is_dir() else File(path.read_bytes())
            folder, name = disk._place(path)
            folder.change({name: node})
            folder.sync()
        return disk

    def apply(self, call: Call) -> None:
        """Do what a call did."""
        values, gave = call.values, call.gave
        match call.name:
            case "create" | "rewrite" | "open_lock" | "reopen":
                self._handles[gave] = self._opened(values[0], call.name)
            case "close":
                self._handles.pop(values[0], None)
            case "write" | "cut" | "sync" | "sync_data" | "doubt":
                _change(self._handles[values[0]], call.name, *values[1:])
            case "make_folder":
                folder, name = self._place(values[0])
                folder.change({name: Folder()})
            case "link" | "rename":
                self._name(*values, is_renamed=call.name == "rename")
            case "remove":
                folder, name = self._place(values[0])
                folder.change({name: None})
            case "sync_folder":
                self._folder(values[0]).sync()
            case _:
                raise ValueError(f"a call that is not known: {call.name}")

    def _name(self, old: Path, new: Path, *, is_renamed: bool) -> None:
        before, old_name = self._place(old)
        after, new_name = self._place(new)
        node = before.shown[old_name]
        if not is_renamed:
            after.change({new_name: node})
        elif before is after:
            after.change({new_name: node, old_name: None})
        else:
            after.change({new_name: node})
            before.change({old_name: None})

    def _opened(self, path: Path, how: str) -> File:
        folder, name = self._place(path)
        node = folder.shown.get(name)
        if not isinstance(node, File):
            node = File()
            folder.change({name: node})
        elif how == "rewrite":
            node.change(0, None)
        return node

    def _place(self, path: Path) -> tuple[Folder, str]:
        return self._folder(path.parent), path.name

    def _folder(self, path: Path) -> Folder:
        if path == self._root.parent:  # what holds the store is not ours
            return Folder()
        folder: Node = self._top
        for name in relative(path, self._root):
            folder = folder.shown[name]  # type: ignore[union-attr]
        if not isinstance(folder, Folder):
            raise TypeError(f"{path} is no folder")
        return folder

    def put_down(self, target: Path, rng: random.Random | None) -> None:
        """Write what is left into a new folder.

        Args:
            target: The folder.
            rng: Decides what a power cut leaves; None for a kill.
        """
        _put_down(self._top, target, rng)


def _change(file: File, how: str, *values: Any) -> None:
    match how, values:
        case "write", (content, at):
            file.change(at, content)
        case "cut", (size,):
            file.change(size, None)
        case "doubt", ():
            file.doubt()
        case _:
            file.sync()


def _put_down(folder: Folder, target: Path, rng: random.Random | None) -> None:
    target.mkdir()
    names = folder.shown if rng is None else folder.after_cut(rng)
    for name, node in names.items():
        if isinstance(node, Folder):
            _put_down(node, target / name, rng)
        else:
            content = bytes(node.shown) if rng is None else node.after_cut(rng)
            (target / name).write_bytes(content)
