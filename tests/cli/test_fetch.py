"""`recorder fetch` as it is typed, against the simulated exchange, which stands still.

The oracle is the exchange's own record.
"""

import asyncio
import json  # noqa: TID251 - the oracle must not share the recorder's encoder
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


MARKETS = ("BTC_USDT", "GT_USDT")


class Venue:
    """The local exchange, in a thread of its own; its markets stand still."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        settings = Settings(seed=3, rate=0.0, markets=MARKETS)
        async with Exchange(settings) as self.exchange:
            self.ws_url = self.exchange.ws_url_v3
            self._ready.set()
            await self._over.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    venue = Venue()
    yield venue
    venue.close()


@pytest.fixture
def fetch(run, venue: Venue):
    """Ask the exchange; returns what the command printed and its exit code."""

    def fetch(*words: object) -> Any:
        return run("fetch", "gate_v3", *words, "--ws-url", venue.ws_url)

    return fetch


@pytest.fixture
def told(fetch):
    """Ask the exchange; returns the rows of its answer."""

    def told(*words: object) -> list[dict[str, Any]]:
        result = fetch(*words, "--format", "json")
        assert result.exit_code == 0, result.stderr
        rows: list[dict[str, Any]] = json.loads(result.stdout)
        assert result.stderr == ("1 row\n" if len(rows) == 1 else f"{len(rows)} rows\n")
        return rows

    return told


def test_the_latest_trades_are_told_as_they_were(told, venue: Venue) -> None:
    truth = venue.exchange.truth.trades_of("GT_USDT")[::-1]

    rows = told("trades", "GT_USDT", "--limit", 7)
    some = told("trades", "GT_USDT", "--last-id", truth[3].trade_id)

    assert [row["trade_id"] for row in some] == [t.trade_id for t in truth[:4]]
    assert len(rows) == 7
    for row, trade in zip(rows, truth, strict=False):
        assert row.keys() == {
            "ts_recv",
            "ts_event",
            "market",
            "trade_id",
            "side",
            "price",
            "amount",
        }
        assert (row["trade_id"], row["side"]) == (trade.trade_id, trade.side)
        assert (row["price"], row["amount"]) == (
            float(trade.price),
            float(trade.amount),
        )
        assert row["ts_event"].endswith(f".{trade.ts_ns % 10**9:09d}Z")


@pytest.mark.parametrize(("words", "limit"), [((), 30), (("--limit", "5"), 5)])
def test_books_are_told_level_by_level_and_market_by_market(
    told, venue: Venue, words: tuple[str, ...], limit: int
) -> None:
    rows = told("depth", *MARKETS[::-1], *words)

    expected = []
    for market in MARKETS[::-1]:
        truth = venue.exchange.truth
        book = truth.book_at(market, truth.markets[market].last_id, limit)
        expected += [
            (market, f"depth:{limit}", side, level, float(price), float(amount))
            for side, levels in zip(("bid", "ask"), book, strict=True)
            for level, (price, amount) in enumerate(levels, start=1)
        ]
    names = ("market", "stream", "side", "level", "price", "amount")
    assert [tuple(row[name] for name in names) for row in rows] == expected


def test_aggregated_prices_are_named_so(told) -> None:
    rows = told("depth", "GT_USDT", "--aggregation", "0.1", "--limit", 1)

    assert {row["stream"] for row in rows} == {"depth:1@0.1"}
    assert all(Decimal(str(row["price"])) % Decimal("0.1") == 0 for row in rows)


def test_a_ticker_is_told(told, venue: Venue) -> None:
    (row,) = told("ticker", "GT_USDT", "--period", "1d")
    trades = venue.exchange.truth.trades_of("GT_USDT")

    assert row["period_s"] == 86400
    assert row["last"] == float(trades[-1].price)
    assert row["high"] == max(float(trade.price) for trade in trades)
    assert row["base_volume"] == float(sum(Decimal(t.amount) for t in trades))


def test_klines_of_a_range_are_told_without_its_end(told, venue: Venue) -> None:
    every = told("kline", "GT_USDT", "--interval", "10s")
    times = [row["open_at"] for row in every]
    some = told(
        "kline", "GT_USDT", "--interval", "10s", "--from", times[1], "--to", times[3]
    )

    candles = venue.exchange.engine.markets["GT_USDT"].candles.rows(10)
    assert len(every) == len(candles) > 3
    assert [row["open_at"] for row in some] == times[1:3]
    assert {row["interval"] for row in every} == {"10s"}
    for row, candle in zip(every, candles, strict=True):
        market = venue.exchange.engine.markets["GT_USDT"]
        for name in ("open", "high", "low", "close"):
            assert row[name] == float(market.price_text(getattr(candle, name)))
        assert row["volume"] == float(market.amount_text(candle.volume))


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow", "txt"])
def test_an_answer_can_be_written_to_a_file(fetch, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"book.{ending}"

    result = fetch("depth", "GT_USDT", "--limit", "5", "-o", path)
    again = fetch("depth", "GT_USDT", "-o", path)

    assert (result.exit_code, result.stdout) == (0, "")
    assert again.exit_code == 2
    assert "exists" in again.stderr
    if ending == "csv":
        head, *lines = path.read_text().splitlines()
        assert head == "ts_recv,ts_event,market,stream,side,level,price,amount"
        assert len(lines) == 10
    elif ending == "parquet":
        assert pq.read_table(path).column("level").to_pylist() == [1, 2, 3, 4, 5] * 2


def test_of_no_rows_the_columns_are_told(fetch) -> None:
    result = fetch(
        "kline", "GT_USDT", "--interval=1m", "--to=1970-01-02", "--format=csv"
    )

    assert result.exit_code == 0
    assert result.stdout == (
        "ts_recv,market,interval,open_at,open,high,low,close,volume,turnover,is_closed\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (
            ("trades", "X_Y"),
            2,
            "refused to tell trades of X_Y: invalid argument; `recorder markets gate_v3`",
        ),
        (("depth", "GT_USDT", "--limit", "7"), 2, "choose from 1, 5, 10, 20, 30"),
        (("kline", "GT_USDT"), 2, "--interval is missing: give 10s, 30s, 1m"),
        (("kline", "GT_USDT", "--interval=2m"), 2, "--interval cannot be '2m'"),
        (
            ("kline", "A_B", "--interval=1m", "--from=2024-01-02", "--to=2024-01-01"),
            2,
            "lies after --to",
        ),
        (("trades", "GT_USDT", "--limit", "0"), 2, "--limit cannot be '0'"),
        (("ticker", "GT_USDT", "--period", "1500ms"), 2, "give whole seconds"),
        (("ticker", "GT_USDT", "--timeout", "0s"), 2, "--timeout must be longer"),
        (("ticker", "GT_USDT", "-O", "keys=v5"), 2, "choose from v3, v4"),
        (("ticker",), 2, "Missing argument 'MARKET...'"),
        (("orders", "GT_USDT"), 2, "it can for ticker, trades, depth, kline"),
    ],
)
def test_what_cannot_be_told_is_said_with_an_exit_code(
    fetch, words: tuple[str, ...], code: int, sentence: str
) -> None:
    result = fetch(*words)

    assert result.exit_code == code
    assert sentence in result.stderr
    assert result.stdout == ""


def test_trouble_of_the_venue_is_a_failure(fetch, venue: Venue) -> None:
    venue.exchange.order(parse("v3_error:code=3"))

    result = fetch("trades", "GT_USDT")

    assert result.exit_code == 1
    assert "cannot tell trades of GT_USDT now: service unavailable" in result.stderr


def test_an_address_without_a_venue_is_a_failure(run, venue: Venue) -> None:
    refused = run(
        "fetch", "gate_v3", "ticker", "A_B", "--ws-url", f"{venue.ws_url}nothing"
    )
    wrong = run("fetch", "gate_v3", "ticker", "A_B", "--ws-url", "http://x/")

    assert refused.exit_code == 1
    assert "answered the WebSocket request with HTTP 404; check" in refused.stderr
    assert wrong.exit_code == 2
    assert "--ws-url wants an address that starts with ws://" in wrong.stderr


def test_a_source_that_cannot_be_asked_is_wrong_usage(run) -> None:
    none = run("fetch", "gate_spot", "trades", "A_B")
    unknown = run("fetch", "nope", "trades", "A_B")

    assert (none.exit_code, unknown.exit_code) == (2, 2)
    assert "gate_spot answers no questions over its WebSocket; these do: gate_v3" in (
        none.stderr
    )
    assert "no source 'nope'" in unknown.stderr


def test_the_helps_say_what_can_be_asked(run) -> None:
    every, source, query = (
        run("fetch", *words, "--help")
        for words in ((), ("gate_v3",), ("gate_v3", "depth"))
    )

    assert "recorder fetch gate_v3 kline BTC_USDT --interval 1m" in every.output
    for name in ("ticker", "trades", "depth", "kline"):
        assert name in source.output
    assert "1|5|10|20|30" in query.output
    assert "[default: 30]" in query.output


def test_a_number_that_no_double_holds_is_rounded_with_a_word(
    run, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recorder.simulator import wire_v3

    row = wire_v3.trade_row

    def long(trade: Any) -> dict[str, object]:
        return row(trade) | {"price": "0.12345678901234567891"}

    monkeypatch.setattr(wire_v3, "trade_row", long)
    words = ("GT_USDT", "--limit", "2", "--ws-url", venue.ws_url)
    result = run("fetch", "gate_v3", "trades", *words)
    monkeypatch.setattr(wire_v3, "trade_row", lambda t: row(t) | {"price": "cheap"})
    failed = run("fetch", "gate_v3", "trades", *words)

    assert result.exit_code == 0
    assert "0.12345678901234568" in result.stdout
    assert "Rounded to the nearest double: GT_USDT: price 0.123456789" in result.stderr
    assert failed.exit_code == 1
    assert "about GT_USDT cannot be read: price" in failed.stderr
