"""What the listing service did stands in the exchange's own record as well."""

import aiohttp
import pytest

from recorder.simulator.cryptolisting.settings import DEMO_KEY, settings_of
from recorder.simulator.cryptolisting.truth import (
    Ended,
    Entered,
    Made,
    Pushed,
    Struck,
    Turned,
)
from recorder.simulator.cryptolisting.wire import Announcement
from recorder.simulator.faults import parse
from recorder.simulator.retold import Retold
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Accepted, FaultDone, FrameSent, Notice, Truth


NEWS = Announcement(
    title="Binance Will List ABC",
    tickers=("ABC", "DEF"),
    publisher="binance",
    listing_type="spot_listing",
    detected_ns=1_700_000_000_000_000_999,
)
FACTS = {
    "kind": "announcement",
    "state": "spot_listing",
    "title": "Binance Will List ABC",
    "url": None,
    "publisher": "binance",
    "starts_at": None,
    "ends_at": None,
    "ts_event": 1_700_000_000_000_000_000,  # sent in microseconds
    "markets": "ABC,DEF",
    "payload": "{news}",
}


@pytest.fixture
def truth() -> Truth:
    return Truth(log_frames=True)


def pushed(kind: str, payload: str, ts_ns: int, **more: object) -> Pushed:
    facts = {"conn": 1, "opcode": "binary", **more}
    return Pushed(ts_ns=ts_ns, kind=kind, payload=payload, **facts)


def test_an_announcement_says_the_same_when_made_and_when_pushed(truth: Truth) -> None:
    retold = Retold(truth)
    retold.tell(Entered(ts_ns=1, conn=1, port=4_711))
    retold.tell(Made(ts_ns=2, news=NEWS, payload="{news}"))
    retold.tell(pushed("announcement", "{news}", 3))
    retold.tell(pushed("announcement", "{new", 4, is_whole=False))
    retold.tell(pushed("heartbeat", "{}", 5, conn=2))

    facts = {"feed": "listings", "stream": "status"}
    assert truth.notices == [Notice(ts_ns=2, option="binance", facts=FACTS, **facts)]
    assert truth.accepted == [Accepted(ts_ns=1, feed="listings", conn=1, port=4_711)]
    assert truth.frames == [
        FrameSent(ts_ns=1, feed="listings", conn=1, n=0, stream="control"),
        FrameSent(ts_ns=3, conn=1, n=1, facts=(FACTS,), **facts),
        FrameSent(ts_ns=4, conn=1, n=2, is_whole=False, **facts),
        FrameSent(ts_ns=5, conn=2, n=0, **facts),
    ]


def test_what_is_said_of_the_service_is_said_once_however_often(truth: Truth) -> None:
    retold = Retold(truth)
    for ts_ns, kind in enumerate(("welcome", "changelog", "changelog", "welcome")):
        retold.tell(pushed(kind, "{}", ts_ns))

    said = [(n.ts_ns, n.facts["kind"], n.facts["state"]) for n in truth.notices]
    assert said == [(0, "welcome", None), (1, "notice", "changelog")]
    assert [bool(frame.facts) for frame in truth.frames] == [True] * 4


def test_faults_are_told_with_the_stream_whose_frame_they_hit(truth: Truth) -> None:
    retold = Retold(truth)
    for name, conn in (("abort", 1), ("malformed", 2), ("http_503", None)):
        retold.tell(Struck(ts_ns=7, name=f"cryptolisting_{name}", conn=conn))
    retold.tell(Turned(ts_ns=8, status=503, error="service_unavailable"))
    retold.tell(Ended(ts_ns=9, conn=1, code=None, reason="dropped"))

    facts = {"ts_ns": 7, "feed": "listings"}
    assert truth.faults == [
        FaultDone(name="cryptolisting_abort", conn=1, **facts),
        FaultDone(name="cryptolisting_malformed", conn=2, stream="status", **facts),
        FaultDone(name="cryptolisting_http_503", **facts),
    ]


@pytest.mark.parametrize("log_frames", [True, False])
async def test_the_exchange_keeps_one_record_of_all_that_it_serves(
    log_frames: bool,
) -> None:
    settings = Settings(
        markets=("A_B",),
        rate=0,
        listings=settings_of("C", announcements_per_minute=60_000.0),
        faults=(parse("cryptolisting_changelog:at=0"),),
        log_frames=log_frames,
    )
    async with Exchange(settings) as exchange, aiohttp.ClientSession() as http:
        url = exchange.status_urls["cryptolisting"]
        async with http.ws_connect(url, headers={"X-API-Key": DEMO_KEY}) as socket:
            heard = [(await socket.receive()).data.decode() for _ in range(4)]
        truth = exchange.truth

    sent = [facts["payload"] for frame in truth.frames for facts in frame.facts]
    assert sent[: len(heard)] == (heard if log_frames else [])
    assert {n.facts["payload"] for n in truth.notices} >= set(heard)
    assert [f.name for f in truth.faults] == ["cryptolisting_changelog"]
