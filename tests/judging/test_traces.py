from types import SimpleNamespace
from typing import ClassVar

import pyarrow as pa
import pytest

from recorder.judging import holes, traces
from recorder.judging.evidence import Stored
from recorder.judging.traces import TRACES, WITHOUT_TRACE
from recorder.model import Chain, Gap
from recorder.simulator.faults import KINDS
from recorder.simulator.truth import FaultDone, FrameSent


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
    hole = holes.before_image(rows_of(*ids), 15)

    assert (None if hole is None else (hole.first, hole.last)) == missing


BOOK = Chain("BTC_USDT", "depth:100ms")
TRADES = Chain("BTC_USDT", "trades")


class Case:
    """What two connections of ours, and two of the exchange, have to do with a chain."""

    feed, source, chains = "v4", "gate_spot", (BOOK, TRADES)

    def __init__(self, fault, *, rows=(), sent=(), gaps=(), trades=()):
        frames = [
            FrameSent(ts_ns=at, feed="v4", conn=conn, n=at, stream="depth")
            for at, conn in sent
        ]
        self.truth = SimpleNamespace(
            faults=[fault], frames=frames, trades_of=lambda _key: trades
        )
        self.listing = SimpleNamespace(
            read=lambda *_, **__: pa.table(
                {"ts_recv": [0], "conn": ["run.0"], "reason": ["archive"]}
            )
        )
        self.sent = {BOOK: {}}
        for frame in frames:
            self.sent[BOOK].setdefault(frame.conn, []).append(frame)
        self._rows, self._gaps = rows, gaps
        self.stored = SimpleNamespace(get=lambda *_: rows)

    edge_ns = 0
    ours: ClassVar[dict] = {}

    def read_after(self, at):
        return at

    def received_at(self, _conn, at):
        return at

    def sent_to(self, chain):
        return self.sent.get(chain, {})

    def conns_of(self, _chain):
        return {"run.0": 1, "run.1": 2}

    def rows_of(self, _chain):
        return self._rows

    def gaps_of(self, _chain, _scope=None):
        return self._gaps

    def key_of(self, chain):
        return chain.market

    def owed_and_told(self):
        verdicts = traces.judge_traces(self, slack_ns=10)
        return [(verdict.owed, verdict.told) for verdict in verdicts]


def fault(name, **changes):
    told = {"market": "BTC_USDT", "stream": "depth", "parameter": "100ms", "conn": 1}
    return FaultDone(ts_ns=100, name=name, feed="v4", **(told | changes))


def row(at, conn, first, last):
    values = {"first_update_id": first, "last_update_id": last, "is_snapshot": False}
    return Stored(at, f"run.{conn}", at, 0, values)


def book_gap(reason, started_at, ended_at, **ids):
    return Gap(
        gap_id="g",
        market=BOOK.market,
        stream=BOOK.stream,
        job="job",
        scope="rows",
        reason=reason,
        started_at=started_at,
        ended_at=ended_at,
        **ids,
    )


DROP = fault("drop", first_update_id=10, last_update_id=14)


@pytest.mark.parametrize(
    ("other", "owed"),
    [((), 1), (((10, 14),), 0), (((10, 12), (13, 14)), 0), (((11, 12),), 2)],
)
def test_what_another_connection_brought_is_not_missing(other, owed):
    rows = [
        row(90, 0, 1, 9),
        *(row(101, 1, *ids) for ids in other),
        row(102, 0, 15, 15),
    ]

    assert Case(DROP, rows=rows).owed_and_told() == [(owed, 0)]


def test_what_came_late_over_the_same_connection_was_missing():
    delay = fault("delay", first_update_id=10, last_update_id=14)
    rows = [row(90, 0, 1, 9), row(102, 0, 15, 15), row(103, 0, 10, 14)]

    assert Case(delay, rows=rows).owed_and_told() == [(1, 0)]


def test_the_rest_of_what_another_connection_brought_is_told_by_its_ids():
    ids = {"after_update_id": 9, "before_update_id": 13}
    gap = book_gap("sequence_gap", 91, 101, **ids)
    rows = [row(90, 0, 1, 9), row(101, 1, 13, 14), row(102, 0, 15, 15)]

    assert Case(DROP, rows=rows, gaps=[gap]).owed_and_told() == [(1, 1)]


@pytest.mark.parametrize(("conn", "owed"), [(0, 1), (1, 0)])
def test_a_crossed_row_that_is_not_stored_crosses_nothing(conn, owed):
    crossed = fault("crossed", first_update_id=10, last_update_id=14)
    rows = [row(90, conn, 1, 9), row(101, conn, 10, 14)]

    assert Case(crossed, rows=rows).owed_and_told() == [(owed, 0)]


@pytest.mark.parametrize(("other", "owed"), [((), 1), (((50, 1), (150, 1)), 0)])
def test_a_crossed_row_of_which_another_connection_was_in_charge_is_not_stored(
    other, owed
):
    """Of connection 3 nothing is stored at all, so nobody knows its name."""
    crossed = fault("crossed", first_update_id=10, last_update_id=14, conn=3)
    rows = [row(90, 0, 1, 9), row(101, 0, 10, 14)]

    assert Case(crossed, rows=rows, sent=other).owed_and_told() == [(owed, 0)]


@pytest.mark.parametrize(("other", "owed"), [((), 1), (((50, 2), (150, 2)), 0)])
def test_a_frame_of_a_connection_that_was_left_need_not_have_come(other, owed):
    """Another frame of the chain was hit at that time, and is in a gap."""
    gap = book_gap("undecodable", 101, 102)

    case = Case(fault("malformed"), sent=other, gaps=[gap])

    assert case.owed_and_told() == [(owed, 0)]


@pytest.mark.parametrize(("known", "told"), [((), 0), ((7,), 1)])
def test_a_dropped_trade_that_another_connection_brought_is_there(known, told):
    drop = fault("drop", stream="trades", parameter="", trade_ids=(7,))
    rows = [Stored(101, "run.1", 1, 0, {"trade_id": number}) for number in known]
    trade = SimpleNamespace(trade_id=7, ts_ns=100, market_id=7)

    case = Case(drop, rows=rows, trades=[trade])

    assert case.owed_and_told() == [(1, told)]


@pytest.mark.parametrize(
    ("sent", "owed"),
    [
        ([(10, 1), (99, 1)], 1),
        ([(10, 1), (50, 2), (99, 1), (120, 2)], 0),
        ([(10, 1), (50, 2), (60, 2), (99, 1)], 1),  # it had ended before
        ([(10, 1), (99, 1), (110, 2), (120, 2)], 1),  # it came after
    ],
)
def test_a_connection_that_ends_costs_nothing_where_another_goes_on(sent, owed):
    assert Case(fault("abort"), sent=sent).owed_and_told() == [(owed, 0)]


@pytest.mark.parametrize(
    ("sent", "owed"),
    [
        ([], 1),
        ([(10, 2), (200, 2)], 1),  # from then on nobody carries it
        ([(10, 2), (150, 1), (200, 2)], 0),
    ],
)
def test_a_stream_that_is_silent_is_missed_once_no_other_connection_has_it(sent, owed):
    assert Case(fault("silent_ack"), sent=sent).owed_and_told() == [(owed, 0)]
