"""Rows in gaps that say that nothing came any more."""

import numpy as np
import pytest

from recorder.model import Chain, Gap
from recorder.verify.chains import ChainCheck, Part
from recorder.verify.checks.accounts import FOREVER
from recorder.verify.findings import Findings
from recorder.verify.ledger import CLOSED_NS, Covered, GapSaid, Lived, SourceLedger


BBO = Chain("BTC_USDT", "bbo")
LOST, BACK = 50, 60


def found(connections, *, conn="run.1", times=(10, 55, 70), unread=()):
    """What is wrong with rows of a connection around a gap."""
    ledger = SourceLedger("gate_spot")
    ledger.jobs["run"] = "job"
    gap = Gap(
        gap_id="run.1",
        market=BBO.market,
        stream=BBO.stream,
        job="job",
        scope="rows",
        reason="venue_upgrade",
        started_at=LOST,
        ended_at=BACK,
    )
    ledger.gaps.append(GapSaid(gap, "run"))
    for span in ((0, LOST), (BACK, 100)):
        ledger.coverage.append(Covered("job", BBO, *span, "run", "gap"))
    ledger.connections["run"] += connections
    ledger.unread.update(unread)
    ledger.index()
    findings = Findings()
    check = ChainCheck(ledger, findings, FOREVER)
    size = len(times)
    check.take(
        Part(
            "bbo",
            BBO,
            "run",
            np.array(times),
            np.zeros(size, np.int64),
            [conn],
            np.ones(size, np.bool_),
            np.arange(size),
        )
    )
    check.close()
    return list(findings.counts)


def test_rows_of_a_connection_in_its_own_gap_contradict_it():
    assert found([]) == ["rows_in_gap"]
    assert found([Lived(1, 5, 58)]) == ["rows_in_gap"]


def test_where_a_file_of_connections_cannot_be_read_nothing_is_held_against_rows():
    assert found([], unread=["run"]) == []
    assert found([], unread=["other"]) == ["rows_in_gap"]


def test_rows_of_the_next_connection_come_where_it_was_opened_in_the_gap():
    assert found([], times=(55, 70)) == []


def test_a_connection_may_go_on_where_another_was_lost():
    assert found([Lived(0, 0, 58)]) == []
    assert found([Lived(2, 6, 58)]) == []


@pytest.mark.parametrize(
    "other",
    [
        Lived(0, 0, LOST - 1),
        Lived(0, LOST, 58),
        Lived(0, 0, LOST + CLOSED_NS + 1),
    ],
    ids=["closed before", "opened in the gap", "closed much later"],
)
def test_a_connection_that_was_not_lost_there_excuses_no_other(other):
    assert found([other]) == ["rows_in_gap"]


def test_of_two_connections_the_one_that_ends_first_is_the_one_that_was_lost():
    assert found([Lived(0, 0, 58), Lived(1, 5, 57)]) == ["rows_in_gap"]
    assert found([Lived(0, 0, 58), Lived(1, 5, 90)]) == []
