"""Recorded books against the truth, through breaks, caches and new numberings.

A venue is played that numbers its book changes, may begin to number anew, and
whose snapshots may come out of a cache, on the socket, or in every push. What
`Books` stores of it is followed by the plain order book, which must never show
anything but the venue's book.
"""

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from recorder.capture.books import Books
from recorder.model import Chain, DepthUpdate, Gap
from recorder.replay.book import OrderBook
from recorder.source import BookRule
from recorder.store.ledger import Ledger


CHAIN = Chain("BTC_USDT", "depth:100ms")
RULES = {
    kind: BookRule(has_ids=True, snapshot=kind, depth_limit=100)
    for kind in ("rest", "in_band", "each")
}
RULES["changes"] = RULES["each"]
"""Pushes are whole books or, in between, changes of which each tells its last id."""
SECOND = 1_000_000_000
KEYS = 5
FIRST_COUNT = 100_000
LOWER = 1_000

UNTOLD = ("drop", "late", "late full", "renumber")
"""What nothing tells of where changes have no first id."""

Said = tuple[int, int, list[tuple[float, float]]]

STEP = st.tuples(
    st.sampled_from(
        ["push"] * 8
        + ["drop", "double", "late", "full", "late full", "reconnect", "renumber"]
        + ["snapshot", "cached", "quiet", "unreadable", "handover"]
    ),
    st.integers(1, 4),
    st.integers(0, 6),
)


class Venue:
    """Changes its book one level at a time, and remembers every book it had."""

    def __init__(self) -> None:
        self.count = self.first_count = FIRST_COUNT
        self.changes = 0
        self.book: dict[float, float] = {}
        self.history: list[tuple[int, dict[float, float]]] = [(self.count, {})]

    def change(self, size: int) -> tuple[int, int, list[tuple[float, float]]]:
        """Make some changes; return the first and last id, and the levels."""
        first, levels = self.count + 1, []
        for _ in range(size):
            self.count += 1
            self.changes += 1
            levels.append((float(self.changes % KEYS + 1), float(self.changes)))
        self.book.update(levels)
        self.history.append((self.count, dict(self.book)))
        return first, self.count, levels

    def renumber(self) -> None:
        self.first_count -= LOWER  # numbers that were given before would fit in
        self.count = self.first_count
        self.history.append((self.count, dict(self.book)))


class Recording:
    """Feeds `Books` what the venue sends, and keeps what it stores."""

    def __init__(self, kind: str = "rest") -> None:
        self.kind = kind
        self.venue = Venue()
        self.ledger = Ledger("job", "run", [CHAIN])
        self.rows: list[tuple[int, int, DepthUpdate]] = []
        self.gaps: dict[str, Gap] = {}
        self.known_after: dict[int, bool] = {}
        self.found_out_later: set[int] = set()
        self.books = Books([(CHAIN, RULES[kind])], self.ledger, self._put, self._note)
        self.truth: dict[int, dict[float, float]] = {}
        self.came: list[tuple[int, DepthUpdate]] = []
        self.now = 0
        self.conn = 0
        self.last: Said = (0, 0, [])
        self.held_up: tuple[int, int, dict[float, float]] | None = None
        self.dropped: list[tuple[int, dict[float, float], Said]] = []
        self.newest = 0
        self.delivered: dict[float, float] = {}
        self._note(self.ledger.start(0))
        self.accept(has_image=True)

    def _put(self, ts, conn, seq, idx, event, payload) -> None:
        self.rows.append((ts, len(self.rows), event))

    def _note(self, rows) -> None:
        self.gaps |= {row.gap_id: row for row in rows if isinstance(row, Gap)}

    def accept(self, *, has_image: bool) -> None:
        """Accept the chain; a stream that begins with its book may lose that."""
        if self.books.accepted(CHAIN, self.now, None):
            self._note(self.ledger.covered(CHAIN, self.now))
        if self.kind in ("in_band", "changes") and has_image:
            self.now += SECOND
            self.full()

    def update(self, first: int, last: int, levels: list[tuple[float, float]]) -> None:
        self._event(depth(first, last, levels, "live"))

    def late(self, changes: int, book: dict[float, float], said: Said) -> None:
        """Push an update that was held up, after others."""
        if changes > self.newest:
            self.newest, self.delivered = changes, book
        if self.kind == "each":
            self._event(depth(None, said[1], list(book.items()), "live"))
        else:
            self.update(*said)

    def late_full(self) -> None:
        """Push a whole book that was held up; its id is that of a change before."""
        if self.held_up is not None:
            changes, base, book = self.held_up
            if changes > self.newest:
                self.newest, self.delivered = changes, book
            self._event(depth(None, base, list(book.items()), "live"))
        venue = self.venue
        self.held_up = venue.changes, venue.count, dict(venue.book)

    def full(self) -> None:
        """Push the whole book; its id is that of the last change."""
        self.newest, self.delivered = self.venue.changes, dict(self.venue.book)
        event = depth(None, self.venue.count, list(self.venue.book.items()), "live")
        self._event(event)

    def push(self, size: int) -> None:
        """Push some changes, or what the book is after them."""
        self.last = self.venue.change(size)
        if self.kind == "each":
            self.full()
            return
        self.newest, self.delivered = self.venue.changes, dict(self.venue.book)
        if self.kind == "changes":
            _, last, levels = self.last
            event = depth(None, last, levels, "live")
            self._event(msgspec.structs.replace(event, is_snapshot=False))
            return
        self.update(*self.last)

    def _event(self, event: DepthUpdate) -> None:
        self.truth[self.now] = self.delivered
        self.came.append((self.now, event))
        self.books.event(self.now, f"run.{self.conn}", 0, 0, event, b"")
        for chain, at in self.books.believed:
            self._note(self.ledger.covered(chain, at))
        self.books.believed.clear()
        self.known_after[self.now] = self.books.states()[CHAIN] == "live"
        is_kept = not any(row[0] == self.now for row in self.rows[-1:])
        if is_kept or self.books._books[CHAIN].suspects:
            self.found_out_later.add(self.now)  # kept: a double, or a new numbering

    def snapshot(self, age: int) -> None:
        """Ask for a snapshot if one is wanted; it comes from so far back."""
        due = self.books.next_due(self.now + 3600 * SECOND)
        if due is None:
            return
        base, book = self.venue.history[max(-1 - age, -len(self.venue.history))]
        event = depth(None, base, list(book.items()), "rest")
        self.books.snapshot(due[0], due[1], self.now, "run.rest", 0, event, b"")

    def unreadable(self, size: int) -> None:
        """Lose a frame that nobody can read; it may have been of the chain."""
        if size % 2:
            self.venue.change(size)
        since = self.now - SECOND + 1
        self.ledger.missed_by_any(
            "undecodable", since, self.now + 1, detail="", chains=[CHAIN]
        )
        self._note(self.ledger.due())
        self.books.unsure(CHAIN, since, "a frame could not be decoded")

    def reconnect(self, *, has_image: bool) -> None:
        after = self.books.lost(CHAIN)
        if self.ledger.is_covered(CHAIN):
            since = self.now - SECOND + 1
            self._note(
                self.ledger.lost(CHAIN, "connect_lost", since, after_update_id=after)
            )
        self.now += SECOND
        self.conn += 1
        # What a connection has not brought does not come over the next one: an
        # old update there could not be told from one of a new numbering.
        self.dropped.clear()
        self.held_up = None
        self.accept(has_image=has_image)

    def restart(self, *, has_image: bool) -> None:
        """Ask the venue afresh if that is wanted."""
        if self.books.take_restarts(self.now):
            self.held_up = None
            self.now += SECOND
            self.accept(has_image=has_image)
            self.now += SECOND

    def play(self, steps) -> None:
        for kind, size, age in steps:
            if self.kind == "changes" and kind in UNTOLD:
                continue
            self.now += SECOND
            self.restart(has_image=age != 1)
            if kind == "handover":  # another connection goes on where this one was
                self.conn += 1
            elif kind in ("reconnect", "renumber", "snapshot", "cached", "unreadable"):
                self.trouble(kind, size, age)
            else:
                self.send(kind, size)
        self.books.stop()

    def trouble(self, kind: str, size: int, age: int) -> None:
        if kind == "reconnect":
            self.reconnect(has_image=age != 1)
        elif kind == "unreadable":
            self.unreadable(size)
        elif kind == "renumber" and self.venue.first_count == FIRST_COUNT:
            self.venue.renumber()
            self.dropped.clear()
            self.held_up = None
        elif kind != "renumber":
            self.snapshot(age if kind == "cached" else 0)

    def send(self, kind: str, size: int) -> None:
        if kind == "double" and self.last[0] and self.kind in ("rest", "in_band"):
            self.update(*self.last)
        elif kind == "late" and self.dropped:
            self.late(*self.dropped.pop())
        elif kind == "full":
            self.full()
        elif kind == "late full":
            self.late_full()
        elif kind == "drop":
            said = self.venue.change(size)
            self.dropped.append((self.venue.changes, dict(self.venue.book), said))
        elif kind == "push":
            self.push(size)


def depth(first, last, levels, origin) -> DepthUpdate:
    return DepthUpdate(
        market=CHAIN.market,
        stream=CHAIN.stream,
        ts_event=None,
        is_snapshot=first is None,
        first_update_id=first,
        last_update_id=last,
        bids=tuple(levels),
        asks=(),
        origin=origin,
    )


def replayed(recording: Recording):
    """Yield the rows and gaps in the order of time, as a replay gives them."""
    events = [(ts, 1, place, event) for ts, place, event in recording.rows]
    events += [
        (gap.started_at, 0, place, gap)
        for place, gap in enumerate(recording.gaps.values())
    ]
    for ts, _, _, event in sorted(events, key=lambda item: item[:3]):
        yield ts, event


def book_after_each_push(recording: Recording):
    """Yield the time of each row that came on the socket, and the replayed book."""
    book = OrderBook()
    for ts, event in replayed(recording):
        book.apply(event)
        if not isinstance(event, Gap) and event.origin == "live":
            yield ts, book


@example(
    steps=[
        ("push", 1, 0),
        ("renumber", 1, 0),
        ("push", 1, 0),
        ("cached", 1, 2),
        ("push", 1, 0),
    ]
)
@example(
    steps=[
        ("drop", 1, 0),
        ("full", 1, 0),
        ("late", 1, 0),
        ("push", 1, 0),
        ("renumber", 1, 0),
        ("push", 1, 0),
    ]
)
@example(
    steps=[
        ("renumber", 1, 0),
        ("push", 1, 0),
        ("unreadable", 2, 0),
        ("push", 1, 0),
    ]
)
@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=400)
@given(steps=st.lists(STEP, max_size=60))
def test_a_book_that_is_shown_is_the_book_of_the_venue(kind, steps):
    recording = Recording(kind)
    recording.play(steps)

    for ts, book in book_after_each_push(recording):
        if book.is_known:
            assert dict(book.top(KEYS)[0]) == recording.truth[ts]


@example(
    steps=[
        ("drop", 1, 0),
        ("push", 1, 0),
        ("late", 1, 0),
        ("renumber", 1, 0),
        ("push", 1, 0),
        ("full", 1, 0),
    ]
)
@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=400)
@given(steps=st.lists(STEP, max_size=60))
def test_the_replay_knows_a_book_when_the_capture_knew_it(kind, steps):
    recording = Recording(kind)
    recording.play(steps)

    for ts, book in book_after_each_push(recording):
        if ts not in recording.found_out_later:
            assert book.is_known == recording.known_after[ts]


@example(steps=[("drop", 1, 0), ("full", 1, 0), ("late", 1, 0), ("push", 1, 0)])
@pytest.mark.parametrize("kind", RULES)
@settings(max_examples=200)
@given(steps=st.lists(STEP, max_size=60))
def test_what_came_is_stored_or_a_gap_says_that_it_is_not(kind, steps):
    recording = Recording(kind)
    recording.play(steps)

    stored = [row[2] for row in recording.rows]
    gaps = [gap for gap in recording.gaps.values() if gap.scope == "rows"]
    for _, event in recording.came:
        times = [ts for ts, other in recording.came if other == event]
        assert event in stored or any(
            gap.started_at <= ts and (gap.ended_at is None or ts < gap.ended_at)
            for gap in gaps
            for ts in times
        )


@given(st.integers(20, 60), st.integers(0, 3))
def test_a_new_numbering_ends_in_a_book_that_is_known_again(count, age):
    recording = Recording()
    recording.play([("push", 1, 0), ("snapshot", 1, 0), ("push", 1, 0)])
    recording.play([("renumber", 1, 0)])

    recording.play([("push", 1, 0)] * count)
    recording.play([("cached", 1, age + count + 1), ("cached", 1, age), ("push", 2, 0)])

    assert recording.books.states()[CHAIN] == "live"
    book = OrderBook()
    for _, event in replayed(recording):
        book.apply(event)
    assert book.is_known
    assert dict(book.top(KEYS)[0]) == recording.venue.book
