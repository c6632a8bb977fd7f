"""The writer: durable first, told afterwards, and never in silence."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recorder.errors import StoreError
from recorder.model import Coverage, Gap, KeptFrame
from recorder.store import writer as writer_module
from recorder.store.batch import RowFault, RowTuple
from recorder.store.layout import DAY_NS, journals_folder, list_files
from recorder.store.listing import open_listing
from recorder.store.run import OpenInterval, Run, RunState
from recorder.store.runfile import read_run_file
from recorder.store.writer import Flush, Writer, WriterStats
from recorder.telemetry import COUNTERS


MakeRow = Callable[..., RowTuple]
SECOND = 1_000_000_000
TRADES = ("trades", "gate_spot")
LONG = "0.12345678901234567890"


class Told:
    """What a writer told through its callbacks, in order."""

    def __init__(self) -> None:
        self.faults: list[RowFault] = []
        self.batches: list[tuple[str, str, int]] = []
        self.errors: list[StoreError] = []
        self.happened = threading.Event()

    def on_batch(self, table: str, source: str, batch: pa.RecordBatch) -> list[Gap]:
        self.batches.append((table, source, batch.num_rows))
        self.happened.set()
        return []

    def on_error(self, error: StoreError) -> None:
        self.errors.append(error)
        self.happened.set()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def start(run: Run, told: Told) -> Iterator[Callable[..., Writer]]:
    """Start a writer; it is ended with the test."""
    started: list[Writer] = []

    def make(**settings: Any) -> Writer:
        writer = Writer(
            run,
            on_faults=told.faults.extend,
            on_batch=told.on_batch,
            on_error=told.on_error,
            **settings,
        )
        writer.start()
        started.append(writer)
        return writer

    yield make
    for writer in started:
        if not told.errors:
            writer.close()


def journals(root: Path) -> list[tuple[str, str, int]]:
    """Return table, date and number of each journal."""
    return [
        (partition.table, partition.date, stem.number)
        for partition, stem, _ in list_files(journals_folder(root), ".arrow")
    ]


def segments(root: Path) -> list[tuple[str, str, int]]:
    """Return table, date and number of each segment."""
    return [
        (partition.table, partition.date, stem.number)
        for partition, stem, _ in list_files(root, ".parquet")
    ]


def flush(writer: Writer, rows: dict[Any, list[RowTuple]], at: int) -> None:
    """Submit rows and wait until they are durable."""
    assert writer.submit(Flush(rows=rows, through_ns=at))
    wait_until(lambda: writer.stats().through_ns == at or not writer._thread.is_alive())


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for the writer's thread."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("waited in vain")


def trade_ids(root: Path) -> list[int]:
    """Return the ids of all trades of a store."""
    return sorted(open_listing(root).read("trades")["trade_id"].to_pylist())


def test_a_flush_is_visible_at_once_and_sorted_away_at_the_end(
    start: Callable[..., Writer],
    run: Run,
    told: Told,
    trade: MakeRow,
    depth: MakeRow,
    start_ns: int,
) -> None:
    writer = start()

    flush(
        writer,
        {TRADES: [trade(1), trade(2)], ("depth", "gate_spot"): [depth(3)]},
        start_ns + SECOND,
    )
    flush(writer, {TRADES: [trade(4)], ("bbo", "gate_spot"): []}, start_ns + 2 * SECOND)

    assert trade_ids(run.root) == [1, 2, 4]
    assert journals(run.root) == [
        ("depth", "2023-11-14", 1),
        ("trades", "2023-11-14", 0),
    ]
    assert segments(run.root) == []
    assert writer.stats() == WriterStats(
        rows={"trades": 3, "depth": 1},
        through_ns=start_ns + 2 * SECOND,
        flushes=2,
    )

    writer.close()

    assert journals(run.root) == []
    assert segments(run.root) == [
        ("depth", "2023-11-14", 1),
        ("trades", "2023-11-14", 0),
    ]
    assert trade_ids(run.root) == [1, 2, 4]
    assert told.batches == [
        ("trades", "gate_spot", 2),
        ("depth", "gate_spot", 1),
        ("trades", "gate_spot", 1),
    ]
    assert (told.faults, told.errors) == ([], [])


def test_what_is_open_is_put_down_with_the_rows_that_tell_it(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    writer = start()
    state = RunState((OpenInterval("BTC_USDT", "trades", start_ns),))

    writer.submit(
        Flush(rows={TRADES: [trade(1)]}, through_ns=start_ns + SECOND, state=state)
    )
    flush(writer, {}, start_ns + 2 * SECOND)

    said = read_run_file(run.root, run.id)
    assert said is not None
    assert (said.state, said.through_ns) == (state, start_ns + 2 * SECOND)


def test_nothing_is_told_before_it_is_durable(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    seen = []

    def on_batch(_table: str, _source: str, _batch: pa.RecordBatch) -> list[Gap]:
        seen.append(trade_ids(run.root))
        return []

    writer = Writer(run, on_batch=on_batch)
    writer.start()
    flush(writer, {TRADES: [trade(1)]}, start_ns + SECOND)
    writer.close()

    assert seen == [[1]]


def test_what_is_found_wrong_is_put_down_before_its_rows_are_vouched_for(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    """Until the ledger has had time to tell of it."""
    wrong = Gap(
        gap_id=f"{run.id}.found.1",
        market="BTC_USDT",
        stream="depth:100ms",
        job=run.job,
        scope="book",
        reason="crossed",
        started_at=start_ns,
    )
    found = [wrong]
    beats = []

    def heartbeat(through_ns: int, *rest: Any) -> None:
        said = read_run_file(run.root, run.id)
        assert said is not None
        beats.append((through_ns - start_ns, said.found))
        original(through_ns, *rest)

    original, run.heartbeat = run.heartbeat, heartbeat  # type: ignore[method-assign]
    writer = Writer(run, on_batch=lambda *_: [found.pop()] if found else [])
    writer.start()
    for number, after in enumerate((SECOND, 59 * SECOND, 60 * SECOND)):
        state = RunState()
        rows = {TRADES: [trade(number)]}
        at = start_ns + after
        writer.submit(Flush(rows=rows, state=state, through_ns=at))
    writer.close()

    assert beats == [(SECOND, (wrong,)), (59 * SECOND, (wrong,)), (60 * SECOND, ())]


def test_frames_of_inexact_and_faulty_rows_are_kept_with_them(
    start: Callable[..., Writer],
    run: Run,
    told: Told,
    trade: MakeRow,
    start_ns: int,
) -> None:
    before = COUNTERS["frames_inexact_total"]
    archived = KeptFrame(direction="in", opcode="text", reason="archive", payload=b"a")
    writer = start()

    flush(
        writer,
        {
            ("frames", "gate_spot"): [(start_ns, "r.0", 0, 0, archived, None)],
            TRADES: [
                trade(1),
                trade(2, amount=LONG, payload=b"two"),
                trade(3, amount="NaN", payload=b"three"),
            ],
            ("trades", "gate_v3"): [trade(2, amount=LONG, payload=b"other")],
        },
        start_ns + SECOND,
    )

    frames = open_listing(run.root).read("frames")
    names = ("source", "reason", "payload")
    kept = zip(*(frames[name].to_pylist() for name in names), strict=True)
    assert sorted(kept) == [
        ("gate_spot", "archive", b"a"),
        ("gate_spot", "inexact", b"two"),
        ("gate_spot", "undecodable", b"three"),
        ("gate_v3", "inexact", b"other"),
    ]
    assert trade_ids(run.root) == [1, 2, 2]
    assert [(fault.source, fault.seq) for fault in told.faults] == [("gate_spot", 3)]
    assert COUNTERS["frames_inexact_total"] == before + 2


def test_a_flush_of_nothing_but_faults_makes_no_file_of_their_table(
    start: Callable[..., Writer], run: Run, told: Told, trade: MakeRow, start_ns: int
) -> None:
    writer = start()

    flush(writer, {TRADES: [trade(1, amount="x")]}, start_ns + SECOND)

    assert journals(run.root) == [("frames", "2023-11-14", 0)]
    assert told.batches == [("frames", "gate_spot", 1)]


def test_faults_need_nobody_to_tell(run: Run, trade: MakeRow, start_ns: int) -> None:
    writer = Writer(run)
    writer.start()
    flush(writer, {TRADES: [trade(1, amount="x"), trade(2)]}, start_ns + SECOND)
    writer.close()

    assert trade_ids(run.root) == [2]


def test_rows_of_two_dates_go_into_two_journals(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    midnight = (start_ns // DAY_NS + 1) * DAY_NS
    writer = start()

    flush(
        writer,
        {TRADES: [trade(n, at=midnight - 2) for n in (0, 1, 2, 3)]},
        midnight - 1,
    )

    assert journals(run.root) == [
        ("trades", "2023-11-14", 0),
        ("trades", "2023-11-15", 1),
    ]
    listing = open_listing(run.root)
    assert {
        j.date: j.rows["trade_id"].to_pylist() for j in listing.journals("trades")
    } == {
        "2023-11-14": [0, 1],
        "2023-11-15": [2, 3],
    }


def test_midnight_turns_even_small_journals_into_segments(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    midnight = (start_ns // DAY_NS + 1) * DAY_NS
    writer = start()
    flush(writer, {TRADES: [trade(1, at=midnight - SECOND)]}, midnight - 1)
    assert journals(run.root) == [("trades", "2023-11-14", 0)]

    flush(writer, {TRADES: [trade(2, at=midnight)]}, midnight + 5)

    wait_until(lambda: segments(run.root) == [("trades", "2023-11-14", 0)])
    wait_until(lambda: journals(run.root) == [("trades", "2023-11-15", 1)])


def test_journals_rotate_at_multiples_of_the_clock_unless_they_are_small(
    start: Callable[..., Writer],
    run: Run,
    trade: MakeRow,
    depth: MakeRow,
    start_ns: int,
) -> None:
    border = (start_ns // (900 * SECOND) + 1) * 900 * SECOND
    writer = start(small_bytes=40_000)
    bids = [b'[["%d.%d","2"]]' % (n * 7919, n * 104) for n in range(2000)]
    rows = [depth(n, at=border - 10_000, bids=bid) for n, bid in enumerate(bids)]

    flush(
        writer,
        {("depth", "gate_spot"): rows, TRADES: [trade(1, at=border - 9)]},
        border - 1,
    )
    flush(writer, {}, border - 1 + 1)

    wait_until(lambda: segments(run.root) == [("depth", "2023-11-14", 0)])
    wait_until(lambda: journals(run.root) == [("trades", "2023-11-14", 1)])
    flush(writer, {}, border + 900 * SECOND)
    assert journals(run.root) == [("trades", "2023-11-14", 1)]


def test_a_journal_rotates_as_soon_as_it_is_large(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    writer = start(segment_max_bytes=20_000)

    flush(writer, {TRADES: [trade(1)]}, start_ns + 1)
    assert segments(run.root) == []
    for n in range(2, 12):
        flush(writer, {TRADES: [trade(n)]}, start_ns + n)

    wait_until(lambda: segments(run.root) == [("trades", "2023-11-14", 0)])
    assert trade_ids(run.root) == list(range(1, 12))


def test_no_file_has_a_row_older_than_its_name_says(
    start: Callable[..., Writer], run: Run, trade: MakeRow, start_ns: int
) -> None:
    writer = start()

    flush(writer, {TRADES: [trade(5)]}, start_ns + 10)
    flush(writer, {TRADES: [trade(4)]}, start_ns + 11)

    wait_until(lambda: segments(run.root) == [("trades", "2023-11-14", 0)])
    wait_until(lambda: journals(run.root) == [("trades", "2023-11-14", 1)])
    assert trade_ids(run.root) == [4, 5]
    found = open_listing(run.root).read("trades", end_ns=start_ns + 5)
    assert found["trade_id"].to_pylist() == [4]


def test_the_ledger_is_written_after_the_rows_and_coverage_before_gaps(
    run: Run, trade: MakeRow, start_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real = Writer._append

    def watch(self: Writer, partition: Any, batch: pa.RecordBatch) -> int:
        order.append(partition.table)
        return real(self, partition, batch)

    monkeypatch.setattr(Writer, "_append", watch)
    gap = Gap(
        gap_id="g",
        market=None,
        stream=None,
        job="j",
        scope="rows",
        reason="x",
        started_at=1,
    )
    coverage = Coverage(
        market=None, stream="trades", job="j", started_at=1, ended_at=2, closed_by="gap"
    )
    writer = Writer(run)
    writer.start()
    flush(
        writer,
        {
            ("gaps", "gate_spot"): [(start_ns, "r.ledger", 0, 0, gap, None)],
            ("coverage", "gate_spot"): [(start_ns, "r.ledger", 1, 0, coverage, None)],
            TRADES: [trade(1, amount=LONG)],
        },
        start_ns + 1,
    )
    writer.close()

    assert order == ["trades", "frames", "coverage", "gaps"]


def test_a_full_queue_is_refused_and_the_caller_keeps_the_rows(
    run: Run, trade: MakeRow, start_ns: int
) -> None:
    go = threading.Event()
    busy = threading.Event()

    def on_batch(_table: str, _source: str, _batch: pa.RecordBatch) -> list[Gap]:
        busy.set()
        go.wait()
        return []

    writer = Writer(run, queue_flushes=2, on_batch=on_batch)
    writer.start()
    flushes = [
        Flush(rows={TRADES: [trade(n)]}, through_ns=start_ns + n) for n in range(4)
    ]

    assert writer.submit(flushes[0])
    busy.wait()
    assert [writer.submit(flush) for flush in flushes[1:]] == [True, True, False]
    closing = threading.Thread(target=writer.close)
    closing.start()
    closing.join(0.2)  # the queue is full: closing waits for its place
    go.set()
    closing.join()

    assert trade_ids(run.root) == [0, 1, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_is_heard_of_too(
    start: Callable[..., Writer],
    told: Told,
    start_ns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_rows: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(writer_module, "build_all", fail)
    writer = start()
    writer.submit(Flush(rows={}, through_ns=start_ns))
    told.happened.wait(10)

    with pytest.raises(StoreError, match="the writer died of ZeroDivisionError"):
        writer.close()
    assert len(told.errors) == 1
