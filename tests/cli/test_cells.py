from datetime import date, time
from decimal import Decimal

import msgspec
import pyarrow as pa
import pytest

from recorder.cli.cells import encode_json, flat, plain


NS = 1_714_564_800_123_456_789
TEXT = "2024-05-01T12:00:00.123456789Z"


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("s", 1_714_564_800, "2024-05-01T12:00:00.000000000Z"),
        ("ms", 1_714_564_800_123, "2024-05-01T12:00:00.123000000Z"),
        ("us", 1_714_564_800_123_456, "2024-05-01T12:00:00.123456000Z"),
        ("ns", NS, TEXT),
    ],
)
def test_times_of_every_unit_have_nine_digits_and_z(unit, value, text):
    column = pa.array([value, None], pa.timestamp(unit))

    assert plain(column) == [text, None]
    assert flat(column).to_pylist() == [text, None]


def test_a_zoned_time_is_printed_as_utc():
    column = pa.array([NS], pa.timestamp("ns", "Europe/Berlin"))

    assert plain(column) == [TEXT]


def test_nested_times_are_found_in_slices_with_nulls_before_them():
    kind = pa.list_(pa.struct([("at", pa.timestamp("ns")), ("price", pa.float64())]))
    column = pa.array(
        [[{"at": 1, "price": 1.0}], None, [{"at": NS, "price": 2.5}, None], []], kind
    )[1:]

    assert plain(column) == [None, [{"at": TEXT, "price": 2.5}, None], []]


def test_nested_values_are_json_text_in_a_flat_column():
    column = pa.array([[{"price": 1.5, "amount": 2.0}], None, []])

    texts = flat(column).to_pylist()

    assert texts[0] is not None
    assert msgspec.json.decode(texts[0]) == [{"price": 1.5, "amount": 2.0}]
    assert texts[1:] == [None, "[]"]


def test_maps_are_lists_of_keys_and_values():
    column = pa.array([[("a", NS)], None], pa.map_(pa.string(), pa.timestamp("ns")))

    assert plain(column) == [[{"key": "a", "value": TEXT}], None]


def test_dictionaries_are_their_values():
    column = pa.array(["b", "a", None, "b"]).dictionary_encode()

    assert plain(column) == ["b", "a", None, "b"]
    assert flat(column).type == pa.string()
    assert flat(column).to_pylist() == ["b", "a", None, "b"]


def test_bytes_are_ascii_with_all_else_escaped_so_that_nothing_is_lost():
    column = pa.array([b'{"a":1}', b"\x00\\\xff\n~", None], pa.binary())

    expected = ['{"a":1}', "\\x00\\x5C\\xFF\\x0A~", None]
    assert plain(column) == expected
    assert flat(column).to_pylist() == expected


def test_lengths_of_time_are_iso_durations():
    values = [
        pa.MonthDayNano([0, 0, 0]),
        pa.MonthDayNano([1, 2, 3_500_000_000]),
        pa.MonthDayNano([0, 0, -12_345_678]),
        pa.MonthDayNano([0, 7, 0]),
        None,
    ]
    column = pa.array(values, pa.month_day_nano_interval())

    expected = ["PT0S", "P1M2DT3.5S", "PT-0.012345678S", "P7D", None]
    assert plain(column) == expected
    assert flat(column).to_pylist() == expected


def test_plain_values_stay_as_they_are():
    column = pa.array([Decimal("1.50"), None], pa.decimal128(10, 2))
    days = pa.array([date(2024, 5, 1)])
    times = pa.array([time(12, 30)])

    assert plain(column) == [Decimal("1.50"), None]
    assert flat(column) is column
    assert flat(days) is days
    assert flat(times) is times


def test_json_numbers_are_numbers_and_what_is_none_is_null():
    value = [
        1,
        2.5,
        Decimal("1.50"),
        float("nan"),
        float("inf"),
        None,
        date(2024, 5, 1),
    ]

    assert encode_json(value) == b'[1,2.5,1.50,null,null,null,"2024-05-01"]'
