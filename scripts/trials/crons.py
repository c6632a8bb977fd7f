"""Runs of one job that take over from each other, again and again, then judge.

The captures are real processes. Each begins beside the one before, which ends
when it is asked to. Every trade of the exchange must be in ``trades_dedup``
once, every book known in replay from its first snapshot to the end, and every
kline in ``klines_final`` as the exchange's trades make it. With kills, the old
or the new run is killed in the midst of every other hand-over: what is missing
then must lie in gaps.
"""

import asyncio
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from recorder import open_store
from recorder.capture.plan import plan_capture
from recorder.config import CaptureConfig
from recorder.judging.accounts import judge_accounts
from recorder.judging.books import judge_books
from recorder.judging.evidence import Evidence, end_of, plain
from recorder.judging.pushes import align_all
from recorder.model import Chain, Gap
from recorder.query.store import Store
from recorder.replay import bbo
from recorder.replay.book import is_taken_over
from recorder.simulator.engine import Trade
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.last_runs import read_last_runs
from recorder.store.listing import Listing, open_listing
from recorder.store.recover import recover
from trials.kills import Process, listen, until
from trials.report import look_at


SOURCE: Final = "gate_spot"
JOB: Final = "cron"
MARKETS: Final = ("BTC_USDT", "ETH_USDT")
STREAMS: Final = ("trades", "depth:100ms", "depth:obu.50", "klines:10s")
KLINE_NS: Final = 10_000_000_000
SLACK_NS: Final = 1_000_000_000
"""A row may come so much later than it was sent."""

EDGES: Final = frozenset({"not_started", "process_stopped", "process_killed"})
LAGS: Final = (0.0, 0.25, 0.05)
"""Connections bring the same frames at different times."""

PROGRAM: Final = "from recorder.cli import main; main()"


async def run_crons(
    root: Path, count: int, seed: int, *, is_killing: bool
) -> list[str]:
    """Have so many runs take over from each other; return all complaints."""
    rng = random.Random(seed)
    settings = Settings(
        seed=seed,
        markets=MARKETS,
        rate=40,
        lags=LAGS,
        kline_seconds=0.5,
        log_frames=True,
    )
    async with Exchange(settings) as exchange:
        runs = Runs(root, exchange, rng)
        complaints = await runs.hand_over(count, is_killing=is_killing)
        recover(root)
        truth = exchange.truth
        config = config_of(root, exchange)
    print(f"{runs.done} hand-overs; killed: {dict(runs.killed)}")
    listing = open_listing(root)
    evidence = Evidence(listing, truth, SOURCE, plan_capture(config).chains)
    trades = {market: truth.trades_of(market) for market in MARKETS}
    complaints += judge_gaps(evidence, is_killing=is_killing)
    complaints += judge_views(root, evidence, trades)
    complaints += judge_known(listing, evidence)
    complaints += judge_rest(evidence, seed)
    complaints += look_at(root)
    last = read_last_runs(root)
    if [(run.job, run.state) for run in last] != [(JOB, "ended")]:
        complaints.append(f"the last run is said to be {last}")
    for complaint in complaints:
        print("FAIL ", complaint)
    return complaints


def config_of(root: Path, exchange: Exchange) -> CaptureConfig:
    """Return what each run records."""
    return CaptureConfig(
        source=SOURCE,
        markets=MARKETS,
        streams=STREAMS,
        store=root,
        ws_url=exchange.ws_url_spot,
        rest_url=exchange.rest_url,
        job=JOB,
    )


class Runs:
    """Runs of one job, each a process, of which the newest takes over.

    Attributes:
        done: How often one has taken over.
        killed: How many were killed, by which they were.
    """

    def __init__(self, root: Path, exchange: Exchange, rng: random.Random) -> None:
        self.done = 0
        self.killed: Counter[str] = Counter()
        self._root = root
        self._exchange = exchange
        self._rng = rng
        self._complaints: list[str] = []

    async def hand_over(self, count: int, *, is_killing: bool) -> list[str]:
        """Have so many runs take over, and the last one stop; return complaints."""
        old = await self._start()
        await until(old, "ChainsSubscribed")
        await asyncio.sleep(3)
        for number in range(count):
            victim = (
                ("old", "new")[number // 2 % 2] if is_killing and number % 2 else ""
            )
            old = await self._one(old, victim)
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
        old.process.send_signal(signal.SIGTERM)
        await self._ended(old, "the last run")
        return self._complaints

    async def _one(self, old: Process, victim: str) -> Process:
        """Start a run, and wait until it has the job; return it."""
        new = await self._start()
        if victim:
            await until(new, "TakeOverBegan")
            await asyncio.sleep(self._rng.uniform(0.0, self._rng.choice((0.5, 5.0))))
            killed = old if victim == "old" else new
            killed.process.kill()
            await killed.process.wait()
            await killed.reading
            self.killed[victim] += 1
        if victim == "new":
            # If the other had left already, there is nobody to take over from.
            new = await self._start()
            if await until(new, "TakeOverBegan", "ChainsSubscribed") != "TakeOverBegan":
                await old.process.wait()
                return new
        await until(new, "TakeOverDone")
        self.done += 1
        if victim != "old":
            await self._ended(old, "a run that was asked to leave")
        return new

    async def _ended(self, running: Process, what: str) -> None:
        code = await running.process.wait()
        await running.reading
        if code != 0:
            self._complaints.append(f"{what} ended with exit code {code}")

    async def _start(self) -> Process:
        asked = config_of(self._root, self._exchange)
        words = ["capture", SOURCE, "--take-over", "--flush", "500ms", "--json-logs"]
        words += [f"-m{market}" for market in asked.markets]
        words += [f"-s{stream}" for stream in asked.streams]
        words += ["--ws-url", f"{asked.ws_url}", "--rest-url", f"{asked.rest_url}"]
        words += ["--job", JOB, "--store", str(self._root)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *words), stderr=asyncio.subprocess.PIPE
        )
        if process.stderr is None:
            raise RuntimeError("a capture without a pipe for what it says")
        said: asyncio.Queue[str] = asyncio.Queue()
        return Process(
            process, said, asyncio.ensure_future(listen(process.stderr, said))
        )


def judge_gaps(evidence: Evidence, *, is_killing: bool) -> list[str]:
    """Say which gaps of rows should not be there."""
    found = []
    for chain in evidence.chains:
        gaps = [gap for gap in evidence.gaps_of(chain, "rows") if length(gap)]
        print(
            f"{chain.words}: {[(gap.reason, length(gap) / 1e9) for gap in gaps[:-1]]}"
        )
        allowed = EDGES if is_killing else {"not_started"}
        wrong = [
            gap for gap in gaps[1:-1] if gap.reason not in allowed - {"not_started"}
        ]
        found += [f"{chain.words}: a gap {g.reason} of {length(g)} ns" for g in wrong]
        if not gaps or (gaps[0].reason, gaps[-1].reason) != (
            "not_started",
            "process_stopped",
        ):
            found.append(f"{chain.words}: it does not begin and end as it should")
    return found


def length(gap: Gap) -> int:
    """Return how long a gap is, nanoseconds."""
    return end_of(gap) - gap.started_at


def judge_views(
    root: Path, evidence: Evidence, trades: Mapping[str, Sequence[Trade]]
) -> list[str]:
    """Compare the views with what the exchange executed."""
    store = open_store(root)
    found = []
    for market, known in trades.items():
        rows = rows_of(store, f"FROM trades_dedup WHERE market = '{market}'")
        total = rows_of(store, f"FROM trades WHERE market = '{market}'")
        found += judge_trades(evidence, market, known, rows)
        klines = rows_of(store, f"FROM klines_final WHERE market = '{market}'")
        complaints, count = judge_klines(evidence, market, known, klines)
        found += complaints
        print(
            f"{market}: {len(rows)} trades, stored {len(total)} times; "
            f"{count} of {len(klines)} klines compared"
        )
        if len(total) <= len(rows):
            found.append(f"{market}: nothing was recorded by two runs")
    return found


def rows_of(store: Store, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a question, times as nanoseconds."""
    return plain(pa.RecordBatchReader.from_stream(store.sql(sql)).read_all())


def judge_trades(
    evidence: Evidence,
    market: str,
    known: Sequence[Trade],
    rows: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Say which trades are missing, there twice, or not as they were."""
    said = [(r["trade_id"], r["side"], r["price"], r["amount"]) for r in rows]
    ids = Counter(trade_id for trade_id, *_ in said)
    told = [(t.trade_id, t.side, float(t.price), float(t.amount)) for t in known]
    wrong = set(said) - set(told)
    first, last = min(ids), max(ids)
    gaps = gaps_of(evidence, Chain(market, "trades"))
    lost = [
        trade.trade_id
        for trade in known
        if first <= trade.trade_id <= last
        and trade.trade_id not in ids
        and not lies_in(gaps, trade.ts_ns, trade.ts_ns)
    ]
    found = [f"{market}: trades that are missing in silence: {lost}"] if lost else []
    found += [f"{market}: trades that never were: {wrong}"] if wrong else []
    doubled = [trade_id for trade_id, count in ids.items() if count > 1]
    return found + (
        [f"{market}: trades that are there twice: {doubled}"] if doubled else []
    )


def judge_klines(
    evidence: Evidence,
    market: str,
    known: Sequence[Trade],
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[str], int]:
    """Say which klines are not what the trades make; and how many were compared.

    Those that reach into a gap may be there in part; recording begins and ends with
    one. Where none is for so long, one kline at least lies between them.
    """
    gaps = gaps_of(evidence, Chain(market, STREAMS[-1]))
    times = [(end_of(a), b.started_at) for a, b in pairwise(gaps)]
    by_time: dict[int, list[Trade]] = defaultdict(list)
    for trade in known:
        by_time[trade.ts_ns // KLINE_NS * KLINE_NS].append(trade)
    shown = {row["open_at"]: row for row in rows}
    found, count = [], 0
    if len(shown) != len(rows):
        found.append(f"{market}: a kline is there twice")
    for open_at in sorted(by_time):
        if not gaps or open_at < gaps[0].started_at:
            continue  # nobody recorded yet
        if lies_in(gaps, open_at, open_at + KLINE_NS):
            continue
        count += 1
        row, made = shown.get(open_at), kline_of(by_time[open_at])
        if row is None:
            found.append(f"{market}: the kline of {open_at} is missing")
            continue
        values = tuple(row[name] for name in ("open", "high", "low", "close"))
        if values != made[:4] or abs(row["volume"] - made[4]) > 1e-9 * made[4]:
            found.append(f"{market}: the kline of {open_at} is {row}, not {made}")
    if not count and any(end - start > 2 * KLINE_NS + SLACK_NS for start, end in times):
        found.append(f"{market}: no kline could be compared")
    return found, count


def kline_of(trades: Sequence[Trade]) -> tuple[float, float, float, float, float]:
    """Return open, high, low, close and volume of some trades."""
    prices = [float(trade.price) for trade in trades]
    volume = sum(float(trade.amount) for trade in trades)
    return prices[0], max(prices), min(prices), prices[-1], volume


def gaps_of(evidence: Evidence, chain: Chain) -> list[Gap]:
    """Return the gaps of rows of a chain in which something may be missing."""
    return [g for g in evidence.gaps_of(chain, "rows") if not is_taken_over(g)]


def lies_in(gaps: Iterable[Gap], first: int, last: int) -> bool:
    """Return whether something between two times may have come in a gap."""
    return any(g.started_at - SLACK_NS <= last and first < end_of(g) for g in gaps)


def judge_known(listing: Listing, evidence: Evidence) -> list[str]:
    """Say which books were unknown between their first message and the end."""
    found = []
    for chain in evidence.chains:
        if not chain.stream.startswith("depth"):
            continue
        name = {"source": SOURCE, "market": chain.market, "stream": chain.stream}
        rows = plain(bbo(listing, **name))
        gaps = gaps_of(evidence, chain)[1:]
        known = [row["known"] for row in rows]
        begin = known.index(True)
        # After a gap it may take a while until a snapshot came.
        unknown = [r["ts_recv"] for r in rows[begin:] if not r["known"]]
        late = [at for at in unknown if not any(g.started_at <= at for g in gaps[:-1])]
        print(f"{chain.words}: known after {known.count(True)} of {len(rows)} messages")
        if late:
            found.append(
                f"{chain.words}: not known at {late[:3]} though nothing is missing"
            )
    return found


def judge_rest(evidence: Evidence, seed: int) -> list[str]:
    """Judge accounts and books as all trials do."""
    accounts = judge_accounts(evidence)
    books = judge_books(evidence, align_all(evidence), seed)
    for book in books:
        print(
            f"{book.chain.words}: {book.equal} of {book.states} known states are right"
        )
    return [text for verdict in (*accounts, *books) for text in verdict.complaints]
