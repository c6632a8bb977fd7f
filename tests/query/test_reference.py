"""What the column reference says of SQL, tried out."""

import duckdb
import pyarrow as pa
import pytest

from recorder import open_store
from recorder.store.layout import date_of
from recorder.store.tables import schemas_folder
from recorder.store.writer import split_by_date


SECOND = 1_000_000_000
LATE = SECOND - 1
"""Nanoseconds into the second: the last of it."""


@pytest.fixture
def ask(maker, fetch):
    """Ask about a trade of the last nanosecond of a second; times come as numbers."""
    maker.segment([maker.trade(0, at=maker.noon + LATE)])

    def ask(expression):
        relation = open_store(maker.root).sql(f"SELECT {expression} AS x FROM trades")
        (row,) = fetch(relation)
        return row["x"]

    return ask


def test_the_reference_says_what_is_tried_here():
    text = (schemas_folder() / "README.md").read_text()

    for word in ("INTERVAL", "date_trunc", "time_bucket", "epoch_ns", "gaps_log"):
        assert f"`{word}" in text
    assert "make_timestamp_ns" in text


def test_arithmetic_with_whole_nanoseconds_keeps_every_digit(ask, maker):
    later = f"epoch_ns(ts_recv) + {SECOND}"

    assert ask(later) == maker.noon + LATE + SECOND
    assert ask(f"make_timestamp_ns({later})") == maker.noon + LATE + SECOND


@pytest.mark.parametrize(
    ("expression", "cut", "rounded"),
    [
        ("ts_recv + INTERVAL 1 SECOND", 1_999_999, 2_000_000),
        ("date_trunc('second', ts_recv)", 0, 1_000_000),
        ("time_bucket(INTERVAL 1 SECOND, ts_recv)", 0, 1_000_000),
    ],
)
def test_arithmetic_with_intervals_goes_through_microseconds(
    ask, maker, expression, cut, rounded
):
    is_old = duckdb.__version__.startswith("1.")

    found = ask(f"epoch_us({expression})") - maker.noon // 1_000

    assert found == (cut if is_old else rounded)


def test_the_ledger_is_filed_by_when_its_rows_were_made(maker, fetch):
    midnight = maker.noon + maker.day // 2
    before, after = midnight - maker.noon - 1, midnight - maker.noon + 1
    rows = [
        maker.gap(before, "g", started_at=midnight - 5),
        maker.gap(after, "g", started_at=midnight - 5, ended_at=midnight + 1),
    ]
    stamps = pa.array([ts for ts, _ in rows], pa.timestamp("ns"))
    batch = pa.record_batch({"ts_recv": stamps})
    for row in rows:
        maker.segment([row])

    filed = [(day, part.num_rows) for day, part in split_by_date(batch)]
    store = open_store(maker.root)
    seen = fetch(store.sql("SELECT date::VARCHAR AS date FROM gaps_log ORDER BY date"))
    newest = fetch(store.sql("SELECT date::VARCHAR AS date FROM gaps"))

    days = [date_of(midnight - 1), date_of(midnight)]
    assert filed == [(day, 1) for day in days]
    assert [row["date"] for row in seen] == days
    assert [row["date"] for row in newest] == days[1:]


def test_now_is_compared_without_its_zone(ask):
    text = (schemas_folder() / "README.md").read_text()

    assert "`ts_recv > now()::TIMESTAMP - INTERVAL 1 HOUR`" in text
    assert ask("ts_recv > now()::TIMESTAMP - INTERVAL 1 HOUR") is False
    assert ask("ts_recv > now()::TIMESTAMP - INTERVAL 1000000 HOUR") is True
