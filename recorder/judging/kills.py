"""Is every kill named, chain by chain, and did it cost no more than it may?"""

from collections.abc import Sequence

import msgspec

from recorder.judging.evidence import Evidence, contains, said
from recorder.model import Chain, Gap


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A capture that was killed.

    Attributes:
        source: What it recorded.
        at_ns: When it was killed, our clock, nanoseconds.
        subscribed_ns: When its first subscription was known to be accepted;
            None if it was killed before.
    """

    source: str
    at_ns: int
    subscribed_ns: int | None = None


class KillVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the kills of one source were told.

    Attributes:
        source: Name of the feed.
        kills: How many there were.
        owed: Gaps that they must lie in, chain by chain.
        told: Those of them that are there.
        longest_ns: The longest time that a kill took from what was covered.
        complaints: What is wrong, in words.
    """

    source: str
    kills: int
    owed: int
    told: int
    longest_ns: int
    complaints: tuple[str, ...] = ()


def judge_kills(
    evidence: Evidence, kills: Sequence[Kill], limit_ns: int
) -> KillVerdict:
    """Judge the kills of one source, in whose store nobody records any more.

    Each must lie in a gap of rows of every chain. Where the killed run had
    covered the chain, that gap must say ``process_killed``, begin at most
    ``limit_ns`` before the kill, and have been closed by a later run.

    Args:
        evidence: What both sides say.
        kills: All kills; those of other sources are left alone.
        limit_ns: What a kill may cost: a flush interval, and how long a
            flush may take on this machine.
    """
    mine = [kill for kill in kills if kill.source == evidence.source]
    owed = told = longest_ns = 0
    untold: list[str] = []
    costly: list[str] = []
    for kill in mine:
        for chain in evidence.chains:
            gaps = evidence.gaps_of(chain, "rows")
            if not gaps or gaps[0].started_at > kill.at_ns:
                continue  # the first run of all was killed before it said anything
            owed += 1
            was_covered = _was_covered(evidence, kill, chain)
            gap = _gap_at(gaps, kill.at_ns, is_of_kill=was_covered)
            if gap is None or gap.ended_at is None:
                untold.append(f"{chain.market} {chain.stream} at {kill.at_ns}")
                continue
            told += 1
            cost_ns = kill.at_ns - gap.started_at if was_covered else 0
            longest_ns = max(longest_ns, cost_ns)
            if cost_ns > limit_ns:
                costly.append(f"{chain.market} {chain.stream}: {cost_ns / 1e9:.2f} s")
    complaints = []
    if untold:
        complaints.append(
            f"{evidence.source}: {len(untold)} times a kill lies in no gap of a chain "
            f"that says so and is over: {said(untold)}"
        )
    if costly:
        complaints.append(
            f"{evidence.source}: {len(costly)} times a kill cost a chain more than "
            f"{limit_ns / 1e9:g} s: {said(costly)}"
        )
    return KillVerdict(
        source=evidence.source,
        kills=len(mine),
        owed=owed,
        told=told,
        longest_ns=longest_ns,
        complaints=tuple(complaints),
    )


def _was_covered(evidence: Evidence, kill: Kill, chain: Chain) -> bool:
    """Return whether the killed run had covered a chain."""
    since = kill.subscribed_ns
    return since is not None and any(
        covered.chain == chain and since < covered.ended_at <= kill.at_ns
        for covered in evidence.coverage
    )


def _gap_at(gaps: Sequence[Gap], at_ns: int, *, is_of_kill: bool) -> Gap | None:
    for gap in gaps:
        is_named = gap.reason == "process_killed" or not is_of_kill
        if is_named and contains(gap, at_ns):
            return gap
    return None
