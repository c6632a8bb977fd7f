"""Kill captures again and again, at every stage of their lives, then judge.

Journals are turned into segments all the time. A process is killed while it
records, within a second of its start, while it settles what the one before
left, or while it turns journals into segments, each in turn.
"""

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from recorder.capture.plan import plan_capture
from recorder.clock import wall_ns
from recorder.judging import judge
from recorder.judging.evidence import Evidence
from recorder.judging.kills import Kill, judge_kills
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.layout import journals_folder, list_files, tmp_folder
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from trials.report import (
    AUDIT_SECONDS,
    FLUSH_SECONDS,
    LANGUAGES,
    MARKETS,
    OFTEN,
    STREAMS,
    config,
    report,
)


KILL_SLACK_SECONDS = 2.0
"""How long a flush in progress may take on a machine whose cores are all busy."""

STAGES = {
    "recording": (("ChainsSubscribed",), 3.0),
    "starting": (("Ready",), 1.0),
    "settling": (("SegmentWritten", "RunRecovered", "CaptureStarted"), 0.02),
    "converting": (("SegmentWritten",), 0.02),
}
"""By stage what a process says when it comes there, and for how many seconds at
most it lives on. Who converts, subscribes before and says so as well."""

READY = '{"event":"Ready"}'

PROGRAM = f"""
import sys
from recorder.cli import main
from recorder.store.writer import Writer
small = {{"small_bytes": 0, "segment_max_bytes": 20_000}}
assert small.keys() <= Writer.__init__.__kwdefaults__.keys()
Writer.__init__.__kwdefaults__.update(small)
print('{READY}', file=sys.stderr, flush=True)
main()
"""
"""The recorder, but every journal is large enough to be turned into a segment."""


class Process(NamedTuple):
    """A capture, and what it last said of itself."""

    process: asyncio.subprocess.Process
    said: asyncio.Queue[str]
    reading: asyncio.Task[None]


async def run_kills(root: Path, count: int, seed: int) -> list[str]:
    """Kill so many captures; return all complaints."""
    rng = random.Random(seed)
    settings = Settings(
        seed=seed,
        markets=MARKETS,
        rate=30,
        v3_clean_seconds=(5.0, 8.0),
        log_frames=True,
        **OFTEN,
    )
    kills: list[Kill] = []
    stages: Counter[str] = Counter()
    cut = 0
    complaints = []
    async with Exchange(settings) as exchange:
        asked = {
            source: plan_capture(config(root, exchange, source)).chains
            for source in STREAMS
        }
        turn = dict.fromkeys(STREAMS, 0)
        for _ in range(count):
            source = rng.choice(list(STREAMS))
            stage = list(STAGES)[turn[source] % len(STAGES)]
            turn[source] += 1
            kill, last = await one_kill(root, exchange, source, stage, rng)
            kills.append(kill)
            stages[f"{stage} ({last})"] += 1
            cut += is_cut(root)
        for source in STREAMS:
            code = await one_clean_run(root, exchange, source)
            if code != 0:
                complaints.append(f"{source}: a stop ended with exit code {code}")
        recover(root)
    print("killed while, and what was said last:", dict(sorted(stages.items())))
    print(f"{cut} of {count} kills left a conversion half done")
    listing = open_listing(root)
    judgement = judge(listing, exchange.truth, asked, options=LANGUAGES, seed=seed)
    complaints += report(root, listing, judgement)
    for source, chains in asked.items():
        evidence = Evidence(listing, exchange.truth, source, chains)
        complaints += judge_source(evidence, kills)
    return complaints


def is_cut(root: Path) -> bool:
    """Return whether a conversion was begun and not ended."""
    done = {(part, stem) for part, stem, _ in list_files(root, ".parquet")}
    left = {
        (part, stem) for part, stem, _ in list_files(journals_folder(root), ".arrow")
    }
    return bool(done & left) or any(tmp_folder(root).glob("*.parquet"))


def judge_source(evidence: Evidence, kills: list[Kill]) -> list[str]:
    """Judge the kills of one source; return complaints."""
    limit = FLUSH_SECONDS + KILL_SLACK_SECONDS
    verdict = judge_kills(evidence, kills, int(limit * 1e9))
    print(
        f"{verdict.source}: {verdict.kills} kills lie in {verdict.told} of "
        f"{verdict.owed} gaps of chains; the longest loss before one is "
        f"{verdict.longest_ns / 1e9:.2f} s (at most {limit} s)"
    )
    for complaint in verdict.complaints:
        print("FAIL ", complaint)
    return list(verdict.complaints)


async def one_kill(
    root: Path, exchange: Exchange, source: str, stage: str, rng: random.Random
) -> tuple[Kill, str]:
    """Start a capture, let it come to a stage, and kill it in there."""
    signs, seconds = STAGES[stage]
    running = await start(root, exchange, source)
    subscribed_ns = None
    if stage in ("recording", "converting"):
        last = await until(running, "ChainsSubscribed")
        subscribed_ns = wall_ns()
    if stage != "recording":
        last = await until(running, *signs)
    await asyncio.sleep(rng.uniform(0.0, seconds))
    running.process.kill()
    at_ns = wall_ns()
    await running.process.wait()
    await running.reading
    while said := running.said.get_nowait():
        last = said
    return Kill(source=source, at_ns=at_ns, subscribed_ns=subscribed_ns), last


async def one_clean_run(root: Path, exchange: Exchange, source: str) -> int:
    """Record for a moment, and return the exit code of an orderly stop."""
    running = await start(root, exchange, source)
    await until(running, "ChainsSubscribed")
    await asyncio.sleep(3)
    running.process.send_signal(signal.SIGTERM)
    code = await running.process.wait()
    await running.reading
    return code


async def start(root: Path, exchange: Exchange, source: str) -> Process:
    """Start a capture as a process of its own."""
    asked = config(root, exchange, source)
    options = [f"-m{market}" for market in asked.markets]
    options += [f"-s{stream}" for stream in asked.streams]
    options += [f"-O{name}={value}" for name, value in asked.options.items()]
    options += ["--ws-url", f"{asked.ws_url}", "--rest-url", exchange.rest_url]
    options += ["--flush", f"{FLUSH_SECONDS}s", "--rotate", "1s"]
    options += ["--audit", f"{AUDIT_SECONDS}s"]
    options += ["--job", f"soak-{source}", "--store", str(root), "--json-logs"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "capture", source, *options,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if process.stderr is None:
        raise RuntimeError("a capture without a pipe for what it says")
    said: asyncio.Queue[str] = asyncio.Queue()
    reading = asyncio.ensure_future(listen(process.stderr, said))
    return Process(process, said, reading)


async def listen(stream: asyncio.StreamReader, said: asyncio.Queue[str]) -> None:
    """Note the events of a capture's log, and keep its pipe empty."""
    with contextlib.suppress(ConnectionError):
        async for line in stream:
            with contextlib.suppress(msgspec.DecodeError):  # cut off by the kill
                said.put_nowait(msgspec.json.decode(line)["event"])
    said.put_nowait("")


async def until(running: Process, *events: str) -> str:
    """Wait until a capture has said one of some things; return which."""
    while said := await running.said.get():
        if said in events:
            return said
    raise RuntimeError(f"a capture ended with code {await running.process.wait()}")
