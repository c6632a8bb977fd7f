import random
from collections.abc import Iterator

import pytest

from recorder.simulator.book import ASK, BID, LevelChange, OrderBook
from recorder.simulator.window import NetWindow, TopLevels, price_step


def random_changes(seed: int, steps: int) -> Iterator[tuple[OrderBook, LevelChange]]:
    """Yield the book after each change of a level."""
    rng = random.Random(seed)
    book = OrderBook()
    pending: list[tuple[OrderBook, LevelChange]] = []
    for _ in range(steps):
        side = rng.randrange(2)
        book.on_change = lambda change: pending.append((book, change))
        away = 1 if side == ASK else -1
        if rng.random() < 0.55 or not book.order_count(side):
            book.place(side, 1_000 + away * rng.randint(1, 14), rng.randint(1, 9))
        else:
            book.cancel(book.order_at(side, rng.randrange(book.order_count(side))))
        yield from pending
        pending.clear()


def window(book: OrderBook, depth: int) -> list[dict[int, int]]:
    return [dict(book.top(BID, depth)), dict(book.top(ASK, depth))]


def applied(
    base: list[dict[int, int]], frame: tuple[list[tuple[int, int]], ...]
) -> list[dict[int, int]]:
    result = [dict(side) for side in base]
    for side, levels in zip(result, frame, strict=True):
        for price, amount in levels:
            side.pop(price, None)
            if amount:
                side[price] = amount
    return result


@pytest.mark.parametrize("depth", [1, 3, 8, 50])
@pytest.mark.parametrize("seed", range(4))
def test_a_frame_is_exact_from_wherever_in_its_range_one_joins(seed: int, depth: int):
    rng = random.Random(seed)
    net: NetWindow | None = None
    since: list[list[dict[int, int]]] = []
    for book, change in random_changes(seed, 1_500):
        if net is None:
            net = NetWindow(book, depth)
        else:
            net.observe(change)
        if since and rng.random() < 0.5:
            # Somebody is given the book between two frames.
            net.mark_shown()
            since.append(window(book, depth))
        if not since:
            since = [window(book, depth)]
        if rng.random() < 0.2:
            frame = net.collect()
            for base in since:
                assert applied(base, frame) == window(book, depth)
            since = [window(book, depth)]


def test_a_level_that_nobody_was_shown_is_not_removed():
    book = OrderBook()
    net = NetWindow(book, 5)
    book.on_change = net.observe
    book.place(BID, 100, 3)
    book.cancel(book.order_at(BID, 0))

    assert net.collect() == ([], [])


def test_a_level_that_came_and_went_is_removed_if_somebody_was_shown_it():
    book = OrderBook()
    net = NetWindow(book, 5)
    book.on_change = net.observe
    book.place(BID, 100, 3)
    net.mark_shown()
    book.cancel(book.order_at(BID, 0))

    assert net.collect() == ([(100, 0)], [])


def test_evictions_and_back_fills_are_explicit():
    book = OrderBook()
    book.place(ASK, 101, 1)
    book.place(ASK, 102, 2)
    net = NetWindow(book, 2)
    book.on_change = net.observe
    book.place(ASK, 100, 9)

    assert net.collect() == ([], [(100, 9), (102, 0)])
    book.take(BID, 9)
    assert net.collect() == ([], [(100, 0), (102, 2)])


def test_changes_outside_the_window_say_nothing():
    book = OrderBook()
    book.place(ASK, 101, 1)
    net = NetWindow(book, 1)
    book.on_change = net.observe
    book.place(ASK, 105, 1)

    assert net.collect() == ([], [])


def test_prices_are_merged_away_from_the_middle():
    book = OrderBook()
    for price in (109, 112, 120, 131):
        book.place(ASK, price, price)
    for price in (108, 101, 100, 99):
        book.place(BID, price, price)

    top = TopLevels.of(book, limit=2, step=10)

    assert top.asks == {110: 109, 120: 232}
    assert top.bids == {100: 309, 90: 99}


def test_the_difference_of_two_windows_turns_one_into_the_other():
    before = TopLevels({10: 1, 9: 2}, {11: 5, 12: 6})
    after = TopLevels({10: 1, 8: 4}, {11: 7, 13: 6})

    assert after.since(before) == ([(9, 0), (8, 4)], [(11, 7), (12, 0), (13, 6)])
    assert after.since(after) == ([], [])


@pytest.mark.parametrize(
    ("interval", "decimals", "step"),
    [
        ("0", 4, 1),
        ("0.1", 4, 1000),
        ("0.01", 1, 1),
        ("0.00000001", 8, 1),
        ("0.2", 4, None),
        ("1", 4, None),
        ("0.", 4, None),
        ("x", 4, None),
    ],
)
def test_price_step_counts_ticks(interval: str, decimals: int, step: int | None):
    assert price_step(interval, decimals) == step
