"""A run begins beside a segment that cannot be read: it records, and says so."""

import asyncio

import pytest

from recorder import open_store
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.telemetry import HearsayUnread, SeedUnread


async def record(exchange, root, source, stream):
    """Record until there are rows; return how it went."""
    urls = {"gate_v3": exchange.ws_url_v3, **exchange.status_urls}
    config = CaptureConfig(
        source=source,
        markets=("BTC_USDT",) if stream == "trades" else (),
        streams=(stream,),
        store=root,
        ws_url=urls[source],
        is_backfilling=False,
        flush_seconds=0.1,
    )

    def on_progress(progress):
        if progress.rows.get(stream):
            capture.request_stop()

    capture = Capture(plan_capture(config), on_progress=on_progress)
    return await capture.run()


@pytest.mark.parametrize(
    ("source", "table", "told"),
    [
        ("gate_v3", "trades", [SeedUnread]),
        ("gate_announcements", "status", [SeedUnread, HearsayUnread]),
    ],
)
async def test_a_segment_that_cannot_be_read_refuses_no_start(
    source, table, told, tmp_path, caplog
):
    async with Exchange(Settings(keep_truth=False)) as exchange, asyncio.timeout(60):
        await record(exchange, tmp_path, source, table)
        (segment,) = (tmp_path / table).rglob("*.parquet")
        whole = segment.read_bytes()
        segment.write_bytes(whole[: len(whole) // 2])

        result = await record(exchange, tmp_path, source, table)

    signals = [getattr(record, "signal", None) for record in caplog.records]
    unread = [s for s in signals if isinstance(s, SeedUnread | HearsayUnread)]
    assert [type(signal) for signal in unread] == told
    assert all(segment.name in signal.why for signal in unread)
    assert result.failure is None
    segment.unlink()
    rows = open_store(tmp_path).sql(f"SELECT conn FROM {table}").fetchall()
    assert {conn.partition(".")[0] for (conn,) in rows} == {result.run}
