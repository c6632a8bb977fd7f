"""The order book frames of futures, made of books that are moved by hand."""

import json  # noqa: TID251 - the oracle must not share the simulator's decoder
import random
from collections import Counter
from typing import Any

import pytest

from recorder.clock import SystemClock
from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Context, Push
from recorder.simulator.contracts import contract_spec
from recorder.simulator.depth_futures import FuturesDepthSequence, FuturesTopSequence
from recorder.simulator.engine import Market
from recorder.simulator.faults import FaultPlan
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth
from recorder.simulator.wire_futures import FuturesWire


LEVELS = 5


class Reader:
    """A client of the old form: a book, changed as each frame says, in its order."""

    number = 1
    feed = "futures"

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.sides: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}

    def push(self, push: Push) -> bool:
        self.pushes.append(push)
        frame = json.loads(push.payload)
        if frame["event"] == "all":
            told = frame["result"]
            self.sides = {
                side: {level["p"]: level["s"] for level in told[side]}
                for side in self.sides
            }
        else:
            for change in frame["result"]:
                self.change(change)
        return True

    def change(self, change: dict[str, Any]) -> None:
        price, size = change["p"], change["s"]
        bids, asks = self.sides["bids"], self.sides["asks"]
        if size == "0":
            assert (bids.pop(price, None) or asks.pop(price, None)) is not None
        elif size.startswith("-"):
            asks[price] = size[1:]
        else:
            bids[price] = size


class Listener:
    """Keeps what it is told."""

    number = 1
    feed = "futures"

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def push(self, push: Push) -> bool:
        self.results.append(json.loads(push.payload)["result"])
        return True


def made() -> tuple[Market, FuturesWire, Context]:
    market = Market(contract_spec("ETH_USDT").spec, 1, 0)
    wire = FuturesWire(Settings(), random.Random(1), is_decimal=True)
    context = Context(
        clock=SystemClock(),
        plan=FaultPlan([], seed=1, start_ns=0),
        truth=Truth(),
        counters=Counter(),
    )
    return market, wire, context


def changes_of(
    market: Market, wire: FuturesWire, context: Context
) -> FuturesTopSequence:
    return FuturesTopSequence(
        market,
        wire,
        context,
        levels=LEVELS,
        period_ns=10,
        now_ns=0,
        sends_changes=True,
    )


def top(market: Market, levels: int = LEVELS) -> dict[str, dict[str, str]]:
    return {
        name: dict(market.level_texts(market.book.top(side, levels)))
        for name, side in (("bids", BID), ("asks", ASK))
    }


@pytest.mark.parametrize("taker", [BID, ASK])
def test_a_price_that_changed_its_side_is_told_so_that_it_stays(taker):
    """Of a removal no side is told, so it must not come after the new level."""
    market, wire, context = made()
    sequence = changes_of(market, wire, context)
    reader = Reader()
    sequence.publish(5, [reader])
    price, lots = market.book.best(1 - taker) or (0, 0)
    market.book.place(taker, price, lots + 7)
    sequence.publish(15, [reader])

    assert market.book.best(taker) == (price, 7)
    assert reader.sides == top(market)
    (facts,) = reader.pushes[1].facts
    text = market.price_text(price)
    side, other = ("bids", "asks") if taker == BID else ("asks", "bids")
    told = [level for level in facts[side] if level[0] == text]
    assert told == [(text, "0"), (text, market.amount_text(7))]
    assert [level for level in facts[other] if level[0] == text] == [(text, "0")]


@pytest.mark.parametrize("steps", [1, 3, 40, 400])
def test_however_many_steps_a_frame_is_about_the_book_is_right_after_it(steps):
    """A slow machine makes few frames of much."""
    market, wire, context = made()
    sequence = changes_of(market, wire, context)
    reader = Reader()
    sequence.publish(0, [reader])
    for frame in range(1, 61):
        for _ in range(steps):
            market.step(frame)
        sequence.publish(frame, [reader])

        assert reader.sides == top(market)


@pytest.mark.parametrize("redundancy", [0.4, 1.0])
def test_so_many_frames_say_more_than_what_changed(redundancy):
    """They repeat levels, and remove some that nobody has."""
    market, wire, context = made()
    sequence = FuturesDepthSequence(
        market,
        wire,
        context,
        random.Random(2),
        levels=20,
        period_ns=10,
        now_ns=0,
        name="20ms",
        redundancy=redundancy,
    )
    reader = Listener()
    held = {"b": {}, "a": {}}
    for key, levels in zip("ba", top(market, 20).values(), strict=True):
        held[key].update(levels)
    repeating = removing = 0
    for step in range(1, 301):
        market.step(step)
        sequence.publish(step, [reader])
    for update in reader.results:
        repeats = removals = 0
        for key, side in held.items():
            for level in update[key]:
                price, size = level["p"], level["s"]
                if size == "0":
                    removals += side.pop(price, None) is None
                else:
                    repeats += side.get(price) == size
                    side[price] = size
        repeating += repeats > 0
        removing += removals > 0

    frames = len(reader.results)
    assert frames > 100
    assert redundancy * 0.5 < repeating / frames <= redundancy
    assert redundancy * 0.2 < removing / frames <= redundancy
