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
        "stale_stream",
        "not_started",
    }
