"""Distinct prices of a stretch of rows, numbered in the order of their value."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from recorder.errors import CorruptSegmentError
from recorder.replay.compiled import Bits, Codes, Floats, read_only
from recorder.store.machine_code import compiled


FEW: Final = 1 << 10
"""Distinct prices that there is room for at first."""

GROWTH: Final = 8

_EMPTY: Final = -1
_SIGN_BIT: Final = np.uint64(1 << 63)
_INFINITY_BITS: Final = np.uint64(0x7FF0000000000000)
_HASH_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)


@compiled
def encode_prices(  # pragma: no cover - compiled
    bits: Bits,
    codes: Codes,
    slots: Codes,
    distinct: Bits,
    count: int,
) -> tuple[int, int]:
    """Give each price a code: its place among the distinct ones met so far.

    Args:
        bits: Prices, seen as integers; read-only.
        codes: Filled with the code of each price.
        slots: The hash table: codes, or -1. Its size is a power of two.
        distinct: The distinct prices by code, at most half of ``slots``.
        count: How many are there already.

    Returns:
        How many prices were encoded, and the new count. Fewer than all are
        encoded if the table is half full; -1 if a price is not a number.
    """
    shift = np.uint64(64)
    size = slots.size
    while size > 1:
        shift -= np.uint64(1)
        size >>= 1
    mask = slots.size - 1
    for i in range(bits.size):
        key = bits[i]
        if key == _SIGN_BIT:
            key = np.uint64(0)
        elif key & ~_SIGN_BIT > _INFINITY_BITS:
            return -1, count
        slot = np.int64((key * _HASH_FACTOR) >> shift)
        while True:
            code = slots[slot]
            if code == _EMPTY:
                if count == distinct.size:
                    return i, count
                code = np.int32(count)
                slots[slot] = code
                distinct[count] = key
                count += 1
                break
            if distinct[code] == key:
                break
            slot = (slot + 1) & mask
        codes[i] = code
    return bits.size, count


class Ranks(NamedTuple):
    """The order of distinct prices.

    The best bid is the highest price, the best ask the lowest, so the two
    sides rank the same prices in opposite directions: on both the best level
    has the highest rank.

    Attributes:
        bids: Rank of each code among bids: rising with the price.
        asks: Rank of each code among asks: falling with the price.
        bid_prices: Price of each rank among bids, then one NaN, so that the
            rank -1 stands for no price.
        ask_prices: The same among asks.
    """

    bids: Codes
    asks: Codes
    bid_prices: Floats
    ask_prices: Floats


class Ranking:
    """Numbers prices as they come (`encode`), and orders them (`ranks`)."""

    def __init__(self) -> None:
        self._slots = np.full(2 * FEW, -1, np.int32)
        self._distinct = np.empty(FEW, np.uint64)
        self._count = 0

    def encode(self, pieces: Sequence[Floats]) -> Codes:
        """Return the code of each price; equal prices have equal codes.

        Args:
            pieces: Arrays of prices, taken one after the other.

        Raises:
            CorruptSegmentError: If a price is not a number, which the
                recorder never stores.
        """
        codes = np.empty(sum(piece.size for piece in pieces), np.int32)
        start = 0
        for piece in pieces:
            end = start + piece.size
            self._encode(read_only(piece).view(np.uint64), codes[start:end])
            start = end
        return codes

    def ranks(self) -> Ranks:
        """Return the order of all prices met so far."""
        count = self._count
        distinct = self._distinct[:count].view(np.float64)
        order = np.argsort(distinct)
        ranks = np.empty(count, np.int32)
        ranks[order] = np.arange(count, dtype=np.int32)
        rising = distinct[order]
        return Ranks(
            bids=ranks,
            asks=count - 1 - ranks,
            bid_prices=np.append(rising, np.nan),
            ask_prices=np.append(rising[::-1], np.nan),
        )

    def _encode(self, bits: Bits, codes: Codes) -> None:
        done = 0
        while True:
            count, self._count = encode_prices(
                bits[done:], codes[done:], self._slots, self._distinct, self._count
            )
            if count < 0:
                raise CorruptSegmentError("a depth row has a level without a price")
            done += count
            if done == bits.size:
                return
            self._grow()

    def _grow(self) -> None:
        """Make room for more distinct prices; their codes stay."""
        distinct = self._distinct
        slots = np.full(self._slots.size * GROWTH, -1, np.int32)
        self._distinct = np.empty(distinct.size * GROWTH, np.uint64)
        codes = np.empty(distinct.size, np.int32)
        encode_prices(read_only(distinct), codes, slots, self._distinct, 0)
        self._slots = slots
