"""One life of the recording process: start, record, end in order.

The way in: take the job's lock, settle what dead runs left, start the
writer, connect. The way out, whatever the cause: the sockets are closed, the
ledger is closed, everything is flushed, rotated and committed, and the lock
is given back last.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import aiohttp

from recorder.capture.asking import ask_for_snapshots
from recorder.capture.backfill import Backfiller
from recorder.capture.backfill_healing import Pace
from recorder.capture.collector import collector_at_ease
from recorder.capture.complaints import tell_of_books
from recorder.capture.connection import Connection
from recorder.capture.daily_list import DailyList
from recorder.capture.doubles import Doubles
from recorder.capture.ending import until_end
from recorder.capture.findings import Findings
from recorder.capture.handshake import open_http
from recorder.capture.hearsay import listen, read_earlier
from recorder.capture.in_step import InStep
from recorder.capture.last_run import GapCount, tell_last
from recorder.capture.lines import Lines
from recorder.capture.market_lists import LIST_SECONDS
from recorder.capture.other_jobs import tell_of_other_jobs
from recorder.capture.outcome import why_failed
from recorder.capture.plain import warm_up as warm_up_plain
from recorder.capture.plan import CapturePlan, CaptureResult, Progress
from recorder.capture.reactions import RefusedError
from recorder.capture.rest import ANSWER_SECONDS, RestClient
from recorder.capture.seeds import seed_status, seed_trades
from recorder.capture.session import Session
from recorder.capture.shared import Shared
from recorder.capture.takeover import TakeOver, is_asked_to_leave, is_awaited
from recorder.clock import Clock, SystemClock, wall_ns
from recorder.config import CaptureConfig
from recorder.errors import StoreError
from recorder.replay.watch import warm_up as warm_up_watch
from recorder.store.ledger import Ledger
from recorder.store.levels import warm_up
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.revisions import first_instant, gaps_left_open
from recorder.store.run import open_run
from recorder.store.writer import Flush, Writer, WriterStats
from recorder.telemetry import CaptureStarted, CaptureStopped, emit


SNAPSHOT_WORKERS: Final = 4

TICK_SECONDS: Final = 1.0
"""How often at least a run looks at the clock, whatever its flush interval."""

EARLY_SECONDS: Final = 0.1
"""How often at most rows are handed over before their time."""

SEGMENT_MAX_BYTES: Final = 64 << 20
"""A journal of this size becomes a segment; of less, with little memory."""


class Capture:
    """A run of one source, from its lock to its last segment.

    Args:
        plan: What to record.
        on_progress: Called about once a second, in the loop's thread.
        clock: Gives receive times.
        stop: Set by whoever wants the run to end in order.
        shared: What it shares with other captures of the process.
        pace: How soon and how often its gaps are healed.
    """

    def __init__(
        self,
        plan: CapturePlan,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        clock: Clock | None = None,
        stop: asyncio.Event | None = None,
        shared: Shared | None = None,
        pace: Pace | None = None,
    ) -> None:
        if plan.has_patterns and not plan.chains:
            raise ValueError("choose the markets first: choose_markets(plan)")
        self._plan = plan
        self._shared = shared or Shared(plan.config.memory_bytes)
        self._on_progress = on_progress
        self._clock = clock or SystemClock()
        self._is_own_clock = clock is None
        self._stop = stop or asyncio.Event()
        self._failure: str | None = None
        self._is_writer_dead = False
        self._is_deadline = False
        self._unsent: deque[Flush] = deque()
        self._pace = pace or Pace()
        config = plan.config
        self._run = open_run(
            config.store,
            job=plan.job,
            source=plan.source.name,
            now_ns=wall_ns(),
            takes_over=config.takes_over,
            ends_at=config.ends_at(wall_ns()),
        )
        self._findings = Findings(self._run.id, plan.job)
        self._gap_count = GapCount(self._run.id)
        try:
            self._prepare(config)
        except BaseException:
            self._run.release()
            raise

    def _prepare(self, config: CaptureConfig) -> None:
        """Settle what earlier runs left, and get ready to record."""
        plan = self._plan
        recover(config.store)
        listing = open_listing(config.store)
        source = plan.source.name
        in_step = InStep(self._run, self._clock)
        in_step.look()
        if self._is_own_clock:
            # The wall clock may have stepped back since the last run.
            self._clock.not_before(first_instant(listing, source, wall_ns()))
        ledger = Ledger(
            plan.job,
            self._run.id,
            plan.chains,
            # What a run that lives has open, it ends itself.
            () if self._run.successor else gaps_left_open(listing, plan.job),
            self._run.stated_end,
        )
        doubles = Doubles(plan.source.status_identity)
        if plan.source.history_trades:
            seed_trades(doubles, listing, source, plan.chains)
        seed_status(doubles, listing, source, plan.chains)
        self._notices = self._shared.notices(plan.source)
        read_earlier(self._notices, listing, source, self._clock.now_ns())
        warm_up()
        if any(plan.source.book_rule(chain.stream) for chain in plan.chains):
            warm_up_watch()
            warm_up_plain()
        self._session = Session(
            plan.source,
            plan.options,
            plan.chains,
            run=self._run.id,
            clock=self._clock,
            ledger=ledger,
            doubles=doubles,
            secrets=plan.secrets,
            is_archiving=config.is_archiving,
            pool=self._shared.pool,
            notices=self._notices,
            audit_seconds=config.audit_seconds,
        )
        how = self._clock, self._clock.now_ns(), in_step
        self._take_over = TakeOver(self._run, plan, self._session, ledger, *how)
        self._lines = Lines(
            plan,
            self._run.id,
            self._session,
            self._clock,
            self._shared.connects(plan.source, plan.ws_url),
        )
        self._backfiller = Backfiller(
            plan, self._session, self._clock, self._shared, self._pace
        )
        # Should it be killed before its first flush, the gap is known even so.
        if (state := ledger.state()) is not None and self._take_over.is_over:
            self._run.write_state(state, self._clock.now_ns())
        # Of two that start at once, one at least sees what the other wrote.
        tell_of_other_jobs(plan, listing)

    @property
    def is_beside(self) -> bool:
        """Whether another run has the job still, which this one is to take over."""
        return not self._take_over.is_over

    def request_stop(self) -> None:
        """Ask the run to end in order; safe from a signal handler."""
        self._stop.set()

    async def run(self) -> CaptureResult:
        """Record until the deadline, a signal, or a failure.

        Returns:
            How it went; everything recorded is durable by then.

        Raises:
            StoreError: If the store failed; what could be saved is saved.
        """
        plan, loop = self._plan, asyncio.get_running_loop()
        writer = Writer(
            self._run,
            rotate_seconds=plan.config.rotate_seconds,
            segment_max_bytes=min(SEGMENT_MAX_BYTES, plan.config.memory_bytes // 4),
            on_faults=self._findings.faults,
            on_batch=self._findings.see,
            on_error=lambda error: self._fail_from(loop, error),
        )
        writer.start()
        emit(
            CaptureStarted(
                source=plan.source.name,
                job=plan.job,
                run=self._run.id,
                store=str(plan.config.store),
                chains=len(plan.chains),
            )
        )
        try:
            with collector_at_ease():
                await self._record(writer)
        finally:
            try:
                await self._finish(writer)
            finally:
                self._backfiller.release()
        return self._result(writer.stats())

    async def _record(self, writer: Writer) -> None:
        """Run all tasks until it is time to stop."""
        plan, session = self._plan, self._session
        async with open_http() as http, asyncio.TaskGroup() as tasks:
            jobs = [
                tasks.create_task(self._connect(connection))
                for connection in self._lines.make(http)
            ]
            jobs.append(tasks.create_task(self._flush_often(writer)))
            jobs.append(tasks.create_task(self._listen()))
            if not self._take_over.is_over:
                jobs.append(tasks.create_task(self._take_the_job()))
            if self._backfiller.is_wanted:
                healing = self._backfiller.run(
                    self._rest(http),
                    through_ns=lambda: writer.stats().through_ns,
                    is_ready=lambda: self._take_over.is_over,
                )
                jobs.append(tasks.create_task(healing))
            if plan.source.market_list is not None:
                rest = self._rest(http, LIST_SECONDS)
                lists = DailyList(plan, rest, session.lists, self._clock, self._shared)
                jobs.append(tasks.create_task(lists.run(plan.source.market_list)))
            if plan.source.snapshot is not None:
                rest = self._rest(http)
                jobs += [
                    tasks.create_task(
                        ask_for_snapshots(session, rest, plan.options, self._clock)
                    )
                    for _ in range(SNAPSHOT_WORKERS)
                ]
            await self._until_stop()
            await self._lines.ask_for_life()
            session.stop(self._clock.now_ns())
            for job in jobs:
                job.cancel()

    def _rest(
        self, http: aiohttp.ClientSession, seconds: float = ANSWER_SECONDS
    ) -> RestClient:
        """Return what asks the venue by HTTP, within so many seconds a call."""
        source, url = self._plan.source, self._plan.rest_url
        return RestClient(
            http,
            url,
            self._shared.calls(source, url),
            timeout_seconds=seconds,
            reset_header=source.reset_header,
        )

    async def _connect(self, connection: Connection) -> None:
        try:
            await connection.run()
        except RefusedError as exc:
            self._fail(str(exc))
        if len(self._session.refused) == len(self._plan.chains):
            self._stop.set()

    async def _until_stop(self) -> None:
        """Wait for the deadline, for `request_stop`, or for who takes over."""
        config = self._plan.config
        self._is_deadline = await until_end(
            self._stop,
            seconds=config.stop_after_seconds,
            at_ns=config.stop_at_ns,
            is_asked=lambda: is_asked_to_leave(self._run.job_lock),
            is_awaited=lambda: config.takes_over and is_awaited(self._run.job_lock),
        )

    async def _take_the_job(self) -> None:
        try:
            await self._take_over.wait()
            await self._take_over.lay(self._hand)
        except StoreError as exc:
            self._fail(str(exc))

    async def _listen(self) -> None:
        """Hear what others stored of the venue's maintenance."""
        store, source = self._plan.config.store, self._plan.source.name
        explainer, now_ns = self._session.explainer, self._clock.now_ns
        await listen(self._notices, explainer, store, source, now_ns)

    async def _flush_often(self, writer: Writer) -> None:
        """Hand rows to the writer at every flush interval; never wait for it."""
        session, loop = self._session, asyncio.get_running_loop()
        interval = self._plan.config.flush_seconds
        next_flush = loop.time() + interval
        while True:
            await self._until_early(loop.time() + min(interval, TICK_SECONDS))
            session.shedding.trouble = writer.trouble
            self._findings.tell(session, self._clock.now_ns())
            if session.has_many_rows or loop.time() >= next_flush:
                next_flush = loop.time() + interval
                self._flush(writer)
            session.written(writer.stats().flushes)
            session.tick(self._clock.now_ns())
            if self._on_progress is not None:
                self._on_progress(self.progress(writer.stats()))

    async def _until_early(self, at: float) -> None:
        """Wait until a time, or until many rows wait; a moment at least."""
        loop = asyncio.get_running_loop()
        while (left := at - loop.time()) > 0:
            await asyncio.sleep(min(left, EARLY_SECONDS))
            if self._session.has_many_rows:
                return

    def _flush(self, writer: Writer) -> None:
        if not self._unsent:
            self._findings.warn(self._session)
            self._unsent.append(self._taken())
        while self._unsent and writer.submit(self._unsent[0]):
            self._unsent.popleft()

    def _hand(self, flush: Flush) -> None:
        self._gap_count.see(flush)
        self._unsent.append(flush)

    def _taken(self, at: int | None = None) -> Flush:
        """Return what the session has for the store, until now or a time."""
        now = self._clock.now_ns() if at is None else at
        flush = self._take_over.withheld(self._session.take(now))
        self._gap_count.see(flush)
        return flush

    async def _finish(self, writer: Writer) -> None:
        """Commit everything, in an order that a kill cannot turn into a lie."""
        session = self._session
        at = self._clock.now_ns()
        writer.hurry()
        session.shedding.trouble = writer.trouble
        session.stop(at)
        try:
            self._findings.warn(session)
            for flush in (*self._unsent, self._taken(at)):
                await self._submit(writer, flush)
            await self._until_durable(writer, at)
            self._findings.tell(session, at)
            session.settle()
            await self._submit(writer, self._take_over.ended(self._taken(at), at))
            await asyncio.to_thread(writer.close)
        except StoreError as exc:
            self._failure = self._failure or str(exc)
            self._tell_last(writer)
            self._run.abandon()
            raise
        result = self._tell_last(writer)
        self._run.release()
        tell_of_books(session.source, session.books_never_known, result.progress.books)
        emit(
            CaptureStopped(
                run=self._run.id,
                why=result.why_ended,
                rows=sum(result.progress.rows.values()),
                gaps=result.progress.gaps,
            )
        )

    def _tell_last(self, writer: Writer) -> CaptureResult:
        result = self._result(writer.stats())
        tell_last(self._run, self._plan, result, self._gap_count)
        return result

    async def _submit(self, writer: Writer, flush: Flush) -> None:
        """Hand a flush to the writer, waiting for room."""
        while not writer.submit(flush):  # noqa: ASYNC110 - a thread makes the room
            await asyncio.sleep(0.01)

    async def _until_durable(self, writer: Writer, at: int) -> None:
        """Wait until the rows received up to a time are on the disk, or never will."""
        while writer.stats().through_ns < at and not self._is_writer_dead:  # noqa: ASYNC110 - a thread writes
            await asyncio.sleep(0.01)

    def progress(self, stats: WriterStats) -> Progress:
        """Return what the run has done so far."""
        session = self._session
        return Progress(
            frames=session.frames_total,
            dropped=session.dropped_total,
            rows=dict(stats.rows),
            books_known=session.books.known_total,
            books=session.books.total,
            gaps=session.gaps_total,
            lag_seconds=max(0.0, (self._clock.now_ns() - stats.through_ns) / 1e9)
            if stats.through_ns
            else 0.0,
            connections_open=self._lines.open_total,
            connections=self._lines.total,
            handovers=self._lines.handovers,
            handing_over=self._lines.handing_over,
            audits_equal=session.audits.equal,
            audits_mismatched=session.audits.mismatched,
        )

    def _result(self, stats: WriterStats) -> CaptureResult:
        failure = self._failure or why_failed(
            self._plan, self._session, self._lines, is_deadline=self._is_deadline
        )
        return CaptureResult(
            run=self._run.id,
            job=self._plan.job,
            config=self._plan.config,
            progress=self.progress(stats),
            refused=dict(self._session.refused),
            keys_refused=frozenset(self._session.keys_refused),
            chains=len(self._plan.chains),
            was_connected=self._lines.was_connected,
            failure=failure,
        )

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        self._stop.set()

    def _fail_from(self, loop: asyncio.AbstractEventLoop, error: StoreError) -> None:
        """Tell the loop, from the writer's thread, that the store failed."""
        self._is_writer_dead = True
        loop.call_soon_threadsafe(self._fail, str(error))
