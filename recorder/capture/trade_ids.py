"""Are the trades of a market whole? Told from the venue's running number.

Some venues number the trades of a market one by one, but do not promise to.
So the rule is proven before it is believed: after `PROOF_TRADES` consecutive
numbers a break is a gap. Breaks seen before the proof are kept and become
gaps once it stands; a market that breaks too often first has disproved the
rule, and is not checked any more.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from recorder.model import Chain, LedgerRow
from recorder.store.ledger import Ledger
from recorder.telemetry import TradeRuleDisproved, emit


PROOF_TRADES: Final = 100
"""Consecutive numbers that prove the rule for a market."""

DISPROOF_BREAKS: Final = 8
"""Breaks before the proof that disprove it."""


class TradeBreak(msgspec.Struct, frozen=True, kw_only=True):
    """Trades missing between two that came.

    Attributes:
        after: Last number before.
        before: First number after.
        started_at: Just after the earlier trade was received, nanoseconds.
        ended_at: When the later one was received, nanoseconds.
    """

    after: int
    before: int
    started_at: int
    ended_at: int


class TradeIds:
    """The running number of one market's trades."""

    __slots__ = ("_early", "_last", "_last_at", "_run", "is_disproved", "is_proved")

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_at = 0
        self._run = 0
        self._early: list[TradeBreak] = []
        self.is_proved = False
        self.is_disproved = False

    def see(self, number: int, ts_recv: int) -> list[TradeBreak]:
        """Note a trade's number; return breaks that are now believed.

        Args:
            number: The venue's running number.
            ts_recv: Our clock when it was received, nanoseconds.
        """
        last, last_at = self._last, self._last_at
        if self.is_disproved or (last is not None and number <= last):
            return []
        self._last, self._last_at = number, ts_recv
        if last is None:
            return []
        if number == last + 1:
            self._run += 1
            if self.is_proved or self._run < PROOF_TRADES:
                return []
            self.is_proved = True
            early, self._early = self._early, []
            return early
        found = TradeBreak(
            after=last, before=number, started_at=last_at + 1, ended_at=ts_recv
        )
        self._run = 0
        if self.is_proved:
            return [found]
        self._early.append(found)
        if len(self._early) >= DISPROOF_BREAKS:
            self.is_disproved = True
            self._early.clear()
        return []

    def is_new(self, number: int) -> bool:
        """Return whether a number is above all seen."""
        return self._last is None or number > self._last

    def continues(self, number: int) -> bool:
        """Return whether a number is exactly the one after the last seen."""
        return self._last is not None and number == self._last + 1


class TradeCheck:
    """The running numbers of all markets of a run.

    Args:
        ledger: Told of every break.
        note: Takes ledger rows to store.
    """

    def __init__(self, ledger: Ledger, note: Callable[[list[LedgerRow]], None]) -> None:
        self._ledger = ledger
        self._note = note
        self._markets: dict[str, TradeIds] = {}

    def see(self, chain: Chain, number: int, ts_recv: int) -> None:
        """Note a live trade's number.

        Args:
            chain: The trades of its market.
            number: The venue's running number.
            ts_recv: Our clock when it was received, nanoseconds.
        """
        ids = self._markets.get(chain.market)
        if ids is None:
            ids = self._markets[chain.market] = TradeIds()
        elif ids.is_disproved:
            return
        if ids.is_proved and ids.continues(number):
            self._note(self._ledger.healed(chain, "sequence"))
        elif ids.is_new(number):
            # The trade before may have been missed: nothing proves otherwise.
            self._ledger.unhealable(chain)
        for missing in ids.see(number, ts_recv):
            self._note(
                self._ledger.missed(
                    chain,
                    "sequence_gap",
                    missing.started_at,
                    missing.ended_at,
                    after_update_id=missing.after,
                    before_update_id=missing.before,
                    detail=f"{missing.before - missing.after - 1} trades",
                )
            )
        if ids.is_disproved:
            emit(TradeRuleDisproved(market=chain.market))
