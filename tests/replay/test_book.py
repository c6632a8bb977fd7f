"""The plain order book against a true book whose every change is known."""

import pytest
from hypothesis import given, strategies as st

from recorder.errors import BookError, NotSyncedError
from recorder.model import Bbo, DepthUpdate, Gap
from recorder.replay.book import OrderBook
from recorder.transitions import ADOPT, APPLY, DROP, HOLD, REFUSE, RESTART, SKIP


MIDDLE = 50.0


def depth(first, last, bids=(), asks=(), **other):
    return DepthUpdate(
        **{
            "market": "BTC_USDT",
            "stream": "depth:100ms",
            "ts_event": None,
            "is_snapshot": False,
            "first_update_id": first,
            "last_update_id": last,
            "bids": tuple(bids),
            "asks": tuple(asks),
            **other,
        }
    )


def image(last, bids=(), asks=(), origin="rest"):
    return depth(None, last, bids, asks, is_snapshot=True, origin=origin)


def gap(**other):
    return Gap(
        **{
            "gap_id": "1",
            "market": None,
            "stream": None,
            "job": "job",
            "scope": "rows",
            "reason": "connect_lost",
            "started_at": 1,
            **other,
        }
    )


def state(book):
    return book.top(1000)


class TrueBook:
    """A book that never crosses, kept change by change."""

    def __init__(self, changes):
        self.changes = changes

    def at(self, number):
        """Levels of both sides after a number of changes."""
        levels = dict(self.changes[:number])
        held = sorted((p, a) for p, a in levels.items() if a)
        bids = tuple(reversed([level for level in held if level[0] < MIDDLE]))
        return bids, tuple(level for level in held if level[0] > MIDDLE)

    def update(self, first, last, reverse):
        """Changes first to last, netted; the order of levels means nothing."""
        net = dict(self.changes[first - 1 : last])
        levels = sorted(net.items(), reverse=reverse)
        bids = [level for level in levels if level[0] < MIDDLE]
        return depth(first, last, bids, [x for x in levels if x[0] > MIDDLE])

    def image(self, base, origin="rest"):
        return image(base, *self.at(base), origin=origin)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from([47.0, 48.0, 49.0, 51.0, 52.0, 53.0]),
        st.sampled_from([0.0, 1.0, 2.5]),
    ),
    min_size=1,
    max_size=60,
)
FAULTS = st.sampled_from(["", "", "", "drop", "double", "gap", "rest", "old", "full"])


@given(CHANGES, st.data())
def test_a_known_book_is_the_true_book_whatever_was_missed(changes, data):
    true, book, last, sent = TrueBook(changes), OrderBook(), 0, []

    while last < len(changes):
        first, last = last + 1, min(last + data.draw(st.integers(1, 4)), len(changes))
        fault = data.draw(FAULTS)
        if fault == "drop":
            continue
        if fault == "double" and sent:
            book.apply(data.draw(st.sampled_from(sent)))
        elif fault == "gap":
            book.apply(gap())
            assert not book.is_known
        elif fault == "rest":
            base = data.draw(st.integers(first - 1, len(changes)))
            book.apply(true.image(base))
        elif fault == "old":
            book.apply(true.image(data.draw(st.integers(0, last))))
        elif fault == "full":
            book.apply(true.image(last, origin="live"))
        update = true.update(first, last, data.draw(st.booleans()))
        sent.append(update)
        book.apply(update)

        if book.is_known:
            assert state(book) == true.at(book.last_update_id)
            assert book.last_update_id >= last
            assert book.bbo() == tuple((*side, None)[0] for side in state(book))


@given(CHANGES, st.data())
def test_a_whole_chain_is_known_once_its_snapshot_is_there(changes, data):
    true, book, last = TrueBook(changes), OrderBook(), 0
    asked = data.draw(st.integers(0, 8))

    for number in range(len(changes)):
        if last >= len(changes):
            break
        first, last = last + 1, min(last + data.draw(st.integers(1, 4)), len(changes))
        book.apply(true.update(first, last, data.draw(st.booleans())))
        if number == asked:
            book.apply(true.image(data.draw(st.integers(0, last))))

        assert book.is_known == (number >= asked)
        if book.is_known:
            assert state(book) == true.at(last)


def test_an_unknown_book_has_no_values():
    book = OrderBook()
    book.apply(depth(1, 2, [(1.0, 1.0)]))

    for ask in (
        lambda: book.best_bid,
        lambda: book.best_ask,
        lambda: book.last_update_id,
        book.bbo,
        lambda: book.top(1),
    ):
        with pytest.raises(NotSyncedError, match="aligning"):
            ask()
    assert repr(book) == "<OrderBook BTC_USDT depth:100ms aligning>"


def test_updates_wait_for_their_snapshot_and_are_applied_beyond_its_id():
    book = OrderBook()

    actions = [
        book.apply(depth(5, 6, [(9.0, 1.0)])).action,
        book.apply(depth(7, 8, [(9.0, 2.0)], [(11.0, 0.0)])).action,
        book.apply(image(3)).action,
        book.apply(image(6, [(9.0, 7.0)], [(11.0, 1.0), (12.0, 3.0)])).action,
    ]

    assert actions == [RESTART, HOLD, REFUSE, ADOPT]
    assert book.bbo() == ((9.0, 2.0), (12.0, 3.0))
    assert book.last_update_id == 8


def test_top_is_best_first_and_no_longer_than_the_book():
    book = OrderBook()
    book.apply(image(1, [(1.0, 5.0), (3.0, 6.0), (2.0, 7.0)], [(9.0, 1.0), (8.0, 2.0)]))

    assert book.top(2) == (((3.0, 6.0), (2.0, 7.0)), ((8.0, 2.0), (9.0, 1.0)))
    assert book.top(0) == ((), ())


def test_an_empty_update_moves_the_ids_and_an_empty_side_has_no_best():
    book = OrderBook()
    book.apply(image(1, [(1.0, 5.0)]))

    book.apply(depth(2, 4))

    assert book.last_update_id == 4
    assert book.bbo() == ((1.0, 5.0), None)


def test_removals_of_unknown_prices_are_counted_but_not_those_of_a_snapshot():
    book = OrderBook()
    book.apply(image(1, [(1.0, 5.0), (2.0, 0.0)]))

    book.apply(depth(2, 2, [(3.0, 0.0), (1.0, -0.0)], [(9.0, 0.0)]))

    assert book.unknown_deletes == 2
    assert book.top(9) == ((), ())


def test_the_last_of_repeated_prices_in_a_message_counts():
    book = OrderBook()
    book.apply(image(1, [(1.0, 5.0), (1.0, 6.0)]))

    book.apply(depth(2, 2, [(2.0, 1.0), (2.0, 0.0)], [(9.0, 0.0), (9.0, 4.0)]))

    assert book.top(9) == (((1.0, 6.0),), ((9.0, 4.0),))


@pytest.mark.parametrize("ask", [8.0, 9.0])
def test_a_crossed_or_locked_book_is_not_known_until_the_next_snapshot(ask):
    book = OrderBook()
    book.apply(image(1, [(9.0, 1.0)], [(10.0, 1.0)]))

    crossing = book.apply(depth(2, 2, asks=[(ask, 1.0)]))
    after = book.apply(depth(3, 3, asks=[(ask, 0.0)]))

    assert (crossing.action, after.action) == (DROP, RESTART)
    assert not book.is_known
    assert book.crossings == 1

    book.apply(image(2, [(9.0, 1.0)], [(10.0, 1.0)]))

    assert book.bbo() == ((9.0, 1.0), (10.0, 1.0))
    assert book.last_update_id == 3


def test_a_book_that_was_crossed_among_what_was_held_is_not_known():
    book = OrderBook()
    book.apply(depth(2, 2, bids=[(8.0, 1.0)]))
    book.apply(depth(3, 3, asks=[(7.0, 1.0)]))
    book.apply(depth(4, 4, bids=[(8.0, 0.0)]))

    adopted = book.apply(image(2, [(6.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)]))

    # The ask at 7 may be false: nothing says which of the two levels was.
    assert adopted.action == DROP
    assert not book.is_known
    assert book.crossings == 1


def test_a_crossed_snapshot_is_not_known():
    book = OrderBook()

    assert book.apply(image(1, [(9.0, 1.0)], [(9.0, 1.0)])).action == DROP
    assert not book.is_known


def test_stale_updates_are_counted_and_skipped():
    book = OrderBook()
    book.apply(image(1, [(9.0, 1.0)]))
    book.apply(depth(2, 3, [(9.0, 2.0)]))

    assert book.apply(depth(2, 3, [(9.0, 5.0)])).action == SKIP
    assert book.stale == 1
    assert book.best_bid == (9.0, 2.0)


def test_audit_rows_are_not_applied():
    book = OrderBook()
    book.apply(image(1, [(9.0, 1.0)]))

    assert book.apply(image(50, [(4.0, 1.0)], origin="audit")) is None
    assert book.best_bid == (9.0, 1.0)
    assert book.last_update_id == 1


@pytest.mark.parametrize(
    ("other", "is_known"),
    [
        ({}, False),
        ({"market": "BTC_USDT", "stream": "depth:100ms"}, False),
        ({"market": "ETH_USDT"}, True),
        ({"stream": "trades"}, True),
        ({"scope": "book", "reason": "resync"}, True),
        ({"reason": "sequence_gap"}, True),
        ({"reason": "undecodable"}, True),
        ({"reason": "clock_step"}, True),
        ({"reason": "clock_step", "scope": "times"}, True),
    ],
)
def test_a_gap_hides_the_book_if_it_is_of_its_rows(other, is_known):
    book = OrderBook()
    book.apply(image(1, [(9.0, 1.0)]))

    book.apply(gap(**other))

    assert book.is_known == is_known


def test_a_gap_that_proves_empty_is_over_with_the_next_update():
    book = OrderBook()
    book.apply(image(1, [(9.0, 1.0)]))
    book.apply(gap())

    assert book.apply(depth(2, 2, [(9.0, 3.0)])).action == APPLY
    assert book.best_bid == (9.0, 3.0)


@pytest.mark.parametrize("reason", ["undecodable", "backpressure", "disk_full"])
def test_a_gap_that_ids_decide_hides_a_book_of_which_they_tell_nothing(reason):
    book = OrderBook()
    book.apply(image(5, [(9.0, 1.0)], origin="live"))

    book.apply(gap(reason=reason))
    assert not book.is_known
    book.apply(image(4, [(7.0, 1.0)], origin="live"))
    assert not book.is_known
    book.apply(image(8, [(8.0, 1.0)], origin="live"))

    assert book.best_bid == (8.0, 1.0)


def test_a_gap_that_ids_decide_leaves_a_book_that_updates_have_proved():
    book = OrderBook()
    book.apply(image(5, [(9.0, 1.0)], origin="live"))
    book.apply(depth(6, 6))

    book.apply(gap(reason="undecodable"))

    assert book.is_known


def test_a_gap_before_the_first_message_does_no_harm():
    book = OrderBook()

    assert book.apply(gap(market="BTC_USDT")) is None
    book.apply(gap())
    book.apply(image(1, [(9.0, 1.0)]))

    assert book.is_known


def test_without_ids_a_gap_of_the_book_hides_it_until_the_next_snapshot():
    book = OrderBook()
    book.apply(image(None, [(9.0, 1.0)], origin="live"))
    book.apply(gap(scope="book", reason="resync"))
    book.apply(depth(None, None, [(9.0, 2.0)]))

    assert not book.is_known

    book.apply(image(None, [(8.0, 1.0)], origin="live"))
    book.apply(depth(None, None, [(9.0, 2.0)]))

    assert book.best_bid == (9.0, 2.0)
    assert book.last_update_id is None


def test_without_ids_the_connection_of_the_last_snapshot_is_followed():
    book = OrderBook()
    book.apply(image(None, [(9.0, 1.0)], origin="live"), conn="r.0")
    book.apply(image(None, [(9.0, 1.0)], origin="live"), conn="r.1")

    late = book.apply(depth(None, None, [(9.0, 0.0)]), conn="r.0")
    book.apply(depth(None, None, [(9.5, 1.0)]), conn="r.1")

    assert late is None
    assert book.foreign == 1
    assert book.best_bid == (9.5, 1.0)


def test_with_ids_the_chain_goes_on_over_connections():
    book = OrderBook()
    book.apply(image(1, [(9.0, 1.0)]), conn="r.rest")
    book.apply(depth(2, 2, [(9.0, 2.0)]), conn="r.0")
    book.apply(depth(3, 3, [(9.0, 3.0)]), conn="r.1")

    assert book.best_bid == (9.0, 3.0)


def test_more_updates_than_may_be_held_begin_anew():
    book = OrderBook(held_max=2)
    for number in range(5, 10):
        book.apply(depth(number, number, [(float(number), 1.0)]))

    assert book.apply(image(7)).action == REFUSE
    assert book.apply(image(8)).action == ADOPT
    assert book.top(9)[0] == ((9.0, 1.0),)


def test_another_market_or_stream_is_refused():
    book = OrderBook()
    book.apply(image(1))

    with pytest.raises(BookError, match="BTC_USDT depth:100ms, not of ETH_USDT"):
        book.apply(depth(2, 2, market="ETH_USDT"))
    with pytest.raises(BookError, match="not of BTC_USDT depth:20ms"):
        book.apply(depth(2, 2, stream="depth:20ms"))


def test_what_is_no_message_of_a_book_is_refused_and_changes_nothing():
    book = OrderBook()
    book.apply(image(10, bids=[(49.0, 1.0)]))
    bbo = Bbo(market="BTC_USDT", ts_event=None, bid_price=1.0)

    with pytest.raises(
        BookError, match="takes depth messages and gaps, no Bbo; replay"
    ):
        book.apply(bbo)

    assert book.best_bid == (49.0, 1.0)


def test_a_level_without_a_price_is_refused():
    book = OrderBook()

    with pytest.raises(ValueError, match="without a price"):
        book.apply(image(1, [], [(float("nan"), 1.0)]))
