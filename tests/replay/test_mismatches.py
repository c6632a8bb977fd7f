"""A book that an audit found wrong is not shown, from when it was right to a snapshot."""

import pytest

from recorder.model import DepthUpdate, Gap
from recorder.replay import OrderBook, bbo, book_at, replay


WHERE = {"source": "gate_spot", "market": "BTC_USDT"}
BIDS, ASKS = [(99.0, 1.0)], [(101.0, 1.0)]


@pytest.fixture
def store(recorded):
    """Updates once a second, and a snapshot that mends the book at 6.5."""
    recorded.image(0.5, 10, BIDS, ASKS)
    for second in range(1, 10):
        recorded.depth(second, 10 + second, 10 + second, [(98.0, second)])
        if second == 5:  # two files: a replay goes on over both
            recorded.segment()
    recorded.image(6.5, 16, BIDS, ASKS)
    recorded.coverage(0, 60)
    recorded.gap(2.5, 6.5, scope="book", reason="audit_mismatch", written_at=6)
    return recorded.listing()


def plainly(store):
    """Return after which messages the plain book is known, fed by a replay."""
    book, known = OrderBook(), []
    for row in replay(store, markets=["BTC_USDT"]):
        if isinstance(row.event, Gap):
            book.apply(row.event)
        elif isinstance(row.event, DepthUpdate):
            book.apply(row.event, conn=row.conn)
            known.append(book.is_known)
    return known


def test_messages_within_the_gap_leave_the_book_unknown(store):
    expected = [True] * 3 + [False] * 4 + [True] * 4

    assert bbo(store, **WHERE)["known"].to_pylist() == expected
    assert plainly(store) == expected


def test_instants_within_the_gap_have_no_book(store, at):
    shown = {
        second: book_at(store, **WHERE, at_ns=at(second)).known
        for second in (2.4, 2.5, 4.5, 6.4, 6.6)
    }

    assert shown == {2.4: True, 2.5: False, 4.5: False, 6.4: False, 6.6: True}


def test_updates_that_were_held_are_in_the_book_that_is_mended(store, at):
    view = book_at(store, **WHERE, at_ns=at(7.5))

    assert view.last_update_id == 17
    assert view.bids == ((99.0, 1.0), (98.0, 7.0))
    assert view.asks == ((101.0, 1.0),)


def test_a_mismatch_that_lasts_hides_the_book_for_good(recorded, at):
    recorded.image(0.5, 10, BIDS, ASKS)
    recorded.depth(1, 11, 11)
    recorded.depth(3, 12, 12)
    recorded.coverage(0, 60)
    recorded.gap(2, scope="book", reason="audit_mismatch")
    listing = recorded.listing()

    assert bbo(listing, **WHERE)["known"].to_pylist() == [True, True, False]
    assert not book_at(listing, **WHERE, at_ns=at(10)).known
