"""The markets of the simulated exchange and the units they trade in."""

import random

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.numbers import TIME_STEP_NS


class MarketSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Units of a market.

    Attributes:
        name: ``BTC_USDT``.
        price_decimals: Digits after the point of one tick.
        amount_decimals: Digits after the point of one lot.
        start_price: First middle price, ticks.
        typical_amount: Lots of an ordinary order.
        family: ``spot`` or ``futures``: both may have a market of one name.
        time_step_ns: Times of trades are multiples of this.
        internal_every: Of so many trade ids one is of a trade that was not made
            in the book; 0 if none is told apart.
    """

    name: str
    price_decimals: int
    amount_decimals: int
    start_price: int
    typical_amount: int
    family: str = "spot"
    time_step_ns: int = TIME_STEP_NS
    internal_every: int = 0

    @property
    def key(self) -> str:
        """The name by which no two markets of the exchange are called."""
        return market_key(self.family, self.name)

    @property
    def base(self) -> str:
        """What is traded."""
        return self.name.rpartition("_")[0]

    @property
    def quote(self) -> str:
        """What it is paid with."""
        return self.name.rpartition("_")[2]


_KNOWN = {
    spec.name: spec
    for spec in (
        MarketSpec(
            name="BTC_USDT",
            price_decimals=1,
            amount_decimals=6,
            start_price=643_210,
            typical_amount=60_000,
        ),
        MarketSpec(
            name="ETH_USDT",
            price_decimals=2,
            amount_decimals=5,
            start_price=341_277,
            typical_amount=90_000,
        ),
        MarketSpec(
            name="GT_USDT",
            price_decimals=4,
            amount_decimals=3,
            start_price=95_310,
            typical_amount=70_000,
        ),
    )
}


def market_key(family: str, name: str) -> str:
    """Return what the truth calls a market: its name, on spot."""
    return name if family == "spot" else f"{family}:{name}"


def market_spec(name: str) -> MarketSpec:
    """Return the units of a market: well known ones, or some from its name.

    Raises:
        ConfigError: If the name is not of the form ``BASE_QUOTE``.
    """
    base, joint, quote = name.rpartition("_")
    if not (base and joint and quote) or name != name.strip():
        raise ConfigError(f"a market is called BASE_QUOTE, not {name!r}")
    known = _KNOWN.get(name)
    if known is not None:
        return known
    rng = random.Random(f"market:{name}")
    return MarketSpec(
        name=name,
        price_decimals=rng.randint(2, 9),
        amount_decimals=rng.randint(0, 8),
        start_price=rng.randint(20_000, 2_000_000),
        typical_amount=rng.randint(2_000, 5_000_000),
    )


def generated_names(count: int) -> tuple[str, ...]:
    """Return names of made-up markets: ``SIM0001_USDT`` and so on."""
    return tuple(f"SIM{number:04d}_USDT" for number in range(1, count + 1))
