import contextlib
import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import ConfigError, WireError
from recorder.model import NO_MARKET, Chain, StatusEvent
from recorder.source import (
    NO_SECRETS,
    Heartbeat,
    Quit,
    Refused,
    Request,
    Send,
    Subscribed,
    Unrecognized,
    resolve_options,
)
from recorder.sources.okx_status import SOURCE, Dialogue


NOW_NS = 1_789_000_000_500_000_000
SECOND_NS = 10**9
STATUS = Chain(NO_MARKET, "status")
ARGS = [{"channel": "status"}]

Plain = Callable[[Sequence[Any]], Any]


@pytest.fixture
def dialogue() -> Dialogue:
    return Dialogue([STATUS], {})


def sent(requests: Sequence[Request]) -> list[tuple[str, str, Any]]:
    frames = [json.loads(request.payload) for request in requests]
    assert all(frame.keys() == {"id", "op", "args"} for frame in frames)
    return [(frame["id"], frame["op"], frame["args"]) for frame in frames]


def answer(request: Request | None, event: str = "subscribe", **more: Any) -> bytes:
    """What the venue answers; without the request's id if none is given."""
    frame = {"event": event, "connId": "a4d3ae55", **more}
    if request is not None:
        frame = {"id": json.loads(request.payload)["id"], **frame}
    return json.dumps(frame).encode()


def ack(request: Request | None, event: str = "subscribe") -> bytes:
    return answer(request, event, arg={"channel": "status"})


def error(request: Request | None, code: str | None) -> bytes:
    code_and_words = {} if code is None else {"code": code, "msg": f"words of {code}"}
    return answer(request, "error", **code_and_words)


# Frames ------------------------------------------------------------------


def test_frame_says_what_it_must(
    case_frame: bytes, case_said: list[Any], plain: Plain, dialogue: Dialogue
) -> None:
    assert plain(dialogue.receive(case_frame, NOW_NS)) == case_said


@pytest.mark.parametrize(
    "frame",
    [
        b"ping",
        b"pong ",
        b'"pong"',
        b"[]",
        b'{"arg":{"channel":"status"},"data":{}}',
        b'{"arg":{"channel":"status"},"data":[7]}',
        b'{"arg":{"channel":"status"},"data":[{"ts":7}]}',
        b'{"arg":{"channel":"status"},"data":[{"ts":"soon"}]}',
        b'{"arg":{"channel":"status"},"data":[{"begin":"-1"}]}',
        b'{"arg":{"channel":"status"},"data":[{"end":"99999999999999999999"}]}',
        b'{"arg":{"channel":"status"},"data":[{"scheDesc":"\xff"}]}',
        b'{"event":"error","code":60012}',
    ],
)
def test_frame_that_does_not_fit_is_a_wire_error(
    dialogue: Dialogue, frame: bytes
) -> None:
    with pytest.raises(WireError):
        dialogue.receive(frame, NOW_NS)


def test_keys_that_are_new_are_named(dialogue: Dialogue) -> None:
    known = (
        b'{"arg":{"channel":"status"},"data":[{"ts":"1","env":"1","maintType":"2"}]}'
    )
    novel = b'{"arg":{"channel":"x","uid":"1"},"data":[{"ts":"1","later":{}}],"more":1}'

    assert dialogue.unknown_keys(known) == ()
    assert dialogue.unknown_keys(novel) == ("arg.uid", "data.later", "more")


PUSH = (
    b'{"arg":{"channel":"status"},"data":[{"begin":"1672823400000","end":"","href":"",'
    b'"state":"completed","title":"Trading \xe2\x80\x93 upgrade","ts":"1672826038470"}]}'
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_frames_say_something_or_are_wire_errors(
    data: st.DataObject, mutants: Callable[[Sequence[bytes]], Any]
) -> None:
    dialogue = Dialogue([STATUS], {})
    (request,) = dialogue.open(NOW_NS)
    frames = [PUSH, ack(request), error(request, "60012"), b"pong"]
    frame = data.draw(mutants(frames))

    with contextlib.suppress(WireError):
        for event in dialogue.receive(frame, NOW_NS):
            if isinstance(event, StatusEvent):
                event.payload.encode()


# Asking ------------------------------------------------------------------


def test_the_channel_is_asked_for_and_accepted(dialogue: Dialogue) -> None:
    (request,) = dialogue.open(NOW_NS)

    assert sent([request]) == [("1", "subscribe", ARGS)]
    assert request.chains == (STATUS,)
    assert dialogue.receive(ack(request), NOW_NS) == [Subscribed(chains=(STATUS,))]


def test_an_answer_without_id_is_to_the_oldest_request(dialogue: Dialogue) -> None:
    dialogue.open(NOW_NS)

    assert dialogue.receive(ack(None), NOW_NS) == [Subscribed(chains=(STATUS,))]
    (again,) = dialogue.receive(ack(None), NOW_NS)
    assert isinstance(again, Unrecognized)


def test_started_afresh_the_channel_is_ended_first(dialogue: Dialogue) -> None:
    dialogue.receive(ack(dialogue.open(NOW_NS)[0]), NOW_NS)

    end, begin = dialogue.resubscribe([STATUS], NOW_NS)

    assert sent([end, begin]) == [("2", "unsubscribe", ARGS), ("3", "subscribe", ARGS)]
    assert (end.chains, begin.chains) == ((), (STATUS,))
    assert dialogue.receive(ack(end, "unsubscribe"), NOW_NS) == []
    assert dialogue.receive(ack(begin), NOW_NS) == [Subscribed(chains=(STATUS,))]


def test_asked_for_once_more_the_channel_goes_on(dialogue: Dialogue) -> None:
    dialogue.receive(ack(dialogue.open(NOW_NS)[0]), NOW_NS)

    (request,) = dialogue.ask_again([STATUS], NOW_NS)

    assert sent([request]) == [("2", "subscribe", ARGS)]


def test_a_ping_is_text_and_no_json(dialogue: Dialogue) -> None:
    assert dialogue.ping(NOW_NS) == b"ping"
    assert dialogue.receive(b"pong", NOW_NS) == [Heartbeat()]


# What is refused ---------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    ["60011", "60012", "60013", "60019", "60027", "60033", "64000"],
)
def test_what_stays_wrong_is_refused(dialogue: Dialogue, code: str) -> None:
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(error(request, code), NOW_NS)

    assert said == [Refused(chains=(STATUS,), reason=f"{code}: words of {code}")]


@pytest.mark.parametrize("code", ["60008", "60018", "60028", "64001", "64002"])
def test_what_another_address_would_serve_says_so(
    dialogue: Dialogue, code: str
) -> None:
    (request,) = dialogue.open(NOW_NS)

    (refused,) = dialogue.receive(error(request, code), NOW_NS)

    assert isinstance(refused, Refused)
    assert refused.reason == f"{code}: words of {code}; check -O host and --ws-url"


@pytest.mark.parametrize("code", ["63999", "64007"])
def test_trouble_of_the_venue_is_asked_again_with_pauses(
    dialogue: Dialogue, code: str | None
) -> None:
    (request,) = dialogue.open(NOW_NS)
    now, waited = NOW_NS, []

    for _ in range(4):
        said = dialogue.receive(error(request, code), now)
        start = now
        while not said:
            now += SECOND_NS // 4
            said = [s for s in dialogue.receive(b"pong", now) if s != Heartbeat()]
        (send,) = said
        assert isinstance(send, Send)
        (request,) = send.requests
        waited.append((now - start) / SECOND_NS)
    (quit_,) = dialogue.receive(error(request, code), now)

    assert waited == [0, 1, 2, 4]
    assert isinstance(quit_, Quit)
    words = "no code: no words" if code is None else f"{code}: words of {code}"
    assert quit_.verdict.why == f"{words} (asked 5 times)"
    assert (quit_.verdict.action, quit_.verdict.wait_seconds) == ("retry", 60)


@pytest.mark.parametrize("code", ["600120", "50013", None])
def test_an_error_that_nobody_knows_is_kept_and_asked_again(
    dialogue: Dialogue, code: str | None
) -> None:
    (request,) = dialogue.open(NOW_NS)

    kept, send = dialogue.receive(error(request, code), NOW_NS)

    words = "no code: no words" if code is None else f"{code}: words of {code}"
    assert kept == Unrecognized(error=f"not known, asked again: {words}")
    assert isinstance(send, Send)
    assert len(send.requests) == 1


def test_who_asks_too_often_stays_away_for_minutes(dialogue: Dialogue) -> None:
    (request,) = dialogue.open(NOW_NS)

    (quit_,) = dialogue.receive(error(request, "60014"), NOW_NS)

    assert isinstance(quit_, Quit)
    assert quit_.verdict.wait_seconds == 300
    assert quit_.verdict.why == "60014: words of 60014"


def test_an_error_about_ending_the_channel_refuses_nothing(dialogue: Dialogue) -> None:
    dialogue.receive(ack(dialogue.open(NOW_NS)[0]), NOW_NS)
    end, begin = dialogue.resubscribe([STATUS], NOW_NS)

    (said,) = dialogue.receive(error(end, "60012"), NOW_NS)

    assert said == Unrecognized(error="answers no subscription: 60012: words of 60012")
    assert dialogue.receive(ack(begin), NOW_NS) == [Subscribed(chains=(STATUS,))]


# The feed ----------------------------------------------------------------


def test_the_address_follows_the_host() -> None:
    own, given_ = ({}, {"host": "wspap.okx.com"})

    urls = [SOURCE.ws_url.format_map(resolve_options(SOURCE, o)) for o in (own, given_)]

    assert urls == [
        "wss://ws.okx.com:8443/ws/v5/public",
        "wss://wspap.okx.com:8443/ws/v5/public",
    ]


def test_a_host_that_is_only_the_beginning_of_one_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"choose from ws\.okx\.com, wsus\.okx\.com, "
    ):
        resolve_options(SOURCE, {"host": "wspap"})


def test_its_one_chain_has_no_market_and_one_connection() -> None:
    assert [kind.has_markets for kind in SOURCE.streams] == [False]
    assert SOURCE.plan([STATUS, STATUS]) == [(STATUS,)]
    assert isinstance(SOURCE.dialogue([STATUS], {}, NO_SECRETS), Dialogue)
