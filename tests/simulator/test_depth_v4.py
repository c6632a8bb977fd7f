import json  # noqa: TID251 - the oracle must not share the simulator's decoder
import random
from collections import Counter
from typing import Any

from recorder.clock import SystemClock
from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Context, Push
from recorder.simulator.depth_v4 import DepthSequence
from recorder.simulator.engine import Market
from recorder.simulator.faults import FaultPlan, parse
from recorder.simulator.markets import market_spec
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth
from recorder.simulator.wire_v4 import V4Wire


class Reader:
    """Stands for a connection: keeps what it is pushed."""

    number = 1
    feed = "v4"

    def __init__(self) -> None:
        self.pushes: list[Push] = []

    def push(self, push: Push) -> bool:
        self.pushes.append(push)
        return True

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(push.payload)["result"] for push in self.pushes]


def made(*faults: str) -> tuple[Market, DepthSequence, Truth]:
    market = Market(market_spec("BTC_USDT"), 1, 0)
    truth = Truth()
    context = Context(
        clock=SystemClock(),
        plan=FaultPlan(map(parse, faults), seed=1, start_ns=0),
        truth=truth,
        counters=Counter(),
    )
    wire = V4Wire(Settings(wire_era="2021"), random.Random(1))
    sequence = DepthSequence(market, wire, context, depth=100, period_ns=10, now_ns=0)
    return market, sequence, truth


def test_a_frame_nets_all_changes_since_the_one_before():
    market, sequence, _ = made()
    reader = Reader()
    bid = market.book.best(BID)
    assert bid is not None
    first = market.update_id + 1
    market.book.place(BID, bid[0] - 1, 7_000_000)
    market.book.place(BID, bid[0] - 1, 1_000_000)
    sequence.publish(5, [reader])

    (update,) = reader.results()
    assert (update["U"], update["u"]) == (first, market.update_id)
    assert [level for level in update["b"] if level[1] != "0"] == [
        [
            market.price_text(bid[0] - 1),
            market.amount_text(market.book.amount_within(BID, bid[0] - 1, 100)),
        ]
    ]
    assert sequence.due_ns == 15


def test_a_book_that_did_not_change_has_nothing_to_say():
    _, sequence, _ = made()
    reader = Reader()
    sequence.publish(5, [reader])

    assert reader.pushes == []


def test_a_closed_sequence_watches_no_more():
    market, sequence, _ = made()
    sequence.close()

    assert market.observers == []


def test_a_book_without_asks_cannot_be_crossed():
    market, sequence, truth = made("crossed")
    reader = Reader()
    market.book.take(BID, 10**12)
    sequence.publish(5, [reader])

    assert len(reader.pushes) == 1
    assert truth.faults == []


def image_of(sequence: DepthSequence) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(sequence.image(5).payload)["result"]
    return result


def test_an_image_is_the_window_and_nothing_else():
    market, sequence, _ = made()
    bid = market.book.best(BID)
    assert bid is not None
    market.book.take(ASK, bid[1])
    image = image_of(sequence)

    assert image["U"] == image["u"] == market.update_id
    assert "full" not in image
    for side, key in ((BID, "b"), (ASK, "a")):
        own = market.level_texts(market.book.top(side, 100))
        assert image[key] == [list(level) for level in own]
        assert all(amount != "0" for _, amount in image[key])


def test_an_image_names_no_level_that_was_pushed_out_of_the_window():
    market, sequence, _ = made()
    bid = market.book.best(BID)
    assert bid is not None
    for price in range(bid[0], bid[0] - 300, -1):
        market.book.place(BID, price, 1)
    tail = market.book.top(BID, 100)[-1]
    market.book.place(BID, bid[0] + 1, 1)
    image = image_of(sequence)

    assert len(image["b"]) == 100
    assert market.price_text(tail[0]) not in dict(image["b"])
