"""The script of the account, added up again with decimals."""

from collections import defaultdict
from decimal import Decimal

import pytest

from recorder.simulator.account import (
    FINISH,
    LIMIT,
    MARKET,
    PUT,
    UPDATE,
    Account,
    Change,
    OrderState,
)
from recorder.simulator.book import BID
from recorder.simulator.engine import Engine
from recorder.simulator.markets import market_spec


SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS
FEE = Decimal("0.002")


def account_of(
    *names: str, seed: int = 1, empty: tuple[str, ...] = (), **more: float
) -> Account:
    names = names or ("BTC_USDT", "GT_USDT")
    engine = Engine(
        [market_spec(name) for name in names],
        seed=seed,
        rates=dict.fromkeys(names, 0.0),
        start_ns=START_NS,
        empty=empty,
    )
    markets = list(engine.markets.values())
    return Account(markets, seed=seed, start_ns=START_NS, **more)


def played(account: Account, steps: int) -> list[Change]:
    return [
        change
        for number in range(steps)
        for change in account.step(START_NS + number * SECOND_NS)
    ]


class Sums:
    """What an account must have, made of what it said alone."""

    def __init__(self, account: Account) -> None:
        self.available = {
            n: Decimal(b.available) for n, b in account.balances().items()
        }
        self.freeze = {n: Decimal(b.freeze) for n, b in account.balances().items()}
        self.filled: dict[int, Decimal] = defaultdict(Decimal)
        self.price: dict[int, Decimal] = {}

    def take(self, event: int, order: OrderState) -> None:
        base, _, quote = order.market.rpartition("_")
        is_buying = order.side == BID
        paid, brought = (quote, base) if is_buying else (base, quote)
        amount, left = Decimal(order.amount), Decimal(order.left)
        filled = Decimal(order.filled)
        assert amount == left + filled
        price = Decimal(order.price) if order.kind == LIMIT else Decimal(0)
        if order.kind == MARKET and filled:
            price = Decimal(order.filled_total) / filled
        if event == PUT:
            cost = amount * price if is_buying else amount
            self.available[paid] -= cost
            self.freeze[paid] += cost
            return
        more = filled - self.filled[order.number]
        self.filled[order.number] = filled
        gain = more if is_buying else more * price
        self.freeze[paid] -= more * price if is_buying else more
        self.available[brought] += gain * (1 - FEE)
        if event == FINISH:
            back = left * price if is_buying else left
            self.freeze[paid] -= back
            self.available[paid] += back


@pytest.mark.parametrize("names", [(), ("SIM0001_USDT", "SIM0002_USDT")])
def test_balances_move_with_the_orders_to_the_last_digit(names: tuple[str, ...]):
    account = account_of(*names)
    sums = Sums(account)
    for change in played(account, 2_000):
        sums.take(change.event, change.order)
        for name, balance in change.balances.items():
            assert Decimal(balance.available) == sums.available[name]
            assert Decimal(balance.freeze) == sums.freeze[name]
            assert min(sums.available[name], sums.freeze[name]) >= 0

    assert {n: Decimal(b.available) for n, b in account.balances().items()} == (
        sums.available
    )


def test_an_order_is_put_filled_and_finished_in_this_order():
    account = account_of()
    lives: dict[int, list[Change]] = defaultdict(list)
    for change in played(account, 2_000):
        lives[change.order.number].append(change)
    still_open = {o.number for m in account.markets for o in account.open_orders(m)}
    endings = set()

    for number, life in lives.items():
        events = [change.event for change in life]
        filled = [Decimal(change.order.filled) for change in life]
        last = life[-1].order
        assert events[0] == PUT
        assert set(events[1:-1]) <= {UPDATE}
        assert (events[-1] != FINISH) == (number in still_open)
        assert filled == sorted(filled)
        assert len({change.order.created_ns for change in life}) == 1
        assert last.changed_ns == life[-1].ts_ns
        if events[-1] == FINISH:
            endings.add((last.kind, last.left == "0", last.filled == "0"))
        if last.kind == MARKET:
            assert (last.price, events) == ("0", [PUT, FINISH])
    # Filled, taken back untouched, taken back after a part; and sold at once.
    assert endings == {
        (LIMIT, True, False),
        (LIMIT, False, True),
        (LIMIT, False, False),
        (MARKET, True, False),
    }
    assert max(len(life) for life in lives.values()) > 3
    assert {
        change.order.text is None for life in lives.values() for change in life
    } == {
        True,
        False,
    }


def test_open_orders_are_told_the_newest_first():
    account = account_of(open_orders=7)
    numbers = [order.number for order in account.open_orders("BTC_USDT")]

    assert len(numbers) == 7
    assert numbers == sorted(numbers, reverse=True)
    assert account.open_orders("GT_USDT") == []
    assert account.markets == ("BTC_USDT", "GT_USDT")


def test_equal_seeds_make_equal_scripts():
    same = [played(account_of(seed=4, open_orders=2), 100) for _ in range(2)]
    other = played(account_of(seed=5, open_orders=2), 100)

    assert same[0] == same[1]
    assert same[0] != other


def test_something_happens_as_often_as_asked_for():
    often, never = account_of(seconds=2.0), account_of()
    times = range(START_NS, START_NS + 1_000 * SECOND_NS, SECOND_NS // 10)
    changes = [change for now in times for change in often.advance(now)]

    assert 400 < len({change.ts_ns for change in changes}) < 600
    assert all(never.advance(now) == [] for now in times[:100])


def test_in_a_market_without_a_book_orders_have_its_first_price():
    account = account_of("BTC_USDT", empty=("BTC_USDT",))
    prices = [
        Decimal(c.order.price) for c in played(account, 50) if c.order.price != "0"
    ]

    assert all(abs(price - Decimal(64321)) <= 5 for price in prices)


def test_who_can_pay_nothing_lets_orders_live_on_and_puts_none():
    account = account_of(open_orders=2)
    for purse in account._purses.values():
        purse.available = 0
    first = account.step(START_NS)
    for purse in account._purses.values():
        purse.available = 0
    second = account.step(START_NS)
    for purse in account._purses.values():
        purse.available = 0

    # Two orders of one lot: they cannot be filled in parts.
    assert [c.event for c in first + second] == [FINISH, FINISH]
    assert account.step(START_NS) == []
