"""The shapes of Gate's v3 frames, as they are sent."""

from typing import Final, Literal

import msgspec

from recorder.sources._gate import Fault, Id
from recorder.sources._json import EMPTY, NULL, Known, keys
from recorder.sources._times import Seconds


class Frame(msgspec.Struct, gc=False):
    """Any frame: a push has a method, an answer has an id."""

    id: int | None = None
    method: str | None = None
    params: msgspec.Raw = NULL
    error: Fault | None = None
    result: msgspec.Raw = NULL


class Depth(msgspec.Struct, gc=False):
    """Levels of a book; a side without a change is left out, or null.

    The ``id`` of a clean frame is in no document and continues nothing, so
    it is not read. ``current`` is in seconds and only sent by late servers;
    null and 0 are no time.
    The sides stay raw: whether they hold levels is judged by the store.
    """

    asks: msgspec.Raw = EMPTY
    bids: msgspec.Raw = EMPTY
    current: msgspec.Raw = NULL


class DepthParams(msgspec.Struct, array_like=True, gc=False):
    """``[clean, depth, market]``; clean means that it is the whole book."""

    is_clean: bool
    depth: Depth
    market: str


class DepthPush(msgspec.Struct, gc=False):
    """A whole depth push, and nothing else."""

    method: Literal["depth.update"]
    params: DepthParams


class Trade(msgspec.Struct, gc=False):
    """One trade; ``time`` is a number of seconds with up to seven decimals."""

    id: Id
    time: msgspec.Raw
    price: str
    amount: str
    type: Literal["buy", "sell"]


class TradesParams(msgspec.Struct, array_like=True, gc=False):
    """``[market, trades]``, the newest trade first."""

    market: str
    trades: list[Trade]


class Ticker(
    msgspec.Struct,
    gc=False,
    rename={"base_volume": "quoteVolume", "quote_volume": "baseVolume"},
):
    """A summary of ``period`` seconds.

    The venue has the names of the volumes the wrong way round: its
    ``quoteVolume`` is in base currency. ``change`` is in percent: a frame of
    BTC_USDT has open 45366, last 44681, change -1.54. ``close`` is ``last``.
    """

    period: Seconds | None = None
    open: str | None = None
    high: str | None = None
    low: str | None = None
    last: str | None = None
    change: str | None = None
    base_volume: str | None = None
    quote_volume: str | None = None


class TickerParams(msgspec.Struct, array_like=True, gc=False):
    """``[market, ticker]``."""

    market: str
    ticker: Ticker


class Kline(msgspec.Struct, array_like=True, gc=False):
    """One row: open, close, high, low, in this order.

    Late servers add whether the interval is over.
    """

    time: Seconds
    open: str
    close: str
    high: str
    low: str
    volume: str
    turnover: str
    market: str
    is_closed: bool | None = None


FRAME: Final = msgspec.json.Decoder(Frame)
DEPTH_PUSH: Final = msgspec.json.Decoder(DepthPush)
DEPTH: Final = msgspec.json.Decoder(DepthParams)
TRADES: Final = msgspec.json.Decoder(TradesParams)
TICKER: Final = msgspec.json.Decoder(TickerParams)
KLINES: Final = msgspec.json.Decoder(list[Kline])

_KNOWN_PARAMS: Final[dict[str, Known]] = {
    "depth.update": (None, keys("asks bids id current update"), None),
    "trades.update": (None, [keys("id time price amount type")]),
    "ticker.update": (
        None,
        keys("period open close high low last change quoteVolume baseVolume"),
    ),
    "kline.update": [(None,) * 9],
}


def known_of(method: object) -> dict[str, Known]:
    """Return what is known of a push of some method, or of an answer."""
    known = keys("id method params v")
    if isinstance(method, str):
        return known | {"params": _KNOWN_PARAMS.get(method)}
    return known | keys("result") | {"error": keys("code message")}
