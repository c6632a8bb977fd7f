"""What the exchange tells of the past by HTTP, and what it does not tell.

Written from the descriptions in the venue's own SDK and from what people
report of refusals: at most 1,000 trades a call; no more candlesticks in a
range than a call may have, its two ends included; none that is more than
10,000 points ago; ``limit`` not together with a range. Of more trades than a
call may have the newest are told. How old a trade may be is not documented
and can be set.
"""

from collections.abc import Iterable

from recorder.simulator.candles import Candle
from recorder.simulator.connection import Context
from recorder.simulator.engine import Market, Trade
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.rest_calls import (
    MAX_LIMIT,
    Query,
    RefusedError,
    invalid,
    whole,
)
from recorder.simulator.settings import Settings


POINTS_AGO = 10_000
"""Candlesticks further back are refused."""

SKIPPED_MAX = 100_000
"""Trades that can be passed over by pages."""

DEFAULT_POINTS = 100


class Past:
    """Answers for the past of all markets.

    Args:
        settings: How much of it is told.
        context: Faults and the clock.
    """

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context

    def trades(self, market: Market, query: Query, *, paging: str) -> list[Trade]:
        """Return the trades that a query asks for, newest first.

        With ``last_id`` those after it, whenever they were, or with ``reverse``
        those before it; else those from ``from`` to ``to``.

        Args:
            market: Whose.
            query: As sent.
            paging: What passes some over: ``page``, which counts pages from
                1, or ``offset``, which counts trades.

        Raises:
            RefusedError: If the query makes no sense.
        """
        limit = whole(query, "limit", 100)
        if not 0 < limit <= MAX_LIMIT:
            raise invalid("limit", query)
        start, end = whole(query, "from", 0), whole(query, "to", 2**40)
        skip = whole(query, "offset", 0) if paging == "offset" else 0
        if paging == "page":
            page = whole(query, "page", 1)
            skip = limit * (page - 1)
            if page < 1 or skip > SKIPPED_MAX:
                raise invalid("page", query)
        rows = self.told(market)
        if "last_id" in query:
            last_id = whole(query, "last_id", 0)
            if query.get("reverse") == "true":
                rows = [t for t in rows if t.trade_id < last_id]
            else:
                rows = [t for t in rows if t.trade_id > last_id]
        else:
            rows = [t for t in rows if start <= t.ts_ns // SECOND_NS <= end]
        return rows[::-1][skip : skip + limit]

    def told(self, market: Market) -> list[Trade]:
        """Return the trades of a market that are told still, oldest first."""
        now_ns = self._context.clock.now_ns()
        newest = self._settings.history_trades
        age_ns = int(self._settings.history_seconds * SECOND_NS)
        rows = list(market.trades)[-newest:]
        strike = self._context.plan.strike(
            "stale_history", now_ns, market=market.spec.name
        )
        until_ns = now_ns
        if strike:
            self._context.performed("stale_history", "rest", market=market.spec.name)
            until_ns -= int(strike.seconds * SECOND_NS)
        return [t for t in rows if now_ns - age_ns <= t.ts_ns <= until_ns]

    def points(
        self, rows: Iterable[Candle], seconds: int, query: Query, most: int
    ) -> list[Candle]:
        """Return the candlesticks that a query asks for, oldest first.

        Args:
            rows: All of an interval, oldest first.
            seconds: Length of the interval.
            query: As sent.
            most: Points of a call at most.

        Raises:
            RefusedError: If the query asks for too many, or for what is too
                long ago.
        """
        now_s = self._context.clock.now_ns() // SECOND_NS
        if "from" not in query and "to" not in query:
            limit = whole(query, "limit", DEFAULT_POINTS)
            if not 0 < limit <= most:
                raise invalid("limit", query)
            return list(rows)[-limit:]
        if "limit" in query:
            raise invalid("limit", query)
        end = whole(query, "to", now_s)
        start = whole(query, "from", end - DEFAULT_POINTS * seconds)
        if (end - start) // seconds + 1 > most:
            raise _refused(
                "Candlestick range too broad. "
                f"Maximum {most} data points are allowed per request"
            )
        if (now_s - start) // seconds > POINTS_AGO:
            raise _refused(
                "Candlestick too long ago. "
                f"Maximum {POINTS_AGO} points recently are allowed"
            )
        age_s = int(self._settings.history_seconds)
        start = max(start, now_s - age_s)
        return [row for row in rows if start <= row.open_at <= end]


def _refused(words: str) -> RefusedError:
    return RefusedError(400, "INVALID_PARAM_VALUE", words)
