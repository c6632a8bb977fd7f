"""Every feed there is in one run, as a file says; one is sent away for good."""

import asyncio
from decimal import Decimal

import pytest

from recorder.capture.feeds import plan_feeds
from recorder.capture.many import Captures
from recorder.cli.capture_report import report_all
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.telemetry import FeedEnded


FILE = """\
flush = "50ms"

[[source]]
source = "gate_spot"
markets = ["*_USDT"]
streams = ["trades", "depth"]
ws_url = "{spot}"
rest_url = "{rest}"

[[source]]
source = "gate_futures"
markets = ["*"]
streams = ["trades", "depth"]
ws_url = "{usdt}"
rest_url = "{rest}"

[[source]]
source = "gate_futures"
name = "inverse"
markets = ["BTC_USD"]
streams = ["trades"]
options.settle = "btc"
ws_url = "{btc}"
rest_url = "{rest}"

[[source]]
source = "gate_v3"
markets = ["BTC_USDT"]
streams = ["trades", "depth"]
ws_url = "{v3}"
rest_url = "{rest}"

[[source]]
source = "gate_announcements"
streams = ["status:summary_all"]
ws_url = "{ann}"

[[source]]
source = "okx_status"
streams = ["status"]
ws_url = "{okx}"

[[source]]
source = "cryptolisting"
streams = ["status"]
ws_url = "{listings}"
"""
ENDS = "cryptolisting"
TABLES = {
    "gate_spot": "trades",
    "gate_futures": "trades",
    "inverse": "trades",
    "gate_v3": "trades",
    "gate_announcements": "status",
    "okx_status": "status",
    ENDS: "status",
}
CONTRACTS = ("BTC_USDT", "ETH_USDT", "BTC_USD")


@pytest.fixture
async def exchange():
    settings = Settings(
        seed=4,
        rate=60,
        contracts=CONTRACTS,
        okx=OkxSettings(change_seconds=0.1),
        ann_seconds=0.1,
    )
    async with Exchange(settings) as exchange:
        yield exchange


def table(root, name):
    return plain_rows(open_listing(root).read(name))


async def test_all_feeds_are_recorded_and_one_that_ends_harms_no_other(
    exchange, tmp_path, caplog
):
    path, root = tmp_path / "all.toml", tmp_path / "data"
    key = exchange.keys[ENDS]["key"]
    path.write_text(
        FILE.format(
            spot=exchange.ws_url_spot,
            v3=exchange.ws_url_v3,
            usdt=exchange.ws_url_futures("usdt"),
            btc=exchange.ws_url_futures("btc"),
            ann=exchange.status_urls["gate_announcements"],
            okx=exchange.status_urls["okx_status"],
            listings=exchange.status_urls[ENDS],
            rest=exchange.rest_url,
        )
    )
    feeds = plan_feeds(path, {"CRYPTOLISTING_API_KEY": key})
    stop, rows, before = asyncio.Event(), dict.fromkeys(TABLES, 0), {}

    def on_progress(name, progress):
        if progress is None:
            before.update(rows)
            return
        rows[name] = progress.rows.get(TABLES[name], 0)
        has_lists = name in {ENDS, "okx_status", "gate_announcements"}
        rows[name] *= has_lists or "markets" in progress.rows
        if all(rows.values()) and not before:
            exchange.listings.revoke(key)
        others = [count - before.get(name, 1 << 40) for name, count in rows.items()]
        if sum(more > 0 for more in others) == len(TABLES) - 1:
            stop.set()

    async with asyncio.timeout(100):
        outcomes = await Captures(feeds, stop=stop, on_progress=on_progress).run()

    assert {outcome.name for outcome in outcomes} == set(TABLES)
    failures = {o.name: o.result.failure for o in outcomes if o.result.failure}
    assert set(failures) == {ENDS}
    assert report_all(outcomes) == 1
    ended = [r.feed for r in caplog.records if isinstance(r.signal, FeedEnded)]
    assert ended == [ENDS]
    stopped = {
        gap.job
        for gap in newest_revisions(table(root, "gaps"))
        if gap.ended_at is None and gap.reason == "process_stopped"
    }
    assert stopped == {f"all.{name}" for name in TABLES}
    assert listed(root) == {
        ("gate_futures", contract.spec.name): (
            "futures",
            float(contract.multiplier),
            float(Decimal(1).scaleb(-contract.spec.price_decimals)),
        )
        for contract in exchange.settings.all_contracts()
    } | {
        (source, market.spec.name): (
            "spot",
            None,
            float(Decimal(1).scaleb(-market.spec.price_decimals)),
        )
        for source in ("gate_spot", "gate_v3")
        for market in exchange.engine.markets.values()
    }


def listed(root):
    """Return what is stored of each market of a source, each stored once."""
    rows = table(root, "markets")
    found = {
        (row["source"], row["market"]): (
            row["kind"],
            row["multiplier"],
            row["tick_size"],
        )
        for row in rows
    }
    assert len(rows) == len(found)
    return found
