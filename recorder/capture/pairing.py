"""Rows that two connections bring, laid beside each other, one by one.

Both carry the same, each in its order and with a delay of its own. Rows are
told apart by a key: what makes an event the same event. Of equal rows the
k-th of one connection is the k-th of the other.
"""

from collections import Counter, deque
from collections.abc import Hashable
from typing import Final, NamedTuple, TypeAlias

from recorder.capture.link import Link
from recorder.model import Chain


Place: TypeAlias = tuple[Chain, int]
"""A chain, and the number with which a row of it begins."""

BROUGHT_MAX: Final = 100_000
"""Rows of the first remembered that the second has not brought yet; of those
before them a late twin is stored twice."""


class Call(NamedTuple):
    """A row with its place in the data, as it came."""

    link: Link
    ts_recv: int
    seq: int
    idx: int
    item: object
    payload: bytes


class Waiting(NamedTuple):
    """A row of the second connection that the first has not brought yet.

    Attributes:
        number: Rows that came later have higher ones.
        chain: Its chain.
        key: What makes it the same as another.
        place: Where it belongs among the numbered rows of its chain; None if
            they are not numbered.
        is_owed: Whether the first has to bring it too.
        call: The row.
    """

    number: int
    chain: Chain
    key: Hashable
    place: Place | None
    is_owed: bool
    call: Call


class Pairing:
    """Finds the twins among the rows of a first and a second connection."""

    def __init__(self) -> None:
        self._brought: Counter[Hashable] = Counter()
        self._waiting: dict[int, Waiting] = {}
        self._by_key: dict[Hashable, deque[int]] = {}
        self._by_place: dict[Place, int] = {}
        self._by_chain: dict[Chain, dict[int, None]] = {}
        self._owed: dict[int, None] = {}
        self._numbers = 0

    def __len__(self) -> int:
        """Return how many rows wait."""
        return len(self._waiting)

    def first(self, key: Hashable) -> Waiting | None:
        """Note a row of the first connection.

        Returns:
            Its twin, if that waited; it waits no more.
        """
        numbers = self._by_key.get(key)
        if numbers:
            twin = self._waiting[numbers[0]]
            self.drop(twin)
            return twin
        self._brought[key] += 1
        if len(self._brought) > BROUGHT_MAX:
            del self._brought[next(iter(self._brought))]
        return None

    def second(self, key: Hashable) -> bool:
        """Note a row of the second connection; return whether its twin had come."""
        count = self._brought.get(key)
        if not count:
            return False
        if count == 1:
            del self._brought[key]
        else:
            self._brought[key] = count - 1
        return True

    def wait(
        self,
        chain: Chain,
        key: Hashable,
        place: Place | None,
        call: Call,
        *,
        is_owed: bool,
    ) -> None:
        """Keep a row of the second connection."""
        number = self._numbers
        self._numbers = number + 1
        self._waiting[number] = Waiting(number, chain, key, place, is_owed, call)
        if is_owed:
            self._owed[number] = None
        self._by_key.setdefault(key, deque()).append(number)
        self._by_chain.setdefault(chain, {})[number] = None
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

    def oldest(self, chain: Chain) -> Waiting | None:
        """Return the row of a chain that waits longest, if any waits."""
        numbers = self._by_chain.get(chain)
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
