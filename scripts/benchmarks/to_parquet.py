"""P2: what it costs to make a frame on a socket a row of a closed segment.

A real capture, in a process of its own: socket, writer thread, journal with
fsync, book watch, rotation at the end. It is compared with a process that
receives the same frames from the same sender and drops them. Both are
measured from the moment on at which the frames are told to come: everything
is subscribed and every book is known by then.
"""

import asyncio
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import numpy as np
import pyarrow as pa

from benchmarks import sender
from benchmarks.frames import Load
from recorder.capture.life import FRAME_MAX_BYTES
from recorder.capture.plan import CapturePlan, Progress, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.model import parse_levels
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows


STREAM = "depth:100ms"
SAMPLE_EVERY = 997
"""One frame in so many is compared level by level."""

EXPECTED_GAPS = ("not_started", "process_stopped")
"""Reasons of gaps before the first frame and after the last."""

_CONTEXT = get_context("spawn")
_SETUP_PER_SECOND = 2_000.0
"""How fast the sender may be asked: the venue's limits would take a minute."""

_LIMIT_SECONDS = 90.0
"""What a run may take beyond the time that sending takes."""


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


class Recorded(NamedTuple):
    """One run of the capture.

    Attributes:
        cpu: From the first frame until the last segment is closed.
        closing: The part of it after every frame was in a journal.
        progress: What the capture says of itself.
    """

    cpu: Cpu
    closing: Cpu
    progress: Progress


class Costs(NamedTuple):
    """What each run cost."""

    ours: list[Recorded]
    bare: list[Cpu]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the measured processes must know.

    Attributes:
        port: Where the sender is.
        markets: What to subscribe to.
        frames: How many frames will come.
        seconds: When to give up.
    """

    port: int
    markets: tuple[str, ...]
    frames: int
    seconds: float


def measure(
    load: Load, *, seed: int, rate: float | None, runs: int, folder: Path | None
) -> Costs:
    """Return what runs cost, capture and bare reading taking turns.

    Args:
        load: The frames that the seed gives.
        seed: Decides the frames.
        rate: Frames a second; None for as fast as they are read.
        runs: How often each is run.
        folder: Where stores are made, and removed; None for the usual place.

    Raises:
        RuntimeError: If a store does not hold exactly what was sent.
    """
    costs = Costs([], [])
    frames = len(load.frames)
    with _serving(frames, len(load.markets), seed, rate) as port:
        setting = Setting(
            port=port,
            markets=tuple(load.markets),
            frames=frames,
            seconds=_LIMIT_SECONDS + (frames / rate if rate else 0.0),
        )
        for _ in range(runs):
            costs.bare.append(_in_process(read_and_drop, setting))
            with tempfile.TemporaryDirectory(dir=folder) as store:
                recorded = _in_process(record, setting, store)
                _check(Path(store), load, recorded.progress)
            costs.ours.append(recorded)
    return costs


@contextmanager
def _serving(frames: int, markets: int, seed: int, rate: float | None) -> Iterator[int]:
    """Run the sender; give its port."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(
        target=sender.serve, args=(theirs, frames, markets, seed, rate)
    )
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _in_process(function: Callable[..., object], *arguments: object) -> Any:
    """Return what a function returns in a fresh process."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_answer, args=(theirs, function, *arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise RuntimeError(f"{function.__name__} failed in its process") from None
    finally:
        process.join()


def _answer(
    pipe: Connection, function: Callable[..., object], *arguments: object
) -> None:
    pipe.send(function(*arguments))


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
    ):
        before = Cpu.now()
        await _pour(setting.port)
        receive = socket.receive
        text = aiohttp.WSMsgType.TEXT
        for _ in range(setting.frames):
            message = await receive()
            if message.type is not text:
                raise RuntimeError("the sender closed the connection")
        return Cpu.now().since(before)


def record(setting: Setting, store: str) -> Recorded:
    """Record all frames into a store."""
    return asyncio.run(_record(setting, Path(store)))


async def _record(setting: Setting, store: Path) -> Recorded:
    meter = _Meter(setting)
    capture = Capture(_plan(setting, store), on_progress=meter.see)
    async with asyncio.TaskGroup() as tasks:
        pouring = tasks.create_task(meter.begin())
        stopping = tasks.create_task(meter.stop(capture))
        result = await capture.run()
        pouring.cancel()
        stopping.cancel()
    ended = Cpu.now()
    if not meter.is_complete.is_set():
        raise RuntimeError(
            f"not all frames were recorded within {setting.seconds:.0f} s: "
            f"{result.failure or result.progress}"
        )
    return Recorded(
        ended.since(meter.before), ended.since(meter.complete), result.progress
    )


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
        )
    )
    source = msgspec.structs.replace(
        plan.source,
        requests_per_second=_SETUP_PER_SECOND,
        rest_per_second=_SETUP_PER_SECOND,
        market_list=None,  # what a day costs is no matter of frames
    )
    return msgspec.structs.replace(plan, source=source)


class _Meter:
    """Lets the frames come once a capture is ready, and reads the CPU clock."""

    def __init__(self, setting: Setting) -> None:
        self.before = self.complete = Cpu.now()
        self.is_complete = asyncio.Event()
        self._setting = setting
        self._is_ready = asyncio.Event()
        self._ready_ticks = 0

    def see(self, progress: Progress) -> None:
        """Take what a capture says of itself after each flush."""
        rows = progress.rows.get("depth", 0)
        snapshots = len(self._setting.markets)
        if rows >= snapshots + self._setting.frames:
            self.is_complete.set()
        elif rows == snapshots == progress.books_known:
            # A flush later, all that is done for the first time is done.
            self._ready_ticks += 1
            if self._ready_ticks > 1:
                self._is_ready.set()

    async def begin(self) -> None:
        """Wait until all books are known, then let the frames come."""
        await self._is_ready.wait()
        self.before = Cpu.now()
        await _pour(self._setting.port)

    async def stop(self, capture: Capture) -> None:
        """Wait until all frames are in journals, then end the capture."""
        await self.is_complete.wait()
        self.complete = Cpu.now()
        capture.request_stop()


async def _pour(port: int) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.get(sender.pour_url(port)) as answer,
    ):
        answer.raise_for_status()


def _check(store: Path, load: Load, progress: Progress) -> None:
    """Refuse a time that was had by losing something.

    Raises:
        RuntimeError: With what is wrong.
    """
    listing = open_listing(store)
    gaps = newest_revisions(plain_rows(listing.read("gaps")))
    rows = listing.read("depth")
    live = rows.filter(pa.array(np.array(rows["origin"].to_pylist()) == "live"))
    live = live.sort_by("seq")
    expected = np.array(load.ids, np.int64)
    markets = [load.markets[number] for number in expected[:, 0]]
    sample = range(0, len(load.frames), SAMPLE_EVERY)
    faults = {
        "frames were dropped": progress.dropped > 0,
        "a book is not known": progress.books_known != len(load.markets),
        "a journal is left": bool(listing.journals("depth")),
        "frames are kept verbatim": listing.read("frames").num_rows > 0,
        "rows are missing": any(
            gap.scope == "rows" and gap.reason not in EXPECTED_GAPS for gap in gaps
        ),
        "a snapshot is not there": rows.num_rows != live.num_rows + len(load.markets),
        "rows and frames are not as many": live.num_rows != len(load.frames),
    }
    if not any(faults.values()):
        faults = {
            "markets differ": live["market"].to_pylist() != markets,
            "first ids differ": _differs(live, "first_update_id", expected[:, 1]),
            "last ids differ": _differs(live, "last_update_id", expected[:, 2]),
            "levels differ": _levels(live, sample)
            != [_levels_of(load.frames[number]) for number in sample],
        }
    wrong = [text for text, is_wrong in faults.items() if is_wrong]
    if wrong:
        raise RuntimeError(f"the store is not what was sent: {', '.join(wrong)}")


def _differs(rows: pa.Table, column: str, expected: "np.ndarray[Any, Any]") -> bool:
    return not np.array_equal(rows[column].to_numpy(), expected)


def _levels(rows: pa.Table, numbers: Sequence[int]) -> list[object]:
    taken = rows.take(pa.array(numbers))
    sides = (taken["bids"].to_pylist(), taken["asks"].to_pylist())
    return [
        tuple(tuple((x["price"], x["amount"]) for x in side) for side in pair)
        for pair in zip(*sides, strict=True)
    ]


class _Sides(msgspec.Struct):
    b: msgspec.Raw
    a: msgspec.Raw


class _Frame(msgspec.Struct):
    result: _Sides


def _levels_of(frame: bytes) -> tuple[object, object]:
    sides = msgspec.json.decode(frame, type=_Frame).result
    return parse_levels(sides.b), parse_levels(sides.a)
