"""`recorder backfill`: what it says, what it does, how it ends."""

import asyncio
import importlib.util
from pathlib import Path

import msgspec
import pytest

from recorder.capture import backfill_asking
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


_HOME = Path(__file__).parents[1] / "capture" / "past_store.py"
_SPEC = importlib.util.spec_from_file_location("past_store", _HOME)
_module = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_module)


@pytest.fixture
def past_of(tmp_path):
    """Make a store with a gap in an exchange's past."""

    def past_of(exchange):
        trades = exchange.truth.trades_of("BTC_USDT")
        # The command looks further around a gap than there are trades later.
        store = _module.PastStore(
            tmp_path / "store", "gate_spot", trades, 60, len(trades) - 40
        )
        store.record("trades", "klines:10s", "depth:100ms")
        return store

    return past_of


def lines(result):
    return [msgspec.json.decode(line) for line in result.stdout.splitlines()]


async def test_a_store_is_healed_and_what_cannot_be_is_counted(run, past_of):
    async with Exchange(Settings(rate=0.0)) as exchange:
        store = past_of(exchange)
        address = ["--rest-url", exchange.rest_url, "--ws-url", exchange.ws_url_spot]
        words = ["backfill", "--store", store.root, "--source", "gate_spot", *address]
        dry = await asyncio.to_thread(run, *words, "--dry-run")
        before = len(store.table("trades"))
        healed = await asyncio.to_thread(run, *words)
        again = await asyncio.to_thread(run, *words, "--json")

    assert dry.exit_code == 0, dry.output
    assert dry.stdout.endswith("3 gaps: 2 can be asked about, 1 cannot be healed.\n")
    assert before == len(store.kept)
    assert healed.exit_code == 0, healed.output
    klines, trades, last = healed.stdout.splitlines()
    assert trades.startswith("gate_spot trades of BTC_USDT, connect_lost, 20")
    assert trades.endswith(f"Z: healed: {len(store.lost)} trades fetched")
    assert klines.endswith(" closed klines fetched")
    assert last.startswith("3 gaps: 2 healed, 1 cannot be healed; ")
    assert again.exit_code == 0
    [left] = lines(again)
    assert (left["stream"], left["state"], left["rows"]) == ("depth:100ms", "unable", 0)
    assert left["gap_id"] == "depth:100ms"
    ids = [row["trade_id"] for row in store.table("trades")]
    assert sorted(ids) == [trade.trade_id for trade in store.trades]


async def test_a_venue_that_cannot_be_asked_is_a_failure(run, past_of, monkeypatch):
    monkeypatch.setattr(backfill_asking, "FIRST_PAUSE_SECONDS", 0.05)
    async with Exchange(Settings(rate=0.0)) as exchange:
        store = past_of(exchange)
        url = exchange.rest_url
    words = ["backfill", "--store", store.root, "--source", "gate_spot"]
    result = await asyncio.to_thread(run, *words, "--rest-url", url, "--json")

    assert result.exit_code == 1
    states = {line["stream"]: line["state"] for line in lines(result)}
    assert states == {"trades": "later", "klines:10s": "later", "depth:100ms": "unable"}
    why = {line["stream"]: line["why"] for line in lines(result)}["trades"]
    assert why.startswith("the venue could not be asked: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--store", "nowhere"], "there is no store"),
        (["--source", "no_such"], "no source"),
        (["--rest-url", "http://x"], "need a --source"),
        (["--source", "gate_spot", "--rest-url", "x"], "--rest-url wants an address"),
        (["--source", "gate_futures", "-O", "settle=yen"], "cannot be 'yen'"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "lies after"),
    ],
)
def test_wrong_usage_is_said(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()

    result = run("backfill", *words)

    assert result.exit_code == 2
    assert message in result.stderr


def test_a_store_without_gaps_needs_nothing(run, tmp_path):
    root = tmp_path / "data"
    root.mkdir()

    for words in ([], ["--dry-run"]):
        result = run("backfill", "--store", root, *words)

        assert result.exit_code == 0
        assert result.stdout == "No gap is left to be healed.\n"
