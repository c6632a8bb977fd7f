"""When a run ends: by the clock, asked, or told, and for whom it waits."""

import asyncio

import pytest

from recorder.capture import ending
from recorder.capture.ending import until_end


@pytest.fixture
def wall(monkeypatch):
    """A wall clock that the test sets."""
    wall = {"now": 1_000}
    monkeypatch.setattr(ending, "wall_ns", lambda: wall["now"])
    monkeypatch.setattr(ending, "LOOK_SECONDS", 0.001)
    return wall


class Said:
    """An answer that is given later, and counts how often it was asked."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_it_ends_by_the_wall_clock_wherever_that_was_set(wall):
    stop = asyncio.Event()
    ends = asyncio.ensure_future(until_end(stop, seconds=None, at_ns=3_600 * 10**9))
    await asyncio.sleep(0.01)
    assert not ends.done()

    wall["now"] = 3_600 * 10**9  # an hour was slept through

    assert await ends
    assert stop.is_set()


async def test_it_ends_after_so_long(wall):
    assert await until_end(asyncio.Event(), seconds=0.001, at_ns=None)


async def test_who_is_told_to_stop_was_not_out_of_time(wall):
    stop = asyncio.Event()
    stop.set()

    assert not await until_end(stop, seconds=0.0, at_ns=None)


async def test_who_is_asked_to_leave_leaves(wall):
    stop, is_asked = asyncio.Event(), Said(False, False, True)

    assert not await until_end(stop, seconds=None, at_ns=None, is_asked=is_asked)
    assert stop.is_set()
    assert is_asked.asked == 3


async def test_one_that_gets_ready_to_take_over_is_waited_for(wall):
    is_awaited = Said(True, True, False)

    assert await until_end(
        asyncio.Event(), seconds=None, at_ns=1_000, is_awaited=is_awaited
    )
    assert is_awaited.asked == 3


async def test_but_not_for_ever(wall, monkeypatch):
    monkeypatch.setattr(ending, "SUCCESSOR_SECONDS", 0.0)
    is_awaited = Said(True)

    assert await until_end(
        asyncio.Event(), seconds=None, at_ns=1_000, is_awaited=is_awaited
    )
    assert is_awaited.asked == 0
