import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder import open_store


@pytest.fixture
def store(maker):
    maker.segment(
        [
            maker.depth(1, b'[["10","1"]]', b'[["11","2"]]', is_snapshot=True),
            maker.depth(2, b'[["10.5","3"]]', b"[]"),
            maker.depth(4, b"[]", b'[["10.8","1"]]'),  # 3 is missing
        ]
    )
    return maker.root


def bbo(run, store, *words):
    return run(
        "bbo", "--store", store, "--source", "gate_spot", "--market", "BTC_USDT", *words
    )


def test_csv_has_one_row_a_message_and_nothing_where_the_book_is_not_known(run, store):
    result = bbo(run, store)

    noon = "2024-05-01T12:00:00.00000000"
    assert result.exit_code == 0
    assert result.stdout == (
        "ts_recv,ts_event,bid_price,bid_amount,ask_price,ask_amount,known\n"
        f"{noon}1Z,,10,1,11,2,true\n"
        f"{noon}2Z,,10.5,3,11,2,true\n"
        f"{noon}4Z,,,,,,false\n"
    )


def test_a_range_includes_its_start_and_not_its_end(run, store):
    result = bbo(
        run,
        store,
        "--from",
        "2024-05-01T12:00:00.000000002Z",
        "--to",
        "2024-05-01T12:00:00.000000004Z",
        "--format",
        "json",
    )

    (row,) = msgspec.json.decode(result.stdout)
    assert row == {
        "ts_recv": "2024-05-01T12:00:00.000000002Z",
        "ts_event": None,
        "bid_price": 10.5,
        "bid_amount": 3.0,
        "ask_price": 11.0,
        "ask_amount": 2.0,
        "known": True,
    }


def test_parquet_holds_what_the_library_gives(run, store, tmp_path):
    path = tmp_path / "bbo.parquet"

    result = bbo(run, store, "-o", path)

    expected = open_store(store).bbo("gate_spot", "BTC_USDT")
    assert result.exit_code == 0
    assert pq.read_table(path).equals(expected)
    assert expected["bid_price"].to_pylist() == [10.0, 10.5, None]
    assert expected.schema.field("ts_recv").type == pa.timestamp("ns")


def test_the_table_is_for_people(run, store):
    result = bbo(run, store, "--format", "table")

    assert "│ 2024-05-01T12:00:00.000000002Z │ null " in result.stdout
    assert "false" in result.stdout


def test_an_unknown_stream_is_wrong_usage(run, store):
    result = bbo(run, store, "--stream", "depth:20ms")

    assert result.exit_code == 2
    assert "depth:100ms" in result.stderr


def test_a_range_that_is_no_time_is_wrong_usage(run, store):
    result = bbo(run, store, "--from", "yesterday")

    assert result.exit_code == 2
    assert "not a time: 'yesterday'" in result.stderr
