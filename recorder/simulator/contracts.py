"""The perpetual contracts of the simulated exchange and their units.

Orders are for contracts, not for coins: a contract is worth ``multiplier``
of its base currency. An inverse contract, with multiplier ``"0"``, is worth
one unit of its quote currency.
"""

import random
from decimal import Decimal

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.markets import MarketSpec
from recorder.simulator.numbers import MS_NS, plain_text


SETTLES = ("usdt", "btc", "usd1")
"""What contracts are settled in; each has a WebSocket of its own."""

INTERNAL_EVERY = 40
"""Of so many trade ids one is of a trade that was not made in the book."""

_SETTLE_OF = {"USDT": "usdt", "USD": "btc", "USD1": "usd1"}
"""By what prices are told in."""

_BASE_DECIMALS = 8
"""Digits after the point of amounts that are not exact."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """A contract.

    Attributes:
        spec: Name and units; a lot is a contract or a fraction of one.
        settle: One of `SETTLES`.
        multiplier: Decimal text, base currency for one contract; ``"0"`` if
            a contract is worth one unit of quote currency.
        funding_hours: Time between two fundings.
    """

    spec: MarketSpec
    settle: str
    multiplier: str
    funding_hours: int = 8

    @property
    def is_decimal(self) -> bool:
        """Whether fractions of a contract are traded."""
        return self.spec.amount_decimals > 0

    @property
    def mark_decimals(self) -> int:
        """Digits after the point of mark and index prices."""
        return self.spec.price_decimals + 1

    def base_text(self, lots: int, turnover: int) -> str:
        """Return an amount in base currency as it is sent.

        Args:
            lots: How much was traded.
            turnover: Ticks times lots, summed over the trades.
        """
        if not lots:
            return "0"
        spec = self.spec
        contracts = Decimal(lots).scaleb(-spec.amount_decimals)
        if self.multiplier != "0":
            return plain_text(contracts * Decimal(self.multiplier))
        price = (Decimal(turnover) / lots).scaleb(-spec.price_decimals)
        return plain_text(round(contracts / price, _BASE_DECIMALS))

    def quote_text(self, lots: int, turnover: int) -> str:
        """Return an amount in quote currency as it is sent; see `base_text`."""
        spec = self.spec
        if self.multiplier == "0":
            return plain_text(Decimal(lots).scaleb(-spec.amount_decimals))
        total = Decimal(turnover).scaleb(-spec.amount_decimals - spec.price_decimals)
        return plain_text(total * Decimal(self.multiplier))


def _contract(
    name: str,
    multiplier: str,
    *,
    price_decimals: int,
    amount_decimals: int,
    start_price: int,
    typical_amount: int,
) -> Contract:
    settle = _SETTLE_OF[name.rpartition("_")[2]]
    return Contract(
        spec=MarketSpec(
            name=name,
            price_decimals=price_decimals,
            amount_decimals=amount_decimals,
            start_price=start_price,
            typical_amount=typical_amount,
            family="futures",
            time_step_ns=MS_NS,
            internal_every=INTERNAL_EVERY,
        ),
        settle=settle,
        multiplier=multiplier,
    )


_KNOWN = {
    contract.spec.name: contract
    for contract in (
        _contract(
            "BTC_USDT",
            "0.0001",
            price_decimals=1,
            amount_decimals=0,
            start_price=643_870,
            typical_amount=4_000,
        ),
        _contract(
            "ETH_USDT",
            "0.01",
            price_decimals=2,
            amount_decimals=1,
            start_price=341_455,
            typical_amount=900,
        ),
        _contract(
            "CHR_USDT",
            "10",
            price_decimals=4,
            amount_decimals=0,
            start_price=3_120,
            typical_amount=150,
        ),
        _contract(
            "BTC_USD",
            "0",
            price_decimals=1,
            amount_decimals=0,
            start_price=643_790,
            typical_amount=9_000,
        ),
    )
}


def contract_spec(name: str, *, is_2026: bool = True) -> Contract:
    """Return the units of a contract: well known ones, or some from its name.

    Args:
        name: ``BTC_USDT``; what stands behind the underscore decides what it
            is settled in.
        is_2026: False for an exchange as it was in 2021: only whole contracts
            were traded, and no trade was called internal.

    Raises:
        ConfigError: If the name is not of the form ``BASE_QUOTE``, or
            nothing is settled in such a quote currency.
    """
    contract = _KNOWN.get(name) or _made_up(name)
    if is_2026:
        return contract
    spec = msgspec.structs.replace(contract.spec, amount_decimals=0, internal_every=0)
    return msgspec.structs.replace(contract, spec=spec)


def _made_up(name: str) -> Contract:
    base, joint, quote = name.rpartition("_")
    if not (base and joint) or quote not in _SETTLE_OF or name != name.strip():
        endings = ", ".join(f"BASE_{quote}" for quote in _SETTLE_OF)
        raise ConfigError(f"a contract is called one of {endings}, not {name!r}")
    rng = random.Random(f"contract:{name}")
    multiplier = rng.choice(("0.001", "0.1", "1", "10", "100"))
    return _contract(
        name,
        "0" if quote == "USD" else multiplier,
        price_decimals=rng.randint(1, 7),
        amount_decimals=rng.choice((0, 0, 0, 1, 2)),
        start_price=rng.randint(20_000, 2_000_000),
        typical_amount=rng.randint(2_000, 50_000),
    )
