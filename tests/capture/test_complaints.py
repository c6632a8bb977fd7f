"""Snapshots that fail again and again: told once, and kept now and then."""

import logging

import msgspec
import pytest

from recorder.capture.complaints import KEPT_EVERY, REMIND_NS, Complaints
from recorder.capture.doubles import Doubles
from recorder.capture.session import Session
from recorder.model import Chain, KeptFrame
from recorder.source import HttpRequest
from recorder.store.ledger import Ledger
from recorder.telemetry import COUNTERS, SnapshotsStillFailing


BOOK = Chain("BTC_USDT", "depth:10")
OTHER = Chain("ETH_USDT", "depth:10")
CHAINS = (BOOK, OTHER)
ASK = HttpRequest(path="/book")
GOOD = msgspec.json.encode([4, [["1", "2"]], []])


@pytest.fixture
def session_of(fake, make_clock, caplog):
    caplog.set_level(logging.INFO, logger="recorder")

    def session_of(*, is_archiving=False):
        return Session(
            fake,
            {},
            CHAINS,
            run="run",
            clock=make_clock(10**18),
            ledger=Ledger("job", "run", CHAINS, ()),
            doubles=Doubles(),
            is_archiving=is_archiving,
        )

    return session_of


@pytest.fixture
def told(caplog):
    """Return what was logged of failures so far, as (message, market)."""

    def told():
        words = ("snapshot failed", "frame kept verbatim")
        signals = [r.signal for r in caplog.records if r.msg in words]
        return [
            (s.message, getattr(s, "market", s.__class__.__name__)) for s in signals
        ]

    return told


def answer(session, *bodies, chain=BOOK):
    for number, body in enumerate(bodies):
        session.snapshots.take(chain, 0, ASK, 10**18 + number, body)


def kept(session):
    """Return the bodies that went to the table frames since the last call."""
    rows = session.take(10**18).rows
    return [
        row[4].payload
        for part in rows.values()
        for row in part
        if isinstance(row[4], KeptFrame)
    ]


def test_of_bodies_that_make_no_sense_the_first_and_a_few_more_are_kept(session_of):
    session = session_of()
    bodies = [b"<html>%d" % number for number in range(2 * KEPT_EVERY + 1)]

    answer(session, *bodies)

    assert kept(session) == bodies[::KEPT_EVERY]


def test_each_kept_body_is_logged_and_the_others_are_counted(session_of, told):
    session = session_of()
    before = COUNTERS["snapshots_failed_again_total"]

    answer(session, *[b"<html>"] * KEPT_EVERY)

    assert told() == [("frame kept verbatim", "FrameKept")]
    assert COUNTERS["snapshots_failed_again_total"] - before == KEPT_EVERY - 1


def test_a_body_that_makes_sense_begins_the_count_anew(session_of):
    session = session_of()

    answer(session, b"<1>", b"<2>", GOOD, b"<3>", b"<4>")

    assert kept(session) == [b"<1>", b"<3>"]


def test_another_way_of_making_no_sense_is_kept_too(session_of):
    session = session_of()

    answer(session, b"<1>", b"[-4,[],[],1]", b"<2>", b"[-5,[],[],1]")

    assert kept(session) == [b"<1>", b"[-4,[],[],1]"]


def test_each_chain_counts_for_itself(session_of):
    session = session_of()

    answer(session, b"<1>", b"<2>")
    answer(session, b"<3>", b"<4>", chain=OTHER)
    answer(session, GOOD, chain=OTHER)
    answer(session, b"<5>")

    assert kept(session) == [b"<1>", b"<3>"]


def test_an_archive_keeps_every_body(session_of):
    session = session_of(is_archiving=True)

    answer(session, b"<1>", b"<2>", GOOD)

    assert kept(session) == [b"<1>", b"<2>", GOOD]


def test_a_failed_request_is_logged_once_until_one_goes_well(session_of, told):
    session = session_of()

    for why in ("x answered HTTP 500: a", "x answered HTTP 500: b", "x did not answer"):
        session.snapshots.failed(BOOK, why)
    session.snapshots.failed(OTHER, "x answered HTTP 500: c")
    answer(session, GOOD)
    session.snapshots.failed(BOOK, "x answered HTTP 500: d")
    session.snapshots.failed(OTHER, "x answered HTTP 500: e")

    assert told() == [
        ("snapshot failed", market)
        for market in ("BTC_USDT", "BTC_USDT", "ETH_USDT", "BTC_USDT")
    ]


def test_what_follows_a_colon_is_detail():
    complaints = Complaints()

    counts = [complaints.again(BOOK, why) for why in ("http://a: 1", "http://a: 2")]

    assert counts == [0, 1]
    assert complaints.again(BOOK, "http://b: 1") == 0


def test_what_goes_on_failing_is_told_once_a_minute(session_of, caplog):
    session = session_of()
    start = 10**18
    told = []

    def second_by_second(first, last, fail):
        for second in range(first, last):
            fail()
            caplog.clear()
            session.tick(start + second * 10**9)
            told.extend(
                (second, record.signal.books)
                for record in caplog.records
                if isinstance(record.signal, SnapshotsStillFailing)
            )

    def both_fail():
        session.snapshots.failed(BOOK, "x answered HTTP 500: a")
        answer(session, b"<html>", chain=OTHER)

    def one_fails():
        session.snapshots.failed(BOOK, "x answered HTTP 500: a")
        answer(session, GOOD, chain=OTHER)

    def none_fails():
        answer(session, GOOD)

    second_by_second(0, 100, both_fail)
    second_by_second(100, 200, one_fails)
    second_by_second(200, 400, none_fails)
    second_by_second(400, 470, one_fails)

    assert REMIND_NS == 60 * 10**9
    assert told == [(60, 2), (120, 1), (180, 1), (460, 1)]


def test_of_what_failed_and_did_not_go_well_since_is_told_once_more():
    complaints = Complaints()
    complaints.again(BOOK, "once")

    told = [complaints.due(second * 10**9) for second in range(180)]

    assert [second for second, count in enumerate(told) if count] == [60]
