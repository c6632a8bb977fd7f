"""One small recorded store with its truth, to be judged whole and broken."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.capture.plan import Progress, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import Judgement, judge
from recorder.judging.evidence import Evidence, Stored, chain_of, end_of
from recorder.judging.pushes import MARGIN_NS
from recorder.model import Chain
from recorder.simulator.cryptolisting.news import EXCHANGES
from recorder.simulator.cryptolisting.settings import DEMO_KEY, settings_of
from recorder.simulator.faults import parse
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FEEDS, Truth
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
    ("drop:stream=depth,market=BTC_USDT",),
    ("malformed:stream=bbo",),
    ("crossed:market=ETH_USDT",),
    ("abort", "v3_abort"),
)
"""What goes wrong, one after the other; what stands together does so at once."""

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

    def calm(
        self,
        source: str,
        table: str,
        market: str = "BTC_USDT",
        kinds: Collection[str] = (),
        theirs: int | None = None,
    ) -> dict[str, Any]:
        """Return the place of the row that is farthest from any gap of rows.

        Of the rows over a socket of one chain, or those of some kinds, or of one
        of the exchange's connections: who meddles with it can blame no gap. A
        dictionary of columns.
        """
        chain = next(
            chain
            for chain in self.asked[source]
            if chain.market == market and chain.stream.startswith(table)
        )
        evidence = Evidence(open_listing(self.root), self.truth, source, [chain])
        gaps = evidence.gaps_of(chain, "rows")

        def distance(row: Stored) -> int:
            return min(
                max(gap.started_at - row.ts_recv, row.ts_recv - end_of(gap))
                for gap in gaps
            )

        rows = evidence.rows_of(chain)
        if theirs is not None:
            conns = evidence.conns_of(chain)
            rows = [row for row in rows if conns.get(row.conn) == theirs]
        wanted = [row for row in rows if not kinds or row.values["kind"] in kinds]
        row = max(wanted, key=distance)
        return {"conn": row.conn, "seq": row.seq, "idx": row.idx}

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
    v3_clean_seconds=(1.0, 2.0),
    v3_depth_seconds=0.2,
    v3_batch_seconds=0.2,
    ticker_seconds=0.2,
    kline_seconds=0.2,
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


class Recording:
    """An exchange that is being recorded, until told to stop.

    Nothing here is over after so many seconds: how long a step takes, the
    machine decides.
    """

    def __init__(self, root: Path, exchange: Exchange) -> None:
        self._root = root
        self._exchange = exchange
        self._progress: dict[str, Progress] = {}
        self._chains: dict[str, tuple[Chain, ...]] = {}
        self._captures: list[Capture] = []
        self._counts: Counter[tuple[str, Chain]] = Counter()
        self._counted = 0
        self._longest_ns = 0

    @asynccontextmanager
    async def started(
        self, streams_of: dict[str, tuple[str, ...]], **options: str
    ) -> AsyncIterator[None]:
        """Record; at the end stop in order."""
        urls = self._exchange.ws_urls | self._exchange.status_urls
        for source, streams in streams_of.items():
            plan = plan_capture(
                CaptureConfig(
                    source=source,
                    markets=() if source in NOTICE_STREAMS else MARKETS,
                    streams=streams,
                    store=self._root,
                    options=options if "announcements" in source else {},
                    ws_url=urls[source],
                    rest_url=self._exchange.rest_url,
                    job=f"test-{source}",
                    flush_seconds=0.2,
                ),
                KEYS,
            )
            note = partial(self._progress.__setitem__, source)
            self._captures.append(Capture(plan, on_progress=note))
            self._chains[source] = plan.chains
        async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            for capture in self._captures:
                tasks.create_task(capture.run())
            try:
                yield
            finally:
                watching.cancel()
                for capture in self._captures:
                    capture.request_stop()

    def case(self) -> Case:
        return Case(self._root, self._exchange.truth, self._chains)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that nothing tells of."""
        while not condition():  # noqa: ASYNC110 - nothing tells of most of it
            await asyncio.sleep(0.01)

    async def suffer(self, faults: Iterable[str]) -> None:
        """Let faults happen, and wait until all goes well again."""
        ordered = [parse(fault) for fault in faults]
        performed = len(self._exchange.truth.faults)
        gaps = {source: now.gaps for source, now in self._progress.items()}
        feeds = {"gate_v3" if f.name.startswith("v3") else "gate_spot" for f in ordered}
        for fault in ordered:
            self._exchange.order(fault)
        faults_done = performed + len(ordered)
        await self.until(lambda: len(self._exchange.truth.faults) == faults_done)
        await self.until(
            lambda: all(self._progress[feed].gaps > gaps[feed] for feed in feeds)
        )
        await self.go_well()

    async def go_well(self) -> None:
        """Wait until all is recorded, and has been for a while.

        So long that nothing that happens now is still on its way when what
        comes next begins: that is judged by the longest way of all.
        """
        await self.until(
            lambda: (
                len(self._progress) == len(self._chains)
                and all(
                    now.books_known == now.books
                    and now.connections_open == now.connections
                    for now in self._progress.values()
                )
            )
        )
        before = self._sent()
        await self.until(
            lambda: all(
                sent > before[chain] + 1 for chain, sent in self._sent().items()
            )
        )
        began_ns = time.monotonic_ns()
        await self.until(
            lambda: time.monotonic_ns() - began_ns > 2 * (MARGIN_NS + self._longest_ns)
        )

    def _sent(self) -> dict[tuple[str, Chain], int]:
        """Return how many frames were sent of each chain that is recorded."""
        frames = self._exchange.truth.frames
        for frame in frames[self._counted :]:
            chain = chain_of(frame.market or "", frame.stream, frame.parameter)
            self._counts[frame.feed, chain] += 1
        self._counted = len(frames)
        return {
            (source, chain): self._counts[FEEDS[source], chain]
            for source, chains in self._chains.items()
            for chain in chains
        }

    async def _watch(self) -> None:
        """Find out how long the loop, and so a frame in it, may be held up."""
        while True:
            asked_ns = time.monotonic_ns()
            await asyncio.sleep(0.01)
            self._longest_ns = max(self._longest_ns, time.monotonic_ns() - asked_ns)


async def record(root: Path) -> Case:
    """Record markets, with faults one after the other."""
    async with Exchange(SETTINGS) as exchange:
        recording = Recording(root, exchange)
        async with recording.started(STREAMS):
            await recording.go_well()
            for faults in FAULTS:
                await recording.suffer(faults)
        return recording.case()


async def record_notices(root: Path) -> Case:
    """Record what venues say of themselves, with faults at their times.

    And then so long that some of it lies far from any gap.
    """
    async with Exchange(NOTICE_SETTINGS) as exchange:
        recording = Recording(root, exchange)
        async with recording.started(NOTICE_STREAMS, lang="both"):
            await exchange.subscribed()
            await asyncio.sleep(2.5)
            await recording.go_well()
        return recording.case()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root = tmp_path_factory.mktemp("judged") / "store"
    return asyncio.run(record(root))


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """What venues said of themselves, recorded under faults."""
    root = tmp_path_factory.mktemp("told") / "store"
    return asyncio.run(record_notices(root))


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
