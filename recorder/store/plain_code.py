"""Machine code that reads runs of plain frames: see `recorder.source.plain`.

What it is not sure about it leaves, and it never takes a frame that the feed
itself would understand in another way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

from recorder.store.machine_code import compiled, fingerprint_of
from recorder.store.text_code import (
    BEGIN,
    CLOSE,
    COLON,
    COMMA,
    END,
    OPEN,
    QUOTE,
    READERS,
    SPACE,
    ZERO,
    digits,
    object_level,
    pair,
)


Names: TypeAlias = tuple[
    npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]
]
"""Markets as text; where each begins in it, how long it is, and what it is the name
of; a hash table of them."""

KEYS_MAX: Final = 16
"""Keys that one object of a plain form may have."""

KEY_BYTES_MAX: Final = 8
"""Bytes that a key of a plain form may have: it is compared as one number."""

RECENT: Final = 16
"""First and last ids that are remembered of each chain."""

# What the value of a key is. A constant is compared as it stands.
NUMBER, TEXT, RESULT, MARKET, MILLISECONDS, FIRST, LAST, BIDS, ASKS, CONSTANT = range(
    10
)

KINDS: Final[Mapping[str, int]] = {
    "number": NUMBER,
    "text": TEXT,
    "result": RESULT,
    "market": MARKET,
    "milliseconds": MILLISECONDS,
    "first": FIRST,
    "last": LAST,
    "bids": BIDS,
    "asks": ASKS,
}
"""By the words of `recorder.source.PARTS`. Only this file numbers them: machine code is
kept for as long as it does not change."""

# Columns of what is known of a chain: the id with which its next update begins
# (-1: it is not followed here), when its last was received, updates taken since
# it is followed, and the last run in which it was left alone.
STATE_FIELDS: Final = range(4)
EXPECTED, LAST_AT, TAKEN, LEFT_IN = STATE_FIELDS

# Columns of a row that was read.
ROW_FIELDS: Final = range(7)
ROW_TS, ROW_SEQ, ROW_CONN, ROW_CHAIN, ROW_MS, ROW_FIRST, ROW_LAST = ROW_FIELDS

# What is counted: rows in the block, frames left, chains touched, chains that are
# not followed yet.
ROWS, LEFT, TOUCHED, UNKNOWN = range(4)

_0, _1, _2, _8 = (np.uint64(n) for n in (0, 1, 2, 8))
_BACKSLASH, _DELETE = np.uint64(92), np.uint64(127)
_INTEGER_DIGITS_MAX = np.uint64(18)
_MS_MAX = np.int64((2**63 - 1) // 1_000_000)
_OTHER, _LEFT, _TAKEN = 0, 1, 2

# FNV-1a, by which a table of names is made and searched.
_HASH_START = np.uint64(14695981039346656037)
_HASH_PRIME = np.uint64(1099511628211)


def table_of_names(names: Sequence[tuple[str, int]]) -> Names:
    """Return markets as machine code finds them in a frame.

    Args:
        names: Each as it stands in a frame, and the number of its chain.
    """
    text = b""
    places = np.zeros((len(names), 3), np.int64)
    slots = np.full(1 << (2 * len(names) + 1).bit_length(), -1, np.int64)
    for number, (market, chain) in enumerate(names):
        name = market.encode()
        places[number] = len(text), len(name), chain
        text += name
        code = int(_HASH_START)
        for byte in name:
            code = (code ^ byte) * int(_HASH_PRIME) % (1 << 64)
        slot = code % len(slots)
        while slots[slot] >= 0:
            slot = (slot + 1) % len(slots)
        slots[slot] = number
    return np.frombuffer(text, np.uint8), places, slots


@njit(nogil=True, inline="always")
def _key(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read ``"key":`` as a number of its bytes; position 0 if it is none."""
    if text[at] != QUOTE:
        return _0, _0
    at += _1
    key = _0
    length = _0
    while text[at] != QUOTE:
        if length == _8 or text[at] <= SPACE:
            return _0, _0
        key |= np.uint64(text[at]) << (length * _8)
        length += _1
        at += _1
    if text[at + _1] != COLON:
        return _0, _0
    return key, at + _2


@njit(nogil=True, inline="always")
def _integer(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read digits as JSON has them; position 0 if there is anything else."""
    begin = at
    value, at = digits(text, at, _0)
    length = at - begin
    if length == _0 or length > _INTEGER_DIGITS_MAX:
        return np.int64(0), _0
    if text[begin] == ZERO and length > _1:
        return np.int64(0), _0
    return np.int64(value), at


@njit(nogil=True, inline="always")
def _text_end(text, at):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the position after a text of plain ASCII; 0 if it is none."""
    if text[at] != QUOTE:
        return _0
    at += _1
    while text[at] != QUOTE:
        byte = text[at]
        if byte < SPACE or byte >= _DELETE or byte == _BACKSLASH:
            return _0
        at += _1
    return at + _1


@njit(nogil=True, inline="always")
def _market(text, at, markets):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return the number of a market, and the position after its name.

    -1 if it is none of those that are known; position 0 if it is no plain text.
    """
    names, name_at, slots = markets
    end = _text_end(text, at)
    if end == _0:
        return np.int64(-1), _0
    begin = at + _1
    length = end - begin - _1
    code = _HASH_START
    for place in range(begin, end - _1):
        code = (code ^ np.uint64(text[place])) * _HASH_PRIME
    mask = np.uint64(slots.size) - _1
    slot = code & mask
    while slots[slot] >= 0:
        number = slots[slot]
        if np.uint64(name_at[number, 1]) == length:
            name = np.uint64(name_at[number, 0])
            same = _0
            while same < length and names[name + same] == text[begin + same]:
                same += _1
            if same == length:
                return np.int64(number), end
        slot = (slot + _1) & mask
    return np.int64(-1), end


@njit(nogil=True)
def _levels(text, at, levels, side, count):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Read an array of levels without a blank between them.

    Returns:
        Levels in all arrays so far, and the position after it; position 0 if
        it is not so plain.
    """
    if text[at] != OPEN:
        return count, _0
    at += _1
    if text[at] == CLOSE:
        return count, at + _1
    while True:
        if text[at] == OPEN:
            price, amount, at = pair(text, at)
        elif text[at] == BEGIN:
            price, amount, at = object_level(text, at)
        else:
            return count, _0
        if at == _0:
            return count, _0
        levels[side, count] = price
        levels[side + 1, count] = amount
        count += 1
        if text[at] == CLOSE:
            return count, at + _1
        if text[at] != COMMA:
            return count, _0
        at += _1


@njit(nogil=True)
def _frame(  # type: ignore[no-untyped-def]  # noqa: C901 # pragma: no cover - compiled
    text, at, form, names, rows, ends, levels, number
):
    """Read a frame into the place of a row, of which not all is filled yet.

    Returns:
        Whether it is plain (`_TAKEN`), may be of the form and is not plain
        (`_LEFT`), or is of another (`_OTHER`); and the position after it.
    """
    keys, kinds, constants, needed = form
    if text[at] != BEGIN:
        return _LEFT, at
    at += _1
    level = 0
    place = 0
    seen = np.uint64(0)
    seen_outside = np.uint64(0)
    counts = (ends[number, 0], ends[number, 1])
    bids, asks = counts
    while True:
        key, at = _key(text, at)
        if at == _0:
            return _LEFT, at
        # Most often they come in the order of the form.
        tries = 0
        while keys[level, place] != key:
            place = (place + 1) % KEYS_MAX
            tries += 1
            if tries == KEYS_MAX:
                return _LEFT, at
        if key == _0:
            return _LEFT, at
        bit = _1 << np.uint64(place)
        if seen & bit:
            return _LEFT, at
        seen |= bit
        kind = kinds[level, place, 0]
        if kind == CONSTANT:
            first = kinds[level, place, 1]
            for offset in range(kinds[level, place, 2]):
                if text[at] != constants[first + offset]:
                    return _OTHER, at
                at += _1
        elif kind == NUMBER:
            _, at = _integer(text, at)
        elif kind == TEXT:
            at = _text_end(text, at)
        elif kind == MARKET:
            rows[number, ROW_CHAIN], at = _market(text, at, names)
        elif kind == MILLISECONDS:
            rows[number, ROW_MS], at = _integer(text, at)
        elif kind == FIRST:
            rows[number, ROW_FIRST], at = _integer(text, at)
        elif kind == LAST:
            rows[number, ROW_LAST], at = _integer(text, at)
        elif kind == BIDS:
            bids, at = _levels(text, at, levels, 0, bids)
        elif kind == ASKS:
            asks, at = _levels(text, at, levels, 2, asks)
        else:  # the result
            if level == 1 or text[at] != BEGIN:
                return _LEFT, at
            level = 1
            seen_outside, seen = seen, np.uint64(0)
            place = 0
            at += _1
            continue
        if at == _0:
            return _LEFT, at
        if text[at] == END and level == 1:
            if seen & needed[1] != needed[1]:
                return _LEFT, at
            level = 0
            seen = seen_outside
            at += _1
        if text[at] == COMMA:
            at += _1
            continue
        if text[at] != END or seen & needed[0] != needed[0]:
            return _LEFT, at
        ends[number + 1, 0] = bids
        ends[number + 1, 1] = asks
        return _TAKEN, at + _1


@njit(nogil=True, inline="always")
def _follows(state, chain, rows, ends, levels, number, levels_max):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Return whether an update simply continues its book, and is no whole one."""
    first, last = rows[number, ROW_FIRST], rows[number, ROW_LAST]
    if first != state[chain, EXPECTED] or last < first:
        return False
    if rows[number, ROW_MS] <= 0 or rows[number, ROW_MS] > _MS_MAX:
        return False
    if first < last:
        return True
    is_short = True
    for side in range(2):
        begin, end = ends[number, side], ends[number + 1, side]
        is_short &= end - begin <= levels_max
        for place in range(begin, end):
            if levels[2 * side + 1, place] == 0.0:
                return True
    return is_short


def _compile(version: int) -> Callable[..., None]:
    """Compile the main loop; what is kept of it is valid for this version only."""

    @compiled
    def read(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
        text, starts, stamps, facts, form, names, state, recent, rows, ends, levels,
        left, touched, unknown, counts,
    ):  # fmt: skip
        """Read frames that are plain and continue their books; note all others.

        Once a frame was left that may have been a change of a book, no later one
        of the run is taken for that book, or for any if it is not known for which.

        Args:
            text: Frames, each followed by a separator.
            starts: Where each begins, and where the text ends.
            stamps: When each was received.
            facts: The number of the first frame, of the connection, of the run;
                and how many levels a side one change may have.
            form: What frames look like: keys, kinds, constants, needed keys.
            names: Of markets; see `Names`.
            state: Of all chains.
            recent: The last ids of all chains, of each a ring.
            rows: The rows so far, and room for more.
            ends: Where the levels of each end, bids and asks.
            levels: Prices and amounts of bids and of asks.
            left: Takes the frames that were left.
            touched: Takes the chains of which updates were taken, each once.
            unknown: Takes the chains that are to be followed if they can.
            counts: Of all of these.
        """
        _ = version  # a closure's variables are part of what it is kept by
        first_seq, conn, run, levels_max = facts[0], facts[1], facts[2], facts[3]
        is_over = False
        for place in range(stamps.size):
            number = counts[ROWS]
            rows[number, ROW_CHAIN] = -1
            verdict, at = _frame(
                text, np.uint64(starts[place]), form, names, rows, ends, levels, number
            )
            if verdict == _TAKEN and at != np.uint64(starts[place + 1]) - _1:
                verdict = _LEFT
            if verdict == _TAKEN and rows[number, ROW_CHAIN] < 0:
                verdict = _OTHER  # of a market that nobody asked for
            if verdict == _LEFT:
                is_over = True
            if verdict == _TAKEN:
                chain = names[1][rows[number, ROW_CHAIN], 2]
                rows[number, ROW_CHAIN] = chain
                is_left = is_over or state[chain, LEFT_IN] == run
                if is_left or not _follows(
                    state, chain, rows, ends, levels, number, levels_max
                ):
                    state[chain, LEFT_IN] = run
                    unknown[counts[UNKNOWN]] = chain
                    counts[UNKNOWN] += 1
                    verdict = _LEFT
            if verdict != _TAKEN:
                left[counts[LEFT]] = place
                counts[LEFT] += 1
                continue
            chain = rows[number, ROW_CHAIN]
            if state[chain, LAST_AT] < stamps[0]:
                touched[counts[TOUCHED]] = chain
                counts[TOUCHED] += 1
            turn = state[chain, TAKEN] % RECENT
            recent[chain, turn, 0] = rows[number, ROW_FIRST]
            recent[chain, turn, 1] = rows[number, ROW_LAST]
            state[chain, TAKEN] += 1
            state[chain, EXPECTED] = rows[number, ROW_LAST] + 1
            state[chain, LAST_AT] = stamps[place]
            rows[number, ROW_TS] = stamps[place]
            rows[number, ROW_SEQ] = first_seq + place
            rows[number, ROW_CONN] = conn
            counts[ROWS] += 1

    return read


read_frames: Final = _compile(
    fingerprint_of(
        (*READERS, _key, _integer, _text_end, _market, _levels, _frame, _follows)
    )
)
