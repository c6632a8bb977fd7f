"""P1 and P3: what it costs to make the bytes of frames rows of Arrow batches.

Made-up frames of a venue's shape, and real ones looped. The recorder takes
turns with msgspec, which does nothing but decode them into typed objects, and
with cryptofeed's handler, which makes a dict of each.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from benchmarks import bars, to_arrow
from benchmarks.answers import Told, told_by_frames
from benchmarks.made_frames import Load, depth_load, trade_load
from benchmarks.options import runs, sized
from benchmarks.peers import AbsentPeerError, Peer, peer
from benchmarks.recorded_frames import ABSENT, recorded_load
from benchmarks.report import (
    Figure,
    Findings,
    WrongAnswerError,
    micros,
    ratios,
    table,
)


PEER = "cryptofeed"
PEER_SHARE = 4
"""The peer is slow: it handles so small a part of the frames."""


class _Kind(NamedTuple):
    """One kind of frames, and what they cost.

    Attributes:
        name: What they are.
        load: The frames.
        costs: Of each run.
        part: How many frames the peer was given.
    """

    name: str
    load: Load
    costs: to_arrow.Costs
    part: int

    def against_peer(self) -> list[float]:
        """What the peer's runs would have cost for all frames."""
        scale = len(self.load.frames) / self.part
        return [seconds * scale for seconds in self.costs.theirs]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--frames", type=int, help="in each run")
    parser.add_argument("--markets", type=int, help="that take turns")


def measure(given: argparse.Namespace) -> Findings:
    """Return P1 and P3.

    Raises:
        WrongAnswerError: If rows, or what the peer says, are not the frames.
    """
    count = int(sized(given, "frames", full=200_000, quick=1_000))
    markets = int(sized(given, "markets", full=300, quick=10))
    shape = {"markets": markets, "seed": given.seed}
    real = recorded_load(given.recordings, count)
    loads = [
        ("made-up depth", depth_load(count, **shape), "depth:100ms"),
        *([] if real is None else [("recorded depth", real, "depth:100ms")]),
        ("made-up trades", trade_load(count, **shape), "trades"),
    ]
    why_not = "left out" if given.no_peers else ""
    kinds = []
    for name, load, stream in loads:
        part = load._replace(frames=load.frames[: max(1, count // PEER_SHARE)])
        is_looped = load is real  # its books do not survive that, the peer needs them
        try:
            with _cryptofeed(part, absent=bool(why_not) or is_looped) as ask:
                costs = to_arrow.measure(load, stream, runs(given), ask)
        except AbsentPeerError as error:
            why_not = str(error)
            costs = to_arrow.measure(load, stream, runs(given))
        kinds.append(_Kind(name, load, costs, len(part.frames)))
    made = kinds[0]
    p3 = Figure(bars.P3, None, f"{PEER}: {why_not}")
    if made.costs.theirs:
        p3 = Figure(bars.P3, ratios(made.against_peer(), made.costs.ours))
    others = ", ".join(
        f"{kind.name} {ratios(kind.costs.ours, kind.costs.bare).middle:.2f}"
        for kind in kinds[1:]
    )
    compared = "rows of all frames with the frames, decoded plainly"
    also = f"; {PEER}'s dicts of {made.part:,} with the same" if p3.value else ""
    return Findings(
        about=_about(made.load, real),
        figures=[
            Figure(bars.P1, ratios(made.costs.ours, made.costs.bare), others),
            p3,
        ],
        tables=[
            (
                f"Bytes to Arrow batch, CPU us a frame, {len(made.costs.ours)} runs",
                _stages(kinds),
            )
        ],
        compared=[compared + also],
    )


@contextmanager
def _cryptofeed(load: Load, *, absent: bool) -> Iterator[Callable[[], float] | None]:
    """Yield what asks the peer for a run over these frames, held to them."""
    if absent:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "frames").write_bytes(b"\n".join(load.frames))
        books = {
            market: msgspec.json.decode(load.snapshot(number, 0)) if load.books else {}
            for number, market in enumerate(load.markets)
        }
        (folder / "books").write_bytes(msgspec.json.encode(books))
        arguments = [
            *("--frames", folder / "frames"),
            *("--books", folder / "books"),
            *("--told", folder / "told"),
        ]
        with peer(PEER, "peer_cryptofeed", arguments) as runs_:
            _compare(load, folder / "told")
            yield lambda: _ask(runs_)


def _ask(running: Peer) -> float:
    return running.ask("dicts")


def _compare(load: Load, path: Path) -> None:
    """Hold what the peer says to the frames.

    It leaves deleted levels out that it does not know, so they are not compared.
    """
    table_name = "depth" if load.books else "trades"
    told = told_by_frames(load.frames, table_name)
    markets = path.with_suffix(".markets").read_text().split("\n")
    values = np.fromfile(path.with_suffix(".values"))
    sizes = np.fromfile(path.with_suffix(".sizes"), np.int64)
    expected = told.values.reshape(-1, 2)
    if load.books:
        kept = expected[:, 1] > 0
        owner = np.repeat(np.arange(2 * len(markets)), told.numbers[:, 3:].ravel())
        counts = np.bincount(owner[kept], minlength=2 * len(markets))
        if not np.array_equal(counts, sizes):
            raise WrongAnswerError(f"{PEER} has levels of other sides")
        expected = expected[kept]
    nothing = np.zeros((0, 0), np.int64)
    Told(told.markets, nothing, expected.ravel()).compare(
        Told(markets, nothing, values), f"what {PEER} says"
    )


def _about(load: Load, real: Load | None) -> str:
    count = len(load.frames)
    size = sum(map(len, load.frames)) / count
    levels = sum(frame.count(b'["') for frame in load.frames) / count
    about = (
        f"{count:,} depth frames of {len(load.markets)} markets, {size:.0f} bytes and "
        f"{levels:.1f} levels on average, and as many trades"
    )
    return f"{about}; {ABSENT}" if real is None else about


def _stages(kinds: Sequence[_Kind]) -> str:
    rows = [
        ["frames", "bytes", "typed decode", "ours", "= session", "+ build", "ratio"]
    ]
    rows[0] += ["one by one: decode", PEER]
    for name, load, costs, part in kinds:
        count = len(load.frames)
        both = zip(costs.ours, costs.build, strict=True)
        session = [ours - build for ours, build in both]
        parts = (costs.bare, costs.ours, session, costs.build)
        size = sum(map(len, load.frames)) / count
        rows.append(
            [
                name,
                f"{size:.0f}",
                *(micros(one, count) for one in parts),
                ratios(costs.ours, costs.bare).text(),
                micros(costs.decode, count),
                micros(costs.theirs, part) if costs.theirs else "-",
            ]
        )
    return table(rows)
