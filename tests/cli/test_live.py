"""The live line of `recorder capture`."""

import io

from rich.console import Console

from recorder.capture.plan import Progress
from recorder.cli import live


def progress(**changes):
    facts = {
        "frames": 1_500,
        "dropped": 0,
        "rows": {"trades": 7, "depth": 12_345},
        "books_known": 2,
        "books": 3,
        "gaps": 1,
        "lag_seconds": 0.25,
        "connections_open": 1,
        "connections": 2,
        **changes,
    }
    return Progress(**facts)


def drawn(table):
    """Return what a table shows, by heading."""
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    names, values = console.file.getvalue().rstrip("\n").split("\n")
    cells, start = {}, 0
    for column in table.columns:
        end = names.index(column.header, start) + len(column.header)
        cells[column.header] = values[start:end].strip()
        start = end
    return cells


class Watch:
    """A clock that is set by hand."""

    def __init__(self):
        self.ns = 10**15

    def __call__(self):
        return self.ns


def test_the_line_shows_rate_lag_books_gaps_and_rows_of_events():
    watch = Watch()
    meter = live.Meter(watch)
    watch.ns += 2_000_000_000
    rows = {"trades": 7, "depth": 12_345, "gaps": 3, "connections": 1, "frames": 2}

    cells = drawn(meter.draw(progress(frames=3_000, rows=rows)))

    assert cells == {
        "frames/s": "1,500",
        "lag": "0.2 s",
        "books known": "2/3",
        "gaps": "1",
        "connections": "1/2",
        "depth rows": "12,345",
        "trades rows": "7",
    }


def test_a_rate_is_that_of_a_second_however_often_it_is_drawn():
    watch = Watch()
    meter = live.Meter(watch)

    rates = []
    for frames in range(100, 1_700, 100):  # a hundred in each eighth of a second
        watch.ns += 125_000_000
        rates.append(drawn(meter.draw(progress(frames=frames)))["frames/s"])

    assert rates == ["0"] * 7 + ["800"] * 9


def test_of_several_feeds_each_has_a_line():
    watch = Watch()
    board = live.Board(["spot", "old", "late"], watch)
    watch.ns += 2_000_000_000
    rows = {"trades": 7, "depth": 12_345, "gaps": 3, "connections": 1}

    board.draw("spot", progress(frames=3_000, rows=rows))
    table = board.draw("old", progress(frames=400, rows={"trades": 1}))
    ended = board.draw("spot", None)

    assert lines(table) == [
        "feed  frames/s    lag  books known  gaps  connections    rows",
        "spot     1,500  0.2 s          2/3     1          1/2  12,352",
        "old        200  0.2 s          2/3     1          1/2       1",
        "late         -      -            -     -            -       -",
    ]
    assert lines(ended)[1].split() == ["spot", "-", "-", "-", "-", "ended", "-"]


def test_handovers_are_told_from_the_first_on():
    meter = live.Meter(Watch())

    during = drawn(meter.draw(progress(handing_over=2)))
    later = drawn(meter.draw(progress(handovers=3)))

    assert during["handovers"] == "0 + 2 now"
    assert later["handovers"] == "3"
    assert "handovers" not in drawn(meter.draw(progress()))


def lines(table):
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_terminal_gets_a_live_display_and_a_pipe_does_not(run, words, monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)

    piped = run(*words("--duration", "300ms", "--flush", "100ms"))
    monkeypatch.setattr(live, "Console", lambda **_: console)
    run(*words("--duration", "800ms", "--flush", "100ms"))

    assert "books known" not in piped.output
    assert "books known" in screen.getvalue()
    assert "1/1" in screen.getvalue()


def test_audits_are_told_once_there_were_some():
    meter = live.Meter(Watch())

    none = drawn(meter.draw(progress()))
    right = drawn(meter.draw(progress(audits_equal=1_200)))
    wrong = drawn(meter.draw(progress(audits_equal=3, audits_mismatched=1)))

    assert "audits" not in none
    assert right["audits"] == "1,200 right"
    assert wrong["audits"] == "3 right, 1 wrong"
