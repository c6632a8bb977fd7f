import pytest

from recorder.simulator.numbers import decimal_text, fixed_text, parse_interval


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0, 5, "0"),
        (5, 0, "5"),
        (120, 2, "1.2"),
        (1, 8, "0.00000001"),
        (643210, 1, "64321"),
        (123456789012345678901, 9, "123456789012.345678901"),
    ],
)
def test_decimal_text_is_plain_and_exact(value: int, decimals: int, text: str):
    assert decimal_text(value, decimals) == text


def test_fixed_text_always_has_a_point():
    assert fixed_text(16826890461230, 1) == "1682689046123.0"
    assert fixed_text(16190935437082642, 4) == "1619093543708.2642"


@pytest.mark.parametrize(
    ("text", "decimals"),
    [("0.1", 1), ("0.0001", 4), ("0.2", None), ("0.10", None), ("1", None), ("", None)],
)
def test_an_interval_is_a_power_of_ten_below_one(text: str, decimals: int | None):
    assert parse_interval(text) == decimals
