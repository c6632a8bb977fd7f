"""Each kind of event has its message, level and counter in one place."""

import logging
from collections import Counter

import pytest

from recorder import telemetry
from recorder.telemetry import (
    BookUnknown,
    ConnectionClosed,
    SheddingEnded,
    Signal,
    emit,
)


@pytest.fixture
def counters(monkeypatch):
    counters = Counter()
    monkeypatch.setattr(telemetry.signal, "COUNTERS", counters)
    return counters


def kinds(base=Signal):
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def closed():
    return ConnectionClosed(conn="run.0", code=None, reason="reset", frames=7)


def test_an_event_is_logged_with_its_facts_and_counted(counters, caplog):
    emit(closed())

    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == (
        "recorder",
        logging.WARNING,
        "connection closed",
    )
    assert record.signal == closed()
    assert counters == {"connections_closed_total": 1}


def test_facts_that_are_not_known_are_left_out():
    assert closed().facts() == {"conn": "run.0", "reason": "reset", "frames": 7}


def test_an_event_below_the_level_is_counted_all_the_same(counters, caplog):
    caplog.set_level(logging.INFO, logger="recorder")

    emit(BookUnknown(market="A", stream="depth", reason="resync"))

    assert caplog.records == []
    assert counters == {"books_unknown_total": 1}


def test_an_event_without_a_counter_counts_nothing(counters, caplog):
    emit(SheddingEnded(frames_dropped=3))

    assert caplog.messages == ["recording again"]
    assert counters == {}


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_kind_has_a_message_of_its_own_and_a_level(kind):
    same = [other for other in kinds() if other.message == kind.message]

    assert kind.message
    assert same == [kind]
    assert kind.level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_counter_belongs_to_one_kind_and_says_that_it_is_one(kind):
    same = [other for other in kinds() if other.counter == kind.counter]

    assert kind.counter == "" or (kind.counter.endswith("_total") and same == [kind])
