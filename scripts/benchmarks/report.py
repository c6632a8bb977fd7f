"""What benchmarks print: a table in plain text, and what it was measured on."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """Several runs of the same: the middle one, and how far apart they are."""

    middle: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        """Return ``middle (low-high)``."""
        return (
            f"{self.middle:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"
        )


def spread(values: Sequence[float]) -> Spread:
    """Return the median, the least and the greatest of some values."""
    return Spread(median(values), min(values), max(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the ratio of runs that alternated, each with its neighbour.

    What the machine does to one run it mostly does to the next as well.
    """
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text, the first one as headers, columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def figures(rows: Sequence[tuple[str, str, Spread, float, float]]) -> str:
    """Return the table of figures that have a bar to keep under.

    Args:
        rows: Name, meaning, measured, bar, goal; less is better.
    """
    cells = [("", "figure", "median (least-most)", "bar", "goal", "")]
    cells += [
        (name, meaning, measured.text(), f"<= {bar:g}", f"<= {goal:g}", verdict)
        for name, meaning, measured, bar, goal in rows
        for verdict in [_verdict(measured.middle, bar, goal)]
    ]
    return table(cells)


def machine() -> str:
    """Return what a measurement was made on, one line."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpus if "model name" in line]
    packages = ("aiohttp", "msgspec", "pyarrow", "numpy", "numba")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cpu = f"{len(models)} x {models[0]}" if models else platform.machine()
    return f"{cpu}; Python {platform.python_version()}, {versions}"


def _verdict(value: float, bar: float, goal: float) -> str:
    if value <= goal:
        return "goal reached"
    return "bar reached" if value <= bar else "MISSED"
