"""Replay of a real store, against a brute-force sort of what was put in."""

from itertools import count

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import ConfigError
from recorder.model import (
    TABLE_OF,
    Bbo,
    ContractStats,
    Coverage,
    DepthUpdate,
    Gap,
    Kline,
    Row,
    StatusEvent,
    Ticker,
    Trade,
    beside,
    parse_levels,
)
from recorder.replay import replay, stream


def trade(number, market="BTC_USDT", **other):
    return Trade(
        market=market,
        ts_event=None,
        trade_id=number,
        side="sell",
        price="37483.21",
        amount="0.5",
        **other,
    )


def kline(interval="1m", market="BTC_USDT"):
    numbers = {"open": "1", "high": "4", "low": "0.5", "close": "2", "volume": "9"}
    return Kline(
        market=market,
        ts_event=7,
        interval=interval,
        open_at=60,
        turnover=None,
        **numbers,
    )


STATUS = StatusEvent(
    kind="upgrade", payload='{"a":1}', market=None, ts_event=3, markets=("A", "B")
)
NUMBERS = {"price", "amount", "open", "high", "low", "close", "volume", "last", "bid"}
NUMBERS |= {"bid_price", "bid_amount"}


def stored(event):
    """The event as it should come back: numbers as doubles, levels as pairs."""
    if isinstance(event, DepthUpdate):
        return msgspec.structs.replace(
            event, bids=parse_levels(event.bids), asks=parse_levels(event.asks)
        )
    values = msgspec.structs.asdict(event)
    for name in NUMBERS & values.keys():
        if values[name] is not None:
            values[name] = float(values[name])
    return type(event)(**values)


def collect(recorded):
    """The rows of a store that is being filled, in the order of replay."""
    found = []
    for (table, source), rows in recorded._rows.items():
        for ts_recv, conn, seq, idx, event, _ in rows:
            at = event.started_at if table == "gaps" else ts_recv
            row = Row(
                source=source,
                ts_recv=at,
                conn=conn,
                seq=seq,
                idx=idx,
                event=stored(event),
            )
            found.append(((at, table != "gaps", source, conn, seq, idx, table), row))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def put_some_of_everything(recorded):
    recorded.row(5, trade(1))
    recorded.row(5, trade(2), seq=1, idx=1)
    recorded.row(5, trade(3), seq=1, idx=0)
    recorded.row(4, kline(), source="gate_v3")
    recorded.row(3, Ticker(market="ETH_USDT", ts_event=None, last="1.5", period_s=60))
    recorded.row(2, Bbo(market="BTC_USDT", ts_event=1, bid_price="3", bid_amount="4"))
    recorded.row(2, STATUS, source="gate_announcements")
    recorded.depth(2, 4, 5, [(9, 2)], [(11, 0)])
    recorded.image(2, 5, [(9, 1), (8, 1)], [(11, 1)])
    recorded.gap(2, 5, market=None, stream=None)
    recorded.gap(9, None, stream="trades")


def test_everything_comes_back_in_one_order(recorded):
    put_some_of_everything(recorded)
    expected = collect(recorded)

    assert list(replay(recorded.listing())) == expected
    assert [TABLE_OF[type(row.event)] for row in expected[:3]] == [
        "gaps",
        "status",
        "bbo",
    ]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_split_into_files_and_slices_gives_the_same_order(
    data, new_store, monkeypatch
):
    recorded, expected, numbers = new_store(), [], count()
    monkeypatch.setattr(stream, "SLICE_ROWS", data.draw(st.integers(1, 6)))
    monkeypatch.setattr(stream, "SLICE_ROWS_MAX", data.draw(st.integers(6, 12)))
    for _ in range(data.draw(st.integers(1, 4))):
        for _ in range(data.draw(st.integers(1, 12))):
            place = {
                "source": data.draw(st.sampled_from(["gate_spot", "gate_v3"])),
                "conn": data.draw(
                    st.sampled_from(["20231114T221320-a.0", "b.1", "b.2"])
                ),
                "seq": data.draw(st.integers(0, 3)),
            }
            at = data.draw(st.sampled_from([0, 0.001, 1, 30, 500, 9_000]))
            if data.draw(st.booleans()):
                recorded.row(at, trade(next(numbers)), **place)
            else:
                recorded.depth(at, 1, 2, [(1, 2)], **place)
        expected += collect(recorded)
        data.draw(st.sampled_from([recorded.segment, recorded.journal]))()
    key = lambda row: (row.ts_recv, row.source, row.conn, row.seq, row.idx)  # noqa: E731

    found = list(replay(recorded.listing()))

    assert [key(row) for row in found] == sorted(key(row) for row in expected)
    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_a_range_is_half_open(recorded, at):
    put_some_of_everything(recorded)
    expected = [row for row in collect(recorded) if at(3) <= row.ts_recv < at(5)]

    found = list(replay(recorded.listing(), start_ns=at(3), end_ns=at(5)))

    assert found == expected
    assert len(found) == 2


def test_a_source_is_replayed_alone(recorded):
    put_some_of_everything(recorded)
    expected = [row for row in collect(recorded) if row.source == "gate_v3"]

    assert list(replay(recorded.listing(), source="gate_v3")) == expected


def test_what_concerns_no_market_comes_with_any(recorded):
    put_some_of_everything(recorded)
    recorded.gap(3, 4, market="ETH_USDT")
    expected = [
        row for row in collect(recorded) if row.event.market in (None, "ETH_USDT")
    ]

    found = list(replay(recorded.listing(), markets=["ETH_USDT"]))

    assert found == expected
    assert {type(row.event) for row in found} == {Gap, StatusEvent, Ticker}


def streams_of(recorded, **wanted):
    found = replay(recorded.listing(), **wanted)
    return [
        getattr(row.event, "stream", None)
        or getattr(row.event, "interval", None)
        or TABLE_OF[type(row.event)]
        for row in found
    ]


def test_streams_are_chosen_by_table_or_with_their_parameter(recorded):
    recorded.row(1, trade(1))
    recorded.depth(2, 1, 1)
    recorded.depth(3, 1, 1, stream="depth:20ms")
    recorded.row(4, kline("1m"))
    recorded.row(5, kline("4h"))
    recorded.gap(6, stream="depth:20ms")
    recorded.gap(7, stream="klines:4h")
    recorded.listing()

    assert streams_of(recorded, streams=["depth"]) == [
        "depth:100ms",
        "depth:20ms",
        "depth:20ms",
    ]
    assert streams_of(recorded, streams=["depth:20ms"]) == ["depth:20ms"] * 2
    assert streams_of(recorded, streams=["klines:4h", "trades"]) == [
        "trades",
        "4h",
        "klines:4h",
    ]
    assert streams_of(recorded, streams=["depth", "depth:20ms", "klines"]) == [
        "depth:100ms",
        "depth:20ms",
        "1m",
        "4h",
        "depth:20ms",
        "klines:4h",
    ]
    assert streams_of(recorded, streams=["klines:1m"]) == ["1m"]


def test_a_stream_without_markets_is_chosen_by_its_parameter(recorded):
    for at, state in enumerate(["fees", "listings", None], start=1):
        recorded.row(at, msgspec.structs.replace(STATUS, state=state))
    recorded.coverage(0, 9, market=None, stream="status:fees")
    recorded.coverage(0, 9, market=None, stream="status:listings")
    recorded.gap(4, market=None, stream="status:fees")
    listing = recorded.listing()

    (event, gap) = replay(listing, streams=["status:fees"])
    assert event.event.state == "fees"
    assert gap.event.stream == "status:fees"
    assert len(list(replay(listing, streams=["status"]))) == 4
    with pytest.raises(ConfigError, match=r"no market 'X'.* there is none"):
        replay(listing, markets=["X"])


def test_statistics_are_chosen_by_their_interval(recorded):
    for at, interval in ((1, "1m"), (2, "1d"), (3, "1m")):
        recorded.row(
            at, ContractStats(market="BTC_USDT", ts_event=None, interval=interval)
        )

    assert streams_of(recorded, streams=["contract_stats:1m"]) == ["1m", "1m"]
    assert streams_of(recorded, streams=["contract_stats"]) == ["1m", "1d", "1m"]


def test_a_gap_is_there_once_as_its_newest_revision(recorded, at):
    recorded.gap(5, None, written_at=5, gap_id="g", detail="first")
    recorded.gap(5, 9, written_at=9, gap_id="g", detail="second", seq=1)
    recorded.gap(5, 9, written_at=9, gap_id="g", detail="last", seq=2)
    recorded.journal()
    recorded.gap(5, None, written_at=6, gap_id="g", detail="late in the listing")
    recorded.journal()
    recorded.row(5, trade(1))

    found = list(replay(recorded.listing()))

    assert [(row.ts_recv, getattr(row.event, "detail", "")) for row in found] == [
        (at(5), "last"),
        (at(5), ""),
    ]


def test_gaps_are_there_without_any_rows(recorded, at):
    recorded.gap(5, None)
    recorded.gap(3, None)
    recorded.segment()
    recorded.row(
        0,
        Coverage(
            market=None, stream="s", job="j", started_at=1, ended_at=2, closed_by="stop"
        ),
    )

    assert [row.ts_recv for row in replay(recorded.listing())] == [at(3), at(5)]


def test_an_empty_store_has_nothing_to_replay(recorded):
    assert list(replay(recorded.listing())) == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"source": "okx"}, "no source 'okx'; it has gate_announcements, gate_spot"),
        (
            {"markets": ["DOGE_USDT"]},
            "gate_spot or gate_v3; there is BTC_USDT, ETH_USDT",
        ),
        ({"streams": ["candles"]}, "no stream 'candles'; it has .*depth:100ms"),
        ({"streams": ["klines:9m"]}, "no stream 'klines:9m'; it has .*klines:1m"),
    ],
)
def test_names_that_were_never_recorded_are_refused_at_once(recorded, wanted, message):
    put_some_of_everything(recorded)

    with pytest.raises(ConfigError, match=message):
        replay(recorded.listing(), **wanted)


def test_of_a_run_without_an_account_no_book_without_ids_is_replayed(recorded, at):
    run, other = "20231114T221320-abcdef", "20231114T221320-bbbbbb"
    bare = {"stream": "depth:30", "source": "gate_v3"}
    for conn in (f"{run}.0", f"{other}.0"):
        recorded.image(1, None, conn=conn, origin="live", **bare)
        recorded.depth(2, 5, 6, conn=conn)
    told = beside(other, "job", "process_killed", at(3))
    for source in ("gate_v3", "gate_spot"):
        recorded.row(3, told, source=source, conn=f"{other}.ledger")

    rows = [*replay(recorded.listing(), streams=["depth"])]

    found = [(r.source, r.conn) for r in rows if not isinstance(r.event, Gap)]
    assert sorted(found) == [
        ("gate_spot", f"{run}.0"),
        ("gate_spot", f"{other}.0"),
        ("gate_v3", f"{run}.0"),
    ]
