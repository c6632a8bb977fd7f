"""`scripts/bench replay`: P4a and P4b, order books in bulk.

A synthetic day is replayed, and the best bid and offer read after each of
its messages: from an Arrow table in memory, and from a store on disk. The
peer does the same with its own format, if an environment that has it is
named. What is counted is CPU time, of all threads, in alternating runs.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.report import Spread, machine, ratios, spread, table
from benchmarks.synthetic import MARKET, START_NS, STEP_NS, STREAM, TICK, Day, make_day
from recorder.model import Coverage
from recorder.replay.ladder import Ladder
from recorder.replay.rows import depth_rows
from recorder.replay.sampling import bbo
from recorder.store.batch import build
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.listing import open_listing
from recorder.store.segment import write_segment
from recorder.store.tables import LEVEL, LEVELS, TABLES


PEER = Path(__file__).parent / "peer_hftbacktest.py"
SOURCE = "bench"
RUN = "20231115T000000-abcdef"
SEGMENT_MESSAGES = 9_000  # a quarter of an hour

P4A = ("P4a", "memory to BBO of every message / peer", 3.0, 5.0)
P4B = ("P4b", "disk to BBO of every message / peer", 4.0, 6.0)

PEER_EVENT = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
DEPTH_EVENT, EXCH, LOCAL, BUY, SELL = 1, 1 << 31, 1 << 30, 1 << 29, 1 << 28


class Seconds(NamedTuple):
    """CPU seconds of each run, in the order in which they alternated."""

    memory: list[float]
    disk: list[float]


def main(argv: Sequence[str]) -> int:
    """Measure and print; return the exit code."""
    given = _parser().parse_args(argv)
    print(machine())
    day = make_day(given.messages, given.seed)
    low, high = day.span
    print(
        f"{given.messages:,} messages, {day.changes:,} level changes, "
        f"{day.offsets[1]:,} resting levels, prices over {high - low:,} ticks; "
        f"{given.runs} runs"
    )
    rows = _depth_table(day)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        _write_store(folder / "store", rows)
        ways = {
            "memory": lambda: _from_memory(rows),
            "disk": lambda: _from_disk(folder / "store"),
        }
        quotes = {way: replay() for way, replay in ways.items()}
        if not np.array_equal(quotes["memory"], quotes["disk"]):
            print("memory and disk give different quotes", file=sys.stderr)
            return 1
        ours, theirs = Seconds([], []), Seconds([], [])
        if given.peer_python is None:
            _alternate(given.runs, ways, ours, None, theirs)
        else:
            with _peer(given.peer_python, folder, day) as peer:
                worst = _difference(folder / "quotes.npy", quotes["memory"])
                if worst > TICK / 1000:
                    print(f"the peer's quotes differ by {worst}", file=sys.stderr)
                    return 1
                _alternate(given.runs, ways, ours, peer, theirs)
    print(_report(day.changes, ours, theirs))
    if not theirs.memory:
        print("\nThe peer was not measured: give --peer-python, see --help.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench replay",
        description=(
            "Print P4a and P4b: level changes a second by CPU time, medians of "
            "alternating runs. The peer is measured if --peer-python names the "
            "Python of an environment made for it: "
            "python -m venv DIR && DIR/bin/pip install hftbacktest==2.4.4"
        ),
    )
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--runs", type=int, default=7, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the store is made")
    parser.add_argument("--peer-python", type=Path, help="a Python with hftbacktest")
    return parser


def _from_memory(rows: pa.Table) -> npt.NDArray[np.float64]:
    quoted = Ladder().follow(depth_rows(rows))
    return np.column_stack([quoted.bid_price, quoted.ask_price])


def _from_disk(root: Path) -> npt.NDArray[np.float64]:
    found = bbo(open_listing(root), source=SOURCE, market=MARKET)
    return np.column_stack([found["bid_price"], found["ask_price"]])


def _alternate(
    runs: int,
    ways: dict[str, Callable[[], object]],
    ours: Seconds,
    peer: subprocess.Popen[str] | None,
    theirs: Seconds,
) -> None:
    for _ in range(runs):
        for way, replay in ways.items():
            began = time.process_time()
            replay()
            getattr(ours, way).append(time.process_time() - began)
            if peer is not None:
                getattr(theirs, way).append(_ask(peer, way))


def _ask(peer: subprocess.Popen[str], way: str) -> float:
    assert peer.stdin is not None
    peer.stdin.write(f"{way}\n")
    peer.stdin.flush()
    return sum(map(float, _answer(peer).split()))


def _answer(peer: subprocess.Popen[str]) -> str:
    assert peer.stdout is not None
    while line := peer.stdout.readline():
        if line.strip():
            return line
    raise SystemExit("the peer ended without an answer")


@contextmanager
def _peer(python: Path, folder: Path, day: Day) -> Iterator[subprocess.Popen[str]]:
    events = folder / "events.npz"
    np.savez_compressed(events, data=_peer_events(day))
    low, high = day.span
    command = [
        *(python, PEER),
        *("--events", events),
        *("--quotes", folder / "quotes.npy"),
        *("--messages", day.ids.size - 1),
        *("--step", STEP_NS),
        *("--tick", TICK),
        *("--lot", 0.001),
        *("--lowest", (low - 10) * TICK),
        *("--highest", (high + 10) * TICK),
    ]
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as peer:
        _answer(peer)
        yield peer


def _difference(path: Path, ours: npt.NDArray[np.float64]) -> float:
    """Return by how much the peer's quotes differ from ours at most.

    Its clock starts with the snapshot, so its first quote is that of the
    first update; where its events end, it has none for the last of them.
    """
    theirs = np.load(path)
    has_any = ~np.isnan(theirs[:, 0])
    if has_any.sum() < len(theirs) - 2:
        return float("inf")
    return float(np.abs(theirs - ours[1:])[has_any].max())


def _peer_events(day: Day) -> npt.NDArray[np.void]:
    events = np.zeros(day.ticks.size, PEER_EVENT)
    events["ev"] = DEPTH_EVENT | EXCH | LOCAL | np.where(day.is_bid, BUY, SELL)
    times = np.repeat(day.times(), np.diff(day.offsets))
    events["exch_ts"] = events["local_ts"] = times
    events["px"] = day.prices()
    events["qty"] = day.amounts()
    return events


def _depth_table(day: Day) -> pa.Table:
    """Return the day as rows of the table ``depth``."""
    count = day.ids.size
    is_image = np.arange(count) == 0
    times = pa.array(day.times(), pa.timestamp("ns"))
    firsts = np.concatenate([[0], day.ids[:-1] + 1])

    def same(text: str) -> pa.DictionaryArray:
        codes = pa.array(np.zeros(count, np.int32))
        return pa.DictionaryArray.from_arrays(codes, [text])

    columns = {
        "ts_recv": times,
        "ts_event": times,
        "market": same(MARKET),
        "conn": same(f"{RUN}.0"),
        "seq": pa.array(np.arange(count, dtype=np.int64)),
        "idx": pa.array(np.zeros(count, np.int16)),
        "stream": same(STREAM),
        "is_snapshot": pa.array(is_image),
        "first_update_id": pa.array(firsts, mask=is_image),
        "last_update_id": pa.array(day.ids),
        "bids": _side(day, day.is_bid),
        "asks": _side(day, ~day.is_bid),
        "depth_limit": pa.array(np.full(count, 500, np.int32)),
        "origin": same("live"),
    }
    schema = TABLES["depth"].schema
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _side(day: Day, mine: npt.NDArray[np.bool_]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(mine)])[day.offsets]
    columns = [pa.array(day.prices()[mine]), pa.array(day.amounts()[mine])]
    levels = pa.StructArray.from_arrays(columns, fields=list(LEVEL))
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), levels, type=LEVELS
    )


def _write_store(root: Path, rows: pa.Table) -> None:
    for number, start in enumerate(range(0, rows.num_rows, SEGMENT_MESSAGES)):
        first = START_NS + start * STEP_NS
        partition = Partition("depth", SOURCE, date_of(first))
        part = rows.slice(start, SEGMENT_MESSAGES)
        write_segment(root, partition, Stem(first, RUN, number), part)
    covered = Coverage(
        market=MARKET,
        stream=STREAM,
        job=SOURCE,
        started_at=START_NS,
        ended_at=START_NS + rows.num_rows * STEP_NS,
        closed_by="stop",
    )
    end = covered.ended_at
    ledger = build(TABLES["coverage"], [(end, f"{RUN}.ledger", 0, 0, covered, None)])
    write_segment(
        root,
        Partition("coverage", SOURCE, date_of(end)),
        Stem(end, RUN, 0),
        pa.Table.from_batches([ledger.batch]),
    )


def _report(changes: int, ours: Seconds, theirs: Seconds) -> str:
    lines = [["level changes, M a CPU second", "recorder", "peer"]]
    for way, name in (
        ("memory", "from memory"),
        ("disk", "from disk (zstd Parquet / npz)"),
    ):
        rates = [
            spread([changes / second / 1e6 for second in seconds]).text(1)
            if seconds
            else "-"
            for seconds in (getattr(ours, way), getattr(theirs, way))
        ]
        lines.append([name, *rates])
    text = "\n" + table(lines)
    if not theirs.memory:
        return text
    cells = [["", "figure", "median (least-most)", "bar", "goal", ""]]
    for (name, meaning, bar, goal), way in ((P4A, "memory"), (P4B, "disk")):
        times = ratios(getattr(theirs, way), getattr(ours, way))
        verdict = _verdict(times, bar, goal)
        cells.append(
            [name, meaning, times.text(), f">= {bar:g}", f">= {goal:g}", verdict]
        )
    return f"{text}\n\n{table(cells)}"


def _verdict(times: Spread, bar: float, goal: float) -> str:
    if times.middle >= goal:
        return "goal reached"
    return "bar reached" if times.middle >= bar else "MISSED"
