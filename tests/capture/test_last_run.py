"""How the last run of a job ended, as monitoring reads it."""

import asyncio
import os
import signal
import sys

import msgspec
import pytest
from click.testing import CliRunner

from recorder import __version__, open_store
from recorder.capture.last_run import GapCount
from recorder.cli import cli
from recorder.errors import StoreError
from recorder.model import Gap
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.last_runs import LastRun, last_path, read_last_runs, write_last
from recorder.store.recover import recover
from recorder.store.runfile import read_run_files
from recorder.store.writer import Flush
from recorder.telemetry import LastRunUntold


def last(root, job="watched"):
    return msgspec.json.decode(last_path(root, job).read_bytes())


async def test_a_run_that_ended_says_what_it_stored(recorder_of):
    settings = Settings(seed=5, rate=60, faults=(faults.parse("abort:at=1"),))
    async with Exchange(settings) as exchange:
        how = {"markets": ("BTC_USDT",), "job": "watched"}
        result = await recorder_of.run(exchange, "gate_spot", 4, **how)

    told = last(recorder_of.root)
    store = open_store(recorder_of.root)
    for table, count in told["rows"].items():
        name = "gaps_log" if table == "gaps" else table
        assert store.sql(f"SELECT count(*) FROM {name}").fetchall() == [(count,)]
    by_reason = store.sql(
        "SELECT reason, count(*) FROM gaps GROUP BY reason"
    ).fetchall()
    assert told["gaps"] == dict(by_reason)
    assert told["gaps"]["connect_lost"] == 2
    assert (told["state"], told["exit_code"], told["failure"]) == ("ended", 0, None)
    assert (told["run"], told["job"], told["source"]) == (
        result.run,
        "watched",
        "gate_spot",
    )
    assert (told["chains"], told["books"], told["refused"]) == (2, 1, [])
    assert told["version"] == __version__
    assert told["started_at"] < told["ended_at"]


async def test_a_run_that_failed_says_why(recorder_of):
    async with Exchange(Settings(seed=5)) as exchange:
        how = {"markets": ("BTC_USDT", "NOPE_USDT"), "streams": ("trades",)}
        await recorder_of.run(exchange, "gate_spot", 3, job="watched", **how)

    told = last(recorder_of.root)
    assert (told["state"], told["exit_code"]) == ("failed", 1)
    assert [words.partition(":")[0] for words in told["refused"]] == [
        "trades of NOPE_USDT"
    ]
    shown = CliRunner().invoke(cli, ["info", "--store", str(recorder_of.root)])
    assert "The last run of job watched failed: trades of NOPE_USDT" in " ".join(
        shown.stdout.split()
    )


async def test_a_run_whose_disk_refuses_says_so(recorder_of, monkeypatch):
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        capture = recorder_of.capture(exchange, "gate_spot", job="watched")

        def refuse(*_args):
            raise StoreError("the disk is full; free some space")

        monkeypatch.setattr(capture._run, "heartbeat", refuse)
        with pytest.raises(StoreError):
            await capture.run()

    told = last(recorder_of.root)
    assert (told["state"], told["exit_code"]) == ("failed", 1)
    assert told["failure"] == "the disk is full; free some space"


async def test_that_nobody_can_be_told_is_only_logged(recorder_of, monkeypatch):
    said = []
    monkeypatch.setattr("recorder.capture.last_run.emit", said.append)
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        capture = recorder_of.capture(exchange, "gate_spot", stop_after_seconds=1)
        (recorder_of.root / ".recorder" / "last").touch()

        result = await capture.run()

    assert result.run
    assert [type(event) for event in said] == [LastRunUntold]
    assert "a file is in the way" in said[0].why


def test_nothing_is_put_where_a_store_has_vanished(tmp_path):
    store = tmp_path / "store"
    last_run = LastRun(
        job="watched", run="r", source="fake", state="ended", exit_code=0,
        failure=None, started_at="", ended_at="",
    )  # fmt: skip

    with pytest.raises(StoreError, match="store"):
        write_last(store, last_run)

    assert not store.exists()
    (store / ".recorder").mkdir(parents=True)
    write_last(store, last_run)
    assert last(store)["run"] == "r"


async def test_of_a_run_that_was_killed_the_next_start_tells(recorder_of):
    root = recorder_of.root
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        words = ["capture", "gate_spot", "-m", "BTC_USDT", "-s", "trades"]
        words += ["--ws-url", exchange.ws_url_spot, "--rest-url", exchange.rest_url]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from recorder.cli import main; main()", *words),
            *("--job", "watched", "--store", str(root)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        while not (root.exists() and read_run_files(root)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    (run,) = read_run_files(root)

    recover(root)

    told = last(root)
    assert (told["run"], told["state"], told["exit_code"]) == (run.run, "killed", None)
    assert told["failure"].startswith("it ended without stopping, last alive at 20")
    assert told["rows"] is None
    found = CliRunner().invoke(cli, ["info", "--store", str(root), "--format", "json"])
    assert msgspec.json.decode(found.stdout)["last_runs"] == [told]


@pytest.mark.parametrize("job", ["a b", "../../etc", ".hidden", "x" * 101, "ä"])
def test_the_file_of_a_job_with_an_odd_name_lies_beside_the_others(tmp_path, job):
    path = last_path(tmp_path, job)

    assert path.parent == last_path(tmp_path, "recorder.gate_spot").parent
    assert path.name.isascii()
    assert path.name[0] not in ". "
    assert last_path(tmp_path, "recorder.gate_spot").name == "recorder.gate_spot.json"


def test_a_file_that_makes_no_sense_is_named(tmp_path):
    path = last_path(tmp_path, "odd")
    path.parent.mkdir(parents=True)
    path.write_text("{}")

    with pytest.raises(StoreError, match=r"odd\.json says nothing that can be underst"):
        read_last_runs(tmp_path)


def test_a_gap_counts_once_and_only_if_it_is_of_this_run():
    count = GapCount("mine")

    def see(gap_id, ended_at=None, healed_by=None, reason="connect_lost", detail=None):
        gap = Gap(
            gap_id=gap_id,
            market="A",
            stream="trades",
            job="job",
            scope="rows",
            reason=reason,
            started_at=1,
            ended_at=ended_at,
            healed_by=healed_by,
            detail=detail,
        )
        rows = {("gaps", "fake"): [(1, "mine.ledger", 0, 0, gap, None)]}
        count.see(Flush(rows=rows, through_ns=1))

    see("mine.1")
    see("mine.1", ended_at=2)
    see("mine.1", ended_at=2, healed_by="late")
    see("mine.2", ended_at=1)
    see("mine.2", ended_at=1, detail="reset; backfill: the venue tells no more")
    see("mine.3")
    see("mine.3", reason="venue_maintenance")
    see("mine.3", ended_at=2, reason="venue_maintenance")
    see("other.1", ended_at=2)

    assert count.by_reason == {"connect_lost": 2, "venue_maintenance": 1}
