"""What was answered with trouble is asked again when its time has come.

By the clock, and not by the next frame: a venue that has nothing to tell
sends none.
"""

import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from recorder.model import NO_MARKET, Chain
from recorder.source import Request, Secrets, Send
from recorder.sources import load


SECOND_NS = 10**9
NOW_NS = 1_790_000_000 * SECOND_NS


def v4(frame: dict[str, Any]) -> dict[str, Any]:
    error = {"code": 3, "message": "server-side error"}
    keys = {key: frame[key] for key in ("id", "channel", "event")}
    return keys | {"time": 1, "error": error, "result": {"status": "fail"}}


def v3(frame: dict[str, Any]) -> dict[str, Any]:
    error = {"code": 3, "message": "service unavailable"}
    return {"error": error, "result": None, "id": frame["id"]}


def okx(frame: dict[str, Any]) -> dict[str, Any]:
    return {"event": "error", "code": "64007", "msg": "x", "id": frame["id"]}


FEEDS = [
    ("gate_spot", Chain("BTC_USDT", "trades"), v4),
    ("gate_futures", Chain("BTC_USDT", "depth:100ms"), v4),
    ("gate_announcements", Chain(NO_MARKET, "status:summary_all"), v4),
    ("gate_v3", Chain("BTC_USDT", "trades"), v3),
    ("gate_v3", Chain("BTC_USDT", "orders"), v3),  # its keys are shown again
    ("okx_status", Chain(NO_MARKET, "status"), okx),
]


def without_ids(request: Request) -> dict[str, Any]:
    """Return what is asked; times, and what is signed with them, go on."""
    frame: dict[str, Any] = json.loads(request.payload)
    changing = ("id", "time", "params") if request.is_secret else ("id", "time")
    return {key: value for key, value in frame.items() if key not in changing}


@pytest.mark.parametrize(("source", "chain", "trouble"), FEEDS)
def test_trouble_is_followed_by_a_pause_that_the_clock_ends(
    source: str, chain: Chain, trouble: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    feed = load(source)
    options = {option.name: option.default or "" for option in feed.options}
    secrets = Secrets({"key": "key", "secret": "secret"})
    dialogue = feed.dialogue([chain], options, secrets)

    def failed(request: Request, now_ns: int) -> list[Request]:
        answer = json.dumps(trouble(json.loads(request.payload))).encode()
        return sent(dialogue.receive(answer, now_ns))

    (asked,) = dialogue.open(NOW_NS)
    assert dialogue.due(NOW_NS) == []
    (again,) = failed(asked, NOW_NS)  # the first failure is answered at once
    assert failed(again, NOW_NS) == []

    now_ns = NOW_NS
    for pause in (1, 2, 4):
        assert dialogue.due(now_ns + pause * SECOND_NS - 1) == []
        now_ns += pause * SECOND_NS
        (again,) = dialogue.due(now_ns)
        assert without_ids(again) == without_ids(asked)
        assert again.chains == asked.chains
        assert dialogue.due(now_ns) == []
        if pause < 4:
            assert failed(again, now_ns) == []


def sent(said: Iterable[object]) -> list[Request]:
    """Return what is to be sent, but for questions after the venue's clock."""
    every = [r for reply in said if isinstance(reply, Send) for r in reply.requests]
    return [request for request in every if b"server.time" not in request.payload]
