"""Order and places of rows, against plain Python."""

import numpy as np
from hypothesis import given, strategies as st

from recorder.verify.checks.rows import (
    Keys,
    backward_at,
    doubled,
    early_at,
    places,
    runs_of,
    unsorted_at,
)


few = st.integers(0, 3)
rows = st.lists(st.tuples(few, few, few, few, few), max_size=12)


def keys(given_):
    columns = zip(*given_, strict=True) if given_ else [[]] * 5
    return Keys(*(np.array(list(column), np.int64) for column in columns))


@given(rows)
def test_rows_are_unsorted_where_they_come_before_the_one_in_front(given_):
    expected = [i for i in range(1, len(given_)) if given_[i] < given_[i - 1]]

    assert unsorted_at(keys(given_)).tolist() == expected


@given(rows)
def test_a_later_frame_of_a_connection_may_not_come_earlier(given_):
    group = np.array([row[0] for row in given_], np.int64)

    found = backward_at(keys(given_), group)

    is_wrong = any(
        one[0] == other[0]
        and one[2] == other[2]
        and one[3:] < other[3:]
        and one[1] > other[1]
        for one in given_
        for other in given_
    )
    assert bool(found.size) == is_wrong or _has_ties(given_)


def _has_ties(given_):
    places_ = [(row[0], *row[2:]) for row in given_]
    return len(set(places_)) < len(places_)


@given(st.lists(st.tuples(st.integers(0, 1 << 39), st.integers(0, 1_000_000), few)))
def test_places_are_told_apart(given_):
    seq, idx, kind = (
        np.array([row[number] for row in given_], np.int64) for number in range(3)
    )

    numbered = places(seq, idx, kind)

    assert len(set(numbered.tolist())) == len(set(given_))
    assert len(doubled(numbered)) == len(
        {row for row in given_ if given_.count(row) > 1}
    )


def test_early_rows_and_runs():
    recv, event = np.array([10, 10, 10, 10]), np.array([0, 10, 12, 13])

    assert early_at(recv, event, 2).tolist() == [3]
    assert runs_of(np.array([4, 4, 1, 4])) == [(0, 2), (2, 3), (3, 4)]
    assert runs_of(np.array([], np.int64)) == []
