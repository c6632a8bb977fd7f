"""One feed is refused, sent away or goes mute: the others never stop.

Every documented end of a connection to cryptolisting happens in one run, each
to a feed of its own, beside the other feeds. These are held to the exchange's
own record; the one that was hit must say what became of it, in the log, in
the report and in the ledger.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from recorder.capture.feeds import Feed, Feeds, plan_feeds
from recorder.capture.many import Captures, Outcome
from recorder.capture.plan import Progress
from recorder.cli.capture_report import report_all
from recorder.judging import judge
from recorder.model import Gap
from recorder.simulator.cryptolisting.server import ListingServer
from recorder.simulator.cryptolisting.settings import DEMO_KEY, settings_of
from recorder.simulator.cryptolisting.truth import Pushed, Struck
from recorder.simulator.faults import parse
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FEEDS
from recorder.source import Backoff
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.telemetry import ConnectionFailed, FeedEnded


PROGRAM = "from recorder.cli import main; main()"
MARKETS = ("BTC_USDT", "ETH_USDT")
STREAMS = {
    "gate_spot": ("trades", "bbo", "depth:100ms", "depth:obu.50"),
    "gate_v3": ("trades", "depth:30", "orders", "balances"),
    "gate_futures": ("trades", "depth:100ms"),
    "okx_status": ("status",),
    "gate_announcements": ("status:summary_all",),
}


class End(NamedTuple):
    """What a fault leads to.

    Attributes:
        fault: Name of the fault.
        words: What is said of it, wherever that is.
        is_final: Whether the feed is not recorded any more.
        reasons: Of its gaps, besides those of every run.
        wait: Seconds until the next attempt; None if there need be none.
    """

    fault: str
    words: str
    is_final: bool = False
    reasons: tuple[str, ...] = ()
    wait: float | None = 0.05

    @property
    def is_over_soon(self) -> bool:
        """Whether a trial can last until the next connection is there."""
        return not self.is_final and self.wait is not None and self.wait < 1


REFUSED = ("subscription_rejected",)
LOST = ("connect_lost",)
REFUSALS = (
    End("http_401", "HTTP 401: missing_api_key", True, REFUSED),
    End("http_403", "HTTP 403: invalid_api_key", True, REFUSED),
    # As before 2026, as now, and with the time to wait.
    End("max_connections_reached", "HTTP 429: max_connections_reached"),
    End("max_distinct_ips_reached", "HTTP 429: max_distinct_ips_reached"),
    End("connection_cooldown", "HTTP 429: connection_cooldown", wait=5.0),
)
CLOSES = (
    *(
        End(name, f"({name}); set CRYPTOLISTING_API_KEY", True, LOST + REFUSED)
        for name in ("key_expired", "key_revoked", "key_invalidated")
    ),
    End("too_slow", "too_slow", reasons=LOST, wait=0.0),
    End("rate_limit_exceeded", "rate_limit_exceeded", reasons=LOST, wait=60.0),
    End("frame_too_large", "frame_too_large", reasons=LOST),
    End("internal_error", "internal_error", reasons=LOST),
    End("abort", "vanished", reasons=LOST),
    End("mute", "no frame for 1 s", reasons=LOST),
    End("stall", "no frame for 1 s", reasons=LOST),
    End("malformed", "does not fit", reasons=("undecodable",), wait=None),
)
ENDS = REFUSALS + CLOSES
SILENT = ("mute", "stall")


def toml(value: object) -> str:
    """Return a text or a list of texts, which look the same in JSON."""
    return msgspec.json.encode(value).decode()


def table(name: str, source: str, **facts: object) -> str:
    lines = [f"{key} = {toml(value)}" for key, value in facts.items()]
    return "\n".join(["[[source]]", f'source = "{source}"', f'name = "{name}"', *lines])


class Trial:
    """An exchange, services that end their connections, and a recorder of all."""

    def __init__(self, folder: Path, stack: AsyncExitStack, log: Any) -> None:
        self.root = folder / "data"
        self.file = folder / "all.toml"
        self.tables: list[str] = []
        self.ended: set[str] = set()
        self.ordered: set[str] = set()
        self.services: dict[str, ListingServer] = {}
        self._stack = stack
        self._log = log

    async def begin(self) -> None:
        """Open the exchange; it has no faults."""
        settings = Settings(
            seed=6,
            markets=MARKETS,
            contracts=MARKETS[:1],
            rate=30,
            okx=OkxSettings(change_seconds=0.2),
            ann_seconds=0.2,
            ann_cached_seconds=0.1,
            account_seconds=0.1,
            log_frames=True,
        )
        exchange = Exchange(settings)
        self.exchange = await self._stack.enter_async_context(exchange)
        urls = exchange.ws_urls | exchange.status_urls
        for source, streams in STREAMS.items():
            facts: dict[str, object] = {"streams": streams, "ws_url": urls[source]}
            if source in exchange.ws_urls:
                is_of_contracts = source == "gate_futures"
                facts["markets"] = MARKETS[:1] if is_of_contracts else MARKETS
                facts["rest_url"] = exchange.rest_url
            self.tables.append(table(source, source, **facts))

    async def serve(self, name: str) -> None:
        """Open a service that is to end a connection in some way, once."""
        settings = settings_of("C", cooldown_seconds=0.0, heartbeat_seconds=0.1)
        server = ListingServer(settings)
        self.services[name] = await self._stack.enter_async_context(server)
        facts = {"streams": ["status"], "ws_url": server.ws_url}
        self.tables.append(table(name, "cryptolisting", **facts))

    def order(self, name: str) -> None:
        """Have a service do what it is to do, unless it was ordered before."""
        if name not in self.ordered:
            self.ordered.add(name)
            self.services[name].service.order(parse(f"cryptolisting_{name}"))

    def write(self) -> Path:
        """Write the file, and return it."""
        self.file.write_text("\n\n".join(['flush = "50ms"', *self.tables]))
        return self.file

    @property
    def keys(self) -> dict[str, str]:
        """The keys that the feeds need, by environment variable."""
        key, secret = self.exchange.settings.v3_keys
        keys = {"CRYPTOLISTING_API_KEY": DEMO_KEY}
        return keys | {"GATE_API_KEY": key, "GATE_API_SECRET": secret}

    def feeds(self) -> Feeds:
        """Return what the file says, usual pauses made short."""
        feeds = plan_feeds(self.write(), self.keys)
        made = tuple(
            hasty(feed) if feed.name in self.services else feed for feed in feeds.feeds
        )
        return msgspec.structs.replace(feeds, feeds=made)

    async def run(self, is_over: Callable[[], bool]) -> tuple[Outcome, ...]:
        """Record until something is so, and each of the others brought more since.

        Connections are refused from the first on, or ended once they are heard.
        """
        stop, rows = asyncio.Event(), dict.fromkeys(STREAMS, 0)
        least: dict[str, int] = {}
        for end in REFUSALS:
            self.order(end.fault)

        def on_progress(name: str, progress: Progress | None) -> None:
            if progress is None:
                self.ended.add(name)
            elif name in rows:
                rows[name] = sum(progress.rows.values())
            elif progress.frames:
                self.order(name)
            if not least and is_over():
                least.update(rows)
            if least and all(rows[name] > count for name, count in least.items()):
                stop.set()

        async with asyncio.timeout(100):
            captures = Captures(self.feeds(), stop=stop, on_progress=on_progress)
            return await captures.run()

    def signals(self) -> list[tuple[str, Any]]:
        """Return what was logged, each with the feed that it is of."""
        return [(r.feed, r.signal) for r in self._log.records if hasattr(r, "signal")]

    def told(self) -> set[str]:
        """Return the feeds that said when they will connect again."""
        return {f for f, s in self.signals() if isinstance(s, ConnectionFailed)}

    def gaps_of(self, name: str) -> list[Gap]:
        """Return what is missing of a feed, oldest first."""
        rows = plain_rows(open_listing(self.root).read("gaps"))
        gaps = [g for g in newest_revisions(rows) if g.job == f"all.{name}"]
        return sorted(gaps, key=lambda gap: gap.started_at)

    def check_others(self) -> None:
        """Check that the others have all that was sent, and no gap in it."""
        feeds = [feed for feed in self.feeds().feeds if feed.name in STREAMS]
        asked = {feed.plan.source.name: feed.plan.chains for feed in feeds}
        truth = self.exchange.truth
        judgement = judge(open_listing(self.root), truth, asked, options=("en",))
        assert judgement.complaints == ()
        assert {verdict.source for verdict in judgement.accounts} == set(STREAMS)
        for name in STREAMS:
            missing = [g.reason for g in self.gaps_of(name) if g.scope == "rows"]
            assert set(missing) == {"not_started", "process_stopped"}, name
            assert len(missing) == 2 * len(asked[name]), name


@pytest.fixture
async def trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Trial]:
    async with AsyncExitStack() as stack:
        trial = Trial(tmp_path, stack, caplog)
        await trial.begin()
        yield trial


def hasty(feed: Feed) -> Feed:
    """Return a feed whose usual pauses are short; stated ones are kept."""
    source = msgspec.structs.replace(
        feed.plan.source,
        backoff=Backoff(first_seconds=0.05, max_seconds=0.2, is_drawn=False),
        connects_per_second=100.0,
        silence_seconds=1.0 if feed.name in SILENT else 60.0,
    )
    plan = msgspec.structs.replace(feed.plan, source=source)
    return msgspec.structs.replace(feed, plan=plan)


def has_ended(trial: Trial, end: End) -> bool:
    """Return whether a fault was performed, and what follows has happened."""
    if end.is_final:
        return end.fault in trial.ended
    truth = trial.services[end.fault].truth
    struck = next((row for row in truth.rows if isinstance(row, Struck)), None)
    if struck is None:
        return False
    after = truth.rows[truth.rows.index(struck) :]
    heard = [row.conn for row in after if isinstance(row, Pushed) and row.is_whole]
    if end.is_over_soon:  # over the next connection
        return any(conn > (struck.conn or 0) for conn in heard)
    return bool(heard) if end.wait is None else end.fault in trial.told()


async def test_however_one_feed_ends_the_others_never_stop_and_it_says_why(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    for end in ENDS:
        await trial.serve(end.fault)

    outcomes = await trial.run(lambda: all(has_ended(trial, end) for end in ENDS))

    assert report_all(outcomes) == 1  # some were refused for good
    report = capsys.readouterr().err.splitlines()
    failures = {o.name: o.result.failure for o in outcomes if o.result}
    failed = {name for name, why in failures.items() if why}
    final = {end.fault for end in ENDS if end.is_final}
    # Who was told to come in five seconds may have done so by now.
    assert final <= failed <= final | {e.fault for e in ENDS if e.wait == 5.0}
    for end in ENDS:
        told = [signal for feed, signal in trial.signals() if feed == end.fault]
        ends = [signal.why for signal in told if isinstance(signal, FeedEnded)]
        again = [signal for signal in told if isinstance(signal, ConnectionFailed)]
        gaps = trial.gaps_of(end.fault)
        if end.is_final:
            assert end.words in ends[0]
            assert ends == [failures[end.fault]]
            (line,) = [s for s in report if s.startswith(f"Error: {end.fault}: ")]
            assert ends[0] in line
            (refused,) = [g for g in gaps if g.reason == "subscription_rejected"]
            assert refused.detail == ends[0]
        elif end.wait is not None:
            assert end.words in again[0].why
            assert again[0].retry_in_seconds == end.wait
        if not end.is_final:
            assert ends == []
        assert {gap.reason for gap in gaps} == {
            "not_started",
            *end.reasons,
            "process_stopped",
        }
        if end.reasons:
            named = [g.detail or "" for g in gaps if g.reason == end.reasons[-1]]
            assert end.words in named[0]
    trial.check_others()


class Process:
    """A recorder in a process of its own.

    Attributes:
        lines: What it logged.
        code: Its exit code.
    """

    def __init__(self, trial: Trial) -> None:
        self.lines: list[dict[str, Any]] = []
        self.code: int | None = None
        self._trial = trial

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Record until something is so and the others brought more, then stop it."""
        words = ["capture", "--config", str(self._trial.write()), "--json-logs"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *words),
            env=os.environ | self._trial.keys,
            stderr=asyncio.subprocess.PIPE,
        )
        reading = asyncio.ensure_future(self._read(process.stderr))
        try:
            async with asyncio.timeout(60):
                await self._until(is_over, reading)
                before = self._sent()
                await self._until(lambda: is_ahead(self._sent(), before), reading)
                process.send_signal(signal.SIGTERM)
                await reading
                self.code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def said(self, event: str) -> dict[str, Any]:
        """Return the last facts that were logged of an event, by feed."""
        return {
            x.get("feed", ""): x["facts"] for x in self.lines if x["event"] == event
        }

    @property
    def report(self) -> list[str]:
        """What was said at the end."""
        ends = [x["facts"] for x in self.lines if x["event"] == "CommandFailed"]
        return [facts["why"] for facts in ends]

    def _sent(self) -> Counter[str]:
        return Counter(frame.feed for frame in self._trial.exchange.truth.frames)

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        async for line in stream:
            self.lines.append(msgspec.json.decode(line))

    async def _until(
        self, is_so: Callable[[], bool], reading: asyncio.Future[None]
    ) -> None:
        while not is_so():
            assert not reading.done(), self.lines[-3:]
            await asyncio.sleep(0.02)


def is_ahead(now: Counter[str], before: Counter[str]) -> bool:
    """Return whether each feed has sent more than before."""
    feeds = {FEEDS[source] for source in STREAMS}
    return all(now[feed] >= before[feed] + 3 for feed in feeds)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("http_403", "key_expired", "malformed"), 1),
        (("too_slow", "rate_limit_exceeded", "malformed"), 0),
    ],
    ids=["for good", "for a while"],
)
async def test_a_process_goes_on_without_a_feed_and_its_exit_code_says_so(
    trial: Trial, names: tuple[str, ...], code: int
) -> None:
    process = Process(trial)
    ends = {end.fault: end for end in ENDS if end.fault in names}
    for name in names:
        await trial.serve(name)
    for end in set(REFUSALS) & set(ends.values()):
        trial.order(end.fault)

    def is_over() -> bool:
        """What is to end has been heard, and has ended."""
        for name in names:
            if name in process.said("ChainsSubscribed"):
                trial.order(name)
        kept, waits = process.said("FrameKept"), process.said("ConnectionFailed")
        return (
            set(names) <= kept.keys() | waits.keys() | process.said("FeedEnded").keys()
        )

    await process.run(is_over)

    assert process.code == code
    whys = {name: facts["why"] for name, facts in process.said("FeedEnded").items()}
    assert whys.keys() == {name for name in names if ends[name].is_final}
    assert len(process.report) == len(whys)
    for name in names:
        end, gaps = ends[name], trial.gaps_of(name)
        assert {gap.reason for gap in gaps} == {
            "not_started",
            *end.reasons,
            "process_stopped",
        }
        if end.is_final:
            assert end.words in whys[name]
            assert [whys[name] in s for s in process.report if s.startswith(name)] == [
                True
            ]
    trial.check_others()
