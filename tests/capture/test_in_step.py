"""Two runs of a job show one time, or it is known that they do not."""

import pytest

from recorder.capture import in_step
from recorder.capture.in_step import APART_NS, SEEN_NS, InStep
from recorder.clock import SystemClock, boot_number
from recorder.store.run import open_run
from recorder.store.runfile import heartbeat_path


S = 1_000_000_000
WALL = 1_700_000_000 * S


class Machine:
    """A machine whose wall clock can be set, with two clocks of ours."""

    def __init__(self):
        self.now = 5 * S
        self.lead = WALL

    def clock(self, not_before=0):
        return SystemClock(
            not_before, wall=lambda: self.now + self.lead, counting=lambda: self.now
        )


@pytest.fixture
def machine():
    return Machine()


class Beside:
    """A run that has a job, and one that is to take over from it."""

    def __init__(self, root, machine, other, own):
        how = {"job": "twice", "source": "gate_spot", "now_ns": WALL}
        self.machine = machine
        self.other = other
        self.own = own
        self.first = open_run(root, **how)
        self.second = open_run(root, **how, takes_over=True)
        self.in_step = InStep(self.second, own)

    def beat(self):
        """Have the first one put down what its clock shows."""
        shown = self.other.now_ns()
        self.first.heartbeat(shown, counted_ns=self.machine.now)

    def look(self):
        self.in_step.look()
        return self.in_step.since(self.own.now_ns())

    def is_alike(self):
        """Look once; return whether the clocks go alike until now."""
        self.in_step.look()
        return self.in_step.is_since(self.own.now_ns())

    def release(self):
        self.second.release()
        self.first.release()


@pytest.fixture
def beside(tmp_path, machine):
    made = []

    def make(ahead=0):
        other = machine.clock(not_before=machine.now + machine.lead + ahead)
        made.append(Beside(tmp_path / "store", machine, other, machine.clock()))
        return made[-1]

    yield make
    for one in made:
        one.release()


def test_clocks_that_show_the_wall_clock_go_alike_from_the_first_look_on(
    beside, machine
):
    both = beside()
    both.beat()
    machine.now += S // 2
    began = both.own.now_ns()

    assert began < both.look() <= both.own.now_ns()
    machine.now += S
    assert both.in_step.is_since(began + S // 2)
    assert not both.in_step.is_since(began - 1)


def test_a_clock_that_is_ahead_is_followed(beside, machine):
    both = beside(ahead=30 * S)
    both.beat()
    machine.now += 3 * S

    both.look()

    shown = both.own.now_ns()
    assert both.look() > shown  # no later heartbeat shows that both go alike
    assert both.own.now_ns() - shown < 9
    assert len(both.own.take_steps()) == 1
    for _ in range(80):
        machine.now += S
        assert abs(both.own.now_ns() - both.other.now_ns()) <= APART_NS
    assert both.own.now_ns() - machine.now - machine.lead < S  # it has caught up


def test_what_was_before_it_was_followed_is_not_compared(beside, machine):
    both = beside(ahead=30 * S)
    both.beat()
    machine.now += S
    assert not both.is_alike()
    machine.now += S
    both.beat()
    followed = both.own.now_ns()
    machine.now += S

    assert both.is_alike()
    assert not both.in_step.is_since(followed)


def test_a_clock_of_ours_that_is_ahead_is_never_set_back(beside, machine):
    both = beside()
    both.beat()
    both.own.not_before(machine.now + machine.lead + 8 * S)
    shown = both.own.now_ns()
    machine.now += S
    both.beat()

    assert not both.is_alike()
    assert both.own.now_ns() > shown
    machine.now += 20 * S
    both.beat()
    assert both.is_alike()


def test_once_the_wall_clock_was_set_the_other_must_show_that_it_saw_it(
    beside, machine
):
    both = beside()
    both.beat()
    assert both.is_alike()
    machine.lead += 7 * S
    machine.now += 2 * S
    stepped = both.own.now_ns()
    assert not both.is_alike()
    machine.now += SEEN_NS
    assert not both.is_alike()  # the other has not beaten since

    both.beat()

    assert both.is_alike()
    assert not both.in_step.is_since(stepped)


def test_who_stood_still_while_the_wall_clock_was_set_back_shows_another_time(
    beside, machine
):
    both = beside()
    both.beat()
    assert both.is_alike()
    machine.lead -= 5 * S
    for _ in range(4):  # the other one stands still
        machine.now += S
        both.own.now_ns()
    both.other.now_ns()
    machine.now += 3 * S
    both.beat()
    assert both.own.shown_at(machine.now) < both.other.shown_at(machine.now) - S

    assert not both.is_alike()  # from here on it follows

    machine.now += S
    both.beat()
    assert both.is_alike()


def test_who_never_told_what_its_clock_shows_has_stored_nothing(beside):
    both = beside()

    assert both.look() == 0


def test_a_heartbeat_of_before_the_machine_was_started_tells_nothing(
    beside, monkeypatch
):
    monkeypatch.setattr(in_step, "boot_number", lambda: boot_number() + 1)
    both = beside()
    both.beat()

    assert both.look() == 0


def test_a_disk_that_cannot_be_read_leaves_it_as_it_is(beside, machine):
    both = beside()
    both.beat()
    since = both.look()
    path = heartbeat_path(both.first.root, both.first.id)
    path.unlink()
    path.mkdir()
    machine.now += S

    assert both.look() == since
    path.rmdir()


def test_another_clock_is_always_in_step(tmp_path):
    class Counter:
        def now_ns(self):
            return 1

        def not_before(self, at_ns):
            raise AssertionError

    first = open_run(tmp_path, job="j", source="s", now_ns=WALL)
    second = open_run(tmp_path, job="j", source="s", now_ns=WALL, takes_over=True)
    step = InStep(second, Counter())

    step.look()

    assert step.since(9) == 0
    second.release()
    first.release()
