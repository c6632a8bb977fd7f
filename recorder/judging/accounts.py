"""Do covered time and gaps of rows add up to wall time, chain by chain?

No instant may be in neither, and none in both. From the first instant that
the ledger speaks of a chain, which is no later than its first row, to the
gap that is still open because nobody records any more.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from recorder.judging.evidence import Evidence, end_of, said
from recorder.judging.lives import FOREVER
from recorder.model import Chain


LEDGER_IS_EXACT: Final = True
"""Whether gaps that are only found out later, of one chain or of all, must be
cut out of coverage, and not lie on top of it."""

FOUND_LATER: Final = frozenset(
    {"sequence_gap", "undecodable", "backpressure", "disk_full"}
)
"""Reasons of gaps that are over when they are found out."""


class AccountVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one chain.

    Attributes:
        source: Name of the feed.
        chain: The chain.
        covered_ns: Covered time.
        missing_ns: Gaps of rows, the last, open one left out.
        complaints: What is wrong, in words.
    """

    source: str
    chain: Chain
    covered_ns: int
    missing_ns: int
    complaints: tuple[str, ...] = ()


class _Span(NamedTuple):
    start: int
    end: int
    what: str
    is_late: bool


def judge_accounts(
    evidence: Evidence, *, is_exact: bool = LEDGER_IS_EXACT
) -> list[AccountVerdict]:
    """Judge the accounts of all chains of a source.

    Args:
        evidence: What both sides say.
        is_exact: Whether gaps found out later must be carved out of coverage.
    """
    return [_judge(evidence, chain, is_exact=is_exact) for chain in evidence.chains]


def _judge(evidence: Evidence, chain: Chain, *, is_exact: bool) -> AccountVerdict:
    covered = [
        _Span(c.started_at, c.ended_at, "coverage", is_late=False)
        for c in evidence.coverage
        if c.chain == chain
    ]
    gaps = [
        _Span(gap.started_at, end_of(gap), gap.reason, gap.reason in FOUND_LATER)
        for gap in evidence.gaps_of(chain, "rows")
    ]
    about = f"{evidence.source} {chain.market} {chain.stream}"
    complaints = []
    rows = evidence.stored.get(chain, [])
    spans = sorted(span for span in [*covered, *gaps] if span.start < span.end)
    if not covered:
        complaints.append(f"{about}: nothing is covered")
    if not spans or (rows and spans[0].start > rows[0].ts_recv):
        complaints.append(f"{about}: the ledger begins after the first row")
    if spans and max(span.end for span in spans) != FOREVER:
        complaints.append(f"{about}: no gap is open although nobody records any more")
    for what, found in (
        ("instants are neither covered nor in a gap", _holes(spans)),
        ("instants are told twice", _overlaps(spans, is_exact=is_exact)),
    ):
        if found:
            complaints.append(f"{about}: {len(found)} times {what}: {said(found)}")
    return AccountVerdict(
        source=evidence.source,
        chain=chain,
        covered_ns=sum(span.end - span.start for span in covered),
        missing_ns=sum(s.end - s.start for s in gaps if s.end != FOREVER),
        complaints=tuple(complaints),
    )


def _holes(spans: Sequence[_Span]) -> list[str]:
    holes = []
    reached = spans[0].start if spans else 0
    for span in spans:
        if span.start > reached:
            holes.append(f"{span.start - reached} ns from {reached} on")
        reached = max(reached, span.end)
    return holes


def _overlaps(spans: Sequence[_Span], *, is_exact: bool) -> list[str]:
    found = []
    reached: _Span | None = None
    for span in spans:
        if not is_exact and span.is_late:
            continue
        if reached is not None and span.start < reached.end:
            found.append(
                f"{reached.what} and {span.what}, "
                f"{min(reached.end, span.end) - span.start} ns from {span.start} on"
            )
        if reached is None or span.end > reached.end:
            reached = span
    return found
