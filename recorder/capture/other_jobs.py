"""Other jobs of the store that record what a run begins: people are told."""

import shlex

from recorder.capture.plan import CapturePlan
from recorder.store.jobs import running_jobs, stopped_jobs
from recorder.store.listing import Listing
from recorder.telemetry import JobLeftOpen, JobOverlaps, emit


def tell_of_other_jobs(plan: CapturePlan, listing: Listing) -> None:
    """Warn of a job that records the same now, or did and might be continued.

    To record something twice is allowed. Of several jobs of a kind the one
    that shares most is named.

    Args:
        plan: What the run is to record.
        listing: The store's files when it began.

    Raises:
        StoreError: If a file of the store cannot be read.
    """
    where = listing, plan.source.name, set(plan.chains), plan.job
    for job, count in running_jobs(*where)[:1]:
        emit(JobOverlaps(job=job, chains=count))
    if plan.config.job is not None:
        return
    for job, count in stopped_jobs(*where)[:1]:
        emit(JobLeftOpen(option=f"--job {shlex.quote(job)}", chains=count))
