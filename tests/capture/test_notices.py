"""Maintenance that a venue told of, and the gaps that are called by it."""

import asyncio

import pytest

from recorder.capture.hearsay import listen, read_notices
from recorder.capture.notices import NO_END_NS, Explainer, Notices
from recorder.model import Chain, StatusEvent
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.ledger import Ledger
from recorder.store.listing import open_listing
from recorder.store.tables import TABLES


S = 1_000_000_000
NOW = 1_700_000_000 * S
A, B = Chain("A", "trades"), Chain("B", "trades")


def said(start, end, **facts):
    """A message about a time in seconds after `NOW`."""
    return StatusEvent(
        **{
            "kind": "maintenance",
            "payload": "{}",
            "title": "Spot",
            "starts_at": NOW + start * S,
            "ends_at": None if end is None else NOW + end * S,
            **facts,
        }
    )


@pytest.fixture
def notices():
    return Notices()


def test_a_time_that_was_told_of_is_known(notices):
    notices.see(said(100, 200), NOW)

    words = "the venue told of maintenance from 2023-11-14T22:15:00Z to 2023-11-14T22:16:40Z"
    assert notices.words_at("A", NOW + 150 * S) == f"{words} (Spot)"
    assert notices.words_at("A", NOW + 99 * S) is None
    assert notices.words_at("A", NOW + 200 * S) is None


def test_without_an_end_it_lasts_a_while(notices):
    notices.see(said(0, None, title=None), NOW)

    assert notices.words_at("", NOW + NO_END_NS - 1) is not None
    assert notices.words_at("", NOW + NO_END_NS) is None


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": "announcement"},
        {"starts_at": None},
        {"state": "canceled"},
        {"market": "B"},
        {"markets": ("B", "C")},
    ],
)
def test_what_tells_of_no_such_time_for_a_market_explains_nothing(notices, facts):
    notices.see(said(0, 100, **facts), NOW)

    assert notices.words_at("A", NOW + 50 * S) is None


def test_a_newer_message_overrules_an_older_one_in_whatever_order_they_come(notices):
    notices.see(said(100, 150), NOW + 9 * S)
    notices.see(said(100, 900), NOW)
    assert notices.words_at("A", NOW + 300 * S) is None
    notices.see(said(100, 500), NOW + 120 * S)
    assert notices.words_at("A", NOW + 300 * S) is not None
    notices.see(said(100, 500, state="Canceled"), NOW + 130 * S)
    assert notices.words_at("A", NOW + 300 * S) is None


def test_one_that_was_moved_before_it_began_does_not_take_place_twice(notices):
    notices.see(said(100, 200), NOW)
    notices.see(said(1_000, 1_100), NOW + 50 * S)
    notices.see(said(5_000, 5_100), NOW + 2_000 * S)

    assert notices.words_at("A", NOW + 150 * S) is None
    assert notices.words_at("A", NOW + 1_050 * S) is not None
    assert notices.words_at("A", NOW + 5_050 * S) is not None


@pytest.mark.parametrize("is_turned", [False, True])
def test_one_that_was_moved_as_another_process_heard_does_not_take_place_twice(
    notices, is_turned
):
    here, there = said(100, 200), said(1_000, 1_100)
    others = Notices()
    if is_turned:
        notices.see(there, NOW + 50 * S)
        others.see(here, NOW)
    else:
        notices.see(here, NOW)
        others.see(there, NOW + 50 * S)
    notices.take(others)

    assert notices.words_at("A", NOW + 150 * S) is None
    assert notices.words_at("A", NOW + 1_050 * S) is not None


def test_the_older_word_is_overruled_though_it_is_read_last(notices):
    notices.see(said(1_000, 1_100), NOW + 50 * S)
    notices.see(said(100, 200), NOW)

    assert notices.words_at("A", NOW + 150 * S) is None
    assert notices.words_at("A", NOW + 1_050 * S) is not None


class Desk:
    def __init__(self, notices):
        self.rows = []
        self.ledger = Ledger("job", "run", [A, B])
        self.explainer = Explainer(notices, self.ledger, self.rows.extend)
        for chain in (A, B):
            self.ledger.covered(chain, NOW)

    def reasons(self):
        return {c.market: (g.reason, g.detail) for c, g in self.ledger.gaps_open()}


def test_a_gap_that_begins_within_it_is_called_by_it(notices, caplog):
    desk = Desk(notices)
    notices.see(said(100, 200, markets=("A",)), NOW)
    for chain in (A, B):
        desk.ledger.lost(chain, "connect_lost", NOW + 150 * S, detail="reset")
    desk.explainer.explain()

    reasons = desk.reasons()
    assert reasons["A"][0] == "venue_maintenance"
    assert reasons["A"][1].endswith("(Spot): reset")
    assert reasons["B"] == ("connect_lost", "reset")
    assert [row.reason for row in desk.rows] == ["venue_maintenance"]
    assert "the venue is in maintenance" in caplog.text
    desk.explainer.explain()
    assert len(desk.rows) == 1


@pytest.mark.parametrize("reason", ["stale_stream", "connect_lost"])
def test_it_may_be_heard_of_later_as_long_as_the_gap_lasts(notices, reason):
    desk = Desk(notices)
    desk.ledger.lost(A, reason, NOW + 150 * S)
    desk.explainer.explain()
    assert desk.explainer.is_at_a_loss
    notices.see(said(100, 200), NOW + 170 * S)
    desk.explainer.explain()

    assert desk.reasons()["A"][0] == "venue_maintenance"
    assert not desk.explainer.is_at_a_loss


@pytest.mark.parametrize(
    "reason", ["sequence_gap", "process_stopped", "not_started", "venue_upgrade"]
)
def test_what_has_a_reason_of_its_own_is_not_explained_by_it(notices, reason):
    desk = Desk(notices)
    notices.see(said(100, 200), NOW)
    desk.ledger.lost(A, reason, NOW + 150 * S)
    desk.explainer.explain()

    assert desk.reasons()["A"][0] == reason


def test_a_refusal_with_its_words_is_why_the_connection_was_lost(notices):
    desk = Desk(notices)
    desk.ledger.lost(A, "connect_lost", NOW + 10 * S, detail="reset")
    desk.explainer.told([A, B], NOW + 12 * S, "it says so", is_first=True)

    assert desk.reasons() == {"A": ("venue_maintenance", "it says so")}
    [row] = desk.rows
    assert (row.started_at, row.ended_at) == (NOW + 10 * S, None)


def test_one_that_comes_after_other_failures_begins_a_gap_of_its_own(notices):
    desk = Desk(notices)
    desk.ledger.lost(A, "connect_lost", NOW + 10 * S, detail="no route")
    for seconds in (900, 960):
        at = NOW + seconds * S
        desk.explainer.told([A], at, "it says so", is_first=False)

    ended, begun = desk.rows
    assert (ended.reason, ended.ended_at) == ("connect_lost", NOW + 900 * S)
    assert (begun.reason, begun.started_at) == ("venue_maintenance", NOW + 900 * S)


def test_a_run_that_begins_during_it_is_not_to_blame(notices):
    rows = []
    ledger = Ledger("job", "run", [A])
    ledger.start(NOW)
    explainer = Explainer(notices, ledger, rows.extend)
    explainer.told([A], NOW + S, "it says so", is_first=False)

    assert [(row.reason, row.ended_at) for row in rows] == [
        ("not_started", NOW + S),
        ("venue_maintenance", None),
    ]


def test_what_any_feed_of_the_venue_stored_is_read(tmp_path, notices):
    root = tmp_path / "store"
    other = Notices()
    for number, (source, event) in enumerate(
        [
            ("gate_announcements", said(100, 200)),
            ("gate_announcements", said(5, 6, starts_at=None)),
            ("okx_status", said(300, 400)),
        ]
    ):
        store_notice(root, source, event, number)

    read_notices(other, open_listing(root), "gate_spot", NOW)
    notices.take(other)

    assert notices.words_at("A", NOW + 150 * S) is not None
    assert notices.words_at("A", NOW + 350 * S) is None


async def test_a_store_that_cannot_be_read_is_asked_again(
    tmp_path, notices, monkeypatch, caplog
):
    monkeypatch.setattr("recorder.capture.hearsay.LOOK_SECONDS", 0.001)
    desk = Desk(notices)
    desk.ledger.lost(A, "connect_lost", NOW + 150 * S)
    root = tmp_path / "store"
    root.write_text("in the way")
    task = asyncio.create_task(
        listen(notices, desk.explainer, root, "gate_spot", lambda: NOW)
    )
    while "cannot read what others stored" not in caplog.text:  # noqa: ASYNC110 - a log says so
        await asyncio.sleep(0.001)
    root.unlink()
    store_notice(root, "gate_announcements", said(100, 200))
    while desk.explainer.is_at_a_loss:  # noqa: ASYNC110 - a ledger says so
        await asyncio.sleep(0.001)
    task.cancel()

    assert desk.reasons()["A"][0] == "venue_maintenance"


def store_notice(root, source, event, number=0):
    row = (NOW, "run.1", number, 0, event, b"{}")
    partition = Partition("status", source, date_of(NOW))
    journal = Journal(root, partition, Stem(NOW, "20231114T221320-abcdef", number))
    journal.append(build(TABLES["status"], [row]).batch)
    journal.close()
