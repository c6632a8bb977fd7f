"""What the histories of Gate's feeds have in common."""

from typing import Final

from recorder.sources._gate import INTERVAL_SECONDS
from recorder.sources._times import SECOND_NS


POINTS_AGO: Final = 10_000
"""So many points back candlesticks are told by HTTP."""


def seconds(ns: int | None) -> str:
    """Return a time as whole seconds, as calls by HTTP want it."""
    return str((ns or 0) // SECOND_NS)


def step_of(interval: str) -> int | None:
    """Return the length of an interval, nanoseconds; None if it is not known."""
    length = INTERVAL_SECONDS.get(interval)
    return None if length is None else length * SECOND_NS


def points_ago(step_ns: int | None) -> int | None:
    """Return how far back candlesticks of a length are told, nanoseconds."""
    # One is just beginning while it is asked.
    return None if step_ns is None else (POINTS_AGO - 1) * step_ns
