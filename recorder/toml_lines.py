"""In which line of a TOML text something stands.

The parser of the standard library says what a text means and not where; so
the text is cut into statements here, which takes no more than knowing
strings, comments and brackets, and each statement is given to that parser
by itself to learn its keys. A library that keeps positions would do, too;
those that live keep comments and blanks, but no line numbers.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec


TomlPath: TypeAlias = tuple[str | int, ...]
"""Where something is: keys of tables, and positions in arrays from 0."""

_PIECE: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|\#[^\n]*"
    r"|[\[\]{},\n]"
    r"|[ \t\r]+"
    r"""|[^"'\#\[\]{},\n \t\r]+""",
    re.DOTALL,
)


class _Statement(msgspec.Struct, frozen=True):
    """A header of a table, or a key with its value.

    Attributes:
        line: Where it begins, from 1.
        text: All of it, perhaps several lines.
        items: In which line each item of its array begins, if it is one.
    """

    line: int
    text: str
    items: tuple[int, ...]


class TomlLines:
    """Knows in which line each key of a valid text stands.

    Args:
        text: What `tomllib` accepted.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[TomlPath, int] = {}
        self._counts: dict[TomlPath, int] = {}
        table: TomlPath = ()
        for statement in _statements(text):
            if statement.text.startswith("["):
                table = self._opened(statement)
                self._lines.setdefault(table, statement.line)
                continue
            content = tomllib.loads(statement.text)
            for path, value in _paths(content):
                self._lines.setdefault(table + path, statement.line)
                if isinstance(value, list):
                    for number, line in enumerate(statement.items):
                        self._lines.setdefault((*table, *path, number), line)

    def line_of(self, *path: str | int) -> int:
        """Return the line of something, or of the nearest thing it is part of."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _opened(self, header: _Statement) -> TomlPath:
        """Return which table a header opens, counting those of arrays."""
        content: Any = tomllib.loads(header.text)
        is_array = header.text.startswith("[[")
        path: TomlPath = ()
        while content:
            if isinstance(content, list):
                content = content[0]
                continue
            ((key, content),) = content.items()
            path = (*path, key)
            is_last = not content or content == [{}]
            if is_last and is_array:
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path


def _paths(
    content: Mapping[str, Any], above: TomlPath = ()
) -> Iterator[tuple[TomlPath, Any]]:
    """Yield every key in nested tables, with what it holds."""
    for key, value in content.items():
        yield (*above, key), value
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


def _statements(text: str) -> Iterator[_Statement]:
    line, depth = 1, 0
    begin: tuple[int, int] | None = None
    items: list[int] = []
    is_new_item = False
    for match in _PIECE.finditer(text + "\n"):
        piece = match[0]
        if piece == "\n" and depth == 0:
            if begin is not None:
                start, offset = begin
                yield _Statement(start, text[offset : match.start()], tuple(items))
            begin, items, is_new_item = None, [], False
        elif piece[0] not in " \t\r\n#":
            if begin is None:
                begin = line, match.start()
            if is_new_item and depth == 1 and piece not in "],":
                items.append(line)
                is_new_item = False
            if piece in "[{":
                depth += 1
            elif piece in "]}":
                depth -= 1
            is_new_item = is_new_item or (depth == 1 and piece in "[,")
        line += piece.count("\n")
