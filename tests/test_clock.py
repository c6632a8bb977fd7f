"""Time has one source; receive times never repeat and never go back."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from recorder.clock import STEP_NS, Step, SystemClock, monotonic_ns, slept_ns, wall_ns


MS = 1_000_000
S = 1_000 * MS
WALL = 1_700_000_000 * S


class Machine:
    """A machine whose wall clock can be set; reading a clock takes a while."""

    def __init__(self, reading_takes=0):
        self.now = 77 * S
        self.lead = WALL
        self.reading_takes = reading_takes
        self.readings = 0

    def wall(self):
        self.now += self.reading_takes
        self.readings += 1
        return self.now + self.lead

    def counting(self):
        self.now += self.reading_takes
        return self.now

    def clock(self, not_before=0):
        return SystemClock(not_before, wall=self.wall, counting=self.counting)

    @property
    def right(self):
        return self.now + self.lead


@pytest.fixture
def machine():
    return Machine()


def test_receive_times_are_the_wall_clock(machine):
    clock = machine.clock()
    for pause in (0, 3, 5 * MS, 999 * MS, S, 3_600 * S):
        machine.now += pause
        assert 0 <= clock.now_ns() - machine.right <= 1
    assert clock.take_steps() == []


def test_readings_within_a_nanosecond_are_told_apart(machine):
    clock = machine.clock()
    first = machine.right
    assert [clock.now_ns() for _ in range(3)] == [first, first + 1, first + 2]


def test_a_step_forward_skips_instants_and_is_told_once(machine):
    clock = machine.clock()
    before = clock.now_ns()
    machine.now += S
    machine.lead += 3_600 * S
    after = clock.now_ns()

    [step] = clock.take_steps()
    assert step == Step(before + S, before + 3_601 * S, 3_600 * S, is_skipped=True)
    assert after == step.ended_at == machine.right
    assert clock.take_steps() == []


def test_between_two_looks_time_is_counted_on(machine):
    clock = machine.clock()
    before = clock.now_ns()
    machine.now += S // 2
    machine.lead += 3_600 * S
    assert clock.now_ns() == before + S // 2
    machine.now += S // 2
    assert clock.now_ns() == machine.right


def test_after_a_step_back_time_goes_on_at_half_its_pace_until_the_wall_has_caught_up(
    machine,
):
    clock = machine.clock()
    before = clock.now_ns()
    machine.now += S
    machine.lead -= 10 * S
    assert clock.now_ns() == before + S

    [step] = clock.take_steps()
    assert step == Step(before + S, before + 11 * S, -10 * S, is_skipped=False)
    machine.now += 12 * S
    assert clock.now_ns() == before + 7 * S
    machine.now += 8 * S
    assert clock.now_ns() == step.ended_at == machine.right
    machine.now += 5 * S
    assert clock.now_ns() == machine.right
    assert clock.take_steps() == []


def test_a_step_forward_while_it_goes_slowly_ends_that(machine):
    clock = machine.clock()
    before = clock.now_ns()
    machine.lead -= 10 * S
    machine.now += S
    clock.now_ns()
    machine.now += 2 * S
    machine.lead += 10 * S
    clock.now_ns()
    back, forward = clock.take_steps()
    assert back == Step(before + S, before + 11 * S, -10 * S, is_skipped=False)
    assert forward == Step(before + 2 * S, before + 3 * S, 10 * S, is_skipped=True)


def test_a_step_forward_that_is_not_enough_makes_the_slow_time_shorter(machine):
    clock = machine.clock()
    before = clock.now_ns()
    machine.lead -= 10 * S
    machine.now += S
    clock.now_ns()
    machine.now += 2 * S
    machine.lead += 3 * S
    clock.now_ns()
    *_, forward = clock.take_steps()
    assert forward == Step(before + 2 * S, before + 8 * S, 3 * S, is_skipped=False)


@pytest.mark.parametrize("by", [STEP_NS, -STEP_NS])
def test_what_lies_within_the_tolerance_is_followed_and_no_step(machine, by):
    clock = machine.clock()
    for _ in range(5):
        machine.now += S
        machine.lead += by
        clock.now_ns()
    assert clock.take_steps() == []
    machine.now += S
    assert clock.now_ns() == machine.right


@pytest.mark.parametrize("by", [STEP_NS + 1, -STEP_NS - 1])
def test_what_lies_beyond_it_is_one(machine, by):
    clock = machine.clock()
    machine.now += S
    machine.lead += by
    clock.now_ns()
    assert [step.by_ns for step in clock.take_steps()] == [by]


def test_a_machine_that_sleeps_is_no_step(machine):
    clock = machine.clock()
    machine.now += 8 * 3_600 * S
    assert clock.now_ns() == machine.right
    assert clock.take_steps() == []


def test_readings_that_are_interrupted_are_no_step():
    machine = Machine(reading_takes=40 * MS)
    clock = machine.clock()
    for _ in range(20):
        machine.now += S
        clock.now_ns()
    assert clock.take_steps() == []


def test_the_wall_clock_is_not_read_at_each_reading(machine):
    clock = machine.clock()
    machine.readings = 0
    for _ in range(2_000):
        machine.now += MS
        clock.now_ns()
    assert machine.readings == 2


def test_a_clock_that_starts_ahead_of_the_wall_clock_goes_on_from_there(machine):
    start = machine.right + 5 * S
    clock = machine.clock(not_before=start)
    assert clock.now_ns() == start
    assert clock.take_steps() == [Step(start, start + 5 * S, -5 * S, is_skipped=False)]
    machine.now += 4 * S
    assert clock.now_ns() == start + 2 * S
    machine.now += 100 * S
    assert clock.now_ns() == machine.right


def test_a_clock_that_starts_behind_the_wall_clock_shows_that(machine):
    clock = machine.clock(not_before=60)
    assert clock.now_ns() == machine.right
    assert clock.take_steps() == []


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 4_000 * MS),
        st.one_of(st.just(0), st.integers(-20 * S, 20 * S), st.integers(-MS, MS)),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(EVENTS, st.sampled_from([0, 300, 3 * MS]))
def test_whatever_is_set_times_increase_and_every_jump_is_told(events, takes):
    machine = Machine(reading_takes=takes)
    clock = machine.clock()
    shown = [clock.now_ns()]
    passed = 0
    for pause, by in events:
        machine.now += pause
        machine.lead += by
        passed += pause
        shown.append(clock.now_ns())
    spare = 40 * takes * len(shown) + len(shown)
    steps = clock.take_steps()
    assert all(earlier < later for earlier, later in pairwise(shown))
    skipped = [step for step in steps if step.is_skipped]
    for step in skipped:
        assert not any(step.started_at <= at < step.ended_at for at in shown)
    # Without what was told, and what is followed silently, it is time that passed.
    jumped = sum(step.ended_at - step.started_at for step in skipped)
    assert shown[-1] - shown[0] - jumped <= passed + spare + len(events) * STEP_NS
    # In the end it is the wall clock again.
    machine.now += S
    clock.now_ns()
    machine.now += 2_000 * S
    doubt = 60 * takes + sum(abs(by) <= STEP_NS for _, by in events) * STEP_NS
    assert abs(clock.now_ns() - machine.right) <= doubt + 3


SETTINGS = st.lists(
    st.tuples(
        st.sampled_from([7, 40_000, 3 * MS, 400 * MS, S, 7 * S, 60 * S]),
        st.sampled_from([0] * 6 + [-5 * S, -S, -300 * MS, 2 * MS, 300 * MS, 20 * S]),
    ),
    min_size=1,
    max_size=60,
)


@given(SETTINGS)
def test_what_it_showed_is_known_afterwards(happenings):
    machine = Machine()
    clock = machine.clock()
    readings = []
    for pause, by in happenings:
        machine.now += pause
        machine.lead += by
        shown = clock.now_ns()
        readings.append((machine.now, shown))
    many = len(readings)  # readings of one instant are a nanosecond apart
    for counted, shown in readings:
        assert abs(clock.shown_at(counted) - shown) <= many
        assert abs(clock.counted_at(shown) - counted) <= 2 * many


@given(SETTINGS, SETTINGS)
def test_who_follows_a_clock_shows_what_it_shows(before, after):
    machine = Machine()
    one = machine.clock()
    for pause, by in before:
        machine.now += pause
        machine.lead += by
        one.now_ns()
    machine.now += S  # it has seen what was set last
    counted, shown = machine.now, one.now_ns()
    machine.now += S // 3  # one that begins a little later
    two = machine.clock()
    two.follow(counted, shown)

    for pause, by in after:
        machine.now += pause
        assert abs(two.now_ns() - one.now_ns()) <= 2 * STEP_NS
        machine.lead += by
        # Each looks at the wall clock in its own time.
        machine.now += S
        assert one.now_ns() > 0
        assert two.now_ns() > 0


def test_a_clock_behind_the_wall_clock_is_not_followed(machine):
    clock = machine.clock()

    clock.follow(machine.now, machine.right - S)

    assert clock.now_ns() == machine.right
    assert clock.take_steps() == []


def test_the_wall_clock_may_step_back(monkeypatch):
    left = iter([100, 40])
    monkeypatch.setattr(time, "time_ns", lambda: next(left))

    assert [wall_ns(), wall_ns()] == [100, 40]


def test_the_system_clock_tells_the_time_of_today():
    before = time.time_ns()
    clock = SystemClock()

    assert before <= clock.now_ns() <= time.time_ns()


def test_durations_are_measured_by_a_clock_that_never_steps():
    first = monotonic_ns()

    assert 0 <= monotonic_ns() - first < 10**12


def test_how_long_the_machine_has_slept_is_known():
    assert -S < slept_ns() <= slept_ns() + S
