"""``recorder probe`` as it is typed."""

import re
import signal
import socket

import msgspec
import pytest

from recorder.cli import probe as command
from recorder.probe.report import ProbeReport


@pytest.fixture
def unused_port():
    """A local port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def look(venue):
    """Return the words of a probe of the local exchange."""

    def look(*more, streams=("trades",), source="gate_spot"):
        chosen = [word for stream in streams for word in ("-s", stream)]
        address = ["--ws-url", venue.ws_url, "--rest-url", venue.rest_url]
        return ["probe", source, *chosen, *address, *more]

    return look


def lines_of(text):
    """Return a report's lines, those of its tables as lists of cells."""
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        if line.startswith(("│", "┃"))
        else line
        for line in text.splitlines()
    ]


def test_a_good_report_says_so_and_exits_0(run_process, look):
    done = run_process(
        *look("-m", "BTC_USDT", "--seconds", "3", streams=("trades", "depth"))
    )

    lines = lines_of(done.stdout)
    assert (done.returncode, lines[-1]) == (0, "Good: it can be recorded.")
    assert lines[0].startswith("gate_spot at ws://127.0.0.1:")
    tables = [line for line in lines if isinstance(line, list)]
    assert tables[0] == [
        "stream",
        "market",
        "subscription",
        "frames",
        "rows",
        "sequence",
        "book",
    ]
    trades, depth = tables[1:]
    assert trades[:3] == ["trades", "BTC_USDT", "accepted"]
    assert int(trades[3]) == int(trades[4]) > 0
    assert depth[5].startswith("whole, ")
    assert depth[6].startswith("known, first after ")
    facts = [line.partition(":")[0] for line in lines if ": " in line]
    assert facts == [
        "Connections",
        "Answers",
        "Venue's clock minus ours",
        "Keys not known",
        "Good",
    ]
    assert done.stderr == "Looking at 2 streams of gate_spot for 3 s ...\n"


def test_nothing_is_stored(run_process, look, tmp_path):
    done = run_process(*look("--seconds", "0.5"), cwd=tmp_path)

    assert done.stdout
    assert list(tmp_path.iterdir()) == []
    assert done.stderr.startswith("-m was not given: BTC_USDT is taken, of 3 ")


def test_what_is_amiss_is_named_and_exits_1(run, look):
    result = run(*look("-m", "BTC_USDT", "-m", "NOPE_USDT", "--seconds", "0.5"))

    assert result.exit_code == 1
    assert "AMISS  trades of NOPE_USDT: refused, in the venue's words: " in (
        result.stdout
    )
    assert result.stdout.splitlines()[-1].startswith("Amiss: it can be recorded, but")


def test_nothing_to_record_exits_2_and_shows_no_tables(run, unused_port):
    address = f"ws://user:pass@127.0.0.1:{unused_port}/"
    result = run("probe", "gate_spot", "-m", "X_Y", "-s", "trades", "--ws-url", address)

    lines = result.stdout.splitlines()
    assert result.exit_code == 2
    assert lines[0].startswith(f"gate_spot at ws://127.0.0.1:{unused_port}/, ")
    assert "FAILED " in lines[1]
    assert "Connection refused" in lines[1]
    assert lines[2:] == ["Failed: like this, it cannot be recorded."]


def test_json_is_the_whole_report(run, look):
    result = run(*look("-m", "BTC_USDT", "--seconds", "0.5", "--json"))

    content = msgspec.json.decode(result.stdout)
    assert content.keys() == set(ProbeReport.__struct_fields__)
    assert content["source"] == "gate_spot"
    assert result.exit_code == command.EXIT_CODES[content["outcome"]]
    assert content["started_at"].endswith("Z")
    (stream,) = content["streams"]
    assert (stream["stream"], stream["answer"]) == ("trades", "accepted")


def test_ctrl_c_ends_it_with_a_report(start, look):
    process = start(*look("-m", "BTC_USDT", "--seconds", "100"))
    assert process.stderr.readline().startswith("Looking at 1 stream ")

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    assert out.splitlines()[-1].partition(":")[0] in {"Good", "Amiss", "Failed"}
    assert process.returncode in {0, 1, 2}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere"], "no source 'nowhere'"),
        (["gate_spot", "-s", "news"], "has no stream 'news'"),
        (["gate_spot", "-O", "a=b"], "has no option 'a'"),
        (["gate_spot", "--seconds", "0"], "--seconds"),
        (["gate_spot", "--seconds", "nan"], "nan is no number to reckon with"),
        (["gate_spot", "--seconds", "inf"], "inf is no number to reckon with"),
        (["gate_spot", "-m", "A_B", "--ws-url", "http://x"], "--ws-url wants"),
    ],
)
def test_wrong_usage_is_refused_before_anything_is_asked(run, words, why):
    result = run("probe", *words)

    assert result.exit_code == 2
    assert why in result.stderr


def test_on_a_terminal_a_line_tells_how_it_goes(monkeypatch, look, run):
    shown = []
    monkeypatch.setattr(command.Console, "is_terminal", property(lambda _self: True))
    monkeypatch.setattr(command.Live, "update", lambda _self, text: shown.append(text))

    run(*look("-m", "BTC_USDT", "--seconds", "1.2"))

    assert re.fullmatch(r"\d+ s: \d+ frames; 1 (accepted|unanswered)", str(shown[-1]))
