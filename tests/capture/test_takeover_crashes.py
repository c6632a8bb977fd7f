"""A run that takes over is killed between any two of its calls to the disk."""

import asyncio
from itertools import pairwise

import pytest

from recorder import open_store
from recorder.capture import takeover
from recorder.capture.takeover import TakeOver
from recorder.model import Chain, DepthUpdate
from recorder.replay.book import OrderBook
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.runfile import read_run_file, read_run_files
from recorder.verify import verify
from trials.disk_log import CHANGES, DiskLog
from trials.disk_states import Disk


FOREVER = 1 << 63
MARKET = "BTC_USDT"
SHOWN = CHANGES - {"sync", "sync_data", "sync_folder", "open_lock"}
"""What a kill right after it leaves otherwise than one right before it."""


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)


async def hand_over(recorder_of, exchange, log, streams):
    """Record with one run, then with another that takes over; note the calls."""
    how = {"job": "job", "markets": (MARKET,)}
    first = recorder_of.capture(exchange, "gate_spot", **how)
    leaving = asyncio.ensure_future(first.run())
    await until(first._take_over._is_live)
    how |= {"takes_over": True, "streams": streams}
    second = recorder_of.capture(exchange, "gate_spot", **how)
    ending = asyncio.ensure_future(second.run())
    await until(lambda: not second.is_beside or ending.done())
    run = second._run.id
    await until(lambda: read_run_file(recorder_of.root, run).state.intervals)
    log.mark("laid", 0)
    await leaving
    second.request_stop()
    assert (await ending).failure is None


def states(log, root, scratch):
    """Yield the store as it is after each call while the account was laid down."""
    names = [call.name for call in log.calls]
    region = range(names.index("lay"), names.index("laid"))
    disk, done = Disk(root), 0
    for number, call in enumerate(log.calls):
        if call.name in ("lay", "laid"):
            continue
        disk.apply(call)
        if number in region and call.name in SHOWN:
            done += 1
            left = scratch / f"{done}"
            disk.put_down(left, None)
            yield f"{number} {call.name} {call.values[:1]}", left


def spans_of(root):
    """Return what is told of each chain: each instant once."""
    listing = open_listing(root)
    found = {}
    for row in plain_rows(listing.read("coverage")):
        span = row["started_at"], row["ended_at"]
        found.setdefault(Chain(row["market"], row["stream"]), []).append(span)
    for gap in newest_revisions(plain_rows(listing.read("gaps"))):
        end = FOREVER if gap.ended_at is None else gap.ended_at
        if gap.scope == "rows" and gap.started_at < end:
            span = gap.started_at, end
            found.setdefault(Chain(gap.market, gap.stream), []).append(span)
    return {chain: sorted(spans) for chain, spans in found.items()}


def trades_of(root):
    rows = plain_rows(open_listing(root).read("trades"))
    return {(row["conn"], row["seq"], row["idx"]): row["ts_recv"] for row in rows}


def newest_ids(root):
    """Check that a replay never shows an older book than before; return how many."""
    book, newest, shown = OrderBook(), 0, 0
    for row in open_store(root).replay(streams=["depth"], markets=[MARKET]):
        book.apply(row.event, conn=row.conn)
        if isinstance(row.event, DepthUpdate) and book.is_known:
            assert book.last_update_id >= newest
            newest = book.last_update_id
            shown += 1
    return shown


@pytest.mark.parametrize("streams", [("trades", "depth"), ("trades", "depth", "bbo")])
async def test_each_instant_is_told_once_wherever_a_run_is_killed_that_takes_over(
    recorder_of, tmp_path, monkeypatch, streams
):
    monkeypatch.setattr(takeover, "SETTLE_SECONDS", 0.05)
    log, real = DiskLog(), TakeOver.lay

    async def lay(self, hand):
        log.mark("lay", 0)
        await real(self, hand)

    monkeypatch.setattr(TakeOver, "lay", lay)
    with log.noting():
        async with Exchange(Settings(seed=3, rate=60)) as exchange:
            await hand_over(recorder_of, exchange, log, streams)

    whole = trades_of(recorder_of.root)
    kinds = 0
    scratch = tmp_path / "left"
    scratch.mkdir()
    for about, left in states(log, recorder_of.root, scratch):
        told = {run.run: run.through_ns for run in read_run_files(left)}
        recover(left)

        for chain, spans in spans_of(left).items():
            for (_, end), (begin, _) in pairwise(spans):
                assert begin == end, (about, chain, spans)
            assert spans[-1][1] == FOREVER, (about, chain)
        here = trades_of(left)
        lost = {
            place
            for place, at in whole.items()
            if at <= told.get(place[0].rpartition(".")[0], 0) and place not in here
        }
        assert not lost, about
        assert verify(left).findings == (), about
        assert newest_ids(left), about
        kinds += 1
    assert kinds > 10
