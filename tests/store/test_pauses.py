"""A disk that refuses makes the writer wait, and loses nothing that it was given."""

import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recorder.errors import JobLostError, StoreError
from recorder.store import calls, conversions, patience, writer as writer_module
from recorder.store.batch import RowTuple
from recorder.store.layout import journals_folder, list_files, tmp_folder
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.run import OpenInterval, Run, RunState, open_run
from recorder.store.runfile import read_run_file, run_lock_path
from recorder.store.writer import Flush, Writer
from recorder.telemetry import (
    ConversionsDelayed,
    ConversionsDone,
    StoreFailed,
    StorePaused,
    StoreResumed,
    StoreStillPaused,
)


MakeRow = Callable[..., RowTuple]
SECOND = 1_000_000_000
TRADES = ("trades", "gate_spot")
STATE = RunState((OpenInterval("BTC_USDT", "trades", 5),))


class Disk:
    """A disk that refuses some calls for as long as it is told to.

    Attributes:
        refused: How often it did.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self._real = {name: getattr(calls, name) for name in REFUSABLE}
        self.refused = 0
        self.happened = threading.Event()

    def refuse(self, *names: str, code: int = errno.ENOSPC, times: int = -1) -> None:
        """Refuse calls, so often or always."""
        left = times

        def refuse(*_given: object) -> None:
            nonlocal left
            if left == 0:
                raise AssertionError("told to refuse no more")
            left -= 1
            self.refused += 1
            if left == 0:
                self.mend()
            self.happened.set()
            raise OSError(code, os.strerror(code))

        for name in names:
            self._patch.setattr(calls, name, refuse)

    def mend(self) -> None:
        """Refuse nothing any more."""
        for name, function in self._real.items():
            self._patch.setattr(calls, name, function)


REFUSABLE = (
    *("create", "rewrite", "write", "sync", "sync_data", "make_folder", "link"),
    *("rename", "remove", "sync_folder"),
)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def start(run: Run) -> Iterator[Callable[..., Writer]]:
    started: list[Writer] = []

    def make(**settings: Any) -> Writer:
        settings = {"pauses_seconds": (0.001, 0.005), "grace_seconds": 0.05} | settings
        writer = Writer(run, **settings)
        writer.start()
        started.append(writer)
        return writer

    yield make
    for writer in started:
        if writer._error is None:
            writer.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the writer's thread."""
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("waited in vain")


def flush(writer: Writer, rows: list[RowTuple], at: int, **more: Any) -> None:
    """Submit rows and wait until they are durable."""
    done = writer.stats().flushes
    assert writer.submit(Flush(rows={TRADES: rows}, through_ns=at, **more))
    wait_until(lambda: writer.stats().flushes > done)


def trade_ids(root: Path) -> list[int]:
    return sorted(open_listing(root).read("trades")["trade_id"].to_pylist())


def said(caplog: pytest.LogCaptureFixture, *kinds: type) -> list[Any]:
    """Return the signals of some kinds."""
    signals = [getattr(record, "signal", None) for record in caplog.records]
    return [signal for signal in signals if isinstance(signal, kinds)]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("name", ["create", "write", "sync", "rename", "sync_data"])
def test_what_the_disk_refuses_is_done_as_soon_as_it_lets_us(
    start: Callable[..., Writer],
    run: Run,
    disk: Disk,
    trade: MakeRow,
    start_ns: int,
    name: str,
    code: int,
) -> None:
    writer = start()
    disk.refuse(name, code=code, times=3)

    flush(writer, [trade(1), trade(2)], start_ns + SECOND, state=STATE)

    assert disk.refused == 3
    assert trade_ids(run.root) == [1, 2]
    assert writer.trouble is None
    told = read_run_file(run.root, run.id)
    assert told is not None
    assert (told.through_ns, told.state) == (start_ns + SECOND, STATE)
    writer.close()
    assert trade_ids(run.root) == [1, 2]


def test_a_pause_is_told_at_its_begin_its_end_and_once_a_minute(
    start: Callable[..., Writer],
    disk: Disk,
    trade: MakeRow,
    start_ns: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="recorder")
    now = 0

    def later() -> int:
        nonlocal now
        now += 25 * SECOND
        return now

    monkeypatch.setattr(patience, "monotonic_ns", later)
    writer = start()
    disk.refuse("write", times=8)

    flush(writer, [trade(1)], start_ns + SECOND)

    kinds = [type(signal) for signal in said(caplog, StorePaused, StoreStillPaused)]
    assert kinds == [StorePaused, StoreStillPaused, StoreStillPaused]
    (begun, still, _) = said(caplog, StorePaused, StoreStillPaused)
    assert "the disk is full; free some space" in begun.why
    assert still.seconds == 75
    (over,) = said(caplog, StoreResumed)
    assert over.seconds >= 175


def test_the_run_file_goes_before_the_heartbeat_whatever_is_refused(
    start: Callable[..., Writer],
    run: Run,
    disk: Disk,
    trade: MakeRow,
    start_ns: int,
) -> None:
    writer = start()
    disk.refuse("rename")
    writer.submit(
        Flush(rows={TRADES: [trade(1)]}, through_ns=start_ns + SECOND, state=STATE)
    )
    wait_until(lambda: writer.trouble is not None)

    told = read_run_file(run.root, run.id)
    assert told is not None
    assert (told.through_ns, told.state) == (start_ns, RunState())
    assert trade_ids(run.root) == [1]
    disk.mend()
    wait_until(lambda: writer.stats().flushes == 1)
    told = read_run_file(run.root, run.id)
    assert told is not None
    assert (told.through_ns, told.state) == (start_ns + SECOND, STATE)


def test_who_stops_meanwhile_leaves_the_store_as_after_a_kill(
    start: Callable[..., Writer],
    run: Run,
    disk: Disk,
    trade: MakeRow,
    start_ns: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    errors: list[StoreError] = []
    writer = start(on_error=errors.append)
    flush(writer, [trade(1)], start_ns + SECOND, state=STATE)
    disk.refuse("write")
    assert writer.submit(Flush(rows={TRADES: [trade(2)]}, through_ns=start_ns + 9))

    with pytest.raises(StoreError, match=r"is full.*next start says since when"):
        writer.close()

    assert [str(error) for error in errors] == [str(writer._error)]
    with pytest.raises(StoreError, match="the disk is full"):
        writer.submit(Flush(rows={}, through_ns=start_ns + 2 * SECOND))
    assert said(caplog, StoreFailed) != []
    disk.mend()
    run.abandon()
    (done,) = recover(run.root)
    assert done.through_ns == start_ns + SECOND
    assert trade_ids(run.root) == [1]
    gaps = open_listing(run.root).read("gaps")
    assert gaps["reason"].to_pylist() == ["process_killed"]


def test_a_disk_that_is_mended_within_the_grace_gets_everything(
    start: Callable[..., Writer], run: Run, disk: Disk, trade: MakeRow, start_ns: int
) -> None:
    writer = start(grace_seconds=30.0)
    disk.refuse("write")
    writer.submit(Flush(rows={TRADES: [trade(1)]}, through_ns=start_ns + SECOND))
    disk.happened.wait(10)
    closing = threading.Thread(target=writer.close)
    closing.start()
    disk.mend()
    closing.join()

    assert trade_ids(run.root) == [1]
    assert list(list_files(journals_folder(run.root), ".arrow")) == []


def test_a_refusal_with_a_full_queue_does_not_block_closing(
    start: Callable[..., Writer], disk: Disk, trade: MakeRow, start_ns: int
) -> None:
    writer = start(queue_flushes=1)
    disk.refuse("write", "sync_data")
    part = Flush(rows={TRADES: [trade(1)]}, through_ns=start_ns)
    writer.submit(part)
    wait_until(lambda: writer.submit(part))
    assert not writer.submit(part)

    with pytest.raises(StoreError, match="the disk is full"):
        writer.close()


def test_memory_that_ran_out_is_waited_for_too(
    start: Callable[..., Writer],
    run: Run,
    trade: MakeRow,
    start_ns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, left = writer_module.build_all, 2

    def build(rows: Any, blocks: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise MemoryError
        return real(rows, blocks)

    monkeypatch.setattr(writer_module, "build_all", build)

    flush(start(), [trade(1)], start_ns + SECOND)

    assert trade_ids(run.root) == [1]


# Segments


@pytest.mark.parametrize("name", ["rewrite", "link", "sync_folder", "remove"])
def test_a_segment_that_finds_no_room_is_made_later_and_rows_go_on_meanwhile(
    start: Callable[..., Writer],
    run: Run,
    disk: Disk,
    trade: MakeRow,
    start_ns: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    caplog.set_level(logging.INFO, logger="recorder")
    monkeypatch.setattr(conversions, "PAUSES_NS", (1, 1))
    real = conversions.convert
    is_full = threading.Event()
    is_full.set()

    def convert(*given: Any, **more: Any) -> Any:
        if is_full.is_set():
            disk.refuse(name, times=1)
        return real(*given, **more)

    monkeypatch.setattr(conversions, "convert", convert)
    writer = start(segment_max_bytes=1)
    for number in range(3):
        flush(writer, [trade(number)], start_ns + number)
        wait_until(disk.happened.is_set)
        disk.happened.clear()

    assert trade_ids(run.root) == [0, 1, 2]
    is_full.clear()
    flush(writer, [trade(3)], start_ns + 3)
    writer.close()

    assert trade_ids(run.root) == [0, 1, 2, 3]
    assert list(list_files(journals_folder(run.root), ".arrow")) == []
    assert list(tmp_folder(run.root).iterdir()) == []
    assert len(list(list_files(run.root, ".parquet"))) == 4
    assert len(said(caplog, ConversionsDelayed)) == 1
    assert len(said(caplog, ConversionsDone)) == 1


def test_a_disk_without_room_for_segments_ends_a_run_with_its_journals_readable(
    start: Callable[..., Writer], run: Run, disk: Disk, trade: MakeRow, start_ns: int
) -> None:
    writer = start()
    flush(writer, [trade(1)], start_ns + SECOND)
    disk.refuse("rewrite")

    with pytest.raises(
        StoreError, match=r"write the segment.*is full.*safe in journals"
    ):
        writer.close()

    disk.mend()
    assert len(list(list_files(journals_folder(run.root), ".arrow"))) == 1
    assert trade_ids(run.root) == [1]


# A volume that vanishes


def test_a_volume_that_is_away_is_waited_for_and_nothing_is_written_in_its_place(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    writer = start(segment_max_bytes=1)
    flush(writer, [trade(1)], start_ns + SECOND)
    wait_until(lambda: any(list_files(run.root, ".parquet")))
    away = run.root.with_name("away")
    run.root.rename(away)
    run.root.mkdir()  # what is seen of the folder below, when nothing is mounted

    writer.submit(
        Flush(rows={TRADES: [trade(2)], ("bbo", "x"): []}, through_ns=start_ns + 9)
    )
    wait_until(lambda: writer.trouble is not None)

    assert "mount its volume again" in str(writer.trouble)
    assert list(run.root.iterdir()) == []
    run.root.rmdir()
    away.rename(run.root)
    wait_until(lambda: writer.stats().flushes == 2)
    writer.close()
    assert trade_ids(run.root) == [1, 2]


def copied_away(root: Path) -> None:
    """Have a store lie on another disk, as one that is mounted anew does."""
    other = root.with_name("other")
    shutil.copytree(root, other)
    root.rename(root.with_name("dead"))
    other.rename(root)


def test_a_volume_that_came_back_as_another_mount_is_taken_up_again(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    writer = start()
    flush(writer, [trade(1)], start_ns + SECOND)
    copied_away(run.root)

    flush(writer, [trade(2)], start_ns + 2 * SECOND, state=STATE)

    assert trade_ids(run.root) == [1, 2]
    told = read_run_file(run.root, run.id)
    assert told is not None
    assert told.through_ns == start_ns + 2 * SECOND
    assert recover(run.root) == ()  # its locks are held there, too
    with pytest.raises(StoreError, match="already running"):
        open_run(run.root, job=run.job, source=run.source, now_ns=start_ns)
    writer.close()
    run.release()
    assert trade_ids(run.root) == [1, 2]


def test_a_run_that_somebody_else_put_in_order_meanwhile_ends(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    errors: list[StoreError] = []
    writer = start(on_error=errors.append)
    flush(writer, [trade(1)], start_ns + SECOND)
    copied_away(run.root)
    assert len(recover(run.root)) == 1

    writer.submit(Flush(rows={TRADES: [trade(2)]}, through_ns=start_ns + 9))
    wait_until(lambda: errors != [])

    assert isinstance(errors[0], JobLostError)
    assert not run_lock_path(run.root, run.id).exists()
    assert trade_ids(run.root) == [1]


def test_a_job_that_somebody_else_records_meanwhile_ends(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    errors: list[StoreError] = []
    writer = start(on_error=errors.append)
    flush(writer, [trade(1)], start_ns + SECOND)
    copied_away(run.root)
    other = open_run(run.root, job=run.job, source=run.source, now_ns=start_ns + 5)

    writer.submit(Flush(rows={TRADES: [trade(2)]}, through_ns=start_ns + 9))
    wait_until(lambda: errors != [])

    assert "already running" in str(errors[0])
    assert other.id in str(errors[0])
    other.release()
