"""The announcements of cryptolisting.ws over real sockets, and how it ends them.

The oracle is the service's own record of what it pushed, refused and closed,
read with another JSON decoder than the feed's.
"""

import asyncio
import json  # noqa: TID251 - the oracle must not share the feed's decoder
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recorder.capture.plan import CaptureResult, plan_capture
from recorder.capture.run import Capture
from recorder.clock import Clock, SystemClock
from recorder.config import CaptureConfig
from recorder.simulator.cryptolisting.client import CLOSES
from recorder.simulator.cryptolisting.door import REFUSALS, Refusal
from recorder.simulator.cryptolisting.server import Listings, ListingServer
from recorder.simulator.cryptolisting.settings import (
    DEMO_KEY,
    ApiKey,
    settings_of,
)
from recorder.simulator.cryptolisting.truth import Pushed
from recorder.simulator.cryptolisting.wire import Announcement
from recorder.simulator.faults import parse
from recorder.source import Backoff
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows


SECOND_NS = 1_000_000_000
VARIABLE = "CRYPTOLISTING_API_KEY"


class Trial:
    """One service and one recorder of it, in this process."""

    def __init__(self, root: Path, stack: AsyncExitStack, log: Any) -> None:
        self.root = root
        self._stack = stack
        self._log = log

    async def serve(
        self, generation: str = "C", *, clock: Clock | None = None, **changes: Any
    ) -> Listings:
        """Start the service; its pauses are short."""
        usual = {"cooldown_seconds": 0.0, "heartbeat_seconds": 0.1}
        settings = settings_of(generation, **{**usual, **changes})
        server = ListingServer(settings, clock=clock)
        await self._stack.enter_async_context(server)
        self.url, self.service = server.ws_url, server.service
        return server.service

    def start(
        self,
        *,
        key: str = DEMO_KEY,
        options: dict[str, str] | None = None,
        is_archiving: bool = False,
        **changes: Any,
    ) -> None:
        """Start to record; usual pauses are short, stated ones are kept."""
        config = CaptureConfig(
            source="cryptolisting",
            markets=(),
            streams=("status",),
            store=self.root,
            options=options or {},
            ws_url=self.url,
            flush_seconds=0.1,
            is_archiving=is_archiving,
        )
        plan = plan_capture(config, {VARIABLE: key})
        quick = {
            "backoff": Backoff(first_seconds=0.05, max_seconds=0.2, is_drawn=False),
            "connects_per_second": 1000.0,
            **changes,
        }
        source = msgspec.structs.replace(plan.source, **quick)
        self.capture = Capture(msgspec.structs.replace(plan, source=source))
        self.running = asyncio.ensure_future(self.capture.run())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something has happened, or the recorder has ended."""
        async with asyncio.timeout(20):
            while not condition():
                if self.running.done():
                    self.running.result()
                    assert condition(), "the recorder has stopped"
                await asyncio.sleep(0.005)

    async def stop(self) -> CaptureResult:
        """Stop to record, in order; return how it went."""
        self.capture.request_stop()
        return await self.end()

    async def end(self) -> CaptureResult:
        """Wait until the recorder has stopped by itself."""
        async with asyncio.timeout(20):
            return await self.running

    @property
    def welcomes(self) -> int:
        return len(self.service.truth.pushed("welcome"))

    def heard(self, *kinds: str) -> list[Pushed]:
        return self.service.truth.pushed(*kinds)

    def signals(self, message: str) -> list[Any]:
        return [r.signal for r in self._log.records if r.msg == message]

    @property
    def pauses(self) -> list[float]:
        """How long it was waited before each further attempt."""
        return [
            signal.retry_in_seconds for signal in self.signals("will connect again")
        ]

    def table(self, name: str) -> list[dict[str, Any]]:
        rows = plain_rows(open_listing(self.root).read(name))
        return sorted(rows, key=lambda row: (row["ts_recv"], row["seq"], row["idx"]))

    def gaps(self) -> list[dict[str, Any]]:
        newest = newest_revisions(self.table("gaps"))
        found = [msgspec.structs.asdict(gap) for gap in newest]
        assert {gap["scope"] for gap in found} == {"rows"}
        return sorted(found, key=lambda gap: gap["started_at"])

    def reasons(self) -> list[str]:
        return [gap["reason"] for gap in self.gaps()]

    def assert_every_instant_is_told(self) -> None:
        """Coverage and gaps lie side by side, and the last gap is open."""
        spans = [
            (row["started_at"], row["ended_at"])
            for row in [*self.table("coverage"), *self.gaps()]
            if row["started_at"] != row["ended_at"]
        ]
        spans.sort(key=lambda span: span[0])
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
        assert spans[-1][1] is None


@pytest.fixture
async def trial(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="recorder")
    async with AsyncExitStack() as stack:
        trial = Trial(tmp_path / "store", stack, caplog)
        yield trial
        if not trial.running.done():
            await trial.stop()


# What is announced -------------------------------------------------------


def columns_of(row: dict[str, Any]) -> dict[str, Any]:
    names = ("kind", "ts_event", "market", "state", "title", "publisher", "markets")
    return {name: row[name] for name in names}


def columns_told_by(payload: str) -> dict[str, Any]:
    """What an announcement says, by the documents."""
    said = json.loads(payload)
    tickers = said["ticker"]
    names = tickers.split(",") if isinstance(tickers, str) else tickers
    return {
        "kind": said["type"],
        "ts_event": said["detectedTimestampUs"] * 1_000,
        "market": None,
        "state": said["listingType"],
        "title": said["title"],
        "publisher": said["publisher"],
        "markets": [name for name in names if name] or None,
    }


@pytest.mark.parametrize(
    ("generation", "changes"),
    [("A", {}), ("B", {}), ("C", {}), ("C", {"has_ticker_list": True})],
)
async def test_every_announcement_is_a_row_with_all_that_was_said(
    trial: Trial, generation: str, changes: dict[str, Any]
) -> None:
    await trial.serve(generation, announcements_per_minute=3_000.0, **changes)
    trial.start()
    await trial.until(lambda: len(trial.heard("announcement")) >= 60)

    result = await trial.stop()

    rows = trial.table("status")
    pushed = [frame.payload for frame in trial.heard("welcome", "announcement")]
    assert result.failure is None
    stored = [row["payload"] for row in rows]
    assert len(stored) >= 60
    assert stored == pushed[: len(stored)]
    assert len(pushed) - len(stored) <= 2  # under way as we stopped
    assert [columns_of(row) for row in rows[1:]] == [
        columns_told_by(payload) for payload in pushed[1 : len(stored)]
    ]
    assert rows[0]["kind"] == "welcome"
    assert trial.reasons() == ["not_started", "process_stopped"]
    trial.assert_every_instant_is_told()


async def test_heartbeats_are_no_rows_but_show_how_far_the_clocks_are_apart(
    trial: Trial,
) -> None:
    await trial.serve("C")
    trial.start()
    await trial.until(lambda: len(trial.heard("heartbeat")) >= 3)

    await trial.stop()

    [life] = trial.table("connections")
    assert -5_000 < life["clock_offset_ms"] <= 0  # one machine has one clock
    assert life["frames"] >= 3
    assert [row["kind"] for row in trial.table("status")] == ["welcome"]
    assert trial.table("frames") == []


async def test_only_exchanges_that_were_asked_for_are_heard_of(trial: Trial) -> None:
    service = await trial.serve()
    trial.start(options={"cex": "Upbit, bithumb"})
    await trial.until(lambda: trial.welcomes)
    for publisher in ("binance", "upbit", "bithumb"):
        service.announce(f"News of {publisher}", ["ABC"], publisher=publisher)
    await trial.until(lambda: len(trial.heard("announcement")) == 2)

    await trial.stop()

    news = [row["publisher"] for row in trial.table("status") if row["publisher"]]
    assert news == ["upbit", "bithumb"]


async def test_an_announcement_that_is_told_again_is_stored_once(trial: Trial) -> None:
    service = await trial.serve()
    trial.start()
    await trial.until(lambda: trial.welcomes)
    news = service.announce("Binance Will List ABC", ["ABC"])
    await asyncio.sleep(0.002)  # another time of dispatch
    service.dispatch(news)
    await trial.until(lambda: len(trial.heard("announcement")) == 2)
    await trial.until(lambda: trial.table("status")[1:])
    service.drop_all()
    await trial.until(lambda: trial.welcomes == 2)
    service.dispatch(news)
    service.announce("Binance Will List ABC", ["ABC"])  # later, so another
    await trial.until(lambda: len(trial.heard("announcement")) == 4)

    await trial.stop()

    told = [row for row in trial.table("status") if row["kind"] == "announcement"]
    assert len({frame.payload for frame in trial.heard("announcement")}) == 4
    assert [json.loads(row["payload"])["detectedTimestampUs"] for row in told] == [
        made.detected_ns // 1_000
        for made in (service.truth.news[0], service.truth.news[3])
    ]


async def test_an_announcement_that_a_later_run_is_told_again_is_stored_once(
    trial: Trial,
) -> None:
    service = await trial.serve()
    trial.start()
    await trial.until(lambda: trial.welcomes)
    news = service.announce("Binance Will List ABC", ["ABC"])
    await trial.until(lambda: trial.table("status")[1:])
    await trial.stop()
    trial.start()
    await trial.until(lambda: trial.welcomes == 2)
    service.dispatch(news)
    service.announce("Binance Will List DEF", ["DEF"])
    await trial.until(lambda: len(trial.heard("announcement")) == 3)
    await trial.until(lambda: trial.table("status")[-1]["title"].endswith("DEF"))

    await trial.stop()

    told = [row["title"] for row in trial.table("status") if row["publisher"]]
    assert len({frame.payload for frame in trial.heard("announcement")}) == 3
    assert told == ["Binance Will List ABC", "Binance Will List DEF"]


async def test_a_test_is_never_taken_for_news(trial: Trial) -> None:
    service = await trial.serve()
    trial.start()
    await trial.until(lambda: trial.welcomes)
    news = Announcement(
        title="Test",
        tickers=("DUMMYTOKEN",),
        publisher="binance",
        listing_type="spot_listing",
        detected_ns=10**18,
    )
    payload = json.dumps(
        {
            "type": "test_announcement",
            "title": news.title,
            "ticker": "DUMMYTOKEN",
            "publisher": "binance",
            "listingType": "spot_listing",
            "detectedTimestampUs": 10**15,
            "dispatchTimestampUs": 10**15 + 1,
        }
    ).encode()
    service.say("test_announcement", payload)
    service.say(
        "error", b'{"type":"error","code":"test_rate_limited","retryAfterSecs":9}'
    )
    await trial.until(lambda: trial.heard("error"))

    await trial.stop()

    rows = trial.table("status")[1:]
    assert [(row["kind"], row["state"]) for row in rows] == [
        ("test_announcement", "spot_listing"),
        ("error", "test_rate_limited"),
    ]
    assert columns_of(rows[0]) == columns_told_by(payload.decode())


async def test_messages_of_types_that_no_document_explains_are_kept(
    trial: Trial,
) -> None:
    service = await trial.serve(
        faults=(
            parse("cryptolisting_changelog:at=0"),
            parse("cryptolisting_renewal_notice:at=0"),
        )
    )
    trial.start()
    await trial.until(
        lambda: trial.heard("changelog") and trial.heard("renewal_notice")
    )
    service.say("surprise", b'{"type":"surprise","of":[1,2]}')
    await trial.until(lambda: trial.heard("surprise"))

    await trial.stop()

    notices = [row["state"] for row in trial.table("status") if row["kind"] == "notice"]
    assert sorted(notices) == ["changelog", "renewal_notice"]
    [kept] = trial.table("frames")
    assert (kept["reason"], kept["opcode"]) == ("unknown", "binary")
    assert kept["payload"] == b'{"type":"surprise","of":[1,2]}'
    assert trial.reasons() == ["not_started", "process_stopped"]


# Frames that are not as documented ---------------------------------------


async def test_text_frames_are_read_as_well(trial: Trial) -> None:
    service = await trial.serve(faults=(parse("cryptolisting_text:every=0.001"),))
    trial.start(is_archiving=True)
    await trial.until(lambda: trial.welcomes)
    for number in range(5):
        service.announce(f"News {number}", ["ABC"])
    await trial.until(lambda: len(trial.heard("announcement")) == 5)

    await trial.stop()

    as_text = {f.payload for f in trial.heard() if f.opcode == "text"}
    titles = [row["title"] for row in trial.table("status") if row["title"]]
    kept = {
        f["payload"].decode() for f in trial.table("frames") if f["opcode"] == "text"
    }
    assert titles == [f"News {number}" for number in range(5)]
    assert as_text
    assert kept == as_text


async def test_malformed_json_is_kept_and_told_and_recording_goes_on(
    trial: Trial,
) -> None:
    service = await trial.serve(
        heartbeat_seconds=60.0, faults=(parse("cryptolisting_malformed:at=0,count=1"),)
    )
    trial.start()
    await trial.until(lambda: trial.welcomes)
    service.announce("Spoiled", ["ABC"])
    service.announce("Whole", ["DEF"])
    await trial.until(lambda: len(trial.heard("announcement")) == 2)

    await trial.stop()

    [spoiled] = [frame for frame in trial.heard("announcement") if not frame.is_whole]
    [kept] = trial.table("frames")
    welcome, news = trial.table("status")
    assert (kept["reason"], kept["payload"].decode()) == (
        "undecodable",
        spoiled.payload,
    )
    assert news["title"] == "Whole"
    [gap] = [gap for gap in trial.gaps() if gap["reason"] == "undecodable"]
    assert (gap["started_at"], gap["ended_at"]) == (
        welcome["ts_recv"] + 1,
        kept["ts_recv"] + 1,
    )
    assert len(trial.table("connections")) == 1
    trial.assert_every_instant_is_told()


# Acceptance and life -----------------------------------------------------


@pytest.mark.parametrize("fault", ["late_welcome", "no_welcome"])
async def test_a_heartbeat_shows_as_well_that_we_are_let_in(
    trial: Trial, fault: str
) -> None:
    await trial.serve(faults=(parse(f"cryptolisting_{fault}:at=0"),))
    trial.start()
    await trial.until(lambda: len(trial.heard("heartbeat")) >= 2)

    result = await trial.stop()

    first = trial.heard()[0]
    [covered] = trial.table("coverage")
    assert first.kind == "heartbeat"
    assert 0 <= covered["started_at"] - first.ts_ns < 5 * SECOND_NS
    assert result.failure is None
    trial.assert_every_instant_is_told()


async def test_who_says_nothing_we_know_has_not_let_us_in(trial: Trial) -> None:
    service = await trial.serve(
        heartbeat_seconds=60.0, faults=(parse("cryptolisting_no_welcome:at=0"),)
    )
    trial.start(silence_seconds=0.5)
    await trial.until(lambda: service.clients)
    service.say("error", b'{"type":"error","code":"out of order"}')
    await trial.until(lambda: trial.welcomes)  # of the next connection

    await trial.stop()

    assert trial.table("status")[0]["kind"] == "error"
    [covered] = trial.table("coverage")
    assert covered["started_at"] >= trial.heard("welcome")[0].ts_ns
    assert trial.reasons() == ["not_started", "process_stopped"]
    trial.assert_every_instant_is_told()


@pytest.mark.parametrize("fault", ["mute", "stall"])
async def test_without_heartbeats_a_connection_is_dead_and_the_gap_says_since_when(
    trial: Trial, fault: str
) -> None:
    await trial.serve(faults=(parse(f"cryptolisting_{fault}:at=0.3,count=1"),))
    trial.start(silence_seconds=1.0)
    await trial.until(lambda: trial.welcomes == 2)
    await trial.until(lambda: trial.heard()[-1].kind == "heartbeat")

    await trial.stop()

    last = [frame for frame in trial.heard() if frame.conn == 1][-1]
    again = next(frame for frame in trial.heard("welcome") if frame.conn == 2)
    [lost] = [gap for gap in trial.gaps() if gap["reason"] == "connect_lost"]
    assert lost["detail"].startswith("no frame for ")
    assert last.ts_ns <= lost["started_at"] < last.ts_ns + 5 * SECOND_NS
    assert again.ts_ns <= lost["ended_at"] < again.ts_ns + 5 * SECOND_NS
    trial.assert_every_instant_is_told()


async def test_announcements_are_as_good_a_sign_of_life_as_heartbeats(
    trial: Trial,
) -> None:
    service = await trial.serve(heartbeat_seconds=60.0)
    trial.start(silence_seconds=1.5)
    await trial.until(lambda: trial.welcomes)
    for number in range(20):
        service.announce(f"News {number}", ["ABC"])
        await asyncio.sleep(0.1)

    await trial.stop()

    assert len(trial.table("connections")) == 1
    assert "connect_lost" not in trial.reasons()


# Refusals ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("http_400", "HTTP 400: malformed_upgrade_request; it calls the request"),
        ("http_401", "HTTP 401: missing_api_key; no key arrived"),
        ("http_403", "HTTP 403: invalid_api_key; the key is not valid"),
        ("http_426", "HTTP 426: upgrade_required; it wants another kind"),
    ],
)
async def test_a_refusal_that_only_the_operator_can_mend_ends_the_run(
    trial: Trial, fault: str, words: str
) -> None:
    service = await trial.serve(faults=(parse(f"cryptolisting_{fault}:at=0"),))
    trial.start()

    result = await trial.end()

    assert result.failure is not None
    assert words in result.failure
    assert len(service.truth.refusals) == 1
    assert trial.table("status") == []
    assert trial.table("coverage") == []
    _, rejected, _ = trial.gaps()
    assert trial.reasons() == [
        "not_started",
        "subscription_rejected",
        "process_stopped",
    ]
    assert rejected["detail"] == result.failure
    assert list(result.refused.values()) == [result.failure]
    trial.assert_every_instant_is_told()


async def test_a_bad_key_ends_the_run_and_is_not_shown(trial: Trial) -> None:
    bad = "dsk_" + "0bad" * 16
    service = await trial.serve()
    trial.start(key=bad)

    result = await trial.end()

    assert result.failure is not None
    assert "HTTP 403" in result.failure
    assert "set CRYPTOLISTING_API_KEY to a good one" in result.failure
    assert bad not in result.failure
    assert service.truth.refusals == [(403, "invalid_api_key")]


@pytest.mark.parametrize(
    "error", [name for name in REFUSALS if name.endswith(("reached", "exceeded"))]
)
async def test_too_many_connections_are_waited_for_with_growing_pauses(
    trial: Trial, error: str
) -> None:
    service = await trial.serve()
    service.refusing += [REFUSALS[error]] * 3
    trial.start()
    await trial.until(lambda: trial.welcomes)

    result = await trial.stop()

    assert service.truth.refusals == [(429, error)] * 3
    assert trial.pauses == [0.05, 0.1, 0.2]
    assert {signal.why for signal in trial.signals("will connect again")} == {
        f"cryptolisting.ws answered HTTP 429: {error}"
    }
    assert result.failure is None
    assert trial.reasons() == ["not_started", "process_stopped"]
    trial.assert_every_instant_is_told()


async def test_a_stated_wait_is_kept(trial: Trial) -> None:
    service = await trial.serve()
    told = {"error": "connection_cooldown", "status": 429}
    service.refusing += [
        Refusal(**told, facts={"retry_after_s": 0.3}),
        Refusal(**told, facts={"retry_after_s": 0.2}),
        Refusal(**told, facts={}),
    ]
    trial.start()
    await trial.until(lambda: len(trial.pauses) == 3)

    await trial.stop()

    assert trial.pauses == [0.3, 0.2, 5.0]
    turned = [row.ts_ns for row in service.truth.rows if type(row).__name__ == "Turned"]
    assert turned[1] - turned[0] >= 0.3 * SECOND_NS
    assert turned[2] - turned[1] >= 0.2 * SECOND_NS


async def test_a_service_in_trouble_is_asked_again(trial: Trial) -> None:
    service = await trial.serve(faults=(parse("cryptolisting_http_503:at=0,count=2"),))
    trial.start()
    await trial.until(lambda: trial.welcomes)

    result = await trial.stop()

    assert [status for status, _ in service.truth.refusals] == [503, 503]
    assert result.failure is None


# Ends --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "pause"),
    [
        ("too_slow", 0.0),
        ("rate_limit_exceeded", 60.0),
        ("frame_too_large", 0.05),
        ("internal_error", 0.05),
    ],
)
async def test_after_an_end_it_is_connected_again_when_the_documents_say(
    trial: Trial, reason: str, pause: float
) -> None:
    service = await trial.serve()
    trial.start()
    await trial.until(lambda: trial.heard("heartbeat"))
    service.close_all(reason)
    await trial.until(lambda: trial.pauses)
    if pause < 1:
        await trial.until(lambda: trial.welcomes == 2)
        await trial.until(lambda: trial.heard()[-1].kind == "heartbeat")

    await trial.stop()

    assert trial.pauses == [pause]
    first = trial.table("connections")[0]
    assert (first["close_code"], first["close_reason"]) == (CLOSES[reason], reason)
    last = [frame for frame in trial.heard() if frame.conn == 1][-1]
    [lost] = [gap for gap in trial.gaps() if gap["reason"] == "connect_lost"]
    assert lost["detail"] == reason
    assert last.ts_ns <= lost["started_at"] < last.ts_ns + 5 * SECOND_NS
    if pause < 1:
        again = trial.heard("welcome")[1]
        assert again.ts_ns <= lost["ended_at"] < again.ts_ns + 5 * SECOND_NS
    trial.assert_every_instant_is_told()


async def test_at_once_may_meet_a_cooldown_which_is_waited_for(trial: Trial) -> None:
    service = await trial.serve(cooldown_seconds=1.0)
    trial.start()
    await trial.until(lambda: trial.heard("heartbeat"))
    service.close_all("too_slow")
    await trial.until(lambda: trial.welcomes == 2)

    await trial.stop()

    assert trial.pauses == [0.0, 1.0]
    assert service.truth.ends[0] == (1008, "too_slow")
    assert service.truth.refusals == [(429, "connection_cooldown")]
    trial.assert_every_instant_is_told()


async def test_a_client_that_is_really_too_slow_comes_back_and_tells_the_gap(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service finds that nothing it sends is taken any more."""
    service = await trial.serve(queue_frames=2)
    trial.start()
    await trial.until(lambda: trial.heard("heartbeat"))
    [client] = service.clients
    monkeypatch.setattr(client, "_is_blocked", lambda: True)
    for number in range(4):
        service.announce(f"News {number}", ["ABC"])
    await trial.until(lambda: trial.welcomes == 2)

    await trial.stop()

    assert (1008, "too_slow") in service.truth.ends
    assert trial.pauses == [0.0]
    assert [g["detail"] for g in trial.gaps() if g["reason"] == "connect_lost"] == [
        "too_slow"
    ]
    trial.assert_every_instant_is_told()


@pytest.mark.parametrize("reason", ["key_expired", "key_revoked", "key_invalidated"])
async def test_the_end_of_the_key_ends_the_run_and_says_why(
    trial: Trial, reason: str
) -> None:
    service = await trial.serve()
    trial.start()
    await trial.until(lambda: trial.heard("heartbeat"))
    service.close_all(reason)

    result = await trial.end()

    assert result.failure is not None
    assert f"({reason}); set CRYPTOLISTING_API_KEY to a good one" in result.failure
    assert service.truth.ends == [(1000, reason)]
    assert trial.pauses == []
    [life] = trial.table("connections")
    assert (life["close_code"], life["close_reason"]) == (1000, reason)
    _, lost, rejected, _ = trial.gaps()
    assert (lost["reason"], lost["detail"]) == ("connect_lost", reason)
    assert (rejected["reason"], rejected["detail"]) == (
        "subscription_rejected",
        result.failure,
    )
    assert result.refused == {}  # it was accepted before
    trial.assert_every_instant_is_told()


class LeapingClock:
    """The clock of this machine, and so much more."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return self._clock.now_ns() + self.ahead_ns


async def test_a_key_that_expires_by_itself_ends_the_run(trial: Trial) -> None:
    key = ApiKey(key="dsk_" + "7e57" * 16, expires_in_seconds=3600.0)
    clock = LeapingClock()
    service = await trial.serve(keys=(key,), clock=clock)
    trial.start(key=key.key)
    await trial.until(lambda: trial.welcomes)
    service.announce("Before", ["A"])
    await trial.until(lambda: trial.heard("announcement"))
    clock.ahead_ns = 3600 * SECOND_NS

    result = await trial.end()

    assert result.failure is not None
    assert "the key has expired" in result.failure
    assert [row["title"] for row in trial.table("status")][1:] == ["Before"]
    assert service.truth.ends == [(1000, "key_expired")]


async def test_a_dropped_connection_is_a_gap_until_the_next_welcome(
    trial: Trial,
) -> None:
    service = await trial.serve()
    trial.start()
    await trial.until(lambda: trial.heard("heartbeat"))
    service.drop_all()
    service.announce("While nobody listened", ["ABC"])
    await trial.until(lambda: trial.welcomes == 2)

    await trial.stop()

    [lost] = [gap for gap in trial.gaps() if gap["reason"] == "connect_lost"]
    [unheard] = [
        row.ts_ns for row in service.truth.rows if type(row).__name__ == "Made"
    ]
    # What was sent before it may have been read a moment later.
    assert lost["started_at"] - SECOND_NS <= unheard <= lost["ended_at"]
    trial.assert_every_instant_is_told()


async def test_whatever_a_service_does_at_random_every_instant_is_told(
    trial: Trial,
) -> None:
    """All that a client which does as told survives, at a hundred times the rate."""
    connection_faults = ("abort", "too_slow", "internal_error", "late_welcome")
    faults = [f"cryptolisting_{name}:probability=0.5" for name in connection_faults]
    faults += [
        f"cryptolisting_{name}:probability=0.2"
        for name in ("malformed", "text", "changelog")
    ]
    service = await trial.serve(
        connects_per_minute=100_000,
        announcements_per_minute=3_000.0,
        faults=tuple(parse(fault) for fault in faults),
    )
    trial.start()
    await trial.until(lambda: trial.welcomes >= 8)

    result = await trial.stop()

    assert result.failure is None
    trial.assert_every_instant_is_told()
    stored = {row["payload"] for row in trial.table("status")}
    frames = {row["payload"].decode() for row in trial.table("frames")}
    covered = [(c["started_at"], c["ended_at"]) for c in trial.table("coverage")]
    missing = [
        frame
        for frame in trial.heard("announcement", "changelog")
        if frame.payload not in stored | frames
    ]
    # What was sent and is not here was sent into an end, and that is a gap.
    assert not [
        frame
        for frame in missing
        if any(
            start + SECOND_NS < frame.ts_ns < end - SECOND_NS for start, end in covered
        )
    ]
    assert service.truth.faults
