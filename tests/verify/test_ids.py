"""Holes and doubles among ids, against a set of all that came."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recorder.verify.checks.ids import (
    NO_ID,
    Gaps,
    Hole,
    IdChain,
    TradeNumbers,
    Updates,
)


def updates(rows):
    """Rows of (time, first, last) or (time, None, last) for a snapshot."""
    times, firsts, lasts = (
        np.array([NO_ID if v is None else v for v in values], np.int64)
        for values in zip(*rows, strict=True)
    )
    return Updates(times, firsts, lasts, firsts == NO_ID)


def follow(rows, gaps=(), pieces=1, unstored=()):
    chain = IdChain(Gaps(gaps), updates(unstored) if unstored else None)
    edges = [len(rows) * number // pieces for number in range(pieces + 1)]
    for start, end in pairwise(edges):
        if start < end:
            chain.follow(updates(rows[start:end]))
    return chain


def test_updates_that_continue_each_other_are_whole():
    rows = [(10, 5, 7), (11, 8, 8), (12, 9, 12)]

    assert (follow(rows).holes, follow(rows).twice) == ([], [])


def test_a_hole_is_told_with_the_rows_around_it():
    chain = follow([(10, 5, 7), (20, 9, 9), (30, 10, 11)])

    assert chain.holes == [Hole(10, 20, 7, 9)]


@pytest.mark.parametrize("gap", [(11, 12), (20, 20), (15, 40), (0, 12)])
def test_a_hole_with_a_gap_between_its_rows_is_told_by_that(gap):
    assert follow([(10, 5, 7), (20, 9, 9)], [gap]).holes == []


@pytest.mark.parametrize("gap", [(0, 11), (21, 30)])
def test_a_gap_elsewhere_explains_nothing(gap):
    assert len(follow([(10, 5, 7), (20, 9, 9)], [gap]).holes) == 1


def test_what_comes_late_and_repeats_some_is_no_double():
    rows = [(10, 5, 7), (20, 10, 12), (21, 6, 11), (22, 6, 11), (23, 13, 13)]

    chain = follow(rows, [(15, 16)])

    assert (chain.holes, [twice.at for twice in chain.twice]) == ([], [22])


@pytest.mark.parametrize(
    ("unstored", "holes"), [([(15, 14, 14)], 0), ([], 1), ([(15, 899, 899)], 1)]
)
def test_an_update_may_come_late_after_one_that_could_not_be_stored(unstored, holes):
    """The venue seems to count anew between."""
    rows = [(20, 900, 901), (30, 11, 11), (40, 20, 20)]

    chain = follow(rows, [(15, 20), (21, 30)], unstored=unstored)

    assert (len(chain.holes), chain.twice) == (holes, [])


@pytest.mark.parametrize("pieces", [1, 2, 3])
def test_ids_that_came_and_could_not_be_stored_are_no_hole(pieces):
    rows = [(10, 5, 7), (12, 9, 9), (30, 11, 12)]
    unstored = [(11, 8, 8), (25, 10, 10)]

    assert follow(rows, pieces=pieces, unstored=unstored).holes == []
    assert len(follow(rows, pieces=pieces, unstored=unstored[:1]).holes) == 1


def test_what_could_not_be_stored_may_come_once_more():
    rows = [(10, 5, 7), (12, 9, 9), (13, 8, 8)]

    def twice(*more, unstored=((11, 8, 8),)):
        return [t.at for t in follow([*rows, *more], unstored=unstored).twice]

    assert twice() == []
    assert twice((14, 7, 7)) == [14]
    assert twice((14, 8, 8)) == [14]
    assert twice((15, 8, 8), unstored=[(11, 8, 8), (14, 8, 8)]) == [15]


def test_what_comes_late_into_a_hole_is_no_double():
    rows = [(10, 5, 7), (20, 9, 9), (21, 8, 8), (22, 10, 10)]

    chain = follow(rows, [(11, 20)])

    assert (chain.holes, chain.twice) == ([], [])


def test_what_came_before_is_a_double():
    chain = follow([(10, 5, 7), (11, 8, 9), (12, 6, 7), (13, 10, 10)])

    assert chain.holes == []
    assert [(twice.at, twice.first, twice.last) for twice in chain.twice] == [
        (12, 6, 7)
    ]


def test_a_snapshot_above_both_counts_leaves_open_what_came_of_the_new_one():
    rows = [(10, 15, 15), (20, None, 10), (21, None, 18), (22, 15, 15), (23, 15, 15)]

    chain = follow(rows, [(11, 20)])

    assert chain.holes == []
    assert [(twice.at, twice.first, twice.last) for twice in chain.twice] == [
        (23, 15, 15)
    ]


def test_a_new_count_that_grew_beyond_the_older_has_holes_and_doubles_of_its_own():
    rows = [(10, 15, 15), (20, None, 10), (21, 11, 14), (22, 15, 30), (23, 33, 40)]
    rows += [(24, 20, 21), (25, 5, 5), (26, 5, 5)]

    chain = follow(rows, [(11, 20)])

    assert chain.holes == [Hole(22, 23, 30, 33)]
    assert [(twice.at, twice.first) for twice in chain.twice] == [(24, 20), (26, 5)]


@pytest.mark.parametrize("before", [[], [(5, 40, 49)]], ids=["first", "anew"])
def test_an_update_that_a_first_snapshot_stood_for_may_come_late(before):
    def twice(rows):
        chain = IdChain(Gaps([(6, 9)]))
        for row in rows:
            one = updates([row])
            is_image = row[0] == 10
            chain.follow(one._replace(is_snapshot=np.array([is_image])))
        return [found.at for found in chain.twice]

    assert twice([*before, (10, 0, 9), (11, 8, 9), (12, 8, 9)]) == [12]


def test_what_came_late_of_the_older_count_is_no_hole_in_the_new_one():
    """Each hole of the older one only once."""
    rows = [(10, 350, 353), (20, 371, 379), (30, 250, 252), (40, 368, 368)]

    late = follow(rows, [(11, 20), (21, 30)])
    again = follow([*rows, (50, 368, 368)], [(11, 20), (21, 30)])

    assert (late.holes, late.twice) == ([], [])
    assert again.holes == [Hole(30, 50, 252, 368)]


def test_what_came_late_of_the_older_count_is_no_double_in_the_new_one():
    rows = [(10, 10, 13), (20, 16, 19), (30, 5, 14), (40, 14, 14), (50, 14, 14)]

    chain = follow(rows, [(11, 20), (21, 30)])

    assert chain.holes == []
    assert [(twice.at, twice.first) for twice in chain.twice] == [(50, 14)]


def test_lower_ids_behind_a_gap_are_a_new_count():
    rows = [(10, 500, 500), (20, 3, 3), (21, 4, 4), (22, 6, 6)]

    chain = follow(rows, [(11, 20)])

    assert chain.twice == []
    assert chain.holes == [Hole(21, 22, 4, 6)]


def test_one_that_came_late_behind_a_gap_does_not_hide_the_old_count():
    rows = [(10, 500, 500), (20, 499, 499), (21, 501, 501), (22, 503, 503)]

    chain = follow(rows, [(11, 20)])

    assert chain.holes == [Hole(21, 22, 501, 503)]


def test_a_snapshot_stands_for_what_came_before_it():
    rows = [(10, 5, 7), (11, None, 20), (12, 21, 22), (13, 9, 9)]

    chain = follow(rows)

    assert (chain.holes, chain.twice) == ([], [])


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=40),
    st.sets(st.integers(0, 39), max_size=6),
    st.integers(1, 5),
)
def test_every_hole_is_found_and_nothing_else(widths, lost, pieces):
    """Against all ids that ought to be there."""
    rows, first = [], 100
    for number, width in enumerate(widths):
        rows.append((number, first, first + width - 1))
        first += width
    kept = [row for number, row in enumerate(rows) if number not in lost]
    came = {id_ for _, low, high in kept for id_ in range(low, high + 1)}
    missing = (
        {id_ for id_ in range(kept[0][1], kept[-1][2] + 1) if kept} - came
        if kept
        else set()
    )

    chain = follow(kept, pieces=pieces) if kept else IdChain(Gaps([]))

    told = {id_ for hole in chain.holes for id_ in range(hole.after + 1, hole.before)}
    assert told == missing
    assert chain.twice == []


@given(st.permutations(range(12)), st.sets(st.integers(0, 11), max_size=3))
def test_numbers_of_trades_that_never_came_are_told(order, lost):
    numbers = [1_000, *(1_001 + n for n in order if n not in lost), 1_013]
    seen = TradeNumbers()

    for number in range(0, len(numbers), 5):
        part = numbers[number : number + 5]
        seen.follow(np.array(part, np.int64), np.arange(len(part)) + number)

    told = {n for hole in seen.holes for n in range(hole.after + 1, hole.before)}
    assert {1_001 + n for n in lost} <= told
    assert bool(lost) == bool(seen.holes)


def test_numbers_prove_themselves_by_many_in_a_row():
    seen = TradeNumbers()
    seen.follow(np.arange(150), np.arange(150))
    before = seen.is_proved

    seen.follow(np.arange(150, 300), np.arange(150, 300))

    assert (before, seen.is_proved) == (False, True)


def test_numbers_that_jump_too_often_prove_nothing():
    seen = TradeNumbers()

    numbers = np.concatenate([np.arange(250), 300 + 2 * np.arange(50)])
    seen.follow(numbers, np.arange(numbers.size))

    assert not seen.is_proved


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=8))
def test_gaps_hold_what_any_of_them_holds(spans):
    given_ = [(start, start + length) for start, length in spans]
    gaps = Gaps(given_)
    inside = {at for start, end in given_ for at in range(start, max(end, start + 1))}

    held = gaps.hold(np.arange(60))

    assert {at for at in range(60) if held[at]} == inside
    assert all(
        gaps.touch(first, first + 3)
        == any(at in inside for at in range(first, first + 4))
        for first in range(56)
    )


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=12),
    st.sets(st.integers(0, 11), max_size=4),
    st.integers(100, 130),
    st.integers(0, 3),
)
def test_it_is_known_which_ids_came(widths, lost, first, more):
    rows, start = [], 100
    for number, width in enumerate(widths):
        if number not in lost:
            rows.append((number, start, start + width - 1))
        start += width
    came = {id_ for _, low, high in rows for id_ in range(low, high + 1)}

    chain = follow(rows) if rows else IdChain(Gaps([]))
    seen = TradeNumbers()
    seen.follow(np.array(sorted(came), np.int64), np.arange(len(came)))

    expected = {*range(first, first + more + 1)} <= came
    assert chain.has(first, first + more) == expected
    assert seen.has(first, first + more) == expected
