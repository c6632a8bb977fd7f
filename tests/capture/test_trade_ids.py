"""Trades of a market are whole as far as their running number tells."""

from recorder.capture.trade_ids import (
    DISPROOF_BREAKS,
    EARLY_MAX,
    LOWER_RUN,
    PROOF_TRADES,
    TradeBreak,
    TradeCheck,
    TradeIds,
)
from recorder.model import Chain, Gap
from recorder.store.ledger import Ledger


CHAIN = Chain("BTC_USDT", "trades")


def proved() -> TradeIds:
    ids = TradeIds()
    for number in range(PROOF_TRADES + 1):
        assert ids.see(number, number * 10) == []
    return ids


def test_a_break_after_the_proof_is_a_gap_at_once():
    ids = proved()
    last = PROOF_TRADES

    found = ids.see(last + 4, 5_000)

    assert found == [
        TradeBreak(after=last, before=last + 4, started_at=last * 10 + 1, ended_at=5000)
    ]


def test_a_break_before_the_proof_is_a_gap_once_the_rule_stands():
    ids = TradeIds()
    ids.see(1, 10)
    assert ids.see(5, 20) == []

    found = [ids.see(5 + n, 20 + n) for n in range(1, PROOF_TRADES + 1)]

    assert found[:-1] == [[]] * (PROOF_TRADES - 1)
    assert found[-1] == [TradeBreak(after=1, before=5, started_at=11, ended_at=20)]


def test_a_market_that_breaks_too_often_disproves_the_rule():
    ids = TradeIds()

    found = [ids.see(number * 7, number) for number in range(DISPROOF_BREAKS + 5)]

    assert found == [[]] * (DISPROOF_BREAKS + 5)
    assert ids.is_disproved


def test_breaks_are_believed_although_a_hundred_in_a_row_never_came():
    ids, number, found = TradeIds(), 0, []

    for step in range(1, 200):
        number += 2 if step % 20 == 0 else 1
        found += ids.see(number, step)

    assert ids.is_proved
    assert [missing.before for missing in found] == [
        21 * times for times in range(1, len(found) + 1)
    ]
    assert len(found) == 9


def test_one_break_in_a_few_neither_proves_nor_is_it_forgotten():
    ids, number = TradeIds(), 0

    for step in range(1, 100):
        number += 2 if step % 7 == 0 else 1
        assert ids.see(number, step) == []

    assert (ids.is_proved, ids.is_disproved) == (False, False)
    assert len(ids.undecided()) == 14
    assert ids.undecided() == []


def test_a_break_that_late_trades_fill_is_none():
    ids = TradeIds()
    for number in (1, 4, 2, 3):
        ids.see(number, number)

    assert ids.undecided() == []


def test_what_is_missing_over_lost_connections_does_not_disprove_the_rule():
    ids = TradeIds()

    for times in range(DISPROOF_BREAKS + 2):
        ids.see(times * 50, times * 10, came_back_at=times * 10 - 5)

    assert not ids.is_disproved
    assert len(ids.undecided()) == DISPROOF_BREAKS + 1


def test_more_breaks_than_are_kept_disprove_the_rule():
    ids = TradeIds()

    for times in range(EARLY_MAX + 2):
        ids.see(times * 50, times * 10, came_back_at=times * 10 - 5)

    assert ids.is_disproved


def test_numbers_that_start_over_are_a_gap_and_are_followed():
    ids = proved()

    found = [
        gap
        for number in range(1, LOWER_RUN + 1)
        for gap in ids.see(number, 5_000 + number)
    ]
    after = ids.see(LOWER_RUN + 3, 9_000)

    last = PROOF_TRADES
    assert [(gap.after, gap.before) for gap in found + after] == [
        (last, 1),
        (LOWER_RUN, LOWER_RUN + 3),
    ]
    assert (found[0].started_at, found[0].ended_at) == (last * 10 + 1, 5_001)
    assert "started over" in found[0].text


def test_late_trades_are_no_new_count():
    ids = proved()

    for number in range(1, 3 * LOWER_RUN, 2):
        assert ids.see(number, 5_000 + number) == []

    assert ids.continues(PROOF_TRADES + 1)


def test_where_recording_stops_undecided_breaks_are_told():
    rows = []
    ledger = Ledger("job", "run", [CHAIN])
    ledger.covered(CHAIN, 0)
    check = TradeCheck(ledger, rows.extend)
    check.see(CHAIN, 1, 1_000)
    check.see(CHAIN, 3, 2_000)
    assert rows == []

    check.stop()

    assert [(g.reason, g.started_at, g.ended_at, g.detail) for g in rows] == [
        ("sequence_gap", 1_001, 2_000, "1 trade")
    ]


def test_older_numbers_change_nothing():
    ids = proved()

    assert ids.see(3, 9_000) == []
    assert ids.continues(PROOF_TRADES + 1)


def test_the_ledger_learns_of_missing_trades():
    rows = []
    ledger = Ledger("job", "run", [CHAIN])
    ledger.covered(CHAIN, 0)
    check = TradeCheck(ledger, rows.extend)
    for number in range(PROOF_TRADES + 1):
        check.see(CHAIN, number, 1_000 + number)

    check.see(CHAIN, PROOF_TRADES + 3, 9_000)

    gaps = [row for row in rows if isinstance(row, Gap)]
    assert [(g.reason, g.started_at, g.ended_at, g.detail) for g in gaps] == [
        ("sequence_gap", 1_000 + PROOF_TRADES + 1, 9_000, "2 trades")
    ]


def test_numbers_that_go_on_after_a_lost_connection_heal_its_gap():
    rows = []
    ledger = Ledger("job", "run", [CHAIN])
    ledger.covered(CHAIN, 0)
    check = TradeCheck(ledger, rows.extend)
    for number in range(PROOF_TRADES + 1):
        check.see(CHAIN, number, 1_000 + number)
    ledger.lost(CHAIN, "connect_lost", 2_000)
    ledger.covered(CHAIN, 3_000)

    check.see(CHAIN, PROOF_TRADES + 1, 3_500)

    gaps = [row for row in rows if isinstance(row, Gap)]
    assert [(g.reason, g.ended_at, g.healed_by) for g in gaps] == [
        ("connect_lost", 3_000, "sequence")
    ]


def test_a_disproved_market_is_left_alone():
    rows = []
    ledger = Ledger("job", "run", [CHAIN])
    check = TradeCheck(ledger, rows.extend)
    for number in range(DISPROOF_BREAKS + 2):
        check.see(CHAIN, number * 3, number)

    check.see(CHAIN, 1_000, 1_000)

    assert rows == []
