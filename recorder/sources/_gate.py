"""What every feed of Gate needs: numbers, times, markets, asking again.

Knows nothing of channels or envelopes; those are in `_gate_v4` and in the
feeds themselves.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, Market, WireEvent
from recorder.source import (
    HttpRequest,
    MarketList,
    Reply,
    Unrecognized,
    Witness,
    table_of,
)


T = TypeVar("T")

Said: TypeAlias = list[WireEvent | Reply]
"""What a frame says."""

REST_URL: Final = "https://api.gateio.ws/api/v4"

INTERVAL_SECONDS: Final = {
    "10s": 10,
    "30s": 30,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
    "7d": 604_800,
    "30d": 2_592_000,
}
"""Kline intervals by name, as documented for `spot.candlesticks`."""

TICKER_TELLS_OF_TRADES: Final = Witness(
    by="tickers",
    of=("trades", "klines"),
    changed=("last",),
    grown=("base_volume",),
    signs=2,
)
"""A ticker moves with a trade, which makes or changes a kline."""

SECOND_NS: Final = 10**9
MILLISECOND_NS: Final = 10**6

# Every time must fit 64 bits of nanoseconds, every id 64 bits.
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Milliseconds: TypeAlias = Annotated[
    int, msgspec.Meta(ge=0, le=(2**63 - 1) // MILLISECOND_NS)
]
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // SECOND_NS)]
Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000)]
"""Milliseconds that may be microseconds; `moment_ns` tells which."""

_MOST_MILLISECONDS: Final = (2**63 - 1) // MILLISECOND_NS

NULL: Final = msgspec.Raw(b"null")
EMPTY: Final = msgspec.Raw(b"[]")

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises on bytes from a stranger."""


class Fault(msgspec.Struct, gc=False):
    """An error object of an answer, the same in all of Gate's protocols."""

    code: int | None = None
    message: str | None = None

    def words(self) -> str:
        """Return the venue's words, or its code where it has none."""
        return self.message or f"error code {self.code}"


class Status(msgspec.Struct, gc=False):
    """The result of an answer to a subscription."""

    status: str | None = None


def decoded(decoder: msgspec.json.Decoder[T], payload: bytes | msgspec.Raw) -> T:
    """Return what a decoder makes of some JSON.

    Raises:
        WireError: If it does not fit the decoder's type.
    """
    try:
        return decoder.decode(payload)
    except DECODE_ERRORS as error:
        raise WireError(f"does not fit: {error}") from error


def check_utf8(payload: bytes) -> None:
    """Refuse bytes that are not UTF-8, which JSON must be.

    msgspec checks only the strings that it hands out, not those that it
    skips or leaves raw.

    Raises:
        WireError: If they are not.
    """
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"not UTF-8: {error.reason} at byte {error.start}") from error


def moment_ns(moment: int) -> int | None:
    """Return a time of the venue as nanoseconds; None for 0, which is none.

    Book times are in milliseconds, but have been seen in microseconds. A
    number that is no time in milliseconds (they end in the year 2262) is one
    in microseconds (of any day since April 1970).

    Args:
        moment: What was sent, checked as `Moment`.
    """
    is_fine = moment > _MOST_MILLISECONDS
    return moment * (1_000 if is_fine else MILLISECOND_NS) or None


def side_of(raw: msgspec.Raw) -> msgspec.Raw:
    """Return one side of an update; null is a side without changes."""
    return EMPTY if raw == NULL else raw


def levels_of(raw: msgspec.Raw) -> bytes:
    """Return raw levels as bytes that do not hold on to their frame.

    Raises:
        WireError: If they are not a JSON array.
    """
    text = bytes(raw)
    if text[0] != _BRACKET:
        raise WireError(f"levels are not an array: {text[:20]!r}")
    return text


_BRACKET: Final = ord("[")


class _WireMarket(msgspec.Struct, gc=False):
    id: str
    base: str | None = None
    quote: str | None = None
    trade_status: str | None = None
    precision: int | None = None
    amount_precision: int | None = None


_DIGITS_MAX: Final = 64

_MARKETS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_MARKET: Final = msgspec.json.Decoder(_WireMarket)


def _markets_request(_options: Mapping[str, str]) -> HttpRequest:
    return HttpRequest(path="/spot/currency_pairs")


def _markets_decode(body: bytes) -> tuple[Market[str], ...]:
    return tuple(_market(raw) for raw in decoded(_MARKETS, body))


def _market(raw: msgspec.Raw) -> Market[str]:
    row = decoded(_MARKET, raw)
    return Market(
        market=row.id,
        kind="spot",
        payload=bytes(raw).decode(),
        status=row.trade_status,
        base=row.base,
        quote=row.quote,
        tick_size=_step(row.precision),
        lot_size=_step(row.amount_precision),
    )


def _step(digits: int | None) -> str | None:
    """Return the smallest step of a number of so many digits after the point."""
    if digits is None or not 0 <= digits <= _DIGITS_MAX:
        return None
    return f"0.{'0' * (digits - 1)}1" if digits else "1"


def _is_traded(market: Market[str]) -> bool:
    return market.status != "untradable"


SPOT_MARKETS: Final = MarketList(
    request=_markets_request, decode=_markets_decode, is_traded=_is_traded
)
"""The list of spot markets; both generations of the protocol use its names."""


Known: TypeAlias = "Mapping[str, Known] | tuple[Known, ...] | list[Known] | None"
"""What is known of some JSON: keys of an object, places of an array, the one
shape of all items of an array, or None where anything may stand."""

_ANY: Final = msgspec.json.Decoder()


def keys(text: str) -> dict[str, Known]:
    """Return known keys whose values may be anything, from their names."""
    return dict.fromkeys(text.split())


def unknown_paths(payload: bytes, known: Mapping[str, Known]) -> tuple[str, ...]:
    """Return keys of a frame that are not known, as dotted paths, sorted.

    Places of an array of fixed length are numbers in a path; items of a list
    of equals have none.

    Raises:
        WireError: If the frame is not valid JSON.
    """
    return tuple(sorted(set(_unknown(decoded(_ANY, payload), known, ""))))


def channel_of(payload: bytes, key: str) -> object:
    """Return what an object holds under a key; None if it has no such key.

    Raises:
        WireError: If the frame is not valid JSON.
    """
    frame = decoded(_ANY, payload)
    return frame.get(key) if isinstance(frame, dict) else None


def _unknown(value: Any, known: Known, path: str) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(known, Mapping):
        for key, item in value.items():
            if key in known:
                yield from _unknown(item, known[key], f"{path}{key}.")
            else:
                yield f"{path}{key}"
    elif isinstance(value, list) and isinstance(known, tuple):
        for place, item in enumerate(value):
            if place < len(known):
                yield from _unknown(item, known[place], f"{path}{place}.")
            else:
                yield f"{path}{place}"
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(
                item, known[0] if isinstance(known, list) else known, path
            )


def markets_by_table(
    chains: Iterable[Chain], tables: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Return the markets of each table, to look them up by what a push names.

    A market leads to itself as it was asked for: rows carry that one object.

    Args:
        chains: What a connection carries.
        tables: All tables there are; those without a chain are empty.
    """
    markets: dict[str, dict[str, str]] = {table: {} for table in tables}
    for market, stream in chains:
        markets[table_of(stream)][market] = market
    return markets


def depth_stream_of(chains: Iterable[Chain]) -> str:
    """Return the one depth stream of a connection; empty if it has none.

    A push names its market but not its stream, so there can be only one.

    Raises:
        ValueError: If there are several.
    """
    streams = {chain.stream for chain in chains if table_of(chain.stream) == "depth"}
    if len(streams) > 1:
        raise ValueError("one connection cannot carry two depth streams")
    return next(iter(streams), "")


def unasked(table: str, name: str) -> Unrecognized:
    """Return what is said of a push about something that was not asked for."""
    return Unrecognized(error=f"{table} of {name!r} were not asked for")


TRIES: Final = 5
"""How often one thing is asked before the venue's trouble counts as a no."""


def wait_ns(tries: int) -> int:
    """Return how long to wait after so many tries, nanoseconds.

    The first failure is answered at once, then 1, 2 and 4 seconds pass: an
    overloaded server is not helped by five requests in a row.
    """
    return 0 if tries == 1 else SECOND_NS << (tries - 2)


class Later(Generic[T]):
    """Things to do again, each not before its time.

    A dialogue has no timer: it looks here whenever a frame comes in, and an
    open socket brings one at least with every ping.

    Attributes:
        due_ns: When the next is due, our clock, nanoseconds.
    """

    __slots__ = ("_held", "due_ns")

    _NEVER: Final = 2**63

    def __init__(self) -> None:
        self._held: list[tuple[int, T]] = []
        self.due_ns = self._NEVER

    def put(self, item: T, at_ns: int) -> None:
        """Hold an item until a time."""
        self._held.append((at_ns, item))
        self.due_ns = min(self.due_ns, at_ns)

    def take(self, now_ns: int) -> list[T]:
        """Return the items whose time has come, in the order they were put."""
        due = [item for at_ns, item in self._held if at_ns <= now_ns]
        self._held = [entry for entry in self._held if entry[0] > now_ns]
        self.due_ns = min((at_ns for at_ns, _ in self._held), default=self._NEVER)
        return due
