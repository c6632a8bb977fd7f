"""When rows of a chain may be missing, by the ledger.

The ledger speaks of jobs, a book of one chain; two jobs may record the same
chain. What a gap of one job means for a book depends on the stream:

* With ids all rows make one chain, and a gap of a job matters only where no
  other job covers it. At its start and at its end something may be missing:
  the book is lost there, and a snapshot, or an update whose ids prove that
  nothing was missed, brings it back. Rows *inside* a gap (a killed process
  was writing until after its last heartbeat) are thus shown as far as their
  ids reach; the instants between them are not.
* Without ids nothing can be proved. Each connection is a chain of its own,
  touched by the gaps of the job that ran it, and nothing is shown inside
  one. Gaps of scope ``book`` count too: they can tell of messages that were
  lost without anyone knowing whose.

Where coverage ends and does not go on, the book is lost as well.

A gap that another run of the job had covered before (`TAKEN_OVER`) has no
length and means nothing for a stream with ids, for the rows of both runs are
one chain. Without ids it was one all the same for the connections of the run
that it befell, and so is the end of that run. A run that only ever recorded
beside another had no account, so that nobody told what it lost: without ids
its connections show nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import TAKEN_OVER, Chain, Gap, is_beside
from recorder.replay.book import (
    is_mismatch,
    is_of_an_end,
    is_of_nobody,
    is_of_the_clock,
    is_taken_over,
    is_told_by_ids,
    run_of_gap,
)
from recorder.replay.compiled import Ints
from recorder.store.account import Span, merged, outside
from recorder.store.listing import Listing
from recorder.store.revisions import newest_revisions, plain_rows


FOREVER: Final = (1 << 63) - 1

Interval: TypeAlias = Span
"""First instant, and first instant after."""


class Marks(NamedTuple):
    """What a book must be told besides its rows.

    Attributes:
        lost: Instants at which rows may be missing, sorted, nanoseconds.
        hidden: Intervals in which it must not be shown between messages.
        doubted: Instants at which rows may be missing, of which ids would
            tell, sorted, nanoseconds.
        quiet: Gaps at whose end the book is lost once more if no message came
            over a socket inside.
        wrong: Instants from which on the book was found not to be the venue's,
            until a snapshot mends it, sorted, nanoseconds.
        handed: Gaps between two runs, each with the run that ended: the book is lost
            once more before the first row of another run, or where the gap ends.
    """

    lost: Ints
    hidden: tuple[Interval, ...]
    doubted: Ints
    quiet: tuple[Interval, ...] = ()
    wrong: Ints = np.empty(0, np.int64)
    handed: tuple[tuple[int, int, str], ...] = ()

    def hides(self, at_ns: int) -> bool:
        """Return whether an instant lies in a hidden interval."""
        return any(start <= at_ns < end for start, end in self.hidden)


class Outages:
    """The ledger of one chain of one source.

    Args:
        gaps: The newest revision of each gap that may touch it.
        coverage: Intervals by job; open ones end at `FOREVER`.
        jobs: Job of each run.
        own: What each run itself recorded until it was interrupted or ended.

    Attributes:
        through_ns: Instant through which the ledger knows anything.
    """

    def __init__(
        self,
        gaps: Iterable[Gap],
        coverage: Mapping[str, Iterable[Interval]],
        jobs: Mapping[str, str],
        through_ns: int = 0,
        own: Mapping[str, Iterable[Interval]] | None = None,
    ) -> None:
        self._gaps = tuple(gaps)
        self._coverage = {job: merged(given) for job, given in coverage.items()}
        self._jobs = jobs
        self._beside: dict[str, list[Interval]] = {}
        self._own = {run: merged(given) for run, given in (own or {}).items()}
        self.through_ns = through_ns

    def with_ids(self) -> Marks:
        """Return the marks for a stream whose updates carry ids.

        Of some gaps the ids decide whether they hit this chain: those hide the
        instants within them, and no more, unless the last message was one of
        which ids tell nothing. Several of nobody's may have been joined, so a
        message that lies in one is doubted at its end once more. What
        came while a gap was ending (before an acceptance, say) is held, as
        the capture held it. What the run before still held when it ended is not,
        nor what it stored after it was last known to live. A snapshot
        by HTTP alone is of no use: it came before anybody noticed that the
        connection was dead, and updates from before the gap had proved it.
        While a snapshot is awaited, instants are hidden as well: what the run lost
        before may be here from another run of the job, and not be missing.
        A book that an audit found wrong is not shown from when it was last
        right, whatever its ids say, until a snapshot mends it.
        """
        hidden: list[Interval] = []
        lost: list[int] = []
        doubted: list[int] = []
        quiet: list[Interval] = []
        wrong: list[int] = []
        handed: list[tuple[int, int, str]] = []
        for gap in self._gaps:
            if is_mismatch(gap):
                hidden.append(_interval(gap))
                wrong.append(gap.started_at)
            if gap.scope == "times" or is_taken_over(gap):
                continue
            left = outside(_interval(gap), self._covered_beside(gap.job))
            hidden += left
            if is_of_the_clock(gap) or gap.scope != "rows":
                continue
            if is_of_nobody(gap):
                doubted += [instant for piece in left for instant in piece]
            if not is_told_by_ids(gap):
                lost += [start for start, _ in left]
                quiet += left
                if is_of_an_end(gap):
                    handed += [(*piece, run_of_gap(gap)) for piece in left]
            if gap.started_at == gap.ended_at:  # it has no length, but it was one
                marks = doubted if is_told_by_ids(gap) else lost
                marks.append(gap.started_at)
        everything = [i for intervals in self._coverage.values() for i in intervals]
        told = {gap.started_at for gap in self._gaps if _is_told_otherwise(gap)}
        lost += [end for _, end in merged(everything) if end not in told]
        found = _marks(hidden, lost, doubted, quiet, wrong)
        return found._replace(handed=tuple(sorted(handed)))

    def _covered_beside(self, job: str) -> list[Interval]:
        """Return what other jobs than one covered."""
        if job not in self._beside:
            self._beside[job] = merged(
                interval
                for other, intervals in self._coverage.items()
                if other != job
                for interval in intervals
            )
        return self._beside[job]

    def without_ids(self, conn: str) -> Marks:
        """Return the marks for one connection of a stream without ids.

        Args:
            conn: ``<run>.<n>``. If the job of its run is not known, every
                gap counts.
        """
        run = run_of(conn)
        if any(is_beside(gap) and run_of_gap(gap) == run for gap in self._gaps):
            return _marks([(0, FOREVER)], ())
        job = self._jobs.get(run)
        of_job = [gap for gap in self._gaps if job in (None, gap.job)]
        rows = [gap for gap in of_job if gap.scope == "rows"]
        # What befell another run befell other connections.
        others = self._jobs.keys() - {run}
        mine = [gap for gap in of_job if run_of_gap(gap) not in others]
        lost = [gap.started_at for gap in mine if gap.scope == "book"]
        lost += [
            instant
            for gap in mine
            if gap.scope == "rows" and not is_of_the_clock(gap)
            for instant in _interval(gap)
        ]
        # Where a clock skipped or another run ended, its connection went on.
        going_on = {
            gap.started_at
            for gap in rows
            if is_of_the_clock(gap) or (is_of_an_end(gap) and run_of_gap(gap) != run)
        }
        ends = (end for _, end in self._own.get(run, ()))
        lost += [end for end in ends if end not in going_on]
        hidden = (_interval(gap) for gap in rows if gap.started_at != gap.ended_at)
        return _marks(hidden, lost)


def read_outages(listing: Listing, source: str, chain: Chain) -> Outages:
    """Return what the ledger of a store says of a chain."""
    jobs: dict[str, str] = {}
    coverage: dict[str, list[Interval]] = defaultdict(list)
    own: dict[str, list[Interval]] = defaultdict(list)
    through_ns = 0
    gap_rows = plain_rows(listing.read("gaps", source=source))
    for row in gap_rows:
        jobs[run_of(str(row["conn"]))] = str(row["job"])
    gaps = [
        gap
        for gap in newest_revisions(gap_rows)
        if gap.market in (None, chain.market) and gap.stream in (None, chain.stream)
    ]
    closed = listing.read("coverage", source=source, markets=[chain.market])
    still_open = listing.open_coverage()
    still_open = still_open.filter(pc.equal(still_open["source"], pa.scalar(source)))
    for table in (closed, still_open):
        for row in plain_rows(table):
            job = str(row["job"])
            jobs[run_of(str(row["conn"]))] = job
            if (row["market"], row["stream"]) == chain:
                started_at, ended_at = cast(
                    Interval, (row["started_at"], row["ended_at"])
                )
                through_ns = max(through_ns, ended_at)
                is_open = row["closed_by"] is None
                interval = started_at, FOREVER if is_open else ended_at
                coverage[job].append(interval)
                if row["closed_by"] != TAKEN_OVER:  # that run went on
                    own[run_of(str(row["conn"]))].append(interval)
    return Outages(gaps, coverage, jobs, through_ns, own)


def run_of(conn: str) -> str:
    """Return the run of a connection: ``<run>.<n>`` without its end."""
    return conn.rpartition(".")[0]


def _interval(gap: Gap) -> Interval:
    return gap.started_at, FOREVER if gap.ended_at is None else gap.ended_at


def _is_told_otherwise(gap: Gap) -> bool:
    """Return whether where a gap begins nothing is lost, or ids tell of it."""
    return is_told_by_ids(gap) or is_of_the_clock(gap)


def _marks(
    hidden: Iterable[Interval],
    lost: Iterable[int],
    doubted: Iterable[int] = (),
    quiet: Iterable[Interval] = (),
    wrong: Iterable[int] = (),
) -> Marks:
    return Marks(
        _instants(lost),
        tuple(merged(hidden)),
        _instants(doubted),
        tuple(merged(quiet)),
        _instants(wrong),
    )


def _instants(given: Iterable[int]) -> Ints:
    return np.array(sorted({*given} - {FOREVER}), np.int64)
