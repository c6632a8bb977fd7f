import json  # noqa: TID251 - the oracle must not share the simulator's decoder
import random
from typing import Any

import pytest

from recorder.simulator.candles import Candle
from recorder.simulator.engine import Market, Trade
from recorder.simulator.envelope_v4 import Refusal, Request, decode_request
from recorder.simulator.markets import market_spec
from recorder.simulator.settings import Settings
from recorder.simulator.wire_v4 import (
    DepthFrame,
    V4Wire,
    change_text,
    plain_answer,
)


NOW_NS = 1_682_689_046_133_000_000
TRADE = Trade(
    market="TLOS_BTC",
    trade_id=5541729598,
    market_trade_id=77,
    side="buy",
    price="0.00000644",
    amount="89.238",
    turnover="0.00057469272",
    ts_ns=1_682_689_046_123_000_000,
)
REQUEST = Request(
    channel="spot.order_book_update",
    event="subscribe",
    payload=["NOPE_USD", "100ms"],
    id=12,
)


def wire(era: str = "2026", **options: bool) -> V4Wire:
    return V4Wire(Settings(wire_era=era, **options), random.Random(1))


def market() -> Market:
    return Market(market_spec("BTC_USDT"), 1, NOW_NS)


def load(payload: bytes | None) -> Any:
    assert payload is not None
    return json.loads(payload)


def test_a_trade_of_2021_has_the_recorded_keys_in_order():
    text = wire("2021").trade(TRADE, NOW_NS).decode()

    assert text == (
        '{"time":1682689046,"channel":"spot.trades","event":"update","result":'
        '{"id":5541729598,"create_time":1682689046,"create_time_ms":"1682689046123.0",'
        '"side":"buy","currency_pair":"TLOS_BTC","amount":"89.238",'
        '"price":"0.00000644"}}'
    )


def test_a_trade_of_2026_has_the_newer_keys_too():
    frame = load(wire().trade(TRADE, NOW_NS))

    assert frame["time_ms"] == 1682689046133
    assert frame["result"] == {
        "id": 5541729598,
        "id_market": 77,
        "create_time": 1682689046,
        "create_time_ms": "1682689046123.0",
        "side": "buy",
        "currency_pair": "TLOS_BTC",
        "amount": "89.238",
        "price": "0.00000644",
        "range": "77-77",
        "stock": "89.238",
        "money": "0.00057469272",
        "trade_mode": 0,
    }


def test_a_refusal_of_2026_has_the_shape_seen_live():
    refusal = Refusal(2, "unknown currency pair: NOPE_USD")
    frame = load(wire().answer(REQUEST, refusal, "8b9b24f2d19b4d6b", NOW_NS))

    assert list(frame) == [
        "time",
        "time_ms",
        "id",
        "conn_id",
        "trace_id",
        "channel",
        "event",
        "payload",
        "error",
        "result",
        "requestId",
    ]
    assert frame["error"] == {"code": 2, "message": "unknown currency pair: NOPE_USD"}
    assert frame["result"] == {"status": "fail"}
    assert frame["payload"] == ["NOPE_USD", "100ms"]
    assert frame["trace_id"] == frame["requestId"]


def test_answers_of_2021_are_short():
    success = load(wire("2021").answer(REQUEST, None, "x", NOW_NS))
    failure = load(wire("2021").answer(REQUEST, Refusal(2, "no"), "x", NOW_NS))

    assert success == {
        "time": 1682689046,
        "channel": "spot.order_book_update",
        "event": "subscribe",
        "result": {"status": "success"},
    }
    assert failure["error"] == {"code": 2, "message": "no"}
    assert failure["result"] is None


@pytest.mark.parametrize("era", ["2021", "2026"])
def test_keys_can_be_null_instead_of_absent(era: str):
    lean = Request(channel="spot.trades", event="subscribe", payload=[])
    plain = load(wire(era).answer(lean, None, "x", NOW_NS))
    nulls = load(wire(era, null_keys=True).answer(lean, None, "x", NOW_NS))
    push = load(wire(era, null_keys=True).trade(TRADE, NOW_NS))

    assert plain.keys().isdisjoint({"id", "error"})
    assert (nulls["id"], nulls["error"]) == (None, None)
    assert (push["id"], push["error"]) == (None, None)


def test_time_can_be_missing_and_time_ms_zero():
    odd = wire(omit_time=True, zero_ack_time_ms=True)

    assert "time" not in load(odd.trade(TRADE, NOW_NS))
    assert load(odd.answer(REQUEST, None, "x", NOW_NS))["time_ms"] == 0


def test_a_pong_repeats_the_id_in_2026_alone():
    ping = Request(channel="spot.ping", id=3)
    late, early = (
        load(wire().pong(ping, "x", NOW_NS)),
        load(wire("2021").pong(ping, "x", NOW_NS)),
    )

    assert (late["channel"], late["event"], late["result"]) == ("spot.pong", "", None)
    assert late["id"] == 3
    assert "error" not in late
    assert early == {
        "time": 1682689046,
        "channel": "spot.pong",
        "event": "",
        "error": None,
        "result": None,
    }


def test_the_upgrade_notice_is_as_announced():
    assert load(wire("2021").upgrade(1_770_694_860_773_000_000)) == {
        "time": 1770694860,
        "time_ms": 1770694860773,
        "channel": "spot.system",
        "event": "update",
        "result": {
            "type": "upgrade",
            "msg": "The connection will soon be closed for a service upgrade. "
            "Please reconnect.",
        },
    }


def depth_frame(**other: Any) -> DepthFrame:
    given = {
        "market": "BTC_USDT",
        "ts_ns": 1_790_133_869_806_999_999,
        "first_id": 5,
        "last_id": 9,
        "bids": [(f"{k}", "1") for k in range(20, 0, -1)],
        "asks": [],
        "depth": 100,
    }
    return DepthFrame(**(given | other))


def test_levels_come_in_order_in_2021_and_in_any_order_in_2026():
    early = load(wire("2021").depth(depth_frame(), NOW_NS))["result"]
    late = load(wire().depth(depth_frame(), NOW_NS))["result"]

    assert early == {
        "t": 1790133869806,
        "e": "depthUpdate",
        "E": 1790133869,
        "s": "BTC_USDT",
        "U": 5,
        "u": 9,
        "b": [[f"{k}", "1"] for k in range(20, 0, -1)],
        "a": [],
    }
    assert late["l"] == "100"
    assert late["b"] != early["b"]
    assert sorted(late["b"]) == sorted(early["b"])


def test_only_a_full_frame_is_flagged():
    assert "full" not in load(wire().depth(depth_frame(), NOW_NS))["result"]
    assert (
        load(wire().depth(depth_frame(is_full=True), NOW_NS))["result"]["full"] is True
    )


def test_a_kline_names_its_interval_and_has_its_turnover_under_v():
    row = Candle(1662803040, 213_522)
    row.add(213_424, 1_533_000)
    early = load(wire("2021").kline(market(), "1m", row, NOW_NS, is_closed=True))
    late = load(wire().kline(market(), "1m", row, NOW_NS, is_closed=True))

    assert early["result"] == {
        "t": "1662803040",
        "v": "32717.8992",
        "c": "21342.4",
        "h": "21352.2",
        "l": "21342.4",
        "o": "21352.2",
        "n": "1m_BTC_USDT",
    }
    assert late["result"] == early["result"] | {"a": "1.533", "w": True}


def test_an_empty_book_has_empty_texts_in_ticker_and_book_ticker():
    empty = market()
    for side in (0, 1):
        empty.book.take(side, 10**12)
    empty.candles.add(643_210, 5, NOW_NS // 10**9)
    ticker = load(wire().ticker(empty, NOW_NS))["result"]
    best = load(wire().book_ticker(empty, NOW_NS))["result"]

    assert (ticker["lowest_ask"], ticker["highest_bid"]) == ("", "")
    assert [best[key] for key in "bBaA"] == ["", "", "", ""]
    assert best["u"] == empty.update_id


def test_a_ticker_without_trades_is_not_sent():
    assert wire().ticker(market(), NOW_NS) is None


def test_a_ticker_sums_the_day_up():
    busy = market()
    now_s = NOW_NS // 10**9
    for price, amount, ago in (
        (600_000, 3, 90_000),
        (500_000, 2, 600),
        (510_000, 1, 5),
    ):
        busy.candles.add(price, amount * 10**6, now_s - ago)
    result = load(wire().ticker(busy, NOW_NS))["result"]

    assert result["last"] == "51000"
    assert (result["high_24h"], result["low_24h"]) == ("51000", "50000")
    assert (result["base_volume"], result["quote_volume"]) == ("3", "151000")
    assert result["change_percentage"] == "2"
    assert float(result["highest_bid"]) < float(result["lowest_ask"])


def test_a_fall_is_a_negative_change():
    row = Candle(0, 1000)
    row.add(985, 1)

    assert change_text(row) == "-1.5"


def test_requests_are_told_from_other_json_and_from_no_json():
    assert decode_request('{"channel":"spot.ping","time":123.5}') == Request(
        channel="spot.ping", time=123.5
    )
    assert decode_request('{"event":"subscribe"}') == Refusal(1, "invalid request body")
    assert decode_request("[1]") == Refusal(1, "invalid request body")
    assert decode_request("hello") is None


def test_a_plain_answer_agrees_to_everything():
    ack, is_subscription = plain_answer(
        '{"channel":"futures.trades","event":"subscribe","payload":["X"],"id":4}',
        NOW_NS,
    )
    assert load(ack) == {
        "time": 1682689046,
        "time_ms": 1682689046133,
        "id": 4,
        "channel": "futures.trades",
        "event": "subscribe",
        "payload": ["X"],
        "result": {"status": "success"},
    }
    assert is_subscription
    pong, is_subscription = plain_answer('{"channel":"spot.ping"}', NOW_NS)
    assert load(pong)["channel"] == "spot.pong"
    assert not is_subscription
    assert plain_answer("x", NOW_NS) == (None, False)
