"""What a perpetual contract has and a spot market has not.

Mark and index price with their klines, funding, open interest, liquidations
and the statistics made of them. Everything follows from the seed, the name
of the contract, its trades and the seconds that `Perpetual.second` is told
of.
"""

import random
from collections import deque

import msgspec

from recorder.simulator.book import ASK, BID
from recorder.simulator.candles import Candles
from recorder.simulator.contracts import Contract
from recorder.simulator.engine import Market, Trade
from recorder.simulator.numbers import MS_NS, SECOND_NS, decimal_text


MOST_LIQUIDATIONS = 3
"""Liquidations of one second, at most."""

_REMEMBERED = 2_000
"""Liquidations kept for the statistics."""


class Liquidation(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A position that was closed by force.

    Attributes:
        market: The contract.
        ts_ns: When, whole milliseconds.
        price: Ticks.
        lots: Signed: above 0 the exchange bought, so a short position ended.
    """

    market: str
    ts_ns: int
    price: int
    lots: int


class LiquidationSums(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What was liquidated over an interval.

    Attributes:
        long: Lots of long positions.
        long_turnover: Those lots times ticks, summed.
        short: Lots of short positions.
        short_turnover: Those lots times ticks, summed.
    """

    long: int
    long_turnover: int
    short: int
    short_turnover: int


class Perpetual:
    """One contract over its market.

    Attributes:
        contract: Its units.
        market: Its book, trades and klines.
        mark: Mark price, in units of ``contract.mark_decimals``.
        index: Index price in the same units.
        mark_candles: Klines of the mark price; they have no volume.
        index_candles: Klines of the index price.
        open_interest: Lots.
        ratios: Long to short in thousandths: of takers, of accounts, of the
            accounts and of the positions of the largest traders.
    """

    def __init__(
        self, contract: Contract, market: Market, *, seed: int, chance: float
    ) -> None:
        """Begin with the market as it stands.

        Args:
            contract: Units.
            market: The market.
            seed: Of all chance.
            chance: That there are liquidations in a second.
        """
        self.contract = contract
        self.market = market
        self.mark_candles = Candles()
        self.index_candles = Candles()
        self._rng = random.Random(f"{seed}:perpetual:{contract.spec.name}")
        self._chance = chance
        self._lean = 0.0
        self.open_interest = contract.spec.typical_amount * self._rng.randint(200, 900)
        self.ratios = [self._rng.randint(400, 2_500) for _ in range(4)]
        self._liquidations: deque[Liquidation] = deque(maxlen=_REMEMBERED)
        self.mark = self.index = 10 * contract.spec.start_price
        market.trade_observers.append(self._traded)

    @property
    def funding_rate(self) -> str:
        """Of the current interval, as it is sent; it may be negative."""
        return self._rate(self.mark)

    @property
    def funding_rate_indicative(self) -> str:
        """Of the next interval, as it is sent: as if the mark were a bit higher."""
        return self._rate(self.mark + self.index // 5_000)

    def _rate(self, mark: int) -> str:
        premium = (mark - self.index) * 1_000_000 // (8 * self.index) + 100
        rate = max(-3_750, min(3_750, premium))
        return f"{'-' if rate < 0 else ''}{decimal_text(abs(rate), 6)}"

    def funding_apply_s(self, now_ns: int) -> int:
        """Return when funding is paid next, unix seconds."""
        seconds = self.contract.funding_hours * 3_600
        now_s = now_ns // SECOND_NS
        return now_s - now_s % seconds + seconds

    def price_text(self, units: int) -> str:
        """Return a mark or index price as it is sent."""
        return decimal_text(units, self.contract.mark_decimals)

    def second(self, now_ns: int) -> list[Liquidation]:
        """Let a second pass.

        Args:
            now_ns: Its end.

        Returns:
            What was liquidated in it, oldest first.
        """
        rng = self._rng
        self._lean = 0.9 * self._lean + rng.gauss(0.0, 1.5)
        self.index = max(1, self._middle() + round(self._lean))
        self.mark = max(1, self.index + rng.randint(-3, 3))
        now_s = now_ns // SECOND_NS
        self.mark_candles.add(self.mark, 0, now_s)
        self.index_candles.add(self.index, 0, now_s)
        self.ratios = [max(10, r + rng.randint(-4, 4)) for r in self.ratios]
        if not self.market.candles.summary(60, now_s) or rng.random() >= self._chance:
            return []
        count = rng.randint(1, MOST_LIQUIDATIONS)
        before = sorted(rng.sample(range(1_000), count), reverse=True)
        found = [self._liquidated(now_ns - ms * MS_NS) for ms in before]
        self._liquidations.extend(found)
        return found

    def liquidated(self, seconds: int, now_ns: int) -> tuple[int, LiquidationSums]:
        """Return the start of an interval and what was liquidated since.

        Args:
            seconds: Length of the interval.
            now_ns: The present, which lies in it.

        Returns:
            Unix seconds, and the sums.
        """
        now_s = now_ns // SECOND_NS
        start_s = now_s - now_s % seconds
        mine = [x for x in self._liquidations if x.ts_ns >= start_s * SECOND_NS]
        return start_s, LiquidationSums(
            long=-sum(x.lots for x in mine if x.lots < 0),
            long_turnover=-sum(x.lots * x.price for x in mine if x.lots < 0),
            short=sum(x.lots for x in mine if x.lots > 0),
            short_turnover=sum(x.lots * x.price for x in mine if x.lots > 0),
        )

    def _middle(self) -> int:
        """Return ten times the middle of the book; the last one if a side is empty."""
        bid, ask = self.market.book.best(BID), self.market.book.best(ASK)
        if bid is None or ask is None:
            return self.index
        return 5 * (bid[0] + ask[0])

    def _liquidated(self, ts_ns: int) -> Liquidation:
        rng, spec = self._rng, self.contract.spec
        lots = 1 + int(rng.expovariate(2 / spec.typical_amount))
        ticks = max(1, self.mark // 10 + rng.randint(-20, 20))
        return Liquidation(
            market=spec.name,
            ts_ns=ts_ns - ts_ns % MS_NS,
            price=ticks,
            lots=lots if rng.random() < 0.5 else -lots,
        )

    def _traded(self, _trade: Trade) -> None:
        step = self.contract.spec.typical_amount
        self.open_interest = max(
            step, self.open_interest + self._rng.randint(-step, step)
        )


class Perpetuals:
    """All contracts of one exchange, a second at a time.

    Attributes:
        by_name: Each contract, by its name.
    """

    def __init__(self, perpetuals: dict[str, Perpetual]) -> None:
        self.by_name = perpetuals
        self._due_ns = 0

    def advance(self, now_ns: int) -> dict[str, list[Liquidation]]:
        """Let the time go on, at most by a second.

        Args:
            now_ns: The present.

        Returns:
            What was liquidated since the last call, by contract, oldest
            first; only contracts with any.
        """
        if now_ns < self._due_ns:
            return {}
        self._due_ns = now_ns + SECOND_NS
        told = {name: one.second(now_ns) for name, one in self.by_name.items()}
        return {name: found for name, found in told.items() if found}
