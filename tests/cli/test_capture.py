"""`recorder capture` as it is typed: what it says, and its exit codes."""

import inspect
import os
import re
import shlex
import signal
import time
from pathlib import Path

import msgspec
import pytest

from recorder.cli import capture as module
from recorder.sources import load, names
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.run import open_run
from recorder.store.writer import Writer


def rows_of(root, table):
    return plain_rows(open_listing(root).read(table))


# What can be asked for


def test_the_help_lists_what_every_source_offers(run):
    result = run("capture", "--help")

    assert result.exit_code == 0
    for name in names():
        source = load(name)
        assert f"\n{name}: {source.doc}\n" in result.output
        for kind in source.streams:
            assert f"  {kind.name:<8} {kind.doc}" in result.output
            for parameter in kind.parameters:
                assert f"{kind.name}:{parameter}" in result.output
        for option in source.options:
            assert f"-O {option.name}=" in result.output
    for switch in ("--duration", "--until", "--job", "--archive", "--json-logs"):
        assert switch in result.output


def test_the_examples_of_the_help_are_legal(run):
    lines = run("capture", "--help").output.splitlines()
    examples = [line.split()[2:] for line in lines if "  recorder capture " in line]

    for words in examples:
        result = run("capture", *words, "--duration", "nothing")

        assert "not a length of time: 'nothing'" in result.stderr
    assert len(examples) == 2


def test_options_with_their_choices_are_part_of_the_help(fake_options):
    assert "  -O settle=usdt|btc  Currency." in fake_options
    assert "  -O note=...  Any text." in fake_options


@pytest.fixture
def fake_options():
    option = msgspec.defstruct("O", ["name", "doc", ("choices", tuple, ())])
    source = load("gate_spot")
    settle = option("settle", "Currency.", ("usdt", "btc"))
    return module._offer(
        msgspec.structs.replace(source, options=(settle, option("note", "Any text.")))
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--duration", "soon"], "not a length of time: 'soon'"),
        (["--duration", "0s"], "--duration must be longer than nothing"),
        (["--until", "noon"], "not a time: 'noon'"),
        (["--until", "2020-01-01"], "--until 2020-01-01T00:00:00.000000000Z is over"),
        (
            ["--until", "2200-01-01", "--duration", "1s"],
            "--duration and --until both say when to stop; give one",
        ),
        (["--store", ""], "Invalid value for '--store': the name of the folder"),
        (["--store", "a" * 300], "File name too long"),
        (["--flush", "1h"], "--flush must lie between 50ms and 1m"),
        (["--rotate", "1d", "--rotate", "2d"], "--rotate must lie between 1s and 24h"),
        (["-O", "settle"], "-O wants KEY=VALUE, not 'settle'"),
        (["-O", "settle=usdt"], "has no option 'settle'"),
        (["-s", "quotes"], "has no stream 'quotes'; it has "),
        (["-s", "klines:2m"], "has no parameter '2m'; legal are "),
        (["-m", "A\tB"], "is not the name of a market"),
        (["--job", " "], "--job needs a name"),
        (
            ["--ws-url", "localhost"],
            "--ws-url wants an address that starts with ws:// or wss://",
        ),
        (["--rest-url", "ftp://x"], "--rest-url wants an address"),
        (["--nonsense"], "No such option"),
    ],
)
def test_what_cannot_be_recorded_is_wrong_usage(run, words, tmp_path, more, message):
    result = run(*words(*more))

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["capture", "nobody", "-m", "A", "-s", "trades"], "no source 'nobody'"),
        (["capture", "gate_spot", "-s", "trades"], "name at least one market with -m"),
        (["capture", "gate_spot", "-m", "A"], "Missing option '-s'"),
        (["capture"], "Missing argument 'SOURCE'"),
    ],
)
def test_what_is_missing_is_said(run, typed, message):
    result = run(*typed)

    assert result.exit_code == 2
    assert message in result.stderr


# Exit codes of runs


def test_a_run_that_did_what_it_was_told_ends_in_0(run, words, tmp_path):
    result = run(*words("--duration", "1s", streams=("trades", "depth")))

    assert result.exit_code == 0
    assert result.stdout == ""
    assert " recording " in result.stderr
    assert " stopped " in result.stderr
    assert 'why="as told"' in result.stderr
    covered = {row["stream"] for row in rows_of(tmp_path / "store", "coverage")}
    assert covered == {"trades", "depth:100ms"}


def test_a_run_ends_at_the_time_it_was_told(run, words):
    for seconds in (2, 10, 60):  # a busy machine may not get ready in two
        until_s = time.time_ns() // 10**9 + seconds
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until_s))

        result = run(*words("--until", moment))

        assert time.time_ns() >= until_s * 10**9
        if result.exit_code == 0:
            break
    assert result.exit_code == 0
    assert 'why="as told"' in result.stderr


def test_one_refused_market_among_others_ends_in_1(run, words):
    result = run(*words("--duration", "800ms", markets=("BTC_USDT", "NOPE_USDT")))

    assert result.exit_code == 1
    refusals = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(refusals) == 1
    assert refusals[0].startswith("Error: the venue refused trades of NOPE_USDT: ")
    assert refusals[0].endswith("` lists what it has")


def test_what_a_refusal_advises_can_be_typed_as_it_is(run, words, venue):
    refused = run(*words(markets=("NOPE_USDT",)))
    advised = re.search("`(recorder markets .*)` lists what it has", refused.stderr)[1]

    listed = run(*shlex.split(advised)[1:], "--format", "csv")

    assert listed.exit_code == 0
    assert "BTC_USDT" in listed.stdout


def test_what_a_refusal_advises_names_the_options(run, words, venue):
    inverse = venue.ws_url.replace("/ws/v4/", "/v4/ws/btc")
    rest = venue.rest_url.replace("//", "//me:s3cret@")
    options = ("-O", "settle=btc", "--ws-url", inverse, "--rest-url", rest)

    refused = run(*words(*options, source="gate_futures", markets=("BTC_USDT",)))

    advised = f"recorder markets gate_futures -O settle=btc --rest-url {venue.rest_url}"
    assert f"`{advised}` lists what it has" in refused.stderr
    assert "s3cret" not in refused.stderr


def test_nothing_but_refused_markets_ends_in_2_at_once(run, words):
    result = run(*words("--duration", "1h", markets=("NOPE_USDT", "NIX_USDT")))

    assert result.exit_code == 2
    assert 'why="the venue refused all that was asked for"' in result.stderr
    assert "the venue refused trades of NIX_USDT" in result.stderr


def test_a_refused_stream_without_markets_is_told_without_one(run, words):
    asked = {"source": "gate_announcements", "streams": ("status",), "markets": ()}

    result = run(*words("--duration", "1h", **asked))  # it is the address of another

    assert result.exit_code == 2
    said = "the venue refused status:summary_all: Unknown channel announcement."
    assert f"Error: {said}summary_all\n" in result.stderr


def test_a_venue_that_is_never_reached_ends_in_1(run, words):
    result = run(*words("--duration", "300ms", "--ws-url", "ws://127.0.0.1:9/"))

    assert result.exit_code == 1
    assert (
        "Error: the venue was never reached: cannot connect to ws://127.0.0.1:9/"
        in result.stderr
    )


def test_a_venue_that_shuts_the_door_ends_in_1_at_once(run, words, venue):
    result = run(*words("--duration", "1h", "--ws-url", f"{venue.ws_url}nothing"))

    assert result.exit_code == 1
    assert (
        "answered the WebSocket request with HTTP 404; check --ws-url" in result.stderr
    )


def test_a_job_that_runs_already_ends_in_75(run, words, tmp_path):
    holder = open_run(
        tmp_path / "store", job="nightly", source="gate_spot", now_ns=10**18
    )

    result = run(*words("--duration", "1s", "--job", "nightly"))
    holder.release()

    assert result.exit_code == 75
    assert result.stderr.startswith(
        f"Error: job 'nightly' is already running (run {holder.id}, process {os.getpid()}"
    )


def test_a_store_that_is_a_file_is_said_in_one_sentence(run, words, tmp_path):
    (tmp_path / "store").write_text("mine")

    result = run(*words("--duration", "1s"))

    assert result.exit_code == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert errors == [
        f"Error: the store {tmp_path / 'store'} is a file; choose another --store"
    ]
    assert (tmp_path / "store").read_text() == "mine"


@pytest.fixture
def read_only(tmp_path):
    """A folder in which nobody can write, not even root."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        folder = Path("/sys/kernel")
    if not folder.is_dir():
        pytest.skip("root may write anywhere here")
    return folder


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(run, words, read_only):
    result = run(*words("--duration", "1s", "--store", read_only / "store"))

    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert f"cannot write to the store {read_only / 'store'}" in errors[0]
    assert "Traceback" not in result.output


def test_logs_can_be_json(run, words):
    result = run(*words("--duration", "500ms", "--json-logs"))

    lines = [msgspec.json.decode(line) for line in result.stderr.splitlines()]
    events = [line["event"] for line in lines]
    assert events[0] == "CaptureStarted"
    assert events[-1] == "CaptureStopped"
    assert lines[0]["facts"]["source"] == "gate_spot"


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(start, words, tmp_path, number):
    process = start(*words(streams=("trades", "depth")))
    for line in process.stderr:
        if " subscribed " in line and "depth" in line:
            break
    time.sleep(0.7)

    process.send_signal(number)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 0
    assert "Traceback" not in err
    root = tmp_path / "store"
    assert not list(root.glob(".recorder/journals/**/*.arrow"))
    assert not list(root.glob(".recorder/runs/*"))
    assert {row["market"] for row in rows_of(root, "depth")} == {"BTC_USDT"}
    stopped = [
        (gap.stream, gap.ended_at)
        for gap in newest_revisions(rows_of(root, "gaps"))
        if gap.reason == "process_stopped"
    ]
    assert sorted(stopped) == [("depth:100ms", None), ("trades", None)]
    ends = {row["ended_at"] for row in rows_of(root, "coverage")}
    assert ends == {
        gap.started_at
        for gap in newest_revisions(rows_of(root, "gaps"))
        if gap.reason == "process_stopped"
    }


def test_a_signal_while_a_run_gets_ready_ends_it_too(run, words, monkeypatch):
    original = module.Capture

    def slow(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **options)

    monkeypatch.setattr(module, "Capture", slow)

    result = run(*words("--duration", "1h"))

    assert result.exit_code == 0
    assert 'why="as told"' in result.stderr


def test_a_run_without_the_time_to_connect_ends_in_1(run, words, monkeypatch):
    monkeypatch.setattr(module, "wall_ns", lambda: 0)

    result = run(*words("--until", "2020-01-01"))

    assert result.exit_code == 1
    assert "never reached: there was no time to connect" in result.stderr


def test_errors_are_json_as_well(run, words, tmp_path):
    refused = run(*words("--duration", "1s", "--json-logs", markets=("NOPE_USDT",)))
    wrong = run(*words("--duration", "soon", "--json-logs"))
    missing = run("capture", "gate_spot", "--json-logs")
    unreached = run(
        *words("--duration", "300ms", "--ws-url", "ws://127.0.0.1:9/", "--json-logs")
    )

    assert [r.exit_code for r in (refused, wrong, missing, unreached)] == [2, 2, 2, 1]
    ends = [
        msgspec.json.decode(result.stderr.splitlines()[-1])
        for result in (refused, wrong, missing, unreached)
    ]
    assert {(end["level"], end["event"]) for end in ends} == {
        ("error", "CommandFailed")
    }
    whys = [end["facts"]["why"] for end in ends]
    assert whys[0].startswith("the venue refused trades of NOPE_USDT: ")
    assert whys[1].startswith("not a length of time: 'soon'")
    assert whys[2] == "Missing option '-s' / '--stream'."
    assert whys[3].startswith("the venue was never reached: ")


def test_the_help_says_how_small_a_table_waits_to_become_parquet(run):
    words = " ".join(run("capture", "--help").output.split())
    small = inspect.signature(Writer).parameters["small_bytes"].default

    assert small % (1 << 20) == 0
    assert f"a table with less than {small >> 20} MiB waits until midnight" in words
