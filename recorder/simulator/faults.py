"""Faults to order: what may go wrong, when, and how often.

A fault is named and given as text, ``NAME[:KEY=VALUE,...]``::

    drop:stream=depth,market=BTC_USDT,at=5
    full:parameter=obu.400
    drop:feed=futures
    abort:every=20
    malformed:probability=0.01

Without ``probability`` or ``every`` a fault happens once, at the first
opportunity from ``at`` seconds after the first subscription on; without
``at`` as soon as there is one, which may be before that. Time is counted
from a subscription, not from the start of the exchange, for what comes
between the two depends on the machine. Spot and futures share the faults of
v4: with ``feed=v4`` one hits spot alone, with ``feed=futures`` futures. This
module decides whether a fault happens; those who perform it write it into
the truth.
"""

import random
from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.cryptolisting import kinds as cryptolisting
from recorder.simulator.fault_kinds import TIMING, FaultKind
from recorder.simulator.market_faults import MARKET_KINDS
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.status_faults import STATUS_KINDS


FEEDS = ("v4", "futures")
"""Which feeds share the faults of v4."""

KINDS: dict[str, FaultKind] = {
    **MARKET_KINDS,
    **cryptolisting.KINDS,
    **STATUS_KINDS,
}
"""Every fault by name."""

LISTING_MALFORMED = f"{cryptolisting.PREFIX}malformed"
LISTING_ENDS = cryptolisting.ENDS
LISTING_HARMLESS = cryptolisting.HARMLESS
"""What the faults of the listing service do to who listens."""

KEYS = {
    "probability": "chance at each opportunity, or in each second; for random, a "
    "factor of all chances",
    "at": "seconds after the first subscription before which it does not happen",
    "every": "least seconds between two",
    "count": "how often at most; once, unless there is a probability or every",
    "stream": "only frames of this stream",
    "parameter": "only of the stream with this parameter, as obu.400",
    "market": "only this market",
    "feed": f"only this feed: {' or '.join(FEEDS)}",
    "seconds": "SECONDS in the words about the fault",
    "code": "CODE in the words about the fault",
}
"""What faults can be told, by key."""

RANDOM = "random"
"""Stands for every fault whose `FaultKind.random` is above 0."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An order for a fault.

    Attributes:
        name: A name of `KINDS`, or ``random``.
        probability: Chance at each opportunity (or second); under
            ``random`` a factor on the chances of all faults.
        at: Seconds after the first subscription before which it does not
            happen; 0 is any time.
        every: Least seconds between two.
        count: How often at most; None for any number.
        stream: Only frames of this stream.
        parameter: Only of the stream with this parameter: ``obu.400``.
        market: Only this market.
        feed: Only this feed.
        seconds: What the kind says; None for the kind's own default.
        code: Error code; None for the first that the kind takes.
    """

    name: str
    probability: float = 1.0
    at: float = 0.0
    every: float = 0.0
    count: int | None = 1
    stream: str | None = None
    parameter: str | None = None
    market: str | None = None
    feed: str | None = None
    seconds: float | None = None
    code: int | None = None


def own_keys(name: str) -> tuple[str, ...]:
    """Return the keys that a fault takes and not every other."""
    return tuple(key for key in _keys_of(name) if key not in TIMING)


def parse(text: str) -> Fault:
    """Return the fault that a text orders.

    Args:
        text: ``NAME[:KEY=VALUE,...]``.

    Raises:
        ConfigError: If the name, a key or a value is not legal; the message
            names what is.
    """
    name, _, rest = text.partition(":")
    keys = _keys_of(name)
    given: dict[str, str] = {}
    for part in rest.split(",") if rest else ():
        key, _, value = part.partition("=")
        if key not in keys:
            raise ConfigError(
                f"fault {name!r} takes {', '.join(keys)}, not {key or part!r}"
            )
        given[key] = value
    fields: dict[str, object] = {"name": name}
    for key, value in given.items():
        fields[key] = _value(name, key, value)
    if "count" not in fields and ({"probability", "every"} & given.keys()):
        fields["count"] = None
    return msgspec.convert(fields, Fault)


def _keys_of(name: str) -> tuple[str, ...]:
    if name == RANDOM:
        return ("probability", "at")
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigError(
            f"there is no fault {name!r}; there are {', '.join([RANDOM, *KINDS])}"
        )
    return kind.keys


def _value(name: str, key: str, text: str) -> object:
    if key in {"market", "parameter"}:
        return text
    if key == "stream":
        streams = KINDS[name].streams
        if text not in streams:
            raise ConfigError(
                f"fault {name!r} hits streams {', '.join(streams)}, not {text!r}"
            )
        return text
    if key == "feed":
        if text not in FEEDS:
            raise ConfigError(
                f"fault {name!r} hits feeds {', '.join(FEEDS)}, not {text!r}"
            )
        return text
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    highest = 1.0 if key == "probability" and name != RANDOM else 1e9
    if not 0 <= number <= highest:
        raise ConfigError(f"fault {name!r}: {key} cannot be {text!r}")
    if key in {"count", "code"}:
        is_code = key == "count" or number in KINDS[name].codes
        if number != int(number) or not is_code:
            raise ConfigError(f"fault {name!r}: {key} cannot be {text!r}")
        return int(number)
    return number


def expand(fault: Fault) -> tuple[Fault, ...]:
    """Return a fault itself, or all that ``random`` stands for."""
    if fault.name != RANDOM:
        return (fault,)
    return tuple(
        Fault(
            name=name,
            probability=min(1.0, kind.random * fault.probability),
            at=fault.at,
            count=None,
        )
        for name, kind in KINDS.items()
        if kind.random
    )


class Strike(NamedTuple):
    """A fault to perform now, with its ``seconds`` and ``code``, 0 for none."""

    name: str
    seconds: float
    code: int


class _Order:
    """A fault and how often it has happened."""

    __slots__ = ("code", "count", "fault", "last_ns", "rng", "seconds")

    def __init__(self, fault: Fault, rng: random.Random) -> None:
        self.fault = fault
        kind = KINDS[fault.name]
        self.seconds = kind.seconds if fault.seconds is None else fault.seconds
        self.code = (kind.codes or (0,))[0] if fault.code is None else fault.code
        self.rng = rng
        self.count = 0
        self.last_ns: int | None = None

    def is_due(self, now_ns: int, start_ns: int | None, chance: float) -> bool:
        fault = self.fault
        if fault.count is not None and self.count >= fault.count:
            return False
        if fault.at and (start_ns is None or now_ns < start_ns + fault.at * SECOND_NS):
            return False
        if self.last_ns is not None and now_ns < self.last_ns + fault.every * SECOND_NS:
            return False
        if chance < 1 and self.rng.random() >= chance:
            return False
        self.count += 1
        self.last_ns = now_ns
        return True


class FaultPlan:
    """All faults ordered, and the dice for them.

    Args:
        faults: The orders.
        seed: Of the dice.
        start_ns: When time begins to count; None until `begin`.
    """

    def __init__(
        self, faults: Iterable[Fault], *, seed: int, start_ns: int | None = None
    ) -> None:
        self._seed = seed
        self._feed: str | None = None
        # Shared with the views of this plan.
        self._start: list[int] = [] if start_ns is None else [start_ns]
        self._orders: dict[str, list[_Order]] = {}
        self._made = 0
        for fault in faults:
            self.order(fault)

    def begin(self, now_ns: int) -> None:
        """Note the first subscription; later ones change nothing."""
        if not self._start:
            self._start.append(now_ns)

    def of(self, feed: str) -> "FaultPlan":
        """Return this plan as one feed sees it; orders and counts are shared."""
        view = copy(self)
        view._feed = feed  # noqa: SLF001 - it is one of us
        return view

    def order(self, fault: Fault) -> None:
        """Add a fault; ``random`` adds many.

        Raises:
            ConfigError: If there is no fault of that name.
        """
        for one in expand(fault):
            _keys_of(one.name)  # refuses an unknown name
            rng = random.Random(f"{self._seed}:{one.name}:{self._made}")
            self._made += 1
            self._orders.setdefault(one.name, []).append(_Order(one, rng))

    def has(self, name: str) -> bool:
        """Return whether a fault was ever ordered."""
        return name in self._orders

    def longest(self, name: str) -> float:
        """Return the most ``seconds`` ordered for a fault; 0 for none."""
        orders = self._orders.get(name, ())
        return max((order.seconds for order in orders), default=0.0)

    def strike(
        self,
        name: str,
        now_ns: int,
        *,
        stream: str | None = None,
        parameter: str | None = None,
        market: str | None = None,
        elapsed_seconds: float | None = None,
    ) -> Strike | None:
        """Decide whether a fault happens at this opportunity.

        Args:
            name: The fault.
            now_ns: The present.
            stream: Stream of the frame, if it is about one.
            parameter: Of that stream, if it has one.
            market: Market of the frame or request, if it is about one.
            elapsed_seconds: For faults whose chance is by the second: how
                much time this opportunity stands for.

        Returns:
            What is to be performed now, or None.
        """
        start_ns = self._start[0] if self._start else None
        for order in self._orders.get(name, ()):
            fault = order.fault
            if fault.feed is not None and fault.feed != self._feed:
                continue
            if fault.stream is not None and fault.stream != stream:
                continue
            if fault.parameter is not None and fault.parameter != parameter:
                continue
            if fault.market is not None and fault.market != market:
                continue
            chance = fault.probability
            if elapsed_seconds is not None and chance < 1:
                chance = 1 - (1 - chance) ** elapsed_seconds
            if order.is_due(now_ns, start_ns, chance):
                return Strike(name, order.seconds, order.code)
        return None
