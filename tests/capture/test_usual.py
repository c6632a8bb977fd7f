"""A stream of its own that stops, told from a market that goes quiet."""

import random
from itertools import pairwise

import pytest

from recorder.capture.silence import Silence
from recorder.capture.usual import (
    AT_ONCE_MIN_NS,
    GROWTH,
    LOOK_NS,
    LOOKS_MIN,
    PROBE_ROWS,
    SECOND_NS as S,
    SILENCE_MIN_NS,
    TIMES_LONGER,
    Usual,
)
from recorder.model import Chain


A = Chain("A_B", "trades")
T0 = 1_000_000 * S


class Desk:
    """One stream that is looked at once a second."""

    def __init__(self):
        self.heard = {}
        self.usual = Usual(self.heard, [A])
        self.now = T0
        self.asked = []
        self.resumed = []

    def go_on(self, seconds, *, every=None, is_answered=True):
        for second in range(seconds):
            self.now += S
            if every is not None and second % every == 0:
                self.heard[A] = self.now
            if self.usual.take_due(self.now):
                self.asked.append(self.now)
                if is_answered:
                    self.usual.answered(A, self.now)
            self.resumed += self.usual.take_resumed(self.now)

    def learn(self, *, every=1):
        self.go_on(LOOKS_MIN * 6 * max(1, every // 5), every=every)


LONG = SILENCE_MIN_NS // S + 10


@pytest.fixture
def desk():
    return Desk()


def test_a_stream_that_is_silent_as_it_never_was_is_asked_for_once_more(desk):
    desk.learn()
    last = desk.heard[A]
    desk.go_on(LONG)

    [asked] = desk.asked
    assert SILENCE_MIN_NS <= asked - last <= SILENCE_MIN_NS + LOOK_NS
    assert desk.resumed == []


def test_rows_at_once_after_the_answer_are_proof(desk):
    desk.learn()
    last = desk.heard[A]
    while not desk.asked:
        desk.go_on(1)
    desk.go_on(PROBE_ROWS + 1, every=1)

    [one] = desk.resumed
    assert (one.chain, one.since, one.until) == (A, last + 1, desk.asked[0])
    desk.go_on(1_000, every=1)
    assert len(desk.resumed) == len(desk.asked) == 1


@pytest.mark.parametrize("later", [AT_ONCE_MIN_NS // S + 2, 60])
def test_rows_that_come_later_prove_nothing_and_are_learned_from(desk, later):
    desk.learn()
    while not desk.asked:
        desk.go_on(1)
    desk.go_on(later)
    desk.go_on(100, every=1)
    assert desk.resumed == []

    silence = (desk.asked[0] - T0) // S
    desk.go_on(silence)
    assert len(desk.asked) == 1


def test_a_row_or_two_prove_nothing(desk):
    desk.learn()
    while not desk.asked:
        desk.go_on(1)
    desk.go_on(1, every=1)
    desk.go_on(100)

    assert desk.resumed == []


def test_rows_that_came_before_the_answer_prove_nothing(desk):
    desk.learn()
    while not desk.asked:
        desk.go_on(1, is_answered=False)
    desk.heard[A] = desk.now + 1
    desk.usual.answered(A, desk.now + 2)
    desk.resumed += desk.usual.take_resumed(desk.now + 3)
    desk.go_on(50, every=1)

    assert desk.resumed == []


def test_what_brings_nothing_is_asked_for_at_growing_distances(desk):
    desk.learn()
    last = desk.heard[A]
    desk.go_on(LONG * GROWTH * GROWTH + 20)

    silences = [(at - last) // S for at in desk.asked]
    assert len(silences) == 3
    for before, after in pairwise(silences):
        assert before * GROWTH <= after <= before * GROWTH + LOOK_NS // S + 1


def test_a_stream_with_long_silences_of_its_own_is_left_alone(desk):
    desk.learn(every=30)
    desk.go_on(TIMES_LONGER * 30 - 50)
    assert desk.asked == []
    desk.go_on(60)
    assert len(desk.asked) == 1


def test_a_stream_of_few_rows_has_no_usual_silence(desk):
    desk.go_on(20, every=1)
    desk.go_on(10_000)

    assert desk.asked == []


def test_silence_while_nothing_was_expected_is_not_its_own(desk):
    desk.learn()
    desk.usual.lost(A)
    desk.go_on(5_000)
    assert desk.asked == []
    desk.go_on(10, every=1)
    desk.go_on(LONG)

    assert len(desk.asked) == 1


def test_a_run_that_stood_still_begins_anew(desk):
    desk.learn()
    desk.now += 5_000 * S
    desk.usual.begin_anew()
    desk.go_on(3_000)

    assert desk.asked == []


def test_in_a_run_it_is_a_gap_up_to_the_answer():
    silence = Silence((), [A], [A], [A])
    silence.accepted(A, T0, is_covered=False)
    now = T0
    while not (probes := silence.take_probes(now)):
        now += S
        if now < T0 + 1_000 * S:
            silence.heard[A] = now
    last = silence.heard[A]
    assert probes == [A]
    silence.accepted(A, now, is_covered=True)
    until = now
    for _ in range(PROBE_ROWS):
        now += S
        silence.heard[A] = now
        found = silence.take_was_silent(now)

    [one] = found
    assert (one.chain, one.since, one.until) == (A, last + 1, until)
    assert "never for more than" in one.why


def draws(kind, rng):
    """Distances between two rows of a market, seconds."""
    if kind == "pareto":
        return 0.5 * rng.paretovariate(1.5)
    if kind == "lognormal":
        return rng.lognormvariate(0.5, 1.8)
    if kind == "bursts":
        return rng.expovariate(5) if rng.random() < 0.95 else rng.expovariate(1 / 400)
    day = 1 if rng.random() < 0.999 else 1_000  # closes for a while
    return rng.expovariate(2) * day


@pytest.mark.parametrize("kind", ["pareto", "lognormal", "bursts", "pauses"])
def test_a_market_with_heavy_tails_gives_no_false_alarm(kind):
    asked = 0
    for seed in range(6):
        rng = random.Random(f"{kind}.{seed}")
        desk = Desk()
        next_row = T0
        while desk.now < T0 + 12 * 3_600 * S:
            # Nobody looks more often than there is something to see.
            step = S if desk.now < next_row + S else 5 * S
            desk.now += step
            while next_row <= desk.now:
                desk.heard[A] = next_row
                next_row += int(draws(kind, rng) * S) + 1
            if desk.usual.take_due(desk.now):
                asked += 1
                desk.usual.answered(A, desk.now)
            desk.resumed += desk.usual.take_resumed(desk.now)
        assert desk.resumed == [], seed
    assert asked < 100
