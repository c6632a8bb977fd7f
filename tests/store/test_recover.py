"""What a dead run left is put in order, once, however often it is tried."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recorder.errors import ConfigError, StoreError
from recorder.model import Coverage, Gap
from recorder.store import calls, last_instant, recover as recover_module
from recorder.store.batch import RowTuple, build
from recorder.store.journal import Journal
from recorder.store.last_instant import UNWRITTEN_MAX_NS, with_last_instant
from recorder.store.layout import (
    Partition,
    Stem,
    journals_folder,
    list_files,
    recovery_lock_path,
    runs_folder,
    tmp_folder,
)
from recorder.store.listing import open_listing
from recorder.store.locks import wait_lock
from recorder.store.recover import RecoveredRun, recover
from recorder.store.revisions import (
    first_instant,
    newest_row_ns,
)
from recorder.store.run import OpenInterval, Run, RunState, open_run
from recorder.store.runfile import read_run_file, run_lock_path, run_path
from recorder.store.tables import TABLES


MakeRow = Callable[..., RowTuple]
DATE = "2023-11-14"


def put(
    run: Run, table: str, rows: list[RowTuple], number: int, source: str = "gate_spot"
) -> Path:
    """Write rows into a journal of a run."""
    stem = Stem(min(row[0] for row in rows), run.id, number)
    journal = Journal(run.root, Partition(table, source, DATE), stem)
    journal.append(build(TABLES[table], rows).batch)
    journal.close()
    return journal.path


def intervals(root: Path) -> list[tuple[Any, ...]]:
    """Return market, stream, start, end and reason of all coverage."""
    rows = open_listing(root).read("coverage")
    return sorted(
        zip(
            rows["market"].to_pylist(),
            rows["stream"].to_pylist(),
            rows["started_at"].cast(pa.int64()).to_pylist(),
            rows["ended_at"].cast(pa.int64()).to_pylist(),
            rows["closed_by"].to_pylist(),
            strict=True,
        ),
        key=str,
    )


def gaps(root: Path) -> list[tuple[Any, ...]]:
    """Return id, market, stream, reason, start and end of all gaps."""
    rows = open_listing(root).read("gaps")
    return sorted(
        zip(
            rows["gap_id"].to_pylist(),
            rows["market"].to_pylist(),
            rows["stream"].to_pylist(),
            rows["reason"].to_pylist(),
            rows["started_at"].cast(pa.int64()).to_pylist(),
            rows["ended_at"].cast(pa.int64()).to_pylist(),
            strict=True,
        ),
        key=str,
    )


def everything(root: Path) -> dict[str, bytes]:
    """Return all files of a store that are data, with their content."""
    return {str(path): path.read_bytes() for _, _, path in list_files(root, ".parquet")}


def gap(start_ns: int, **changes: Any) -> Gap:
    """A gap of rows that has not ended."""
    facts: dict[str, Any] = {
        "gap_id": "g1",
        "market": "A",
        "stream": "trades",
        "job": "job",
        "scope": "rows",
        "reason": "connect_lost",
        "started_at": start_ns + 5,
    }
    return Gap(**(facts | changes))


def test_a_store_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(ConfigError, match="there is no store"):
        recover(root)


def test_a_store_without_dead_runs_is_left_alone(root: Path) -> None:
    root.mkdir()

    assert recover(root) == ()
    assert list(root.iterdir()) == []


def test_a_living_run_is_not_touched(
    run: Run, root: Path, trade: MakeRow, start_ns: int
) -> None:
    put(run, "trades", [trade(1)], 0)
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 9)
    before = sorted(root.rglob("*"))

    assert recover(root) == ()

    assert sorted(root.rglob("*")) == before


def test_journals_of_a_run_that_ended_cleanly_become_segments(
    run: Run, root: Path, trade: MakeRow
) -> None:
    put(run, "trades", [trade(2), trade(1)], 0)
    run.release()

    assert recover(root) == (
        RecoveredRun(
            run=run.id,
            job=None,
            source=None,
            segments=1,
            was_killed=False,
            through_ns=None,
        ),
    )

    listing = open_listing(root)
    assert listing.journals("trades") == ()
    assert listing.read("trades")["trade_id"].to_pylist() == [1, 2]
    assert (intervals(root), gaps(root)) == ([], [])
    assert list(runs_folder(root).iterdir()) == []
    assert recover(root) == ()


def test_a_killed_run_is_closed_at_its_heartbeat(
    run: Run, root: Path, start_ns: int
) -> None:
    run.write_state(
        RunState(
            (
                OpenInterval("A", "trades", start_ns),
                OpenInterval("B", "depth:100ms", start_ns + 1),
                OpenInterval(None, "status", start_ns + 2),
            )
        ),
        start_ns + 3,
    )
    run.heartbeat(start_ns + 9)
    run.abandon()

    assert recover(root) == (
        RecoveredRun(
            run=run.id,
            job="job",
            source="gate_spot",
            segments=0,
            was_killed=True,
            through_ns=start_ns + 9,
        ),
    )

    end = start_ns + 9
    assert intervals(root) == [
        ("A", "trades", start_ns, end, "killed"),
        ("B", "depth:100ms", start_ns + 1, end, "killed"),
        (None, "status", start_ns + 2, end, "killed"),
    ]
    killed = f"{run.id}.killed"
    assert gaps(root) == [
        (f"{killed}.depth:100ms.B", "B", "depth:100ms", "process_killed", end, None),
        (f"{killed}.status.", None, "status", "process_killed", end, None),
        (f"{killed}.trades.A", "A", "trades", "process_killed", end, None),
    ]
    rows = open_listing(root).read("gaps")
    assert set(rows["detail"].to_pylist()) == {
        f"run {run.id} ended without stopping, last alive at 2023-11-14T22:13:20Z"
    }
    assert set(rows["scope"].to_pylist()) == {"rows"}
    assert set(rows["job"].to_pylist()) == {"job"}
    assert set(rows["source"].to_pylist()) == {"gate_spot"}
    assert list(runs_folder(root).iterdir()) == []


def test_an_interval_that_began_after_the_heartbeat_covers_nothing(
    run: Run, root: Path, start_ns: int
) -> None:
    run.write_state(RunState((OpenInterval("A", "trades", start_ns + 9),)), start_ns)
    run.abandon()

    recover(root)

    assert intervals(root) == []
    assert [row[4:] for row in gaps(root)] == [(start_ns + 9, None)]


def test_a_chain_that_was_in_a_gap_stays_in_that_gap(
    run: Run, root: Path, start_ns: int
) -> None:
    open_gap = gap(start_ns)
    put(run, "gaps", [(start_ns + 6, "r.ledger", 0, 0, open_gap, None)], 0)
    run.write_state(
        RunState((OpenInterval("B", "trades", start_ns),), (open_gap,)), start_ns + 7
    )
    run.abandon()

    recover(root)

    assert [row[0] for row in gaps(root)] == [f"{run.id}.killed.trades.B", "g1"]
    assert intervals(root) == [("B", "trades", start_ns, start_ns + 7, "killed")]


def test_a_run_that_left_everything_as_it_was_is_named_in_the_ledger(
    run: Run, root: Path, start_ns: int
) -> None:
    open_gap = gap(start_ns)
    put(run, "gaps", [(start_ns, "earlier.ledger", 0, 0, open_gap, None)], 0)
    run.write_state(RunState((), (open_gap,)), start_ns + 7)
    run.abandon()

    recover(root)

    rows = open_listing(root).read("gaps")
    said = zip(rows["conn"].to_pylist(), rows["gap_id"].to_pylist(), strict=True)
    assert list(said) == [("earlier.ledger", "g1"), (f"{run.id}.killed", "g1")]


def test_a_gap_of_the_whole_job_is_a_gap_of_every_chain(
    run: Run, root: Path, start_ns: int
) -> None:
    whole = gap(start_ns, market=None, stream=None)
    state = RunState((OpenInterval("A", "trades", start_ns),), (whole,))
    run.write_state(state, start_ns + 9)
    run.abandon()

    recover(root)

    assert gaps(root) == []
    assert [row[2:4] for row in intervals(root)] == [(start_ns, start_ns + 5)]


@pytest.mark.parametrize("is_told", [False, True])
def test_a_book_that_was_found_wrong_just_before_a_kill_is_a_gap(
    run: Run, root: Path, start_ns: int, is_told: bool
) -> None:
    """Unless the ledger had told of it, whatever it called the gap."""
    facts = {"scope": "book", "reason": "crossed", "stream": "depth:100ms"}
    found = gap(start_ns, gap_id=f"{run.id}.found.1", **facts)
    run.write_state(RunState(intervals=(OpenInterval("A", "depth:100ms", start_ns),)))
    run.note_found([found])
    run.heartbeat(start_ns + 8)
    told = gap(start_ns, gap_id=f"{run.id}.7", ended_at=start_ns + 6, **facts)
    if is_told:
        put(run, "gaps", [(start_ns + 6, f"{run.id}.ledger", 1, 0, told, None)], 1)
    run.abandon()

    recover(root)

    books = [(row[0], row[4], row[5]) for row in gaps(root) if row[3] == "crossed"]
    assert books == [
        (told.gap_id, start_ns + 5, start_ns + 6)
        if is_told
        else (found.gap_id, start_ns + 5, None)
    ]


def test_a_gap_of_the_book_misses_no_rows(run: Run, root: Path, start_ns: int) -> None:
    book = gap(start_ns, scope="book", reason="resync", stream="depth:100ms")
    state = RunState((OpenInterval("A", "depth:100ms", start_ns),), (book,))
    run.write_state(state, start_ns + 7)
    run.abandon()

    recover(root)

    assert [row[3] for row in gaps(root)] == ["process_killed"]
    assert len(intervals(root)) == 1


def test_an_end_that_reached_the_disk_is_believed(
    run: Run, root: Path, start_ns: int
) -> None:
    """Killed between the rows of a flush and the run file."""
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 3)
    run.abandon()
    ended = Coverage(
        market="A",
        stream="trades",
        job="job",
        started_at=start_ns,
        ended_at=start_ns + 5,
        closed_by="gap",
    )
    put(run, "coverage", [(start_ns + 6, "r.ledger", 0, 0, ended, None)], 0)

    recover(root)

    assert intervals(root) == [("A", "trades", start_ns, start_ns + 5, "gap")]
    assert [row[3:] for row in gaps(root)] == [("process_killed", start_ns + 5, None)]


def test_an_end_that_reached_the_disk_is_believed_more_than_the_heartbeat(
    run: Run, root: Path, start_ns: int
) -> None:
    """A silence was noticed late, and why is not on the disk."""
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 9)
    run.abandon()
    ended = Coverage(
        market="A",
        stream="trades",
        job="job",
        started_at=start_ns,
        ended_at=start_ns + 5,
        closed_by="stop",
    )
    put(run, "coverage", [(start_ns + 10, "r.ledger", 0, 0, ended, None)], 0)

    recover(root)

    assert intervals(root) == [("A", "trades", start_ns, start_ns + 5, "stop")]
    assert [row[3:] for row in gaps(root)] == [("process_killed", start_ns + 5, None)]


def test_nothing_is_claimed_after_the_last_that_a_connection_brought(
    run: Run, root: Path, start_ns: int
) -> None:
    """Its socket may have been dead; another one was heard to the end."""
    state = RunState(
        (
            OpenInterval("A", "trades", start_ns, link=0),
            OpenInterval("B", "trades", start_ns, link=1),
            OpenInterval("C", "trades", start_ns, link=2),
        )
    )
    run.write_state(state, start_ns + 5)
    run.heartbeat(start_ns + 9, [start_ns + 4, start_ns + 9])
    run.abandon()

    shown = open_listing(root).open_coverage()
    recover(root)

    spans = [("A", start_ns + 4), ("B", start_ns + 9)]
    ends = shown["ended_at"].cast(pa.int64()).to_pylist()
    assert list(zip(shown["market"].to_pylist(), ends, strict=True)) == spans
    assert [(row[0], row[3]) for row in intervals(root)] == spans
    assert [(row[1], row[4]) for row in gaps(root)] == [*spans, ("C", start_ns)]


def test_intervals_that_were_held_back_are_written_as_they_ended(
    run: Run, root: Path, start_ns: int
) -> None:
    state = RunState(
        (
            OpenInterval("A", "trades", start_ns, start_ns + 3, "gap"),
            OpenInterval("A", "trades", start_ns + 5, start_ns + 7, "midnight"),
            OpenInterval("A", "trades", start_ns + 7),
        )
    )
    run.write_state(state, start_ns + 9)
    run.abandon()
    missing = gap(start_ns + 3, started_at=start_ns + 3, ended_at=start_ns + 5)
    put(run, "gaps", [(start_ns + 6, "r.ledger", 0, 0, missing, None)], 0)

    shown = open_listing(root).open_coverage()
    recover(root)

    assert shown["closed_by"].to_pylist() == ["gap", "midnight", None]
    assert [row[2:] for row in intervals(root)] == [
        (start_ns, start_ns + 3, "gap"),
        (start_ns + 5, start_ns + 7, "midnight"),
        (start_ns + 7, start_ns + 9, "killed"),
    ]


def test_the_rows_of_a_recovery_are_the_newest_of_their_run(
    run: Run, root: Path, trade: MakeRow, start_ns: int
) -> None:
    """The clock of the next run starts after them."""
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 1)
    put(run, "trades", [trade(1), trade(70)], 0)
    run.abandon()

    recover(root)

    assert newest_row_ns(open_listing(root), "gate_spot") == start_ns + 70
    assert newest_row_ns(open_listing(root), "gate_v3") == 0
    assert [row[2:4] for row in intervals(root)] == [(start_ns, start_ns + 1)]


def test_a_run_begins_after_all_that_a_killed_one_may_have_shown(
    run: Run, root: Path, start_ns: int
) -> None:
    """What that one had not written counts if the wall clock was put back."""
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 9)
    run.abandon()
    recover(root)
    listing, late = open_listing(root), start_ns + 9 + UNWRITTEN_MAX_NS

    assert first_instant(listing, "gate_spot", start_ns + 10) == start_ns + 10
    assert first_instant(listing, "gate_spot", start_ns + 9) == late + 1
    assert first_instant(listing, "gate_spot", start_ns - 5) == late + 1
    assert first_instant(listing, "gate_v3", start_ns) == 1


def test_a_run_begins_soon_after_a_killed_one_whose_last_moment_is_known(
    run: Run, root: Path, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often runs are killed, they do not run away from the wall clock."""
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 9)
    run.heartbeat(start_ns + 10, counted_ns=5_000)
    run.abandon()
    again = run_path(root, run.id)
    monkeypatch.setattr(last_instant, "counting_ns", lambda: 5_700)
    said = with_last_instant(root, read_run_file(root, run.id))
    monkeypatch.setattr(last_instant, "counting_ns", lambda: 9_999)

    assert again.exists()
    assert with_last_instant(root, read_run_file(root, run.id)) == said
    recover(root)
    listing = open_listing(root)
    assert first_instant(listing, "gate_spot", start_ns + 9) == start_ns + 711
    assert first_instant(listing, "gate_spot", start_ns + 711) == start_ns + 711


def test_of_a_run_before_the_machine_was_started_anew_nothing_is_known(
    run: Run, root: Path, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.heartbeat(start_ns + 10, counted_ns=5_000)
    monkeypatch.setattr(last_instant, "boot_number", lambda: 1)

    said = with_last_instant(root, read_run_file(root, run.id))

    assert said.counted is not None
    assert said.shown_until is None


def test_a_recovery_waits_for_another_one(
    root: Path, trade: MakeRow, start_ns: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What the other one closes must not be read as if it were open."""
    dead(root, trade, start_ns)
    other = wait_lock(recovery_lock_path(root))
    done: list[tuple[RecoveredRun, ...]] = []
    waiting = threading.Thread(target=lambda: done.append(recover(root)))

    with caplog.at_level("INFO", logger="recorder"):
        waiting.start()
        while "waiting for a recovery" not in caplog.text:
            waiting.join(0.01)
    assert done == []
    other.release(remove=True)
    waiting.join()

    assert [len(runs) for runs in done] == [1]
    assert not recovery_lock_path(root).exists()


def test_too_little_memory_is_told_and_it_can_be_done_later(
    root: Path, trade: MakeRow, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead(root, trade, start_ns)

    def refuse(*_args: object, **_options: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 4096 failed")

    with monkeypatch.context() as patch:
        patch.setattr(recover_module, "convert", refuse)
        with pytest.raises(StoreError, match="not enough memory to recover run"):
            recover(root)

    assert [done.segments for done in recover(root)] == [2]


def test_an_end_and_its_gap_that_reached_the_disk_say_it_all(
    run: Run, root: Path, start_ns: int
) -> None:
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 3)
    run.abandon()
    ended = Coverage(
        market="A",
        stream="trades",
        job="job",
        started_at=start_ns,
        ended_at=start_ns + 5,
        closed_by="gap",
    )
    put(run, "coverage", [(start_ns + 6, "r.ledger", 0, 0, ended, None)], 0)
    put(run, "gaps", [(start_ns + 6, "r.ledger", 1, 0, gap(start_ns), None)], 1)

    recover(root)

    assert intervals(root) == [("A", "trades", start_ns, start_ns + 5, "gap")]
    assert [row[0] for row in gaps(root)] == ["g1"]


def test_a_gap_that_ended_on_the_disk_is_followed_by_the_kill(
    run: Run, root: Path, start_ns: int
) -> None:
    open_gap = gap(start_ns)
    run.write_state(RunState((), (open_gap,)), start_ns + 6)
    run.abandon()
    closed = gap(start_ns, ended_at=start_ns + 8)
    rows = [
        (start_ns + 6, "r.ledger", 0, 0, open_gap, None),
        (start_ns + 9, "r.ledger", 1, 0, closed, None),
    ]
    put(run, "gaps", rows, 0)

    recover(root)

    assert [row[3:] for row in gaps(root) if row[0] != "g1"] == [
        ("process_killed", start_ns + 8, None)
    ]
    assert intervals(root) == []


def test_rows_of_other_jobs_say_nothing(run: Run, root: Path, start_ns: int) -> None:
    run.write_state(RunState((OpenInterval("A", "trades", start_ns),)), start_ns + 7)
    run.abandon()
    other = Coverage(
        market="A",
        stream="trades",
        job="another",
        started_at=start_ns,
        ended_at=start_ns + 5,
        closed_by="gap",
    )
    put(run, "coverage", [(start_ns + 6, "r.ledger", 0, 0, other, None)], 0)
    theirs = gap(start_ns, job="another")
    put(run, "gaps", [(start_ns + 6, "r.ledger", 1, 0, theirs, None)], 1)

    recover(root)

    assert ("A", "trades", start_ns, start_ns + 7, "killed") in intervals(root)
    assert f"{run.id}.killed.trades.A" in [row[0] for row in gaps(root)]


STEPS = [
    "convert",
    "write_segment",
    "sync_folder",
    "emit",
]


def dead(root: Path, trade: MakeRow, start_ns: int) -> Run:
    """Leave a killed run with rows and something open."""
    run = open_run(root, job="job", source="gate_spot", now_ns=start_ns)
    put(run, "trades", [trade(2), trade(1)], 0)
    put(run, "trades", [trade(3)], 1, source="gate_v3")
    run.write_state(
        RunState(
            (OpenInterval("A", "trades", start_ns), OpenInterval("B", "trades", 5)),
            (gap(start_ns, market="C"),),
        ),
        start_ns + 9,
    )
    run.abandon()
    return run


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_recovery_that_is_killed_is_simply_done_again(
    tmp_path: Path,
    trade: MakeRow,
    start_ns: int,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    is_before: bool,
    nth: int,
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda n: "ab" * n)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for root in (whole, broken):
        dead(root, trade, start_ns)
    recover(whole)

    class KilledError(BaseException):
        pass

    module = calls if step == "sync_folder" else recover_module
    real = getattr(module, step)
    count = 0

    def work(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth and is_before:
            raise KilledError
        result = real(*args, **options)
        if count == nth:
            raise KilledError
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, step, work)
        if step != "emit" or nth == 1:
            with pytest.raises(KilledError):
                recover(broken)
        else:
            recover(broken)

    recover(broken)
    assert intervals(broken) == intervals(whole)
    assert gaps(broken) == gaps(whole)
    assert [p.replace("broken", "whole") for p in everything(broken)] == list(
        everything(whole)
    )
    for root in (whole, broken):
        assert list(runs_folder(root).iterdir()) == []
        assert list(tmp_folder(root).iterdir()) == []
        assert list(list_files(journals_folder(root), ".arrow")) == []


def test_recovering_twice_changes_nothing(
    root: Path, trade: MakeRow, start_ns: int
) -> None:
    run = dead(root, trade, start_ns)
    said = run_path(root, run.id).read_bytes()
    recover(root)
    before = everything(root)

    run_path(root, run.id).write_bytes(said)
    recover(root)

    assert everything(root) == before
    assert recover(root) == ()


def test_what_a_killed_conversion_left_is_swept_away(
    root: Path, trade: MakeRow, start_ns: int
) -> None:
    run = dead(root, trade, start_ns)
    (tmp_folder(root) / f"17_{run.id}_0_trades_x.parquet").write_bytes(b"half")
    (tmp_folder(root) / "17_20240101T000000-000000_0_x.parquet").write_bytes(b"other")
    (runs_folder(root) / f"{run.id}.json.7.new").write_bytes(b"half")
    (runs_folder(root) / "notes.txt").write_bytes(b"mine")

    recover(root)

    assert [p.name for p in tmp_folder(root).iterdir()] == [
        "17_20240101T000000-000000_0_x.parquet"
    ]
    assert [p.name for p in runs_folder(root).iterdir()] == ["notes.txt"]


def test_a_lock_without_anything_else_is_swept_away(root: Path) -> None:
    lock = run_lock_path(root, "20240101T000000-abcdef")
    lock.parent.mkdir(parents=True)
    lock.touch()

    assert recover(root) == ()
    assert not lock.exists()


def test_a_broken_run_file_is_told_and_nothing_is_lost(
    root: Path, trade: MakeRow, start_ns: int
) -> None:
    run = dead(root, trade, start_ns)
    run_path(root, run.id).write_bytes(b"{")

    with pytest.raises(StoreError, match="move it away"):
        recover(root)

    run_path(root, run.id).unlink()
    assert [done.segments for done in recover(root)] == [2]


def test_a_disk_that_refuses_is_told_and_it_can_be_done_later(
    root: Path, trade: MakeRow, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead(root, trade, start_ns)

    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("recorder.store.segment._write_parquet", refuse)
        with pytest.raises(StoreError, match="the disk is full"):
            recover(root)

    assert len(recover(root)) == 1


RECORD = """
import sys, threading, time
from pathlib import Path
from recorder.model import Trade
from recorder.store.revisions import (
    UNWRITTEN_MAX_NS,
    first_instant,
    newest_row_ns,
)
from recorder.store.run import OpenInterval, RunState, open_run
from recorder.store.writer import Flush, Writer

now = time.time_ns()
run = open_run(Path(sys.argv[1]), job="job", source="gate_spot", now_ns=now)
writer = Writer(run, rotate_seconds=0.05, small_bytes=0)
writer.start()
number = 0
while True:
    rows = []
    for _ in range(50):
        number += 1
        event = Trade(market="A", ts_event=None, trade_id=number, side="buy",
                      price="1.5", amount="2")
        rows.append((time.time_ns(), run.id + ".0", number, 0, event, b"{}"))
    state = RunState((OpenInterval("A", "trades", now),)) if number == 50 else None
    flush = Flush(rows={("trades", "gate_spot"): rows}, through_ns=time.time_ns(),
                  state=state)
    while not writer.submit(flush):
        time.sleep(0.001)
    done = writer.stats()
    print(done.rows.get("trades", 0), done.through_ns, flush=True)
"""


@pytest.mark.parametrize("after_rows", [50, 400, 1500])
def test_a_kill_at_any_moment_loses_nothing_that_was_reported(
    tmp_path: Path, after_rows: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = b"0 0"
    while int(line.split()[0]) < after_rows:
        line = process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    whole_lines = [x for x in (line + rest).splitlines(keepends=True) if b"\n" in x]
    reported, through_ns = (int(word) for word in whole_lines[-1].split())
    listed = sorted(open_listing(tmp_path).read("trades")["trade_id"].to_pylist())

    (done,) = recover(tmp_path)

    found = sorted(open_listing(tmp_path).read("trades")["trade_id"].to_pylist())
    assert found == listed
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= reported
    assert done.was_killed
    assert done.through_ns is not None
    assert done.through_ns >= through_ns
    ((_, _, start, end, closed_by),) = intervals(tmp_path)
    assert (end, closed_by) == (done.through_ns, "killed")
    assert [row[3:] for row in gaps(tmp_path)] == [("process_killed", end, None)]
    assert start < end
