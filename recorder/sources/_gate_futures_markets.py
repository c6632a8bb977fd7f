"""The contracts of Gate futures: units, steps, and which are traded.

Orders are for contracts. One is worth ``quanto_multiplier`` of its base
currency; an inverse contract, whose multiplier is ``"0"``, is worth one unit
of its quote currency.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from recorder.model import Market
from recorder.source import HttpRequest, MarketList
from recorder.sources._gate_futures_books import SIZES_AS_TEXT
from recorder.sources._gate_futures_wire import is_zero, text_of
from recorder.sources._json import NULL, check_utf8, decoded


class _WireContract(msgspec.Struct, gc=False):
    name: str
    quanto_multiplier: msgspec.Raw = NULL
    order_price_round: msgspec.Raw = NULL
    order_size_min: msgspec.Raw = NULL
    position_size: msgspec.Raw = NULL
    enable_decimal: bool = False
    in_delisting: bool = False
    status: str | None = None


_CONTRACTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_CONTRACT: Final = msgspec.json.Decoder(_WireContract)

_NOT_TRADED: Final = frozenset({"prelaunch", "delisted"})
_WHOLE: Final = "1"
_IN_DELISTING: Final = "in_delisting"


def _request(options: Mapping[str, str]) -> HttpRequest:
    path = f"/futures/{options['settle']}/contracts"
    return HttpRequest(path=path, headers=(SIZES_AS_TEXT,))


def _decode(body: bytes) -> tuple[Market[str], ...]:
    if not body.isascii():
        check_utf8(body)
    return tuple(_market(raw) for raw in decoded(_CONTRACTS, body))


def _market(raw: msgspec.Raw) -> Market[str]:
    row = decoded(_CONTRACT, raw)
    base, _, rest = row.name.partition("_")
    is_flagged = row.status is None and row.in_delisting
    # The least size of an order is its step where fractions are traded.
    step = text_of(row.order_size_min) if row.enable_decimal else _WHOLE
    return Market(
        market=row.name,
        kind="futures",
        payload=bytes(raw).decode(),
        status=_IN_DELISTING if is_flagged else row.status,
        base=base,
        quote=rest.partition("_")[0] or None,
        tick_size=text_of(row.order_price_round),
        lot_size=step,
        multiplier=text_of(row.quanto_multiplier),
    )


def _is_traded(market: Market[str]) -> bool:
    """Return whether a contract is traded: one in delisting is while it is held."""
    if market.status in _NOT_TRADED:
        return False
    row = decoded(_CONTRACT, market.payload.encode())
    held = text_of(row.position_size)
    return not row.in_delisting or (held is not None and not is_zero(held))


CONTRACTS: Final = MarketList(request=_request, decode=_decode, is_traded=_is_traded)
"""The list of contracts of one settle currency."""
