"""Two connections of which each loses, repeats, delays or spoils what it brings.

A venue is played that pushes the same to both, and on each for itself leaves
frames out, sends them twice or late, spoils them, or sends a whole book in the
place of a change. It closes either when it likes, or is left. Whatever comes
to us must be stored once, or lie in a gap that says so.
"""

import heapq
import random
from collections import Counter
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
END = 30 * SECOND
DELAY_MAX = 300 * MS
ASK = HttpRequest(path="/book", query=())

TRADES = Chain("BTC_USDT", "trades")
BOOK = Chain("BTC_USDT", "depth:10")
FULL = Chain("BTC_USDT", "depth:full")
EACH = Chain("BTC_USDT", "depth:each")
MINUTES = Chain("BTC_USDT", "klines:1m")
TICKERS = Chain("BTC_USDT", "tickers")
BBO = Chain("BTC_USDT", "bbo")
CHAINS = [TRADES, BOOK, FULL, EACH, MINUTES, TICKERS, BBO]
BOOKS = (BOOK, FULL, EACH)

FAULTS = ("drop", "late", "twice", "spoil", "whole")


class Venue:
    """What happens, each at its time, and its book after each change."""

    def __init__(self, rng):
        self.events = []
        self.books = {1_000: {}}
        self.numbered = rng.random() < 0.7
        book, last, trades = {}, 1_000, 0
        at = rng.uniform(0.0, 0.3)
        while at < 14.0:
            stream = rng.choice(CHAINS).stream
            if stream in ("depth:10", "depth:full", "depth:each"):
                first, last = last + 1, last + rng.randint(1, 3)
                for change in range(first, last + 1):
                    book[float(change % 5 + 1)] = float(change)
                    self.books[change] = dict(book)
            elif stream == "trades":
                trades += 1
            self.events.append((int(at * SECOND), stream, last, trades))
            at += rng.expovariate(3.0 if 3.0 < at < 10.0 else 1.0)

    def at(self, when):
        """Return the id of the book at an instant."""
        return max((e[2] for e in self.events if e[0] <= when), default=1_000)

    def levels(self, after, through):
        """Return the levels that changed between two ids, and what they are."""
        changed = {float(n % 5 + 1) for n in range(after + 1, through + 1)}
        return [lv for lv in self.books[through].items() if lv[0] in changed]

    def whole(self, through):
        return list(self.books[through].items())


class Stream:
    """What one connection is sent of one chain: changes since its last frame."""

    def __init__(self, venue, chain, since):
        self.venue, self.chain, self.sent = venue, chain, since

    def frame(self, event, *, is_whole=False):
        """Return what is pushed when something happens; None for nothing."""
        _, stream, last, trades = event
        venue, name = self.venue, self.chain.stream
        if name == "trades" and stream == name:
            number = trades if venue.numbered else None
            return ["trade", "BTC_USDT", trades * 3, "1", number]
        if name == "klines:1m" and stream == name:
            return ["kline", "BTC_USDT", "1m", str(event[0] % 7)]
        if name == "tickers" and stream == name:
            return ["ticker", "BTC_USDT", str(event[0] % 3)]
        if name == "bbo" and stream == name:
            return ["bbo", "BTC_USDT", str(event[0] % 3), event[0]]
        if name.startswith("depth") and last > self.sent:
            first, self.sent = self.sent + 1, last
            levels = venue.levels(first - 1, last)
            if name == "depth:each":
                return ["depth", "BTC_USDT", None, last, venue.whole(last), [], name]
            if is_whole and name == "depth:full":
                return ["depth", "BTC_USDT", None, last, venue.whole(last), [], name]
            if is_whole:
                return ["window", "BTC_USDT", last, venue.whole(last)]
            return ["depth", "BTC_USDT", first, last, levels, [], name]
        return None


class Play:
    """A session, its connections, and the time that goes by."""

    def __init__(self, source, clock, seed):
        self.rng = random.Random(seed)
        self.clock = clock
        self.venue = Venue(self.rng)
        self.session = Session(
            source,
            {},
            CHAINS,
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", CHAINS),
            doubles=Doubles(),
        )
        self.links, self.open, self.queue, self.order = [], set(), [], 0
        self.event_of = {}  # by conn and seq: when it happened
        self.came = []  # what came whole: when, conn, item
        self.rows = []
        self.fault_rate = self.rng.choice([0.0, 0.05, 0.2])
        self.faults = self.rng.sample(FAULTS, self.rng.randint(1, len(FAULTS)))

    def at(self, when, act, *args):
        heapq.heappush(self.queue, (when, self.order, act, args))
        self.order += 1

    def connect(self, now, delay, first):
        if len(self.links) and not (self.open - {None}):
            first = None
        link = self.session.opened(
            f"run.{len(self.links)}", "ws://x/", CHAINS, T0 + now, first
        )
        self.links.append(link)
        self.open.add(link.conn)
        self.send(link)
        self.at(now + delay, self.say, link, [["ok", CHAINS]])
        whole = self.venue.at(now)
        for chain in (FULL, EACH):
            item = ["depth", "BTC_USDT", None, whole, self.venue.whole(whole), []]
            self.at(now + delay, self.say, link, [[*item, chain.stream]])
        frames = {chain: Stream(self.venue, chain, 1_000) for chain in CHAINS}
        for event in self.venue.events:
            for chain in CHAINS:
                fault = None
                if event[0] >= now and self.rng.random() < self.fault_rate:
                    fault = self.rng.choice(self.faults)
                item = frames[chain].frame(event, is_whole=fault == "whole")
                if item is not None and event[0] >= now:
                    self.push(link, event[0] + delay, item, fault, event[0])
        return link

    def push(self, link, when, item, fault, event):
        if fault == "drop":
            return
        if fault == "spoil":
            self.at(when, self.spoil, link)
            return
        if fault == "late":
            when += self.rng.choice([100, 400, 900]) * MS
        for _ in range(2 if fault == "twice" else 1):
            self.at(when, self.say, link, [item], event)

    def send(self, link):
        while link.outbox:
            request = link.outbox.popleft()
            self.session.sent(link, request, self.clock.now_ns())
            body = msgspec.json.decode(request.payload)
            if "again" in body:
                self.at(self.now() + 50 * MS, self.again, link, Chain(*body["again"]))
            elif "once more" in body:
                chain = body["once more"]
                self.at(self.now() + 50 * MS, self.say, link, [["ok", [chain]]])

    def now(self):
        return self.clock.now - T0

    def again(self, now, link, chain):
        """Answer a chain that is asked for afresh; what was on its way comes too."""
        self.say(now, link, [["ok", [chain]]])
        if chain in (FULL, EACH):
            last = self.venue.at(now)
            whole = self.venue.whole(last)
            item = ["depth", "BTC_USDT", None, last, whole, [], chain.stream]
            self.say(now, link, [item])

    def say(self, now, link, items, event=None):
        """Have items come; of what happened then, each connection tells once."""
        if link.conn in self.open:
            at = self.clock.now_ns()
            self.event_of[link.conn, link.seq] = event
            payload = msgspec.json.encode(items)
            self.session.frame(link, at, payload, opcode="text")
            self.came += [(at, link.conn, item) for item in items if item[0] != "ok"]

    def spoil(self, now, link):
        if link.conn in self.open:
            self.session.frame(link, self.clock.now_ns(), b"{", opcode="text")

    def close(self, now, link, why):
        if link.conn in self.open:
            self.open.remove(link.conn)
            self.session.closed(link, self.clock.now_ns(), 1001, why)

    def notice(self, now, link):
        self.say(now, link, [["leaving", "an upgrade"]])

    def tick(self, now):
        session, at = self.session, self.clock.now_ns()
        session.tick(at)
        for link in self.links:
            if link.conn in self.open:
                self.send(link)
        while (due := session.books.next_due(at)) is not None:
            base = self.venue.at(now)
            body = msgspec.json.encode([base, self.venue.whole(base), []])
            session.snapshots.take(*due, ASK, self.clock.now_ns(), body)
        for link in self.links:
            handover = session.handovers.of(link)
            is_done = handover is not None and handover.is_live(at)
            if is_done and handover.is_first_heard:
                self.close(now, link, "handed over")

    def second(self, now, delay):
        """Open the next connection, in the place of the newest that lives."""
        living = [link for link in self.links if link.conn in self.open]
        first = living[-1] if living else None
        if first is not None and first.first is not None:
            return  # a handover is under way
        self.connect(now, delay, first)

    def run(self):
        rng = self.rng
        delays = [rng.choice([0, MS, 30 * MS, DELAY_MAX]) for _ in range(4)]
        first = self.connect(0, delays[0], None)
        if rng.random() < 0.7:
            self.at(4 * SECOND, self.notice, first)
        times = sorted(rng.uniform(4.0, 9.0) for _ in range(rng.choice([1, 1, 2, 3])))
        for number, when in enumerate(times):
            self.at(int(when * SECOND), self.second, delays[number + 1])
        for number in range(len(times) + 1):
            if rng.random() < 0.5:
                when = int(rng.uniform(4.0, 11.0) * SECOND)
                self.at(when, self.close_number, number)
        # Whoever has none is connected again.
        self.at(12 * SECOND, lambda now: None if self.open else self.second(now, 0))
        for number in range(END // (200 * MS)):
            self.at(number * 200 * MS, self.tick)
        stop = END if rng.random() < 0.6 else int(rng.uniform(4.0, 14.0) * SECOND)
        while self.queue and self.queue[0][0] < stop:
            now, _, act, args = heapq.heappop(self.queue)
            self.clock.now = max(self.clock.now, T0 + now)
            act(now, *args)
        self.stopped = max(self.clock.now, T0 + stop)
        self.session.stop(self.stopped)
        self.session.settle()
        for rows in self.session.take(self.stopped).rows.values():
            self.rows += rows

    def close_number(self, now, number):
        if number < len(self.links):
            self.close(now, self.links[number], "service upgrade")

    def events(self, kind):
        return [row for row in self.rows if type(row[4]).__name__ == kind]

    def gaps(self, chain=None, scope="rows"):
        newest = {row[4].gap_id: row[4] for row in self.events("Gap")}
        return [
            gap
            for gap in newest.values()
            if gap.scope == scope and gap.stream in (None, chain and chain.stream)
        ]


def chain_of(item):
    if item[0] == "window":
        return BOOK
    if item[0] == "depth":
        return Chain("BTC_USDT", item[6])
    name = {"trade": "trades", "kline": "klines:1m", "ticker": "tickers"}
    return Chain("BTC_USDT", name.get(item[0], item[0]))


def content(item):
    """Return what an item says, as far as it tells events apart."""
    if item[0] == "window":
        return (True, item[2], item[2])
    if item[0] == "depth":
        return (item[2] is None, item[2], item[3])
    return tuple(item[2:4]) if item[0] in ("bbo", "kline") else (item[2],)


def stored_content(event):
    kind = type(event).__name__
    if kind == "DepthUpdate":
        return (event.is_snapshot, event.first_update_id, event.last_update_id)
    if kind == "Trade":
        return (event.trade_id,)
    if kind == "Kline":
        return (event.interval, event.close)
    if kind == "Bbo":
        return (event.bid_price, event.update_id)
    return (event.last,)


KINDS = {
    TRADES: "Trade",
    BOOK: "DepthUpdate",
    FULL: "DepthUpdate",
    EACH: "DepthUpdate",
    MINUTES: "Kline",
    TICKERS: "Ticker",
    BBO: "Bbo",
}


def stored(said, chain):
    """Return the stored rows of a chain that came over a connection."""
    return [
        row
        for row in said.events(KINDS[chain])
        if getattr(row[4], "stream", chain.stream) == chain.stream
        and getattr(row[4], "origin", "live") == "live"
    ]


def is_told(said, chain, at, what):
    """Whether a gap says that a row is missing that came at some time."""
    for gap in said.gaps(chain):
        after, before = gap.after_update_id, gap.before_update_id
        if chain in BOOKS and None not in (after, before) and after < what[2] < before:
            return True
        end = gap.ended_at or T0 + 2 * END
        # It was sent before it came: perhaps while nothing was recorded yet.
        if gap.started_at <= at + 1 and at - DELAY_MAX - 1 < end:
            return True
    return False


def check_rows(said):
    for chain in CHAINS:
        rows = stored(said, chain)
        have = Counter(stored_content(row[4]) for row in rows)
        conns = {}
        for row in rows:
            if (event := said.event_of[row[1], row[2]]) is not None:
                what = event, stored_content(row[4])
                conns.setdefault(what, {})[row[1]] = row[0]
        came = [
            (at, conn, content(i)) for at, conn, i in said.came if chain_of(i) == chain
        ]
        if chain in (TICKERS, MINUTES):
            check_counts(said, chain, have, came)
            continue
        for at, conn, what in came:
            assert have[what] or is_told(said, chain, at, what), (chain, conn, what, at)
        for (_, what), who in conns.items():
            # A book that began anew on the second needs what the first brought
            # while it was asked for afresh.
            is_anew = chain in BOOKS and any(
                is_told(said, chain, at, what) for at in who.values()
            )
            assert len(who) == 1 or is_anew, (chain, what, who)
        if chain in (TRADES, BOOK):
            assert max(have.values(), default=1) == 1, (chain, have)


def check_counts(said, chain, have, came):
    """Rows that say the same: no fewer than one connection brought, or a gap."""
    for what in {what for _, _, what in came}:
        most = Counter(conn for _, conn, w in came if w == what).values()
        times = [at for at, _, w in came if w == what]
        if chain == MINUTES:
            assert have[what] or any(is_told(said, chain, at, what) for at in times)
            continue
        is_in_doubt = any(is_told(said, chain, at, what) for at in times)
        assert have[what] >= max(most) or is_in_doubt, (chain, what, have, came)
        assert have[what] <= sum(most)


def check_times(said):
    """Times of receipt never decrease within a connection."""
    last = {}
    for row in sorted(said.rows, key=lambda row: (row[1], row[2])):
        if type(row[4]).__name__ in KINDS.values():
            place = row[1], getattr(row[4], "stream", type(row[4]))
            assert row[0] >= last.get(place, 0), (place, row)
            last[place] = row[0]


def check_books(said, chain):
    """A replay shows the book that the exchange had, or none."""
    events = [
        (row[0], 1, row[1], row[2], row[4])
        for row in said.events("DepthUpdate")
        if row[4].stream == chain.stream
    ]
    events += [
        (gap.started_at, 0, "", 0, gap)
        for scope in ("rows", "book")
        for gap in said.gaps(chain, scope)
    ]
    book, newest = OrderBook(), 0
    for ts_recv, _, _, _, event in sorted(events, key=lambda row: row[:4]):
        if not isinstance(event, DepthUpdate):
            if event.reason != "not_started":
                book.apply(event)
            continue
        bids = tuple(map(tuple, msgspec.json.decode(event.bids)))
        book.apply(msgspec.structs.replace(event, bids=bids, asks=()))
        if book.is_known:
            newest = book.last_update_id
            shown = dict(book.top(9)[0])
            assert shown == said.venue.books[newest], (chain, ts_recv, event)


def check_account(said):
    """Each instant is covered, or missing, and not both."""
    for chain in CHAINS:
        spans = [
            (row[4].started_at, row[4].ended_at)
            for row in said.events("Coverage")
            if row[4].stream == chain.stream
        ]
        spans += [
            (gap.started_at, gap.ended_at or T0 + 2 * END) for gap in said.gaps(chain)
        ]
        spans = sorted(span for span in spans if span[0] < span[1])
        assert spans[-1][1] == T0 + 2 * END
        assert all(one[1] == two[0] for one, two in pairwise(spans)), (chain, spans)


def play(source, clock, seed):
    said = Play(source, clock, seed)
    said.run()
    check_rows(said)
    if "late" not in said.faults:
        check_times(said)
    for chain in BOOKS:
        check_books(said, chain)
    check_account(said)
    return said


@pytest.fixture
def stage(fake, make_clock):
    return lambda: (fake, make_clock(T0))


@settings(
    max_examples=150,  # each takes a few milliseconds
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 1 << 32))
@example(seed=1)
def test_what_either_connection_brings_is_stored_once_or_told(stage, seed):
    play(*stage(), seed)
