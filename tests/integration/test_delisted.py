"""Patterns leave out what a venue lists as not traded any more, and say so."""

import asyncio

import pytest

from recorder import open_store
from recorder.capture.market_lists import choose_markets
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.telemetry import MarketsUntraded


NAMES = ("BTC_USDT", "ETH_USDT", "GT_USDT")


@pytest.mark.parametrize(
    ("source", "era", "status"),
    [
        ("gate_spot", "2026", "untradable"),
        ("gate_futures", "2021", "in_delisting"),
        ("gate_futures", "2026", "delisted"),
    ],
)
async def test_a_delisted_market_is_listed_and_not_recorded(
    source, era, status, tmp_path, caplog
):
    settings = Settings(
        markets=NAMES,
        contracts=NAMES,
        delisted=("ETH_USDT",),
        wire_era=era,
        warmup_events=50,
        keep_truth=False,
    )
    async with Exchange(settings) as exchange, asyncio.timeout(60):
        urls = {
            "gate_spot": exchange.ws_url_spot,
            "gate_futures": exchange.ws_url_futures("usdt"),
        }
        config = CaptureConfig(
            source=source,
            markets=("*_USDT",),
            streams=("trades",),
            store=tmp_path / "store",
            ws_url=urls[source],
            rest_url=exchange.rest_url,
            flush_seconds=0.1,
        )
        plan = await choose_markets(plan_capture(config))

        def on_progress(progress):
            if {"markets", "trades"} <= progress.rows.keys():
                capture.request_stop()

        capture = Capture(plan, on_progress=on_progress)
        result = await capture.run()

    signals = [getattr(record, "signal", None) for record in caplog.records]
    left_out = [signal for signal in signals if isinstance(signal, MarketsUntraded)]
    assert left_out == [MarketsUntraded(source=source, markets=1, such_as="ETH_USDT")]
    assert (result.refused, result.chains) == ({}, 2)
    store = open_store(tmp_path / "store")
    covered = store.sql("SELECT DISTINCT market FROM coverage ORDER BY market")
    assert covered.fetchall() == [("BTC_USDT",), ("GT_USDT",)]
    listed = store.sql("SELECT market, status FROM markets ORDER BY market").fetchall()
    assert [market for market, _ in listed] == list(NAMES)
    assert dict(listed)["ETH_USDT"] == status
    assert status not in {dict(listed)[name] for name in ("BTC_USDT", "GT_USDT")}
