"""What benchmarks find out, and how it is told: tables in plain text."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple


PACKAGES = ("aiohttp", "msgspec", "pyarrow", "duckdb", "numpy", "numba", "click")


class Spread(NamedTuple):
    """Several runs of the same: the middle one, and how far apart they are."""

    middle: float
    low: float
    high: float

    def text(self, digits: int = 2) -> str:
        """Return ``middle (low-high)``."""
        middle, low, high = (f"{value:.{digits}f}" for value in self)
        return f"{middle} ({low}-{high})"


class Bar(NamedTuple):
    """What a figure is to reach.

    Attributes:
        name: ``P1``.
        meaning: What it is, with its unit if it is no ratio.
        bar: What it must reach.
        goal: What it is to reach beyond that; None if there is no more to reach.
        is_least: Whether it is to be as large as that at least, not at most.
        digits: Digits shown after the point.
    """

    name: str
    meaning: str
    bar: float
    goal: float | None
    is_least: bool = False
    digits: int = 2

    def text(self, value: float | None) -> str:
        """Return the bar, or the goal, in words."""
        sign = ">=" if self.is_least else "<="
        return "" if value is None else f"{sign} {value:g}"

    def reaches(self, value: float, wanted: float) -> bool:
        """Return whether a value is as good as wanted."""
        return value >= wanted if self.is_least else value <= wanted


class Figure(NamedTuple):
    """A figure as it was measured.

    Attributes:
        bar: What it is to reach.
        value: What it is; None if it was not measured.
        note: Why not, or how.
    """

    bar: Bar
    value: Spread | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """What is reached, in words."""
        if self.value is None:
            return "not measured"
        middle = self.value.middle
        if self.bar.goal is not None and self.bar.reaches(middle, self.bar.goal):
            return "goal reached"
        return "bar reached" if self.bar.reaches(middle, self.bar.bar) else "MISSED"


class Findings(NamedTuple):
    """What a subcommand found out.

    Attributes:
        about: What was measured, a line or two.
        figures: Those that have a bar.
        tables: More of it: a heading and a table each.
        compared: What was found equal before a time counted.
    """

    about: str
    figures: list[Figure]
    tables: list[tuple[str, str]]
    compared: list[str]

    def text(self) -> str:
        """Return all of it."""
        parts = [self.about]
        parts += [f"{heading}\n\n{rows}" for heading, rows in self.tables]
        parts += ["\n".join(f"Compared: {what}." for what in self.compared)]
        if self.figures:
            parts.append(figures(self.figures))
        return "\n\n".join(part for part in parts if part)


class WrongAnswerError(Exception):
    """What was computed is not what it must be: its time does not count."""


def spread(values: Sequence[float]) -> Spread:
    """Return the median, the least and the greatest of some values."""
    return Spread(median(values), min(values), max(values))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the ratio of runs that alternated, each with its neighbour.

    What the machine does to one run it mostly does to the next as well.
    """
    return spread([a / b for a, b in zip(numerators, denominators, strict=True)])


def micros(seconds: Sequence[float], count: int) -> str:
    """Return what each of many things took, microseconds."""
    return spread([value / count * 1e6 for value in seconds]).text()


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text, the first one as headers, columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def figures(measured: Sequence[Figure]) -> str:
    """Return the table of figures that have a bar."""
    cells = [("", "figure", "median (least-most)", "bar", "goal", "", "")]
    for figure in measured:
        bar, value = figure.bar, figure.value
        shown = "-" if value is None else value.text(bar.digits)
        limits = (bar.text(bar.bar), bar.text(bar.goal))
        cells.append(
            (bar.name, bar.meaning, shown, *limits, figure.verdict, figure.note)
        )
    return table(cells)


def machine() -> str:
    """Return what a measurement was made on, one line."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in cpus if "model name" in line]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    cpu = f"{len(models)} x {models[0]}" if models else platform.machine()
    system = f"{platform.system()} {platform.machine()}"
    return f"{cpu}, {system}; Python {platform.python_version()}, {versions}"
