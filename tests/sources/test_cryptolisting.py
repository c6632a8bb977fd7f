import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import ConfigError, WireError
from recorder.model import Chain, StatusEvent
from recorder.source import (
    Ending,
    Heartbeat,
    Secrets,
    Subscribed,
    Unrecognized,
    Verdict,
    resolve_options,
)
from recorder.sources.cryptolisting import SOURCE, Dialogue


CHAIN = Chain("", "status")
WELCOME = b'{"type":"welcome","tier":"free"}'
HEARTBEAT = b'{"type":"heartbeat"}'

Plain = Callable[[Sequence[Any]], Any]


def dialogue() -> Dialogue:
    return Dialogue([CHAIN], {})


def news(**changes: Any) -> bytes:
    facts = {
        "type": "announcement",
        "title": "Binance Will List ABC",
        "ticker": "ABC",
        "publisher": "binance",
        "listingType": "spot_listing",
        "detectedTimestampUs": 1_710_345_000_005_000,
        "dispatchTimestampUs": 1_710_345_000_006_000,
    }
    return json.dumps(facts | changes).encode()


def told(frame: bytes) -> StatusEvent:
    (event,) = (e for e in dialogue().receive(frame, 0) if isinstance(e, StatusEvent))
    return event


def identity(event: StatusEvent) -> str | None:
    return SOURCE.status_identity(event.payload)


# Messages ----------------------------------------------------------------


def test_frame_says_what_it_must(
    case_frame: bytes, case_said: list[Any], plain: Plain
) -> None:
    said = dialogue().receive(case_frame, 0)

    assert plain(said) == case_said


@pytest.mark.parametrize(
    "first", [WELCOME, HEARTBEAT, news(), news(type="test_announcement")]
)
def test_the_first_message_of_a_service_that_let_us_in_is_the_acceptance(
    first: bytes,
) -> None:
    talk = dialogue()

    said = talk.receive(first, 0)
    later = [*talk.receive(WELCOME, 0), *talk.receive(HEARTBEAT, 0)]

    assert said[0] == Subscribed(chains=(CHAIN,))
    assert not [reply for reply in later if isinstance(reply, Subscribed)]


@pytest.mark.parametrize("kind", ["error", "changelog", "renewal_notice", "surprise"])
def test_what_speaks_of_something_else_is_no_acceptance(kind: str) -> None:
    talk = dialogue()

    said = talk.receive(json.dumps({"type": kind}).encode(), 0)

    assert not [reply for reply in said if isinstance(reply, Subscribed)]
    assert talk.receive(HEARTBEAT, 0)[0] == Subscribed(chains=(CHAIN,))


@pytest.mark.parametrize(
    "frame",
    [
        b"7",
        b"[]",
        b"{}",
        b'{"type":null}',
        b'{"type":7}',
        b'{"kind":"announcement"}',
        b'{"type":"announcement"',
        b'{"type":"announcement",}',
        b'{"type":"welcome","tier":"\xff"}',
        news(title=5),
        news(ticker=5),
        news(ticker=["A", None]),
        news(ticker={"A": 1}),
        news(listingType=["spot"]),
        news(detectedTimestampUs="1710345000005000"),
        news(detectedTimestampUs=1.5),
        news(detectedTimestampUs=-1),
        news(detectedTimestampUs=10**16),
    ],
)
def test_what_does_not_fit_is_an_error_and_no_acceptance(frame: bytes) -> None:
    talk = dialogue()

    with pytest.raises(WireError, match=r"does not fit|not UTF-8"):
        talk.receive(frame, 0)

    assert talk.receive(HEARTBEAT, 0)[0] == Subscribed(chains=(CHAIN,))


def test_an_announcement_dispatched_again_is_the_same() -> None:
    again = told(news(dispatchTimestampUs=1_710_345_009_000_000))

    assert identity(again) == identity(told(news()))
    assert again.payload != told(news()).payload


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "test_announcement"},
        {"title": "Binance Will List ABC and DEF"},
        {"ticker": "ABC,DEF"},
        {"publisher": "upbit"},
        {"listingType": "futures_listing"},
        {"detectedTimestampUs": 1_710_345_000_005_001},
        {"abnormalDetectionLatency": True},
        {"of_a_later_generation": 1},
        {"of_a_later_generation": 1.5},
    ],
)
def test_an_announcement_with_anything_else_is_another(changes: dict[str, Any]) -> None:
    assert identity(told(news(**changes))) != identity(told(news()))


def test_an_announcement_without_a_time_of_detection_is_known_by_all_of_it() -> None:
    assert identity(told(news(detectedTimestampUs=None))) is None


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "[1]",
        "[" * 100_000,
        "{}",
        '{"type":[]}',
        WELCOME.decode(),
        HEARTBEAT.decode(),
    ],
)
def test_what_is_no_announcement_is_known_by_all_of_it(payload: str) -> None:
    assert SOURCE.status_identity(payload) is None


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_becomes_something_or_an_error(
    data: st.DataObject, mutants: Any
) -> None:
    folder = Path(__file__).parent / "cryptolisting"
    lines = (folder / "frames.jsonl").read_text().splitlines()
    frames = [json.loads(line)["frame"].encode() for line in lines]
    frame = data.draw(mutants(frames))

    try:
        said = dialogue().receive(frame, 0)
    except WireError:
        return

    kinds = Subscribed | StatusEvent | Heartbeat | Unrecognized
    assert all(isinstance(item, kinds) for item in said)
    assert [item for item in said if not isinstance(item, Subscribed)]
    for event in said:
        if isinstance(event, StatusEvent):
            assert event.payload.encode() == frame


@pytest.mark.parametrize(
    ("frame", "keys"),
    [
        (news(), ()),
        (news(publishTimestampUs=1, abnormalDetectionLatency=False), ()),
        (news(url="x", source="y"), ("source", "url")),
        (b'{"type":"welcome","tier":"x","motd":""}', ("motd",)),
        (b'{"type":"error","code":"x","retryAfterSecs":1}', ()),
        (b'{"type":"changelog","anything":1}', ()),
        (b"[1]", ()),
    ],
)
def test_keys_that_no_document_has_are_noticed(
    frame: bytes, keys: tuple[str, ...]
) -> None:
    assert dialogue().unknown_keys(frame) == keys


def test_keys_of_what_is_no_json_cannot_be_told() -> None:
    with pytest.raises(WireError):
        dialogue().unknown_keys(b'{"type":')


def test_nothing_is_ever_sent() -> None:
    talk = dialogue()

    assert talk.ping(0) is None
    assert not [
        *talk.open(0),
        *talk.resubscribe([CHAIN], 0),
        *talk.ask_again([CHAIN], 0),
    ]


# The connection ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "query"),
    [
        ({}, ()),
        ({"cex": ""}, ()),
        ({"cex": " , "}, ()),
        ({"cex": "binance"}, (("cex", "binance"),)),
        ({"cex": "Binance, upbit,,binance"}, (("cex", "binance,upbit"),)),
    ],
)
def test_the_address_asks_for_exchanges(
    given_: dict[str, str], query: tuple[tuple[str, str], ...]
) -> None:
    assert SOURCE.ws_query(resolve_options(SOURCE, given_)) == query


@pytest.mark.parametrize("host", ["cryptolisting.ws", "kr.cryptolisting.ws"])
def test_it_is_listened_to_in_tokyo_or_in_seoul(host: str) -> None:
    options = resolve_options(SOURCE, {"host": host})

    assert SOURCE.ws_url.format_map(options) == f"wss://{host}/"


def test_elsewhere_there_is_no_service() -> None:
    assert resolve_options(SOURCE, {})["host"] == "cryptolisting.ws"
    with pytest.raises(ConfigError, match="choose from cryptolisting"):
        resolve_options(SOURCE, {"host": "example.org"})


def test_the_key_is_in_the_header_and_nowhere_else() -> None:
    secrets = Secrets({"key": "dsk_1"})

    assert SOURCE.headers({}, secrets) == {"X-API-Key": "dsk_1"}
    assert SOURCE.headers({}, Secrets()) == {}


# Refusals and ends -------------------------------------------------------


def refused(status: int, body: object = "", **headers: str) -> Verdict | None:
    reason = body if isinstance(body, str) else json.dumps(body)
    return SOURCE.verdict(Ending(status=status, reason=reason, headers=headers))


def closed(code: int | None, reason: str) -> Verdict | None:
    return SOURCE.verdict(Ending(code=code, reason=reason))


@pytest.mark.parametrize(
    ("status", "words", "is_about_keys"),
    [
        (400, "malformed", False),
        (401, "no key arrived; check CRYPTOLISTING_API_KEY", True),
        (403, "set CRYPTOLISTING_API_KEY to a good one", True),
        (426, "another kind of request", False),
    ],
)
@pytest.mark.parametrize("body", [{"error": "words_of_it"}, "<html>no</html>", ""])
def test_what_only_the_operator_can_mend_stops(
    status: int, words: str, body: object, *, is_about_keys: bool
) -> None:
    told = refused(status, body)

    assert told is not None
    assert told.action == "stop"
    assert f"HTTP {status}" in told.why
    assert words in told.why
    assert told.is_about_keys is is_about_keys
    assert ("words_of_it" in told.why) == isinstance(body, dict)


LIMITS = [
    "connection_rate_limit_exceeded",
    "per_ip_concurrent_limit_reached",
    "per_ip_connection_limit_reached",
    "max_distinct_ips_reached",
    "absolute_connection_cap_reached",
]


@pytest.mark.parametrize(
    ("body", "wait"),
    [
        ({"error": "max_connections_reached", "limit": 5, "current": 5}, None),
        *(({"error": error}, None) for error in LIMITS),
        ({"error": "connection_cooldown", "retry_after_s": 5}, 5.0),
        ({"error": "connection_cooldown", "retry_after_s": 2.5}, 2.5),
        ({"error": "connection_cooldown"}, 5.0),
        ({"error": "connection_cooldown", "retry_after_s": "soon"}, 5.0),
        ({"error": "max_distinct_ips_reached", "retry_after_s": 40}, 40.0),
        ({"error": "x", "retry_after_s": 86_400}, 300.0),
        ('{"error":"x","retry_after_s":1e999}', None),
        ({"error": "x", "retry_after_s": 10**30}, 300.0),
        ({"error": "x", "retry_after_s": 0}, None),
        ({"error": "x", "retry_after_s": -1}, None),
        ({"error": "x", "retry_after_s": True}, None),
        ({"error": ["x"], "retry_after_s": None}, None),
        ([5], None),
        ("Too Many Requests", None),
        ("[" * 4_096, None),
        ("", None),
    ],
)
def test_too_many_is_waited_for_as_long_as_is_said(body: object, wait: float) -> None:
    told = refused(429, body)

    assert told is not None
    assert (told.action, told.wait_seconds) == ("retry", wait)
    assert "429" in told.why


@pytest.mark.parametrize(
    ("header", "wait"),
    [("7", 7.0), ("9" * 5_000, 300.0), ("0", None), ("", None), ("\u0665", None)],
)
def test_a_header_may_say_how_long_to_wait(header: str, wait: float | None) -> None:
    told = refused(429, "busy", **{"retry-after": header})

    assert told is not None
    assert told.wait_seconds == wait


def test_the_body_is_believed_before_the_header() -> None:
    body = {"error": "connection_cooldown", "retry_after_s": 3}

    told = refused(429, body, **{"retry-after": "60"})

    assert told is not None
    assert told.wait_seconds == 3.0


@pytest.mark.parametrize("status", [200, 302, 404, 500, 502, 503])
def test_of_other_answers_the_service_says_nothing(status: int) -> None:
    assert refused(status, {"error": "x", "retry_after_s": 5}) is None


def test_words_of_a_refusal_are_short_and_can_be_printed() -> None:
    told = refused(403, {"error": "\x1b[31m" + "x" * 9_999})

    assert told is not None
    assert told.why.isprintable()
    assert len(told.why) < 300


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("key_expired", "the key has expired"),
        ("key_revoked", "the key was revoked"),
        ("key_invalidated", "the key is not valid any more"),
        ("key_expired: since noon", "the key has expired"),
    ],
)
def test_the_end_of_a_key_stops(reason: str, words: str) -> None:
    told = closed(1000, reason)

    assert told is not None
    assert told.action == "stop"
    assert words in told.why
    assert told.is_about_keys
    assert "set CRYPTOLISTING_API_KEY" in told.why


@pytest.mark.parametrize(
    ("code", "reason", "wait"),
    [
        (1008, "too_slow", 0.0),
        (1008, "rate_limit_exceeded", 60.0),
        (1009, "frame_too_large", None),
        (1009, "", None),
    ],
)
def test_other_documented_ends_are_followed_by_a_connection(
    code: int, reason: str, wait: float | None
) -> None:
    told = closed(code, reason)

    assert told is not None
    assert (told.action, told.wait_seconds) == ("retry", wait)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1000, "bye"),
        (1001, "going away"),
        (1006, ""),
        (1008, "another policy"),
        (1011, "internal_error"),
        # What we say ourselves of a connection is nothing that was received.
        (None, "key_expired"),
    ],
)
def test_of_other_ends_the_service_says_nothing(code: int | None, reason: str) -> None:
    assert closed(code, reason) is None


def test_pauses_are_those_of_the_documents() -> None:
    pauses = SOURCE.backoff

    assert (pauses.first_seconds, pauses.max_seconds, pauses.is_drawn) == (
        1,
        300,
        False,
    )
