"""What a venue said of itself is judged, and every break in it is found."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pytest

from recorder.judging import judge
from recorder.judging.evidence import plain
from recorder.model import NO_MARKET
from recorder.store.listing import open_listing


LOSSES = {"connect_lost", "venue_maintenance"}
"""What a lost connection is called, also while its venue tells of maintenance."""


Place = Mapping[str, Any]
"""Columns that tell a row from all others."""
Change = Callable[[pa.Table, Place], pa.Table]
Case = Any
"""A store and what is known of it; see the fixtures."""
SOURCES = ["okx_status", "gate_announcements", "cryptolisting"]


def message(rows: pa.Table, wanted: Place) -> int:
    """Return the place of a message among rows."""
    (at,) = (
        at
        for at, row in enumerate(plain(rows))
        if all(row[name] == value for name, value in wanted.items())
    )
    return at


def drop(rows: pa.Table, wanted: Place) -> pa.Table:
    at = message(rows, wanted)
    return pa.concat_tables([rows.slice(0, at), rows.slice(at + 1)])


def drop_all(rows: pa.Table, _wanted: Place) -> pa.Table:
    return rows.slice(0, 0)


def double(rows: pa.Table, wanted: Place) -> pa.Table:
    at = message(rows, wanted)
    return pa.concat_tables([rows.slice(0, at + 1), rows.slice(at)])


def alter(column: str, value: object) -> Change:
    def change(rows: pa.Table, wanted: Place) -> pa.Table:
        values = rows[column].to_pylist()
        values[message(rows, wanted)] = value
        number = rows.schema.get_field_index(column)
        field = rows.schema.field(column)
        return rows.set_column(number, field, pa.array(values, field.type))

    return change


def meddle(case: Case, source: str, change: Change) -> None:
    """Do something to a message that lies far from any gap."""
    wanted = case.calm(source, "status", NO_MARKET, ("maintenance", "announcement"))
    case.change("status", lambda rows: change(rows, wanted), source)


def test_what_venues_said_under_faults_is_stored_once_or_in_a_gap(told):
    judgement = told.judged()

    assert judgement.complaints == ()
    assert [(n.source, n.chain.stream) for n in judgement.notices] == [
        ("cryptolisting", "status"),
        ("gate_announcements", "status:summary_all"),
        ("gate_announcements", "status:summary_listing"),
        ("okx_status", "status"),
    ]
    for notice in judgement.notices:
        assert notice.said == notice.stored + notice.in_gaps
        assert notice.stored > 0
    for source in SOURCES:
        mine = [notice for notice in judgement.notices if notice.source == source]
        assert sum(notice.in_gaps for notice in mine) > 0
        assert sum(notice.repeated for notice in mine) > 0
    performed = {trace.fault: trace.told for trace in judgement.traces}
    assert performed.keys() == {
        "v5_malformed",
        "v5_abort",
        "ann_malformed",
        "ann_abort",
        "cryptolisting_malformed",
        "cryptolisting_abort",
    }
    assert all(performed.values())
    assert judgement.pushes == judgement.trades == judgement.books == ()
    assert len(judgement.accounts) == 4
    for account in judgement.accounts:
        assert account.covered_ns > 0


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop, "messages are lost in silence"),
        (drop, "pushed messages are not stored"),
        (drop_all, "no message is stored"),
        (double, "messages are stored more than once"),
        (double, "places in frames have more than one row"),
        (alter("title", "another"), "stored messages were never said"),
        (alter("state", "summary_all?"), "messages are lost in silence"),
        (alter("ts_event", None), "stored messages were never said"),
        (alter("payload", "{}"), "messages are lost in silence"),
    ],
    ids=[
        "dropped", "pushed", "none", "doubled", "place", "title", "state", "time",
        "payload",
    ],
)  # fmt: skip
def test_a_broken_message_is_found(told_case, source, change, complaint):
    meddle(told_case, source, change)

    assert complaint in told_case.complaints(source)


@pytest.mark.parametrize("markets", [[], ["ABC", "XYZ"]])
def test_an_announcement_about_something_else_is_found(told_case, markets):
    meddle(told_case, "cryptolisting", alter("markets", markets))

    assert "stored messages were never said" in told_case.complaints("cryptolisting")


def test_a_message_about_the_service_that_is_not_stored_is_found(told_case):
    def without(rows: pa.Table) -> pa.Table:
        return rows.filter(pa.array([r["kind"] != "notice" for r in plain(rows)]))

    told_case.change("status", without, "cryptolisting")

    complaints = told_case.complaints("cryptolisting")
    assert "pushed messages are not stored and lie in no gap" in complaints


def test_a_fault_of_a_quiet_feed_without_its_gap_is_found(told_case):
    def without_loss(rows: pa.Table) -> pa.Table:
        return rows.filter(pa.array([r["reason"] not in LOSSES for r in plain(rows)]))

    told_case.change("gaps", without_loss, "okx_status")

    assert "v5_abort left no gap" in told_case.complaints("okx_status")


def test_what_was_heard_in_another_language_was_never_said(told):
    asked = {"gate_announcements": told.asked["gate_announcements"]}

    judgement = judge(open_listing(told.root), told.truth, asked, options=("en",))

    assert any("were never said" in complaint for complaint in judgement.complaints)
