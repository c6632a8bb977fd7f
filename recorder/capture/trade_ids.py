"""Are the trades of a market whole? Told from the venue's running number.

Some venues number the trades of a market one by one, but do not promise to.
So the rule is proven before it is believed: by `PROOF_TRADES` consecutive
numbers, or by as many in all with few breaks among them. After that a break
is a gap. Breaks seen before are kept. They become gaps once the rule stands,
and also where recording stops before that was decided: a gap too many does
less harm than trades that are lost in silence. A market that breaks too often
disproves the rule, and is not checked any more.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from recorder.counts import counted
from recorder.model import Chain, LedgerRow
from recorder.store.ledger import Ledger
from recorder.telemetry import TradeRuleDisproved, emit


PROOF_TRADES: Final = 100
"""Consecutive numbers that prove the rule for a market."""

PROOF_SHARE: Final = 10
"""Or as many in all, if there are at least so many to a break."""

DISPROOF_BREAKS: Final = 8
"""So many breaks disprove the rule before it is proven ..."""

DISPROOF_SHARE: Final = 4
"""... unless there are at least so many consecutive numbers to a break."""

LOWER_RUN: Final = 20
"""Consecutive numbers below the last one: the venue counts anew."""

EARLY_MAX: Final = 256
"""Breaks kept before the proof; more disprove the rule."""


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

    @property
    def text(self) -> str:
        """How many are missing, in words."""
        count = self.before - self.after - 1
        if count < 0:
            return "the venue's running numbers started over at lower ones"
        return counted(count, "trade")


class TradeIds:
    """The running number of one market's trades."""

    __slots__ = (
        "_breaks",
        "_early",
        "_last",
        "_last_at",
        "_lower",
        "_run",
        "_steps",
        "is_disproved",
        "is_proved",
    )

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_at = 0
        self._lower: list[tuple[int, int]] = []
        self._run = 0
        self._steps = 0
        self._breaks = 0
        # By break: how many of its trades are still missing.
        self._early: dict[TradeBreak, int] = {}
        self.is_proved = False
        self.is_disproved = False

    def see(
        self, number: int, ts_recv: int, came_back_at: int | None = None
    ) -> list[TradeBreak]:
        """Note a trade's number; return breaks that are now believed.

        Args:
            number: The venue's running number; none comes twice.
            ts_recv: Our clock when it was received, nanoseconds.
            came_back_at: When the market was last lost and came back: what is
                missing over a lost connection says nothing about the rule.
        """
        last, last_at = self._last, self._last_at
        if self.is_disproved:
            return []
        if last is not None and number <= last:
            self._late(number)
            return self._lower_number(number, ts_recv)
        self._lower.clear()
        self._last, self._last_at = number, ts_recv
        if last is None:
            return []
        if number == last + 1:
            self._run += 1
            self._steps += 1
            return self._believed()
        found = TradeBreak(
            after=last, before=number, started_at=last_at + 1, ended_at=ts_recv
        )
        if self.is_proved:
            return [found]
        self._early[found] = number - last - 1
        if came_back_at is None or came_back_at <= last_at:
            self._run = 0
            self._breaks += 1
        is_often = self._breaks >= DISPROOF_BREAKS
        is_usual = self._breaks * DISPROOF_SHARE > self._steps
        if (is_often and is_usual) or len(self._early) > EARLY_MAX:
            self.is_disproved = True
            self._early.clear()
        return []

    def _believed(self) -> list[TradeBreak]:
        """Decide whether the rule stands now; return the breaks before."""
        is_rare = self._breaks * PROOF_SHARE <= self._steps
        is_enough = self._run >= PROOF_TRADES or (
            self._steps >= PROOF_TRADES and is_rare
        )
        if self.is_proved or not is_enough:
            return []
        self.is_proved = True
        return self.undecided()

    def _late(self, number: int) -> None:
        """Note a trade that came late, perhaps out of a break."""
        for found, missing in self._early.items():
            if found.after < number < found.before:
                self._early[found] = missing - 1
                if missing == 1:
                    del self._early[found]
                    self._breaks = max(0, self._breaks - 1)
                return

    def _lower_number(self, number: int, ts_recv: int) -> list[TradeBreak]:
        """Note a number below the last one; many in a row are a new count.

        What is missing between the two counts, nobody can tell.
        """
        if self._lower and number != self._lower[-1][0] + 1:
            self._lower.clear()
        self._lower.append((number, ts_recv))
        if len(self._lower) < LOWER_RUN:
            return []
        first, first_at = self._lower[0]
        found = TradeBreak(
            after=self._last or 0,
            before=first,
            started_at=self._last_at + 1,
            ended_at=max(first_at, self._last_at + 1),
        )
        self._lower.clear()
        self._last, self._last_at = number, ts_recv
        return [*self.undecided(), found]

    def undecided(self) -> list[TradeBreak]:
        """Return the breaks seen before the rule was proven, once."""
        early, self._early = self._early, {}
        return list(early)

    def is_new(self, number: int) -> bool:
        """Return whether a number is above all seen."""
        return self._last is None or number > self._last

    @property
    def last(self) -> int | None:
        """Highest number of the count seen so far; None if none was."""
        return self._last

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
        self._markets: dict[Chain, TradeIds] = {}

    def see(self, chain: Chain, number: int, ts_recv: int) -> None:
        """Note a live trade's number.

        Args:
            chain: The trades of its market.
            number: The venue's running number.
            ts_recv: Our clock when it was received, nanoseconds.
        """
        ids = self._markets.get(chain)
        if ids is None:
            ids = self._markets[chain] = TradeIds()
        elif ids.is_disproved:
            return
        if ids.is_proved and ids.continues(number):
            self._note(self._ledger.healed(chain, "sequence"))
        elif ids.is_new(number):
            # The trade before may have been missed: nothing proves otherwise.
            self._ledger.unhealable(chain)
        came_back_at = self._ledger.covered_since(chain)
        self._tell(chain, ids.see(number, ts_recv, came_back_at))
        if ids.is_disproved:
            emit(TradeRuleDisproved(market=chain.market))

    def last(self, chain: Chain) -> int | None:
        """Return the last number of a market; None if its numbers say nothing."""
        ids = self._markets.get(chain)
        return None if ids is None or ids.is_disproved else ids.last

    def stop(self) -> None:
        """Tell of the breaks of which it was not decided what they are."""
        for chain, ids in self._markets.items():
            self._tell(chain, ids.undecided())

    def _tell(self, chain: Chain, breaks: list[TradeBreak]) -> None:
        for missing in breaks:
            self._note(
                self._ledger.missed(
                    chain,
                    "sequence_gap",
                    missing.started_at,
                    missing.ended_at,
                    after_update_id=missing.after,
                    before_update_id=missing.before,
                    detail=missing.text,
                )
            )
