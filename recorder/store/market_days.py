"""Of which days a store has a venue's list of markets."""

from collections.abc import Collection
from pathlib import Path

import pyarrow.compute as pc

from recorder.store.layout import DAY_NS
from recorder.store.listing import open_listing


def has_list(root: Path, source: str, day: int, markets: Collection[str]) -> bool:
    """Return whether the store of a run that goes on has a list of markets of a day.

    One feed may have several lists, by its options; the one that is meant
    has some of the markets that are recorded.

    Args:
        root: The store's folder.
        source: Name of the feed.
        day: Which UTC day, counted from 1970-01-01.
        markets: Some that the list should have; if none are given, any list
            will do.

    Raises:
        StoreError: If a file of the store cannot be read.
    """
    rows = open_listing(root, is_living=True).read(
        "markets",
        source=source,
        columns=["market"],
        start_ns=day * DAY_NS,
        end_ns=(day + 1) * DAY_NS,
    )
    if not markets:
        return rows.num_rows > 0
    return not set(pc.unique(rows["market"]).to_pylist()).isdisjoint(markets)
