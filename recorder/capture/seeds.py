"""What a new run knows of the run before it.

A file that cannot be read is left out, with a word: what is told again that was
in it is stored twice, which is better than not to record.
"""

from collections.abc import Collection, Iterator, Sequence
from operator import itemgetter
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from recorder.capture.doubles import (
    REMEMBERED_STATUS,
    REMEMBERED_TRADES,
    Doubles,
)
from recorder.errors import StoreError
from recorder.model import Chain
from recorder.source import table_of
from recorder.store.listing import Listing
from recorder.store.reading import read_segment, select_rows
from recorder.store.tables import TABLES
from recorder.telemetry import SeedUnread, emit


PIECE_ROWS: Final = 16_384
"""Rows of a journal that are looked at together."""

SEED_SEGMENTS_MAX: Final = 64
"""Segments of a table searched for the last rows of the previous run."""


def seed_trades(
    doubles: Doubles, listing: Listing, source: str, chains: Sequence[Chain]
) -> None:
    """Let the filter know the last trades that an earlier run stored.

    Args:
        doubles: The filter.
        listing: The store as it stands.
        source: Name of the feed.
        chains: What is to be recorded; only its trades matter.
    """
    missing = {c.market for c in chains if table_of(c.stream) == "trades"}
    if not missing:
        return
    pushed: dict[str, set[int]] = {market: set() for market in missing}
    fetched: dict[str, set[int]] = {market: set() for market in missing}
    names = ["market", "trade_id", "origin"]
    for rows in _newest_first(listing, "trades", source, names, missing):
        for row in rows.to_pylist():
            if row["trade_id"] is not None:
                # Of what was fetched much may be old, and say nothing of the last.
                ids = fetched if row["origin"] == "backfill" else pushed
                ids[row["market"]].add(row["trade_id"])
        missing -= {m for m in missing if len(pushed[m]) >= REMEMBERED_TRADES}
        if not missing:
            break
    for market, known in pushed.items():
        last = sorted(known | fetched[market])[-REMEMBERED_TRADES:]
        doubles.seed_trades(market, last)


def seed_status(
    doubles: Doubles, listing: Listing, source: str, chains: Sequence[Chain]
) -> None:
    """Let the filter know the last status events that an earlier run stored.

    Args:
        doubles: The filter.
        listing: The store as it stands.
        source: Name of the feed.
        chains: What is to be recorded; only whether status is among it matters.
    """
    if not any(table_of(chain.stream) == "status" for chain in chains):
        return
    told: list[tuple[int, str, str | None, str]] = []
    names = ["ts_recv", "kind", "state", "payload"]
    for rows in _newest_first(listing, "status", source, names):
        times = rows["ts_recv"].cast(pa.int64()).to_pylist()
        texts = (rows[name].to_pylist() for name in names[1:])
        told += zip(times, *texts, strict=True)
        if len(told) >= REMEMBERED_STATUS:
            break
    told.sort(key=itemgetter(0))
    doubles.seed_status((kind, state, payload) for _, kind, state, payload in told)


def _newest_first(
    listing: Listing,
    table: str,
    source: str,
    columns: Sequence[str],
    markets: Collection[str] | None = None,
) -> Iterator[pa.Table]:
    """Yield the newest rows of a table: of journals, then of some segments.

    A run that was killed while the disk refused left its rows in journals.

    Args:
        listing: The store as it stands.
        table: Name of the table.
        source: Name of the feed.
        columns: What is read.
        markets: Only these are; looked at anew for each piece.
    """
    for part in sorted(
        listing.journals(table, source=source),
        key=lambda part: pc.max(part.rows["ts_recv"].cast(pa.int64())).as_py() or 0,
        reverse=True,
    ):
        pieces = part.rows.to_batches(max_chunksize=PIECE_ROWS)
        for piece in reversed(pieces):
            rows = pa.Table.from_batches([piece])
            yield select_rows(rows, columns, markets, (None, None))
    found = sorted(
        listing.segments(table, source=source),
        key=lambda segment: segment.first_ts_recv,
        reverse=True,
    )
    for segment in found[:SEED_SEGMENTS_MAX]:
        try:
            yield read_segment(
                segment.path, TABLES[table], columns, markets, (None, None)
            )
        except StoreError as error:
            emit(SeedUnread(table=table, why=str(error)))
