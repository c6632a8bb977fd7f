"""Taking over: a run records beside another of its job, then takes its place.

It has its own connections and stores what it receives. It asks the other to
leave once it records everything: all its chains are accepted, and its books
are known or have had their time. Until the other is gone, by itself, asked, or
killed, the other keeps the account of the job, and goes on if this one fails.
Then this one lays its own account over it (`recorder.store.overlay`).

One that does not answer is not waited for for ever, and not killed either: it
loses the job, and finds that out before it writes anything more.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from recorder.capture.ending import LOOK_SECONDS
from recorder.capture.held_depth import BYTES_MAX, HeldDepth
from recorder.capture.in_step import InStep
from recorder.capture.insisting import delay, insist
from recorder.capture.plan import CapturePlan
from recorder.capture.seams import joints, seams, unknown_at_end
from recorder.capture.session import Session
from recorder.clock import Clock, SystemClock, wall_ns
from recorder.continuity import Continuity
from recorder.errors import DiskError
from recorder.model import Chain, Gap, beside
from recorder.store.disk import told
from recorder.store.job_lock import (
    JobLock,
    Successor,
    take_job,
    take_or_follow,
    tell_of_many,
)
from recorder.store.kept import Kept
from recorder.store.ledger import Ledger
from recorder.store.listing import open_listing
from recorder.store.overlay import Overlay
from recorder.store.recover import recover, settle_hung
from recorder.store.revisions import gaps_of_job, newest_row_ns
from recorder.store.run import Run
from recorder.store.runfile import read_run_file, run_lock_path
from recorder.store.unlaid import Last, read_last
from recorder.store.writer import Flush
from recorder.telemetry import (
    AskedToLeave,
    TakeOverAsked,
    TakeOverBegan,
    TakeOverDone,
    TakeOverForced,
    emit,
)


BOOKS_SECONDS: Final = 30.0
"""How long books may stay unknown after all chains were accepted, and clocks apart."""

SETTLE_SECONDS: Final = 3.0
"""So long both record everything. What was executed before this run was accepted
comes over the connections of the other alone, and they may be behind."""

HELD_MAX: Final = BYTES_MAX
"""How much memory depth messages may take until the other is gone."""

ROWS_MAX: Final = 1_000_000
"""More messages than can come while the account is made."""

TORN: Final = "it does not go on where the run before ended"

HUNG_SECONDS: Final = 30.0
"""Who has not heard so long after it was asked to leave does not live."""

LEAVING_SECONDS: Final = 600.0
"""Who has heard gets so long to write what it has."""


class TakeOver:
    """What a run does until it has the job of another.

    Args:
        run: The run; it has nothing to take over if it has its job already.
        plan: What it records.
        session: Records it.
        ledger: Its ledger.
        clock: Its clock.
        began_at: When its ledger began, nanoseconds.
        in_step: Keeps its clock in step with the other's.

    Attributes:
        is_over: Whether the job is this run's, and its account as well.
    """

    def __init__(
        self,
        run: Run,
        plan: CapturePlan,
        session: Session,
        ledger: Ledger,
        clock: Clock,
        began_at: int,
        in_step: InStep,
    ) -> None:
        self.is_over = run.successor is None
        self._run = run
        self._plan = plan
        self._session = session
        # What is to wait here comes as rows, not in blocks.
        session.plain.is_held = not self.is_over
        self._ledger = ledger
        self._clock = clock
        self._began_at = began_at
        self._in_step = in_step
        self._untold: frozenset[str] = frozenset()
        self._kept = Kept()
        self._held = HeldDepth(HELD_MAX)
        self._covered_at: float | None = None

    def withheld(self, flush: Flush) -> Flush:
        """Return what of a flush is stored now: until it is over, no account."""
        if self.is_over:
            return self._without_untold(flush) if self._untold else flush
        rows = {}
        for (table, source), part in flush.rows.items():
            if table in ("coverage", "gaps"):
                self._kept.see(row[4] for row in part)
            elif table == "depth":
                rows[table, source] = self._held.hold(part)
            else:
                rows[table, source] = part
        return msgspec.structs.replace(flush, rows=rows, state=None)

    def _without_untold(self, flush: Flush) -> Flush:
        """Leave out what is said later of gaps that were not stored."""
        key = "gaps", self._plan.source.name
        left = [
            row for row in flush.rows.get(key, ()) if row[4].gap_id not in self._untold
        ]
        return msgspec.structs.replace(flush, rows=flush.rows | {key: left})

    def ended(self, flush: Flush, at: int) -> Flush:
        """Return the last flush of a run, with what there is to say if it has no job.

        Args:
            flush: What is left to be stored, without an account.
            at: When it ended, nanoseconds.
        """
        if self.is_over:
            return flush
        gap = beside(self._run.id, self._plan.job, "process_stopped", at)
        row = (at, f"{self._run.id}.ledger", 0, 0, gap, None)
        rows = flush.rows | {("gaps", self._plan.source.name): [row]}
        return msgspec.structs.replace(flush, rows=rows)

    async def wait(self) -> None:
        """Wait until the job is this run's; ask for it as soon as it is time.

        Raises:
            StoreError: If the store cannot be written.
        """
        if self._run.successor is None:
            return
        emit(TakeOverBegan(job=self._plan.job, run=self._run.id))
        run, job = self._run, self._plan.job
        with told(f"write to the store {run.root}"):
            lock = await wait_for_job(self._run.successor, self._is_live, run, job)
        # From here on nobody else records it.
        await insist(partial(run.take_over, lock), run.root, job)

    async def lay(self, hand: Callable[[Flush], None]) -> None:
        """Make the account of the job this run's.

        Args:
            hand: Takes flushes, to be written in their order.

        What the disk refuses for now is tried again: nobody else records any more.

        Raises:
            StoreError: If the store cannot be read for good.
        """
        source = self._plan.source.name
        store, job = self._plan.config.store, self._plan.job
        gaps, theirs, newest = await insist(self._read, store, job)
        await self._until_received(theirs)
        ended_at = _ended_at(gaps, theirs)
        if isinstance(self._clock, SystemClock):
            # Revisions of gaps are newer than what they revise, and messages that
            # waited are older than those to come.
            newest = max(newest, ended_at)
            self._clock.not_before(newest + len(self._held) + ROWS_MAX)
        # Nothing is awaited from here on: nothing is received meanwhile.
        now = self._clock.now_ns()
        received = self.withheld(self._session.take(now))
        rows = self._held.of_chains(ended_at)
        stored_at = ended_at + len(self._held)
        overlay = Overlay(
            self._plan.job,
            self._run.id,
            self._ledger,
            self._kept,
            gaps,
            began_at=self._began_at,
            alike_from=self._in_step.since(now),
            settle_ns=round(SETTLE_SECONDS * 1e9),
            joints=joints(self._session.books, theirs, rows, stored_at),
        )
        hand(msgspec.structs.replace(received, state=overlay.state()))
        laid = overlay.lay(now)
        self._session.note(laid)
        self._untold = self._kept.untold(laid)
        unknown = unknown_at_end(gaps, theirs, ended_at)
        found = seams(
            self._session.books, theirs, rows, laid, unknown, is_full=self._held.is_full
        )
        torn = {chain: one.continuity for chain, one in found.items() if one.is_torn}
        self._session.note(overlay.reopened(torn, ended_at))
        lasts = {chain: last.at for chain, last in theirs.items()}
        self._session.note(overlay.unvouched(lasts))
        for chain in found.keys() - torn.keys():
            # What came later is told of as it came.
            spans = [span for span in found[chain].unknown if span[0] <= stored_at]
            self._session.note(overlay.hidden(chain, spans))
        self.is_over = True
        self._session.plain.is_held = False
        for chain, continuity in torn.items():
            self._begin_anew(chain, continuity, ended_at)
        # Those who find the messages that waited find the account as well: what
        # is stored of one and the same flush becomes a segment after all of it.
        flush = self._session.take(now)
        key = "depth", source
        left = self._held.hold(flush.rows.get(key, []))
        depth = [*self._held.release(ended_at, theirs, torn), *left]
        hand(msgspec.structs.replace(flush, rows=flush.rows | {key: depth}))
        emit(TakeOverDone(job=self._plan.job, run=self._run.id))

    def _read(self) -> tuple[Sequence[Gap], dict[Chain, Last], int]:
        """Return gaps of the job, what others received last, and the newest row."""
        store, source = self._plan.config.store, self._plan.source.name
        recover(store)
        listing = open_listing(store, is_living=True)
        found = (
            gaps_of_job(listing, self._plan.job),
            read_last(listing, source, self._run.id, self._began_at),
            newest_row_ns(listing, source),
        )
        # A volume that vanished leaves an empty folder, which looks like a store.
        run_lock_path(store, self._run.id).stat()
        return found

    async def _until_received(self, theirs: Mapping[Chain, Last]) -> None:
        """Wait, but not for long, until we have what the other run had."""
        books = self._session.books
        deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS

        def is_behind(chain: Chain, last: Last) -> bool:
            return books[chain].continuity.received < last.update_id

        for chain, last in theirs.items():
            while chain in books and is_behind(chain, last):
                if asyncio.get_running_loop().time() > deadline:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    def _begin_anew(self, chain: Chain, continuity: Continuity, at: int) -> None:
        """Ask for a book which a replay does not know from a time on."""
        books = self._session.books
        books[chain].resume(continuity, books.lost(chain))
        if self._ledger.is_covered(chain):
            books.ask_anew(chain, at, TORN)

    def _is_live(self) -> bool:
        """Return whether nothing is missing if the other run leaves now."""
        session, now = self._session, asyncio.get_running_loop().time()
        self._in_step.look()
        chains = [c for c in self._plan.chains if c not in session.refused]
        is_covered = bool(chains) and all(map(self._ledger.is_covered, chains))
        if is_covered and session.refused:
            is_covered = self._theirs().isdisjoint(session.refused)
        if not is_covered:
            self._covered_at = None
            return False
        self._covered_at = now if self._covered_at is None else self._covered_at
        seconds, books = now - self._covered_at, session.books
        settled_at = self._clock.now_ns() - round(SETTLE_SECONDS * 1e9)
        is_ready = self._in_step.is_since(settled_at)
        if is_ready and all(books[c].is_live for c in chains if c in books):
            return seconds >= SETTLE_SECONDS
        return seconds >= BOOKS_SECONDS

    def _theirs(self) -> set[Chain]:
        """Return what the other run covers now."""
        successor = self._run.successor
        holder = None if successor is None else successor.holder
        if holder is None or holder.run is None:
            return set()
        said = read_run_file(self._run.root, holder.run)
        return {
            Chain(interval.market or "", interval.stream)
            for interval in (said.state.intervals if said is not None else ())
            if interval.ended_at is None
        }


class Whole:
    """The lock of a job that consists of others, each of which is taken over.

    Args:
        root: The store's folder.
        job: Name of the job.
        takes_over: Whether to follow who has it.

    Attributes:
        lock: The lock; None until who has it is gone.

    Raises:
        JobRunningError: If it runs already, or is being taken over.
        StoreError: If the store cannot be written.
    """

    def __init__(self, root: Path, job: str, *, takes_over: bool) -> None:
        self._job = job
        self._successor: Successor | None = None
        found = take_or_follow(root, job) if takes_over else take_job(root, job)
        if isinstance(found, JobLock):
            tell_of_many(found, wall_ns())
            self.lock: JobLock | None = found
        else:
            self._successor, self.lock = found, None
        self._root = root

    async def take(self, has_all: Callable[[], bool]) -> None:
        """Wait until it is ours, as long as the disk refuses that, too.

        Args:
            has_all: Whether every part of it is, so that nothing of what the
                other records still is lost if it ends.

        Raises:
            StoreError: If the store cannot be written, for good.
        """
        while self._successor is not None:
            try:
                with told(f"write to the store {self._root}"):
                    lock = await wait_for_job(self._successor, has_all, None, self._job)
                tell_of_many(lock, wall_ns())
            except DiskError as error:
                await delay(error, self._job)
                continue
            self.lock = lock
            with suppress(OSError):  # what is left of it stands in nobody's way
                self._successor.release()
            self._successor = None

    def release(self) -> None:
        """Let go of it, or of following."""
        if self._successor is not None:
            self._successor.release()
        if self.lock is not None:
            self.lock.release()


def _ended_at(gaps: Iterable[Gap], theirs: Mapping[Chain, Last]) -> int:
    """Return the last instant of the other run, nanoseconds."""
    ends = [
        gap.started_at for gap in gaps if gap.ended_at is None and gap.scope == "rows"
    ]
    return max([*ends, *(last.at for last in theirs.values())], default=0)


async def wait_for_job(
    successor: Successor, is_live: Callable[[], bool], run: Run | None, job: str
) -> JobLock:
    """Wait until a job is free; ask who holds it to leave as soon as it is time.

    Args:
        successor: The right to follow.
        is_live: Whether it is time.
        run: The run that follows; None for that of several.
        job: Name of the job.

    Returns:
        Its lock.

    Raises:
        OSError, StoreError: If the disk refuses.
    """
    now = asyncio.get_running_loop().time
    asked_at: float | None = None
    while (lock := successor.try_job()) is None:
        if is_live() and successor.ask():
            asked_at = now()
            emit(TakeOverAsked(job=job, run=None if run is None else run.id))
        elif asked_at is None and successor.has_asked:
            asked_at = now()  # before the disk refused something
        if asked_at is not None:
            limit = LEAVING_SECONDS if successor.is_heard else HUNG_SECONDS
            if now() - asked_at > limit:
                return await asyncio.to_thread(_force, successor, run, job)
        await asyncio.sleep(LOOK_SECONDS)
    return lock


def _force(successor: Successor, run: Run | None, job: str) -> JobLock:
    """Take a job from a run that does not answer."""
    holder = successor.holder
    if run is not None and holder is not None and holder.run is not None:
        settle_hung(run.root, holder.run)
    emit(TakeOverForced(job=job, run=None if holder is None else holder.run))
    return successor.replace_lock()


def is_asked_to_leave(lock: JobLock | None) -> bool:
    """Return whether a successor wants a run to end, once; it is told it was heard."""
    try:
        is_asked = lock is not None and lock.is_asked_to_leave()
    except OSError:
        return False  # who cannot be heard does not end a recording
    if is_asked and lock is not None:
        emit(AskedToLeave(job=lock.job))
    return is_asked


def is_awaited(lock: JobLock | None) -> bool:
    """Return whether a successor is getting ready to take over from a run."""
    try:
        return lock is not None and lock.has_successor
    except OSError:
        return False  # as above: it ends when it was to end
