"""Upgrades in a row while much is recorded, then judge.

The exchange tells all connections of a feed that it will close them, and does
so some time later, or at once. A connection is handed over before, if there
is time: then nothing may be lost or doubled, and every book must stay known.
If there is none, what was lost lies in gaps named ``venue_upgrade``, and what
can be shown to be whole is shown to be.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from recorder.capture.plan import Progress, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.counts import counted
from recorder.judging import Judgement, judge
from recorder.judging.evidence import plain
from recorder.simulator.faults import Fault
from recorder.simulator.markets import generated_names
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import Listing, open_listing
from trials.report import AUDIT_SECONDS, FLUSH_SECONDS, report


EVENTS = 60.0
"""Order events a second in each market."""

LAGS = (0.0, 0.25, 0.05)
"""Connections bring the same frames at different times."""

SETTLE_SECONDS = 3.0
"""Between two upgrades: who closes what was only just opened is in trouble, and
is come back to ever more slowly."""

SETTLED = ("not_started", "process_stopped", "resync")
"""Reasons of gaps at the edges of a run."""

PLAIN = ("trades", "bbo", "tickers", "klines:10s", "depth:100ms", "depth:20ms")


class Feed(NamedTuple):
    """A feed that is upgraded.

    Attributes:
        source: Its name.
        fault: What ends its connections.
        streams: What is recorded.
        frames: Frames a second of one market, about; 0 without markets.
    """

    source: str
    fault: Fault
    streams: tuple[str, ...]
    frames: int


FEEDS = {
    "spot": Feed(
        "gate_spot",
        Fault(name="upgrade", feed="v4"),
        (*PLAIN, "depth:obu.50", "depth:top.20"),
        130,
    ),
    "futures": Feed(
        "gate_futures",
        Fault(name="upgrade", feed="futures"),
        (*PLAIN, "depth:obu.50", "depth:top.20"),
        120,
    ),
    "okx": Feed("okx_status", Fault(name="v5_upgrade"), ("status",), 0),
}


class Watch:
    """What a run said of itself last."""

    def __init__(self) -> None:
        self.progress: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        """Take a progress report."""
        self.progress = progress

    async def until(self, is_so: Callable[[Progress], bool], seconds: float) -> bool:
        """Wait until a report says something, at most so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.progress is not None and is_so(self.progress):
                return True
            await asyncio.sleep(0.05)
        return False


async def run_handovers(
    root: Path, feed: str, count: int, rate: int, seconds: float, seed: int
) -> list[str]:
    """Have a feed upgraded so often; return all complaints.

    Args:
        root: A store to record into.
        feed: A key of `FEEDS`.
        count: How often.
        rate: Frames a second, about.
        seconds: Between the notice and the close.
        seed: Of the exchange.
    """
    told = FEEDS[feed]
    names = generated_names(max(1, round(rate / told.frames))) if told.frames else ()
    settings = Settings(
        seed=seed,
        markets=names if feed == "spot" else ("BTC_USDT",),
        contracts=names if feed == "futures" else (),
        quiet_markets=() if feed == "spot" else ("BTC_USDT",),
        rate=EVENTS,
        log_frames=True,
        lags=LAGS,
        kline_seconds=0.5,
        queue_frames=50_000,
        okx=OkxSettings(change_seconds=1.0 / rate),
    )
    watch = Watch()
    async with Exchange(settings) as exchange:
        config = CaptureConfig(
            source=told.source,
            markets=names,
            streams=told.streams,
            store=root,
            ws_url=(exchange.ws_urls | exchange.status_urls)[told.source],
            rest_url=exchange.rest_url,
            job=f"soak-{told.source}",
            flush_seconds=FLUSH_SECONDS,
            rotate_seconds=20,
            audit_seconds=AUDIT_SECONDS,
        )
        plan = plan_capture(config)
        capture = Capture(plan, on_progress=watch)
        running = asyncio.ensure_future(capture.run())
        complaints = await upgrade(exchange, watch, told, count, seconds)
        capture.request_stop()
        result = await running
    print(f"{result.job}: {result.progress.rows} failure={result.failure}")
    listing = open_listing(root)
    asked = {told.source: plan.chains}
    judgement = judge(listing, exchange.truth, asked, seed=seed)
    complaints += report(root, listing, judgement)
    complaints += account(listing, judgement, is_in_time=seconds > 0)
    return complaints


async def upgrade(
    exchange: Exchange, watch: Watch, told: Feed, count: int, seconds: float
) -> list[str]:
    """Have connections upgraded one time after another."""

    def is_well(progress: Progress) -> bool:
        return (
            progress.books_known == progress.books
            and progress.connections_open == progress.connections > 0
            and not progress.handing_over
        )

    if not await watch.until(is_well, 60):
        return ["not all books were known within a minute"]
    for number in range(1, count + 1):
        before = watch.progress
        assert before is not None
        since, frames = time.monotonic(), before.frames
        exchange.order(msgspec.structs.replace(told.fault, seconds=seconds))
        wanted = before.handovers + before.connections

        def is_done(progress: Progress, wanted: int = wanted) -> bool:
            return progress.handovers >= wanted and is_well(progress)

        if seconds > 0:
            is_over = await watch.until(is_done, seconds + 10)
        else:
            await asyncio.sleep(SETTLE_SECONDS)  # or it is a venue in trouble
            is_over = await watch.until(is_well, 60)
        took = time.monotonic() - since
        now = watch.progress
        print(
            f"upgrade {number}: {took:.1f} s, {(now.frames - frames) / took:,.0f} frames/s, "
            f"{now.gaps - before.gaps} gaps"
        )
        if not is_over:
            return [f"upgrade {number} was not over after {took:.0f} s"]
    await asyncio.sleep(1.0)
    return []


def account(listing: Listing, judgement: Judgement, *, is_in_time: bool) -> list[str]:
    """Tell what the upgrades cost; return complaints."""
    gaps = newest(listing)
    inner = [gap for gap in gaps if gap["reason"] not in SETTLED]
    reasons = Counter(
        (gap["reason"], gap["stream"].partition(":")[0], gap["healed_by"])
        for gap in inner
    )
    print("gaps of upgrades:", dict(sorted(reasons.items(), key=str)))
    unknown = [gap for gap in gaps if gap["scope"] == "book"]
    repeated = sum(pushes.repeated for pushes in judgement.pushes)
    print(f"{repeated} rows came over two connections and are stored once")
    complaints = []
    if is_in_time:
        if inner:
            complaints.append(
                f"{counted(len(inner), 'gap')} although there was time: {inner[:2]}"
            )
        books = {(gap["market"], gap["stream"]) for gap in unknown}
        if len(unknown) > len(books):
            complaints.append(
                f"{counted(len(unknown) - len(books), 'time')} a book was unknown"
            )
    else:
        strange = [gap for gap in inner if not is_of_upgrade(gap)]
        if strange:
            complaints.append(
                f"{counted(len(strange), 'gap')} of another reason: {strange[:2]}"
            )
        if not inner:
            complaints.append("the venue closed at once, and no gap says so")
    for complaint in complaints:
        print("FAIL ", complaint)
    return complaints


def is_of_upgrade(gap: dict[str, object]) -> bool:
    """Return whether a gap tells of an upgrade, or numbers the trades lost in it."""
    is_numbered = gap["reason"] == "sequence_gap" and gap["stream"] == "trades"
    return gap["reason"] == "venue_upgrade" or is_numbered


def newest(listing: Listing) -> list[dict[str, object]]:
    """Return the newest revision of each gap."""
    rows = sorted(plain(listing.read("gaps")), key=lambda row: row["ts_recv"])
    return list({row["gap_id"]: row for row in rows}.values())
