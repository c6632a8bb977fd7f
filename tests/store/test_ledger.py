"""The ledger: covered time and gaps of rows add up to wall time."""

from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from recorder.model import Chain, Coverage, Gap
from recorder.store.ledger import DAY_NS, Ledger, newest_revisions


A = Chain("BTC_USDT", "trades")
B = Chain("ETH_USDT", "depth:100ms")


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


def test_a_gap_closes_the_interval_and_coverage_reopens_after_it():
    book = ledger()

    book.covered(A, 10)
    lost = book.lost(A, "connect_lost", 25, detail="reset", after_update_id=7)
    back = book.covered(A, 40)
    end = book.stop(60)

    assert lost[0] == Coverage(
        market="BTC_USDT",
        stream="trades",
        job="job",
        started_at=10,
        ended_at=25,
        closed_by="gap",
    )
    assert isinstance(lost[1], Gap)
    assert (lost[1].reason, lost[1].started_at, lost[1].ended_at) == (
        "connect_lost",
        25,
        None,
    )
    assert (lost[1].detail, lost[1].after_update_id) == ("reset", 7)
    assert isinstance(back[0], Gap)
    assert (back[0].gap_id, back[0].ended_at) == (lost[1].gap_id, 40)
    assert isinstance(end[0], Coverage)
    assert (end[0].started_at, end[0].ended_at, end[0].closed_by) == (40, 60, "stop")
    assert isinstance(end[1], Gap)
    assert (end[1].reason, end[1].started_at) == ("process_stopped", 60)


def test_a_chain_in_a_gap_does_not_get_a_second_one():
    book = ledger()
    book.covered(A, 10)
    book.lost(A, "connect_lost", 25)

    assert book.lost(A, "connect_lost", 30) == []


def test_a_gap_that_is_over_splits_the_coverage():
    book = ledger()
    book.covered(B, 10)

    rows = book.missed(B, "sequence_gap", 20, 30, after_update_id=5, before_update_id=9)
    later = book.stop(50)

    assert isinstance(rows[0], Coverage)
    assert (rows[0].started_at, rows[0].ended_at) == (10, 20)
    assert isinstance(rows[1], Gap)
    assert (rows[1].started_at, rows[1].ended_at) == (20, 30)
    assert (rows[1].after_update_id, rows[1].before_update_id) == (5, 9)
    assert isinstance(later[0], Coverage)
    assert (later[0].started_at, later[0].ended_at) == (30, 50)


def test_a_gap_of_unknown_victims_names_no_market():
    rows = ledger().missed_by_all("undecodable", 5, 6, detail="frame 3")

    assert isinstance(rows[0], Gap)
    assert (rows[0].market, rows[0].stream, rows[0].ended_at) == (None, None, 6)


def test_healing_revises_the_last_gap_once():
    book = ledger()
    book.covered(A, 10)
    lost = book.lost(A, "connect_lost", 20)[1]
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

    rows = book.midnight(DAY_NS)
    end = book.stop(DAY_NS + 7)

    assert [(r.started_at, r.ended_at, r.closed_by) for r in rows] == [
        (DAY_NS - 5, DAY_NS, "midnight")
    ]
    assert (end[0].started_at, end[0].ended_at) == (DAY_NS, DAY_NS + 7)


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


STEP = st.sampled_from(["covered", "lost", "missed", "book", "midnight", "stop"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(STEP, st.integers(1, 50)), max_size=40))
def test_covered_and_gaps_add_up_to_wall_time(steps):
    """Whatever happens, from the first acceptance on nothing is unaccounted for."""
    runs, now, first = 0, 0, 0
    book = Ledger("job", "run0", [A])
    rows = book.start(now)
    for step, wait in steps:
        before, now = now, now + wait + 1
        if step == "covered":
            rows += book.covered(A, now)
        elif step == "lost":
            rows += book.lost(A, "connect_lost", now)
        elif step == "missed" and book.is_covered(A) and before > first:
            rows += book.missed(A, "sequence_gap", before, now)
        elif step == "book":
            rows += book.book_lost(A, "resync", now)
        elif step == "midnight":
            rows += book.midnight(now)
        elif step == "stop":
            rows += book.stop(now)
            runs += 1
            newest = {r.gap_id: r for r in rows if isinstance(r, Gap)}
            left = [g for g in newest.values() if g.ended_at is None]
            book = Ledger("job", f"run{runs}", [A], left)
            rows += book.start(now)
    now += 1
    rows += book.stop(now)

    newest = {r.gap_id: r for r in rows if isinstance(r, Gap) and r.scope == "rows"}
    spans = [(g.started_at, g.ended_at or now) for g in newest.values()]
    spans += [(r.started_at, r.ended_at) for r in rows if isinstance(r, Coverage)]
    spans = sorted(span for span in spans if span[0] < span[1])

    assert spans[0][0] == first
    assert spans[-1][1] == now
    for (_, end), (start, _) in pairwise(spans):
        assert start == end


@pytest.mark.parametrize("at", [3, 10])
def test_an_interval_never_ends_before_it_starts(at):
    book = ledger()
    book.covered(A, 10)

    rows = book.lost(A, "connect_lost", at)

    assert not [row for row in rows if isinstance(row, Coverage)]


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


def test_a_gap_that_is_noticed_late_does_not_reach_into_coverage_told_before():
    book = ledger()
    book.covered(A, 10)
    book.missed(A, "sequence_gap", 60, 70)

    book.missed(A, "undecodable", 50, 51)
    end = book.stop(90)

    assert [
        (row.started_at, row.ended_at) for row in end if isinstance(row, Coverage)
    ] == [(70, 90)]


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
