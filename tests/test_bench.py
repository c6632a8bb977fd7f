"""The benchmarks run, print every figure, and find what is not as it was sent.

How long anything takes is not judged.
"""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from benchmarks import bars, commands, peers
from benchmarks.account import account
from benchmarks.answers import told_by_frames, told_by_rows
from benchmarks.cycle import Cycle
from benchmarks.made_frames import Load, depth_load, trade_load
from benchmarks.made_markets import LEVELS
from benchmarks.report import WrongAnswerError
from benchmarks.sender import Poured
from benchmarks.to_arrow import rows_of
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.segment import write_segment


BENCH = Path(__file__).resolve().parents[1] / "scripts" / "bench"
MEASURED_WITHOUT_PEERS = {"P1", "P2", "P5", "P6a", "P6b", "P7", "P8", "P9"}


def bench(*arguments):
    # Measured by the benchmark itself, so not by coverage as well.
    quiet = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    return subprocess.run(
        [sys.executable, BENCH, *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=280,
        env=quiet,
    )


@pytest.mark.timeout(300)  # a dozen processes, one after another
def test_all_figures_are_told_once_answers_were_compared(tmp_path):
    report = tmp_path / "report.md"

    done = bench("all", "--quick", "--no-peers", "--report", report)

    assert done.stderr == ""
    assert done.returncode == 0
    parts = dict(
        part.split("\n", 1) for part in done.stdout.split("\n== ") if "\n" in part
    )
    (last,) = [name for name in parts if name.startswith("all, ")]
    rows = {row.split()[0]: row for row in parts.pop(last).strip().splitlines()[2:]}
    assert list(rows) == [bar.name for bar in bars.ALL]
    for bar in bars.ALL:
        row = rows[bar.name]
        assert f" {bar.text(bar.bar)} " in row
        if bar.name in MEASURED_WITHOUT_PEERS:
            assert re.search(r" [\d.]+ \([\d.]+-[\d.]+\) ", row), row
            assert re.search(r" (goal reached|bar reached|MISSED)\b", row), row
        else:
            assert re.search(r" - .* not measured .*: left out", row), row
    asked = {"ingest", "wire", "replay", "markets", "memory", "size", "startup"}
    assert asked | {"query"} == set(list(parts)[1:])
    for name in [*asked, "query"]:
        assert "\nCompared: " in parts[name], name
        assert f"\n## {name}\n" in report.read_text()
    assert rows["P9"] in report.read_text()


def test_what_is_not_a_subcommand_is_refused_with_the_list_of_them():
    done = bench("nonsense")

    assert done.returncode == 2
    assert "ingest" in done.stderr
    assert "replay" in done.stderr
    assert done.stdout == ""


def test_a_peer_that_cannot_be_installed_is_told_with_the_reason(tmp_path, monkeypatch):
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'ERROR: no index answers' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(peers, "ENVIRONMENTS", tmp_path / "environments")

    given = commands.parsed("replay", ["--quick", "--messages", "100"])
    found = commands.run("replay", given)

    for figure in found.figures:
        assert figure.value is None
        assert figure.note.startswith("hftbacktest: hftbacktest==")
        assert figure.note.endswith("cannot be installed: ERROR: no index answers")
    assert "order_book==0.6.1 cannot be installed" in found.text()


class _Result(msgspec.Struct):
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Frame(msgspec.Struct):
    result: _Result


def change(book, frame):
    for side, levels in zip(book, (frame.a, frame.b), strict=True):
        for price, amount in levels:
            if amount == "0":
                del side[price]
            else:
                side[price] = amount


def books_of(load):
    return {
        name: tuple(dict(msgspec.json.decode(side)) for side in sides)
        for name, (_, *sides) in zip(load.markets, load.books, strict=True)
    }


def test_made_up_books_are_bounded_never_crossed_and_come_back_to_their_start():
    load = depth_load(600, markets=3, is_cycle=True)
    books = books_of(load)
    ids = {name: book[0] for name, book in zip(load.markets, load.books, strict=True)}

    for frame in load.frames:
        update = msgspec.json.decode(frame, type=_Frame).result
        assert ids[update.s] + 1 == update.U <= update.u
        ids[update.s] = update.u
        change(books[update.s], update)
        asks, bids = ({float(price) for price in side} for side in books[update.s])
        assert max(bids) < min(asks)
        assert max(len(bids), len(asks)) <= LEVELS

    assert books == books_of(load)


def test_a_sender_repeats_its_frames_with_ids_that_run_on_and_books_that_fit():
    load = depth_load(300, markets=3, is_cycle=True)
    cycle = Cycle(load)
    sent = len(load.frames) + 137
    content = b"".join(cycle.part(load.markets[:2]).wire(0, sent))
    texts = re.findall(rb'\{"time":.*?\]\}\}', content)
    books = books_of(load)
    ends = {name: [] for name in load.markets}
    for text in texts:
        update = msgspec.json.decode(text, type=_Frame).result
        ends[update.s].append((update.U, update.u))
        change(books[update.s], update)

    assert ends.pop(load.markets[2]) == []
    for number, (name, found) in enumerate(ends.items()):
        assert found[0][0] == load.books[number][0] + 1
        assert all(a[1] + 1 == b[0] for a, b in pairwise(found))
        snapshot = msgspec.json.decode(cycle.snapshot(name, sent, 0))
        assert snapshot["id"] == found[-1][1]
        told = tuple(dict(snapshot[side]) for side in ("asks", "bids"))
        assert told == books[name]


def stored(root: Path, rows: pa.Table) -> Path:
    first = rows["ts_recv"][0].value
    partition = Partition("depth", "gate_spot", date_of(first))
    write_segment(root, partition, Stem(first, "20260101T000000-abcdef", 0), rows)
    return root


@pytest.fixture(scope="module")
def made() -> tuple[Load, pa.Table]:
    load = depth_load(300, markets=3, is_cycle=True)
    return load, rows_of(load, "depth:100ms")


def test_a_frame_that_is_not_stored_is_missed(tmp_path, made):
    load, rows = made
    poured = [Poured(0, len(load.frames), 1.0)]
    kept = pa.concat_tables([rows.slice(0, 100), rows.slice(101)])

    whole = account(stored(tmp_path / "whole", rows), load, poured)
    short = account(stored(tmp_path / "short", kept), load, poured)

    whole.must_be_whole()
    assert (whole.unaccounted, short.unaccounted) == (0, 1)
    with pytest.raises(WrongAnswerError):
        short.must_be_whole()


def test_a_frame_that_is_stored_twice_or_as_another_is_found(tmp_path, made):
    load, rows = made
    poured = [Poured(0, len(load.frames), 1.0)]
    twice = pa.concat_tables([rows, rows.slice(7, 1)])
    place = rows.schema.get_field_index("asks")
    other = rows.set_column(place, rows.schema.field("asks"), rows["bids"])

    with pytest.raises(WrongAnswerError, match="twice"):
        account(stored(tmp_path / "twice", twice), load, poured)
    with pytest.raises(WrongAnswerError, match="levels"):
        account(stored(tmp_path / "other", other), load, poured)


def test_rows_that_say_something_else_than_frames_are_found(made):
    load, rows = made
    trades = trade_load(100, markets=3)
    dealt = rows_of(trades, "trades")
    told = told_by_rows(rows, "depth")

    told_by_frames(load.frames, "depth").compare(told, "rows")
    told_by_frames(trades.frames, "trades").compare(
        told_by_rows(dealt, "trades"), "trades"
    )
    told.values[5] += 1e-9
    with pytest.raises(WrongAnswerError, match="prices"):
        told_by_frames(load.frames, "depth").compare(told, "rows")
