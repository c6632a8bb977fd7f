"""Ends by the UTC clock, beside the calendar of the standard library."""

from datetime import UTC, datetime, timedelta

import pytest

from recorder.boundaries import next_boundary, parse_step
from recorder.errors import ConfigError


SECOND = 1_000_000_000


def ns(moment):
    return int(moment.timestamp()) * SECOND + moment.microsecond * 1_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("hour", 3600), ("day", 86_400), ("minute", 60), ("15m", 900), ("4h", 14_400)],
)
def test_a_step_is_a_name_or_a_length_that_makes_a_day(text, seconds):
    assert parse_step(text) == seconds


@pytest.mark.parametrize("text", ["7m", "0s", "500ms", "2d", "week", "", "1.5s"])
def test_another_step_is_refused(text):
    with pytest.raises(ConfigError, match=r"such as (15m or 4h|500ms, 90s)"):
        parse_step(text)


@pytest.mark.parametrize(
    ("step", "now", "end"),
    [
        (3600, "12:00:00.000001", "13:00"),
        (3600, "12:00:00", "13:00"),
        (3600, "12:59:54.999999", "13:00"),
        (3600, "12:59:55", "14:00"),  # started for the hour that begins
        (86_400, "12:00:00", "24:00"),
        (900, "12:14:00", "12:15"),
        (10, "12:00:00.5", "12:00:10"),
        (10, "12:00:09", "12:00:20"),
    ],
)
def test_a_run_ends_at_the_next_boundary_that_is_not_now(step, now, end):
    day = datetime(2024, 2, 29, tzinfo=UTC)
    at = datetime.fromisoformat(f"2024-02-29T{now}+00:00")
    hours, _, rest = end.partition(":")
    minutes, _, seconds = rest.partition(":")
    wanted = day + timedelta(
        hours=int(hours), minutes=int(minutes), seconds=int(seconds or 0)
    )

    assert next_boundary(ns(at), step) == ns(wanted)


@pytest.mark.parametrize(("step", "later"), [(3600, 60), (86_400, 60), (100, 25)])
def test_with_a_successor_it_ends_a_little_later(step, later):
    at = 1_709_164_800 * SECOND + 1

    both = next_boundary(at, step), next_boundary(at, step, has_next=True)

    assert both[1] - both[0] == later * SECOND
