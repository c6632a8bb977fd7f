"""While a run records: its gaps that have ended are healed, a few at a time.

Also those that earlier runs of the job left. Reading goes on meanwhile: what is
slow happens in a thread or is awaited, and book snapshots are asked for first.
Who heals gaps of a feed holds the lock `backfill_lock_path` until what it stored
is durable, so that nobody stores it twice. A store that cannot be read ends no
recording: its gaps are healed later.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from recorder.capture.backfill_asking import Asker
from recorder.capture.backfill_gaps import Healing, Target, heal_gap, is_told, target_of
from recorder.capture.backfill_healing import Healer, Outcome, Pace, history_of
from recorder.capture.backfill_rows import BackfillRows
from recorder.capture.backfill_stored import Stored
from recorder.capture.plan import CapturePlan
from recorder.capture.questions import Questions, open_questions
from recorder.capture.rest import RestClient
from recorder.capture.session import Session
from recorder.capture.shared import Shared
from recorder.clock import Clock
from recorder.errors import StoreError
from recorder.model import Gap
from recorder.store.disk import told
from recorder.store.layout import backfill_lock_path
from recorder.store.listing import open_listing
from recorder.store.locks import Lock, try_lock
from recorder.telemetry import GapHealed, GapNotHealed, GapsLeft, HealingPutOff, emit


ROUND: Final = 32
"""Gaps healed before others who would like to may have their turn."""

BACKLOG_MAX: Final = 20_000
"""Gaps remembered; there are not more chains that a run can have."""

POLL_SECONDS: Final = 0.25
LOCKED_SECONDS: Final = 5.0

TROUBLE_SECONDS: Final = (5.0, 600.0)
"""First and longest time between two tries to read a store that cannot be read."""


class _Entry:
    """A gap that is to be healed."""

    __slots__ = ("attempts", "due_ns", "gap", "outcomes")

    def __init__(self, gap: Gap, due_ns: int) -> None:
        self.gap = gap
        self.due_ns = due_ns
        self.attempts = 0
        self.outcomes: tuple[Outcome, ...] = ()


class Backlog:
    """The gaps of a run that are to be healed.

    Args:
        plan: What is recorded.
        pace: How soon and how often.
    """

    def __init__(self, plan: CapturePlan, pace: Pace) -> None:
        self._plan = plan
        self._pace = pace
        self._entries: dict[str, _Entry] = {}
        self._is_full = False

    def __len__(self) -> int:
        return len(self._entries)

    def see(self, gap: Gap) -> None:
        """Note a revision of a gap."""
        if gap.scope != "rows" or gap.ended_at is None:
            return
        if gap.healed_by is not None:
            self._entries.pop(gap.gap_id, None)
            return
        if not self.target(gap).chains:
            return
        if len(self._entries) >= BACKLOG_MAX:
            if not self._is_full:
                self._is_full = True
                emit(GapsLeft(gaps=len(self._entries)))
            return
        due_ns = gap.ended_at + int(self._pace.first_seconds * 1e9)
        self._entries.setdefault(gap.gap_id, _Entry(gap, due_ns))

    def target(self, gap: Gap) -> Target:
        """Return what can be healed of a gap."""
        return target_of(self._plan.source, gap, self._plan.chains)

    def due(self, now: int) -> list[_Entry]:
        """Return gaps whose time has come, those that ended first in front."""
        due = [entry for entry in self._entries.values() if entry.due_ns <= now]
        return sorted(due, key=lambda entry: entry.due_ns)[:ROUND]

    def settle(self, entry: _Entry, healing: Healing, now: int) -> bool:
        """Note what became of a gap; return whether it will be tried again."""
        entry.outcomes = healing.outcomes
        pauses = self._pace.retry_seconds
        if healing.state == "later" and entry.attempts < len(pauses):
            entry.due_ns = now + int(pauses[entry.attempts] * 1e9)
            entry.attempts += 1
            return True
        self._entries.pop(entry.gap.gap_id, None)
        return False

    def drop(self, entry: _Entry) -> None:
        """Forget a gap."""
        self._entries.pop(entry.gap.gap_id, None)

    def postpone(self, entry: _Entry, until: int) -> None:
        """Leave a gap alone for a while."""
        entry.due_ns = until


class Backfiller:
    """Heals the gaps of a run.

    Args:
        plan: What is recorded.
        session: Takes rows, tells of gaps, and has its books asked for first.
        clock: Our clock.
        shared: Says how fast connections may be opened.
        pace: How soon and how often.

    Attributes:
        backlog: What is to be healed.
        is_wanted: Whether there is anything that it could heal.
    """

    def __init__(
        self,
        plan: CapturePlan,
        session: Session,
        clock: Clock,
        shared: Shared,
        pace: Pace,
    ) -> None:
        self.backlog = Backlog(plan, pace)
        able = any(history_of(plan.source, chain) for chain in plan.chains)
        self.is_wanted = plan.config.is_backfilling and able
        self._plan = plan
        self._session = session
        self._rows = session.past
        self._clock = clock
        self._pace = pace
        self._connects = shared.connects(plan.source, plan.ws_url)
        self._lock: Lock | None = None
        if self.is_wanted:
            self._rows.on_gap(self.backlog.see)

    def release(self) -> None:
        """Let others heal gaps of the feed: all that was put is durable, or lost."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    async def run(
        self,
        rest: RestClient,
        *,
        through_ns: Callable[[], int],
        is_ready: Callable[[], bool],
    ) -> None:
        """Heal gaps as they become due, for ever; call `release` after the end.

        Args:
            rest: Asks the venue by HTTP.
            through_ns: Until when what was received is durable.
            is_ready: Whether the account of the job is this run's.
        """
        plan = self._plan
        keeper = _LiveKeeper(plan, self._rows, self._clock, through_ns)
        asker = Asker(
            plan.options,
            plan.secrets,
            get=rest.get,
            ask=self._open_questions,
            per_second=plan.source.rest_per_second,
            clock=self._clock,
            is_busy=lambda: self._session.books.are_due(self._clock.now_ns()),
            on_nonsense=self._rows.useless,
        )
        healer = Healer(plan.source, asker, keeper, self._pace, self._clock)
        while not is_ready():  # noqa: ASYNC110 - another run has the job still
            await asyncio.sleep(POLL_SECONDS)
        pause, has_left = 0.0, False
        try:
            while True:
                await asyncio.sleep(max(pause, POLL_SECONDS))
                try:
                    if not has_left:
                        await self._see_left(keeper)
                        has_left = True
                    await self._heal_due(healer, keeper, asker)
                    pause = 0.0
                except StoreError as error:
                    first, longest = TROUBLE_SECONDS
                    pause = min(2 * pause or first, longest)
                    emit(HealingPutOff(why=str(error), retry_in_seconds=pause))
                if self._lock is not None:
                    await keeper.durable()
                    self.release()
        finally:
            await asker.close()

    async def _see_left(self, keeper: "_LiveKeeper") -> None:
        """Take in the gaps that earlier runs left."""
        await keeper.durable()
        for gap in await asyncio.to_thread(keeper.left_by_earlier_runs):
            self.backlog.see(gap)

    async def _heal_due(
        self, healer: Healer, keeper: "_LiveKeeper", asker: Asker
    ) -> None:
        due = self.backlog.due(self._clock.now_ns())
        if due:
            await self._round(due, healer)
        else:
            await asker.close()

    @asynccontextmanager
    async def _open_questions(self) -> AsyncIterator[Questions]:
        await self._connects.take()
        plan = self._plan
        async with open_questions(
            plan.source,
            plan.ws_url,
            options=plan.options,
            secrets=plan.secrets,
            clock=self._clock,
        ) as questions:
            yield questions

    async def _round(self, due: list[_Entry], healer: Healer) -> None:
        """Heal some gaps, unless somebody else does."""
        plan, backlog = self._plan, self.backlog
        path = backfill_lock_path(plan.config.store, plan.source.name)
        with told(f"lock {path}"):
            self._lock = try_lock(path)
        if self._lock is None:
            later = self._clock.now_ns() + int(LOCKED_SECONDS * 1e9)
            for entry in due:
                backlog.postpone(entry, later)
            return
        try:
            targets = [(entry, backlog.target(entry.gap)) for entry in due]
            self._rows.watch({c.market for _, target in targets for c in target.chains})
            stored = await healer.begin()
            ids = [entry.gap.gap_id for entry in due]
            gaps = await asyncio.to_thread(stored.gaps, plan.job, ids)
            unhealed = {gap.gap_id: gap for gap in gaps if gap.ended_at is not None}
            for entry, target in targets:
                gap = unhealed.get(entry.gap.gap_id)
                if gap is None:  # somebody else was here, or it is told otherwise
                    backlog.drop(entry)
                    continue
                newest = target._replace(gap=gap)
                healing = await heal_gap(healer, newest, entry.outcomes)
                if not backlog.settle(entry, healing, self._clock.now_ns()):
                    self._tell(healing)
        finally:
            self._rows.watch(())

    def _tell(self, healing: Healing) -> None:
        """Put down what became of a gap."""
        if healing.state == "none":
            return
        if healing.is_news:
            self._rows.revise(healing.revision)
        gap, rows = healing.gap, healing.rows
        market, stream, reason = gap.market, gap.stream, gap.reason
        if healing.state == "healed":
            emit(GapHealed(market=market, stream=stream, reason=reason, rows=rows))
        elif healing.is_news or healing.is_trouble:
            emit(
                GapNotHealed(
                    market=market,
                    stream=stream,
                    reason=reason,
                    rows=rows,
                    why=healing.text,
                )
            )


class _LiveKeeper:
    """Hands rows to a run that records."""

    def __init__(
        self,
        plan: CapturePlan,
        rows: BackfillRows,
        clock: Clock,
        through_ns: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._rows = rows
        self._clock = clock
        self._through_ns = through_ns
        self.frame = rows.frame
        self.put = rows.put
        self.revise = rows.revise
        self.pushed = rows.pushed

    def left_by_earlier_runs(self) -> list[Gap]:
        """Return the gaps of the job that nobody has healed; it reads the store."""
        # What the venue did not tell an earlier run, it does not tell this one.
        return [gap for gap in self._open().gaps(self._plan.job) if not is_told(gap)]

    async def durable(self) -> None:
        """Wait until all that was put is on the disk."""
        now = self._clock.now_ns()
        while self._through_ns() < now:  # noqa: ASYNC110 - a thread writes
            await asyncio.sleep(0.02)

    async def stored(self) -> Stored:
        """Return the store once all is in it that was received until now."""
        await self.durable()
        return await asyncio.to_thread(self._open)

    async def ease(self) -> None:
        """Wait while too many rows wait for the disk."""
        while self._rows.is_crowded:  # noqa: ASYNC110 - a thread writes
            await asyncio.sleep(0.05)

    def _open(self) -> Stored:
        listing = open_listing(self._plan.config.store, is_living=True)
        return Stored(listing, self._plan.source.name)
