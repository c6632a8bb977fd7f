import random
from collections import defaultdict
from itertools import pairwise

import pytest

from recorder.simulator.maintenance import Maintenance, Maintenances


STATES = {"scheduled", "ongoing", "pre_open", "completed", "canceled"}
NEXT = {
    None: {"scheduled", "ongoing"},
    "scheduled": {"scheduled", "ongoing", "canceled"},
    "ongoing": {"ongoing", "pre_open", "completed"},
    "pre_open": {"completed"},
}


def told(steps: int, seed: int = 1) -> list[tuple[Maintenance, ...]]:
    venue = Maintenances(random.Random(seed), unit_ms=1_000, has_history=False)
    return [venue.step(1_000_000 + 500 * n) for n in range(steps)]


def lives(steps: int) -> list[list[Maintenance]]:
    by_title = defaultdict(list)
    for changes in told(steps):
        for change in changes:
            by_title[change.title].append(change)
    return list(by_title.values())


def test_each_maintenance_goes_through_states_in_their_order():
    for life in lives(200):
        before = None
        for change in life:
            assert change.state in NEXT[before]
            before = change.state


def test_every_case_of_the_documents_occurs():
    everything = lives(200)
    flat = [change for life in everything for change in life]

    assert {change.state for change in flat} == STATES
    assert {change.maint_type for change in flat} == {"1", "2", "3"}
    assert any(change.href for change in flat)
    assert any(not change.href for change in flat)
    assert any(len(changes) == 2 for changes in told(200))


def test_the_end_is_the_real_one_once_it_is_completed():
    completed = [c for life in lives(200) for c in life if c.state == "completed"]

    assert completed
    assert all(change.end == change.ts for change in completed)


def test_what_is_rescheduled_says_so_and_begins_later():
    found = 0
    for life in lives(200):
        for before, after in pairwise(life):
            if after.state == "scheduled":
                found += 1
                assert after.begin > before.begin
                assert after.end > before.end
                assert after.sche_desc.startswith("Rescheduled from 1970-01-01T00:1"), (
                    after.sche_desc
                )

    assert found > 3


def test_no_two_changes_are_alike():
    flat = [change for changes in told(300) for change in changes]

    assert len(set(flat)) == len(flat)


def test_the_seed_decides():
    assert told(20, seed=3) == told(20, seed=3)
    assert told(20, seed=3) != told(20, seed=4)


@pytest.mark.parametrize("has_history", [True, False])
def test_the_latest_change_is_remembered(has_history: bool):
    venue = Maintenances(random.Random(1), unit_ms=1, env="2", has_history=has_history)

    first = venue.latest
    changes = venue.step(5)

    assert (first is not None) is has_history
    assert first is None or (first.state, first.env) == ("completed", "2")
    assert venue.latest == changes[-1]
