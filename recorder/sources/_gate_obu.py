"""Gate's order book streams that bring their snapshot along: ``ob.BTC_USDT.400``.

Spot and futures have them alike. The first push of a stream is the whole
book, flagged ``full``, with one id ``u``; it may come before the answer to
the request. Then come changes ``U`` to ``u`` in absolute amounts, of which
each begins where the last one ended; a side without a change is left out, and
where nothing in the window changed only ids come. A ``full`` at any time
replaces the book.

A push names its stream, so one connection carries any number of them, each
once: asked for again, a stream is refused and goes on. A market or a number
of levels that the venue does not serve is accepted, and nothing comes.

Source: protocol facts, sections 2.4 and 3.2 (documents as of 2026-05-27,
recordings of 2025, and what was seen live in 2026).
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, DepthUpdate
from recorder.source import (
    BookRule,
    Said,
)
from recorder.sources._gate import (
    Id,
    Moment,
    moment_ns,
    side_of,
    unasked,
)
from recorder.sources._gate_v4 import Push
from recorder.sources._gate_v4_asking import Stamped
from recorder.sources._json import (
    keys,
)


LEVELS: Final[Mapping[str, int]] = {"obu.400": 400, "obu.50": 50}
"""Levels a side that are served, by the parameter of ``depth``."""

LIST_STREAMS: Final = 50
"""Streams in one request."""

_NO_CHANGE: Final = msgspec.Raw(b"[]")


class Obu(
    msgspec.Struct,
    gc=False,
    rename={
        "name": "s",
        "first_update_id": "U",
        "last_update_id": "u",
        "bids": "b",
        "asks": "a",
        "is_full": "full",
    },
):
    """A push: the whole book, or what changed in it."""

    t: Moment
    name: str
    last_update_id: Id
    bids: msgspec.Raw = _NO_CHANGE
    asks: msgspec.Raw = _NO_CHANGE
    first_update_id: Id | None = None
    is_full: bool | None = None


PUSHED_OBU: Final = msgspec.json.Decoder(Push[Obu])
OBU: Final = msgspec.json.Decoder(Obu)
KNOWN: Final = keys("t full s U u b a")
"""Keys of a result that a document or a recording shows."""


def is_obu(stream: str) -> bool:
    """Return whether a canonical stream is one of these."""
    return stream.partition(":")[2] in LEVELS


def name_of(chain: Chain) -> str:
    """Return what the venue calls a chain's stream: ``ob.BTC_USDT.400``."""
    return f"ob.{chain.market}.{LEVELS[chain.stream.partition(':')[2]]}"


def rule_of(stream: str) -> BookRule:
    """Return how the books of one of these streams are kept."""
    levels = LEVELS[stream.partition(":")[2]]
    return BookRule(has_ids=True, snapshot="in_band", depth_limit=levels)


class ObuStreams:
    """The streams of this kind that one connection carries.

    Args:
        chains: What it carries; those of other kinds are passed over.
    """

    def __init__(self, chains: Iterable[Chain]) -> None:
        self._asked = {
            name_of(chain): (chain, rule_of(chain.stream).depth_limit)
            for chain in chains
            if is_obu(chain.stream)
        }

    def make(self, row: Obu, _stamp: Stamped) -> Said:
        """Return what a push says.

        Raises:
            WireError: If it is a change whose ids are missing or run backwards.
        """
        asked = self._asked.get(row.name)
        if asked is None:
            return [unasked("depth", row.name)]
        chain, levels = asked
        first, last = row.first_update_id, row.last_update_id
        is_full = row.is_full or False
        if first is None:
            if not is_full:
                raise WireError("a change without its first id, U")
        elif first > last:
            raise WireError(f"update ids run backwards: {first} to {last}")
        return [
            DepthUpdate(
                market=chain.market,
                stream=chain.stream,
                ts_event=moment_ns(row.t),
                is_snapshot=is_full,
                first_update_id=first,
                last_update_id=last,
                bids=side_of(row.bids),
                asks=side_of(row.asks),
                depth_limit=levels,
            )
        ]
