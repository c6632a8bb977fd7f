from pathlib import Path

import pytest

from recorder.errors import ConfigError
from recorder.simulator.account_truth import AccountChange
from recorder.simulator.engine import Engine
from recorder.simulator.markets import market_spec
from recorder.simulator.truth import (
    Accepted,
    FaultDone,
    FrameSent,
    Notice,
    Truth,
    V3Depth,
)
from recorder.simulator.truth_files import TruthFiles, load_truth


START_NS = 1_700_000_000_000_000_000


def written(folder: Path) -> Truth:
    """Run two markets with a truth in memory and on disk."""
    files = TruthFiles(folder)
    truth = Truth(sink=files)
    engine = Engine(
        [market_spec("BTC_USDT"), market_spec("GT_USDT")],
        seed=2,
        rates={"BTC_USDT": 100.0, "GT_USDT": 50.0},
        start_ns=START_NS,
        warmup_events=50,
    )
    for market in engine.markets.values():
        truth.watch(market)
    engine.advance(START_NS + 10 * 10**9)
    # Empty one side, so that best levels vanish and come back.
    engine.markets["GT_USDT"].book.take(0, 10**12)
    engine.advance(START_NS + 15 * 10**9)
    truth.add(FaultDone(ts_ns=5, name="drop", feed="v4", conn=1, trade_ids=(4, 5)))
    truth.add(Accepted(ts_ns=5, feed="v4", conn=1, port=4_711))
    truth.add(FrameSent(ts_ns=6, feed="v4", conn=1, n=0, stream="trades"))
    truth.add(
        FrameSent(
            ts_ns=6,
            feed="v4",
            conn=1,
            n=1,
            stream="depth",
            parameter="100ms",
            is_whole=False,
            facts=(
                {"is_snapshot": False, "first_update_id": 3, "bids": (("1.5", "2"),)},
                {"last": "1.50", "bid": None},
            ),
        )
    )
    truth.add(
        Notice(ts_ns=8, feed="ann", stream="status:summary_all", option="en", facts={})
    )
    truth.add(
        AccountChange(ts_ns=9, stream="balances", market=None, facts={"asset": "A"})
    )
    truth.add(
        V3Depth(
            conn=1,
            n=0,
            ts_ns=7,
            market="GT_USDT",
            is_snapshot=True,
            update_id=9,
            bids=[("1.5", "2")],
            asks=[],
            is_exact=True,
        )
    )
    files.flush()
    files.close()
    return truth


def test_what_was_written_is_read_back_the_same(tmp_path: Path):
    truth = written(tmp_path)

    loaded = load_truth(tmp_path)

    assert loaded.trades == truth.trades
    assert loaded.faults == truth.faults
    assert loaded.frames == truth.frames
    assert loaded.accepted == truth.accepted
    assert loaded.notices == truth.notices
    assert loaded.account == truth.account
    assert loaded.v3_depths == truth.v3_depths
    for name, market in truth.markets.items():
        other = loaded.markets[name]
        assert (other.first_id, other.last_id) == (market.first_id, market.last_id)
        for update_id in range(market.first_id, market.last_id + 1):
            assert other.bbo_at(update_id) == market.bbo_at(update_id)
        for update_id in range(market.first_id, market.last_id + 1, 97):
            assert other.book_at(update_id) == market.book_at(update_id)
            assert other.ts_at(update_id) == market.ts_at(update_id)


def test_a_line_cut_off_by_a_kill_is_ignored(tmp_path: Path):
    truth = written(tmp_path)
    file = tmp_path / "changes.jsonl"
    file.write_bytes(file.read_bytes()[:-7])

    loaded = load_truth(tmp_path)

    lasts = [(m.last_id, loaded.markets[n].last_id) for n, m in truth.markets.items()]
    assert sorted(whole - cut for whole, cut in lasts) == [0, 1]


def test_a_folder_without_a_record_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="does not hold the truth"):
        load_truth(tmp_path)


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot be written"):
        TruthFiles(tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be written"):
        TruthFiles(tmp_path / "file" / "below")
