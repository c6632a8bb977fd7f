"""The captures of the campaign: real processes, and the signals they are sent.

One records at a time, or two while one takes over from the other. Whoever ends
is followed by the next after a moment, as cron would see to it.
"""

import asyncio
import contextlib
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from recorder.judging.lives import Life, Lives, Opened
from recorder.judging.shown import Look, Shown
from trials.campaign_machine import Volume, Wall


SCRIPTS: Final = Path(__file__).resolve().parents[1]
PROGRAM: Final = f"""
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
from trials.campaign_inside import main
main()
"""

END_SECONDS: Final = 60.0
"""Who was told to end has so long for it, on a machine that is busy."""

READY_SECONDS: Final = 60.0
TAKE_OVER_SECONDS: Final = (15.0, 25.0)
"""A successor waits until all is covered; with faults all the time that may take
long. Then who has the job is ended."""

LAST_SECONDS: Final = 5.0
"""So long the last one records undisturbed by us."""

RUNNING: Final = re.compile(r"is already running \(run ([^,]+),")

MOMENT: Final = (0.1, 2.0)
"""Seconds until cron starts another."""


class Process:
    """A capture, and what it says.

    Attributes:
        began_at: When it was started, real time, nanoseconds.
        ended_at: When it had ended; None while it lives.
        ended_by: What ended it: ``TERM``, ``KILL``, ``asked``, or ``itself``.
        said: The lines of its log, and when each was heard.
        stopped: When it was stopped, and when it was let go on.
        code: Its exit code; None while it lives.
        notes: Where it notes what its clocks show.
    """

    def __init__(self, process: asyncio.subprocess.Process, notes: Path) -> None:
        self.began_at = time.time_ns()
        self.ended_at: int | None = None
        self.ended_by = "itself"
        self.said: list[dict[str, Any]] = []
        self.stopped: list[tuple[int, int]] = []
        self.code: int | None = None
        self.notes = notes
        self._process = process
        self._news = asyncio.Event()
        self._listening = asyncio.ensure_future(self._listen())

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.code is None

    async def _listen(self) -> None:
        stream = self._process.stderr
        if stream is None:
            raise RuntimeError("a capture without a pipe for what it says")
        with contextlib.suppress(ConnectionError):
            async for line in stream:
                try:
                    self.said.append(msgspec.json.decode(line))
                except msgspec.DecodeError:  # cut off by a kill, or a defect's trace
                    self.said.append({"event": "", "text": line.decode()})
                self.said[-1]["heard_at"] = time.time_ns()
                self._news.set()
        self.code = await self._process.wait()
        self.ended_at = time.time_ns()
        self._news.set()

    async def until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait until something is so, or it has ended; return whether it is so."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_so() and self.is_alive:
                    self._news.clear()
                    await self._news.wait()
        return is_so()

    async def ended(self, seconds: float = END_SECONDS) -> bool:
        """Wait until it has ended; return whether it has."""
        return await self.until(lambda: not self.is_alive, seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it said of a kind."""
        return [line for line in self.said if line["event"] == name]

    def was_turned_away(self, wall: Wall) -> bool:
        """Return whether it ended so because a venue would not have it all the time.

        A key is not accepted from whose clock is far from the venue's.
        """
        whys = [line["facts"]["why"] for line in self.events("CommandFailed")]
        if any("the venue was never reached" in why for why in whys):
            return True
        is_refused = any("the key is not accepted" in why for why in whys)
        return is_refused and wall.was_off(self.began_at, self.ended_at or 0)

    def was_overtaken(self, others: Iterable["Process"]) -> bool:
        """Return whether others were faster where it was still to begin.

        A capture begins with one feed after another. One that takes over and
        finds nobody at a feed begins there.
        """
        whys = [line["facts"]["why"] for line in self.events("FeedFailed")]
        runs = {
            line["facts"]["run"]
            for other in others
            if other is not self
            for line in other.events("CaptureStarted")
        }
        return bool(whys) and all(
            (found := RUNNING.search(why)) and found[1] in runs for why in whys
        )

    async def gone(self) -> None:
        """Wait until all it said was read."""
        await self._listening

    def lives(self) -> Iterator[Life]:
        """Yield its runs, with what their clocks showed."""
        looks: dict[str, list[Look]] = {}
        for words in self._noted("look"):
            *numbers, is_slow = map(int, words[1:])
            looks.setdefault(words[0], []).append(Look(*numbers, is_slow=bool(is_slow)))
        done = {line["facts"]["run"]: line for line in self.events("TakeOverDone")}
        began = {line["facts"]["run"] for line in self.events("TakeOverBegan")}
        for line in self.events("CaptureStarted"):
            run, source = line["facts"]["run"], line["facts"]["source"]
            settled_at = 0
            if run in began:
                settled_at = done[run]["heard_at"] if run in done else time.time_ns()
            if source in looks:
                yield Life(run, source, Shown(looks[source]), settled_at)

    def opened(self) -> dict[str, Opened]:
        """Return its connections."""
        return {
            conn: Opened(int(real), int(port))
            for conn, real, port in self._noted("opened")
        }

    def _noted(self, what: str) -> Iterator[list[str]]:
        if self.notes.exists():
            for line in self.notes.read_text().splitlines():
                first, *words = line.split()
                if first == what:
                    yield words


class Runs:
    """Captures of one job, one after another.

    Args:
        config: The file that says what is recorded.
        feeds: How many feeds those are.
        folder: For notes.
        environ: Keys of the feeds.
        wall: The wall clock.
        volume: Where the store is; None if it never fills up.
        rng: Decides what happens.

    Attributes:
        processes: All of them, in the order in which they were started.
        done: What was done to them, and how often.
        complaints: What should not have happened.
    """

    def __init__(
        self,
        config: Path,
        feeds: int,
        folder: Path,
        environ: Mapping[str, str],
        wall: Wall,
        volume: Volume | None,
        rng: random.Random,
    ) -> None:
        self.processes: list[Process] = []
        self.done: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._config = config
        self._feeds = feeds
        self._folder = folder
        self._environ = dict(os.environ) | dict(environ)
        self._wall = wall
        self._volume = volume
        self._rng = rng
        self._looked_at: list[Process] = []
        self._bag: list[Callable[[Process], Any]] = []

    def lives(self) -> Lives:
        """Return all runs and their connections."""
        opened: dict[str, Opened] = {}
        for process in self.processes:
            opened |= process.opened()
        return Lives(
            (life for process in self.processes for life in process.lives()), opened
        )

    async def begin(self) -> None:
        """Start the first, and wait until every feed records something."""
        await self._recording(await self._start())

    async def go_on(self, seconds: float, pause: tuple[float, float]) -> None:
        """Start captures and have one thing after another happen to them.

        Args:
            seconds: How long; a little longer, for what has begun is ended.
            pause: Seconds between two things that happen.
        """
        now = asyncio.get_running_loop().time
        end = now() + seconds
        current = self.processes[-1]
        while now() < end:
            await asyncio.sleep(self._rng.uniform(*pause))
            if not current.is_alive:
                await self._look_at_end(current)
                current = await self._next()
            current = await self._draw()(current)

    async def end(self) -> None:
        """Have the last one record for a while, and end it in order."""
        last = [process for process in self.processes if process.is_alive]
        current = last[-1] if last else await self._start()
        await self._recording(current)
        await asyncio.sleep(LAST_SECONDS)
        for process in self.processes:
            if process.is_alive:
                await self._end(process, signal.SIGTERM)
        for process in self.processes:
            await process.gone()

    async def give_up(self) -> None:
        """End all that is left, whatever the store says then."""
        for process in self.processes:
            process.send(signal.SIGKILL)
        for process in self.processes:
            await process.gone()

    def _draw(self) -> Callable[[Process], Any]:
        if not self._bag:
            self._bag = [
                *(self._stop, self._stop, self._term, self._kill, self._kill),
                *(self._take_over, self._take_over, self._take_over_in_trouble),
            ]
            self._rng.shuffle(self._bag)
        return self._bag.pop()

    # What happens to a capture: each returns the one that records then. ---------

    async def _stop(self, current: Process) -> Process:
        self.done["STOP/CONT"] += 1
        await self._stand_still(current)
        return current

    async def _term(self, current: Process) -> Process:
        self.done["TERM"] += 1
        await self._end(current, signal.SIGTERM)
        return await self._next()

    async def _kill(self, current: Process) -> Process:
        self.done["KILL"] += 1
        if self._rng.random() < 0.2:
            current.send(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(0.3, 2.0))
        await self._end(current, signal.SIGKILL)
        return await self._next()

    async def _take_over(self, current: Process) -> Process:
        self.done["take-over"] += 1
        await self._begun(current)
        new = await self._start("--take-over")
        return await self._settle(current, new)

    async def _take_over_in_trouble(self, current: Process) -> Process:
        kind = self._rng.choice(["old", "new", "stop old", "stop new"])
        self.done[f"take-over, {kind}"] += 1
        await self._begun(current)
        new = await self._start("--take-over")
        await new.until(lambda: bool(new.events("TakeOverBegan")), READY_SECONDS)
        await asyncio.sleep(self._rng.uniform(0.0, 6.0))
        victim = current if kind.endswith("old") else new
        if kind.startswith("stop"):
            await self._stand_still(victim)
        else:
            await self._end(victim, signal.SIGKILL)
        return await self._settle(current, new)

    async def _settle(self, old: Process, new: Process) -> Process:
        """Wait until one of two is left; return it, or the next if none is."""
        seconds = self._rng.uniform(*TAKE_OVER_SECONDS)
        deadline = asyncio.get_running_loop().time() + seconds
        while old.is_alive and new.is_alive:
            if asyncio.get_running_loop().time() > deadline:
                self.done["take-over that took too long"] += 1
                await self._end(old, signal.SIGTERM)
            await asyncio.sleep(0.05)
        if not old.is_alive:
            if old.ended_by == "itself" and old.events("AskedToLeave"):
                old.ended_by = "asked"
                self.done["asked to leave"] += 1
            await self._look_at_end(old)
        if not new.is_alive:
            await self._look_at_end(new)
        for process in (new, old):
            if process.is_alive:
                return process
        return await self._next()

    async def _stand_still(self, process: Process) -> None:
        seconds = 0.3 * (8 / 0.3) ** self._rng.random()
        process.send(signal.SIGSTOP)
        since = time.time_ns()
        await asyncio.sleep(seconds)
        process.send(signal.SIGCONT)
        process.stopped.append((since, time.time_ns()))

    # Beginnings and ends -------------------------------------------------------

    async def _next(self) -> Process:
        if self._rng.random() < 0.3:
            self._wall.set()
        await asyncio.sleep(self._rng.uniform(*MOMENT))
        return await self._start()

    async def _start(self, *options: str) -> Process:
        notes = self._folder / f"notes-{len(self.processes)}"
        words = [str(self._wall.path), str(notes), "capture", "--json-logs", *options]
        process = Process(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PROGRAM, *words),
                *("--config", str(self._config)),
                stderr=asyncio.subprocess.PIPE,
                env=self._environ,
            ),
            notes,
        )
        self.processes.append(process)
        self.done["starts"] += 1
        return process

    async def _begun(self, process: Process) -> None:
        """Wait until a capture has its job, or has ended: nobody is to be faster."""
        await process.until(
            lambda: bool(process.events("CaptureStarted")), READY_SECONDS
        )

    async def _recording(self, process: Process) -> None:
        """Wait until every feed of a capture records something."""

        def is_recording() -> bool:
            lines = process.events("ChainsSubscribed")
            return len({line["feed"] for line in lines}) == self._feeds

        if not await process.until(is_recording, READY_SECONDS):
            self.complaints.append("a capture does not record every feed")

    async def _end(self, process: Process, number: signal.Signals) -> None:
        if process.is_alive:
            process.ended_by = number.name.removeprefix("SIG")
        process.send(number)
        if not await process.ended():
            self.complaints.append(f"{number.name} did not end a capture")
            process.send(signal.SIGKILL)
            await process.ended()
        await self._look_at_end(process)

    async def _look_at_end(self, process: Process) -> None:
        """Say if a capture ended as it should not have."""
        await process.gone()
        if process in self._looked_at:
            return
        self._looked_at.append(process)
        if process.ended_by == "KILL" or process.code == 0:
            return
        if process.code == -signal.SIGTERM and not process.events("CaptureStarted"):
            return  # it had hardly begun
        if process.was_overtaken(self.processes):
            self.done["overtaken at a feed"] += 1
            return
        if process.was_turned_away(self._wall):
            self.done["turned away by a venue"] += 1
            return
        since = (process.ended_at or 0) - round(END_SECONDS * 1e9)
        is_excused = self._volume is not None and self._volume.was_full(
            max(process.began_at, since), process.ended_at or 0
        )
        self.done["ended by a full volume"] += is_excused
        if not is_excused:
            last = [line for line in process.said if line.get("level") != "info"][-3:]
            self.complaints.append(
                f"a capture ended with code {process.code}, by {process.ended_by}: {last}"
            )
