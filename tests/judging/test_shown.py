"""What a clock showed, told in real time: against the recorder's own clock."""

import pytest
from hypothesis import given, settings, strategies as st

from recorder.clock import SystemClock
from recorder.judging.shown import LATE_NS, STILL_NS, Look, Noter, Shown


S = 1_000_000_000
T0 = 1_700_000_000 * S


class Machine:
    """Real time and the wall clock; the clock that nobody sets shows real time."""

    def __init__(self):
        self.real = T0
        self.ahead = 0

    def clock(self):
        return SystemClock(
            wall=lambda: self.real + self.ahead, counting=lambda: self.real
        )


SETTINGS = st.sampled_from([0] * 8 + [-5 * S, -S, -S // 3, S // 3, 3 * S, 20 * S])
PAUSES = st.sampled_from([1_000, 40_000, 3_000_000, 90_000_000, S // 2, 7 * S])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PAUSES, SETTINGS), min_size=1, max_size=150))
def test_what_was_shown_is_told_in_real_time(happenings):
    machine, looks, readings = Machine(), [], []
    clock = machine.clock()
    noter = Noter(looks.append)
    for pause, by in happenings:
        machine.real += pause
        machine.ahead += by
        shown = clock.now_ns()
        noter.read(machine.real, shown, is_slow=clock._slow_from is not None)
        readings.append((machine.real, shown))
    last = looks[-1].real

    told = Shown(looks)

    for real, shown in readings:
        if real <= last:
            assert real <= told.real(shown) <= real + 2 * LATE_NS


def look(real_before, shown_before, real, shown, *, is_slow=False):
    return Look(real_before, shown_before, real, shown, is_slow)


def test_instants_that_were_skipped_were_all_at_one_time():
    told = Shown([look(0, 1_000 * S, 8 * S, 1_013 * S)])

    assert told.real(1_004 * S) == 4 * S + LATE_NS
    assert {told.real(at * S) for at in (1_009, 1_011, 1_013)} == {8 * S + LATE_NS}


def test_before_the_first_reading_and_after_the_last_both_clocks_go_alike():
    told = Shown([look(0, 5 * S, S, 6 * S)])

    assert told.real(3 * S) == -2 * S + LATE_NS
    assert told.real(9 * S) == 4 * S + LATE_NS


def test_who_stood_still_reads_when_it_goes_on():
    still = STILL_NS + 1
    told = Shown([look(0, 0, 10, 10), look(10, 10, 10 + still, 10 + still)])

    assert [told.read_after(at) for at in (5, 10, 11, 10 + still, 2 * still)] == [
        *(5, 10, 10 + still, 10 + still, 2 * still)
    ]


def test_a_clock_that_shows_an_instant_twice_is_no_clock():
    with pytest.raises(ValueError, match="showed 5 after 10"):
        Shown([look(0, 0, 10, 10), look(10, 5, 11, 6)])
