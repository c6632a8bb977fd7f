import json  # noqa: TID251 - the oracle must not share the simulator's decoder

import pytest

from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market, Trade
from recorder.simulator.markets import market_spec
from recorder.simulator.wire_v3 import (
    Number,
    Request,
    V3Wire,
    decode_request,
    failure,
    spaced,
    success,
    ticker_row,
)


NOW_NS = 1_669_860_182_101_000_000
TRADE = Trade(
    market="BTC_USDT",
    trade_id=643716793,
    market_trade_id=3,
    side="sell",
    price="56173.28",
    amount="0.0037",
    turnover="207.841136",
    ts_ns=1_616_327_474_624_324_100,
)


def market() -> Market:
    made = Market(market_spec("BTC_USDT"), 1, NOW_NS)
    made.update_id = 3166483561
    return made


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "x, y: z"], "b": {}, "c": []},
        [["1", "2"], ["3", "4"]],
        'quote " and \\ and 币',
        (("1", "2"), 3),
    ],
)
def test_spaced_json_is_what_the_standard_writer_writes(value: object):
    assert spaced(value) == json.dumps(value, ensure_ascii=False)


def test_a_number_keeps_its_digits():
    assert spaced([Number("1616327474.6243241")]) == "[1616327474.6243241]"


def test_a_trade_push_is_as_recorded():
    assert V3Wire(is_late=False).trades("BTC_USDT", [TRADE]).decode() == (
        '{"method": "trades.update", "params": ["BTC_USDT", [{"id": 643716793, '
        '"time": 1616327474.6243241, "price": "56173.28", "amount": "0.0037", '
        '"type": "sell"}]], "id": null}'
    )


def test_a_clean_push_is_as_recorded():
    payload = V3Wire(is_late=False).depth(
        market(),
        [("37483.19", "0.01")],
        [("37483.21", "0.048"), ("37483.89", "0.0739")],
        NOW_NS,
        is_clean=True,
    )

    assert payload.decode() == (
        '{"method": "depth.update", "params": [true, {"asks": [["37483.21", "0.048"], '
        '["37483.89", "0.0739"]], "bids": [["37483.19", "0.01"]], "id": 3166483561}, '
        '"BTC_USDT"], "id": null}'
    )


@pytest.mark.parametrize("bids", [[], [("1", "0")]])
def test_another_push_has_only_the_sides_that_changed(bids: list[tuple[str, str]]):
    payload = V3Wire(is_late=False).depth(
        market(), bids, [("0.60486", "46.89")], NOW_NS, is_clean=False
    )
    clean, depth, name = json.loads(payload)["params"]

    assert (clean, name) == (False, "BTC_USDT")
    assert list(depth) == (["asks", "bids"] if bids else ["asks"])


def test_a_clean_push_has_both_sides_even_if_empty():
    payload = V3Wire(is_late=False).depth(market(), [], [], NOW_NS, is_clean=True)

    assert json.loads(payload)["params"][1] == {
        "asks": [],
        "bids": [],
        "id": 3166483561,
    }


def test_late_pushes_carry_times_and_a_version():
    frame = json.loads(
        V3Wire(is_late=True).depth(market(), [], [("1", "2")], NOW_NS, is_clean=False)
    )

    assert frame["v"] == 3
    assert frame["params"][1] == {
        "asks": [["1", "2"]],
        "current": 1669860182.101,
        "update": 1669860182.101,
    }


@pytest.mark.parametrize(("is_late", "tail"), [(False, []), (True, [True])])
def test_a_kline_is_open_close_high_low(is_late: bool, tail: list[bool]):
    row = Candle(1669860000, 100)
    row.add(140, 2_000_000)
    row.add(90, 1_000_000)
    frame = json.loads(V3Wire(is_late=is_late).klines(market(), [row], 60, NOW_NS))

    assert frame["params"] == [
        [1669860000, "10", "9", "14", "9", "3", "37", "BTC_USDT", *tail]
    ]


def test_the_volumes_of_a_ticker_are_named_the_other_way_round():
    busy = market()
    busy.candles.add(100_000, 2_000_000, NOW_NS // 10**9)
    frame = json.loads(V3Wire(is_late=False).ticker(busy, NOW_NS))

    assert frame["params"] == [
        "BTC_USDT",
        {
            "period": 86400,
            "open": "10000",
            "close": "10000",
            "high": "10000",
            "low": "10000",
            "last": "10000",
            "change": "0",
            "quoteVolume": "2",
            "baseVolume": "20000",
        },
    ]


def test_a_ticker_without_trades_in_its_period_repeats_the_last_price():
    quiet = market()
    assert ticker_row(quiet, 60, NOW_NS)["last"] == "0"
    quiet.trades.append(TRADE)

    row = ticker_row(quiet, 60, NOW_NS)

    assert (row["open"], row["last"], row["quoteVolume"]) == (
        "56173.28",
        "56173.28",
        "0",
    )


def test_answers_are_as_recorded():
    assert success(1) == b'{"error": null, "result": {"status": "success"}, "id": 1}'
    assert failure(2, 4) == (
        b'{"error": {"code": 4, "message": "method not found"}, "result": null, "id": 2}'
    )


def test_what_is_no_request_is_none():
    assert decode_request('{"id":1,"method":"server.ping","params":[]}') == Request(
        id=1, method="server.ping", params=[]
    )
    assert decode_request("hello") is None
    assert decode_request('{"id":1}') is None
