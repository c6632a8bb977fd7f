"""What Gate spot tells afterwards by HTTP: trades and candlesticks.

Source: the descriptions in the venue's own SDK (gate-api 7.2), and what
others report. ``/spot/trades`` tells at most 1,000; with ``last_id`` and
``reverse=true`` those before that id, so that one goes back from the newest.
(The venue advises against ``last_id``. By time, a second with more trades than
a page holds could not be told apart.) How far back it tells is not stated.
``/spot/candlesticks`` refuses a range of more than 1,000 points, the two ends
included, and what is more than 10,000 points ago.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from recorder.model import Chain, Kline, Trade
from recorder.source import History, HttpRequest, Wanted, decimal_ns
from recorder.sources._gate import Id
from recorder.sources._gate_history import points_ago, seconds, step_of
from recorder.sources._gate_v4_books import parameter_of
from recorder.sources._json import check_utf8, decoded
from recorder.sources._times import MILLISECOND_NS, SECOND_NS


TRADES_MAX: Final = 1_000
POINTS_MAX: Final = 999

_FLAGS: Final = {"true": True, "false": False}


class _Trade(msgspec.Struct, gc=False):
    """A trade; its numbers are texts."""

    id: str
    create_time_ms: str
    side: Literal["buy", "sell"]
    amount: str
    price: str
    sequence_id: str | None = None


class _Point(msgspec.Struct, array_like=True, gc=False):
    """A candlestick; the closed flag came in later years."""

    time: str
    turnover: str
    close: str
    high: str
    low: str
    open: str
    volume: str | None = None
    is_closed: Literal["true", "false"] | None = None


_TRADES: Final = msgspec.json.Decoder(list[_Trade])
_POINTS: Final = msgspec.json.Decoder(list[_Point])
_ID: Final = msgspec.json.Decoder(Id)


def _ask_trades(
    chain: Chain, _options: Mapping[str, str], wanted: Wanted
) -> HttpRequest:
    query = [("currency_pair", chain.market), ("limit", str(wanted.limit))]
    if wanted.until_id is not None:
        query += [("last_id", str(wanted.until_id + 1)), ("reverse", "true")]
    return HttpRequest(path="/spot/trades", query=tuple(query))


def _trades(chain: Chain, body: bytes) -> tuple[Trade[str], ...]:
    check_utf8(body)
    return tuple(
        Trade(
            market=chain.market,
            ts_event=decimal_ns(row.create_time_ms, MILLISECOND_NS),
            trade_id=decoded(_ID, row.id.encode()),
            side=row.side,
            price=row.price,
            amount=row.amount,
            market_trade_id=(
                decoded(_ID, row.sequence_id.encode()) if row.sequence_id else None
            ),
            origin="backfill",
        )
        for row in decoded(_TRADES, body)
    )


def _ask_klines(
    chain: Chain, _options: Mapping[str, str], wanted: Wanted
) -> HttpRequest:
    return HttpRequest(
        path="/spot/candlesticks",
        query=(
            ("currency_pair", chain.market),
            ("interval", parameter_of(chain.stream)),
            ("from", seconds(wanted.from_ns)),
            ("to", seconds(wanted.to_ns)),
        ),
    )


def _klines(chain: Chain, body: bytes) -> tuple[Kline[str], ...]:
    check_utf8(body)
    return tuple(
        Kline(
            market=chain.market,
            ts_event=None,
            interval=parameter_of(chain.stream),
            open_at=decimal_ns(row.time, SECOND_NS),
            open=row.open,
            high=row.high,
            low=row.low,
            close=row.close,
            volume=row.volume or None,
            turnover=row.turnover or None,
            is_closed=None if row.is_closed is None else _FLAGS[row.is_closed],
            origin="backfill",
        )
        for row in decoded(_POINTS, body)
    )


HISTORY: Final = (
    History(
        table="trades",
        page_rows=TRADES_MAX,
        paging="until_id",
        ask=_ask_trades,
        decode=_trades,
    ),
    History(
        table="klines",
        page_rows=POINTS_MAX,
        step_ns=lambda chain: step_of(parameter_of(chain.stream)),
        reach_ns=lambda chain: points_ago(step_of(parameter_of(chain.stream))),
        ask=_ask_klines,
        decode=_klines,
    ),
)
