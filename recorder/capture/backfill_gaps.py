"""A gap as a whole: which of its chains can be healed, and what its row says then.

A gap may stand for every chain of a job. It is healed only if all of them are;
what could be had of some is stored nevertheless, and its detail says so.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from recorder.capture.backfill_healing import Healer, Outcome, history_of
from recorder.counts import counted
from recorder.model import Chain, Gap
from recorder.source import Source


HEALED_BY: Final = "backfill"

_MARK: Final = "backfill: "
_TOLD: Final = 3
"""So many chains are told of one by one."""

_LEFT_ALONE: Final = frozenset({"subscription_rejected", "pruned"})
"""Reasons of gaps of what the venue does not have, or we do not want."""


class Target(NamedTuple):
    """What can be healed of a gap.

    Attributes:
        gap: It has ended.
        chains: Those of its chains of which the venue tells afterwards.
        others: How many of its chains have no history.
    """

    gap: Gap
    chains: tuple[Chain, ...]
    others: int


class Healing(NamedTuple):
    """What became of a gap.

    Attributes:
        gap: As it was.
        state: ``healed``, ``partial`` (for good), ``later`` or ``none``
            (nothing was to be healed).
        rows: Rows stored.
        text: What was done, or why it was not.
        outcomes: What became of each chain.
    """

    gap: Gap
    state: Literal["healed", "partial", "later", "none"]
    rows: int
    text: str
    outcomes: tuple[Outcome, ...]

    @property
    def revision(self) -> Gap:
        """The gap as it is to be told of now."""
        before = (self.gap.detail or "").partition(_MARK)[0].removesuffix("; ")
        detail = f"{_MARK}{self.text}"
        return msgspec.structs.replace(
            self.gap,
            healed_by=HEALED_BY if self.state == "healed" else None,
            detail=f"{before}; {detail}" if before else detail,
        )

    @property
    def is_news(self) -> bool:
        """Whether it is to be told of: asked twice, the same is told once."""
        if self.state == "healed" or self.rows > 0:
            return True
        # That a venue could not be asked says nothing of the gap.
        return not (self.is_trouble or is_told(self.gap))

    @property
    def is_trouble(self) -> bool:
        """Whether something is not known, for the venue could not be asked."""
        return any(outcome.is_trouble for outcome in self.outcomes)


def is_told(gap: Gap) -> bool:
    """Return whether a gap's detail says already what cannot be had of it."""
    return _MARK in (gap.detail or "")


def target_of(source: Source, gap: Gap, chains: Iterable[Chain]) -> Target:
    """Return what can be healed of a gap.

    Args:
        source: The feed.
        gap: Its newest revision.
        chains: What its job records.
    """
    mine = [chain for chain in chains if _is_of(gap, chain)]
    able = tuple(sorted(c for c in mine if history_of(source, c) is not None))
    if gap.reason in _LEFT_ALONE or gap.scope != "rows" or gap.ended_at is None:
        return Target(gap, (), len(mine))
    return Target(gap, able, len(mine) - len(able))


def _is_of(gap: Gap, chain: Chain) -> bool:
    if gap.stream is None:
        return True  # the whole job
    return (gap.market or "", gap.stream) == chain


async def heal_gap(
    healer: Healer, target: Target, before: Collection[Outcome] = ()
) -> Healing:
    """Heal what can be healed of a gap.

    Args:
        healer: Heals one chain after another.
        target: The gap.
        before: What earlier attempts made of its chains.

    Raises:
        StoreError: If the store cannot be read.
    """
    done = {outcome.chain: outcome for outcome in before}
    outcomes = []
    for chain in target.chains:
        outcome = done.get(chain)
        if outcome is None or outcome.state == "later":
            had = 0 if outcome is None else outcome.rows
            outcome = await healer.heal(target.gap, chain, had)
        outcomes.append(outcome)
    return judged(target, outcomes)


def judged(target: Target, outcomes: Sequence[Outcome]) -> Healing:
    """Return what becomes of a gap by what became of its chains."""
    told = [outcome for outcome in outcomes if outcome.state != "none"]
    states = {outcome.state for outcome in told}
    state: Literal["healed", "partial", "later", "none"] = "none"
    if "later" in states:
        state = "later"
    elif "partial" in states or (states and target.others):
        state = "partial"
    elif states:
        state = "healed"
    rows = sum(outcome.rows for outcome in told)
    return Healing(target.gap, state, rows, _text(target, told), tuple(outcomes))


def _text(target: Target, outcomes: Sequence[Outcome]) -> str:
    if len(outcomes) == 1 and not target.others:
        return outcomes[0].text
    parts = [f"{outcome.chain.words}: {outcome.text}" for outcome in outcomes[:_TOLD]]
    if len(outcomes) > _TOLD:
        healed = sum(outcome.state == "healed" for outcome in outcomes)
        parts.append(f"... {healed} of {len(outcomes)} streams healed")
    if target.others:
        has_none = "other stream has no history", "other streams have no history"
        parts.append(counted(target.others, *has_none))
    return "; ".join(parts)
