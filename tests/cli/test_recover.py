import os
import subprocess
import sys

from recorder import open_store
from recorder.cli.recover import _sentence
from recorder.store.layout import journal_path, torn_path
from recorder.store.listing import open_listing
from recorder.store.recover import RecoveredRun


KILLED = """
import os, sys, time, traceback
from pathlib import Path
from recorder.model import Trade
from recorder.store.run import OpenInterval, RunState, open_run
from recorder.store.writer import Flush, Writer

try:
    root, noon = Path(sys.argv[1]), int(sys.argv[2])
    run = open_run(root, job="nightly", source="gate_spot", now_ns=noon)
    writer = Writer(run)
    writer.start()
    trades = [
        Trade(market="BTC_USDT", ts_event=None, trade_id=n, side="buy",
              price="1", amount="2")
        for n in range(3)
    ]
    rows = [(noon + n, f"{run.id}.1", n, 0, t, b"{}") for n, t in enumerate(trades)]
    state = RunState(intervals=(OpenInterval("BTC_USDT", "trades", noon),))
    flush = Flush(
        rows={("trades", "gate_spot"): rows}, through_ns=noon + 3, state=state
    )
    assert writer.submit(flush)
    while writer.stats().through_ns < noon + 3:
        time.sleep(0.01)
except BaseException:
    traceback.print_exc()
    os._exit(1)
os._exit(9)
"""


def test_a_torn_and_a_damaged_journal_are_told_once_each_by_name(run, maker):
    torn = journal_path(maker.root, *maker.journal([maker.trade(1)]))
    os.truncate(torn, torn.stat().st_size - 1)
    where = maker.journal([maker.depth(1, b'[["1","2"]]', b"[]")])
    damaged = journal_path(maker.root, *where)
    damaged.write_bytes(bytes(8) + damaged.read_bytes()[8:])

    told = run("recover", "--store", maker.root).stderr.splitlines()

    assert len(told) == 2
    assert "ERROR   damaged journal" in told[0]
    assert f'path="{torn_path(maker.root, *where)}"' in told[0]
    assert "WARNING journal had a torn end" in told[1]
    assert f'path="{torn}"' in told[1]


def test_what_a_killed_run_left_is_converted_and_told(run, maker):
    code = subprocess.run(
        [sys.executable, "-c", KILLED, maker.root, str(maker.noon)],
        check=False,
        timeout=60,
    ).returncode

    first = run("recover", "--store", maker.root)
    second = run("recover", "--store", maker.root)

    assert code == 9
    assert first.exit_code == 0
    assert first.stdout.startswith("Run 20240501T120000-")
    assert first.stdout.endswith(
        " of job nightly: converted 1 journal; it was killed, "
        "its rows are here up to 2024-05-01T12:00:00.000000003Z.\n"
    )
    assert second.stdout == f"Nothing to recover in {maker.root}.\n"
    assert open_listing(maker.root).journals("trades") == ()
    store = open_store(maker.root)
    trades = store.sql("SELECT trade_id FROM trades ORDER BY ALL").fetchall()
    assert trades == [(0,), (1,), (2,)]
    assert store.sql("SELECT DISTINCT reason FROM gaps").fetchall() == [
        ("process_killed",)
    ]


def test_a_store_that_does_not_exist_is_wrong_usage(run, tmp_path):
    result = run("recover", "--store", tmp_path / "none")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert not (tmp_path / "none").exists()


def test_a_run_that_ended_well_is_not_called_killed():
    done = RecoveredRun(
        run="20240501T120000-abcdef",
        job=None,
        source=None,
        segments=2,
        was_killed=False,
        through_ns=None,
    )

    assert _sentence(done) == "Run 20240501T120000-abcdef: converted 2 journals."
