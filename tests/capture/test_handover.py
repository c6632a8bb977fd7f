"""What may happen while one connection takes over from another, without a socket."""

import msgspec
import pytest

from recorder.capture import handover as module, pairing
from recorder.capture.books import FIRST_ASK_NS, QUIET_ASK_NS
from recorder.capture.doubles import Doubles
from recorder.capture.handover import LAG_MAX_NS, LINGER_NS
from recorder.capture.handover_live import OVERLAP_NS, PATIENCE_NS, SECOND_NS
from recorder.capture.new_counts import SUSPECTS_MAX
from recorder.capture.session import ANSWER_SECONDS, Session
from recorder.capture.silence import FIRST_PROBE_NS
from recorder.capture.trade_ids import PROOF_TRADES
from recorder.model import Chain, Gap
from recorder.source import HttpRequest, Witness
from recorder.store.ledger import Ledger


TRADES = Chain("BTC_USDT", "trades")
BOOK = Chain("BTC_USDT", "depth:10")
BARE = Chain("BTC_USDT", "depth:bare")
FULL = Chain("BTC_USDT", "depth:full")
EACH = Chain("BTC_USDT", "depth:each")
MINUTES = Chain("BTC_USDT", "klines:1m")
TICKERS = Chain("BTC_USDT", "tickers")
BBO = Chain("BTC_USDT", "bbo")

T0 = 19_000 * 86_400 * SECOND_NS + 1_000 * SECOND_NS
ASK = HttpRequest(path="/book", query=(("m", "BTC_USDT"),))


class Stage:
    """A session with a first connection that works, and all that is stored."""

    def __init__(self, source, clock, chains, *, is_accepted=True):
        self.clock = clock
        self.chains = chains
        self.session = Session(
            source,
            {},
            chains,
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", chains),
            doubles=Doubles(),
        )
        self.opened = 0
        self.stored = {}
        self.first = self.open()
        if is_accepted:
            self.say(self.first, ["ok", chains])

    def open(self, first=None):
        link = self.session.opened(
            f"run.{self.opened}", "ws://x/", self.chains, self.now(), first
        )
        self.opened += 1
        self.send(link)
        return link

    def send(self, link):
        """Send all that is to be sent; return it."""
        sent = []
        while link.outbox:
            request = link.outbox.popleft()
            self.session.sent(link, request, self.now())
            sent.append(msgspec.json.decode(request.payload))
        return sent

    def second(self, chains=None):
        """Open a second connection, and have it accepted."""
        link = self.open(self.first)
        self.say(link, ["ok", self.chains if chains is None else chains])
        return link

    def now(self):
        return self.clock.now_ns()

    def say(self, link, *items):
        """Have a frame received; return when."""
        at = self.now()
        payload = msgspec.json.encode(items)
        self.session.frame(link, at, payload, opcode="text")
        return at

    def both(self, second, *items):
        """Have a frame received over both connections, the first is faster."""
        at = self.say(self.first, *items)
        self.say(second, *items)
        return at

    def wait(self, ns):
        self.clock.now += ns
        self.session.tick(self.now())

    def close(self, link, reason="gone"):
        at = self.now()
        self.session.closed(link, at, 1001, reason)
        return at

    def handover(self):
        return self.session.handovers.of(self.first)

    def snapshot(self, base, *ts_event):
        self.clock.now += FIRST_ASK_NS
        chain, epoch = self.session.books.next_due(self.now())
        body = msgspec.json.encode([base, [], [], *ts_event])
        self.session.snapshots.take(chain, epoch, ASK, self.now(), body)

    def rows(self, table):
        for (name, _), rows in self.session.take(self.clock.now).rows.items():
            self.stored.setdefault(name, []).extend(rows)
        return self.stored.get(table, [])

    def events(self, table):
        return [row[4] for row in self.rows(table)]

    def gaps(self, chain=None, scope="rows"):
        newest = {gap.gap_id: gap for gap in self.events("gaps")}
        return [
            gap
            for gap in newest.values()
            if isinstance(gap, Gap)
            and gap.reason != "not_started"
            and gap.scope == scope
            and chain in (None, Chain(gap.market, gap.stream))
        ]

    def trades(self):
        return [trade.trade_id for trade in self.events("trades")]

    def updates(self):
        return [
            (event.first_update_id, event.last_update_id)
            for event in self.events("depth")
        ]

    def state(self, chain=BOOK):
        return self.session.books.states()[chain]


@pytest.fixture
def stage_of(fake, make_clock):
    def stage_of(*chains, is_accepted=True, **changes):
        source = msgspec.structs.replace(fake, **changes)
        return Stage(source, make_clock(T0), chains, is_accepted=is_accepted)

    return stage_of


@pytest.fixture
def known(stage_of):
    """A book that is known through update 9."""
    stage = stage_of(TRADES, BOOK)
    stage.say(stage.first, ["depth", "BTC_USDT", 5, 9])
    stage.snapshot(7)
    assert stage.state() == "live"
    return stage


# When the first may be left


def test_a_second_is_not_live_before_all_was_answered(stage_of):
    stage = stage_of(TRADES, BBO)
    second = stage.second([TRADES])
    stage.wait(60 * SECOND_NS)
    assert stage.handover().live.blockers(stage.now()) == []
    assert not stage.handover().is_live(stage.now())

    stage.say(second, ["no", [BBO], "closed"])

    stage.wait(OVERLAP_NS + 2)
    assert stage.handover().is_live(stage.now())


def test_a_second_is_live_only_after_a_while(stage_of):
    stage = stage_of(TRADES)
    stage.second()
    stage.wait(OVERLAP_NS - 1_000)
    assert not stage.handover().is_live(stage.now())

    stage.wait(2_000)

    assert stage.handover().is_live(stage.now())


def test_a_second_that_brings_nothing_where_the_first_does_is_not_live(stage_of):
    stage = stage_of(TRADES, BBO)
    second = stage.second()
    stage.say(stage.first, ["bbo", "BTC_USDT", "1"])
    stage.wait(OVERLAP_NS + PATIENCE_NS)
    assert not stage.handover().is_live(stage.now())
    assert stage.handover().live.blockers(stage.now()) == [BBO]

    stage.say(second, ["bbo", "BTC_USDT", "2"])

    assert stage.handover().is_live(stage.now())


def test_what_only_just_came_over_the_first_may_be_late_over_the_second(stage_of):
    stage = stage_of(BBO)
    stage.second()
    stage.wait(OVERLAP_NS + 2)

    stage.say(stage.first, ["bbo", "BTC_USDT", "1"])

    assert stage.handover().is_live(stage.now())


def test_a_first_that_was_not_heard_since_may_have_stalled(stage_of):
    stage = stage_of(TRADES)
    stage.second()
    stage.wait(OVERLAP_NS + 2)
    assert not stage.handover().is_first_heard

    stage.say(stage.first, ["beat"])

    assert stage.handover().is_first_heard


def test_a_second_must_bring_the_whole_book_where_that_comes_on_the_socket(stage_of):
    stage = stage_of(BARE)
    stage.say(stage.first, ["image", "BTC_USDT"])
    second = stage.second()
    stage.wait(60 * SECOND_NS)
    assert stage.handover().live.blockers(stage.now()) == [BARE]

    stage.say(second, ["image", "BTC_USDT"])

    assert stage.handover().is_live(stage.now())


# Rows of both


def test_what_waits_is_taken_once_the_first_is_gone(known):
    known.say(known.first, ["trade", "BTC_USDT", 1])
    second = known.second()

    at = known.say(second, ["trade", "BTC_USDT", 2], ["depth", "BTC_USDT", 10, 12])
    assert known.trades() == [1]
    assert known.updates() == [(5, 9), (None, 7)]
    known.say(known.first, ["trade", "BTC_USDT", 2])
    assert known.trades() == [1, 2]
    known.close(known.first)

    assert known.trades() == [1, 2]
    assert known.updates()[2:] == [(10, 12)]
    (row,) = [row for row in known.rows("depth") if row[1] == second.conn]
    assert (row[0], row[2]) == (at, 1)


def test_an_update_that_waited_is_no_older_than_those_before_it(known):
    second = known.second()
    known.say(second, ["depth", "BTC_USDT", 13, 13])
    at = known.say(known.first, ["depth", "BTC_USDT", 10, 12])
    known.close(known.first)

    assert known.updates()[2:] == [(10, 12), (13, 13)]
    times = [row[0] for row in known.rows("depth")][2:]
    assert times == [at, at + 1]
    assert known.state() == "live"
    assert known.gaps(BOOK, "book")[1:] == []


def test_what_the_first_skipped_is_taken_from_the_second(known):
    second = known.second()
    known.say(second, ["depth", "BTC_USDT", 10, 10], ["depth", "BTC_USDT", 11, 11])

    known.say(known.first, ["depth", "BTC_USDT", 12, 12])

    assert known.updates()[2:] == [(10, 10), (11, 11), (12, 12)]
    assert known.state() == "live"
    assert known.gaps(BOOK) == []


def test_what_the_first_skipped_and_the_second_brings_later_heals_the_gap(known):
    second = known.second()
    known.say(known.first, ["depth", "BTC_USDT", 12, 12])
    (gap,) = known.gaps(BOOK)
    assert (gap.reason, gap.healed_by) == ("sequence_gap", None)

    known.say(second, ["depth", "BTC_USDT", 10, 11])
    known.say(second, ["depth", "BTC_USDT", 12, 12])

    (gap,) = known.gaps(BOOK)
    assert gap.healed_by == "late"
    assert known.updates()[2:] == [(12, 12), (10, 11)]


def trade(number):
    return ["trade", "BTC_USDT", number, "1", number]


def test_trades_that_the_first_skipped_are_taken_from_the_second(stage_of):
    stage = stage_of(TRADES)
    stage.say(stage.first, *[trade(n) for n in range(1, PROOF_TRADES + 2)])
    second = stage.second()
    last = PROOF_TRADES + 1
    stage.say(second, *[trade(n) for n in range(last + 1, last + 5)])

    stage.say(stage.first, trade(last + 3))
    stage.say(second, trade(last + 5))
    stage.say(stage.first, trade(last + 6))

    assert stage.trades() == list(range(1, last + 7))
    assert stage.gaps() == []


def test_a_trade_that_the_first_skipped_is_stored_when_the_second_brings_it(stage_of):
    stage = stage_of(TRADES)
    stage.say(stage.first, *[trade(n) for n in range(1, PROOF_TRADES + 2)])
    second = stage.second()
    last = PROOF_TRADES + 1
    stage.say(stage.first, trade(last + 2))

    stage.say(second, trade(last + 1))

    assert stage.trades()[-2:] == [last + 2, last + 1]


def test_rows_that_say_the_same_are_paired_one_by_one(stage_of):
    stage = stage_of(TICKERS)
    second = stage.second()
    same = ["ticker", "BTC_USDT", "7"]
    stage.say(stage.first, same, same)
    stage.say(second, same, same, same)
    stage.say(stage.first, same)
    stage.close(stage.first)
    stage.say(second, same)

    assert [row[1] for row in stage.rows("tickers")] == ["run.0"] * 3 + ["run.1"]


def test_a_kline_from_before_the_second_was_opened_is_not_stored_again(stage_of):
    stage = stage_of(MINUTES)
    for close in "12":
        stage.say(stage.first, ["kline", "BTC_USDT", "1m", close])
    second = stage.second()
    stage.say(second, *[["kline", "BTC_USDT", "1m", close] for close in "123"])
    stage.close(stage.first)

    assert [kline.close for kline in stage.events("klines")] == ["1", "2", "3"]


def test_what_the_first_brought_is_known_for_a_while_after_its_end(stage_of):
    stage = stage_of(BBO)
    second = stage.second()
    stage.say(stage.first, ["bbo", "BTC_USDT", "1"], ["bbo", "BTC_USDT", "2"])
    stage.close(stage.first)
    stage.say(second, ["bbo", "BTC_USDT", "1"])
    stage.wait(LINGER_NS + 1_000)
    stage.say(second, ["bbo", "BTC_USDT", "2"])

    assert [bbo.bid_price for bbo in stage.events("bbo")] == ["1", "2", "2"]


def test_updates_cut_differently_are_doubles_as_far_as_the_first_has_come(known):
    second = known.second()
    known.say(known.first, ["depth", "BTC_USDT", 10, 14])
    for number in range(10, 15):
        known.say(second, ["depth", "BTC_USDT", number, number])
    known.say(known.first, ["depth", "BTC_USDT", 15, 19])
    known.say(second, ["depth", "BTC_USDT", 15, 17])
    known.say(second, ["depth", "BTC_USDT", 18, 21])
    known.close(known.first)

    # No row is missing; but whether this may be applied, nobody says.
    assert known.updates()[2:] == [(10, 14), (15, 19), (18, 21)]
    assert known.gaps(BOOK) == []
    assert known.state() == "aligning"


def test_many_stale_updates_of_the_second_are_no_new_numbering(known):
    second = known.second()
    updates = [["depth", "BTC_USDT", n, n] for n in range(10, 12 + SUSPECTS_MAX)]
    known.say(known.first, *updates)

    known.say(second, *updates)
    known.close(known.first)
    known.say(second, ["depth", "BTC_USDT", 12 + SUSPECTS_MAX, 12 + SUSPECTS_MAX])

    assert known.gaps(BOOK) == []
    assert known.state() == "live"


def test_a_new_numbering_that_begins_with_the_second_is_found(stage_of):
    stage = stage_of(BOOK)
    stage.say(stage.first, ["depth", "BTC_USDT", 7_001, 7_009])
    stage.snapshot(7_005)
    second = stage.second()
    stage.say(second, *[["depth", "BTC_USDT", n, n] for n in range(1, 4)])
    stage.say(stage.first, ["depth", "BTC_USDT", 7_010, 7_010])
    stage.wait(OVERLAP_NS)
    stage.say(stage.first, ["beat"])
    stage.close(stage.first)

    rest = range(4, 1 + SUSPECTS_MAX)
    stage.say(second, *[["depth", "BTC_USDT", n, n] for n in rest])

    (gap,) = stage.gaps(BOOK)
    assert (gap.reason, gap.after_update_id, gap.before_update_id) == (
        "sequence_gap",
        7_010,
        1,
    )
    assert stage.updates()[-SUSPECTS_MAX:] == [
        (n, n) for n in range(1, 1 + SUSPECTS_MAX)
    ]
    stage.snapshot(SUSPECTS_MAX)
    assert stage.state() == "live"


def test_what_waits_is_forgotten_once_the_first_has_gone_past_it(known):
    second = known.second()
    known.say(second, ["depth", "BTC_USDT", 10, 12], ["depth", "BTC_USDT", 13, 15])
    known.say(known.first, ["depth", "BTC_USDT", 10, 14], ["depth", "BTC_USDT", 15, 18])
    known.say(second, ["depth", "BTC_USDT", 16, 19])
    known.say(known.first, ["depth", "BTC_USDT", 19, 19])
    known.say(second, ["depth", "BTC_USDT", 20, 20])
    known.close(known.first)

    assert known.updates()[2:] == [(10, 14), (15, 18), (19, 19), (20, 20)]
    assert known.state() == "live"


def test_updates_cut_differently_show_that_the_second_lives(known):
    second = known.second()
    known.say(known.first, ["depth", "BTC_USDT", 10, 14])
    known.wait(OVERLAP_NS + PATIENCE_NS)
    assert known.handover().live.blockers(known.now()) == [BOOK]

    known.say(second, ["depth", "BTC_USDT", 13, 16])

    assert known.handover().is_live(known.now())


def test_a_first_that_brings_nothing_of_much_is_given_up(known, monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    second = known.second()

    known.say(second, *[trade(number) for number in range(1, 5)])

    assert known.first.is_dead
    known.close(known.first)
    assert known.trades() == [1, 2, 3, 4]


def full(base):
    return ["depth", "BTC_USDT", None, base, [], [], FULL.stream]


def change(first, last):
    return ["depth", "BTC_USDT", first, last, [], [], FULL.stream]


def test_an_image_that_only_the_second_brings_is_a_row_and_no_more(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100), change(101, 102))
    second = stage.second()
    stage.say(second, full(105), change(106, 107))
    stage.say(stage.first, change(103, 105), change(106, 107), change(108, 108))
    stage.say(second, change(108, 108))
    stage.close(stage.first)
    stage.say(second, change(109, 110))

    assert stage.updates() == [
        (None, 100),
        (101, 102),
        (103, 105),
        (None, 105),
        (106, 107),
        (108, 108),
        (109, 110),
    ]
    assert stage.state(FULL) == "live"
    assert stage.gaps() == []


def test_an_image_of_the_second_may_be_what_a_book_waits_for(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100), change(101, 102), change(104, 104))
    assert stage.state(FULL) == "aligning"
    second = stage.second()
    stage.say(second, full(102))
    assert stage.state(FULL) == "aligning"

    stage.say(second, full(104))
    stage.both(second, change(105, 106))

    assert stage.state(FULL) == "live"
    assert stage.updates()[2:] == [(104, 104), (None, 104), (105, 106)]


def test_a_book_that_never_came_begins_with_the_second(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, change(101, 102))
    second = stage.open(stage.first)
    accepted = stage.say(second, ["ok", [FULL]])
    stage.say(second, full(102))
    stage.both(second, change(103, 104))

    assert stage.state(FULL) == "live"
    assert stage.updates() == [(101, 102), (None, 102), (103, 104)]
    assert [row[1] for row in stage.rows("depth")] == ["run.0", "run.1", "run.1"]
    newest = {gap.gap_id: gap for gap in stage.events("gaps")}
    rows = [gap for gap in newest.values() if gap.scope == "rows"]
    assert (rows[-1].reason, rows[-1].ended_at) == ("connect_lost", accepted)


def test_what_the_second_brings_of_before_is_not_taken_for_the_book_of_now(stage_of):
    """All of the first is read, and only then anything of the second."""
    stage = stage_of(FULL)
    stage.say(stage.first, full(100), change(101, 102))
    second = stage.open(stage.first)
    stage.say(stage.first, change(104, 104))
    stage.wait(SECOND_NS)  # the first is asked for it afresh
    stage.send(stage.first)
    stage.say(second, ["ok", [FULL]])

    stage.say(second, full(101), change(102, 102), change(103, 103), change(104, 104))
    stage.say(second, change(105, 105))

    assert stage.updates()[2:] == [(104, 104), (103, 103), (105, 105)]
    assert stage.state(FULL) != "live"
    stage.wait(SECOND_NS)
    assert stage.send(second)
    stage.say(second, full(106))
    assert stage.state(FULL) == "live"


def test_a_second_without_its_image_is_not_believed(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100))
    second = stage.second()
    stage.wait(60 * SECOND_NS)
    assert stage.handover().live.blockers(stage.now()) == [FULL]
    heard = stage.say(stage.first, ["beat"])
    closed = stage.close(stage.first)
    stage.wait(SECOND_NS)
    assert [gap.ended_at for gap in stage.gaps()] == [None]

    stage.say(second, full(100), change(101, 101))

    (gap,) = stage.gaps()
    assert (gap.started_at, gap.ended_at) == (heard + 1, closed)
    assert stage.state(FULL) == "live"


def test_ids_that_cannot_be_are_the_fault_of_their_own_frame(known):
    second = known.second()

    known.say(second, ["depth", "BTC_USDT", 12, 10])
    known.say(known.first, ["depth", "BTC_USDT", 10, 10])

    (frame,) = known.rows("frames")
    assert (frame[1], frame[4].reason) == (second.conn, "undecodable")
    assert known.updates()[-1] == (10, 10)


def test_what_nobody_asked_for_is_kept_from_both(stage_of):
    stage = stage_of(TRADES)
    second = stage.second()

    stage.both(second, ["trade", "ETH_USDT", 1])

    assert [row[4].reason for row in stage.rows("frames")] == ["unknown"] * 2


# The end of the first


def test_a_connection_that_was_left_in_time_leaves_no_gap(known):
    second = known.second()
    known.wait(OVERLAP_NS)
    known.say(known.first, ["beat"])
    known.close(known.first, "handed over to run.1")
    known.say(second, trade(1))

    assert known.gaps() == []
    assert known.state() == "live"
    (life,) = known.events("connections")
    assert life.close_reason == "handed over to run.1"


def test_a_row_that_came_over_both_shows_that_nothing_is_missing(known):
    second = known.second()
    known.both(second, trade(1), ["depth", "BTC_USDT", 10, 10])

    known.close(known.first)

    assert known.gaps() == []
    assert known.state() == "live"


def test_who_closes_too_soon_after_a_notice_leaves_a_gap_of_that_name(known):
    known.say(known.first, ["leaving", "an upgrade"])
    heard = known.say(known.first, trade(1))
    second = known.open(known.first)
    known.wait(SECOND_NS)
    known.close(known.first, "service upgrade")
    accepted = known.say(second, ["ok", [TRADES, BOOK]])
    known.say(second, ["depth", "BTC_USDT", 10, 10])

    gaps = {gap.stream: gap for gap in known.gaps()}
    assert {g.reason for g in gaps.values()} == {"venue_upgrade"}
    assert {(g.started_at, g.ended_at) for g in gaps.values()} == {
        (heard + 1, accepted)
    }
    assert gaps["trades"].healed_by is None
    assert gaps["depth:10"].healed_by == "sequence"
    assert gaps["depth:10"].detail == "service upgrade"


def test_without_a_notice_it_is_a_lost_connection(known):
    second = known.open(known.first)
    known.close(known.first)
    known.say(second, ["ok", [TRADES, BOOK]])

    assert {gap.reason for gap in known.gaps()} == {"connect_lost"}


def test_a_first_that_stalled_costs_what_was_sent_before_the_second(known):
    heard = known.say(known.first, trade(1))
    known.wait(10 * SECOND_NS)
    second = known.second()
    accepted = second.accepted[TRADES]
    known.wait(OVERLAP_NS + SECOND_NS)
    known.say(second, trade(5))
    known.close(known.first, "handed over to run.1")

    (gap,) = known.gaps(TRADES)
    assert (gap.reason, gap.started_at) == ("connect_lost", heard + 1)
    assert gap.ended_at == accepted + OVERLAP_NS
    assert known.trades() == [1, 5]


def test_a_chain_not_yet_accepted_on_the_second_is_lost_with_the_first(known):
    second = known.second([TRADES])
    heard = known.both(second, trade(1))
    closed = known.close(known.first)
    known.wait(SECOND_NS)
    accepted = known.say(second, ["ok", [BOOK]])

    assert known.gaps(TRADES) == []
    (gap,) = known.gaps(BOOK)
    assert (gap.started_at, gap.ended_at) == (heard + 1, accepted)
    assert heard < closed


def test_a_chain_that_the_second_refuses_goes_on_until_the_first_ends(known):
    second = known.open(known.first)
    known.say(second, ["ok", [TRADES]], ["no", [BOOK], "not here"])
    known.say(known.first, ["depth", "BTC_USDT", 10, 10])
    assert known.gaps(BOOK) == []
    assert BOOK not in known.session.refused

    known.close(known.first)

    assert known.session.refused == {BOOK: "not here"}
    assert [gap.reason for gap in known.gaps(BOOK)] == [
        "connect_lost",
        "subscription_rejected",
    ]


def test_a_second_that_refuses_all_is_given_up_and_the_first_goes_on(known):
    second = known.open(known.first)

    known.say(second, ["no", [TRADES, BOOK], "not here"])
    known.close(second)
    known.say(known.first, trade(1))

    assert second.is_dead
    assert not known.first.is_dead
    assert known.trades() == [1]
    assert known.gaps() == []


# The end of the second, and more of them


def test_a_second_that_is_lost_costs_nothing(known):
    second = known.second()
    known.say(second, trade(1), ["depth", "BTC_USDT", 10, 10])
    known.close(second)
    known.say(known.first, trade(1), ["depth", "BTC_USDT", 10, 10])

    assert known.trades() == [1]
    assert known.updates()[2:] == [(10, 10)]
    assert known.gaps() == []
    assert known.state() == "live"
    assert known.handover() is None


def test_a_third_takes_the_place_of_a_second_that_was_lost(known):
    known.close(known.second())
    third = known.second()
    known.both(third, trade(1), ["depth", "BTC_USDT", 10, 10])
    known.close(known.first)
    known.say(third, trade(2))

    assert known.trades() == [1, 2]
    assert known.gaps() == []


def test_a_second_that_is_told_to_leave_too_hands_over_in_its_turn(known):
    second = known.second()
    known.say(second, ["leaving", "another upgrade"])
    known.both(second, trade(1), ["depth", "BTC_USDT", 10, 10])
    known.say(known.first, trade(2), ["depth", "BTC_USDT", 11, 11])
    known.close(known.first)
    known.first = second
    third = known.second()
    # All three bring the same, the last one last.
    known.both(third, trade(2), ["depth", "BTC_USDT", 11, 11])
    known.both(third, trade(3), ["depth", "BTC_USDT", 12, 12])
    known.close(second)
    known.say(third, trade(4))

    assert known.trades() == [1, 2, 3, 4]
    assert known.updates()[2:] == [(10, 10), (11, 11), (12, 12)]
    assert known.gaps() == []


def test_both_lost_is_a_gap_from_the_last_frame_of_the_first(known):
    second = known.second()
    heard = known.say(known.first, trade(1))
    known.say(second, trade(1))
    known.wait(SECOND_NS)
    known.say(second, trade(2))
    known.close(second)
    known.close(known.first)

    assert {gap.started_at for gap in known.gaps()} == {heard + 1}
    assert {gap.ended_at for gap in known.gaps()} == {None}


# Books without ids


def test_a_book_without_ids_is_the_seconds_from_its_first_image_on(stage_of):
    stage = stage_of(BARE)
    stage.say(stage.first, ["image", "BTC_USDT"])
    second = stage.second()
    stage.say(second, ["change", "BTC_USDT"])
    stage.say(stage.first, ["change", "BTC_USDT"])
    stage.say(second, ["image", "BTC_USDT"])
    stage.say(stage.first, ["change", "BTC_USDT"])
    stage.say(second, ["change", "BTC_USDT"])
    stage.close(stage.first)
    stage.say(second, ["change", "BTC_USDT"])

    assert [(row[1], row[4].is_snapshot) for row in stage.rows("depth")] == [
        ("run.0", True),
        ("run.0", False),
        ("run.1", True),
        ("run.1", False),
        ("run.1", False),
    ]
    assert stage.gaps() == []
    assert stage.gaps(scope="book")[1:] == []
    assert stage.state(BARE) == "live"


def test_a_book_without_ids_goes_back_to_the_first_when_the_second_is_lost(stage_of):
    stage = stage_of(BARE, TRADES)
    stage.say(stage.first, ["image", "BTC_USDT"])
    second = stage.second()
    heard = stage.say(second, ["image", "BTC_USDT"])
    stage.close(second)

    assert stage.send(stage.first) == [{"again": list(BARE)}]
    accepted = stage.say(stage.first, ["ok", [BARE]])
    stage.say(stage.first, ["image", "BTC_USDT"])

    (gap,) = stage.gaps()
    assert (gap.stream, gap.started_at, gap.ended_at) == (
        BARE.stream,
        heard + 1,
        accepted,
    )
    assert stage.state(BARE) == "live"


def test_an_undecodable_frame_spoils_the_book_only_of_who_is_in_charge(stage_of):
    stage = stage_of(BARE)
    stage.say(stage.first, ["image", "BTC_USDT"])
    second = stage.second()

    stage.session.frame(second, stage.now(), b"{", opcode="text")
    assert stage.state(BARE) == "live"
    stage.say(second, ["image", "BTC_USDT"])
    stage.session.frame(stage.first, stage.now(), b"{", opcode="text")
    assert stage.state(BARE) == "live"
    stage.session.frame(second, stage.now(), b"{", opcode="text")

    assert stage.state(BARE) != "live"
    assert stage.send(stage.first) == []
    stage.wait(1)
    assert stage.send(second) == [{"again": list(BARE)}]


# Chains that are down


def test_what_the_first_does_not_bring_is_the_seconds_at_once(stage_of):
    stage = stage_of(TRADES, BBO, is_accepted=False)
    stage.say(stage.first, ["ok", [TRADES]])
    second = stage.open(stage.first)
    stage.say(second, ["bbo", "BTC_USDT", "1"])
    accepted = stage.say(second, ["ok", [TRADES, BBO]])
    stage.say(second, ["bbo", "BTC_USDT", "2"], trade(1))

    assert [bbo.bid_price for bbo in stage.events("bbo")] == ["1", "2"]
    assert stage.trades() == []
    stage.say(stage.first, ["bbo", "BTC_USDT", "2"])
    assert len(stage.events("bbo")) == 2
    newest = {gap.gap_id: gap for gap in stage.events("gaps")}
    ended = {gap.stream: gap.ended_at for gap in newest.values()}
    assert ended["bbo"] == accepted


def test_a_book_that_waits_for_its_snapshot_keeps_waiting_for_it(stage_of):
    stage = stage_of(BOOK)
    stage.say(stage.first, ["depth", "BTC_USDT", 5, 9])
    second = stage.second()
    stage.both(second, ["depth", "BTC_USDT", 10, 12])
    stage.close(stage.first)
    stage.say(second, ["depth", "BTC_USDT", 13, 13])

    stage.snapshot(6)

    assert stage.state() == "live"
    assert stage.gaps() == []
    assert len(stage.gaps(scope="book")) == 1


def test_a_silent_stream_is_asked_for_afresh_over_one_connection(stage_of):
    witness = Witness(by="bbo", of=("trades",), signs=1)
    stage = stage_of(TRADES, BBO, witnesses=(witness,))
    stage.say(stage.first, trade(1))
    second = stage.second()
    for _ in range(12):
        stage.wait(SECOND_NS)
        stage.both(second, ["bbo", "BTC_USDT", str(stage.clock.now)])
    stage.wait(SECOND_NS)

    assert [gap.reason for gap in stage.gaps(TRADES)] == ["stale_stream"]
    assert stage.send(stage.first) == [{"again": list(TRADES)}]
    assert stage.send(second) == []
    # It ends before it answers: then the second is asked.
    stage.close(stage.first)
    assert stage.send(second) == [{"again": list(TRADES)}]
    stage.say(second, ["ok", [TRADES]])
    assert stage.gaps(TRADES)[0].ended_at is not None


def test_a_stream_that_the_second_should_bring_and_does_not_began_with_the_first(
    stage_of,
):
    """The second was accepted before the first, and is in charge, and silent."""
    stage = stage_of(TRADES, TICKERS, is_accepted=False)
    second = stage.second()
    stage.wait(SECOND_NS)
    stage.say(stage.first, ["ok", stage.chains])
    stage.say(stage.first, trade(7))
    stage.wait(PATIENCE_NS)
    stage.close(stage.first)

    silent, lost = stage.gaps(TRADES)
    assert (silent.reason, silent.started_at, silent.ended_at) == (
        "stale_stream",
        second.accepted[TRADES],
        stage.first.accepted[TRADES],
    )
    assert (lost.reason, lost.ended_at) == ("connect_lost", None)
    assert stage.trades() == [7]
    assert stage.send(second) == [{"again": list(TRADES)}]


def test_the_second_in_charge_may_end_as_silent_as_it_was(stage_of):
    stage = stage_of(TRADES, TICKERS, is_accepted=False)
    second = stage.second()
    stage.wait(SECOND_NS)
    stage.say(stage.first, ["ok", stage.chains])
    stage.say(stage.first, trade(7))
    stage.wait(PATIENCE_NS)
    stage.close(second)

    silent = stage.gaps(TRADES)[0]
    assert (silent.started_at, silent.ended_at) == (
        second.accepted[TRADES],
        stage.first.accepted[TRADES],
    )
    assert stage.trades() == [7]


def test_a_stream_that_the_second_accepted_and_does_not_bring_ends_with_the_first(
    stage_of,
):
    stage = stage_of(TRADES, TICKERS)
    second = stage.second()
    stage.wait(OVERLAP_NS + SECOND_NS)
    stage.both(second, ["ticker", "BTC_USDT", "1"])
    stage.say(stage.first, trade(7))
    stage.wait(PATIENCE_NS)
    at = stage.both(second, ["ticker", "BTC_USDT", "2"])
    stage.close(stage.first)

    (lost,) = stage.gaps(TRADES)
    assert (lost.reason, lost.started_at, lost.ended_at) == (
        "connect_lost",
        at + 1,
        None,
    )
    assert stage.gaps(TICKERS) == []
    assert stage.send(second) == [{"again": list(TRADES)}]


def test_a_stream_without_rows_is_probed_over_the_first(stage_of):
    stage = stage_of(TRADES, BBO)
    second = stage.second()
    stage.wait(FIRST_PROBE_NS + 1)

    assert stage.send(stage.first) == [{"once more": list(c)} for c in (TRADES, BBO)]
    assert stage.send(second) == []


def test_a_subscription_that_is_not_answered_gives_up_the_second_alone(known):
    second = known.open(known.first)
    known.wait(int(ANSWER_SECONDS * 1e9) + 1)

    assert second.is_dead
    assert not known.first.is_dead


# Stops and kills


def test_while_two_connections_live_no_more_is_claimed_than_the_first_brought(known):
    heard = known.say(known.first, trade(1))
    second = known.second()
    known.wait(SECOND_NS)
    later = known.say(second, trade(2))
    assert known.session.take(known.now()).heard == (heard + 1,)

    known.say(known.first, trade(2))
    known.close(known.first)

    assert known.session.take(known.now()).heard[0] > later


def test_what_the_second_alone_brings_is_claimed_as_far_as_both_were_heard(stage_of):
    stage = stage_of(BARE, TRADES)
    stage.say(stage.first, ["image", "BTC_USDT"])
    second = stage.second()
    heard = stage.say(second, ["image", "BTC_USDT"])
    stage.wait(SECOND_NS)
    stage.say(stage.first, ["beat"])

    assert stage.session.take(stage.now()).heard == (heard + 1,)


def test_a_stop_claims_what_the_first_brought(known):
    known.say(known.first, trade(1))
    second = known.second()
    heard = known.say(known.first, ["beat"])
    known.wait(SECOND_NS)
    known.say(second, trade(2))

    known.session.stop(known.now())
    known.close(known.first)
    known.close(second)
    known.session.settle()

    starts = {gap.started_at for gap in known.gaps() if gap.ended_at is None}
    assert starts == {heard + 1}
    assert known.trades() == [1, 2]
    assert len(known.events("connections")) == 2


def test_a_kill_claims_nothing_of_the_time_from_which_rows_wait(stage_of):
    stage = stage_of(TRADES)
    stage.say(stage.first, trade(1))
    second = stage.second()
    at = stage.say(second, trade(2), trade(3))
    stage.wait(SECOND_NS)
    stage.say(stage.first, trade(2), ["beat"])

    assert stage.session.take(stage.now()).heard == (at,)
    heard = stage.say(stage.first, trade(3))
    assert stage.session.take(stage.now()).heard == (heard + 1,)


# A first that is behind, or brings only a part


def test_a_first_that_is_behind_is_listened_to_for_longer(stage_of):
    stage = stage_of(TRADES)
    second = stage.second()
    behind = 5 * SECOND_NS
    stage.say(second, ["trade", "BTC_USDT", 9])
    stage.wait(behind)
    stage.say(stage.first, ["trade", "BTC_USDT", 8])
    assert not stage.handover().is_live(stage.now())
    stage.say(stage.first, ["trade", "BTC_USDT", 9])
    assert not stage.handover().is_live(stage.now())

    stage.wait(OVERLAP_NS)
    stage.say(stage.first, ["beat"])

    assert stage.handover().is_live(stage.now())
    assert stage.handover().is_first_heard
    assert stage.trades() == [8, 9]


def test_what_a_first_that_is_behind_still_had_to_bring_is_missing(stage_of):
    stage = stage_of(TRADES)
    second = stage.second()
    stage.say(second, ["trade", "BTC_USDT", 9])
    stage.wait(OVERLAP_NS + SECOND_NS)
    heard = stage.say(stage.first, ["trade", "BTC_USDT", 7])
    stage.wait(1)
    closed = stage.close(stage.first)

    (gap,) = stage.gaps()
    assert (gap.started_at, gap.ended_at) == (heard + 1, closed)
    assert stage.trades() == [7, 9]


def test_a_row_that_the_first_lost_does_not_hold_it_for_ever(stage_of):
    stage = stage_of(TRADES)
    stage.say(stage.first, ["trade", "BTC_USDT", 1])
    second = stage.second()
    stage.both(second, ["trade", "BTC_USDT", 2])
    stage.say(second, ["trade", "BTC_USDT", 3])
    stage.wait(OVERLAP_NS)
    stage.both(second, ["trade", "BTC_USDT", 4])
    assert not stage.handover().is_live(stage.now())

    stage.wait(LAG_MAX_NS)
    stage.say(stage.first, ["beat"])

    assert stage.handover().is_live(stage.now())
    stage.close(stage.first)
    assert stage.trades() == [1, 2, 4, 3]
    assert stage.gaps() == []


def test_a_stream_that_only_the_second_brings_was_silent_before(stage_of):
    stage = stage_of(TRADES, BBO)
    heard = stage.say(stage.first, ["trade", "BTC_USDT", 1])
    stage.wait(30 * SECOND_NS)
    second = stage.second()
    stage.say(second, ["trade", "BTC_USDT", 5])
    stage.wait(LAG_MAX_NS + OVERLAP_NS)
    stage.both(second, ["bbo", "BTC_USDT", "1"])
    stage.close(stage.first)

    (gap,) = stage.gaps()
    assert (gap.stream, gap.reason) == ("trades", "stale_stream")
    assert (gap.started_at, gap.ended_at) == (heard + 1, second.accepted[TRADES])
    assert stage.trades() == [1, 5]


def quiet_stage(stage_of, base):
    """The first is accepted, and silent; all that is known came by HTTP."""
    stage = stage_of(BOOK, TICKERS, is_accepted=False)
    stage.say(stage.first, ["ok", stage.chains, stage.now()])
    stage.wait(QUIET_ASK_NS)
    stage.snapshot(base, stage.now())
    assert stage.state(BOOK) == "live"
    return stage


def test_ids_after_the_snapshot_that_the_first_left_out_are_missing(stage_of):
    stage = quiet_stage(stage_of, 40)
    known_at = stage.now()
    stage.say(stage.first, ["ticker", "BTC_USDT", "1"])
    second = stage.second()
    at = stage.say(second, ["depth", "BTC_USDT", 50, 51])
    stage.wait(OVERLAP_NS - SECOND_NS)
    stage.say(stage.first, ["ticker", "BTC_USDT", "2"])
    stage.close(stage.first)

    silent, jump = stage.gaps(BOOK)
    assert (silent.reason, jump.reason) == ("stale_stream", "sequence_gap")
    assert known_at < jump.ended_at == at
    assert (jump.after_update_id, jump.before_update_id) == (40, 50)
    assert [update for update in stage.updates() if update[0]] == [(50, 51)]


def test_updates_that_go_on_after_the_snapshot_need_no_first_to_match(stage_of):
    stage = quiet_stage(stage_of, 49)
    stage.say(stage.first, ["ticker", "BTC_USDT", "1"])
    second = stage.second()
    stage.say(second, ["depth", "BTC_USDT", 50, 51])
    stage.close(stage.first)

    assert stage.state(BOOK) == "live"
    assert stage.gaps(BOOK) == []


def test_ids_that_the_first_left_out_before_it_ended_are_missing(stage_of):
    """The first is accepted, and silent; the second has not been there for long."""
    stage = stage_of(BOOK, TICKERS)
    heard = stage.say(stage.first, ["depth", "BTC_USDT", 1, 2])
    stage.snapshot(1)
    assert stage.state(BOOK) == "live"
    stage.wait(10 * SECOND_NS)
    stage.say(stage.first, ["ticker", "BTC_USDT", "1"])
    second = stage.second()
    at = stage.say(second, ["depth", "BTC_USDT", 50, 51])
    stage.wait(OVERLAP_NS + SECOND_NS)
    stage.say(stage.first, ["ticker", "BTC_USDT", "2"])
    stage.close(stage.first)

    silent, jump = stage.gaps(BOOK)
    assert (silent.reason, jump.reason) == ("stale_stream", "sequence_gap")
    assert (silent.started_at, silent.ended_at) == (heard + 1, second.accepted[BOOK])
    assert (jump.started_at, jump.ended_at) == (second.accepted[BOOK], at)
    assert (jump.after_update_id, jump.before_update_id) == (2, 50)
    assert stage.state(BOOK) != "live"
    assert stage.updates() == [(1, 2), (None, 1), (50, 51)]


def test_changes_that_the_image_of_the_second_passes_over_are_missing(stage_of):
    stage = stage_of(FULL)
    heard = stage.say(stage.first, full(100), change(101, 102))
    second = stage.second()
    at = stage.say(second, full(110), change(111, 111))
    stage.wait(OVERLAP_NS + SECOND_NS)
    stage.say(stage.first, ["beat"])
    stage.close(stage.first)

    (gap,) = stage.gaps()
    assert (gap.reason, gap.after_update_id, gap.before_update_id) == (
        "sequence_gap",
        102,
        111,
    )
    assert (gap.started_at, gap.ended_at) == (heard + 1, at)
    assert stage.state(FULL) == "live"
    assert stage.updates()[-2:] == [(None, 110), (111, 111)]


def test_a_book_without_ids_is_lost_with_the_first_if_the_second_has_none(stage_of):
    stage = stage_of(BARE)
    stage.say(stage.first, ["image", "BTC_USDT"])
    second = stage.second()
    stage.wait(OVERLAP_NS + SECOND_NS)
    heard = stage.say(stage.first, ["beat"])
    stage.close(stage.first)
    stage.say(second, ["change", "BTC_USDT"])
    assert stage.state(BARE) != "live"

    at = stage.say(second, ["image", "BTC_USDT"])

    assert stage.state(BARE) == "live"
    (gap,) = stage.gaps()
    assert (gap.started_at, gap.ended_at) == (heard + 1, at)


def test_a_book_that_nobody_brings_does_not_hold_the_first(stage_of):
    stage = stage_of(FULL, TRADES)
    stage.wait(60 * SECOND_NS)
    second = stage.second()
    stage.wait(OVERLAP_NS)
    stage.both(second, ["trade", "BTC_USDT", 1])

    assert stage.handover().is_live(stage.now())
    assert [gap.reason for gap in stage.gaps(FULL)] == ["stale_stream"]


def test_a_book_that_broke_takes_the_image_that_the_first_has_brought_too(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100))
    second = stage.second()
    stage.say(second, full(100))
    stage.both(second, change(101, 101))
    stage.say(stage.first, full(103))
    stage.close(stage.first)
    stage.session.frame(second, stage.now(), b"{", opcode="text")
    assert stage.state(FULL) == "broken"

    stage.say(second, full(103))

    assert stage.state(FULL) == "live"


def test_what_is_asked_of_the_second_in_vain_is_no_matter_of_the_first(stage_of):
    stage = stage_of(TRADES, BBO)
    second = stage.second()
    second.probed.add(TRADES)

    stage.say(second, ["no", [TRADES], "you have it"])
    stage.both(second, trade(1))
    stage.close(stage.first)

    assert stage.session.refused == {}
    assert stage.gaps(TRADES) == []


def test_each_interval_of_statistics_is_a_stream_of_its_own(stage_of):
    minutes = Chain("BTC_USDT", "contract_stats:1m")
    days = Chain("BTC_USDT", "contract_stats:1d")
    stage = stage_of(minutes, days, is_accepted=False)
    stage.say(stage.first, ["ok", [minutes]])
    second = stage.second()

    stage.say(second, ["stats", "BTC_USDT", "1d"], ["stats", "BTC_USDT", "1m"])

    assert [row.interval for row in stage.events("contract_stats")] == ["1d"]


def top(update_id):
    return ["depth", "BTC_USDT", None, update_id, [], [], EACH.stream]


def test_an_empty_top_is_shown_only_if_it_is_the_last(stage_of):
    stage = stage_of(EACH)
    stage.say(stage.first, top(10))
    second = stage.second()
    stage.say(second, top(None), top(12))
    stage.say(stage.first, top(13))
    stage.close(stage.first)
    assert stage.updates() == [(None, 10), (None, 13), (None, 12)]

    stage = stage_of(EACH)
    stage.say(stage.first, top(10))
    stage.say(stage.second(), top(12), top(None))
    stage.close(stage.first)
    assert stage.updates() == [(None, 10), (None, 12), (None, None)]


def test_rows_that_never_come_twice_are_forgotten(stage_of, monkeypatch):
    monkeypatch.setattr(pairing, "BROUGHT_MAX", 3)
    stage = stage_of(BBO)
    second = stage.open(stage.first)
    quotes = [["bbo", "BTC_USDT", str(n)] for n in range(5)]
    stage.say(stage.first, *quotes)
    stage.say(second, *quotes)
    stage.close(stage.first)

    assert [bbo.bid_price for bbo in stage.events("bbo")] == [*"01234", *"01"]


# Rows that only one of the two brings, or brings late, or twice


def test_a_change_in_whose_place_the_first_brings_an_image_is_stored(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100))
    second = stage.second()
    stage.say(second, full(100), change(101, 102))
    stage.say(stage.first, full(102), full(104))
    stage.say(second, change(103, 104))
    stage.both(second, change(105, 105))
    stage.close(stage.first)

    assert stage.updates() == [
        (None, 100),
        (101, 102),
        (None, 102),
        (None, 104),
        (103, 104),
        (105, 105),
    ]
    assert stage.gaps() == []
    assert stage.state(FULL) == "live"


def window(update_id):
    return ["window", "BTC_USDT", update_id, []]


def test_a_change_and_the_window_that_stands_for_it_are_two_rows(known):
    second = known.second()
    known.say(second, ["depth", "BTC_USDT", 10, 10])
    known.say(known.first, window(10), window(11))
    known.say(second, ["depth", "BTC_USDT", 11, 11])
    known.both(second, ["depth", "BTC_USDT", 12, 12])

    assert known.updates()[2:] == [(10, 10), (10, 10), (11, 11), (11, 11), (12, 12)]
    assert known.state() == "live"
    assert known.gaps(BOOK) == []


def test_a_change_that_reaches_into_what_is_missing_is_stored(known):
    second = known.second()
    known.say(known.first, window(12))
    (gap,) = known.gaps(BOOK)
    assert (gap.after_update_id, gap.before_update_id) == (9, 12)

    known.say(second, ["depth", "BTC_USDT", 10, 12])

    assert known.updates()[-1] == (10, 12)
    (gap,) = known.gaps(BOOK)
    assert gap.healed_by == "late"


def quote(number):
    return ["bbo", "BTC_USDT", "1", number]


def test_what_the_second_brings_twice_is_stored_once(stage_of):
    stage = stage_of(BBO, EACH)
    second = stage.second()
    stage.say(stage.first, quote(1), top(1))
    stage.say(second, quote(1), quote(1), top(1), top(1))
    stage.say(second, quote(2), quote(2), top(2), top(2))
    stage.say(stage.first, quote(2), top(2))
    stage.close(stage.first)

    assert [row[1] for row in stage.rows("bbo")] == ["run.0"] * 2
    assert [row[1] for row in stage.rows("depth")] == ["run.0"] * 2


def test_what_the_first_brings_late_is_stored_once(stage_of):
    stage = stage_of(EACH)
    stage.say(stage.first, top(1))
    second = stage.second()
    stage.say(second, top(2), top(3))
    stage.say(stage.first, top(3), top(2), top(4))

    assert sorted(stage.updates(), key=str) == [(None, n) for n in (1, 2, 3, 4)]


def test_the_image_of_a_quiet_book_is_a_row_and_no_new_numbering(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100), change(101, 102))
    second = stage.second()
    stage.say(second, full(102))
    stage.both(second, change(103, 103))
    stage.close(stage.first)
    stage.session.stop(stage.now())

    assert (None, 102) in stage.updates()
    assert stage.gaps(FULL) == []
    assert len(stage.gaps(scope="book")) == 1


def test_a_top_of_before_does_not_show_a_book_that_was_hidden(stage_of):
    stage = stage_of(EACH)
    second = stage.second()
    stage.say(stage.first, top(1), top(2))
    stage.session.frame(stage.first, stage.now(), b"{", opcode="text")
    assert stage.state(EACH) != "live"

    stage.say(second, top(1), top(2))
    assert stage.state(EACH) != "live"
    stage.say(stage.first, top(3))

    assert stage.state(EACH) == "live"
    assert stage.updates() == [(None, 1), (None, 2), (None, 3)]


def test_what_only_a_second_that_is_lost_had_brought_is_stored(stage_of):
    stage = stage_of(TRADES, BBO)
    second = stage.second()
    stage.say(second, quote(1), quote(2), ["trade", "BTC_USDT", 7])
    stage.close(second)
    stage.say(stage.first, quote(2))
    stage.wait(LAG_MAX_NS)
    assert [quote.update_id for quote in stage.events("bbo")] == [2]

    stage.say(stage.first, ["beat"])
    stage.wait(SECOND_NS)

    assert [quote.update_id for quote in stage.events("bbo")] == [2, 1]
    assert stage.trades() == [7]


@pytest.mark.parametrize("is_stop", [True, False])
def test_what_a_lost_second_had_brought_is_stored_at_the_end(stage_of, is_stop):
    stage = stage_of(BBO)
    second = stage.second()
    stage.say(second, quote(1))
    stage.close(second)

    if is_stop:
        stage.session.stop(stage.now())
    else:
        stage.close(stage.first)

    assert [quote.update_id for quote in stage.events("bbo")] == [1]


def test_a_kill_claims_nothing_of_the_time_from_which_any_row_waits(stage_of):
    stage = stage_of(TICKERS)
    second = stage.second()
    at = stage.say(second, ["ticker", "BTC_USDT", "7"])
    stage.wait(SECOND_NS)
    stage.say(stage.first, ["beat"])

    assert stage.session.take(stage.now()).heard == (at,)
    stage.close(second)
    assert stage.session.take(stage.now()).heard == (at,)


def test_what_may_be_here_already_is_left_out_and_told(stage_of):
    """Which of equal rows the second lost, nobody knows."""
    stage = stage_of(TICKERS)
    second = stage.second()
    seven, eight = (["ticker", "BTC_USDT", last] for last in "78")
    stage.say(stage.first, seven, eight)
    stage.say(second, eight)  # it lost the first, or brings it late
    at = stage.say(second, seven)
    stage.wait(OVERLAP_NS)
    stage.say(stage.first, ["beat"])
    stage.close(stage.first)
    later = stage.say(second, seven)

    assert [row[1] for row in stage.rows("tickers")] == ["run.0"] * 2
    gaps = stage.gaps(TICKERS)
    assert [gap.started_at for gap in gaps] == [at, later]
    assert {gap.healed_by for gap in gaps} == {None}


def test_rows_from_before_the_second_was_asked_are_no_twins(stage_of):
    stage = stage_of(TICKERS)
    seven = ["ticker", "BTC_USDT", "7"]
    second = stage.session.opened(
        "run.9", "ws://x/", stage.chains, stage.now(), stage.first
    )
    stage.say(stage.first, seven)
    stage.send(second)
    stage.say(second, ["ok", stage.chains], seven)
    stage.close(stage.first)

    assert [row[1] for row in stage.rows("tickers")] == ["run.0", "run.9"]


def test_where_the_second_is_followed_the_first_brings_what_it_loses(stage_of):
    stage = stage_of(BBO, EACH, is_accepted=False)
    second = stage.second()
    stage.say(second, quote(1), top(1))
    stage.say(stage.first, quote(1), quote(2), top(1), top(2))
    stage.say(second, quote(3), top(3))
    stage.close(stage.first)
    stage.say(second, quote(2))

    assert [quote.update_id for quote in stage.events("bbo")] == [1, 3, 2]
    assert stage.updates() == [(None, 1), (None, 3), (None, 2)]


def test_what_three_connections_bring_is_stored_once(stage_of):
    stage = stage_of(BBO)
    second = stage.second()
    stage.say(stage.first, quote(1))
    stage.close(stage.first)
    stage.first = second
    third = stage.second()
    stage.say(third, quote(1))  # the second has yet to bring it, and does not
    stage.close(second)

    assert [quote.update_id for quote in stage.events("bbo")] == [1]


# Frames that say nothing


def spoil(stage, link):
    at = stage.now()
    stage.session.frame(link, at, b"{", opcode="text")
    return at


def test_a_spoiled_frame_of_who_is_not_followed_costs_nothing(stage_of):
    stage = stage_of(BBO, EACH)
    second = stage.second()
    stage.both(second, top(1))
    spoil(stage, second)
    stage.wait(OVERLAP_NS)
    stage.both(second, quote(1), top(2))
    stage.close(stage.first)
    stage.say(second, top(3))

    assert stage.gaps() == []
    assert len(stage.gaps(scope="book")) == 1
    assert [row[1] for row in stage.rows("frames")] == ["run.1"]


@pytest.mark.parametrize("is_stop", [True, False])
def test_a_spoiled_frame_of_which_no_twin_came_any_more_is_told(stage_of, is_stop):
    stage = stage_of(TRADES)
    second = stage.second()
    stage.both(second, ["trade", "BTC_USDT", 1])
    at = spoil(stage, second)
    if is_stop:
        stage.session.stop(stage.now())
    else:
        stage.close(stage.first)

    (gap,) = stage.gaps()
    assert (gap.reason, gap.ended_at) == ("undecodable", at + 1)


def test_a_spoiled_frame_of_the_first_is_told_where_it_is_followed(stage_of):
    stage = stage_of(TRADES)
    second = stage.second()
    at = spoil(stage, stage.first)
    stage.both(second, ["trade", "BTC_USDT", 1])
    assert [gap.ended_at for gap in stage.gaps()] == [at + 1]

    stage.close(stage.first)
    assert len(stage.gaps()) == 1


def test_a_spoiled_frame_of_the_first_is_told_if_the_second_ends_that_led(stage_of):
    stage = stage_of(TRADES, is_accepted=False)
    second = stage.second()
    stage.say(second, ["trade", "BTC_USDT", 1])
    at = spoil(stage, stage.first)
    assert stage.gaps() == []

    stage.close(second)

    reasons = {gap.reason: gap.ended_at for gap in stage.gaps()}
    assert reasons == {"undecodable": at + 1, "connect_lost": None}


def test_what_precedes_the_first_row_of_the_first_is_taken_from_the_second(stage_of):
    stage = stage_of(BOOK)
    second = stage.second()
    stage.say(second, ["depth", "BTC_USDT", 1, 3], window(4))
    stage.say(stage.first, ["depth", "BTC_USDT", 5, 5])

    assert stage.updates() == [(1, 3), (4, 4), (5, 5)]


def test_an_image_that_waits_is_taken_once_a_book_needs_it(stage_of):
    stage = stage_of(FULL)
    stage.say(stage.first, full(100), change(101, 101))
    second = stage.second()
    stage.say(second, full(105))
    stage.say(stage.first, change(104, 105), change(106, 106))

    assert stage.state(FULL) == "live"
    assert stage.updates()[2:] == [(104, 105), (None, 105), (106, 106)]


def test_a_second_that_stalled_costs_nothing_of_what_the_first_brought(stage_of):
    stage = stage_of(BBO, TRADES, is_accepted=False)
    stage.say(stage.first, ["ok", [TRADES]])
    second = stage.second()
    stage.both(second, ["trade", "BTC_USDT", 1], quote(1))
    heard = stage.say(stage.first, ["trade", "BTC_USDT", 2], quote(2))
    stage.wait(SECOND_NS)
    stage.close(stage.first)
    stage.close(second)

    assert {gap.stream: gap.started_at for gap in stage.gaps()} == {
        "trades": heard + 1,
        "bbo": heard + 1,
    }
    assert [quote.update_id for quote in stage.events("bbo")] == [1, 2]
