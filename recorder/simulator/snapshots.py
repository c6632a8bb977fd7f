"""Order books as REST gives them: real states, but of some age."""

from collections import deque
from collections.abc import Callable

import msgspec

from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Context
from recorder.simulator.engine import Engine, Market
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.settings import Settings


_HISTORY_EVERY_NS = SECOND_NS // 4


class Snapshot(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A market's whole book at an instant.

    Attributes:
        made_ns: When it was taken down.
        changed_ns: When the book had changed last.
        update_id: Id of that change.
        bids: (ticks, lots), best first.
        asks: (ticks, lots), best first.
    """

    made_ns: int
    changed_ns: int
    update_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Snapshots:
    """Takes books down, for now or for later.

    Attributes:
        on_taken: Told the market whenever its book as it stands is taken
            down: somebody may be shown it.
    """

    def __init__(self, engine: Engine, settings: Settings, context: Context) -> None:
        self.on_taken: Callable[[str], None] = _ignore
        self._engine = engine
        self._context = context
        self._age_ns = int(settings.snapshot_age_seconds * SECOND_NS)
        self._aged: dict[str, Snapshot] = {}
        self._due_ns: dict[str, int] = {}
        # For the fault: books of the last seconds, oldest first.
        self._history: dict[str, deque[Snapshot]] = {
            name: deque() for name in engine.markets
        }
        self._history_due_ns = 0

    def publish(self, now_ns: int) -> None:
        """Take down the books that are to age; ``now_ns`` is the present."""
        if self._age_ns:
            for number, market in enumerate(self._engine.markets.values()):
                self._renew(market, number, now_ns)
        if self._context.plan.has("stale_snapshot") and now_ns >= self._history_due_ns:
            self._history_due_ns = now_ns + _HISTORY_EVERY_NS
            longest = self._context.plan.longest("stale_snapshot")
            oldest_ns = now_ns - int(longest * SECOND_NS)
            for name, history in self._history.items():
                history.append(self._take(name, now_ns))
                while history[0].made_ns < oldest_ns:
                    history.popleft()

    def current(self, market: str, now_ns: int) -> Snapshot:
        """Return a market's book as REST gives it at this moment."""
        aged = self._aged.get(market)
        return aged if aged is not None else self._take(market, now_ns)

    def stale(self, market: str, seconds: float, now_ns: int) -> Snapshot:
        """Return the oldest book that is not older than so many seconds."""
        for snapshot in self._history[market]:
            if snapshot.made_ns >= now_ns - seconds * SECOND_NS:
                return snapshot
        return self.current(market, now_ns)

    def _renew(self, market: Market, number: int, now_ns: int) -> None:
        name = market.spec.name
        due_ns = self._due_ns.get(name)
        if due_ns is not None and now_ns < due_ns:
            return
        # The first time is spread, so that the books differ in age.
        share = 8 if due_ns is not None else number % 8 + 1
        self._due_ns[name] = now_ns + self._age_ns * share // 8
        self._aged[name] = self._take(name, now_ns)

    def _take(self, name: str, now_ns: int) -> Snapshot:
        self.on_taken(name)
        market = self._engine.markets[name]
        return Snapshot(
            made_ns=now_ns,
            changed_ns=market.changed_ns,
            update_id=market.update_id,
            bids=market.book.top(BID),
            asks=market.book.top(ASK),
        )


def _ignore(market: str) -> None:
    """Do nothing: nobody listens yet."""
