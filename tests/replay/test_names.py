"""Names of what was recorded, and messages that say what there is."""

import pytest

from recorder.errors import ConfigError
from recorder.model import Chain, Trade
from recorder.replay.names import find_book, require_markets
from recorder.store.run import OpenInterval, RunState, open_run


def test_the_only_depth_stream_of_a_market_is_meant(recorded):
    recorded.coverage(0, 9)
    recorded.coverage(0, 9, stream="trades")
    recorded.coverage(0, 9, market="ETH_USDT", stream="depth:20ms")
    listing = recorded.listing()

    assert find_book(listing, "gate_spot", "BTC_USDT", None) == Chain(
        "BTC_USDT", "depth:100ms"
    )
    assert find_book(listing, "gate_spot", "ETH_USDT", "depth:20ms").stream == (
        "depth:20ms"
    )


def test_of_several_depth_streams_one_must_be_named(recorded):
    recorded.coverage(0, 9)
    recorded.coverage(0, 9, stream="depth:20ms")
    listing = recorded.listing()

    with pytest.raises(ConfigError, match="choose one of depth:100ms, depth:20ms"):
        find_book(listing, "gate_spot", "BTC_USDT", None)


def test_a_stream_that_was_not_recorded_is_refused(recorded):
    recorded.coverage(0, 9)

    with pytest.raises(ConfigError, match=r"no stream 'depth:9ms'.* has depth:100ms"):
        find_book(recorded.listing(), "gate_spot", "BTC_USDT", "depth:9ms")


def test_a_market_without_depth_has_no_book(recorded):
    recorded.coverage(0, 9, stream="trades")

    with pytest.raises(ConfigError, match="gate_spot BTC_USDT has no depth recorded"):
        find_book(recorded.listing(), "gate_spot", "BTC_USDT", None)
    with pytest.raises(ConfigError, match="has no depth recorded"):
        find_book(recorded.listing(), "gate_spot", "BTC_USDT", "depth:100ms")


def test_rows_alone_name_a_chain_too(recorded):
    recorded.depth(1, 1, 1)
    listing = recorded.listing()

    assert find_book(listing, "gate_spot", "BTC_USDT", None).stream == "depth:100ms"
    assert find_book(listing, "gate_spot", "BTC_USDT", "depth:100ms")


def test_what_a_living_run_has_open_is_known(recorded, at):
    recorded.depth(1, 1, 1, market="ETH_USDT")
    run = open_run(recorded.root, job="job", source="gate_spot", now_ns=at(0))
    chain = OpenInterval(market="BTC_USDT", stream="depth:20ms", started_at=at(0))
    run.write_state(RunState(intervals=(chain,)), at(5))
    listing = recorded.listing()
    run.release()

    assert find_book(listing, "gate_spot", "BTC_USDT", None).stream == "depth:20ms"


def test_an_unknown_source_is_answered_with_those_there_are(recorded):
    recorded.depth(1, 1, 1)
    recorded.depth(1, 1, 1, source="gate_v3")

    with pytest.raises(ConfigError, match="'okx'; it has gate_spot, gate_v3"):
        find_book(recorded.listing(), "okx", "BTC_USDT", None)


def test_an_unknown_market_is_answered_with_some_that_there_are(recorded):
    for number in range(15):
        recorded.coverage(0, 9, market=f"M{number:02}_USDT")
    trade = Trade(
        market="ZZ_USDT", ts_event=None, trade_id=1, side="buy", price="1", amount="1"
    )
    recorded.row(1, trade)
    listing = recorded.listing()

    require_markets(listing, ["gate_spot"], ["M03_USDT", "ZZ_USDT"])
    with pytest.raises(ConfigError, match=r"'X'.* M00_USDT, .*M11_USDT and 4 more"):
        require_markets(listing, ["gate_spot"], ["X"])


def test_an_empty_store_has_no_source(recorded):
    with pytest.raises(ConfigError, match="'gate_spot'; it has none"):
        find_book(recorded.listing(), "gate_spot", "BTC_USDT", None)
