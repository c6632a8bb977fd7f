"""The ladder must say what the plain order book says, on every input."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies as st

from recorder.errors import CorruptSegmentError
from recorder.model import DepthUpdate
from recorder.replay.book import OrderBook
from recorder.replay.ladder import Ladder
from recorder.replay.rows import depth_rows
from recorder.store.tables import TABLES


DEPTH = TABLES["depth"].schema


def table(events):
    """Events as rows of ``depth``, with the columns that a ladder reads."""
    return pa.table(
        {
            "is_snapshot": pa.array([e.is_snapshot for e in events], pa.bool_()),
            "first_update_id": pa.array(
                [e.first_update_id for e in events], pa.int64()
            ),
            "last_update_id": pa.array([e.last_update_id for e in events], pa.int64()),
            "bids": levels([e.bids for e in events]),
            "asks": levels([e.asks for e in events]),
            "origin": pa.array([e.origin for e in events], DEPTH.field("origin").type),
        }
    )


def levels(sides):
    pairs = [[{"price": p, "amount": a} for p, a in side] for side in sides]
    return pa.array(pairs, DEPTH.field("bids").type)


def depth(first, last, bids=(), asks=(), *, is_snapshot=False, origin="live"):
    return DepthUpdate(
        market="BTC_USDT",
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=is_snapshot,
        first_update_id=first,
        last_update_id=last,
        bids=tuple(bids),
        asks=tuple(asks),
        origin=origin,
    )


def shown(book):
    """What a row of a ladder says, from the plain book."""
    if not book.is_known:
        return (False, None, None, None, None, -1)
    bid, ask = book.bbo()
    last = book.last_update_id
    none = (None, None)
    return (True, *(bid or none), *(ask or none), -1 if last is None else last)


def rows_of(quoted):
    columns = [[None if x != x else x for x in values.tolist()] for values in quoted]
    return list(zip(*columns, strict=True))


AMOUNTS = st.sampled_from([0.0, -0.0, 1.0, 2.5, 0.1 + 0.2, -1.0])
LOW = st.sampled_from([0.0, -0.0, -1.0, 1.0, 2.0, 2.5, 3.0])
HIGH = st.sampled_from([2.5, 3.0, 3.5, 1e9, 4.0, math.inf])


def sides(prices):
    return st.lists(st.tuples(prices, AMOUNTS), max_size=5)


@st.composite
def messages(draw):
    """Valid sequences with faults of every kind, and what may be lost before."""
    events, lost, applied = [], [], 0
    has_ids = draw(st.booleans())
    for _ in range(draw(st.integers(0, 30))):
        levels = draw(sides(LOW)), draw(sides(HIGH))
        lost.append({0: "lost", 1: "doubted"}.get(draw(st.integers(0, 9)), ""))
        kind = draw(
            st.sampled_from(
                [
                    "next",
                    "next",
                    "next",
                    "next",
                    "jump",
                    "double",
                    "rest",
                    "full",
                    "audit",
                    "bare",
                    "last alone",
                ]
            )
        )
        if not has_ids or kind == "bare":
            is_snapshot = draw(st.integers(0, 3)) == 0
            events.append(depth(None, None, *levels, is_snapshot=is_snapshot))
        elif kind == "last alone":
            applied += draw(st.integers(0, 2))
            events.append(depth(None, applied, *levels))
        elif kind in ("rest", "full", "audit"):
            origin = "live" if kind == "full" else kind
            base = max(0, applied + draw(st.integers(-4, 3)))
            events.append(depth(None, base, *levels, is_snapshot=True, origin=origin))
        else:
            shift = {"next": 0, "jump": draw(st.integers(-2, 3)), "double": -2}[kind]
            first = max(0, applied + 1 + shift)
            applied = first + draw(st.integers(0, 2))
            events.append(depth(first, applied, *levels))
    return events, lost


@settings(max_examples=400, deadline=None)  # the first example compiles
@given(
    messages(), st.lists(st.integers(0, 30), max_size=4), st.sampled_from([2, 3, 99])
)
@example(([], []), [0, 0], 2)
def test_ladder_and_order_book_agree(sequence, cuts, held_max):
    events, lost = sequence
    book = OrderBook(held_max=held_max)
    expected = []
    for event, is_lost in zip(events, lost, strict=True):
        if is_lost:
            getattr(book, is_lost)()
        book.apply(event)
        expected.append(shown(book))

    ladder = Ladder(held_max=held_max)
    whole, found = table(events), []
    bounds = sorted({0, len(events), *(cut for cut in cuts if cut <= len(events))})
    for start, end in zip(bounds, [*bounds[1:], len(events)], strict=True):
        part = whole.slice(start, end - start)
        marks = [
            np.array([mark == name for mark in lost[start:end]], np.bool_)
            for name in ("lost", "doubted")
        ]
        found += rows_of(ladder.follow(depth_rows(part, *marks)))

    assert found == expected
    assert ladder.is_known == book.is_known
    assert ladder.top(99) == (book.top(99) if book.is_known else ((), ()))
    assert ladder.top(2) == (book.top(2) if book.is_known else ((), ()))
    assert ladder.last_update_id == (book.last_update_id if book.is_known else None)
    assert (ladder.unknown_deletes, ladder.stale, ladder.crossings) == (
        book.unknown_deletes,
        book.stale,
        book.crossings,
    )


def test_a_table_in_pieces_is_as_good_as_a_whole_one():
    events = [depth(None, 1, [(1.0, 1.0)], [(2.0, 1.0)], is_snapshot=True)]
    events += [depth(n, n, [(n / 64, float(n))]) for n in range(2, 60)]
    whole = table(events)
    pieces = pa.concat_tables([table(events[:7]), table(events[7:]).slice(0)])

    assert pieces["bids"].num_chunks == 2
    assert rows_of(Ladder().follow(depth_rows(pieces))) == rows_of(
        Ladder().follow(depth_rows(whole))
    )


def test_many_distinct_prices_are_told_apart():
    prices = [1.0 + n / 3 for n in range(20_000)]
    snapshot = depth(None, 1, [(p, p) for p in prices], is_snapshot=True)
    update = depth(2, 2, [(p, 0.0) for p in prices[1::2]])
    ladder = Ladder()

    ladder.follow(depth_rows(table([snapshot, update])))

    assert ladder.top(99_999)[0] == tuple((p, p) for p in reversed(prices[::2]))
    assert ladder.unknown_deletes == 0


def test_lost_between_stretches_hides_the_book_until_it_is_proved():
    ladder = Ladder()
    image = depth(None, 1, [(1.0, 1.0)], is_snapshot=True, origin="rest")
    ladder.follow(depth_rows(table([image])))
    assert (ladder.is_known, ladder.is_proved) == (True, False)

    ladder.lost()

    assert (ladder.is_known, ladder.last_update_id) == (False, None)
    assert ladder.top(1) == ((), ())

    ladder.follow(depth_rows(table([depth(2, 2, [(1.0, 3.0)])])))

    assert (ladder.is_proved, ladder.last_update_id) == (True, 2)
    assert ladder.top(1) == (((1.0, 3.0),), ())


def test_a_doubt_between_stretches_hides_a_book_that_ids_tell_nothing_of():
    def image(base):
        return depth(None, base, [(1.0, float(base))], is_snapshot=True)

    ladder = Ladder()
    ladder.follow(depth_rows(table([image(1)])))

    ladder.doubted()

    assert not ladder.is_known
    ladder.follow(depth_rows(table([image(4)])))
    assert ladder.top(1) == (((1.0, 4.0),), ())
    ladder.follow(depth_rows(table([depth(5, 5)])))
    ladder.doubted()
    assert ladder.is_known


def test_the_second_of_two_images_is_proved():
    ladder = Ladder()
    images = [depth(None, base, [(1.0, 1.0)], is_snapshot=True) for base in (3, 5)]

    ladder.follow(depth_rows(table(images[:1])))
    assert not ladder.is_proved
    ladder.follow(depth_rows(table(images[1:])))

    assert ladder.is_proved


@pytest.mark.parametrize(
    ("event", "ids"),
    [
        (depth(5, 4), "5 to 4"),
        (depth(5, None), "5 to -1"),
        (depth(None, -4), "-1 to -4"),
        (depth(-5, -4), "-5 to -4"),
        (depth(None, -4, is_snapshot=True), "-1 to -4"),
    ],
)
def test_impossible_ids_are_an_error_not_a_book(event, ids):
    with pytest.raises(CorruptSegmentError, match=f"impossible update ids: {ids}"):
        Ladder().follow(depth_rows(table([event])))


def test_a_level_without_a_price_is_an_error_not_a_book():
    with pytest.raises(CorruptSegmentError, match="without a price"):
        Ladder().follow(depth_rows(table([depth(1, 1, [(math.nan, 1.0)])])))


def test_an_amount_that_is_not_a_number_removes_as_in_the_plain_book():
    events = [
        depth(None, 1, [(1.0, 1.0), (2.0, 1.0)], is_snapshot=True),
        depth(2, 2, [(2.0, math.nan)]),
    ]
    book, ladder = OrderBook(), Ladder()
    for event in events:
        book.apply(event)

    ladder.follow(depth_rows(table(events)))

    assert ladder.top(9) == book.top(9) == (((1.0, 1.0),), ())
