"""Each fault that is planted in a clean store is found, by its name, and no other."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem
from recorder.store.run import open_run
from recorder.store.tables import TABLES


NOON = 1_714_564_800_000_000_000
SECOND = 1_000_000_000
FIRST, LATER = "20240501T120000-aaaaaa", "20240501T130000-bbbbbb"


def at(seconds):
    """Return the time at which a step of the first run was received."""
    return NOON + SECOND + seconds * SECOND


def cut_off(case):
    path = case.path("bbo")
    path.write_bytes(path.read_bytes()[:-20])


def make_empty_bytes(case):
    case.path("klines").write_bytes(b"")


def flip_a_bit(case):
    path = case.path("bbo")
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(3)
    content[column.data_page_offset + column.total_compressed_size - 3] ^= 1
    path.write_bytes(content)


def another_table(case):
    metadata = dict(pq.read_schema(case.path("bbo")).metadata)
    metadata[b"recorder.table"] = b"tickers"
    rows = pq.ParquetFile(case.path("bbo")).read()
    pq.write_table(rows.replace_schema_metadata(metadata), case.path("bbo"))


def newer_version(case):
    metadata = dict(pq.read_schema(case.path("bbo")).metadata)
    metadata[b"recorder.table_version"] = b"7"
    rows = pq.ParquetFile(case.path("bbo")).read()
    pq.write_table(rows.replace_schema_metadata(metadata), case.path("bbo"))


def drop_a_column(case):
    case.change(case.path("bbo"), lambda rows: rows.drop_columns(["ask_amount"]))


def footer_of_another(case):
    case.change(
        case.path("trades"),
        lambda rows: rows.filter(pa.compute.not_equal(rows["trade_id"], 1_010)),
        facts=False,
    )


def no_rows(case):
    case.change(case.path("frames"), lambda rows: rows.slice(0, 0), facts=False)


def another_day(case):
    old = case.path("frames")
    folder = old.parent.with_name("date=2024-05-02")
    folder.mkdir()
    old.rename(folder / old.name)


def another_source(case):
    old = case.path("frames")
    folder = old.parent.parent.with_name("source=gate_futures") / old.parent.name
    folder.mkdir(parents=True)
    old.rename(folder / old.name)


def later_name(case):
    old = case.path("frames")
    first, _, rest = old.name.partition("_")
    old.rename(old.with_name(f"{int(first) + 1}_{rest}"))


def rows_of_another_run(case):
    case.edit(case.path("frames"), lambda _: True, conn="20240101T000000-cccccc.0")


def not_sorted(case):
    case.change(
        case.path("trades"),
        lambda rows: rows.take(list(range(rows.num_rows))[::-1]),
        sort=False,
    )


def time_goes_back(case):
    """Two rows change times: the later frame came earlier now."""
    path = case.path("bbo")
    rows = pq.ParquetFile(path).read()
    times = rows["ts_recv"].cast(pa.int64()).to_pylist()
    times[1], times[2] = times[2], times[1]
    column = pa.array(times, pa.int64()).cast(rows.schema.field("ts_recv").type)
    case.change(path, lambda rows: rows.set_column(0, rows.schema.field(0), column))


def row_twice(case):
    case.change(
        case.path("klines"), lambda rows: pa.concat_tables([rows, rows.slice(1, 1)])
    )


def file_twice(case):
    path = case.path("klines", LATER)
    # Numbered as what a recovery writes: so no number is missing before it.
    first, run, _ = path.stem.split("_")
    shutil.copy(path, path.with_name(f"{first}_{run}_900001.parquet"))


def file_gone(case):
    case.path("frames").unlink()


def strange_file(case):
    (case.path("trades").parent / "part-0.parquet").write_bytes(b"PAR1")


def strange_folder(case):
    (case.root / "trades" / "mine").mkdir()


def note_of_a_person(case):
    (case.root / "notes.txt").write_text("do not forget")


def trade_twice(case):
    """The same trade under another frame."""

    def change(rows):
        other = rows.slice(20, 1)
        seq = pa.array([999_999], pa.int64())
        time = pa.array([at(249) + 900_000_000], pa.int64()).cast(
            rows.schema.field(0).type
        )
        where = rows.schema.get_field_index("seq")
        other = other.set_column(where, rows.schema.field("seq"), seq)
        other = other.set_column(0, rows.schema.field(0), time)
        return pa.concat_tables([rows, other])

    case.change(case.path("trades"), change)


def trade_in_two_files(case):
    path = case.paths("trades")[1]
    case.change(
        path,
        lambda rows: pa.concat_tables([rows, _moved(rows, case.path("trades"))]),
    )


def _moved(rows, other):
    """A trade of another file, as a row of these."""
    first = pq.ParquetFile(other).read().slice(20, 1)
    last = rows.slice(rows.num_rows - 1, 1)
    market = rows.schema.get_field_index("market")
    trade = rows.schema.get_field_index("trade_id")
    seq = rows.schema.get_field_index("seq")
    moved = last.set_column(market, rows.schema.field(market), first["market"])
    moved = moved.set_column(trade, rows.schema.field(trade), first["trade_id"])
    number = rows.schema.get_field_index("market_trade_id")
    none = pa.nulls(1, pa.int64())
    moved = moved.set_column(number, rows.schema.field(number), none)
    later = pa.array([10_000_000], pa.int64())
    return moved.set_column(seq, rows.schema.field(seq), later)


def trade_gone(case):
    case.without(
        case.path("trades"),
        lambda row: row["market"] == "ETH_USDT" and row["trade_id"] == 1_100,
    )


def update_gone(case):
    case.without(
        case.path("depth"),
        lambda row: row["market"] == "ETH_USDT" and row["first_update_id"] == 1_100,
    )


def update_twice(case):
    """An update comes again, over another frame."""
    case.edit(
        case.path("depth"),
        lambda row: row["market"] == "ETH_USDT" and row["first_update_id"] == 1_249,
        first_update_id=1_100,
        last_update_id=1_100,
    )


def ids_backwards(case):
    case.edit(
        case.path("depth"),
        lambda row: row["market"] == "ETH_USDT" and row["first_update_id"] == 1_100,
        first_update_id=1_103,
    )


def crossed(case):
    case.edit(
        case.path("depth"),
        lambda row: row["market"] == "ETH_USDT" and row["first_update_id"] == 1_100,
        bids=[{"price": 103.0, "amount": 1.0}],
    )


def snapshots_gone(case):
    case.without(
        case.path("depth"),
        lambda row: row["market"] == "ETH_USDT" and row["is_snapshot"],
    )


def from_the_future(case):
    case.edit(
        case.path("trades"),
        lambda row: row["market"] == "ETH_USDT" and row["trade_id"] == 1_100,
        ts_event=at(100) + 5 * SECOND,
    )


def row_after_the_stop(case):
    case.edit(
        case.path("bbo"),
        lambda row: row["ts_recv"] > at(239),
        ts_recv=NOON + 700 * SECOND,
    )


def no_word(case):
    """A whole chain is gone from the ledger."""
    for table in ("coverage", "gaps"):
        for run in (FIRST, LATER):
            for path in case.paths(table, run):
                rows = pq.ParquetFile(path).read()
                if "bbo" in rows["stream"].to_pylist():
                    case.without(path, lambda row: row["stream"] == "bbo")


def coverage_gone(case):
    case.without(
        case.path("coverage"),
        lambda row: row["stream"] == "bbo" and row["closed_by"] == "midnight",
    )


def coverage_too_long(case):
    case.edit(
        case.path("coverage"),
        lambda row: row["stream"] == "bbo" and row["closed_by"] == "stop",
        ended_at=NOON + 601 * SECOND,
    )


def coverage_twice(case):
    case.edit(
        case.path("coverage"),
        lambda row: row["stream"] == "bbo" and row["closed_by"] == "midnight",
        ended_at=NOON + 301 * SECOND,
    )


def end_of_a_gap_gone(case):
    """The gap of the first run's stop is open for ever, and yet the next records."""
    path = case.path("gaps", LATER)
    case.without(
        path, lambda row: row["stream"] == "bbo" and row["reason"] == "process_stopped"
    )


def gap_too_long(case):
    case.edit(
        case.path("gaps", LATER),
        lambda row: row["stream"] == "bbo" and row["scope"] == "rows",
        gap_id="other",
        started_at=NOON + 590 * SECOND,
    )


def last_gap_gone(case):
    path = case.paths("gaps", LATER)[1]
    case.without(path, lambda row: row["stream"] == "bbo")


def ends_before_it_begins(case):
    case.edit(
        case.path("gaps"),
        lambda row: row["scope"] == "book" and row["market"] == "ETH_USDT",
        ended_at=NOON,
    )


def run_died(case):
    open_run(case.root, job="other", source="gate_spot", now_ns=NOON).abandon()


def run_file_broken(case):
    run = open_run(case.root, job="other", source="gate_spot", now_ns=NOON)
    run.abandon()
    (case.root / ".recorder" / "runs" / f"{run.id}.json").write_bytes(b"{")


def next_number(case):
    """Return the number of the next file of the first run."""
    names = [path.stem.split("_") for path in case.root.rglob("*.parquet")]
    return 1 + max(int(number) for _, run, number in names if run == FIRST)


def _journal(case):
    """A journal of a run that is over, with a row of the first run's frames."""
    partition = Partition("frames", "gate_spot", "2024-05-01")
    rows = pq.ParquetFile(case.path("frames")).read()
    times = rows["ts_recv"].cast(pa.int64()).to_pylist()
    journal = Journal(case.root, partition, Stem(times[0], FIRST, next_number(case)))
    seq = pa.array([77], pa.int64())
    where = rows.schema.get_field_index("seq")
    rows = rows.set_column(where, rows.schema.field("seq"), seq)
    rows = rows.cast(TABLES["frames"].schema)
    for _ in range(2):
        journal.append(rows.combine_chunks().to_batches()[0])
    journal.close()
    return journal.path


def journal_left(case):
    path = _journal(case)
    # Only the first of the two appended rows, which are the same.
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 400])


def journal_damaged(case):
    path = _journal(case)
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content) // 3 + 8):
        content[place] ^= 0xFF
    path.write_bytes(content)


def torn(case, name="gap"):
    folder = case.root / ".recorder" / "torn" / "bbo" / "source=gate_spot"
    folder = folder / "date=2024-05-01"
    folder.mkdir(parents=True)
    (folder / f"{NOON}_{FIRST}_3.arrow").write_bytes(b"?")


def torn_and_told(case):
    torn(case)
    case.edit(
        case.path("gaps"),
        lambda row: row["scope"] == "book" and row["market"] == "ETH_USDT",
        gap_id=f"{FIRST}.damaged.bbo.3",
    )


def unfinished(case):
    folder = case.root / ".recorder" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NOON}_{FIRST}_3_bbo_gate_spot_2024-05-01_0.parquet").write_bytes(b"?")


FAULTS = [
    (cut_off, {"unreadable_file"}),
    (make_empty_bytes, {"unreadable_file"}),
    (flip_a_bit, {"unreadable_file"}),
    (another_table, {"unknown_schema"}),
    (newer_version, {"unknown_schema"}),
    (drop_a_column, {"wrong_columns"}),
    (footer_of_another, {"footer_disagrees", "missing_trades"}),
    (no_rows, {"empty_file"}),
    (another_day, {"wrong_partition"}),
    (another_source, {"wrong_partition"}),
    (later_name, {"wrong_name"}),
    (rows_of_another_run, {"foreign_rows"}),
    (not_sorted, {"unsorted_rows"}),
    (time_goes_back, {"backward_time"}),
    (row_twice, {"doubled_rows"}),
    (file_twice, {"doubled_rows"}),
    (file_gone, {"missing_file"}),
    (strange_file, {"unknown_file"}),
    (strange_folder, {"unknown_file"}),
    (note_of_a_person, {"foreign_file"}),
    (trade_twice, {"doubled_trades"}),
    (trade_in_two_files, {"doubled_trades"}),
    (trade_gone, {"missing_trades"}),
    (update_gone, {"missing_updates", "unknown_book"}),
    (update_twice, {"doubled_updates", "missing_updates"}),
    (ids_backwards, {"impossible_ids"}),
    (crossed, {"crossed_book"}),
    (snapshots_gone, {"unknown_book"}),
    (from_the_future, {"early_rows"}),
    (row_after_the_stop, {"rows_in_gap"}),
    (no_word, {"no_ledger"}),
    (coverage_gone, {"untold_time"}),
    (coverage_too_long, {"coverage_in_gap"}),
    (coverage_twice, {"covered_twice"}),
    (end_of_a_gap_gone, {"coverage_in_gap", "missed_twice"}),
    (gap_too_long, {"coverage_in_gap", "missed_twice"}),
    (last_gap_gone, {"ledger_ends"}),
    (ends_before_it_begins, {"impossible_interval"}),
    (run_died, {"dead_run"}),
    (run_file_broken, {"unreadable_run"}),
    (journal_left, {"orphan_journal"}),
    (journal_damaged, {"orphan_journal", "damaged_journal"}),
    (torn, {"untold_damage"}),
    (torn_and_told, {"torn_journal"}),
    (unfinished, {"leftover_file"}),
]


@pytest.mark.parametrize(
    ("plant", "expected"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS]
)
def test_a_planted_fault_is_found_by_its_name(case, plant, expected):
    plant(case)

    report = case.verified()

    assert {finding.kind for finding in report.findings} == expected


def test_the_ledger_is_whole_without_a_file_of_connections(case):
    path = case.path("connections")
    path.write_bytes(path.read_bytes()[:-20])
    coverage_gone(case)

    report = case.verified()

    assert {finding.kind for finding in report.findings} == {
        "unreadable_file",
        "untold_time",
    }
    assert not report.skipped


def test_updates_that_a_gap_names_by_their_ids_are_told_wherever_it_lies(case):
    """Rows of a run that took over are stored later than they came."""
    update_gone(case)
    case.edit(
        case.path("gaps"),
        lambda row: row["market"] == "ETH_USDT" and row["scope"] == "rows",
        after_update_id=1_099,
        before_update_id=1_101,
    )

    report = case.verified()

    assert {finding.kind for finding in report.findings} == {"unknown_book"}


def test_every_kind_is_planted():
    from recorder.verify import KINDS

    assert {kind for _, kinds in FAULTS for kind in kinds} == set(KINDS)
