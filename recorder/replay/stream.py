"""Everything recorded, in one deterministic order of time.

Rows of all tables, sources and markets are merged by (``ts_recv``,
``source``, ``conn``, ``seq``, ``idx``, table); a gap comes before the rows
of the instant at which it starts, as its newest revision, with that instant
as ``ts_recv``. The same store gives the same order, always.

Segments are sorted by market first, so a merge of files would have to keep a
place open in every market of every file. Instead the tables are read in
slices of time: all files, pruned by market and time, then one sort. The rows
of a slice are counted before they are read, by their times alone, and its
length follows what is found, so that memory is bounded by `SLICE_ROWS_MAX`
and not by the range asked for. The price is that a row group is read once
for each slice that touches it; with markets chosen, slices are long and row
groups few.
"""

from collections.abc import Collection, Container, Iterable, Iterator
from typing import Final, NamedTuple, cast

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import DepthUpdate, Gap, Row, is_beside
from recorder.replay.book import run_of_gap
from recorder.replay.chain_rows import span, text_ranks, times_of
from recorder.replay.events import events
from recorder.replay.names import (
    EVENT_TABLES,
    require_markets,
    require_source,
    require_streams,
)
from recorder.replay.once import Once
from recorder.replay.outages import Interval
from recorder.store.layout import SECOND_NS
from recorder.store.listing import Listing
from recorder.store.tables import TABLES


SLICE_ROWS: Final = 200_000
"""Rows of a slice that is neither too long nor too short."""

SLICE_ROWS_MAX: Final = 4 * SLICE_ROWS
"""A slice with more is made shorter before it is read."""

FIRST_SLICE_NS: Final = 60 * SECOND_NS

SLICE_NS_MAX: Final = 3600 * SECOND_NS
"""So that a busy hour after a quiet night is not a surprise to the memory."""

SLICE_GROWTH: Final = 4

PARAMETERS: Final = {
    "depth": "stream",
    "klines": "interval",
    "contract_stats": "interval",
    "status": "state",
}
"""The column by which the streams of a table are told apart."""


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        sources: Names of feeds.
        markets: Markets, or None for all.
        streams: Canonical names or names of tables.
    """

    sources: tuple[str, ...]
    markets: frozenset[str] | None
    streams: frozenset[str]

    def has_market(self, market: str | None) -> bool:
        """Return whether what concerns a market, or all, is asked for."""
        return market is None or self.markets is None or market in self.markets

    def has_stream(self, stream: str | None) -> bool:
        """Return whether what concerns a stream, or all, is asked for."""
        return stream is None or not self.streams.isdisjoint(
            (stream, stream.partition(":")[0])
        )

    def parameters(self, table: str) -> list[str] | None:
        """Return the streams of a table as its column has them; None for all."""
        if table in self.streams:
            return None
        mine = [s for s in self.streams if s.partition(":")[0] == table]
        if PARAMETERS.get(table) == "stream":
            return mine
        return [stream.partition(":")[2] for stream in mine]


def replay(
    listing: Listing,
    *,
    source: str | None = None,
    markets: Collection[str] | None = None,
    streams: Collection[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> Iterator[Row]:
    """Return events of all streams and markets in one order of time.

    Where two runs or jobs recorded the same, a trade or a kline is there once, as
    it was received first (`recorder.replay.once`); other rows are as stored, but
    that messages of books without ids are left out where a run only ever recorded
    beside another: nobody told what it lost.

    Args:
        listing: The store.
        source: Only this feed; None means all.
        markets: Only these. What concerns no market in particular (gaps of
            everything, messages of a venue about itself) comes with any.
        streams: Only these: canonical names (``depth:100ms``) or names of
            tables (``depth``). Gaps of what is asked for come with it.
        start_ns: First instant of ``ts_recv``, nanoseconds.
        end_ns: First instant after.

    Returns:
        An iterator; little of it is in memory at a time.

    Raises:
        ConfigError: If a source, market or stream was never recorded.
        CorruptSegmentError: If a file cannot be read.
    """
    if source is not None:
        require_source(listing, source)
    sources = listing.sources() if source is None else (source,)
    if markets is not None:
        require_markets(listing, sources, markets)
    if streams is not None:
        require_streams(listing, sources, streams)
    wanted = Wanted(
        sources,
        None if markets is None else frozenset(markets),
        frozenset(EVENT_TABLES if streams is None else streams),
    )
    return _rows(listing, wanted, start_ns, end_ns)


def _rows(
    listing: Listing, wanted: Wanted, start_ns: int | None, end_ns: int | None
) -> Iterator[Row]:
    start, end = _bounds(listing, wanted, start_ns, end_ns)
    said = list(_said(listing, wanted))
    gaps = _gaps(said, wanted, start_ns, end_ns)
    gap = next(gaps, None)
    once = Once()
    beside = _beside(said)
    for tables in _slices(listing, wanted, start, end):
        for row in _in_order(tables):
            while gap is not None and gap.ts_recv <= row.ts_recv:
                yield gap
                gap = next(gaps, None)
            if once.is_new(row) and not (beside and _is_unvouched(row, beside)):
                yield row
    if gap is not None:
        yield gap
        yield from gaps


def _said(listing: Listing, wanted: Wanted) -> Iterator[Row]:
    """Yield the gaps of the sources asked for, in all their revisions."""
    for source in wanted.sources:
        yield from events("gaps", listing.read("gaps", source=source))


def _beside(said: Iterable[Row]) -> set[str]:
    """Return the runs that only ever recorded beside another."""
    gaps = (cast(Gap, row.event) for row in said)
    return {run_of_gap(gap) for gap in gaps if is_beside(gap)}


def _is_unvouched(row: Row, beside: Container[str]) -> bool:
    """Return whether a row is of a book of which nobody told what it lost."""
    event = row.event
    is_bare = isinstance(event, DepthUpdate) and event.last_update_id is None
    return is_bare and row.conn.partition(".")[0] in beside


def _bounds(
    listing: Listing, wanted: Wanted, start_ns: int | None, end_ns: int | None
) -> Interval:
    """Return an interval that holds all rows asked for."""
    spans = [
        found
        for table in EVENT_TABLES
        for source in wanted.sources
        if (found := span(listing, table, source)) is not None
    ]
    start = min((span[0] for span in spans), default=0)
    end = max((span[1] for span in spans), default=0)
    return (
        start if start_ns is None else max(start, start_ns),
        end if end_ns is None else min(end, end_ns),
    )


def _gaps(
    said: Iterable[Row], wanted: Wanted, start_ns: int | None, end_ns: int | None
) -> Iterator[Row]:
    """Yield the newest revision of each gap, in the order of their starts."""
    newest: dict[tuple[str, str], tuple[tuple[int, str, int, int], Row, Gap]] = {}
    for row in said:
        gap = cast(Gap, row.event)
        revision = row.ts_recv, row.conn, row.seq, row.idx
        key = row.source, gap.gap_id
        if key not in newest or newest[key][0] <= revision:
            newest[key] = revision, row, gap
    chosen = [
        msgspec.structs.replace(row, ts_recv=gap.started_at)
        for _, row, gap in newest.values()
        if wanted.has_market(gap.market)
        and wanted.has_stream(gap.stream)
        and (start_ns is None or gap.started_at >= start_ns)
        and (end_ns is None or gap.started_at < end_ns)
    ]
    chosen.sort(key=lambda row: (row.ts_recv, row.source, row.conn, row.seq, row.idx))
    return iter(chosen)


def _slices(
    listing: Listing, wanted: Wanted, start_ns: int, end_ns: int
) -> Iterator[dict[str, pa.Table]]:
    """Yield the rows of an interval in slices of time, by table."""
    width_ns = FIRST_SLICE_NS
    names = [table for table in EVENT_TABLES if wanted.parameters(table) != []]
    while start_ns < end_ns:
        window = start_ns, min(start_ns + width_ns, end_ns)
        count = sum(
            _read(listing, wanted, table, window, only_times=True).num_rows
            for table in names
        )
        if count > SLICE_ROWS_MAX and width_ns > 1:
            width_ns = max(width_ns * SLICE_ROWS // count, 1)
            continue
        if count:
            yield {table: _read(listing, wanted, table, window) for table in names}
        start_ns = window[1]
        if count < SLICE_ROWS:
            width_ns = min(width_ns * SLICE_GROWTH, SLICE_NS_MAX)


def _read(
    listing: Listing,
    wanted: Wanted,
    table: str,
    window: Interval,
    *,
    only_times: bool = False,
) -> pa.Table:
    """Return the rows of one table in a slice, in no order."""
    of_no_market = TABLES[table].schema.field("market").nullable
    parameters = wanted.parameters(table)
    columns = ["ts_recv"]
    columns += ["market"] if of_no_market else []
    columns += [PARAMETERS[table]] if parameters is not None else []
    parts = [
        listing.read(
            table,
            source=source,
            markets=None if of_no_market else wanted.markets,
            start_ns=window[0],
            end_ns=window[1],
            columns=columns if only_times else None,
        )
        for source in wanted.sources
    ]
    rows = pa.concat_tables(parts).unify_dictionaries()
    if of_no_market and wanted.markets is not None:
        markets = pa.array(sorted(wanted.markets), pa.string())
        is_wanted = pc.or_(
            pc.is_null(rows["market"]), pc.is_in(rows["market"], value_set=markets)
        )
        rows = rows.filter(is_wanted)
    if parameters is not None:
        allowed = pa.array(parameters, pa.string())
        column = rows[PARAMETERS[table]]
        rows = rows.filter(pc.is_in(column, value_set=allowed))
    return rows


def _in_order(tables: dict[str, pa.Table]) -> Iterator[Row]:
    """Yield the rows of several tables as events, in one order."""
    names = [name for name, rows in sorted(tables.items()) if rows.num_rows]
    parts = [tables[name] for name in names]
    sizes = [rows.num_rows for rows in parts]
    which = np.repeat(np.arange(len(parts)), sizes)
    order = np.lexsort(
        (
            which,
            np.concatenate([rows["idx"].to_numpy() for rows in parts]),
            np.concatenate([rows["seq"].to_numpy() for rows in parts]),
            np.concatenate(text_ranks(*(rows["conn"] for rows in parts))),
            np.concatenate(text_ranks(*(rows["source"] for rows in parts))),
            np.concatenate([times_of(rows, "ts_recv") for rows in parts]),
        )
    )
    turns = which[order]
    starts = np.cumsum([0, *sizes])
    made = [
        events(name, rows.take(order[turns == number] - starts[number]))
        for number, (name, rows) in enumerate(zip(names, parts, strict=True))
    ]
    for number in turns.tolist():
        yield next(made[number])
