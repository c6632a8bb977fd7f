"""A load that never ends: the same frames again and again, ids running on."""

from bisect import bisect_left
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.made_frames import Load, snapshot
from benchmarks.made_markets import ID_DIGITS, REMOVED


Ints = npt.NDArray[np.int64]

_POWERS = 10 ** np.arange(ID_DIGITS - 1, -1, -1, dtype=np.int64)
_DIGITS = np.arange(ID_DIGITS)


class Cycle:
    """Frames by their number, however large it is.

    Args:
        load: The frames of one round, after which every book is as before.

    Attributes:
        size: How many frames a round has.
    """

    def __init__(self, load: Load) -> None:
        self.size = len(load.frames)
        self.framed = [_framed(frame) for frame in load.frames]
        self.ids = np.array(load.ids, np.int64)
        self.spans = load.spans()
        self.sizes = np.array([len(one) for one in self.framed], np.int64)
        self.places = np.array(
            [(one.index(b'"U":') + 4, one.index(b'"u":') + 4) for one in self.framed],
            np.int64,
        )
        self._load = load
        self._numbers = {market: i for i, market in enumerate(load.markets)}
        self._books = [_Book(load, number) for number in range(len(load.markets))]
        for index, (number, _, _) in enumerate(load.ids):
            self._books[number].frames.append(index)

    def part(self, markets: Collection[str] | None) -> "Part":
        """Return the frames of some markets; None for all."""
        wanted = self._numbers if markets is None else markets
        numbers = [self._numbers[market] for market in wanted]
        return Part(self, np.flatnonzero(np.isin(self.ids[:, 0], numbers)))

    def snapshot(self, market: str, sent: int, now_ms: int) -> bytes:
        """Return the REST answer for a market after so many frames."""
        number = self._numbers[market]
        turn, count = divmod(sent, self.size)
        update_id, asks, bids = self._books[number].after(turn, count)
        return snapshot(update_id + turn * int(self.spans[number]), asks, bids, now_ms)


class Part:
    """The frames of some markets of a cycle.

    Args:
        cycle: All frames.
        members: Places of theirs in a round, in order.
    """

    def __init__(self, cycle: Cycle, members: Ints) -> None:
        self._framed = [cycle.framed[i] for i in members]
        self._members = members
        self._round = cycle.size
        self._ends = np.cumsum(cycle.sizes[members])
        self._starts = self._ends - cycle.sizes[members]
        self._places = cycle.places[members]
        self._ids = cycle.ids[members, 1:]
        self._spans = cycle.spans[cycle.ids[members, 0]]

    def wire(self, first: int, count: int) -> Iterator[bytes]:
        """Yield what goes over the wire.

        Args:
            first: Number of the first frame, counted over all rounds.
            count: How many numbers are meant, those of other markets among them.
        """
        while count > 0:
            turn, start = divmod(first, self._round)
            stop = min(start + count, self._round)
            low, high = np.searchsorted(self._members, (start, stop))
            if low < high:
                yield self._bytes(turn, int(low), int(high))
            first, count = first + stop - start, count - (stop - start)

    def _bytes(self, turn: int, low: int, high: int) -> bytes:
        content = b"".join(self._framed[low:high])
        if turn == 0:
            return content
        buffer = np.frombuffer(content, np.uint8).copy()
        starts = self._starts[low:high] - self._starts[low]
        ids = self._ids[low:high] + (turn * self._spans[low:high])[:, None]
        digits = (ids[:, :, None] // _POWERS) % 10 + ord("0")
        places = starts[:, None] + self._places[low:high]
        buffer[places[:, :, None] + _DIGITS] = digits
        return buffer.tobytes()


class _Book:
    """A market's book after any number of frames of a round."""

    def __init__(self, load: Load, number: int) -> None:
        self.frames: list[int] = []
        self._load = load
        self._first = load.books[number]
        self._turn = -1
        self._count = 0
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})

    def after(self, turn: int, sent: int) -> tuple[int, bytes, bytes]:
        """Return the last id of this round, asks and bids, best first."""
        count = bisect_left(self.frames, sent)
        if turn != self._turn or count < self._count:
            decoded: Any = [msgspec.json.decode(side) for side in self._first[1:]]
            self._turn, self._count = turn, 0
            self._sides = (dict(decoded[0]), dict(decoded[1]))
        for index in self.frames[self._count : count]:
            changed = _decode(self._load.frames[index]).result
            for side, levels in zip(self._sides, (changed.a, changed.b), strict=True):
                for price, amount in levels:
                    if amount == REMOVED:
                        side.pop(price, None)
                    else:
                        side[price] = amount
        self._count = count
        last = self._load.ids[self.frames[count - 1]][2] if count else self._first[0]
        asks, bids = (sorted(side.items(), key=_price) for side in self._sides)
        return last, msgspec.json.encode(asks), msgspec.json.encode(bids[::-1])


class _Sides(msgspec.Struct):
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Frame(msgspec.Struct):
    result: _Sides


_decode = msgspec.json.Decoder(_Frame).decode


def _price(level: tuple[str, str]) -> float:
    return float(level[0])


def _framed(payload: bytes) -> bytes:
    """Return a text message of a server as it goes over the wire (RFC 6455)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return b"\x81\x7e" + size.to_bytes(2, "big") + payload
