"""A store in which nothing is wrong is told to be so."""

from recorder.store.layout import journals_folder
from recorder.store.run import open_run
from recorder.store.runfile import OpenInterval, RunState
from recorder.verify import verify


def test_nothing_is_found_in_a_store_of_two_runs(case):
    report = case.verified()

    assert report.findings == ()
    assert report.skipped == ()
    assert (report.errors, report.warnings) == (0, 0)
    checked = report.checked
    assert checked.files == len(list(case.root.rglob("*.parquet")))
    assert checked.chains == 7
    assert checked.books == 2
    assert checked.book_rows == 2 * 2 * (500 + 2)


def test_nothing_is_found_in_an_empty_store(tmp_path):
    assert verify(tmp_path).findings == ()


def test_a_run_that_lives_is_left_alone(case, start_of_day):
    run = open_run(case.root, job="other", source="gate_spot", now_ns=start_of_day)
    begun = OpenInterval("BTC_USDT", "trades", start_of_day)
    run.write_state(RunState(intervals=(begun,)), start_of_day + 5)
    unfinished = case.root / ".recorder" / "tmp" / f"1_{run.id}_0_trades.parquet"
    unfinished.write_bytes(b"half")

    report = case.verified()
    run.abandon()
    later = case.verified()

    assert report.findings == ()
    assert report.checked.runs_alive == 1
    assert {finding.kind for finding in later.findings} == {
        "dead_run",
        "leftover_file",
    }


def test_looking_changes_nothing(case):
    before = {path: path.stat().st_mtime_ns for path in case.root.rglob("*")}

    case.verified()

    assert {path: path.stat().st_mtime_ns for path in case.root.rglob("*")} == before
    assert not journals_folder(case.root).exists()


def test_a_part_of_a_store_is_looked_at_as_asked(case):
    one = case.verified(markets=["BTC_USDT"])
    none = case.verified(source="gate_futures")
    later = case.verified(start_ns=1_714_564_800_000_000_000 + 3_700_000_000_000)

    assert (one.checked.books, one.checked.chains) == (1, 4)
    assert (none.checked.files, none.checked.chains) == (0, 0)
    assert later.findings == ()
