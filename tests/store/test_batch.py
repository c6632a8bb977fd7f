"""Rows become columns, and nothing is lost on the way."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from recorder.model import (
    TABLE_OF,
    Balance,
    Bbo,
    BinaryFrame,
    Checkpoint,
    ConnectionLife,
    Coverage,
    DepthUpdate,
    Gap,
    KeptFrame,
    Kline,
    StatusEvent,
    Ticker,
    Trade,
)
from recorder.store import batch as batch_module
from recorder.store.batch import Built, RowFault, RowTuple, build
from recorder.store.tables import TABLES


MakeRow = Callable[..., RowTuple]
LEVEL_ROW = [{"price": 1.5, "amount": 2.0}]

EVENTS: list[tuple[Any, dict[str, Any]]] = [
    (
        Trade(
            market="A",
            ts_event=5,
            trade_id=1,
            side="sell",
            price="1.50",
            amount="2",
            market_trade_id=3,
            range_first=4,
            range_last=5,
            origin="history",
        ),
        {"price": 1.5, "amount": 2.0},
    ),
    (
        DepthUpdate(
            market="A",
            stream="depth:100ms",
            ts_event=None,
            is_snapshot=True,
            first_update_id=None,
            last_update_id=7,
            bids=msgspec.Raw(b'[["1.5","2"]]'),
            asks=b"[]",
            depth_limit=20,
            origin="rest",
        ),
        {"bids": LEVEL_ROW, "asks": []},
    ),
    (
        Kline(
            market="A",
            ts_event=5,
            interval="1m",
            open_at=60_000_000_000,
            open="1",
            high="2",
            low="0.5",
            close="1.5",
            volume=None,
            turnover="1e3",
            is_closed=True,
        ),
        {"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "turnover": 1000.0},
    ),
    (
        Ticker(market="A", ts_event=None, last="1.5", change_pct="-0.1", period_s=60),
        {"last": 1.5, "change_pct": -0.1},
    ),
    (Bbo(market="A", ts_event=1, bid_price="1.5"), {"bid_price": 1.5}),
    (
        StatusEvent(
            kind="upgrade", payload="{}", starts_at=5, ends_at=6, markets=("A", "B")
        ),
        {"markets": ["A", "B"]},
    ),
    (
        Gap(
            gap_id="g",
            market=None,
            stream=None,
            job="j",
            scope="rows",
            reason="connect_lost",
            started_at=1,
        ),
        {},
    ),
    (
        Coverage(
            market=None,
            stream="status",
            job="j",
            started_at=1,
            ended_at=2,
            closed_by="stop",
        ),
        {},
    ),
    (
        ConnectionLife(
            url="wss://x",
            opened_at=1,
            closed_at=2,
            close_code=None,
            close_reason="x",
            frames=3,
            bytes=4,
            clock_offset_ms=-0.5,
        ),
        {},
    ),
    (
        KeptFrame(direction="in", opcode="binary", reason="archive", payload=b"\0\xff"),
        {},
    ),
    (
        Checkpoint(
            market="A",
            stream="depth:100ms",
            last_update_id=None,
            bids=((1.5, 2.0),),
            asks=(),
        ),
        {"bids": LEVEL_ROW, "asks": []},
    ),
]


def plain(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows with their times as integers."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist()


@pytest.mark.parametrize(
    ("event", "numbers"), EVENTS, ids=lambda value: type(value).__name__
)
def test_each_field_of_an_event_lands_in_its_column(
    event: Any, numbers: dict[str, Any]
) -> None:
    table = TABLES[TABLE_OF[type(event)]]

    built = build(table, [(11, "run.0", 12, 13, event, b"frame")])

    built.batch.validate(full=True)
    assert built.batch.schema.equals(table.schema, check_metadata=True)
    expected = {"ts_recv": 11, "conn": "run.0", "seq": 12, "idx": 13}
    for name in set(event.__struct_fields__) - {"identity"}:  # for the capture alone
        value = getattr(event, name)
        expected[name] = list(value) if isinstance(value, tuple) else value
    assert plain(built.batch) == [expected | numbers]
    assert (built.kept, built.faults) == ([], [])


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_rows_are_an_empty_batch(name: str) -> None:
    built = build(TABLES[name], [])

    assert built == Built(built.batch, [], [])
    assert built.batch.num_rows == 0
    assert built.batch.schema.equals(TABLES[name].schema)


@pytest.mark.parametrize(
    "text",
    [
        "0.20100000000000000000",
        "123456789.012345",
        "1e5",
        "0",
        "0.000",
        "-1.5",
        "1e-290",
    ],
)
def test_ordinary_numbers_keep_no_frame(trade: MakeRow, text: str) -> None:
    built = build(TABLES["trades"], [trade(1, amount=text)])

    assert Decimal(repr(built.batch["amount"][0].as_py())) == Decimal(text)
    assert (built.kept, built.faults) == ([], [])


def test_an_inexact_number_is_stored_and_its_frame_is_kept(trade: MakeRow) -> None:
    rows = [
        trade(1),
        trade(2, amount="0.12345678901234567890", payload=b'{"the":"frame"}'),
        trade(3),
    ]

    built = build(TABLES["trades"], rows)

    amounts = built.batch["amount"].to_pylist()
    assert amounts == [0.048, 0.12345678901234567890, 0.048]
    assert built.faults == []
    (ts_recv, conn, seq, idx, frame, payload) = built.kept[0]
    assert len(built.kept) == 1
    assert (ts_recv, conn, seq, idx, payload) == (*rows[1][:3], 0, None)
    assert frame == KeptFrame(
        direction="in",
        opcode="text",
        reason="inexact",
        payload=b'{"the":"frame"}',
        error="BTC_USDT: amount 0.12345678901234567890 has no exact double",
    )


@pytest.mark.parametrize(
    ("conn", "payload", "opcode"),
    [
        ("run.0", b"{}", "text"),
        ("run.0", BinaryFrame(b"{}"), "binary"),
        ("run.rest", b"{}", "http"),
    ],
)
def test_a_kept_frame_says_how_it_came(
    trade: MakeRow, conn: str, payload: bytes, opcode: str
) -> None:
    row = trade(1, amount="0.12345678901234567890", payload=payload)

    built = build(TABLES["trades"], [(row[0], conn, *row[2:])])

    assert [(kept[4].opcode, kept[4].payload) for kept in built.kept] == [
        (opcode, b"{}")
    ]


def test_an_inexact_number_of_no_market_is_told_without_one() -> None:
    balance: Balance[str] = Balance(
        asset="USDT", event="update", available="1519373.2188848324", frozen="0"
    )

    built = build(TABLES["balances"], [(1, "run.0", 0, 0, balance, b"{}")])

    assert [row[4].error for row in built.kept] == [
        "available 1519373.2188848324 has no exact double"
    ]


@pytest.mark.parametrize("text", ["5e-324000", "1.2345e-322", "1e-400"])
def test_a_number_too_small_for_a_double_is_inexact(trade: MakeRow, text: str) -> None:
    built = build(TABLES["trades"], [trade(1, amount=text)])

    assert [row[4].reason for row in built.kept] == ["inexact"]


def test_inexact_levels_keep_their_frame(depth: MakeRow) -> None:
    rows = [depth(1), depth(2, asks=b'[["0.12345678901234567890","1"]]')]

    built = build(TABLES["depth"], rows)

    assert built.batch["asks"].to_pylist() == [
        [],
        [{"price": 0.12345678901234567890, "amount": 1.0}],
    ]
    assert [(row[2], row[4].reason, row[4].error) for row in built.kept] == [
        (2, "inexact", "BTC_USDT: asks 0.12345678901234567890 has no exact double")
    ]


def test_a_frame_is_kept_once_however_many_of_its_rows_are_inexact(
    trade: MakeRow,
) -> None:
    row = trade(1, amount="0.12345678901234567890", price="1234567890.123456789")
    same_frame = [(*row[:3], idx, *row[4:]) for idx in range(3)]
    other = trade(2, amount="0.12345678901234567890", conn="r.1")

    built = build(TABLES["trades"], [*same_frame, other])

    assert built.batch.num_rows == 4
    assert [kept[1:3] for kept in built.kept] == [row[1:3], other[1:3]]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NaN", "'NaN' is not a decimal number"),
        ("1e999", "'1e999' is beyond the range of a double"),
        ("-inf", "'-inf' is not a decimal number"),
        ("abc", "Failed to parse string: 'abc'"),
        ("", "Failed to parse string: ''"),
        ("0x10", "Failed to parse string"),
    ],
)
def test_a_row_that_does_not_fit_is_left_out_alone(
    trade: MakeRow, text: str, why: str
) -> None:
    rows = [trade(1), trade(2, "ETH_USDT", amount=text, payload=b"frame"), trade(3)]

    built = build(TABLES["trades"], rows, "gate_spot")

    assert built.batch["trade_id"].to_pylist() == [1, 3]
    assert built.batch["market"].to_pylist() == ["BTC_USDT", "BTC_USDT"]
    (fault,) = built.faults
    assert fault == RowFault(
        source="gate_spot",
        table="trades",
        market="ETH_USDT",
        stream=None,
        conn=rows[1][1],
        seq=2,
        ts_recv=rows[1][0],
        error=fault.error,
    )
    assert why in fault.error
    assert fault.error.startswith("amount: ")
    (kept,) = built.kept
    assert (kept[2], kept[4].reason, kept[4].payload) == (2, "undecodable", b"frame")


def test_levels_that_do_not_fit_leave_their_row_out(depth: MakeRow) -> None:
    rows = [depth(1), depth(2, bids=b'[["x","1"]]'), depth(3)]

    built = build(TABLES["depth"], rows, "gate_spot")

    assert built.batch["first_update_id"].to_pylist() == [1, 3]
    assert [(f.seq, f.stream, f.error) for f in built.faults] == [
        (2, "depth:100ms", "bids: 'x' is not a decimal number")
    ]


@pytest.mark.parametrize(
    ("first", "last", "ids"),
    [
        (7, 9, (7, 9)),
        (None, 9, None),
        (9, 7, None),
        (0, 7, None),
        (7, 2**63 - 1, None),
        ("7", 9, None),
    ],
)
def test_the_fault_of_a_row_says_its_ids_if_their_neighbours_fit_into_columns(
    depth: MakeRow, first: object, last: object, ids: tuple[int, int] | None
) -> None:
    row = depth(2, bids=b'[["x","1"]]')
    changed = msgspec.structs.replace(
        row[4], first_update_id=first, last_update_id=last
    )

    built = build(TABLES["depth"], [depth(1), (*row[:4], changed, row[5])], "gate_spot")

    assert [fault.ids for fault in built.faults] == [ids]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trade_id", 2**63),
        ("ts_event", 2**70),
        ("market", "\ud800"),
        ("market", None),
        ("price", None),
        ("side", 5),
        ("range_last", "7"),
    ],
)
def test_any_value_that_a_column_cannot_hold_is_found(
    trade: MakeRow, field: str, value: object
) -> None:
    row = trade(2)
    changed = msgspec.structs.replace(row[4], **{field: value})

    built = build(TABLES["trades"], [trade(1), (*row[:4], changed, row[5]), trade(3)])

    assert built.batch["trade_id"].to_pylist() == [1, 3]
    assert [fault.seq for fault in built.faults] == [2]
    assert built.faults[0].error.startswith(field)


def test_a_position_beyond_its_column_is_found(trade: MakeRow) -> None:
    row = trade(2)

    built = build(TABLES["trades"], [trade(1), (*row[:3], 2**31, *row[4:])])

    assert built.batch["seq"].to_pylist() == [1]
    assert built.faults[0].error.startswith("idx: ")


def test_a_missing_value_is_named(trade: MakeRow) -> None:
    row = trade(1)
    changed = msgspec.structs.replace(row[4], side=None)

    built = build(TABLES["trades"], [(*row[:4], changed, row[5])])

    assert built.faults[0].error == "side is missing"
    assert built.batch.num_rows == 0


def test_a_frame_with_faulty_and_inexact_rows_is_kept_once_as_undecodable(
    trade: MakeRow,
) -> None:
    inexact = trade(1, amount="0.12345678901234567890")
    faulty = (*inexact[:3], 1, trade(1, amount="x")[4], inexact[5])
    elsewhere = trade(2, amount="0.12345678901234567890")

    built = build(TABLES["trades"], [inexact, faulty, elsewhere])

    assert built.batch["seq"].to_pylist() == [1, 2]
    assert [(row[2], row[4].reason) for row in built.kept] == [
        (1, "undecodable"),
        (2, "inexact"),
    ]


def test_rows_of_many_slices_are_one_batch_in_their_order(
    depth: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "SLICE_ROWS", 3)
    markets = ["A", "B", "B", "C", "B", "A", "D"]
    rows = [
        depth(number, market, bids=b'[["%d","1"]]' % number)
        for number, market in enumerate(markets)
    ]

    built = build(TABLES["depth"], rows)

    assert built.batch.schema == TABLES["depth"].schema
    assert built.batch["market"].to_pylist() == markets
    assert built.batch["seq"].to_pylist() == list(range(7))
    assert [side[0]["price"] for side in built.batch["bids"].to_pylist()] == [
        float(number) for number in range(7)
    ]
    built.batch.validate(full=True)


def test_a_frame_that_lies_in_two_slices_is_kept_once_as_undecodable(
    trade: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "SLICE_ROWS", 2)
    inexact = trade(1, amount="0.12345678901234567890")
    faulty = (*inexact[:3], 1, trade(1, amount="x")[4], inexact[5])

    built = build(TABLES["trades"], [trade(0), inexact, faulty, trade(2)])

    assert built.batch["seq"].to_pylist() == [0, 1, 2]
    assert [fault.seq for fault in built.faults] == [1]
    assert [(row[2], row[4].reason) for row in built.kept] == [(1, "undecodable")]


def test_a_row_without_a_frame_has_nothing_to_keep(trade: MakeRow) -> None:
    built = build(TABLES["trades"], [trade(1, amount="x", payload=None)])

    assert built.kept == []
    assert len(built.faults) == 1


def test_the_body_of_a_rest_answer_is_kept_as_http(trade: MakeRow) -> None:
    built = build(TABLES["trades"], [trade(1, amount="x", conn="run.rest")])

    assert built.kept[0][4].opcode == "http"


def test_nulls_among_numbers_stay_nulls() -> None:
    texts = [None, "1.5", None, "0", "12345678901234567890", None]
    rows = [
        (1, "r.0", seq, 0, Bbo(market="A", ts_event=None, bid_price=text), b"f")
        for seq, text in enumerate(texts)
    ]

    built = build(TABLES["bbo"], rows)

    assert built.batch["bid_price"].to_pylist() == [
        None,
        1.5,
        None,
        0.0,
        12345678901234567890.0,
        None,
    ]
    assert [row[2] for row in built.kept] == [4]


def test_an_error_that_no_single_row_explains_is_not_hidden(
    trade: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(_column: object, values: list[object], _doubts: object) -> pa.Array:
        if len(values) > 1:
            raise pa.ArrowCapacityError("too large")
        return pa.array(values, pa.string()).dictionary_encode()

    monkeypatch.setitem(
        batch_module._MAKERS, TABLES["bbo"].schema.field("conn").type, too_large
    )

    with pytest.raises(pa.ArrowCapacityError):
        build(TABLES["trades"], [trade(1), trade(2)])


numbers = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**25), 10**25).map(str),
)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_number_equals_what_was_sent_or_its_frame_is_kept(texts: list[str]) -> None:
    rows = [
        (1, "r.0", seq, 0, Bbo(market="A", ts_event=None, bid_price=text), b"f")
        for seq, text in enumerate(texts)
    ]

    built = build(TABLES["bbo"], rows)

    stored = dict(
        zip(
            built.batch["seq"].to_pylist(),
            built.batch["bid_price"].to_pylist(),
            strict=True,
        )
    )
    kept = {row[2]: row[4].reason for row in built.kept}
    for seq, text in enumerate(texts):
        if seq not in stored:
            assert kept[seq] == "undecodable"
            assert abs(Decimal(text)) > Decimal("1.7e308")
        elif Decimal(repr(stored[seq])) == Decimal(text):
            assert seq not in kept
        else:
            assert kept[seq] == "inexact"


plain_numbers = st.builds(
    lambda digits, places, zeros: _decimal(digits, places) + zeros * "0",
    st.integers(0, 10**15 - 1),
    st.integers(1, 18),
    st.integers(0, 6),
)


def _decimal(digits: int, places: int) -> str:
    text = str(digits).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}"


@given(st.lists(plain_numbers, min_size=1, max_size=20))
def test_no_number_of_fifteen_digits_keeps_a_frame(texts: list[str]) -> None:
    rows = [
        (1, "r.0", seq, 0, Bbo(market="A", ts_event=None, bid_price=text), b"f")
        for seq, text in enumerate(texts)
    ]

    built = build(TABLES["bbo"], rows)

    assert [Decimal(repr(x)) for x in built.batch["bid_price"].to_pylist()] == [
        Decimal(text) for text in texts
    ]
    assert (built.kept, built.faults) == ([], [])
