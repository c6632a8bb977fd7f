"""What a venue says about itself and about our own account there."""

from typing import Generic, Literal

import msgspec

from recorder.model.market import N, Origin, Side


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
        identity: What another telling of the same event shares with it; None
            if that is the whole payload. It is not stored.
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
    identity: str | None = None


class Order(msgspec.Struct, Generic[N], frozen=True, kw_only=True):
    """One event of an order of our own account.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock of its last change, nanoseconds.
        order_id: The venue's id of the order.
        event: ``put``, ``update``, ``finish``, or ``query`` if asked for.
        side: Of the order.
        created_at: Venue's clock, nanoseconds.
        user_id: The venue's id of the account.
        order_type: ``limit`` or ``market``.
        price: Price asked for, quote currency.
        amount: Amount asked for, venue's unit.
        left: Amount still open.
        filled_amount: Amount filled.
        filled_total: Value filled, quote currency.
        fee: Fee charged so far, as sent.
        text: The client's own note on the order.
        origin: ``live``, or ``backfill`` if asked for.
    """

    market: str
    ts_event: int | None
    order_id: int
    event: Literal["put", "update", "finish", "query"]
    side: Side
    created_at: int | None = None
    user_id: int | None = None
    order_type: str | None = None
    price: N | None = None
    amount: N | None = None
    left: N | None = None
    filled_amount: N | None = None
    filled_total: N | None = None
    fee: N | None = None
    text: str | None = None
    origin: Origin = "live"


class Balance(msgspec.Struct, Generic[N], frozen=True, kw_only=True):
    """The balance of one currency of our own account.

    Attributes:
        asset: The currency.
        available: What can be used.
        frozen: What open orders hold.
        origin: ``live``, or ``backfill`` if asked for.
        market: Always None.
        ts_event: Always None; the venue sends no time with it.
    """

    asset: str
    available: N | None = None
    frozen: N | None = None
    origin: Origin = "live"
    market: str | None = None
    ts_event: int | None = None
