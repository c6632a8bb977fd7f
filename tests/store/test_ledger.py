"""The ledger: covered time and gaps of rows add up to wall time."""

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import astuple

from recorder.model import NO_MARKET, Chain, Coverage, Gap
from recorder.store.account import HELD_MAX
from recorder.store.layout import DAY_NS
from recorder.store.ledger import Ledger
from recorder.store.revisions import newest_revisions
from recorder.store.unaddressed import TOLD_APART_MAX


A = Chain("BTC_USDT", "trades")
B = Chain("ETH_USDT", "depth:100ms")


PLACE = {"ts_recv": 0, "conn": "run.ledger", "seq": 0, "idx": 0}


def ledger(*left_open: Gap) -> Ledger:
    return Ledger("job", "run", [A, B], left_open)


def open_gap(chain: Chain, *, started_at: int, scope: str = "rows") -> Gap:
    return Gap(
        gap_id=f"old.{chain.stream}.{started_at}",
        market=chain.market,
        stream=chain.stream,
        job="job",
        scope=scope,
        reason="process_stopped",
        started_at=started_at,
    )


def spans(rows, kind=Gap):
    return [(r.started_at, r.ended_at) for r in rows if isinstance(r, kind)]


def test_a_gap_closes_the_interval_and_coverage_reopens_after_it():
    book = ledger()

    book.covered(A, 10)
    (lost,) = book.lost(A, "connect_lost", 25, detail="reset", after_update_id=7)
    (back,) = book.covered(A, 40)
    *covered, stopped = book.stop(60)

    assert (lost.reason, lost.started_at, lost.ended_at) == ("connect_lost", 25, None)
    assert (lost.detail, lost.after_update_id) == ("reset", 7)
    assert (back.gap_id, back.ended_at) == (lost.gap_id, 40)
    assert covered == [
        Coverage(
            market="BTC_USDT",
            stream="trades",
            job="job",
            started_at=start,
            ended_at=end,
            closed_by=closed_by,
        )
        for start, end, closed_by in [(10, 25, "gap"), (40, 60, "stop")]
    ]
    assert (stopped.reason, stopped.started_at) == ("process_stopped", 60)


def test_a_chain_without_market_is_told_of_without_one_and_goes_on_with_its_gap():
    none = Chain(NO_MARKET, "status")
    book = Ledger("job", "run", [none])
    book.start(5)
    book.covered(none, 10)
    book.missed(none, "undecodable", 11, 12)
    state = book.state()
    book.lost(none, "connect_lost", 25)
    in_gap = book.state()
    rows = book.stop(60)

    assert {(row.market, row.stream) for row in rows} == {(None, "status")}
    assert {(i.market, i.stream) for i in state.intervals} == {(None, "status")}
    assert [(gap.market, gap.stream) for gap in in_gap.gaps] == [(None, "status")]
    later = Ledger("job", "later", [none], [r for r in rows if is_open(r)])
    assert later.start(70) == []
    assert spans(later.covered(none, 80)) == [(60, 80)]


def is_open(row):
    return isinstance(row, Gap) and row.ended_at is None


def test_a_chain_in_a_gap_does_not_get_a_second_one():
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 25)

    assert book.lost(A, "connect_lost", 30) == []


def test_a_gap_that_is_over_splits_the_coverage():
    book = ledger()
    book.covered(B, 10)

    (gap,) = book.missed(
        B, "sequence_gap", 20, 30, after_update_id=5, before_update_id=9
    )
    later = book.stop(50)

    assert (gap.started_at, gap.ended_at) == (20, 30)
    assert (gap.after_update_id, gap.before_update_id) == (5, 9)
    assert spans(later, Coverage) == [(10, 20), (30, 50)]


def test_a_gap_of_unknown_victims_cuts_every_chain_and_names_none():
    book = ledger()
    book.covered(A, 1)
    book.covered(B, 2)

    book.missed_by_any("undecodable", 5, 6, detail="frame 3")
    (gap,) = book.due()
    end = book.stop(9)

    assert (gap.market, gap.stream, gap.reason) == (None, None, "undecodable")
    assert (gap.started_at, gap.ended_at, gap.detail) == (5, 6, "frame 3")
    assert spans(end, Coverage) == [(1, 5), (6, 9), (2, 5), (6, 9)]
    assert book.due() == []


def test_a_gap_of_unknown_victims_names_those_it_can_hit_if_others_are_in_gaps():
    book = ledger()
    book.start(0)
    book.covered(A, 1)

    book.missed_by_any("undecodable", 5, 6, detail="frame 3")

    assert [(gap.market, gap.started_at, gap.ended_at) for gap in book.due()] == [
        ("BTC_USDT", 5, 6)
    ]


def test_a_gap_of_unknown_victims_leaves_out_whom_it_cannot_have_hit():
    book = ledger()
    book.covered(A, 1)
    book.covered(B, 1)

    book.missed_by_any("undecodable", 5, 6, detail="frame 3", chains=[B])
    (gap,) = book.due()

    assert (gap.market, gap.stream) == B
    assert spans(book.stop(9), Coverage) == [(1, 9), (1, 5), (6, 9)]


def test_a_gap_of_unknown_victims_inside_their_gaps_keeps_its_word_and_no_time():
    book = ledger()
    book.start(0)

    book.missed_by_any("undecodable", 5, 9, detail="frame 3")

    assert [(gap.market, gap.started_at, gap.ended_at) for gap in book.due()] == [
        (None, 8, 8)
    ]


def test_a_gap_inside_the_gaps_of_some_chains_is_not_told_of_the_others():
    book = ledger()
    book.start(0)
    book.covered(A, 1)

    book.missed_by_any("undecodable", 5, 6, detail="frame 3", chains=[B])
    gaps = book.due()

    assert [(gap.market, gap.stream, gap.started_at, gap.ended_at) for gap in gaps] == [
        (*B, 5, 5)
    ]


def test_a_storm_of_unknown_victims_cuts_the_chains_a_few_times_only():
    book = ledger()
    book.covered(A, 1)
    book.covered(B, 1)

    for at in range(10, 1010, 2):
        book.missed_by_any("undecodable", at, at + 1, detail=f"frame {at}")
    gaps = book.due()

    assert len(gaps) == TOLD_APART_MAX
    assert (gaps[-1].started_at, gaps[-1].ended_at) == (8 + 2 * TOLD_APART_MAX, 1009)
    assert gaps[-1].detail == f"frame {8 + 2 * TOLD_APART_MAX}, and 492 more by then"


def test_a_break_that_is_believed_late_is_cut_out_of_what_was_covered():
    """It lies before a lost connection, in an interval that has ended."""
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 30)
    book.covered(A, 40)

    gaps = book.missed(A, "sequence_gap", 15, 20, after_update_id=1)
    end = book.stop(50)

    assert spans(gaps) == [(15, 20)]
    assert spans(end, Coverage) == [(10, 15), (20, 30), (40, 50)]


def test_a_break_around_other_gaps_takes_what_lies_between_them():
    book = ledger()
    book.covered(A, 10)
    book.missed(A, "undecodable", 20, 21)

    gaps = book.missed(A, "sequence_gap", 15, 25)
    end = book.stop(50)

    assert spans(gaps) == [(15, 20), (21, 25)]
    assert spans(end, Coverage) == [(10, 15), (25, 50)]


def test_a_silence_that_began_before_midnight_takes_back_what_midnight_closed():
    book = ledger()
    book.covered(A, DAY_NS - 50)
    book.midnight(DAY_NS)

    (gap,) = book.lost(A, "connect_lost", DAY_NS - 9)
    book.covered(A, DAY_NS + 20)
    end = book.stop(DAY_NS + 30)

    assert gap.started_at == DAY_NS - 9
    assert spans(end, Coverage) == [
        (DAY_NS - 50, DAY_NS - 9),
        (DAY_NS + 20, DAY_NS + 30),
    ]


def test_a_silence_that_began_before_another_gap_leaves_that_gap_alone():
    book = ledger()
    book.covered(A, 10)
    book.missed(A, "undecodable", 30, 35)

    gaps = book.lost(A, "connect_lost", 20)
    end = book.stop(50)

    assert spans(gaps) == [(20, 30), (35, None)]
    assert spans(end, Coverage) == [(10, 20)]


def many_cuts(book):
    """Cut a chain so often that the oldest of its intervals is written."""
    book.covered(A, 10)
    for number in range(HELD_MAX + 1):
        book.missed(A, "undecodable", 20 + 10 * number, 21 + 10 * number)
    return book.due()


def test_a_chain_that_is_cut_often_holds_its_newest_intervals_only():
    book = ledger()

    written = many_cuts(book)

    assert spans(written, Coverage) == [(10, 20)]
    state = book.state()
    assert state is not None
    ended = [i for i in state.intervals if i.ended_at is not None]
    assert len(ended) == HELD_MAX
    assert (ended[0].started_at, ended[0].ended_at, ended[0].closed_by) == (
        21,
        30,
        "gap",
    )


def test_a_break_in_coverage_that_is_written_has_a_row_and_no_time():
    book = ledger()
    many_cuts(book)

    inside = book.missed(A, "sequence_gap", 12, 15, after_update_id=3)
    across = book.missed(A, "sequence_gap", 12, 25, after_update_id=3)

    assert spans(inside) == [(12, 12)]
    assert inside[0].after_update_id == 3
    assert spans(across) == [(21, 25)]


def test_an_interval_is_held_for_a_day_at_most():
    book = ledger()
    book.covered(A, 10)

    first = book.midnight(DAY_NS)
    second = book.midnight(2 * DAY_NS)

    assert first == []
    assert spans(second, Coverage) == [(10, DAY_NS)]


def test_a_chain_comes_back_after_its_gap_began_whatever_the_clock_says():
    book = ledger(open_gap(A, started_at=30))

    (closed,) = book.covered(A, 20)
    end = book.stop(50)

    assert (closed.started_at, closed.ended_at) == (30, 30)
    assert spans(end, Coverage) == [(30, 50)]


def test_healing_revises_the_last_gap_once():
    book = ledger()
    book.covered(A, 10)
    (lost,) = book.lost(A, "connect_lost", 20)
    book.covered(A, 30)

    healed = book.healed(A, "sequence")

    assert isinstance(lost, Gap)
    assert isinstance(healed[0], Gap)
    assert healed[0].gap_id == lost.gap_id
    assert (healed[0].ended_at, healed[0].healed_by) == (30, "sequence")
    assert book.healed(A, "sequence") == []


def test_healing_before_the_gap_is_over_shows_when_it_closes():
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 20)

    assert book.healed(A, "sequence") == []
    closed = book.covered(A, 30)

    assert isinstance(closed[0], Gap)
    assert closed[0].healed_by == "sequence"


def test_a_book_gap_lies_on_top_of_coverage():
    book = ledger()
    book.covered(B, 10)

    opened = book.book_lost(B, "resync", 10, detail="first")
    again = book.book_lost(B, "resync", 11)
    closed = book.book_known(B, 15)

    assert isinstance(opened[0], Gap)
    assert opened[0].scope == "book"
    assert again == []
    assert isinstance(closed[0], Gap)
    assert (closed[0].gap_id, closed[0].ended_at) == (opened[0].gap_id, 15)
    assert book.book_known(B, 16) == []
    assert book.is_covered(B)


def test_a_refusal_ends_the_gap_before_it_and_opens_its_own():
    book = ledger(open_gap(A, started_at=3))

    rows = book.refused(A, 20, "unknown market")

    assert [(row.reason, row.started_at, row.ended_at) for row in rows] == [
        ("process_stopped", 3, 20),
        ("subscription_rejected", 20, None),
    ]
    assert not book.is_covered(A)


@pytest.mark.parametrize(("at", "ended_at"), [(20, 20), (2, 3)])
def test_a_gap_can_end_for_another_to_begin(at: int, ended_at: int):
    book = ledger(open_gap(A, started_at=3))

    rows = book.end_gap(A, at) + book.lost(A, "connect_lost", at)

    assert [(row.reason, row.started_at, row.ended_at) for row in rows] == [
        ("process_stopped", 3, ended_at),
        ("connect_lost", ended_at, None),
    ]


def test_gaps_of_chains_no_longer_recorded_are_closed_at_the_start():
    stranger = Chain("OLD_USDT", "trades")
    book = ledger(open_gap(stranger, started_at=3), open_gap(A, started_at=4))

    rows = book.start(9)

    assert [(row.market, row.reason, row.started_at, row.ended_at) for row in rows] == [
        ("OLD_USDT", "process_stopped", 3, 9),
        ("ETH_USDT", "not_started", 9, None),
    ]
    assert book.start(10) == []


def test_from_the_start_on_a_chain_is_in_a_gap_until_it_is_accepted():
    book = ledger()

    opened = book.start(5)
    closed = book.covered(A, 8)

    assert [(row.reason, row.started_at, row.ended_at) for row in opened] == [
        ("not_started", 5, None),
        ("not_started", 5, None),
    ]
    assert [(row.reason, row.ended_at) for row in closed] == [("not_started", 8)]


def test_of_two_gaps_left_open_the_later_takes_over():
    book = ledger(open_gap(A, started_at=8), open_gap(A, started_at=3))

    rows = book.start(20)
    closed = book.covered(A, 30)

    assert [(r.started_at, r.ended_at) for r in rows if r.market == A.market] == [
        (3, 8)
    ]
    assert [(row.started_at, row.ended_at) for row in closed] == [(8, 30)]


def test_a_book_gap_left_open_ends_when_the_book_is_known():
    book = ledger(open_gap(B, started_at=3, scope="book"))

    rows = book.book_known(B, 12)

    assert [(row.started_at, row.ended_at) for row in rows] == [(3, 12)]


def test_midnight_splits_intervals():
    book = ledger()
    book.covered(A, DAY_NS - 5)

    book.midnight(DAY_NS)
    end = book.stop(DAY_NS + 7)

    assert [
        (r.started_at, r.ended_at, r.closed_by) for r in end if isinstance(r, Coverage)
    ] == [(DAY_NS - 5, DAY_NS, "midnight"), (DAY_NS, DAY_NS + 7, "stop")]


def test_state_is_told_only_when_it_changed():
    book = ledger()
    book.covered(A, 10)
    book.book_lost(B, "resync", 11)

    state = book.state()

    assert state is not None
    assert [(i.market, i.stream, i.started_at) for i in state.intervals] == [
        ("BTC_USDT", "trades", 10)
    ]
    assert [gap.scope for gap in state.gaps] == ["book"]
    assert book.state() is None


def test_newest_revisions_win_whatever_the_order():
    row = {
        "gap_id": "g",
        "market": "M",
        "stream": "trades",
        "job": "j",
        "scope": "rows",
        "reason": "connect_lost",
        "started_at": 5,
        "ended_at": None,
        "after_update_id": None,
        "before_update_id": None,
        "healed_by": None,
        "detail": None,
        "ts_event": None,
        "conn": "r.ledger",
        "seq": 1,
        "idx": 0,
        "ts_recv": 6,
    }
    newer = {**row, "ended_at": 9, "seq": 2, "ts_recv": 10}

    gaps = newest_revisions([newer, row])

    assert [(gap.gap_id, gap.ended_at) for gap in gaps] == [("g", 9)]


REVISION = {
    "market": "M",
    "stream": "trades",
    "job": "j",
    "scope": "rows",
    "reason": "connect_lost",
    "started_at": 5,
    "after_update_id": None,
    "before_update_id": None,
    "healed_by": None,
    "detail": None,
    "ts_event": None,
    "idx": 0,
}
REVISIONS = st.lists(
    st.fixed_dictionaries(
        {
            "gap_id": st.sampled_from("gh"),
            "ended_at": st.sampled_from([None, 9]),
            "ts_recv": st.integers(0, 5),
            "conn": st.sampled_from(["r1.ledger", "r2.ledger"]),
            "seq": st.integers(0, 50),
            "detail": st.sampled_from(["x", "y"]),
        }
    ),
    unique_by=lambda row: (row["conn"], row["seq"]),
)


@given(REVISIONS, st.randoms())
def test_whatever_the_order_of_the_files_the_same_is_known_of_gaps(rows, random):
    rows = [REVISION | row for row in rows]
    shuffled = random.sample(rows, len(rows))

    known = newest_revisions(rows)

    assert newest_revisions(shuffled) == known
    assert {g.gap_id for g in known} == {row["gap_id"] for row in rows}
    over = {row["gap_id"] for row in rows if row["ended_at"] is not None}
    assert {g.gap_id for g in known if g.ended_at is not None} == over


@pytest.mark.parametrize("at", [3, 10])
def test_an_interval_never_ends_before_it_starts(at):
    book = ledger()
    book.covered(A, 10)

    (gap,) = book.lost(A, "connect_lost", at)

    assert gap.started_at == 10
    assert spans(book.stop(20), Coverage) == []


def test_a_gap_in_which_rows_are_known_to_be_missing_is_not_healed():
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 20)
    book.covered(A, 30)

    book.unhealable(A)

    assert book.healed(A, "sequence") == []


def test_an_open_gap_that_is_real_stays_so_when_it_ends_and_the_next_may_heal():
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 20)
    book.unhealable(A)
    book.covered(A, 30)
    assert book.healed(A, "sequence") == []

    book.lost(A, "connect_lost", 40)
    book.covered(A, 50)

    assert [gap.started_at for gap in book.healed(A, "sequence")] == [40]


def test_a_gap_that_reaches_back_beyond_another_begins_where_that_ended():
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 20)
    book.covered(A, 30)

    rows = book.missed(A, "sequence_gap", 15, 40, after_update_id=3, before_update_id=7)

    assert [(row.started_at, row.ended_at) for row in rows] == [(30, 40)]
    assert rows[0].after_update_id == 3
    assert rows[0].before_update_id == 7


def test_what_is_missed_inside_a_gap_is_said_by_that_gap():
    book = ledger()
    book.start(0)

    assert book.missed(A, "sequence_gap", 3, 5) == []


def test_a_stop_claims_nothing_after_the_last_that_was_heard():
    book = ledger()
    book.covered(A, 10)

    rows = book.stop(50, {A: 31})

    assert [(row.started_at, row.ended_at) for row in rows] == [(10, 31), (31, None)]


def test_instants_that_our_clock_skipped_are_a_gap_of_the_job():
    book = ledger()
    for chain in (A, B):
        book.covered(chain, 10)

    (step,) = book.stepped(50, 90, is_skipped=True, detail="set forward")
    rows = book.stop(100)

    assert (step.reason, step.scope, step.market, step.stream) == (
        "clock_step",
        "rows",
        None,
        None,
    )
    assert spans([step]) == [(50, 90)]
    assert spans(rows, Coverage) == [(10, 50), (90, 100)] * 2


def test_where_our_clock_went_slowly_nothing_is_missing():
    book = ledger()
    book.covered(A, 10)

    (step,) = book.stepped(50, 90, is_skipped=False, detail="set back")

    assert (step.reason, step.scope) == ("clock_step", "times")
    assert spans([step]) == [(50, 90)]
    assert spans(book.stop(100), Coverage) == [(10, 100)]


def test_why_rows_are_missing_may_be_found_later():
    book = ledger()
    book.covered(A, 10)
    (lost,) = book.lost(A, "connect_lost", 50)

    (found,) = book.reason_found(A, "venue_maintenance", "it says so")

    assert found.gap_id == lost.gap_id
    assert (found.reason, found.detail) == ("venue_maintenance", "it says so")
    assert book.reason_found(A, "venue_maintenance", "again") == []
    assert book.covered(A, 70)[0].reason == "venue_maintenance"
    assert book.reason_found(A, "venue_maintenance", "too late") == []


@pytest.mark.parametrize(
    ("stated_end", "expected"),
    [
        (None, [("process_stopped", 20, 50)]),
        (15, [("not_started", 20, 50)]),
        (20, [("not_started", 20, 50)]),
        (30, [("process_stopped", 20, 30), ("not_started", 30, 50)]),
        (40, [("process_stopped", 20, 50)]),
    ],
)
def test_after_the_time_at_which_a_run_was_to_end_the_next_was_not_started(
    stated_end, expected
):
    left = open_gap(A, started_at=20)
    book = Ledger("job", "run", [A], [left], stated_end)

    rows = book.start(40) + book.covered(A, 50)

    gaps = newest_revisions(
        {**dict(zip(gap.__struct_fields__, astuple(gap), strict=True)), **PLACE}
        for gap in [left, *rows]
    )
    assert [(g.reason, g.started_at, g.ended_at) for g in gaps] == expected
    assert gaps[0].gap_id == left.gap_id


def test_so_it_is_for_what_the_job_does_not_record_any_more():
    left = open_gap(Chain("OLD_USDT", "trades"), started_at=20)
    book = Ledger("job", "run", [A], [left], 30)

    rows = [row for row in book.start(40) if row.market == "OLD_USDT"]

    assert [(g.reason, g.started_at, g.ended_at) for g in rows] == [
        ("process_stopped", 20, 30),
        ("not_started", 30, 40),
    ]
