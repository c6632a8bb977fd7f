from decimal import ROUND_DOWN, Decimal, localcontext

import msgspec
import pytest
from hypothesis import given, strategies as st

from recorder.errors import ConfigError, WireError
from recorder.model import Kline, Ticker, Trade
from recorder.source import (
    Ending,
    Option,
    Source,
    StreamKind,
    Verdict,
    Witness,
    canonical_stream,
    decimal_ns,
    resolve_options,
    table_of,
    told_of_maintenance,
)


SOURCE = Source(
    name="venue",
    doc="A venue.",
    ws_url="wss://venue.example/ws",
    rest_url="https://venue.example",
    streams=(
        StreamKind(name="trades", doc="Trades."),
        StreamKind(
            name="depth",
            doc="Depth.",
            parameters=("30", "5"),
            default="30",
            aliases=(("30@0", "30"),),
        ),
        StreamKind(name="klines", doc="Klines.", parameters=("1m", "1h")),
    ),
    options=(
        Option(name="settle", doc="Currency.", choices=("usdt", "btc"), default="usdt"),
        Option(name="note", doc="Any text."),
    ),
    plan=lambda chains: [tuple(chains)],
    dialogue=lambda chains, options, secrets: pytest.fail("not used"),
    book_rule=lambda stream: None,
)


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("trades", "trades"),
        ("depth", "depth:30"),
        ("depth:30", "depth:30"),
        ("depth:30@0", "depth:30"),
        ("depth:5", "depth:5"),
        ("klines:1h", "klines:1h"),
    ],
)
def test_stream_gets_its_canonical_form(typed: str, canonical: str) -> None:
    assert canonical_stream(SOURCE, typed) == canonical


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("quotes", "venue has no stream 'quotes'; it has trades, depth, klines"),
        ("", "no stream ''"),
        ("trades:", "takes no parameter"),
        ("trades:1m", "takes no parameter"),
        ("klines", "one of klines:1m, klines:1h"),
        ("klines:2m", "no parameter '2m'; legal are 1m, 1h"),
        ("depth:", "no parameter ''; legal are 30, 5"),
        ("depth:5@0", "no parameter '5@0'"),
    ],
)
def test_illegal_stream_is_refused_and_told_what_is_legal(
    typed: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        canonical_stream(SOURCE, typed)

    assert words in str(caught.value)


def test_of_many_legal_parameters_the_shortest_are_told() -> None:
    many = tuple(f"{n}@{'0' * (n % 4)}1" for n in range(10, 55))
    kind = StreamKind(name="depth", doc="Depth.", parameters=many)
    source = msgspec.structs.replace(SOURCE, streams=(kind,))

    with pytest.raises(ConfigError) as caught:
        canonical_stream(source, "depth:9")

    told = str(caught.value).partition("legal are ")[2]
    names, _, rest = told.partition(" and ")
    assert rest == "29 more; `recorder capture --help` lists all"
    assert names.split(", ") == sorted(many, key=len)[:16]


def test_table_of_a_stream_is_its_name() -> None:
    assert table_of("depth:30@0.01") == "depth"
    assert table_of("trades") == "trades"


def test_options_are_filled_with_defaults() -> None:
    assert resolve_options(SOURCE, {}) == {"settle": "usdt"}
    assert resolve_options(SOURCE, {"settle": "btc", "note": "x"}) == {
        "settle": "btc",
        "note": "x",
    }


@pytest.mark.parametrize(
    ("given_options", "words"),
    [
        ({"sette": "btc"}, "no option 'sette'; it has settle, note"),
        ({"settle": "eur"}, "cannot be 'eur'; choose from usdt, btc"),
    ],
)
def test_illegal_option_is_refused_and_told_what_is_legal(
    given_options: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_options(SOURCE, given_options)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "unit_ns", "ns"),
    [
        ("1619093543708.2642", 10**6, 1619093543708264200),
        ("1682689046123.0", 10**6, 1682689046123000000),
        ("1617646633.0716479", 10**9, 1617646633071647900),
        ("1617646633", 10**9, 1617646633000000000),
        ("1.6176466330716479e9", 10**9, 1617646633071647900),
        ("16176466330716479E-7", 10**9, 1617646633071647900),
        ("1e-12", 10**9, 0),
        ("1.9999999999", 10**9, 1999999999),
        ("1.99999999999999999999999999999999999e0", 10**9, 1999999999),
        ("5.7", 1, 5),
        ("9223372036.854775807", 10**9, 2**63 - 1),
        ("0", 10**9, 0),
    ],
)
def test_decimal_text_becomes_nanoseconds_without_losing_a_digit(
    text: str, unit_ns: int, ns: int
) -> None:
    assert decimal_ns(text, unit_ns) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "-1",
        "-0",
        "+1",
        "abc",
        "nan",
        "Infinity",
        "1e999",
        "1e99999999999",
        "1_000",
        " 1",
        "1.2.3",
        "1.-2",
        "\u0661",
        "1\u0662",
        '"1"',
        "9" * 5000,
        "9223372036.854775808",
        "0x10",
    ],
)
def test_what_is_not_a_time_is_a_wire_error(text: str) -> None:
    with pytest.raises(WireError, match="not a time"):
        decimal_ns(text, 10**9)


@given(
    value=st.decimals(min_value=0, max_value=9_000_000_000, places=12),
    is_scientific=st.booleans(),
)
def test_nanoseconds_agree_with_exact_decimal_arithmetic(
    value: Decimal, is_scientific: bool
) -> None:
    text = f"{value:.30e}" if is_scientific else f"{value:f}"

    with localcontext() as context:
        context.prec = 60
        exact = int((value * 10**9).to_integral_value(rounding=ROUND_DOWN))
    assert decimal_ns(text, 10**9) == exact


def ticker(last: str | None, volume: str | None) -> Ticker[str]:
    return Ticker(market="A_B", ts_event=None, last=last, base_volume=volume)


def kline(open_at: int, volume: str) -> Kline[str]:
    return Kline(
        market="A_B",
        ts_event=None,
        interval="1m",
        open_at=open_at,
        open="1",
        high="1",
        low="1",
        close="1",
        volume=volume,
    )


TRADED = Witness(
    by="tickers", of=("trades",), changed=("last",), grown=("base_volume",), signs=2
)


@pytest.mark.parametrize(
    ("before", "after", "is_sign"),
    [
        (ticker("1", "9.5"), ticker("1", "9.5"), False),
        (ticker("1", "9.5"), ticker("2", "9.5"), True),
        (ticker("1", "9.5"), ticker("1", "10"), True),
        (ticker("1", "10"), ticker("1", "9.5"), False),
        (ticker("1", None), ticker("1", "10"), False),
        (ticker("1", "nonsense"), ticker("1", "10"), False),
        (ticker(None, "10"), ticker("2", "10"), False),
        (ticker("1", "10"), ticker(None, None), False),
        (None, ticker("2", "10"), False),
    ],
)
def test_a_row_is_a_sign_if_it_tells_of_something_new(
    before: Ticker[str] | None, after: Ticker[str], *, is_sign: bool
) -> None:
    assert TRADED.is_sign(before, after) is is_sign


def test_only_rows_of_the_same_thing_are_compared() -> None:
    witness = Witness(
        by="klines", of=("trades",), grown=("volume",), within=("open_at",), signs=1
    )

    assert witness.is_sign(kline(60, "1"), kline(60, "2"))
    assert not witness.is_sign(kline(60, "1"), kline(120, "2"))


def test_without_fields_each_row_is_a_sign() -> None:
    trade = Trade(
        market="A_B", ts_event=1, trade_id=1, side="buy", price="1", amount="1"
    )

    assert Witness(by="trades", of=("tickers",), signs=1).is_sign(None, trade)


@pytest.mark.parametrize(
    ("name", "stream", "is_meant"),
    [
        ("klines", "klines:1m", True),
        ("klines", "klines:mark.1m", True),
        ("klines", "trades", False),
        ("klines:[0-9]*", "klines:10s", True),
        ("klines:[0-9]*", "klines:mark.1m", False),
        ("klines:mark.*", "klines:mark.1m", True),
    ],
)
def test_streams_of_a_table_can_be_told_apart(
    name: str, stream: str, *, is_meant: bool
) -> None:
    assert Witness(by=name, of=("x",), signs=1).tells_by(stream) is is_meant
    assert Witness(by="x", of=("y", name), signs=1).tells_of(stream) is is_meant


@pytest.mark.parametrize(
    ("ending", "why", "wait"),
    [
        (
            Ending(
                status=503, reason="Under Maintenance", headers={"retry-after": "7"}
            ),
            "the venue answered HTTP 503: Under Maintenance",
            7.0,
        ),
        (
            Ending(code=1012, reason="system maintenance\r\nback soon"),
            "the venue closed: system maintenance back soon",
            None,
        ),
    ],
)
def test_a_venue_may_tell_of_maintenance_in_plain_words(ending, why, wait):
    assert told_of_maintenance(ending) == Verdict(
        action="retry", why=why, wait_seconds=wait, is_maintenance=True
    )


@pytest.mark.parametrize(
    "ending",
    [
        Ending(status=503, reason="too busy"),
        Ending(status=403, reason="maintenance of your account"),
        Ending(code=1000),
    ],
)
def test_other_words_tell_of_no_maintenance(ending):
    assert told_of_maintenance(ending) is None
