"""What a new run knows of the run before it."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from recorder.capture.doubles import REMEMBERED_TRADES, Doubles
from recorder.model import Chain
from recorder.source import table_of
from recorder.store.listing import Listing
from recorder.store.reading import read_segment
from recorder.store.tables import TABLES


SEED_SEGMENTS_MAX: Final = 64
"""Segments searched for the last trades of the previous run."""


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
    ids: dict[str, set[int]] = {market: set() for market in missing}
    newest_first = sorted(
        listing.segments("trades", source=source),
        key=lambda segment: segment.first_ts_recv,
        reverse=True,
    )
    for segment in newest_first[:SEED_SEGMENTS_MAX]:
        if not missing:
            break
        table = read_segment(
            segment.path,
            TABLES["trades"],
            ["market", "trade_id"],
            missing,
            (None, None),
        )
        _collect_ids(table, ids)
        missing = {m for m in missing if len(ids[m]) < REMEMBERED_TRADES}
    for market, known in ids.items():
        doubles.seed_trades(market, sorted(known)[-REMEMBERED_TRADES:])


def _collect_ids(table: pa.Table, ids: dict[str, set[int]]) -> None:
    for row in table.to_pylist():
        if row["trade_id"] is not None:
            ids[row["market"]].add(row["trade_id"])
