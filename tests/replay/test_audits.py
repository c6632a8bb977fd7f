"""Snapshots laid beside watched books, against a venue that knows its whole book.

The venue changes one level at a time and numbers the changes. Its feed tells,
frame by frame, of every level whose amount or place within the best `LIMIT` a
side changed meanwhile, with what it is now.
"""

import random
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from recorder.model import Chain, DepthUpdate
from recorder.replay.audits import Difference, Order, differences, told
from recorder.replay.watch import ORDER_NS, BookWatch, warm_up
from recorder.store.batch import build
from recorder.store.tables import TABLES


CHAIN = Chain("BTC_USDT", "depth:100ms")
LIMIT = 5
MIDDLE = 50


class Venue:
    """A book of many levels, and its window after each change."""

    def __init__(self, seed, changes):
        rng = random.Random(seed)
        book = {price: 1.0 for price in range(40, 61) if price != MIDDLE}
        self.windows = [self._window(book)]
        for _ in range(changes):
            price = rng.choice([p for p in range(38, 63) if p != MIDDLE])
            amount = float(rng.choice([0, 0, 1, 2, 3]))
            if amount:
                book[price] = amount
            else:
                book.pop(price, None)
            self.windows.append(self._window(book))

    @staticmethod
    def _window(book):
        bids = sorted((p for p in book if p < MIDDLE), reverse=True)[:LIMIT]
        asks = sorted(p for p in book if p > MIDDLE)[:LIMIT]
        return {p: book[p] for p in (*bids, *asks)}

    def touched(self, first, last):
        """Return the prices that a frame of these ids tells of."""
        return {
            price
            for id_ in range(first, last + 1)
            for price in self.windows[id_].keys() | self.windows[id_ - 1].keys()
            if self.windows[id_].get(price) != self.windows[id_ - 1].get(price)
        }

    def frame(self, first, last):
        now = self.windows[last]
        return message(
            first, last, {p: now.get(p, 0.0) for p in self.touched(first, last)}
        )

    def snapshot(self, id_, **other):
        return message(None, id_, self.windows[id_] | other.get("wrong", {}))

    def order(self, id_, at=0):
        window = self.windows[id_]
        return order_of(window, id_, at)


def order_of(window, id_, at=0):
    return Order(
        CHAIN,
        id_,
        at,
        tuple((float(p), a) for p, a in window.items() if p < MIDDLE),
        tuple((float(p), a) for p, a in window.items() if p > MIDDLE),
        LIMIT,
    )


def message(first, last, levels):
    return DepthUpdate(
        market=CHAIN.market,
        stream=CHAIN.stream,
        ts_event=None,
        is_snapshot=first is None,
        first_update_id=first,
        last_update_id=last,
        bids=tuple((float(p), a) for p, a in levels.items() if p < MIDDLE),
        asks=tuple((float(p), a) for p, a in levels.items() if p > MIDDLE),
        origin="rest" if first is None else "live",
    )


def batch(*events, start=1) -> pa.RecordBatch:
    rows = [(start + n, "run.0", n, 0, e, None) for n, e in enumerate(events)]
    return build(TABLES["depth"], rows).batch


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    warm_up()


@settings(max_examples=150)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(1, 4), min_size=2, max_size=12),
    st.data(),
)
def test_a_right_book_never_differs_and_a_wrong_one_does(seed, widths, data):
    venue = Venue(seed, sum(widths))
    ends = [sum(widths[:n]) for n in range(len(widths) + 1)]
    frames = [venue.frame(first + 1, last) for first, last in pairwise(ends)]
    at = data.draw(st.integers(0, sum(widths)), label="id of the snapshot")
    known_before = data.draw(st.integers(0, len(frames)), label="frames before")
    known_before = min(known_before, sum(end <= at for end in ends) - 1)
    lie = data.draw(st.sampled_from(sorted(venue.windows[0])), label="a wrong level")
    is_wrong = data.draw(st.booleans())
    wrong = {lie: 7.5} if is_wrong else {}

    watch = BookWatch()
    watch.see(batch(venue.snapshot(0, wrong=wrong), *frames[:known_before]))
    watch.compare(venue.order(at))
    rest = frames[known_before:] or [message(at + 1, at + 1, {})]
    watch.see(batch(*rest, start=1_000))
    (compared,) = watch.take_compared()

    assert compared.outcome == "compared"
    assert compared.is_exact == (at in ends)
    end = min(end for end in ends if end >= at)
    begin = max(end_ for end_ in ends if end_ <= at)
    span = venue.touched(begin + 1, end) if at not in ends else set()
    was_told = any(lie in venue.touched(i, i) for i in range(1, end + 1))
    if not is_wrong or was_told:
        assert compared.differences == ()
        return
    same_side = [p for p in venue.windows[at] if (p < MIDDLE) == (lie < MIDDLE)]
    rank = sorted(same_side, key=lambda p: abs(p - MIDDLE)).index(lie)
    moved = sum((p < MIDDLE) == (lie < MIDDLE) for p in span)
    side = "bid" if lie < MIDDLE else "ask"
    expected = Difference(side, float(lie), 7.5, venue.windows[at][lie])
    assert compared.differences == ((expected,) if rank < LIMIT - moved else ())


def test_a_level_that_the_venue_does_not_have_is_a_difference():
    venue = Venue(1, 0)
    order = venue.order(0)
    bids = (*order.bids, (44.5, 3.0), (46.5, 2.0))

    found = differences(order, bids, order.asks)

    assert found == (Difference("bid", 46.5, 2.0, 0.0),)
    assert told(found) == "bid 46.5 is 2 here and 0 there"


def test_levels_beyond_the_window_are_left_alone():
    order = Venue(1, 0).order(0)
    far = ((30.0, 9.0), (20.0, 9.0))

    assert differences(order, order.bids + far, order.asks) == ()


def test_a_side_that_a_snapshot_holds_whole_is_compared_to_its_end():
    window = {49: 1.0, 51: 1.0}

    found = differences(order_of(window, 0), ((49.0, 1.0), (10.0, 1.0)), ((51.0, 1.0),))

    assert found == (Difference("bid", 10.0, 1.0, 0.0),)


def test_a_level_that_is_missing_here_is_a_difference():
    order = Venue(1, 0).order(0)

    found = differences(order, order.bids[1:], order.asks)

    assert [(d.side, d.ours, d.theirs) for d in found] == [("bid", 0.0, 1.0)]


def test_many_differences_are_told_in_short():
    order = Venue(1, 0).order(0)

    assert told(differences(order, (), order.asks)).endswith(", and 2 more levels")


def test_a_snapshot_that_the_book_is_beyond_is_not_compared():
    venue = Venue(3, 4)
    watch = BookWatch()
    watch.see(batch(venue.snapshot(0), venue.frame(1, 2), venue.frame(3, 4)))

    watch.compare(venue.order(2))
    watch.see(batch())

    assert [done.outcome for done in watch.take_compared()] == ["passed"]


def test_a_quiet_book_is_compared_without_another_row():
    venue = Venue(3, 2)
    watch = BookWatch()
    watch.see(batch(venue.snapshot(0), venue.frame(1, 2)))

    watch.compare(order_of({49: 1.0}, 2))
    watch.see(batch())

    (done,) = watch.take_compared()
    assert (done.outcome, done.is_exact, done.ts_recv) == ("compared", True, 2)
    assert done.differences


def test_a_snapshot_waits_for_its_book_for_a_while():
    venue = Venue(3, 4)
    watch = BookWatch()
    watch.see(batch(venue.snapshot(0), venue.frame(1, 2)))
    watch.compare(venue.order(9 - 5, at=5))

    watch.see(batch(venue.frame(3, 3), start=ORDER_NS))
    waiting = watch.take_compared()
    watch.see(batch(message(9, 9, {}), start=ORDER_NS + 10))

    assert waiting == []
    assert [done.outcome for done in watch.take_compared()] == ["unreached"]


@pytest.mark.parametrize("what", ["lost", "counted_anew", "wrong"])
def test_a_break_ends_the_wait(what):
    venue = Venue(3, 4)
    watch = BookWatch()
    watch.see(batch(venue.snapshot(0), venue.frame(1, 2)))
    watch.compare(venue.order(4))
    getattr(watch, what)(CHAIN, 500)

    watch.see(batch(venue.frame(3, 4), start=1_000))

    assert [done.outcome for done in watch.take_compared()] == ["unreached"]


def test_a_wrong_book_is_compared_again_only_after_a_snapshot():
    venue = Venue(3, 6)
    watch = BookWatch()
    watch.see(batch(venue.snapshot(0), venue.frame(1, 2)))
    watch.wrong(CHAIN, 500)

    watch.see(batch(venue.frame(3, 4), venue.snapshot(4), start=1_000))
    watch.compare(venue.order(6))
    watch.see(batch(venue.frame(5, 6), start=2_000))

    (done,) = watch.take_compared()
    assert (done.outcome, done.is_exact, done.differences) == ("compared", True, ())


def test_a_book_that_nobody_saw_is_not_compared():
    watch = BookWatch()

    watch.compare(Venue(3, 0).order(0))
    watch.see(batch())

    assert [done.outcome for done in watch.take_compared()] == ["unreached"]


def test_a_book_that_grows_beyond_its_first_room_is_compared_whole():
    bids = {49 - n / 100: float(n + 1) for n in range(1_500)}
    asks = {51 + n / 100: float(n + 1) for n in range(700)}
    watch = BookWatch()
    few = {price: bids[price] for price in list(bids)[:10]}
    watch.see(batch(message(None, 0, few | asks)))
    watch.see(batch(message(1, 1, {51.0: 5.0, 49.0: 2.5})))
    rows = [message(2 + n, 2 + n, {p: bids[p]}) for n, p in enumerate(bids)]
    watch.see(batch(*rows, start=100))

    window = tuple(sorted(bids.items(), reverse=True))
    kept = tuple((asks | {51.0: 5.0}).items())
    watch.compare(Order(CHAIN, 1_501, 0, window, kept, 2_000))
    watch.see(batch())

    (done,) = watch.take_compared()
    assert (done.outcome, done.differences) == ("compared", ())
