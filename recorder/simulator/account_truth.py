"""What the record of the exchange says of its account.

Every order and every balance that changed, whoever was there to hear of it;
in the names of the stored columns, made from the state of the account and not
from a frame.
"""

from collections.abc import Iterator

import msgspec

from recorder.simulator.account import (
    FINISH,
    LIMIT,
    PUT,
    UPDATE,
    Account,
    Balance,
    Change,
    OrderState,
)
from recorder.simulator.book import BID


Facts = dict[str, str | int | None]

EVENTS = {PUT: "put", UPDATE: "update", FINISH: "finish"}


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """An order or a balance, as it stood after a change.

    Attributes:
        ts_ns: When it changed; the start of the account for what it began with.
        stream: ``orders`` or ``balances``.
        market: Of an order; None for a balance.
        facts: What it is now; its ``event`` is ``start`` for what the account
            began with.
    """

    ts_ns: int
    stream: str
    market: str | None
    facts: Facts


def order_facts(order: OrderState, event: str, user: int) -> Facts:
    """Return what a row about an order must say."""
    return {
        "ts_event": order.changed_ns,
        "order_id": order.number,
        "event": event,
        "side": "buy" if order.side == BID else "sell",
        "created_at": order.created_ns,
        "finished_at": None,
        "user_id": user,
        "order_type": "limit" if order.kind == LIMIT else "market",
        "price": order.price,
        "amount": order.amount,
        "open_amount": order.left,
        "filled_amount": order.filled,
        "filled_total": order.filled_total,
        "fee": order.fee,
        "text": order.text,
    }


def balance_facts(asset: str, balance: Balance, event: str = "update") -> Facts:
    """Return what a row about a balance must say."""
    return {
        "asset": asset,
        "event": event,
        "available": balance.available,
        "frozen": balance.freeze,
    }


def beginning(account: Account, ts_ns: int) -> Iterator[AccountChange]:
    """Yield what an account begins with."""
    for market in account.markets:
        for order in account.open_orders(market):
            facts = order_facts(order, "start", account.user)
            yield AccountChange(
                ts_ns=ts_ns, stream="orders", market=market, facts=facts
            )
    for asset, balance in account.balances().items():
        facts = balance_facts(asset, balance, "start")
        yield AccountChange(ts_ns=ts_ns, stream="balances", market=None, facts=facts)


def changed(change: Change, user: int) -> Iterator[AccountChange]:
    """Yield what a change is in the record: its order, then the balances."""
    order = change.order
    yield AccountChange(
        ts_ns=change.ts_ns,
        stream="orders",
        market=order.market,
        facts=order_facts(order, EVENTS[change.event], user),
    )
    for asset, balance in change.balances.items():
        yield AccountChange(
            ts_ns=change.ts_ns,
            stream="balances",
            market=None,
            facts=balance_facts(asset, balance),
        )
