"""The order book streams of Gate futures: which there are, and how books are kept.

=================  ==========================  ================================
parameter          channel                     the book comes from
=================  ==========================  ================================
100ms, 100ms.50    futures.order_book_update   a REST snapshot, and changes
100ms.20, 20ms     futures.order_book_update   a REST snapshot, and changes
obu.400, obu.50    futures.obu                 a first push, and changes
top.20             futures.order_book          each push, which is the whole top;
                                               of the older form, and changes
=================  ==========================  ================================
"""

from collections.abc import Mapping, Sequence
from typing import Final

from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.source import BookRule, HttpRequest, PlainDepth, table_of
from recorder.sources import _gate_futures_wire as wire, _gate_obu
from recorder.sources._gate_v4_books import (
    Books,
    parameter_of,
    plain as plain_of,
    plan as plan_apart,
)


UPDATE_CHANNEL: Final = "futures.order_book_update"
OBU_CHANNEL: Final = "futures.obu"
TOP_CHANNEL: Final = "futures.order_book"

UPDATES: Final[Mapping[str, int]] = {
    "100ms": 100,
    "100ms.50": 50,
    "100ms.20": 20,
    "20ms": 20,
}
"""Levels a side of the streams of changes, by speed and levels asked for."""

TOPS: Final[Mapping[str, int]] = {f"top.{n}": n for n in (1, 5, 10, 20, 50, 100)}
"""Levels a side of the whole top."""

PARAMETERS: Final = (*UPDATES, *_gate_obu.LEVELS, *TOPS)
"""All parameters of ``depth``."""

SIZES_AS_TEXT: Final = ("X-Gate-Size-Decimal", "1")
"""The HTTP header that asks for sizes with all their digits."""

_NOT_AGGREGATED: Final = "0"


def address(chain: Chain) -> tuple[str, list[str]]:
    """Return channel and payload that ask for a depth chain."""
    parameter = parameter_of(chain.stream)
    if parameter in UPDATES:
        speed, levels = parameter.partition(".")[0], str(UPDATES[parameter])
        return UPDATE_CHANNEL, [chain.market, speed, levels]
    if parameter in TOPS:
        levels = str(TOPS[parameter])
        return TOP_CHANNEL, [chain.market, levels, _NOT_AGGREGATED]
    return OBU_CHANNEL, [_gate_obu.name_of(chain)]


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection.

    All, but of the streams whose pushes do not name them each connection has
    one of a kind: of changes, of whole tops, and of statistics, which do not
    name their interval.
    """
    return plan_apart(
        chains,
        (
            lambda stream: parameter_of(stream) in UPDATES,
            lambda stream: parameter_of(stream) in TOPS,
            lambda stream: table_of(stream) == "contract_stats",
        ),
    )


def book_rule(stream: str) -> BookRule | None:
    """Return the rule of a canonical stream; None if it has no book."""
    if table_of(stream) != "depth":
        return None
    parameter = parameter_of(stream)
    if parameter in UPDATES:
        levels = UPDATES[parameter]
        return BookRule(has_ids=True, snapshot="rest", depth_limit=levels)
    if parameter in TOPS:
        return BookRule(has_ids=True, snapshot="each", depth_limit=TOPS[parameter])
    return _gate_obu.rule_of(stream)


def snapshot_request(chain: Chain, options: Mapping[str, str]) -> HttpRequest:
    """Return how to ask for a book snapshot as deep as its stream.

    Without ``with_id`` the answer has no id, without ``limit`` 10 levels.
    """
    return HttpRequest(
        path=f"/futures/{options['settle']}/order_book",
        query=(
            ("contract", chain.market),
            ("limit", str(UPDATES[parameter_of(chain.stream)])),
            ("interval", _NOT_AGGREGATED),
            ("with_id", "true"),
        ),
        headers=(SIZES_AS_TEXT,),
    )


def snapshot_decode(chain: Chain, body: bytes) -> DepthUpdate[RawLevels]:
    """Return a REST book as a snapshot of a chain.

    Raises:
        WireError: If the body does not fit, also if it carries no id.
    """
    return wire.snapshot_of(chain, body, UPDATES[parameter_of(chain.stream)])


def plain(chains: Sequence[Chain]) -> PlainDepth | None:
    """Return how the changes look that a connection brings, if they are plain."""
    return plain_of(UPDATE_CHANNEL, Books.of(chains, UPDATES))
