"""Rows counted instead of stored."""

import pytest

from recorder.capture.findings import Findings
from recorder.model import (
    Bbo,
    Chain,
    ConnectionLife,
    ContractStats,
    Coverage,
    DepthUpdate,
    Gap,
    KeptFrame,
    Kline,
    StatusEvent,
    Trade,
)
from recorder.probe.tally import Tally
from recorder.store.writer import Flush


TRADES = Chain("A_B", "trades")
DEPTH = Chain("A_B", "depth:100ms")
KLINES = Chain("A_B", "klines:1m")
FIVE = Chain("A_B", "klines:5m")
STATS = Chain("A_B", "contract_stats:1m")
STATUS = Chain("", "status")


@pytest.fixture
def tally():
    return Tally([TRADES, DEPTH, KLINES, FIVE, STATS, STATUS], Findings())


@pytest.fixture
def take(tally):
    """Hand rows over, each in a frame of its own unless a number is given."""

    def take(table, *events, seq=None):
        rows = [
            (1_000 + n, "probe.0", n if seq is None else seq, n, event, b"frame")
            for n, event in enumerate(events)
        ]
        tally.take(Flush(rows={(table, "fake"): rows}, through_ns=0))
        return tally

    return take


def trade(trade_id, *, price="1", origin="live", number=None):
    return Trade(
        market="A_B",
        ts_event=None,
        trade_id=trade_id,
        side="buy",
        price=price,
        amount="1",
        market_trade_id=number,
        origin=origin,
    )


def depth(first, last, origin="live"):
    return DepthUpdate(
        market="A_B",
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=first is None,
        first_update_id=first,
        last_update_id=last,
        bids=b"[]",
        asks=b"[]",
        origin=origin,
    )


def kline(interval):
    return Kline(
        market="A_B",
        ts_event=None,
        interval=interval,
        open_at=0,
        open="1",
        high="1",
        low="1",
        close="1",
    )


def gap(chain, reason, gap_id="g", *, scope="rows", **facts):
    return Gap(
        gap_id=gap_id,
        market=chain.market or None,
        stream=chain.stream,
        job="job",
        scope=scope,
        reason=reason,
        started_at=1,
        **facts,
    )


def test_rows_of_one_frame_are_one_frame(take):
    tally = take("trades", trade(1), trade(2, origin="history"), seq=7)
    take("trades", trade(3, number=9), seq=8)

    found = tally.chains[TRADES]
    assert (found.frames, found.rows, found.history) == (2, 3, 1)
    assert found.is_numbered
    assert tally.takes == 2


def test_ids_of_updates_count_and_snapshots_by_http_do_not(take):
    tally = take("depth", depth(None, 5, "rest"), depth(6, 7), depth(8, 12))

    found = tally.chains[DEPTH]
    assert (found.rows, found.first_update_id, found.last_update_id) == (2, 6, 12)


def test_a_snapshot_on_the_socket_begins_the_ids(take):
    assert take("depth", depth(None, 5)).chains[DEPTH].first_update_id == 5


def test_each_row_counts_for_its_own_stream(take):
    take("klines", kline("1m"), kline("5m"), kline("1m"))
    take("contract_stats", ContractStats(market="A_B", ts_event=None, interval="1m"))
    take("bbo", Bbo(market="A_B", ts_event=None))
    tally = take("status", StatusEvent(kind="notice", payload="{}", market="A_B"))

    rows = {chain: found.rows for chain, found in tally.chains.items()}
    assert rows == {TRADES: 0, DEPTH: 0, KLINES: 2, FIVE: 1, STATS: 1, STATUS: 1}
    assert [event.kind for event in tally.said] == ["notice"]


def test_the_newest_revision_of_a_gap_counts(take):
    take("gaps", gap(DEPTH, "sequence_gap", after_update_id=1, before_update_id=3))
    tally = take(
        "gaps",
        gap(DEPTH, "sequence_gap", healed_by="late"),
        gap(DEPTH, "crossed", "c", scope="book"),
        gap(DEPTH, "crossed", "c", scope="book", ended_at=9),
        gap(DEPTH, "resync", "r", scope="book"),
        gap(TRADES, "stale_stream", "s"),
        gap(TRADES, "not_started", "n"),
        gap(STATUS, "stale_stream", "t"),
        gap(Chain("X_Y", "trades"), "stale_stream", "u"),
    )

    found = tally.chains[DEPTH]
    assert [g.healed_by for g in found.missing.values()] == ["late"]
    assert list(found.crossings) == ["c"]
    assert found.gaps == {}
    assert list(tally.chains[TRADES].gaps) == ["s"]
    assert list(tally.chains[STATUS].gaps) == ["t"]


def test_a_gap_of_the_whole_job_is_no_streams_own(take):
    everywhere = Gap(
        gap_id="g",
        market=None,
        stream=None,
        job="job",
        scope="rows",
        reason="backpressure",
        started_at=1,
    )

    tally = take("gaps", everywhere)

    assert not any(found.gaps for found in tally.chains.values())


def test_frames_alike_are_counted_together(take):
    errors = ["line 1 is no JSON", "line 1 is no JSON", "not known: method 'x'"]
    frames = [
        KeptFrame(
            direction="in", opcode="text", reason="unknown", payload=b"f", error=error
        )
        for error in errors
    ]

    tally = take("frames", *frames)

    assert [(kept.error, kept.frames) for kept in tally.kept.values()] == [
        ("line 1 is no JSON", 2),
        ("not known: method 'x'", 1),
    ]


def test_what_a_store_would_refuse_is_found(take):
    rows = trade(1, price="much"), trade(2, price="1." + "1" * 30)
    tally = take("trades", *rows, trade(3, price="2." + "1" * 30))

    assert [(key[0], kept.frames) for key, kept in tally.kept.items()] == [
        ("undecodable", 1),
        ("inexact", 2),
    ]


def test_ends_of_connections_are_kept_with_their_names(take):
    life = ConnectionLife(
        url="ws://x", opened_at=1, closed_at=2, close_code=None, close_reason=None,
        frames=3, bytes=4,
    )  # fmt: skip

    assert take("connections", life).lives == [("probe.0", life)]


def test_coverage_tells_nothing_more(take):
    row = Coverage(
        market="A_B",
        stream="trades",
        job="job",
        started_at=1,
        ended_at=2,
        closed_by="stop",
    )

    tally = take("coverage", row)

    assert all(found.rows == 0 for found in tally.chains.values())
