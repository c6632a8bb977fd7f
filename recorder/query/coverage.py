"""What was recorded of each chain, when, and what is missing.

The ledger has a row for each interval and each gap, of each job. Here they are
laid over each other: an instant is *covered* if any job covers it; it is *healed*
if nobody does, but a gap over it was filled or shown to be empty; it is *missing*
if only gaps tell of it. What no row tells of is no part of the account: before the
first run that lists a chain, while no job lists it, and after the last instant of
which the store knows.

The sets are kept as arrays and worked out for all chains at once: a store has
thousands of markets, and each has a row of coverage a day at least.
"""

import msgspec
import numpy as np

from recorder.query.info import DeadRun
from recorder.query.spans import Ints


class GapCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many gaps of rows there are.

    Attributes:
        all: All of them.
        open: Those that have not ended.
        healed: Those that were filled or shown to be empty.
    """

    all: int
    open: int
    healed: int


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What is here of something, and what is not.

    Attributes:
        covered_ns: Recorded as it happened, nanoseconds.
        healed_ns: In gaps that were filled or shown to be empty.
        missing_ns: In gaps that were not.
        gaps: How many.
    """

    covered_ns: int
    healed_ns: int
    missing_ns: int
    gaps: GapCounts

    @property
    def told_ns(self) -> int:
        """All that the ledger tells of, nanoseconds."""
        return self.covered_ns + self.healed_ns + self.missing_ns

    @property
    def covered_share(self) -> float | None:
        """How much of it is covered, from 0 to 1; None if nothing is told."""
        return self.covered_ns / self.told_ns if self.told_ns else None


class JobCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """What one job recorded of a chain.

    Attributes:
        job: Its name.
        started_at: First instant of which its ledger tells, nanoseconds.
        ended_at: First instant of which it does not any more.
        account: What is here.
    """

    job: str
    started_at: int
    ended_at: int
    account: Account


class ChainCoverage(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What all jobs together recorded of a chain.

    Attributes:
        source: Name of the feed.
        market: The venue's spelling; None for a stream without markets.
        stream: Canonical name, ``depth:100ms``.
        started_at: First instant of which a ledger tells, nanoseconds.
        ended_at: First instant of which none does any more.
        account: What is here: covered is what any of the jobs covered.
        jobs: The same for each job, by name.
        covered: Intervals that any job covered.
        here: Intervals that are covered or healed.
        told: Intervals of which a ledger tells.
        marks: Gaps of no length that are not healed: rows are missing there, in
            an interval that had been written down as covered.

    Shape:
        covered, here, told: ``int64[n, 2]``, first instant and first instant
        after, sorted and disjoint. marks: ``int64[n]``. All nanoseconds since
        1970 UTC.
    """

    source: str
    market: str | None
    stream: str
    started_at: int
    ended_at: int
    account: Account
    jobs: tuple[JobCoverage, ...]
    covered: Ints
    here: Ints
    told: Ints
    marks: Ints

    @property
    def missing(self) -> Ints:
        """Intervals that are told of and not here.

        Shape:
            ``int64[n, 2]`` like those above.
        """
        starts = np.sort(np.concatenate([self.told[:, 0], self.here[:, 1]]))
        ends = np.sort(np.concatenate([self.told[:, 1], self.here[:, 0]]))
        return np.column_stack([starts, ends])[starts < ends]


class CoverageGap(msgspec.Struct, frozen=True, kw_only=True):
    """A gap as it is known now.

    Attributes:
        gap_id: The same for all revisions of it.
        source: Name of the feed.
        job: Name of the job that misses it.
        market: None for every market of the job, or a stream without markets.
        stream: None for every stream of the job.
        scope: ``rows``, ``book`` or ``times``, as in the table ``gaps``.
        reason: ``connect_lost``, ``resync``, ...
        started_at: First instant, our clock, nanoseconds.
        ended_at: First instant after; None while it lasts.
        healed_by: How it was filled or shown to be empty; None if it was not.
        detail: One sentence for people.
    """

    gap_id: str
    source: str
    job: str
    market: str | None
    stream: str | None
    scope: str
    reason: str
    started_at: int
    ended_at: int | None
    healed_by: str | None
    detail: str | None


class CoverageReport(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What was recorded, and what is missing.

    Attributes:
        path: The store's folder.
        started_at: First instant of which anything here tells, nanoseconds; 0
            if nothing does.
        ended_at: First instant of which nothing does any more.
        sources: The accounts of all chains of a source, added up, by source.
        chains: By source, market and stream.
        gaps: Every gap, by source and start; empty if they were not asked for.
        died: Runs that died and were not recovered: what they missed is told
            nowhere yet.
    """

    path: str
    started_at: int
    ended_at: int
    sources: dict[str, Account]
    chains: tuple[ChainCoverage, ...]
    gaps: tuple[CoverageGap, ...]
    died: tuple[DeadRun, ...]
