"""Stored rows laid beside those that were pushed, connection by connection.

On one connection rows come in the order in which they were sent, so what is
stored must be a part of what was sent, in the same order. From the last to
the first, each stored row is given to the last pushed one, not yet given away
nor sent later than it came, that says the same; what is left over on either
side is told.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

from recorder.judging.evidence import Evidence, Stored, is_rest
from recorder.model import Chain
from recorder.simulator.truth import FrameSent


Content: TypeAlias = tuple[object, ...]
"""What a row says, ready to be compared."""

LEVELS: Final = ("bids", "asks")
TEXTS: Final = ("side", "event", "order_type", "text", "asset", "price_type")
"""Columns whose texts are no numbers."""

TWIN_NS: Final = 100_000_000
"""What says the same and was sent to two connections within this, is one event.
On a busy machine tens of milliseconds may pass between the two."""


DELAY_NS: Final = 1_000_000_000
"""A fault holds a frame back for less than this."""


class Missing(NamedTuple):
    """A pushed row that is not stored.

    Attributes:
        frame: The frame that carried it.
        first: It cannot have been received before, our clock, nanoseconds.
        last: Nor after: a later row of the connection was received then;
            None if there is no later one.
        sent_last: It was not sent later, the exchange's clock, nanoseconds.
        content: What it says.
    """

    frame: FrameSent
    first: int
    last: int | None
    sent_last: int
    content: Content


class Alignment(NamedTuple):
    """How the rows of a chain compare.

    Attributes:
        given: Stored rows with the frames that carried them.
        missing: Pushed rows that are not stored.
        strange: Stored rows that were not pushed so, or not so often.
        contents: What the stored rows say, all of them.
        carried: By what stored rows say: when each was sent, and over which of
            the exchange's connections; oldest first.
    """

    given: list[tuple[Stored, FrameSent]]
    missing: list[Missing]
    strange: list[Stored]
    contents: frozenset[Content]
    carried: dict[Content, list[tuple[int, int]]]

    def has_twin(self, missing: Missing, delayed: Iterable[int] = ()) -> bool:
        """Return whether a row is stored that another connection brought.

        The exchange sends what happens to all of its connections at once.

        Args:
            missing: The row.
            delayed: When faults held back a frame of the chain, for one of them.
        """
        frame = missing.frame
        for ts_ns, conn in self.carried.get(missing.content, ()):
            first, last = sorted((ts_ns, frame.ts_ns))
            if conn != frame.conn and (
                last - first <= TWIN_NS
                or any(
                    abs(at - first) <= TWIN_NS and last - at <= DELAY_NS
                    for at in delayed
                )
            ):
                return True
        return False

    def is_elsewhere(self, missing: Missing) -> bool:
        """Return whether a row that says the same came over another connection."""
        carried = self.carried.get(missing.content, ())
        return any(conn != missing.frame.conn for _, conn in carried)

    def doubled(self, evidence: Evidence) -> int:
        """Return how many rows are stored for two connections, and should not be."""
        return sum(
            two[1] != one[1]
            and two[0] - one[0] <= TWIN_NS
            and evidence.is_twice(
                [evidence.ours.get(conn, "") for _, conn in (one, two)]
            )
            for carried in self.carried.values()
            for one, two in pairwise(sorted(carried))
        )

    def longest_way_ns(self, evidence: Evidence) -> int:
        """Return the longest time that a row took from the exchange to us."""
        ways = (evidence.way_ns(row, frame.ts_ns) for row, frame in self.given)
        return max(ways, default=0)


class _Item(NamedTuple):
    frame: FrameSent
    content: Content


def align(evidence: Evidence, chain: Chain) -> Alignment:
    """Lay the stored rows of a chain beside those that were pushed."""
    sent = evidence.sent_to(chain)
    names = _names(sent.values())
    stored: dict[str, list[Stored]] = defaultdict(list)
    for row in evidence.stored.get(chain, ()):
        if not is_rest(row):
            stored[row.conn].append(row)
    whole = Alignment(
        [],
        [],
        [],
        frozenset(
            _stored_content(row, names) for rows in stored.values() for row in rows
        ),
        defaultdict(list),
    )
    ours = {their: our for our, their in evidence.conns_of(chain).items()}
    for conn, frames in sent.items():
        items = [
            _Item(frame, _content(facts, names))
            for frame in frames
            for facts in frame.facts
        ]
        rows = stored.pop(ours.get(conn, ""), [])
        _align_one(rows, items, names, whole)
    for rows in stored.values():
        whole.strange.extend(rows)
    return whole


def _align_one(
    rows: Sequence[Stored],
    items: Sequence[_Item],
    names: Sequence[str],
    whole: Alignment,
) -> None:
    places: dict[Content, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        if item.frame.is_whole:
            places[item.content].append(place)
    taken: dict[int, Stored] = {}
    end = len(items)
    for row in reversed(rows):
        candidates = places.get(_stored_content(row, names), [])
        number = bisect_left(candidates, end) - 1
        while number >= 0 and items[candidates[number]].frame.ts_ns > row.ts_recv:
            number -= 1
        if number < 0:
            whole.strange.append(row)
            continue
        end = place = candidates[number]
        taken[place] = row
        frame = items[place].frame
        whole.given.append((row, frame))
        whole.carried[items[place].content].append((frame.ts_ns, frame.conn))
    whole.missing.extend(
        _missing(items, taken, place)
        for place in range(len(items))
        if place not in taken
    )


def _missing(items: Sequence[_Item], taken: Mapping[int, Stored], at: int) -> Missing:
    """Return when a row that is not stored may have been received.

    Of several that say the same one after the other, it is not known which.
    """
    frame, content = items[at]
    first = sent_last = frame.ts_ns
    before, after = at - 1, at + 1
    while before >= 0 and (before not in taken or items[before].content == content):
        if items[before].content == content:
            first = items[before].frame.ts_ns
        before -= 1
    while after < len(items) and (
        after not in taken or items[after].content == content
    ):
        if items[after].content == content:
            sent_last = items[after].frame.ts_ns
        after += 1
    if before >= 0:
        first = max(first, taken[before].ts_recv)
    last = taken[after].ts_recv if after < len(items) else None
    return Missing(frame, first, last, sent_last, content)


def _names(sent: Iterable[Sequence[FrameSent]]) -> tuple[str, ...]:
    """Return the columns that the truth of a chain speaks of, in all frames."""
    told = [frozenset(f) for frames in sent for frame in frames for f in frame.facts]
    return tuple(sorted(frozenset.intersection(*told))) if told else ()


def _content(facts: Mapping[str, Any], names: Sequence[str]) -> Content:
    """Return what the truth says, numbers as the doubles next to them."""
    return tuple(
        tuple(sorted((float(p), float(a)) for p, a in facts[name]))
        if name in LEVELS
        else float(facts[name])
        if isinstance(facts[name], str) and name not in TEXTS
        else facts[name]
        for name in names
    )


def _stored_content(row: Stored, names: Sequence[str]) -> Content:
    return tuple(
        tuple(sorted((level["price"], level["amount"]) for level in row.values[name]))
        if name in LEVELS
        else row.values[name]
        for name in names
    )
