"""Rows are collected by table, and gaps among them are told once."""

import logging
import tracemalloc

import pytest

from recorder.capture.link import Link
from recorder.capture.rows import ROW_BYTES, Rows
from recorder.model import Coverage, Gap, Ticker


class Clock:
    def __init__(self) -> None:
        self.now = 100

    def now_ns(self) -> int:
        self.now += 1
        return self.now


def gap(**changes) -> Gap:
    facts = {
        "gap_id": "run.1",
        "market": "BTC_USDT",
        "stream": "trades",
        "job": "job",
        "scope": "rows",
        "reason": "connect_lost",
        "started_at": 5,
        "detail": "gone",
    }
    return Gap(**{**facts, **changes})


@pytest.fixture
def rows() -> Rows:
    return Rows("fake", "run", Clock())


@pytest.fixture
def told(caplog):
    """What was logged, as (message, reason)."""
    caplog.set_level(logging.DEBUG, logger="recorder")
    return lambda: [(r.message, r.signal.reason) for r in caplog.records]


def test_rows_are_taken_by_table_in_their_order(rows):
    tickers = [Ticker(market="A", ts_event=None, last=text) for text in ("1", "2")]
    coverage = Coverage(
        market="A", stream="tickers", job="job", started_at=1, ended_at=2, closed_by="x"
    )

    rows.put(7, "run.0", 3, 0, tickers[0], b"[]")
    rows.note([coverage])
    rows.put(8, "run.0", 4, 1, tickers[1], b"{}")

    assert rows.waiting == 3
    assert rows.take().rows == {
        ("tickers", "fake"): [
            (7, "run.0", 3, 0, tickers[0], b"[]"),
            (8, "run.0", 4, 1, tickers[1], b"{}"),
        ],
        ("coverage", "fake"): [(101, "run.ledger", 0, 0, coverage, None)],
    }
    assert (rows.waiting, rows.take()) == (0, ({}, ()))


def test_rows_of_the_ledger_are_numbered_through(rows):
    rows.note([gap(), gap(gap_id="run.2")])
    rows.take()
    rows.note([gap(gap_id="run.3")])

    assert [row[:4] for row in rows.take().rows["gaps", "fake"]] == [
        (103, "run.ledger", 2, 0)
    ]


def test_a_gap_is_told_when_it_opens_and_not_when_it_ends(rows, told):
    rows.note([gap()])
    rows.note([gap(ended_at=9)])
    rows.note([gap(ended_at=9, healed_by="sequence")])

    assert told() == [("gap", "connect_lost")]
    assert rows.gaps_total == 1


@pytest.mark.parametrize("reason", ["sequence_gap", "undecodable", "backpressure"])
def test_a_gap_that_is_over_when_it_is_noticed_is_told(rows, told, reason):
    rows.note([gap(reason=reason, ended_at=9)])

    assert told() == [("gap", reason)]


def test_a_book_that_is_not_known_is_told_apart(rows, told):
    rows.note([gap(scope="book", reason="resync")])

    assert told() == [("book not known", "resync")]
    assert rows.gaps_total == 1


@pytest.mark.parametrize("reason", ["process_stopped", "not_started"])
def test_the_gaps_around_a_run_are_not_news(rows, told, reason):
    rows.note([gap(reason=reason)])

    assert told() == []
    assert rows.gaps_total == 0


def test_a_frame_that_is_kept_with_an_error_is_told(rows, told, caplog):
    rows.keep(7, "run.rest", 3, b"<html>", "undecodable", "no JSON", "http", "/book")
    rows.keep(8, "run.0", 4, b"{}", "archive", None)

    (first, second) = rows.take().rows["frames", "fake"]
    assert first[:4] == (7, "run.rest", 3, 0)
    assert (first[4].opcode, first[4].request) == ("http", "/book")
    assert (second[4].opcode, second[4].error) == ("text", None)
    assert told() == [("frame kept verbatim", "undecodable")]
    assert caplog.records[0].signal.seq == 3


def test_a_frame_that_was_sent_is_kept_as_such(rows):
    link = Link("run.0", "ws://x/", None, [], 1)
    link.seq = 6

    rows.keep_sent(link, b"ask", 9)
    rows.keep_sent(link, b"ask again", 10)

    kept = rows.take().rows["frames", "fake"]
    # Numbered in a name of their own: (conn, seq) names one frame.
    assert [(*row[:4], row[4].direction, row[4].payload) for row in kept] == [
        (9, "run.0.out", 0, 0, "out", b"ask"),
        (10, "run.0.out", 1, 0, "out", b"ask again"),
    ]


def ticker(number):
    return Ticker(market="A", ts_event=None, last=str(number))


def test_a_frame_is_weighed_once_for_all_its_rows(rows):
    frames = [b"x" * 1_000, b"y" * 500]
    for seq, frame in enumerate(frames):
        for idx in range(3):
            rows.put(7, "run.0", seq, idx, ticker(idx), frame)
        rows.keep(7, "run.0", seq, frame, "archive", None)

    assert rows.waiting == 8
    assert rows.bytes_waiting == 8 * ROW_BYTES + 1_500


@pytest.mark.parametrize("keep", ["received", "sent", "rows"])
def test_every_frame_that_is_kept_in_memory_is_weighed(rows, keep):
    link = Link("run.0", "ws://x/", None, [], 1)
    before = tracemalloc_of(lambda: None)

    def fill():
        for seq in range(200):
            payload = bytes(10_000) + bytes([seq])
            if keep == "received":
                rows.keep(7, "run.0", seq, payload, "archive", None)
            elif keep == "sent":
                rows.keep_sent(link, payload, 7)
            else:
                rows.put(7, "run.0", seq, 0, ticker(seq), payload)

    taken = tracemalloc_of(fill) - before

    assert 0.8 * taken < rows.bytes_waiting < 1.2 * taken


def tracemalloc_of(work):
    """Return how much more memory is in use after some work."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_rows_weigh_until_they_are_written(rows):
    held = []
    for count in (1, 2, 4):
        for _ in range(count):
            rows.put(7, "run.0", 0, 0, ticker(0), None)
        rows.take()
        held.append(rows.bytes_held // ROW_BYTES)
    for written in (0, 1, 1, 3):
        rows.written(written)
        held.append(rows.bytes_held // ROW_BYTES)

    assert held == [1, 3, 7, 7, 6, 6, 0]
    assert (rows.waiting, rows.bytes_waiting) == (0, 0)


MINUTE_NS = 60 * 10**9


def test_of_many_frames_alike_one_a_minute_is_told_with_their_number(rows, caplog):
    caplog.set_level(logging.WARNING, logger="recorder")
    at = 7
    for second in range(121):
        rows.keep(at + second * 10**9, "run.0", second, b"x", "unknown", f"x{second}")

    told = [(r.signal.seq, r.signal.since_last_line) for r in caplog.records]
    assert told == [(0, None), (60, 60), (120, 60)]
    assert len(rows.take().rows["frames", "fake"]) == 121


def test_a_frame_of_another_kind_or_connection_is_told_at_once(rows, told):
    for conn in ("run.0", "run.1"):
        for reason in ("unknown", "undecodable", "undecodable"):
            rows.keep(7, conn, 0, b"x", reason, "x")

    kept = "frame kept verbatim"
    once = [(kept, "unknown"), (kept, "undecodable")]
    assert told() == 2 * [*once, (f"{kept} again", "undecodable")]


def test_of_many_undecodable_gaps_one_a_minute_is_told_and_all_are_stored(rows, caplog):
    caplog.set_level(logging.WARNING, logger="recorder")
    times = [0, 1, 2, MINUTE_NS, MINUTE_NS + 1]
    for n, at in enumerate(times):
        rows.note(
            [
                gap(
                    gap_id=f"run.{n}",
                    reason="undecodable",
                    ended_at=at + 1,
                    detail=f"{n}",
                )
            ]
        )

    told = [(r.signal.detail, r.signal.since_last_line) for r in caplog.records]
    assert told == [("0", None), ("3", 3)]
    assert rows.gaps_total == len(rows.take().rows["gaps", "fake"]) == len(times)


def test_a_gap_of_another_reason_is_always_told(rows, told):
    for n in range(3):
        rows.note([gap(gap_id=f"run.{n}")])

    assert told() == 3 * [("gap", "connect_lost")]
