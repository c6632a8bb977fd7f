"""An ear at a dialogue: what it notes, and that it changes nothing."""

import msgspec
import pytest

from recorder.errors import WireError
from recorder.model import Bbo, Chain, StatusEvent, Trade
from recorder.probe import listening
from recorder.probe.listening import Ear
from recorder.source import (
    NO_SECRETS,
    Ending,
    Heartbeat,
    Leaving,
    Request,
    Secrets,
    Send,
    Subscribed,
    Verdict,
)
from recorder.sources import load


CHAIN = Chain("A_B", "trades")
MS = 1_000_000
NOW = 1_800_000_000_000 * MS


class Fake:
    """A dialogue that says what it is told to."""

    def __init__(self, chains, options, secrets):
        self.made_of = chains, options, secrets
        self.says = []
        self.pings = True

    def open(self, now_ns):
        return [Request(payload=b"open")]

    def ping(self, now_ns):
        return b"ping" if self.pings else None

    def receive(self, payload, now_ns):
        if payload == b"broken":
            raise WireError("broken")
        return self.says

    def resubscribe(self, chains, now_ns):
        return [Request(payload=b"again", chains=chains)]

    def ask_again(self, chains, now_ns):
        return [Request(payload=b"once more", chains=chains)]

    def due(self, now_ns):
        return [Request(payload=b"due")]

    def unknown_keys(self, payload):
        if b"{" not in payload:
            raise WireError("no JSON")
        return ["a.new", "a.new"] if b"new" in payload else []


@pytest.fixture
def ear():
    return Ear(Secrets({"key": "s3cr3t"}))


@pytest.fixture
def fake(ear):
    """Return the dialogue that the ear is at, and the one behind it."""
    made = []

    def make(*what):
        made.append(Fake(*what))
        return made[-1]

    feed = msgspec.structs.replace(load("gate_spot"), dialogue=make)
    heard = ear.at(feed).dialogue((CHAIN,), {"o": "x"}, NO_SECRETS)
    return heard, made[0]


def bbo(ts_event):
    return Bbo(market="A_B", ts_event=ts_event)


def trade(ts_event, origin="live"):
    return Trade(
        market="A_B",
        ts_event=ts_event,
        trade_id=1,
        side="buy",
        price="1",
        amount="1",
        origin=origin,
    )


def test_what_is_said_and_done_stays_the_same(fake):
    heard, inner = fake
    inner.says = [bbo(NOW), StatusEvent(kind="notice", payload="{}")]

    assert inner.made_of == ((CHAIN,), {"o": "x"}, NO_SECRETS)
    assert heard.open(1) == inner.open(1)
    assert heard.ping(1) == b"ping"
    assert heard.receive(b"{}", NOW) is inner.says
    assert heard.resubscribe((CHAIN,), 1) == inner.resubscribe((CHAIN,), 1)
    assert heard.ask_again((CHAIN,), 1) == inner.ask_again((CHAIN,), 1)
    with pytest.raises(WireError):
        heard.receive(b"broken", NOW)


def test_a_pong_answers_the_oldest_ping(ear, fake):
    heard, inner = fake
    heard.ping(NOW)
    heard.ping(NOW + 1000 * MS)
    inner.says = [Heartbeat(ts_event=NOW + 5 * MS)]

    heard.receive(b"{}", NOW + 20 * MS)

    report = ear.offset.report()
    assert (report.answers, report.ping_seconds) == (1, 0.02)
    assert report.at_most_seconds == 0.006


def test_questions_of_the_feeds_own_are_answered_in_their_order(ear, fake):
    heard, inner = fake
    inner.says = [
        Send(
            requests=(
                Request(payload=b"subscribe", chains=(CHAIN,)),
                Request(payload=b"sign", is_secret=True),
                Request(payload=b"time?"),
            )
        )
    ]
    heard.receive(b"{}", NOW)
    heard.ping(NOW + 10 * MS)
    inner.says = [Heartbeat()]

    heard.receive(b"{}", NOW + 30 * MS)
    heard.receive(b"{}", NOW + 45 * MS)

    assert ear.offset.report().ping_seconds == 0.03


def test_a_time_that_was_worked_out_is_believed_to_a_tenth_of_a_second(ear, fake):
    heard, inner = fake
    heard.ping(NOW)
    inner.says = [Heartbeat(ts_event=NOW + 1)]

    heard.receive(b"{}", NOW + 10 * MS)
    heard.receive(b"{}", NOW + 10 * MS)

    report = ear.offset.report()
    assert (report.answers, report.pushes) == (1, 1)
    assert report.at_least_seconds == -0.109999999
    assert report.at_most_seconds == 0.100000002


def test_a_heartbeat_that_nobody_asked_for_is_a_push(ear, fake):
    heard, inner = fake
    inner.pings = False
    assert heard.ping(NOW) is None
    inner.says = [Heartbeat(ts_event=NOW), Heartbeat()]

    heard.receive(b"{}", NOW + MS)

    report = ear.offset.report()
    assert (report.answers, report.pushes) == (0, 1)
    assert report.at_least_seconds == -0.001


def test_an_acceptance_answers_what_was_sent_at_the_opening(ear, fake):
    heard, inner = fake
    heard.open(NOW)
    inner.says = [Subscribed(chains=(CHAIN,), ts_event=NOW + MS)]

    heard.receive(b"{}", NOW + 30 * MS)
    inner.says = [Subscribed(chains=(CHAIN,))]
    heard.receive(b"{}", NOW + 900 * MS)

    assert ear.accepted_at == {CHAIN: NOW + 30 * MS}
    assert ear.offset.report().answers == 1
    assert ear.offset.report().ping_seconds == 0.03


def test_times_of_the_past_and_times_not_sent_tell_nothing(ear, fake):
    heard, inner = fake
    inner.says = [trade(NOW, origin="history"), bbo(None), trade(NOW - 9 * MS)]

    heard.receive(b"{}", NOW)

    assert ear.offset.report().pushes == 1
    assert ear.offset.report().at_least_seconds == -0.009


def test_that_the_venue_leaves_is_noted(ear, fake):
    heard, inner = fake
    inner.says = [Leaving(reason="upgrade soon")]

    heard.receive(b"{}", NOW)

    assert [(said.kind, said.text) for said in ear.said] == [
        ("leaving", "upgrade soon")
    ]


def test_keys_are_counted_by_frame_and_shown_without_secrets(ear, fake):
    heard, _ = fake
    long = b'{"pad":"' + b"x" * 500 + b'","new":"s3cr3t"}'

    for payload in (long, b'{"new":1}', b"no JSON", b"{}"):
        heard.receive(payload, NOW)

    (key,) = ear.keys()
    assert (key.key, key.frames) == ("a.new", 2)
    assert key.excerpt == "..." + "x" * 38 + '","new":"***"}'
    assert (ear.frames, ear.frames_searched) == (4, 4)
    assert heard.unknown_keys(b'{"new":1}') == ()


def test_of_many_frames_a_part_is_searched(ear, fake, monkeypatch):
    monkeypatch.setattr(listening, "SEARCHED_ALL", 10)
    monkeypatch.setattr(listening, "SEARCHED_EVERY", 5)
    heard, _ = fake

    for _ in range(30):
        heard.receive(b"{}", NOW)

    assert (ear.frames, ear.frames_searched) == (30, 10 + 4)


def test_the_status_of_a_refused_handshake_is_noted_and_judged_as_ever(ear):
    said = Verdict(action="stop", why="no")
    feed = msgspec.structs.replace(load("gate_spot"), verdict=lambda ending: said)
    heard = ear.at(feed)

    assert heard.verdict(Ending(code=1000, reason="bye")) is said
    assert ear.status is None
    assert heard.verdict(Ending(status=403, reason="key s3cr3t\nis bad")) is said
    assert (ear.status, ear.refusal) == (403, "key *** is bad")


def test_a_feed_without_snapshots_stays_without(ear):
    feed = msgspec.structs.replace(load("gate_spot"), snapshot=None, ping_seconds=1.0)

    heard = ear.at(feed)

    assert heard.snapshot is None
    assert heard.ping_seconds == 1.0
    assert ear.at(load("gate_spot")).ping_seconds == 5.0


def test_what_is_due_is_asked_for_through_the_ear(fake):
    heard, _ = fake

    assert [request.payload for request in heard.due(NOW)] == [b"due"]
