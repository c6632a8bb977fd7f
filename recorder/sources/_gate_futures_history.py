"""What Gate futures tell afterwards by HTTP: trades and candlesticks.

Source: the descriptions in the venue's own SDK (gate-api 7.2), and what
others report. ``/futures/{settle}/trades`` is asked by a range of whole seconds,
with ``limit`` and ``offset``; of more than ``limit`` only so many are told, the
newest as far as is known. (``last_id`` is deprecated.) Its ``create_time_ms`` is
in seconds with a point, unlike that of the pushes. The largest ``limit`` is
not stated there; 1,000 is that of the venue's other lists.
``/futures/{settle}/candlesticks`` refuses a range of more than 2,000 points, and
what is more than 10,000 points ago. It has no closed flag. Those of mark and
index price have a prefix before the contract, as in the pushes.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from recorder.model import Chain, Kline, Trade
from recorder.source import History, HttpRequest, Wanted
from recorder.sources import _gate_futures_rows as rows, _gate_futures_wire as wire
from recorder.sources._gate_futures_books import SIZES_AS_TEXT
from recorder.sources._gate_futures_wire import ns_of, number_of, text_of
from recorder.sources._gate_history import points_ago, seconds, step_of
from recorder.sources._gate_v4_books import parameter_of
from recorder.sources._json import NULL, check_utf8, decoded
from recorder.sources._times import SECOND_NS


TRADES_MAX: Final = 1_000
POINTS_MAX: Final = 1_999


class _Point(
    msgspec.Struct,
    gc=False,
    rename={"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"},
):
    """A candlestick; its ``sum`` is what was paid, in the currency of settlement."""

    t: msgspec.Raw
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    volume: msgspec.Raw = NULL


_TRADES: Final = msgspec.json.Decoder(list[wire.Trade])
_POINTS: Final = msgspec.json.Decoder(list[_Point])


def _ask_trades(
    chain: Chain, options: Mapping[str, str], wanted: Wanted
) -> HttpRequest:
    query = [("contract", chain.market), ("limit", str(wanted.limit))]
    if wanted.from_ns is not None:
        query.append(("from", seconds(wanted.from_ns)))
    if wanted.to_ns is not None:
        query.append(("to", seconds(wanted.to_ns)))
    if wanted.skip:
        query.append(("offset", str(wanted.skip)))
    return HttpRequest(
        path=f"/futures/{options['settle']}/trades",
        query=tuple(query),
        headers=(SIZES_AS_TEXT,),
    )


def _trades(chain: Chain, body: bytes) -> tuple[Trade[str], ...]:
    check_utf8(body)
    return tuple(
        msgspec.structs.replace(
            rows.trade(chain.market, row),
            ts_event=wire.moment_of(row.create_time_ms)
            or ns_of(row.create_time, SECOND_NS),
            origin="backfill",
        )
        for row in decoded(_TRADES, body)
    )


def kline_name(chain: Chain) -> tuple[str, str]:
    """Return the interval of a kline, and what the venue calls its contract.

    Those of another price than that of trades have a prefix there.
    """
    kind, _, interval = parameter_of(chain.stream).rpartition(".")
    return interval, f"{kind}_{chain.market}" if kind else chain.market


def _ask_klines(
    chain: Chain, options: Mapping[str, str], wanted: Wanted
) -> HttpRequest:
    interval, contract = kline_name(chain)
    return HttpRequest(
        path=f"/futures/{options['settle']}/candlesticks",
        query=(
            ("contract", contract),
            ("interval", interval),
            ("from", seconds(wanted.from_ns)),
            ("to", seconds(wanted.to_ns)),
        ),
        headers=(SIZES_AS_TEXT,),
    )


def _klines(chain: Chain, body: bytes) -> tuple[Kline[str], ...]:
    check_utf8(body)
    return tuple(
        Kline(
            market=chain.market,
            ts_event=None,
            interval=parameter_of(chain.stream),
            open_at=ns_of(row.t, SECOND_NS) or 0,
            open=number_of(row.open),
            high=number_of(row.high),
            low=number_of(row.low),
            close=number_of(row.close),
            volume=text_of(row.volume),
            origin="backfill",
        )
        for row in decoded(_POINTS, body)
    )


HISTORY: Final = (
    History(
        table="trades",
        page_rows=TRADES_MAX,
        paging="time",
        ask=_ask_trades,
        decode=_trades,
    ),
    History(
        table="klines",
        page_rows=POINTS_MAX,
        step_ns=lambda chain: step_of(kline_name(chain)[0]),
        reach_ns=lambda chain: points_ago(step_of(kline_name(chain)[0])),
        ask=_ask_klines,
        decode=_klines,
    ),
)
