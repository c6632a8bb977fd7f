"""The heartbeat says how much of each journal is on the disk: losses are seen."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recorder.store import calls
from recorder.store.batch import RowTuple
from recorder.store.layout import journals_folder, list_files
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.run import OpenInterval, Run, RunState
from recorder.store.runfile import (
    encode_heartbeat,
    heartbeat_path,
    read_run_file,
)
from recorder.store.writer import Flush, Writer
from recorder.telemetry import JournalDamaged


MakeRow = Callable[..., RowTuple]
SECOND = 1_000_000_000
TRADES = ("trades", "gate_spot")


def killed(run: Run, trade: MakeRow, start_ns: int, count: int = 3) -> Path:
    """Leave a run with so many appends to a journal; return the journal."""
    writer = Writer(run)
    writer.start()
    state = RunState((OpenInterval("BTC_USDT", "trades", start_ns),))
    for number in range(1, count + 1):
        rows = {TRADES: [trade(number)]}
        through_ns = start_ns + number * SECOND
        writer.submit(Flush(rows=rows, through_ns=through_ns, state=state))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recorder.store.conversions.Conversions.do_all", give_up)
        writer.close()
    run.abandon()
    ((_, _, path),) = list_files(journals_folder(run.root), ".arrow")
    return path


def give_up(_self: object) -> None:
    """Stand for a process that is killed before it makes segments."""


def gaps(root: Path) -> list[tuple[Any, ...]]:
    rows = open_listing(root).read("gaps")
    names = (rows[name].to_pylist() for name in ("reason", "stream"))
    return sorted(zip(*names, strict=True))


def test_a_heartbeat_tells_of_each_journal(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    path = killed(run, trade, start_ns)

    said = read_run_file(run.root, run.id)

    assert said is not None
    assert said.synced == {0: path.stat().st_size}
    assert said.synced_of(0) == path.stat().st_size
    assert said.synced_of(1) == 0


@pytest.mark.parametrize("cut", [1, 700, 1_500])
def test_a_journal_that_lost_its_durable_end_is_damaged(
    run: Run, trade: MakeRow, start_ns: int, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    path = killed(run, trade, start_ns)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])

    seen = open_listing(run.root).read("trades")["trade_id"].to_pylist()
    (told,) = [r.signal for r in caplog.records if hasattr(r, "signal")]
    assert isinstance(told, JournalDamaged)
    recover(run.root)

    assert seen == open_listing(run.root).read("trades")["trade_id"].to_pylist()
    assert len(seen) < 3
    assert ("journal_damaged", None) in gaps(run.root)
    kept = [p.name for p in (run.root / ".recorder" / "torn").rglob("*.arrow")]
    assert kept == [path.name]


def test_what_a_kill_cut_off_was_never_claimed_and_is_no_damage(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    path = killed(run, trade, start_ns)
    content = path.read_bytes()
    path.write_bytes(content + content[-900:-100])

    recover(run.root)

    assert open_listing(run.root).read("trades")["trade_id"].to_pylist() == [1, 2, 3]
    assert gaps(run.root) == [("process_killed", "trades")]


def test_an_append_of_which_a_power_cut_left_the_end_alone_is_no_damage(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    path = killed(run, trade, start_ns)
    whole = path.read_bytes()
    said = read_run_file(run.root, run.id)
    assert said is not None
    heartbeat = heartbeat_path(run.root, run.id)
    # The last append was not reported: the heartbeat is of before.
    before = len(whole) - 700
    heartbeat.write_bytes(
        encode_heartbeat(start_ns + 2 * SECOND, (), {0: 1})[:64] + b""
    )
    path.write_bytes(whole[:before] + bytes(300) + whole[before + 300 :])

    recover(run.root)

    assert "journal_damaged" not in [reason for reason, _ in gaps(run.root)]
    assert list((run.root / ".recorder").glob("torn/**/*.arrow")) == []


def test_without_word_of_journals_a_seal_in_what_is_torn_proves_a_damage(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    path = killed(run, trade, start_ns)
    heartbeat_path(run.root, run.id).write_bytes(encode_heartbeat(start_ns + SECOND))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)

    recover(run.root)

    assert "journal_damaged" in [reason for reason, _ in gaps(run.root)]


def test_lines_of_an_earlier_and_longer_heartbeat_do_no_harm(
    run: Run, start_ns: int
) -> None:
    path = heartbeat_path(run.root, run.id)
    run.heartbeat(start_ns + 1, (5, 6), {3: 900, 4: 100})
    run.heartbeat(start_ns + 2, (5, 6, 7), {4: 300})

    said = read_run_file(run.root, run.id)

    assert said is not None
    assert (said.through_ns, said.heard) == (start_ns + 2, (5, 6, 7))
    assert said.synced == {4: 300}
    assert path.stat().st_size == 5 * 32


def test_a_heartbeat_that_the_disk_refuses_is_not_believed_by_the_next_state(
    run: Run, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_handle: int) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(calls, "sync_data", refuse)
        with pytest.raises(Exception, match="the disk reports an error"):
            run.heartbeat(start_ns + SECOND)
    run.write_state(RunState())
    heartbeat_path(run.root, run.id).unlink()

    said = read_run_file(run.root, run.id)

    assert said is not None
    assert said.through_ns == start_ns
