"""Runs side by side, whose clocks showed different times."""

from recorder.judging.lives import FOREVER, Life, Lives, Opened
from recorder.judging.shown import LATE_NS, Look, Shown


S = 1_000_000_000


def life(run, since, until, ahead, settled_at=0):
    """Return a run whose clock was so far ahead, all in seconds."""
    look = Look(since * S, (since + ahead) * S, until * S, (until + ahead) * S, False)
    return Life(run, "gate_spot", Shown([look]), settled_at * S)


# The second begins beside the first, and dies there; the third takes over.
FIRST, SECOND, THIRD = life("a", 0, 50, 5), life("b", 20, 30, 0), life("c", 40, 90, 1)
LIVES = Lives([THIRD, FIRST, SECOND], {"a.0": Opened(1, 4_711)})


def told(seconds):
    return LIVES.told("gate_spot", seconds * S) - LATE_NS


def test_the_account_is_told_by_the_clock_of_the_older_run_while_it_lives():
    assert told(25) == 20 * S
    assert told(55) == 50 * S
    assert told(61) == 60 * S
    assert told(95) == 94 * S
    assert LIVES.told("gate_spot", FOREVER) == FOREVER
    assert LIVES.told("gate_v3", 7) == 7


def test_an_instant_that_two_had_a_part_in_was_between_what_either_says():
    def bounds(seconds, *runs):
        times = LIVES.bounds("gate_spot", seconds * S, runs)
        return [(at - LATE_NS) // S for at in times]

    assert bounds(25, "a") == [20, 20]
    assert bounds(25, "a", "b") == [20, 25]
    assert bounds(35, "a", "b") == [30, 30]  # the second never showed it
    assert bounds(25, "other") == [20, 20]


def test_rows_are_told_by_the_clock_of_the_run_that_received_them():
    assert LIVES.received("gate_spot", "a.3", 25 * S) == 20 * S + LATE_NS
    assert LIVES.received("gate_spot", "b.rest", 25 * S) == 25 * S + LATE_NS
    assert LIVES.received("gate_spot", "other.rest", 25 * S) == 20 * S + LATE_NS


def test_between_two_runs_nothing_is_told_later_than_the_next_begins():
    lives = Lives([life("a", 0, 10, 0), life("b", 20, 30, 90)], {})

    assert lives.told("gate_spot", 15 * S) == 15 * S + LATE_NS
    assert lives.told("gate_spot", 100 * S) == 20 * S


def test_what_two_runs_side_by_side_stored_is_there_once_for_each():
    assert not LIVES.is_twice(["a.0"])
    assert not LIVES.is_twice(["a.0", "b.0"])
    assert LIVES.is_twice(["a.0", "a.1"])
    assert LIVES.is_twice(["a.0", "b.0", "b.rest"])
    assert LIVES.is_twice(["b.0", "c.0"])  # they did not meet
    assert LIVES.is_twice(["a.0", "other.rest"])


def test_who_is_beside_an_older_run_has_no_account():
    assert LIVES.has_no_account("b.0", 25 * S)
    assert LIVES.has_no_account("c.0", 49 * S)
    assert not LIVES.has_no_account("c.0", 50 * S)
    assert not LIVES.has_no_account("a.0", 25 * S)
    assert not LIVES.has_no_account("other.0", 25 * S)


def test_who_is_followed_when_it_ends_leaves_the_rest_to_the_other():
    assert LIVES.is_followed("a.0")
    assert not LIVES.is_followed("b.0")
    assert not LIVES.is_followed("c.0")
    assert not LIVES.is_followed("other.0")


def test_who_began_a_little_sooner_and_never_had_the_job_kept_no_account():
    lives = Lives([life("b", 9, 20, 0, settled_at=99), life("a", 10, 50, 5)], {})

    assert not lives.has_no_account("a.0", 15 * S)
    assert lives.has_no_account("b.0", 15 * S)
    assert not lives.has_no_account("b.0", 9 * S + 1)
    assert lives.told("gate_spot", 18 * S) == 13 * S + LATE_NS


def test_rows_may_be_held_until_a_run_has_the_job():
    lives = Lives([life("a", 0, 50, 0), life("c", 40, 90, 0, settled_at=52)], {})

    assert lives.is_held("c.0", 52 * S)
    assert not lives.is_held("c.0", 52 * S + 1)
    assert not lives.is_held("a.0", 0 + 1)


def test_what_was_sent_to_one_that_stands_still_is_read_when_it_goes_on():
    looks = [Look(0, 0, S, S, False), Look(S, S, 9 * S, 9 * S, False)]
    lives = Lives([Life("a", "gate_spot", Shown(looks))], {})

    assert lives.read_after("gate_spot", 2 * S) == 9 * S
    assert lives.read_after("gate_spot", S) == S
    assert lives.read_after("gate_v3", 2 * S) == 2 * S
