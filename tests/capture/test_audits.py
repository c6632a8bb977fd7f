"""When books are audited, and what follows from what was found."""

import logging

import msgspec
import pytest

from recorder.capture import audits
from recorder.capture.audits import AGAIN_MIN_NS, SHARE
from recorder.capture.doubles import Doubles
from recorder.capture.session import Session
from recorder.model import Chain, Gap
from recorder.replay.audits import Compared, Difference
from recorder.source import HttpRequest
from recorder.store.ledger import Ledger


SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
ONE, TWO = Chain("BTC_USDT", "depth:10"), Chain("ETH_USDT", "depth:10")
BARE = Chain("BTC_USDT", "depth:bare")
IMAGE = Chain("BTC_USDT", "depth:full")
CHAINS = [ONE, TWO, BARE, IMAGE, Chain("BTC_USDT", "trades")]
EVERY = 20
GHOST = Difference("bid", 99.0, 3.0, 0.0)


class Bench:
    """A session whose books are known, and its audits."""

    def __init__(self, fake, clock, every=EVERY):
        self.clock = clock
        self.session = Session(
            fake,
            {},
            CHAINS,
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", CHAINS),
            doubles=Doubles(),
            audit_seconds=every,
        )
        self.audits = self.session.audits
        self.link = self.session.opened("run.0", "ws://x/", CHAINS, T0)
        self.frame(T0 + 1, ["ok", CHAINS])
        for chain in (ONE, TWO):
            self.update(T0 + 2, 5, 6, chain)
            self.snapshot(T0 + 3, 5, chain)

    def frame(self, at, *items):
        self.session.frame(self.link, at, msgspec.json.encode(items), opcode="text")

    def update(self, at, first, last, chain=ONE):
        self.frame(at, ["depth", chain.market, first, last])

    def snapshot(self, at, base, chain=ONE):
        epoch = self.session.books[chain].epoch
        body = msgspec.json.encode([base, [], []])
        ask = HttpRequest(path="/book")
        self.session.snapshots.take(chain, epoch, ask, at, body)

    def asked(self, *seconds):
        """Return who is asked for at these times."""
        return [self.audits.next_due(T0 + int(s * SECOND)) for s in seconds]

    def answer(self, at, base, bids=(), chain=ONE):
        body = msgspec.json.encode([base, bids, []])
        self.audits.take(chain, at, body)
        return self.audits.take_orders()

    def settle(self, order, at, *differences, is_exact=True, outcome="compared"):
        done = Compared(order, outcome, at, is_exact, differences)
        self.audits.settle([done], at + SECOND)

    def gaps(self):
        self.rows = self.session.take(self.clock.now_ns()).rows
        gaps = [row[4] for row in self.rows.get(("gaps", "fake"), [])]
        return [g for g in gaps if isinstance(g, Gap) and g.reason == "audit_mismatch"]


@pytest.fixture
def bench(fake, make_clock):
    return Bench(fake, make_clock(T0))


def test_audits_are_spread_over_the_interval(bench):
    times = [n / 2 for n in range(1, 125)]

    whom = zip(times, bench.asked(*times), strict=True)
    asked = [(at, who) for at, who in whom if who]

    assert bench.audits.total == 2  # the others have no ids, or no snapshot by HTTP
    assert [who for _, who in asked] == [ONE, TWO] * 3
    assert [at for at, _ in asked] == pytest.approx([10, 20, 30, 40, 50, 60], abs=2)


def test_nothing_is_audited_when_told_so(fake, make_clock):
    bench = Bench(fake, make_clock(T0), every=0)

    assert bench.audits.total == 0
    assert bench.asked(1, 100, 1_000) == [None] * 3


def test_audits_take_a_share_of_what_the_venue_allows(fake, make_clock):
    slow = msgspec.structs.replace(fake, rest_per_second=2.0)
    bench = Bench(slow, make_clock(T0), every=1)

    asked = bench.asked(*(n / 100 for n in range(100, 1_100)))

    assert sum(who is not None for who in asked) <= 10 * 2.0 * SHARE + 1


def test_a_book_that_is_not_known_is_not_audited(bench):
    bench.update(T0 + 4, 9, 9)  # 7 and 8 are missing

    assert bench.asked(11) == [None]


def test_an_answer_for_a_book_that_was_lost_meanwhile_is_left_alone(bench):
    assert bench.asked(11) == [ONE]
    bench.update(T0 + 12 * SECOND, 9, 9)

    assert bench.answer(T0 + 13 * SECOND, 9) == []


def test_an_answer_becomes_an_order_to_compare(bench):
    bench.asked(11)

    (order,) = bench.answer(T0 + 12 * SECOND, 8, [["99", "3"]])

    assert order.chain == ONE
    assert (order.last_update_id, order.limit) == (8, 10)
    assert (order.bids, order.asks) == (((99.0, 3.0),), ())


def test_no_more_is_asked_for_than_may_wait_for_the_disk(bench, monkeypatch):
    monkeypatch.setattr(audits, "ORDERS_MAX", 2)
    for at, chain in ((11, ONE), (21, TWO)):
        assert bench.asked(at) == [chain]
        body = msgspec.json.encode([8, [["99", "3"]], []])
        bench.audits.take(chain, T0 + at * SECOND, body)

    assert bench.asked(31, 41, 1_000) == [None] * 3
    assert [order.chain for order in bench.audits.take_orders()] == [ONE, TWO]
    assert bench.asked(1_001) == [ONE]


@pytest.mark.parametrize("body", [b"<html>", b"[-4, [], []]", b'[5, [["x", "1"]], []]'])
def test_an_answer_of_no_use_is_asked_for_again(bench, body):
    bench.asked(11)

    bench.audits.take(ONE, T0 + 11 * SECOND, body)

    assert bench.audits.take_orders() == []
    assert bench.asked(11.5, 12.5) == [None, ONE]


def test_what_could_not_be_compared_is_asked_for_again_later_each_time(bench):
    bench.asked(11)
    at = T0 + 11 * SECOND
    waits = []
    for _ in range(4):
        (order,) = bench.answer(at, 8)
        bench.settle(order, at, outcome="passed")
        now = at + SECOND
        while bench.audits.next_due(now) != ONE:
            now += SECOND // 10
        waits.append(now - at - SECOND)
        at = now

    assert waits == pytest.approx(
        [AGAIN_MIN_NS * n for n in (1, 2, 4, 8)], abs=SECOND // 2
    )


def test_agreement_is_counted_and_told(bench, caplog):
    caplog.set_level(logging.INFO, "recorder")
    bench.asked(11)
    (order,) = bench.answer(T0 + 12 * SECOND, 6)

    bench.settle(order, T0 + 12 * SECOND)
    bench.audits.settle([], T0 + 40 * SECOND)
    bench.audits.settle([], T0 + 80 * SECOND)

    assert (bench.audits.equal, bench.audits.mismatched) == (1, 0)
    told = [r for r in caplog.records if "books audited" in r.getMessage()]
    assert len(told) == 1
    assert bench.gaps() == []


def test_a_proved_difference_is_a_gap_and_a_resync_of_that_book_alone(bench):
    bench.asked(11)
    (order,) = bench.answer(T0 + 12 * SECOND, 6, [["98", "1"]])

    bench.settle(order, T0 + 12 * SECOND, GHOST)

    (gap,) = bench.gaps()
    assert (gap.market, gap.stream, gap.scope) == (*ONE, "book")
    # It was right when its snapshot came, and perhaps never again.
    assert (gap.started_at, gap.ended_at) == (T0 + 4, None)
    assert gap.detail == "at update 6: bid 99 is 3 here and 0 there"
    ((_, _, _, _, evidence, _),) = [
        row for row in bench.rows["depth", "fake"] if row[4].origin == "audit"
    ]
    assert evidence.last_update_id == 6
    books = bench.session.books
    assert books.states()[ONE] == "broken"
    assert books.states()[TWO] == "live"
    assert books.take_wrong() == [(ONE, T0 + 2)]
    assert books.next_due(T0 + 14 * SECOND) == (ONE, books[ONE].epoch)
    bench.snapshot(T0 + 15 * SECOND, 6)
    assert books.states()[ONE] == "live"
    (ended,) = bench.gaps()
    assert (ended.gap_id, ended.ended_at) == (gap.gap_id, T0 + 15 * SECOND)


def test_a_gap_begins_after_the_last_audit_that_agreed(bench):
    bench.asked(11)
    (order,) = bench.answer(T0 + 12 * SECOND, 6)
    bench.update(T0 + 5 * SECOND, 7, 8)
    bench.settle(order, T0 + 5 * SECOND)
    bench.update(T0 + 13 * SECOND, 9, 9)
    (order,) = bench.answer(T0 + 14 * SECOND, 9)

    bench.settle(order, T0 + 13 * SECOND, GHOST)

    (gap,) = bench.gaps()
    assert gap.started_at == T0 + 5 * SECOND + 1


def test_a_difference_across_an_update_is_believed_when_it_is_seen_twice(bench):
    bench.asked(11)
    (order,) = bench.answer(T0 + 12 * SECOND, 6)
    other = Difference("ask", 101.0, 1.0, 2.0)
    bench.settle(order, T0 + 12 * SECOND, GHOST, is_exact=False)
    first = bench.gaps()
    (order,) = bench.answer(T0 + 14 * SECOND, 6)
    bench.settle(order, T0 + 14 * SECOND, other, is_exact=False)
    second = bench.gaps()
    (order,) = bench.answer(T0 + 16 * SECOND, 6)
    bench.settle(order, T0 + 16 * SECOND, GHOST, other, is_exact=False)

    (gap,) = bench.gaps()
    assert first == second == []
    assert gap.detail == "at update 6: ask 101 is 1 here and 2 there"
    assert bench.audits.mismatched == 1


def test_agreement_in_between_ends_a_suspicion(bench):
    bench.asked(11)
    for found in ((GHOST,), (), (GHOST,)):
        (order,) = bench.answer(T0 + 12 * SECOND, 6)
        bench.settle(order, T0 + 12 * SECOND, *found, is_exact=False)

    assert bench.gaps() == []


def test_a_book_that_was_mended_meanwhile_was_not_known_until_then(bench):
    bench.asked(11)
    (order,) = bench.answer(T0 + 12 * SECOND, 6)
    bench.update(T0 + 13 * SECOND, 9, 9)  # 7 and 8 are missing
    bench.snapshot(T0 + 14 * SECOND, 9)

    bench.settle(order, T0 + 12 * SECOND, GHOST)

    (gap,) = bench.gaps()
    assert (gap.started_at, gap.ended_at) == (T0 + 4, T0 + 14 * SECOND)
    assert bench.session.books.states()[ONE] == "live"


def test_a_failed_request_is_tried_again(bench):
    assert bench.asked(11) == [ONE]

    bench.audits.failed(ONE, "HTTP 502", T0 + 11 * SECOND)

    assert bench.asked(11.5, 12.5) == [None, ONE]
