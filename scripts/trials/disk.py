"""Record on a volume that fills up, vanishes or refuses, again and again; judge.

Volumes are mounted for it: a file system of a few megabytes in memory. What a
capture needs of it more than a moment is given back each time, and at the end
the store is compared with what the exchange knows.
"""

import asyncio
import random
import resource
import subprocess
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recorder.capture.plan import CapturePlan, CaptureResult, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import judge
from recorder.judging.evidence import plain
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.telemetry import COUNTERS
from trials.report import MARKETS, report


MEGABYTES = 64
"""Size of the volume."""

INODES = 400
"""How many files and folders it may have."""

RATE = 2_000
"""Order events a second in each market: rows fill the memory in seconds."""

MEMORY_MB = 16
FULL_SECONDS = 12.0
"""How long a volume refuses: longer than rows can wait in memory."""

ROOM_SECONDS = 6.0
"""How long it has room then."""


@contextmanager
def volume(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory, as long as it is used.

    Raises:
        PermissionError: If this process may not mount anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        with suppress(PermissionError):
            run("umount", "--lazy", str(folder))


def mount(*arguments: str) -> None:
    """Mount something, or mount it anew.

    Raises:
        PermissionError: If this process may not.
    """
    run("mount", *arguments)


def run(*command: str) -> None:
    """Run a command of the system.

    Raises:
        PermissionError: If it fails.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f"{' '.join(command)}: {done.stderr.strip()}")


class Trouble:
    """What a volume may do to those who write there.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._away = folder.with_name(f"{folder.name}-away")

    def kinds(self) -> dict[str, Callable[[], Callable[[], None]]]:
        """Return what can be done, by name; each gives what ends it."""
        return {
            "full": self.fill,
            "without inodes": self.use_inodes,
            "read-only": self.make_read_only,
            "without file handles": self.use_handles,
            "vanished": self.vanish,
        }

    def fill(self) -> Callable[[], None]:
        """Leave no room."""
        filler = self._folder / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        return filler.unlink

    def use_inodes(self) -> Callable[[], None]:
        """Leave no room for a file or a folder more."""
        folder = self._folder / "many"
        names = []
        with suppress(OSError):
            folder.mkdir()
            for number in range(INODES):
                path = folder / str(number)
                path.touch()
                names.append(path)

        def end() -> None:
            for path in names:
                path.unlink()
            with suppress(OSError):
                folder.rmdir()

        return end

    def make_read_only(self) -> Callable[[], None]:
        """Have it mounted read-only, as the system does after an error.

        A file system with files open for writing stays writable; its mount
        point does not.
        """
        target = str(self._folder)
        mount("--bind", target, target)
        mount("-o", "remount,bind,ro", target)
        return lambda: run("umount", "--lazy", target)

    def use_handles(self) -> Callable[[], None]:
        """Leave this process no file that it could open."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def vanish(self) -> Callable[[], None]:
        """Have it not there, and then there again."""
        self._away.mkdir(exist_ok=True)
        mount("--bind", str(self._folder), str(self._away))
        run("umount", "--lazy", str(self._folder))

        def end() -> None:
            left = list(self._folder.iterdir())
            mount("--bind", str(self._away), str(self._folder))
            run("umount", "--lazy", str(self._away))
            if left:
                raise RuntimeError(f"written where the volume was gone: {left}")

        return end


def plan_on(root: Path, exchange: Exchange, **changes: object) -> CapturePlan:
    """Return what is recorded on a volume."""
    facts: dict[str, object] = {
        "source": "gate_spot",
        "markets": MARKETS[:2],
        "streams": ("trades", "depth:100ms", "bbo"),
        "store": root,
        "ws_url": exchange.ws_url_spot,
        "rest_url": exchange.rest_url,
        "job": "disk",
        "flush_seconds": 0.2,
        "rotate_seconds": 5.0,
        "memory_mb": MEMORY_MB,
    }
    return plan_capture(CaptureConfig(**(facts | changes)))  # type: ignore[arg-type]


async def run_disk(seconds: float, seed: int) -> list[str]:
    """Record under troubles of a volume for so long; return all complaints."""
    rng = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="soak-volume-")) / "volume"
    size = f"size={MEGABYTES}m,nr_inodes={INODES}"
    with volume(folder, size):
        settings = Settings(
            seed=seed, markets=MARKETS[:2], rate=RATE, log_frames=True, keep_truth=True
        )
        async with Exchange(settings) as exchange:
            plan = plan_on(folder / "store", exchange)
            complaints, result = await record(plan, folder, seconds, rng)
        print(f"frames: {result.progress.frames}, dropped: {result.progress.dropped}")
        return complaints + verdicts(plan, exchange, result, seed)


async def record(
    plan: CapturePlan, folder: Path, seconds: float, rng: random.Random
) -> tuple[list[str], CaptureResult]:
    """Record for so long, in trouble half of the time."""
    stop = asyncio.Event()
    running = asyncio.ensure_future(Capture(plan, stop=stop).run())
    trouble, done = Trouble(folder), Counter[str]()
    complaints: list[str] = []
    end = asyncio.get_running_loop().time() + seconds
    await room(running, ROOM_SECONDS)
    while asyncio.get_running_loop().time() < end and not running.done():
        kinds = trouble.kinds()
        name = rng.choice([k for k in kinds if done[k] == min(done[n] for n in kinds)])
        paused = COUNTERS["store_pauses_total"]
        over = kinds[name]()
        await room(running, FULL_SECONDS)
        over()
        await room(running, ROOM_SECONDS)
        done[name] += 1
        if COUNTERS["store_pauses_total"] == paused and name == "full":
            complaints.append("a full volume paused nothing")
    stop.set()
    result = await running
    print("troubles:", dict(sorted(done.items())))
    print("pauses of the writer:", COUNTERS["store_pauses_total"])
    return complaints, result


async def room(running: Awaitable[object], seconds: float) -> None:
    """Let a capture go on for so long, unless it ends."""
    await asyncio.wait([asyncio.ensure_future(running)], timeout=seconds)


def verdicts(
    plan: CapturePlan, exchange: Exchange, result: CaptureResult, seed: int
) -> list[str]:
    """Compare what was stored with what was sent; return complaints."""
    complaints = [] if result.failure is None else [f"it failed: {result.failure}"]
    root = plan.config.store
    left = [p for p in (root / ".recorder" / "tmp").glob("*") if p.is_file()]
    left += (root / ".recorder" / "journals").rglob("*.arrow")
    complaints += [f"left behind: {path}" for path in left]
    listing = open_listing(root)
    reasons = {row["reason"] for row in plain(listing.read("gaps"))}
    if "disk_full" not in reasons:
        complaints.append(f"no gap says disk_full, only {sorted(reasons)}")
    asked = {plan.source.name: plan.chains}
    judgement = judge(listing, exchange.truth, asked, seed=seed)
    return complaints + report(root, listing, judgement)
