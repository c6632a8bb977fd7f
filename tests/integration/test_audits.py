"""Books compared with the exchange's own while they are recorded."""

import asyncio
import logging

from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import judge
from recorder.judging.evidence import plain
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.verify import verify


MARKETS = ("BTC_USDT", "ETH_USDT")
STREAM = "depth:100ms"


class Watch:
    """What a run says of itself, to be waited for."""

    def __init__(self):
        self.progress = None
        self._changed = asyncio.Event()

    def __call__(self, progress):
        self.progress = progress
        self._changed.set()

    async def until(self, is_so):
        async with asyncio.timeout(60):
            while self.progress is None or not is_so(self.progress):
                self._changed.clear()
                await self._changed.wait()


def capture_of(exchange, root, watch):
    config = CaptureConfig(
        source="gate_spot",
        markets=MARKETS,
        streams=(STREAM,),
        store=root,
        ws_url=exchange.ws_url_spot,
        rest_url=exchange.rest_url,
        job="audited",
        flush_seconds=0.2,
        audit_seconds=1.0,
    )
    plan = plan_capture(config)
    return plan, Capture(plan, on_progress=watch)


async def record(root, settings, script):
    """Record from an exchange while a script goes on; return how it was judged."""
    watch = Watch()
    async with Exchange(settings) as exchange:
        plan, capture = capture_of(exchange, root, watch)
        running = asyncio.ensure_future(capture.run())
        await watch.until(lambda p: p.books_known == len(MARKETS))
        await script(exchange, watch)
        capture.request_stop()
        result = await running
    listing = open_listing(root)
    asked = {"gate_spot": plan.chains}
    return result.progress, judge(listing, exchange.truth, asked), listing


async def test_a_book_that_drifts_in_silence_is_found_and_mended(tmp_path, caplog):
    caplog.set_level(logging.INFO, "recorder")

    async def drift(exchange, watch):
        await watch.until(lambda p: p.audits_equal >= 2)
        exchange.order(parse("drift:market=BTC_USDT"))
        await watch.until(lambda p: p.audits_mismatched >= 1)
        equal = watch.progress.audits_equal
        await watch.until(
            lambda p: p.books_known == len(MARKETS) and p.audits_equal >= equal + 4
        )

    settings = Settings(seed=4, markets=MARKETS, rate=20, log_frames=True)
    progress, judgement, listing = await record(tmp_path / "store", settings, drift)

    (done,) = [f for f in judgement.traces if f.fault == "drift"] or [None]
    gaps = [g for g in plain(listing.read("gaps")) if g["reason"] == "audit_mismatch"]
    audits = [r for r in plain(listing.read("depth")) if r["origin"] == "audit"]
    assert done is None  # no trace is owed: only an audit can find it
    assert progress.audits_mismatched == 1
    assert {(g["market"], g["stream"], g["scope"]) for g in gaps} == {
        ("BTC_USDT", STREAM, "book")
    }
    assert len({g["gap_id"] for g in gaps}) == 1
    assert gaps[-1]["ended_at"] is not None
    assert " is " in gaps[0]["detail"]
    assert "and 0 there" in gaps[0]["detail"]
    assert [a["market"] for a in audits] == ["BTC_USDT"]
    # Every book that a replay shows is the exchange's own: those since the last
    # audit that agreed are not shown.
    assert judgement.complaints == ()
    assert verify(tmp_path / "store").findings == ()
    told = [r.getMessage() for r in caplog.records]
    assert any("book is not the exchange's" in line for line in told)
    assert any("books audited" in line for line in told)


async def test_no_right_book_is_called_wrong_whatever_else_goes_wrong(tmp_path):
    async def wait(_exchange, watch):
        await watch.until(lambda p: p.audits_equal >= 3)

    faults = [
        *("drop:stream=depth,at=0.5", "duplicate:probability=0.02"),
        *("delay:stream=depth,at=2", "full:probability=0.02"),
        *("crossed:at=1.5", "unflagged_full:at=3"),
        *("http_502:probability=0.05", "stale_snapshot:probability=0.3"),
        *("abort:at=4", "upgrade:at=2.5,seconds=1"),
    ]
    settings = Settings(
        seed=7,
        markets=MARKETS,
        rate=20,
        faults=tuple(map(parse, faults)),
        log_frames=True,
    )
    progress, judgement, listing = await record(tmp_path / "store", settings, wait)

    reasons = {g["reason"] for g in plain(listing.read("gaps"))}
    assert progress.audits_mismatched == 0
    assert "audit_mismatch" not in reasons
    assert {"sequence_gap", "resync"} <= reasons
    assert judgement.complaints == ()
    assert verify(tmp_path / "store").findings == ()
