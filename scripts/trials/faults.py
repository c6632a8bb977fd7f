"""Record every feed in one run under every fault of the exchange, then judge."""

import asyncio
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import msgspec

from recorder.capture.many import Captures, Outcome
from recorder.judging import judge
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from trials.feeds import HEARD, feeds_of
from trials.report import CONTRACTS, MARKETS, OFTEN, report


REFUSAL_EVERY = 30.0
"""Seconds between two answers that ask us to come later."""


async def run_faults(
    root: Path, seconds: float, seed: int, without: Collection[str] = ()
) -> list[str]:
    """Record for so many seconds, without some faults; return all complaints."""
    ordered = [
        aimed(fault)
        for fault in faults.expand(faults.parse(faults.RANDOM))
        if fault.name not in without
    ]
    settings = Settings(
        seed=seed,
        markets=MARKETS,
        contracts=CONTRACTS,
        rate=30,
        faults=tuple(ordered),
        v3_clean_seconds=(10.0, 15.0),
        snapshot_age_seconds=1.0,
        obu_full_first=seed % 2 == 1,
        log_frames=True,
        **OFTEN,
    )
    stop = asyncio.Event()
    async with Exchange(settings) as exchange:
        root.parent.mkdir(parents=True, exist_ok=True)
        feeds = feeds_of(root, exchange, root.with_suffix(".toml"))
        running = asyncio.ensure_future(Captures(feeds, stop=stop).run())
        await asyncio.wait([running], timeout=seconds)
        stop.set()
        complaints = [
            complaint for outcome in await running for complaint in told(outcome)
        ]
    done = Counter(fault.name for fault in exchange.truth.faults)
    print("faults performed:", dict(sorted(done.items())))
    listing = open_listing(root)
    asked = {feed.plan.source.name: feed.plan.chains for feed in feeds.feeds}
    judgement = judge(listing, exchange.truth, asked, options=HEARD, seed=seed)
    return complaints + report(root, listing, judgement)


def told(outcome: Outcome) -> list[str]:
    """Say what a feed recorded; return a complaint if it ended by itself."""
    result = outcome.result
    rows = None if result is None else result.progress.rows
    failure = outcome.error if result is None else result.failure
    print(f"{outcome.name}: {rows} failure={failure}")
    if result is not None and result.progress.audits_equal:
        print(f"{outcome.name}: {result.progress.audits_equal} audits, all equal")
    if rows is None or failure is not None:
        print(f"FAIL  {outcome.name} ended by itself: {failure}")
        return [f"{outcome.name} ended by itself: {failure}"]
    return []


def aimed(fault: faults.Fault) -> faults.Fault:
    """Return a fault as it is ordered.

    That a stream of futures is silent takes longer to find out than a short
    trial lasts. And all snapshots of a feed wait after each refusal.
    """
    if fault.name == "http_429":
        return msgspec.structs.replace(fault, every=REFUSAL_EVERY)
    if fault.name == "silent_ack":
        return msgspec.structs.replace(fault, feed="v4")
    return fault
