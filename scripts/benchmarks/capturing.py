"""A real capture of what the sender sends, and how much it takes.

In a process of its own: socket, writer thread, journal with fsync, book
watch, rotation at the end. It is measured from the moment on at which frames
are told to come: everything is subscribed and every book is known by then.
"""

import asyncio
import logging
import os
import resource
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import aiohttp
import msgspec

from benchmarks import sender
from benchmarks.sender import Poured
from recorder.capture.life import FRAME_MAX_BYTES
from recorder.capture.plan import CapturePlan, Progress, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig


STREAM = "depth:100ms"

SETUP_SECONDS = 60.0
"""What a capture may take beyond the time that sending takes."""

_SETUP_PER_SECOND = 2_000.0
"""How fast the sender may be asked: the venue's limits would take a minute."""

_MB = 10**6


class Cpu(NamedTuple):
    """CPU seconds, user and system, of a process.

    Attributes:
        total: All threads.
        loop: The thread that reads the socket.
    """

    total: float
    loop: float

    @staticmethod
    def now() -> "Cpu":
        """Return what this process has used so far."""
        parts = (resource.RUSAGE_SELF, resource.RUSAGE_THREAD)
        used = [resource.getrusage(part) for part in parts]
        return Cpu(*(usage.ru_utime + usage.ru_stime for usage in used))

    def since(self, before: "Cpu") -> "Cpu":
        """Return what was used since another reading."""
        return Cpu(self.total - before.total, self.loop - before.loop)


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the measured processes must know.

    Attributes:
        port: Where the sender is.
        markets: What to subscribe to.
        pours: Frames that come, and how many a second: None for as fast as
            they are read.
        seconds: When to give up.
        flush_seconds: The capture's flush interval.
        cpu: The one core to run on; None for any.
    """

    port: int
    markets: tuple[str, ...]
    pours: tuple[tuple[int, float | None], ...]
    seconds: float = 600.0
    flush_seconds: float = 1.0
    cpu: int | None = None

    @property
    def frames(self) -> int:
        """How many frames come."""
        return sum(frames for frames, _ in self.pours)


class Recorded(NamedTuple):
    """One run of the capture.

    Attributes:
        cpu: From the first frame until the last segment is closed.
        closing: The part of it after every frame was in a journal.
        poured: What was sent, pour by pour.
        progress: What the capture says of itself.
        memory: Resident memory each second from the first frame to the last, MB.
        peak: Most of it in the life of the process, MB.
    """

    cpu: Cpu
    closing: Cpu
    poured: list[Poured]
    progress: Progress
    memory: list[float]
    peak: float


def read_and_drop(setting: Setting) -> Cpu:
    """Receive all frames and do nothing with them."""
    return asyncio.run(_read_and_drop(setting))


async def _read_and_drop(setting: Setting) -> Cpu:
    async with (
        asyncio.timeout(setting.seconds),
        aiohttp.ClientSession() as http,
        http.ws_connect(
            sender.ws_url(setting.port),
            decode_text=False,
            compress=0,
            max_msg_size=FRAME_MAX_BYTES,
        ) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        before = Cpu.now()
        tasks.create_task(_pour(setting))
        receive = socket.receive
        text = aiohttp.WSMsgType.TEXT
        for _ in range(setting.frames):
            message = await receive()
            if message.type is not text:
                raise RuntimeError("the sender closed the connection")
        return Cpu.now().since(before)


async def _pour(setting: Setting) -> list[Poured]:
    """Let frames come, pour by pour."""
    poured = []
    timeout = aiohttp.ClientTimeout(total=setting.seconds)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for frames, rate in setting.pours:
            async with http.get(sender.pour_url(setting.port, frames, rate)) as answer:
                answer.raise_for_status()
                content = await answer.read()
                poured.append(msgspec.json.decode(content, type=Poured))
    return poured


def record(setting: Setting, store: str) -> Recorded:
    """Record all frames into a store."""
    logging.getLogger().addHandler(logging.NullHandler())  # gaps are accounted for
    if setting.cpu is not None:
        os.sched_setaffinity(0, {setting.cpu})
    return asyncio.run(_record(setting, Path(store)))


async def _record(setting: Setting, store: Path) -> Recorded:
    meter = _Meter(setting)
    capture = Capture(_plan(setting, store), on_progress=meter.see)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(meter.follow(capture))
        result = await capture.run()
        following.cancel()
    ended = Cpu.now()
    if meter.complete is None:
        raise RuntimeError(
            f"not all frames were taken within {setting.seconds:.0f} s: "
            f"{result.failure or result.progress}"
        )
    return Recorded(
        cpu=ended.since(meter.before),
        closing=ended.since(meter.complete),
        poured=meter.poured,
        progress=result.progress,
        memory=meter.memory,
        peak=_peak(),
    )


def _peak() -> float:
    """Return the most of resident memory so far, MB.

    What `getrusage` says may be that of the process that began this one.
    """
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / _MB


def _plan(setting: Setting, store: Path) -> CapturePlan:
    plan = plan_capture(
        CaptureConfig(
            source="gate_spot",
            markets=setting.markets,
            streams=(STREAM,),
            store=store,
            ws_url=sender.ws_url(setting.port),
            rest_url=sender.rest_url(setting.port),
            stop_after_seconds=setting.seconds,
            flush_seconds=setting.flush_seconds,
        )
    )
    source = msgspec.structs.replace(
        plan.source,
        requests_per_second=_SETUP_PER_SECOND,
        rest_per_second=_SETUP_PER_SECOND,
        market_list=None,  # what a day costs is no matter of frames
        ping_seconds=setting.seconds,  # so that every frame is one that was poured
    )
    return msgspec.structs.replace(plan, source=source)


class _Meter:
    """Lets the frames come once a capture is ready, and reads the CPU clock."""

    def __init__(self, setting: Setting) -> None:
        self.before = Cpu.now()
        self.complete: Cpu | None = None
        self.poured: list[Poured] = []
        self.memory: list[float] = []
        self._setting = setting
        self._seen = asyncio.Event()
        self._progress: Progress | None = None
        self._seen_at = self._lag = 0.0

    def see(self, progress: Progress) -> None:
        """Take what a capture says of itself after each flush."""
        self._progress = progress
        self._seen.set()

    async def follow(self, capture: Capture) -> None:
        """Wait until all is ready, let all frames come, end the capture."""
        before = await self._ready()
        self.before = Cpu.now()
        async with asyncio.TaskGroup() as tasks:
            sampling = tasks.create_task(self._sample())
            self.poured = await _pour(self._setting)
            sampling.cancel()
        await self._durable(before + self._setting.frames)
        self.complete = Cpu.now()
        capture.request_stop()

    async def _ready(self) -> int:
        """Wait until every book is known; return the frames until then."""
        ticks = 0
        while ticks < 2:  # a flush later, all that is done for the first time is done
            seen = await self._next()
            rows = seen.rows.get("depth", 0)
            markets = len(self._setting.markets)
            if rows >= markets == seen.books_known:
                ticks += 1
        return seen.frames

    async def _durable(self, frames: int) -> None:
        """Wait until so many frames were received, and all rows are in journals."""
        at = None
        while at is None or (self._seen_at - at) < self._lag:
            seen = await self._next()
            if at is None and seen.frames >= frames:
                at = self._seen_at

    async def _next(self) -> Progress:
        self._seen.clear()
        await self._seen.wait()
        assert self._progress is not None
        self._seen_at = monotonic()
        self._lag = self._progress.lag_seconds
        return self._progress

    async def _sample(self) -> None:
        """Note the resident memory each second."""
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            fields = Path("/proc/self/statm").read_text().split()  # noqa: ASYNC240 - no disk is asked
            self.memory.append(int(fields[1]) * page / _MB)
            await asyncio.sleep(1.0)
