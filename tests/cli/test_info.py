import msgspec
import pytest

from recorder.store.run import open_run


@pytest.fixture
def store(maker):
    maker.segment([maker.trade(n) for n in range(1234)])
    maker.journal([maker.depth(5, b"[]", b"[]")])
    markets = [f"M{n}_USDT" for n in range(7)]
    jobs = ["job", "a.trades", "b", *["job"] * 4]
    maker.segment(
        [
            maker.coverage(90, market=market, job=job)
            for market, job in zip(markets, jobs, strict=True)
        ]
    )
    maker.segment([maker.coverage(60, market=None, stream="status")])
    maker.segment([maker.gap(9, "a", ended_at=maker.noon + 2_500_000_000)])
    return maker.root


def cells(line):
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_info_shows_tables_streams_and_gaps(run, store):
    result = run("info", "--store", store)

    rows = [cells(line) for line in result.stdout.splitlines() if line[0] == "│"]
    assert result.exit_code == 0
    assert result.stdout.startswith(f"store {store}: ")
    noon = "2024-05-01T12:00:00Z"
    assert [row[:3] for row in rows[:4]] == [
        ["gate_spot", "coverage", "8"],
        ["gate_spot", "depth", "1"],
        ["gate_spot", "gaps_log", "1"],
        ["gate_spot", "trades", "1,234"],
    ]
    assert rows[3][4:] == ["1", noon, noon]
    assert [
        "gate_spot",
        "status",
        "(none)",
        "job",
        noon,
        noon,
    ] in rows
    assert [
        "gate_spot",
        "trades",
        "M0_USDT, M1_USDT, M2_USDT, M3_USDT, M4_USDT and 2 more",
        "a.trades, b and 1 more",
        noon,
        noon,
    ] in rows
    assert rows[-1] == ["gate_spot", "rows", "connect_lost", "1", "0", "0", "2.5"]


def test_info_as_json_has_the_same_with_all_markets(run, store):
    result = run("info", "--store", store, "--format", "json")

    content = msgspec.json.decode(result.stdout)
    assert content["path"] == str(store)
    assert [table["rows"] for table in content["tables"]] == [8, 1, 1, 1234]
    assert content["tables"][3]["last_ts_recv"] == "2024-05-01T12:00:00.000001233Z"
    assert content["streams"][1]["markets"] == [f"M{n}_USDT" for n in range(7)]
    assert content["streams"][1]["ended_at"] == "2024-05-01T12:00:00.000000090Z"
    assert content["gaps"][0]["seconds"] == 2.5


def test_info_of_an_empty_store_says_what_to_do(run, maker):
    result = run("info", "--store", maker.root)

    assert result.exit_code == 0
    assert "0 B on disk" in result.stdout
    assert "recorder capture --help" in result.stdout


def test_info_says_when_there_are_no_gaps(run, maker):
    maker.segment([maker.trade(1)])

    assert "No gaps." in run("info", "--store", maker.root).stdout


def test_info_says_which_run_died_until_it_is_recovered(run, maker):
    maker.segment([maker.trade(1)])
    kinds = ("alive", "ended", "dead")
    runs = {
        job: open_run(maker.root, job=job, source="gate_spot", now_ns=maker.noon)
        for job in kinds
    }
    runs["ended"].release()
    runs["dead"].abandon()
    told = (
        f"Run {runs['dead'].id} of job dead died; it was last alive at "
        "2024-05-01T12:00:00.000000000Z."
    )

    died = run("info", "--store", maker.root)
    as_json = run("info", "--store", maker.root, "--format", "json")
    run("recover", "--store", maker.root)
    recovered = run("info", "--store", maker.root)
    runs["alive"].release()

    assert told in died.stdout
    assert died.stdout.count(" died; ") == 1
    assert f"recorder recover --store {maker.root} " in died.stdout
    assert "No gaps." not in died.stdout
    assert msgspec.json.decode(as_json.stdout)["died"] == [
        {
            "run": runs["dead"].id,
            "job": "dead",
            "source": "gate_spot",
            "last_alive_at": "2024-05-01T12:00:00.000000000Z",
        }
    ]
    assert " died; " not in recovered.stdout
    assert "No gaps." in recovered.stdout


def test_info_of_a_store_without_rows_tells_of_its_dead_run_too(run, maker):
    open_run(maker.root, job="dead", source="gate_spot", now_ns=maker.noon).abandon()

    assert "of job dead died" in run("info", "--store", maker.root).stdout


def test_info_of_a_store_that_does_not_exist_is_wrong_usage(run, tmp_path):
    result = run("info", "--store", tmp_path / "none")

    assert result.exit_code == 2
    assert "there is no store" in result.stderr


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**12, "5.0 TB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_short(count, text):
    from recorder.cli.info import _size

    assert _size(count) == text
