"""What was recorded, by name: to find a chain, and to say what there is.

The ledger names everything that was ever asked for, and is small. Rows of a
table are looked through only for a name that the ledger does not have.
"""

from collections.abc import Collection, Iterable
from typing import Final

import pyarrow as pa

from recorder.errors import ConfigError
from recorder.model import NO_MARKET, Chain
from recorder.store.listing import Listing


EVENT_TABLES: Final = (
    "balances",
    "bbo",
    "contract_stats",
    "depth",
    "klines",
    "liquidations",
    "markets",
    "orders",
    "status",
    "tickers",
    "trades",
)
"""The tables whose rows came from a venue and are replayed."""

_SHOWN: Final = 12
"""How many names an error message lists."""


def require_source(listing: Listing, source: str) -> None:
    """Check that a source was recorded.

    Raises:
        ConfigError: If it was not; the message names those that were.
    """
    sources = listing.sources()
    if source not in sources:
        raise ConfigError(
            f"{listing.root} has no source {source!r}; it has {_several(sources)}"
        )


def require_markets(
    listing: Listing, sources: Collection[str], markets: Collection[str]
) -> None:
    """Check that something of each market was recorded from one of the sources.

    Raises:
        ConfigError: If of one there was not; the message names some that were.
    """
    known = {
        chain.market for source in sources for chain in _ledger_chains(listing, source)
    } - {NO_MARKET}
    for market in sorted(set(markets) - known):
        if not any(_has_rows(listing, source, market) for source in sources):
            known.update(*(_markets(listing, source) for source in sources))
            raise ConfigError(
                f"no market {market!r} was recorded from "
                f"{' or '.join(sources) or 'any source'}; "
                f"there is {_several(known)}"
            )


def require_streams(
    listing: Listing, sources: Collection[str], streams: Collection[str]
) -> None:
    """Check that each stream was recorded from one of the sources.

    Args:
        listing: The store.
        sources: Names of feeds.
        streams: Canonical names, or names of tables, which are always right.

    Raises:
        ConfigError: If one was not; the message names those that were.
    """
    known = {
        chain.stream for source in sources for chain in _ledger_chains(listing, source)
    }
    unknown = set(streams) - known - set(EVENT_TABLES)
    if unknown:
        for source in sources:
            rows = listing.read("depth", source=source, columns=["stream"])
            known |= _texts(rows, "stream")
            for table in ("klines", "contract_stats"):
                rows = listing.read(table, source=source, columns=["interval"])
                known |= {f"{table}:{text}" for text in _texts(rows, "interval")}
    for stream in sorted(unknown - known):
        raise ConfigError(
            f"{listing.root} has no stream {stream!r}; it has {_several(known)}"
        )


def find_book(listing: Listing, source: str, market: str, stream: str | None) -> Chain:
    """Return the depth chain that is meant.

    Args:
        listing: The store.
        source: Name of the feed.
        market: The venue's spelling.
        stream: Canonical name, ``depth:100ms``; None if there is only one.

    Raises:
        ConfigError: If there is no such chain, or there are several; the
            message names the choices.
    """
    require_source(listing, source)
    require_markets(listing, [source], [market])
    chains = _ledger_chains(listing, source)
    streams = {
        chain.stream
        for chain in chains
        if chain.market == market and chain.stream.partition(":")[0] == "depth"
    }
    if stream is None and len(streams) == 1:
        return Chain(market, streams.pop())
    if stream is None or stream not in streams:
        streams |= _streams_in_rows(listing, source, market)
    if not streams:
        raise ConfigError(f"{source} {market} has no depth recorded, so it has no book")
    if stream is None:
        if len(streams) > 1:
            raise ConfigError(
                f"{source} {market} was recorded by several depth streams; "
                f"choose one of {_several(streams)}"
            )
        stream = streams.pop()
    elif stream not in streams:
        raise ConfigError(
            f"{source} {market} has no stream {stream!r} recorded; "
            f"it has {_several(streams)}"
        )
    return Chain(market, stream)


def _ledger_chains(listing: Listing, source: str) -> set[Chain]:
    """Return the chains that coverage and gaps name.

    A gap of all markets of a stream looks like one of a stream without markets.
    """
    columns = ["market", "stream"]
    tables = [
        listing.read("coverage", source=source, columns=columns),
        listing.read("gaps", source=source, columns=columns),
    ]
    still_open = listing.open_coverage()
    mine = [name == source for name in still_open["source"].to_pylist()]
    tables.append(still_open.filter(pa.array(mine, pa.bool_())).select(columns))
    chains: set[Chain] = set()
    for table in tables:
        pairs = table.select(columns).group_by(columns).aggregate([])
        markets, streams = pairs["market"].to_pylist(), pairs["stream"].to_pylist()
        chains.update(
            Chain(market or NO_MARKET, stream)
            for market, stream in zip(markets, streams, strict=True)
            if stream is not None
        )
    return chains


def _has_rows(listing: Listing, source: str, market: str) -> bool:
    columns = ["market"]
    return any(
        listing.read(table, source=source, markets=[market], columns=columns).num_rows
        for table in EVENT_TABLES
    )


def _streams_in_rows(listing: Listing, source: str, market: str) -> set[str]:
    rows = listing.read("depth", source=source, markets=[market], columns=["stream"])
    return _texts(rows, "stream")


def _markets(listing: Listing, source: str) -> set[str]:
    names: set[str] = set()
    for table in EVENT_TABLES:
        rows = listing.read(table, source=source, columns=["market"])
        names |= _texts(rows, "market")
    return names


def _texts(rows: pa.Table, column: str) -> set[str]:
    return {text for text in rows[column].unique().to_pylist() if text is not None}


def _several(names: Iterable[str]) -> str:
    ordered = sorted(names)
    if not ordered:
        return "none"
    text = ", ".join(ordered[:_SHOWN])
    more = len(ordered) - _SHOWN
    return f"{text} and {more} more" if more > 0 else text
