import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import recorder
from recorder import open_store
from recorder.errors import (
    ConfigError,
    CorruptSegmentError,
    QueryError,
    RecorderError,
    StoreError,
)
from recorder.model import Trade


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no store at"):
        open_store(tmp_path / "nothing")


def test_a_file_is_no_store(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    with pytest.raises(ConfigError, match="is a file"):
        open_store(path)


def test_a_store_inside_a_partition_is_refused(tmp_path):
    # DuckDB would take source and date from the outer folder.
    path = tmp_path / "source=other" / "store"
    path.mkdir(parents=True)

    with pytest.raises(ConfigError, match="lies in a partition"):
        open_store(path)


def test_a_store_says_where_it_is(maker):
    assert repr(open_store(maker.root)) == f"open_store({str(maker.root)!r})"


def test_a_store_opened_by_a_relative_path_survives_a_change_of_folder(
    maker, monkeypatch, tmp_path
):
    maker.segment([maker.trade(1)])
    monkeypatch.chdir(maker.root.parent)
    store = open_store(maker.root.name)
    relation = store.sql("SELECT trade_id FROM trades")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    monkeypatch.chdir(elsewhere)

    assert relation.fetchall() == [(1,)]
    assert store.sql("SELECT count(*) FROM trades").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["it's", "a [1] * ? {x,y}", "env=prod", "blue\\green"])
def test_no_folder_name_confuses_a_query(tmp_path, maker, name):
    maker.root = tmp_path / name
    maker.root.mkdir()
    maker.segment([maker.trade(1)])
    maker.journal([maker.trade(2)])

    rows = open_store(maker.root).sql("SELECT * FROM trades ORDER BY trade_id")

    assert rows.columns[-2:] == ["source", "date"]
    assert [row[6] for row in rows.fetchall()] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        'SELECT count(*) FROM "trades"',
        "select count(*) from TRADES",
        "SELECT (SELECT count(*) FROM Trades) FROM range(1)",
        "WITH t AS (FROM trades) SELECT count(*) FROM t",
        "CREATE VIEW mine AS SELECT * FROM trades; SELECT count(*) FROM mine",
        "FROM query('SELECT count(*) FROM trades')",
        "SELECT count(*) FROM memory.main.trades;",
    ],
)
def test_a_table_is_found_however_it_is_asked_for(maker, text):
    maker.segment([maker.trade(1), maker.trade(2)])

    assert open_store(maker.root).sql(text).fetchall() == [(2,)]


def test_each_call_sees_what_was_added_before_it(maker):
    store = open_store(maker.root)
    question = "SELECT list(trade_id ORDER BY trade_id) FROM trades"
    answers = [store.sql(question).fetchall()]

    maker.segment([maker.trade(1)])
    answers.append(store.sql(question).fetchall())
    maker.journal([maker.trade(2)])
    answers.append(store.sql(question).fetchall())

    assert answers == [[(None,)], [([1],)], [([1, 2],)]]


def test_a_relation_stays_as_it_was_while_files_are_added_and_converted(maker):
    maker.segment([maker.trade(1)])
    where = maker.journal([maker.trade(2)])
    store = open_store(maker.root)
    relation = store.sql("SELECT trade_id FROM trades ORDER BY ALL")
    derived = relation.filter("trade_id > 1")

    from recorder.store.segment import convert

    convert(maker.root, *where)
    maker.segment([maker.trade(3)])
    other = store.sql("SELECT trade_id FROM trades ORDER BY ALL")
    gc.collect()

    assert relation.fetchall() == [(1,), (2,)]
    assert derived.fetchall() == [(2,)]
    assert other.fetchall() == [(1,), (2,), (3,)]


def test_several_threads_may_ask_at_once(maker):
    maker.segment([maker.trade(n) for n in range(100)])
    maker.journal([maker.trade(n) for n in range(100, 150)])
    store = open_store(maker.root)

    def ask(number):
        rows = store.sql(f"SELECT count(*) FROM trades WHERE trade_id < {number}")
        return rows.fetchall()[0][0]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(0, 160, 5)))

    assert answers == [min(number, 150) for number in range(0, 160, 5)]


def test_one_call_cannot_see_what_another_created(maker):
    store = open_store(maker.root)
    assert store.sql("CREATE TABLE mine AS SELECT 1 AS x; FROM mine").fetchall() == [
        (1,)
    ]

    with pytest.raises(QueryError, match="mine does not exist"):
        store.sql("FROM mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM trades", '"nothing" not found'),
        ("SELECT * FROM trade", "does not exist"),
        ("SELECT 1 +", "syntax error"),
    ],
)
def test_sql_that_duckdb_refuses_is_a_query_error_in_its_words(maker, text, message):
    with pytest.raises(QueryError, match=message):
        open_store(maker.root).sql(text)


@pytest.mark.parametrize("text", ["", "  ", "-- nothing", ";"])
def test_a_text_without_a_question_is_refused(maker, text):
    with pytest.raises(QueryError, match="asks for nothing"):
        open_store(maker.root).sql(text)


def test_a_query_error_is_a_recorder_error():
    assert issubclass(QueryError, RecorderError)
    assert not issubclass(QueryError, StoreError)


def test_a_question_never_reaches_for_the_internet(maker):
    with pytest.raises(QueryError, match="httpfs"):
        open_store(maker.root).sql("FROM 'https://example.com/x.parquet'")


def test_a_name_that_is_no_table_is_not_taken_for_a_variable(maker):
    rows = pa.table({"x": [1]})

    with pytest.raises(QueryError, match="rows does not exist"):
        open_store(maker.root).sql("FROM rows")
    assert rows.num_rows == 1


def test_times_keep_their_nanoseconds(maker):
    maker.segment([maker.trade(123_456_789)])

    rows = open_store(maker.root).sql(
        "SELECT epoch_ns(ts_recv), ts_recv::VARCHAR,"
        " epoch_ns(ts_recv) - epoch_ns(ts_event) FROM trades"
    )

    assert rows.fetchall() == [
        (maker.noon + 123_456_789, "2024-05-01 12:00:00.123456789", 5)
    ]


def test_functions_of_time_work_on_stored_times(maker):
    maker.segment([maker.trade(1)])

    rows = open_store(maker.root).sql(
        "SELECT date_trunc('hour', ts_recv)::VARCHAR, (ts_recv - ts_event)::VARCHAR,"
        " time_bucket(INTERVAL 5 MINUTE, ts_recv)::VARCHAR,"
        " (ts_recv + INTERVAL 1 DAY)::DATE::VARCHAR FROM trades"
    )

    hour, _, bucket, tomorrow = rows.fetchall()[0]
    assert hour.startswith("2024-05-01 12:00:00")
    assert bucket.startswith("2024-05-01 12:00:00")
    assert tomorrow == "2024-05-02"


def test_an_answer_can_be_streamed(maker):
    maker.segment([maker.trade(n) for n in range(5_000)])

    schema, batches = open_store(maker.root).stream(
        "SELECT trade_id, ts_recv FROM trades ORDER BY trade_id"
    )
    gc.collect()
    rows = pa.Table.from_batches(batches)

    assert schema.names == ["trade_id", "ts_recv"]
    assert rows["trade_id"].to_pylist() == list(range(5_000))
    assert rows.schema.field("ts_recv").type == pa.timestamp("ns")


def test_a_query_that_fails_while_it_is_worked_out_is_a_query_error(maker):
    store = open_store(maker.root)
    text = (
        "SELECT (CASE WHEN range = 900000 THEN 'z' ELSE '1' END)::INTEGER"
        " FROM range(1000000)"
    )

    # One time in a hundred, DuckDB 1.5 gives the error of a thread that it
    # stopped because of the other's.
    with pytest.raises(QueryError, match=r"Could not convert string 'z'|Interrupted"):
        list(store.stream(text).batches)


def test_a_query_that_fails_at_once_is_a_query_error(maker):
    with pytest.raises(QueryError, match="boom"):
        list(open_store(maker.root).stream("SELECT error('boom')").batches)


@pytest.fixture
def interruptible():
    """Hear SIGINT, which a shell tells the processes in its background to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_a_query_that_would_take_for_ever(maker):
    store = open_store(maker.root)
    question = "SELECT sum(a.range * b.range % 7) FROM range(300000) a, range(300000) b"
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))

    timer.start()
    with pytest.raises(KeyboardInterrupt):  # in time, or the test runs out of it
        list(store.stream(question).batches)


def interrupt_the_process():
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_this_thread():
    """The kernel chooses a thread for a signal, and it need not be the first."""
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("interrupt", [interrupt_the_process, interrupt_this_thread])
def test_an_interrupt_is_heard_by_a_query_that_has_not_begun(
    maker, monkeypatch, interrupt
):
    store = open_store(maker.root)
    question = "SELECT sum(a.range * b.range % 7) FROM range(300000) a, range(300000) b"
    interrupted, ended = threading.Event(), threading.Event()
    begin = pa.RecordBatchReader.from_stream

    def begin_late(relation):
        interrupt()
        assert interrupted.wait(60)
        try:
            return begin(relation)
        finally:
            ended.set()

    def wait_for(ending):
        interrupted.set()
        ending.join(0.05)

    monkeypatch.setattr("recorder.query.store.wait", wait_for)
    arrow = SimpleNamespace(
        RecordBatchReader=SimpleNamespace(from_stream=begin_late),
        ArrowException=pa.ArrowException,
    )
    monkeypatch.setattr("recorder.query.store.pa", arrow)

    with pytest.raises(KeyboardInterrupt):
        list(store.stream(question).batches)

    assert ended.wait(60)


def test_a_segment_that_is_no_parquet_is_named(maker):
    path = maker.segment([maker.trade(1)])
    path.write_bytes(b"PAR1 but not really")

    with pytest.raises(CorruptSegmentError, match=path.name):
        open_store(maker.root).sql("FROM trades")


def test_a_broken_segment_of_another_table_does_not_matter(maker):
    maker.segment([maker.trade(1)]).write_bytes(b"garbage")
    maker.segment([maker.depth(1, b"[]", b"[]")])

    rows = open_store(maker.root).sql("SELECT count(*) FROM depth")

    assert rows.fetchall() == [(1,)]


def test_the_public_names_are_there():
    assert (
        dir(recorder) == recorder.__all__ == ["OrderBook", "__version__", "open_store"]
    )
    assert recorder.open_store is open_store
    assert recorder.OrderBook.__name__ == "OrderBook"


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = recorder.nothing


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, recorder; "
        "print([m for m in ('duckdb','pyarrow','numba','numpy','msgspec','aiohttp')"
        " if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_asking_in_sql_does_not_import_numba():
    code = "import sys, recorder; recorder.open_store; print('numba' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


@pytest.fixture
def books(maker):
    maker.segment(
        [
            maker.depth(1, b'[["10","1"]]', b'[["11","2"]]', is_snapshot=True),
            maker.depth(2, b'[["10.5","3"]]', b"[]"),
        ]
    )
    maker.segment([maker.coverage(1_000, stream="depth:100ms")])
    maker.journal([maker.trade(5)])
    return open_store(maker.root)


def forms(ns):
    """One instant in every form that callers may have it in."""
    moment = np.datetime64(ns, "ns")
    return [ns, moment, f"{moment}Z"]


def test_a_book_is_had_at_an_instant_given_in_any_form(books, maker):
    for at in forms(maker.noon + 1):
        view = books.book_at("gate_spot", "BTC_USDT", at=at, levels=1)

        assert (view.ts_ns, view.known) == (maker.noon + 1, True)
        assert (view.bids, view.asks) == (((10.0, 1.0),), ((11.0, 2.0),))


def test_the_bbo_of_a_range_given_in_any_form(books, maker):
    for start, end in zip(forms(maker.noon + 1), forms(maker.noon + 2), strict=True):
        rows = books.bbo("gate_spot", "BTC_USDT", start=start, end=end)

        assert rows["bid_price"].to_pylist() == [10.0]
    whole = books.bbo("gate_spot", "BTC_USDT", stream="depth:100ms")
    assert whole["bid_price"].to_pylist() == [10.0, 10.5]


def test_replay_of_a_range_given_in_any_form(books, maker):
    for start, end in zip(forms(maker.noon + 5), forms(maker.noon + 6), strict=True):
        rows = list(books.replay(start=start, end=end))

        assert [(row.ts_recv - maker.noon, type(row.event)) for row in rows] == [
            (5, Trade)
        ]
    everything = [row.ts_recv - maker.noon for row in books.replay()]
    assert everything == [1, 2, 5]
    some = books.replay("gate_spot", markets=["BTC_USDT"], streams=["depth:100ms"])
    assert [row.ts_recv - maker.noon for row in some] == [1, 2]


def test_a_time_that_is_none_is_refused(books):
    with pytest.raises(ConfigError, match="not a time"):
        books.book_at("gate_spot", "BTC_USDT", at="noon")
