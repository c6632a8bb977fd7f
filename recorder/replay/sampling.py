"""Books at many instants: the best bid and offer, and a book at an instant.

A book is shown only where it is known. `bbo` has a row for each message and
says after each whether it is; what happens between two messages, only the
ledger knows: a gap may begin, or the recording end. `book_at` asks it.
"""

from typing import Final

import msgspec
import pyarrow as pa

from recorder.errors import ConfigError
from recorder.model import Chain, Levels
from recorder.replay.chain_rows import read_chain, span
from recorder.replay.names import find_book
from recorder.replay.outages import Interval
from recorder.replay.walk import Stretch, Walk, last_row_ns, start_walk
from recorder.store.listing import Listing
from recorder.store.tables import TIME


_FIELDS: Final[list["pa.Field[pa.DataType]"]] = [
    pa.field("ts_recv", TIME, nullable=False),
    pa.field("ts_event", TIME),
    pa.field("bid_price", pa.float64()),
    pa.field("bid_amount", pa.float64()),
    pa.field("ask_price", pa.float64()),
    pa.field("ask_amount", pa.float64()),
    pa.field("known", pa.bool_(), nullable=False),
]

BBO_SCHEMA: Final = pa.schema(_FIELDS)
"""The columns of `bbo`."""


class BookView(msgspec.Struct, frozen=True, kw_only=True):
    """An order book at an instant, or that it is not known.

    Attributes:
        source: Name of the feed.
        market: The venue's spelling.
        stream: Canonical name, ``depth:100ms``.
        ts_ns: The instant, our clock, nanoseconds.
        known: Whether the book is known then.
        bids: (price, amount), best first; empty where not known.
        asks: The same for the other side.
        last_update_id: Id of the last book change in it; None where not
            known and on streams without ids.
        updated_ns: ``ts_recv`` of the chain's last message until then; None
            if there was none.
    """

    source: str
    market: str
    stream: str
    ts_ns: int
    known: bool
    bids: Levels = ()
    asks: Levels = ()
    last_update_id: int | None = None
    updated_ns: int | None = None


def bbo(
    listing: Listing,
    *,
    source: str,
    market: str,
    stream: str | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> pa.Table:
    """Return the best bid and offer after each depth message.

    Args:
        listing: The store.
        source: Name of the feed.
        market: The venue's spelling.
        stream: Canonical name; None if only one was recorded.
        start_ns: First instant of ``ts_recv``, nanoseconds; the book at it
            is made from what was received before.
        end_ns: First instant after.

    Returns:
        One row for each message in the order of receipt, with the columns of
        `BBO_SCHEMA`. Prices and amounts are null where the book is not known
        or the side is empty.

    Raises:
        ConfigError: If there is no such chain, or there are several.
        CorruptSegmentError: If a file cannot be read or holds the impossible.
    """
    chain = find_book(listing, source, market, stream)
    data = span(listing, "depth", source)
    if data is None:
        return BBO_SCHEMA.empty_table()
    start_ns = data[0] if start_ns is None else max(start_ns, data[0])
    end_ns = data[1] if end_ns is None else min(end_ns, data[1])
    walk = start_walk(listing, source, chain, start_ns)
    parts = [_bbo_rows(stretch) for stretch in walk.stretches(start_ns, end_ns)]
    return pa.concat_tables([BBO_SCHEMA.empty_table(), *parts])


def book_at(
    listing: Listing,
    *,
    source: str,
    market: str,
    stream: str | None = None,
    at_ns: int | None = None,
    levels: int = 10,
) -> BookView:
    """Return the order book as it was at an instant, if it is known.

    It is not known inside a gap of rows, after the end of the recording, or
    at an instant that no recording has come to yet.

    Args:
        listing: The store.
        source: Name of the feed.
        market: The venue's spelling.
        stream: Canonical name; None if only one was recorded.
        at_ns: The instant, our clock, nanoseconds; messages received then
            are in the book. None means the last message of the chain.
        levels: Most levels to return of each side.

    Raises:
        ConfigError: If there is no such chain, or there are several, or
            ``levels`` is not positive.
        CorruptSegmentError: If a file cannot be read or holds the impossible.
    """
    if levels < 1:
        raise ConfigError(f"a book has at least 1 level, not {levels}")
    chain = find_book(listing, source, market, stream)
    data = span(listing, "depth", source)
    is_last = at_ns is None
    if at_ns is None:
        at_ns = last_row_ns(listing, source, chain, data) if data else None
    if at_ns is None or data is None:
        return _unknown(source, chain, at_ns or 0, None)
    walk = start_walk(listing, source, chain, at_ns + 1)
    lane = walk.shown_at(at_ns)
    updated_ns = walk.updated_ns
    if lane is None:
        return _unknown(source, chain, at_ns, updated_ns)
    if not is_last:
        is_reached = _is_reached(listing, source, chain, data, walk, at_ns)
        if lane.marks.hides(at_ns) or not is_reached:
            return _unknown(source, chain, at_ns, updated_ns)
    bids, asks = lane.ladder.top(levels)
    return BookView(
        source=source,
        market=chain.market,
        stream=chain.stream,
        ts_ns=at_ns,
        known=True,
        bids=bids,
        asks=asks,
        last_update_id=lane.ladder.last_update_id,
        updated_ns=updated_ns,
    )


def _bbo_rows(stretch: Stretch) -> pa.Table:
    quoted = stretch.quoted
    prices = [
        pa.array(values, from_pandas=True)  # NaN is null
        for values in (
            quoted.bid_price,
            quoted.bid_amount,
            quoted.ask_price,
            quoted.ask_amount,
        )
    ]
    times = [stretch.table["ts_recv"], stretch.table["ts_event"]]
    return pa.table([*times, *prices, pa.array(quoted.known)], schema=BBO_SCHEMA)


def _is_reached(
    listing: Listing,
    source: str,
    chain: Chain,
    data: Interval,
    walk: Walk,
    at_ns: int,
) -> bool:
    """Return whether the recording is known to have come to an instant."""
    updated_ns = walk.updated_ns
    if at_ns < walk.outages.through_ns or at_ns == updated_ns:
        return True
    later = read_chain(listing, source, chain, at_ns + 1, data[1])
    return next(later, None) is not None


def _unknown(source: str, chain: Chain, at_ns: int, updated_ns: int | None) -> BookView:
    return BookView(
        source=source,
        market=chain.market,
        stream=chain.stream,
        ts_ns=at_ns,
        known=False,
        updated_ns=updated_ns,
    )
