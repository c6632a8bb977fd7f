import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from recorder.store.tables import TABLES


@pytest.fixture
def store(maker):
    maker.segment([maker.trade(1), maker.trade(2, market="ETH_USDT", amount="0.125")])
    maker.journal([maker.depth(3, b'[["10","1"]]', b"[]")])
    return maker.root


def test_csv_has_a_header_and_quotes_only_where_they_are_needed(run, store):
    result = run(
        "sql",
        "SELECT ts_recv, market, price, amount, market_trade_id, date FROM trades"
        " ORDER BY ALL",
        "--store",
        store,
        "--format",
        "csv",
    )

    assert result.exit_code == 0
    assert result.stdout == (
        "ts_recv,market,price,amount,market_trade_id,date\n"
        "2024-05-01T12:00:00.000000001Z,BTC_USDT,100.5,2,,2024-05-01\n"
        "2024-05-01T12:00:00.000000002Z,ETH_USDT,100.5,0.125,,2024-05-01\n"
    )


def test_csv_of_awkward_texts_is_read_back_as_it_was(run, store):
    result = run(
        "sql",
        "SELECT * FROM (VALUES (1, 'a,b'), (2, 'say \"x\"'), (3, ''), (4, NULL),"
        ' (5, E\'two\\nlines\')) AS t(n, "na""me,") ORDER BY n',
        "--store",
        store,
        "--format",
        "csv",
    )

    read = pcsv.read_csv(
        io.BytesIO(result.stdout_bytes),
        parse_options=pcsv.ParseOptions(newlines_in_values=True),
        convert_options=pcsv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert read.to_pydict() == {
        "n": [1, 2, 3, 4, 5],
        'na"me,': ["a,b", 'say "x"', "", None, "two\nlines"],
    }


def test_csv_holds_nested_values_as_json(run, store):
    result = run(
        "sql", "SELECT bids, asks FROM depth", "--store", store, "--format", "csv"
    )

    assert result.stdout == ('bids,asks\n"[{""price"":10.0,""amount"":1.0}]","[]"\n')


def test_json_is_one_array_with_an_object_a_line(run, store):
    result = run(
        "sql",
        "SELECT trade_id, trades.ts_event, bids FROM trades LEFT JOIN depth ON false"
        " ORDER BY trade_id",
        "--store",
        store,
        "--format",
        "json",
    )

    assert msgspec.json.decode(result.stdout) == [
        {"trade_id": 1, "ts_event": "2024-05-01T11:59:59.999999996Z", "bids": None},
        {"trade_id": 2, "ts_event": "2024-05-01T11:59:59.999999997Z", "bids": None},
    ]
    assert result.stdout.splitlines()[0] == "["
    assert len(result.stdout.splitlines()) == 4


def test_json_without_rows_is_an_empty_array(run, store):
    result = run("sql", "FROM klines", "--store", store, "--format", "json")

    assert result.stdout == "[]\n"


def test_json_keeps_large_numbers_whole(run, store):
    result = run(
        "sql",
        "SELECT sum(9223372036854775807) AS h, 1.50::DECIMAL(10,2) AS d, 'nan'::DOUBLE AS n"
        " FROM range(2)",
        "--store",
        store,
        "--format",
        "json",
    )

    assert '"h":18446744073709551614,"d":1.50,"n":null' in result.stdout


def test_parquet_and_arrow_hold_the_same_typed_rows(run, store, tmp_path):
    question = "SELECT * FROM trades ORDER BY trade_id"
    parquet, arrow = tmp_path / "t.parquet", tmp_path / "t.arrow"

    # The ending of the file chooses the format.
    assert run("sql", question, "--store", store, "-o", parquet).exit_code == 0
    assert run("sql", question, "--store", store, "-o", arrow).exit_code == 0

    rows = pq.read_table(parquet)
    with pa.OSFile(str(arrow)) as file:
        assert pa.ipc.open_stream(file).read_all().equals(rows)
    assert rows.schema.field("ts_recv").type == pa.timestamp("ns")
    assert rows["trade_id"].to_pylist() == [1, 2]
    assert rows["ts_recv"].cast(pa.int64()).to_pylist() == [
        1_714_564_800_000_000_001,
        1_714_564_800_000_000_002,
    ]


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_bytes_may_go_into_a_pipe(run, store, format_):
    result = run(
        "sql",
        "SELECT trade_id FROM trades ORDER BY 1",
        "--store",
        store,
        "--format",
        format_,
    )

    content = io.BytesIO(result.stdout_bytes)
    rows = (
        pq.read_table(content)
        if format_ == "parquet"
        else pa.ipc.open_stream(content).read_all()
    )
    assert rows.to_pydict() == {"trade_id": [1, 2]}


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_bytes_do_not_go_to_a_terminal(run, store, format_, monkeypatch):
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)

    result = run("sql", "FROM trades", "--store", store, "--format", format_)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "write it to a file with -o" in result.stderr


def test_the_table_shows_types_of_all_kinds_without_folding(run, store):
    result = run(
        "sql",
        "SELECT trade_id, trades.ts_recv, price, market_trade_id, bids, true AS flag,"
        " 1e-7::DOUBLE AS small, 1e300::DOUBLE AS large, '' AS empty, 1.10::DECIMAL(5,2) AS d"
        " FROM trades, depth WHERE trade_id = 1",
        "--store",
        store,
    )

    lines = result.stdout.splitlines()
    cells = [cell.strip() for cell in lines[3].strip("│").split("│")]
    assert cells == [
        "1",
        "2024-05-01T12:00:00.000000001Z",
        "100.5",
        "null",
        '[{"price":10.0,"amount":1.0}]',
        "true",
        "0.0000001",
        "1e+300",
        "",
        "1.10",
    ]


def test_a_long_table_is_cut_and_says_so(run, store):
    cut = run("sql", "SELECT * FROM range(1001)", "--store", store)
    whole = run("sql", "SELECT * FROM range(1000)", "--store", store)

    assert "│   999 │" in cut.stdout
    assert "│  1000 │" not in cut.stdout
    assert "Only the first 1000 rows are shown" in cut.stderr
    assert "│   999 │" in whole.stdout
    assert whole.stderr == ""


def test_a_table_can_go_into_a_file(run, store, tmp_path):
    path = tmp_path / "t.txt"

    result = run("sql", "SELECT 42 AS x", "--store", store, "-o", path)

    assert result.stdout == ""
    assert "│ 42 │" in path.read_text("utf-8")


def test_a_file_that_exists_is_kept_unless_forced(run, store, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")

    refused = run("sql", "SELECT 1 AS x", "--store", store, "-o", path)
    kept = path.read_text()
    forced = run("sql", "SELECT 1 AS x", "--store", store, "-o", path, "--force")

    assert refused.exit_code == 2
    assert (
        refused.stderr == f"Error: {path} exists; choose another -o, or add --force\n"
    )
    assert kept == "old"
    assert forced.exit_code == 0
    assert path.read_text() == "x\n1\n"


def test_a_query_that_fails_half_way_leaves_no_file(run, store, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    question = (
        "SELECT (CASE WHEN range = 900000 THEN 'z' ELSE '1' END)::INTEGER"
        " FROM range(1000000)"
    )

    result = run("sql", question, "--store", store, "-o", folder / "x.csv")

    assert result.exit_code == 1
    assert "Could not convert string 'z'" in result.stderr
    assert list(folder.iterdir()) == []


def test_a_bad_query_is_one_sentence_and_exit_code_1(run, store):
    result = run("sql", "SELECT nothing FROM trades", "--store", store)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: Binder Error: ")


def test_a_format_that_is_not_offered_is_wrong_usage(run, store):
    assert run("sql", "SELECT 1", "--store", store, "--format", "xml").exit_code == 2


def test_a_table_that_is_not_there_is_answered_with_those_that_are(run, store):
    result = run("sql", "FROM trade", "--store", store)

    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: Catalog Error: Table with name trade does not exist!"
    )
    assert "Did you mean" not in result.stderr
    names = result.stderr.rpartition("The tables of a store are ")[2]
    assert names.partition(";")[0].split(", ") == [
        *TABLES,
        "gaps_log",
        "depth_levels",
        "klines_final",
        "outages",
        "trades_dedup",
    ]


def test_another_mistake_is_not_answered_with_tables(run, store):
    result = run("sql", "SELECT nothing FROM trades", "--store", store)

    assert result.exit_code == 1
    assert "nothing" in result.stderr
    assert "The tables of a store" not in result.stderr


@pytest.mark.parametrize("question", ["", "  \n"])
def test_no_question_is_wrong_usage(run, store, question):
    result = run("sql", question, "--store", store)

    assert result.exit_code == 2
    assert "the SQL is empty" in result.stderr


def test_a_file_that_cannot_be_made_is_a_result_that_cannot_be_written(
    run, store, tmp_path
):
    path = tmp_path / "no" / "x.csv"

    result = run("sql", "SELECT 1 AS x", "--store", store, "-o", path)

    assert result.exit_code == 1
    assert result.stderr == f"Error: cannot write {path}: No such file or directory\n"


@pytest.mark.parametrize(
    ("name", "format_"), [("x.parquet", "csv"), ("x.csv", "table"), ("X.JSON", "arrow")]
)
def test_a_file_is_not_named_as_another_format(run, store, tmp_path, name, format_):
    path = tmp_path / name
    words = ("sql", "SELECT 1 AS x", "--store", store, "-o", path)

    result = run(*words, "--format", format_)

    assert result.exit_code == 2
    assert f"but --format is {format_}; change one" in result.stderr
    assert not path.exists()


def test_a_named_stdout_is_stdout_whatever_it_is(run_process, run, store, tmp_path):
    words = ("sql", "SELECT 1 AS x", "--store", store, "--format", "csv")
    path = tmp_path / "redirected"

    pipe = run_process(*words, "-o", "/dev/stdout")
    with path.open("w") as file:
        code = subprocess.run(
            [sys.executable, "-c", "from recorder.cli import main; main()"]
            + [str(word) for word in (*words, "-o", "/dev/stdout")],
            stdout=file,
            timeout=60,
            check=False,
        ).returncode

    assert (pipe.returncode, pipe.stdout, pipe.stderr) == (0, "x\n1\n", "")
    assert (code, path.read_text()) == (0, "x\n1\n")


def test_a_device_is_written_as_it_is(run, store):
    result = run("sql", "SELECT 1 AS x", "--store", store, "-o", "/dev/null")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert Path("/dev/null").is_char_device()
