"""Made-up frames of Gate spot v4 in their real shape.

Depth frames fold 2 to 24 levels (13 on average) into about 500 bytes. Each
market has a book of its own that drifts and is never crossed, tick and lot
sizes of its own, and ids that run on without holes. Trades come in clusters:
one order takes several levels at once.
"""

from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.made_markets import MadeMarket, Update, fixed


START_NS = 1_790_000_000_000_000_000
_STEP_NS = 40_000  # 25,000 frames a second
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CLUSTER_GOES_ON = 0.6
"""How often a trade is followed by another of the same order."""


class Load(NamedTuple):
    """Frames, and what must be known before the first of them.

    Attributes:
        markets: Names of the markets.
        frames: One JSON text each, in the order of sending.
        ids: For each frame the market's number, and the first and the last
            id folded into it; for trades the trade's id, twice.
        books: For each market the id before the first frame, and its asks
            and bids as JSON.
    """

    markets: list[str]
    frames: list[bytes]
    ids: list[tuple[int, int, int]]
    books: list[tuple[int, bytes, bytes]]

    def snapshot(self, number: int, now_ms: int) -> bytes:
        """Return the REST answer for a market: its book before the frames."""
        update_id, asks, bids = self.books[number]
        return snapshot(update_id, asks, bids, now_ms)

    def spans(self) -> npt.NDArray[np.int64]:
        """Return for each market by how much its ids advance in all frames."""
        before_ids = np.array([book[0] for book in self.books], np.int64)
        lasts = before_ids.copy()
        ids = np.array(self.ids, np.int64)
        lasts[ids[:, 0]] = ids[:, 2]  # the last one of each market stays
        return lasts - before_ids


def snapshot(update_id: int, asks: bytes, bids: bytes, now_ms: int) -> bytes:
    """Return the REST answer for a book."""
    times = b'"current":%d,"update":%d' % (now_ms, now_ms)
    return b'{"id":%d,%b,"asks":%b,"bids":%b}' % (update_id, times, asks, bids)


def depth_load(
    count: int, *, markets: int = 300, seed: int = 1, is_cycle: bool = False
) -> Load:
    """Return depth frames of markets that take turns.

    Args:
        count: How many frames.
        markets: Of how many markets.
        seed: Decides them.
        is_cycle: Whether more are added, after which every book is what it
            was at first: all of them can be sent again and again then, with
            ids that run on.
    """
    rng = Random(f"{seed}:depth")
    made = [MadeMarket(name, rng) for name in _names(markets, rng)]
    books = [(market.update_id, *market.sides()) for market in made]
    load = Load([market.name for market in made], [], [], books)
    for _ in range(count):
        number = int(markets * rng.random())
        _add(load, number, made[number], made[number].update(), rng)
    if is_cycle:
        ways = [(number, list(m.way_back())) for number, m in enumerate(made)]
        for step in range(max(len(way) for _, way in ways)):
            for number, way in ways:
                if step < len(way):
                    _add(load, number, made[number], way[step], rng)
    return load


def _add(
    load: Load, number: int, market: MadeMarket, update: Update, rng: Random
) -> None:
    """Add the frame of an update."""
    first = market.update_id + 1
    # Each change sets one level, some the same one again.
    market.update_id = last = first + update.size - rng.randrange(2)
    ms = (START_NS + len(load.frames) * _STEP_NS) // 10**6
    bids, asks = (_levels(market, side) for side in update)
    load.frames.append(
        (
            f'{{"time":{ms // 1000},"time_ms":{ms},'
            f'"channel":"spot.order_book_update","event":"update","result":'
            f'{{"t":{ms - 5},"e":"depthUpdate","E":{ms // 1000},'
            f'"s":"{market.name}","U":{first},"u":{last},'
            f'"b":[{bids}],"a":[{asks}]}}}}'
        ).encode()
    )
    load.ids.append((number, first, last))


def _levels(market: MadeMarket, changed: dict[int, str]) -> str:
    return ",".join(f'["{market.price(i)}","{x}"]' for i, x in changed.items())


def trade_load(count: int, *, markets: int = 300, seed: int = 1) -> Load:
    """Return trade frames of markets that take turns, in clusters."""
    rng = Random(f"{seed}:trades")
    made = [MadeMarket(name, rng) for name in _names(markets, rng)]
    load = Load([market.name for market in made], [], [], [])
    while len(load.frames) < count:
        number = int(markets * rng.random())
        market, is_buy = made[number], rng.random() < 0.5
        at = market.middle + is_buy  # the ask for who buys
        ns = START_NS + len(load.frames) * _STEP_NS
        goes_on = True
        while goes_on and len(load.frames) < count:
            _add_trade(load, number, market, at, ns, rng, is_buy=is_buy)
            at += 1 if is_buy else -1
            goes_on = rng.random() < _CLUSTER_GOES_ON
        market.middle = at - 1 if is_buy else at + 1
    return load


def _add_trade(
    load: Load,
    number: int,
    market: MadeMarket,
    at: int,
    ns: int,
    rng: Random,
    *,
    is_buy: bool,
) -> None:
    """Add the frame of a trade at a price in ticks."""
    market.trade_id += 1 + int(3 * rng.random())
    market.trades += 1
    ms = ns // 10**6
    load.frames.append(
        (
            f'{{"time":{ms // 1000},"time_ms":{ms},"channel":"spot.trades",'
            f'"event":"update","result":{{"id":{market.trade_id},'
            f'"id_market":{market.trades},"create_time":{ms // 1000},'
            f'"create_time_ms":"{fixed(ns // 10**2, 4)}",'
            f'"side":"{"buy" if is_buy else "sell"}",'
            f'"currency_pair":"{market.name}","amount":"{market.amount()}",'
            f'"price":"{market.price(at)}",'
            f'"range":"{market.trades}-{market.trades}"}}}}'
        ).encode()
    )
    load.ids.append((number, market.trade_id, market.trade_id))


def _names(count: int, rng: Random) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        base = "".join(rng.choices(_LETTERS, k=rng.randint(3, 5)))
        names[f"{base}_USDT"] = None
    return list(names)
