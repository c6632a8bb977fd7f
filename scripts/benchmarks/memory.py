"""P6: memory of a capture over minutes at the full load of a venue.

The resident memory is read each second. The most of it in the last fifth of
the time is compared with the most in the first: minutes 9 and 10 of ten with
minutes 1 and 2.
"""

import argparse

from benchmarks import bars
from benchmarks.capturing import SETUP_SECONDS, Recorded, Setting
from benchmarks.made_frames import depth_load
from benchmarks.options import sized
from benchmarks.processes import serving
from benchmarks.report import Figure, Findings, spread, table
from benchmarks.wire import KEPT_UP, capture


PARTS = 5
FULL_MINUTES = 10.0
_BASE_FRAMES = 100_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's options."""
    parser.add_argument("--minutes", type=float, help="how long frames come")
    parser.add_argument("--rate", type=float, help="frames a second")
    parser.add_argument("--markets", type=int, help="that take turns")


def measure(given: argparse.Namespace) -> Findings:
    """Return P6.

    Raises:
        WrongAnswerError: If a row is not as it was sent, or a frame is missing
            of which nothing tells.
    """
    minutes = sized(given, "minutes", full=FULL_MINUTES, quick=0.02)
    rate = sized(given, "rate", full=25_000.0, quick=1_000.0)
    markets = int(sized(given, "markets", full=2_500, quick=10))
    base = 1_000 if given.quick else _BASE_FRAMES
    load = depth_load(base, markets=markets, seed=given.seed, is_cycle=True)
    with serving(base, markets, given.seed) as port:
        setting = Setting(
            port=port,
            markets=tuple(load.markets),
            pours=((int(rate * minutes * 60), rate),),
            seconds=minutes * 60 * 2 + SETUP_SECONDS,
            flush_seconds=0.2 if given.quick else 1.0,
        )
        run, found = capture(setting, load, given.folder)
    if not found.named:
        found.must_be_whole()
    sent = run.poured[0].frames / run.poured[0].seconds
    carried = found.stored / run.poured[0].seconds
    notes = [f"{minutes:g} minutes of {markets:,} markets at {sent:,.0f} frames/s"]
    if minutes != FULL_MINUTES:
        notes.append(f"the bar is defined on {FULL_MINUTES:g} minutes")
    if found.named or sent < KEPT_UP * rate:
        notes.append(
            f"this machine does not carry {rate:,.0f}/s: {carried:,.0f}/s were stored"
        )
    parts = _parts(run)
    return Findings(
        about="; ".join(notes),
        figures=[
            Figure(bars.P6A, spread([parts[-1] / parts[0]]), notes[0]),
            Figure(bars.P6B, spread([max(run.memory)]), "; ".join(notes[1:])),
        ],
        tables=[("Largest resident memory by fifths of the time", _table(parts, run))],
        compared=[
            "ids of every row, and levels of one in 997, with what was sent",
            f"{found.stored:,} rows and {found.named:,} drops with {found.sent:,} sent",
        ],
    )


def _parts(run: Recorded) -> list[float]:
    """Return the most of memory in each fifth of the time, MB."""
    size = max(1, len(run.memory) // PARTS)
    starts = [min(i * size, len(run.memory) - 1) for i in range(PARTS)]
    ends = [*starts[1:], len(run.memory)]
    return [
        max(run.memory[a : max(b, a + 1)]) for a, b in zip(starts, ends, strict=True)
    ]


def _table(parts: list[float], run: Recorded) -> str:
    cpu = run.cpu.total / run.poured[0].seconds
    head = [*(f"part {i + 1}, MB" for i in range(PARTS)), "peak of the process", "CPU"]
    return table(
        [head, [*(f"{part:.0f}" for part in parts), f"{run.peak:.0f}", f"{cpu:.0%}"]]
    )
