"""What the ledger means for a book, against a count of instants."""

from itertools import pairwise

import msgspec
from hypothesis import given, strategies as st

from recorder.model import Gap, beside
from recorder.replay.outages import FOREVER, Outages
from recorder.store.account import merged, outside


def gap(started_at, ended_at=None, job="job", scope="rows", reason="connect_lost"):
    return Gap(
        gap_id=f"{started_at}",
        market=None,
        stream=None,
        job=job,
        scope=scope,
        reason=reason,
        started_at=started_at,
        ended_at=ended_at,
    )


INTERVALS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda x: (x[0], x[0] + x[1])),
    max_size=6,
)


def instants(intervals):
    return {at for start, end in intervals for at in range(start, end)}


@given(INTERVALS)
def test_merged_intervals_are_the_same_instants_disjoint_and_in_order(intervals):
    found = merged(intervals)

    assert instants(found) == instants(intervals)
    assert all(a[1] < b[0] for a, b in pairwise(found))


@given(st.tuples(st.integers(0, 20), st.integers(0, 9)), INTERVALS)
def test_what_is_left_of_an_interval_is_outside_the_others(where, others):
    interval = where[0], where[0] + where[1]

    left = outside(interval, others)

    assert instants(left) == instants([interval]) - instants(others)
    assert left == merged(left)


def test_a_gap_marks_its_start_and_hides_until_its_end():
    marks = Outages([gap(5, 8), gap(20)], {}, {}).with_ids()

    assert marks.lost.tolist() == [5, 20]
    assert marks.hidden == ((5, 8), (20, FOREVER))
    assert [at for at in range(25) if marks.hides(at)] == [5, 6, 7, *range(20, 25)]


def test_only_gaps_that_ids_do_not_tell_of_must_be_heard_in():
    told = gap(10, 12, reason="sequence_gap")

    marks = Outages([gap(5, 8), told, gap(20)], {"other": [(6, 7)]}, {}).with_ids()

    assert marks.quiet == ((5, 6), (7, 8), (20, FOREVER))


def test_where_a_process_ended_another_takes_its_place():
    ended = gap(5, 8, reason="process_killed")
    marks = Outages([ended], {}, {}).with_ids()

    assert marks.lost.tolist() == [5]
    assert marks.handed == ((5, 8, ended.gap_id.partition(".")[0]),)


def test_what_the_ids_decide_is_hidden_and_not_marked():
    gaps = [gap(5, 8, reason="sequence_gap"), gap(10, 12, reason="undecodable")]
    coverage = {"job": [(0, 5), (8, FOREVER)]}

    marks = Outages(gaps, coverage, {}).with_ids()

    assert marks.lost.tolist() == []
    assert marks.doubted.tolist() == [10, 12]
    assert marks.hidden == ((5, 8), (10, 12))


def test_a_venue_that_counts_anew_is_marked():
    counted_anew = msgspec.structs.replace(
        gap(5, 8, reason="sequence_gap"), after_update_id=900, before_update_id=1
    )
    jump = msgspec.structs.replace(
        gap(15, 18, reason="sequence_gap"), after_update_id=900, before_update_id=902
    )

    marks = Outages([counted_anew, jump], {}, {}).with_ids()

    assert marks.lost.tolist() == [5]


def test_a_gap_of_no_length_is_marked_too():
    marks = Outages([gap(5, 5)], {}, {}).with_ids()

    assert marks.lost.tolist() == [5]
    assert marks.hidden == ()


def test_a_gap_of_no_length_that_the_ids_decide_is_doubted():
    marks = Outages([gap(5, 5, reason="undecodable")], {}, {}).with_ids()

    assert marks.lost.tolist() == []
    assert marks.doubted.tolist() == [5]


def test_gaps_of_the_book_alone_hide_a_stream_with_ids_and_lose_nothing():
    marks = Outages([gap(5, 8, scope="book")], {}, {}).with_ids()

    assert marks.lost.tolist() == []
    assert marks.hidden == ((5, 8),)


def test_coverage_that_ends_marks_its_end_and_midnight_does_not():
    marks = Outages(
        [], {"job": [(0, 10), (10, 20), (30, 40), (50, FOREVER)]}, {}
    ).with_ids()

    assert marks.lost.tolist() == [20, 40]


def test_a_gap_counts_only_where_no_other_job_covers_it():
    coverage = {"job": [(0, 5), (9, 30)], "other": [(4, 7)]}

    marks = Outages([gap(5, 9), gap(12, 14)], coverage, {}).with_ids()

    assert marks.hidden == ((7, 9), (12, 14))
    assert marks.lost.tolist() == [7, 12, 30]


def test_without_ids_a_connection_has_the_gaps_of_its_own_job():
    book = msgspec.structs.replace(gap(7, scope="book"), gap_id="run-a.1")
    outages = Outages(
        [gap(5, 8), gap(6, 9, job="other"), book],
        {"job": [(0, 5), (8, FOREVER)], "other": [(0, 6)]},
        {"run-a": "job", "run-b": "other"},
    )

    assert outages.without_ids("run-a.0").hidden == ((5, 8),)
    assert outages.without_ids("run-a.0").lost.tolist() == [5, 7, 8]
    assert outages.without_ids("run-b.3").hidden == ((6, 9),)
    assert outages.without_ids("run-b.3").lost.tolist() == [6, 9]


JOBS = {"a": "job", "b": "job"}
OWN = {"a": [(0, 9)], "b": [(9, 12)]}


def test_without_ids_what_befell_one_run_is_lost_to_its_connections_alone():
    left, killed = (
        msgspec.structs.replace(gap(*span, reason="undecodable"), gap_id=gap_id)
        for gap_id, span in (("a.1", (5, 5)), ("a.2", (7, 8)))
    )
    outages = Outages([left, killed], {"job": [(0, 12)]}, JOBS, own=OWN)

    assert outages.without_ids("a.0").lost.tolist() == [5, 7, 8, 9]
    assert outages.without_ids("b.0").lost.tolist() == [12]
    assert outages.without_ids("b.0").hidden == ((7, 8),)


def test_without_ids_what_one_run_knew_of_its_book_says_nothing_of_another():
    book = msgspec.structs.replace(gap(5, 8, scope="book"), gap_id="a.1")
    outages = Outages([book], {"job": [(0, 12)]}, JOBS, own=OWN)

    assert outages.without_ids("a.0").lost.tolist() == [5, 9]
    assert outages.without_ids("b.0").lost.tolist() == [12]


def test_without_ids_a_connection_of_an_unknown_job_has_all_gaps():
    outages = Outages([gap(5, 8), gap(6, 9, job="other")], {}, {})

    assert outages.without_ids("run-c.0").hidden == ((5, 9),)


def test_a_book_without_ids_goes_on_where_another_run_covered_a_part_of_a_step():
    mine, theirs = "mine.1", "theirs.1"
    steps = [
        msgspec.structs.replace(gap(start, end, reason="clock_step"), gap_id=gap_id)
        for gap_id, start, end in ((theirs, 5, 5), (mine, 7, 9))
    ]
    coverage = {"job": [(0, 5), (5, 7), (9, FOREVER)]}

    marks = Outages(steps, coverage, {"mine": "job"}).without_ids("mine.0")

    assert marks.lost.tolist() == []
    assert marks.hidden == ((7, 9),)


def test_a_book_without_ids_outlives_the_end_of_a_run_beside_it():
    """Nothing is shown of the time in which nobody was believed."""
    end = msgspec.structs.replace(gap(5, 8, reason="process_killed"), gap_id="a.killed")
    outages = Outages([end], {"job": [(0, 5), (8, FOREVER)]}, {"b": "job", "a": "job"})

    assert outages.without_ids("b.0").lost.tolist() == []
    assert outages.without_ids("b.0").hidden == ((5, 8),)
    assert outages.without_ids("a.0").lost.tolist() == [5, 8]


def test_without_ids_a_run_without_an_account_shows_nothing():
    told = Outages([beside("b", "job", "process_killed", 8)], {"job": [(0, 20)]}, JOBS)

    assert told.without_ids("b.0").hidden == ((0, FOREVER),)
    assert told.without_ids("a.0").hidden == ()
    assert told.with_ids().hidden == ()
