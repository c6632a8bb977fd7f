"""A source over its connections: from frames to rows, without any I/O.

`Session` is told what happens on each connection (`opened`, `frame`,
`closed`), by HTTP (`snapshots`) and on the clock (`tick`). It answers with
rows, collected by table and taken away by `take`, and with requests to send,
left in each link's outbox. Everything that is lost on the way becomes a row
of the ledger.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from recorder.capture.audits import Audits
from recorder.capture.backfill_rows import BackfillRows
from recorder.capture.books import Books
from recorder.capture.clock_watch import ClockWatch
from recorder.capture.doubles import Doubles
from recorder.capture.frames import Frames
from recorder.capture.handovers import Handovers
from recorder.capture.hearing import Hearing
from recorder.capture.http_markets import HttpMarkets
from recorder.capture.http_snapshots import HttpSnapshots
from recorder.capture.intake import Intake
from recorder.capture.link import Link
from recorder.capture.notices import Explainer, Notices
from recorder.capture.plain import PlainFrames
from recorder.capture.pool import Pool
from recorder.capture.restarts import Restarts, silence_of
from recorder.capture.rows import Rows
from recorder.capture.shedding import Shedding
from recorder.capture.spoiled import tell_spoiled
from recorder.capture.unread import is_behind
from recorder.clock import Clock
from recorder.model import Chain, ConnectionLife, LedgerRow
from recorder.source import NO_SECRETS, Request, Secrets, Source
from recorder.store.batch import RowFault
from recorder.store.layout import DAY_NS
from recorder.store.ledger import Ledger
from recorder.store.writer import Flush


ANSWER_SECONDS: Final = 30.0
"""How long a venue may take to answer a subscription."""

CHECK_ADDRESS: Final = ": check that --ws-url is an address of this source"
"""What to do about a venue that never answered a subscription."""


class Session:
    """One source of one run.

    Args:
        source: The feed.
        options: Its options, all of them.
        chains: What to record.
        run: Id of the run.
        clock: Asked only where nothing was received: ledger rows, ticks.
        ledger: The books of the job.
        doubles: What was stored before.
        secrets: The feed's keys.
        is_archiving: Whether every frame goes to ``frames`` as well.
        pool: Memory shared with other captures of the process, if there are.
        notices: What the feeds of the venue say, shared in the same way.
        audit_seconds: How often each book is compared with the venue's; 0 for
            never.

    Attributes:
        shedding: Decides when frames are dropped.
        plain: Reads runs of plain frames.
        frame: Takes one frame, as `Frames.take`.
        frames: Takes frames that came together, as `Frames.take_run`.
    """

    def __init__(
        self,
        source: Source,
        options: Mapping[str, str],
        chains: Sequence[Chain],
        *,
        run: str,
        clock: Clock,
        ledger: Ledger,
        doubles: Doubles,
        secrets: Secrets = NO_SECRETS,
        is_archiving: bool = False,
        pool: Pool | None = None,
        notices: Notices | None = None,
        audit_seconds: float = 0.0,
    ) -> None:
        self.source = source
        self.secrets = secrets
        self.was_connected = False
        self.was_ignored = False
        self._options = dict(options)
        self._clock = clock
        self._ledger = ledger
        self._is_archiving = is_archiving
        self._rows = Rows(source.name, run, clock)
        self.shedding = Shedding(self._rows, pool or Pool())
        self._links: dict[str, Link] = {}
        self._heard_until: dict[Chain, int] = {}
        self._hearing = Hearing()
        self._next_midnight = (clock.now_ns() // DAY_NS + 1) * DAY_NS
        depth = [c for c in chains if source.book_rule(c.stream) is not None]
        self.books = Books(
            ((c, rule) for c in depth if (rule := source.book_rule(c.stream))),
            ledger,
            self._rows.put,
            self._rows.note,
        )
        self.snapshots = HttpSnapshots(
            source, self.books, self._rows, secrets, is_archiving=is_archiving
        )
        self.audits = Audits(
            source,
            chains,
            self.books,
            self._rows,
            secrets,
            int(audit_seconds * 1e9),
            clock.now_ns(),
        )
        self.lists = HttpMarkets(self._rows, is_archiving=is_archiving)
        self.past = BackfillRows(
            self._rows,
            doubles,
            is_archiving=is_archiving,
            bytes_max=self.shedding.bytes_early,
        )
        self._silence = silence_of(source, chains)
        self._clock_watch = ClockWatch(
            clock, ledger, self._silence, self._links.values, self._rows.note
        )
        self._restarts = Restarts(self._silence, ledger, self.books, self._rows.note)
        self._intake = Intake(
            source.name,
            chains,
            self._rows,
            self.books,
            ledger,
            doubles,
            self._silence,
            self._restarts,
            notices := notices or Notices(),
        )
        self.explainer = Explainer(notices, ledger, self._rows.note)
        self.plain = PlainFrames(source, self.books, self._rows, self._silence.heard)
        self.plain.is_on = not (is_archiving or secrets)
        self.handovers = Handovers(
            self._intake, self.books, ledger, doubles, self._silence, self._rows.note
        )
        self._frames = Frames(
            self._intake,
            self._rows,
            self.books,
            self.plain,
            self.shedding,
            self.handovers,
            secrets,
            is_archiving=is_archiving,
        )
        self.frame = self._frames.take
        self.frames = self._frames.take_run
        self.accepted = self._intake.accepted
        self.refused = self._intake.refused
        self.keys_refused = self._intake.keys_refused
        started_at = clock.now_ns()
        self._rows.note(ledger.start(started_at))
        self._clock_watch.mind(started_at)

    @property
    def books_never_known(self) -> set[Chain]:
        """Books that the venue accepted and that were not known at any time."""
        books = {chain for chain in self.accepted if chain in self.books}
        return books - self._ledger.books_seen

    @property
    def has_many_rows(self) -> bool:
        """Whether so many rows wait to be taken that it is to be done soon."""
        return self._rows.bytes_waiting > self.shedding.bytes_early

    @property
    def frames_total(self) -> int:
        """Frames received so far."""
        return self._frames.total

    @property
    def dropped_total(self) -> int:
        """Frames dropped because too much waited."""
        return self.shedding.dropped_total

    @property
    def gaps_total(self) -> int:
        """Gaps seen so far."""
        return self._rows.gaps_total

    # Connections ---------------------------------------------------------

    def opened(
        self,
        conn: str,
        url: str,
        chains: Sequence[Chain],
        at: int,
        first: Link | None = None,
    ) -> Link:
        """Note that a connection is open; its outbox holds what to send.

        Args:
            conn: Its name.
            url: Where it goes, without secrets.
            chains: What it is to carry.
            at: When it was opened.
            first: The connection that it is to replace, if that lives still.
        """
        wanted = [chain for chain in chains if chain not in self.refused]
        self.was_connected = True
        dialogue = self.source.dialogue(wanted, self._options, self.secrets)
        link = Link(conn, url, dialogue, wanted, at)
        link.form = self.plain.form_of(link)
        self._links[conn] = link
        self._hearing.opened(link)
        if first is not None and first.conn in self._links:
            self.handovers.begin(first, link)
        link.outbox.extend(dialogue.open(at))
        return link

    def headers(self) -> Mapping[str, str]:
        """Return the HTTP headers with which a connection is asked for."""
        return self.source.headers(self._options, self.secrets)

    def sent(self, link: Link, request: Request, at: int) -> None:
        """Note that a request went out."""
        deadline = at + int(ANSWER_SECONDS * 1e9)
        for chain in request.chains:
            if chain not in link.probed:
                link.unanswered[chain] = deadline
        if self._is_archiving and not request.is_secret:
            self._rows.keep_sent(link, request.payload, at)

    def heard(self, link: Link, at: int) -> None:
        """Note that a connection lives, by a message that says nothing else.

        What was sent over it before has come: it all comes in order.
        """
        if self._frames.stopped_at is None and self.shedding.since is None:
            link.last_at = at

    def closed(self, link: Link, at: int, code: int | None, reason: str | None) -> None:
        """Note that a connection is gone: what it carried is missing now."""
        self._clock_watch.mind(at)
        self._links.pop(link.conn, None)
        self._hearing.hear(link)
        reason = reason and self.secrets.hide(reason)
        life = ConnectionLife(
            url=link.url,
            opened_at=link.opened_at,
            closed_at=at,
            close_code=code,
            close_reason=reason,
            frames=link.seq,
            bytes=link.bytes_total,
            clock_offset_ms=link.offset_ms,
        )
        self._rows.put(at, link.conn, link.seq, 0, life, None)
        if self._frames.stopped_at is not None:
            return
        self.handovers.closed(link, at, reason)
        self.explainer.explain()

    def gave_up(
        self, chains: Sequence[Chain], why: str, *, is_about_keys: bool = False
    ) -> None:
        """Note that the venue will not have us: nothing more of these will come.

        Args:
            chains: What the connection was to carry.
            why: One sentence, without keys.
            is_about_keys: Whether it did not accept the keys of our account.
        """
        if self._frames.stopped_at is None:
            self._intake.gave_up(
                chains, self._clock.now_ns(), why, is_about_keys=is_about_keys
            )

    # The clock -----------------------------------------------------------

    def tick(self, now: int) -> None:
        """Do what time alone brings about; call it about once a second."""
        self._clock_watch.mind(now)
        # What a midnight lets be written cannot be cut any more.
        if now >= self._next_midnight and not self._clock_watch.is_in_doubt:
            self._rows.note(self._ledger.midnight(self._next_midnight))
            self._next_midnight += DAY_NS
        self.snapshots.tick(now)
        self.handovers.tick(now)
        if self.shedding.since is not None:
            self._tick_shedding(self.shedding.since, now)
            return
        if not self._clock_watch.is_settling:
            self._judge(now)
        self._look_at_what_waits(now)

    def _judge(self, now: int) -> None:
        """Do what is due about what should have come by now."""
        for link in self._links.values():
            if any(deadline <= now for deadline in link.unanswered.values()):
                link.is_dead = self.was_ignored = True
                link.why_dead = "a subscription was not answered" + (
                    # Who answered one before is no stranger.
                    "" if self.accepted or self.refused else CHECK_ADDRESS
                )
        for link in self._links.values():
            link.answer(link.dialogue.due(now))
        restarts = set(self.books.take_restarts(now))
        for link in self._links.values():
            mine = [chain for chain in link.chains if chain in restarts]
            if mine := link.in_charge(mine):
                link.outbox.extend(link.dialogue.resubscribe(mine, now))
        self._restarts.mind(now, self._links.values())
        self.explainer.explain()

    def _tick_shedding(self, since: int, now: int) -> None:
        """Take frames again as soon as there is room; judge nobody's silence."""
        self._look_at_what_waits(now)
        if self.shedding.is_over:
            self._end_shedding(since, now)

    def _look_at_what_waits(self, now: int) -> None:
        links, was_behind = self._links.values(), self.shedding.is_behind
        self.shedding.is_behind = is_behind(links, now, was_behind=was_behind)
        self.shedding.look(now)

    def _end_shedding(self, since: int, now: int) -> None:
        gap = self.shedding.end()
        if gap is None:
            return
        reason, detail = gap
        self._ledger.missed_by_any(reason, since, now, detail=detail)
        for link in self._links.values():
            link.last_at = now
            self._frames.unsure(link, since, "frames were dropped")
            if link.unanswered:
                link.is_dead = True
                link.why_dead = "what it answered to a subscription was dropped"

    # The store -----------------------------------------------------------

    def take(self, through_ns: int) -> Flush:
        """Take all rows collected so far away, to be written.

        Args:
            through_ns: Now, our clock, nanoseconds.
        """
        self._clock_watch.mind(through_ns)
        if self.shedding.since is not None:
            # Whoever finds us killed must not believe that more is here.
            through_ns = min(through_ns, self.shedding.since)
        self._rows.note(self._ledger.due())
        for link in self._links.values():
            self._hearing.hear(link)
        rows, blocks = self._rows.take()
        return Flush(
            rows=rows,
            blocks=blocks,
            through_ns=through_ns,
            state=self._ledger.state(self._hearing.number_of),
            heard=self._hearing.until,
            counted_ns=self._clock_watch.counted_at(through_ns),
        )

    def note(self, rows: Sequence[LedgerRow]) -> None:
        """Append rows of the ledger that were not made here."""
        self._rows.note(rows)

    def written(self, flushes: int) -> None:
        """Note how many of the flushes that were taken have been written."""
        self._rows.written(flushes)

    def spoiled(self, faults: Sequence[RowFault]) -> None:
        """Note rows that could not be stored; their frames are kept."""
        tell_spoiled(faults, self.books, self._intake, self._ledger, self._rows)

    def stop(self, at: int) -> None:
        """Stop recording: from ``at`` on frames are counted and left alone.

        Asked twice, it does nothing.
        """
        if self._frames.stopped_at is None:
            self._clock_watch.mind(at)
            if self.shedding.since is not None:
                self._end_shedding(self.shedding.since, at)
            self._restarts.judge(at)
            self.handovers.stop(at)
            self.books.stop()
            self._intake.stop()
            self._clock_watch.stop()
            self._frames.stopped_at = at
            for link in self._links.values():
                self._hearing.hear(link)
            for link in self._links.values():
                for chain in link.chains:
                    self._heard_until[chain] = self._hearing.of(chain)

    def settle(self) -> None:
        """Close the books of the job, at the time of `stop`.

        Call it last: what was wrong with the rows before must be known.
        """
        stopped_at = self._frames.stopped_at
        if stopped_at is not None:
            self.audits.stop()
            self._rows.note(self._ledger.stop(stopped_at, self._heard_until))
