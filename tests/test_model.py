from typing import get_args

import msgspec
import pytest

from recorder.model import (
    TABLE_OF,
    Bbo,
    Chain,
    DepthUpdate,
    Kline,
    LedgerRow,
    StoredEvent,
    Ticker,
    Trade,
    WireEvent,
    parse_levels,
)


@pytest.mark.parametrize(
    ("raw", "levels"),
    [
        (b"[]", ()),
        (b'[["1.50","2"],["1.4","0"]]', ((1.5, 2.0), (1.4, 0.0))),
        (b'[ ["1.50", "2"] , ["1.4", "0"] ]', ((1.5, 2.0), (1.4, 0.0))),
        (b'[{"p":"0.2983","s":0},{"s":7,"p":"0.3"}]', ((0.2983, 0.0), (0.3, 7.0))),
        (b"[[1.5,2]]", ((1.5, 2.0),)),
    ],
)
def test_raw_levels_become_pairs_in_wire_order(
    raw: bytes, levels: tuple[tuple[float, float], ...]
) -> None:
    assert parse_levels(raw) == levels
    assert parse_levels(msgspec.Raw(raw)) == levels


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"{}", b'[["1"]]', b'[["1","2","3"]]', b'[{"p":"1"}]']
)
def test_levels_of_another_shape_are_refused(raw: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse_levels(raw)


def test_every_event_and_ledger_row_fills_a_table() -> None:
    def classes(union: object) -> set[object]:
        return {getattr(kind, "__origin__", kind) for kind in get_args(union)}

    assert classes(WireEvent) <= TABLE_OF.keys()
    assert classes(LedgerRow) <= TABLE_OF.keys()
    assert classes(StoredEvent) <= TABLE_OF.keys()


@pytest.mark.parametrize("kind", list(TABLE_OF), ids=lambda kind: kind.__name__)
def test_every_row_has_a_market_and_a_venue_time(kind: type[msgspec.Struct]) -> None:
    assert {"market", "ts_event"} <= set(kind.__struct_fields__)


def test_events_cannot_be_changed() -> None:
    trade = Trade(
        market="BTC_USDT",
        ts_event=1,
        trade_id=2,
        side="buy",
        price="1.5",
        amount="2",
    )

    with pytest.raises(AttributeError):
        trade.price = "1.6"  # type: ignore[misc]


def test_events_are_live_unless_said_otherwise() -> None:
    trade = Trade(
        market="A", ts_event=None, trade_id=None, side="sell", price="1", amount="1"
    )
    update = DepthUpdate(
        market="A",
        stream="depth:30",
        ts_event=None,
        is_snapshot=False,
        first_update_id=None,
        last_update_id=None,
        bids=b"[]",
        asks=b"[]",
    )
    kline = Kline(
        market="A",
        ts_event=None,
        interval="1m",
        open_at=0,
        open="1",
        high="1",
        low="1",
        close="1",
    )

    assert (trade.origin, update.origin, kline.origin) == ("live", "live", "live")


def test_what_a_venue_does_not_send_is_none() -> None:
    ticker = msgspec.structs.asdict(Ticker(market="A", ts_event=None))
    bbo = msgspec.structs.asdict(Bbo(market="A", ts_event=None))

    assert {key for key, value in ticker.items() if value is not None} == {"market"}
    assert {key for key, value in bbo.items() if value is not None} == {"market"}


def test_a_chain_is_a_market_and_a_stream() -> None:
    assert Chain("BTC_USDT", "trades") == ("BTC_USDT", "trades")


def test_a_chain_is_named_in_words() -> None:
    assert Chain("BTC_USDT", "trades").words == "trades of BTC_USDT"
    assert Chain("", "status:fees").words == "status:fees"
