"""A judge is worth something only if it can find fault: every break is found."""

from collections.abc import Callable
from functools import partial

import msgspec
import pyarrow as pa
import pytest

from recorder.judging import judge
from recorder.judging.accounts import judge_accounts
from recorder.judging.evidence import Evidence, end_of, plain, touches
from recorder.model import NO_MARKET, Chain
from recorder.simulator.truth import FaultDone, Truth
from recorder.store.listing import open_listing


SECOND_NS = 10**9

Change = Callable[[pa.Table], pa.Table]


def put(rows: pa.Table, at: int, column: str, value: object) -> pa.Table:
    """Return rows with one value changed."""
    number = rows.schema.get_field_index(column)
    field = rows.schema.field(column)
    values = plain(rows.select([column]))
    values[at] = {column: value}
    kind = pa.int64() if pa.types.is_timestamp(field.type) else None
    array = pa.array([row[column] for row in values], kind)
    return rows.set_column(number, field, array.cast(field.type))


def first(rows: pa.Table, skip: int = 0, **wanted: object) -> int:
    """Return the place of the first row, or a later one, with some values."""
    found = [
        at
        for at, row in enumerate(plain(rows))
        if all(row[name] == value for name, value in wanted.items())
    ]
    return found[skip]


def without(rows: pa.Table, at: int) -> pa.Table:
    return pa.concat_tables([rows.slice(0, at), rows.slice(at + 1)])


def doubled(rows: pa.Table, at: int) -> pa.Table:
    return pa.concat_tables([rows.slice(0, at + 1), rows.slice(at)])


def drop(**wanted: object) -> Change:
    return lambda rows: without(rows, first(rows, **wanted))


def drop_all(**wanted: object) -> Change:
    def change(rows: pa.Table) -> pa.Table:
        keep = [
            not all(row[name] == value for name, value in wanted.items())
            for row in plain(rows)
        ]
        return rows.filter(pa.array(keep))

    return change


def double(**wanted: object) -> Change:
    return lambda rows: doubled(rows, first(rows, **wanted))


def alter(column: str, value: object, **wanted: object) -> Change:
    return lambda rows: put(rows, first(rows, **wanted), column, value)


def shift(column: str, by_ns: int, **wanted: object) -> Change:
    def change(rows: pa.Table) -> pa.Table:
        at = first(rows, **wanted)
        before = rows[column].cast(pa.int64())[at].as_py()
        return put(rows, at, column, before + by_ns)

    return change


def more_of_each_bid(rows: pa.Table) -> pa.Table:
    """Return rows with every bid a little larger, which crosses no book."""
    number = rows.schema.get_field_index("bids")
    field = rows.schema.field(number)
    wrong = [
        [{"price": x["price"], "amount": x["amount"] * 1.5} for x in row["bids"]]
        for row in rows.select(["bids"]).to_pylist()
    ]
    return rows.set_column(number, field, pa.array(wrong, field.type))


def test_what_was_recorded_under_faults_holds(recorded):
    judgement = recorded.judged()

    assert judgement.complaints == ()
    assert all(book.states == book.equal > 0 for book in judgement.books)
    assert all(book.quotes > 0 and book.samples > 0 for book in judgement.books)
    assert any(book.unknown > 0 for book in judgement.books)
    assert all(pushes.stored > 0 for pushes in judgement.pushes)
    assert any(pushes.in_gaps > 0 for pushes in judgement.pushes)
    assert all(trades.stored > 0 for trades in judgement.trades)
    told = {trace.fault: trace.told for trace in judgement.traces}
    assert set(told) == {"drop", "malformed", "crossed", "abort", "v3_abort"}
    assert all(count > 0 for count in told.values())
    for account in judgement.accounts:
        assert account.covered_ns > 0
        assert account.missing_ns > 0


@pytest.mark.parametrize("source", ["gate_spot", "gate_v3"])
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop, "trades are lost in silence"),
        (partial(alter, "amount", 0.1234), "trades differ from those"),
        (partial(alter, "price", 1.0), "trades differ from those"),
        (partial(alter, "ts_event", 10**18), "trades differ from those"),
        (partial(alter, "trade_id", 7), "trades differ from those"),
        (double, "trades are stored more than once"),
        (double, "places in frames have more than one row"),
    ],
    ids=["dropped", "amount", "price", "time", "id", "doubled", "place"],
)
def test_a_broken_trade_is_found(case, source, change, complaint):
    case.change("trades", change(**case.calm(source, "trades")), source)

    assert complaint in case.complaints(source, "trades")


@pytest.mark.parametrize("source", ["gate_spot", "gate_v3"])
def test_a_market_without_trades_is_found(case, source):
    case.change("trades", drop_all(market="BTC_USDT"), source)

    assert "no trade is stored" in case.complaints(source, "trades")


@pytest.mark.parametrize("kind", ["dropped", "altered", "doubled", "none"])
@pytest.mark.parametrize(
    ("source", "table", "column"),
    [
        ("gate_spot", "klines", "close"),
        ("gate_spot", "klines", "is_closed"),
        ("gate_spot", "tickers", "base_volume"),
        ("gate_spot", "bbo", "bid_amount"),
        ("gate_v3", "klines", "volume"),
        ("gate_v3", "tickers", "quote_volume"),
        ("gate_v3", "orders", "filled_amount"),
        ("gate_v3", "orders", "side"),
        ("gate_v3", "balances", "frozen"),
    ],
)
def test_a_broken_row_is_found(case, source, table, column, kind):
    is_of_all = table == "balances"
    of = case.calm(source, table, NO_MARKET if is_of_all else "BTC_USDT")
    everything = {"market": None if is_of_all else "BTC_USDT"}
    wrong: object = {"is_closed": True, "side": "?"}.get(column, 1.25)
    change, complaint = {
        "dropped": (drop(**of), "not stored and lie in no gap"),
        "altered": (alter(column, wrong, **of), "were never pushed"),
        "doubled": (double(**of), "were never pushed, or not so often"),
        "none": (drop_all(**everything), "no row of what was pushed is stored"),
    }[kind]

    case.change(table, change, source)

    found = [c for c in case.judged(source, table).complaints if complaint in c]
    assert [
        c
        for c in found
        if c.startswith(f"{source} {everything['market'] or ''} {table}")
    ]


@pytest.mark.parametrize(
    ("source", "change", "complaint"),
    [
        ("gate_spot", drop, "lie in no gap"),
        ("gate_spot", double, "or not so often"),
        ("gate_v3", drop, "lie in no gap"),
        ("gate_v3", double, "or not so often"),
        (
            "gate_spot",
            partial(alter, "bids", [{"price": 1.0, "amount": 2.0}]),
            "stored rows were never pushed",
        ),
        (
            "gate_v3",
            lambda **_place: more_of_each_bid,
            "book states are not the exchange's",
        ),
    ],
)
def test_a_broken_depth_row_is_found(case, source, change, complaint):
    case.change("depth", change(**case.calm(source, "depth")), source)

    assert complaint in case.complaints(source, "depth")


def test_updates_that_are_missing_where_a_gap_says_that_nothing_is_are_found(case):
    case.change("depth", drop(**case.calm("gate_spot", "depth")))

    assert "updates are missing in silence" in case.complaints("gate_spot", "depth")


def test_a_book_that_is_unknown_without_a_reason_is_found(case):
    case.change("depth", drop_all(market="BTC_USDT", origin="rest"))

    complaints = case.complaints("gate_spot", "depth")
    assert "the book was never known" in complaints
    for seen in (
        "messages without a known book",
        "quotes of bbo are unknown and",
        "instants are unknown to book_at and",
    ):
        assert f"{seen} lie in no gap" in complaints


def test_a_book_that_is_wrong_is_found_in_every_way_to_see_it(case):
    """Of every row: so it stays wrong while it changes."""
    case.change("depth", more_of_each_bid)

    complaints = case.complaints("gate_spot", "depth")
    for seen in ("snapshots", "book states", "quotes of bbo", "books of book_at"):
        assert f"{seen} are not the exchange's" in complaints


def test_a_book_that_is_shown_across_a_lost_frame_is_found(case):
    """The frame after the dropped one claims to continue the one before it."""

    def mend(rows: pa.Table) -> pa.Table:
        last: int | None = None
        for at, row in enumerate(plain(rows)):
            if row["market"] != "BTC_USDT" or row["origin"] != "live":
                continue
            if last is not None and row["first_update_id"] > last + 1:
                return put(rows, at, "first_update_id", last + 1)
            last = row["last_update_id"]
        raise LookupError("no jump")

    case.change("depth", mend)
    case.change("gaps", drop_all(reason="sequence_gap"))

    complaints = case.complaints("gate_spot", "depth")
    assert "1 times drop left no gap that says sequence_gap" in complaints
    assert "stored rows were never pushed" in complaints


def test_a_book_that_is_shown_inside_a_gap_is_found(case):
    of = {"market": "ETH_USDT", "scope": "book", "reason": "crossed"}

    def widen(rows: pa.Table) -> pa.Table:
        ended = [
            at
            for at, row in enumerate(plain(rows))
            if row["ended_at"] is not None
            and all(row[name] == value for name, value in of.items())
        ]
        ends = rows["ended_at"].cast(pa.int64())[ended[-1]].as_py()
        start = rows["started_at"].cast(pa.int64())[ended[-1]].as_py()
        # Now the middle of it is a time at which the book is known.
        start = 2 * (start - SECOND_NS // 2) - ends
        rows = put(rows, ended[-1], "started_at", start)
        # And it is none that a replay heeds.
        return put(rows, ended[-1], "healed_by", "take_over")

    case.change("gaps", widen)

    complaints = case.complaints("gate_spot", "depth")
    assert "books are shown by book_at inside a gap" in complaints


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("drop", {"reason": "sequence_gap"}),
        ("malformed", {"reason": "undecodable"}),
        ("crossed", {"reason": "crossed"}),
        ("abort", {"reason": "connect_lost", "market": "BTC_USDT"}),
    ],
)
@pytest.mark.parametrize("kind", ["deleted", "other reason", "other market", "earlier"])
def test_a_fault_without_the_gap_that_it_must_leave_is_found(case, fault, wanted, kind):
    def change(rows: pa.Table) -> pa.Table:
        if kind == "deleted":
            return drop_all(**wanted)(rows)
        for at, row in enumerate(plain(rows)):
            if not all(row[name] == value for name, value in wanted.items()):
                continue
            if kind == "other reason":
                # Cut short as well: who is in a gap for long owes no other.
                rows = put(rows, at, "reason", "disk_full")
                rows = put(rows, at, "ended_at", row["started_at"] + 1)
            elif kind == "other market":
                rows = put(rows, at, "market", "GT_USDT")
            else:
                for column in ("started_at", "ended_at"):
                    time = rows[column].cast(pa.int64())[at].as_py()
                    rows = put(rows, at, column, time and time - 60 * SECOND_NS)
                rows = put(rows, at, "after_update_id", None)
        return rows

    case.change("gaps", change)

    table = "bbo" if fault == "malformed" else "depth"
    complaints = case.complaints("gate_spot", table)
    assert f"times {fault} left no gap that says" in complaints


@pytest.mark.parametrize(
    ("table", "change", "complaint"),
    [
        (
            "gaps",
            drop_all(reason="connect_lost", stream="tickers"),
            "instants are neither covered nor in a gap",
        ),
        (
            "gaps",
            drop_all(reason="not_started", stream="tickers"),
            "the ledger begins after the first row",
        ),
        (
            "gaps",
            drop_all(reason="process_stopped", stream="tickers"),
            "no gap is open although nobody records any more",
        ),
        (
            "coverage",
            drop_all(stream="tickers"),
            "nothing is covered",
        ),
        (
            "coverage",
            shift("ended_at", -1, stream="tickers", closed_by="gap"),
            "1 ns from",
        ),
        (
            "coverage",
            shift("ended_at", 1, stream="tickers", closed_by="gap"),
            "instants are told twice: coverage and undecodable, 1 ns",
        ),
        (
            "coverage",
            shift("started_at", -1, stream="tickers", closed_by="stop"),
            "instants are told twice: connect_lost and coverage, 1 ns",
        ),
        ("coverage", double(stream="tickers"), "told twice: coverage and coverage"),
    ],
)
def test_an_account_that_does_not_add_up_is_found(case, table, change, complaint):
    if "begins after" in complaint:
        # Were the rows of before the acceptance there, the ledger would lack.
        case.change("tickers", shift("ts_recv", -3600 * SECOND_NS, market="BTC_USDT"))

    case.change(table, change)

    assert complaint in case.complaints("gate_spot", "tickers")


@pytest.mark.parametrize(("reason", "is_owed"), [("not_started", 0), ("disk_full", 1)])
def test_a_spoiled_frame_before_its_chain_was_recorded_owes_no_gap(
    case, reason, is_owed
):
    def change(rows: pa.Table) -> pa.Table:
        for at, row in enumerate(plain(rows)):
            if row["reason"] == "undecodable":
                rows = put(rows, at, "reason", reason)
        return rows

    case.change("gaps", change)

    complaints = case.complaints("gate_spot", "bbo")
    assert ("malformed left no gap that says" in complaints) == is_owed


def test_a_spoiled_frame_that_was_not_kept_is_found(case):
    case.change("frames", lambda rows: rows.slice(0, 0))

    complaints = case.complaints("gate_spot", "bbo")
    assert "1 times malformed left no gap that says" in complaints
    assert "and no frame" in complaints


def test_a_gap_on_top_of_coverage_is_found_where_the_ledger_is_to_be_exact(case):
    case.change(
        "gaps", shift("started_at", -1, reason="sequence_gap", market="BTC_USDT")
    )

    evidence = Evidence(
        open_listing(case.root),
        case.truth,
        "gate_spot",
        [Chain("BTC_USDT", "depth:100ms")],
    )
    found = {
        is_exact: [
            c for v in judge_accounts(evidence, is_exact=is_exact) for c in v.complaints
        ]
        for is_exact in (False, True)
    }
    assert found[False] == []
    assert "coverage and sequence_gap, 1 ns from" in "".join(found[True])


def test_a_chain_that_was_asked_for_and_never_recorded_is_found(case):
    asked = {"gate_spot": (*case.asked["gate_spot"], Chain("BTC_USDT", "depth:20ms"))}

    complaints = "\n".join(judge(open_listing(case.root), case.truth, asked).complaints)

    about = "gate_spot BTC_USDT depth:20ms:"
    assert f"{about} the book was never known" in complaints
    assert f"{about} no row of what was pushed is stored" in complaints
    assert f"{about} nothing is covered" in complaints


def test_a_truth_without_frames_is_no_oracle(case):
    with pytest.raises(ValueError, match="log its frames"):
        Evidence(open_listing(case.root), Truth(), "gate_spot", ())


def test_nothing_asked_for_is_nothing_to_judge(case):
    with pytest.raises(ValueError, match="nothing to judge"):
        judge(open_listing(case.root), case.truth, {"gate_spot": ()})


def test_rows_pushed_twice_and_stored_once_are_found(case):
    """Truth that says more than the store does: the judge looks both ways."""
    chain = Chain("BTC_USDT", "tickers")
    evidence = Evidence(open_listing(case.root), case.truth, "gate_spot", [chain])
    gaps = evidence.gaps_of(chain, "rows")

    def calm_ns(frame):
        return min(
            max(gap.started_at - frame.ts_ns, frame.ts_ns - end_of(gap)) for gap in gaps
        )

    frame = max(
        (
            f
            for f in case.truth.frames
            if (f.feed, f.stream, f.market) == ("v4", chain.stream, chain.market)
            and f.is_whole
        ),
        key=calm_ns,
    )
    truth = Truth(log_frames=True)
    truth.markets, truth.trades = case.truth.markets, case.truth.trades
    truth.v3_depths, truth.faults = case.truth.v3_depths, case.truth.faults
    other = msgspec.structs.replace(frame, facts=({**frame.facts[0], "last": "1"},))
    at = case.truth.frames.index(frame)
    truth.frames = [*case.truth.frames[:at], other, *case.truth.frames[at:]]

    complaints = "\n".join(judge(open_listing(case.root), truth, case.asked).complaints)

    assert f"{frame.market} tickers: 1 rows were pushed, are not stored" in complaints


V4_DEPTH = ("v4", "depth")


def with_second_connection(case, stream, late_ns=1_000):
    """The truth, had another connection been sent the same of a stream."""
    frames = [f for f in case.truth.frames if f.feed == "v4" and f.stream == stream]
    first = min(frame.conn for frame in frames)
    truth = Truth(log_frames=True)
    truth.markets, truth.trades = case.truth.markets, case.truth.trades
    truth.v3_depths, truth.faults = case.truth.v3_depths, case.truth.faults
    truth.frames = case.truth.frames + [
        msgspec.structs.replace(frame, conn=99, ts_ns=frame.ts_ns + late_ns)
        for frame in frames
        if frame.conn == first and frame.is_whole
    ]
    return truth


def without_unrest(case, truth, stream):
    """Leave out what a second connection was sent within a second after a gap.

    What lies in a gap would lie behind it, so late, and truly be missing.
    """
    evidence = Evidence(open_listing(case.root), case.truth, "gate_spot", [])

    def is_calm(frame):
        gaps = evidence.gaps_of(Chain(frame.market, stream), "rows")
        before = frame.ts_ns - 1_000_000_000
        return not any(touches(gap, before, frame.ts_ns) for gap in gaps)

    truth.frames = [f for f in truth.frames if f.conn != 99 or is_calm(f)]


def judged_with(case, truth, table):
    asked = [c for c in case.asked["gate_spot"] if c.stream.startswith(table)]
    return judge(open_listing(case.root), truth, {"gate_spot": asked})


@pytest.mark.parametrize("stream", ["tickers", "bbo", "depth", "klines"])
def test_what_a_second_connection_brings_too_need_not_be_stored_again(case, stream):
    truth = with_second_connection(case, stream)

    judgement = judged_with(case, truth, stream)

    assert judgement.complaints == ()
    assert sum(pushes.repeated for pushes in judgement.pushes) > 5


@pytest.mark.parametrize(("stream", "lost"), [("bbo", False), ("tickers", True)])
def test_what_a_second_connection_brings_late_is_known_by_its_id(case, stream, lost):
    truth = with_second_connection(case, stream, late_ns=300_000_000)
    without_unrest(case, truth, stream)

    complaints = judged_with(case, truth, stream).complaints

    assert [complaint for complaint in complaints if "not stored" in complaint] == (
        list(complaints)
    )
    assert bool(complaints) == lost


def test_what_a_fault_held_back_for_one_connection_is_known_again(case):
    truth = with_second_connection(case, "tickers", late_ns=300_000_000)
    without_unrest(case, truth, "tickers")
    late = [frame for frame in truth.frames if frame.conn == 99]
    truth.faults = case.truth.faults + [
        FaultDone(
            ts_ns=frame.ts_ns - 300_000_000,
            name="delay",
            feed="v4",
            conn=99,
            market=frame.market,
            stream="tickers",
        )
        for frame in late
    ]

    judgement = judged_with(case, truth, "tickers")

    assert judgement.complaints == ()
    assert sum(pushes.repeated for pushes in judgement.pushes) > len(late) / 2


@pytest.mark.parametrize("is_altered", [True, False])
def test_what_a_second_connection_brings_unaltered_need_not_be_stored(case, is_altered):
    (crossed,) = [fault for fault in case.truth.faults if fault.name == "crossed"]
    truth = with_second_connection(case, "depth")
    # Of the connection whose frames the second one brings, too.
    first = min(f.conn for f in case.truth.frames if (f.feed, f.stream) == V4_DEPTH)
    place = case.calm("gate_spot", "depth", crossed.market, theirs=first)
    rows = plain(open_listing(case.root).read("depth", source="gate_spot"))
    (other,) = [row for row in rows if row.items() >= place.items()]
    wanted = crossed.last_update_id if is_altered else other["last_update_id"]
    for number, frame in enumerate(truth.frames):
        is_hit = frame.last_update_id == wanted
        if frame.conn == 99 and is_hit and frame.market == crossed.market:
            other_bids = (*frame.facts[0]["bids"], ("0.25", "77"))
            facts = {**frame.facts[0], "bids": other_bids}
            truth.frames[number] = msgspec.structs.replace(frame, facts=(facts,))
            break

    complaints = judged_with(case, truth, "depth").complaints

    assert ["not stored" in complaint for complaint in complaints] == (
        [] if is_altered else [True]
    )


@pytest.mark.parametrize("stream", ["tickers", "bbo", "depth", "klines"])
def test_rows_that_are_stored_for_two_connections_are_found(case, stream):
    truth = with_second_connection(case, stream)

    def change(rows):
        live = [row["conn"].endswith(".0") for row in plain(rows.select(["conn"]))]
        mine = rows.filter(pa.array(live))
        number = mine.schema.get_field_index("conn")
        other = pa.array(["other.9"] * len(mine), pa.string())
        kind = mine.schema.field("conn").type
        again = mine.set_column(number, mine.schema.field(number), other.cast(kind))
        return pa.concat_tables([rows, again])

    case.change(stream, change)

    complaints = "\n".join(judged_with(case, truth, stream).complaints)

    assert "rows are stored twice, for two connections" in complaints
