"""One run takes the place of another of its job: nothing is missing between them."""

import asyncio
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from recorder import open_store
from recorder.capture import insisting, takeover
from recorder.capture.takeover import Whole
from recorder.errors import ConfigError, DiskError, JobRunningError
from recorder.model import TAKEN_OVER, Chain, Gap
from recorder.replay import bbo
from recorder.replay.book import OrderBook
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.job_lock import check_job, leave_path, next_path
from recorder.store.listing import open_listing
from recorder.store.overlay import Overlay
from recorder.store.recover import recover
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.run import Run
from recorder.store.runfile import read_run_files
from recorder.store.writer import WriterStats
from recorder.telemetry import TakeOverDelayed
from recorder.verify import verify


FOREVER = 1 << 63
JOB = "twice"
PROGRAM = "from recorder.cli import main; main()"


def kinds_of(root):
    """Check that each instant is told once; return what becomes of each chain.

    Coverage that touches is one.
    """
    listing = open_listing(root)
    found = {}
    for row in plain_rows(listing.read("coverage")):
        chain = Chain(row["market"], row["stream"])
        span = row["started_at"], row["ended_at"], "covered"
        found.setdefault(chain, []).append(span)
    for gap in newest_revisions(plain_rows(listing.read("gaps"))):
        end = FOREVER if gap.ended_at is None else gap.ended_at
        if gap.scope == "rows" and gap.started_at < end:
            span = gap.started_at, end, gap.reason
            found.setdefault(Chain(gap.market, gap.stream), []).append(span)
    kinds = {}
    for chain, spans in found.items():
        spans.sort()
        for (_, end, _), (begin, _, _) in pairwise(spans):
            assert begin == end, (chain, spans)
        assert spans[-1][1] == FOREVER
        kinds[chain] = [spans[0][2]]
        for _, _, kind in spans[1:]:
            if kind != "covered" or kinds[chain][-1] != "covered":
                kinds[chain].append(kind)
    return kinds


EMPTY = WriterStats(rows={}, through_ns=0)
WHOLE = ("not_started", "covered", "process_stopped")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Nothing is behind here, so a moment is long enough."""
    monkeypatch.setattr(takeover, "SETTLE_SECONDS", 0.05)


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)


def is_live(capture):
    return capture._take_over._is_live()


def is_covering(root):
    """Return whether a run has put down that it covers all that it was asked for."""
    return root.exists() and any(
        run.state.intervals
        and all(run.covered_until(i) > i.started_at for i in run.state.intervals)
        and not any(gap.scope == "rows" for gap in run.state.gaps)
        for run in read_run_files(root)
    )


class Job:
    """Captures of one job, one beside another."""

    def __init__(self, recorder_of, exchange, source="gate_spot", **how):
        self.root = recorder_of.root
        self.exchange = exchange
        self._make = lambda **more: recorder_of.capture(
            exchange, source, **{"job": JOB, **how, **more}
        )

    async def start(self, **more):
        capture = self._make(**more)
        return capture, asyncio.ensure_future(capture.run())

    async def begin(self):
        """Return a capture that records everything, and its end."""
        capture, ending = await self.start()
        await until(lambda: is_live(capture))
        return capture, ending

    async def follow(self):
        """Return one that took over, and its end."""
        capture, ending = await self.start(takes_over=True)
        await until(lambda: not capture.is_beside or ending.done())
        return capture, ending

    async def process(self, *more):
        """Start the same as a process of its own."""
        words = [
            "capture",
            "gate_spot",
            "-m",
            "BTC_USDT",
            "-s",
            "trades",
            "-s",
            "depth",
        ]
        words += ["--ws-url", self.exchange.ws_url_spot, "--flush", "100ms"]
        words += ["--rest-url", self.exchange.rest_url, "--job", JOB, "--json-logs"]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *words, "--store", str(self.root), *more),
            stderr=asyncio.subprocess.PIPE,
        )


async def stop(capture, ending):
    await until(lambda: is_live(capture))
    capture.request_stop()
    result = await ending
    assert result.failure is None
    return result


async def test_the_first_leaves_once_the_second_records_everything(recorder_of):
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        job = Job(recorder_of, exchange)
        _, leaving = await job.begin()
        second = await job.follow()
        first = await leaving
        await stop(*second)
        truth = exchange.truth

    assert first.failure is None
    kinds = kinds_of(job.root)
    assert len(kinds) == 6
    assert {*map(tuple, kinds.values())} == {WHOLE}
    assert verify(job.root).findings == ()
    emptied = [
        gap
        for gap in newest_revisions(plain_rows(open_listing(job.root).read("gaps")))
        if gap.healed_by == TAKEN_OVER
    ]
    assert {gap.reason for gap in emptied} == {"process_stopped"}
    assert all(gap.ended_at == gap.started_at for gap in emptied)
    rows = (
        open_store(job.root).sql("SELECT market, trade_id FROM trades_dedup").fetchall()
    )
    for market in ("BTC_USDT", "ETH_USDT", "GT_USDT"):
        mine = sorted(number for name, number in rows if name == market)
        known = [t.trade_id for t in truth.trades_of(market)]
        assert mine == [i for i in known if mine[0] <= i <= mine[-1]]
    for path in (leave_path, next_path):
        assert not path(job.root, JOB).exists()
    check_job(job.root, JOB)


@pytest.mark.parametrize("source", ["gate_spot", "gate_v3"])
async def test_books_stay_known_while_one_run_takes_over(recorder_of, source):
    settings = Settings(seed=6, rate=60, v3_clean_seconds=(60.0, 90.0))
    async with Exchange(settings) as exchange:
        job = Job(
            recorder_of, exchange, source, markets=("BTC_USDT",), streams=("depth",)
        )
        first, leaving = await job.begin()
        second = await job.follow()
        await leaving
        await stop(*second)

    store = open_store(job.root)
    shown = store.bbo(source=source, market="BTC_USDT")
    known = shown["known"].to_pylist()
    assert all(known[known.index(True) :])
    conns = {row.conn for row in store.replay(streams=["depth"])}
    assert {conn.partition(".")[0] for conn in conns} >= {
        first._run.id,
        second[0]._run.id,
    }
    book = OrderBook()
    was_known = False
    for row in store.replay(source=source, streams=["depth"]):
        if isinstance(row.event, Gap) and row.event.ended_at is None:
            break  # nobody records any more
        book.apply(row.event, conn=row.conn)
        assert book.is_known or not was_known or source == "gate_v3"
        was_known |= book.is_known
    assert was_known


async def test_books_of_single_pushes_are_in_a_gap_until_the_next_if_it_was_short(
    recorder_of, monkeypatch
):
    """No id tells whether one was sent that neither run has."""
    monkeypatch.setattr(Overlay, "_is_settled", lambda *_: False)
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        job = Job(recorder_of, exchange, streams=("depth:top.20",))
        _, leaving = await job.begin()
        second = await job.follow()
        await leaving
        await stop(*second)

    assert verify(job.root).findings == ()
    listing = open_listing(job.root)
    gaps = newest_revisions(plain_rows(listing.read("gaps")))
    seams = {gap.market: gap for gap in gaps if gap.reason == "process_stopped"}
    for market, seam in seams.items():
        shown = plain_rows(
            bbo(listing, source="gate_spot", market=market, stream="depth:top.20")
        )
        after = [row for row in shown if row["ts_recv"] > seam.started_at]
        known_at = next((row["ts_recv"] for row in after if row["known"]), None)
        if seam.ended_at == seam.started_at and known_at is not None:
            spans = [(g.started_at, g.ended_at) for g in gaps if g.market == market]
            assert (seam.started_at, known_at) in spans


async def test_one_that_was_killed_is_followed_and_what_it_missed_is_a_gap(recorder_of):
    async with Exchange(Settings(seed=7, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",))
        process = await job.process()
        await until(lambda: is_covering(job.root))
        second, ending = await job.start(takes_over=True)
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        await until(lambda: not second.is_beside)
        await stop(second, ending)

    kinds = {*map(tuple, kinds_of(job.root).values())}
    killed = ("not_started", "covered", "process_killed", "covered", "process_stopped")
    assert kinds <= {killed, WHOLE}


async def test_a_successor_that_is_killed_leaves_no_trace_in_the_account(recorder_of):
    async with Exchange(Settings(seed=8, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",), streams=("trades",))
        first = await job.begin()
        process = await job.process("--take-over", "--ws-url", "ws://127.0.0.1:1/")
        await until(lambda: any(run.is_beside for run in read_run_files(job.root)))
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        assert recover(job.root)[0].was_killed
        third = await job.follow()
        await first[1]
        await stop(*third)

    assert {*map(tuple, kinds_of(job.root).values())} == {WHOLE}


@pytest.mark.parametrize("source", ["gate_spot", "gate_v3"])
async def test_one_that_is_stopped_before_it_was_ready_changes_nothing(
    recorder_of, source, monkeypatch
):
    async with Exchange(Settings(seed=14, rate=60)) as exchange:
        job = Job(recorder_of, exchange, source, markets=("BTC_USDT",))
        first = await job.begin()
        monkeypatch.setattr(takeover, "SETTLE_SECONDS", 60.0)
        second = await job.start(takes_over=True)
        await until(lambda: second[0].progress(EMPTY).books_known == 1)
        second[0].request_stop()
        result = await second[1]
        monkeypatch.undo()
        assert not first[1].done()
        await stop(*first)

    assert result.failure is None
    assert {*map(tuple, kinds_of(job.root).values())} == {WHOLE}
    report = verify(job.root)
    assert report.findings == ()
    assert report.checked.books == 1


async def test_what_one_received_that_never_had_the_job_is_not_claimed(
    recorder_of, monkeypatch
):
    monkeypatch.setattr(takeover, "LOOK_SECONDS", 60.0)
    async with Exchange(Settings(seed=15, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",), streams=("trades",))
        first = await job.begin()
        second, ending = await job.start(takes_over=True)
        await until(lambda: is_live(second))
        await stop(*first)
        so_far = second.progress(EMPTY).frames
        await until(lambda: second.progress(EMPTY).frames > so_far + 20)
        second.request_stop()
        await ending

    assert {*map(tuple, kinds_of(job.root).values())} == {WHOLE}
    assert verify(job.root).findings == ()


async def test_one_that_does_not_answer_loses_its_job(recorder_of, monkeypatch):
    monkeypatch.setattr(takeover, "HUNG_SECONDS", 0.3)
    async with Exchange(Settings(seed=9, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",))
        process = await job.process()
        await until(lambda: is_covering(job.root))
        process.send_signal(signal.SIGSTOP)
        second = await job.follow()
        with pytest.raises(JobRunningError):
            check_job(job.root, JOB)
        process.send_signal(signal.SIGCONT)
        _, said = await process.communicate()
        await stop(*second)

    assert process.returncode == 1
    assert f"another run has taken over job '{JOB}'" in said.decode()
    recover(job.root)
    kinds = {*map(tuple, kinds_of(job.root).values())}
    assert kinds == {
        ("not_started", "covered", "process_killed", "covered", "process_stopped")
    }


async def test_who_has_the_job_waits_for_a_disk_that_refuses_the_account(
    recorder_of, monkeypatch, caplog
):
    """Nobody else records any more: to give up would be a loss."""
    refusals = {
        (takeover, "recover"): [DiskError("first")],
        (takeover, "open_listing"): [ConfigError("second"), OSError(5, "third")],
        (takeover, "run_lock_path"): [Path("/nowhere")],
        (Run, "take_over"): [OSError(30, "fifth")],
    }

    def refusing(really, left):
        def work(*args, **more):
            refusal = left.pop() if left else None
            if isinstance(refusal, Exception):
                raise refusal
            return really(*args, **more) if refusal is None else refusal

        return work

    monkeypatch.setattr(insisting, "DELAY_SECONDS", 0.01)
    for (home, name), left in refusals.items():
        monkeypatch.setattr(home, name, refusing(getattr(home, name), left))
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        job = Job(recorder_of, exchange)
        _, leaving = await job.begin()
        second = await job.follow()
        first = await leaving
        await stop(*second)

    assert first.failure is None
    assert not any(refusals.values())
    assert caplog.messages.count(TakeOverDelayed.message) == 5
    assert {*map(tuple, kinds_of(job.root).values())} == {WHOLE}
    assert verify(job.root).findings == ()


async def test_a_job_of_several_is_waited_for_while_the_disk_refuses(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(insisting, "DELAY_SECONDS", 0.001)
    first = Whole(tmp_path, JOB, takes_over=True)
    second = Whole(tmp_path, JOB, takes_over=True)
    refusals = [OSError(5, "Input/output error"), OSError(24, "Too many open files")]

    def has_all():
        if refusals:
            raise refusals.pop()
        first.release()
        return True

    await second.take(has_all)

    assert second.lock is not None
    assert caplog.messages.count(TakeOverDelayed.message) == 2
    with pytest.raises(JobRunningError):
        check_job(tmp_path, JOB)
    second.release()


async def test_one_that_the_venue_refuses_leaves_the_other_alone(recorder_of):
    async with Exchange(Settings(seed=10, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",), streams=("trades",))
        first = await job.begin()
        _, ending = await job.start(takes_over=True, markets=("NOPE_USDT",))
        result = await ending
        assert not first[1].done()
        await stop(*first)

    assert len(result.refused) == 1
    assert kinds_of(job.root) == {Chain("BTC_USDT", "trades"): [*WHOLE]}


async def test_only_one_follows(recorder_of):
    async with Exchange(Settings(seed=11, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",), streams=("trades",))
        first = await job.begin()
        second = await job.start(takes_over=True)
        with pytest.raises(JobRunningError, match="another is taking it over"):
            await job.start(takes_over=True)
        await first[1]
        await stop(*second)

    assert {*map(tuple, kinds_of(job.root).values())} == {WHOLE}


async def test_books_of_too_many_messages_are_asked_for_anew(recorder_of, monkeypatch):
    monkeypatch.setattr(takeover, "HELD_MAX", 1)
    async with Exchange(Settings(seed=13, rate=60)) as exchange:
        job = Job(recorder_of, exchange, markets=("BTC_USDT",), streams=("depth",))
        first = await job.begin()
        second = await job.follow()
        await first[1]
        await stop(*second)

    store = open_store(job.root)
    known = store.bbo(source="gate_spot", market="BTC_USDT")["known"].to_pylist()
    assert known[-1]
    assert {*map(tuple, kinds_of(job.root).values())} == {WHOLE}
    emptied = [
        (gap.ended_at - gap.started_at, gap.healed_by)
        for gap in newest_revisions(plain_rows(open_listing(job.root).read("gaps")))
        if gap.reason == "process_stopped" and gap.ended_at is not None
    ]
    assert emptied == [(0, None)]
