"""Which other jobs of a store record what a run is about to record."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from recorder.model import Chain
from recorder.store.listing import Listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.runfile import RunFile, living_runs, read_run_files


_REFUSED: Final = "subscription_rejected"


def running_jobs(
    listing: Listing, source: str, chains: Collection[Chain], but: str
) -> list[tuple[str, int]]:
    """Return jobs that record some of the same now.

    Args:
        listing: The store's files.
        source: Only jobs of this feed.
        chains: Only jobs that record some of these.
        but: A job not to be named.

    Returns:
        Each job, and how many of the chains it records; most first.

    Raises:
        StoreError: If a run file cannot be read.
    """
    return _most_first(
        {
            run.job: _recorded_by(run).intersection(chains)
            for run in living_runs(listing.root)
            if run.source == source and run.job != but
        }
    )


def _recorded_by(run: RunFile) -> set[Chain]:
    """Return what a run tries to record: it covers each chain, or lacks it."""
    intervals, gaps = run.state.intervals, run.state.gaps
    found = [(i.market, i.stream) for i in intervals]
    found += [(g.market, g.stream or "") for g in gaps if g.reason != _REFUSED]
    return {Chain(market or "", stream) for market, stream in found}


def stopped_jobs(
    listing: Listing, source: str, chains: Collection[Chain], but: str
) -> list[tuple[str, int]]:
    """Return jobs that do not run and whose gaps wait to be ended.

    Args:
        listing: The store's files.
        source: Only jobs of this feed.
        chains: Only jobs that did record some of these; to have been asked
            for in vain is not enough.
        but: A job not to be named.

    Returns:
        Each job, and how many of the chains it recorded; most first.

    Raises:
        StoreError: If a file cannot be read.
    """
    alive = {run.job for run in read_run_files(listing.root)}
    columns = ["job", "market", "stream"]
    covered = {
        (row["job"], row["market"], row["stream"])
        for row in plain_rows(listing.read("coverage", source=source, columns=columns))
    }
    found: dict[str, set[Chain]] = defaultdict(set)
    rows = plain_rows(listing.read("gaps", source=source))
    for gap in newest_revisions(rows):
        chain = Chain(gap.market or "", gap.stream or "")
        is_waiting = gap.ended_at is None and gap.scope == "rows"
        was_recorded = (gap.job, gap.market, gap.stream) in covered
        if is_waiting and was_recorded and chain in chains:
            found[gap.job].add(chain)
    return _most_first(
        {job: mine for job, mine in found.items() if job not in (but, *alive)}
    )


def _most_first(jobs: Mapping[str, Iterable[Chain]]) -> list[tuple[str, int]]:
    counts = [(job, len(set(mine))) for job, mine in jobs.items()]
    found = [(job, count) for job, count in counts if count]
    return sorted(found, key=lambda count: (-count[1], count[0]))
