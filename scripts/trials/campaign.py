"""All troubles at once, at random: of the exchange, the captures and the machine.

Every feed is recorded in one job while the exchange performs its faults,
captures are stopped, ended, killed and taken over from, the volume fills up,
and the wall clock is set. Then what is left is settled and fetched, as far as
it can be, and the store is compared with what the exchange knows.
"""

import asyncio
import contextlib
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from recorder.capture.feeds import plan_feeds
from recorder.judging import judge
from recorder.judging.evidence import Evidence
from recorder.model import Chain
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from trials.campaign_machine import Volume, Wall
from trials.campaign_runs import PROGRAM, Runs
from trials.campaign_told import Told
from trials.disk import volume as mounted
from trials.faults import aimed
from trials.feeds import HEARD, write_feeds
from trials.report import CONTRACTS, MARKETS, OFTEN, report


MEGABYTES: Final = 512
"""Size of the volume."""

MEMORY_MB: Final = 16
"""What rows may take that wait for the disk: little, so that frames are dropped."""

HEALED: Final = ("gate_spot", "gate_v3", "gate_futures")
"""Feeds that tell afterwards what was missed."""


class Pace(NamedTuple):
    """How much happens, seconds.

    Attributes:
        pause: Between two things that happen to captures.
        settings: Between two settings of the clock.
        fills: Between two times in which the volume is full.
        full: How long it is full.
    """

    pause: tuple[float, float] = (1.0, 6.0)
    settings: tuple[float, float] = (3.0, 12.0)
    fills: tuple[float, float] = (15.0, 40.0)
    full: tuple[float, float] = (2.0, 20.0)


SHORT: Final = Pace((0.5, 1.5), (1.0, 3.0), (5.0, 8.0), (1.0, 3.0))
SHORT_SECONDS: Final = 30.0


async def run_campaign(root: Path, seconds: float, seed: int) -> list[str]:
    """Have all of it happen for so many seconds; return all complaints."""
    kept, rng = root, random.Random(seed)
    pace = SHORT if seconds <= SHORT_SECONDS else Pace()
    folder = root.parent
    folder.mkdir(parents=True, exist_ok=True)
    with space(folder / "volume", kept, random.Random(rng.random())) as volume:
        root = folder / "volume" / "store"
        wall = Wall(folder / "wall", random.Random(rng.random()))
        async with Exchange(settings_of(seed)) as exchange:
            file = folder / "soak.toml"
            environ = write_feeds(root, exchange, file, rotate="15s", memory=MEMORY_MB)
            feeds = plan_feeds(file, environ).feeds
            asked = {feed.plan.source.name: feed.plan.chains for feed in feeds}
            runs = Runs(file, len(feeds), folder, environ, wall, volume, rng)
            try:
                await runs.begin()
                async with troubles(wall, volume, pace):
                    await runs.go_on(seconds, pace.pause)
                await runs.end()
                complaints = [*runs.complaints, *await settle(root, wall, exchange)]
            finally:
                await runs.give_up()
        return verdicts(complaints, root, exchange, asked, runs, wall, volume, seed)


def settings_of(seed: int) -> Settings:
    """Return how the exchange behaves: as badly as it can."""
    return Settings(
        seed=seed,
        markets=MARKETS,
        contracts=CONTRACTS,
        rate=30,
        faults=tuple(map(aimed, faults.expand(faults.parse(faults.RANDOM)))),
        v3_clean_seconds=(10.0, 15.0),
        snapshot_age_seconds=1.0,
        obu_full_first=seed % 2 == 1,
        log_frames=True,
        **OFTEN,
    )


@contextlib.contextmanager
def space(folder: Path, kept: Path, rng: random.Random) -> Iterator[Volume | None]:
    """Mount a volume, if that can be done; copy the store on it to elsewhere then."""
    with contextlib.ExitStack() as stack:
        volume: Volume | None = Volume(folder, rng)
        try:
            stack.enter_context(mounted(folder, f"size={MEGABYTES}m"))
        except PermissionError as error:
            print(f"no volume fills up, for none can be mounted: {error}")
            volume = None
        try:
            yield volume
        finally:
            shutil.copytree(folder / "store", kept)


@contextlib.asynccontextmanager
async def troubles(
    wall: Wall, volume: Volume | None, pace: Pace
) -> AsyncIterator[None]:
    """Set the clock and fill the volume meanwhile."""
    tasks = [asyncio.ensure_future(wall.wander(pace.settings))]
    if volume is not None:
        tasks.append(asyncio.ensure_future(volume.wander(pace.fills, pace.full)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def settle(root: Path, wall: Wall, exchange: Exchange) -> list[str]:
    """Have what was left settled, and what was lost fetched; return complaints."""
    commands = [("recover", "--store", str(root))]
    for source in HEALED:
        addresses = ("--ws-url", exchange.ws_urls[source])
        addresses += ("--rest-url", exchange.rest_url)
        commands.append(
            ("backfill", "--store", str(root), "--source", source, *addresses)
        )
    commands.append(("recover", "--store", str(root)))
    complaints = []
    for number, words in enumerate(commands):
        notes = root.parents[1] / f"notes-settling-{number}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(wall.path), str(notes), *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(os.environ),
        )
        text, _ = await process.communicate()
        last = text.decode().strip().splitlines()[-1:]
        print(f"{' '.join(words[:1])}: {' '.join(last)}")
        if process.returncode:
            complaints.append(
                f"{words}: exit code {process.returncode}, {text.decode()}"
            )
    return complaints


def verdicts(
    complaints: Sequence[str],
    root: Path,
    exchange: Exchange,
    asked: Mapping[str, Collection[Chain]],
    runs: Runs,
    wall: Wall,
    volume: Volume | None,
    seed: int,
) -> list[str]:
    """Compare what was stored with what happened; return all complaints."""
    done = Counter(fault.name for fault in exchange.truth.faults)
    print("faults performed:", dict(sorted(done.items())))
    print("done to captures:", dict(sorted(runs.done.items())))
    full = volume.full if volume is not None else []
    seconds = sum(one.until - one.since for one in full) / 1e9
    print(f"the volume was full {len(full)} times, {seconds:.0f} s in all")
    steps = [setting.by_ns / 1e9 for setting in wall.settings]
    print(
        f"the clock was set {len(steps)} times, from {min(steps, default=0):.1f} "
        f"to {max(steps, default=0):.1f} s"
    )
    lives = runs.lives()
    listing = open_listing(root)
    judgement = judge(
        listing, exchange.truth, asked, options=HEARD, lives=lives, seed=seed
    )
    # Rows are early where our clock was behind, as `recorder verify` warns.
    for complaint in complaints:
        print("FAIL ", complaint)
    complaints = [*complaints, *report(root, listing, judgement, warns=False)]
    for source, chains in sorted(asked.items()):
        evidence = Evidence(listing, exchange.truth, source, chains, lives)
        told = Told(evidence, runs.processes, volume)
        told.judge(wall.settings)
        print(f"{source}: {dict(sorted(told.counts.items()))}")
        for complaint in told.complaints:
            print("FAIL ", complaint)
        complaints += told.complaints
    return complaints
