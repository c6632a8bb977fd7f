"""What several commands refuse, or understand, alike."""

import shutil

import pytest


BOOK = ("--source", "gate_spot", "--market", "BTC_USDT")


@pytest.fixture
def store(maker):
    maker.segment(
        [
            maker.depth(1, b'[["10","1"]]', b'[["11","2"]]', is_snapshot=True),
            maker.depth(2, b'[["10.5","3"]]', b"[]"),
        ]
    )
    return maker.root


@pytest.mark.parametrize(
    "words",
    [
        ("capture", "gate_spot", "-m", "A", "-s", "trades", "--duration", "1s"),
        ("sql", "SELECT 1"),
        ("book", *BOOK),
        ("bbo", *BOOK),
        ("replay",),
        ("info",),
        ("recover",),
    ],
)
def test_a_store_that_cannot_be_is_wrong_usage_for_every_command(
    run, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")

    nameless = run(*words, "--store", "")
    below_a_file = run(*words, "--store", tmp_path / "file" / "a" / "b")
    too_long = run(*words, "--store", "x" * 300)

    assert nameless.exit_code == below_a_file.exit_code == too_long.exit_code == 2
    assert "the name of the folder is missing" in nameless.stderr
    assert f"{tmp_path / 'file'} is a file, so " in below_a_file.stderr
    assert "File name too long" in too_long.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("words", [("bbo", *BOOK), ("replay",)])
def test_a_range_that_ends_before_it_starts_is_wrong_usage(run, store, words):
    result = run(*words, "--from", "2024-05-02", "--to", "2024-05-01", "--store", store)

    assert result.exit_code == 2
    assert result.stderr == (
        "Error: --from 2024-05-02T00:00:00.000000000Z lies after "
        "--to 2024-05-01T00:00:00.000000000Z\n"
    )


@pytest.mark.parametrize("words", [("bbo", *BOOK), ("replay",)])
def test_a_range_without_any_time_is_just_empty(run, store, words):
    result = run(*words, "--from", "2024-05-01", "--to", "2024-05-01", "--store", store)

    assert result.exit_code == 0


@pytest.mark.parametrize(
    "words", [("sql", "SELECT 1"), ("bbo", *BOOK), ("markets", "gate_spot")]
)
@pytest.mark.parametrize("name", ["x.nope", "x", ".csv"])
def test_a_file_whose_ending_names_no_format_is_wrong_usage(
    run, store, tmp_path, words, name
):
    where = () if words[0] == "markets" else ("--store", store)

    result = run(*words, "-o", tmp_path / name, *where)

    assert result.exit_code == 2
    assert f"the ending of {tmp_path / name} names no format" in result.stderr
    assert "add --format with one of " in result.stderr
    assert not (tmp_path / name).exists()


def test_a_format_that_is_given_needs_no_ending(run, store, tmp_path):
    path = tmp_path / "x.nope"

    result = run(
        "sql", "SELECT 1 AS x", "--format", "csv", "-o", path, "--store", store
    )

    assert result.exit_code == 0
    assert path.read_text() == "x\n1\n"


def test_an_ending_may_be_in_capitals(run, store, tmp_path):
    path = tmp_path / "X.CSV"

    run("sql", "SELECT 1 AS x", "-o", path, "--store", store)

    assert path.read_text() == "x\n1\n"


def test_a_dash_is_stdout(run, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("sql", "SELECT 1 AS x", "--format", "csv", "--store", store)

    named, bare = run(*words, "-o", "-"), run(*words)

    assert named.exit_code == 0
    assert named.stdout == bare.stdout == "x\n1\n"
    assert not (tmp_path / "-").exists()


def test_a_file_without_a_name_is_wrong_usage(run, store):
    result = run("sql", "SELECT 1", "-o", "", "--store", store)

    assert result.exit_code == 2
    assert "-o wants the name of a file, or - for stdout" in result.stderr


@pytest.mark.parametrize("command", ["book", "bbo"])
def test_a_stream_may_be_named_as_it_was_for_the_capture(run, store, command):
    words = (command, *BOOK, "--format", "json", "--store", store, "--stream")

    short, full = run(*words, "depth"), run(*words, "depth:100ms")

    assert short.exit_code == full.exit_code == 0
    assert short.stdout == full.stdout


@pytest.mark.parametrize("stream", ["depth:20ms", "depth:nonsense", "trades"])
def test_a_stream_that_was_not_recorded_names_those_that_were(run, store, stream):
    result = run("book", *BOOK, "--stream", stream, "--store", store)

    assert result.exit_code == 2
    assert f"has no stream '{stream}' recorded; it has depth:100ms" in result.stderr


def test_the_stream_of_a_source_that_is_not_installed_is_taken_as_it_is(run, maker):
    maker.segment(
        [maker.depth(1, b'[["10","1"]]', b'[["11","2"]]', is_snapshot=True)],
        source="elsewhere",
    )
    words = ("--source", "elsewhere", "--market", "BTC_USDT", "--store", maker.root)

    found = run("book", *words, "--stream", "depth:100ms")
    unknown = run("book", *words, "--stream", "depth")

    assert found.exit_code == 0
    assert unknown.exit_code == 2
    assert "it has depth:100ms" in unknown.stderr


@pytest.mark.parametrize(
    "words", [("info",), ("recover",), ("sql", "FROM trades"), ("replay",)]
)
def test_a_folder_that_is_no_store_is_wrong_usage_and_left_alone(run, tmp_path, words):
    (tmp_path / "letters").mkdir()

    result = run(*words, "--store", tmp_path)

    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {tmp_path} holds other things than a store; "
        "give the folder of a capture as --store\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_a_store_that_was_copied_without_its_inner_folder_can_be_read(run, maker):
    maker.segment([maker.trade(1)])
    shutil.rmtree(maker.root / ".recorder", ignore_errors=True)

    question = "SELECT count(*) AS n FROM trades"
    result = run("sql", question, "--format", "csv", "--store", maker.root)

    assert result.stdout == "n\n1\n"
    assert run("info", "--store", maker.root).exit_code == 0
    assert run("recover", "--store", maker.root).exit_code == 0
