"""One event is stored once."""

from recorder.capture.doubles import REMEMBERED_TRADES, Doubles
from recorder.model import Kline, StatusEvent, Trade


def trade(trade_id: int | None, market: str = "BTC_USDT") -> Trade[str]:
    return Trade(
        market=market,
        ts_event=1,
        trade_id=trade_id,
        side="buy",
        price="1",
        amount="2",
    )


def kline(close: str, *, ts_event: int = 1) -> Kline[str]:
    return Kline(
        market="BTC_USDT",
        ts_event=ts_event,
        interval="1m",
        open_at=60,
        open="1",
        high="3",
        low="1",
        close=close,
    )


def test_a_trade_is_new_once_in_each_market():
    doubles = Doubles()

    assert doubles.is_new_trade(trade(7))
    assert not doubles.is_new_trade(trade(7))
    assert doubles.is_new_trade(trade(7, "ETH_USDT"))


def test_a_trade_without_an_id_is_always_new():
    doubles = Doubles()

    assert doubles.is_new_trade(trade(None))
    assert doubles.is_new_trade(trade(None))


def test_seeded_ids_are_known():
    doubles = Doubles()
    doubles.seed_trades("BTC_USDT", [5, 6])

    assert not doubles.is_new_trade(trade(6))
    assert doubles.is_new_trade(trade(8))


def test_only_so_many_ids_are_remembered():
    doubles = Doubles()
    for number in range(REMEMBERED_TRADES + 1):
        doubles.is_new_trade(trade(number))

    assert not doubles.is_new_trade(trade(1))
    assert doubles.is_new_trade(trade(0))


def test_a_kline_is_doubled_only_by_another_connection():
    doubles = Doubles()

    assert doubles.is_new_kline(kline("2"), "run.0")
    assert doubles.is_new_kline(kline("2"), "run.0")
    assert not doubles.is_new_kline(kline("2", ts_event=9), "run.1")
    assert doubles.is_new_kline(kline("3"), "run.2")


def test_a_status_event_is_known_by_its_content():
    doubles = Doubles()

    assert doubles.is_new_status(StatusEvent(kind="upgrade", payload="a"))
    assert not doubles.is_new_status(StatusEvent(kind="upgrade", payload="a"))
    assert doubles.is_new_status(StatusEvent(kind="upgrade", payload="b"))
