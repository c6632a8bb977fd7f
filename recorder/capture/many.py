"""Several feeds captured in one process, each as if it were alone.

Each feed has a `Capture` of its own: its own run, writer, locks and job. So
what becomes of one is no matter of the others, and all that holds for one
capture holds for each. What they share is one loop, and what `Shared` holds.

A feed ends before the others if its venue sends it away for good, or if
something fails that is its own. It is not begun again, for somebody has to
mend something first; that is told. When none is left, all is over.
"""

import asyncio
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from recorder.capture.collector import collector_at_ease
from recorder.capture.ending import until_end
from recorder.capture.feeds import Feed, Feeds
from recorder.capture.market_lists import choose_markets
from recorder.capture.plan import CapturePlan, CaptureResult, Progress
from recorder.capture.run import Capture
from recorder.capture.shared import Shared
from recorder.capture.takeover import Whole, is_asked_to_leave
from recorder.capture.until import unless
from recorder.clock import wall_ns
from recorder.errors import RecorderError, StoreError, TransportError
from recorder.store.layout import job_lock_path
from recorder.store.locks import is_held
from recorder.telemetry import FEED, FeedEnded, FeedFailed, emit


OnProgress: TypeAlias = Callable[[str, Progress | None], None]
"""Told of a feed, by its name; None when it has ended."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a feed.

    Attributes:
        name: Of the feed.
        result: How its capture ended; None if it did not begin, or failed.
        error: With what it failed; None if it did not.
    """

    name: str
    result: CaptureResult | None = None
    error: RecorderError | None = None


class Captures:
    """Captures of several feeds, from the lock of their job to the last end.

    Args:
        feeds: What is captured.
        stop: Set by whoever wants all to end in order.
        stop_after_seconds: How long to record each; None for no limit.
        stop_at_ns: When to stop, nanoseconds since 1970 UTC; None for never.
        on_progress: Called about once a second for each feed, in the loop's
            thread.
        takes_over: Whether each feed takes over from the run that has it, and
            all of them the job as a whole.

    Raises:
        JobRunningError: If the job runs already, or is being taken over;
            nothing was touched.
        StoreError: If the store cannot be written.
    """

    def __init__(
        self,
        feeds: Feeds,
        *,
        stop: asyncio.Event,
        stop_after_seconds: float | None = None,
        stop_at_ns: int | None = None,
        on_progress: OnProgress | None = None,
        takes_over: bool = False,
    ) -> None:
        self._feeds = feeds
        self._stop = stop
        self._seconds = stop_after_seconds
        self._stop_at_ns = stop_at_ns
        self._on_progress = on_progress
        self._shared = Shared(feeds.memory_bytes)
        self._running: list[Capture] = []
        self._turn = asyncio.Lock()
        self._takes_over = takes_over
        self._over: list[Feed] = []
        self._whole = Whole(feeds.store, feeds.job, takes_over=takes_over)

    async def run(self) -> tuple[Outcome, ...]:
        """Capture all feeds until told to stop, or until none is left.

        Returns:
            What became of each, in their order; everything recorded is
            durable by then.
        """
        try:
            with collector_at_ease():
                async with asyncio.TaskGroup() as tasks:
                    stopping = tasks.create_task(self._pass_on_stop())
                    whole = tasks.create_task(self._mind_the_whole())
                    captures = [
                        tasks.create_task(self._capture(feed))
                        for feed in self._feeds.feeds
                    ]
                    await asyncio.wait(captures)
                    stopping.cancel()
                    whole.cancel()
            return tuple(task.result() for task in captures)
        finally:
            self._whole.release()

    async def _mind_the_whole(self) -> None:
        """Have the job as a whole, and hear who wants it."""
        try:
            await self._whole.take(self._has_all)
        except StoreError as error:
            emit(FeedFailed(why=str(error)))
            self._stop.set()
            return
        await until_end(
            self._stop,
            seconds=None,
            at_ns=None,
            is_asked=lambda: is_asked_to_leave(self._whole.lock),
        )

    def _has_all(self) -> bool:
        """Return whether every feed has its job, or has ended."""
        mine = sum(not capture.is_beside for capture in self._running)
        # One that ended here may go on there.
        ended = [f for f in self._over if not is_held(self._lock_of(f))]
        return mine + len(ended) == len(self._feeds.feeds)

    def _lock_of(self, feed: Feed) -> Path:
        return job_lock_path(self._feeds.store, feed.plan.job)

    async def _pass_on_stop(self) -> None:
        await self._stop.wait()
        for capture in self._running:
            capture.request_stop()

    async def _capture(self, feed: Feed) -> Outcome:
        """Capture a feed to its end, whatever that is."""
        FEED.set(feed.name)  # of this task: for the log
        try:
            return await self._record(feed)
        except RecorderError as error:
            emit(FeedFailed(why=str(error)))
            return Outcome(name=feed.name, error=error)
        except Exception as defect:  # noqa: BLE001 - which others must not suffer from
            hide = feed.plan.secrets.hide
            trace = hide("".join(traceback.format_exception(defect)))
            emit(FeedFailed(why="a defect of the recorder", trace=trace))
            why = (
                f"the recorder itself is at fault ({hide(repr(defect))}); "
                "please report it with what the log says"
            )
            return Outcome(name=feed.name, error=RecorderError(why))
        finally:
            self._over.append(feed)
            if self._on_progress is not None:
                self._on_progress(feed.name, None)

    async def _record(self, feed: Feed) -> Outcome:
        clock = asyncio.get_running_loop().time
        since = clock()
        plan = await self._settled(feed.plan)
        waited = clock() - since
        if plan is None:
            return Outcome(name=feed.name)
        with self._shared.connections.held(plan.source, plan.ws_url, plan.chains):
            capture = await self._begun(feed.name, plan, waited)
            if capture is None:
                return Outcome(name=feed.name)
            self._running.append(capture)
            if self._stop.is_set():
                capture.request_stop()
            try:
                result = await capture.run()
            finally:
                self._running.remove(capture)
        why = result.failure
        if why is None and result.refused and len(result.refused) == result.chains:
            why = "the venue refused all of it"
        if why is not None and not self._stop.is_set():
            emit(FeedEnded(why=why))
        return Outcome(name=feed.name, result=result)

    async def _settled(self, plan: CapturePlan) -> CapturePlan | None:
        """Return a plan whose markets are chosen; None if told to stop before.

        Nobody begins a feed again that gave up, so it goes on asking.
        """
        if not plan.has_patterns:
            return plan
        left = [] if self._seconds is None else [self._seconds]
        if self._stop_at_ns is not None:
            left.append(max(0.0, (self._stop_at_ns - wall_ns()) / 1e9))
        asking = choose_markets(plan, patience_seconds=None)
        try:
            async with asyncio.timeout(min(left, default=None)):
                return await unless(self._stop, asking)
        except TimeoutError as exc:
            raise TransportError("there was no time to look up its markets") from exc

    async def _begun(
        self, name: str, plan: CapturePlan, waited: float
    ) -> Capture | None:
        """Return a capture that is ready to run; None if told to stop before.

        To get ready takes a while, in which others go on reading.

        Args:
            name: Of the feed.
            plan: What is captured.
            waited: How long it waited for its markets, seconds: so much
                earlier it ends.
        """
        on_progress = self._on_progress and partial(self._on_progress, name)
        seconds = None if self._seconds is None else max(self._seconds - waited, 0.001)
        config = msgspec.structs.replace(
            plan.config,
            stop_after_seconds=seconds,
            stop_at_ns=self._stop_at_ns,
            takes_over=self._takes_over,
        )
        async with self._turn:
            if self._stop.is_set():
                return None
            return await asyncio.to_thread(
                Capture,
                msgspec.structs.replace(plan, config=config),
                on_progress=on_progress,
                stop=asyncio.Event(),
                shared=self._shared,
            )
