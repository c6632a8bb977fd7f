import pytest

from recorder import open_store
from recorder.errors import CorruptSegmentError
from recorder.query.info import GapInfo, StoreInfo, StreamInfo, TableInfo
from recorder.store.run import OpenInterval, RunState, open_run


def test_an_empty_store_holds_nothing(maker):
    info = open_store(maker.root).info()

    assert info == StoreInfo(
        path=str(maker.root), bytes=0, tables=(), streams=(), gaps=()
    )


def test_rows_and_times_are_counted_over_segments_and_journals(maker):
    later = maker.noon + maker.day
    first = maker.segment([maker.trade(5), maker.trade(3)])
    second = maker.segment([maker.trade(9, at=later)])
    maker.journal([maker.trade(11), maker.trade(12)])
    maker.journal([maker.depth(7, b"[]", b"[]")], source="gate_v3")

    info = open_store(maker.root).info()

    assert info.tables == (
        TableInfo(
            table="trades",
            source="gate_spot",
            rows=5,
            files=2,
            bytes=first.stat().st_size + second.stat().st_size,
            journal_rows=2,
            first_ts_recv=maker.noon + 5,
            last_ts_recv=later,
        ),
        TableInfo(
            table="depth",
            source="gate_v3",
            rows=1,
            files=0,
            bytes=0,
            journal_rows=1,
            first_ts_recv=maker.noon + 7,
            last_ts_recv=maker.noon + 7,
        ),
    )
    files = [path for path in maker.root.rglob("*.[pa]*r*") if path.is_file()]
    assert info.bytes == sum(path.stat().st_size for path in files)


def test_streams_are_those_of_the_ledger_with_what_runs_now(maker):
    maker.segment(
        [
            maker.coverage(50, market="ETH_USDT"),
            maker.coverage(60, market="BTC_USDT"),
            maker.coverage(70, market="BTC_USDT", job="other"),
            maker.coverage(20, market=None, stream="status"),
        ]
    )
    run = open_run(maker.root, job="live", source="gate_v3", now_ns=maker.noon)
    run.heartbeat(maker.noon + 90)
    interval = OpenInterval(market="GT_USDT", stream="depth:30", started_at=maker.noon)
    run.write_state(RunState(intervals=(interval,)))

    streams = open_store(maker.root).info().streams
    run.release()

    noon = maker.noon
    assert streams == (
        StreamInfo(
            source="gate_spot",
            stream="status",
            markets=(),
            jobs=("job",),
            started_at=noon,
            ended_at=noon + 20,
        ),
        StreamInfo(
            source="gate_spot",
            stream="trades",
            markets=("BTC_USDT", "ETH_USDT"),
            jobs=("job", "other"),
            started_at=noon,
            ended_at=noon + 70,
        ),
        StreamInfo(
            source="gate_v3",
            stream="depth:30",
            markets=("GT_USDT",),
            jobs=("live",),
            started_at=noon,
            ended_at=noon + 90,
        ),
    )


def test_gaps_are_counted_by_reason_in_their_newest_revision(maker):
    second = 1_000_000_000
    maker.segment(
        [
            maker.gap(1, "a"),
            maker.gap(2, "a", ended_at=maker.noon + 3 * second),
            maker.gap(3, "b", ended_at=maker.noon + second // 2, healed_by="rest"),
            maker.gap(4, "c"),
            maker.gap(5, "d", scope="book", reason="resync"),
        ]
    )

    gaps = open_store(maker.root).info().gaps

    assert gaps == (
        GapInfo(
            source="gate_spot",
            scope="rows",
            reason="connect_lost",
            gaps=3,
            open=1,
            healed=1,
            seconds=3.5,
        ),
        GapInfo(
            source="gate_spot",
            scope="book",
            reason="resync",
            gaps=1,
            open=1,
            healed=0,
            seconds=0.0,
        ),
    )


def test_a_segment_without_a_footer_is_named(maker):
    path = maker.segment([maker.trade(1)])
    path.write_bytes(b"PAR1")

    with pytest.raises(CorruptSegmentError, match=path.name):
        open_store(maker.root).info()
