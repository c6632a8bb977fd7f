"""What Gate's v3 is asked, and what its answers say; examples of the documents."""

import json  # noqa: TID251 - tests judge the decoders, so they use another
from typing import Any

import pytest

from recorder.errors import WireError
from recorder.model import DepthUpdate, Kline, Ticker, Trade
from recorder.source import Denied, Told
from recorder.sources.gate_v3 import SOURCE


SECOND_NS = 10**9
NOW_NS = 1_516_951_219 * SECOND_NS
QUERIES = {query.name: query for query in SOURCE.queries}


class Asked:
    """A question with its parameters as people type them."""

    def __init__(self, name: str, market: str = "EOS_USDT", **texts: str) -> None:
        self.query = QUERIES[name]
        self.market = market
        typed = {key.replace("_", "-").strip("-"): text for key, text in texts.items()}
        self.values = self.query.values(typed, NOW_NS)

    @property
    def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(
            self.query.ask(12312, self.market, self.values)
        )
        return frame

    def answered(self, result: object, **more: object) -> Any:
        return self.hears({"error": None, "result": result, "id": 12312} | more)

    def hears(self, frame: object) -> Any:
        payload = json.dumps(frame).encode()
        return self.query.answer(12312, self.market, self.values, payload)


@pytest.mark.parametrize(
    ("asked", "params"),
    [
        (Asked("ticker", period="86400s"), ["EOS_USDT", 86400]),
        (Asked("ticker"), ["EOS_USDT", 86400]),
        (Asked("ticker", period="1h"), ["EOS_USDT", 3600]),
        (Asked("trades", limit="2", last_id="7177813"), ["EOS_USDT", 2, 7177813]),
        (Asked("trades"), ["EOS_USDT", 100, 0]),
        (
            Asked("depth", limit="5", aggregation="0.0001"),
            ["EOS_USDT", 5, "0.0001"],
        ),
        (Asked("depth"), ["EOS_USDT", 30, "0"]),
        (
            Asked("kline", "BTC_USDT", interval="30m"),
            ["BTC_USDT", 1, 1516951219, 1800],
        ),
        (
            Asked(
                "kline",
                interval="1m",
                from_="2018-01-26T07:19:58.5Z",
                to="2018-01-26T07:20:00.000000001Z",
            ),
            ["EOS_USDT", 1516951199, 1516951201, 60],
        ),
        (Asked("kline", interval="1d", from_="1970-01-01"), None),
    ],
)
def test_questions_are_those_of_the_documents(
    asked: Asked, params: list[object] | None
) -> None:
    params = params or ["EOS_USDT", 1, 1516951219, 86400]  # a start is above 0
    assert asked.frame == {
        "id": 12312,
        "method": f"{asked.query.name}.query",
        "params": params,
    }


def test_a_ticker_is_told() -> None:
    result = {
        "period": 86400,
        "open": "5.9606",
        "close": "5.9606",
        "high": "5.9606",
        "low": "5.9606",
        "last": "5.9606",
        "change": "0",
        "quoteVolume": "4",
        "baseVolume": "23.8424",
    }

    told = Asked("ticker").answered(result)

    assert told == Told(
        events=(
            Ticker(
                market="EOS_USDT",
                ts_event=None,
                last="5.9606",
                open="5.9606",
                close="5.9606",
                high="5.9606",
                low="5.9606",
                change_pct="0",
                base_volume="4",
                quote_volume="23.8424",
                period_s=86400,
            ),
        )
    )


def test_trades_are_told_the_newest_first() -> None:
    # The documents have a comma too many here.
    rows = [(7177814, 1523887673.562782, "20"), (7177813, 1523887354.256974, "15")]
    result = [
        {"id": number, "time": time, "price": "6.05", "amount": amount, "type": "buy"}
        for number, time, amount in rows
    ]

    told = Asked("trades").answered(result)

    assert told == Told(
        events=tuple(
            Trade(
                market="EOS_USDT",
                ts_event=round(time * 10**6) * 1_000,
                trade_id=number,
                side="buy",
                price="6.05",
                amount=amount,
                origin="backfill",
            )
            for number, time, amount in rows
        )
    )


@pytest.mark.parametrize(
    ("aggregation", "stream"), [("0", "depth:5"), ("0.01", "depth:5@0.01")]
)
def test_a_book_is_told_with_the_name_of_the_stream_that_pushes_it(
    aggregation: str, stream: str
) -> None:
    asked = Asked("depth", limit="5", aggregation=aggregation)
    asks = [["15.72", "811.7089610788"], ["15.76", "18.45"]]

    (book,) = asked.answered({"asks": asks}).events

    assert isinstance(book, DepthUpdate)
    assert (book.market, book.stream, book.ts_event) == ("EOS_USDT", stream, None)
    assert (book.is_snapshot, book.origin, book.depth_limit) == (True, "rest", 5)
    assert json.loads(bytes(book.asks)) == asks
    assert json.loads(bytes(book.bids)) == []


def test_klines_of_the_range_are_told_in_their_order_of_prices() -> None:
    asked = Asked(
        "kline", "BTC_USDT", interval="1m", from_="2017-04-17", to="2017-04-17T00:02"
    )
    prices = ["7000.00", "8000.0", "8100.00", "6800.00", "1000.00", "123456.00"]
    rows: list[list[object]] = [
        [1492387140 + 60 * k, *prices, "BTC_USDT"] for k in range(4)
    ]
    rows[2].append(True)

    told = asked.answered(rows)

    assert told == Told(
        events=tuple(
            Kline(
                market="BTC_USDT",
                ts_event=None,
                interval="1m",
                open_at=(1492387140 + 60 * k) * SECOND_NS,
                open="7000.00",
                close="8000.0",
                high="8100.00",
                low="6800.00",
                volume="1000.00",
                turnover="123456.00",
                is_closed=is_closed,
                origin="backfill",
            )
            for k, is_closed in ((1, None), (2, True))
        )
    )


@pytest.mark.parametrize(
    ("code", "is_trouble"),
    [(1, False), (2, True), (3, True), (4, False), (5, True), (6, False)],
)
def test_an_error_is_told_in_the_venues_words(code: int, *, is_trouble: bool) -> None:
    error = {"code": code, "message": f"words {code}"}

    denied = Asked("trades").answered(None, error=error)

    assert denied == Denied(reason=f"words {code}", is_trouble=is_trouble)


@pytest.mark.parametrize(
    "frame",
    [
        {"error": None, "result": [], "id": 12311},
        {"error": None, "result": "pong", "id": None},
        {"method": "trades.update", "params": ["EOS_USDT", []], "id": None},
        {"error": {"code": 1, "message": "x"}, "result": None, "id": 7},
    ],
)
def test_what_answers_something_else_is_no_answer(frame: dict[str, Any]) -> None:
    assert Asked("trades").hears(frame) is None


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("trades", None),
        ("trades", [{"id": 1}]),
        ("ticker", []),
        ("depth", [[], []]),
        ("depth", None),
        ("kline", [[1, "1", "1", "1", "1", "1", "1", "BTC_USDT"]]),
        ("kline", [[1, 1]]),
    ],
)
def test_what_does_not_fit_is_an_error(name: str, result: object) -> None:
    more = {"interval": "1m"} if name == "kline" else {}
    with pytest.raises(WireError):
        Asked(name, **more).answered(result)


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(WireError):
        QUERIES["trades"].answer(1, "A_B", {}, b'{"id":1,"result":"\xff"}')
