"""The bulk parser of levels, against a plain one."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from recorder.model import parse_levels
from recorder.store import levels, text_code
from recorder.store.levels import (
    column_of_levels,
    is_exact,
    parse_levels_bulk,
    read_number,
)
from recorder.store.tables import LEVELS


def pairs(column: "pa.Array[Any]") -> list[list[tuple[float, float]]]:
    """Return a column of levels as Python numbers."""
    assert column.type == LEVELS
    column.validate(full=True)
    return [[(x["price"], x["amount"]) for x in row] for row in column.to_pylist()]


def forbid_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the slow reader fail, so that only the fast one can succeed."""

    def slow(raw: bytes) -> None:
        raise AssertionError(raw)

    monkeypatch.setattr(levels, "_parse_slowly", slow)


NORMAL = [
    (b"[]", []),
    (b" [ ] ", []),
    (b'[["37483.21","0.048"]]', [(37483.21, 0.048)]),
    (b'[["1","2"],["3","4"]]', [(1.0, 2.0), (3.0, 4.0)]),
    (b"[[1.5,2],[3,0]]", [(1.5, 2.0), (3.0, 0.0)]),
    (b'[["1.5",2],[3,"0"]]', [(1.5, 2.0), (3.0, 0.0)]),
    (b'[\n ["1.5" ,\t"2"] ,\r\n[ "3" , 4 ]\n] ', [(1.5, 2.0), (3.0, 4.0)]),
    (b'[{"p":"0.2983","s":0}]', [(0.2983, 0.0)]),
    (b'[{"s":803,"p":"0.2974"}]', [(0.2974, 803.0)]),
    (b'[ { "p" : 1.5 , "s" : "2" } , {"s":3,"p":4} ]', [(1.5, 2.0), (4.0, 3.0)]),
    (b'[["1","2"],{"p":"3","s":"4"}]', [(1.0, 2.0), (3.0, 4.0)]),
    (b'[["0.201000000000000000","56173.280000000000000000"]]', [(0.201, 56173.28)]),
    (b'[["0.2010000000","0.0000000000000000"]]', [(0.201, 0.0)]),
    (b'[["0.000000000123456","00012.50"]]', [(1.23456e-10, 12.5)]),
    (
        b'[["999999999999999","0.123456789012345"]]',
        [(999999999999999, 0.123456789012345)],
    ),
    (b'[["0","0.0"]]', [(0.0, 0.0)]),
]


@pytest.mark.parametrize(("raw", "expected"), NORMAL)
def test_ordinary_levels_are_read_the_fast_way(
    monkeypatch: pytest.MonkeyPatch, raw: bytes, expected: list[tuple[float, float]]
) -> None:
    forbid_slow(monkeypatch)

    found = parse_levels_bulk([raw])

    assert pairs(found.column) == [expected]
    assert (found.inexact, found.faulty) == ({}, {})


def test_many_rows_are_read_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_slow(monkeypatch)

    found = parse_levels_bulk([msgspec.Raw(raw) for raw, _ in NORMAL])

    assert pairs(found.column) == [expected for _, expected in NORMAL]


SLOW = [
    (rb'[["\u0031.5","2"]]', [(1.5, 2.0)]),
    (b'[["1e5","2E-3"]]', [(1e5, 2e-3)]),
    (b'[["-1.5","+2"]]', [(-1.5, 2.0)]),
    (b'[[".5","5."]]', [(0.5, 5.0)]),
    (b'[["1000000000000000000000","1"]]', [(1e21, 1.0)]),
    (b'[["0.1234567890123456","1"]]', [(0.1234567890123456, 1.0)]),
    (b'[["0.00000000000000000000000015","1"]]', [(1.5e-25, 1.0)]),
    (b'[{"p":"1","s":"2","n":3}]', [(1.0, 2.0)]),
    (b'[{"n":[1,{"p":5}],"s":"2","p":"1"}]', [(1.0, 2.0)]),
    (rb'[{"\u0070":"1","s":"2"}]', [(1.0, 2.0)]),
]


@pytest.mark.parametrize(("raw", "expected"), SLOW)
def test_unusual_levels_are_read_too(
    raw: bytes, expected: list[tuple[float, float]]
) -> None:
    found = parse_levels_bulk([raw])

    assert pairs(found.column) == [expected]
    assert (found.inexact, found.faulty) == ({}, {})


BAD = [
    b"",
    b"[",
    b"[[",
    b'[["1","2"]',
    b'[["1","2"],]',
    b'[["1","2"]]]',
    b'[["1","2"]] x',
    b'[["1","2"] ["3","4"]]',
    b'[["1" "2"]]',
    b'[["1","2","3"]]',
    b'[["1"]]',
    b"[[]]",
    b'[["1","2"],null]',
    b'["1","2"]',
    b"{}",
    b"null",
    b'[["1","a"]]',
    b'[["","1"]]',
    b'[["1.","."]]',
    b'[[" 1","2"]]',
    b'[["1_000","2"]]',
    b'[["NaN","2"]]',
    b'[["Infinity","2"]]',
    b'[["1e999","2"]]',
    b"[[true,1]]",
    b"[[[1],1]]",
    b'[{"p":"1"}]',
    b'[{"p":"1","p":"2"}]',
    b'[{"p":"1","s":"2"]',
    b'[{"p":"1","s":"2",}]',
    b'[{"p" "1","s":"2"}]',
    b'[{p:"1","s":"2"}]',
    b'[{"',
    b'[{"p',
    b'[{"p"',
    b'[{"p":',
    b'[{"p":1',
    b'[["1',
    b'[["1.',
    b'[["1","',
    b'[["1","2"',
    b'[["\xff","2"]]',
    b'[["1","2"]]\0',
    b'\0[["1","2"]]',
    b"\0",
    b'[[12"3","4"]]',
    b'[["5,"1"]]',
]


@pytest.mark.parametrize("raw", BAD)
def test_what_is_no_array_of_levels_is_refused_alone(raw: bytes) -> None:
    found = parse_levels_bulk([b'[["1","2"]]', raw, b'[["3","4"],["5","6"]]'])

    assert pairs(found.column) == [[(1.0, 2.0)], [], [(3.0, 4.0), (5.0, 6.0)]]
    assert list(found.faulty) == [1]
    assert found.faulty[1]
    assert found.inexact == {}


def test_slow_rows_go_where_they_belong() -> None:
    raws = [
        b'[["1e0","2"],["2e0","3"]]',
        b'[["5","6"]]',
        b"[]",
        b'[["7e0","8"]]',
        b"bad",
        b'[["9","1"]]',
        b'[["1e1","1"]]',
    ]

    found = parse_levels_bulk(raws)

    assert pairs(found.column) == [
        [(1.0, 2.0), (2.0, 3.0)],
        [(5.0, 6.0)],
        [],
        [(7.0, 8.0)],
        [],
        [(9.0, 1.0)],
        [(10.0, 1.0)],
    ]
    assert list(found.faulty) == [4]


def test_no_rows_are_an_empty_column() -> None:
    assert pairs(parse_levels_bulk([]).column) == []


@pytest.mark.parametrize(
    "text",
    [
        "0.12345678901234567890",
        "123456789012345678",
        "9007199254740993",
        "0.1000000000000000055511151231257827",
        "1e-400",
        "5e-325",
        "1.2345e-322",
    ],
)
def test_a_number_without_an_exact_double_is_stored_and_named(text: str) -> None:
    found = parse_levels_bulk([b'[["1","2"]]', b'[["%s","2"]]' % text.encode()])

    assert pairs(found.column) == [[(1.0, 2.0)], [(float(text), 2.0)]]
    assert found.inexact == {1: text}
    assert found.faulty == {}


decimals = st.builds(
    lambda whole, fraction: f"{whole}.{fraction}" if fraction else str(whole),
    st.integers(0, 10**20),
    st.text("0123456789", max_size=24),
)
blanks = st.sampled_from([b"", b" ", b"\n", b"\t \r\n"])


@given(st.lists(st.lists(st.tuples(decimals, decimals), max_size=4), max_size=5))
def test_every_decimal_is_exact_or_named(rows: list[list[tuple[str, str]]]) -> None:
    found = parse_levels_bulk([msgspec.json.encode(row) for row in rows])

    assert found.faulty == {}
    assert pairs(found.column) == [
        [(float(price), float(amount)) for price, amount in row] for row in rows
    ]
    for number, row in enumerate(rows):
        texts = [text for level in row for text in level]
        exact = [Decimal(repr(float(text))) == Decimal(text) for text in texts]
        assert (number in found.inexact) == (not all(exact))


@given(
    st.lists(st.tuples(decimals, decimals, st.booleans(), st.booleans()), max_size=5),
    blanks,
)
def test_shapes_quotes_and_blanks_make_no_difference(
    rows: Sequence[tuple[str, str, bool, bool]], blank: bytes
) -> None:
    parts = []
    for price, amount, quoted, as_object in rows:
        mark = b'"' if quoted else b""
        p = mark + _bare(price) + mark
        a = mark + _bare(amount) + mark
        level = (
            [b'{"s":', a, b",", b'"p":', p, b"}"]
            if as_object
            else [b"[", p, b",", a, b"]"]
        )
        parts.append(blank.join(level))
    raw = blank + b"[" + blank + (blank + b"," + blank).join(parts) + blank + b"]"

    found = parse_levels_bulk([raw])

    assert found.faulty == {}
    assert pairs(found.column) == [list(parse_levels(raw))]


def _bare(text: str) -> bytes:
    """Return a decimal as JSON allows it without quotes."""
    whole, dot, fraction = text.partition(".")
    return (str(int(whole)) + dot + fraction).encode()


json_like = st.text('[]{}",:.0123456789psen- \n\\', max_size=30)


@given(st.lists(json_like | st.binary(max_size=12), max_size=4))
def test_no_text_is_read_as_anything_that_a_json_parser_does_not_read(
    texts: list[str | bytes],
) -> None:
    raws = [text if isinstance(text, bytes) else text.encode() for text in texts]

    found = parse_levels_bulk(raws)

    for number, (raw, row) in enumerate(zip(raws, pairs(found.column), strict=True)):
        if number not in found.faulty:
            assert row == _oracle(raw)


def _oracle(raw: bytes) -> list[tuple[float, float]]:
    result = []
    for level in msgspec.json.decode(raw):
        price, amount = (level["p"], level["s"]) if isinstance(level, dict) else level
        result.append((float(price), float(amount)))
    return result


def test_levels_that_are_numbers_already_are_taken_as_they_are() -> None:
    column = column_of_levels([((1.5, 2.0), (3.0, 0.1)), (), ((5.0, 6.0),)])

    assert pairs(column) == [[(1.5, 2.0), (3.0, 0.1)], [], [(5.0, 6.0)]]
    assert pairs(column_of_levels([])) == []


def test_exactness_is_judged_as_decimals() -> None:
    assert is_exact("0.10", 0.1)
    assert is_exact("1e1", 10.0)
    assert not is_exact("0.1000000000000000055511151231257827", 0.1)
    assert not is_exact("1e-99999999999999999999", 0.0)


@pytest.mark.parametrize("text", ["", "nan", "inf", "0x1", "1_0", " 1", "1 ", "٣"])
def test_only_decimal_numbers_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="not a decimal number"):
        read_number(text)


def test_a_number_beyond_all_doubles_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("'1e999' is beyond")):
        read_number("1e999")


def test_warming_up_compiles_what_reading_needs() -> None:
    levels.warm_up()

    assert text_code.scan_levels.signatures
