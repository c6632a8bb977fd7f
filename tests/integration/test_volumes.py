"""A real volume that is full or away: rows wait, frames are dropped, all is told."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from recorder.capture.plan import plan_capture
from recorder.capture.pool import Pool
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.errors import StoreError
from recorder.judging import judge
from recorder.judging.evidence import plain
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.layout import journals_folder, tmp_folder
from recorder.store.listing import open_listing
from recorder.telemetry import COUNTERS, StoreFailed, StorePaused, StoreResumed


MARKETS = ("BTC_USDT",)
MEMORY_BYTES = 800_000
RECORDER = (sys.executable, "-c", "from recorder.cli import main; main()")


def system(*command):
    """Run a command of the system; return whether it worked."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def volume(tmp_path):
    """A volume of 4 MB."""
    folder = tmp_path / "volume"
    folder.mkdir()
    if not system("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)):
        pytest.skip("this process may not mount a volume")
    yield folder
    system("umount", "--lazy", str(folder))


def fill(folder):
    """Leave no room on a volume; return what gives it back."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
    return filler.unlink


def take_away(folder):
    """Have a volume not there; return what brings it back."""
    away = folder.with_name("away")
    away.mkdir()
    assert system("mount", "--bind", str(folder), str(away))
    assert system("umount", "--lazy", str(folder))

    def bring_back():
        assert list(folder.iterdir()) == []  # nothing was written in its place
        assert system("mount", "--bind", str(away), str(folder))
        assert system("umount", "--lazy", str(away))

    return bring_back


def plan_on(volume, exchange):
    config = CaptureConfig(
        source="gate_spot",
        markets=MARKETS,
        streams=("trades", "depth:100ms", "bbo"),
        store=volume / "store",
        ws_url=exchange.ws_url_spot,
        rest_url=exchange.rest_url,
        flush_seconds=0.1,
    )
    return plan_capture(config)


class Watch:
    """Waits for what a capture says of its progress."""

    def __init__(self):
        self.last = None
        self._news = asyncio.Event()

    def __call__(self, progress):
        self.last = progress
        self._news.set()

    async def until(self, condition):
        while self.last is None or not condition(self.last):
            self._news.clear()
            await self._news.wait()
        return self.last


@pytest.mark.timeout(120)
@pytest.mark.parametrize("trouble", [fill, take_away])
async def test_recording_goes_on_as_soon_as_a_volume_is_mended(
    volume, monkeypatch, caplog, trouble
):
    small = Pool(MEMORY_BYTES)
    monkeypatch.setattr("recorder.capture.shared.Pool", lambda _: small)
    settings = Settings(seed=3, markets=MARKETS, rate=400, log_frames=True)
    watch = Watch()
    async with Exchange(settings) as exchange:
        plan = plan_on(volume, exchange)
        capture = Capture(plan, on_progress=watch)
        running = asyncio.ensure_future(capture.run())
        before = await watch.until(lambda p: p.books_known and p.rows.get("trades"))
        told_before = before.rows.get("gaps", 0)
        mend = trouble(volume)
        await watch.until(lambda p: p.dropped > before.dropped + 50)
        mend()
        stored = watch.last.rows["trades"]
        after = await watch.until(
            lambda p: p.rows["trades"] > stored and p.rows.get("gaps", 0) > told_before
        )
        rows = after.rows["trades"]
        await watch.until(lambda p: p.rows["trades"] > rows)
        capture.request_stop()
        result = await running
    root = plan.config.store

    assert result.failure is None
    listing = open_listing(root)
    rows = plain(listing.read("gaps"))
    told = [row for row in rows if row["reason"] == "disk_full"]
    # A machine that is busy may be too slow as well.
    shed = [row for row in rows if row["reason"] in ("disk_full", "backpressure")]
    # Where a chain was in another gap meanwhile, several rows tell of one loss.
    counts = [int(detail.split()[0]) for detail in {row["detail"] for row in shed}]
    assert told != []
    assert sum(counts) == result.progress.dropped
    why = {fill: "the disk is full", take_away: "mount its volume again"}[trouble]
    assert all(why in row["detail"] for row in told)
    asked = {plan.source.name: plan.chains}
    assert judge(listing, exchange.truth, asked, seed=3).complaints == ()
    assert list(tmp_folder(root).iterdir()) == []
    assert list(journals_folder(root).rglob("*.arrow")) == []
    signals = [type(getattr(record, "signal", None)) for record in caplog.records]
    assert signals.count(StorePaused) == signals.count(StoreResumed) >= 1


@pytest.mark.timeout(120)
async def test_who_is_stopped_while_the_volume_is_full_ends_soon_and_says_why(
    volume, caplog
):
    settings = Settings(seed=3, markets=MARKETS, rate=100, log_frames=True)
    watch, paused = Watch(), COUNTERS["store_pauses_total"]
    async with Exchange(settings) as exchange:
        plan = plan_on(volume, exchange)
        capture = Capture(plan, on_progress=watch)
        running = asyncio.ensure_future(capture.run())
        await watch.until(lambda p: p.books_known and p.rows.get("trades", 0) > 50)
        mend = fill(volume)
        await watch.until(lambda _: COUNTERS["store_pauses_total"] > paused)
        capture.request_stop()
        async with asyncio.timeout(60):
            with pytest.raises(StoreError, match=r"disk is full.*says since when"):
                await running
        mend()
        watch = Watch()
        capture = Capture(plan, on_progress=watch)
        running = asyncio.ensure_future(capture.run())
        await watch.until(lambda p: p.books_known and p.rows.get("trades"))
        capture.request_stop()
        await running

    listing = open_listing(plan.config.store)
    assert "process_killed" in listing.read("gaps")["reason"].to_pylist()
    asked = {plan.source.name: plan.chains}
    assert judge(listing, exchange.truth, asked, seed=3).complaints == ()
    assert StoreFailed in [type(getattr(r, "signal", None)) for r in caplog.records]


def test_a_store_that_cannot_be_written_at_the_start_is_an_error_at_once(volume):
    fill(volume)

    done = subprocess.run(
        [
            *(*RECORDER, "capture", "gate_spot"),
            *("-m", "BTC_USDT", "-s", "trades", "--store", str(volume / "store")),
            *("--ws-url", "ws://127.0.0.1:9", "--rest-url", "http://127.0.0.1:9"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NO_COLOR": "1"},
    )

    assert done.returncode == 1
    assert "the disk is full" in done.stderr
