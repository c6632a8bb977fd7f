import re
import shlex
import signal
import subprocess
import sys
from urllib.request import urlopen

import msgspec
import pytest

from recorder.cli.simulate import capture_command, options_at
from recorder.simulator.faults import KINDS, parse
from recorder.source import StreamKind
from recorder.sources import load


@pytest.fixture
def start():
    """Start `recorder simulate` as a process; returns it and what it printed."""
    processes = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", "from recorder.cli import main; main()", "simulate"]
            + [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Stop with"):
                break
        return process, "".join(lines)

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_exchange_says_how_to_record_it_and_stops_when_told(start, number):
    process, printed = start("--markets", "AAA_USDT,BBB_USDT", "--rate", 1)

    process.send_signal(number)
    out, err = process.communicate(timeout=10)

    port = re.search(r"ws://127\.0\.0\.1:(\d+)/ws/v4/\n", printed)[1]
    paths = ("/v3/", "/", "/v4/ws/usdt", "/v4/ws/btc", "/ws/v5/public", "/ws/v4/ann")
    for path in paths:
        assert f"  ws://127.0.0.1:{port}{path}\n" in printed
    assert re.search(
        rf"\n  recorder capture gate_spot -m AAA_USDT -m BBB_USDT -s trades -s depth "
        rf".*--ws-url ws://127\.0\.0\.1:{port}/ws/v4/ "
        rf"--rest-url http://127\.0\.0\.1:{port}/api/v4 --store data\n",
        printed,
    )
    assert f"--ws-url ws://127.0.0.1:{port}/v3/ " in printed
    assert re.search(
        rf"\n  CRYPTOLISTING_API_KEY=dsk_[0-9a-f]{{64}} recorder capture cryptolisting "
        rf"-s status --ws-url ws://127\.0\.0\.1:{port}/ --store data\n",
        printed,
    )
    feeds = re.findall(r"recorder capture (\w+) ", printed)
    assert {"gate_spot", "gate_v3", "gate_announcements", "okx_status"} <= set(feeds)
    assert (
        f"\n  recorder capture okx_status -s status "
        f"--ws-url ws://127.0.0.1:{port}/ws/v5/public --store data\n"
    ) in printed
    assert printed.count("recorder capture gate_v3") == 1
    assert re.search(
        r"\n  recorder capture gate_futures -m BTC_USDT -m ETH_USDT -s trades .*"
        rf"-s liquidations .*--ws-url ws://127\.0\.0\.1:{port}/v4/ws/usdt "
        rf"--rest-url http://127\.0\.0\.1:{port}/api/v4 --store data\n",
        printed,
    )
    assert re.search(
        r"\n  recorder capture gate_futures -m BTC_USD -s .* -O settle=btc "
        rf"--ws-url ws://127\.0\.0\.1:{port}/v4/ws/btc ",
        printed,
    )
    assert out == ""
    assert process.returncode == 0
    assert f"port={port}" in err
    assert "Traceback" not in err


def test_contracts_can_be_named_and_are_served_by_what_they_are_settled_in(start):
    _, printed = start("--contracts", "AAA_USD,BBB_USD")
    rest = re.search(r"http://\S+/api/v4", printed)[0]

    with urlopen(f"{rest}/futures/btc/contracts", timeout=10) as answer:
        rows = msgspec.json.decode(answer.read())

    assert [row["name"] for row in rows] == ["AAA_USD", "BBB_USD"]
    assert "/v4/ws/btc\n" in printed
    assert "/v4/ws/usdt" not in printed


def test_a_feed_without_markets_and_rest_calls_is_recorded_without_them():
    stream = StreamKind(name="status", doc="Status.", has_markets=False)
    feed = msgspec.structs.replace(load("gate_spot"), streams=(stream,), rest_url="")

    assert capture_command(feed, "ws://x/", "http://y", ("A",), {}) == (
        "recorder capture gate_spot -s status --ws-url ws://x/ --store data"
    )


@pytest.mark.parametrize(
    ("source", "path", "options"),
    [
        ("gate_futures", "/v4/ws/usdt", {}),
        ("gate_futures", "/v4/ws/btc", {"settle": "btc"}),
        ("gate_futures", "/v4/ws/eur", None),
        ("gate_spot", "/ws/v4", {}),
        ("gate_v3", "/ws/v4/", None),
    ],
)
def test_the_options_of_a_feed_follow_from_the_address(source, path, options):
    assert options_at(load(source), f"ws://127.0.0.1:7{path}") == options


def test_the_truth_holds_the_frames_that_were_pushed(start, run, tmp_path):
    truth, store = str(tmp_path / "truth"), str(tmp_path / "store")
    _, printed = start("--markets", "AAA_USDT", "--truth", truth)
    url = re.search(r"ws://127\.0\.0\.1:\d+/v3/", printed)[0]
    words = ["-m", "AAA_USDT", "-s", "depth:30", "--ws-url", url, "--store", store]

    run("capture", "gate_v3", *words, "--duration", "2s")

    assert (tmp_path / "truth" / "frames.jsonl").stat().st_size > 0


@pytest.mark.parametrize("source", ["cryptolisting", "gate_v3"])
def test_a_printed_command_that_needs_keys_can_be_typed_as_it_is(
    start, tmp_path, source
):
    _, printed = start("--markets", "AAA_USDT")
    line = re.search(rf"(\S+=\S+ )+recorder capture {source} .*", printed)[0]
    program = shlex.join(
        [sys.executable, "-c", "from recorder.cli import main; main()"]
    )

    done = subprocess.run(
        ["bash", "-c", line.replace("recorder", program, 1) + " --duration 2s"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert " subscribed " in done.stderr


def test_a_recording_is_played_at_the_address_it_came_from(start, tmp_path):
    path = tmp_path / "session.jsonl"
    lines = [
        {"at": 1.0, "kind": "connect", "url": "wss://example.com/v3/", "data": ""},
        {"at": 1.5, "kind": "recv", "data": '{"method":"x.update","params":[]}'},
    ]
    path.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))

    _, printed = start("--play", path, "--speed", "max")

    assert re.search(
        r"recorder capture gate_v3 -m MARKET -s .*--ws-url ws://127\.0\.0\.1:\d+/v3/",
        printed,
    )
    assert printed.count("recorder capture") == 1


def test_markets_are_listed_by_the_venue_in_its_spelling(start, run):
    _, printed = start("--markets", "AAA_USDT,BBB_BTC", "--markets", "CCC_USDT")
    url = re.search(r"http://\S+", printed)[0]

    some = run(
        "markets", "gate_spot", "--like", "*_USDT", "--rest-url", url, "--format", "csv"
    )
    whole = run("markets", "gate_spot", "--rest-url", url, "--format", "json")
    none = run(
        "markets", "gate_spot", "--rest-url", url, "--like", "X*", "--format", "csv"
    )

    assert some.stdout == (
        "market,kind,status,base,quote,tick_size,lot_size,multiplier\n"
        "AAA_USDT,spot,tradable,AAA,USDT,0.0001,0.0001,\n"
        "CCC_USDT,spot,tradable,CCC,USDT,0.001,0.0001,\n"
    )
    assert some.stderr == "2 markets\n"
    assert [row["market"] for row in msgspec.json.decode(whole.stdout)] == [
        "AAA_USDT",
        "BBB_BTC",
        "CCC_USDT",
    ]
    assert (none.exit_code, none.stdout) == (
        0,
        "market,kind,status,base,quote,tick_size,lot_size,multiplier\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fault", "nothing"), "there is no fault 'nothing'"),
        (("--fault", "drop:x=1"), "takes"),
        (("--markets", ""), "needs at least one market: name some"),
        (("--markets", ", ,", "--markets", ""), "a market is called BASE_QUOTE"),
        (("--speed", "0"), "'0' is no speed"),
        (("--speed", "fast"), "'fast' is no speed"),
        (("--play", "/nowhere/x.jsonl"), "cannot read /nowhere/x.jsonl"),
        (("--port", "70000"), "--port"),
        (("--rate", "nan"), "nan is no number to reckon with"),
    ],
)
def test_what_cannot_be_simulated_is_wrong_usage(run, words, message):
    result = run("simulate", *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_help_lists_the_faults(run):
    result = run("simulate", "--help")

    assert "http_429" in result.output
    assert "REST: the answer is 429" in result.output


def test_the_help_lists_the_keys_that_faults_take(run):
    text = " ".join(run("simulate", "--help").stdout.split())

    faults, keys = text.split(" Keys; ")
    assert (
        " drop v4: a pushed frame is not sent [stream, parameter, market, feed] "
        in (faults)
    )
    assert re.search(r" v5_error .* CODE[^\[]* \[code\] ", faults)
    for kind in KINDS.values():
        for key in kind.keys:
            assert re.search(rf" {key} \w+", keys), key
    assert "only this feed: v4 or futures" in keys
    assert parse("drop:stream=depth,parameter=obu.400,market=A_B,feed=futures,at=1")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--speed", "10"], "--speed is that of a recording; add --play FILE"),
        (
            ["--play", "x.jsonl", "--seed", "1", "--rate", "2", "--fault", "drop"],
            (
                "with --play there is no market to make, so leave out "
                "--fault, --rate, --seed"
            ),
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_wrong_usage(run, words, sentence):
    result = run("simulate", *words)

    assert result.exit_code == 2
    assert result.stderr == f"Error: {sentence}\n"
