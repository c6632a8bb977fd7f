"""The shapes of Gate futures' v4 results and REST answers, as they are sent.

Numbers are texts or JSON numbers, with the years and with the header that
asks for sizes as texts. So they are taken raw, and keep their digits.
"""

from typing import Final

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.source import decimal_ns
from recorder.sources import _gate_obu
from recorder.sources._gate import Id, Moment, levels_of
from recorder.sources._gate_v4 import Push
from recorder.sources._gate_v4_books import Depth
from recorder.sources._json import (
    DECODE_ERRORS,
    NULL,
    Known,
    check_utf8,
    decoded,
    keys,
)
from recorder.sources._times import MILLISECOND_NS, SECOND_NS


class Trade(msgspec.Struct, gc=False):
    """One trade: the taker bought if its size is above 0, and sold if below.

    Milliseconds were not told in 2020.
    """

    id: Id
    contract: str
    size: msgspec.Raw
    price: msgspec.Raw
    create_time_ms: msgspec.Raw = NULL
    create_time: msgspec.Raw = NULL
    is_internal: bool | None = None


class Ticker(msgspec.Struct, gc=False):
    """A summary of 24 hours, or what changed of it.

    ``volume_24h`` is in contracts; the other volumes are in what they name.
    """

    contract: str
    last: msgspec.Raw = NULL
    change_percentage: msgspec.Raw = NULL
    high_24h: msgspec.Raw = NULL
    low_24h: msgspec.Raw = NULL
    volume_24h: msgspec.Raw = NULL
    volume_24h_quote: msgspec.Raw = NULL
    volume_24h_base: msgspec.Raw = NULL
    volume_24h_settle: msgspec.Raw = NULL
    volume_24h_btc: msgspec.Raw = NULL
    volume_24h_usd: msgspec.Raw = NULL
    mark_price: msgspec.Raw = NULL
    index_price: msgspec.Raw = NULL
    funding_rate: msgspec.Raw = NULL
    funding_rate_indicative: msgspec.Raw = NULL
    funding_interval: msgspec.Raw = NULL
    funding_offset: msgspec.Raw = NULL
    funding_next_apply: msgspec.Raw = NULL
    quanto_base_rate: msgspec.Raw = NULL
    total_size: msgspec.Raw = NULL
    price_type: msgspec.Raw = NULL
    t: Moment | None = None


class Bbo(
    msgspec.Struct,
    gc=False,
    rename={
        "update_id": "u",
        "market": "s",
        "bid_price": "b",
        "bid_amount": "B",
        "ask_price": "a",
        "ask_amount": "A",
    },
):
    """Best bid and offer; an empty side has an empty price and 0 as its amount."""

    t: Moment
    update_id: Id
    market: str
    bid_price: msgspec.Raw = NULL
    bid_amount: msgspec.Raw = NULL
    ask_price: msgspec.Raw = NULL
    ask_amount: msgspec.Raw = NULL


class Kline(
    msgspec.Struct,
    gc=False,
    rename={
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "name": "n",
        "volume": "v",
        "turnover_base": "a",
        "is_closed": "w",
    },
):
    """A candlestick; ``t`` is in seconds, the name ``1m_mark_BTC_USDT``.

    Its ``v`` is in contracts, its ``a`` in base currency. What was paid is not
    told.
    """

    t: msgspec.Raw
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw
    name: str
    volume: msgspec.Raw = NULL
    turnover_base: msgspec.Raw = NULL
    is_closed: bool | None = None


class Top(msgspec.Struct, gc=False):
    """The best levels of a book, all of them."""

    contract: str
    id: Id
    asks: msgspec.Raw
    bids: msgspec.Raw
    t: Moment = 0


class Change(
    msgspec.Struct, gc=False, rename={"contract": "c", "price": "p", "size": "s"}
):
    """A changed level of a whole top, in the old form.

    The size is above 0 for a bid and below for an ask; 0 removes, of which side
    is not told.
    """

    contract: str
    price: msgspec.Raw
    size: msgspec.Raw
    id: Id = 0


class Liquidation(msgspec.Struct, gc=False):
    """One liquidation; ``time`` was in seconds, and is in milliseconds now."""

    contract: str
    price: msgspec.Raw
    size: msgspec.Raw
    time_ms: msgspec.Raw = NULL
    time: msgspec.Raw = NULL


class Stats(msgspec.Struct, gc=False):
    """Statistics of an interval, which is not named."""

    contract: str
    time: msgspec.Raw = NULL
    mark_price: msgspec.Raw = NULL
    open_interest: msgspec.Raw = NULL
    open_interest_usd: msgspec.Raw = NULL
    lsr_taker: msgspec.Raw = NULL
    lsr_account: msgspec.Raw = NULL
    top_lsr_account: msgspec.Raw = NULL
    top_lsr_size: msgspec.Raw = NULL
    long_liq_size: msgspec.Raw = NULL
    long_liq_amount: msgspec.Raw = NULL
    long_liq_usd: msgspec.Raw = NULL
    short_liq_size: msgspec.Raw = NULL
    short_liq_amount: msgspec.Raw = NULL
    short_liq_usd: msgspec.Raw = NULL


class _Snapshot(msgspec.Struct, gc=False):
    id: Id
    asks: msgspec.Raw
    bids: msgspec.Raw
    current: msgspec.Raw = NULL


class _Level(msgspec.Struct, gc=False):
    p: msgspec.Raw
    s: msgspec.Raw


PUSHED_TRADES: Final = msgspec.json.Decoder(Push[Trade | list[Trade]])
TRADE: Final = msgspec.json.Decoder(Trade)
PUSHED_TICKERS: Final = msgspec.json.Decoder(Push[Ticker | list[Ticker]])
TICKER: Final = msgspec.json.Decoder(Ticker)
PUSHED_BBO: Final = msgspec.json.Decoder(Push[Bbo])
BBO: Final = msgspec.json.Decoder(Bbo)
PUSHED_KLINES: Final = msgspec.json.Decoder(Push[Kline | list[Kline]])
KLINE: Final = msgspec.json.Decoder(Kline)
PUSHED_DEPTH: Final = msgspec.json.Decoder(Push[Depth])
DEPTH: Final = msgspec.json.Decoder(Depth)
PUSHED_TOP: Final = msgspec.json.Decoder(Push[Top])
TOP: Final = msgspec.json.Decoder(Top)
CHANGE: Final = msgspec.json.Decoder(Change)
PUSHED_LIQUIDATIONS: Final = msgspec.json.Decoder(Push[Liquidation | list[Liquidation]])
LIQUIDATION: Final = msgspec.json.Decoder(Liquidation)
PUSHED_STATS: Final = msgspec.json.Decoder(Push[Stats | list[Stats]])
STATS: Final = msgspec.json.Decoder(Stats)
_SNAPSHOT: Final = msgspec.json.Decoder(_Snapshot)
_LEVELS: Final = msgspec.json.Decoder(list[_Level])
_TEXT: Final = msgspec.json.Decoder(str)

_QUOTE: Final = ord('"')
_ESCAPE: Final = b"\\"
_NUMBERS: Final = frozenset(b"-0123456789")

_CHANGE_LEVELS: Final = 10  # twice what was ever seen for one id, of one side
_SHORT_BYTES: Final = 150  # a side of more levels than that is longer
_SECONDS_DIGITS: Final = 18  # so that each number fits 64 bits
_MS_DIGITS: Final = 12  # of milliseconds since 1973; seconds have ten until 2286

KNOWN: Final[dict[str, Known]] = {
    "futures.trades": keys(
        "size id create_time create_time_ms price contract is_internal"
    ),
    "futures.tickers": keys(
        "contract last change_percentage funding_rate funding_rate_indicative "
        "mark_price index_price total_size volume_24h volume_24h_base "
        "volume_24h_quote volume_24h_settle volume_24h_btc volume_24h_usd "
        "quanto_base_rate low_24h high_24h funding_interval funding_offset "
        "funding_next_apply price_type t"
    ),
    "futures.book_ticker": keys("t u s b B a A"),
    "futures.candlesticks": keys("t v c h l o n a w"),
    "futures.order_book_update": keys("t full l s U u b a"),
    "futures.order_book": keys("t id contract asks bids l p s c"),
    "futures.obu": _gate_obu.KNOWN,
    "futures.public_liquidates": keys("price size time time_ms contract"),
    "futures.contract_stats": keys(
        "time contract mark_price lsr_taker lsr_account long_liq_size "
        "long_liq_amount long_liq_usd short_liq_size short_liq_amount "
        "short_liq_usd open_interest open_interest_usd top_lsr_account top_lsr_size"
    ),
}
"""Keys of a result that a document or a recording shows, used or not."""


def text_of(raw: msgspec.Raw) -> str | None:
    """Return a number's own digits; None for null and for an empty text.

    What is in a text is judged by the store.

    Raises:
        WireError: If it is neither a text nor a number.
    """
    token = bytes(raw)
    if token[0] == _QUOTE:
        if _ESCAPE in token:
            return decoded(_TEXT, token) or None
        return token[1:-1].decode() or None
    if token[0] in _NUMBERS:
        return token.decode()
    if raw == NULL:
        return None
    raise WireError(f"not a number: {token[:20]!r}")


def number_of(raw: msgspec.Raw) -> str:
    """Return a number's own digits, where there must be one.

    Raises:
        WireError: If there is none.
    """
    text = text_of(raw)
    if text is None:
        raise WireError("a number is missing")
    return text


def seconds_of(raw: msgspec.Raw) -> int | None:
    """Return a length of time in whole seconds; None for null.

    Raises:
        WireError: If it is none.
    """
    text = text_of(raw)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (text.isascii() and digits.isdigit() and len(digits) <= _SECONDS_DIGITS):
        raise WireError(f"not a number of seconds: {text[:20]!r}")
    return int(text)


def is_zero(text: str) -> bool:
    """Return whether a decimal text is 0."""
    digits = text.lower().partition("e")[0].lstrip("+-")
    return bool(digits) and not digits.strip("0.")


def ns_of(raw: msgspec.Raw, unit_ns: int) -> int | None:
    """Return a time as nanoseconds; None for null and 0, which are none.

    Raises:
        WireError: If it is no time.
    """
    text = text_of(raw)
    return None if text is None else decimal_ns(text, unit_ns) or None


def moment_of(raw: msgspec.Raw) -> int | None:
    """Return a time in seconds or in milliseconds as nanoseconds.

    Which of them it is shows its length. None for null and 0.

    Raises:
        WireError: If it is no time.
    """
    whole = (text_of(raw) or "").partition(".")[0]
    return ns_of(raw, SECOND_NS if len(whole) < _MS_DIGITS else MILLISECOND_NS)


def is_whole_window(bids: msgspec.Raw, asks: msgspec.Raw) -> bool:
    """Return whether levels said to be one change must be the whole window.

    One change has up to five levels in a recording, all of one side, though
    updates repeat levels that did not change. A window has both sides, mostly,
    and removes nothing. Where it cannot be told apart, with up to ten levels on
    a side, the levels are taken for a change: to replace a book by a change
    would ruin it, to take a window for a change leaves one level too many at
    worst.

    Args:
        bids: Raw levels of a push whose first id is its last.
        asks: The same for the other side.
    """
    if len(bids) < _SHORT_BYTES or len(asks) < _SHORT_BYTES:
        return False
    try:
        sides = _LEVELS.decode(bids), _LEVELS.decode(asks)
        sizes = [text_of(level.s) for side in sides for level in side]
    except (*DECODE_ERRORS, WireError):
        return False  # whether these are levels at all is judged by the store
    if min(map(len, sides)) <= _CHANGE_LEVELS:
        return False
    return not any(size is None or is_zero(size) for size in sizes)


def snapshot_of(chain: Chain, body: bytes, depth_limit: int) -> DepthUpdate[RawLevels]:
    """Return a REST book as a snapshot; its time is in seconds with a point.

    Raises:
        WireError: If the body does not fit, also if it carries no id.
    """
    if not body.isascii():
        check_utf8(body)
    book = decoded(_SNAPSHOT, body)
    return DepthUpdate(
        market=chain.market,
        stream=chain.stream,
        ts_event=ns_of(book.current, SECOND_NS),
        is_snapshot=True,
        first_update_id=None,
        last_update_id=book.id,
        bids=levels_of(book.bids),
        asks=levels_of(book.asks),
        depth_limit=depth_limit,
        origin="rest",
    )
