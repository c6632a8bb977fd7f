"""Captures of one process share what may wait for the disk."""

import pytest

from recorder.capture.pool import Pool
from recorder.capture.rows import ROWS_WAITING_MAX, Rows
from recorder.capture.shedding import Shedding
from recorder.model import StatusEvent
from recorder.telemetry import SheddingBegan


@pytest.fixture
def rows_of(make_clock):
    def rows_of(count):
        """Rows of which so many parts in a thousand of what may wait do."""
        rows = Rows("fake", "run", make_clock(10**18))
        event = StatusEvent(kind="notice", payload="")
        rows.put(10**18, "run.0", 0, 0, event, None)
        rows.waiting = count * ROWS_WAITING_MAX // 1_000
        return rows

    return rows_of


def loads(*members):
    pool = Pool()
    for rows in members:
        pool.join(rows)
    return [round(pool.load_of(rows), 2) for rows in members]


def test_alone_a_capture_may_hold_all(rows_of):
    assert loads(rows_of(900)) == [0.9]
    assert loads(rows_of(1_100)) == [1.1]


def test_as_long_as_all_fit_nobody_is_to_blame(rows_of):
    assert loads(rows_of(900), rows_of(50)) == [0.95, 0.1]


def test_beyond_that_those_who_hold_more_than_their_part_are(rows_of):
    busy, quiet, still = loads(rows_of(1_000), rows_of(100), rows_of(0))

    assert busy > 1
    assert quiet < 1
    assert still == 0


def test_a_capture_sheds_because_of_what_others_hold(rows_of):
    pool, one, other = Pool(), rows_of(600), rows_of(600)
    both = Shedding(one, pool), Shedding(other, pool)

    before = [shedding.since for shedding in both]
    overs = [shedding.is_over(5) for shedding in both]

    assert before == [None, None]
    assert overs == [False, False]
    assert [shedding.since for shedding in both] == [5, 5]
    one.waiting = 0
    assert both[0].is_over(6)
    assert not Shedding(rows_of(600), Pool()).is_over(7)


def test_what_is_said_of_shedding_is_about_the_own_rows(rows_of, caplog):
    pool, one = Pool(), rows_of(600)
    pool.join(rows_of(900))

    Shedding(one, pool).is_over(5)

    (said,) = [record.signal for record in caplog.records]
    assert isinstance(said, SheddingBegan)
    assert said.rows_waiting == one.waiting
