import contextlib
import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import WireError
from recorder.model import NO_MARKET, Chain, StatusEvent
from recorder.source import (
    Refused,
    Request,
    Send,
    Subscribed,
    canonical_stream,
    resolve_options,
)
from recorder.sources.gate_announcements import SOURCE, Dialogue


NOW_NS = 1_790_654_029_500_000_000
ALL = Chain(NO_MARKET, "status:summary_all")
LISTING = Chain(NO_MARKET, "status:summary_listing")

Plain = Callable[[Sequence[Any]], Any]


def dialogue_in(lang: str = "both") -> Dialogue:
    return Dialogue([ALL, LISTING], {"lang": lang})


def answer(request: Request, code: int | None = None) -> bytes:
    """What the venue answers: an error, or that it succeeded."""
    asked = json.loads(request.payload)
    frame = {"time": 1, "channel": asked["channel"], "event": asked["event"]}
    if code is None:
        frame |= {"id": asked["id"], "error": None, "result": {"status": "success"}}
    else:
        error = {"code": code, "message": f"words of {code}"}
        frame |= {"id": asked["id"], "error": error, "result": None}
    return json.dumps(frame).encode()


# Frames ------------------------------------------------------------------


def test_frame_says_what_it_must(
    case_frame: bytes, case_said: list[Any], plain: Plain
) -> None:
    assert plain(dialogue_in().receive(case_frame, NOW_NS)) == case_said


def push(result: str) -> bytes:
    frame = '{"channel":"announcement.summary_all","event":"update","result":@}'
    return frame.replace("@", result).encode()


@pytest.mark.parametrize(
    "result",
    [
        "7",
        '"text"',
        "[7]",
        '{"published_at":"soon"}',
        '{"published_at":-1}',
        '{"published_at":99999999999}',
        '{"title":7}',
    ],
)
def test_announcement_that_does_not_fit_is_a_wire_error(result: str) -> None:
    with pytest.raises(WireError):
        dialogue_in().receive(push(result), NOW_NS)


def test_bytes_that_are_no_text_are_a_wire_error() -> None:
    with pytest.raises(WireError, match="not UTF-8"):
        dialogue_in().receive(push('{"brief":"?"}').replace(b"?", b"\xff"), NOW_NS)


def test_keys_that_are_new_are_named() -> None:
    known = '{"lang":"en","brief":"","type":"fee"}'

    assert dialogue_in().unknown_keys(push(known)) == ()
    assert dialogue_in().unknown_keys(push('{"lang":"en","later":{}}')) == (
        "result.later",
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_frames_say_something_or_are_wire_errors(
    data: st.DataObject, mutants: Callable[[Sequence[bytes]], Any]
) -> None:
    dialogue = dialogue_in()
    requests = dialogue.open(NOW_NS)
    frames = [
        push('{"lang":"cn","title":"\u516c\u544a","published_at":1790654028}'),
        answer(requests[0]),
        answer(requests[1], 2),
    ]
    frame = data.draw(mutants(frames))

    with contextlib.suppress(WireError):
        for event in dialogue.receive(frame, NOW_NS):
            if isinstance(event, StatusEvent):
                event.payload.encode()


# Asking ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "payload"), [("en", ["en"]), ("cn", ["cn"]), ("both", ["en", "cn"])]
)
def test_each_channel_is_asked_for_in_the_languages_wanted(
    lang: str, payload: list[str]
) -> None:
    dialogue = dialogue_in(lang)

    first, second = dialogue.open(NOW_NS)

    assert json.loads(first.payload) == {
        "time": 1_790_654_029,
        "id": 1,
        "channel": "announcement.summary_all",
        "event": "subscribe",
        "payload": payload,
    }
    assert json.loads(second.payload)["channel"] == "announcement.summary_listing"
    assert dialogue.receive(answer(second), NOW_NS) == [Subscribed(chains=(LISTING,))]
    assert dialogue.receive(answer(first), NOW_NS) == [Subscribed(chains=(ALL,))]


def test_a_refused_channel_takes_no_other_with_it() -> None:
    dialogue = dialogue_in()
    first, second = dialogue.open(NOW_NS)

    refused = dialogue.receive(answer(first, 2), NOW_NS)

    assert refused == [Refused(chains=(ALL,), reason="words of 2")]
    assert dialogue.receive(answer(second), NOW_NS) == [Subscribed(chains=(LISTING,))]


def test_trouble_of_the_server_is_asked_again() -> None:
    dialogue = dialogue_in()
    first, _ = dialogue.open(NOW_NS)

    (send,) = dialogue.receive(answer(first, 3), NOW_NS)

    assert isinstance(send, Send)
    assert [request.chains for request in send.requests] == [(ALL,)]


def test_its_ping_is_its_own() -> None:
    assert json.loads(dialogue_in().ping(NOW_NS)) == {
        "time": 1_790_654_029,
        "channel": "announcement.ping",
    }


# The feed ----------------------------------------------------------------


def test_all_announcements_in_english_are_what_is_meant() -> None:
    assert canonical_stream(SOURCE, "status") == "status:summary_all"
    assert resolve_options(SOURCE, {}) == {"lang": "en"}


def test_all_channels_share_a_connection() -> None:
    assert SOURCE.plan([ALL, LISTING, ALL]) == [(ALL, LISTING)]
