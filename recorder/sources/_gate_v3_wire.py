"""The shapes of Gate's v3 frames, as they are sent."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from recorder.source import decimal_ns
from recorder.sources._gate import (
    Fault,
    Id,
)
from recorder.sources._json import (
    EMPTY,
    NULL,
    Known,
    decoded,
    keys,
)
from recorder.sources._times import (
    SECOND_NS,
    Seconds,
)


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
    BTC_USDT has open 45366, last 44681, change -1.54. ``close`` is ``last``,
    but in a period without trades: then it may be 0.
    """

    period: Seconds | None = None
    open: str | None = None
    close: str | None = None
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


class Order(
    msgspec.Struct,
    gc=False,
    rename={
        "order_type": "orderType",
        "filled_amount": "filledAmount",
        "filled_total": "filledTotal",
        "deal_fee": "dealFee",
    },
):
    """An order of our own.

    The documents have it three times and differ: ``mtime`` in the examples
    and for pushes, ``ftime`` in the table for queries; ``text`` is only in
    that table. Numbers are texts there; should they come as numbers, they
    are taken digit by digit.
    """

    id: Id
    market: str
    type: Literal[1, 2]
    user: Id | None = None
    ctime: msgspec.Raw = NULL
    mtime: msgspec.Raw = NULL
    ftime: msgspec.Raw = NULL
    order_type: int | None = None
    price: msgspec.Raw = NULL
    amount: msgspec.Raw = NULL
    left: msgspec.Raw = NULL
    filled_amount: msgspec.Raw = NULL
    filled_total: msgspec.Raw = NULL
    deal_fee: msgspec.Raw = NULL
    text: str | None = None


class OrderParams(msgspec.Struct, array_like=True, gc=False):
    """``[event, order]``: it was put, updated or finished."""

    event: Literal[1, 2, 3]
    order: Order


class OrderPage(msgspec.Struct, gc=False):
    """Some of the open orders of a market; ``total`` is how many there are."""

    total: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    records: list[Order]


class Balance(msgspec.Struct, gc=False):
    """What the account has of one currency."""

    available: msgspec.Raw = NULL
    freeze: msgspec.Raw = NULL


FRAME: Final = msgspec.json.Decoder(Frame)
DEPTH_PUSH: Final = msgspec.json.Decoder(DepthPush)
DEPTH: Final = msgspec.json.Decoder(DepthParams)
TRADES: Final = msgspec.json.Decoder(TradesParams)
TICKER: Final = msgspec.json.Decoder(TickerParams)
KLINES: Final = msgspec.json.Decoder(list[Kline])
ORDER: Final = msgspec.json.Decoder(OrderParams)
ORDER_PAGE: Final = msgspec.json.Decoder(OrderPage)
BALANCES: Final = msgspec.json.Decoder(dict[str, Balance])
BALANCE_PUSH: Final = msgspec.json.Decoder(list[dict[str, Balance]])

_TEXT: Final = msgspec.json.Decoder(str)

_KNOWN_PARAMS: Final[dict[str, Known]] = {
    "depth.update": (None, keys("asks bids id current update"), None),
    "trades.update": (None, [keys("id time price amount type")]),
    "ticker.update": (
        None,
        keys("period open close high low last change quoteVolume baseVolume"),
    ),
    "kline.update": [(None,) * 9],
    "order.update": (
        None,
        keys(
            "id market user ctime mtime ftime price amount left dealFee orderType type"
            " filledAmount filledTotal text"
        ),
    ),
}


def known_of(method: object) -> dict[str, Known]:
    """Return what is known of a push of some method, or of an answer."""
    known = keys("id method params v")
    if isinstance(method, str):
        return known | {"params": _KNOWN_PARAMS.get(method)}
    return known | keys("result") | {"error": keys("code message")}


def number_of(raw: msgspec.Raw) -> str | None:
    """Return a number as text, however it was sent; None for null and ``""``.

    Raises:
        WireError: If it is a text that cannot be decoded.
    """
    if raw == NULL:
        return None
    text = bytes(raw)
    return decoded(_TEXT, raw) or None if text[0] == _QUOTE else text.decode()


def seconds_ns(raw: msgspec.Raw) -> int:
    """Return a time in seconds, with all its digits, as nanoseconds.

    Raises:
        WireError: If it is no such number.
    """
    return decimal_ns(bytes(raw).decode(), SECOND_NS)


def moment_or_none(raw: msgspec.Raw) -> int | None:
    """Return a time in seconds as nanoseconds; None for null and 0.

    Raises:
        WireError: If it is something else.
    """
    return None if raw == NULL else seconds_ns(raw) or None


def request(number: int, method: str, params: Sequence[object] | None) -> bytes:
    """Return a request as it is sent."""
    return msgspec.json.encode({"id": number, "method": method, "params": params})


class Numbers:
    """Makes requests, numbered from 1 on."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def frame(self, method: str, params: Sequence[object] | None) -> tuple[int, bytes]:
        """Return a request: its id, and its bytes."""
        self._last += 1
        return self._last, request(self._last, method, params)


_QUOTE: Final = ord('"')
