"""Klines and running totals, made from the trades of one market."""

from collections import deque
from collections.abc import Iterable


MINUTE = 60
INTERVALS: dict[str, int] = {
    "10s": 10,
    "30s": 30,
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": 60 * MINUTE,
    "2h": 120 * MINUTE,
    "4h": 240 * MINUTE,
    "6h": 360 * MINUTE,
    "8h": 480 * MINUTE,
    "12h": 720 * MINUTE,
    "1d": 1440 * MINUTE,
    "7d": 7 * 1440 * MINUTE,
    "30d": 30 * 1440 * MINUTE,
}
"""Every interval that is documented, in seconds."""

HISTORY = 1_500
"""Klines kept for each interval: a day of minutes and what a query may ask."""


class Candle:
    """One interval of one market.

    Attributes:
        open_at: Start, unix seconds.
        open: First price, ticks.
        high: Highest price, ticks.
        low: Lowest price, ticks.
        close: Last price, ticks.
        volume: Lots traded.
        turnover: Ticks times lots, summed over the trades.
        trades: How many trades it holds.
    """

    __slots__ = (
        "close",
        "high",
        "low",
        "open",
        "open_at",
        "trades",
        "turnover",
        "volume",
    )

    def __init__(self, open_at: int, price: int) -> None:
        self.open_at = open_at
        self.open = self.high = self.low = self.close = price
        self.volume = self.turnover = self.trades = 0

    def add(self, price: int, amount: int) -> None:
        """Count one trade in."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += amount
        self.turnover += price * amount
        self.trades += 1


class Candles:
    """All intervals of one market; the newest kline of each is the last."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[int, deque[Candle]] = {
            seconds: deque(maxlen=HISTORY) for seconds in INTERVALS.values()
        }

    def add(self, price: int, amount: int, ts_s: int) -> None:
        """Count a trade in.

        Args:
            price: Ticks.
            amount: Lots.
            ts_s: Unix seconds, never before those of an earlier trade.
        """
        for seconds, rows in self._rows.items():
            open_at = ts_s - ts_s % seconds
            if not rows or rows[-1].open_at != open_at:
                rows.append(Candle(open_at, price))
            rows[-1].add(price, amount)

    def rows(self, seconds: int) -> deque[Candle]:
        """Return the klines of an interval, oldest first."""
        return self._rows[seconds]

    def summary(self, period_s: int, now_s: int) -> Candle | None:
        """Return the trades of the last ``period_s`` seconds as one kline.

        Exact to the minute, to ten seconds for periods of up to an hour.
        """
        step = 10 if period_s <= 60 * MINUTE else MINUTE
        start = now_s - period_s
        return merged(row for row in self._rows[step] if row.open_at + step > start)


def merged(rows: Iterable[Candle]) -> Candle | None:
    """Return several klines, oldest first, as one; None if there are none."""
    total: Candle | None = None
    for row in rows:
        if total is None:
            total = Candle(row.open_at, row.open)
        total.high = max(total.high, row.high)
        total.low = min(total.low, row.low)
        total.close = row.close
        total.volume += row.volume
        total.turnover += row.turnover
        total.trades += row.trades
    return total
