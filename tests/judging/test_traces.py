import pytest

from recorder.judging import traces
from recorder.judging.evidence import Stored
from recorder.judging.traces import TRACES, WITHOUT_TRACE
from recorder.simulator.faults import KINDS


def test_of_every_fault_it_is_said_what_it_must_leave():
    assert set(TRACES) | set(WITHOUT_TRACE) == set(KINDS)
    assert not set(TRACES) & set(WITHOUT_TRACE)


def test_a_trace_is_told_by_reasons_that_the_ledger_has():
    reasons = frozenset().union(*(trace.reasons for trace in TRACES.values()))

    assert reasons <= {
        "sequence_gap",
        "undecodable",
        "crossed",
        "connect_lost",
        "process_stopped",
        "process_killed",
        "venue_upgrade",
        "venue_maintenance",
        "stale_stream",
        "not_started",
    }


def rows_of(*ids):
    """Rows of one connection, given by first and last id in the order of receipt."""
    return [
        Stored(at, "run.0", at, 0, {"first_update_id": first, "last_update_id": last})
        for at, (first, last) in enumerate(ids)
    ]


@pytest.mark.parametrize(
    ("ids", "missing"),
    [
        ([(1, 9), (15, 15)], (10, 14)),
        ([(1, 9), (10, 14), (15, 15)], None),
        ([(15, 15)], None),
        # The row just before it came late, out of a gap.
        ([(1, 9), (12, 14), (10, 11), (15, 15)], None),
        ([(1, 9), (12, 13), (10, 11), (15, 15)], (14, 14)),
    ],
)
def test_an_image_jumps_over_what_no_row_before_it_has(ids, missing):
    hole = traces._before_image(rows_of(*ids), 15)

    assert (None if hole is None else (hole.first, hole.last)) == missing
