"""One connection takes over from another, over real sockets."""

import asyncio
import logging

import aiohttp
import msgspec
import pytest
from aiohttp import web

from recorder.capture import handover_live, life, reactions, relay
from recorder.capture.connection import Connection
from recorder.capture.doubles import Doubles
from recorder.capture.handshake import watched_handshakes
from recorder.capture.rest import Budget
from recorder.capture.session import Session
from recorder.clock import SystemClock
from recorder.model import Chain
from recorder.source import Verdict
from recorder.store.ledger import Ledger
from recorder.telemetry import COUNTERS


CHAIN = Chain("BTC_USDT", "trades")
OTHER = Chain("BTC_USDT", "bbo")
BOOK = Chain("BTC_USDT", "depth:full")
CHAINS = (CHAIN, OTHER)
MS = 1_000_000


class Peer:
    """The other end of one connection."""

    def __init__(self, socket):
        self.socket = socket
        self.heard = []
        self.code = None
        self.is_deaf = False

    async def say(self, *items):
        await self.socket.send_str(msgspec.json.encode(items).decode())

    async def serve(self, refuses):
        async for message in self.socket:
            said = msgspec.json.decode(message.data)
            self.heard.append(said)
            if self.is_deaf:
                continue
            if "sub" in said and Chain(*said["sub"]) in refuses:
                await self.say(["no", [said["sub"]], "not here"])
            elif "sub" in said or "once more" in said:
                await self.say(["ok", list(said.values())])
            elif "ping" in said:
                await self.say(["beat"])
        self.code = self.socket.close_code


class House:
    """A venue that accepts everything, and says what it is told to say."""

    def __init__(self):
        self.peers = []
        # Of all connections but the first:
        self.refusals = []  # how the next handshakes are answered
        self.refuses = set()  # chains that they do not get
        self.is_deaf = False  # they are not answered

    async def handle(self, request):
        is_first = not self.peers
        if self.refusals and not is_first:
            return web.Response(status=self.refusals.pop(0))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        peer = Peer(socket)
        peer.is_deaf = self.is_deaf and not is_first
        self.peers.append(peer)
        await peer.serve(set() if is_first else self.refuses)
        return socket


class Line:
    """A connection to the house, and all that its session stored."""

    def __init__(self, source, url, http, chains, **options):
        clock = SystemClock()
        self.session = Session(
            source,
            {},
            chains,
            run="run",
            clock=clock,
            ledger=Ledger("job", "run", chains),
            doubles=Doubles(),
        )
        self.opened = 0
        self.connection = Connection(
            http, url, self.session, chains, clock=clock, name=self._name, **options
        )
        self.task = asyncio.create_task(self.connection.run())
        self._rows = {}

    def _name(self):
        self.opened += 1
        return f"run.{self.opened - 1}"

    def events(self, table):
        for (name, _), rows in self.session.take(1).rows.items():
            self._rows.setdefault(name, []).extend(rows)
        return [row[4] for row in self._rows.get(table, [])]

    def trades(self):
        return [trade.trade_id for trade in self.events("trades")]

    def ends(self):
        return [
            (one.close_code, one.close_reason) for one in self.events("connections")
        ]

    def gaps(self):
        newest = {gap.gap_id: gap for gap in self.events("gaps")}
        return [gap for gap in newest.values() if gap.reason != "not_started"]

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.005)

    async def end(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """All that takes seconds takes a tenth of one; counters begin at nothing."""
    COUNTERS.clear()
    monkeypatch.setattr(reactions, "backoff_seconds", lambda failures, backoff: 0.02)
    monkeypatch.setattr(life, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(life, "ALIVE_SECONDS", 0.1)
    monkeypatch.setattr(handover_live, "OVERLAP_NS", 100 * MS)
    monkeypatch.setattr(handover_live, "PATIENCE_NS", 100 * MS)
    monkeypatch.setattr(relay, "JITTER_SECONDS", 0.01)
    monkeypatch.setattr(relay, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(relay, "SIGN_OF_LIFE_SECONDS", 0.3)
    monkeypatch.setattr(relay, "ASK_AGAIN_SECONDS", 0.2)


@pytest.fixture
async def house(serve):
    house = House()
    house.url = f"ws://{await serve({'/ws': house.handle})}/ws"
    return house


@pytest.fixture
async def line_to(fake, house):
    """Connect to the house; lines are ended after the test."""
    lines = []
    async with aiohttp.ClientSession(trace_configs=[watched_handshakes()]) as http:

        async def line_to(changes=None, *, chains=CHAINS, **options):
            options = {"connects": Budget(100.0), **options}
            source = msgspec.structs.replace(fake, **(changes or {}))
            line = Line(source, house.url, http, chains, **options)
            lines.append(line)
            await line.until(lambda: line.session.accepted == set(chains))
            return line

        yield line_to
        for line in lines:
            await line.end()


def image(base):
    return ["depth", "BTC_USDT", None, base, [], [], BOOK.stream]


def trade(number):
    return ["trade", "BTC_USDT", number]


async def test_after_a_notice_the_next_connection_takes_over(line_to, house, caplog):
    caplog.set_level(logging.INFO, logger="recorder")
    line = await line_to()
    first = house.peers[0]

    await first.say(trade(1), ["leaving", "an upgrade"], ["status", "an upgrade"])
    await line.until(lambda: len(house.peers) == 2)
    second = house.peers[1]
    await line.until(lambda: len(second.heard) >= 2)
    for peer in (second, first):
        await peer.say(trade(2))
    await line.until(lambda: line.connection.handovers == 1)
    await second.say(trade(3))
    await line.until(lambda: line.trades() == [1, 2, 3])

    assert line.ends() == [(None, "handed over to run.1: an upgrade")]
    assert first.code == aiohttp.WSCloseCode.OK
    assert line.gaps() == []
    assert [event.payload for event in line.events("status")] == ["an upgrade"]

    def told(name=""):
        signals = [r.signal for r in caplog.records if hasattr(r, "signal")]
        return [s for s in signals if name in type(s).__name__]

    await line.until(lambda: told("HandoverDone"))
    (begun,), (done,) = told("HandoverBegan"), told("HandoverDone")
    assert (begun.conn, begun.why) == ("run.0", "an upgrade")
    assert (done.conn, done.to, done.is_in_time) == ("run.0", "run.1", True)
    assert not [signal for signal in told() if signal.level >= logging.WARNING]


async def test_a_connection_is_renewed_again_and_again(line_to, house):
    line = await line_to(renew_seconds=0.2)

    await line.until(lambda: line.connection.handovers == 3)

    assert {reason for _, reason in line.ends()} == {
        f"handed over to run.{number}: it was to be renewed" for number in (1, 2, 3)
    }
    assert line.gaps() == []


async def test_while_the_first_lives_a_second_is_tried_for(line_to, house, caplog):
    line = await line_to()
    house.refusals = [502, 502, 429, 502]
    first = house.peers[0]

    await first.say(["leaving", "an upgrade"])
    await line.until(lambda: not house.refusals)
    await first.say(trade(1))
    await line.until(lambda: line.connection.handovers == 1)

    assert line.trades() == [1]
    assert line.gaps() == []
    told = [r.signal for r in caplog.records if hasattr(r, "signal")]
    delays = [s for s in told if type(s).__name__ == "HandoverDelayed"]
    assert len(delays) == 4
    assert "HTTP 502" in delays[0].why


async def test_a_connection_that_cannot_be_renewed_goes_on(line_to, house):
    house.refusals = [502] * 1_000
    line = await line_to(renew_seconds=0.1)

    await line.until(lambda: COUNTERS["handovers_given_up_total"] == 1)
    await house.peers[0].say(trade(1))
    await line.until(lambda: COUNTERS["handovers_given_up_total"] == 2)

    assert line.trades() == [1]
    assert line.gaps() == []
    assert 1_000 - len(house.refusals) >= 2 * relay.RENEWALS_MAX


async def test_what_the_feed_calls_final_ends_a_renewal_but_no_upgrade(line_to, house):
    def verdict(ending):
        return Verdict(action="stop", why="no more") if ending.status == 403 else None

    house.refusals = [403] * 1_000
    line = await line_to({"verdict": verdict}, renew_seconds=0.1)
    await line.until(lambda: COUNTERS["handovers_given_up_total"])
    assert not COUNTERS["handovers_delayed_total"]
    await house.peers[0].say(["leaving", "an upgrade"])
    await line.until(lambda: COUNTERS["handovers_delayed_total"] >= 2)
    house.refusals.clear()
    await line.until(lambda: line.connection.handovers)

    assert line.gaps() == []


async def test_a_venue_that_says_when_to_come_again_is_not_asked_before(line_to, house):
    def verdict(ending):
        return Verdict(action="retry", why="later", wait_seconds=30.0)

    line = await line_to({"verdict": verdict})
    house.refusals = [429]
    await house.peers[0].say(["leaving", "an upgrade"])
    await line.until(lambda: not house.refusals)
    # It ends while we wait: then the wait has an end as well.
    await house.peers[0].socket.close()
    await line.until(line.ends)

    assert len(house.peers) == 1


async def test_a_venue_that_closes_at_once_leaves_a_gap_of_the_upgrade(line_to, house):
    line = await line_to()
    first = house.peers[0]

    await first.say(trade(1), ["leaving", "an upgrade"])
    await first.socket.close(code=1012, message=b"service restart")
    await line.until(lambda: len(house.peers) == 2)
    await line.until(lambda: all(gap.ended_at for gap in line.gaps()))

    assert {gap.reason for gap in line.gaps()} == {"venue_upgrade"}
    assert {gap.stream for gap in line.gaps()} == {"trades", "bbo"}
    assert line.ends() == [(1012, "service restart")]


async def test_a_second_that_is_lost_is_replaced(line_to, house):
    line = await line_to()
    first = house.peers[0]

    await first.say(["leaving", "an upgrade"])
    await line.until(lambda: len(house.peers) == 2 and house.peers[1].heard)
    house.peers[1].socket._writer.transport.abort()
    await line.until(lambda: line.connection.handovers == 1)
    await house.peers[2].say(trade(1))
    await line.until(lambda: line.trades() == [1])

    assert [reason for _, reason in line.ends()][1:] == [
        "handed over to run.2: an upgrade"
    ]
    assert line.gaps() == []


async def test_a_second_that_is_told_to_leave_hands_over_too(line_to, house):
    line = await line_to()

    await house.peers[0].say(["leaving", "an upgrade"])
    await line.until(lambda: len(house.peers) == 2 and house.peers[1].heard)
    await house.peers[1].say(["leaving", "another"])
    await line.until(lambda: line.connection.handovers == 2)

    assert [reason for _, reason in line.ends()] == [
        "handed over to run.1: an upgrade",
        "handed over to run.2: another",
    ]
    assert line.gaps() == []


async def test_a_second_notice_changes_nothing(line_to, house):
    line = await line_to()

    await house.peers[0].say(["leaving", "an upgrade"])
    await line.until(lambda: len(house.peers) == 2)
    await house.peers[0].say(["leaving", "an upgrade, still"])
    await line.until(lambda: line.connection.handovers == 1)

    assert len(house.peers) == 2
    assert line.gaps() == []


async def test_a_first_that_stalls_is_left_and_what_it_may_owe_is_a_gap(line_to, house):
    line = await line_to()
    first = house.peers[0]

    await first.say(["leaving", "an upgrade"])
    first.is_deaf = True
    await line.until(lambda: line.connection.handovers == 1)

    assert {gap.reason for gap in line.gaps()} == {"venue_upgrade"}
    assert all(gap.ended_at for gap in line.gaps())


async def test_a_quiet_first_without_pings_is_given_the_time_of_its_silence(
    line_to, house, fake
):
    asked = []

    class Mute(fake.dialogue):
        def ping(self, now_ns):
            asked.append(now_ns)

    line = await line_to({"dialogue": Mute, "silence_seconds": 60}, renew_seconds=0.05)
    first = house.peers[0]
    # One that has a ping is asked so long that it is given up before that.
    await line.until(lambda: len(asked) > 6)
    assert line.ends() == []

    await first.say(["beat"])
    await line.until(lambda: line.connection.handovers == 1)

    assert line.gaps() == []


async def test_streams_that_bring_nothing_over_the_second_are_asked_for_again(
    line_to, house, monkeypatch
):
    monkeypatch.setattr(handover_live, "OVERLAP_NS", 1_000 * MS)
    line = await line_to()
    first = house.peers[0]
    await first.say(["leaving", "an upgrade"])
    await line.until(lambda: len(house.peers) == 2)
    second = house.peers[1]
    await line.until(lambda: len(second.heard) >= 2)
    await first.say(trade(1))

    await line.until(lambda: {"once more": list(CHAIN)} in second.heard)
    assert line.connection.handovers == 0
    await second.say(trade(1))
    await line.until(lambda: line.connection.handovers == 1)

    assert line.trades() == [1]


async def test_a_book_that_does_not_come_over_the_second_is_asked_for_afresh(
    line_to, house
):
    line = await line_to(chains=(CHAIN, BOOK))
    first = house.peers[0]
    await first.say(image(100))
    await line.until(lambda: line.session.books.known_total == 1)
    await first.say(["leaving", "an upgrade"])
    await line.until(lambda: len(house.peers) == 2)
    second = house.peers[1]

    # Who asks for it once more is refused by some venues, for good.
    await line.until(lambda: {"again": list(BOOK)} in second.heard)
    assert not any("once more" in said for said in second.heard)
    await second.say(image(100))
    await line.until(lambda: line.connection.handovers == 1)

    assert [gap for gap in line.gaps() if gap.scope == "rows"] == []
    assert line.session.refused == {}


async def test_what_a_renewal_would_cost_is_not_given_for_it(line_to, house):
    house.refuses = {OTHER}
    line = await line_to(renew_seconds=0.1)

    await line.until(lambda: COUNTERS["handovers_given_up_total"])
    await house.peers[0].say(["bbo", "BTC_USDT", "1"])
    await line.until(lambda: len(line.events("bbo")) == 1)

    assert not line.session.refused
    assert "the venue refuses bbo of BTC_USDT on it: not here" in {
        reason for _, reason in line.ends()
    }


async def test_a_renewal_that_does_not_come_to_life_is_given_up(
    line_to, house, monkeypatch
):
    monkeypatch.setattr(relay, "RENEWAL_SECONDS", 0.2)
    house.is_deaf = True
    line = await line_to(renew_seconds=0.1)

    await line.until(lambda: COUNTERS["handovers_given_up_total"])

    assert {reason for _, reason in line.ends()} == {
        "it did not bring what the connection before does"
    }


async def test_a_stop_in_a_handover_ends_both(line_to, house):
    line = await line_to()
    await house.peers[0].say(["leaving", "an upgrade"])
    house.is_deaf = True
    await line.until(lambda: line.connection.is_handing_over)

    await line.connection.ask_for_life()
    line.session.stop(SystemClock().now_ns())
    await line.end()

    assert [reason for _, reason in line.ends()] == [life.STOPPED] * 2
    assert not line.connection.is_open
    line.session.settle()
    assert {gap.reason for gap in line.gaps()} == {"process_stopped"}
