"""Questions as data: what people may type, and what a feed is told."""

import pytest

from recorder.errors import ConfigError
from recorder.source import Parameter, Query, Value


NOW_NS = 1_700_000_000_123_456_789


def parameter(kind: str, **more: object) -> Parameter:
    return Parameter(name="p", doc="P.", kind=kind, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("choice", "b", "b"),
        ("whole", "0", 0),
        ("whole", "9223372036854775807", 2**63 - 1),
        ("seconds", "90s", 90),
        ("seconds", "1500ms", None),
        ("seconds", "1h", 3600),
        ("time", "now", NOW_NS),
        ("time", "1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("choice", "c", None),
        ("whole", "-1", None),
        ("whole", "1.0", None),
        ("whole", "\u0661", None),
        ("whole", "", None),
        ("whole", "9223372036854775808", None),
        ("seconds", "0s", None),
        ("seconds", "90", None),
        ("time", "later", None),
    ],
)
def test_a_text_is_read_as_the_kind_says(
    kind: str, text: str, value: Value | None
) -> None:
    lowest = 1 if kind == "seconds" else 0
    asked = parameter(kind, choices=("a", "b"), lowest=lowest)

    if value is None:
        with pytest.raises(ConfigError):
            asked.value(text, NOW_NS)
    else:
        assert asked.value(text, NOW_NS) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("choice", "c", "--p cannot be 'c'; choose from a, b"),
        ("whole", "x", "--p cannot be 'x'; give a whole number"),
        ("whole", "10", "--p cannot be '10'; it lies in 2 to 9"),
        ("seconds", "1ms", "--p cannot be '1ms'; give whole seconds"),
    ],
)
def test_what_is_not_legal_is_refused_with_what_is(
    kind: str, text: str, words: str
) -> None:
    asked = parameter(kind, choices=("a", "b"), lowest=2, highest=9)

    with pytest.raises(ConfigError) as caught:
        asked.value(text, NOW_NS)

    assert str(caught.value) == words


def test_what_is_not_given_has_its_default_or_is_missing() -> None:
    query = Query(
        name="q",
        doc="Q.",
        table="trades",
        columns=(),
        parameters=(
            Parameter(name="a", doc="A.", kind="whole", default="7"),
            Parameter(name="b", doc="B.", kind="choice", choices=("x", "y")),
            Parameter(name="c", doc="C.", kind="time"),
        ),
        ask=lambda number, market, values: b"",
        answer=lambda number, market, values, payload: None,
    )

    assert query.values({"b": "y", "c": "now"}, NOW_NS) == {
        "a": 7,
        "b": "y",
        "c": NOW_NS,
    }
    with pytest.raises(ConfigError, match="--b is missing: give x, y"):
        query.values({"c": "now"}, NOW_NS)
    with pytest.raises(ConfigError, match="--c is missing: give a value"):
        query.values({"b": "x"}, NOW_NS)
