"""Rows that two connections bring, laid beside each other, one by one.

Both carry the same, each in its order and with a delay of its own. Rows are
told apart by a key: what makes an event the same event.

Where the key names one event (`recorder.capture.doubles.is_named`), a row is
known again however often and in whatever order it comes. Where it does not,
the k-th of equal rows of one connection is the k-th of the other, unless the
second went past one of the first: then it lost it, or brings it late. An equal
row that it brings after that may be either, and is *doubtful*.
"""

import math
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from recorder.capture.depth_chain import Name
from recorder.capture.doubles import identity, is_named
from recorder.capture.link import Link
from recorder.model import Chain, DepthUpdate, Trade, WireEvent


Place: TypeAlias = tuple[Chain, int]
"""A chain, and the number with which a row of it begins."""

BROUGHT_MAX: Final = 100_000
"""Rows remembered, of which a twin may come; of those before them a late one is
stored twice."""


class Call(NamedTuple):
    """A row with its place in the data, as it came."""

    link: Link
    ts_recv: int
    seq: int
    idx: int
    item: object
    payload: bytes


class Spoiled(NamedTuple):
    """A frame that says nothing, and between which times its rows may have come."""

    link: Link
    first: int
    end: int
    detail: str


class Key(NamedTuple):
    """By what a row is known again.

    Attributes:
        chain: Its chain.
        identity: What makes it the same as another.
        is_named: Whether only one event has it.
    """

    chain: Chain
    identity: Hashable
    is_named: bool


def key_of(chain: Chain, event: WireEvent) -> Key:
    """Return by what a row of a chain is known again."""
    return Key(chain, identity(event), is_named(event))


def keys_of(chain: Chain, recent: Iterable[Name]) -> Iterable[Key]:
    """Yield by what depth messages are known again that were stored before."""
    for is_snapshot, *ids in recent:
        yield Key(chain, ("depth", *chain, is_snapshot, tuple(ids)), is_named=True)


class Waiting(NamedTuple):
    """A row of the second connection that the first has not brought yet.

    Attributes:
        number: Rows that came later have higher ones.
        key: What makes it the same as another.
        place: Where it belongs among the numbered rows of its chain; None if
            they are not numbered.
        is_owed: Whether the first has to bring it too.
        is_doubtful: Whether it may be here already.
        call: The row.
    """

    number: int
    key: Key
    place: Place | None
    is_owed: bool
    is_doubtful: bool
    call: Call

    @property
    def chain(self) -> Chain:
        """Its chain."""
        return self.key.chain


def last_of(row: Waiting) -> float:
    """Return the number with which a row ends; infinite if it has none."""
    item = row.call.item
    number: int | None = None
    if isinstance(item, DepthUpdate):
        number = item.last_update_id
    elif isinstance(item, Trade):
        number = item.market_trade_id
    return math.inf if number is None else number


class Pairing:
    """Finds the twins among the rows of a first and a second connection.

    Args:
        known: As of the handover to the first, if that was only just.

    Attributes:
        known: Rows with names that are stored, the last ones; True for those
            that the second brought alone.
        taken_at: By chain, when the last row came that was taken from the
            connection that is not followed.
    """

    def __init__(self, known: Mapping[Key, bool]) -> None:
        self.known = dict(known)
        self.taken_at: dict[Chain, int] = {}
        self._brought: Counter[Key] = Counter()
        self._in_order: dict[Chain, deque[Key]] = {}
        self._passed: set[Key] = set()
        self._waiting: dict[int, Waiting] = {}
        self._by_key: dict[Key, deque[int]] = {}
        self._by_place: dict[Place, int] = {}
        self._by_chain: dict[Chain, dict[int, None]] = {}
        self._owed: dict[int, None] = {}
        self._numbers = 0

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self._waiting)

    def first(self, key: Key, *, is_awaited: bool = True) -> Waiting | None:
        """Note a row of the first connection.

        Args:
            key: Its key.
            is_awaited: Whether the second may bring it, too.

        Returns:
            Its twin, if that waited; it waits no more.
        """
        if key.is_named:
            self._remember(key, is_taken=False)
            rows = [self._waiting[number] for number in self._by_key.get(key, ())]
            for row in rows:
                self.drop(row)
            return rows[0] if rows else None
        if numbers := self._by_key.get(key):
            twin = self._waiting[numbers[0]]
            self.drop(twin)
            return twin
        if is_awaited:
            self._note(key)
        return None

    def second(self, key: Key) -> bool:
        """Note a row of the second connection; return whether its twin had come."""
        if key.is_named:
            return key in self.known
        if not self._brought[key]:
            del self._brought[key]
            return False
        in_order = self._in_order[key.chain]
        while (passed := in_order.popleft()) != key:
            self._forget(passed)
            self._passed.add(passed)
        self._forget(key)
        return True

    def is_doubtful(self, key: Key) -> bool:
        """Return whether the second went past an equal row of the first before."""
        return key in self._passed

    def take_as_stored(self, key: Key, ts_recv: int) -> None:
        """Note that a row is stored that waited, or need not wait.

        Args:
            key: Its key.
            ts_recv: Our clock when it was received.
        """
        self.taken_at[key.chain] = max(ts_recv, self.taken_at.get(key.chain, 0))
        if key.is_named:
            self._remember(key, is_taken=True)

    def know(self, keys: Iterable[Key]) -> None:
        """Note rows with names that were stored before."""
        for key in keys:
            self.known.setdefault(key, False)

    def change_sides(self, chain: Chain) -> None:
        """Note that a chain's rows come from the other connection from now on."""
        for key in [key for key in self.known if key.chain == chain]:
            self.known[key] = True

    def was_taken(self, key: Key) -> bool:
        """Return whether a row is stored that the second brought, not the first."""
        return self.known.get(key, False)

    def _remember(self, key: Key, *, is_taken: bool) -> None:
        self.known[key] = is_taken
        if len(self.known) > BROUGHT_MAX:
            del self.known[next(iter(self.known))]

    def _note(self, key: Key) -> None:
        in_order = self._in_order.setdefault(key.chain, deque())
        in_order.append(key)
        self._brought[key] += 1
        if len(in_order) > BROUGHT_MAX:
            self._forget(in_order.popleft())

    def _forget(self, key: Key) -> None:
        self._brought[key] -= 1
        if not self._brought[key]:
            del self._brought[key]

    def wait(self, key: Key, place: Place | None, call: Call, *, is_owed: bool) -> None:
        """Keep a row of the second connection."""
        number = self._numbers
        self._numbers = number + 1
        is_doubtful = self.is_doubtful(key)
        row = Waiting(number, key, place, is_owed, is_doubtful, call)
        self._waiting[number] = row
        if is_owed:
            self._owed[number] = None
        self._by_key.setdefault(key, deque()).append(number)
        self._by_chain.setdefault(key.chain, {})[number] = None
        if place is not None:
            self._by_place.setdefault(place, number)

    def drop(self, row: Waiting) -> None:
        """Keep a row no more."""
        del self._waiting[row.number]
        self._owed.pop(row.number, None)
        numbers = self._by_key[row.key]
        numbers.remove(row.number)
        if not numbers:
            del self._by_key[row.key]
        of_chain = self._by_chain[row.chain]
        del of_chain[row.number]
        if not of_chain:
            del self._by_chain[row.chain]
        if row.place is not None and self._by_place.get(row.place) == row.number:
            del self._by_place[row.place]

    def at(self, place: Place) -> Waiting | None:
        """Return the row that waits at a place, if there is one."""
        number = self._by_place.get(place)
        return None if number is None else self._waiting[number]

    def oldest(self, chain: Chain | None = None) -> Waiting | None:
        """Return the row that waits longest, of one chain or all, if any does."""
        numbers = self._waiting if chain is None else self._by_chain.get(chain)
        return self._waiting[next(iter(numbers))] if numbers else None

    def oldest_owed(self) -> Waiting | None:
        """Return the row that the first owes for longest, if it owes any."""
        return self._waiting[next(iter(self._owed))] if self._owed else None

    def take(self, chain: Chain | None = None) -> list[Waiting]:
        """Return the rows that wait, of one chain or all; they wait no more."""
        numbers = self._waiting if chain is None else self._by_chain.get(chain, ())
        rows = [self._waiting[number] for number in numbers]
        for row in rows:
            self.drop(row)
        return rows
