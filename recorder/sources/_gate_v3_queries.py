"""What Gate's v3 answers when it is asked: the four ``*.query`` methods of markets.

The documents state no largest ``limit`` of trades, and show by an example
alone that ``last_id`` is the least id that is wanted. With more trades than
the limit, the newest are told.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from recorder.errors import WireError
from recorder.model import DepthUpdate, WireEvent
from recorder.source import Denied, Parameter, Query, Told, Value
from recorder.sources import _gate_v3_wire as wire
from recorder.sources._gate import INTERVAL_SECONDS, side_of
from recorder.sources._gate_v3_asking import TROUBLE
from recorder.sources._gate_v3_parameters import AGGREGATIONS, LIMITS, NOT_AGGREGATED
from recorder.sources._gate_v3_rows import kline_of, ticker_of, trade_of
from recorder.sources._json import check_utf8, decoded
from recorder.sources._times import SECOND_NS


Values = Mapping[str, Value]

_TRADES: Final = msgspec.json.Decoder(list[wire.Trade])
_TICKER: Final = msgspec.json.Decoder(wire.Ticker)
_DEPTH: Final = msgspec.json.Decoder(wire.Depth)
_KLINES: Final = msgspec.json.Decoder(list[wire.Kline])


def _query(
    name: str,
    doc: str,
    table: str,
    columns: str,
    parameters: tuple[Parameter, ...],
    params: Callable[[str, Values], Sequence[object]],
    events: Callable[[str, Values, msgspec.Raw], Sequence[WireEvent]],
) -> Query:
    """Return a question.

    Args:
        name: Of the method, without its ending.
        doc: One sentence.
        table: The table with rows like those of the answer.
        columns: Those that it fills.
        parameters: What people can say.
        params: The parameters of the request.
        events: What the result of the answer says.
    """

    def ask(number: int, market: str, values: Values) -> bytes:
        return wire.request(number, f"{name}.query", params(market, values))

    def answer(
        number: int, market: str, values: Values, payload: bytes
    ) -> Told | Denied | None:
        check_utf8(payload)
        frame = decoded(wire.FRAME, payload)
        if frame.method is not None or frame.id != number:
            return None
        if frame.error is not None:
            return Denied(
                reason=frame.error.words(), is_trouble=frame.error.code in TROUBLE
            )
        return Told(events=tuple(events(market, values, frame.result)))

    return Query(
        name=name,
        doc=doc,
        table=table,
        columns=tuple(columns.split()),
        parameters=parameters,
        ask=ask,
        answer=answer,
    )


def _ticker(market: str, _values: Values, result: msgspec.Raw) -> list[WireEvent]:
    return [ticker_of(decoded(_TICKER, result), market)]


def _trades(market: str, _values: Values, result: msgspec.Raw) -> list[WireEvent]:
    return [
        trade_of(row, market, wire.seconds_ns(row.time), "backfill")
        for row in decoded(_TRADES, result)
    ]


def _depth(market: str, values: Values, result: msgspec.Raw) -> list[WireEvent]:
    depth = decoded(_DEPTH, result)
    limit, step = int(values["limit"]), values["aggregation"]
    suffix = "" if step == NOT_AGGREGATED else f"@{step}"
    return [
        DepthUpdate(
            market=market,
            stream=f"depth:{limit}{suffix}",
            ts_event=wire.moment_or_none(depth.current),
            is_snapshot=True,
            first_update_id=None,
            last_update_id=None,
            bids=side_of(depth.bids),
            asks=side_of(depth.asks),
            depth_limit=limit,
            origin="rest",
        )
    ]


def _whole_seconds(ns: Value) -> int:
    """Return the first second that is not before a time."""
    return -(-int(ns) // SECOND_NS)


def _klines(market: str, values: Values, result: msgspec.Raw) -> list[WireEvent]:
    rows = decoded(_KLINES, result)
    if strangers := {row.market for row in rows} - {market}:
        raise WireError(f"asked for klines of {market}, got those of {strangers}")
    # Whether the end belongs to what is asked for, no document says.
    interval = str(values["interval"])
    return [
        kline_of(row, market, interval, "backfill")
        for row in rows
        if int(values["from"]) <= row.time * SECOND_NS < int(values["to"])
    ]


QUERIES: Final = (
    _query(
        "ticker",
        "Summary of a period that ends now.",
        "tickers",
        "last open close high low change_pct base_volume quote_volume period_s",
        (
            Parameter(
                name="period",
                doc="Length of the period.",
                kind="seconds",
                lowest=1,
                default="1d",
            ),
        ),
        lambda market, values: [market, values["period"]],
        _ticker,
    ),
    _query(
        "trades",
        "The latest trades, the newest first.",
        "trades",
        "ts_event trade_id side price amount",
        (
            Parameter(
                name="limit",
                doc="How many at most.",
                kind="whole",
                lowest=1,
                default="100",
            ),
            Parameter(
                name="last-id",
                doc="Only trades of this id and above.",
                kind="whole",
                default="0",
            ),
        ),
        lambda market, values: [market, values["limit"], values["last-id"]],
        _trades,
    ),
    _query(
        "depth",
        "The order book, the best levels first.",
        "depth",
        "ts_event stream",
        (
            Parameter(
                name="limit",
                doc="Levels a side.",
                kind="choice",
                choices=tuple(str(limit) for limit in LIMITS),
                default=str(LIMITS[-1]),
            ),
            Parameter(
                name="aggregation",
                doc="Prices are aggregated to such steps; 0 is not at all.",
                kind="choice",
                choices=(NOT_AGGREGATED, *AGGREGATIONS),
                default=NOT_AGGREGATED,
            ),
        ),
        lambda market, values: [market, int(values["limit"]), values["aggregation"]],
        _depth,
    ),
    _query(
        "kline",
        "Klines of a range of time.",
        "klines",
        "interval open_at open high low close volume turnover is_closed",
        (
            Parameter(
                name="interval",
                doc="Length of each.",
                kind="choice",
                choices=tuple(INTERVAL_SECONDS),
            ),
            Parameter(
                name="from",
                doc="First start of an interval that is taken.",
                kind="time",
                default="1970-01-01T00:00:01Z",
            ),
            Parameter(
                name="to",
                doc="First that is left out.",
                kind="time",
                default="now",
            ),
        ),
        lambda market, values: [
            market,
            max(1, _whole_seconds(values["from"])),
            _whole_seconds(values["to"]),
            INTERVAL_SECONDS[str(values["interval"])],
        ],
        _klines,
    ),
)
"""``ticker.query``, ``trades.query``, ``depth.query`` and ``kline.query``."""
