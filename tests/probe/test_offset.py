"""How far two clocks are apart, from messages between them."""

import random

import pytest

from recorder.probe.offset import Offset, resolution_ns
from recorder.probe.report import ClockReport


SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND + 123_456_789
MS = 1_000_000


def cut(time, step):
    return time - time % step


def test_nothing_is_known_of_nothing():
    assert Offset().report() == ClockReport()


def test_an_answer_tells_from_both_sides():
    offset = Offset()

    offset.answered(NOW, NOW + 3 * SECOND + 1, NOW + 40 * MS)

    assert offset.report() == ClockReport(
        at_least_seconds=2.960000001,
        at_most_seconds=3.000000002,
        answers=1,
        ping_seconds=0.04,
    )


def test_a_push_tells_from_one_side():
    offset = Offset()

    offset.pushed(NOW - 50 * MS, NOW)

    assert offset.report() == ClockReport(at_least_seconds=-0.05, pushes=1)


def test_an_answer_without_a_time_tells_how_long_it_took():
    offset = Offset()

    offset.answered(NOW, None, NOW + 7 * MS)

    assert offset.report() == ClockReport(ping_seconds=0.007)


@pytest.mark.parametrize(
    ("time", "step"),
    [
        (5 * SECOND, SECOND),
        (5 * SECOND + MS, MS),
        (5 * SECOND + 1_000, 1_000),
        (5 * SECOND + 1, 1),
    ],
)
def test_the_digits_of_a_time_tell_how_coarse_it_is(time, step):
    assert resolution_ns(time) == step


@pytest.mark.parametrize("step", [1, 1_000, MS, SECOND])
@pytest.mark.parametrize("truth", [-3 * SECOND, -5 * MS, 0, 20 * MS, 3 * SECOND])
def test_the_truth_always_lies_within_the_bounds(truth, step):
    rng = random.Random(f"{truth} {step}")
    offset = Offset()
    for _ in range(50):
        at = NOW + rng.randrange(10 * SECOND)
        there, back = (rng.randrange(1, 80 * MS) for _ in range(2))
        offset.answered(at, cut(at + there + truth, step), at + there + back)
        offset.pushed(cut(at + truth, step), at + rng.randrange(1, 80 * MS))

    report = offset.report()

    least, most = report.at_least_seconds, report.at_most_seconds
    assert least <= truth / SECOND <= most
    assert most - least <= (160 * MS + step) / SECOND
    assert (report.answers, report.pushes) == (50, 50)


def test_clocks_of_a_venue_that_disagree_are_given_in_order():
    offset = Offset()
    offset.answered(NOW, NOW + 1, NOW + 2)

    offset.pushed(NOW + 5 * SECOND, NOW)

    report = offset.report()
    assert report.at_least_seconds == 2e-9
    assert report.at_most_seconds == 5.0
