"""Is every row that was pushed there once and unaltered, or in a gap of rows?

For all streams but trades, which are judged by the exchange's trades, and what
venues say of themselves, which is said again and again.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from recorder.judging.alignment import Alignment, Missing, align
from recorder.judging.evidence import (
    ENDS,
    FOUND_NS,
    Evidence,
    Stored,
    chain_of,
    is_rest,
    said,
    touches,
)
from recorder.judging.notices import notice_chains
from recorder.model import TAKEN_OVER, Chain, Gap
from recorder.simulator.truth import FaultDone


MARGIN_NS: Final = 250_000_000
"""Added to the longest way that a row of the source was seen to take."""

ALTERING: Final = ("crossed", "full", "unflagged_full")
"""Faults that alter a row for one connection, or make an image of the book of it."""

OF_FRAMES: Final = frozenset({"undecodable", "backpressure", "disk_full"})
"""Reasons of gaps that tell of frames."""

STORED_ONCE: Final = ("depth", "klines")
"""Tables in which what a second connection repeats is not stored again."""


class PushVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored rows of one chain compare with those pushed.

    Attributes:
        source: Name of the feed.
        chain: The chain.
        sent: Rows that were pushed.
        stored: Those of them that are stored as they were sent.
        repeated: Those that are there already, from another connection, and
            those of a run while another kept the account.
        in_gaps: Those that are not stored and lie in a gap that says so.
        complaints: What is wrong, in words.
    """

    source: str
    chain: Chain
    sent: int
    stored: int
    repeated: int
    in_gaps: int
    complaints: tuple[str, ...] = ()


def align_all(evidence: Evidence) -> dict[Chain, Alignment]:
    """Lay the chains of a source beside what was pushed.

    But for trades and for what venues say of themselves, which are judged apart.
    """
    apart = {chain for chain in evidence.chains if chain.stream == "trades"}
    apart.update(notice_chains(evidence))
    return {
        chain: align(evidence, chain) for chain in evidence.chains if chain not in apart
    }


def slack_of(
    evidence: Evidence,
    alignments: Mapping[Chain, Alignment],
    longest_way_ns: int = 0,
) -> int:
    """Return how much later than sent a row of this source may have come.

    Nanoseconds. Taken from the rows themselves: on a busy machine all of
    them take long.

    Args:
        evidence: What both sides say.
        alignments: Of `align_all`.
        longest_way_ns: The longest way of rows that are not among them.
    """
    ways = (a.longest_way_ns(evidence) for a in alignments.values())
    return MARGIN_NS + max(longest_way_ns, *ways, 0)


def judge_pushes(
    evidence: Evidence, alignments: Mapping[Chain, Alignment], slack_ns: int
) -> list[PushVerdict]:
    """Judge the chains that were aligned.

    Args:
        evidence: What both sides say.
        alignments: Of `align_all`.
        slack_ns: Of `slack_of`.
    """
    return [
        _judge(evidence, chain, alignment, slack_ns)
        for chain, alignment in alignments.items()
    ]


def _judge(
    evidence: Evidence, chain: Chain, alignment: Alignment, slack_ns: int
) -> PushVerdict:
    gaps = evidence.gaps_of(chain, "rows")
    is_stored_once = chain.stream.partition(":")[0] in STORED_ONCE
    altered = _altered(evidence, chain)
    delayed = [fault.ts_ns for fault in _faults(evidence, chain, "delay")]
    silenced = [fault.ts_ns for fault in _faults(evidence, chain, "silent_ack")]
    repeated: list[Missing] = []
    lost: list[Missing] = []
    for missing in alignment.missing:
        last = missing.last
        if last is None:
            last = max(missing.first, missing.sent_last)
            last = evidence.read_after(last) + slack_ns
        if any(
            touches(gap, missing.first, last)
            or _names(gap, missing)
            or _is_left(evidence, gap, missing, slack_ns)
            or _would_be_found(silenced, gap, missing)
            for gap in gaps
        ):
            continue
        place = missing.frame.conn, missing.first
        if not evidence.is_owed(*place, is_last=missing.last is None):
            repeated.append(missing)
            continue
        is_there = missing.content in alignment.contents
        if (
            alignment.has_twin(missing, delayed)
            or (_is_named(missing) and is_stored_once and is_there)
            or (_is_named(missing) and alignment.is_elsewhere(missing))
            or missing.frame.facts[0].get("last_update_id") in altered
        ):
            repeated.append(missing)
        else:
            lost.append(missing)
    about = f"{evidence.source} {chain.market} {chain.stream}"
    complaints = []
    if not alignment.given:
        complaints.append(f"{about}: no row of what was pushed is stored")
    if lost:
        complaints.append(
            f"{about}: {len(lost)} rows were pushed, are not stored and lie in no "
            f"gap: {said(_frame_text(m) for m in lost)}"
        )
    if alignment.strange:
        complaints.append(
            f"{about}: {len(alignment.strange)} stored rows were never pushed, or not "
            f"so often: {said(_row_text(row) for row in alignment.strange)}"
        )
    if doubled := alignment.doubled(evidence):
        complaints.append(
            f"{about}: {doubled} rows are stored twice, for two connections"
        )
    complaints += _judge_answers(evidence, chain, about)
    return PushVerdict(
        source=evidence.source,
        chain=chain,
        sent=len(alignment.given) + len(alignment.missing),
        stored=len(alignment.given),
        repeated=len(repeated),
        in_gaps=len(alignment.missing) - len(repeated) - len(lost),
        complaints=tuple(complaints),
    )


def _names(gap: Gap, missing: Missing) -> bool:
    """Return whether a gap says by its ids that an update is missing."""
    last, before = missing.frame.last_update_id, gap.before_update_id
    if last is None or before is None or gap.after_update_id is None:
        return False
    return gap.after_update_id < last < before


def _is_left(evidence: Evidence, gap: Gap, missing: Missing, slack_ns: int) -> bool:
    """Return whether it was lost to one run in a gap that another cut to no length.

    Either that gap is of frames and not healed: then what is left of it says that it
    is missing. Or it is the push of a book without ids: each connection brings one
    of its own, and nothing is missing where there is another.
    """
    is_of_book = (
        missing.frame.stream == "depth" and missing.frame.last_update_id is None
    )
    is_of_two = evidence.lives is not None or gap.healed_by == TAKEN_OVER
    says_so = gap.healed_by is None and gap.reason in OF_FRAMES
    return (
        gap.ended_at == gap.started_at
        and is_of_two
        and (is_of_book or says_so)
        and 0 <= missing.frame.ts_ns - gap.started_at < slack_ns
    )


def _would_be_found(silenced: Sequence[int], gap: Gap, missing: Missing) -> bool:
    """Return whether a run ended before it could find its stream silent.

    Where another connection had carried it until then.
    """
    return gap.reason in ENDS and any(
        at < missing.frame.ts_ns < gap.started_at < at + FOUND_NS for at in silenced
    )


def _is_named(missing: Missing) -> bool:
    """Return whether two rows that say the same are surely the same event."""
    facts = missing.frame.facts[0]
    names = ("open_at", "last_update_id", "update_id")
    return any(facts.get(name) is not None for name in names)


def _faults(evidence: Evidence, chain: Chain, name: str) -> list[FaultDone]:
    return [
        fault
        for fault in evidence.truth.faults
        if (fault.name, fault.feed) == (name, evidence.feed)
        and chain_of(fault.market or "", fault.stream or "", fault.parameter) == chain
    ]


def _altered(evidence: Evidence, chain: Chain) -> set[object]:
    """Return the last ids of depth rows that are stored as a fault altered them.

    What other connections brought of them is not stored.
    """
    altered: set[object] = {
        fault.last_update_id
        for name in ALTERING
        for fault in _faults(evidence, chain, name)
    }
    return altered and altered & {
        row.values["last_update_id"] for row in evidence.rows_of(chain)
    }


def _judge_answers(evidence: Evidence, chain: Chain, about: str) -> list[str]:
    """Compare the snapshots had by HTTP with the exchange's books."""
    wrong = []
    for row in evidence.stored.get(chain, ()):
        if not is_rest(row) or "bids" not in row.values:
            continue  # it was pushed, or is no book
        base, limit = row.values["last_update_id"], row.values["depth_limit"]
        books = evidence.truth.book_at(evidence.key_of(chain), base, limit)
        told = [
            [(float(price), float(amount)) for price, amount in side] for side in books
        ]
        if told != [_levels(row, "bids"), _levels(row, "asks")]:
            wrong.append(_row_text(row))
    if not wrong:
        return []
    return [f"{about}: {len(wrong)} snapshots are not the exchange's: {said(wrong)}"]


def _levels(row: Stored, side: str) -> list[tuple[float, float]]:
    return [(level["price"], level["amount"]) for level in row.values[side]]


def _frame_text(missing: Missing) -> str:
    frame = missing.frame
    ids = "" if frame.last_update_id is None else f" up to {frame.last_update_id}"
    return f"frame {frame.conn}/{frame.n}{ids} sent at {frame.ts_ns}"


def _row_text(row: Stored) -> str:
    return f"{row.conn}/{row.seq}.{row.idx} received at {row.ts_recv}"
