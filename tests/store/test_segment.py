"""A journal becomes a segment: sorted, whole, once."""

import importlib.metadata
import logging
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from recorder.errors import StoreError
from recorder.model import Gap, StatusEvent
from recorder.store import segment as segment_module
from recorder.store.batch import RowTuple, build
from recorder.store.journal import Journal
from recorder.store.layout import (
    Partition,
    Stem,
    segment_path,
    tmp_folder,
    torn_path,
)
from recorder.store.listing import open_listing
from recorder.store.run import Run
from recorder.store.runfile import RunState
from recorder.store.segment import convert, sort_order, write_segment
from recorder.store.tables import TABLES
from recorder.telemetry import COUNTERS


MakeRow = Callable[..., RowTuple]
PARTITION = Partition("depth", "gate_spot", "2023-11-14")
STEM = Stem(1_700_000_000_000_000_001, "20231114T221320-abcdef", 3)


def plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows with their times as integers."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in rows.columns
    ]
    return pa.table(columns, names=rows.schema.names).to_pylist()


def table_of(name: str, rows: list[RowTuple]) -> pa.Table:
    """Build rows as a table of several batches."""
    parts = [rows[at : at + 7] for at in range(0, len(rows), 7)]
    batches = [build(TABLES[name], part).batch for part in parts]
    return pa.Table.from_batches(batches, TABLES[name].schema)


def journal_of(root: Path, rows: list[RowTuple]) -> Journal:
    """Write rows of depth into a journal."""
    journal = Journal(root, PARTITION, STEM)
    for batch in table_of("depth", rows).to_batches():
        journal.append(batch)
    journal.close()
    return journal


def by_market(row: dict[str, Any]) -> tuple[Any, ...]:
    """The order of a segment, written down a second time."""
    market = row["market"]
    return (
        market is None,
        market or "",
        row["ts_recv"],
        row["conn"],
        row["seq"],
        row["idx"],
    )


@pytest.fixture
def rows(depth: MakeRow) -> list[RowTuple]:
    """Forty rows of four markets, out of order."""
    markets = ["BTC_USDT", "Z_USDT", "AÄ_USDT", "BTC"]
    made = [
        depth(n, markets[n % 4], bids=b"[]" if n % 5 else b"[[1,2]]")
        for n in range(1, 41)
    ]
    random.Random(1).shuffle(made)
    return made


def test_a_segment_holds_the_rows_of_its_journal_sorted(
    root: Path, rows: list[RowTuple]
) -> None:
    journal = journal_of(root, rows)

    path = convert(root, PARTITION, STEM)

    assert path == segment_path(root, PARTITION, STEM)
    assert path.stem == journal.path.stem
    assert not journal.path.exists()
    expected = sorted(plain(table_of("depth", rows)), key=by_market)
    found = pq.read_table(path, partitioning=None)
    assert plain(found) == expected
    assert found.schema.equals(TABLES["depth"].schema)
    assert found.schema.field("bids").metadata == (
        TABLES["depth"].schema.field("bids").metadata
    )
    assert list(tmp_folder(root).iterdir()) == []


def test_a_segment_says_what_it_is(root: Path, rows: list[RowTuple]) -> None:
    journal_of(root, rows)
    path = convert(root, PARTITION, STEM)
    assert path is not None

    facts = pq.read_schema(path).metadata

    assert {key: facts[key] for key in facts if key.startswith(b"recorder.")} == {
        b"recorder.table": b"depth",
        b"recorder.table_version": b"1",
        b"recorder.version": facts[b"recorder.version"],
        b"recorder.run": b"20231114T221320-abcdef",
        b"recorder.source": b"gate_spot",
        b"recorder.rows": b"40",
        b"recorder.first_ts_recv": b"1700000000000000001",
        b"recorder.last_ts_recv": b"1700000000000000040",
    }
    group = pq.ParquetFile(path).metadata.row_group(0)
    assert {group.column(n).compression for n in range(group.num_columns)} == {"ZSTD"}
    assert group.column(2).statistics.min == "AÄ_USDT"
    assert group.column(2).statistics.max == "Z_USDT"
    assert group.column(0).has_offset_index
    assert group.column(0).has_column_index


@pytest.mark.parametrize(
    ("name", "sizes"), [("depth", [16_384, 3_616]), ("bbo", [20_000])]
)
def test_row_groups_are_small_where_one_market_is_sought(
    root: Path, depth: MakeRow, name: str, sizes: list[int]
) -> None:
    if name == "depth":
        rows = table_of("depth", [depth(n) for n in range(20_000)])
    else:
        count = 20_000
        values: dict[str, Any] = {
            field.name: [None] * count for field in TABLES[name].schema
        }
        values |= {
            "ts_recv": range(count),
            "market": ["A"] * count,
            "conn": ["c"] * count,
        }
        values |= {"seq": range(count), "idx": [0] * count}
        rows = pa.table(
            {k: list(v) for k, v in values.items()}, schema=TABLES[name].schema
        )
    partition = PARTITION._replace(table=name)

    write_segment(root, partition, STEM, rows)

    footer = pq.ParquetFile(segment_path(root, partition, STEM)).metadata
    assert [footer.row_group(n).num_rows for n in range(footer.num_row_groups)] == sizes


def test_a_segment_is_made_while_another_version_is_installed(
    root: Path, rows: list[RowTuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_of(root, rows)
    version = importlib.metadata.version("recorder")

    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [])
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("recorder")
        path = convert(root, PARTITION, STEM)

    said = pq.read_schema(path).metadata
    assert said[b"recorder.version"] == version.encode()


def test_converting_twice_changes_nothing(root: Path, rows: list[RowTuple]) -> None:
    journal = journal_of(root, rows)
    content = journal.path.read_bytes()
    path = convert(root, PARTITION, STEM)
    assert path is not None
    before = path.stat()

    journal.path.write_bytes(content)  # killed before the journal was removed
    assert convert(root, PARTITION, STEM) == path

    assert path.stat() == before
    assert not journal.path.exists()
    assert convert(root, PARTITION, STEM) == path


def test_a_segment_is_never_overwritten(root: Path, rows: list[RowTuple]) -> None:
    assert write_segment(root, PARTITION, STEM, table_of("depth", rows)) is True
    path = segment_path(root, PARTITION, STEM)
    before = path.read_bytes()

    assert write_segment(root, PARTITION, STEM, table_of("depth", rows[:5])) is False

    assert path.read_bytes() == before
    assert list(tmp_folder(root).iterdir()) == []


def test_a_torn_journal_gives_what_is_whole_and_is_counted(
    root: Path, rows: list[RowTuple]
) -> None:
    journal = journal_of(root, rows)
    os.truncate(journal.path, journal.bytes - 1)
    before = COUNTERS["journals_torn_total"]

    path = convert(root, PARTITION, STEM)

    assert path is not None
    expected = sorted(plain(table_of("depth", rows[:35])), key=by_market)
    assert plain(pq.read_table(path, partitioning=None)) == expected
    assert COUNTERS["journals_torn_total"] == before + 1
    assert not journal.path.exists()


def damage(journal: Journal) -> bytes:
    """Change a byte in the middle of a journal; return what it holds then."""
    content = bytearray(journal.path.read_bytes())
    content[len(content) // 2] ^= 1
    journal.path.write_bytes(content)
    return bytes(content)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what was logged at least as a warning, and about which file."""
    return [
        (record.levelname, record.signal.path)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]


@pytest.mark.parametrize("is_living", [False, True])
def test_a_damaged_journal_gives_its_good_rows_and_is_kept(
    root: Path,
    rows: list[RowTuple],
    is_living: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = journal_of(root, rows)
    content = damage(journal)

    path = convert(root, PARTITION, STEM, is_living=is_living)

    assert path is not None
    found = plain(pq.read_table(path, partitioning=None))
    whole = [
        sorted(plain(table_of("depth", rows[:end])), key=by_market)
        for end in range(7, 40, 7)
    ]
    assert found in whole
    kept = torn_path(root, PARTITION, STEM)
    assert kept.read_bytes() == content
    assert not journal.path.exists()
    assert list(open_listing(root).journals("depth")) == []
    assert told(caplog) == [("ERROR", str(kept))]


@pytest.mark.parametrize("is_living", [False, True])
@pytest.mark.parametrize("where", [0.0, 0.5])
def test_what_a_damaged_journal_lost_is_a_gap_of_its_job(
    root: Path, run: Run, trade: MakeRow, start_ns: int, where: float, is_living: bool
) -> None:
    stem = Stem(start_ns + 1, run.id, 7)
    partition = Partition("trades", "gate_spot", "2023-11-14")
    journal = Journal(root, partition, stem)
    for number in range(1, 11):
        journal.append(build(TABLES["trades"], [trade(number)]).batch)
    journal.close()
    run.write_state(RunState(), start_ns + 20)
    content = bytearray(journal.path.read_bytes())
    content[int(where * len(content))] ^= 1
    journal.path.write_bytes(content)

    path = convert(root, partition, stem, is_living=is_living)

    seen = [] if path is None else plain(pq.read_table(path, partitioning=None))
    last = max((row["ts_recv"] for row in seen), default=start_ns)
    assert len(seen) == last - start_ns
    assert bool(seen) == bool(where)
    (gap,) = plain(open_listing(root).read("gaps"))
    kept = torn_path(root, partition, stem)
    assert gap["detail"].endswith(f"it is kept as {kept.relative_to(root)}")
    assert kept.read_bytes() == bytes(content)
    told = ("market", "stream", "job", "scope", "reason", "started_at", "ended_at")
    assert [gap[name] for name in told] == [
        *(None, None, "job", "rows", "journal_damaged"),
        *(last + 1, start_ns + 20),
    ]

    # A kill before the journal was moved: all is done again, once.
    kept.rename(journal.path)
    assert convert(root, partition, stem, is_living=is_living) == path
    assert plain(open_listing(root).read("gaps")) == [gap]


def test_a_journal_damaged_from_the_start_is_kept(
    root: Path, rows: list[RowTuple]
) -> None:
    journal = journal_of(root, rows)
    content = b"\0" * 8 + journal.path.read_bytes()[8:]
    journal.path.write_bytes(content)

    assert convert(root, PARTITION, STEM) is None

    assert torn_path(root, PARTITION, STEM).read_bytes() == content
    assert not segment_path(root, PARTITION, STEM).exists()


def test_a_damaged_journal_is_kept_if_its_segment_was_made_before_a_kill(
    root: Path, rows: list[RowTuple], caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_of(root, rows)
    content = damage(journal)
    path = convert(root, PARTITION, STEM)
    assert path is not None
    segment = path.read_bytes()
    kept = torn_path(root, PARTITION, STEM)
    kept.rename(journal.path)
    caplog.clear()

    assert convert(root, PARTITION, STEM) == path

    assert kept.read_bytes() == content
    assert path.read_bytes() == segment
    assert told(caplog) == [("ERROR", str(kept))]
    assert convert(root, PARTITION, STEM) == path  # and nothing more to do


def test_a_living_run_leaves_no_torn_end_that_could_be_left_out(
    root: Path, rows: list[RowTuple], caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_of(root, rows)
    os.truncate(journal.path, journal.bytes - 1)

    convert(root, PARTITION, STEM, is_living=True)

    kept = torn_path(root, PARTITION, STEM)
    assert kept.stat().st_size == journal.bytes - 1
    assert told(caplog) == [("ERROR", str(kept))]


def test_a_torn_end_is_told_once_with_the_name_of_the_file(
    root: Path, rows: list[RowTuple], caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_of(root, rows)
    os.truncate(journal.path, journal.bytes - 1)

    open_listing(root).journals("depth")
    convert(root, PARTITION, STEM)

    assert told(caplog) == [("WARNING", str(journal.path))]


def test_who_reads_a_damaged_journal_is_told(
    root: Path, rows: list[RowTuple], caplog: pytest.LogCaptureFixture
) -> None:
    journal = journal_of(root, rows)
    damage(journal)

    listing = open_listing(root)
    (part,) = listing.journals("depth")
    listing.journals("depth")

    assert 0 < part.rows.num_rows < 40
    assert told(caplog) == [("ERROR", str(journal.path))]


@pytest.mark.parametrize("made", [False, True])
def test_a_journal_that_is_a_folder_is_an_error_and_stays(
    root: Path, rows: list[RowTuple], made: bool
) -> None:
    journal = journal_of(root, rows)
    if made:
        convert(root, PARTITION, STEM)
    journal.path.unlink(missing_ok=True)
    journal.path.mkdir()

    with pytest.raises(StoreError, match="a folder is in the way"):
        convert(root, PARTITION, STEM)

    assert journal.path.is_dir()


def test_a_journal_that_is_gone_without_a_segment_is_an_error(root: Path) -> None:
    with pytest.raises(StoreError, match="cannot convert the journal"):
        convert(root, PARTITION, STEM)


def test_a_journal_without_rows_leaves_no_segment(root: Path) -> None:
    journal = journal_of(root, [])

    assert convert(root, PARTITION, STEM) is None

    assert not journal.path.exists()
    assert not segment_path(root, PARTITION, STEM).exists()


def test_a_failed_conversion_leaves_the_journal_and_nothing_else(
    root: Path, rows: list[RowTuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_of(root, rows)

    real = segment_module._write_parquet

    def write_then_refuse(*args: Any) -> None:
        real(*args)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(segment_module, "_write_parquet", write_then_refuse)
        with pytest.raises(StoreError, match="the disk is full"):
            convert(root, PARTITION, STEM)

    assert journal.path.exists()
    assert not segment_path(root, PARTITION, STEM).exists()
    assert list(tmp_folder(root).iterdir()) == []
    assert convert(root, PARTITION, STEM) is not None


def gap(at: int, market: str | None) -> RowTuple:
    """A row of gaps, whose market may be null."""
    event = Gap(
        gap_id="g",
        market=market,
        stream=None,
        job="j",
        scope="rows",
        reason="x",
        started_at=1,
    )
    return (at, "r.ledger", at, 0, event, None)


def test_rows_without_a_market_come_last(root: Path) -> None:
    rows = table_of("gaps", [gap(1, None), gap(2, "B"), gap(3, None), gap(4, "A")])
    partition = PARTITION._replace(table="gaps")

    write_segment(root, partition, STEM, rows)

    found = plain(pq.read_table(segment_path(root, partition, STEM), partitioning=None))
    assert [(row["market"], row["seq"]) for row in found] == [
        ("A", 4),
        ("B", 2),
        (None, 1),
        (None, 3),
    ]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["B", "A", "AA", None, "é"]),
            st.integers(0, 3),
            st.sampled_from(["r.10", "r.2", "r.rest"]),
            st.integers(0, 2),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_order_is_by_market_time_connection_frame_and_position(
    keys: list[tuple[str | None, int, str, int, int]],
) -> None:
    rows = [
        (at, conn, seq, idx, gap(0, market)[4], None)
        for market, at, conn, seq, idx in keys
    ]
    table = build(TABLES["gaps"], rows).batch
    combined = pa.Table.from_batches([table]).unify_dictionaries().combine_chunks()

    order = sort_order(combined)

    found = plain(combined.take(order))
    assert found == sorted(plain(combined), key=by_market)


def test_lists_of_texts_are_stored_too(root: Path) -> None:
    event = StatusEvent(kind="upgrade", payload="{}", markets=("A", "B"))
    rows = table_of("status", [(1, "r.0", 1, 0, event, None)])
    partition = PARTITION._replace(table="status")

    write_segment(root, partition, STEM, rows)

    path = segment_path(root, partition, STEM)
    assert pq.read_table(path, partitioning=None).equals(rows)


def test_a_frame_of_forty_thousand_trades_keeps_all_of_them_in_their_order(
    root: Path, trade: MakeRow
) -> None:
    at, conn, seq, _, event, payload = trade(1)
    trades = [
        (at, conn, seq, idx, msgspec.structs.replace(event, trade_id=number), payload)
        for idx in range(40_000)
        for number in [idx * 7919 % 40_000]
    ]
    built = build(TABLES["trades"], trades)
    partition = PARTITION._replace(table="trades")
    journal = Journal(root, partition, STEM)
    journal.append(built.batch)
    journal.close()

    path = convert(root, partition, STEM)

    rows = pq.read_table(path, partitioning=None)
    assert (built.kept, built.faults) == ([], [])
    assert rows["idx"].to_pylist() == list(range(40_000))
    assert rows["trade_id"].to_pylist() == [row[4].trade_id for row in trades]


def test_many_markets_are_sorted_too(depth: MakeRow) -> None:
    count = 70_000
    names = [f"{n * 7919 % count:06d}" for n in range(count)]
    table = pa.table(
        {
            "market": pa.array(names).dictionary_encode(),
            "ts_recv": pa.array(range(count), pa.timestamp("ns")),
            "conn": pa.array(["c"] * count).dictionary_encode(),
            "seq": pa.array(range(count)),
            "idx": pa.array([0] * count, pa.int32()),
        }
    )

    order = sort_order(table)

    assert [names[n] for n in order] == sorted(names)
