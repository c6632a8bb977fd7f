"""Books sampled from a real store, against the plain order book and by hand."""

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import ConfigError
from recorder.model import DepthUpdate, beside
from recorder.replay import BookView, bbo, book_at, chain_rows, walk
from recorder.replay.book import OrderBook
from recorder.replay.stream import replay
from recorder.store.run import OpenInterval, RunState, open_run


WHERE = {"source": "gate_spot", "market": "BTC_USDT"}
V3 = {"source": "gate_v3", "stream": "depth:30"}


def quotes(table: pa.Table):
    """Rows of a BBO table as (seconds, bid, ask); a string where not known."""
    rows = []
    times = table["ts_recv"].cast("int64").to_pylist()
    others = table.drop_columns(["ts_recv", "ts_event"]).to_pylist()
    for ts_recv, row in zip(times, others, strict=True):
        at = (ts_recv - 1_700_000_000_000_000_000) / 1e9
        if row["known"]:
            bid = (row["bid_price"], row["bid_amount"])
            rows.append((at, bid, (row["ask_price"], row["ask_amount"])))
        else:
            assert row["bid_price"] is row["ask_amount"] is None
            rows.append((at, "unknown"))
    return rows


def small_chain(recorded, **other):
    """A book that is known from 2 s on, with an update at 3 s."""
    recorded.depth(1, 5, 6, [(9, 2)], **other)
    recorded.image(2, 5, [(9, 1), (8, 1)], [(11, 1)], **other)
    recorded.depth(3, 7, 7, [(10, 3)], [(11, 0), (12, 4)], **other)


def test_bbo_has_a_row_for_each_message(recorded, at):
    small_chain(recorded)
    recorded.depth(4, 8, 8, [], [(12, 0)])

    table = bbo(recorded.listing(), **WHERE)

    assert quotes(table) == [
        (1.0, "unknown"),
        (2.0, (9.0, 2.0), (11.0, 1.0)),
        (3.0, (10.0, 3.0), (12.0, 4.0)),
        (4.0, (10.0, 3.0), (None, None)),
    ]
    assert table.column_names == [
        "ts_recv",
        "ts_event",
        "bid_price",
        "bid_amount",
        "ask_price",
        "ask_amount",
        "known",
    ]
    assert table["ts_event"].cast("int64").to_pylist() == [
        at(s) - 5_000_000 for s in (1, 2, 3, 4)
    ]


def test_rows_of_journals_and_segments_in_any_order_make_one_chain(recorded):
    recorded.depth(3, 7, 7, [(10, 3)], [(11, 0), (12, 4)])
    recorded.journal()
    recorded.image(2, 5, [(9, 1), (8, 1)], [(11, 1)])
    recorded.segment()
    recorded.depth(1, 5, 6, [(9, 2)])
    recorded.journal()

    assert quotes(bbo(recorded.listing(), **WHERE))[1:] == [
        (2.0, (9.0, 2.0), (11.0, 1.0)),
        (3.0, (10.0, 3.0), (12.0, 4.0)),
    ]


def test_other_markets_streams_and_sources_are_other_books(recorded):
    small_chain(recorded)
    recorded.image(2.5, 9, [(1, 1)], [(2, 1)], market="ETH_USDT")
    recorded.image(2.6, 9, [(3, 1)], [(4, 1)], stream="depth:20ms")
    recorded.image(2.7, 9, [(5, 1)], [(6, 1)], source="gate_v3")
    listing = recorded.listing()

    found = {
        key: quotes(bbo(listing, source=key[0], market=key[1], stream=key[2]))[-1][1]
        for key in (
            ("gate_spot", "BTC_USDT", "depth:100ms"),
            ("gate_spot", "BTC_USDT", "depth:20ms"),
            ("gate_spot", "ETH_USDT", None),
            ("gate_v3", "BTC_USDT", None),
        )
    }

    assert list(found.values()) == [(10.0, 3.0), (3.0, 1.0), (1.0, 1.0), (5.0, 1.0)]


def test_the_book_at_an_instant_has_what_was_received_until_then(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 60)
    listing = recorded.listing()

    whole = book_at(listing, **WHERE, at_ns=at(3))

    assert whole == BookView(
        source="gate_spot",
        market="BTC_USDT",
        stream="depth:100ms",
        ts_ns=at(3),
        known=True,
        bids=((10.0, 3.0), (9.0, 2.0), (8.0, 1.0)),
        asks=((12.0, 4.0),),
        last_update_id=7,
        updated_ns=at(3),
    )
    assert book_at(listing, **WHERE, at_ns=at(30), levels=1).bids == ((10.0, 3.0),)
    assert book_at(listing, **WHERE, at_ns=at(3) - 1).asks == ((11.0, 1.0),)
    assert not book_at(listing, **WHERE, at_ns=at(2) - 1).known
    assert book_at(listing, **WHERE, at_ns=at(0)).updated_ns is None


def test_without_an_instant_the_book_is_that_of_the_last_message(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 60)
    recorded.coverage(0.5, 2, stream="depth:20ms")
    recorded.coverage(0.5, 2, market="ETH_USDT")
    recorded.gap(60, reason="process_stopped")

    view = book_at(recorded.listing(), **WHERE, stream="depth:100ms")

    assert (view.known, view.ts_ns, view.last_update_id) == (True, at(3), 7)


def test_the_last_message_may_be_long_before_the_end_of_the_data(recorded, at):
    small_chain(recorded)
    recorded.image(90_000, 5, [(9, 1)], [(10, 1)], market="ETH_USDT")

    assert book_at(recorded.listing(), **WHERE).ts_ns == at(3)


def test_beyond_what_was_recorded_the_book_is_not_known(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 60)
    listing = recorded.listing()

    assert book_at(listing, **WHERE, at_ns=at(59.999)).known
    assert not book_at(listing, **WHERE, at_ns=at(60)).known
    assert not book_at(listing, **WHERE, at_ns=at(3600)).known


def test_without_a_ledger_the_last_row_is_the_end_of_the_recording(recorded, at):
    small_chain(recorded)
    recorded.depth(9, 8, 8)
    listing = recorded.listing()

    assert book_at(listing, **WHERE, at_ns=at(5)).known
    assert book_at(listing, **WHERE, at_ns=at(9)).known
    assert not book_at(listing, **WHERE, at_ns=at(9) + 1).known


def test_what_a_living_run_has_not_made_durable_is_not_known(recorded, at):
    small_chain(recorded)
    run = open_run(recorded.root, job="job", source="gate_spot", now_ns=at(0))
    interval = OpenInterval(market="BTC_USDT", stream="depth:100ms", started_at=at(0.5))
    run.write_state(RunState(intervals=(interval,)), at(20))
    listing = recorded.listing()
    run.release()

    assert book_at(listing, **WHERE, at_ns=at(19)).known
    assert not book_at(listing, **WHERE, at_ns=at(20)).known


def test_a_gap_is_never_shown_across(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 5, "gap")
    recorded.gap(5, 8)
    recorded.depth(9, 20, 21, [(10, 9)])
    recorded.image(10, 21, [(9, 9)], [(11, 9)])
    recorded.coverage(8, 60)
    listing = recorded.listing()

    assert quotes(bbo(listing, **WHERE))[-2:] == [
        (9.0, "unknown"),
        (10.0, (9.0, 9.0), (11.0, 9.0)),
    ]
    known = [
        s for s in range(1, 12) if book_at(listing, **WHERE, at_ns=at(s) - 1).known
    ]
    assert known == [3, 4, 5, 11]


@pytest.mark.parametrize("reason", ["connect_lost", "stale_stream"])
@pytest.mark.parametrize("is_one_file", [True, False])
def test_a_snapshot_that_came_after_the_last_message_of_a_dead_connection_ends_with_it(
    recorded, at, reason, is_one_file
):
    """Nobody had noticed yet that the connection was dead."""
    small_chain(recorded)
    recorded.coverage(0.5, 3, "gap")
    recorded.gap(3.1, 8, reason=reason)
    recorded.image(5, 7, [(9, 9)], [(11, 9)])
    if not is_one_file:
        recorded.segment()
    recorded.depth(9, 20, 21, [(10, 9)])
    recorded.image(10, 21, [(9, 9)], [(11, 9)])
    recorded.coverage(8, 60)
    listing = recorded.listing()

    assert [row[1] == "unknown" for row in quotes(bbo(listing, **WHERE))[-3:]] == [
        *(False, True, False)
    ]
    seconds = (3, 4, 5, 7, 8, 8.9, 9, 10)
    known = [s for s in seconds if book_at(listing, **WHERE, at_ns=at(s)).known]
    assert known == [3, 10]


def test_what_the_next_connection_brought_before_its_acceptance_is_of_use(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 3, "gap")
    recorded.gap(3.1, 8)
    recorded.depth(5, 20, 21, [(10, 9)], conn="20231114T221320-abcdef.1")
    recorded.image(6, 20, [(9, 9)], [(11, 9)])
    recorded.coverage(8, 60)
    listing = recorded.listing()

    seconds = (5, 7, 8, 9)
    known = [s for s in seconds if book_at(listing, **WHERE, at_ns=at(s)).known]
    assert known == [8, 9]


def test_an_update_that_goes_on_proves_a_snapshot_of_a_dead_connection(recorded, at):
    small_chain(recorded)
    recorded.gap(3.1, 8)
    recorded.image(5, 7, [(9, 9)], [(11, 9)])
    recorded.depth(9, 8, 8, [(10, 9)])
    recorded.coverage(8, 60)
    listing = recorded.listing()

    assert quotes(bbo(listing, **WHERE))[-1] == (9.0, (10.0, 9.0), (11.0, 9.0))
    assert not book_at(listing, **WHERE, at_ns=at(8.5)).known
    assert book_at(listing, **WHERE, at_ns=at(9)).known


def test_a_gap_that_the_ids_prove_empty_hides_no_message_after_it(recorded, at):
    small_chain(recorded)
    recorded.gap(5, 8, healed_by="sequence")
    recorded.depth(9, 8, 8, [(10, 9)])
    recorded.depth(10, 9, 9)
    listing = recorded.listing()

    assert quotes(bbo(listing, **WHERE))[-2] == (9.0, (10.0, 9.0), (12.0, 4.0))
    assert not book_at(listing, **WHERE, at_ns=at(6)).known
    assert not book_at(listing, **WHERE, at_ns=at(8.5)).known
    assert book_at(listing, **WHERE, at_ns=at(9.5)).known


def test_a_stream_of_whole_books_is_hidden_from_a_lost_frame_to_the_next(recorded, at):
    for second, last in ((1, 5), (2, 9), (6, 12)):
        recorded.image(second, last, [(last, 1)], [(99, 1)], origin="live")
    recorded.gap(3, 3.5, reason="undecodable")
    recorded.coverage(0, 3)
    recorded.coverage(3.5, 60)
    listing = recorded.listing()

    seconds = (1, 2.5, 3, 3.4, 3.5, 5.9, 6, 30)
    known = {s: book_at(listing, **WHERE, at_ns=at(s)).known for s in seconds}
    assert [s for s, is_known in known.items() if is_known] == [1, 2.5, 6, 30]
    assert [row[1] for row in quotes(bbo(listing, **WHERE))] == [
        (5.0, 1.0),
        (9.0, 1.0),
        (12.0, 1.0),
    ]


def test_a_stream_whose_updates_tell_is_hidden_in_the_gap_alone(recorded, at):
    recorded.image(1, 5, [(9, 1)], [(99, 1)], origin="live")
    recorded.depth(2, 6, 6)
    recorded.gap(3, 3.5, reason="undecodable")
    recorded.coverage(0, 3)
    recorded.coverage(3.5, 60)
    listing = recorded.listing()

    known = [s for s in (2, 3, 4, 9) if book_at(listing, **WHERE, at_ns=at(s)).known]
    assert known == [2, 4, 9]


def test_the_newest_revision_of_a_gap_counts(recorded, at):
    small_chain(recorded)
    recorded.gap(4, None, written_at=4.1, gap_id="g")
    recorded.gap(4, 5, written_at=5.1, gap_id="g")
    recorded.depth(6, 8, 8)
    recorded.depth(7, 9, 9)
    listing = recorded.listing()

    assert not book_at(listing, **WHERE, at_ns=at(4.5)).known
    assert book_at(listing, **WHERE, at_ns=at(6.5)).known


def test_rows_written_after_the_last_heartbeat_of_a_killed_run_are_shown(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 3.5, "killed")
    recorded.gap(3.5, 8, reason="process_killed")
    recorded.depth(4, 8, 8, [(10, 5)])
    recorded.image(9, 30, [(7, 1)], [(8, 1)], conn="20231114T221328-bbbbbb.rest")
    listing = recorded.listing()

    assert quotes(bbo(listing, **WHERE))[-2:] == [
        (4.0, (10.0, 5.0), (12.0, 4.0)),
        (9.0, (7.0, 1.0), (8.0, 1.0)),
    ]
    known = [
        s
        for s in (3.6, 4, 4.5, 7.9, 8, 8.5, 9)
        if book_at(listing, **WHERE, at_ns=at(s)).known
    ]
    assert known == [9]


def test_what_the_next_run_held_for_an_image_is_not_forgotten_where_a_gap_ends(
    recorded, at
):
    """It ends with the image, which came after the first updates."""
    small_chain(recorded)
    recorded.coverage(0.5, 3.5, "killed")
    recorded.gap(3.5, 8, reason="process_killed")
    later = "20231114T221328-bbbbbb.0"
    recorded.depth(7, 31, 31, [(6, 1)], conn=later)
    recorded.depth(7.5, 32, 32, [(5, 1)], conn=later)
    recorded.image(8, 30, [(7, 1)], [(8, 1)], conn=later, origin="live")
    recorded.depth(9, 33, 33, [(7, 2)], conn=later)
    listing = recorded.listing()

    assert quotes(bbo(listing, **WHERE))[-2:] == [
        (8.0, (7.0, 1.0), (8.0, 1.0)),
        (9.0, (7.0, 2.0), (8.0, 1.0)),
    ]
    assert book_at(listing, **WHERE, at_ns=at(8.5)).known


def test_what_was_adopted_inside_a_gap_is_bridged_after_it(recorded):
    recorded.gap(0, 5, reason="process_stopped")
    recorded.image(4, 10, [(7, 1)], [(9, 1)])
    recorded.depth(6, 8, 11, [(8, 1)])

    assert quotes(bbo(recorded.listing(), **WHERE))[-1] == (6.0, (8.0, 1.0), (9.0, 1.0))


def test_a_gap_of_one_job_does_not_hide_what_another_recorded(recorded, at):
    other = {"conn": "20231114T221320-bbbbbb.0"}
    small_chain(recorded)
    small_chain(recorded, conn=other["conn"])
    recorded.coverage(0.5, 4, "gap")
    recorded.gap(4, 8)
    recorded.coverage(0.5, 60, job="other", conn="20231114T221320-bbbbbb.ledger")
    recorded.depth(5, 8, 8, [(10, 5)], **other)
    recorded.depth(6, 9, 9, [(10, 6)], **other)
    listing = recorded.listing()

    assert quotes(bbo(listing, **WHERE))[-2:] == [
        (5.0, (10.0, 5.0), (12.0, 4.0)),
        (6.0, (10.0, 6.0), (12.0, 4.0)),
    ]
    assert book_at(listing, **WHERE, at_ns=at(4.5)).known


def test_where_the_other_job_does_not_cover_a_gap_it_hides_the_book(recorded, at):
    small_chain(recorded)
    recorded.gap(4, 8)
    recorded.coverage(5, 60, job="other", conn="20231114T221320-bbbbbb.ledger")
    recorded.depth(9, 8, 8)
    listing = recorded.listing()

    assert not book_at(listing, **WHERE, at_ns=at(4.5)).known
    assert book_at(listing, **WHERE, at_ns=at(9)).known


def clean(recorded, at, bid, conn="20231114T221320-abcdef.0", **other):
    recorded.image(
        at, None, [(bid, 1)], [(99, 1)], conn=conn, origin="live", **V3, **other
    )


def bare(recorded, at, bid, conn="20231114T221320-abcdef.0", amount=1.0):
    recorded.depth(at, None, None, [(bid, amount)], conn=conn, **V3)


def bids_v3(listing, **other):
    return [
        (row[0], row[1] if row[1] == "unknown" else row[1][0])
        for row in quotes(bbo(listing, source="gate_v3", market="BTC_USDT", **other))
    ]


A, B = "20231114T221320-abcdef.0", "20231114T221320-bbbbbb.0"


def test_without_ids_a_book_lives_from_clean_to_the_next_gap(recorded, at):
    bare(recorded, 1, 5)
    clean(recorded, 2, 6)
    bare(recorded, 3, 7)
    recorded.gap(4, 5, stream="depth:30", source="gate_v3")
    bare(recorded, 4.5, 8)
    bare(recorded, 6, 8)
    clean(recorded, 7, 6.5)
    recorded.gap(8, None, scope="book", stream="depth:30", source="gate_v3")
    bare(recorded, 9, 8)
    listing = recorded.listing()

    assert bids_v3(listing) == [
        (1.0, "unknown"),
        (2.0, 6.0),
        (3.0, 7.0),
        (4.5, "unknown"),
        (6.0, "unknown"),
        (7.0, 6.5),
        (9.0, "unknown"),
    ]
    assert not book_at(listing, source="gate_v3", market="BTC_USDT", at_ns=at(4)).known


def test_without_ids_nothing_received_inside_a_gap_is_shown(recorded):
    clean(recorded, 1, 5)
    recorded.gap(2, 5, stream="depth:30", source="gate_v3", reason="backpressure")
    clean(recorded, 3, 6)
    bare(recorded, 4, 7)
    bare(recorded, 6, 8)

    assert bids_v3(recorded.listing())[1:] == [
        (3.0, "unknown"),
        (4.0, "unknown"),
        (6.0, "unknown"),
    ]


def test_without_ids_a_late_message_of_the_old_connection_changes_only_its_book(
    recorded,
):
    clean(recorded, 1, 5, A)
    clean(recorded, 2, 5, B)
    bare(recorded, 3, 6, B)
    bare(recorded, 4, 5, A, amount=0.0)
    bare(recorded, 5, 6.5, B)

    assert bids_v3(recorded.listing()) == [
        (1.0, 5.0),
        (2.0, 5.0),
        (3.0, 6.0),
        (4.0, None),
        (5.0, 6.5),
    ]


def test_without_ids_a_gap_of_one_job_leaves_the_other_jobs_book(recorded, at):
    clean(recorded, 1, 5, A)
    clean(recorded, 2, 6, B)
    recorded.gap(3, 8, stream="depth:30", source="gate_v3", job="job")
    recorded.coverage(
        0, 60, job="other", stream="depth:30", source="gate_v3", conn=B[:-1] + "ledger"
    )
    bare(recorded, 4, 7, A)
    bare(recorded, 5, 7.5, B)
    bare(recorded, 6, 7, A)
    listing = recorded.listing()

    assert bids_v3(listing) == [
        (1.0, 5.0),
        (2.0, 6.0),
        (4.0, 6.0),
        (5.0, 7.5),
        (6.0, 7.5),
    ]
    view = book_at(listing, source="gate_v3", market="BTC_USDT", at_ns=at(6.5))
    assert view.bids == ((7.5, 1.0), (6.0, 1.0))
    assert bids_v3(listing, start_ns=at(4)) == [(4.0, 6.0), (5.0, 7.5), (6.0, 7.5)]


@pytest.fixture
def in_pieces(monkeypatch):
    """Have each file of a store be a piece of its own."""
    monkeypatch.setattr(chain_rows, "PIECE_ROWS", 1)


def test_without_ids_a_connection_that_is_over_is_forgotten(recorded, in_pieces):
    clean(recorded, 1, 5, A)
    recorded.gap(2, 3, stream="depth:30", source="gate_v3")
    recorded.segment()
    bare(recorded, 30_000, 8, B)
    recorded.segment()
    bare(recorded, 60_000, 8, A)

    assert bids_v3(recorded.listing()) == [
        (1.0, 5.0),
        (30_000.0, "unknown"),
        (60_000.0, "unknown"),
    ]


def test_without_ids_a_quiet_connection_is_still_the_book_while_another_begins(
    recorded, in_pieces
):
    clean(recorded, 1, 5, A)
    recorded.segment()
    bare(recorded, 30_000, 8, B)
    clean(recorded, 30_001, 6, B)

    assert bids_v3(recorded.listing())[1:] == [(30_000.0, 5.0), (30_001.0, 6.0)]


def test_without_ids_a_crossed_book_is_not_replaced_by_its_own_past(recorded):
    clean(recorded, 1, 5)
    bare(recorded, 2, 100)
    bare(recorded, 3, 6)

    assert bids_v3(recorded.listing())[1:] == [(2.0, "unknown"), (3.0, "unknown")]


def test_without_ids_a_run_without_an_account_is_never_the_book(recorded, at):
    other = "20231114T221320-bbbbbb"
    recorded.coverage(0, 99, stream="depth:30", source="gate_v3")
    clean(recorded, 1, 5, A)
    clean(recorded, 2, 6, f"{other}.0")
    told = beside(other, "job", "process_killed", at(9))
    recorded.row(9, told, source="gate_v3", conn=f"{other}.ledger")

    listing = recorded.listing()

    assert bids_v3(listing) == [(1.0, 5.0), (2.0, 5.0)]
    for at_ns in (at(3), None):
        view = book_at(listing, source="gate_v3", market="BTC_USDT", at_ns=at_ns)
        assert view.bids[0] == (5.0, 1.0)


def test_without_ids_a_book_that_a_gap_hid_stands_in_after_it(recorded, at):
    """The gap befell one run of a job, and the other recorded beside it."""
    other = "20231114T221320-bbbbbb"
    mine = {"stream": "depth:30", "source": "gate_v3", "job": "job"}
    recorded.coverage(0, 3, **mine)
    recorded.coverage(6, 99, **mine, conn=f"{other}.ledger")
    clean(recorded, 1, 5, A)
    clean(recorded, 2, 6, f"{other}.0")
    recorded.gap(3, 6, **mine)
    bare(recorded, 5, 7, f"{other}.0")
    bare(recorded, 8, 5.5, A)
    bare(recorded, 9, 7.5, f"{other}.0")

    listing = recorded.listing()

    assert bids_v3(listing) == [
        (1.0, 5.0),
        (2.0, 6.0),
        (5.0, "unknown"),
        (8.0, 7.0),
        (9.0, 7.5),
    ]
    view = book_at(listing, source="gate_v3", market="BTC_USDT", at_ns=at(7))
    assert view.bids[0] == (7.0, 1.0)
    assert bids_v3(listing, start_ns=at(8)) == [(8.0, 7.0), (9.0, 7.5)]


def test_without_ids_the_book_updated_last_stands_in_and_only_while_it_is_known(
    recorded, at
):
    other = {"stream": "depth:30", "source": "gate_v3", "job": "other"}
    recorded.coverage(0, 9, **other, conn=B[:-1] + "ledger")
    recorded.coverage(0, 99, **{**other, "job": "job"})
    clean(recorded, 1, 5, A)
    clean(recorded, 2, 6, B)
    bare(recorded, 3, 5.5, A)
    bare(recorded, 4, 7, "20231114T221320-cccccc.0")
    bare(recorded, 5, 6.5, B)
    bare(recorded, 6, 7, "20231114T221320-cccccc.0")
    recorded.gap(9, 10, **other)
    bare(recorded, 11, 7, "20231114T221320-cccccc.0")

    listing = recorded.listing()

    assert bids_v3(listing)[3:] == [(4.0, 5.5), (5.0, 6.5), (6.0, 6.5), (11.0, 5.5)]
    bids = [
        book_at(listing, source="gate_v3", market="BTC_USDT", at_ns=at(s)).bids[0][0]
        for s in (2.5, 3.5, 5.5)
    ]
    assert bids == [6.0, 5.5, 6.5]


def test_without_ids_a_later_start_knows_every_connection(recorded, at):
    clean(recorded, 1, 5, B)
    clean(recorded, 7000, 6, A)
    bare(recorded, 7100, 5.5, B)
    bare(recorded, 7200, 5.6, B)
    listing = recorded.listing()

    assert bids_v3(listing, start_ns=at(7150)) == [(7200.0, 5.6)]


def test_a_gap_is_told_once_though_the_chain_is_read_in_pieces(recorded, in_pieces):
    recorded.gap(0, 5, stream="depth:30", source="gate_v3")
    clean(recorded, 10, 5)
    recorded.segment()
    bare(recorded, 30_000, 6)

    assert bids_v3(recorded.listing()) == [(10.0, 5.0), (30_000.0, 6.0)]


def test_a_later_start_knows_what_went_before(recorded, at):
    small_chain(recorded)
    recorded.depth(50_000, 8, 8, [(10, 5)])
    recorded.depth(50_001, 9, 9, [(10, 6)])
    recorded.depth(50_002, 10, 10, [(10, 7)])
    listing = recorded.listing()

    part = bbo(listing, **WHERE, start_ns=at(50_001), end_ns=at(50_002))

    assert quotes(part) == [(50_001.0, (10.0, 6.0), (12.0, 4.0))]


def test_a_later_start_looks_back_no_further_than_to_a_proven_snapshot(
    recorded, at, monkeypatch
):
    recorded.image(1, 5, [(9, 1)], [(11, 1)])
    recorded.image(20_000, 105, [(9, 1)], [(11, 1)])
    recorded.depth(20_001, 106, 106)
    recorded.depth(20_002, 107, 107, [(9, 2)])
    read = []

    def read_chain(*arguments):
        read.append(arguments[3:])
        return chain_rows.read_chain(*arguments)

    monkeypatch.setattr(walk, "read_chain", read_chain)
    part = bbo(recorded.listing(), **WHERE, start_ns=at(20_002))

    assert quotes(part) == [(20_002.0, (9.0, 2.0), (11.0, 1.0))]
    assert min(start for start, _ in read) == at(20_002 - 3600)


def test_a_stream_of_whole_books_is_looked_at_no_further_than_its_last_two(
    recorded, at, monkeypatch
):
    for second in (1, 20_000, 20_001, 20_002):
        recorded.image(second, second, [(9, second)], [(11, 1)], origin="live")
    recorded.coverage(0, 30_000)
    read = []

    def read_chain(*arguments):
        read.append(arguments[3:])
        return chain_rows.read_chain(*arguments)

    monkeypatch.setattr(walk, "read_chain", read_chain)
    view = book_at(recorded.listing(), **WHERE, at_ns=at(20_010))

    assert view.bids == ((9.0, 20_002.0),)
    assert min(start for start, _ in read) > at(10_000)


def test_a_range_without_rows_is_empty_with_the_same_columns(recorded, at):
    small_chain(recorded)
    recorded.coverage(0, 60, market="ETH_USDT")
    listing = recorded.listing()
    whole = bbo(listing, **WHERE)

    assert bbo(listing, **WHERE, start_ns=at(100)).schema == whole.schema
    assert bbo(listing, **WHERE, end_ns=at(1)).num_rows == 0
    assert bbo(listing, source="gate_spot", market="ETH_USDT").num_rows == 0
    assert book_at(listing, source="gate_spot", market="ETH_USDT").known is False


def test_a_chain_that_was_asked_for_and_never_came_has_no_book(recorded, at):
    recorded.coverage(0, 60)
    listing = recorded.listing()

    assert bbo(listing, **WHERE).num_rows == 0
    view = book_at(listing, **WHERE, at_ns=at(5))
    assert (view.known, view.updated_ns) == (False, None)


def test_a_book_has_at_least_one_level(recorded):
    small_chain(recorded)

    with pytest.raises(ConfigError, match="at least 1 level, not 0"):
        book_at(recorded.listing(), **WHERE, levels=0)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bbo_equals_the_plain_book_fed_by_replay(data, new_store, at, monkeypatch):
    recorded = new_store()
    monkeypatch.setattr(chain_rows, "PIECE_ROWS", data.draw(st.integers(1, 9)))
    last = 0
    for second in range(data.draw(st.integers(1, 40))):
        kind = data.draw(st.sampled_from(["update"] * 6 + ["miss", "rest", "gap"]))
        levels = st.lists(
            st.tuples(st.sampled_from([7, 8, 9]), st.sampled_from([0, 1, 2])),
            max_size=3,
        )
        first, last = last + 1, last + data.draw(st.integers(1, 3))
        if kind == "rest":
            recorded.image(second, last, data.draw(levels), [(9, 1), (11, 2)])
        elif kind == "gap":
            recorded.gap(second, second + 0.5)
        elif kind == "update":
            recorded.depth(second, first, last, data.draw(levels))
        if data.draw(st.integers(0, 4)) == 0:
            data.draw(st.sampled_from([recorded.segment, recorded.journal]))()
    recorded.depth(50, 10_000, 10_000)
    listing = recorded.listing()

    book, expected = OrderBook(), []
    for row in replay(listing, source="gate_spot"):
        book.apply(row.event, conn=row.conn)
        if isinstance(row.event, DepthUpdate):
            none = (None, None)
            sides = [x or none for x in book.bbo()] if book.is_known else ["unknown"]
            expected.append(((row.ts_recv - at(0)) / 1e9, *sides))

    assert quotes(bbo(listing, **WHERE)) == expected
    start = data.draw(st.integers(0, 41))
    end = data.draw(st.integers(0, 41))
    part = bbo(listing, **WHERE, start_ns=at(start), end_ns=at(end))
    assert quotes(part) == [row for row in expected if start <= row[0] < end]


def test_instants_that_our_clock_skipped_show_no_book_and_lose_none(recorded, at):
    small_chain(recorded)
    recorded.coverage(0.5, 4, "gap")
    recorded.gap(4, 3_604, reason="clock_step", market=None, stream=None)
    recorded.coverage(3_604, 3_660)
    recorded.depth(3_610, 8, 8, [(10, 5)])
    listing = recorded.listing()

    known = [
        second
        for second in (3.9, 4, 2_000, 3_604, 3_609, 3_611)
        if book_at(listing, **WHERE, at_ns=at(second)).known
    ]
    assert known == [3.9, 3_604, 3_609, 3_611]
    assert book_at(listing, **WHERE, at_ns=at(3_611)).bids[0] == (10.0, 5.0)


def test_without_ids_no_book_is_lost_because_our_clock_skipped_instants(recorded, at):
    clean(recorded, 1, 5)
    recorded.coverage(0.5, 4, "gap", stream="depth:30", source="gate_v3")
    recorded.gap(4, 9, reason="clock_step", stream="depth:30", source="gate_v3")
    recorded.coverage(9, 60, stream="depth:30", source="gate_v3")
    recorded.gap(
        20, 30, reason="clock_step", scope="times", source="gate_v3", stream="depth:30"
    )
    listing = recorded.listing()

    known = [
        second
        for second in (3, 5, 9, 15, 25, 40)
        if book_at(listing, **V3, market="BTC_USDT", at_ns=at(second)).known
    ]
    assert known == [3, 9, 15, 25, 40]
