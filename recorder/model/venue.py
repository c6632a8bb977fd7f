"""What a venue says about itself and about our own account there."""

from typing import Generic, Literal

import msgspec

from recorder.model.market import N, Side


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


class Order(msgspec.Struct, Generic[N], frozen=True, kw_only=True):
    """One event of an order of our own account, or one open order as asked for.

    Attributes:
        market: The venue's spelling.
        ts_event: Venue's clock of its last change, nanoseconds.
        order_id: The venue's id of the order; None if there is none.
        event: ``put``, ``update``, ``finish``: pushed. ``query``: open when
            the venue was asked. ``none``: no order was open when it was.
        side: Of the order; None if there is none.
        position: Which of the open orders it is, from 0, if asked for.
        open_orders: How many orders are open in the market, if asked for.
        created_at: Venue's clock, nanoseconds.
        finished_at: Venue's clock, nanoseconds.
        user_id: The venue's id of the account.
        order_type: ``limit`` or ``market``; another as the venue's number.
        price: Price asked for, quote currency.
        amount: Amount asked for, venue's unit.
        open_amount: Amount still open.
        filled_amount: Amount filled.
        filled_total: Value filled, quote currency.
        fee: Fee charged so far, as sent.
        text: The client's own note on the order.
    """

    market: str
    ts_event: int | None
    order_id: int | None
    event: Literal["put", "update", "finish", "query", "none"]
    side: Side | None
    position: int | None = None
    open_orders: int | None = None
    created_at: int | None = None
    finished_at: int | None = None
    user_id: int | None = None
    order_type: str | None = None
    price: N | None = None
    amount: N | None = None
    open_amount: N | None = None
    filled_amount: N | None = None
    filled_total: N | None = None
    fee: N | None = None
    text: str | None = None


class Balance(msgspec.Struct, Generic[N], frozen=True, kw_only=True):
    """The balance of one currency of our own account.

    Attributes:
        asset: The currency; None if the account has none.
        event: ``update``: pushed. ``query``: as the venue said when it was
            asked. ``none``: asked, it listed no currency.
        available: What can be used.
        frozen: What open orders hold.
        market: Always None.
        ts_event: Always None; the venue sends no time with it.
    """

    asset: str | None
    event: Literal["update", "query", "none"]
    available: N | None = None
    frozen: N | None = None
    market: str | None = None
    ts_event: int | None = None
