"""The shapes of Gate spot's v4 results and REST answers, as they are sent."""

from typing import Final, Literal

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.sources import _gate_obu
from recorder.sources._gate import (
    Id,
    Moment,
    levels_of,
    moment_ns,
)
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


class Trade(msgspec.Struct, gc=False):
    """One trade; a frame holds one.

    Of ``stock``, ``money`` and ``trade_mode`` the change log of August 2026
    has the names, and the numbers of the modes.
    """

    id: Id
    create_time_ms: str
    side: Literal["buy", "sell"]
    currency_pair: str
    amount: str
    price: str
    range: str | None = None
    id_market: Id | None = None
    stock: msgspec.Raw = NULL
    money: msgspec.Raw = NULL
    trade_mode: msgspec.Raw = NULL

    def range_ids(self) -> tuple[int | None, int | None]:
        """Return first and last number of ``range``, which is ``"a-b"``.

        Raises:
            WireError: If it is neither of that form nor empty.
        """
        if not self.range:
            return None, None
        first, _, last = self.range.partition("-")
        if not (
            self.range.isascii()
            and first.isdigit()
            and last.isdigit()
            and max(len(first), len(last)) <= _RANGE_DIGITS
        ):
            raise WireError(f"not a range of trades: {self.range!r}")
        return int(first), int(last)


class DepthPush(msgspec.Struct, gc=False):
    """A whole depth push, and nothing else."""

    channel: Literal["spot.order_book_update"]
    event: Literal["update"]
    result: Depth
    error: None = None


class Top(
    msgspec.Struct, gc=False, rename={"market": "s", "update_id": "lastUpdateId"}
):
    """The best levels of a book, all of them."""

    market: str
    update_id: Id
    bids: msgspec.Raw
    asks: msgspec.Raw
    t: Moment = 0


class Kline(
    msgspec.Struct,
    gc=False,
    rename={
        "open": "o",
        "high": "h",
        "low": "l",
        "close": "c",
        "name": "n",
        "turnover": "v",
        "volume": "a",
        "is_closed": "w",
    },
):
    """A candlestick; ``t`` is a text of seconds, the name ``1m_BTC_USDT``."""

    t: str
    open: str
    high: str
    low: str
    close: str
    name: str
    turnover: str | None = None
    volume: str | None = None
    is_closed: bool | None = None


class Ticker(msgspec.Struct, gc=False):
    """A summary of 24 hours."""

    currency_pair: str
    last: str | None = None
    lowest_ask: str | None = None
    highest_bid: str | None = None
    change_percentage: str | None = None
    base_volume: str | None = None
    quote_volume: str | None = None
    high_24h: str | None = None
    low_24h: str | None = None


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
    """Best bid and offer; an empty side is an empty text, or null."""

    t: Moment
    update_id: Id
    market: str
    bid_price: str | None = None
    bid_amount: str | None = None
    ask_price: str | None = None
    ask_amount: str | None = None


class _Snapshot(msgspec.Struct, gc=False):
    id: Id
    asks: msgspec.Raw
    bids: msgspec.Raw
    current: Moment | None = None


DEPTH_PUSH: Final = msgspec.json.Decoder(DepthPush)
PUSHED_DEPTH: Final = msgspec.json.Decoder(Push[Depth])
DEPTH: Final = msgspec.json.Decoder(Depth)
PUSHED_TOP: Final = msgspec.json.Decoder(Push[Top])
TOP: Final = msgspec.json.Decoder(Top)
PUSHED_TRADE: Final = msgspec.json.Decoder(Push[Trade])
TRADE: Final = msgspec.json.Decoder(Trade)
PUSHED_KLINE: Final = msgspec.json.Decoder(Push[Kline])
KLINE: Final = msgspec.json.Decoder(Kline)
PUSHED_TICKER: Final = msgspec.json.Decoder(Push[Ticker])
TICKER: Final = msgspec.json.Decoder(Ticker)
PUSHED_BBO: Final = msgspec.json.Decoder(Push[Bbo])
BBO: Final = msgspec.json.Decoder(Bbo)
_SNAPSHOT: Final = msgspec.json.Decoder(_Snapshot)
_LEVELS: Final = msgspec.json.Decoder(list[tuple[str, str]])
_RANGE_DIGITS: Final = 18  # so that each number fits 64 bits
_CHANGE_LEVELS: Final = 2
_ONE_SIDED_LEVELS: Final = 10  # twice what was ever seen for one id
_SHORT_BYTES: Final = 40  # the four levels that a window has at least are longer

KNOWN: Final[dict[str, Known]] = {
    "spot.trades": keys(
        "id create_time create_time_ms side currency_pair amount price range "
        "id_market stock money trade_mode"
    ),
    "spot.tickers": keys(
        "currency_pair last lowest_ask highest_bid change_percentage base_volume "
        "quote_volume high_24h low_24h"
    ),
    "spot.book_ticker": keys("t u s b B a A"),
    "spot.candlesticks": keys("t v c h l o n a w"),
    "spot.order_book_update": keys("t full l e E s U u b a"),
    "spot.order_book": keys("t lastUpdateId s l bids asks"),
    "spot.obu": _gate_obu.KNOWN,
}
"""Keys of a result that a document or a recording shows, used or not."""


def is_whole_window(bids: msgspec.Raw, asks: msgspec.Raw) -> bool:
    """Return whether levels said to be one change must be the whole window.

    One change sets or removes one level, and may push another out of the
    window or let one in: in the recordings it has at most two levels, all of
    one side. (Futures show up to five for one id, of one side as well.) A
    window has both sides, mostly, and never removes anything. Where it cannot
    be told apart, with two levels a side or with one side that is short, the
    levels are taken for a change: to replace a book by a change would ruin
    it, to take a window for a change leaves one level too many at worst.

    Args:
        bids: Raw levels of a push whose first id is its last.
        asks: The same for the other side.
    """
    if len(bids) + len(asks) < _SHORT_BYTES:
        return False
    try:
        sides = _LEVELS.decode(bids), _LEVELS.decode(asks)
    except DECODE_ERRORS:
        return False  # whether these are levels at all is judged by the store
    longest = max(map(len, sides))
    most = _CHANGE_LEVELS if all(sides) else _ONE_SIDED_LEVELS
    if longest <= most:
        return False
    return all(amount.strip("0.") for side in sides for _, amount in side)


def snapshot_of(chain: Chain, body: bytes, depth_limit: int) -> DepthUpdate[RawLevels]:
    """Return a REST book as a snapshot; in 2021 it told no time.

    Raises:
        WireError: If the body does not fit, also if it carries no id.
    """
    if not body.isascii():
        check_utf8(body)
    book = decoded(_SNAPSHOT, body)
    return DepthUpdate(
        market=chain.market,
        stream=chain.stream,
        ts_event=moment_ns(book.current or 0),
        is_snapshot=True,
        first_update_id=None,
        last_update_id=book.id,
        bids=levels_of(book.bids),
        asks=levels_of(book.asks),
        depth_limit=depth_limit,
        origin="rest",
    )
