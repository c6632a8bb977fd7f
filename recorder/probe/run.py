"""A probe: a feed recorded for a while, over real sockets, into nothing."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from recorder.capture.asking import ask_for_snapshots
from recorder.capture.connection import Connection
from recorder.capture.doubles import Doubles
from recorder.capture.findings import Findings
from recorder.capture.handshake import open_http
from recorder.capture.life import STOPPED
from recorder.capture.lines import Lines
from recorder.capture.plan import CapturePlan
from recorder.capture.reactions import RefusedError
from recorder.capture.rest import Budget, excerpt, without_secrets
from recorder.capture.session import Session
from recorder.capture.shared import Shared
from recorder.clock import Clock, SystemClock
from recorder.model import NO_MARKET, Chain, Gap
from recorder.probe.findings import judge
from recorder.probe.listening import Ear, HeardRest
from recorder.probe.report import (
    Answer,
    ConnectionReport,
    KeptReport,
    ProbeReport,
    SaidReport,
    StreamReport,
    Wholeness,
)
from recorder.probe.tally import ChainTally, Kept, Tally
from recorder.replay.watch import warm_up as warm_up_watch
from recorder.store.ledger import Ledger
from recorder.store.levels import warm_up
from recorder.transitions import LIVE, STATE_NAMES


TAKE_SECONDS: Final = 0.1
"""How often rows are counted."""

TOLD_EVERY: Final = 5
"""How often progress is told: each time that they were counted so often."""

NAME: Final = "probe"
"""Stands for a run: it has no other."""


class Probe:
    """One look at a feed.

    Args:
        plan: What to look at.
        seconds: How long.
        clock: Gives receive times.
        stop: Set by whoever wants it to end early.
        on_progress: Called now and then with the report as it stands.
    """

    def __init__(
        self,
        plan: CapturePlan,
        seconds: float,
        *,
        clock: Clock | None = None,
        stop: asyncio.Event | None = None,
        on_progress: Callable[[ProbeReport], None] | None = None,
    ) -> None:
        self._ear = Ear(plan.secrets)
        self._plan = msgspec.structs.replace(plan, source=self._ear.at(plan.source))
        self._seconds = seconds
        self._clock = clock or SystemClock()
        self._stop = stop or asyncio.Event()
        self._on_progress = on_progress
        self._started_at = self._clock.now_ns()
        self._findings = Findings()
        self._tally = Tally(plan.chains, self._findings)
        self._failure: str | None = None
        self._attempts: dict[str, None] = {}
        self._known_at: dict[Chain, int] = {}
        warm_up()
        if any(plan.source.book_rule(chain.stream) for chain in plan.chains):
            warm_up_watch()
        self._session = Session(
            self._plan.source,
            plan.options,
            plan.chains,
            run=NAME,
            clock=self._clock,
            ledger=Ledger(plan.job, NAME, plan.chains),
            doubles=Doubles(),
            secrets=plan.secrets,
        )
        self._session.plain.is_on = False  # rows are counted one by one
        connects = Shared().connects(plan.source, plan.ws_url)
        self._lines = Lines(self._plan, NAME, self._session, self._clock, connects)

    async def run(self) -> ProbeReport:
        """Look, until the time is over or nothing can come any more."""
        session, self._started_at = self._session, self._clock.now_ns()
        async with open_http() as http, asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(self._take_often())
            jobs = [
                tasks.create_task(self._connect(connection))
                for connection in self._lines.make(http)
            ]
            plan, source = self._plan, self._plan.source
            if source.snapshot is not None:
                rest = HeardRest(
                    http,
                    plan.rest_url,
                    Budget(source.rest_per_second),
                    reset_header=source.reset_header,
                )
                rest.ear = self._ear
                asking = ask_for_snapshots(session, rest, plan.options, self._clock)
                jobs.append(tasks.create_task(asking))
            await self._until_over()
            await self._lines.ask_for_life()
            await taking
            await self._take()
            ended_at = self._clock.now_ns()
            states = session.books.states()
            session.stop(ended_at)
            for job in jobs:
                job.cancel()
        await self._take()
        return self._report(ended_at, states)

    async def _connect(self, connection: Connection) -> None:
        try:
            await connection.run()
        except RefusedError as exc:
            self._failure = str(exc)
        if self._failure or len(self._session.refused) == len(self._plan.chains):
            self._stop.set()

    async def _until_over(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._stop.wait()
        except TimeoutError:
            self._stop.set()

    async def _take_often(self) -> None:
        """Count what came, and look whether anything can come at all."""
        lines = self._lines
        while not self._stop.is_set():
            await asyncio.sleep(TAKE_SECONDS)
            await self._take()
            self._session.tick(self._clock.now_ns())
            self._attempts |= dict.fromkeys(lines.failures)
            if not lines.was_connected and len(lines.failures) == lines.total:
                # Whoever probes is there to see it, and to try again.
                self._stop.set()
            if self._on_progress is not None and not self._tally.takes % TOLD_EVERY:
                now, states = self._clock.now_ns(), self._session.books.states()
                self._on_progress(self._report(now, states))

    async def _take(self) -> None:
        session, now = self._session, self._clock.now_ns()
        self._findings.tell(session, now)
        self._findings.warn(session)
        flush = session.take(now)
        await asyncio.to_thread(self._tally.take, flush)
        session.written(self._tally.takes)
        for chain, state in session.books.states().items():
            if state == STATE_NAMES[LIVE]:
                self._known_at.setdefault(chain, now)

    # The report ----------------------------------------------------------

    def _report(self, ended_at: int, states: Mapping[Chain, str]) -> ProbeReport:
        """Return what there is to report.

        Args:
            ended_at: Until when, our clock, nanoseconds.
            states: What was known of each order book then.
        """
        plan, ear, hide = self._plan, self._ear, self._plan.secrets.hide
        lives = tuple(
            ConnectionReport(
                conn=conn,
                open_seconds=(life.closed_at - life.opened_at) / 1e9,
                frames=life.frames,
                bytes=life.bytes,
                close_code=None if life.close_reason == STOPPED else life.close_code,
                ended=None if life.close_reason == STOPPED else life.close_reason,
            )
            for conn, life in self._tally.lives
        )
        told = {life.ended for life in lives}
        has_rest = plan.source.snapshot is not None
        report = ProbeReport(
            source=plan.source.name,
            ws_url=without_secrets(plan.ws_url),
            rest_url=without_secrets(plan.rest_url) if has_rest else None,
            started_at=self._started_at,
            seconds=(ended_at - self._started_at) / 1e9,
            was_connected=self._lines.was_connected,
            outcome="good",
            findings=(),
            connections=lives,
            streams=tuple(self._stream(chain, states) for chain in plan.chains),
            clock=ear.offset.report(),
            unknown_keys=ear.keys(),
            kept=tuple(
                sorted(
                    (self._kept(*item) for item in self._tally.kept.items()),
                    key=lambda kept: -kept.frames,
                )
            ),
            said=(*ear.said, *self._said()),
            snapshot_failures=tuple(
                why if count == 1 else f"{why} ({count} times)"
                for why, count in ear.snapshot_failures.items()
            ),
            attempts=tuple(why for why in self._attempts if why not in told),
            frames=ear.frames,
            frames_searched=ear.frames_searched,
            failure=None if self._failure is None else hide(self._failure),
            status=ear.status,
            refusal=ear.refusal,
        )
        outcome, findings = judge(report)
        return msgspec.structs.replace(report, outcome=outcome, findings=findings)

    def _stream(self, chain: Chain, states: Mapping[Chain, str]) -> StreamReport:
        session, tally = self._session, self._tally.chains[chain]
        answer: Answer = "unanswered"
        if chain in session.refused:
            answer = "refused"
        elif chain in session.accepted:
            answer = "accepted"
        state = states.get(chain)
        missing = [gap for gap in tally.missing.values() if gap.healed_by is None]
        accepted_at, known_at = (
            self._ear.accepted_at.get(chain),
            self._known_at.get(chain),
        )
        words = session.refused.get(chain)
        return StreamReport(
            stream=chain.stream,
            market=None if chain.market == NO_MARKET else chain.market,
            answer=answer,
            words=None if words is None else self._plan.secrets.hide(words),
            is_about_keys=chain in session.keys_refused,
            frames=tally.frames,
            rows=tally.rows,
            history=tally.history,
            sequence=self._sequence(chain, tally, is_broken=bool(missing)),
            first_update_id=tally.first_update_id,
            last_update_id=tally.last_update_id,
            missing=tuple(_missing_words(gap) for gap in missing),
            gaps=tuple(
                f"{gap.reason}: {gap.detail}" if gap.detail else gap.reason
                for gap in tally.gaps.values()
            ),
            book=_book(state),
            book_seconds=None
            if accepted_at is None or known_at is None
            else max(0, known_at - accepted_at) / 1e9,
            snapshots=self._ear.snapshots[chain],
            crossings=len(tally.crossings),
        )

    def _sequence(
        self, chain: Chain, tally: ChainTally, *, is_broken: bool
    ) -> Wholeness | None:
        """Return whether the numbers of a chain go on, if what came has any."""
        if is_broken:
            return "broken"
        if not tally.rows:
            return None
        rule = self._plan.source.book_rule(chain.stream)
        is_numbered = tally.is_numbered if rule is None else rule.has_ids
        if is_numbered:
            return "whole"
        return None if rule is None else "unnumbered"

    def _kept(self, key: tuple[str, str], kept: Kept) -> KeptReport:
        return KeptReport(
            reason=key[0],
            error=self._plan.secrets.hide(kept.error),
            frames=kept.frames,
            excerpt=self._ear.excerpt(kept.payload),
        )

    def _said(self) -> list[SaidReport]:
        return [
            SaidReport(
                kind=event.kind,
                text=self._plan.secrets.hide(
                    event.title or excerpt(event.payload.encode())
                ),
            )
            for event in self._tally.said
        ]


def _book(state: str | None) -> Literal["known", "not known"] | None:
    """Return whether an order book is known, by the state of its chain."""
    if state is None:
        return None
    return "known" if state == STATE_NAMES[LIVE] else "not known"


def _missing_words(gap: Gap) -> str:
    """Return what is missing between two numbers, in words."""
    after, before = gap.after_update_id, gap.before_update_id
    if after is None or before is None:
        return gap.detail or "messages, nobody knows how many"
    if before <= after:
        return f"what came before the numbers started over, from {after} at {before}"
    return f"{before - after - 1} between {after} and {before}"
