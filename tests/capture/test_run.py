"""Whole runs over real sockets, compared with the exchange's own record."""

import asyncio
import os
import threading
from contextlib import suppress

import msgspec
import pyarrow.compute as pc
import pytest
from aiohttp import web

from recorder import open_store
from recorder.capture.plan import CapturePlan
from recorder.capture.pool import Pool
from recorder.capture.rows import ROW_BYTES
from recorder.capture.run import Capture
from recorder.clock import SystemClock, wall_ns
from recorder.config import CaptureConfig
from recorder.errors import ConfigError, JobRunningError, StoreError
from recorder.model import Chain
from recorder.simulator import faults
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.telemetry import BooksNeverKnown, JobLeftOpen, JobOverlaps


MARKETS = ("BTC_USDT", "ETH_USDT", "GT_USDT")


def table(root, name):
    return plain_rows(open_listing(root).read(name))


def gaps(root):
    return newest_revisions(table(root, "gaps"))


def stored_trades(root, market):
    rows = [row for row in table(root, "trades") if row["market"] == market]
    return {
        row["trade_id"]: (row["side"], row["price"], row["amount"]) for row in rows
    }, len(rows)


async def test_every_trade_of_the_exchange_is_stored_once(recorder_of):
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        result = await recorder_of.run(exchange, "gate_spot", 3)
        truth = exchange.truth

    first = min(row["started_at"] for row in table(recorder_of.root, "coverage"))
    for market in ("BTC_USDT", "ETH_USDT", "GT_USDT"):
        stored, count = stored_trades(recorder_of.root, market)
        known = {
            t.trade_id: (t.side, float(t.price), float(t.amount))
            for t in truth.trades_of(market)
        }
        last_covered = max(stored)
        expected = {
            t.trade_id
            for t in truth.trades_of(market)
            if t.ts_ns > first + 300_000_000 and t.trade_id <= last_covered
        }
        assert count == len(stored)
        assert expected <= set(stored)
        assert stored == {trade_id: known[trade_id] for trade_id in stored}
    assert result.failure is None
    assert (result.progress.books_known, result.progress.books) == (3, 3)


async def test_history_is_stored_once_over_two_runs(recorder_of):
    async with Exchange(Settings(seed=5, rate=40)) as exchange:
        await recorder_of.run(exchange, "gate_v3", 1.5, streams=("trades",))
        await recorder_of.run(exchange, "gate_v3", 1.5, streams=("trades",))

    rows = table(recorder_of.root, "trades")
    keys = [(row["market"], row["trade_id"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert {row["origin"] for row in rows} == {"history", "live"}
    assert len({row["conn"].partition(".")[0] for row in rows}) == 2


async def test_the_time_between_two_runs_is_a_gap(recorder_of):
    async with Exchange(Settings(seed=5)) as exchange:
        await recorder_of.run(exchange, "gate_spot", 1, streams=("trades",))
        await recorder_of.run(exchange, "gate_spot", 1, streams=("trades",))

    *_, between, stopped = [
        gap for gap in gaps(recorder_of.root) if gap.market == "BTC_USDT"
    ]
    coverage = sorted(
        (row["started_at"], row["ended_at"])
        for row in table(recorder_of.root, "coverage")
        if row["market"] == "BTC_USDT"
    )
    # The first ended as it was to, and the second was not there yet.
    assert (between.reason, stopped.reason) == ("not_started", "process_stopped")
    assert between.ended_at == coverage[1][0]
    assert (stopped.started_at, stopped.ended_at) == (coverage[1][1], None)


async def test_a_lost_connection_is_a_gap_and_the_book_comes_back(recorder_of):
    settings = Settings(seed=6, rate=40, faults=(faults.parse("abort:at=2"),))
    async with Exchange(settings) as exchange:
        result = await recorder_of.run(exchange, "gate_spot", 5)

    lost = [gap for gap in gaps(recorder_of.root) if gap.reason == "connect_lost"]
    assert {(gap.market, gap.stream) for gap in lost} == {
        (market, stream)
        for market in ("BTC_USDT", "ETH_USDT", "GT_USDT")
        for stream in ("trades", "depth:100ms")
    }
    assert all(gap.ended_at is not None for gap in lost)
    assert result.progress.books_known == 3
    lives = table(recorder_of.root, "connections")
    assert sorted(life["conn"].rpartition(".")[2] for life in lives) == ["0", "1"]


async def test_a_dropped_frame_breaks_only_its_own_market(recorder_of):
    fault = faults.parse("drop:stream=depth,market=ETH_USDT,at=2")
    async with Exchange(Settings(seed=7, rate=40, faults=(fault,))) as exchange:
        result = await recorder_of.run(exchange, "gate_spot", 5)
        done = exchange.truth.faults_of("drop")

    breaks = [gap for gap in gaps(recorder_of.root) if gap.reason == "sequence_gap"]
    assert [(g.market, g.stream) for g in breaks] == [("ETH_USDT", "depth:100ms")]
    assert (breaks[0].after_update_id, breaks[0].before_update_id) == (
        done[0].first_update_id - 1,
        done[0].last_update_id + 1,
    )
    assert result.progress.books_known == 3


async def test_a_crossed_book_is_mended(recorder_of):
    fault = faults.parse("crossed:market=BTC_USDT,at=2")
    async with Exchange(Settings(seed=8, rate=40, faults=(fault,))) as exchange:
        result = await recorder_of.run(exchange, "gate_spot", 5)

    crossed = [gap for gap in gaps(recorder_of.root) if gap.reason == "crossed"]
    assert [(g.market, g.scope) for g in crossed] == [("BTC_USDT", "book")]
    assert crossed[0].ended_at is not None
    assert result.progress.books_known == 3


async def test_malformed_frames_are_kept_and_recording_goes_on(recorder_of):
    fault = faults.parse("malformed:stream=tickers,at=1,count=1")
    async with Exchange(Settings(seed=8, rate=20, faults=(fault,))) as exchange:
        result = await recorder_of.run(
            exchange, "gate_spot", 3, streams=("trades", "tickers")
        )

    kept = table(recorder_of.root, "frames")
    assert [row["reason"] for row in kept] == ["undecodable"]
    spoiled = [g for g in gaps(recorder_of.root) if g.reason == "undecodable"]
    assert [(g.market, g.stream) for g in spoiled] == [(None, None)]
    assert result.failure is None


async def test_a_refused_market_leaves_the_others_alone(recorder_of):
    async with Exchange(Settings(seed=9)) as exchange:
        result = await recorder_of.run(
            exchange,
            "gate_spot",
            2,
            markets=("BTC_USDT", "NOPE_USDT", "ETH_USDT"),
            streams=("trades", "depth"),
        )

    assert set(result.refused) == {
        Chain("NOPE_USDT", "trades"),
        Chain("NOPE_USDT", "depth:100ms"),
    }
    assert "NOPE_USDT" in result.refused[Chain("NOPE_USDT", "trades")]
    refused = [
        gap for gap in gaps(recorder_of.root) if gap.reason == "subscription_rejected"
    ]
    assert {gap.stream for gap in refused} == {"trades", "depth:100ms"}
    assert result.progress.books_known == 2


async def test_when_all_is_refused_the_run_ends_by_itself(recorder_of):
    async with Exchange(Settings(seed=9)) as exchange, asyncio.timeout(10):
        result = await recorder_of.run(
            exchange, "gate_v3", 60, markets=("NOPE_USDT",), streams=("trades",)
        )

    assert len(result.refused) == result.chains == 1


async def test_a_job_runs_only_once(recorder_of):
    async with Exchange(Settings(seed=9)) as exchange:
        first = recorder_of.capture(exchange, "gate_spot", stop_after_seconds=1)

        with pytest.raises(JobRunningError, match="is already running"):
            recorder_of.capture(exchange, "gate_spot")
        await first.run()


async def test_an_unreachable_venue_is_a_failure_with_its_reason(recorder_of):
    async with Exchange(Settings(seed=9)) as exchange:
        result = await recorder_of.run(
            exchange, "gate_spot", 1, ws_url="ws://127.0.0.1:9/ws/v4/"
        )

    assert not result.was_connected
    assert "never reached: cannot connect to ws://127.0.0.1:9/" in result.failure


async def test_a_server_that_refuses_stops_the_run_at_once(recorder_of):
    async with Exchange(Settings(seed=9)) as exchange, asyncio.timeout(10):
        url = exchange.ws_url_spot.replace("/ws/v4", "/nothing/here")
        result = await recorder_of.run(exchange, "gate_spot", 60, ws_url=url)

    assert "HTTP 404" in result.failure


async def test_archive_keeps_every_frame_in_both_directions(recorder_of):
    async with Exchange(Settings(seed=9)) as exchange:
        await recorder_of.run(
            exchange, "gate_spot", 1.5, streams=("trades", "depth"), is_archiving=True
        )

    kept = table(recorder_of.root, "frames")
    lives = table(recorder_of.root, "connections")
    received = [r for r in kept if r["direction"] == "in" and r["opcode"] == "text"]
    assert len(received) >= lives[0]["frames"] - 2
    assert any(r["direction"] == "out" for r in kept)
    assert any(
        r["opcode"] == "http" and "/spot/order_book" in r["request"] for r in kept
    )


def test_an_address_of_the_wrong_kind_is_refused(recorder_of):
    class Nowhere:
        ws_url_spot = "http://127.0.0.1:9"
        rest_url = "http://127.0.0.1:9"

    with pytest.raises(ConfigError, match="--ws-url"):
        recorder_of.capture(Nowhere(), "gate_spot")
    assert not recorder_of.root.exists()


async def test_rows_are_stamped_in_order(recorder_of):
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        await recorder_of.run(exchange, "gate_spot", 2)

    rows = open_listing(recorder_of.root).read("depth")
    live = plain_rows(rows.filter(pc.field("origin") == "live"))
    for market in ("BTC_USDT", "ETH_USDT"):
        mine = [r for r in live if r["market"] == market]
        assert [r["seq"] for r in mine] == sorted(r["seq"] for r in mine)
        assert [r["ts_recv"] for r in mine] == sorted(r["ts_recv"] for r in mine)


# Runs of a venue that the tests play themselves


BTC_TRADES = Chain("BTC_USDT", "trades")
BTC_BOOK = Chain("BTC_USDT", "depth:10")


@pytest.fixture
def played(fake, serve, tmp_path):
    """Make a capture of a venue that says what a coroutine has it say."""

    async def played(
        act, *chains, accepted=None, book=None, on_progress=None, stop=None, **changes
    ):
        async def handler(request):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            answer = [["ok", chains if accepted is None else accepted]]
            await socket.send_bytes(msgspec.json.encode(answer))
            await act(socket)
            async for _ in socket:
                pass
            return socket

        async def no_book(request):
            raise web.HTTPNotFound

        address = await serve({"/ws": handler, "/book": book or no_book})
        config = CaptureConfig(
            **{
                "source": "fake",
                "markets": ("BTC_USDT",),
                "streams": ("trades",),
                "store": tmp_path / "store",
                "stop_after_seconds": 60.0,
                **changes,
            }
        )
        plan = CapturePlan(
            config=config,
            source=fake,
            options={},
            streams=tuple({chain.stream for chain in chains}),
            chains=chains,
            job="job",
            ws_url=f"ws://{address}/ws",
            rest_url=f"http://{address}",
        )
        return Capture(plan, on_progress=on_progress, stop=stop)

    return played


async def test_a_row_of_the_last_moment_that_cannot_be_stored_is_a_gap(
    played, tmp_path
):
    async def act(socket):
        await socket.send_str('[["trade","BTC_USDT",1]]')
        await socket.send_str('[["trade","BTC_USDT",2,"nonsense"]]')
        await socket.send_str('[["trade","BTC_USDT",3]]')
        await asyncio.sleep(0.2)
        capture.request_stop()

    capture = await played(act, BTC_TRADES, flush_seconds=60.0)
    result = await capture.run()

    root = tmp_path / "store"
    assert [row["trade_id"] for row in table(root, "trades")] == [1, 3]
    spoiled = [gap for gap in gaps(root) if gap.reason == "undecodable"]
    assert [(g.market, g.stream, g.scope) for g in spoiled] == [
        ("BTC_USDT", "trades", "rows")
    ]
    kept = table(root, "frames")
    assert [(row["seq"], row["reason"]) for row in kept] == [(2, "undecodable")]
    assert spoiled[0].started_at == kept[0]["ts_recv"]
    first, second = sorted(
        (row["started_at"], row["ended_at"]) for row in table(root, "coverage")
    )
    assert (first[1], second[0]) == (spoiled[0].started_at, spoiled[0].ended_at)
    assert result.failure is None


async def test_many_rows_do_not_wait_for_a_long_flush_interval(played, monkeypatch):
    small = Pool(8 * 10 * ROW_BYTES)  # of which an eighth is many
    monkeypatch.setattr("recorder.capture.shared.Pool", lambda _: small)
    monkeypatch.setattr("recorder.capture.run.TICK_SECONDS", 0.05)
    durable = []

    def on_progress(progress):
        durable.append(progress.rows.get("trades", 0))
        if durable[-1]:
            capture.request_stop()

    async def act(socket):
        for number in range(30):
            await socket.send_str(f'[["trade","BTC_USDT",{number}]]')

    capture = await played(act, BTC_TRADES, flush_seconds=60.0, on_progress=on_progress)
    async with asyncio.timeout(10):
        await capture.run()

    assert durable[0] == 0
    assert 10 <= durable[-1] <= 30


async def test_a_disk_that_stalls_costs_frames_and_a_gap_says_which(
    played, tmp_path, monkeypatch
):
    small = Pool(20 * ROW_BYTES)
    monkeypatch.setattr("recorder.capture.shared.Pool", lambda _: small)
    is_working, original = threading.Event(), os.fsync
    is_working.set()
    seen = []

    def stalling(descriptor):
        is_working.wait(10)
        original(descriptor)

    def on_progress(progress):
        seen.append(progress)
        if progress.dropped > 50:
            is_working.set()
        if progress.dropped and len(seen) > 1 and seen[-2].dropped == progress.dropped:
            capture.request_stop()

    async def act(socket):
        is_working.clear()
        with suppress(ConnectionError):
            for number in range(1_000_000):
                await socket.send_str(f'[["trade","BTC_USDT",{number}]]')
                await asyncio.sleep(0.002)

    monkeypatch.setattr("recorder.store.calls.sync", stalling)
    capture = await played(act, BTC_TRADES, flush_seconds=0.05, on_progress=on_progress)
    async with asyncio.timeout(20):
        result = await capture.run()

    root = tmp_path / "store"
    dropped = [gap for gap in gaps(root) if gap.reason == "backpressure"]
    counted = sum(int(gap.detail.partition(" ")[0]) for gap in dropped)
    stored = [row["trade_id"] for row in table(root, "trades")]
    missing = set(range(max(stored))) - set(stored)
    assert counted == result.progress.dropped
    assert len(missing) <= counted
    assert result.progress.frames >= len(stored) + counted + 1
    times = {row["trade_id"]: row["ts_recv"] for row in table(root, "trades")}
    for number in missing:
        before = max(times[n] for n in stored if n < number)
        after = min(times[n] for n in stored if n > number)
        assert any(g.started_at <= after and g.ended_at >= before for g in dropped)


async def test_a_snapshot_that_is_put_off_by_the_venue_is_asked_for_later(
    played, tmp_path
):
    asked = []

    async def book(request):
        asked.append(asyncio.get_running_loop().time())
        if len(asked) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(text='[4,[["1","2"]],[]]')

    async def act(socket):
        await socket.send_str('[["depth","BTC_USDT",5,6]]')

    def on_progress(progress):
        if progress.books_known:
            capture.request_stop()

    capture = await played(
        act, BTC_BOOK, book=book, flush_seconds=0.05, on_progress=on_progress
    )
    async with asyncio.timeout(15):
        await capture.run()

    assert len(asked) == 2
    assert asked[1] - asked[0] >= 1.0
    origins = [row["origin"] for row in table(tmp_path / "store", "depth")]
    assert sorted(origins) == ["live", "rest"]


async def test_a_run_that_cannot_begin_gives_its_job_back(played, monkeypatch):
    def broken(root):
        raise StoreError("no")

    async def act(socket):
        capture.request_stop()

    with monkeypatch.context() as patched:
        patched.setattr("recorder.capture.run.recover", broken)
        with pytest.raises(StoreError, match="no"):
            await played(act, BTC_TRADES)
    capture = await played(act, BTC_TRADES)
    result = await capture.run()

    assert result.failure is None


async def test_a_run_that_is_told_to_end_before_it_began_has_not_failed(played):
    async def act(socket):
        pytest.fail("it connected")

    stop = asyncio.Event()
    stop.set()
    capture = await played(act, BTC_TRADES, stop=stop)
    result = await capture.run()

    assert (result.failure, result.was_connected) == (None, False)


async def idle(socket):
    """Say nothing more."""


async def test_a_venue_that_answers_no_subscription_is_a_failure(played):
    capture = await played(idle, BTC_TRADES, accepted=(), stop_after_seconds=2.0)

    result = await capture.run()

    assert result.was_connected
    assert result.failure.startswith("the venue answered no subscription")


async def test_what_a_venue_says_instead_of_an_answer_is_why_it_failed(played):
    async def act(socket):
        await socket.close(code=1013, message=b"too many requests")

    capture = await played(act, BTC_TRADES, accepted=(), stop_after_seconds=2.0)

    result = await capture.run()

    assert result.failure == (
        "the venue accepted no subscription, so nothing was recorded: too many requests"
    )


async def test_a_run_that_is_told_to_end_before_any_answer_has_not_failed(played):
    async def act(socket):
        await socket.receive()
        stop.set()

    stop = asyncio.Event()
    capture = await played(act, BTC_TRADES, accepted=(), stop=stop)
    result = await capture.run()

    assert (result.failure, result.was_connected) == (None, True)


@pytest.fixture
def ended_in_vain(played, monkeypatch):
    """Run until a connection was given up for want of an answer; return how it went."""

    async def ended_in_vain(*chains, accepted):
        async def act(socket):
            lives.append(socket)
            if len(lives) == 2:
                stop.set()

        stop, lives = asyncio.Event(), []
        monkeypatch.setattr("recorder.capture.session.ANSWER_SECONDS", 0.1)
        how = {"accepted": accepted, "stop": stop, "flush_seconds": 0.1}
        capture = await played(act, *chains, **how)
        return await capture.run()

    return ended_in_vain


async def test_a_run_that_is_told_to_end_after_waiting_in_vain_has_failed(
    ended_in_vain,
):
    result = await ended_in_vain(BTC_TRADES, accepted=())

    assert "answered no subscription" in result.failure


async def test_a_subscription_among_others_that_is_not_answered_is_a_failure(
    ended_in_vain,
):
    result = await ended_in_vain(BTC_TRADES, BTC_BOOK, accepted=(BTC_TRADES,))

    assert result.failure == (
        "the venue did not answer 1 of 2 subscriptions, such as depth:10 of BTC_USDT; "
        "nothing of them was recorded"
    )


@pytest.mark.parametrize("source", ["gate_v3", "gate_spot"])
async def test_the_address_of_another_protocol_is_a_failure(recorder_of, source):
    async with Exchange(Settings(seed=9)) as exchange:
        other = exchange.ws_url_spot if source == "gate_v3" else exchange.ws_url_v3
        result = await recorder_of.run(exchange, source, 2, ws_url=other)

    assert "answered no subscription" in result.failure


async def test_coverage_can_be_asked_for_while_recording_goes_on(recorder_of):
    question = "SELECT DISTINCT closed_by FROM coverage ORDER BY ALL"

    def ask():
        return open_store(recorder_of.root).sql(question).fetchall()

    async def until(answer):
        while await asyncio.to_thread(ask) != answer:  # noqa: ASYNC110 - a file tells
            await asyncio.sleep(0.05)

    async with Exchange(Settings(seed=3, rate=30)) as exchange:
        capture = recorder_of.capture(exchange, "gate_spot", streams=("trades",))
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(capture.run())
            await until([(None,)])
            exchange.order(faults.parse("abort"))
            await until([("gap",), (None,)])
            capture.request_stop()


def clock_ahead():
    """Return the clock of a machine that is an hour ahead, and will be put right."""
    return SystemClock(wall=lambda: wall_ns() + 3_600 * 10**9)


async def test_after_the_wall_clock_was_put_back_time_goes_on(recorder_of):
    async with Exchange(Settings(seed=5, rate=40)) as exchange:
        first = recorder_of.capture(
            exchange, "gate_spot", clock=clock_ahead(), stop_after_seconds=1.5
        )
        before = await first.run()
        after = await recorder_of.run(exchange, "gate_spot", 1.5)

    rows = table(recorder_of.root, "trades") + table(recorder_of.root, "depth")
    times = {
        result.run: [r["ts_recv"] for r in rows if r["conn"].startswith(result.run)]
        for result in (before, after)
    }
    assert max(times[before.run]) < min(times[after.run])
    assert (after.progress.books_known, after.progress.books) == (3, 3)
    told = [gap for gap in gaps(recorder_of.root) if gap.stream == "trades"]
    between = [gap for gap in told if gap.started_at > max(times[before.run])]
    assert sorted(gap.market for gap in told if not gap.ended_at) == [*MARKETS]
    assert sorted(gap.market for gap in between if gap.ended_at) == [*MARKETS]
    [step] = [gap for gap in gaps(recorder_of.root) if gap.reason == "clock_step"]
    assert step.scope == "times"
    assert 3_590e9 < (step.ended_at or 0) - step.started_at < 3_600e9


async def test_a_run_without_a_name_names_the_job_that_it_might_have_continued(
    recorder_of, caplog
):
    markets = {"short": MARKETS[:1], "long": MARKETS[:2]}
    async with Exchange(Settings(seed=5)) as exchange:
        for job in ("short", "long"):
            await recorder_of.run(
                exchange, "gate_spot", 1, job=job, markets=markets[job]
            )
        with caplog.at_level("WARNING", logger="recorder"):
            recorder_of.capture(exchange, "gate_spot", job="third")._run.release()
            recorder_of.capture(exchange, "gate_spot", streams=("bbo",))._run.release()
            assert not told(caplog)
            recorder_of.capture(exchange, "gate_spot")._run.release()
        assert told(caplog) == [JobLeftOpen(option="--job long", chains=4)]

        running = recorder_of.capture(exchange, "gate_spot", job="long")
        caplog.clear()
        recorder_of.capture(exchange, "gate_spot")._run.release()
        running._run.release()

    assert told(caplog) == [
        JobOverlaps(job="long", chains=6),
        JobLeftOpen(option="--job short", chains=2),
    ]


async def test_a_job_that_never_recorded_anything_is_not_worth_continuing(
    recorder_of, unused_port, caplog
):
    async with Exchange(Settings(seed=5)) as exchange:
        nowhere = f"ws://127.0.0.1:{unused_port}/"
        failed = await recorder_of.run(exchange, "gate_spot", 0.5, ws_url=nowhere)
        recorder_of.capture(exchange, "gate_spot")._run.release()

    open_gaps = [g for g in gaps(recorder_of.root) if g.ended_at is None]
    assert {gap.job for gap in open_gaps} == {failed.job}
    assert told(caplog) == []


def told(caplog):
    """Return what was logged about jobs that others might continue."""
    signals = [getattr(record, "signal", None) for record in caplog.records]
    kinds = (JobLeftOpen, JobOverlaps)
    return [signal for signal in signals if isinstance(signal, kinds)]


async def test_a_run_that_records_what_another_job_is_recording_says_so_once(
    recorder_of, caplog
):
    def begin(markets, **changes):
        """Return a capture that has begun, and what it said of other jobs."""
        caplog.clear()
        begun = recorder_of.capture(exchange, "gate_spot", markets=markets, **changes)
        return begun._run, told(caplog)

    def tried(markets, **changes):
        run, said = begin(markets, **changes)
        run.release()
        return said

    async with Exchange(Settings(seed=5)) as exchange:
        first, alone = begin(MARKETS[:1], job="first")
        second, both = begin(MARKETS[1:], job="second")
        named = tried(MARKETS, job="third")
        unnamed = tried(MARKETS[:1], streams=("trades",))
        apart = tried(MARKETS, streams=("bbo",))
        first.release()
        second.release()
        over = tried(MARKETS, job="third")

    assert alone == both == apart == over == []
    assert named == [JobOverlaps(job="second", chains=4)]
    assert unnamed == [JobOverlaps(job="first", chains=1)]


ETH_BOOK = Chain("ETH_USDT", "depth:10")
IN_BAND_BOOK = Chain("ETH_USDT", "depth:bare")


@pytest.mark.parametrize(
    ("chains", "is_served", "said"),
    [
        ((BTC_BOOK, ETH_BOOK), False, [(2, 2, "--rest-url")]),
        ((BTC_BOOK, IN_BAND_BOOK), True, [(1, 2, None)]),
        ((BTC_BOOK,), True, []),
        ((BTC_TRADES,), False, []),
    ],
)
async def test_books_that_were_never_known_are_told_of_at_the_end(
    played, caplog, chains, is_served, said
):
    asked = asyncio.Event()

    async def book(request):
        asked.set()
        if is_served:
            return web.Response(text='[4,[["1","2"]],[]]')
        raise web.HTTPNotFound

    async def act(socket):
        await socket.send_str(
            '[["depth","BTC_USDT",5,6],["depth","ETH_USDT",5,6]]'
            if BTC_BOOK in chains
            else '[["trade","BTC_USDT",1]]'
        )

    def on_progress(progress):
        is_over = progress.books_known if is_served else asked.is_set()
        if is_over or (BTC_BOOK not in chains and progress.rows.get("trades")):
            capture.request_stop()

    capture = await played(
        act, *chains, book=book, flush_seconds=0.05, on_progress=on_progress
    )
    with caplog.at_level("WARNING", logger="recorder"):
        async with asyncio.timeout(30):
            result = await capture.run()

    signals = [getattr(record, "signal", None) for record in caplog.records]
    never = [s for s in signals if isinstance(s, BooksNeverKnown)]
    assert [(s.books, s.of, s.check) for s in never] == said
    assert result.failure is None
