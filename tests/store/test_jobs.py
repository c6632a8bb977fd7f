"""Which jobs of a store record the same as another one."""

from pathlib import Path

from recorder.model import Chain, Gap
from recorder.store.jobs import running_jobs
from recorder.store.listing import open_listing
from recorder.store.run import OpenInterval, RunState, open_run


NOON = 1_714_564_800_000_000_000
CHAINS = (Chain("A_B", "trades"), Chain("A_B", "depth"), Chain("", "status"))


def gap(stream: str, reason: str) -> Gap:
    return Gap(
        gap_id=stream,
        market="A_B",
        stream=stream,
        job="other",
        scope="rows",
        reason=reason,
        started_at=NOON,
    )


def test_a_running_job_records_what_it_covers_and_what_it_will_cover(
    tmp_path: Path,
) -> None:
    run = open_run(tmp_path, job="other", source="here", now_ns=NOON)
    run.write_state(
        RunState(
            intervals=(OpenInterval(None, "status", NOON),),
            gaps=(gap("trades", "not_started"), gap("depth", "subscription_rejected")),
        )
    )
    listing = open_listing(tmp_path)

    assert running_jobs(listing, "here", CHAINS, "mine") == [("other", 2)]
    assert running_jobs(listing, "here", CHAINS[:1], "mine") == [("other", 1)]
    assert running_jobs(listing, "here", CHAINS[1:2], "mine") == []
    assert running_jobs(listing, "here", CHAINS, "other") == []
    assert running_jobs(listing, "there", CHAINS, "mine") == []
    run.abandon()
    assert running_jobs(listing, "here", CHAINS, "mine") == []
