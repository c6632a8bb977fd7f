"""SQL over a large store: two days of many markets, made up.

Each question is asked several times; its answer is held to what the store was
made of, and EXPLAIN ANALYZE tells how many files and row groups were read.
Times are wall time, for DuckDB uses all cores, and CPU time. Files are in the
page cache: they were just written.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.day_store import SOURCE
from benchmarks.options import runs, sized
from benchmarks.query_store import DAYS, Plan
from benchmarks.report import Findings, WrongAnswerError, spread, table
from benchmarks.synthetic import START_NS
from recorder.query.store import Store
from recorder.store.layout import DAY_NS, date_of


Column = npt.NDArray[np.float64 | np.int64]

MINUTE_NS = 60 * 10**9


class Question(NamedTuple):
    """A question and its answer.

    Attributes:
        name: What is asked, in words.
        sql: The question.
        check: Raises `WrongAnswerError` for a wrong answer.
    """

    name: str
    sql: str
    check: Callable[[pa.Table], None]


class Read(NamedTuple):
    """How much of the store a question read, as DuckDB tells it."""

    files: str
    row_groups: str
    rows: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--markets", type=int, help="in the store")
    parser.add_argument("--depth", type=int, help="depth messages in the store")
    parser.add_argument("--trades", type=int, help="trades in the store")
    parser.add_argument("--store", type=Path, help="where to keep it; else removed")


def measure(given: argparse.Namespace) -> Findings:
    """Return what questions take.

    Raises:
        WrongAnswerError: If an answer is not what the store was made of.
    """
    markets = int(sized(given, "markets", full=500, quick=4))
    depth = int(sized(given, "depth", full=20_000_000, quick=800))
    trades = int(sized(given, "trades", full=5_000_000, quick=200))
    segments = 1 if given.quick else 48
    plan = Plan(markets, depth // markets, trades // markets, segments, given.seed)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        root = given.store or Path(name) / "store"
        began = time.process_time()
        if not root.exists():
            plan.write(root)
        written = time.process_time() - began
        rows, bbo_text = _ask_all(plan, Store(root), Path(name), runs(given, 5))
        size = {
            kind: sum(x.stat().st_size for x in (root / kind).rglob("*.parquet"))
            for kind in ("depth", "trades")
        }
    count = (plan.messages * markets, len(plan.walk(0).trades.after) * markets)
    return Findings(
        about=(
            f"{count[0]:,} depth messages ({size['depth'] / 1e6:,.0f} MB) and "
            f"{count[1]:,} trades ({size['trades'] / 1e6:,.0f} MB) of {markets} "
            f"markets over {DAYS} days, {segments} files each; written in {written:.0f} s of CPU"
        ),
        figures=[],
        tables=[("Questions", table(rows)), ("Quotes by replay", bbo_text)],
        compared=["every answer with what the store was made of"],
    )


def _ask_all(
    plan: Plan, store: Store, folder: Path, count: int
) -> tuple[list[tuple[str, ...]], str]:
    market = len(plan.names) // 2
    began = time.perf_counter()
    quotes = store.bbo(SOURCE, plan.names[market])
    seconds = time.perf_counter() - began
    changes = _changes(quotes)
    path = folder / "bbo.parquet"
    pq.write_table(changes, path)
    rows = [("question", "wall s", "CPU s", "files", "row groups", "rows read")]
    for question in _questions(plan, market, changes, path):
        walls, cpus = [], []
        question.check(_answer(store, question.sql))
        for _ in range(count):
            began, cpu = time.perf_counter(), time.process_time()
            answer = _answer(store, question.sql)
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - cpu)
            question.check(answer)
        times = [spread(taken).text(3) for taken in (walls, cpus)]
        rows.append((question.name, *times, *_explained(store, question.sql)))
    text = (
        f"best bid and offer of {plan.names[market]} after each of "
        f"{quotes.num_rows:,} messages: {seconds:.2f} s of wall time"
    )
    return rows, text


def _questions(
    plan: Plan, market: int, changes: pa.Table, path: Path
) -> list[Question]:
    first = START_NS + DAY_NS  # the second day
    name, date = plan.names[market], date_of(first)
    walk, times = plan.walk(market), plan.times(market)
    dealt = plan.trade_times(market)
    minute = first + DAY_NS // 2
    window = f"""ts_recv >= make_timestamp_ns({minute})
        AND ts_recv < make_timestamp_ns({minute + MINUTE_NS})"""

    def day(answer: pa.Table) -> None:
        levels = sum(
            len(answer[side].combine_chunks().flatten()) for side in ("bids", "asks")
        )
        start = int(np.searchsorted(times, first))
        _must("rows", answer.num_rows, times.size - start)
        offsets = walk.day.offsets
        _must("levels", levels, int(offsets[-1] - offsets[start]))
        ids = answer["last_update_id"].to_numpy()
        _equal("ids", ids, walk.day.ids[start:])

    def one_minute(answer: pa.Table) -> None:
        found = dict(
            zip(answer["market"].to_pylist(), answer["n"].to_pylist(), strict=True)
        )
        expected = {}
        for number, each in enumerate(plan.names):
            at = plan.times(number)
            inside = (at >= minute) & (at < minute + MINUTE_NS)
            if inside.any():
                expected[each] = int(inside.sum())
        _must("rows of each market", found, expected)

    def candles(answer: pa.Table) -> None:
        mine = answer.filter(pa.array(np.array(answer["market"].to_pylist()) == name))
        starts = mine["minute"].cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
        order = np.argsort(starts)
        start = int(np.searchsorted(dealt, first))
        prices = walk.trades.prices[start:]
        of = dealt[start:] // MINUTE_NS * MINUTE_NS
        minutes, firsts = np.unique(of, return_index=True)
        lasts = [*firsts[1:], of.size]
        _equal("minutes", starts[order], minutes)
        for key, expected in (
            ("open", prices[firsts]),
            ("close", prices[np.array(lasts) - 1]),
            ("high", np.maximum.reduceat(prices, firsts)),
            ("low", np.minimum.reduceat(prices, firsts)),
        ):
            _equal(key, mine[key].to_numpy()[order], expected)
        total = np.add.reduceat(walk.trades.amounts[start:], firsts)
        volume = np.round(mine["volume"].to_numpy()[order], 3)
        _equal("volume", volume, np.round(total, 3))

    def as_of(answer: pa.Table) -> None:
        at = changes["ts_recv"].cast(pa.int64()).to_numpy()
        places = np.searchsorted(dealt, at, "right") - 1
        expected = np.where(places < 0, np.nan, walk.trades.prices[places])
        found = answer.sort_by("ts_recv")["last_price"].to_numpy()
        _equal("last prices", found, expected)

    return [
        Question(
            "one market's day of depth",
            f"""SELECT ts_recv, first_update_id, last_update_id, bids, asks
            FROM depth WHERE market = '{name}' AND date = '{date}'
            ORDER BY ts_recv""",
            day,
        ),
        Question(
            "one minute of all markets",
            f"""SELECT market, count(*) AS n, sum(len(bids) + len(asks)) AS levels
            FROM depth WHERE date = '{date}' AND {window} GROUP BY market""",
            one_minute,
        ),
        Question(
            "OHLCV by minute, all markets",
            f"""SELECT market, time_bucket(INTERVAL 1 MINUTE, ts_recv) AS minute,
            arg_min(price, (ts_recv, seq, idx)) AS open, max(price) AS high,
            min(price) AS low, arg_max(price, (ts_recv, seq, idx)) AS close,
            sum(amount) AS volume
            FROM trades WHERE date = '{date}' GROUP BY ALL""",
            candles,
        ),
        Question(
            "last trade at each BBO change",
            f"""SELECT b.ts_recv, t.price AS last_price
            FROM read_parquet('{path}') b ASOF LEFT JOIN
            (SELECT ts_recv, price FROM trades WHERE market = '{name}') t
            ON b.ts_recv >= t.ts_recv""",
            as_of,
        ),
    ]


def _changes(quotes: pa.Table) -> pa.Table:
    """Return the quotes that differ from the one before."""
    sides = ("bid_price", "bid_amount", "ask_price", "ask_amount")
    columns = np.column_stack([quotes[side].to_numpy() for side in sides])
    differs = np.ones(len(columns), np.bool_)
    differs[1:] = (columns[1:] != columns[:-1]).any(axis=1)
    return quotes.filter(pa.array(differs))


def _must(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise WrongAnswerError(f"{what}: {found} is not {expected}")


def _equal(what: str, found: Column, expected: Column) -> None:
    if not np.array_equal(found, expected, equal_nan=True):
        raise WrongAnswerError(f"{what} are not those of the store")


def _answer(store: Store, sql: str) -> pa.Table:
    answer = store.stream(sql)
    return pa.Table.from_batches(answer.batches, schema=answer.schema)


def _explained(store: Store, sql: str) -> Read:
    """Return how much was read, by EXPLAIN ANALYZE."""
    rows = store.sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}").fetchall()
    told: dict[str, Any] = msgspec.json.decode(rows[0][1])
    scans = [node for node in _nodes(told) if "PARQUET" in _function(node)]
    # Where all files are read, no word is said of those that are not.
    files = [_files(node["extra_info"]) for node in scans]
    asked = sum(node.get("total_row_groups_to_scan", 0) for node in scans)
    read = sum(node.get("row_groups_scanned", 0) for node in scans)
    scanned = sum(node.get("rows_scanned", 0) for node in scans)
    return Read(" + ".join(filter(None, files)), f"{read:,}/{asked:,}", f"{scanned:,}")


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    below = node.get("operator", []) + node.get("children", [])
    return [node, *(found for each in below for found in _nodes(each))]


def _function(node: dict[str, Any]) -> str:
    extra = node.get("extra_info") or {}
    return str(extra.get("Function", ""))


def _files(extra: dict[str, Any]) -> str:
    return str(extra.get("Scanning Files") or extra.get("Total Files Read", ""))
