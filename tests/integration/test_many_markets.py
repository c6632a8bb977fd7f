"""All markets of a venue by one pattern, over several connections."""

import asyncio

from recorder import open_store
from recorder.capture.market_lists import choose_markets
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.simulator.markets import market_spec
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


COUNT = 2_500


async def test_2500_markets_are_recorded_over_as_many_connections_as_they_need(
    tmp_path,
):
    settings = Settings(
        markets=("BTC_USDC",), generated_markets=COUNT, warmup_events=0, rate=0
    )
    async with Exchange(settings) as exchange, asyncio.timeout(90):
        config = CaptureConfig(
            source="gate_spot",
            markets=("*_USDT",),
            streams=("tickers",),
            store=tmp_path / "store",
            ws_url=exchange.ws_url_spot,
            rest_url=exchange.rest_url,
            flush_seconds=0.2,
        )
        plan = await choose_markets(plan_capture(config))

        def on_progress(progress):
            if len(capture._session.accepted) == COUNT and "markets" in progress.rows:
                capture.request_stop()

        capture = Capture(plan, on_progress=on_progress)
        result = await capture.run()
        connections = exchange.counters["v4"]

    store = open_store(tmp_path / "store")
    names = sorted(f"SIM{number:04d}_USDT" for number in range(1, COUNT + 1))
    assert (result.failure, result.refused, result.chains) == (None, {}, COUNT)
    assert connections == result.progress.connections == 3
    covered = store.sql("SELECT market FROM coverage ORDER BY market").fetchall()
    assert covered == [(name,) for name in names]
    assert listed(store) == {
        name: (10.0**-spec.price_decimals, 10.0**-spec.amount_decimals)
        for name in [*names, "BTC_USDC"]
        if (spec := market_spec(name))
    }


def listed(store):
    """Return smallest steps of price and amount by market, as they are stored."""
    rows = store.sql(
        "SELECT market, tick_size, lot_size, kind, status, base, quote, multiplier, "
        "conn, seq, payload FROM markets"
    )
    rows = [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
    for row in rows:
        base, _, quote = row["market"].partition("_")
        assert (row["base"], row["quote"]) == (base, quote)
        assert (row["kind"], row["status"], row["multiplier"]) == (
            "spot",
            "tradable",
            None,
        )
        assert row["conn"].endswith(".rest")
        assert f'"id":"{row["market"]}"' in row["payload"]
    assert len({(row["conn"], row["seq"]) for row in rows}) == 1
    assert len(rows) == COUNT + 1
    return {row["market"]: (row["tick_size"], row["lot_size"]) for row in rows}
