"""Two connections that bring the same at different times, against the truth.

A venue is played that pushes to each of its connections what happens from the
subscription on, with a delay of its own. It says that it will close the first
connection, and does so some time later, or after it was left. What is stored
must be what the venue pushed, each event once; or lie in a gap that says so.
"""

import heapq
import random
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from recorder.capture.doubles import Doubles
from recorder.capture.session import Session
from recorder.model import Chain, DepthUpdate
from recorder.replay.book import OrderBook
from recorder.source import HttpRequest
from recorder.store.ledger import Ledger


MS = 1_000_000
SECOND = 1_000 * MS
T0 = 1_700_000_000 * SECOND
ASK = HttpRequest(path="/book", query=())

TRADES = Chain("BTC_USDT", "trades")
BOOK = Chain("BTC_USDT", "depth:10")
MINUTES = Chain("BTC_USDT", "klines:1m")
BBO = Chain("BTC_USDT", "bbo")
CHAINS = [TRADES, BOOK, MINUTES, BBO]
QUOTE = {"trades": "trade", "klines": "kline", "bbo": "bbo"}

DELAYS = st.sampled_from([0, 1, 40, 400, 1_500])


class Venue:
    """What happens, each at its time, and what its book was after each change."""

    def __init__(self, seed, rate, seconds, jumps):
        rng = random.Random(seed)
        self.pushes = []
        self.books = {}
        book, last, number, at = {}, 1_000, 0, 0.0
        while at < seconds:
            at += rng.expovariate(rate)
            number += 1
            stream = rng.choice(("trades", "depth", "depth", "klines", "bbo"))
            if stream == "depth":
                first, last = last + 1, last + rng.randint(1, 4)
                levels = []
                for change in range(first, last + 1):
                    price = float(change % 5 + 1)
                    levels = [lv for lv in levels if lv[0] != price]
                    levels.append((price, float(change)))
                book.update(levels)
                self.books[last] = dict(book)
                item = ["depth", "BTC_USDT", first, last, levels]
            elif stream == "trades":
                item = ["trade", "BTC_USDT", number * 3, "1", len(self.pushes)]
                item[4] = 10_000 + sum(i[0] == "trade" for _, i in self.pushes)
            elif stream == "klines":
                item = ["kline", "BTC_USDT", "1m", str(number)]
            else:
                item = ["bbo", "BTC_USDT", str(number)]
            self.pushes.append((int(at * SECOND), item))

    def base_at(self, at):
        """Return the id of the book as it was at an instant."""
        ids = [i[3] for e, i in self.pushes if i[0] == "depth" and e <= at]
        return ids[-1] if ids else 1_000


class Play:
    """A session, two connections, and the time that goes by."""

    def __init__(self, source, clock, venue):
        self.clock = clock
        self.venue = venue
        self.ledger = Ledger("job", "run", CHAINS)
        self.session = Session(
            source,
            {},
            CHAINS,
            run="run",
            clock=clock,
            ledger=self.ledger,
            doubles=Doubles(),
        )
        self.rows = []
        self.links = []
        self.queue = []
        self.order = 0
        self.open = set()
        self.left_at = None
        self.unknown_at = []

    def at(self, when, act, *args):
        heapq.heappush(self.queue, (when, self.order, act, args))
        self.order += 1

    def connect(self, now, delay, first=None):
        """Open a connection that is subscribed at once."""
        name = f"run.{len(self.links)}"
        link = self.session.opened(name, "ws://x/", CHAINS, T0 + now, first)
        self.links.append(link)
        self.open.add(link.conn)
        for request in list(link.outbox):
            self.session.sent(link, request, T0 + now)
        link.outbox.clear()
        self.at(now + delay, self.frame, link, ["ok", CHAINS])
        for when, item in self.venue.pushes:
            if when >= now:
                self.at(when + delay, self.frame, link, item)
        return link

    def frame(self, now, link, *items):
        if link.conn in self.open:
            payload = msgspec.json.encode(items)
            self.session.frame(link, self.clock.now_ns(), payload, opcode="text")

    def close(self, now, link, why):
        if link.conn in self.open:
            self.open.remove(link.conn)
            self.session.closed(link, self.clock.now_ns(), 1001, why)

    def notice(self, now, link):
        self.frame(now, link, ["leaving", "an upgrade"])

    def tick(self, now):
        session, at = self.session, self.clock.now_ns()
        session.tick(at)
        due = session.books.next_due(at)
        if due is not None:
            base = self.venue.base_at(now)
            levels = list(self.venue.books.get(base, {}).items())
            body = msgspec.json.encode([base, levels, []])
            session.snapshots.take(*due, ASK, self.clock.now_ns(), body)
        handover = session.handovers.of(self.links[0])
        is_done = handover is not None and handover.is_live(at)
        if is_done and handover.is_first_heard and self.left_at is None:
            self.left_at = now
            self.close(now, self.links[0], "handed over")
        if self.known_once and session.books.states()[BOOK] != "live":
            self.unknown_at.append(now)
        self.known_once |= session.books.states()[BOOK] == "live"

    known_once = False

    def run(self, until):
        for number in range(until * 20 // SECOND):
            self.at(number * SECOND // 20, self.tick)
        while self.queue and self.queue[0][0] < until:
            now, _, act, args = heapq.heappop(self.queue)
            self.clock.now = max(self.clock.now, T0 + now)
            act(now, *args)
        self.session.stop(T0 + until)
        self.session.settle()
        for rows in self.session.take(T0 + until).rows.values():
            self.rows += rows

    def events(self, kind):
        return [row for row in self.rows if type(row[4]).__name__ == kind]

    def gaps(self):
        newest = {row[4].gap_id: row[4] for row in self.events("Gap")}
        return list(newest.values())


def play(source, clock, seed, delays, *, closes_after, rate=60, lead=0):
    """Record 14 s with an upgrade notice after 4 s."""
    venue = Venue(seed, rate, 20, 0)
    said = Play(source, clock, venue)
    old, new = (delay * MS for delay in delays)
    first = said.connect(0, old)
    said.at(4 * SECOND, said.notice, first)
    if closes_after is not None:
        closing = 4 * SECOND + closes_after * MS
        said.at(closing + old, said.close, first, "service upgrade")
    opened = 4 * SECOND + lead * MS + old
    said.at(opened, lambda now: said.connect(now, new, first_of(said, first)))
    said.run(16 * SECOND)
    return said


def first_of(said, first):
    return first if first.conn in said.open else None


def pushed(said, kind, since, until):
    """Return what the venue pushed between two instants, by kind of item."""
    return [i for e, i in said.venue.pushes if i[0] == kind and since <= e < until]


def stored_ids(said):
    return {
        "trade": [row[4].trade_id for row in said.events("Trade")],
        "kline": [row[4].close for row in said.events("Kline")],
        "bbo": [row[4].bid_price for row in said.events("Bbo")],
        "depth": [
            row[4].last_update_id
            for row in said.events("DepthUpdate")
            if row[4].origin == "live"
        ],
    }


def name_of(item):
    """Return what tells an item of its kind from all others."""
    return item[{"trade": 2, "kline": 3, "bbo": 2, "depth": 3}[item[0]]]


def true_ids(said, since, until):
    return {
        kind: [name_of(item) for item in pushed(said, kind, since, until)]
        for kind in KINDS
    }


def replayed(said):
    """Yield time, row and book after each depth row, as a replay sees them."""
    events = [(row[0], 1, row[1], row[2], row[4]) for row in said.events("DepthUpdate")]
    events += [(gap.started_at, 0, "", 0, gap) for gap in said.gaps()]
    book = OrderBook()
    for ts_recv, _, _, _, event in sorted(events, key=lambda row: row[:4]):
        if isinstance(event, DepthUpdate):
            bids = tuple(map(tuple, msgspec.json.decode(event.bids)))
            book.apply(msgspec.structs.replace(event, bids=bids, asks=()))
            yield ts_recv, event, book
        elif event.reason != "not_started":
            book.apply(event)


def known_books(said):
    """Return after which rows a replay knows the book; it must be the venue's."""
    known, newest = [], 0
    for ts_recv, event, book in replayed(said):
        newest = max(newest, event.last_update_id)
        known.append(book.is_known)
        if book.is_known and newest in said.venue.books:
            shown = dict(book.top(9)[0])
            assert shown == said.venue.books[newest], (ts_recv, event)
    return known


@pytest.fixture
def stage(fake, make_clock):
    return lambda: (fake, make_clock(T0))


def whole(said):
    """Complain about instants that are neither covered nor missing, or both."""
    for chain in CHAINS:
        spans = [
            (row[4].started_at, row[4].ended_at)
            for row in said.events("Coverage")
            if (row[4].market, row[4].stream) == chain
        ]
        spans += [
            (gap.started_at, gap.ended_at or T0 + 17 * SECOND)
            for gap in said.gaps()
            if gap.scope == "rows" and gap.stream in (None, chain.stream)
        ]
        spans = sorted(span for span in spans if span[0] < span[1])
        assert spans[0][0] <= T0 + SECOND
        assert spans[-1][1] == T0 + 17 * SECOND
        assert all(one[1] == two[0] for one, two in pairwise(spans))


def is_edge(gap):
    return gap.reason in ("not_started", "process_stopped")


def gaps_of(said, chain):
    """Return the gaps of rows between start and stop.

    Not those of a stream that had no row at first and one as soon as the second
    connection asked for it: it looks as if it had been silent before.
    """
    return [
        gap
        for gap in said.gaps()
        if gap.scope == "rows"
        and gap.stream == chain.stream
        and not is_edge(gap)
        and gap.reason != "stale_stream"
    ]


KINDS = {"trade": TRADES, "depth": BOOK, "kline": MINUTES, "bbo": BBO}

SLOW = settings(
    max_examples=6,  # each is half a minute of a market
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@SLOW
@given(
    seed=st.integers(0, 10_000),
    delays=st.tuples(DELAYS, DELAYS),
    rate=st.sampled_from([5, 60, 200]),
    lead=st.sampled_from([0, 700]),
)
@example(seed=1, delays=(1_500, 0), rate=200, lead=0)
@example(seed=1, delays=(0, 1_500), rate=200, lead=0)
def test_a_venue_that_waits_loses_and_doubles_nothing(stage, seed, delays, rate, lead):
    said = play(*stage(), seed, delays, closes_after=None, rate=rate, lead=lead)

    assert said.left_at is not None
    true = true_ids(said, delays[0] * MS, 16 * SECOND - max(delays) * MS)
    for kind, ids in stored_ids(said).items():
        assert len(ids) == len(set(ids))
        assert set(ids) >= set(true[kind])
        assert gaps_of(said, KINDS[kind]) == []
    assert said.unknown_at == []
    known = known_books(said)
    assert True in known
    assert all(known[known.index(True) :])
    whole(said)


@SLOW
@given(
    seed=st.integers(0, 10_000),
    delays=st.tuples(DELAYS, DELAYS),
    rate=st.sampled_from([5, 60, 200]),
    closes_after=st.sampled_from([0, 1, 500, 1_600, 3_000]),
    lead=st.sampled_from([0, 700]),
)
@example(seed=1, delays=(1, 1), rate=5, closes_after=0, lead=0)
@example(seed=1, delays=(1_500, 0), rate=60, closes_after=500, lead=0)
@example(seed=1, delays=(0, 1_500), rate=60, closes_after=1_600, lead=0)
def test_what_a_venue_that_does_not_wait_costs_lies_in_a_gap_that_says_so(
    stage, seed, delays, rate, closes_after, lead
):
    said = play(*stage(), seed, delays, closes_after=closes_after, rate=rate, lead=lead)

    since, until = delays[0] * MS, 16 * SECOND - max(delays) * MS
    for kind, ids in stored_ids(said).items():
        gaps = gaps_of(said, KINDS[kind])
        assert len(ids) == len(set(ids))
        assert {gap.reason for gap in gaps} <= {"venue_upgrade", "sequence_gap"}
        lost = [
            (at, item)
            for at, item in said.venue.pushes
            if item[0] == kind and since <= at < until and name_of(item) not in ids
        ]
        for at, item in lost:
            way = T0 + at, T0 + at + max(delays) * MS + SECOND
            assert any(
                gap.reason == "venue_upgrade"
                and gap.healed_by is None
                and gap.started_at <= way[1]
                and way[0] < gap.ended_at
                for gap in gaps
            ), (at, item)
        if kind == "depth" and not lost:
            assert all(gap.healed_by == "sequence" for gap in gaps)
    assert True in known_books(said)
    whole(said)
