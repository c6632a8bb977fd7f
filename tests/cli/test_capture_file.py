"""`recorder capture --config`: several feeds in one process, as it is typed."""

import io
import os
import signal
import threading

import msgspec
import pytest
from rich.console import Console

from recorder.cli import live
from recorder.store.job_lock import take_job, tell_of_many
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows


@pytest.fixture
def write(venue, tmp_path):
    """Write a file of feeds that are recorded from the local exchange."""

    def write(*feeds, head='flush = "100ms"\n'):
        tables = []
        for feed in feeds:
            is_v3 = feed.get("source") == "gate_v3"
            ws_url = venue.ws_url.replace("/ws/v4", "/v3") if is_v3 else venue.ws_url
            facts = {
                "source": "gate_spot",
                "markets": ["BTC_USDT"],
                "streams": ["trades"],
                "ws_url": ws_url,
                "rest_url": venue.rest_url,
                **feed,
            }
            # Texts and lists of texts look the same in JSON and in TOML.
            lines = [
                f"{k} = {msgspec.json.encode(v).decode()}" for k, v in facts.items()
            ]
            tables.append("\n".join(["[[source]]", *lines, ""]))
        path = tmp_path / "jobs.toml"
        path.write_text("\n".join([head, *tables]))
        return path

    return write


SPOT = {"name": "spot", "streams": ["trades", "depth"]}
OLD = {"name": "old", "source": "gate_v3", "markets": ["*_USDT"]}


def rows_of(root, table):
    return plain_rows(open_listing(root).read(table))


def errors(result):
    return [line for line in result.stderr.splitlines() if line.startswith("Error")]


def test_all_feeds_of_a_file_are_recorded(run, write, tmp_path):
    result = run("capture", "--config", write(SPOT, OLD), "--duration", "2s")

    assert result.exit_code == 0, result.stderr
    assert errors(result) == []
    covered = {
        (row["job"], row["stream"], row["market"])
        for row in rows_of(tmp_path / "data", "coverage")
    }
    assert covered == {
        ("jobs.spot", "trades", "BTC_USDT"),
        ("jobs.spot", "depth:100ms", "BTC_USDT"),
        *(("jobs.old", "trades", f"{base}_USDT") for base in ("BTC", "ETH", "GT")),
    }
    lines = [line for line in result.stderr.splitlines() if " connected " in line]
    assert {word for line in lines for word in line.split() if "feed=" in word} == {
        "feed=spot",
        "feed=old",
    }


def test_the_command_line_stands_above_the_file(run, write, tmp_path):
    path = write(SPOT, head='store = "rows"\nflush = "1s"\narchive = false\n')
    words = ("--store", tmp_path / "else", "--job", "mine", "--archive")

    result = run("capture", "--config", path, "--duration", "1s", *words)

    assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "rows").exists()
    assert rows_of(tmp_path / "else", "frames")
    assert {r["job"] for r in rows_of(tmp_path / "else", "coverage")} == {"mine.spot"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["gate_v3"], "--config says what is recorded, so leave out source"),
        (["-m", "A", "-s", "trades"], "so leave out -m, -s"),
        (["-O", "a=b", "--ws-url", "ws://x"], "so leave out -O, --ws-url"),
        (["--job", " "], "--job needs a name"),
        (["--flush", "1h"], "--flush must lie between 50ms and 1m"),
        (["--renew", "10ms"], "--renew must lie between 1s and 365d"),
        (["--rotate", "0s"], "--rotate must lie between 1s and 24h"),
        (["--duration", "0s"], "--duration must be longer than nothing"),
        (["--until", "2020-01-01"], "is over; give a time to come"),
    ],
)
def test_what_cannot_be_said_besides_a_file_is_wrong_usage(
    run, write, tmp_path, more, message
):
    result = run("capture", "--config", write(SPOT), *more)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "data").exists()


def test_one_feed_that_is_refused_among_others_ends_in_1(run, write, tmp_path):
    bad = {"name": "bad", "markets": ["NOPE_USDT"]}

    result = run("capture", "--config", write(bad, SPOT), "--duration", "2s")

    assert result.exit_code == 1
    (error,) = errors(result)
    assert error.startswith("Error: bad: the venue refused trades of NOPE_USDT: ")
    (ended,) = [x for x in result.stderr.splitlines() if "not recorded any more" in x]
    assert " ERROR " in ended
    assert "feed=bad" in ended
    covered = {row["job"] for row in rows_of(tmp_path / "data", "coverage")}
    assert covered == {"jobs.spot"}


def test_keys_that_are_not_accepted_end_in_2_whatever_else_went_well(
    run, write, tmp_path, monkeypatch
):
    monkeypatch.setenv("GATE_API_KEY", "nobody-knows-this-key")
    monkeypatch.setenv("GATE_API_SECRET", "nor-this-secret")
    ours = OLD | {"markets": ["BTC_USDT"], "streams": ["trades", "orders"]}

    result = run("capture", "--config", write(SPOT, ours), "--duration", "2s")

    assert result.exit_code == 2
    (error,) = errors(result)
    assert error.startswith(
        "Error: old: nothing of orders of BTC_USDT was recorded: the key"
    )
    covered = {
        (row["job"], row["stream"]) for row in rows_of(tmp_path / "data", "coverage")
    }
    assert ("jobs.old", "trades") in covered
    assert ("jobs.spot", "trades") in covered


def test_a_handshake_refused_for_its_key_ends_in_2_whatever_else_went_well(
    run, write, venue, tmp_path, monkeypatch
):
    monkeypatch.setenv("CRYPTOLISTING_API_KEY", f"dsk_{'0' * 64}")
    root = venue.ws_url.replace("ws/v4/", "")
    path = write(SPOT)
    path.write_text(
        f'{path.read_text()}\n[[source]]\nsource = "cryptolisting"\n'
        f'streams = ["status"]\nws_url = "{root}"\n'
    )

    result = run("capture", "--config", path, "--duration", "2s")

    assert result.exit_code == 2
    (error,) = errors(result)
    assert error.startswith("Error: cryptolisting: nothing of status was recorded: ")
    assert "set CRYPTOLISTING_API_KEY to a good one" in error
    covered = {row["job"] for row in rows_of(tmp_path / "data", "coverage")}
    assert covered == {"jobs.spot"}


def test_nothing_but_refused_feeds_ends_in_2_at_once(run, write):
    bad = [{"name": name, "markets": ["NOPE_USDT"]} for name in ("a", "b")]

    result = run("capture", "--config", write(*bad), "--duration", "1h")

    assert result.exit_code == 2
    assert len(errors(result)) == 2


def test_a_feed_without_a_venue_is_told_of_and_ends_in_1(run, write):
    nowhere = {"name": "nowhere", "ws_url": "ws://127.0.0.1:9/"}

    result = run("capture", "--config", write(SPOT, nowhere), "--duration", "1s")

    assert result.exit_code == 1
    (error,) = errors(result)
    assert error.startswith("Error: nowhere: the venue was never reached: cannot")


def test_logs_may_be_json_and_name_the_feed(run, write):
    bad = {"name": "bad", "markets": ["*_EUR"]}

    result = run(
        *("capture", "--config", write(SPOT, bad), "--duration", "1s", "--json-logs")
    )

    lines = [msgspec.json.decode(line) for line in result.stderr.splitlines()]
    assert result.exit_code == 1
    assert {line.get("feed") for line in lines[:-1]} == {"spot", "bad"}
    assert lines[-1]["event"] == "CommandFailed"
    assert lines[-1]["facts"]["why"].startswith("bad: none of the 3 markets that")


def test_a_second_start_ends_in_75_and_touches_nothing(run, write, tmp_path):
    path = write(OLD, {"name": "lost", "rest_url": "http://127.0.0.1:9"})
    lock = take_job(tmp_path / "data", "jobs")
    tell_of_many(lock, 10**18)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*")}

    result = run("capture", "--config", path, "--duration", "1h")
    lock.release()

    assert result.exit_code == 75
    assert result.stderr == (
        f"Error: job 'jobs' is already running (process {os.getpid()}, since "
        "2001-09-09T01:46:40Z); stop that run, or choose another --job\n"
    )
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "data").rglob("*")} == before


def test_a_feed_whose_job_runs_by_itself_is_left_to_that(run, write, tmp_path):
    lock = take_job(tmp_path / "data", "jobs.old")

    result = run("capture", "--config", write(SPOT, OLD), "--duration", "1s")
    lock.release()

    assert result.exit_code == 1
    (error,) = errors(result)
    assert error.startswith("Error: old: job 'jobs.old' is already running")


def test_a_terminal_shows_a_line_for_each_feed(run, write, monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    monkeypatch.setattr(live, "Console", lambda **_: console)

    run("capture", "--config", write(SPOT, OLD), "--duration", "1500ms")

    rows = [line.split() for line in screen.getvalue().splitlines()]
    assert [row[0] for row in rows if row[:1] == ["spot"] and "1/1" in row]
    assert [row[0] for row in rows if row[:1] == ["old"] and "1/1" in row]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_feeds_in_order(start, write, tmp_path, number):
    process = start("capture", "--config", write(SPOT, OLD), "--json-logs")
    wanted = {("spot", "trades"), ("spot", "depth:100ms"), ("old", "trades")}
    for text in process.stderr:
        line = msgspec.json.decode(text)
        if line["event"] == "ChainsSubscribed":
            wanted.discard((line["feed"], line["facts"]["stream"]))
        if not wanted:
            break

    process.send_signal(number)
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    process.wait(20)
    reader.join()

    root = tmp_path / "data"
    assert process.returncode == 0
    assert not list(root.glob(".recorder/journals/**/*.arrow"))
    assert not list(root.glob(".recorder/runs/*"))
    gaps = newest_revisions(rows_of(root, "gaps"))
    assert {(gap.job, gap.reason) for gap in gaps if gap.ended_at is None} == {
        ("jobs.spot", "process_stopped"),
        ("jobs.old", "process_stopped"),
    }
