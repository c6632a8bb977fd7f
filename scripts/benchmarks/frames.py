"""Made-up frames of Gate spot v4 in their real shape, and the real ones.

Depth frames fold 2 to 24 levels (13 on average) into about 500 bytes. Each
market has a book of its own that drifts and is never crossed, tick and lot
sizes of its own, and ids that run on without holes.
"""

import re
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec


LEVELS = 100
"""Levels a side that a market starts with, and about as many that it keeps."""

DRIFT = 0.15
"""How often a market's price moves between two frames."""

RECORDING = "gate-spot-2021-04-22.jsonl"
START_NS = 1_790_000_000_000_000_000
_STEP_NS = 40_000  # 25,000 frames a second
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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
        return b'{"id":%d,"current":%d,"update":%d,"asks":%b,"bids":%b}' % (
            update_id,
            now_ms,
            now_ms,
            asks,
            bids,
        )


class _Market:
    """Bids at and below the middle, asks above it, in ticks."""

    def __init__(self, name: str, rng: Random) -> None:
        self.name = name
        self.middle = int(10 ** rng.uniform(3.5, 6.5))
        self.places = rng.randint(1, 7)
        self.lot_places = rng.randint(2, 6)
        self.update_id = rng.randrange(10**8, 10**11)
        self.trade_id = rng.randrange(10**9, 10**10)
        self.trades = rng.randrange(10**6)
        self.bids = {self.middle - i for i in range(LEVELS)}
        self.asks = {self.middle + 1 + i for i in range(LEVELS)}

    def price(self, ticks: int) -> str:
        return _text(ticks, self.places)

    def amount(self, rng: Random) -> str:
        return _text(int(10 ** rng.uniform(2.0, 8.0)), self.lot_places)

    def side(self, ticks: set[int], rng: Random) -> bytes:
        """Return a whole side as JSON."""
        return msgspec.json.encode(
            [(self.price(tick), self.amount(rng)) for tick in sorted(ticks)]
        )

    def update(self, rng: Random) -> tuple[dict[int, str], dict[int, str]]:
        """Change the book; return the bids and the asks that changed."""
        bids: dict[int, str] = {}
        asks: dict[int, str] = {}
        wanted = 2 + int(23 * rng.random())
        if rng.random() < DRIFT:
            self._drift(rng, bids, asks)
        while len(bids) + len(asks) < wanted:
            distance = min(int(rng.expovariate(0.05)), LEVELS - 1)
            if rng.random() < 0.5:
                self._change(self.bids, self.middle - distance, bids, rng)
            else:
                self._change(self.asks, self.middle + 1 + distance, asks, rng)
        return bids, asks

    def _drift(self, rng: Random, bids: dict[int, str], asks: dict[int, str]) -> None:
        moved = self.middle + (1 if rng.random() < 0.5 else -1)
        for tick in range(self.middle + 1, moved + 1):
            if tick in self.asks:
                self.asks.discard(tick)
                asks[tick] = "0"
        for tick in range(moved + 1, self.middle + 1):
            if tick in self.bids:
                self.bids.discard(tick)
                bids[tick] = "0"
        self.middle = moved

    def _change(
        self, side: set[int], tick: int, changed: dict[int, str], rng: Random
    ) -> None:
        if tick in changed:
            return
        if tick in side and rng.random() < 0.3:
            side.discard(tick)
            changed[tick] = "0"
        else:
            side.add(tick)
            changed[tick] = self.amount(rng)


def depth_load(count: int, *, markets: int = 300, seed: int = 1) -> Load:
    """Return depth frames of markets that take turns."""
    rng = Random(f"{seed}:depth")
    made = [_Market(name, rng) for name in _names(markets, rng)]
    books = [(m.update_id, m.side(m.asks, rng), m.side(m.bids, rng)) for m in made]
    frames = []
    ids = []
    for index in range(count):
        number = int(markets * rng.random())
        market = made[number]
        bids, asks = market.update(rng)
        first = market.update_id + 1
        # Each change sets one level, some the same one again.
        market.update_id = last = first + len(bids) + len(asks) - rng.randrange(2)
        ms = (START_NS + index * _STEP_NS) // 10**6
        frames.append(
            (
                f'{{"time":{ms // 1000},"time_ms":{ms},'
                f'"channel":"spot.order_book_update","event":"update","result":'
                f'{{"t":{ms - 5},"e":"depthUpdate","E":{ms // 1000},'
                f'"s":"{market.name}","U":{first},"u":{last},'
                f'"b":[{_levels(market, bids)}],"a":[{_levels(market, asks)}]}}}}'
            ).encode()
        )
        ids.append((number, first, last))
    return Load([m.name for m in made], frames, ids, books)


def trade_load(count: int, *, markets: int = 300, seed: int = 1) -> Load:
    """Return trade frames of markets that take turns."""
    rng = Random(f"{seed}:trades")
    made = [_Market(name, rng) for name in _names(markets, rng)]
    frames = []
    ids = []
    for index in range(count):
        number = int(markets * rng.random())
        market = made[number]
        market.middle += int(3 * rng.random()) - 1
        market.trade_id += 1 + int(3 * rng.random())
        market.trades += 1
        ns = START_NS + index * _STEP_NS
        ms = ns // 10**6
        frames.append(
            (
                f'{{"time":{ms // 1000},"time_ms":{ms},"channel":"spot.trades",'
                f'"event":"update","result":{{"id":{market.trade_id},'
                f'"id_market":{market.trades},"create_time":{ms // 1000},'
                f'"create_time_ms":"{_text(ns // 10**2, 4)}",'
                f'"side":"{"buy" if rng.random() < 0.5 else "sell"}",'
                f'"currency_pair":"{market.name}","amount":"{market.amount(rng)}",'
                f'"price":"{market.price(market.middle)}",'
                f'"range":"{market.trades}-{market.trades}"}}}}'
            ).encode()
        )
        ids.append((number, market.trade_id, market.trade_id))
    return Load([m.name for m in made], frames, ids, [])


def recorded_load(folder: Path, count: int) -> Load | None:
    """Return recorded depth frames, again and again with ids that run on.

    Args:
        folder: Where the recordings are.
        count: How many frames to return, about.

    Returns:
        None if the recording is not there.
    """
    path = folder / RECORDING
    if not path.is_file():
        return None
    once = [frame for line in path.open("rb") if (frame := _depth_of(line))]
    firsts: dict[str, int] = {}
    spans: dict[str, int] = {}
    for frame in once:
        name, first, last = _ids_of(frame)
        spans[name] = last + 1 - firsts.setdefault(name, first)
    markets = list(firsts)
    frames = []
    ids = []
    for turn in range(max(1, count // len(once))):
        for frame in once:
            name, first, last = _ids_of(frame)
            first, last = first + turn * spans[name], last + turn * spans[name]
            text = re.sub(rb'"U":\d+', b'"U":%d' % first, frame)
            frames.append(re.sub(rb'"u":\d+', b'"u":%d' % last, text))
            ids.append((markets.index(name), first, last))
    books = [(firsts[name] - 1, b"[]", b"[]") for name in markets]
    return Load(markets, frames, ids, books)


class _Line(msgspec.Struct):
    kind: str
    data: str = ""


def _depth_of(line: bytes) -> bytes | None:
    """Return the depth frame of a line of a recording, if it is one."""
    if b"spot.order_book_update" not in line:
        return None
    entry = msgspec.json.decode(line, type=_Line)
    is_push = entry.kind == "recv" and '"event":"update"' in entry.data
    return entry.data.encode() if is_push else None


class _Ids(msgspec.Struct):
    s: str
    U: int
    u: int


class _Frame(msgspec.Struct):
    result: _Ids


def _ids_of(frame: bytes) -> tuple[str, int, int]:
    ids = msgspec.json.decode(frame, type=_Frame).result
    return ids.s, ids.U, ids.u


def _names(count: int, rng: Random) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < count:
        base = "".join(rng.choices(_LETTERS, k=rng.randint(3, 5)))
        names[f"{base}_USDT"] = None
    return list(names)


def _text(units: int, places: int) -> str:
    """Return units of 10**-places as people write them, no zeros at the end."""
    whole, fraction = divmod(units, 10**places)
    return f"{whole}.{fraction:0{places}d}".rstrip("0").rstrip(".")


def _levels(market: _Market, changed: dict[int, str]) -> str:
    return ",".join(
        f'["{market.price(tick)}","{amount}"]' for tick, amount in changed.items()
    )
