import msgspec
import pytest

from recorder import sources


def test_an_unknown_source_is_wrong_usage_and_names_those_there_are(run):
    result = run("markets", "nowhere")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: no source 'nowhere'; choose from ")


def test_an_unreachable_venue_is_one_sentence(run):
    result = run("markets", "gate_spot", "--rest-url", "http://127.0.0.1:9")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(
        "Error: http://127.0.0.1:9/spot/currency_pairs cannot be connected to: "
    )
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("body", [b"<html>", b'{"a":1}', b"[1]", b"\xff"])
def test_a_server_that_answers_something_else_is_one_sentence(run, monkeypatch, body):
    async def fetch_list(address, request):
        return body

    monkeypatch.setattr("recorder.cli.markets.fetch_list", fetch_list)

    result = run("markets", "gate_spot", "--rest-url", "http://user:secret@x/api")

    assert result.exit_code == 1
    assert result.stderr.startswith(
        "Error: what http://x/api answers is no list of markets ("
    )
    assert result.stderr.endswith("; check --rest-url\n")
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def without_list(monkeypatch):
    feed = msgspec.structs.replace(sources.load("gate_v3"), market_list=None)
    monkeypatch.setattr("recorder.sources.load", lambda _: feed)


def test_a_source_without_a_list_says_so(run, without_list):
    result = run("markets", "gate_v3")

    assert result.exit_code == 2
    assert result.stderr == "Error: gate_v3 does not say which markets it has\n"


@pytest.mark.parametrize("url", ["nonsense", "ws://127.0.0.1:9", "http://x\n"])
def test_what_is_no_address_is_refused_as_by_a_capture(run, words_of_capture, url):
    result = run("markets", "gate_spot", "--rest-url", url)
    capture = run(*words_of_capture, "--rest-url", url)

    assert result.exit_code == capture.exit_code == 2
    assert result.stderr == capture.stderr
    assert "--rest-url wants an address that starts with http://" in result.stderr


@pytest.fixture
def words_of_capture(tmp_path):
    chosen = ("-m", "BTC_USDT", "-s", "trades", "--duration", "1s")
    return ("capture", "gate_spot", *chosen, "--store", tmp_path / "store")


def test_a_pattern_that_no_market_is_like_is_told(run, venue):
    words = ("markets", "gate_spot", "--rest-url", venue.rest_url, "--format", "csv")

    none = run(*words, "--like", "ZZZ*")
    some = run(*words, "--like", "BTC*")

    assert none.exit_code == some.exit_code == 0
    assert len(none.stdout.splitlines()) == 1
    assert none.stderr.startswith("0 markets: none of ")
    assert none.stderr.endswith(" is like 'ZZZ*'\n")
    assert some.stderr == "1 market\n"
