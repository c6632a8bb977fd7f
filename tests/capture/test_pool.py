"""Captures of one process share what may wait for the disk."""

import pytest

from recorder.capture.pool import Pool
from recorder.capture.rows import ROW_BYTES, Rows
from recorder.capture.shedding import Shedding
from recorder.model import StatusEvent
from recorder.telemetry import SheddingBegan


@pytest.fixture
def rows_of(make_clock):
    def rows_of(count):
        """Rows of which so many parts in a thousand of what may wait do."""
        rows = Rows("fake", "run", make_clock(10**18))
        event = StatusEvent(kind="notice", payload="")
        for seq in range(count):
            rows.put(10**18, "run.0", seq, 0, event, None)
        return rows

    return rows_of


def a_pool():
    """A pool with room for a thousand rows."""
    return Pool(1_000 * ROW_BYTES)


def loads(*members):
    pool = a_pool()
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
    pool, one, other = a_pool(), rows_of(600), rows_of(600)
    both = Shedding(one, pool), Shedding(other, pool)

    before = [shedding.since for shedding in both]
    for shedding in both:
        shedding.look(5)

    assert before == [None, None]
    assert [shedding.since for shedding in both] == [5, 5]
    assert [shedding.is_over for shedding in both] == [False, False]
    one.take()
    one.written(1)
    assert both[0].is_over
    alone = Shedding(rows_of(600), a_pool())
    alone.look(7)
    assert alone.since is None


def test_what_is_said_of_shedding_is_about_the_own_rows(rows_of, caplog):
    pool, one = a_pool(), rows_of(600)
    pool.join(rows_of(900))

    Shedding(one, pool).look(5)

    (said,) = [record.signal for record in caplog.records]
    assert isinstance(said, SheddingBegan)
    assert said.rows_waiting == one.waiting
