"""`scripts/bench ingest`: P1 and P2, from frames to Arrow and to Parquet."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import to_arrow, to_parquet
from benchmarks.frames import Load, depth_load, recorded_load, trade_load
from benchmarks.report import Spread, figures, machine, ratios, spread, table


RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "recordings"
"""Real recordings, which lie beside the checkout where they are at all."""

P1 = ("P1", "bytes to Arrow batch / typed decode, depth", 2.0, 1.5)
P2 = ("P2", "socket to closed Parquet / receive and drop", 6.0, 4.0)


def main(argv: Sequence[str]) -> int:
    """Measure and print; return the exit code."""
    given = _parser().parse_args(argv)
    rate = given.rate or None
    print(machine())
    load = depth_load(given.frames, markets=given.markets, seed=given.seed)
    print(_about(load, given.runs))
    trades = trade_load(given.frames, markets=given.markets, seed=given.seed)
    real = recorded_load(given.recordings, given.frames)

    depth_costs = to_arrow.measure(load, "depth:100ms", given.runs)
    loads = [("made-up depth", load, depth_costs)]
    if real is not None:
        costs = to_arrow.measure(real, "depth:100ms", given.runs)
        loads.append(("recorded depth", real, costs))
    costs = to_arrow.measure(trades, "trades", given.runs)
    loads.append(("made-up trades", trades, costs))
    try:
        whole = to_parquet.measure(
            load, seed=given.seed, rate=rate, runs=given.runs, folder=given.folder
        )
    except RuntimeError as error:
        print(f"P2 was not measured: {error}", file=sys.stderr)
        return 1

    print(f"\nBytes to Arrow batch, CPU us a frame, {to_arrow.FLUSH_FRAMES} a flush\n")
    print(_stages(loads))
    pace = f"{rate:,.0f} frames a second" if rate else "as fast as they are read"
    print(f"\nSocket to closed Parquet, CPU us a frame, {pace}\n")
    print(_parts(whole, given.frames))
    print()
    ours = [run.cpu.total for run in whole.ours]
    bare = [cpu.total for cpu in whole.bare]
    measured = (ratios(depth_costs.ours, depth_costs.bare), ratios(ours, bare))
    rows = [
        (name, meaning, value, bar, goal)
        for (name, meaning, bar, goal), value in zip((P1, P2), measured, strict=True)
    ]
    print(figures(rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench ingest",
        description="Print P1 and P2: ratios of CPU time, medians of alternating runs.",
    )
    parser.add_argument("--frames", type=int, default=200_000, help="in each run")
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    parser.add_argument("--markets", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rate",
        type=float,
        default=25_000.0,
        help="frames a second for P2; 0 for as fast as they are read",
    )
    parser.add_argument("--folder", type=Path, help="where stores are made for P2")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS)
    return parser


def _about(load: Load, runs: int) -> str:
    count = len(load.frames)
    size = sum(map(len, load.frames)) / count
    levels = sum(frame.count(b'["') for frame in load.frames) / count
    return (
        f"{count:,} depth frames of {len(load.markets)} markets, {size:.0f} bytes and "
        f"{levels:.1f} levels on average; {runs} runs, gc as a capture has it"
    )


def _stages(loads: Sequence[tuple[str, Load, to_arrow.Costs]]) -> str:
    rows = [
        ["frames", "typed decode", "ours", "= decode", "+ session", "+ build", "ratio"]
    ]
    for name, load, costs in loads:
        per_run = zip(costs.ours, costs.decode, costs.build, strict=True)
        session = [ours - decode - build for ours, decode, build in per_run]
        parts = (costs.bare, costs.ours, costs.decode, session, costs.build)
        micros = [_micros(part, len(load.frames)).text() for part in parts]
        rows.append([name, *micros, ratios(costs.ours, costs.bare).text()])
    return table(rows)


def _parts(costs: to_parquet.Costs, frames: int) -> str:
    parts = {
        "receive and drop": [cpu.total for cpu in costs.bare],
        "recorder": [run.cpu.total for run in costs.ours],
        "= while recording, event loop": [
            run.cpu.loop - run.closing.loop for run in costs.ours
        ],
        "+ while recording, writer": [
            _writer(run.cpu) - _writer(run.closing) for run in costs.ours
        ],
        "+ closing: rotation to Parquet": [run.closing.total for run in costs.ours],
    }
    return table(
        [
            ["process", "us a frame"],
            *([name, _micros(part, frames).text()] for name, part in parts.items()),
        ]
    )


def _writer(cpu: to_parquet.Cpu) -> float:
    return cpu.total - cpu.loop


def _micros(seconds: Sequence[float], frames: int) -> Spread:
    return spread([value / frames * 1e6 for value in seconds])
