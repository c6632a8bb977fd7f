"""Whole windows that are not flagged, from the simulator's fault to the book.

The feed decodes what the faulty exchange pushes, the plain book follows it,
and the exchange's own truth judges every state. No sockets, no clocks.
"""

import json  # noqa: TID251 - the oracle must not share the decoders
import random
from collections import Counter

import msgspec
import pytest

from recorder.clock import SystemClock
from recorder.model import Chain
from recorder.replay.book import OrderBook
from recorder.simulator.connection import Context
from recorder.simulator.depth_v4 import DepthSequence
from recorder.simulator.engine import Market
from recorder.simulator.faults import FaultPlan, parse
from recorder.simulator.markets import market_spec
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth
from recorder.simulator.wire_v4 import V4Wire
from recorder.sources import gate_spot


MARKET = "BTC_USDT"
DEPTHS = {"100ms": 100, "20ms": 20}


class Trial:
    """A market, its faulty frames, and a book that is made of them."""

    feed = "v4"

    def __init__(self, interval, *faults, seed=1, era="2026"):
        self.depth = DEPTHS[interval]
        self.market = Market(market_spec(MARKET), seed, 0)
        self.truth = Truth()
        self.truth.watch(self.market)
        context = Context(
            clock=SystemClock(),
            plan=FaultPlan(map(parse, faults), seed=seed, start_ns=0),
            truth=self.truth,
            counters=Counter(),
        )
        wire = V4Wire(Settings(wire_era=era), random.Random(seed))
        self.sequence = DepthSequence(
            self.market, wire, context, depth=self.depth, period_ns=1, now_ns=0
        )
        self.now_ns = 0
        self.chain = Chain(MARKET, f"depth:{interval}")
        self.dialogue = gate_spot.SOURCE.dialogue([self.chain], {})
        self.book = OrderBook()
        self.number = 1

    def push(self, push):
        """Stand for a connection: what is pushed is decoded and applied."""
        for event in self.dialogue.receive(push.payload, 0):
            self.take(event)

    def take(self, event):
        self.book.apply(
            msgspec.structs.replace(
                event, bids=levels(event.bids), asks=levels(event.asks)
            )
        )

    def snapshot(self):
        """Take the book of now as a REST snapshot."""
        bids, asks = self.truth.book_at(MARKET, self.market.update_id, self.depth)
        body = {"id": self.market.update_id, "bids": bids, "asks": asks}
        answer = json.dumps(body).encode()
        self.take(gate_spot.SOURCE.snapshot.decode(self.chain, answer))

    def change(self):
        """Let the market go on to its next change, and publish."""
        before = self.market.update_id
        while self.market.update_id == before:
            self.now_ns += 1_000_000
            self.market.step(self.now_ns)
        self.sequence.publish(self.now_ns, [self])

    def own(self):
        sides = self.truth.book_at(MARKET, self.book.last_update_id, self.depth)
        return tuple(dict(as_floats(side)) for side in sides)

    def known(self):
        return tuple(dict(side) for side in self.book.top(1_000))


def levels(raw):
    return tuple(as_floats(json.loads(bytes(raw))))


def as_floats(pairs):
    return [(float(price), float(amount)) for price, amount in pairs]


@pytest.mark.parametrize("era", ["2021", "2026"])
@pytest.mark.parametrize("interval", ["100ms", "20ms"])
def test_a_window_that_follows_directly_leaves_no_level_that_is_gone(interval, era):
    trial = Trial(interval, "unflagged_full:probability=0.3", seed=5, era=era)
    trial.snapshot()
    following = 0
    for _ in range(400):
        applied = trial.market.update_id
        faults = len(trial.truth.faults)
        trial.change()
        was_struck = len(trial.truth.faults) > faults
        following += was_struck and trial.market.update_id == applied + 1

        assert trial.book.is_known
        assert trial.book.last_update_id == trial.market.update_id
        assert trial.known() == trial.own()
    assert following > 20


def test_a_first_window_makes_the_book_known_at_once():
    trial = Trial("100ms")
    trial.change()
    assert not trial.book.is_known
    trial.push(trial.sequence.image(trial.now_ns))

    assert trial.known() == trial.own()
    for _ in range(50):
        trial.change()
        assert trial.known() == trial.own()


def test_a_window_and_a_snapshot_of_one_change_earlier_make_the_same_book():
    trial = Trial("100ms")
    for _ in range(20):
        trial.book = OrderBook()
        trial.snapshot()
        trial.market.book.cancel(trial.market.book.order_at(0, 0))
        trial.sequence.window.collect()
        trial.push(trial.sequence.image(trial.now_ns))

        assert trial.known() == trial.own()
