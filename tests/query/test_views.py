import re
import time
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recorder import open_store
from recorder.errors import QueryError, StoreError
from recorder.query.views import SQL_TYPES, base_name, defined_views
from recorder.store.listing import open_listing
from recorder.store.run import OpenInterval, RunState, open_run
from recorder.store.tables import ARROW_TYPES, TABLES
from recorder.store.writer import Flush, Writer


ALL_VIEWS = sorted([*map(base_name, TABLES), *(view.name for view in defined_views())])


def described(store, view):
    return [(row[0], row[1]) for row in store.sql(f"DESCRIBE {view}").fetchall()]


def as_read(kind):
    """The Arrow type that DuckDB gives for a stored one, told by pyarrow alone."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return kind


def same_shape(given, expected):
    if pa.types.is_list(expected):
        return pa.types.is_list(given) and same_shape(
            given.value_type, expected.value_type
        )
    if pa.types.is_struct(expected):
        return [f.name for f in given] == [f.name for f in expected] and all(
            same_shape(a.type, b.type) for a, b in zip(given, expected, strict=True)
        )
    return given == expected


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_without_data_is_an_empty_view_of_the_right_types(maker, table):
    relation = open_store(maker.root).sql(f"SELECT * FROM {base_name(table)}")

    rows = pa.RecordBatchReader.from_stream(relation).read_all()

    schema = TABLES[table].schema
    assert rows.num_rows == 0
    assert rows.schema.names == [*schema.names, "source", "date"]
    for field in schema:
        assert same_shape(rows.schema.field(field.name).type, as_read(field.type))
    assert rows.schema.types[-2:] == [pa.string(), pa.date32()]


def test_every_type_of_a_column_has_a_type_in_sql():
    assert SQL_TYPES.keys() == ARROW_TYPES.keys()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Views are read from an empty folder, and forgotten afterwards."""
    folder = tmp_path / "schemas" / "views"
    folder.mkdir(parents=True)
    monkeypatch.setattr("recorder.query.views.schemas_folder", lambda: folder.parent)
    defined_views.cache_clear()
    yield folder
    defined_views.cache_clear()


def test_an_installation_without_views_is_refused(elsewhere):
    with pytest.raises(StoreError, match=r"no views in .*; install again"):
        defined_views()


def test_views_that_cannot_be_read_are_named(elsewhere):
    (elsewhere / "broken.sql").mkdir()

    with pytest.raises(StoreError, match=r"cannot read the views in .*broken\.sql"):
        defined_views()


def test_each_view_says_first_what_it_is():
    for view in defined_views():
        assert view.sql.startswith(f"-- {view.name}: ")


def test_all_views_are_listed_in_an_empty_store(maker):
    names = [row[0] for row in open_store(maker.root).sql("SHOW TABLES").fetchall()]

    assert sorted(names) == ALL_VIEWS


INDIRECT = [
    "SELECT count(*) FROM query_table('tra' || 'des')",
    "SELECT count(*) FROM query_table(concat('dep', 'th_lev', 'els'))",
    "SELECT count(*) FROM query_table('ga' || 'ps')",
    "FROM query_table('tra' || 'des') WHERE market = 'BTC_USDT' AND price > 5",
    "SELECT max(price) FROM query_table('tra' || 'des') WHERE date = '2024-05-01'",
    "SELECT 1 WHERE EXISTS (FROM query_table('tra' || 'des'))",
    "SELECT 1 WHERE 7 NOT IN (SELECT trade_id FROM query_table('tra' || 'des'))",
    "FROM (SELECT 1 AS k) LEFT JOIN query_table('tra' || 'des') ON trade_id = k",
    "SELECT count(*) FROM (FROM query_table('tra' || 'des') LIMIT 1)",
    "FROM query('FROM tra' || 'des')",
    "SUMMARIZE FROM query_table('tra' || 'des')",
    "CREATE MACRO m(t) AS TABLE FROM query_table(t); FROM m('tra' || 'des')",
    "PREPARE p AS FROM query_table('tra' || 'des'); EXECUTE p",
    "ATTACH '{file}' AS f; FROM f.v",
]


@pytest.mark.parametrize("question", INDIRECT)
@pytest.mark.parametrize("place", ["journal", "segment"])
def test_a_view_that_the_text_does_not_name_is_never_read_as_empty(
    maker, tmp_path, question, place
):
    write = getattr(maker, place)
    write([maker.trade(1)])
    write([maker.depth(1, b'[["1","2"]]', b"[]")])
    write([maker.gap(1, "a")])
    file = tmp_path / "other.duckdb"
    with duckdb.connect() as other:
        other.execute(f"CREATE TABLE trades (n INTEGER); ATTACH '{file}' AS f")
        other.execute("CREATE VIEW f.v AS SELECT 1 FROM memory.main.trades")
    store, question = open_store(maker.root), question.format(file=file)

    with pytest.raises((duckdb.Error, QueryError), match="was left without its rows"):
        store.sql(question).fetchall()

    # The remedy that the error names.
    assert store.sql(f"/* trades depth gaps_log */ {question}").fetchall()


def test_an_error_of_a_view_that_is_not_named_says_what_to_write(maker):
    maker.segment([maker.trade(1)])
    store = open_store(maker.root)

    with pytest.raises(QueryError, match=r"in the text.*: /\* trades \*/"):
        list(store.stream("FROM query_table('tra' || 'des')").batches)


def test_a_view_that_is_not_named_has_its_columns_all_the_same(maker):
    maker.segment([maker.trade(1)])
    maker.journal([maker.depth(1, b'[["1","2"]]', b"[]")])
    store = open_store(maker.root)
    columns = (
        "SELECT table_name, column_name, data_type"
        " FROM information_schema.columns"
        " WHERE NOT starts_with(table_name, '_journals_') ORDER BY ALL"
    )

    unnamed = store.sql(columns).fetchall()
    named = store.sql(f"/* {' '.join(ALL_VIEWS)} */ {columns}").fetchall()

    assert unnamed == named
    assert {row[0] for row in named} == set(ALL_VIEWS)


@pytest.mark.parametrize(
    "view", ["gaps", "depth_levels", "outages", "coverage", "trades"]
)
def test_source_and_date_are_the_last_columns(maker, view):
    columns = described(open_store(maker.root), view)

    assert columns[-2:] == [("source", "VARCHAR"), ("date", "DATE")]


def test_columns_and_types_are_the_same_from_journals_and_segments(maker):
    store = open_store(maker.root)
    empty = described(store, "trades"), described(store, "depth")
    trades = [maker.trade(n) for n in range(3)]
    depth = [maker.depth(n, b'[["1","2"]]', b"[]") for n in range(3)]

    maker.journal(trades)
    maker.segment(depth)
    mixed = described(store, "trades"), described(store, "depth")
    maker.segment([maker.trade(n) for n in range(3, 6)])
    maker.journal([maker.depth(n, b"[]", b'[["1","2"]]') for n in range(3, 6)])
    both = described(store, "trades"), described(store, "depth")

    assert mixed == empty
    assert both == empty
    values = store.sql(
        "SELECT DISTINCT typeof(market), typeof(ts_recv), typeof(side), typeof(source),"
        " typeof(date) FROM trades"
    ).fetchall()
    assert values == [("VARCHAR", "TIMESTAMP_NS", "VARCHAR", "VARCHAR", "DATE")]


def test_rows_of_journals_and_segments_stand_in_one_view(maker, fetch):
    maker.segment([maker.trade(1), maker.trade(2, market="ETH_USDT")])
    maker.journal([maker.trade(3, price="0.000000000000001")])

    rows = fetch(
        open_store(maker.root).sql(
            "SELECT ts_recv, ts_event, market, trade_id, side, price, source, date"
            " FROM trades ORDER BY trade_id"
        )
    )

    def row(number, market, side, price):
        return {
            "ts_recv": maker.noon + number,
            "ts_event": maker.noon + number - 5,
            "market": market,
            "trade_id": number,
            "side": side,
            "price": price,
            "source": "gate_spot",
            "date": date(2024, 5, 1),
        }

    assert rows == [
        row(1, "BTC_USDT", "sell", 100.5),
        row(2, "ETH_USDT", "buy", 100.5),
        row(3, "BTC_USDT", "sell", 1e-15),
    ]


def test_an_aggregate_agrees_with_pyarrow_over_the_same_files(maker):
    for number in range(4):
        events = [
            maker.trade(
                number * 1000 + n,
                market=f"M{n % 7}_USDT",
                price=f"{100 + n}.{number}",
                amount=f"0.{n + 1}",
            )
            for n in range(200)
        ]
        maker.segment(events) if number % 2 else maker.journal(events)
    store = open_store(maker.root)

    answer = dict(
        store.sql(
            "SELECT market, sum(price * amount) FROM trades GROUP BY market"
        ).fetchall()
    )

    rows = open_listing(maker.root).read("trades")
    products = pc.multiply(rows["price"], rows["amount"])
    expected = (
        pa.table({"market": rows["market"].cast(pa.string()), "value": products})
        .group_by("market")
        .aggregate([("value", "sum")])
    )
    assert answer.keys() == {f"M{n}_USDT" for n in range(7)}
    for market, value in zip(*expected.to_pydict().values(), strict=True):
        assert answer[market] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("market = 'ETH_USDT'", [2, 4]),
        ("market IN ('ETH_USDT', 'GT_USDT')", [2, 3, 4]),
        ("market LIKE 'B%'", [1]),
        ("market > 'F'", [3]),
        ("side = 'buy'", [2, 4]),
        ("ts_recv >= TIMESTAMP_NS '2024-05-01 12:00:00.000000003'", [3, 4]),
        ("ts_recv < TIMESTAMP_NS '2024-05-01 12:00:00.000000003'", [1, 2]),
        ("source = 'gate_spot' AND date = '2024-05-01'", [1, 2, 3, 4]),
        ("source = 'gate_v3'", []),
        ("date <> DATE '2024-05-01'", []),
        ("market_trade_id IS NOT NULL", []),
    ],
)
@pytest.mark.parametrize("place", ["journal", "segment"])
def test_conditions_hold_wherever_the_rows_are(maker, condition, ids, place):
    markets = {1: "BTC_USDT", 2: "ETH_USDT", 3: "GT_USDT", 4: "ETH_USDT"}
    for pair in ((1, 2), (3, 4)):
        write = getattr(maker, place)
        write([maker.trade(n, market=markets[n]) for n in pair])

    rows = open_store(maker.root).sql(
        f"SELECT trade_id FROM trades WHERE {condition} ORDER BY ALL"
    )

    assert [row[0] for row in rows.fetchall()] == ids


def test_gaps_shows_the_newest_revision_of_each_gap_and_gaps_log_all(maker, fetch):
    maker.segment(
        [
            maker.gap(1, "a"),
            maker.gap(2, "b", reason="resync", scope="book"),
            maker.gap(3, "a", ended_at=maker.noon + 3),
        ]
    )
    maker.journal([maker.gap(9, "a", ended_at=maker.noon + 3, healed_by="rest")])
    maker.journal([maker.gap(5, "a", ended_at=maker.noon + 5)], source="gate_v3")
    store = open_store(maker.root)
    columns = "source, gap_id, ts_recv, ended_at, healed_by"

    newest = fetch(store.sql(f"SELECT {columns} FROM gaps ORDER BY ALL"))
    log = fetch(store.sql("SELECT source, ts_recv FROM gaps_log ORDER BY ALL"))

    noon = maker.noon
    assert [tuple(row.values()) for row in newest] == [
        ("gate_spot", "a", noon + 9, noon + 3, "rest"),
        ("gate_spot", "b", noon + 2, None, None),
        ("gate_v3", "a", noon + 5, noon + 5, None),
    ]
    assert [tuple(row.values()) for row in log] == [
        ("gate_spot", noon + 1),
        ("gate_spot", noon + 2),
        ("gate_spot", noon + 3),
        ("gate_spot", noon + 9),
        ("gate_v3", noon + 5),
    ]


def test_depth_levels_has_one_row_a_level_in_wire_order(maker, fetch):
    maker.segment(
        [
            maker.depth(
                7, b'[["10","1"],["11","2"]]', b'[["12","0.5"]]', is_snapshot=True
            ),
            maker.depth(8, b"[]", b"[]"),
        ]
    )
    maker.journal([maker.depth(9, b"[]", b'[["13","0"],["12","1"]]')])

    rows = fetch(
        open_store(maker.root).sql(
            "SELECT * FROM depth_levels ORDER BY ts_recv, side DESC, level"
        )
    )

    keys = (
        "last_update_id",
        "is_snapshot",
        "origin",
        "side",
        "level",
        "price",
        "amount",
    )
    assert [tuple(row[key] for key in keys) for row in rows] == [
        (7, True, "rest", "bid", 1, 10.0, 1.0),
        (7, True, "rest", "bid", 2, 11.0, 2.0),
        (7, True, "rest", "ask", 1, 12.0, 0.5),
        (9, False, "live", "ask", 1, 13.0, 0.0),
        (9, False, "live", "ask", 2, 12.0, 1.0),
    ]
    assert {row["ts_recv"] - maker.noon for row in rows} == {7, 9}
    assert {(row["market"], row["stream"], row["source"]) for row in rows} == {
        ("BTC_USDT", "depth:100ms", "gate_spot")
    }


def test_coverage_has_the_open_intervals_of_a_living_run(maker, fetch):
    maker.segment([maker.coverage(10)])
    run = open_run(maker.root, job="live", source="gate_spot", now_ns=maker.noon)
    started = maker.noon + maker.day
    interval = OpenInterval(market="ETH_USDT", stream="depth:100ms", started_at=started)
    run.heartbeat(started + 77)
    run.write_state(RunState(intervals=(interval,)))
    columns = "market, stream, job, started_at, ended_at, closed_by, source, date"

    rows = fetch(open_store(maker.root).sql(f"SELECT {columns} FROM coverage"))
    run.release()
    after = fetch(open_store(maker.root).sql(f"SELECT {columns} FROM coverage"))

    closed = {
        "market": "BTC_USDT",
        "stream": "trades",
        "job": "job",
        "started_at": maker.noon,
        "ended_at": maker.noon + 10,
        "closed_by": "stop",
        "source": "gate_spot",
        "date": date(2024, 5, 1),
    }
    still_open = {
        "market": "ETH_USDT",
        "stream": "depth:100ms",
        "job": "live",
        "started_at": started,
        "ended_at": started + 77,
        "closed_by": None,
        "source": "gate_spot",
        "date": date(2024, 5, 2),
    }
    assert closed in rows
    assert still_open in rows
    assert len(rows) == 2
    assert after == [closed]


def plan_of(store, question):
    (plan,) = store.sql(f"EXPLAIN ANALYZE {question}").fetchall()
    return plan[1]


@pytest.fixture
def large(maker):
    """Three dates of two sources, 40 markets with 2,000 trades each."""
    for source in ("gate_spot", "gate_v3"):
        for day in range(3):
            at = maker.noon + day * maker.day
            maker.segment(
                [
                    maker.trade(n, at=at + n, market=f"M{n % 40:02}_USDT")
                    for n in range(80_000)
                ],
                source=source,
            )
    # A running capture's journal must not stand in the way of any of this.
    maker.journal([maker.trade(1, at=maker.noon + 2 * maker.day, market="M07_USDT")])
    return open_store(maker.root)


def test_conditions_on_partitions_and_market_read_only_what_they_must(large):
    question = (
        "SELECT count(*), sum(amount) FROM trades"
        " WHERE date = '2024-05-02' AND source = 'gate_spot' AND market = 'M07_USDT'"
    )

    plan = plan_of(large, question)

    assert large.sql(question).fetchall() == [(2_000, 4_000.0)]
    assert re.search(r"Scanning Files: 1/6", plan), plan
    assert re.search(r"Total Files Read: 1\b", plan), plan
    # DuckDB 2 says how many row groups it read; before that, a scan shows rows
    # that passed its filters, which says nothing.
    groups = re.search(r"Row Groups Scanned: (\d+) / (\d+)", plan)
    if groups:
        assert int(groups[2]) == 5
        assert int(groups[1]) <= 2


def test_a_range_of_dates_reads_its_files_and_no_others(large):
    question = (
        "SELECT count(*) FROM trades"
        " WHERE date BETWEEN '2024-05-02' AND '2024-05-03' AND market = 'M07_USDT'"
    )

    plan = plan_of(large, question)

    assert large.sql(question).fetchall() == [(4 * 2_000 + 1,)]
    assert re.search(r"Total Files Read: 4\b", plan), plan


def test_depth_levels_prunes_in_both_halves(maker):
    for day in range(3):
        number = day * maker.day
        maker.segment([maker.depth(number, b'[["1","2"]]', b'[["3","4"]]')])
    store = open_store(maker.root)
    question = (
        "SELECT side, price FROM depth_levels"
        " WHERE date = '2024-05-02' AND market = 'BTC_USDT'"
    )

    plan = plan_of(store, question)

    assert sorted(store.sql(question).fetchall()) == [("ask", 3.0), ("bid", 1.0)]
    assert re.findall(r"Total Files Read: (\d+)", plan) == ["1", "1"]


def test_rows_are_seen_once_while_a_capture_writes_and_converts(maker):
    run = open_run(maker.root, job="live", source="gate_spot", now_ns=maker.noon)
    writer = Writer(run, segment_max_bytes=20_000)
    store = open_store(maker.root)
    total = 3_000
    failures, journaled, converted = [], 0, 0

    writer.start()
    for first in range(0, total, 50):
        events = [maker.trade(number) for number in range(first, first + 50)]
        rows = [(ts, f"{run.id}.1", e.trade_id, 0, e, b"{}") for ts, e in events]
        flush = Flush(
            rows={("trades", "gate_spot"): rows}, through_ns=maker.noon + first + 50
        )
        while not writer.submit(flush):
            time.sleep(0.01)
        durable = writer.stats().through_ns - maker.noon
        relation = store.sql(
            "SELECT count(*), count(DISTINCT trade_id), max(trade_id) FROM trades"
        )
        rows_seen, distinct, last = relation.fetchall()[0]
        # What is durable is there, each row once, and nothing is left out.
        if not rows_seen == distinct == (0 if last is None else last + 1):
            failures.append((rows_seen, distinct, last))
        if rows_seen < durable:
            failures.append((rows_seen, durable))
        listing = open_listing(maker.root)
        journaled += bool(listing.journals("trades"))
        converted += bool(listing.segments("trades"))
    writer.close()
    run.release()

    assert failures == []
    assert journaled > 0  # both kinds of file were really there to be confused
    assert converted > 0
    question = "SELECT count(*), count(DISTINCT trade_id) FROM trades"
    assert store.sql(question).fetchall() == [(total, total)]
    assert open_listing(maker.root).journals("trades") == ()
