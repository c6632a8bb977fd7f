import random

from recorder.simulator.book import ASK, BID, Fill, LevelChange, OrderBook


def watched() -> tuple[OrderBook, list[LevelChange]]:
    book = OrderBook()
    changes: list[LevelChange] = []
    book.on_change = changes.append
    return book, changes


def test_the_oldest_order_at_a_price_is_hit_first():
    book, _ = watched()
    book.place(ASK, 101, 5)
    book.place(ASK, 101, 7)
    oldest = book.order_at(ASK, 0)

    assert book.take(BID, 6) == [Fill(101, 5), Fill(101, 1)]
    assert book.top(ASK) == [(101, 6)]
    assert book.order_count(ASK) == 1
    assert book.order_at(ASK, 0) != oldest


def test_the_better_price_is_hit_before_the_older_order():
    book, _ = watched()
    book.place(BID, 99, 5)
    book.place(BID, 100, 5)

    assert book.take(ASK, 8) == [Fill(100, 5), Fill(99, 3)]


def test_a_limit_order_trades_up_to_its_price_and_rests_with_the_remainder():
    book, changes = watched()
    book.place(ASK, 101, 5)
    book.place(ASK, 103, 5)

    assert book.place(BID, 102, 8) == [Fill(101, 5)]
    assert book.best(BID) == (102, 3)
    assert book.best(ASK) == (103, 5)
    assert changes[-2:] == [
        LevelChange(ASK, 101, 0, 0, -1),
        LevelChange(BID, 102, 3, 0, 1),
    ]


def test_a_market_order_without_counterpart_leaves_nothing():
    book, changes = watched()

    assert book.take(BID, 5) == []
    assert book.best(BID) is None
    assert changes == []


def test_changes_tell_the_rank_and_whether_a_level_came_or_went():
    book, changes = watched()
    book.place(BID, 100, 1)
    book.place(BID, 98, 2)
    book.place(BID, 99, 3)
    book.place(BID, 99, 4)
    book.cancel(book.worst_orders(BID)[0])

    assert changes == [
        LevelChange(BID, 100, 1, 0, 1),
        LevelChange(BID, 98, 2, 1, 1),
        LevelChange(BID, 99, 3, 1, 1),
        LevelChange(BID, 99, 7, 1, 0),
        LevelChange(BID, 98, 0, 2, -1),
    ]


def test_amount_within_sees_only_the_best_levels():
    book, _ = watched()
    for price in (101, 102, 103):
        book.place(ASK, price, price)

    assert [book.amount_within(ASK, p, 2) for p in (101, 102, 103, 104)] == [
        101,
        102,
        0,
        0,
    ]
    assert book.amount_within(ASK, 103, 3) == 103


def test_applying_the_changes_elsewhere_gives_the_same_book():
    rng = random.Random(3)
    book, changes = watched()
    levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for _ in range(3_000):
        side = rng.randrange(2)
        roll = rng.random()
        if roll < 0.5:
            book.place(side, 1_000 + rng.randint(-30, 30), rng.randint(1, 9))
        elif roll < 0.7:
            book.take(side, rng.randint(1, 20))
        elif book.order_count(side):
            book.cancel(book.order_at(side, rng.randrange(book.order_count(side))))
        for change in changes:
            known = change.price in levels[change.side]
            assert known == (change.shift <= 0)
            levels[change.side].pop(change.price, None)
            if change.amount:
                levels[change.side][change.price] = change.amount
        changes.clear()

        assert book.top(BID) == sorted(levels[BID].items(), reverse=True)
        assert book.top(ASK) == sorted(levels[ASK].items())
        bid, ask = book.best(BID), book.best(ASK)
        assert bid is None or ask is None or bid[0] < ask[0]
