import msgspec
import pytest


@pytest.fixture
def store(maker):
    """Trades whose ledger speaks of them, and then nobody records."""
    maker.segment([maker.trade(n) for n in range(5, 50)])
    maker.segment([maker.coverage(60)])
    opened = {"stream": "trades", "reason": "process_stopped"}
    maker.segment(
        [maker.gap(61, f"{_run(maker)}.1", started_at=maker.noon + 60, **opened)]
    )
    return maker.root


def _run(maker):
    return "20240501T120000-abcdef"


def test_a_clean_store_is_told_so(run, store):
    result = run("verify", "--store", store)

    assert result.exit_code == 0
    assert "3 files, 47 rows, 1 account, 0 books" in result.stdout
    assert "Nothing is wrong." in result.stdout


def test_what_is_wrong_is_told_with_what_to_do(run, store):
    next(store.glob("trades/*/*/*.parquet")).write_bytes(b"PAR1")

    result = run("verify", "--store", store)

    assert result.exit_code == 1
    assert "error unreadable_file: files that cannot be read (1)" in result.stdout
    assert "What to do: Restore the file from a copy" in result.stdout
    assert "trades/source=gate_spot/date=2024-05-01/" in result.stdout
    assert "1 error, 0 warnings." in result.stdout


def test_advice_names_the_store(run, maker, store):
    maker.journal([maker.depth(5, b"[]", b"[]")])

    result = run("verify", "--store", store)

    assert f"recorder recover --store {store}" in result.stdout


def test_json_has_every_finding(run, store):
    (store / "notes.txt").write_text("x")
    next(store.glob("coverage/*/*/*.parquet")).unlink()

    result = run("verify", "--store", store, "--json")

    content = msgspec.json.decode(result.stdout)
    kinds = {finding["kind"]: finding for finding in content["findings"]}
    assert result.exit_code == 1
    assert set(kinds) == {"no_ledger", "missing_file", "foreign_file"}
    assert kinds["foreign_file"]["severity"] == "warning"
    assert kinds["no_ledger"]["started_at"] == "2024-05-01T12:00:00.000000005Z"
    assert (content["errors"], content["warnings"]) == (2, 1)
    assert content["kinds"]["missing_file"]["advice"]


def test_warnings_alone_do_not_fail(run, store):
    (store / "notes.txt").write_text("x")

    result = run("verify", "--store", store)

    assert result.exit_code == 0
    assert "0 errors, 1 warning." in result.stdout


def test_no_store_is_wrong_usage(run, tmp_path):
    result = run("verify", "--store", tmp_path / "none")

    assert result.exit_code == 2
    assert "there is no store" in result.stderr


def test_a_range_that_ends_before_it_begins_is_wrong_usage(run, store):
    result = run(
        "verify", "--store", store, "--from", "2024-05-02", "--to", "2024-05-01"
    )

    assert result.exit_code == 2
