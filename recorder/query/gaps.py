"""The gaps that an instant lies in, for one chain."""

from recorder.model import Gap
from recorder.store.listing import Listing
from recorder.store.revisions import newest_revisions, plain_rows


def gaps_at(
    listing: Listing, source: str, market: str | None, stream: str, at_ns: int
) -> tuple[Gap, ...]:
    """Return the gaps that cover an instant of a chain, oldest first.

    A gap that has been healed is among them; ``healed_by`` says so.

    Args:
        listing: The store's files.
        source: Name of the feed.
        market: The venue's spelling; None for a stream without markets.
        stream: Canonical stream name.
        at_ns: The instant, by our clock, nanoseconds.
    """
    rows = plain_rows(listing.read("gaps", source=source))
    return tuple(
        gap
        for gap in newest_revisions(rows)
        if gap.market in (None, market)
        and gap.stream in (None, stream)
        and gap.started_at <= at_ns
        and (gap.ended_at is None or at_ns < gap.ended_at)
    )
