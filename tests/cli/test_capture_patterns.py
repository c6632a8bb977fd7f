"""`recorder capture -m '*_USDT'`: markets chosen from the venue's list."""

import signal

import pytest

from recorder.store.listing import open_listing
from recorder.store.revisions import plain_rows
from recorder.store.run import open_run


NOWHERE = ("--rest-url", "http://127.0.0.1:9")


def test_a_pattern_records_what_the_venue_lists(run, words, tmp_path):
    result = run(*words("--duration", "1s", markets=("*_USDT", "!G*")))

    assert result.exit_code == 0, result.stderr
    assert "chose the markets source=gate_spot markets=2 listed=3" in result.stderr
    rows = plain_rows(open_listing(tmp_path / "store").read("coverage"))
    assert {row["market"] for row in rows} == {"BTC_USDT", "ETH_USDT"}


@pytest.mark.parametrize(
    ("markets", "message"),
    [
        (("*_EUR",), "none of the 3 markets that gate_spot lists is traded and like"),
        (("!*_USDT",), "'!*_USDT' only takes markets away; say what to record as well"),
    ],
)
def test_a_pattern_that_finds_nothing_is_wrong_usage(
    run, words, tmp_path, markets, message
):
    result = run(*words("--duration", "1s", markets=markets))

    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_list_that_cannot_be_had_ends_in_1_and_says_what_to_do(
    run, words, monkeypatch
):
    monkeypatch.setattr("recorder.capture.market_lists.PAUSE_FIRST_SECONDS", 1e9)

    result = run(*words(*NOWHERE, "--duration", "1s", markets=("*_USDT",)))

    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if "Error" in line]
    assert error.startswith("Error: cannot look up markets of gate_spot: http://127")
    assert error.endswith("or name the markets instead of a pattern")


def test_who_comes_second_does_not_ask_the_venue(run, words, tmp_path):
    root = tmp_path / "store"
    holder = open_run(root, job="nightly", source="gate_spot", now_ns=10**18)
    before = sorted(root.rglob("*"))

    result = run(*words(*NOWHERE, "--job", "nightly", markets=("*_USDT",)))

    assert result.exit_code == 75
    assert sorted(root.rglob("*")) == before
    holder.release()


def test_a_signal_ends_the_wait_for_a_list(start, words, tmp_path):
    process = start(*words(*NOWHERE, markets=("*_USDT",)))
    said = process.stderr.readline()

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)

    assert "cannot choose markets before the venue lists them" in said
    assert process.returncode == 0
    assert not (tmp_path / "store").exists()
