"""What two runs recorded comes once in a replay."""

import pytest

from recorder.model import Kline, Row, Ticker, Trade
from recorder.replay.once import Once
from recorder.replay.stream import replay


ONE, TWO = "20231114T221320-abcdef.0", "20231114T231320-fedcba.0"


def trade(trade_id, market="BTC_USDT"):
    return Trade(
        market=market,
        ts_event=1,
        trade_id=trade_id,
        side="buy",
        price="100",
        amount="1",
    )


def kline(close, **other):
    facts = {"market": "BTC_USDT", "interval": "1m", "open_at": 0, "ts_event": 1}
    values = {"open": "1", "high": "9", "low": "1", "close": close, "volume": "5"}
    return Kline(**facts, **values, turnover="5", **other)


def test_of_two_runs_each_trade_and_each_version_of_a_kline_comes_once(recorded):
    for at, conn in ((1.0, ONE), (1.2, TWO)):
        for number in (7, 8):
            recorded.row(at + number, trade(number), conn=conn)
        recorded.row(at + 10, trade(None), conn=conn)
        recorded.row(at + 11, kline("2"), conn=conn)
        recorded.row(at + 12, kline("3"), conn=conn)
        recorded.row(at + 13, kline("3", is_closed=True), conn=conn)
        recorded.row(at + 14, Ticker(market="BTC_USDT", ts_event=1), conn=conn)
    recorded.row(20, trade(7, "ETH_USDT"), conn=TWO)
    recorded.row(21, trade(8), conn=TWO, source="gate_v3")
    recorded.segment()

    rows = list(replay(recorded.listing()))

    trades = [
        (row.source, row.event.market, row.event.trade_id, row.conn)
        for row in rows
        if isinstance(row.event, Trade)
    ]
    assert trades == [
        ("gate_spot", "BTC_USDT", 7, ONE),
        ("gate_spot", "BTC_USDT", 8, ONE),
        ("gate_spot", "BTC_USDT", None, ONE),
        ("gate_spot", "BTC_USDT", None, TWO),
        ("gate_spot", "ETH_USDT", 7, TWO),
        ("gate_v3", "BTC_USDT", 8, TWO),
    ]
    klines = [row for row in rows if isinstance(row.event, Kline)]
    assert [(row.event.close, row.event.is_closed) for row in klines] == [
        (2.0, None),
        (3.0, None),
        (3.0, True),
    ]
    assert {row.conn for row in klines} == {ONE}
    assert sum(isinstance(row.event, Ticker) for row in rows) == 2


def test_a_connection_that_repeats_a_kline_is_believed():
    once = Once()
    rows = [
        Row(ts_recv=at, source="s", conn=conn, seq=at, idx=0, event=kline(1.0))
        for at, conn in enumerate([ONE, ONE, TWO, ONE])
    ]

    assert [once.is_new(row) for row in rows] == [True, True, False, True]


@pytest.mark.parametrize(("between", "is_new"), [(18, False), (40, True)])
def test_what_came_long_ago_is_forgotten(between, is_new):
    once = Once(remembered=20)

    def tell(number):
        event = trade(number)
        row = Row(ts_recv=number, source="s", conn=ONE, seq=0, idx=0, event=event)
        return once.is_new(row)

    for number in range(between + 1):
        assert tell(number)
    assert tell(0) == is_new
