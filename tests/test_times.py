from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recorder.errors import ConfigError
from recorder.times import parse_seconds, parse_time, show_time, to_ns


NOON = 1_714_564_800_000_000_000  # 2024-05-01T12:00:00Z


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-05-01T12:00:00Z", NOON),
        ("2024-05-01T12:00:00", NOON),
        ("2024-05-01 12:00", NOON),
        ("2024-05-01", NOON - 12 * 3600 * 10**9),
        ("2024-05-01T12:00:00.1Z", NOON + 100_000_000),
        ("2024-05-01T12:00:00.123456789Z", NOON + 123_456_789),
        ("2024-05-01t12:00:00,5z", NOON + 500_000_000),
        ("2024-05-01T14:00:00+02:00", NOON),
        ("2024-05-01T14:00:00.000000001+0200", NOON + 1),
        ("2024-05-01T06:30:00-05:30", NOON),
        ("2024-05-01T10:00-02", NOON),
        (" 2024-05-01T12:00:00Z ", NOON),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_iso_text_is_read_to_the_nanosecond(text, ns):
    assert parse_time(text) == ns
    assert to_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "12:00",
        "2024-13-01",
        "2024-02-30",
        "2024-05-01T24:00",
        "2024-05-01T12:00:60Z",
        "2024-05-01T12:00:00.1234567891Z",
        "2024-05-01T12:00:00 Z",
        "2024-05-01T12:00:00+2",
        "\uff12\uff10\uff12\uff14-05-01",
        "2262-04-11T23:47:16.854775808Z",
        "1600-01-01",
    ],
)
def test_other_text_is_refused_with_a_sentence_that_quotes_it(text):
    with pytest.raises(ConfigError) as caught:
        parse_time(text)

    assert repr(text) in str(caught.value)


def test_a_refused_time_says_how_to_write_one():
    with pytest.raises(ConfigError, match="write it as 2024-05-01T12:30:00Z"):
        parse_time("tomorrow")


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_printed_time_is_read_back_as_itself(ns):
    assert parse_time(show_time(ns)) == ns


def test_times_are_printed_with_nine_digits_and_z():
    assert show_time(NOON + 5) == "2024-05-01T12:00:00.000000005Z"


def test_datetimes_are_utc_unless_they_say_otherwise():
    berlin = timezone(timedelta(hours=2))

    assert to_ns(datetime(2024, 5, 1, 12)) == NOON  # noqa: DTZ001 - naive on purpose
    assert to_ns(datetime(2024, 5, 1, 12, 0, 0, 7, tzinfo=UTC)) == NOON + 7_000
    assert to_ns(datetime(2024, 5, 1, 14, tzinfo=berlin)) == NOON


def test_integers_are_nanoseconds():
    assert to_ns(NOON + 1) == NOON + 1
    assert to_ns(np.int64(NOON + 1)) == NOON + 1


def test_numpy_times_keep_their_nanoseconds_whatever_their_unit():
    assert to_ns(np.datetime64(NOON + 1, "ns")) == NOON + 1
    assert to_ns(np.datetime64("2024-05-01T12:00:00", "s")) == NOON


class PandasLike(datetime):
    """Has what a pandas Timestamp has: it is a datetime with nanoseconds."""

    value = NOON + 42


def test_a_pandas_timestamp_keeps_the_nanoseconds_its_datetime_lacks():
    assert to_ns(PandasLike(2024, 5, 1, 12)) == NOON + 42


@pytest.mark.parametrize(
    "value", [True, None, 1.5, b"2024-05-01", 2**63, np.datetime64("NaT"), [1]]
)
def test_other_objects_are_refused(value):
    with pytest.raises(ConfigError, match="time"):
        to_ns(value)


def test_a_numpy_value_that_is_no_time_is_refused():
    with pytest.raises(ConfigError, match="not a time"):
        to_ns(np.array(["a", "b"]))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("2d", 172_800)],
)
def test_lengths_of_time_have_a_unit(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "1 h", "-1s", "1w", "s"])
def test_lengths_without_a_known_unit_are_refused(text):
    with pytest.raises(ConfigError, match="number and a unit"):
        parse_seconds(text)
