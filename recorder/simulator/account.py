"""An account of the exchange: its orders live, and its balances move with them.

Pure and seeded, stepped from outside as the markets are. An order is put,
filled in parts, and finished: filled, or taken back. What it may spend is
frozen until then. The orders stand near the price of their market, but in no
book, so that a market's history does not depend on who watches an account.

All sums are whole numbers of one unit, small enough for every product of a
price, an amount and the fee: nothing is ever rounded.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from recorder.simulator.book import ASK, BID
from recorder.simulator.engine import Market
from recorder.simulator.numbers import SECOND_NS, TIME_STEP_NS, decimal_text


UNIT_DECIMALS = 24
"""Digits after the point of the unit that balances are kept in."""

FEE_THOUSANDTHS = 2
"""Of what a fill brings."""

LIMIT = 1
MARKET = 2

PUT = 1
UPDATE = 2
FINISH = 3

OPEN_TYPICAL = 4
"""Open orders beside those of the start, about: more are finished than put then."""

_PURSE = 200
"""Typical orders that the account could pay at the start."""


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands, in the venue's texts.

    Attributes:
        number: Its id.
        market: Name of the market.
        side: `BID` or `ASK`.
        kind: `LIMIT` or `MARKET`.
        price: Quote currency; ``0`` for a market order.
        amount: Base currency.
        left: What is not filled yet.
        filled: What is.
        filled_total: The same in quote currency.
        fee: Paid so far, in what the fills brought.
        text: The client's note; None if there is none.
        created_ns: When it was put.
        changed_ns: When it changed last.
    """

    number: int
    market: str
    side: int
    kind: int
    price: str
    amount: str
    left: str
    filled: str
    filled_total: str
    fee: str
    text: str | None
    created_ns: int
    changed_ns: int


class Balance(NamedTuple):
    """What the account has of a currency, as decimal texts."""

    available: str
    freeze: str


class Change(NamedTuple):
    """What one event changed.

    Attributes:
        ts_ns: When.
        event: `PUT`, `UPDATE` or `FINISH`.
        order: The order after it.
        balances: What changed with it, by currency.
    """

    ts_ns: int
    event: int
    order: OrderState
    balances: Mapping[str, Balance]


class _Purse:
    """One currency: what can be used, and what open orders hold; units."""

    __slots__ = ("available", "freeze")

    def __init__(self) -> None:
        self.available = 0
        self.freeze = 0


class _Order:
    """An order that lives; price in ticks, amounts in lots, the rest in units."""

    __slots__ = (
        "amount",
        "changed_ns",
        "created_ns",
        "fee",
        "kind",
        "left",
        "market",
        "number",
        "price",
        "side",
        "spent",
        "text",
    )

    def __init__(
        self,
        number: int,
        market: Market,
        side: int,
        kind: int,
        price: int,
        amount: int,
        text: str | None,
        created_ns: int,
    ) -> None:
        self.number = number
        self.market = market
        self.side = side
        self.kind = kind
        self.price = price
        self.amount = self.left = amount
        self.spent = self.fee = 0
        self.text = text
        self.created_ns = self.changed_ns = created_ns

    def state(self) -> OrderState:
        """Return how it stands, in texts."""
        market = self.market
        return OrderState(
            number=self.number,
            market=market.spec.name,
            side=self.side,
            kind=self.kind,
            price=market.price_text(self.price) if self.kind == LIMIT else "0",
            amount=market.amount_text(self.amount),
            left=market.amount_text(self.left),
            filled=market.amount_text(self.amount - self.left),
            filled_total=_text(self.spent),
            fee=_text(self.fee),
            text=self.text,
            created_ns=self.created_ns,
            changed_ns=self.changed_ns,
        )

    def base_units(self, lots: int) -> int:
        """Return an amount in units of the base currency."""
        return int(lots * 10 ** (UNIT_DECIMALS - self.market.spec.amount_decimals))

    def quote_units(self, lots: int) -> int:
        """Return what an amount costs, in units of the quote currency."""
        spec = self.market.spec
        decimals = spec.price_decimals + spec.amount_decimals
        return int(self.price * lots * 10 ** (UNIT_DECIMALS - decimals))


class Account:
    """One account and the script it follows.

    Args:
        markets: Where it trades.
        seed: Decides everything.
        start_ns: When it begins.
        seconds: How often something happens, on average; 0 is never.
        open_orders: Limit orders that it has put before that, in the first
            market.

    Attributes:
        user: Its number.
    """

    def __init__(
        self,
        markets: Sequence[Market],
        *,
        seed: int,
        start_ns: int,
        seconds: float = 0.0,
        open_orders: int = 0,
    ) -> None:
        self._seconds = seconds
        self._due_ns = start_ns
        self._rng = random.Random(f"{seed}:account")
        self.user = self._rng.randrange(10**5, 10**7)
        self._number = self._rng.randrange(10**7, 10**9)
        self._markets = tuple(markets)
        self._purses: dict[str, _Purse] = {}
        self._orders: dict[int, _Order] = {}
        self._most = OPEN_TYPICAL + open_orders
        for market in self._markets:
            self._fill_purses(market)
        start_ns -= start_ns % TIME_STEP_NS
        for _ in range(open_orders):
            side = self._rng.choice((BID, ASK))
            order = self._new(self._markets[0], side, LIMIT, start_ns)
            order.amount = order.left = 1
            if self._hold(order):
                self._orders[order.number] = order

    def advance(self, now_ns: int) -> list[Change]:
        """Do the next thing of the script if it is due; see `step`."""
        if not self._seconds or now_ns < self._due_ns:
            return []
        pause = self._seconds * self._rng.uniform(0.5, 1.5)
        self._due_ns = now_ns + int(pause * SECOND_NS)
        return self.step(now_ns)

    def step(self, now_ns: int) -> list[Change]:
        """Do the next thing of the script.

        Args:
            now_ns: When.

        Returns:
            What changed, in order: one event; two of a market order; none if
            the account can pay nothing any more.
        """
        now_ns -= now_ns % TIME_STEP_NS
        rng = self._rng
        if not rng.random() < len(self._orders) / self._most:
            market, side = rng.choice(self._markets), rng.choice((BID, ASK))
            # A sale: what the amount of a market order that buys means, no
            # document says.
            chosen = (ASK, MARKET) if rng.random() < 0.15 else (side, LIMIT)
            for way, kind in (chosen, (BID, LIMIT), (ASK, LIMIT)):
                order = self._new(market, way, kind, now_ns)
                if self._hold(order):
                    return self._put(order, now_ns)
        if not self._orders:
            return []
        order = rng.choice(list(self._orders.values()))
        return [self._go_on(order, now_ns)]

    @property
    def markets(self) -> tuple[str, ...]:
        """Names of the markets where it trades."""
        return tuple(market.spec.name for market in self._markets)

    def open_orders(self, market: str) -> list[OrderState]:
        """Return the open orders of a market, the newest first."""
        found = [o for o in self._orders.values() if o.market.spec.name == market]
        return [order.state() for order in reversed(found)]

    def balances(self) -> dict[str, Balance]:
        """Return what the account has, by currency."""
        return {name: self._balance(name) for name in self._purses}

    def _fill_purses(self, market: Market) -> None:
        spec = market.spec
        order = _Order(0, market, BID, LIMIT, spec.start_price, 1, None, 0)
        lots = _PURSE * spec.typical_amount
        for name, units in (
            (spec.base, order.base_units(lots)),
            (spec.quote, order.quote_units(lots)),
        ):
            purse = self._purses.setdefault(name, _Purse())
            # Whole ones, as somebody would pay in.
            purse.available += -(-units // 10**UNIT_DECIMALS) * 10**UNIT_DECIMALS

    def _new(self, market: Market, side: int, kind: int, now_ns: int) -> _Order:
        rng, spec = self._rng, market.spec
        best = market.book.best(BID if kind == MARKET else side)
        price = best[0] if best else spec.start_price
        if kind == LIMIT:
            # A little worse than the best, so that it would not be filled at once.
            away = rng.randint(1, 50)
            price = max(1, price - away) if side == BID else price + away
        amount = rng.randint(1, max(1, spec.typical_amount // 10))
        text = rng.choice((None, None, f"t-{rng.randrange(10**4)}"))
        self._number += rng.randint(1, 9)
        return _Order(self._number, market, side, kind, price, amount, text, now_ns)

    def _put(self, order: _Order, now_ns: int) -> list[Change]:
        self._orders[order.number] = order
        put = self._told(PUT, order, now_ns, [self._paid_in(order)])
        if order.kind == LIMIT:
            return [put]
        return [put, self._fill(order, order.left, now_ns)]

    def _paid_in(self, order: _Order) -> str:
        spec = order.market.spec
        return spec.quote if order.side == BID else spec.base

    def _cost(self, order: _Order, lots: int) -> int:
        """Return what so many lots of an order take of the account, units."""
        is_buying = order.side == BID
        return order.quote_units(lots) if is_buying else order.base_units(lots)

    def _hold(self, order: _Order) -> bool:
        """Freeze what an order may spend; False if there is not enough."""
        purse = self._purses[self._paid_in(order)]
        cost = self._cost(order, order.left)
        if purse.available < cost:
            return False
        purse.available -= cost
        purse.freeze += cost
        return True

    def _go_on(self, order: _Order, now_ns: int) -> Change:
        """Let an order live on: fill some of it, fill all of it, or take it back."""
        chance = self._rng.random()
        if chance < 0.45 and order.left > 1:
            return self._fill(order, self._rng.randrange(1, order.left), now_ns)
        if chance < 0.75:
            return self._fill(order, order.left, now_ns)
        purse = self._purses[self._paid_in(order)]
        cost = self._cost(order, order.left)
        purse.freeze -= cost
        purse.available += cost
        return self._told(FINISH, order, now_ns, [self._paid_in(order)])

    def _fill(self, order: _Order, lots: int, now_ns: int) -> Change:
        spec = order.market.spec
        paid, brought = self._paid_in(order), spec.base
        gain = order.base_units(lots)
        if order.side == ASK:
            brought, gain = spec.quote, order.quote_units(lots)
        fee = gain * FEE_THOUSANDTHS // 1_000
        self._purses[paid].freeze -= self._cost(order, lots)
        self._purses[brought].available += gain - fee
        order.left -= lots
        order.spent += order.quote_units(lots)
        order.fee += fee
        event = UPDATE if order.left else FINISH
        return self._told(event, order, now_ns, [paid, brought])

    def _told(
        self, event: int, order: _Order, now_ns: int, names: Sequence[str]
    ) -> Change:
        order.changed_ns = now_ns
        if event == FINISH:
            del self._orders[order.number]
        balances = {name: self._balance(name) for name in names}
        return Change(now_ns, event, order.state(), balances)

    def _balance(self, name: str) -> Balance:
        purse = self._purses[name]
        return Balance(_text(purse.available), _text(purse.freeze))


def _text(units: int) -> str:
    return decimal_text(units, UNIT_DECIMALS)
