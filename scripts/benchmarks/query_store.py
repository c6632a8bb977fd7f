"""A large store of two days: many markets, made up, written by the recorder's code.

Markets share a few walks of a book, each at times of its own; trades come in
clusters at the best prices. What the store must answer is known from the
walks alone.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.day_store import RUN, SOURCE, depth_table, same, write_coverage
from benchmarks.synthetic import START_NS, TICK, Day, make_day
from recorder.replay.ladder import Ladder
from recorder.replay.rows import depth_rows
from recorder.store.layout import DAY_NS, Partition, Stem, date_of
from recorder.store.segment import write_segment
from recorder.store.tables import TABLES


WALKS = 25
"""Different books; markets beyond that many follow the same again, later."""

DAYS = 2
END_NS = START_NS + DAYS * DAY_NS

CLUSTER_GOES_ON = 0.6
_GAP_NS = 1_000
"""Between a depth message and the trade after it, and between two trades."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Trades(NamedTuple):
    """Trades of a walk.

    Attributes:
        after: The message that each follows.
        place: Its place in its cluster, from 0.
        is_buy: Whether the taker bought.
        prices: Of each.
        amounts: Of each.
    """

    after: Ints
    place: Ints
    is_buy: npt.NDArray[np.bool_]
    prices: Floats
    amounts: Floats


class Walk(NamedTuple):
    """A book over all days, as rows, and its trades."""

    day: Day
    rows: pa.Table
    trades: Trades


class Plan:
    """What the store holds.

    Args:
        markets: How many.
        messages: Depth messages of each.
        trades: Trades of each.
        segments: Into how many files each day is cut.
        seed: Decides everything.

    Attributes:
        names: Of the markets.
        walks: Those that they follow in turn.
    """

    def __init__(
        self, markets: int, messages: int, trades: int, segments: int, seed: int
    ) -> None:
        self.names = [f"M{number:04d}_USDT" for number in range(markets)]
        self.messages = messages
        self.segments = segments
        self.walks = [
            _walk(messages, trades, seed * 1_000 + number)
            for number in range(min(WALKS, markets))
        ]

    def walk(self, market: int) -> Walk:
        """Return the walk of a market."""
        return self.walks[market % len(self.walks)]

    def times(self, market: int) -> Ints:
        """Return the time of each of a market's messages, nanoseconds."""
        step = DAYS * DAY_NS // (self.messages + 1)
        shift = step * market // len(self.names)
        return START_NS + shift + np.arange(self.messages, dtype=np.int64) * step

    def trade_times(self, market: int) -> Ints:
        """Return the time of each of a market's trades, nanoseconds."""
        trades = self.walk(market).trades
        return self.times(market)[trades.after] + (trades.place + 1) * _GAP_NS

    def write(self, root: Path) -> None:
        """Write the store."""
        files = DAYS * self.segments
        edges = START_NS + np.arange(files + 1) * (DAY_NS // self.segments)
        times = [self.times(market) for market in range(len(self.names))]
        dealt = [self.trade_times(market) for market in range(len(self.names))]
        for number in range(files):
            window = edges[number : number + 2]
            for table, of, make in (
                ("depth", times, self._depth),
                ("trades", dealt, self._trades),
            ):
                parts = [
                    make(market, *np.searchsorted(at, window))
                    for market, at in enumerate(of)
                ]
                rows = pa.concat_tables(parts)
                if rows.num_rows:
                    first = int(edges[number])
                    partition = Partition(table, SOURCE, date_of(first))
                    write_segment(root, partition, Stem(first, RUN, number), rows)
        write_coverage(root, self.names, END_NS)

    def _depth(self, market: int, start: int, stop: int) -> pa.Table:
        """Return some messages of a market as rows."""
        count = stop - start
        times = pa.array(self.times(market)[start:stop], pa.timestamp("ns"))
        numbers = np.arange(start, stop, dtype=np.int64) * len(self.names) + market
        rows = self.walk(market).rows.slice(start, count)
        for name, column in (
            ("ts_recv", times),
            ("ts_event", times),
            ("market", same(self.names[market], count)),
            ("seq", pa.array(numbers)),
        ):
            rows = _with(rows, name, column)
        return rows

    def _trades(self, market: int, start: int, stop: int) -> pa.Table:
        """Return some trades of a market as rows."""
        count = stop - start
        trades = self.walk(market).trades
        times = pa.array(self.trade_times(market)[start:stop], pa.timestamp("ns"))
        numbers = np.arange(start, stop, dtype=np.int64)
        sides = np.where(trades.is_buy[start:stop], "buy", "sell")
        columns = {
            "ts_recv": times,
            "ts_event": times,
            "market": same(self.names[market], count),
            "conn": same(f"{RUN}.1", count),
            "seq": pa.array(numbers * len(self.names) + market),
            "idx": pa.array(np.zeros(count, np.int32)),
            "trade_id": pa.array(numbers),
            "side": pa.array(sides.tolist(), pa.string()),
            "price": pa.array(trades.prices[start:stop]),
            "amount": pa.array(trades.amounts[start:stop]),
            "origin": pa.array(["live"] * count, pa.string()),
        }
        schema = TABLES["trades"].schema
        return pa.table(
            [
                columns[field.name]
                if field.name in columns
                else pa.nulls(count, field.type)
                for field in schema
            ],
            schema=schema,
        )


def _with(rows: pa.Table, name: str, column: pa.Array) -> pa.Table:
    index = rows.schema.get_field_index(name)
    return rows.set_column(index, rows.schema.field(index), column)


def _walk(messages: int, trades: int, seed: int) -> Walk:
    day = make_day(messages - 1, seed)
    rows = depth_table(day)
    quotes = Ladder().follow(depth_rows(rows))
    rng = np.random.default_rng(seed)
    begins = rng.random(trades) >= CLUSTER_GOES_ON
    begins[0] = True
    starts = np.flatnonzero(begins)
    place = np.arange(trades) - np.repeat(starts, np.diff([*starts, trades]))
    messages_hit = np.sort(rng.choice(messages, starts.size, replace=False))
    after = messages_hit[np.cumsum(begins) - 1]
    is_buy = (rng.random(starts.size) < 0.5)[np.cumsum(begins) - 1]
    best = np.where(is_buy, quotes.ask_price[after], quotes.bid_price[after])
    prices = np.round(best + np.where(is_buy, place, -place) * TICK, 1)
    amounts = np.round(rng.integers(1, 10**6, trades) / 1000.0, 3)
    return Walk(day, rows, Trades(after, place, is_buy, prices, amounts))
