"""Something is done each time before a coroutine waits, and at no other time."""

import asyncio

import pytest

from recorder.capture.before_waiting import before_waiting


async def test_it_is_done_before_each_wait_and_not_without_one():
    done = []

    async def work():
        done.append("begun")
        await ready()  # it does not wait
        done.append("gathered")
        assert await asyncio.sleep(0, "slept") == "slept"
        done.append("woken")
        await asyncio.sleep(0.001)
        return "result"

    async def ready():
        return None

    assert await before_waiting(work(), lambda: done.append("wait")) == "result"
    assert done == ["begun", "gathered", "wait", "woken", "wait"]


async def test_what_else_happens_meanwhile_happens_after_it():
    order = []
    asyncio.get_running_loop().call_soon(order.append, "else")

    await before_waiting(asyncio.sleep(0), lambda: order.append("done"))

    assert order == ["done", "else"]


async def test_an_error_of_the_work_is_that_of_the_whole():
    async def work():
        await asyncio.sleep(0)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await before_waiting(work(), lambda: None)


async def test_an_error_of_what_is_done_ends_the_work():
    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    def fail():
        raise KeyError("done")

    with pytest.raises(KeyError, match="done"):
        await before_waiting(work(), fail)
    assert ended


async def test_a_cancellation_reaches_the_work_which_may_wait_once_more():
    done = []

    async def work():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return "tidied"

    task = asyncio.create_task(before_waiting(work(), lambda: done.append(1)))
    await asyncio.sleep(0.001)
    task.cancel()

    assert await task == "tidied"
    assert done == [1, 1]
