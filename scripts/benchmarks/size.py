"""P7: how many bytes frames take on the disk.

Frames go the way of a capture, and their rows into one segment; the same
frames, a line each, are packed by gzip. Made-up ones and real ones; the real
ones once only, for what comes twice packs too well.
"""

import argparse
import gzip
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks import bars
from benchmarks.answers import told_by_frames, told_by_rows
from benchmarks.made_frames import Load, depth_load, trade_load
from benchmarks.options import sized
from benchmarks.recorded_frames import ABSENT, recorded_load
from benchmarks.report import Figure, Findings, spread, table
from benchmarks.to_arrow import SOURCE, rows_of
from recorder.store.layout import Partition, Stem, date_of, segment_path
from recorder.store.segment import write_segment


GZIP_LEVEL = 6
_RUN = "20260101T000000-abcdef"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--frames", type=int, help="in the segment")
    parser.add_argument("--markets", type=int, help="that take turns")


def measure(given: argparse.Namespace) -> Findings:
    """Return P7.

    Raises:
        WrongAnswerError: If the segment does not say what the frames say.
    """
    count = int(sized(given, "frames", full=200_000, quick=1_000))
    markets = int(sized(given, "markets", full=300, quick=10))
    made = depth_load(count, markets=markets, seed=given.seed)
    trades = trade_load(count, markets=markets, seed=given.seed)
    real = recorded_load(given.recordings, 0)
    loads = {
        "made-up depth": (made, "depth:100ms"),
        "made-up trades": (trades, "trades"),
    }
    if real is not None:
        loads["recorded depth, once"] = (real, "depth:100ms")
    rows = [("frames", "number", "JSON lines", "gzip -6", "Parquet", "ratio")]
    shares = {}
    for name, (load, stream) in loads.items():
        plain, packed, parquet = _bytes(load, stream, given.folder)
        number = len(load.frames)
        shares[name] = parquet / packed
        sizes = [f"{size / number:.1f}" for size in (plain, packed, parquet)]
        rows.append((name, f"{number:,}", *sizes, f"{shares[name]:.2f}"))
    return Findings(
        about=f"{count:,} made-up frames of {markets} markets",
        figures=[
            Figure(
                bars.P7,
                spread([shares["made-up depth"]]),
                "made-up depth; others: "
                + ", ".join(f"{n} {x:.2f}" for n, x in list(shares.items())[1:]),
            )
        ],
        tables=[
            (
                "Bytes of a frame",
                table(rows) + (f"\n\n{ABSENT}" if real is None else ""),
            )
        ],
        compared=["every row of the segments with the frames, decoded plainly"],
    )


def _bytes(load: Load, stream: str, folder: Path | None) -> tuple[int, int, int]:
    """Return the size of frames as they are, packed, and in a segment."""
    rows = rows_of(load, stream)
    name = stream.partition(":")[0]
    first = int(rows["ts_recv"][0].value)
    partition, stem = Partition(name, SOURCE, date_of(first)), Stem(first, _RUN, 0)
    with tempfile.TemporaryDirectory(dir=folder) as store:
        write_segment(Path(store), partition, stem, rows)
        path = segment_path(Path(store), partition, stem)
        size = path.stat().st_size
        stored = pq.ParquetFile(path).read().sort_by("seq")
    told = told_by_rows(stored, name)
    told_by_frames(load.frames, name).compare(told, "the segment")
    lines = b"\n".join(load.frames) + b"\n"
    return len(lines), len(gzip.compress(lines, GZIP_LEVEL)), size
