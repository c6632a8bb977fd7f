"""P4a and P4b: order books in bulk.

A synthetic day is replayed, and the best bid and offer read after each of
its messages: from an Arrow table in memory, and from a store on disk. The
peers do the same, hftbacktest with its own format on disk as well. What is
counted is CPU time, of all threads, in alternating runs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks import bars
from benchmarks.day_store import SOURCE, depth_table, write_store
from benchmarks.options import runs, sized
from benchmarks.peers import Peer, all_peers
from benchmarks.report import (
    Figure,
    Findings,
    WrongAnswerError,
    ratios,
    spread,
    table,
)
from benchmarks.synthetic import MARKET, STEP_NS, TICK, Day, make_day
from recorder.replay.ladder import Ladder
from recorder.replay.rows import depth_rows
from recorder.replay.sampling import bbo
from recorder.store.listing import open_listing


Quotes = npt.NDArray[np.float64]

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
HFTBACKTEST = "hftbacktest"
PLAIN = ("sortedcontainers", "order_book")
PLAIN_SHARE = 10
"""The plain peers are slow: they replay so small a part of the day."""

PLAIN_MESSAGES = 2_000
"""So many are replayed by dictionaries that are searched each time."""


class Seconds(NamedTuple):
    """CPU seconds of each run, in the order in which they alternated.

    Attributes:
        ours: By way, ``memory`` or ``disk``.
        theirs: The same of hftbacktest; empty without it.
        plain: Of each of the plain peers, for its part of the day.
    """

    ours: dict[str, list[float]]
    theirs: dict[str, list[float]]
    plain: dict[str, list[float]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--messages", type=int, help="of the day")


def measure(given: argparse.Namespace) -> Findings:
    """Return P4a and P4b.

    Raises:
        WrongAnswerError: If any two give different quotes.
    """
    messages = int(sized(given, "messages", full=500_000, quick=2_000))
    day = make_day(messages, given.seed)
    rows = depth_table(day)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        write_store(folder / "store", rows)
        ways = {
            "memory": lambda: _from_memory(rows),
            "disk": lambda: _from_disk(folder / "store"),
        }
        quotes = {way: replay() for way, replay in ways.items()}
        if not np.array_equal(quotes["memory"], quotes["disk"]):
            raise WrongAnswerError("memory and disk give different quotes")
        ours = quotes["memory"]
        start = day.first(min(messages, PLAIN_MESSAGES))
        _must_be_equal(ours[: start.ids.size], _plainly(start), "plain dictionaries")
        part = day.first(messages // PLAIN_SHARE)
        wanted = {} if given.no_peers else _peers(folder, day, part)
        with all_peers(wanted) as peers:
            compared = _compare(folder, ours, list(peers.running))
            seconds = _alternate(runs(given, 7), ways, peers.running)
    absent = peers.absent
    if given.no_peers:
        absent = dict.fromkeys((HFTBACKTEST, *PLAIN), "left out")
    low, high = day.span
    return Findings(
        about=(
            f"{messages:,} messages, {day.changes:,} level changes, "
            f"{day.offsets[1]:,} resting levels, prices over {high - low:,} ticks"
        ),
        figures=[
            Figure(bar, ratios(theirs, seconds.ours[way]))
            if (theirs := seconds.theirs[way])
            else Figure(bar, None, f"{HFTBACKTEST}: {absent.get(HFTBACKTEST)}")
            for bar, way in ((bars.P4A, "memory"), (bars.P4B, "disk"))
        ],
        tables=[
            (
                "Level changes, million a CPU second",
                _table(day, part, seconds, absent),
            )
        ],
        compared=[
            "quotes from memory and from disk",
            f"those of the first {start.ids.size:,} messages with plain dictionaries",
            *compared,
        ],
    )


def _from_memory(rows: pa.Table) -> Quotes:
    quoted = Ladder().follow(depth_rows(rows))
    return np.column_stack([quoted.bid_price, quoted.ask_price])


def _from_disk(root: Path) -> Quotes:
    found = bbo(open_listing(root), source=SOURCE, market=MARKET)
    return np.column_stack([found["bid_price"], found["ask_price"]])


def _must_be_equal(ours: Quotes, theirs: Quotes, whose: str) -> None:
    """Raise `WrongAnswerError` if quotes differ by as much as part of a tick."""
    if ours.shape != theirs.shape:
        raise WrongAnswerError(f"{whose}: {len(theirs)} quotes, not {len(ours)}")
    worst = float(np.abs(theirs - ours).max(initial=0.0))
    if not worst <= TICK / 1000:
        raise WrongAnswerError(f"{whose}: quotes differ by {worst}")


def _peers(
    folder: Path, day: Day, part: Day
) -> dict[str, tuple[str, Sequence[object]]]:
    """Write what peers read; return what to tell them."""
    events = folder / "events.npz"
    np.savez_compressed(events, data=_peer_events(day))
    low, high = day.span
    arguments = [
        *("--events", events),
        *("--quotes", folder / "quotes.npy"),
        *("--messages", day.ids.size - 1),
        *("--step", STEP_NS),
        *("--tick", TICK),
        *("--lot", 0.001),
        *("--lowest", (low - 10) * TICK),
        *("--highest", (high + 10) * TICK),
    ]
    columns = {
        "sides": part.is_bid.astype(np.int8),
        "prices": part.prices(),
        "amounts": part.amounts(),
        "offsets": part.offsets,
    }
    for name, column in columns.items():
        (folder / name).write_bytes(column.tobytes())
    plain = {name: ("peer_books", [name, "--folder", folder]) for name in PLAIN}
    return {HFTBACKTEST: ("peer_hftbacktest", arguments), **plain}


def _plainly(day: Day) -> Quotes:
    """Return the quotes of dictionaries that are searched after each message."""
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    prices, amounts = day.prices().tolist(), day.amounts().tolist()
    quotes = []
    for start, stop in pairwise(day.offsets.tolist()):
        for i in range(start, stop):
            side = sides[0] if day.is_bid[i] else sides[1]
            if amounts[i]:
                side[prices[i]] = amounts[i]
            else:
                side.pop(prices[i], None)
        quotes.append((max(sides[0]), min(sides[1])))
    return np.array(quotes)


def _compare(folder: Path, ours: Quotes, names: Sequence[str]) -> list[str]:
    """Hold the quotes of peers to ours; return what was done."""
    for name in names:
        if name == HFTBACKTEST:
            # Its clock starts with the snapshot, so its first quote is that of the
            # first update; where its events end, it has none for the last of them.
            theirs = np.load(folder / "quotes.npy")
            has_any = ~np.isnan(theirs[:, 0])
            if has_any.sum() < len(theirs) - 2:
                raise WrongAnswerError(f"{name} has too few quotes")
            _must_be_equal(ours[1:][has_any], theirs[has_any], name)
        else:
            theirs = np.fromfile(folder / f"quotes-{name}").reshape(-1, 2)
            _must_be_equal(ours[: len(theirs)], theirs, name)
    return [f"those of {', '.join(names)}"] if names else []


def _alternate(
    count: int, ways: dict[str, Callable[[], object]], peers: dict[str, Peer]
) -> Seconds:
    seconds = Seconds(
        {way: [] for way in ways},
        {way: [] for way in ways},
        {name: [] for name in peers if name in PLAIN},
    )
    for _ in range(count):
        for way, replay in ways.items():
            began = time.process_time()
            replay()
            seconds.ours[way].append(time.process_time() - began)
            if HFTBACKTEST in peers:
                seconds.theirs[way].append(peers[HFTBACKTEST].ask(way))
        for name, theirs in seconds.plain.items():
            theirs.append(peers[name].ask())
    return seconds


def _peer_events(day: Day) -> npt.NDArray[np.void]:
    events = np.zeros(day.ticks.size, PEER_EVENT)
    events["ev"] = DEPTH_EVENT | EXCH | LOCAL | np.where(day.is_bid, BUY, SELL)
    times = np.repeat(day.times(), np.diff(day.offsets))
    events["exch_ts"] = events["local_ts"] = times
    events["px"] = day.prices()
    events["qty"] = day.amounts()
    return events


def _table(day: Day, part: Day, seconds: Seconds, absent: dict[str, str]) -> str:
    def rate(changes: int, taken: list[float]) -> str:
        rates = [changes / one / 1e6 for one in taken]
        return spread(rates).text(1) if rates else "-"

    rows = [["", "from memory", "from disk (zstd Parquet / npz)"]]
    for name, taken in (("recorder", seconds.ours), (HFTBACKTEST, seconds.theirs)):
        if name not in absent:
            rows.append([name, *(rate(day.changes, taken[x]) for x in taken)])
    for name, plain in seconds.plain.items():
        rows.append([name, rate(int(part.offsets[-1]), plain), ""])
    lines = [f"Not measured: {name}, {why}." for name, why in absent.items()]
    return "\n".join([table(rows), *lines])
