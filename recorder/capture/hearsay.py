"""What others stored of a venue's maintenance: read at the start, and when needed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from recorder.capture.notices import Explainer, Notices
from recorder.errors import StoreError
from recorder.model import StatusEvent
from recorder.store.layout import DAY_NS
from recorder.store.listing import Listing, open_listing
from recorder.store.revisions import plain_rows
from recorder.telemetry import HearsayUnread, emit


LOOK_SECONDS: Final = 60.0
"""While a gap lasts, how often the store is asked what the venue said of it."""

DAYS: Final = 30
"""Maintenance is announced days before; who began to listen since has it anew."""

_COLUMNS: Final = (
    "ts_recv", "ts_event", "market", "kind", "state", "title", "starts_at",
    "ends_at", "markets",
)  # fmt: skip


def venue_of(source: str) -> str:
    """Return the venue of a feed: what its name has before its first ``_``."""
    return source.partition("_")[0]


def read_notices(notices: Notices, listing: Listing, source: str, now: int) -> None:
    """Take in what any feed of a venue stored.

    Args:
        notices: Takes it.
        listing: The store's files.
        source: One feed of the venue.
        now: Our clock, nanoseconds.

    Raises:
        StoreError: If a file of the store cannot be read.
    """
    since = max(0, now - DAYS * DAY_NS)
    for each in listing.sources():
        if venue_of(each) != venue_of(source):
            continue
        rows = listing.read("status", source=each, start_ns=since, columns=_COLUMNS)
        for row in plain_rows(rows):
            if row["starts_at"] is not None:
                row.pop("source")
                at = row.pop("ts_recv")
                event = msgspec.convert(row | {"payload": ""}, StatusEvent)
                notices.see(event, int(str(at)))


def read_earlier(notices: Notices, listing: Listing, source: str, now: int) -> None:
    """Take in what is stored when a run begins; parameters as of `read_notices`.

    A store of which that cannot be read is recorded into all the same.
    """
    try:
        read_notices(notices, listing, source, now)
    except StoreError as error:
        emit(HearsayUnread(why=str(error)))


async def listen(
    notices: Notices,
    explainer: Explainer,
    store: Path,
    source: str,
    now_ns: Callable[[], int],
) -> None:
    """Ask the store again and again, while a gap lasts that might be explained.

    A store that cannot be read now is asked later: recording goes on.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if not explainer.is_at_a_loss:
            continue
        heard = Notices()
        try:
            listing = await asyncio.to_thread(open_listing, store, is_living=True)
            await asyncio.to_thread(read_notices, heard, listing, source, now_ns())
        except StoreError as error:
            emit(HearsayUnread(why=str(error)))
            continue
        notices.take(heard)
        explainer.explain()
