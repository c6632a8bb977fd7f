"""Feeds on which a venue speaks of itself, over real sockets and under faults.

The oracle is the simulator's own record: what it said, whoever was there.
"""

import asyncio
import json  # noqa: TID251 - the oracle shares no decoder with what it judges
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from recorder import open_store
from recorder.capture import reactions
from recorder.capture.plan import CaptureResult, Progress, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import Judgement, judge
from recorder.model import NO_MARKET, Chain, Gap, StatusEvent
from recorder.query.store import Store
from recorder.simulator.faults import parse
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.sources import okx_status
from recorder.store.listing import open_listing
from recorder.telemetry import COUNTERS


STREAMS = {
    "okx_status": ("status",),
    "gate_announcements": ("status:summary_all", "status:summary_listing"),
}
COMMON = (
    "handshake_502",
    "error",
    "malformed:at=0.1",
    "duplicate:at=0.2",
    "abort:at=0.4",
    "stall:at=0.6,seconds=0.2",
)
FAULTS = {
    "okx_status": (
        *(f"v5_{fault}" for fault in COMMON),
        "v5_upgrade:at=0.3,seconds=0",
        "v5_upgrade:at=1.0,seconds=0.2",
    ),
    "gate_announcements": tuple(f"ann_{fault}" for fault in COMMON),
}

Until = Callable[[Progress], bool]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "backoff_seconds", lambda *_: 0.05)


def exchange_of(*faults: str, seconds: float = 0.0) -> Exchange:
    """An exchange that says something so often; never, if it is 0."""
    settings = Settings(
        seed=3,
        markets=("A_B",),
        rate=0,
        faults=tuple(map(parse, faults)),
        okx=OkxSettings(change_seconds=seconds, connects_per_second=100),
        ann_seconds=seconds,
        ann_cached_seconds=0.05,
        log_frames=True,
    )
    return Exchange(settings)


class Trial:
    """Records an exchange into a store."""

    def __init__(self, root: Path, source: str) -> None:
        self.root = root
        self.source = source
        self.is_both = source == "gate_announcements"

    async def run(self, exchange: Exchange, until: Until) -> CaptureResult:
        """Record until something is so."""
        config = CaptureConfig(
            source=self.source,
            markets=(),
            streams=STREAMS[self.source],
            store=self.root,
            options={"lang": "both"} if self.is_both else {},
            ws_url=exchange.status_urls[self.source],
            job="job",
            flush_seconds=0.1,
        )

        def stop(progress: Progress) -> None:
            if until(progress):
                capture.request_stop()

        plan = plan_capture(config)
        hasty = msgspec.structs.replace(plan.source, connects_per_second=100.0)
        plan = msgspec.structs.replace(plan, source=hasty)
        capture = Capture(plan, on_progress=stop)
        async with asyncio.timeout(60):
            return await capture.run()

    def judged(self, exchange: Exchange) -> Judgement:
        chains = [Chain(NO_MARKET, stream) for stream in STREAMS[self.source]]
        listing, asked = open_listing(self.root), {self.source: chains}
        return judge(listing, exchange.truth, asked, options=("en", "cn"))

    @property
    def store(self) -> Store:
        return open_store(self.root)

    def payloads(self, kind: str) -> list[str]:
        asked = f"SELECT payload FROM status WHERE kind = '{kind}' ORDER BY ts_recv"
        return [row[0] for row in self.store.sql(asked).fetchall()]


@pytest.fixture
def trial_of(tmp_path: Path) -> Callable[[str], Trial]:
    return lambda source: Trial(tmp_path / "store", source)


def doubles() -> int:
    return COUNTERS["doubles_total"]


@pytest.mark.parametrize("source", STREAMS)
async def test_whatever_happens_each_message_is_stored_once_or_lies_in_a_gap(
    trial_of, source
):
    trial, faults = trial_of(source), FAULTS[source]
    after: list[int] = []

    def until(progress: Progress) -> bool:
        """Rows come again after all faults."""
        rows = progress.rows.get("status", 0)
        if len({(f.name, f.conn) for f in exchange.truth.faults}) < len(faults):
            return False
        after.append(rows)
        return rows > after[0] + 2

    async with exchange_of(*faults, seconds=0.03) as exchange:
        result = await trial.run(exchange, until)
    judgement = trial.judged(exchange)

    assert result.failure is None
    assert judgement.complaints == ()
    for notice in judgement.notices:
        assert notice.said == notice.stored + notice.in_gaps
    assert sum(notice.stored for notice in judgement.notices) > 10
    assert sum(notice.in_gaps for notice in judgement.notices) > 0
    assert sum(notice.repeated for notice in judgement.notices) > 0
    told = {trace.fault.partition("_")[2]: trace.told for trace in judgement.traces}
    assert told.keys() == {"malformed", "abort", "stall"}
    assert all(told.values())
    upgrades = [json.loads(payload)["connId"] for payload in trial.payloads("upgrade")]
    assert len(upgrades) == len(set(upgrades))
    assert len(upgrades) == len(exchange.truth.faults_of("v5_upgrade"))


@pytest.mark.parametrize("source", STREAMS)
async def test_the_last_word_is_stored_once_over_reconnects_and_runs(trial_of, source):
    trial = trial_of(source)

    def say() -> None:
        if trial.is_both:
            exchange.announcements.announce()
        else:
            exchange.okx.change()

    def said() -> list[str]:
        """What whoever subscribes has heard by now."""
        streams = STREAMS[source]
        notices = [n for n in exchange.truth.notices if n.stream in streams]
        return sorted(notice.facts["payload"] for notice in notices)

    def stored() -> list[str]:
        kinds = trial.payloads("maintenance") + trial.payloads("announcement")
        return sorted(kinds)

    def again(progress: Progress) -> bool:
        """The last word came again, and once more over a second connection."""
        if doubles() == before + len(first) and not dropped:
            dropped.append(exchange.drop_connections())
        return doubles() == before + 2 * len(first)

    async with exchange_of() as exchange:
        if trial.is_both:  # of the other there is a last word from the start on
            say()
        first = said()
        await trial.run(exchange, lambda p: p.rows.get("status", 0) == len(first))
        assert stored() == first

        before, dropped = doubles(), []
        await trial.run(exchange, again)
        assert stored() == first

        say()
        new = len(set(said()) - set(first))
        await trial.run(exchange, lambda p: p.rows.get("status", 0) == new)
        assert set(first) < set(stored())
        assert len(stored()) == len(first) + new

    assert trial.judged(exchange).complaints == ()


async def test_what_is_refused_for_good_is_told_and_ends_the_run(trial_of, caplog):
    trial = trial_of("okx_status")
    words = "60018: Wrong URL or channel.; check -O host and --ws-url"

    async with exchange_of("v5_error:code=60018") as exchange:
        result = await trial.run(exchange, lambda _: False)

    assert result.refused == {Chain(NO_MARKET, "status"): words}
    assert result.failure is None
    (gap,) = trial.store.gaps_at("okx_status", None, "status", 2**62)
    assert (gap.market, gap.reason) == (None, "process_stopped")
    reasons = trial.store.sql("SELECT reason, detail FROM gaps ORDER BY started_at")
    assert ("subscription_rejected", words) in reasons.fetchall()


async def test_who_asks_too_often_stays_away_and_comes_back(
    trial_of, caplog, monkeypatch
):
    monkeypatch.setattr(okx_status, "_STAY_AWAY_SECONDS", 0.25)
    caplog.set_level(logging.INFO, logger="recorder")
    trial = trial_of("okx_status")

    async with exchange_of("v5_error:code=60014") as exchange:
        await trial.run(exchange, lambda p: p.rows.get("status", 0) > 0)

    again = [r.signal for r in caplog.records if r.msg == "will connect again"]
    assert [(signal.why, signal.retry_in_seconds) for signal in again] == [
        ("60014: Requests too frequent.", 0.25)
    ]
    assert trial.judged(exchange).complaints == ()


async def test_a_stream_without_markets_is_found_by_whoever_reads(trial_of):
    trial = trial_of("gate_announcements")

    async with exchange_of(seconds=0.05) as exchange:
        await trial.run(exchange, lambda p: p.rows.get("status", 0) > 40)

    streams = [(s.stream, s.markets) for s in trial.store.info().streams]
    assert streams == [("status:summary_all", ()), ("status:summary_listing", ())]
    replayed = list(trial.store.replay(streams=["status:summary_listing"]))
    events = [row.event for row in replayed if isinstance(row.event, StatusEvent)]
    assert events
    assert {event.state for event in events} == {"summary_listing"}
    gaps = [row.event for row in replayed if isinstance(row.event, Gap)]
    assert {gap.stream for gap in gaps} == {"status:summary_listing"}
    asked = "SELECT count(*) FROM coverage WHERE market IS NULL"
    assert trial.store.sql(asked).fetchall() == [(2,)]
