"""A run heals its gaps while it records, over real sockets and real kills."""

import asyncio
import re
import signal
import sys
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.capture import backfill
from recorder.capture.backfill_healing import Pace
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.clock import wall_ns
from recorder.config import CaptureConfig
from recorder.judging import judge
from recorder.model import Chain
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FEEDS, key_of
from recorder.store.layout import (
    Partition,
    Stem,
    backfill_lock_path,
    date_of,
    segment_path,
)
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.telemetry import COUNTERS


PROGRAM = "from recorder.cli import main; main()"
PACE = Pace(
    overlap_seconds=0.4,
    first_seconds=0.6,
    settled_seconds=1.0,
    retry_seconds=(0.4,) * 99,
)
SOURCES = ("gate_spot", "gate_futures", "gate_v3")


def table(root, source, name):
    return plain_rows(open_listing(root).read(name, source=source))


def gaps_of(root, source, reason):
    rows = newest_revisions(table(root, source, "gaps"))
    return [g for g in rows if g.reason == reason and g.scope == "rows"]


def plan_of(root, exchange, source, *streams, **changes):
    return plan_capture(
        CaptureConfig(
            source=source,
            markets=("BTC_USDT",),
            streams=streams,
            store=root,
            ws_url=exchange.ws_urls[source],
            rest_url=exchange.rest_url,
            flush_seconds=0.1,
            job=f"job-{source}",
            **changes,
        )
    )


async def until(condition):
    """Wait until something holds of a store; a thread looks at it."""
    async with asyncio.timeout(100):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - files say so
            await asyncio.sleep(0.1)


async def running(capture, condition):
    """Let a capture run until something holds; return how it ended."""
    task = asyncio.create_task(capture.run())
    watch = asyncio.create_task(until(condition))
    await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
    capture.request_stop()
    result = await task
    await watch
    return result


def assert_whole(root, exchange, source, chains=("trades",)):
    """Each trade from the first to the last that is stored is stored once, and right."""
    rows = table(root, source, "trades")
    counts = Counter(row["trade_id"] for row in rows)
    known = {
        t.trade_id: (t.side, float(t.price), float(t.amount), t.ts_ns)
        for t in exchange.truth.trades_of(key_of(FEEDS[source], "BTC_USDT"))
    }
    first, last = min(counts), max(counts)
    assert set(counts) == {one for one in known if first <= one <= last}
    assert set(counts.values()) == {1}
    for row in rows:
        facts = row["side"], row["price"], row["amount"], row["ts_event"]
        assert facts == known[row["trade_id"]]
    asked = {source: [Chain("BTC_USDT", stream) for stream in chains]}
    judgement = judge(open_listing(root), exchange.truth, asked)
    assert judgement.complaints == ()


async def test_a_disk_that_refuses_the_lock_puts_healing_off_and_nothing_else(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(backfill, "TROUBLE_SECONDS", (0.2, 0.2))
    source = "gate_spot"
    settings = Settings(
        seed=5,
        rate=60,
        markets=("BTC_USDT",),
        log_frames=True,
        faults=(parse("stall:at=1,seconds=1,feed=v4"),),
    )
    path = backfill_lock_path(tmp_path, source)
    path.mkdir(parents=True)  # no file can be opened under this name

    def is_healed():
        if path.is_dir() and "cannot heal gaps now" in caplog.text:
            path.rmdir()
        lost = gaps_of(tmp_path, source, "connect_lost")
        return bool(lost) and all(gap.healed_by == "backfill" for gap in lost)

    async with Exchange(settings) as exchange:
        plan = plan_of(tmp_path, exchange, source, "trades")
        result = await running(Capture(plan, pace=PACE), is_healed)

        assert_whole(tmp_path, exchange, source)
    assert result.failure is None


async def test_a_connection_that_was_lost_for_a_time_leaves_nothing_missing(tmp_path):
    """All feeds at once: what they lost is more than the older one pushes anew."""
    faults = tuple(
        parse(text)
        for text in (
            "stall:at=1,seconds=2,feed=v4",
            "stall:at=1,seconds=2,feed=futures",
            "v3_stall:at=1,seconds=2",
        )
    )
    settings = Settings(
        seed=5,
        rate=240,
        markets=("BTC_USDT",),
        contracts=("BTC_USDT",),
        log_frames=True,
        faults=faults,
    )
    roots = {source: tmp_path / source for source in SOURCES}

    def healed(source):
        lost = gaps_of(roots[source], source, "connect_lost")
        return bool(lost) and all(gap.healed_by == "backfill" for gap in lost)

    async with Exchange(settings) as exchange:
        captures = {
            source: Capture(
                plan_of(roots[source], exchange, source, "trades"), pace=PACE
            )
            for source in SOURCES
        }
        await asyncio.gather(
            *(
                running(capture, lambda source=source: healed(source))
                for source, capture in captures.items()
            )
        )

        for source in SOURCES:
            assert_whole(roots[source], exchange, source)
            [gap] = gaps_of(roots[source], source, "connect_lost")
            rows = table(roots[source], source, "trades")
            fetched = sum(row["origin"] == "backfill" for row in rows)
            assert fetched > 20
            assert f"backfill: {fetched} trades fetched" in gap.detail


async def test_what_a_kill_lost_is_fetched_by_the_next_run(tmp_path):
    settings = Settings(seed=6, rate=60, markets=("BTC_USDT",), log_frames=True)
    root = tmp_path / "store"

    def healed():
        killed = gaps_of(root, "gate_spot", "process_killed")
        return bool(killed) and all(gap.healed_by == "backfill" for gap in killed)

    async with Exchange(settings) as exchange:
        words = ["capture", "gate_spot", "-mBTC_USDT", "-strades", "--flush", "100ms"]
        words += ["--ws-url", exchange.ws_url_spot, "--rest-url", exchange.rest_url]
        words += ["--store", root, "--job", "job-gate_spot", "--json-logs"]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            *map(str, words),
            stderr=asyncio.subprocess.PIPE,
        )
        drained = asyncio.create_task(process.stderr.read())
        await until(
            lambda: root.exists() and len(table(root, "gate_spot", "trades")) > 20
        )
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await drained
        before = len(table(root, "gate_spot", "trades"))
        await asyncio.sleep(1.0)

        capture = Capture(plan_of(root, exchange, "gate_spot", "trades"), pace=PACE)
        await running(capture, healed)

        assert_whole(root, exchange, "gate_spot")
    [gap] = gaps_of(root, "gate_spot", "process_killed")
    rows = table(root, "gate_spot", "trades")
    fetched = sum(row["origin"] == "backfill" for row in rows)
    assert fetched > 0
    assert len(rows) >= before + fetched
    assert f"backfill: {fetched} trade" in gap.detail


@pytest.mark.parametrize("is_backfilling", [True, False])
async def test_a_run_says_what_its_venue_has_forgotten_or_does_not_ask(
    tmp_path, is_backfilling
):
    faults = (parse("stall:at=1,seconds=1.5"),)
    settings = Settings(
        seed=5,
        rate=120,
        markets=("BTC_USDT",),
        faults=faults,
        history_trades=10,
        log_frames=True,
    )

    def is_told():
        [gap, *_] = gaps_of(tmp_path, "gate_spot", "connect_lost") or [None]
        if gap is None or gap.ended_at is None:
            return False
        newest = max(row["ts_recv"] for row in table(tmp_path, "gate_spot", "trades"))
        was_left_alone = newest > gap.ended_at + 2 * 10**9
        return "backfill: " in (gap.detail or "") if is_backfilling else was_left_alone

    async with Exchange(settings) as exchange:
        plan = plan_of(
            tmp_path, exchange, "gate_spot", "trades", is_backfilling=is_backfilling
        )
        await running(Capture(plan, pace=PACE), is_told)

    [gap] = gaps_of(tmp_path, "gate_spot", "connect_lost")
    assert gap.healed_by is None
    rows = table(tmp_path, "gate_spot", "trades")
    fetched = sum(row["origin"] == "backfill" for row in rows)
    if is_backfilling:
        why = r"the venue tells no (trades of that time|trade before 20\S+Z)"
        told = rf"backfill: {fetched}( of at least \d+)? trades fetched; {why}"
        assert re.search(rf"{told}$", gap.detail)
        assert fetched <= 10
    else:
        assert "backfill" not in (gap.detail or "")
        assert fetched == 0
    asked = {"gate_spot": [Chain("BTC_USDT", "trades")]}
    judgement = judge(open_listing(tmp_path), exchange.truth, asked)
    assert judgement.complaints == ()
    [trades] = judgement.trades
    assert trades.in_gaps > 0
    assert trades.fetched == fetched

    # Were it to count as healed, the judge would say what it hides.
    for path in (tmp_path / "gaps").rglob("*.parquet"):
        rows = pq.ParquetFile(path).read()
        healed = pa.array(["backfill"] * rows.num_rows)
        at = rows.schema.get_field_index("healed_by")
        lie = rows.set_column(
            at, rows.schema.field(at), healed.cast(rows.schema.types[at])
        )
        pq.write_table(lie, path)
    judgement = judge(open_listing(tmp_path), exchange.truth, asked)
    assert any("lost in silence" in text for text in judgement.complaints)


def damage(root):
    """Leave a segment that cannot be read; return what takes it away."""
    stem = Stem(wall_ns(), "20231114T221320-abcdef", 0)
    partition = Partition("trades", "gate_spot", date_of(stem.first_ts_recv))
    path = segment_path(root, partition, stem)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 this is none")
    return path.unlink


async def test_a_store_that_cannot_be_read_ends_no_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(backfill, "TROUBLE_SECONDS", (0.2, 0.2))
    settings = Settings(
        seed=5,
        rate=120,
        markets=("BTC_USDT",),
        log_frames=True,
        faults=(parse("stall:at=1,seconds=1.5"),),
    )
    mend = damage(tmp_path)
    put_off = COUNTERS["healings_put_off_total"]

    def was_put_off():
        return COUNTERS["healings_put_off_total"] > put_off + 1

    def healed():
        lost = gaps_of(tmp_path, "gate_spot", "connect_lost")
        return bool(lost) and all(gap.healed_by == "backfill" for gap in lost)

    async with Exchange(settings) as exchange:
        plan = plan_of(tmp_path, exchange, "gate_spot", "trades")
        capture = Capture(plan, pace=PACE)
        running_on = asyncio.create_task(running(capture, healed))
        await until(was_put_off)
        assert not running_on.done()
        mend()
        result = await running_on

        assert result.failure is None
        assert_whole(tmp_path, exchange, "gate_spot")
