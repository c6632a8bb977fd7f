"""Does each instant of a chain lie in coverage or in a gap of rows, and in one?"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple


FOREVER: Final = (1 << 63) - 1
"""Where what is open ends."""


class Span(NamedTuple):
    """What the ledger says of some time of a chain.

    Attributes:
        start: First instant.
        end: First instant after.
        what: ``coverage``, or the reason of a gap.
        id: Names it in messages.
        ends_listing: Whether a run that does not record the chain ended it:
            then the next span may begin at any later time.
    """

    start: int
    end: int
    what: str
    id: str
    ends_listing: bool = False

    @property
    def is_covered(self) -> bool:
        """Whether it is an interval of coverage."""
        return self.what == "coverage"


class Fault(NamedTuple):
    """An instant or more that is told wrongly.

    Attributes:
        kind: As in `recorder.verify.findings.KINDS`.
        start: First instant.
        end: First instant after.
        detail: What says so.
    """

    kind: Literal["untold_time", "coverage_in_gap", "covered_twice", "missed_twice"]
    start: int
    end: int
    detail: str


def audit(spans: Iterable[Span]) -> list[Fault]:
    """Return the instants that are told not at all, or twice.

    From the first span on to the last; those without a length tell no time.
    """
    ordered = sorted(span for span in spans if span.start < span.end)
    return [*_holes(ordered), *_overlaps(ordered)]


def ends(spans: Iterable[Span]) -> bool:
    """Return whether the ledger stops to speak of a chain that it should go on with."""
    last = max(spans, key=lambda span: span.end, default=None)
    return last is not None and last.end != FOREVER and not last.ends_listing


def _holes(ordered: Sequence[Span]) -> list[Fault]:
    faults = []
    reached: Span | None = None
    for span in ordered:
        if (
            reached is not None
            and span.start > reached.end
            and not reached.ends_listing
        ):
            detail = f"after {_named(reached)} and before {_named(span)}"
            faults.append(Fault("untold_time", reached.end, span.start, detail))
        if reached is None or span.end > reached.end:
            reached = span
    return faults


def _overlaps(ordered: Sequence[Span]) -> list[Fault]:
    faults = []
    reached: Span | None = None
    for span in ordered:
        if reached is not None and span.start < reached.end:
            end = min(reached.end, span.end)
            detail = f"{_named(reached)} and {_named(span)}"
            faults.append(Fault(_kind(reached, span), span.start, end, detail))
        if reached is None or span.end > reached.end:
            reached = span
    return faults


def _kind(
    one: Span, other: Span
) -> Literal["coverage_in_gap", "covered_twice", "missed_twice"]:
    if one.is_covered and other.is_covered:
        return "covered_twice"
    return "coverage_in_gap" if one.is_covered or other.is_covered else "missed_twice"


def _named(span: Span) -> str:
    return span.what if span.is_covered else f"gap {span.id} ({span.what})"
