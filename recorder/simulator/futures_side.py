"""The futures side of the exchange: its contracts, its sockets, its REST calls."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec
from aiohttp import web

from recorder.simulator.connection import Context
from recorder.simulator.contracts import SETTLES
from recorder.simulator.engine import Engine, Trade
from recorder.simulator.futures import DECIMAL_HEADER, Futures
from recorder.simulator.perpetuals import Perpetual, Perpetuals
from recorder.simulator.rest_futures import FuturesRest
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshots


class FuturesSide:
    """All there is of futures.

    Attributes:
        engine: The contracts.
        perpetuals: What they have beyond a market, by name.
    """

    def __init__(self, settings: Settings, context: Context, start_ns: int) -> None:
        """Make the contracts and let them trade for a while.

        Args:
            settings: Which contracts, and how the exchange behaves.
            context: Faults and truth.
            start_ns: The present.
        """
        context = msgspec.structs.replace(context, plan=context.plan.of("futures"))
        contracts = settings.all_contracts()
        self.engine = Engine(
            [contract.spec for contract in contracts],
            seed=settings.seed,
            rates=settings.contract_rates(),
            start_ns=start_ns,
            warmup_events=settings.warmup_events,
            empty=settings.empty_contracts,
        )
        self.perpetuals = {
            contract.spec.name: Perpetual(
                contract,
                self.engine.markets[contract.spec.name],
                seed=settings.seed,
                chance=settings.liquidation_chance,
            )
            for contract in contracts
        }
        self._time = Perpetuals(self.perpetuals)
        by_settle: dict[str, dict[str, Perpetual]] = {settle: {} for settle in SETTLES}
        for name, perpetual in self.perpetuals.items():
            by_settle[perpetual.contract.settle][name] = perpetual
        self._feeds = {
            (settle, is_decimal): Futures(
                by_settle[settle],
                settings,
                context,
                settle=settle,
                is_decimal=is_decimal,
            )
            for settle in SETTLES
            for is_decimal in (False, True)
        }
        self._snapshots = Snapshots(self.engine, settings, context)
        self._snapshots.on_taken = self._snapshot_given
        self._rest = FuturesRest(by_settle, settings, context, self._snapshots)

    @property
    def settles(self) -> tuple[str, ...]:
        """What there are contracts settled in."""
        used = {one.contract.settle for one in self.perpetuals.values()}
        return tuple(settle for settle in SETTLES if settle in used)

    def names_of(self, settle: str) -> tuple[str, ...]:
        """Return the contracts that are settled so."""
        return tuple(
            name
            for name, one in self.perpetuals.items()
            if one.contract.settle == settle
        )

    def routes(self) -> Iterator[web.RouteDef]:
        """Return the REST calls as routes."""
        yield from self._rest.routes()

    def feed_for(self, request: web.Request) -> Futures | None:
        """Return the feed that a client connects to; None if there is none."""
        is_decimal = request.headers.get(DECIMAL_HEADER) == "1"
        return self._feeds.get((request.match_info["settle"], is_decimal))

    def advance(self, now_ns: int) -> Sequence[Trade]:
        """Let the contracts trade up to the present; return the trades."""
        return self.engine.advance(now_ns)

    def publish(self, now_ns: int, trades: Sequence[Trade]) -> None:
        """Send what is due.

        Args:
            now_ns: The present.
            trades: What was traded since the last call, in order.
        """
        self._snapshots.publish(now_ns)
        liquidations = self._time.advance(now_ns)
        by_settle: dict[str, list[Trade]] = defaultdict(list)
        for trade in trades:
            by_settle[self.perpetuals[trade.market].contract.settle].append(trade)
        for (settle, _), feed in self._feeds.items():
            feed.publish(now_ns, by_settle[settle], liquidations)

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time, and drop idle connections."""
        for feed in self._feeds.values():
            feed.strike_time(now_ns, elapsed_seconds)

    def _snapshot_given(self, market: str) -> None:
        for feed in self._feeds.values():
            feed.snapshot_given(market)
