"""What a venue says about itself and about our own account there."""

import msgspec


class StatusEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says about itself: upgrades, maintenance, announcements.

    Attributes:
        kind: ``upgrade``, ``maintenance``, ``announcement``, ...
        payload: The JSON as received.
        market: Set where the message is about exactly one market.
        ts_event: Venue's clock, nanoseconds.
        state: The venue's own word.
        title: One line of text.
        url: Where to read more.
        publisher: Who announced it.
        starts_at: Start of the interval it is about, nanoseconds.
        ends_at: End of that interval, nanoseconds.
        markets: Markets it names.
    """

    kind: str
    payload: str
    market: str | None = None
    ts_event: int | None = None
    state: str | None = None
    title: str | None = None
    url: str | None = None
    publisher: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    markets: tuple[str, ...] | None = None
