"""When a book whose snapshot comes on the socket is believed, and mended."""

import pytest

from recorder.capture.books import Books
from recorder.capture.images import IN_BAND_NS, RESTART_FIRST_NS, RESTART_MAX_NS
from recorder.capture.new_counts import SUSPECTS_MAX, UNCLEAR_MAX
from recorder.model import Chain, Coverage, DepthUpdate, Gap
from recorder.source import BookRule
from recorder.store.ledger import Ledger


FIRST = Chain("BTC_USDT", "depth:first")
EACH = Chain("BTC_USDT", "depth:each")
RULES = {
    FIRST: BookRule(has_ids=True, snapshot="in_band", depth_limit=50),
    EACH: BookRule(has_ids=True, snapshot="each", depth_limit=20),
}
T = 1_000


class Bench:
    """Books with everything they said and stored laid open."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.ledger = Ledger("job", "run", [chain])
        self.rows = []
        self.notes = list(self.ledger.start(0))
        self.books = Books(
            [(chain, RULES[chain])],
            self.ledger,
            lambda *row: self.rows.append(row),
            self.notes.extend,
        )

    def accept(self, at: int) -> None:
        if self.books.accepted(self.chain, at, None):
            self.notes += self.ledger.covered(self.chain, at)

    def full(self, ts: int, last: int | None, level: str = "1") -> None:
        self._event(ts, None, last, level)

    def update(self, ts: int, first: int, last: int) -> None:
        self._event(ts, first, last, "1")

    def _event(self, ts: int, first: int | None, last: int | None, level: str) -> None:
        event = DepthUpdate(
            market=self.chain.market,
            stream=self.chain.stream,
            ts_event=None,
            is_snapshot=first is None,
            first_update_id=first,
            last_update_id=last,
            bids=f'[["{level}","1"]]'.encode(),
            asks=b"[]",
        )
        self.books.event(ts, "run.0", 0, 0, event, b"frame")
        for chain, at in self.books.believed:
            self.notes += self.ledger.covered(chain, at)
        self.books.believed.clear()

    def lose_connection(self, at: int) -> None:
        self.books.lost(self.chain)
        self.notes += self.ledger.lost(self.chain, "connect_lost", at)

    def stored(self) -> list[tuple[int, int | None, int | None]]:
        return [
            (ts, event.first_update_id, event.last_update_id)
            for ts, _, _, _, event, _ in self.rows
        ]

    def gaps(self, scope: str = "rows") -> list[tuple[str, int, int | None]]:
        newest = {g.gap_id: g for g in self.notes if isinstance(g, Gap)}
        return [
            (g.reason, g.started_at, g.ended_at)
            for g in newest.values()
            if g.scope == scope
        ]

    def ids_of_gaps(self) -> list[tuple[int | None, int | None]]:
        newest = {g.gap_id: g for g in self.notes if isinstance(g, Gap)}
        return [
            (g.after_update_id, g.before_update_id)
            for g in newest.values()
            if g.reason == "sequence_gap"
        ]

    def covered(self, until: int) -> list[tuple[int, int]]:
        self.books.stop()
        self.notes += self.ledger.stop(until)
        rows = [row for row in self.notes if isinstance(row, Coverage)]
        return [(row.started_at, row.ended_at) for row in rows]

    @property
    def state(self) -> str:
        return self.books.states()[self.chain]


@pytest.fixture
def first() -> Bench:
    return Bench(FIRST)


@pytest.fixture
def each() -> Bench:
    return Bench(EACH)


# Believing


def test_a_stream_is_believed_from_its_acceptance_once_its_book_came(first):
    first.accept(100)
    assert first.gaps() == [("not_started", 0, None)]

    first.full(150, 7)

    assert first.state == "live"
    assert first.gaps() == [("not_started", 0, 100)]
    assert first.gaps("book") == [("resync", 100, 150)]
    assert first.covered(200) == [(100, 200)]


def test_a_book_may_come_before_the_acceptance(first):
    first.full(80, 7)
    first.update(90, 8, 9)
    assert first.state == "live"

    first.accept(100)
    first.update(110, 10, 10)

    assert first.gaps() == [("not_started", 0, 100)]
    assert first.gaps("book") == []
    assert len(first.stored()) == 3


def test_where_the_book_may_have_been_lost_it_is_believed_from_the_next_one_on(first):
    first.accept(100)
    first.books.unsure(FIRST, 120, "a frame was lost")

    first.full(150, 7)

    assert first.gaps() == [("not_started", 0, 150)]


def test_changes_without_their_book_are_stored_and_not_believed(first):
    first.accept(100)

    first.update(110, 5, 6)
    first.update(120, 7, 7)

    assert first.state == "aligning"
    assert len(first.stored()) == 2
    assert first.gaps() == [("not_started", 0, None)]
    first.full(130, 9)
    assert first.gaps() == [("not_started", 0, 130)]


def test_a_book_that_does_not_come_is_a_gap_from_the_acceptance_on(first):
    first.accept(100)

    assert first.books.take_restarts(99 + IN_BAND_NS) == []
    assert first.books.take_restarts(100 + IN_BAND_NS) == [FIRST]

    assert first.gaps() == [("not_started", 0, 100), ("stale_stream", 100, None)]
    again = 200 + IN_BAND_NS
    first.accept(again)
    first.full(again + 5, 7)
    assert first.gaps()[1:] == [("stale_stream", 100, again)]
    assert first.covered(again + 10) == [(again, again + 10)]


def test_changes_without_their_book_are_no_reason_to_believe_it_in_the_end(first):
    first.accept(100)
    first.update(110, 5, 6)

    assert first.books.take_restarts(100 + IN_BAND_NS) == [FIRST]

    assert first.gaps() == [("not_started", 0, 100), ("stale_stream", 100, None)]


def test_a_stream_that_stays_silent_is_one_gap_and_asked_for_less_and_less(first):
    now, waits = 100, []
    for _ in range(10):
        first.accept(now)
        failed = now + IN_BAND_NS
        assert first.books.take_restarts(failed - 1) == []
        due = failed
        while not first.books.take_restarts(due):
            due += RESTART_FIRST_NS // 2
        waits.append((due - failed) // RESTART_FIRST_NS)
        now = due + 50

    longest = RESTART_MAX_NS // RESTART_FIRST_NS
    assert waits == [0, 1, 2, 4, 8, 16, 32, longest, longest, longest]
    assert first.gaps() == [("not_started", 0, 100), ("stale_stream", 100, None)]


def test_a_stream_whose_request_is_not_answered_stays_in_its_gap(first):
    first.accept(100)
    first.books.take_restarts(100 + IN_BAND_NS)

    first.books.take_restarts(100 + 2 * IN_BAND_NS)

    assert first.gaps()[1:] == [("stale_stream", 100, None)]


def test_a_connection_that_goes_away_takes_the_waiting_with_it(first):
    first.accept(100)

    first.lose_connection(200)

    assert first.books.take_restarts(10**18) == []
    first.accept(300)
    first.full(310, 7)
    assert first.gaps() == [("not_started", 0, 300)]


def test_a_chain_that_goes_on_exactly_after_a_lost_connection_is_believed(first):
    first.accept(100)
    first.full(110, 7)
    first.lose_connection(120)
    first.accept(200)

    first.update(210, 8, 8)

    assert first.state == "live"
    assert first.gaps() == [("not_started", 0, 100), ("connect_lost", 120, 200)]
    assert first.books.take_restarts(10**18) == []


def test_a_stream_of_whole_books_is_believed_from_its_acceptance(each):
    each.accept(100)

    assert each.books.take_restarts(10**18) == []
    assert each.gaps() == [("not_started", 0, 100)]
    assert each.gaps("book") == [("resync", 100, None)]


# Breaks


def live(bench: Bench) -> None:
    """Bring the chain to change 9, received at 120."""
    bench.accept(100)
    bench.full(110, 7)
    bench.update(120, 8, 9)


def test_a_jump_has_the_stream_asked_for_afresh_once(first):
    live(first)

    first.update(130, 12, 13)
    first.update(140, 14, 14)

    assert first.gaps()[1:] == [("sequence_gap", 121, 130)]
    assert first.gaps("book")[1:] == [("resync", 121, None)]
    assert first.books.take_restarts(140) == [FIRST]
    first.update(150, 15, 15)
    assert first.books.take_restarts(160) == []


def test_a_stream_that_is_asked_for_afresh_is_in_a_gap_until_its_book_came(first):
    live(first)
    first.update(130, 12, 13)
    first.books.take_restarts(140)
    assert first.gaps()[1:] == [("sequence_gap", 121, 130), ("sequence_gap", 131, None)]
    assert first.books.doubted == [FIRST]
    first.update(150, 14, 14)

    first.accept(160)
    first.full(170, 20)
    first.update(180, 21, 21)

    assert first.state == "live"
    assert first.gaps()[1:] == [("sequence_gap", 121, 130), ("sequence_gap", 131, 160)]
    assert first.ids_of_gaps() == [(9, 12), (13, None)]
    assert first.gaps("book")[1:] == [("resync", 121, 170)]


def test_so_it_is_when_the_fresh_book_comes_before_the_acceptance(first):
    live(first)
    first.update(130, 12, 13)
    first.books.take_restarts(140)

    first.full(150, 20)
    assert first.gaps()[-1] == ("sequence_gap", 131, None)
    first.accept(160)

    assert first.gaps()[-1] == ("sequence_gap", 131, 160)


def test_a_connection_that_goes_while_a_stream_is_asked_for_afresh_ends_no_gap(first):
    live(first)
    first.update(130, 12, 13)
    first.books.take_restarts(140)

    first.books.lost(FIRST)

    assert first.gaps()[2:] == [("sequence_gap", 131, 131), ("connect_lost", 131, None)]


def test_a_fresh_book_that_does_not_come_is_a_gap_that_goes_on(first):
    live(first)
    first.update(130, 12, 13)
    first.books.take_restarts(140)
    first.accept(160)

    assert first.books.take_restarts(160 + IN_BAND_NS) == [FIRST]

    assert first.gaps()[2:] == [("sequence_gap", 131, 160), ("stale_stream", 160, None)]
    again = 300 + IN_BAND_NS
    first.accept(again)
    first.full(again + 10, 90)
    assert first.state == "live"
    assert first.gaps()[-1] == ("stale_stream", 160, again)
    assert len(first.ids_of_gaps()) == 2


def test_a_book_found_crossed_is_asked_for_afresh_and_may_have_the_same_id(first):
    first.accept(100)
    first.full(110, 7, "9")
    first.books.crossed(FIRST, 110, 7)
    assert first.gaps("book")[1:] == [("crossed", 110, None)]
    assert first.books.take_restarts(120) == [FIRST]
    first.accept(130)

    first.full(140, 7, "1")

    assert first.state == "live"
    assert first.stored() == [(110, None, 7), (140, None, 7)]
    assert first.gaps("book")[1:] == [("crossed", 110, 140)]


# Whole books in between


def test_a_book_in_between_replaces_and_nothing_is_missing(first):
    live(first)

    first.full(130, 20)
    first.update(140, 21, 21)

    assert first.state == "live"
    assert first.gaps() == [("not_started", 0, 100)]
    assert first.books.take_restarts(10**18) == []


def test_its_repetition_is_a_double(first):
    live(first)
    first.full(130, 20)

    first.full(131, 20)

    assert first.stored()[-1] == (130, None, 20)


def test_a_change_that_it_passed_over_is_stored_if_it_comes_late(first):
    live(first)
    first.full(130, 20)

    first.update(140, 12, 14)
    first.update(141, 12, 14)
    first.update(150, 10, 11)
    first.update(160, 21, 21)

    assert first.stored()[-4:] == [
        (130, None, 20),
        (140, 12, 14),
        (150, 10, 11),
        (160, 21, 21),
    ]
    assert first.state == "live"


def test_a_book_that_comes_late_is_stored_and_not_shown(first):
    live(first)

    first.full(130, 8)
    first.update(140, 10, 10)

    assert first.stored()[-2:] == [(130, None, 8), (140, 10, 10)]
    assert first.state == "live"
    assert first.covered(200) == [(100, 200)]


def test_a_book_with_an_older_id_at_the_very_end_is_left_out_and_told(first):
    live(first)

    first.full(130, 8)
    first.lose_connection(140)

    assert first.stored()[-1] == (120, 8, 9)
    assert first.gaps()[1:] == [("sequence_gap", 130, 131), ("connect_lost", 140, None)]
    assert first.ids_of_gaps() == [(9, 8)]
    assert first.gaps("book")[1:] == [("resync", 130, None)]


def test_a_book_and_changes_with_lower_ids_are_a_new_numbering(first):
    first.accept(100)
    first.full(110, 1_007)
    first.update(120, 1_008, 1_009)
    first.full(130, 1)

    for number in range(2, SUSPECTS_MAX + 1):
        first.update(130 + number, number, number)

    assert first.state == "live"
    assert ("sequence_gap", 121, 130) in first.gaps()
    assert first.stored()[2:] == [(130, None, 1)] + [
        (130 + number, number, number) for number in range(2, SUSPECTS_MAX + 1)
    ]
    assert first.books.take_counted_anew() == [(FIRST, 120)]
    assert first.books.take_restarts(10**18) == []


def test_a_book_that_ids_tell_nothing_of_is_doubted_and_asked_for(first):
    first.accept(100)
    first.full(110, 7)

    first.books.unsure(FIRST, 115, "a frame was lost")

    assert first.state == "broken"
    assert first.gaps("book")[1:] == [("resync", 115, None)]
    assert first.books.take_restarts(116) == [FIRST]
    first.update(117, 8, 8)
    assert first.state == "live"
    assert first.gaps("book")[1:] == [("resync", 115, 117)]
    assert not [g for g in first.notes if isinstance(g, Gap) and g.healed_by]


def test_a_book_that_updates_followed_is_not_doubted(first):
    live(first)

    first.books.unsure(FIRST, 125, "a frame was lost")

    assert first.state == "live"


# Whole books only


def test_each_book_replaces_the_one_before_and_older_ones_are_not_shown(each):
    each.accept(100)
    each.full(110, 5)
    each.full(120, 9)
    each.full(130, 7)
    each.full(140, 12)

    assert each.state == "live"
    assert each.stored() == [
        (110, None, 5),
        (120, None, 9),
        (130, None, 7),
        (140, None, 12),
    ]
    assert each.covered(200) == [(100, 200)]
    assert each.gaps("book") == [("resync", 100, 110)]


def test_a_repetition_is_a_double_also_after_others(each):
    each.accept(100)
    for ts, last in ((110, 5), (120, 9), (130, 5), (140, 9), (150, 12)):
        each.full(ts, last)

    assert each.stored() == [(110, None, 5), (120, None, 9), (150, None, 12)]


def test_after_a_lost_connection_the_next_book_is_shown_whatever_its_id(each):
    each.accept(100)
    each.full(110, 9)
    each.lose_connection(120)
    assert each.state == "broken"
    each.accept(200)

    each.full(210, 4)

    assert each.state == "live"
    assert each.gaps("book")[1:] == [("resync", 200, 210)]
    assert each.gaps()[1:] == [("connect_lost", 120, 200)]


def test_after_a_lost_frame_the_book_is_unknown_until_the_next_one(each):
    each.accept(100)
    each.full(110, 9)
    each.full(120, 11)

    each.books.unsure(EACH, 125, "a frame was lost")

    assert each.state == "broken"
    assert each.books.take_restarts(10**18) == []
    each.full(130, 15)
    assert each.state == "live"
    assert each.gaps("book")[1:] == [("resync", 125, 130)]


def test_a_crossed_book_is_mended_by_the_next_one(each):
    each.accept(100)
    for ts, last in ((110, 9), (120, 11), (130, 12), (140, 15)):
        each.full(ts, last)

    each.books.crossed(EACH, 120, 11)

    assert each.state == "live"
    assert each.gaps("book")[1:] == [("crossed", 120, 130)]
    each.books.crossed(EACH, 140, 15)
    assert each.state == "broken"
    assert each.books.take_restarts(10**18) == []
    each.full(150, 16)
    assert each.gaps("book")[2:] == [("crossed", 140, 150)]


def test_books_with_lower_ids_again_and_again_are_a_new_numbering(each):
    each.accept(100)
    each.full(110, 1_000)

    for number in range(1, SUSPECTS_MAX + 1):
        each.full(110 + number, number)

    assert each.state == "live"
    assert each.ids_of_gaps() == [(1_000, 1)]
    assert each.stored()[1:] == [
        (110 + number, None, number) for number in range(1, SUSPECTS_MAX + 1)
    ]


def test_books_whose_ids_make_no_sense_are_told_as_a_new_numbering_in_the_end(each):
    each.accept(100)
    each.full(110, 1_000)

    for number in range(UNCLEAR_MAX):
        each.full(120 + number, 500 - number)

    assert each.ids_of_gaps()[0] == (1_000, 500)
    assert each.stored()[1] == (120, None, 500)


def test_a_book_without_an_id_is_stored_and_shown(each):
    each.accept(100)

    each.full(110, None)
    each.full(120, 5)

    assert each.state == "live"
    assert each.stored() == [(110, None, None), (120, None, 5)]
