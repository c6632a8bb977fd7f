"""Every row is listed once, whatever the capture does meanwhile."""

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.errors import (
    ConfigError,
    CorruptSegmentError,
    DiskError,
    StoreError,
    UnknownSchemaError,
)
from recorder.model import Coverage
from recorder.store import listing as listing_module
from recorder.store.batch import RowTuple, build
from recorder.store.journal import Journal
from recorder.store.layout import (
    DAY_NS,
    Partition,
    Stem,
    date_of,
    runs_folder,
    segment_path,
)
from recorder.store.listing import Segment, open_listing
from recorder.store.reading import last_row_ns
from recorder.store.runfile import OpenInterval, RunFile, RunState, run_path
from recorder.store.segment import convert, write_segment
from recorder.store.tables import TABLES, TEXT


MakeRow = Callable[..., RowTuple]
RUN = "20231114T221320-abcdef"


class Files:
    """Writes journals and segments of trades, a number each."""

    def __init__(self, root: Path, trade: MakeRow, start_ns: int) -> None:
        self.root = root
        self.trade = trade
        self.start_ns = start_ns
        self.stems: dict[int, tuple[Partition, Stem]] = {}

    def place(self, number: int, source: str, at: int) -> tuple[Partition, Stem]:
        partition = Partition("trades", source, date_of(at))
        self.stems[number] = (partition, Stem(at, RUN, number))
        return self.stems[number]

    def table(self, ids: list[int], market: str, at: int) -> pa.Table:
        rows = [self.trade(n, market, at=at) for n in ids]
        return pa.Table.from_batches([build(TABLES["trades"], rows).batch])

    def journal(
        self,
        number: int,
        ids: list[int],
        market: str = "BTC_USDT",
        *,
        source: str = "gate_spot",
        at: int | None = None,
    ) -> Path:
        at = self.start_ns if at is None else at
        journal = Journal(self.root, *self.place(number, source, at))
        journal.append(self.table(ids, market, at).to_batches()[0])
        journal.close()
        return journal.path

    def segment(
        self,
        number: int,
        ids: list[int],
        market: str = "BTC_USDT",
        *,
        source: str = "gate_spot",
        at: int | None = None,
    ) -> Path:
        at = self.start_ns if at is None else at
        place = self.place(number, source, at)
        write_segment(self.root, *place, self.table(ids, market, at))
        return segment_path(self.root, *place)


@pytest.fixture
def files(root: Path, trade: MakeRow, start_ns: int) -> Files:
    root.mkdir()
    return Files(root, trade, start_ns)


def ids(rows: pa.Table) -> list[int]:
    """Return the trade ids, sorted."""
    return sorted(rows["trade_id"].to_pylist())


def test_a_store_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(ConfigError, match="there is no store at"):
        open_listing(root)

    root.touch()
    with pytest.raises(ConfigError, match="is a file, not a store"):
        open_listing(root)


def test_a_store_that_cannot_be_looked_at_is_an_error_of_the_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "exists", refuse)

    with pytest.raises(DiskError, match="the disk reports an error"):
        open_listing(root)


def test_an_empty_store_has_empty_tables_of_the_right_types(root: Path) -> None:
    root.mkdir()

    listing = open_listing(root)

    assert listing.root == root
    assert listing.sources() == ()
    assert listing.bytes() == {}
    for name, table in TABLES.items():
        source = pa.field("source", TEXT, nullable=False)
        assert listing.segments(name) == ()
        assert listing.journals(name) == ()
        assert listing.read(name).schema == table.schema.append(source)
        assert listing.read(name).num_rows == 0
    assert listing.open_coverage().num_rows == 0


def test_segments_and_journals_are_read_together(files: Files, start_ns: int) -> None:
    path = files.segment(0, [1, 2])
    files.journal(1, [3, 4], "ETH_USDT", source="gate_v3")

    listing = open_listing(files.root)

    assert listing.segments("trades") == (
        Segment(path, "trades", "gate_spot", "2023-11-14", start_ns, RUN, 0),
    )
    (rows,) = listing.journals("trades")
    assert (rows.source, rows.date, ids(rows.rows)) == ("gate_v3", "2023-11-14", [3, 4])
    assert rows.rows.schema.equals(TABLES["trades"].schema)
    assert listing.sources() == ("gate_spot", "gate_v3")
    found = listing.read("trades")
    assert ids(found) == [1, 2, 3, 4]
    pairs = zip(found["trade_id"].to_pylist(), found["source"].to_pylist(), strict=True)
    assert dict(pairs) == {1: "gate_spot", 2: "gate_spot", 3: "gate_v3", 4: "gate_v3"}
    assert listing.bytes() == {
        "trades": path.stat().st_size
        + next(files.root.glob(".recorder/journals/**/*.arrow")).stat().st_size
    }


def test_only_what_is_asked_for_is_listed(files: Files, start_ns: int) -> None:
    day = date_of(start_ns + DAY_NS)
    files.segment(0, [1])
    files.segment(1, [2], at=start_ns + DAY_NS)
    files.segment(2, [3], source="gate_v3")
    files.journal(3, [4], source="gate_v3")
    listing = open_listing(files.root)

    def numbers(**asked: Any) -> list[int]:
        return [segment.number for segment in listing.segments("trades", **asked)]

    assert numbers() == [0, 1, 2]
    assert numbers(source="gate_spot") == [0, 1]
    assert numbers(start_ns=start_ns + DAY_NS) == [1]
    assert numbers(end_ns=start_ns + DAY_NS) == [0, 2]
    assert numbers(end_ns=start_ns + DAY_NS + 1) == [0, 1, 2]
    assert listing.segments("trades", source="gate_spot")[1].date == day
    assert listing.journals("trades", source="gate_spot") == ()
    assert [j.source for j in listing.journals("trades", source="gate_v3")] == [
        "gate_v3"
    ]
    assert listing.journals("depth") == ()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [1, 2, 3, 11, 12, 21, 22]),
        ({"source": "gate_spot"}, [1, 2, 3, 11, 12]),
        ({"markets": ["ETH_USDT"]}, [11, 12, 22]),
        ({"markets": {"ETH_USDT", "NONE"}}, [11, 12, 22]),
        ({"markets": ["AAA"]}, []),
        ({"markets": []}, []),
        ({"start_ns": 2}, [2, 3, 11, 12, 21, 22]),
        ({"end_ns": 2}, [1]),
        ({"start_ns": 2, "end_ns": 12}, [2, 3, 11]),
        ({"start_ns": 3, "end_ns": 22, "markets": ["BTC_USDT"]}, [3, 21]),
        ({"start_ns": 5, "end_ns": 5}, []),
    ],
)
def test_reading_takes_exactly_what_is_asked_for(
    files: Files, start_ns: int, asked: dict[str, Any], expected: list[int]
) -> None:
    both = pa.concat_tables(
        [
            files.table([1, 2, 3], "BTC_USDT", start_ns),
            files.table([11, 12], "ETH_USDT", start_ns),
        ]
    )
    write_segment(files.root, *files.place(0, "gate_spot", start_ns), both)
    files.journal(1, [21], source="gate_v3")
    files.journal(2, [22], "ETH_USDT", source="gate_v3")
    for key in asked.keys() & {"start_ns", "end_ns"}:
        asked = asked | {key: start_ns + asked[key]}

    found = open_listing(files.root).read("trades", **asked)

    assert ids(found) == expected
    assert found.schema.names == [*TABLES["trades"].schema.names, "source"]


def test_columns_are_returned_in_the_order_asked_for(files: Files) -> None:
    files.segment(0, [1, 2])
    files.journal(1, [3])

    found = open_listing(files.root).read(
        "trades",
        columns=["source", "trade_id", "price"],
        markets=["BTC_USDT"],
        end_ns=2**62,
    )

    assert found.schema.names == ["trade_id", "price", "source"]
    assert ids(found) == [1, 2, 3]


def test_row_groups_of_other_markets_are_not_read(
    files: Files, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [files.table(list(range(20_000)), m, start_ns) for m in ("A", "B")]
    place = files.place(0, "gate_spot", start_ns)
    write_segment(files.root, *place, pa.concat_tables(parts))
    read: list[list[int]] = []
    real = pq.ParquetFile.read_row_groups

    def watch(self: pq.ParquetFile, groups: list[int], columns: list[str]) -> pa.Table:
        read.append(groups)
        return real(self, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", watch)
    listing = open_listing(files.root)

    assert ids(listing.read("trades", markets=["A"])) == list(range(20_000))
    assert listing.read("trades", markets=["C"]).num_rows == 0
    late = listing.read("trades", markets=["B"], start_ns=start_ns + 19_000)
    assert ids(late) == list(range(19_000, 20_000))
    early = listing.read("trades", markets=["B"], end_ns=start_ns + 1)
    assert ids(early) == [0]
    assert read == [[0, 1], [], [1, 2], [1]]


def test_a_journal_whose_segment_exists_is_left_out(files: Files) -> None:
    path = files.journal(0, [1, 2])
    content = path.read_bytes()
    convert(files.root, *files.stems[0])
    path.write_bytes(content)  # as if killed before it was removed

    listing = open_listing(files.root)

    assert listing.journals("trades") == ()
    assert ids(listing.read("trades")) == [1, 2]


def test_a_conversion_after_the_listing_changes_nothing(files: Files) -> None:
    files.journal(0, [1, 2])
    listing = open_listing(files.root)

    convert(files.root, *files.stems[0])

    assert ids(listing.read("trades")) == [1, 2]
    assert ids(open_listing(files.root).read("trades")) == [1, 2]


def test_a_conversion_in_the_midst_of_listing_shows_rows_once(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.journal(0, [1, 2])
    files.journal(1, [3], source="gate_v3")
    real = listing_module._open_journals

    def open_then_convert(root: Path) -> list[Any]:
        opened = list(real(root))
        convert(files.root, *files.stems[0])
        return opened

    monkeypatch.setattr(listing_module, "_open_journals", open_then_convert)

    assert ids(open_listing(files.root).read("trades")) == [1, 2, 3]


def test_a_journal_that_vanishes_while_journals_are_opened_is_in_its_segment(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.journal(0, [1, 2])
    real = listing_module.map_file

    def convert_then_open(path: Path) -> Any:
        convert(files.root, *files.stems[0])
        return real(path)

    monkeypatch.setattr(listing_module, "map_file", convert_then_open)

    assert ids(open_listing(files.root).read("trades")) == [1, 2]


def test_a_broken_segment_is_told_by_name(files: Files) -> None:
    path = files.segment(0, [1])
    listing = open_listing(files.root)

    os.truncate(path, 100)
    with pytest.raises(CorruptSegmentError, match=path.name):
        listing.read("trades")

    path.write_bytes(b"")
    with pytest.raises(CorruptSegmentError, match=path.name):
        listing.read("trades")


def test_a_segment_that_is_gone_is_told_by_name(files: Files) -> None:
    path = files.segment(0, [1])
    listing = open_listing(files.root)
    path.unlink()

    with pytest.raises(StoreError, match=f"{path.name} was removed"):
        listing.read("trades")
    assert listing.bytes() == {}


def test_a_segment_that_may_not_be_read_is_told(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.segment(0, [1])

    def refuse(*_args: object, **_options: object) -> None:
        raise PermissionError(13, "denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)

    with pytest.raises(StoreError, match=f"no permission to read .*{path.name}"):
        open_listing(files.root).read("trades")


@contextmanager
def no_file_handles() -> Iterator[None]:
    """Let this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_the_machine_refuses_says_nothing_of_a_segment(files: Files) -> None:
    path = files.segment(0, [1])
    listing = open_listing(files.root)

    for read in (lambda: listing.read("trades"), lambda: last_row_ns(path)):
        with no_file_handles(), pytest.raises(DiskError, match="too many files"):
            read()
    assert ids(listing.read("trades")) == [1]


def test_memory_that_runs_out_says_nothing_of_a_segment(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.segment(0, [1])

    def refuse(*_args: object, **_options: object) -> None:
        raise pa.ArrowMemoryError("malloc failed")

    monkeypatch.setattr(pq, "ParquetFile", refuse)

    with pytest.raises(DiskError, match="memory ran out"):
        open_listing(files.root).read("trades")


def test_to_a_run_that_goes_on_a_store_that_is_gone_may_come_back(
    files: Files,
) -> None:
    files.segment(0, [1])
    away = files.root.with_name("away")
    shutil.move(files.root, away)

    with pytest.raises(ConfigError, match="no store"):
        open_listing(files.root)
    with pytest.raises(DiskError, match="mount its volume again"):
        open_listing(files.root, is_living=True)

    shutil.move(away, files.root)
    assert ids(open_listing(files.root, is_living=True).read("trades")) == [1]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"recorder.table": "depth", "recorder.table_version": "1"},
        {"recorder.table": "trades", "recorder.table_version": "99"},
    ],
)
def test_a_segment_of_an_unknown_kind_is_refused(
    files: Files, facts: dict[str, str]
) -> None:
    path = files.segment(0, [1])
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.replace_schema_metadata(facts), path)

    with pytest.raises(UnknownSchemaError, match=path.name):
        open_listing(files.root).read("trades")


def test_statistics_are_not_needed(files: Files, start_ns: int) -> None:
    path = files.segment(0, [1, 2])
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows, path, write_statistics=False)

    found = open_listing(files.root).read(
        "trades", markets=["BTC_USDT"], start_ns=start_ns + 2
    )

    assert ids(found) == [2]


SAID = RunFile(
    run=RUN,
    job="job",
    source="gate_spot",
    pid=1,
    started_at=1,
    through_ns=100,
    state=RunState(
        (
            OpenInterval("A", "trades", 10),
            OpenInterval(None, "status", 20),
            OpenInterval("B", "trades", 100),
        )
    ),
)


def times(rows: pa.Table) -> list[tuple[Any, ...]]:
    """Return what names each interval, and its ends."""
    columns = [rows[n].to_pylist() for n in ("source", "job", "market", "stream")]
    columns += [
        rows[n].cast(pa.int64()).to_pylist() for n in ("started_at", "ended_at")
    ]
    return list(zip(*columns, strict=True))


def test_open_intervals_reach_to_the_heartbeat(root: Path) -> None:
    runs_folder(root).mkdir(parents=True)
    run_path(root, RUN).write_bytes(msgspec.json.encode(SAID))

    rows = open_listing(root).open_coverage()

    assert times(rows) == [
        ("gate_spot", "job", "A", "trades", 10, 100),
        ("gate_spot", "job", None, "status", 20, 100),
    ]
    assert rows["closed_by"].to_pylist() == [None, None]
    names = [*TABLES["coverage"].schema.names, "source"]
    assert rows.schema.names == names
    assert [f.type for f in rows.schema][:-1] == [
        f.type for f in TABLES["coverage"].schema
    ]


@pytest.mark.parametrize("where", ["journal", "segment"])
def test_an_interval_that_was_closed_meanwhile_is_not_open(
    root: Path, where: str
) -> None:
    runs_folder(root).mkdir(parents=True)
    run_path(root, RUN).write_bytes(msgspec.json.encode(SAID))
    closed = Coverage(
        market="A",
        stream="trades",
        job="job",
        started_at=10,
        ended_at=50,
        closed_by="gap",
    )
    batch = build(TABLES["coverage"], [(60, "r.ledger", 0, 0, closed, None)]).batch
    place = (Partition("coverage", "gate_spot", "1970-01-01"), Stem(60, RUN, 0))
    if where == "journal":
        journal = Journal(root, *place)
        journal.append(batch)
        journal.close()
    else:
        write_segment(root, *place, pa.Table.from_batches([batch]))

    rows = open_listing(root).open_coverage()

    assert times(rows) == [("gate_spot", "job", None, "status", 20, 100)]


@pytest.mark.parametrize("name", [".recorder", "trades", "gaps"])
def test_a_folder_with_something_of_a_store_is_one_whatever_else_it_holds(
    tmp_path, name
):
    (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").write_text("mine")

    assert open_listing(tmp_path).segments("trades") == ()


def test_an_empty_folder_is_an_empty_store(tmp_path):
    assert open_listing(tmp_path).segments("trades") == ()


@pytest.mark.parametrize("name", ["notes.txt", "trades", ".git"])
def test_a_folder_of_other_things_is_no_store(tmp_path, name):
    (tmp_path / name).write_text("mine")

    with pytest.raises(ConfigError, match="holds other things than a store"):
        open_listing(tmp_path)
