"""What every feed of Gate needs: numbers, times, markets.

Knows nothing of channels or envelopes; those are in `_gate_v4` and in the
feeds themselves.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, TypeAlias

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, Market
from recorder.source import (
    HttpRequest,
    MarketList,
    Unrecognized,
    Witness,
    table_of,
)
from recorder.sources._json import EMPTY, NULL, check_utf8, decoded
from recorder.sources._times import MILLISECOND_NS


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

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // 1_000)]
"""Milliseconds that may be microseconds; `moment_ns` tells which."""

_MOST_MILLISECONDS: Final = (2**63 - 1) // MILLISECOND_NS


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
    if not body.isascii():
        check_utf8(body)
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
