"""Record under every fault of the exchange, at random, then judge."""

import asyncio
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import msgspec

from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.judging import judge
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from trials.report import (
    CONTRACTS,
    FUTURES,
    LANGUAGES,
    MARKETS,
    OFTEN,
    STREAMS,
    config,
    report,
)


async def run_faults(
    root: Path, seconds: float, seed: int, without: Collection[str] = ()
) -> list[str]:
    """Record for so many seconds, without some faults; return all complaints."""
    ordered = [
        _aimed(fault)
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
    async with Exchange(settings) as exchange:
        plans = [
            plan_capture(config(root, exchange, source)) for source in STREAMS | FUTURES
        ]
        captures = [Capture(plan) for plan in plans]
        running = [asyncio.ensure_future(capture.run()) for capture in captures]
        await asyncio.sleep(seconds)
        for capture in captures:
            capture.request_stop()
        for result in await asyncio.gather(*running):
            print(f"{result.job}: {result.progress.rows} failure={result.failure}")
    done = Counter(fault.name for fault in exchange.truth.faults)
    print("faults performed:", dict(sorted(done.items())))
    listing = open_listing(root)
    asked = {plan.source.name: plan.chains for plan in plans}
    judgement = judge(listing, exchange.truth, asked, options=LANGUAGES, seed=seed)
    return report(root, listing, judgement)


def _aimed(fault: faults.Fault) -> faults.Fault:
    """Return a fault as it is ordered.

    That a stream of futures is silent takes longer to find out than a short
    trial lasts.
    """
    if fault.name == "silent_ack":
        return msgspec.structs.replace(fault, feed="v4")
    return fault
