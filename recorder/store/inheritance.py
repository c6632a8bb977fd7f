"""Gaps that earlier runs of a job left open: gone on with, or ended.

A run that ends leaves a gap open, and why: it was stopped, or killed. When the
next one begins, more can be known. That is why nothing was recorded until the
time at which the run was to end anyway, if it had one; from then on the reason
is that no run had been started. So the next run makes two of a gap that reaches
over that time.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from recorder.model import Chain, Gap, LedgerRow
from recorder.store.account import Account, ended_gap


NO_RUN = "not_started"
"""Why nothing is recorded while no run is, that should not have ended before."""

_ENDINGS = frozenset({"process_stopped", "process_killed"})


class Heritage(NamedTuple):
    """What a run takes over from earlier runs of its job.

    Attributes:
        left_open: Gaps that have not ended.
        stated_end: When the run before was to end, our clock, nanoseconds;
            None if it was to go on.
    """

    left_open: tuple[Gap, ...] = ()
    stated_end: int | None = None


class Inheritance:
    """Lays the gaps of earlier runs on the accounts of this one.

    Args:
        accounts: Of the chains that this run records; changed.
        heritage: What earlier runs left.
    """

    def __init__(self, accounts: Mapping[Chain, Account], heritage: Heritage) -> None:
        self._accounts = accounts
        self._stated_end = heritage.stated_end
        self._superseded: list[Gap] = []
        self._orphans: list[Gap] = []
        for gap in sorted(heritage.left_open, key=lambda gap: gap.started_at):
            self._inherit(gap)

    def _inherit(self, gap: Gap) -> None:
        """Take over a gap that an earlier run left open."""
        account = self._accounts.get(Chain(gap.market or "", gap.stream or ""))
        if account is None:
            self._orphans.append(gap)
            return
        earlier = account.rows_gap if gap.scope == "rows" else account.book_gap
        if earlier is not None:
            self._superseded.append(ended_gap(earlier, gap.started_at))
        if gap.scope == "rows":
            account.rows_gap = gap
        else:
            account.book_gap = gap

    def settle(self, at: int) -> list[LedgerRow]:
        """Return the rows of gaps that change because a run begins.

        They end if a later gap of the same chain has taken over, or if the job
        no longer lists the chain.

        Args:
            at: When the run begins, nanoseconds.
        """
        rows: list[LedgerRow] = [*self._superseded]
        for account in self._accounts.values():
            gap = account.rows_gap
            if gap is not None and (pieces := self._split(gap, at)):
                rows += pieces
                account.rows_gap = pieces[-1]
        for gap in self._orphans:
            *past, last = self._split(gap, at) or [gap]
            rows += past
            rows.append(ended_gap(last, at, detail="no longer recorded by this job"))
        self._superseded.clear()
        self._orphans.clear()
        return rows

    def _split(self, gap: Gap, at: int) -> list[Gap]:
        """Return what a gap becomes if it reaches over the stated end, else nothing."""
        end = self._stated_end
        if end is None or gap.reason not in _ENDINGS:
            return []
        if end >= at:
            return []
        changed = {
            "reason": NO_RUN,
            "detail": "the run before was to end by then, and no other had begun",
        }
        if end <= gap.started_at:
            return [msgspec.structs.replace(gap, **changed)]
        rest = msgspec.structs.replace(
            gap,
            gap_id=f"{gap.gap_id}.after",
            started_at=end,
            after_update_id=None,
            **changed,
        )
        return [ended_gap(gap, end), rest]
