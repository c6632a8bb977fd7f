"""Several feeds in one process: what becomes of one is no matter of the others."""

import asyncio
import gc

import msgspec
import pytest
from aiohttp import web

from recorder.capture.collector import collector_at_ease
from recorder.capture.feeds import Feed, Feeds
from recorder.capture.many import Captures
from recorder.capture.plan import plan_capture
from recorder.config import CaptureConfig
from recorder.errors import (
    ConfigError,
    JobRunningError,
    RecorderError,
    TransportError,
)
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.layout import job_lock_path
from recorder.store.listing import open_listing
from recorder.store.locks import is_held
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.run import open_run
from recorder.telemetry import FeedEnded, FeedFailed


class Many:
    """Several feeds of the exchange, of which a test changes what it wants."""

    def __init__(self, exchange, root):
        self.root = root
        self.stop = asyncio.Event()
        self.progress = {}
        self.ended = set()
        self.until = lambda: False
        self._exchange = exchange
        self._feeds = []

    def add(self, name, source="gate_spot", *, plan=None, **changes):
        facts = {
            "source": source,
            "markets": ("BTC_USDT",),
            "streams": ("trades",),
            "store": self.root,
            "ws_url": self._exchange.ws_urls[source],
            "rest_url": self._exchange.rest_url,
            "flush_seconds": 0.05,
            "job": f"all.{name}",
            **changes,
        }
        made = plan_capture(CaptureConfig(**facts))
        if plan is not None:
            made = msgspec.structs.replace(made, **plan(made))
        self._feeds.append(Feed(name=name, plan=made))

    def captures(self, **how):
        feeds = Feeds(job="all", store=self.root, feeds=tuple(self._feeds))
        return Captures(feeds, stop=self.stop, on_progress=self._on_progress, **how)

    async def run(self, **how):
        async with asyncio.timeout(60):
            outcomes = await self.captures(**how).run()
        return {outcome.name: outcome for outcome in outcomes}

    def rows(self, name, table="trades"):
        progress = self.progress.get(name)
        return progress.rows.get(table, 0) if progress else 0

    def _on_progress(self, name, progress):
        if progress is None:
            self.ended.add(name)
        else:
            self.progress[name] = progress
        if self.until():
            self.stop.set()


@pytest.fixture
async def exchange():
    async with Exchange(Settings(seed=4, rate=60)) as exchange:
        yield exchange


@pytest.fixture
def many(exchange, tmp_path):
    return Many(exchange, tmp_path / "store")


def table(root, name):
    return plain_rows(open_listing(root).read(name))


def told(caplog, kind):
    """Return events of a kind, with the feed that each is of."""
    return [
        (record.feed, record.signal)
        for record in caplog.records
        if isinstance(getattr(record, "signal", None), kind)
    ]


async def test_each_feed_is_recorded_as_a_job_of_its_own(many, caplog):
    caplog.set_level("INFO", logger="recorder")
    many.add("spot", streams=("trades", "depth"))
    many.add("more", markets=("ETH_USDT", "GT_USDT"), streams=("tickers",))
    many.add("old", "gate_v3", streams=("trades", "depth"))
    many.until = lambda: (
        many.rows("spot", "depth")
        and many.rows("spot")
        and many.rows("more", "tickers") >= 2
        and many.rows("old", "depth")
        and many.rows("old")
    )

    outcomes = await many.run()

    assert [outcomes[name].result.failure for name in ("spot", "more", "old")] == [
        None
    ] * 3
    covered = {
        (row["job"], row["source"], row["stream"], row["market"])
        for row in table(many.root, "coverage")
    }
    assert covered == {
        ("all.spot", "gate_spot", "trades", "BTC_USDT"),
        ("all.spot", "gate_spot", "depth:100ms", "BTC_USDT"),
        ("all.more", "gate_spot", "tickers", "ETH_USDT"),
        ("all.more", "gate_spot", "tickers", "GT_USDT"),
        ("all.old", "gate_v3", "trades", "BTC_USDT"),
        ("all.old", "gate_v3", "depth:30", "BTC_USDT"),
    }
    runs = {name: outcome.result.run for name, outcome in outcomes.items()}
    assert len(set(runs.values())) == 3
    conns = {row["conn"].partition(".")[0] for row in table(many.root, "tickers")}
    assert conns == {runs["more"]}
    assert not list(many.root.glob(".recorder/runs/*"))
    assert not list(many.root.glob(".recorder/journals/**/*.arrow"))
    assert not is_held(job_lock_path(many.root, "all"))
    named = {
        type(record.signal).__name__: record.feed
        for record in caplog.records
        if getattr(record, "signal", None) and record.feed == "more"
    }
    # Of the loop, and of the thread that writes.
    assert {"CaptureStarted", "ConnectionOpened", "SegmentWritten"} <= set(named)
    assert all(r.feed for r in caplog.records if getattr(r, "signal", None))


async def test_a_feed_whose_venue_shuts_the_door_ends_and_the_others_go_on(
    many, caplog
):
    many.add("shut", ws_url=many._exchange.ws_url_spot + "nowhere")
    many.add("open")
    at_end = []

    def until():
        if "shut" in many.ended and not at_end:
            at_end.append(many.rows("open"))
        return at_end and many.rows("open") >= at_end[0] + 3

    many.until = until

    outcomes = await many.run()

    assert "HTTP 404" in outcomes["shut"].result.failure
    assert outcomes["open"].result.failure is None
    ((feed, ended),) = told(caplog, FeedEnded)
    assert (feed, "HTTP 404" in ended.why) == ("shut", True)
    open_gaps = {
        gap.job: gap.reason
        for gap in newest_revisions(table(many.root, "gaps"))
        if gap.ended_at is None
    }
    assert open_gaps == {"all.shut": "process_stopped", "all.open": "process_stopped"}
    assert {row["job"] for row in table(many.root, "coverage")} == {"all.open"}


async def test_a_feed_that_is_refused_altogether_ends_by_itself(many, caplog):
    many.add("refused", markets=("NOPE_USDT",))
    many.add("open")
    many.until = lambda: "refused" in many.ended and many.rows("open")

    outcomes = await many.run()

    assert len(outcomes["refused"].result.refused) == 1
    assert outcomes["open"].result.refused == {}
    assert told(caplog, FeedEnded) == [
        ("refused", FeedEnded(why="the venue refused all of it"))
    ]


async def test_a_feed_whose_job_runs_elsewhere_is_left_to_that(many, caplog):
    many.add("taken")
    many.add("free")
    holder = open_run(many.root, job="all.taken", source="gate_spot", now_ns=10**18)
    many.until = lambda: many.rows("free")

    outcomes = await many.run()
    holder.release()

    assert isinstance(outcomes["taken"].error, JobRunningError)
    assert outcomes["free"].result.failure is None
    ((feed, failed),) = told(caplog, FeedFailed)
    assert (feed, failed.trace) == ("taken", None)
    assert failed.why.startswith("job 'all.taken' is already running")


async def test_a_defect_of_one_feed_is_told_whole_and_harms_no_other(many, caplog):
    class Broken:
        def __init__(self, *_):
            pass

        def open(self, now_ns):
            raise KeyError("a mistake of ours")

    many.add(
        "broken",
        plan=lambda plan: {
            "source": msgspec.structs.replace(plan.source, dialogue=Broken)
        },
    )
    many.add("whole")
    many.until = lambda: "broken" in many.ended and many.rows("whole")

    outcomes = await many.run()

    error = outcomes["broken"].error
    assert type(error) is RecorderError
    assert "the recorder itself is at fault" in str(error)
    assert outcomes["whole"].result.failure is None
    ((feed, failed),) = told(caplog, FeedFailed)
    assert feed == "broken"
    assert "KeyError: 'a mistake of ours'" in failed.trace
    assert "in open" in failed.trace
    assert not list(many.root.glob(".recorder/runs/*"))


async def test_a_feed_whose_venue_has_no_connection_left_is_refused(many):
    """Others are counted also where patterns said only now how many they need."""

    def of_one(plan):
        source = msgspec.structs.replace(plan.source, connections_max=1)
        return {"source": source}

    many.add("first", plan=of_one)
    many.add("second", streams=("tickers",), plan=of_one)
    many.add("other", "gate_v3")
    many.until = lambda: "second" in many.ended and many.rows("first")

    outcomes = await many.run()

    assert isinstance(outcomes["second"].error, ConfigError)
    assert "other feeds have 1, and its venue allows 1" in str(outcomes["second"].error)
    assert outcomes["first"].result.failure is None
    assert outcomes["other"].result.failure is None


async def test_when_no_feed_is_left_all_is_over(many):
    many.add("refused", markets=("NOPE_USDT",))
    many.add("shut", ws_url=many._exchange.ws_url_spot + "nowhere")

    outcomes = await many.run()

    assert outcomes["refused"].result.refused
    assert outcomes["shut"].result.failure
    assert not many.stop.is_set()


async def test_a_second_start_is_refused_and_touches_nothing(many):
    many.add("one", "gate_v3")
    refusals = []

    def until():
        if many.rows("one") and not refusals:
            before = sorted(many.root.rglob("*.lock"))
            with pytest.raises(JobRunningError) as caught:
                many.captures()
            refusals.append(caught.value)
            assert sorted(many.root.rglob("*.lock")) == before
        return refusals

    many.until = until

    await many.run()

    assert refusals[0].job == "all"
    assert refusals[0].holder.startswith("process ")
    many.captures()._whole.release()


async def test_all_end_when_their_time_has_come(many):
    many.add("one")
    many.add("two", "gate_v3")

    outcomes = await many.run(stop_after_seconds=1.5)

    for outcome in outcomes.values():
        assert outcome.result.failure is None
    ends = {row["job"] for row in table(many.root, "coverage")}
    assert ends == {"all.one", "all.two"}


async def test_a_time_that_is_over_at_once_is_told_as_by_one_capture(many):
    many.add("one")

    outcomes = await many.run(stop_at_ns=10**18)

    assert "there was no time to connect" in outcomes["one"].result.failure


# Patterns ---------------------------------------------------------------------


async def test_a_feed_whose_list_is_late_holds_up_no_other(many, serve):
    is_up = asyncio.Event()
    asked = []

    async def listed(request):
        asked.append(request)
        if not is_up.is_set():
            raise web.HTTPBadGateway
        rows = [{"id": name, "trade_status": "tradable"} for name in ("ETH_USDT",)]
        return web.Response(body=msgspec.json.encode(rows))

    address = await serve({"/spot/currency_pairs": listed})
    many.add("first")
    many.add("late", markets=("*",), rest_url=f"http://{address}")

    def until():
        if asked and many.rows("first"):
            is_up.set()
        return many.rows("late")

    many.until = until

    outcomes = await many.run()

    assert outcomes["late"].result.failure is None
    covered = table(many.root, "coverage")
    starts = {row["job"]: row["started_at"] for row in covered}
    assert starts["all.first"] < starts["all.late"]
    assert {row["market"] for row in covered} == {"BTC_USDT", "ETH_USDT"}


async def test_who_waits_for_a_list_can_be_stopped(many, unused_port):
    many.add("one")
    many.add("never", markets=("*",), rest_url=f"http://127.0.0.1:{unused_port}")
    many.until = lambda: many.rows("one")

    outcomes = await many.run()

    never = outcomes["never"]
    assert (never.result, never.error) == (None, None)
    assert outcomes["one"].result.failure is None


async def test_a_list_that_did_not_come_in_time_is_a_failure(many, unused_port):
    many.add("one")
    many.add("never", markets=("*",), rest_url=f"http://127.0.0.1:{unused_port}")

    outcomes = await many.run(stop_after_seconds=1)

    assert isinstance(outcomes["never"].error, TransportError)
    assert str(outcomes["never"].error) == "there was no time to look up its markets"
    assert outcomes["one"].result.failure is None


async def test_patterns_that_find_nothing_end_their_feed_alone(many):
    many.add("none", markets=("*_EUR",))
    many.add("one")
    many.until = lambda: "none" in many.ended and many.rows("one")

    outcomes = await many.run()

    assert "none of the 3 markets" in str(outcomes["none"].error)
    assert outcomes["one"].result.failure is None


# The collector ----------------------------------------------------------------


def test_the_collector_is_spared_until_the_last_is_over():
    first, second = collector_at_ease(), collector_at_ease()

    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    between = gc.get_freeze_count()
    second.__exit__(None, None, None)

    assert between > 0
    assert gc.get_freeze_count() == 0


async def test_a_process_is_as_before_when_all_is_over(many):
    many.add("one")
    many.add("two", "gate_v3")
    counts = []

    def until():
        if many.rows("one") and many.rows("two"):
            counts.append(gc.get_freeze_count())
        return counts

    many.until = until

    await many.run()

    assert counts[0] > 0
    assert gc.get_freeze_count() == 0
