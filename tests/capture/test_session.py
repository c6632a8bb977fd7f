"""What becomes of frames, without a socket: rows, gaps, and requests to send."""

import logging

import msgspec
import pytest

from recorder.capture import new_keys
from recorder.capture.books import FIRST_ASK_NS, QUIET_ASK_NS
from recorder.capture.depth_chain import FIRST_RETRY_NS
from recorder.capture.doubles import Doubles
from recorder.capture.images import IN_BAND_NS
from recorder.capture.link import ANSWERS_MAX
from recorder.capture.pool import MEMORY_BYTES, Pool
from recorder.capture.session import ANSWER_SECONDS, Session
from recorder.capture.silence import (
    FIRST_PROBE_NS,
    LAG_NS,
    PATIENCE_NS,
    PROBE_ROWS,
    SECOND_NS,
)
from recorder.capture.trade_ids import PROOF_TRADES
from recorder.model import NO_MARKET, Chain, Gap
from recorder.source import HttpRequest, Witness
from recorder.store.batch import RowFault
from recorder.store.layout import DAY_NS
from recorder.store.ledger import Ledger


TRADES = Chain("BTC_USDT", "trades")
OTHERS = Chain("ETH_USDT", "trades")
BOOK = Chain("BTC_USDT", "depth:10")
BARE = Chain("BTC_USDT", "depth:bare")
MINUTES = Chain("BTC_USDT", "klines:1m")
FIVES = Chain("BTC_USDT", "klines:5m")
TICKERS = Chain("BTC_USDT", "tickers")
BBO = Chain("BTC_USDT", "bbo")
STATUS = Chain(NO_MARKET, "status")

T0 = 19_000 * DAY_NS + 1_000_000_000_000
ASK = HttpRequest(path="/book", query=(("m", "BTC_USDT"),))


class Desk:
    """A session, with all that it stored laid open."""

    def __init__(
        self,
        source,
        clock,
        chains,
        *,
        left_open=(),
        is_archiving=False,
        memory_bytes=MEMORY_BYTES,
    ):
        self.clock = clock
        self.chains = chains
        self.session = Session(
            source,
            {"taste": "sweet"},
            chains,
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", chains, left_open),
            doubles=Doubles(),
            is_archiving=is_archiving,
            pool=Pool(memory_bytes),
        )
        self.stored = {}
        self.links = 0
        self.takes = 0
        self.is_disk_quick = True

    def open(self, *, is_answered=True):
        """Open a connection, send what it wants sent, and have it accepted."""
        at = self.clock.now_ns()
        name = f"run.{self.links}"
        self.links += 1
        link = self.session.opened(name, "ws://x/", self.chains, at)
        self.send(link)
        if is_answered:
            self.say(link, ["ok", self.chains])
        return link

    def send(self, link):
        """Send all requests of the outbox; return them."""
        sent = []
        while link.outbox:
            request = link.outbox.popleft()
            self.session.sent(link, request, self.clock.now_ns())
            sent.append(request.payload)
        return sent

    def say(self, link, *items, opcode="text"):
        """Have a frame of items received; return when."""
        return self.say_bytes(link, msgspec.json.encode(items), opcode=opcode)

    def say_bytes(self, link, payload, opcode="text"):
        at = self.clock.now_ns()
        self.session.frame(link, at, payload, opcode=opcode)
        return at

    def wait(self, ns):
        """Let time pass, and nothing come."""
        self.clock.now += ns
        self.session.tick(self.clock.now_ns())

    def snapshot(self, base, bids=(), asks=()):
        """Answer the snapshot that is due."""
        self.clock.now += FIRST_ASK_NS
        chain, epoch = self.session.books.next_due(self.clock.now_ns())
        body = msgspec.json.encode([base, bids, asks])
        self.session.snapshots.take(chain, epoch, ASK, self.clock.now_ns(), body)

    def rows(self, table):
        """Return the rows of a table so far, in their order."""
        taken = self.session.take(self.clock.now).rows
        self.takes += 1
        if self.is_disk_quick:
            self.session.written(self.takes)
        for (name, source), rows in taken.items():
            assert source == "fake"
            self.stored.setdefault(name, []).extend(rows)
        return self.stored.get(table, [])

    def events(self, table):
        return [row[4] for row in self.rows(table)]

    def gaps(self):
        """Return the newest revision of each gap, but for the wait at the start."""
        newest = {gap.gap_id: gap for gap in self.events("gaps")}
        return [gap for gap in newest.values() if gap.reason != "not_started"]

    def reasons(self):
        return [(gap.scope, gap.reason) for gap in self.gaps()]


@pytest.fixture
def desk_of(fake, make_clock):
    def desk_of(*chains, now=T0, **options):
        return Desk(fake, make_clock(now), chains, **options)

    return desk_of


def places(rows):
    return [(ts_recv, conn, seq, idx) for ts_recv, conn, seq, idx, _, _ in rows]


# What frames say


def test_each_kind_of_event_becomes_a_row_with_its_place(desk_of):
    desk = desk_of(TRADES, MINUTES, TICKERS, BBO)
    link = desk.open()

    at = desk.say(link, ["trade", "BTC_USDT", 5], ["trade", "BTC_USDT", 6])
    then = desk.say(
        link,
        ["kline", "BTC_USDT", "1m", "2"],
        ["ticker", "BTC_USDT", "3"],
        ["bbo", "BTC_USDT", "4"],
        ["status", "maintenance at noon"],
    )

    assert places(desk.rows("trades")) == [(at, "run.0", 1, 0), (at, "run.0", 1, 1)]
    assert [event.trade_id for event in desk.events("trades")] == [5, 6]
    assert places(desk.rows("klines")) == [(then, "run.0", 2, 0)]
    assert places(desk.rows("tickers")) == [(then, "run.0", 2, 1)]
    assert places(desk.rows("bbo")) == [(then, "run.0", 2, 2)]
    assert desk.events("status")[0].payload == "maintenance at noon"
    assert desk.session.frames_total == 3


def test_what_came_before_is_not_stored_again(desk_of, caplog):
    caplog.set_level(logging.DEBUG, logger="recorder")
    desk = desk_of(TRADES, MINUTES)
    first = desk.open()
    desk.say(first, ["trade", "BTC_USDT", 5], ["kline", "BTC_USDT", "1m", "2"])
    desk.say(first, ["status", "news"])

    second = desk.open()
    desk.say(second, ["trade", "BTC_USDT", 5], ["kline", "BTC_USDT", "1m", "2"])
    desk.say(second, ["status", "news"], ["trade", "BTC_USDT", 7])

    assert [event.trade_id for event in desk.events("trades")] == [5, 7]
    assert len(desk.rows("klines")) == len(desk.rows("status")) == 1
    doubles = [r.signal.stream for r in caplog.records if r.msg == "double"]
    assert doubles == ["trades", "klines:1m", "status"]


@pytest.mark.parametrize(
    "item",
    [
        ["trade", "NOPE", 1],
        ["kline", "BTC_USDT", "5m", "1"],
        ["ticker", "NOPE", "1"],
        ["bbo", "BTC_USDT", "1"],
        ["depth", "NOPE", 1, 2],
    ],
)
def test_what_nobody_asked_for_is_kept_once_as_unknown(desk_of, item):
    desk = desk_of(TRADES, MINUTES, TICKERS, BOOK)
    link = desk.open()

    payload = msgspec.json.encode([item, item, ["trade", "BTC_USDT", 1]])
    at = desk.say_bytes(link, payload, opcode="binary")

    assert places(desk.rows("frames")) == [(at, "run.0", 1, 0)]
    kept = desk.events("frames")[0]
    assert (kept.reason, kept.opcode, kept.payload) == ("unknown", "binary", payload)
    assert kept.error == f"nobody asked for market {item[1]!r}"
    assert [event.trade_id for event in desk.events("trades")] == [1]
    assert desk.reasons() == [("book", "resync")]


def test_a_frame_of_a_kind_not_known_is_kept_with_the_feeds_words(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()

    desk.say(link, ["what", "answers nothing that was asked"])

    kept = desk.events("frames")[0]
    assert (kept.direction, kept.reason, kept.error) == (
        "in",
        "unknown",
        "answers nothing that was asked",
    )


def test_what_the_feed_wants_sent_goes_ahead_of_what_waits(desk_of):
    desk = desk_of(TRADES, OTHERS)
    link = desk.session.opened("run.0", "ws://x/", desk.chains, desk.clock.now_ns())

    desk.say(link, ["send", "one", "two"])

    assert desk.send(link)[:2] == [b"one", b"two"]
    assert len(link.unanswered) == 2


def test_a_venue_that_wants_answers_without_end_is_given_up(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    asked = ["send", "one", "two"]

    for _ in range((ANSWERS_MAX + 2) // 2):
        desk.say(link, asked)
    assert not link.is_dead
    assert len(link.outbox) == ANSWERS_MAX + 2
    for _ in range(10):
        desk.say(link, asked)

    assert link.is_dead
    assert link.why_dead == "the venue wants more answers than may be sent"
    assert list(link.outbox) == []


def test_the_venues_clock_is_compared_with_ours(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    at = desk.clock.now + 1

    desk.say(link, ["beat", at + 2_500_000])
    desk.say(link, ["beat"])
    desk.session.closed(link, desk.clock.now_ns(), 1000, "bye")

    life = desk.events("connections")[0]
    assert life.clock_offset_ms == 2.5
    assert (life.close_code, life.close_reason, life.frames) == (1000, "bye", 3)


def test_new_keys_are_told_once_and_looked_for_in_one_frame_of_many(
    desk_of, caplog, monkeypatch
):
    monkeypatch.setattr(new_keys, "KEYS_EVERY", 3)
    desk = desk_of(TICKERS)
    link = desk.open()
    caplog.set_level(logging.INFO, logger="recorder")

    for last in ("novel", "novel", "novel", "novel", "novel"):
        desk.say(link, ["ticker", "BTC_USDT", last])

    keys = [record.signal for record in caplog.records if "new key" in record.msg]
    assert [(signal.source, signal.key) for signal in keys] == [("fake", "new.key")]


def test_every_status_frame_is_searched_for_new_keys(desk_of, caplog):
    desk = desk_of(TICKERS)
    link = desk.open()
    caplog.set_level(logging.INFO, logger="recorder")

    desk.say(link, ["status", "plain"])
    desk.say(link, ["status", "novel"])

    keys = [record.signal for record in caplog.records if "new key" in record.msg]
    assert [signal.key for signal in keys] == ["new.key"]


def test_a_frame_whose_keys_cannot_be_told_is_stored_all_the_same(desk_of):
    desk = desk_of(TICKERS)
    link = desk.open()

    desk.say(link, ["ticker", "BTC_USDT", "spoiled"])

    assert [event.last for event in desk.events("tickers")] == ["spoiled"]
    assert desk.rows("frames") == []


# Frames that say nothing we understand


def test_an_undecodable_frame_is_a_gap_of_the_whole_job(desk_of):
    desk = desk_of(TRADES, BOOK, BARE)
    link = desk.open()
    before = desk.say(link, ["image", "BTC_USDT"])

    at = desk.say_bytes(link, b"\xff{", opcode="binary")

    kept = desk.events("frames")[0]
    assert (kept.reason, kept.opcode, kept.payload) == (
        "undecodable",
        "binary",
        b"\xff{",
    )
    gap = desk.gaps()[-1]
    assert (gap.market, gap.stream, gap.reason) == (None, None, "undecodable")
    assert (gap.started_at, gap.ended_at) == (before + 1, at + 1)
    assert gap.detail.startswith("frame run.0/2 is in the table frames: not a list")
    unsure = desk.gaps()[-2]
    assert (unsure.stream, unsure.scope, unsure.reason) == (
        "depth:bare",
        "book",
        "resync",
    )
    assert (unsure.started_at, unsure.ended_at) == (before + 1, None)


def test_after_an_undecodable_frame_books_without_ids_are_asked_for_afresh(desk_of):
    desk = desk_of(BARE)
    link = desk.open()
    desk.say(link, ["image", "BTC_USDT"])
    desk.say_bytes(link, b"!")

    desk.wait(1)
    desk.wait(1)

    assert desk.send(link) == [b'{"again":["BTC_USDT","depth:bare"]}']
    assert desk.session.books.states() == {BARE: "broken"}
    again = desk.say(link, ["ok", [BARE]], ["image", "BTC_USDT"])
    assert desk.session.books.states() == {BARE: "live"}
    assert [gap.ended_at for gap in desk.gaps() if gap.scope == "book"][-1] == again


def test_update_ids_that_cannot_be_are_an_undecodable_frame(desk_of):
    desk = desk_of(BOOK, TRADES)
    link = desk.open()

    desk.say(link, ["trade", "BTC_USDT", 1], ["depth", "BTC_USDT", 9, 5])

    assert [kept.reason for kept in desk.events("frames")] == ["undecodable"]
    assert "run backwards" in desk.events("frames")[0].error
    assert ("rows", "undecodable") in desk.reasons()
    assert [event.trade_id for event in desk.events("trades")] == [1]


# Archive


def test_an_archive_holds_every_frame_of_both_directions_once(desk_of):
    desk = desk_of(TRADES, BOOK, is_archiving=True)
    link = desk.open()
    desk.say(link, ["trade", "BTC_USDT", 1])
    desk.say(link, ["what", "is this"])
    desk.say_bytes(link, b"!")
    desk.say(link, ["depth", "BTC_USDT", 5, 6])
    desk.snapshot(4)
    again = desk.open()
    desk.say(again, ["trade", "BTC_USDT", 2])

    names = [row[1:3] for row in desk.rows("frames")]
    assert len(set(names)) == len(names)
    assert {name for name, _ in names} == {
        *("run.0", "run.0.out", "run.1", "run.1.out", "run.rest")
    }
    kept = desk.events("frames")[: -len([n for n, _ in names if "run.1" in n])]
    assert [(k.direction, k.opcode, k.reason) for k in kept] == [
        ("out", "text", "archive"),
        ("out", "text", "archive"),
        ("in", "text", "archive"),
        ("in", "text", "archive"),
        ("in", "text", "unknown"),
        ("in", "text", "undecodable"),
        ("in", "text", "archive"),
        ("in", "http", "archive"),
    ]
    assert kept[0].payload == b'{"sub":["BTC_USDT","trades"]}'
    assert kept[3].payload == b'[["trade","BTC_USDT",1]]'
    assert (kept[7].payload, kept[7].request) == (b"[4,[],[]]", "/book?m=BTC_USDT")


def test_without_an_archive_frames_that_are_understood_are_not_kept(desk_of):
    desk = desk_of(TRADES)
    desk.say(desk.open(), ["trade", "BTC_USDT", 1])

    assert desk.rows("frames") == []


# Subscriptions


def test_coverage_begins_with_the_acceptance(desk_of):
    desk = desk_of(TRADES)
    link = desk.open(is_answered=False)
    accepted = desk.say(link, ["ok", [TRADES]])
    heard = desk.say(link, ["ok", [TRADES]])

    desk.session.stop(heard + 100)
    desk.session.settle()

    covered = desk.events("coverage")
    assert [(c.started_at, c.ended_at, c.closed_by) for c in covered] == [
        (accepted, heard + 1, "stop")
    ]
    assert [(g.reason, g.started_at) for g in desk.gaps()] == [
        ("process_stopped", heard + 1)
    ]


def test_an_acceptance_that_is_repeated_does_a_known_book_no_harm(desk_of):
    desk = desk_of(BARE)
    link = desk.open()
    desk.say(link, ["image", "BTC_USDT"])

    desk.say(link, ["ok", [BARE]])
    desk.wait(2 * IN_BAND_NS)

    assert desk.session.books.states() == {BARE: "live"}
    assert desk.send(link) == []
    assert len(desk.gaps()) == 1


def test_an_acceptance_of_nothing_says_nothing(desk_of):
    desk = desk_of(TRADES)

    desk.say(desk.open(is_answered=False), ["ok", []])

    assert desk.gaps() == desk.rows("coverage") == []


def test_a_refused_chain_is_a_gap_and_the_others_go_on(desk_of):
    desk = desk_of(TRADES, OTHERS)
    link = desk.open(is_answered=False)
    desk.say(link, ["ok", [TRADES]])

    at = desk.say(link, ["no", [OTHERS], "unknown market"])

    assert desk.session.refused == {OTHERS: "unknown market"}
    gap = desk.gaps()[0]
    assert (gap.market, gap.reason, gap.detail) == (
        "ETH_USDT",
        "subscription_rejected",
        "unknown market",
    )
    assert (gap.started_at, gap.ended_at) == (at, None)
    assert not link.is_dead


def test_a_refused_stream_without_markets_is_told_of_without_one(desk_of, caplog):
    caplog.set_level(logging.INFO, logger="recorder")
    desk = desk_of(TRADES, STATUS)
    link = desk.open(is_answered=False)

    desk.say(link, ["no", [STATUS], "not for you"], ["ok", [TRADES]])

    told = [record.signal.facts() for record in caplog.records]
    assert {"stream": "status", "reason": "not for you"} in told
    assert {"stream": "trades", "markets": 1} in told
    assert ("rows", "subscription_rejected", None) in {
        (gap.scope, gap.reason, gap.market) for gap in desk.gaps()
    }


def test_streams_that_are_accepted_together_are_told_of_each_by_its_name(
    desk_of, caplog
):
    caplog.set_level(logging.INFO, logger="recorder")
    desk = desk_of(TRADES, OTHERS, BBO, STATUS)
    link = desk.open(is_answered=False)

    desk.say(link, ["ok", [TRADES, BBO, OTHERS, STATUS]])

    told = [r.signal.facts() for r in caplog.records if r.msg == "subscribed"]
    assert told == [
        {"stream": "trades", "markets": 2},
        {"stream": "bbo", "markets": 1},
        {"stream": "status"},
    ]


def test_when_all_is_refused_the_connection_is_given_up(desk_of):
    desk = desk_of(TRADES, OTHERS)
    link = desk.open(is_answered=False)

    desk.say(link, ["no", [TRADES], "no"], ["no", [OTHERS], "no"])

    assert link.is_dead
    assert link.why_dead == "the venue refused all that was asked for"


def test_what_was_refused_is_not_asked_for_again(desk_of):
    desk = desk_of(TRADES, OTHERS)
    desk.say(desk.open(is_answered=False), ["no", [OTHERS], "no"])

    link = desk.session.opened("run.1", "ws://x/", desk.chains, desk.clock.now_ns())

    assert link.chains == (TRADES,)
    assert desk.send(link) == [b'{"sub":["BTC_USDT","trades"]}']


def test_a_subscription_that_is_not_answered_gives_the_connection_up(desk_of):
    desk = desk_of(TRADES, OTHERS)
    link = desk.open(is_answered=False)
    desk.say(link, ["ok", [TRADES]])

    desk.wait(int(ANSWER_SECONDS * 1e9) - 1_000)
    assert not link.is_dead
    desk.wait(1_000)

    assert (link.is_dead, link.why_dead) == (True, "a subscription was not answered")


def test_who_answers_no_subscription_at_all_may_be_the_wrong_one(desk_of):
    desk = desk_of(TRADES)
    link = desk.open(is_answered=False)

    desk.wait(int(ANSWER_SECONDS * 1e9))

    assert link.why_dead == (
        "a subscription was not answered: "
        "check that --ws-url is an address of this source"
    )


def test_a_first_image_that_does_not_come_is_asked_for_again(desk_of):
    desk = desk_of(BARE, TRADES)
    link = desk.open()

    desk.wait(IN_BAND_NS - 100)
    assert desk.send(link) == []
    desk.wait(100)

    assert desk.send(link) == [b'{"again":["BTC_USDT","depth:bare"]}']
    assert set(link.unanswered) == {BARE}


def test_a_stream_whose_book_comes_on_the_socket_is_believed_when_it_came(desk_of):
    desk = desk_of(BARE)
    link = desk.open(is_answered=False)
    accepted = desk.say(link, ["ok", [BARE]])
    [waiting] = desk.events("gaps")[:1]
    assert (waiting.reason, waiting.ended_at) == ("not_started", None)

    heard = desk.say(link, ["image", "BTC_USDT"])
    desk.session.stop(heard + 100)
    desk.session.settle()

    covered = desk.events("coverage")
    assert [(c.started_at, c.ended_at) for c in covered] == [(accepted, heard + 1)]


def test_a_stream_whose_fresh_book_does_not_come_is_a_gap_until_it_does(desk_of):
    desk = desk_of(BARE, TICKERS)
    link = desk.open()
    desk.say(link, ["image", "BTC_USDT"])
    last = desk.say(link, ["change", "BTC_USDT"])
    desk.say_bytes(link, b"?")
    desk.wait(1)
    assert desk.send(link) == [b'{"again":["BTC_USDT","depth:bare"]}']
    desk.say(link, ["ok", [BARE]])

    desk.wait(IN_BAND_NS)
    assert desk.send(link) == [b'{"again":["BTC_USDT","depth:bare"]}']
    again = desk.say(link, ["ok", [BARE]])
    [silent] = [gap for gap in desk.gaps() if gap.reason == "stale_stream"]
    assert (silent.stream, silent.started_at, silent.ended_at) == (
        "depth:bare",
        last + 1,
        None,
    )

    desk.say(link, ["image", "BTC_USDT"])
    [silent] = [gap for gap in desk.gaps() if gap.reason == "stale_stream"]
    assert silent.ended_at == again
    assert desk.session.books.states() == {BARE: "live"}


# Connections


def test_a_lost_connection_is_a_gap_from_the_last_frame_to_the_next_acceptance(desk_of):
    desk = desk_of(TRADES, BOOK)
    link = desk.open()
    last = desk.say(link, ["depth", "BTC_USDT", 5, 9])
    desk.session.closed(link, last + 50, None, "the peer vanished")
    again = desk.open()

    lost = [gap for gap in desk.gaps() if gap.reason == "connect_lost"]
    assert {gap.stream: gap.after_update_id for gap in lost} == {
        "trades": None,
        "depth:10": 9,
    }
    assert {(gap.started_at, gap.ended_at, gap.detail) for gap in lost} == {
        (last + 1, again.last_at, "the peer vanished")
    }
    life = desk.events("connections")[0]
    assert (life.url, life.opened_at, life.closed_at) == (
        "ws://x/",
        link.opened_at,
        last + 50,
    )
    assert (life.frames, life.bytes) == (2, link.bytes_total)


def test_a_connection_that_ends_before_it_was_accepted_opens_no_gap(desk_of):
    desk = desk_of(TRADES)
    link = desk.open(is_answered=False)

    desk.session.closed(link, desk.clock.now_ns(), 1006, None)

    assert desk.gaps() == []
    assert len(desk.rows("connections")) == 1


def test_trades_that_were_missed_while_nobody_recorded_stay_missed(desk_of):
    stopped = Gap(
        gap_id="old.1",
        market=TRADES.market,
        stream=TRADES.stream,
        job="job",
        scope="rows",
        reason="process_stopped",
        started_at=T0 - 500,
    )
    desk = desk_of(TRADES, left_open=[stopped])
    link = desk.open()

    for number in range(PROOF_TRADES + 5):
        desk.say(link, ["trade", "BTC_USDT", number, "1", 7_000 + number])

    gap = next(gap for gap in desk.gaps() if gap.gap_id == "old.1")
    assert gap.ended_at is not None
    assert gap.healed_by is None


def test_a_connection_lost_between_two_trades_in_a_row_missed_none(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    for number in range(PROOF_TRADES + 1):
        desk.say(link, ["trade", "BTC_USDT", number, "1", number])
    desk.session.closed(link, desk.clock.now_ns(), None, "gone")
    again = desk.open()

    number = PROOF_TRADES + 1
    desk.say(again, ["trade", "BTC_USDT", number, "1", number])

    assert [(g.reason, g.healed_by) for g in desk.gaps()] == [
        ("connect_lost", "sequence")
    ]


def test_a_connection_lost_with_trades_missed_stays_a_gap(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    for number in range(PROOF_TRADES + 1):
        desk.say(link, ["trade", "BTC_USDT", number, "1", number])
    desk.session.closed(link, desk.clock.now_ns(), None, "gone")
    again = desk.open()

    for number in range(PROOF_TRADES + 4, PROOF_TRADES + 8):
        desk.say(again, ["trade", "BTC_USDT", number, "1", number])

    assert [(g.reason, g.healed_by, g.detail) for g in desk.gaps()] == [
        ("connect_lost", None, "gone"),
        ("sequence_gap", None, "3 trades"),
    ]


def test_history_is_not_checked_for_its_numbers(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()

    for number in (1, 5, 9):
        desk.say(link, ["trade", "BTC_USDT", number, "1", number, "history"])

    assert len(desk.rows("trades")) == 3
    assert desk.gaps() == []


# Streams that are silent


TOLD = Witness(by="tickers", of=("trades", "depth"), changed=("last",), signs=2)
LONG = (LAG_NS + PATIENCE_NS) // SECOND_NS + 3


@pytest.fixture
def watched(fake, make_clock):
    """Makes desks of a venue whose tickers tell of trades and books."""
    source = msgspec.structs.replace(fake, witnesses=(TOLD,))
    return lambda *chains: Desk(source, make_clock(T0), chains)


def tell(desk, link, seconds=LONG):
    """Have the last price of the market change every second."""
    for number in range(seconds):
        desk.say(link, ["ticker", "BTC_USDT", str(desk.clock.now + number)])
        desk.wait(SECOND_NS)


def chain_of(row):
    return Chain(row.market, row.stream)


def stale(desk):
    return [
        (gap.stream, gap.started_at, gap.ended_at)
        for gap in desk.gaps()
        if gap.reason == "stale_stream"
    ]


def test_a_stream_that_is_silent_is_a_gap_until_it_is_accepted_afresh(watched):
    desk = watched(TRADES, OTHERS, TICKERS)
    link = desk.open()
    last = desk.say(link, ["trade", "BTC_USDT", 1])

    tell(desk, link)
    assert stale(desk) == [("trades", last + 1, None)]
    assert desk.send(link) == [b'{"again":["BTC_USDT","trades"]}']
    assert set(link.unanswered) == {TRADES}
    again = desk.say(link, ["ok", [TRADES]])

    assert stale(desk) == [("trades", last + 1, again)]
    desk.session.stop(desk.clock.now)
    desk.session.settle()
    covered = [c for c in desk.events("coverage") if chain_of(c) == TRADES]
    assert (covered[0].ended_at, covered[0].closed_by) == (last + 1, "gap")


def test_a_stream_that_stays_silent_is_covered_at_no_time(watched):
    desk = watched(TRADES, TICKERS)
    link = desk.open()
    begun = link.last_at

    tell(desk, link)
    desk.send(link)
    desk.say(link, ["ok", [TRADES]])
    tell(desk, link)

    covered = [c for c in desk.events("coverage") if c.stream == "trades"]
    assert covered == []
    assert stale(desk)[0][1] == begun
    assert stale(desk)[0][2] == stale(desk)[1][1]
    assert not desk.session._ledger.is_covered(TRADES)


def test_a_silent_stream_that_comes_before_its_restart_is_covered_again(watched):
    desk = watched(TRADES, TICKERS)
    link = desk.open()
    tell(desk, link)
    desk.send(link)
    desk.say(link, ["ok", [TRADES]])
    tell(desk, link)
    assert stale(desk)[1][2] is None

    came = desk.say(link, ["trade", "BTC_USDT", 1])
    desk.wait(1)

    assert stale(desk)[1][2] == came
    assert [event.trade_id for event in desk.events("trades")] == [1]


def test_a_known_book_whose_stream_is_silent_is_not_known(watched):
    desk = watched(BOOK, TICKERS)
    link = desk.open()
    last = desk.say(link, ["depth", "BTC_USDT", 5, 6])
    desk.snapshot(4)
    assert desk.session.books.known_total == 1

    tell(desk, link)

    assert desk.session.books.known_total == 0
    assert stale(desk) == [("depth:10", last + 1, None)]
    gap = next(gap for gap in desk.gaps() if gap.reason == "stale_stream")
    assert gap.after_update_id == 6


def test_a_silent_book_whose_updates_come_before_its_restart_waits_for_a_snapshot(
    watched,
):
    desk = watched(BOOK, TICKERS)
    link = desk.open()
    tell(desk, link)
    desk.send(link)
    desk.say(link, ["ok", [BOOK]])
    tell(desk, link)

    came = desk.say(link, ["depth", "BTC_USDT", 20, 21])
    desk.wait(1)

    assert stale(desk)[1][2] == came
    gap = next(gap for gap in desk.gaps() if gap.ended_at is None)
    assert (gap.scope, gap.reason) == ("book", "resync")
    desk.snapshot(19)
    assert desk.session.books.known_total == 1


def test_a_silence_is_told_when_the_recording_ends(watched):
    desk = watched(TRADES, TICKERS)
    link = desk.open()
    begun = link.last_at
    for number in range(LONG):
        desk.say(link, ["ticker", "BTC_USDT", str(number)])
        desk.clock.now += SECOND_NS

    at = desk.clock.now
    desk.session.stop(at)
    desk.session.settle()

    assert stale(desk) == [("trades", begun, at)]


def test_a_stream_without_rows_is_asked_for_once_more_and_no_harm_done(watched):
    desk = watched(TRADES, OTHERS, BOOK, STATUS)
    link = desk.open()
    desk.say(link, ["trade", "ETH_USDT", 1])
    desk.wait(FIRST_PROBE_NS)

    # Books are asked for again too, where their image comes by HTTP. What a
    # venue says of itself is not: it would but say its last word again.
    assert desk.send(link) == [
        b'{"once more":["BTC_USDT","trades"]}',
        b'{"once more":["BTC_USDT","depth:10"]}',
    ]
    accepted = desk.session.books.states()
    desk.wait(int(ANSWER_SECONDS * 1e9) + 1)
    assert not link.is_dead
    desk.say(link, ["ok", [TRADES, BOOK]])
    assert desk.session.books.states() == accepted
    assert stale(desk) == []
    assert desk.rows("coverage") == []


def test_statistics_of_each_interval_are_a_stream_of_their_own(watched):
    minutes, days = (Chain("BTC_USDT", f"contract_stats:{i}") for i in ("1m", "1d"))
    desk = watched(minutes, days)
    link = desk.open()
    desk.say(link, ["stats", "BTC_USDT", "1d"])
    desk.say(link, ["stats", "BTC_USDT", "4h"])
    desk.wait(FIRST_PROBE_NS)

    assert desk.send(link) == [b'{"once more":["BTC_USDT","contract_stats:1m"]}']
    assert [row.interval for row in desk.events("contract_stats")] == ["1d"]
    assert [frame.reason for frame in desk.events("frames")] == ["unknown"]


def test_what_comes_only_after_asking_again_was_missing_before(watched):
    desk = watched(TRADES)
    link = desk.open()
    begun = link.last_at
    desk.wait(FIRST_PROBE_NS)
    answered = desk.say(link, ["ok", [TRADES]])

    for number in range(PROBE_ROWS + 2):
        at = 120 + number
        desk.say(link, ["trade", "BTC_USDT", at, "1", at])
        desk.wait(SECOND_NS)

    gap = next(gap for gap in desk.gaps() if gap.reason == "stale_stream")
    assert (gap.started_at, gap.ended_at) == (begun, answered)
    assert gap.healed_by is None
    desk.session.stop(desk.clock.now)
    desk.session.settle()
    assert desk.events("coverage")[0].started_at == answered


def test_a_gap_after_a_silence_is_not_covered_by_what_is_told_later(watched):
    desk = watched(TRADES)
    link = desk.open()
    begun = link.last_at
    desk.wait(FIRST_PROBE_NS)
    desk.say(link, ["ok", [TRADES]])
    bad = desk.say(link, ["trade", "BTC_USDT", 1, "nonsense"])
    desk.session.spoiled([fault(TRADES, "trades", bad)])

    for number in range(PROBE_ROWS + 1):
        desk.wait(SECOND_NS)
        last = desk.say(link, ["trade", "BTC_USDT", 2 + number])
    desk.wait(1)
    desk.session.stop(last + 1)
    desk.session.settle()

    # What was covered before is taken back, but for the gap in its midst.
    assert stale(desk) == [("trades", begun, bad), ("trades", bad + 1, bad + 1)]
    assert [(c.started_at, c.ended_at) for c in desk.events("coverage")] == [
        (bad + 1, last + 1)
    ]


def test_a_silent_book_is_told_of_too(watched):
    desk = watched(BOOK)
    link = desk.open()
    begun = link.last_at
    desk.wait(FIRST_PROBE_NS)
    desk.send(link)
    answered = desk.say(link, ["ok", [BOOK]])

    for number in range(PROBE_ROWS + 2):
        desk.say(link, ["depth", "BTC_USDT", 20 + number, 20 + number])
        desk.wait(SECOND_NS)

    assert stale(desk) == [("depth:10", begun, answered)]


def test_what_was_given_up_is_refused_if_it_was_never_accepted(desk_of, caplog):
    desk = desk_of(TRADES, OTHERS, BBO)
    link = desk.open(is_answered=False)
    desk.say(link, ["ok", [TRADES]], ["no", [BBO], "no such stream"])
    last = desk.say(link, ["trade", "BTC_USDT", 1])
    desk.session.closed(link, desk.clock.now_ns(), 1000, "your key is over")

    desk.session.gave_up([TRADES, OTHERS, BBO], "get another key", is_about_keys=True)

    assert desk.session.refused == {BBO: "no such stream", OTHERS: "get another key"}
    assert desk.session.keys_refused == {OTHERS}
    gaps = [(gap.stream, gap.reason, gap.detail) for gap in desk.gaps()]
    assert gaps == [
        ("bbo", "subscription_rejected", "no such stream"),
        ("trades", "connect_lost", "your key is over"),
        ("trades", "subscription_rejected", "get another key"),
        ("trades", "subscription_rejected", "get another key"),
    ]
    lost, rejected = (
        gap
        for gap in desk.gaps()
        if gap.market == "BTC_USDT" and gap.stream == "trades"
    )
    assert (lost.started_at, lost.ended_at) == (last + 1, rejected.started_at)
    assert rejected.ended_at is None
    told = [r.signal for r in caplog.records if "refused a subscription" in r.msg]
    assert [signal.reason for signal in told] == [
        "no such stream",
        "get another key",
        "get another key",
    ]


def test_after_a_stop_nothing_is_given_up(desk_of):
    desk = desk_of(TRADES)
    desk.session.stop(desk.clock.now_ns())

    desk.session.gave_up([TRADES], "get another key")

    assert desk.gaps() == []
    assert desk.session.refused == {}


def test_where_nothing_is_asked_for_nothing_is_asked_for_once_more(
    fake, make_clock, caplog
):
    desk = Desk(
        msgspec.structs.replace(fake, is_asked=False), make_clock(T0), (TRADES,)
    )
    link = desk.open()

    desk.wait(FIRST_PROBE_NS)

    assert desk.send(link) == []


def test_a_refused_probe_is_cleared_up_by_starting_afresh(watched):
    desk = watched(TRADES, OTHERS)
    link = desk.open()
    desk.wait(FIRST_PROBE_NS)
    desk.send(link)

    at = desk.say(link, ["no", [TRADES], "already there"])
    desk.say(link, ["ok", [OTHERS]])
    desk.wait(1)

    assert desk.session.refused == {}
    assert stale(desk) == [("trades", at, None)]
    assert desk.send(link) == [b'{"again":["BTC_USDT","trades"]}']
    desk.say(link, ["no", [TRADES], "not listed any more"])
    assert desk.session.refused == {TRADES: "not listed any more"}


# Snapshots by HTTP


def test_a_snapshot_goes_into_depth_as_a_row_of_its_own(desk_of):
    desk = desk_of(BOOK)
    link = desk.open()
    desk.say(link, ["depth", "BTC_USDT", 5, 6])

    desk.snapshot(4, bids=[["1", "2"]])

    rows = desk.rows("depth")
    assert [(row[1], row[2], row[4].origin) for row in rows] == [
        ("run.0", 1, "live"),
        ("run.rest", 0, "rest"),
    ]
    assert desk.session.books.known_total == 1


def test_an_undecodable_snapshot_is_kept_with_its_request_and_asked_for_again(desk_of):
    desk = desk_of(BOOK)
    link = desk.open()
    desk.say(link, ["depth", "BTC_USDT", 5, 6])
    desk.clock.now += FIRST_ASK_NS
    chain, epoch = desk.session.books.next_due(desk.clock.now_ns())

    desk.session.snapshots.take(chain, epoch, ASK, desk.clock.now_ns(), b"<html>")

    kept = desk.events("frames")[0]
    assert (kept.reason, kept.opcode, kept.request, kept.payload) == (
        "undecodable",
        "http",
        "/book?m=BTC_USDT",
        b"<html>",
    )
    assert desk.rows("frames")[0][1] == "run.rest"
    assert ("rows", "undecodable") not in desk.reasons()
    desk.clock.now += 2 * 10**9
    assert desk.session.books.next_due(desk.clock.now_ns()) == (BOOK, epoch)


def test_a_snapshot_with_an_impossible_id_is_kept_and_asked_for_again(desk_of):
    desk = desk_of(BOOK)
    link = desk.open(is_answered=False)
    desk.say(link, ["ok", [BOOK], 1_000])
    desk.clock.now += QUIET_ASK_NS
    chain, epoch = desk.session.books.next_due(desk.clock.now_ns())

    body = b"[-5,[],[],1001]"
    desk.session.snapshots.take(chain, epoch, ASK, desk.clock.now_ns(), body)

    assert [(k.reason, k.payload) for k in desk.events("frames")] == [
        ("undecodable", body)
    ]
    assert desk.session.books.states() == {BOOK: "unsynced"}
    desk.clock.now += 2 * FIRST_RETRY_NS
    assert desk.session.books.next_due(desk.clock.now_ns()) == (BOOK, epoch)


def test_a_source_without_snapshots_is_never_given_one(fake, make_clock):
    source = msgspec.structs.replace(fake, snapshot=None)
    desk = Desk(source, make_clock(T0), (TRADES,))

    with pytest.raises(ValueError, match="fake has no snapshots by HTTP"):
        desk.session.snapshots.take(TRADES, 0, ASK, T0, b"")


# The clock


def test_midnight_divides_the_coverage(desk_of):
    midnight = 19_001 * DAY_NS
    desk = desk_of(TRADES, now=midnight - 1_000)
    accepted = desk.open().last_at

    desk.wait(10)
    assert desk.rows("coverage") == []
    desk.wait(2_000)
    desk.wait(2_000)
    (link,) = desk.session._links.values()
    heard = desk.say(link, ["trade", "BTC_USDT", 1])
    desk.session.stop(midnight + 9_000)
    desk.session.settle()

    covered = desk.events("coverage")
    assert [(c.started_at, c.ended_at, c.closed_by) for c in covered] == [
        (accepted, midnight, "midnight"),
        (midnight, heard + 1, "stop"),
    ]


# A disk that is too slow


@pytest.fixture
def slow_desk(desk_of):
    """A desk with three rows waiting and room for two: frames are dropped."""
    desk = desk_of(TRADES, BARE, memory_bytes=1_500)
    desk.link = desk.open()
    desk.say(desk.link, ["image", "BTC_USDT"])
    desk.rows("trades")
    for number in range(3):
        desk.say(desk.link, ["trade", "BTC_USDT", number])
    desk.session.tick(desk.clock.now_ns())
    desk.since = desk.clock.now
    return desk


def test_dropped_frames_are_counted_and_named_in_one_gap(slow_desk):
    desk = slow_desk
    for number in range(10, 15):
        desk.say(desk.link, ["trade", "BTC_USDT", number])
    desk.wait(1_000)

    desk.rows("trades")
    desk.wait(1_000)
    ended = desk.link.last_at
    desk.say(desk.link, ["trade", "BTC_USDT", 20])

    assert [event.trade_id for event in desk.events("trades")] == [0, 1, 2, 20]
    gap = next(gap for gap in desk.gaps() if gap.reason == "backpressure")
    assert (gap.market, gap.stream) == (None, None)
    assert (gap.started_at, gap.ended_at) == (desk.since, ended)
    assert gap.detail == (
        "5 frames were dropped, 5 of run.0: the disk is too slow to write what comes"
    )
    assert desk.session.dropped_total == 5
    assert desk.session.frames_total == 11
    assert desk.session.books.states()[BARE] == "broken"


def test_what_is_durable_ends_where_dropping_began(slow_desk):
    desk = slow_desk
    desk.clock.now += 1_000

    assert desk.session.take(desk.clock.now).through_ns == desk.since
    desk.session.written(2)
    desk.wait(1)
    assert desk.session.take(desk.clock.now).through_ns == desk.clock.now


def test_rows_on_their_way_to_the_disk_wait_too(slow_desk):
    desk = slow_desk
    desk.is_disk_quick = False
    desk.rows("trades")
    desk.wait(1_000)
    desk.say(desk.link, ["trade", "BTC_USDT", 10])
    assert desk.session.dropped_total == 1

    desk.session.written(desk.takes)
    desk.wait(1_000)
    desk.say(desk.link, ["trade", "BTC_USDT", 11])

    assert desk.session.dropped_total == 1
    assert [event.trade_id for event in desk.events("trades")] == [0, 1, 2, 11]


def test_few_rows_of_large_frames_are_too_many(desk_of):
    desk = desk_of(TRADES, memory_bytes=100_000)
    link = desk.open()
    desk.rows("trades")
    large = b'[["trade","BTC_USDT",1]' + b" " * 99_400 + b"]"

    desk.say_bytes(link, large)
    desk.wait(1)
    desk.say(link, ["trade", "BTC_USDT", 2])

    assert desk.session.dropped_total == 1
    assert [event.trade_id for event in desk.events("trades")] == [1]


def test_a_stop_while_frames_are_dropped_leaves_the_gap_behind(slow_desk):
    desk = slow_desk
    desk.say(desk.link, ["trade", "BTC_USDT", 10])

    at = desk.clock.now + 5
    desk.session.stop(at)
    desk.session.settle()

    gap = next(gap for gap in desk.gaps() if gap.reason == "backpressure")
    assert (gap.started_at, gap.ended_at) == (desk.since, at)
    assert gap.detail.startswith("1 frame was dropped, 1 of run.0")


def test_a_slow_disk_that_costs_no_frame_is_no_gap(slow_desk):
    desk = slow_desk
    desk.rows("trades")

    desk.wait(1_000)

    assert "backpressure" not in [gap.reason for gap in desk.gaps()]
    assert desk.session.books.states()[BARE] == "live"


def test_frames_of_a_connection_that_ended_meanwhile_are_counted_too(slow_desk):
    desk = slow_desk
    desk.say(desk.link, ["trade", "BTC_USDT", 10])
    desk.session.closed(desk.link, desk.clock.now_ns(), None, "gone")
    desk.rows("trades")

    desk.wait(1_000)

    gap = next(gap for gap in desk.gaps() if gap.reason == "backpressure")
    assert gap.detail.startswith("1 frame was dropped, 1 of run.0")


# Rows that the store could not take


def fault(chain, table, ts_recv):
    return RowFault(
        source="fake",
        table=table,
        market=chain.market,
        stream=chain.stream if table == "depth" else None,
        conn="run.0",
        seq=3,
        ts_recv=ts_recv,
        error="price: not a number",
    )


def test_a_trade_that_cannot_be_stored_is_a_gap(desk_of):
    desk = desk_of(TRADES, OTHERS)
    link = desk.open()
    at = desk.say(link, ["trade", "BTC_USDT", 1, "nonsense"])

    desk.session.spoiled([fault(TRADES, "trades", at)])

    gap = desk.gaps()[0]
    assert (gap.market, gap.stream, gap.reason) == ("BTC_USDT", "trades", "undecodable")
    assert (gap.started_at, gap.ended_at, gap.detail) == (
        at,
        at + 1,
        "price: not a number",
    )


def test_a_kline_that_cannot_be_stored_is_a_gap_of_every_interval(desk_of):
    desk = desk_of(MINUTES, FIVES)
    link = desk.open()
    at = desk.say(link, ["kline", "BTC_USDT", "1m", "nonsense"])

    desk.session.spoiled([fault(MINUTES, "klines", at)])

    assert [gap.stream for gap in desk.gaps()] == ["klines:1m", "klines:5m"]


def test_a_depth_row_that_cannot_be_stored_restarts_its_chain(desk_of):
    desk = desk_of(BOOK)
    link = desk.open()
    desk.say(link, ["depth", "BTC_USDT", 5, 6])
    desk.snapshot(4)
    at = desk.say(link, ["depth", "BTC_USDT", 7, 8])

    desk.session.spoiled([fault(BOOK, "depth", at)])

    assert desk.session.books.states() == {BOOK: "broken"}
    assert desk.reasons() == [
        ("book", "resync"),
        ("rows", "undecodable"),
        ("book", "resync"),
    ]
    desk.snapshot(8)
    assert desk.session.books.states() == {BOOK: "live"}


def test_a_status_row_that_cannot_be_stored_belongs_to_no_chain(desk_of):
    desk = desk_of(TRADES)
    lost = fault(Chain(None, "status"), "status", T0)

    desk.session.spoiled([lost])

    assert desk.gaps() == []


# The end


def test_after_the_stop_frames_are_counted_and_left_alone(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    at = desk.say(link, ["trade", "BTC_USDT", 1])
    desk.session.stop(at + 10)
    desk.session.stop(at + 20)

    desk.say(link, ["trade", "BTC_USDT", 2])
    desk.session.closed(link, at + 30, 1000, "the recorder stopped")
    desk.session.settle()

    assert [event.trade_id for event in desk.events("trades")] == [1]
    assert link.seq == 3
    assert [(g.reason, g.started_at) for g in desk.gaps()] == [
        ("process_stopped", at + 1)  # nothing was heard after it
    ]
    assert desk.events("connections")[0].closed_at == at + 30


def test_a_session_that_was_not_stopped_cannot_be_settled(desk_of):
    desk = desk_of(TRADES)
    desk.open()

    desk.session.settle()

    assert desk.rows("coverage") == []


def test_a_flush_says_until_when_each_connection_was_heard(desk_of):
    desk = desk_of(TRADES, BOOK)
    session = desk.session
    first = session.opened("run.0", "ws://x/", [TRADES], desk.clock.now_ns())
    second = session.opened("run.1", "ws://x/", [BOOK], desk.clock.now_ns())
    for link in (first, second):
        desk.say(link, ["ok", link.chains])
    desk.say(first, ["trade", "BTC_USDT", 1])

    flush = session.take(desk.clock.now_ns())
    session.closed(second, desk.clock.now_ns(), None, "gone")
    later = session.take(desk.clock.now_ns())
    again = session.opened("run.2", "ws://x/", [BOOK], desk.clock.now_ns())
    desk.say(again, ["ok", [BOOK]])
    last = session.take(desk.clock.now_ns())

    heard = (first.last_at + 1, second.last_at + 1)
    assert (flush.heard, later.heard) == (heard, heard)
    assert last.heard == (first.last_at + 1, again.last_at + 1)
    assert {(i.stream, i.link) for i in last.state.intervals} == {
        (TRADES.stream, 0),
        (BOOK.stream, 1),
    }


def test_gaps_are_counted_once_each(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    desk.say_bytes(link, b"!")
    desk.session.closed(link, desk.clock.now_ns(), None, "gone")
    desk.open()
    desk.rows("gaps")

    assert desk.session.gaps_total == 2


def test_rows_wait_until_they_are_taken(desk_of):
    desk = desk_of(TICKERS)
    link = desk.open()
    desk.rows("tickers")

    desk.say(link, ["ticker", "BTC_USDT", "1"], ["ticker", "BTC_USDT", "2"])

    assert desk.session._rows.waiting == 2
    desk.rows("tickers")
    assert desk.session._rows.waiting == 0


def test_what_a_feed_asks_for_by_time_is_sent_though_nothing_is_heard(desk_of):
    desk = desk_of(TRADES)
    link = desk.open()
    link.dialogue.later = [
        (desk.clock.now + SECOND_NS, "first"),
        (desk.clock.now + 5 * SECOND_NS, "second"),
    ]

    sent = []
    for _ in range(3):
        desk.wait(2 * SECOND_NS)
        sent.append(desk.send(link))

    assert sent == [[b"first"], [], [b"second"]]
