import io
import re

import pyarrow as pa
import pytest

from recorder.cli.tables import cell, new_table, number, print_rows, show


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.00000012, "0.00000012"),
        (-1234567.5, "-1234567.5"),
        (1e15, "1000000000000000"),
        (1e22, "1e+22"),
        (1e-12, "1e-12"),
        (float("nan"), "nan"),
        (7, "7"),
    ],
)
def test_numbers_have_no_exponent_where_they_can_be_read(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), ("", ""), (True, "true"), ([1.5, None], "[1.5,null]"), (3, "3")],
)
def test_cells_tell_null_from_nothing(value, text):
    assert cell(value).plain == text


def test_what_looks_like_markup_is_shown_as_it_is(capsys):
    table = new_table("[bold]x[/bold]")
    table.add_row(cell("[red]BTC[/red]"))

    show(table)

    out = capsys.readouterr().out
    assert "[bold]x[/bold]" in out
    assert "[red]BTC[/red]" in out


def test_a_terminal_gets_colors_and_folded_lines(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    table = new_table("a")
    value = "0123456789" * 8
    table.add_row(value)

    show(table)

    rows = [x for x in terminal.getvalue().splitlines() if x.startswith("│")]
    assert "\x1b[" in terminal.getvalue()
    # Not a character of a value is cut.
    assert "".join(row.strip("│ ") for row in rows) == value


def test_numbers_are_aligned_to_the_right_and_texts_to_the_left():
    rows = pa.record_batch({"n": [1, 22], "t": ["a", "bb"]})
    sink = io.BytesIO()

    print_rows(rows.schema, iter([rows]), sink)

    lines = sink.getvalue().decode().splitlines()
    assert lines[3:5] == ["│  1 │ a  │", "│ 22 │ bb │"]


class TerminalBytes(io.BytesIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """Return what a terminal of 40 characters shows of some columns."""
    # A dumb terminal is 80 wide whatever it says, unless it says how high it is.
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("LINES", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")

    def shown(columns, sink=TerminalBytes):
        rows, into = pa.record_batch(columns), sink()
        print_rows(rows.schema, iter([rows]), into)
        return re.sub("\x1b\\[[0-9;]*m", "", into.getvalue().decode()).splitlines()

    return shown


def test_rows_too_wide_for_a_terminal_are_shown_upright(shown):
    columns = {"market": ["BTC_USDT", "ETH"], "n": [1, None], "why": ["x" * 30, "y"]}

    assert shown(columns) == [
        "market: BTC_USDT",
        "n: 1",
        "why: " + "x" * 30,
        "",
        "market: ETH",
        "n: null",
        "why: y",
    ]


@pytest.mark.parametrize("spare", [0, 1])
def test_rows_are_a_table_up_to_the_last_character_of_a_terminal(shown, spare):
    # Two cells with a margin of one each side, and three lines between.
    wide = "x" * (40 - 7 - 1 - spare)

    assert shown({"a": ["1"], "b": [wide]})[3] == f"│ 1 │ {wide} │"
    assert shown({"a": ["1"], "b": [wide + "x" * (spare + 1)]})[0] == "a: 1"


def test_rows_in_a_file_are_a_table_however_wide(shown):
    columns = {"a": ["x" * 300], "b": ["y" * 300]}

    assert shown(columns, io.BytesIO)[3] == f"│ {'x' * 300} │ {'y' * 300} │"


def test_no_rows_are_a_table_of_their_columns(shown):
    assert "first" in "".join(shown({"first" * 10: pa.array([], pa.string())}))
