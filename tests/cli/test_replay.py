import subprocess
import sys
import time
from itertools import pairwise

import msgspec
import pytest

from recorder.cli.replay import Pace
from recorder.model import Kline, StatusEvent


@pytest.fixture
def store(maker):
    maker.segment([maker.trade(1), maker.trade(4, market="ETH_USDT")])
    maker.journal([maker.depth(2, b'[["10","1"]]', b"[]", is_snapshot=True)])
    maker.segment(
        [maker.gap(3, "g", started_at=maker.noon + 3, ended_at=maker.noon + 7)]
    )
    return maker.root


def lines(result):
    assert result.exit_code == 0, result.stderr
    return [msgspec.json.decode(line) for line in result.stdout.splitlines()]


def test_events_of_all_kinds_come_in_the_order_of_receipt(run, store):
    events = lines(run("replay", "--store", store))

    noon = "2024-05-01T12:00:00.00000000"
    assert [(e["table"], e["ts_recv"], e["market"]) for e in events] == [
        ("trades", f"{noon}1Z", "BTC_USDT"),
        ("depth", f"{noon}2Z", "BTC_USDT"),
        ("gaps", f"{noon}3Z", "BTC_USDT"),
        ("trades", f"{noon}4Z", "ETH_USDT"),
    ]


def test_a_line_holds_every_column_with_iso_times_and_pairs_for_levels(run, store):
    trade, depth, gap, _ = lines(run("replay", "--store", store))

    assert trade == {
        "table": "trades",
        "source": "gate_spot",
        "ts_recv": "2024-05-01T12:00:00.000000001Z",
        "ts_event": "2024-05-01T11:59:59.999999996Z",
        "market": "BTC_USDT",
        "conn": "20240501T120000-abcdef.1",
        "seq": 0,
        "idx": 0,
        "trade_id": 1,
        "side": "sell",
        "price": 100.5,
        "amount": 2.0,
        "market_trade_id": None,
        "range_first": None,
        "range_last": None,
        "is_internal": None,
        "stock": None,
        "money": None,
        "trade_mode": None,
        "origin": "live",
    }
    assert list(trade)[:5] == ["table", "source", "ts_recv", "ts_event", "market"]
    assert (depth["bids"], depth["asks"], depth["ts_event"]) == (
        [[10.0, 1.0]],
        [],
        None,
    )
    assert gap["started_at"] == "2024-05-01T12:00:00.000000003Z"
    assert gap["ended_at"] == "2024-05-01T12:00:00.000000007Z"


def test_times_of_other_tables_are_iso_too(run, maker):
    noon = maker.noon
    kline = Kline(
        market="BTC_USDT",
        ts_event=None,
        interval="1m",
        open_at=noon,
        open="1",
        high="2",
        low="1",
        close="2",
    )
    status = StatusEvent(
        kind="upgrade", payload="{}", starts_at=noon, markets=("A", "B")
    )
    maker.segment([(noon + 1, kline)])
    maker.segment([(noon + 2, status)])

    first, second = lines(run("replay", "--store", maker.root))

    assert first["open_at"] == "2024-05-01T12:00:00.000000000Z"
    assert (first["volume"], first["close"]) == (None, 2.0)
    assert second["starts_at"] == "2024-05-01T12:00:00.000000000Z"
    assert (second["ends_at"], second["markets"]) == (None, ["A", "B"])


def test_source_markets_streams_and_range_choose(run, store, maker):
    maker.segment([maker.trade(9)], source="gate_v3")

    def ids(*words):
        events = lines(run("replay", "--store", store, *words))
        return [(e["source"], e.get("trade_id")) for e in events]

    assert ids("-s", "trades") == [("gate_spot", 1), ("gate_spot", 4), ("gate_v3", 9)]
    assert ids("-s", "trades", "-m", "ETH_USDT") == [("gate_spot", 4)]
    assert ids("--source", "gate_v3") == [("gate_v3", 9)]
    assert ids(
        "-s",
        "trades",
        "--from",
        "2024-05-01T12:00:00.000000004Z",
        "--to",
        "2024-05-01T12:00:00.000000009Z",
    ) == [("gate_spot", 4)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "NO_USDT"), "NO_USDT"),
        (("-s", "nothing"), "no stream 'nothing'"),
        (("--source", "nowhere"), "no source 'nowhere'"),
        (("--speed", "-1"), "'-1' is no speed"),
        (("--speed", "inf"), "'inf' is no speed"),
        (("--from", "x"), "not a time"),
    ],
)
def test_what_is_not_there_is_wrong_usage(run, store, words, message):
    result = run("replay", "--store", store, *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_events_are_paced_as_they_came(maker):
    spread = 300_000_000
    maker.segment([maker.trade(n, at=maker.noon + n * spread) for n in range(4)])
    command = [sys.executable, "-c", "from recorder.cli import main; main()", "replay"]
    command += ["--store", str(maker.root), "--speed", "2"]

    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        arrivals = [time.monotonic() for _ in process.stdout]

    assert process.returncode == 0
    waits = [b - a for a, b in pairwise(arrivals)]
    # Each line is flushed when its time comes: 0.15 s after the one before.
    assert len(waits) == 3
    assert all(wait > 0.05 for wait in waits)
    assert 0.40 < sum(waits) < 5


def test_pace_waits_as_long_as_it_took_divided_by_the_factor(monkeypatch):
    now = [5_000_000_000]
    slept = []

    def sleep(seconds):
        slept.append(round(seconds, 9))
        now[0] += int(seconds * 1e9)

    monkeypatch.setattr("recorder.cli.replay.monotonic_ns", lambda: now[0])
    monkeypatch.setattr("recorder.cli.replay.time.sleep", sleep)
    pace = Pace(10.0)

    for offset in (0, 1_000_000_000, 1_000_000_000, 3_000_000_000):
        pace.wait(1_714_564_800_000_000_000 + offset)
    now[0] += 10_000_000_000
    pace.wait(1_714_564_800_000_000_000 + 4_000_000_000)  # late: at once

    assert slept == [0.1, 0.2]
