"""In which line of a TOML text something stands."""

import tomllib

import pytest
from hypothesis import given, strategies as st

from recorder.toml_lines import TomlLines


TEXT = '''\
# comment with [brackets] and "quotes

store = "data"  # "
note = """
many = "lines"
[not.a.table]"""
plain = \'\'\'
it's [all] one\'\'\'
mixed."dotted key".x = 1
list = [
  "a", # one, [two
  "b",

  [1,
   2], { c = "]" },
  "e"]
empty = []

[[source]]
source = "x"
markets = ["A",
  "B"]
[source.options]
settle = "usdt"
[[source.more]]
deep = 1
[[source.more]]
deep = 2
[[source]]   # the second
source = "y"
options = { settle = "btc", note = "z" }
[[source.more]]
deep = 3
["quo]ted"]
key = 1
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("store",), 3),
        (("note",), 4),
        (("plain",), 7),
        (("mixed", "dotted key", "x"), 9),
        (("list",), 10),
        (("list", 0), 11),
        (("list", 1), 12),
        (("list", 2), 14),
        (("list", 2, 1), 14),
        (("list", 3), 15),
        (("list", 4), 16),
        (("empty", 0), 17),
        (("source", 0), 19),
        (("source", 0, "source"), 20),
        (("source", 0, "markets", 1), 22),
        (("source", 0, "options"), 23),
        (("source", 0, "options", "settle"), 24),
        (("source", 0, "more", 1, "deep"), 28),
        (("source", 1), 29),
        (("source", 1, "missing"), 29),
        (("source", 1, "options", "note"), 31),
        (("source", 1, "more", 0, "deep"), 33),
        (("quo]ted", "key"), 35),
        (("nothing",), 1),
        ((), 1),
    ],
)
def test_everything_has_the_line_in_which_it_begins(path, line):
    tomllib.loads(TEXT)

    assert TomlLines(TEXT).line_of(*path) == line


def test_an_array_of_tables_in_brackets_has_lines_too():
    text = 'source = [\n  { source = "a" },\n  { source = "b", x = 1 },\n]\n'

    assert TomlLines(text).line_of("source", 1, "x") == 3


KEYS = st.sampled_from(["a", "b", '"c d"', "'#'", '"["'])
VALUES = st.sampled_from(
    [
        "1",
        '"x"',
        '"#"',
        '"[\\""',
        "'\\'",
        '"""\n"""',
        '"""a"" # [\n\\""""""',
        "'''\n]'''",
        "[]",
        "[\n]",
        '["a", # ,[\n "b"\n,]',
        "[[1,\n2], [\n3]]",
        "{}",
        '{ x = "}", y = [1,\n 2] }',
    ]
)
BLANKS = st.sampled_from(["", "\n", "# x\n", "  # '''\n\n", "\t\n"])


@st.composite
def documents(draw):
    """Return a text of TOML, and the line of each of its keys by path."""
    text, lines = "", {}
    for number in range(draw(st.integers(1, 4))):
        table = (f"t{number}",)
        for _ in range(draw(st.integers(1, 2)) if number else 1):
            text += draw(BLANKS)
            place = ()
            if number:
                count = sum(path[:1] == table and len(path) == 2 for path in lines)
                place = (*table, count)
                lines[place] = text.count("\n") + 1
                text += f"[[{table[0]}]]{draw(st.sampled_from(['', ' # ]]']))}\n"
            for key in draw(st.lists(KEYS, max_size=4, unique=True)):
                text += draw(BLANKS)
                lines[(*place, *tomllib.loads(f"{key}=1"))] = text.count("\n") + 1
                text += f"{key} = {draw(VALUES)}\n"
    return text, lines


@given(documents())
def test_lines_are_right_whatever_the_values_look_like(document):
    text, lines = document
    tomllib.loads(text)

    found = TomlLines(text)

    assert {path: found.line_of(*path) for path in lines} == lines
