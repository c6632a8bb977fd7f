"""The order book streams of Gate spot: which there are, and how books are kept.

=============  ======================  ==================================
parameter      channel                 the book comes from
=============  ======================  ==================================
100ms, 20ms    spot.order_book_update  a REST snapshot, and changes
obu.400        spot.obu                a first push, and changes
top.20         spot.order_book         each push, which is the whole top
=============  ======================  ==================================
"""

from collections.abc import Mapping, Sequence
from typing import Final

from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.source import BookRule, HttpRequest, PlainDepth, table_of
from recorder.sources import _gate_obu, _gate_spot_wire as wire, _gate_v4_books
from recorder.sources._gate_v4_books import Books, parameter_of


UPDATE_CHANNEL: Final = "spot.order_book_update"
OBU_CHANNEL: Final = "spot.obu"
TOP_CHANNEL: Final = "spot.order_book"

UPDATES: Final[Mapping[str, int]] = {"100ms": 100, "20ms": 20}
"""Levels a side of the streams of changes, by their speed."""

TOPS: Final[Mapping[str, int]] = {f"top.{n}": n for n in (5, 10, 20, 50, 100)}
"""Levels a side of the whole top. 30 is documented, and refused where it was
tried."""

PARAMETERS: Final = (*UPDATES, *_gate_obu.LEVELS, *TOPS)
"""All parameters of ``depth``."""

_TOP_INTERVAL: Final = "100ms"


def address(chains: Sequence[Chain]) -> tuple[str, list[str]]:
    """Return channel and payload that ask for depth chains of one request."""
    market, stream = chains[0]
    parameter = parameter_of(stream)
    if parameter in UPDATES:
        return UPDATE_CHANNEL, [market, parameter]
    if parameter in TOPS:
        return TOP_CHANNEL, [market, str(TOPS[parameter]), _TOP_INTERVAL]
    return OBU_CHANNEL, [_gate_obu.name_of(chain) for chain in chains]


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection.

    All, but of the streams whose pushes do not name them each connection has
    one of a kind.
    """
    return _gate_v4_books.plan(
        chains,
        (
            lambda stream: parameter_of(stream) in UPDATES,
            lambda stream: parameter_of(stream) in TOPS,
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


def snapshot_request(chain: Chain, _options: Mapping[str, str]) -> HttpRequest:
    """Return how to ask for a book snapshot as deep as its stream.

    Without ``with_id`` the answer has no id, without ``limit`` 10 levels.
    """
    return HttpRequest(
        path="/spot/order_book",
        query=(
            ("currency_pair", chain.market),
            ("limit", str(UPDATES[parameter_of(chain.stream)])),
            ("interval", "0"),
            ("with_id", "true"),
        ),
    )


def snapshot_decode(chain: Chain, body: bytes) -> DepthUpdate[RawLevels]:
    """Return a REST book as a snapshot of a chain.

    Raises:
        WireError: If the body does not fit, also if it carries no id.
    """
    return wire.snapshot_of(chain, body, UPDATES[parameter_of(chain.stream)])


def plain(chains: Sequence[Chain]) -> PlainDepth | None:
    """Return how the changes look that a connection brings, if they are plain."""
    return _gate_v4_books.plain(UPDATE_CHANNEL, Books.of(chains, UPDATES))
