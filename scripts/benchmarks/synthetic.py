"""The synthetic day of the book benchmarks: seeded, uncrossed, valid by ids."""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt


TICK = 0.1
LEVELS_A_SIDE = 500
STEP_NS = 100_000_000
START_NS = 1_700_006_400_000_000_000  # a midnight UTC
BID, ASK = True, False
MARKET = "BENCH_USDT"
STREAM = "depth:100ms"


class Day(NamedTuple):
    """A snapshot and the updates after it.

    Attributes:
        ids: Last book change of each message; the snapshot is message 0.
        offsets: Level changes of message i are ``offsets[i]`` to
            ``offsets[i + 1]``.
        is_bid: Side of each level change; bids precede asks in a message.
        ticks: Price of each level change, in ticks.
        lots: Amount of each level change, in thousandths; 0 removes.
        span: Lowest and highest price, in ticks.
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    is_bid: npt.NDArray[np.bool_]
    ticks: npt.NDArray[np.int64]
    lots: npt.NDArray[np.int64]
    span: tuple[int, int]

    @property
    def changes(self) -> int:
        """Level changes after the snapshot."""
        return int(self.offsets[-1] - self.offsets[1])

    def prices(self) -> npt.NDArray[np.float64]:
        """Return the price of each level change."""
        return np.round(self.ticks * TICK, 1)

    def amounts(self) -> npt.NDArray[np.float64]:
        """Return the amount of each level change."""
        return np.round(self.lots / 1000.0, 3)

    def first(self, messages: int) -> "Day":
        """Return the snapshot and so many updates after it."""
        changes = int(self.offsets[messages + 1])
        return Day(
            self.ids[: messages + 1],
            self.offsets[: messages + 2],
            self.is_bid[:changes],
            self.ticks[:changes],
            self.lots[:changes],
            self.span,
        )

    def times(self) -> npt.NDArray[np.int64]:
        """Return the time of each message, nanoseconds."""
        return START_NS + np.arange(self.ids.size, dtype=np.int64) * STEP_NS


def make_day(messages: int, seed: int) -> Day:
    """Return a day of ``messages`` updates, 12 level changes each on average."""
    room = 2 * LEVELS_A_SIDE + messages * 40
    is_bid = np.empty(room, np.bool_)
    ticks = np.empty(room, np.int64)
    lots = np.empty(room, np.int64)
    offsets = np.empty(messages + 2, np.int64)
    rng = np.random.default_rng(seed)
    used = _walk(messages, rng, is_bid, ticks, lots, offsets)
    sizes = np.diff(offsets)
    return Day(
        ids=np.cumsum(np.maximum(sizes, 1)),
        offsets=offsets,
        is_bid=is_bid[:used],
        ticks=ticks[:used],
        lots=lots[:used],
        span=(int(ticks[:used].min()), int(ticks[:used].max())),
    )


@numba.njit
def _walk(messages, rng, is_bid, ticks, lots, offsets):
    """Fill the arrays; return how many level changes there are.

    The best bid walks at random; the asks begin one to three ticks above it.
    Levels that the walk crosses are removed, and so are those that leave the
    window of `LEVELS_A_SIDE` ticks; those that enter it are set. Others near
    the best change at random.
    """
    depth = LEVELS_A_SIDE
    bid, ask = 600_000, 600_001
    used, offsets[0] = 0, 0
    used = _shift(used, is_bid, ticks, lots, rng, BID, 1, 0, bid - depth + 1, bid)
    used = _shift(used, is_bid, ticks, lots, rng, ASK, 1, 0, ask, ask + depth - 1)
    offsets[1] = used
    for message in range(messages):
        was_bid, was_ask = bid, ask
        if rng.random() < 0.12:
            bid += rng.integers(-6, 7)
            ask = bid + rng.integers(1, 4)
        changes = rng.integers(1, 22)
        bids = rng.integers(0, changes + 1)
        old, new = (was_bid - depth + 1, was_bid), (bid - depth + 1, bid)
        used = _shift(used, is_bid, ticks, lots, rng, BID, *old, *new)
        used = _change(used, is_bid, ticks, lots, rng, BID, bid, bids)
        old, new = (was_ask, was_ask + depth - 1), (ask, ask + depth - 1)
        used = _shift(used, is_bid, ticks, lots, rng, ASK, *old, *new)
        used = _change(used, is_bid, ticks, lots, rng, ASK, ask, changes - bids)
        offsets[message + 2] = used
    return used


@numba.njit
def _shift(used, is_bid, ticks, lots, rng, side, old_low, old_high, low, high):
    """Remove what leaves a window of ticks, set what enters it."""
    for tick in range(old_low, old_high + 1):
        if not low <= tick <= high:
            is_bid[used], ticks[used], lots[used] = side, tick, 0
            used += 1
    for tick in range(low, high + 1):
        if not old_low <= tick <= old_high:
            is_bid[used], ticks[used] = side, tick
            lots[used] = rng.integers(1, 10**6)
            used += 1
    return used


@numba.njit
def _change(used, is_bid, ticks, lots, rng, side, best, count):
    """Set or remove levels near the best, which stays."""
    for _ in range(count):
        distance = min(int(rng.exponential(25.0)), LEVELS_A_SIDE - 1)
        is_removed = distance > 0 and rng.random() < 0.25
        is_bid[used], ticks[used] = side, best - distance if side else best + distance
        lots[used] = 0 if is_removed else rng.integers(1, 10**6)
        used += 1
    return used
