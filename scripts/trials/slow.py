"""Send more than a capture can write, or read; judge its memory and its account.

A firehose sends frames as fast as they are read. The capture is a process of
its own, whose disk takes half a second for each sync, or whose processor takes
half a millisecond more for each frame. Every frame must be a row, or be counted
as dropped in a gap, and the memory must stay within its budget.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from recorder.judging.evidence import plain
from recorder.simulator.firehose import Firehose, FirehoseSettings
from recorder.store.listing import open_listing


MEMORY_MB: Final = 32
FRAMES: Final = 300_000
SLACK_MB: Final = 96
"""What a capture may take beside what waits: a batch, and a segment in the making."""

SLOWED: Final = {
    "disk": """
from recorder.store import calls
sync = calls.sync
def slow(handle):
    time.sleep(0.5)
    sync(handle)
calls.sync = slow
""",
    "processor": """
from recorder.capture.intake import Intake
take = Intake.take
def slow(self, *given):
    end = time.perf_counter() + 0.0005
    while time.perf_counter() < end:
        pass
    return take(self, *given)
Intake.take = slow
""",
}

PROGRAM: Final = """
import asyncio, json, os, signal, sys, threading, time
from pathlib import Path
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
{slowed}
facts = json.loads(sys.argv[1])
config = CaptureConfig(**(facts | {{"store": Path(facts["store"])}}))
most = 0

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")

def sample():
    global most
    while True:
        most = max(most, resident())
        time.sleep(0.01)

def tell(progress):
    print(json.dumps({{"frames": progress.frames, "dropped": progress.dropped,
                       "rows": progress.rows, "most": most}}), flush=True)

async def work():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    capture = Capture(plan_capture(config), on_progress=tell, stop=stop)
    threading.Thread(target=sample, daemon=True).start()
    result = await capture.run()
    tell(result.progress)

asyncio.run(work())
"""


async def run_slow(root: Path, seed: int, frames: int = FRAMES) -> list[str]:
    """Try both kinds of slowness; return all complaints."""
    complaints = []
    for what in SLOWED:
        found = await one(root.with_name(f"{root.name}-{what}"), what, seed, frames)
        complaints += [f"{what}: {complaint}" for complaint in found]
    for complaint in complaints:
        print("FAIL ", complaint)
    return complaints


async def one(root: Path, what: str, seed: int, frames: int) -> list[str]:
    """Have a capture that is slow in one way; return complaints."""
    settings = FirehoseSettings(
        seed=seed, markets=20, frames=frames, trade_share=0.5, settle_seconds=1.0
    )
    async with Firehose(settings) as firehose:
        facts = {
            "source": "gate_spot",
            "markets": firehose.markets,
            "streams": ("trades", "depth:100ms"),
            "store": str(root),
            "ws_url": firehose.ws_url_spot,
            "rest_url": firehose.rest_url,
            "memory_mb": MEMORY_MB,
            "job": "slow",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM.format(slowed=SLOWED[what])),
            msgspec.json.encode(facts).decode(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        before, last = await watched(process, firehose)
        code = await process.wait()
    print(
        f"{what}: {frames} frames, {last['rows']} rows, {last['dropped']} dropped; "
        f"memory {before / 2**20:.0f} MB before, {last['most'] / 2**20:.0f} MB at most"
    )
    complaints = [] if code == 0 else [f"it ended with code {code}"]
    if last["most"] - before > (MEMORY_MB + SLACK_MB) << 20:
        complaints.append(f"its memory grew to {last['most'] / 2**20:.0f} MB")
    return complaints + account(root, last, frames)


async def watched(
    process: asyncio.subprocess.Process, firehose: Firehose
) -> tuple[int, dict[str, Any]]:
    """Stop a capture when it has read everything.

    Returns:
        Its memory before the first frame, bytes, and what it said last.
    """
    if process.stdout is None:
        raise RuntimeError("a capture without a pipe for what it says")
    before, last, quiet = 0, {"frames": -1}, 0
    async for line in process.stdout:
        said = msgspec.json.decode(line)
        if said["frames"] <= 2 * len(firehose.markets):
            before = max(before, said["most"])
        quiet = quiet + 1 if said["frames"] == last["frames"] else 0
        last = said
        if quiet == 3 and firehose.finished.is_set():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
    return before, last


def account(root: Path, last: dict[str, Any], frames: int) -> list[str]:
    """Compare what was sent with what is stored or counted; return complaints."""
    complaints = []
    listing = open_listing(root)
    live = [
        row["origin"] == "live"
        for table in ("trades", "depth")
        for row in plain(listing.read(table, columns=["origin"]))
    ]
    # Where a chain was in another gap meanwhile, several rows tell of one loss.
    details = {
        row["detail"]
        for row in plain(listing.read("gaps"))
        if row["reason"] == "backpressure"
    }
    told = [int(detail.split()[0]) for detail in details]
    if sum(told) != last["dropped"] or not told:
        complaints.append(f"{last['dropped']} were dropped, the gaps say {told}")
    # What was answered to a subscription or a ping may have been dropped as well.
    answers = last["frames"] - frames
    if not frames <= sum(live) + sum(told) <= frames + answers:
        complaints.append(
            f"{frames} were sent, {sum(live)} are stored, {sum(told)} were dropped"
        )
    return complaints
