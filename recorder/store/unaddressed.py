"""Gaps of which it is not known whom they hit: kept until they are told, and of whom.

A frame that cannot be decoded, or that was dropped unread, may have been
anybody's whose data come over its connection. Where it takes the same of every
chain of the job, one row tells it.
"""

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

import msgspec

from recorder.model import Chain
from recorder.store.account import Account, Span


Whose: TypeAlias = tuple[Chain | None, Span]
"""A chain that a gap hit, None for every chain of the job, and when."""


TOLD_APART_MAX: Final = 8
"""So many gaps are told apart until the next flush; more are made into one."""


class Unaddressed(msgspec.Struct):
    """A gap that hit some of several chains, or none.

    Attributes:
        reason: As in the table ``gaps``.
        started_at: First instant, nanoseconds.
        ended_at: First instant after.
        detail: What was lost.
        chains: Whom it may have hit; None means every chain of the job.
        more: Other gaps that were made into this one.
    """

    reason: str
    started_at: int
    ended_at: int
    detail: str
    chains: frozenset[Chain] | None
    more: int = 0

    @property
    def text(self) -> str:
        """What was lost, and how often besides."""
        return self.detail + (f", and {self.more} more by then" if self.more else "")


class UnaddressedGaps:
    """The gaps since the last flush; few, however many frames are lost.

    Args:
        accounts: Of all chains of the job; what is told is cut out of them.

    Attributes:
        others_until: Until when the job had other chains as well, nanoseconds: a
            gap of the whole job would be one of theirs before.
    """

    def __init__(self, accounts: Mapping[Chain, Account]) -> None:
        self.others_until = 0
        self._accounts = accounts
        self._gaps: list[Unaddressed] = []

    def add(
        self,
        reason: str,
        started_at: int,
        ended_at: int,
        detail: str,
        chains: Collection[Chain] | None,
    ) -> None:
        """Note a gap; parameters are the attributes of `Unaddressed`."""
        whose = None if chains is None else frozenset(chains)
        same = [g for g in self._gaps if (g.reason, g.chains) == (reason, whose)]
        if len(self._gaps) < TOLD_APART_MAX or not same:
            self._gaps.append(Unaddressed(reason, started_at, ended_at, detail, whose))
            return
        same[-1].started_at = min(same[-1].started_at, started_at)
        same[-1].ended_at = max(same[-1].ended_at, ended_at)
        same[-1].more += 1

    def take(self) -> list[Unaddressed]:
        """Return the gaps noted so far, once."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def cut(self, told: Unaddressed) -> list[Whose]:
        """Cut every chain that a gap may have hit.

        Returns:
            What it took, with no chain if that is the same of all of the job. If
            all of it lies in other gaps, one of no length says that it was.
        """
        taken = {
            chain: account.cut(told.started_at, told.ended_at)
            for chain, account in self._accounts.items()
            if told.chains is None or chain in told.chains
        }
        shared = next(iter(taken.values()), [])
        if not any(taken.values()):
            # When the frame came, not the one before.
            last = max(told.started_at, told.ended_at - 1)
            taken = dict.fromkeys(taken, shared := [(last, last)])
        is_of_all = len(taken) == len(self._accounts)
        is_of_all = is_of_all and all(spans == shared for spans in taken.values())
        if is_of_all and all(start >= self.others_until for start, _ in shared):
            return [(None, span) for span in shared]
        return [(chain, span) for chain, spans in taken.items() for span in spans]
