"""The stores here were not killed: their gaps are made to look so."""

import pyarrow as pa
import pytest

from recorder.judging.evidence import Evidence, plain
from recorder.judging.kills import Kill, KillVerdict, judge_kills
from recorder.store.listing import open_listing


SECOND_NS = 10**9


def killed(case, *, but: str | None = None) -> None:
    """Let the gaps of the lost connection be those of a kill, but for a stream."""

    def change(rows: pa.Table) -> pa.Table:
        reasons = [
            "process_killed"
            if row["reason"] == "connect_lost" and row["stream"] != but
            else row["reason"]
            for row in plain(rows)
        ]
        at = rows.schema.get_field_index("reason")
        return rows.set_column(at, rows.schema.field(at), pa.array(reasons))

    case.change("gaps", change)


def judged(
    case, *, after_ns: int = 1, limit_ns: int = SECOND_NS, hears: bool = True
) -> KillVerdict:
    """Judge a kill so long after the latest start of the gaps."""
    listing = open_listing(case.root)
    evidence = Evidence(listing, case.truth, "gate_spot", case.asked["gate_spot"])
    starts = [
        gap.started_at
        for gap in evidence.gaps
        if gap.reason in ("connect_lost", "process_killed")
    ]
    at_ns = max(starts) + after_ns
    subscribed_ns = min(starts) - SECOND_NS // 2 if hears else None
    kill = Kill(source="gate_spot", at_ns=at_ns, subscribed_ns=subscribed_ns)
    other = Kill(source="gate_v3", at_ns=0)
    return judge_kills(evidence, [kill, other], limit_ns)


def test_a_kill_that_every_chain_tells_of_is_right(case):
    killed(case)

    verdict = judged(case)

    assert verdict.complaints == ()
    assert (verdict.kills, verdict.owed, verdict.told) == (1, 10, 10)
    assert verdict.longest_ns > 0


def test_a_kill_that_one_chain_does_not_tell_of_is_found(case):
    killed(case, but="bbo")

    verdict = judged(case)

    assert (verdict.owed, verdict.told) == (10, 8)
    assert "2 times a kill lies in no gap of a chain" in verdict.complaints[0]
    assert "bbo" in verdict.complaints[0]


def test_a_kill_in_the_midst_of_what_is_covered_is_found(case):
    verdict = judged(case, after_ns=-SECOND_NS // 4, hears=False)

    assert verdict.told == 0
    assert "10 times a kill lies in no gap" in verdict.complaints[0]


def test_a_kill_that_cost_more_than_it_may_is_found(case):
    killed(case)

    verdict = judged(case, limit_ns=0)

    assert verdict.told == 10
    assert "10 times a kill cost a chain more than 0 s" in verdict.complaints[0]


def test_a_kill_before_the_first_subscription_lies_in_any_gap(case):
    verdict = judged(case, hears=False)

    assert verdict.complaints == ()
    assert (verdict.told, verdict.longest_ns) == (10, 0)


@pytest.mark.parametrize("after_ns", [-3600 * SECOND_NS])
def test_a_kill_before_anything_was_recorded_owes_nothing(case, after_ns):
    verdict = judged(case, after_ns=after_ns)

    assert (verdict.kills, verdict.owed, verdict.complaints) == (1, 0, ())
