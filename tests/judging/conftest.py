"""One small recorded store with its truth, to be judged whole and broken."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import Judgement, judge
from recorder.model import Chain
from recorder.simulator.cryptolisting.news import EXCHANGES
from recorder.simulator.cryptolisting.settings import DEMO_KEY, settings_of
from recorder.simulator.faults import parse
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth
from recorder.store.listing import open_listing


MARKETS = ("BTC_USDT", "ETH_USDT")
STREAMS = {
    "gate_spot": ("trades", "depth:100ms", "bbo", "tickers", "klines:1m"),
    "gate_v3": (
        *("trades", "depth:30", "tickers", "klines:1m"),
        *("orders", "balances"),
    ),
}
FAULTS = (
    "drop:stream=depth,market=BTC_USDT,at=1.5",
    "malformed:stream=bbo,at=2.5",
    "crossed:market=ETH_USDT,at=2.5",
    "abort:at=3.5",
    "v3_abort:at=3.5",
)

NOTICE_STREAMS = {
    "okx_status": ("status",),
    "gate_announcements": ("status:summary_all", "status:summary_listing"),
    "cryptolisting": ("status",),
}
NOTICE_FAULTS = (
    "v5_malformed:at=0.3",
    "v5_duplicate:at=0.5",
    "v5_abort:at=0.9",
    "v5_upgrade:at=2.1,seconds=0.2",
    "ann_malformed:at=0.3",
    "ann_duplicate:at=0.5",
    "ann_abort:at=0.9",
    "cryptolisting_malformed:at=0.3",
    "cryptolisting_changelog:every=0.2",
    "cryptolisting_abort:at=0.9",
)
HEARD = ("en", "cn", *EXCHANGES)

KEYS = {
    "CRYPTOLISTING_API_KEY": DEMO_KEY,
    "GATE_API_KEY": Settings().v3_keys[0],
    "GATE_API_SECRET": Settings().v3_keys[1],
}

Change = Callable[[pa.Table], pa.Table]


class Case(NamedTuple):
    """A store and what is known of it."""

    root: Path
    truth: Truth
    asked: dict[str, tuple[Chain, ...]]

    def judged(self, source: str | None = None, table: str = "") -> Judgement:
        """Judge all, or only the chains of one source that fill one table."""
        asked = {
            name: [chain for chain in chains if chain.stream.startswith(table)]
            for name, chains in self.asked.items()
            if source in (None, name)
        }
        return judge(open_listing(self.root), self.truth, asked, options=HEARD)

    def complaints(self, source: str | None = None, table: str = "") -> str:
        return "\n".join(self.judged(source, table).complaints)

    def change(self, table: str, change: Change, source: str = "gate_spot") -> None:
        """Do something to the rows of a table, in their order of receipt."""
        paths = sorted((self.root / table / f"source={source}").rglob("*.parquet"))
        assert len(paths) == 1, paths
        rows = pq.ParquetFile(paths[0]).read()
        changed = change(rows.sort_by([("ts_recv", "ascending"), ("seq", "ascending")]))
        assert not changed.equals(rows)
        pq.write_table(changed.cast(rows.schema), paths[0])


SETTINGS = Settings(
    seed=5,
    markets=MARKETS,
    rate=30,
    faults=tuple(map(parse, FAULTS)),
    v3_clean_seconds=(1.0, 2.0),
    v3_batch_seconds=0.4,
    ticker_seconds=0.4,
    kline_seconds=0.4,
    account_seconds=0.05,
    log_frames=True,
)
NOTICE_SETTINGS = Settings(
    seed=5,
    markets=MARKETS[:1],
    rate=0,
    faults=tuple(map(parse, NOTICE_FAULTS)),
    okx=OkxSettings(change_seconds=0.04),
    ann_seconds=0.04,
    ann_cached_seconds=0.1,
    listings=settings_of(
        "C",
        announcements_per_minute=1_500.0,
        heartbeat_seconds=0.2,
        cooldown_seconds=0.0,
    ),
    log_frames=True,
)


async def record(
    root: Path,
    streams_of: dict[str, tuple[str, ...]],
    settings: Settings,
    seconds: float,
    **options: str,
) -> Case:
    async with Exchange(settings) as exchange:
        urls = exchange.ws_urls | exchange.status_urls
        plans = [
            plan_capture(
                CaptureConfig(
                    source=source,
                    markets=() if source in NOTICE_STREAMS else MARKETS,
                    streams=streams,
                    store=root,
                    options=options if "announcements" in source else {},
                    ws_url=urls[source],
                    rest_url=exchange.rest_url,
                    job=f"test-{source}",
                    flush_seconds=0.2,
                ),
                KEYS,
            )
            for source, streams in streams_of.items()
        ]
        captures = [Capture(plan) for plan in plans]
        running = [asyncio.ensure_future(capture.run()) for capture in captures]
        await exchange.subscribed()
        await asyncio.sleep(seconds)
        for capture in captures:
            capture.request_stop()
        await asyncio.gather(*running)
    return Case(root, exchange.truth, {p.source.name: p.chains for p in plans})


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("judged") / "store"
    return asyncio.run(record(root, STREAMS, SETTINGS, 6.0))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """What venues said of themselves, recorded under faults."""
    root = tmp_path_factory.mktemp("told") / "store"
    return asyncio.run(record(root, NOTICE_STREAMS, NOTICE_SETTINGS, 2.5, lang="both"))


def copied(case: Case, root: Path) -> Case:
    shutil.copytree(case.root, root)
    return Case(root, case.truth, case.asked)


@pytest.fixture
def case(recorded: Case, tmp_path: Path) -> Case:
    """A copy of the store, to be broken."""
    return copied(recorded, tmp_path / "store")


@pytest.fixture
def told_case(told: Case, tmp_path: Path) -> Case:
    """A copy of the store of what venues said, to be broken."""
    return copied(told, tmp_path / "store")
