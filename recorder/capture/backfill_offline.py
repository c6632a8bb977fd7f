"""Healing a store afterwards: what the gaps of earlier runs lost.

A run of its own with journals of its own, whose job is named after the feed: so
nobody does it twice at once. Captures may record into the store meanwhile; those
that heal gaps themselves wait for the lock, and so does this.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from recorder.capture.backfill_asking import Asker
from recorder.capture.backfill_gaps import Target, heal_gap, target_of
from recorder.capture.backfill_healing import NOT_STARTED, Healer, Pace
from recorder.capture.backfill_rows import BackfillRows
from recorder.capture.backfill_stored import Stored
from recorder.capture.doubles import Doubles
from recorder.capture.handshake import open_http
from recorder.capture.plan import with_query
from recorder.capture.questions import Questions, open_questions
from recorder.capture.rest import Budget, RestClient
from recorder.capture.rows import Rows
from recorder.clock import SystemClock, wall_ns
from recorder.errors import StoreError
from recorder.model import Chain, Gap
from recorder.source import Secrets, Source
from recorder.store.layout import backfill_lock_path
from recorder.store.listing import open_listing
from recorder.store.locks import Lock, try_lock
from recorder.store.revisions import newest_row_ns
from recorder.store.run import Run, open_run
from recorder.store.runfile import living_runs
from recorder.store.writer import Flush, Writer


JOB: Final = "backfill"

TROUBLES_MAX: Final = 3
"""After so many gaps in a row about which a venue could not be asked, no more is
asked."""

State = Literal["healed", "partial", "later", "open", "unable"]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which gaps are to be healed.

    Attributes:
        market: Only those of this market; None for all.
        start_ns: Only those that end after this time, our clock, nanoseconds.
        end_ns: Only those that begin before it.
    """

    market: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None

    def has(self, gap: Gap) -> bool:
        """Return whether a gap is among them."""
        ended_at = gap.ended_at
        return not (
            (self.market is not None and gap.market not in (self.market, None))
            or (
                self.start_ns is not None
                and ended_at is not None
                and ended_at <= self.start_ns
            )
            or (self.end_ns is not None and gap.started_at >= self.end_ns)
        )


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one gap.

    Attributes:
        gap: As it was.
        state: ``healed``; ``partial``: not all is told; ``later``: it could
            not be told now; ``open``: it lasts still; ``unable``: nothing of
            its kind is told afterwards. Before anything was asked, ``later``
            stands for what would be.
        rows: Rows stored.
        text: In words.
        is_trouble: Whether the venue could not be asked.
    """

    gap: Gap
    state: State
    rows: int = 0
    text: str = ""
    is_trouble: bool = False


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue is reached.

    Attributes:
        source: The feed.
        options: Its options, all of them.
        secrets: Its keys.
        rest_url: Where it is asked by HTTP.
        ws_url: Where its WebSocket is.
    """

    source: Source
    options: Mapping[str, str]
    secrets: Secrets
    rest_url: str
    ws_url: str


def look(root: Path, source: Source, choice: Choice) -> list[Told]:
    """Return what would be healed of a feed; nothing is asked or stored.

    Args:
        root: The store's folder.
        source: The feed.
        choice: Which gaps.

    Raises:
        StoreError: If the store cannot be read.
    """
    stored = Stored(open_listing(root), source.name)
    return [_first_look(target) for target in _targets(stored, source, choice)]


def _targets(stored: Stored, source: Source, choice: Choice) -> list[Target]:
    chains = stored.chains()
    return [
        target_of(source, gap, chains.get(gap.job, ()))
        for gap in stored.gaps()
        if choice.has(gap) and not _is_beginning(stored, gap)
    ]


def _is_beginning(stored: Stored, gap: Gap) -> bool:
    """Return whether a gap lies before all that its job ever recorded of a chain."""
    if gap.reason != NOT_STARTED:
        return False
    chain = Chain(gap.market or "", gap.stream or "")
    return not stored.was_recorded(gap.job, chain, gap.started_at)


def _first_look(target: Target) -> Told:
    gap = target.gap
    if gap.ended_at is None:
        return Told(gap=gap, state="open", text="nobody has recorded it since")
    if not target.chains:
        return Told(gap=gap, state="unable", text="its venue tells no history of it")
    return Told(gap=gap, state="later", text="not asked about yet")


async def heal_store(
    root: Path,
    address: Address,
    choice: Choice,
    *,
    on_told: Callable[[Told], None],
    pace: Pace | None = None,
) -> None:
    """Heal the gaps of one feed in a store, as far as its venue tells it.

    Args:
        root: The store's folder; what dead runs left in it has been recovered.
        address: How the venue is reached.
        choice: Which gaps.
        on_told: Told of each gap, in their order.
        pace: How far outside a gap to look.

    Raises:
        JobRunningError: If somebody else does that.
        StoreError: If the disk refuses.
    """
    source, pace = address.source, pace or Pace()
    run = open_run(
        root, job=f"{JOB}-{source.name}", source=source.name, now_ns=wall_ns()
    )
    failures: list[StoreError] = []
    writer = Writer(run, on_error=failures.append)
    writer.start()
    # Nothing is lost if it fails: what a venue tells, it tells again.
    writer.hurry()
    try:
        async with _locked(root, source.name), open_http() as http:
            last_ns = newest_row_ns(open_listing(root), source.name)
            clock = SystemClock(last_ns + 1)
            rest = RestClient(
                http,
                address.rest_url,
                Budget(source.rest_per_second),
                reset_header=source.reset_header,
            )
            rows = Rows(source.name, run.id, clock)
            keeper = _Keeper(run, writer, rows, clock, failures)
            asker = Asker(
                address.options,
                address.secrets,
                get=rest.get,
                ask=lambda: _questions(address, clock),
                per_second=source.rest_per_second,
                clock=clock,
                is_busy=lambda: False,
                on_nonsense=keeper.useless,
            )
            healer = Healer(source, asker, keeper, pace, clock)
            try:
                await _heal(healer, keeper, source, choice, on_told, pace)
            finally:
                await asker.close()
                await keeper.flush()
    except BaseException:
        await _close(writer, run, is_failed=True)
        raise
    await _close(writer, run, is_failed=False)


async def _close(writer: Writer, run: Run, *, is_failed: bool) -> None:
    """Commit what was written, and let go of the run."""
    try:
        await asyncio.to_thread(writer.close)
    except StoreError:
        run.abandon()
        if not is_failed:
            raise
        return
    run.release()


async def _heal(
    healer: Healer,
    keeper: "_Keeper",
    source: Source,
    choice: Choice,
    on_told: Callable[[Told], None],
    pace: Pace,
) -> None:
    """Heal one gap after another."""
    stored = await healer.begin()
    troubles = 0
    for target in _targets(stored, source, choice):
        told = _first_look(target)
        if told.state != "later":
            on_told(told)
            continue
        if why := _unripe(keeper.root, target.gap, pace):
            on_told(msgspec.structs.replace(told, text=why))
            continue
        if troubles >= TROUBLES_MAX:
            text = "not asked about, for the venue could not be asked before"
            on_told(msgspec.structs.replace(told, text=text, is_trouble=True))
            continue
        healing = await heal_gap(healer, target)
        troubles = troubles + 1 if healing.is_trouble else 0
        if healing.state == "none":
            continue
        if healing.is_news:
            keeper.revise(healing.revision)
        await keeper.flush()
        on_told(
            Told(
                gap=target.gap,
                state=healing.state,
                rows=healing.rows,
                text=healing.text,
                is_trouble=healing.is_trouble,
            )
        )


def _unripe(root: Path, gap: Gap, pace: Pace) -> str | None:
    """Return why a gap is left alone now; None if it is not.

    A run that records may not have written yet what came after the gap.
    """
    after = (gap.ended_at or 0) + int(pace.overlap_seconds * 1e9)
    for run in living_runs(root):
        if run.job == gap.job and run.through_ns < after:
            return "its job has only just gone on"
    return None


@asynccontextmanager
async def _questions(address: Address, clock: SystemClock) -> AsyncIterator[Questions]:
    async with open_questions(
        address.source,
        with_query(address.ws_url, address.source.ws_query(address.options)),
        options=address.options,
        secrets=address.secrets,
        clock=clock,
    ) as questions:
        yield questions


@asynccontextmanager
async def _locked(root: Path, source: str) -> AsyncIterator[Lock]:
    """Hold the lock of who heals; a capture that does lets go of it soon."""
    path = backfill_lock_path(root, source)
    while (lock := await asyncio.to_thread(try_lock, path)) is None:  # noqa: ASYNC110 - another process holds it
        await asyncio.sleep(0.2)
    try:
        yield lock
    finally:
        lock.release()


class _Keeper(BackfillRows):
    """Hands rows to a run that only heals."""

    def __init__(
        self,
        run: Run,
        writer: Writer,
        rows: Rows,
        clock: SystemClock,
        failures: Sequence[StoreError],
    ) -> None:
        super().__init__(rows, Doubles(), is_archiving=False)
        self._failures = failures
        self._flushes = 0
        self.root = run.root
        self._source = run.source
        self._writer = writer
        self._clock = clock

    async def flush(self) -> None:
        """Wait until all that was put is on the disk.

        Raises:
            StoreError: If the disk refuses.
        """
        rows = self._rows
        if rows.waiting:
            now = self._clock.now_ns()
            taken = rows.take()
            flush = Flush(rows=taken.rows, blocks=taken.blocks, through_ns=now)
            while not self._writer.submit(flush):  # noqa: ASYNC110 - a thread writes
                await asyncio.sleep(0.01)
            self._flushes += 1
        while self._writer.stats().flushes < self._flushes:
            if self._failures:
                raise self._failures[0]
            await asyncio.sleep(0.01)
        rows.written(self._flushes)

    async def stored(self) -> Stored:
        """Return the store, with all that was put."""
        await self.flush()
        return await asyncio.to_thread(
            lambda: Stored(open_listing(self.root), self._source)
        )

    async def ease(self) -> None:
        """Write what was put, if it is much."""
        if self._rows.waiting >= _ROWS_WAITING:
            await self.flush()


_ROWS_WAITING: Final = 5_000
