"""How Gate's feeds ask for the past, and what they make of the answers.

Bodies are those of the examples in the venue's documents, with other numbers.
"""

import msgspec
import pytest

from recorder.errors import WireError
from recorder.model import Chain, Kline, Trade
from recorder.source import Question, Wanted
from recorder.sources import gate_futures, gate_spot, gate_v3


S = 10**9
OPTIONS = {"settle": "usdt"}


def rule(module, table):
    return next(r for r in module.SOURCE.history if r.table == table)


def asked(module, table, stream, **wanted):
    chain = Chain("BTC_USDT", stream)
    return rule(module, table).ask(chain, OPTIONS, Wanted(limit=7, **wanted))


def told(module, table, stream, body):
    chain = Chain("BTC_USDT", stream)
    return rule(module, table).decode(chain, msgspec.json.encode(body))


@pytest.mark.parametrize(
    ("module", "table", "stream", "wanted", "target"),
    [
        (
            *(gate_spot, "trades", "trades", {"until_id": 99}),
            "/spot/trades?currency_pair=BTC_USDT&limit=7&last_id=100&reverse=true",
        ),
        (
            *(gate_spot, "trades", "trades", {}),
            "/spot/trades?currency_pair=BTC_USDT&limit=7",
        ),
        (
            *(gate_spot, "klines", "klines:1m", {"from_ns": 60 * S, "to_ns": 120 * S}),
            "/spot/candlesticks?currency_pair=BTC_USDT&interval=1m&from=60&to=120",
        ),
        (
            *(gate_futures, "trades", "trades"),
            {"from_ns": 5 * S, "to_ns": 9 * S, "skip": 3},
            "/futures/usdt/trades?contract=BTC_USDT&limit=7&from=5&to=9&offset=3",
        ),
        (
            *(gate_futures, "trades", "trades", {}),
            "/futures/usdt/trades?contract=BTC_USDT&limit=7",
        ),
        (
            *(gate_futures, "klines", "klines:mark.1m", {"from_ns": 0, "to_ns": S}),
            "/futures/usdt/candlesticks?contract=mark_BTC_USDT&interval=1m&from=0&to=1",
        ),
    ],
)
def test_a_page_is_asked_for_as_documented(module, table, stream, wanted, target):
    assert asked(module, table, stream, **wanted).target == target


def test_sizes_of_contracts_are_asked_for_with_their_digits():
    for table, stream in (("trades", "trades"), ("klines", "klines:1m")):
        request = asked(gate_futures, table, stream)
        assert request.headers == (("X-Gate-Size-Decimal", "1"),)


def test_the_older_protocol_is_asked_over_its_socket():
    trades = asked(gate_v3, "trades", "trades", since_id=40)
    klines = asked(gate_v3, "klines", "klines:1m", from_ns=60 * S, to_ns=180 * S)

    assert isinstance(trades, Question)
    assert msgspec.json.decode(trades.query.ask(3, "BTC_USDT", trades.values)) == {
        "id": 3,
        "method": "trades.query",
        "params": ["BTC_USDT", 7, 40],
    }
    assert msgspec.json.decode(klines.query.ask(4, "BTC_USDT", klines.values)) == {
        "id": 4,
        "method": "kline.query",
        "params": ["BTC_USDT", 60, 181, 60],
    }
    assert trades.target == "trades BTC_USDT limit=7 last-id=40"


def test_spot_trades_keep_every_digit_and_their_running_number():
    row = {
        "id": "1232893232",
        "create_time": "1548000000",
        "create_time_ms": "1548000000123.456",
        "order_id": "4128442423",
        "side": "buy",
        "role": "maker",
        "amount": "0.150000000000001",
        "price": "0.03",
        "sequence_id": "588018",
    }

    assert told(gate_spot, "trades", "trades", [row]) == (
        Trade(
            market="BTC_USDT",
            ts_event=1548000000123456000,
            trade_id=1232893232,
            side="buy",
            price="0.03",
            amount="0.150000000000001",
            market_trade_id=588018,
            origin="backfill",
        ),
    )


def test_a_trade_of_a_contract_has_its_time_in_seconds_with_a_point():
    row = {
        "id": 121234231,
        "create_time": 1514764800,
        "create_time_ms": 1514764800.123,
        "contract": "BTC_USDT",
        "size": "-100",
        "price": "100.123",
    }

    assert told(gate_futures, "trades", "trades", [row]) == (
        Trade(
            market="BTC_USDT",
            ts_event=1514764800123000000,
            trade_id=121234231,
            side="sell",
            price="100.123",
            amount="100",
            origin="backfill",
        ),
    )
    [old] = told(
        gate_futures,
        "trades",
        "trades",
        [{name: row[name] for name in row if name != "create_time_ms"}],
    )
    assert old.ts_event == 1514764800 * S


def test_candlesticks_say_whether_they_are_closed_where_the_venue_does():
    row = ["1539852480", "971519.677", "4", "5", "2", "3", "0.5", "true"]

    [kline] = told(gate_spot, "klines", "klines:1m", [row])
    assert kline == Kline(
        market="BTC_USDT",
        ts_event=None,
        interval="1m",
        open_at=1539852480 * S,
        open="3",
        high="5",
        low="2",
        close="4",
        volume="0.5",
        turnover="971519.677",
        is_closed=True,
        origin="backfill",
    )
    [growing] = told(gate_spot, "klines", "klines:1m", [[*row[:7], "false"]])
    [old] = told(gate_spot, "klines", "klines:1m", [row[:6]])
    assert (growing.is_closed, old.is_closed, old.volume) == (False, None, None)


def test_candlesticks_of_contracts_say_what_their_pushes_say():
    row = {"t": 60, "v": "97151", "c": "4", "h": "5", "l": "2", "o": "3", "sum": "9"}

    [kline] = told(gate_futures, "klines", "klines:index.1m", [row])
    assert (kline.interval, kline.open_at, kline.volume) == (
        "index.1m",
        60 * S,
        "97151",
    )
    assert (kline.open, kline.high, kline.low, kline.close) == ("3", "5", "2", "4")
    assert (kline.is_closed, kline.turnover, kline.origin) == (None, None, "backfill")


@pytest.mark.parametrize(
    ("module", "table", "body"),
    [
        (gate_spot, "trades", {"label": "OOPS"}),
        (gate_spot, "trades", [{"id": "x", "create_time_ms": "1", "side": "buy"}]),
        (
            gate_spot,
            "trades",
            [
                {
                    "id": "-5",
                    "create_time_ms": "1",
                    "side": "buy",
                    "price": "1",
                    "amount": "1",
                }
            ],
        ),
        (gate_spot, "klines", [["1", "2"]]),
        (gate_spot, "klines", [["x", "1", "1", "1", "1", "1"]]),
        (gate_futures, "trades", [{"id": 1, "size": 0, "price": "1", "contract": "X"}]),
        (gate_futures, "klines", [{"t": 60, "o": None}]),
    ],
)
def test_what_is_no_history_is_refused(module, table, body):
    with pytest.raises(WireError):
        told(module, table, "klines:1m" if table == "klines" else "trades", body)


@pytest.mark.parametrize("module", [gate_spot, gate_futures, gate_v3])
def test_lengths_of_klines_are_known(module):
    history = rule(module, "klines")

    assert history.step_ns(Chain("BTC_USDT", "klines:5m")) == 300 * S
    assert history.step_ns(Chain("BTC_USDT", "klines:5y")) is None
    if module is not gate_v3:
        reach = history.reach_ns(Chain("BTC_USDT", "klines:1m"))
        assert reach == 9_999 * 60 * S
