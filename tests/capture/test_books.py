"""When a recorded book is known, and what is done to make it so."""

import pytest

from recorder.capture.backlog import ANEW, BACKLOG_NS
from recorder.capture.books import (
    FIRST_ASK_NS,
    QUIET_ASK_NS,
    Books,
)
from recorder.capture.depth_chain import FIRST_RETRY_NS, GAPS_REMEMBERED, YOUNGER_NS
from recorder.capture.images import IN_BAND_NS
from recorder.capture.new_counts import SUSPECTS_MAX
from recorder.continuity import Continuity
from recorder.model import Chain, DepthUpdate, Gap
from recorder.source import BookRule
from recorder.store.ledger import Ledger


MS = 1_000_000
IDS = Chain("BTC_USDT", "depth:100ms")
BARE = Chain("BTC_USDT", "depth:30")
BY_REST = BookRule(has_ids=True, snapshot="rest", depth_limit=100)
IN_BAND = BookRule(has_ids=False, snapshot="in_band", depth_limit=30)


class Bench:
    """Books with everything they said and stored laid open."""

    def __init__(self) -> None:
        self.ledger = Ledger("job", "run", [IDS, BARE])
        self.rows = []
        self.notes = []
        self.books = Books(
            [(IDS, BY_REST), (BARE, IN_BAND)],
            self.ledger,
            lambda *row: self.rows.append(row),
            self.notes.extend,
        )

    def accept(self, chain: Chain, at: int, ts_event: int | None = None) -> None:
        self.books.accepted(chain, at, ts_event)
        self.notes += self.ledger.covered(chain, at)

    def update(self, ts: int, first: int, last: int) -> bool:
        event = DepthUpdate(
            market=IDS.market,
            stream=IDS.stream,
            ts_event=None,
            is_snapshot=False,
            first_update_id=first,
            last_update_id=last,
            bids=b"[]",
            asks=b"[]",
        )
        return self.books.event(ts, "run.0", 0, 0, event, b"frame")

    def full(self, ts: int, last: int, first: int | None = None) -> None:
        event = DepthUpdate(
            market=IDS.market,
            stream=IDS.stream,
            ts_event=None,
            is_snapshot=True,
            first_update_id=first,
            last_update_id=last,
            bids=b"[]",
            asks=b"[]",
        )
        self.books.event(ts, "run.0", 0, 0, event, b"frame")

    def bare(self, ts: int, *, is_clean: bool) -> None:
        event = DepthUpdate(
            market=BARE.market,
            stream=BARE.stream,
            ts_event=None,
            is_snapshot=is_clean,
            first_update_id=None,
            last_update_id=None,
            bids=b"[]",
            asks=b"[]",
        )
        self.books.event(ts, "run.0", 0, 0, event, b"frame")

    def rest(self, ts: int, epoch: int, base: int, ts_event: int | None = None) -> None:
        event = DepthUpdate(
            market=IDS.market,
            stream=IDS.stream,
            ts_event=ts_event,
            is_snapshot=True,
            first_update_id=None,
            last_update_id=base,
            bids=b"[]",
            asks=b"[]",
            origin="rest",
        )
        self.books.snapshot(IDS, epoch, ts, "run.rest", 0, event, b"body")

    def stored(self) -> list[tuple[int, int | None, int | None]]:
        return [
            (ts, event.first_update_id, event.last_update_id)
            for ts, _, _, _, event, _ in self.rows
        ]

    def gaps(self) -> list[tuple[str, str, int, int | None]]:
        newest = {g.gap_id: g for g in self.notes if isinstance(g, Gap)}
        return [(g.scope, g.reason, g.started_at, g.ended_at) for g in newest.values()]

    def state(self) -> str:
        return self.books.states()[IDS]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_snapshot_that_reaches_back_makes_the_book_known(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    bench.update(20, 8, 9)

    assert bench.books.next_due(10 + FIRST_ASK_NS) == (IDS, 0)
    bench.rest(30, 0, 6)

    assert bench.state() == "live"
    assert bench.stored() == [(10, 5, 7), (20, 8, 9), (30, None, 6)]
    assert bench.gaps() == [("book", "resync", 0, 30)]


def test_a_snapshot_that_is_too_old_is_asked_for_again_and_not_stored(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    bench.books.next_due(10 + FIRST_ASK_NS)

    bench.rest(30, 0, 3)

    assert bench.state() == "aligning"
    assert bench.stored() == [(10, 5, 7)]
    assert bench.books.next_due(29 + FIRST_RETRY_NS) is None
    assert bench.books.next_due(30 + FIRST_RETRY_NS) == (IDS, 0)


def test_retries_come_at_growing_distances(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    bench.books.next_due(10 + FIRST_ASK_NS)
    bench.books.snapshot_failed(IDS, 0, 100)
    assert bench.books.next_due(100 + FIRST_RETRY_NS) == (IDS, 0)

    bench.books.snapshot_failed(IDS, 0, 200)

    assert bench.books.next_due(200 + FIRST_RETRY_NS) is None
    assert bench.books.next_due(200 + FIRST_RETRY_NS * 3 // 2) == (IDS, 0)


def test_a_quiet_market_is_known_when_the_venues_clock_proves_the_snapshot(bench):
    bench.accept(IDS, 0, ts_event=1_000)

    assert bench.books.next_due(QUIET_ASK_NS - 1) is None
    assert bench.books.next_due(QUIET_ASK_NS) == (IDS, 0)
    bench.rest(QUIET_ASK_NS + 5, 0, 44, ts_event=1_000 + YOUNGER_NS)

    assert bench.state() == "live"
    assert bench.stored() == [(QUIET_ASK_NS + 5, None, 44)]


def test_a_cached_snapshot_of_a_quiet_market_is_not_believed(bench):
    bench.accept(IDS, 0, ts_event=1_000)
    bench.books.next_due(QUIET_ASK_NS)

    bench.rest(QUIET_ASK_NS + 5, 0, 44, ts_event=999 + YOUNGER_NS)

    assert bench.state() == "unsynced"
    assert bench.stored() == []
    assert bench.books.next_due(QUIET_ASK_NS + 5 + FIRST_RETRY_NS) == (IDS, 0)


def test_an_update_that_follows_proves_a_waiting_snapshot(bench):
    bench.accept(IDS, 0)
    bench.books.next_due(QUIET_ASK_NS)
    bench.rest(QUIET_ASK_NS + 5, 0, 44)
    assert bench.state() == "unsynced"

    bench.update(QUIET_ASK_NS + 900, 45, 46)

    assert bench.state() == "live"
    assert bench.stored() == [
        (QUIET_ASK_NS + 5, None, 44),
        (QUIET_ASK_NS + 900, 45, 46),
    ]
    assert bench.gaps() == [("book", "resync", 0, QUIET_ASK_NS + 5)]


def test_a_snapshot_that_came_before_all_updates_is_the_book_from_then_on(bench):
    bench.accept(IDS, 0)
    bench.books.next_due(QUIET_ASK_NS)
    bench.rest(QUIET_ASK_NS + 5, 0, 44)

    bench.update(QUIET_ASK_NS + 800, 40, 42)
    bench.update(QUIET_ASK_NS + 900, 43, 46)

    # So a replay sees it, which knows that the snapshot was proven.
    assert bench.state() == "live"
    assert bench.gaps() == [("book", "resync", 0, QUIET_ASK_NS + 5)]


def test_an_update_beyond_a_waiting_snapshot_disproves_it(bench):
    bench.accept(IDS, 0)
    bench.books.next_due(QUIET_ASK_NS)
    bench.rest(QUIET_ASK_NS + 5, 0, 44)

    bench.update(QUIET_ASK_NS + 900, 47, 48)

    assert bench.state() == "aligning"
    assert bench.stored() == [(QUIET_ASK_NS + 900, 47, 48)]
    assert bench.books.next_due(QUIET_ASK_NS + 900 + FIRST_ASK_NS) == (IDS, 0)


def live(bench: Bench) -> None:
    """Bring the chain to update 9, received at 20."""
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    bench.books.next_due(10 + FIRST_ASK_NS)
    bench.rest(15, 0, 6)
    bench.update(20, 8, 9)


def test_a_jump_is_a_gap_of_rows_and_of_the_book(bench):
    live(bench)

    bench.update(50, 13, 14)

    assert bench.state() == "aligning"
    assert bench.gaps()[1:] == [
        ("rows", "sequence_gap", 21, 50),
        ("book", "resync", 21, None),
    ]
    bench.books.next_due(50 + FIRST_ASK_NS)
    bench.rest(60, 0, 12)
    assert bench.state() == "live"
    assert bench.gaps()[2] == ("book", "resync", 21, 60)


def test_a_double_is_not_stored_again(bench):
    live(bench)

    bench.update(30, 8, 9)

    assert bench.stored()[-1] == (20, 8, 9)
    assert bench.state() == "live"


def test_a_long_run_of_stale_updates_means_the_venue_counts_anew(bench):
    bench.accept(IDS, 0)
    bench.update(10, 1_000, 1_000)
    bench.books.next_due(10 + FIRST_ASK_NS)
    bench.rest(15, 0, 1_000)

    for number in range(SUSPECTS_MAX):
        bench.update(100 + number, 1 + number, 1 + number)

    assert bench.state() == "aligning"
    assert ("rows", "sequence_gap", 16, 100) in bench.gaps()
    assert bench.stored()[2:] == [
        (100 + number, 1 + number, 1 + number) for number in range(SUSPECTS_MAX)
    ]
    assert bench.books.take_counted_anew() == [(IDS, 15)]
    assert bench.books.take_counted_anew() == []
    bench.books.next_due(200 + FIRST_ASK_NS)
    bench.rest(210, 1, 1_000)
    assert bench.state() == "aligning"
    bench.books.next_due(300 + FIRST_RETRY_NS)
    bench.rest(310, 1, SUSPECTS_MAX)
    assert bench.state() == "live"


def test_updates_that_may_be_no_doubles_are_stored_when_the_connection_goes(bench):
    live(bench)
    bench.update(30, 3, 3)
    bench.update(31, 4, 4)

    bench.books.lost(IDS)

    assert bench.stored()[-2:] == [(30, 3, 3), (31, 4, 4)]


def test_a_repetition_of_recent_updates_is_no_new_numbering(bench):
    live(bench)
    bench.update(30, 5, 7)
    bench.update(31, 8, 9)

    bench.books.lost(IDS)

    assert bench.stored()[-1] == (20, 8, 9)


def test_a_first_update_that_comes_late_is_stored(bench):
    bench.accept(IDS, 0)
    bench.update(10, 100, 110)
    bench.update(20, 90, 99)

    bench.update(30, 111, 112)
    bench.update(40, 90, 99)
    bench.update(50, 113, 113)

    assert bench.stored() == [
        (10, 100, 110),
        (20, 90, 99),
        (30, 111, 112),
        (50, 113, 113),
    ]


def test_ids_missing_among_updates_that_came_late_are_a_gap(bench):
    bench.accept(IDS, 0)
    bench.update(10, 100, 110)
    bench.update(20, 76, 77)
    bench.update(30, 86, 99)

    bench.update(40, 111, 112)
    bench.update(50, 80, 85)

    assert [row[1:] for row in bench.stored()] == [
        *[(100, 110), (76, 77), (86, 99), (111, 112), (80, 85)]
    ]
    told = [gap for gap in bench.notes if isinstance(gap, Gap) and gap.after_update_id]
    assert [
        (g.reason, g.started_at, g.ended_at, g.after_update_id, g.before_update_id)
        for g in told
    ] == [("sequence_gap", 21, 30, 77, 86)]


def test_ids_missing_between_a_late_update_and_the_first_are_a_gap(bench):
    bench.accept(IDS, 0)
    bench.update(10, 100, 110)
    bench.update(20, 76, 77)

    bench.update(30, 111, 112)
    bench.update(40, 78, 99)

    told = [gap for gap in bench.notes if isinstance(gap, Gap) and gap.after_update_id]
    assert [(g.started_at, g.ended_at, g.healed_by) for g in told] == [
        (11, 20, None),
        (11, 20, "late"),
    ]
    assert [(g.after_update_id, g.before_update_id) for g in told] == [(77, 100)] * 2
    assert bench.stored()[1:] == [(20, 76, 77), (30, 111, 112), (40, 78, 99)]


def test_what_an_earlier_connection_brought_is_a_double(bench):
    live(bench)
    bench.books.lost(IDS)
    bench.accept(IDS, 30)
    bench.update(40, 12, 12)
    bench.update(50, 8, 8)
    bench.update(51, 11, 11)
    bench.update(60, 13, 13)

    assert bench.stored()[3:] == [(40, 12, 12), (51, 11, 11), (60, 13, 13)]


def test_an_update_beyond_a_snapshot_that_was_proven_is_a_gap_of_rows(bench):
    bench.accept(IDS, 0, ts_event=1_000)
    bench.books.next_due(QUIET_ASK_NS)
    bench.rest(QUIET_ASK_NS + 5, 0, 44, ts_event=1_000 + YOUNGER_NS)

    bench.update(QUIET_ASK_NS + 50, 47, 47)

    jumps = [gap for gap in bench.gaps() if gap[1] == "sequence_gap"]
    assert jumps == [("rows", "sequence_gap", 1, QUIET_ASK_NS + 50)]


def test_an_acceptance_of_a_chain_that_goes_on_changes_nothing(bench):
    live(bench)
    bench.books.accepted(IDS, 40, None)

    bench.update(50, 13, 14)

    assert ("rows", "sequence_gap", 21, 50) in bench.gaps()


def test_a_snapshot_ahead_of_the_updates_waits_for_them(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    bench.books.next_due(10 + FIRST_ASK_NS)

    bench.rest(30, 0, 12)
    assert bench.state() == "aligning"
    bench.update(40, 8, 13)

    assert bench.state() == "live"
    assert bench.stored() == [(10, 5, 7), (30, None, 12), (40, 8, 13)]
    assert bench.gaps() == [("book", "resync", 0, 40)]


def test_a_snapshot_that_waits_for_updates_that_do_not_come_is_replaced(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    bench.books.next_due(10 + FIRST_ASK_NS)
    bench.rest(30, 0, 9_000)

    assert bench.books.next_due(30 + FIRST_RETRY_NS) == (IDS, 0)
    bench.rest(50, 0, 7)

    assert bench.state() == "live"
    assert bench.stored() == [(10, 5, 7), (50, None, 7)]


def test_a_chain_that_goes_on_exactly_after_a_lost_connection_missed_nothing(bench):
    live(bench)
    bench.notes += bench.ledger.lost(IDS, "connect_lost", 21)
    assert bench.books.lost(IDS) == 9
    bench.accept(IDS, 100)

    bench.update(110, 10, 11)

    assert bench.state() == "live"
    gaps = [g for g in bench.notes if isinstance(g, Gap) and g.healed_by]
    assert [(g.reason, g.started_at, g.ended_at, g.healed_by) for g in gaps] == [
        ("connect_lost", 21, 100, "sequence")
    ]
    assert bench.gaps()[-1] == ("book", "resync", 100, 110)


def test_a_snapshot_of_before_a_lost_connection_is_thrown_away(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)
    _, epoch = bench.books.next_due(10 + FIRST_ASK_NS)
    bench.books.lost(IDS)

    bench.rest(30, epoch, 6)
    bench.books.snapshot_failed(IDS, epoch, 30)

    assert bench.state() == "broken"
    assert bench.stored() == [(10, 5, 7)]


def test_a_snapshot_for_a_book_that_is_known_is_thrown_away(bench):
    live(bench)

    bench.rest(30, 0, 20)

    assert len(bench.stored()) == 3


def test_a_full_frame_replaces_and_its_repetition_is_a_double(bench):
    live(bench)

    bench.full(30, 15)
    bench.full(31, 15)
    bench.update(40, 16, 17)

    assert bench.state() == "live"
    assert bench.stored()[-2:] == [(30, None, 15), (40, 16, 17)]


def test_a_window_is_stored_once_also_after_others(bench):
    live(bench)

    bench.full(30, 10, first=10)
    bench.full(31, 11, first=11)
    bench.full(32, 10, first=10)

    assert bench.state() == "live"
    assert bench.stored()[-2:] == [(30, 10, 10), (31, 11, 11)]


def test_a_window_that_comes_late_fills_its_gap(bench):
    live(bench)
    bench.update(50, 11, 12)

    bench.full(60, 10, first=10)

    assert bench.stored()[-1] == (60, 10, 10)
    healed = [g.reason for g in bench.notes if isinstance(g, Gap) and g.healed_by]
    assert healed == ["sequence_gap"]
    assert bench.state() == "live"


def test_a_crossed_book_waits_for_a_snapshot_with_all_that_was_received(bench):
    live(bench)

    bench.books.crossed(IDS, 20, 9)

    assert bench.gaps()[-1] == ("book", "crossed", 20, None)
    assert bench.books.next_due(20 + FIRST_ASK_NS) == (IDS, 0)
    bench.rest(40, 0, 8)
    assert bench.state() == "broken"
    bench.books.next_due(40 + FIRST_RETRY_NS)
    bench.rest(50, 0, 9)
    assert bench.state() == "live"
    assert bench.gaps()[-1] == ("book", "crossed", 20, 50)


def test_news_of_a_crossing_before_the_last_snapshot_is_old_news(bench):
    live(bench)

    bench.books.crossed(IDS, 14, 7)

    assert bench.state() == "live"
    assert bench.gaps()[-1] == ("book", "crossed", 14, 15)


def test_a_crossing_of_a_book_that_is_lost_by_now_is_told(bench):
    live(bench)
    bench.update(50, 13, 14)

    bench.books.crossed(IDS, 20, 9)

    assert bench.state() == "aligning"
    assert bench.gaps()[-2:] == [
        ("book", "resync", 21, None),
        ("book", "crossed", 20, 51),
    ]


def test_a_row_that_cannot_be_stored_breaks_its_chain(bench):
    live(bench)

    bench.books.spoiled(IDS, 20, "not a number")

    assert bench.state() == "broken"
    assert ("rows", "undecodable", 20, 21) in bench.gaps()
    assert bench.books.next_due(20 + FIRST_ASK_NS) == (IDS, 0)


def test_the_gap_of_a_row_that_cannot_be_stored_names_its_ids(bench):
    live(bench)

    bench.books.spoiled(IDS, 20, "not a number", (7, 9))

    (gap,) = [row for row in bench.notes if getattr(row, "reason", "") == "undecodable"]
    assert (gap.after_update_id, gap.before_update_id) == (6, 10)


def test_a_book_was_lost_with_a_row_that_could_not_be_stored_not_later(bench):
    bench.accept(BARE, 0)
    bench.bare(10, is_clean=True)
    bench.bare(20, is_clean=False)
    bench.books.unsure(BARE, 25, "a frame was lost")

    bench.books.spoiled(BARE, 10, "not a number")
    bench.bare(30, is_clean=True)

    assert [gap for gap in bench.gaps() if gap[0] == "book"] == [
        ("book", "resync", 0, 10),
        ("book", "resync", 25, 30),
        ("book", "resync", 10, 25),
    ]


def test_a_book_was_lost_where_the_venue_counted_anew_not_later(bench):
    bench.accept(IDS, 0)
    bench.full(10, 50)
    bench.update(20, 8, 8)
    bench.books.unsure(IDS, 25, "a frame was lost")

    bench.books.stop()

    assert ("rows", "sequence_gap", 11, 20) in bench.gaps()
    assert ("book", "resync", 11, 25) in bench.gaps()


def test_an_update_of_lower_ids_that_comes_twice_is_stored_once(bench):
    """That a gap of before lacks such ids as well makes no row of the second."""
    bench.accept(IDS, 0)
    bench.full(10, 10)
    bench.update(20, 107, 109)
    bench.books.lost(IDS)
    bench.accept(IDS, 30)

    bench.update(40, 11, 11)
    bench.update(50, 11, 11)

    assert [ts for ts, _, _ in bench.stored()] == [10, 20, 40]


def test_without_ids_an_image_before_the_acceptance_is_lost_with_the_gap(bench):
    """A replay shows nothing of before the end of a gap."""
    bench.books.accepted(BARE, 0, None)
    bench.books.take_restarts(IN_BAND_NS)
    bench.bare(IN_BAND_NS + 10, is_clean=True)

    bench.books.accepted(BARE, IN_BAND_NS + 20, None)
    was_known = bench.books.states()[BARE] == "live"
    bench.bare(IN_BAND_NS + 30, is_clean=False)
    bench.bare(IN_BAND_NS + 40, is_clean=True)

    assert (was_known, bench.books.states()[BARE]) == (False, "live")
    assert ("book", "resync", IN_BAND_NS + 20, IN_BAND_NS + 40) in bench.gaps()


def test_a_book_that_was_mended_since_was_lost_until_then(bench):
    bench.accept(BARE, 0)
    bench.bare(10, is_clean=True)
    bench.bare(20, is_clean=True)
    bench.books.unsure(BARE, 25, "a frame was lost")

    bench.books.spoiled(BARE, 10, "not a number")

    assert ("book", "resync", 10, 20) in bench.gaps()


def test_of_lower_ids_a_snapshot_is_no_use_while_no_row_tells_of_them(bench):
    """A replay takes one only if it has a row that began so low."""
    bench.accept(IDS, 0)
    bench.update(10, 100, 100)
    bench.books.lost(IDS)
    bench.accept(IDS, 30)
    bench.update(40, 50, 60)
    bench.books.spoiled(IDS, 40, "not a number")

    bench.rest(50, epoch=1, base=60)
    was_known = bench.state() == "live"
    bench.update(60, 61, 62)
    bench.rest(70, epoch=1, base=61)

    assert (was_known, bench.state()) == (False, "live")
    assert [ts for ts, _, _ in bench.stored()] == [10, 40, 60, 70]


def test_without_ids_a_clean_frame_makes_the_book_known(bench):
    bench.accept(BARE, 0)
    bench.bare(5, is_clean=False)
    assert bench.books.states()[BARE] == "unsynced"

    bench.bare(10, is_clean=True)
    bench.bare(20, is_clean=False)
    bench.bare(30, is_clean=True)

    assert bench.books.states()[BARE] == "live"
    assert len(bench.rows) == 4
    assert bench.gaps() == [("book", "resync", 0, 10)]


def test_an_image_that_does_not_come_is_asked_for_again(bench):
    bench.accept(BARE, 0)

    assert bench.books.take_restarts(IN_BAND_NS - 1) == []
    assert bench.books.take_restarts(IN_BAND_NS) == [BARE]
    assert bench.books.take_restarts(IN_BAND_NS + 1) == []
    bench.bare(IN_BAND_NS + 2, is_clean=True)
    assert bench.books.take_restarts(3 * IN_BAND_NS) == []


def test_a_lost_frame_makes_books_without_ids_unknown(bench):
    bench.accept(BARE, 0)
    bench.bare(10, is_clean=True)
    live(bench)

    bench.books.unsure(BARE, 30, "a frame was lost")
    bench.books.unsure(IDS, 30, "a frame was lost")

    assert bench.books.states() == {IDS: "live", BARE: "broken"}
    assert bench.books.take_restarts(31) == [BARE]


def test_a_chain_nobody_asked_for_is_not_taken():
    bench = Bench()
    books = Books([], bench.ledger, lambda *row: None, bench.notes.extend)
    bench.books = books

    assert not bench.update(1, 1, 1)
    assert (books.total, books.known_total) == (0, 0)


def test_known_books_are_counted(bench):
    assert (bench.books.total, bench.books.known_total) == (2, 0)
    live(bench)
    assert bench.books.known_total == 1
    assert IDS in bench.books


def test_an_update_that_comes_late_is_stored_and_fills_its_gap(bench):
    live(bench)
    bench.update(50, 13, 14)

    bench.update(60, 10, 12)
    bench.update(70, 10, 12)

    assert bench.stored()[-2:] == [(50, 13, 14), (60, 10, 12)]
    newest = {g.gap_id: g for g in bench.notes if isinstance(g, Gap)}
    assert [
        (g.started_at, g.ended_at, g.healed_by)
        for g in newest.values()
        if g.reason == "sequence_gap"
    ] == [(21, 50, "late")]


def test_an_update_that_comes_late_shows_that_lower_ids_are_no_new_numbering(bench):
    live(bench)
    bench.update(30, 20, 20)
    bench.update(31, 3, 3)

    bench.update(32, 14, 14)
    bench.books.lost(IDS)

    assert bench.stored()[-3:] == [(30, 20, 20), (31, 3, 3), (32, 14, 14)]
    told = [n.detail for n in bench.notes if isinstance(n, Gap) and n.detail]
    assert not [detail for detail in told if "started over" in detail]


def test_a_part_that_comes_late_is_stored_and_its_gap_stays(bench):
    live(bench)
    bench.update(50, 13, 14)

    bench.update(60, 10, 10)

    assert bench.stored()[-1] == (60, 10, 10)
    assert [g.healed_by for g in bench.notes if isinstance(g, Gap)][-1] is None


def test_parts_that_come_late_are_stored_once_and_fill_their_gap_together(bench):
    live(bench)
    bench.update(50, 15, 16)

    bench.update(60, 12, 12)
    bench.update(61, 12, 12)
    bench.update(62, 10, 11)
    assert [g.healed_by for g in bench.notes if isinstance(g, Gap)][-1] is None
    bench.update(63, 13, 14)
    bench.update(64, 13, 14)

    assert bench.stored()[-4:] == [
        (50, 15, 16),
        (60, 12, 12),
        (62, 10, 11),
        (63, 13, 14),
    ]
    assert [g.healed_by for g in bench.notes if isinstance(g, Gap)][-1] == "late"


def test_a_venue_that_jumped_far_ahead_and_came_back_counts_anew(bench):
    live(bench)
    bench.update(50, 10**9, 10**9)

    for number in range(10, 10 + SUSPECTS_MAX):
        bench.update(100 + number, number, number)
    at = 100 + 10 + SUSPECTS_MAX
    bench.update(at, 11, 11)  # a double is one still
    bench.update(at, 10 + SUSPECTS_MAX, 10 + SUSPECTS_MAX)
    bench.update(at + 1, 12 + SUSPECTS_MAX, 12 + SUSPECTS_MAX)  # one is lost

    newest = {g.gap_id: g for g in bench.notes if isinstance(g, Gap)}
    assert [
        (g.started_at, g.ended_at, g.after_update_id, g.before_update_id, g.healed_by)
        for g in newest.values()
        if g.reason == "sequence_gap"
    ] == [
        (21, 50, 9, 10**9, None),
        (51, 110, 10**9, 10, None),
        (at + 1, at + 1, 10 + SUSPECTS_MAX, 12 + SUSPECTS_MAX, None),
    ]
    assert bench.books.take_counted_anew() == [(IDS, 50)]
    assert len(bench.stored()) == 4 + SUSPECTS_MAX + 2
    bench.books.next_due(at + 2 * FIRST_ASK_NS)
    bench.rest(at + 3, 1, 12 + SUSPECTS_MAX)
    assert bench.state() == "live"


def test_many_updates_that_come_late_are_no_new_numbering(bench):
    live(bench)
    bench.update(50, 110, 110)

    for number in range(10, 110):
        bench.update(100 + number, number, number)

    assert bench.books.take_counted_anew() == []
    assert [g.healed_by for g in bench.notes if isinstance(g, Gap)][-1] == "late"


def test_a_new_numbering_heals_no_gap_of_the_old_one(bench):
    live(bench)
    bench.update(40, 10, 500)
    bench.update(50, 601, 601)  # 501 to 600 are missing
    for number in range(SUSPECTS_MAX):
        bench.update(100 + number, 1 + number, 1 + number)
    bench.books.next_due(200 + FIRST_ASK_NS)
    bench.rest(210, 1, SUSPECTS_MAX)
    bench.update(220, 21, 600)
    bench.update(230, 501, 600)

    newest = {g.gap_id: g for g in bench.notes if isinstance(g, Gap)}
    assert {g.healed_by for g in newest.values()} == {None}
    assert bench.stored()[-1] == (220, 21, 600)


def test_only_so_many_gaps_wait_for_what_comes_late(bench):
    live(bench)
    ids = [13 + 10 * n for n in range(GAPS_REMEMBERED + 1)]
    for first in ids:
        bench.update(100 + first, first, first)

    bench.update(10_000, 10, 12)
    assert bench.stored()[-1] == (100 + ids[-1], ids[-1], ids[-1])
    bench.update(10_001, 14, 22)
    assert bench.stored()[-1] == (10_001, 14, 22)


def test_a_double_of_an_update_without_ids_cannot_be_told(bench):
    bench.accept(BARE, 0)
    bench.bare(10, is_clean=True)
    bench.bare(20, is_clean=False)
    bench.bare(20, is_clean=False)

    assert len(bench.rows) == 3


def test_a_book_found_crossed_while_its_connection_is_lost_needs_a_snapshot(bench):
    live(bench)
    bench.books.lost(IDS)
    bench.books.crossed(IDS, 20, 9)
    bench.accept(IDS, 100)

    bench.update(110, 10, 11)

    assert bench.state() == "aligning"
    assert ("book", "crossed", 20, 21) in bench.gaps()


def test_a_crossing_in_a_row_that_is_stored_later_than_it_came_is_told(bench):
    live(bench)
    bench.books.lost(IDS)

    bench.books.crossed(IDS, 40, 9)

    assert bench.gaps()[-1] == ("book", "crossed", 40, 41)


def test_a_crossing_before_a_chain_went_on_is_no_old_news(bench):
    live(bench)
    bench.notes += bench.ledger.lost(IDS, "connect_lost", 21)
    bench.books.lost(IDS)
    bench.accept(IDS, 100)
    bench.update(110, 10, 11)
    assert bench.state() == "live"

    bench.books.crossed(IDS, 20, 9)

    assert bench.state() == "broken"


def test_a_crossing_that_the_next_full_frame_mended_is_old_news(bench):
    live(bench)
    bench.full(30, 15)

    bench.books.crossed(IDS, 20, 9)

    assert bench.state() == "live"


def test_a_crossing_of_a_chain_that_is_being_mended_changes_nothing(bench):
    live(bench)
    bench.update(50, 13, 14)

    bench.books.crossed(IDS, 20, 9)
    bench.books.next_due(50 + FIRST_ASK_NS)
    bench.rest(60, 0, 12)

    assert bench.state() == "live"


def test_a_full_frame_that_is_too_old_does_not_call_off_the_snapshot(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)

    bench.full(20, 2)

    assert bench.state() == "aligning"
    assert bench.books.next_due(10 + FIRST_ASK_NS) == (IDS, 0)


def test_an_image_that_came_meanwhile_is_not_asked_for(bench):
    bench.accept(BARE, 0)
    bench.bare(10, is_clean=True)
    bench.books.unsure(BARE, 30, "a frame was lost")

    bench.bare(40, is_clean=True)

    assert bench.books.take_restarts(50) == []


def test_an_image_of_a_connection_that_went_away_is_not_asked_for(bench):
    bench.accept(BARE, 0)
    bench.bare(10, is_clean=True)
    bench.books.unsure(BARE, 30, "a frame was lost")

    bench.books.lost(BARE)

    assert bench.books.take_restarts(50) == []


def test_a_book_that_became_known_meanwhile_is_not_asked_for(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)

    bench.full(20, 8)

    assert bench.state() == "live"
    assert bench.books.next_due(10**18) is None


def test_what_a_new_connection_repeats_is_not_stored_again(bench):
    live(bench)
    bench.notes += bench.ledger.lost(IDS, "connect_lost", 21)
    bench.books.lost(IDS)
    bench.accept(IDS, 100)

    bench.update(110, 8, 9)
    bench.update(120, 10, 11)

    assert bench.stored()[-2:] == [(20, 8, 9), (120, 10, 11)]
    assert bench.state() == "live"


def test_a_full_frame_after_a_lost_one_is_a_gap_of_rows_alone(bench):
    live(bench)

    bench.full(50, 15, first=12)

    assert bench.state() == "live"
    assert bench.gaps()[-1] == ("rows", "sequence_gap", 21, 50)


def test_a_full_frame_with_the_id_just_received_makes_the_book_known(bench):
    bench.accept(IDS, 0)
    bench.update(10, 5, 7)

    bench.full(20, 7)

    assert bench.state() == "live"
    assert bench.stored() == [(10, 5, 7), (20, None, 7)]


def test_a_jump_before_the_acceptance_is_said_by_the_gap_it_lies_in(bench):
    bench.notes += bench.ledger.start(0)
    bench.update(10, 5, 7)

    bench.update(20, 10, 11)

    assert bench.stored() == [(10, 5, 7), (20, 10, 11)]
    assert {g[1] for g in bench.gaps() if g[0] == "rows"} == {"not_started"}


def test_it_is_told_once_after_which_row_messages_may_be_missing(bench):
    bench.accept(IDS, 0)
    bench.update(10, 1_000, 1_000)
    bench.accept(BARE, 0)
    bench.bare(20, is_clean=True)

    bench.books.lost(IDS)
    bench.books.unsure(BARE, 30, "a frame could not be decoded")

    assert bench.books.take_lost() == [(IDS, 10), (BARE, 20)]
    assert bench.books.take_lost() == []


def test_a_socket_that_is_slower_than_http_comes_to_know_its_book_too(bench):
    """Each snapshot is 400 ms ahead of the updates, which come every 50 ms."""
    bench.accept(IDS, 0)
    asked = 0

    for number in range(1, 60):
        now = number * 50 * MS
        bench.update(now, number, number)
        due = bench.books.next_due(now)
        if due is not None:
            asked += 1
            bench.rest(now + 1, due[1], number + 8)

    assert bench.state() == "live"
    assert asked == 1


def test_of_a_book_begun_anew_the_next_update_tells_what_is_missing(bench):
    live(bench)
    received = bench.books.lost(IDS)
    known = Continuity()
    known.crossed()
    bench.books[IDS].resume(known, received)

    bench.update(50 * MS, received + 3, received + 4)

    gaps = [note for note in bench.notes if isinstance(note, Gap)]
    [gap] = [gap for gap in gaps if gap.reason == "sequence_gap"]
    assert (gap.after_update_id, gap.before_update_id) == (received, received + 3)
    assert gap.ended_at == 50 * MS


def test_of_a_book_begun_anew_nothing_is_missing_if_updates_go_on(bench):
    live(bench)
    received = bench.books.lost(IDS)
    bench.books[IDS].resume(Continuity(), received)

    bench.update(50 * MS, received + 1, received + 1)
    bench.update(51 * MS, received + 2, received + 2)

    assert "sequence_gap" not in [reason for _, reason, *_ in bench.gaps()]


@pytest.mark.parametrize("goes_on_at", [41, 41 + BACKLOG_NS // MS])
def test_a_backlog_of_another_connection_is_left_out(bench, goes_on_at):
    live(bench)
    before = len(bench.rows)
    received = bench.books.lost(IDS, 1)
    for number in range(received - 3, received + 1):
        bench.update(40 * MS, number, number)
    assert len(bench.rows) == before

    bench.update(goes_on_at * MS, received + 1, received + 1)

    assert len(bench.rows) == before + 1
    assert bench.books[IDS].is_live


def test_who_goes_on_in_lower_ids_for_long_counts_anew(bench):
    live(bench)
    before = len(bench.rows)
    bench.books.lost(IDS, 1)
    bench.accept(IDS, 40 * MS)
    bench.update(41 * MS, 1, 1)
    assert len(bench.rows) == before

    later = 42 * MS + BACKLOG_NS
    bench.update(later, 2, 2)

    assert len(bench.rows) == before + 1
    [gap] = [n for n in bench.notes if isinstance(n, Gap) and n.detail == ANEW]
    assert (gap.started_at, gap.ended_at) == (41 * MS, later)


def test_a_connection_that_was_opened_since_brings_no_backlog(bench):
    live(bench)
    before = len(bench.rows)
    bench.books.lost(IDS, 1_000 * MS)

    bench.update(1_001 * MS, 1, 1)

    assert len(bench.rows) == before + 1
