"""Counts in words."""

import pytest

from recorder.counts import counted


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("row",), "2 rows"),
        (1_204, ("row",), "1,204 rows"),
        (1, ("push", "pushes"), "1 push"),
        (3, ("row is", "rows are"), "3 rows are"),
    ],
)
def test_a_count_agrees_with_what_it_counts(number, words, text):
    assert counted(number, *words) == text
