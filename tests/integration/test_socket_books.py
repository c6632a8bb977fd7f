"""Books that come on the socket, recorded over real sockets under faults.

The judge compares what a store shows with what the exchange knows.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from recorder import open_store
from recorder.capture import images
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import Judgement, judge
from recorder.model import Chain
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing


MARKETS = ("BTC_USDT", "ETH_USDT", "GT_USDT")
STREAMS = ("depth:obu.400", "depth:obu.50", "depth:top.20")
SECOND_NS = 1_000_000_000


async def recorded(root: Path, faults: Sequence[str], seconds: float) -> Judgement:
    """Record for so long after the first subscription; return what is to be said."""
    settings = Settings(
        seed=11,
        markets=MARKETS,
        quiet_markets=("GT_USDT",),
        rate=60.0,
        faults=tuple(map(parse, faults)),
        log_frames=True,
    )
    async with Exchange(settings) as exchange:
        config = CaptureConfig(
            source="gate_spot",
            markets=MARKETS,
            streams=STREAMS,
            store=root,
            ws_url=exchange.ws_url_spot,
            rest_url=exchange.rest_url,
            flush_seconds=0.2,
            job="socket-books",
        )
        plan = plan_capture(config)
        capture = Capture(plan)
        running = asyncio.ensure_future(capture.run())
        await exchange.subscribed()
        await asyncio.sleep(seconds)
        async with asyncio.timeout(30):  # a slow machine needs longer to mend them
            books = capture._session.books
            while books.known_total < books.total:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.1)
        capture.request_stop()
        await running
    asked = {"gate_spot": plan.chains}
    return judge(open_listing(root), exchange.truth, asked)


def reasons(root: Path, chain: Chain) -> set[str]:
    """Return why rows or the book of a chain were missing."""
    question = "SELECT reason, market, stream FROM gaps"
    rows = open_store(root).sql(question).fetchall()
    return {reason for reason, *where in rows if tuple(where) == chain}


async def test_every_book_is_right_or_told_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "IN_BAND_NS", SECOND_NS)
    root = tmp_path / "store"

    judgement = await recorded(
        root,
        [
            # Its first frame is the book.
            "drop:parameter=obu.400,market=BTC_USDT",
            "silent_ack:parameter=obu.50,market=ETH_USDT",
            "drop:parameter=obu.50,market=BTC_USDT,at=0.5",
            "full:parameter=obu.50,market=BTC_USDT,at=2",
            "crossed:parameter=obu.400,market=ETH_USDT,at=1",
            "crossed:parameter=top.20,market=BTC_USDT,at=1",
            "malformed:stream=depth,parameter=top.20,at=1.5",
            "abort:at=2.5",
        ],
        seconds=4.0,
    )

    assert judgement.complaints == ()
    assert all(book.equal == book.states > 0 for book in judgement.books)
    done = {trace.fault for trace in judgement.traces if trace.owed}
    assert done >= {"silent_ack", "drop", "crossed", "malformed", "abort"}
    told = {
        Chain("BTC_USDT", "depth:obu.400"): "stale_stream",
        Chain("ETH_USDT", "depth:obu.50"): "stale_stream",
        Chain("BTC_USDT", "depth:obu.50"): "sequence_gap",
        Chain("ETH_USDT", "depth:obu.400"): "crossed",
        Chain("BTC_USDT", "depth:top.20"): "crossed",
        Chain("GT_USDT", "depth:obu.50"): "connect_lost",
    }
    for chain, reason in told.items():
        assert reason in reasons(root, chain), chain
