"""`recorder config`: what a file would record, or all that is wrong with it."""

import pytest


FILE = """\
store = "rows"
flush = "500ms"

[[source]]
source = "gate_spot"
markets = ["BTC_USDT", "ETH_USDT"]
streams = ["trades", "depth"]
ws_url = "wss://127.0.0.1:1/path"

[[source]]
source = "gate_v3"
name = "all"
markets = ["*_USDT", "*_BTC", "!*3L_USDT"]
streams = ["klines:1m"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nightly.toml"
    path.write_text(FILE)
    return path


def test_a_file_that_is_right_is_told_in_words(run, file, tmp_path):
    result = run("config", "check", file)

    assert result.exit_code == 0
    head, ages, *feeds = result.stdout.splitlines()
    assert head == f"{file}: job nightly, into {tmp_path / 'rows'}"
    assert ages.split(",")[1] == " flushed every 0.5 s"
    assert feeds[:4] == [
        "gate_spot: gate_spot, job nightly.gate_spot",
        "  from wss://127.0.0.1:1/path and https://api.gateio.ws/api/v4",
        "  trades, depth:100ms",
        "  of BTC_USDT, ETH_USDT, over one connection",
    ]
    assert "all: gate_v3" in feeds[4]
    assert "job nightly.all" in feeds[4]
    assert feeds[6:8] == [
        "  klines:1m",
        "  of *_USDT, *_BTC, as the venue lists them at the start, but for *3L_USDT",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["nightly.toml"]


def test_whether_keys_are_set_is_told_and_no_more(run, file, monkeypatch):
    monkeypatch.setenv("GATE_API_KEY", "s3cret-s3cret")
    monkeypatch.delenv("GATE_API_SECRET", raising=False)

    result = run("config", "check", file)

    assert "  GATE_API_KEY is set\n" in result.stdout
    assert "  GATE_API_SECRET is not set\n" in result.stdout
    assert "s3cret" not in result.output


def test_all_that_is_wrong_is_told_at_once(run, file):
    file.write_text(FILE.replace("flush", "flsh").replace("klines:1m", "klines:7m"))

    checked = run("config", "check", file)
    captured = run("capture", "--config", file)

    assert checked.exit_code == captured.exit_code == 2
    assert checked.stderr == captured.stderr
    head, first, second = checked.stderr.splitlines()
    assert head == f"Error: {file} has 2 mistakes:"
    assert first == "  line 2: unknown key 'flsh'; did you mean flush?"
    assert second.startswith("  line 14: gate_v3 stream 'klines' has no parameter '7m'")


def test_a_key_in_a_file_is_refused_with_its_variable(run, file):
    file.write_text(f'{FILE}api_key = "s3cret-s3cret"\n')

    result = run("config", "check", file)

    assert result.exit_code == 2
    assert "line 15: 'api_key': keys are never in the file" in result.stderr
    assert "environment variable GATE_API_KEY or GATE_API_SECRET" in result.stderr
    assert "s3cret" not in result.output


def test_a_file_that_is_not_there_is_wrong_usage(run, tmp_path):
    result = run("config", "check", tmp_path / "nothing.toml")

    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: cannot read {tmp_path / 'nothing.toml'}: No such file or directory\n"
    )


def test_the_example_is_written_to_a_file_or_shown(run, tmp_path):
    path = tmp_path / "recorder.toml"

    shown = run("config", "example")
    written = run("config", "example", "-o", path)
    again = run("config", "example", "-o", path)
    forced = run("config", "example", "-o", path, "--force")

    assert [r.exit_code for r in (shown, written, again, forced)] == [0, 0, 2, 0]
    assert path.read_text() == shown.stdout
    assert run("config", "check", path).exit_code == 0


def test_a_market_that_is_named_twice_is_told_of_once(run, file):
    file.write_text(FILE.replace('"ETH_USDT"]', '"ETH_USDT", "BTC_USDT"]'))

    result = run("config", "check", file)

    assert "  of BTC_USDT, ETH_USDT, over one connection\n" in result.stdout


def test_many_markets_are_counted_and_many_connections_too(run, file):
    markets = ", ".join(f'"M{number}"' for number in range(20))
    file.write_text(FILE.replace('"*_USDT", "*_BTC", "!*3L_USDT"', markets))

    result = run("config", "check", file)

    assert "M6, M7 and 12 more, over 20 connections" in result.stdout
