"""Time has one source; receive times never repeat and never step back."""

import time

import pytest

from recorder import clock
from recorder.clock import SystemClock, monotonic_ns, wall_ns


@pytest.fixture
def wall(monkeypatch):
    """Let the wall clock show these times, one after the other."""

    def wall(*readings):
        left = iter(readings)
        monkeypatch.setattr(clock.time, "time_ns", lambda: next(left))

    return wall


def test_receive_times_are_the_wall_clock_as_long_as_it_goes_on(wall):
    wall(100, 101, 5_000)
    system = SystemClock()

    assert [system.now_ns() for _ in range(3)] == [100, 101, 5_000]


def test_a_wall_clock_that_stands_or_steps_back_still_gives_new_times(wall):
    wall(100, 100, 40, 99, 103, 104)
    system = SystemClock()

    assert [system.now_ns() for _ in range(6)] == [100, 101, 102, 103, 104, 105]


def test_after_a_step_back_time_goes_on_at_its_pace(wall, monkeypatch):
    left = iter([7_000, 7_500, 9_000, 10_000, 50_000])
    monkeypatch.setattr(clock.time, "monotonic_ns", lambda: next(left))
    wall(10**10, 10**9, 10**9 + 500, 10**9 + 2_000, 10**10 + 90_000, 10**10 + 90_001)
    system = SystemClock()

    assert [system.now_ns() - 10**10 for _ in range(6)] == [
        0,
        1,
        501,
        2_001,
        90_000,
        90_001,
    ]


def test_a_clock_that_starts_ahead_of_the_wall_clock_goes_on_from_there(
    wall, monkeypatch
):
    left = iter([7, 7, 9, 20, 21])
    monkeypatch.setattr(clock.time, "monotonic_ns", lambda: next(left))
    wall(100, 102, 103, 5_000, 90, 5_001)
    system = SystemClock(not_before=1_000)

    assert [system.now_ns() for _ in range(6)] == [
        1_000,
        1_002,
        1_013,
        5_000,
        5_001,
        5_002,
    ]


def test_a_clock_that_starts_behind_the_wall_clock_shows_that(wall, monkeypatch):
    monkeypatch.setattr(clock.time, "monotonic_ns", lambda: 7)
    wall(100, 101)
    system = SystemClock(not_before=60)

    assert [system.now_ns() for _ in range(2)] == [100, 101]


def test_the_wall_clock_may_step_back(wall):
    wall(100, 40)

    assert [wall_ns(), wall_ns()] == [100, 40]


def test_the_system_clock_tells_the_time_of_today():
    before = time.time_ns()

    assert before <= SystemClock().now_ns() <= time.time_ns()


def test_durations_are_measured_by_a_clock_that_never_steps(wall):
    wall()

    first = monotonic_ns()

    assert 0 <= monotonic_ns() - first < 10**10
