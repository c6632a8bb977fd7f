"""Asking a venue over one connection: real sockets, and everything that goes wrong."""

import asyncio
import json  # noqa: TID251 - the other end must not share the recorder's decoder
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from recorder.capture.questions import open_questions
from recorder.errors import (
    QuestionRefusedError,
    SourceError,
    TransportError,
    WireError,
)
from recorder.model import Trade
from recorder.source import Denied, Query, Secrets, Source, Told, Verdict


KEY = "k3y-of-our-account"


def _ask(number: int, market: str, values: Any) -> bytes:
    return msgspec.json.encode([number, market, values])


def _answer(number: int, market: str, values: Any, payload: bytes) -> Any:
    try:
        frame = msgspec.json.decode(payload)
    except msgspec.DecodeError as error:
        raise WireError("no JSON") from error
    match frame:
        case [answered, "no", reason] if answered == number:
            return Denied(reason=reason, is_trouble=False)
        case [answered, "later", reason] if answered == number:
            return Denied(reason=reason, is_trouble=True)
        case [answered, *ids] if answered == number:
            events = [
                Trade(
                    market=market,
                    ts_event=None,
                    trade_id=i,
                    side="buy",
                    price="1",
                    amount="2",
                )
                for i in ids
            ]
            return Told(events=tuple(events))
    return None


QUERY = Query(
    name="trades",
    doc="Trades.",
    table="trades",
    columns=("trade_id",),
    ask=_ask,
    answer=_answer,
)


@pytest.fixture
def asking(fake: Source, serve):
    """Serve something, and ask it; returns the ids of the trades."""

    async def asking(
        handler: Callable[..., Any],
        *markets: str,
        source: Source = fake,
        timeout_seconds: float = 20.0,
    ) -> list[list[int | None]]:
        address = await serve({"/ws": handler})
        async with open_questions(
            source,
            f"ws://{address}/ws?{KEY}",
            options={},
            secrets=Secrets({"key": KEY}),
            timeout_seconds=timeout_seconds,
        ) as questions:
            answers = [
                await questions.ask(QUERY, market, {"limit": 3})
                for market in markets or ("A_B",)
            ]
        assert all(a.ts_recv < b.ts_recv for a, b in pairwise(answers))
        return [[event.trade_id for event in answer.events] for answer in answers]

    return asking


def venue(
    *answers: Callable[[int], str | bytes | None], heard: list[Any] | None = None
):
    """A handler whose answers to the n-th question are made of its number."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            if heard is not None:
                heard.append(asked)
            for answer in answers:
                text = answer(asked[0])
                if isinstance(text, bytes):
                    await socket.send_bytes(text)
                elif text is not None:
                    await socket.send_str(text)
        return socket

    return handler


async def test_several_questions_go_over_one_connection_in_their_order(asking) -> None:
    heard: list[Any] = []
    connections: list[web.Request] = []
    handler = venue(lambda n: json.dumps([n, n * 10, n * 10 + 1]), heard=heard)

    async def counted(request: web.Request) -> web.WebSocketResponse:
        connections.append(request)
        return await handler(request)

    told = await asking(counted, "A_B", "C_D", "A_B")

    assert told == [[10, 11], [20, 21], [30, 31]]
    assert heard == [
        [1, "A_B", {"limit": 3}],
        [2, "C_D", {"limit": 3}],
        [3, "A_B", {"limit": 3}],
    ]
    assert len(connections) == 1


async def test_what_is_no_answer_is_passed_over_and_bytes_are_as_good_as_text(
    asking,
) -> None:
    told = await asking(
        venue(
            lambda _: '["a push"]',
            lambda n: json.dumps([n - 1, 7]),
            lambda n: json.dumps([n, 8]).encode(),
        ),
        "A_B",
        "C_D",
    )

    assert told == [[8], [8]]


async def test_an_answer_without_rows_is_an_answer(asking) -> None:
    assert await asking(venue(lambda n: json.dumps([n]))) == [[]]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            lambda n: json.dumps([n, "no", f"who is {KEY}?"]),
            QuestionRefusedError,
            "fake refused to tell trades of A_B: who is ***?",
        ),
        (
            lambda n: json.dumps([n, "later", "service timeout"]),
            TransportError,
            "fake cannot tell trades of A_B now: service timeout; ask again in a while",
        ),
        (
            lambda _: "hello",
            SourceError,
            "answers about trades of A_B is no answer of fake (no JSON); check --ws-url",
        ),
    ],
)
async def test_what_a_venue_says_instead_is_told_in_plain_words(
    asking, fake, answer, kind, words
) -> None:
    source = msgspec.structs.replace(fake, market_list=None)

    with pytest.raises(kind) as caught:
        await asking(venue(answer), source=source)

    assert words in str(caught.value)
    assert KEY not in str(caught.value)


async def test_where_markets_are_listed_a_refusal_says_so(asking, fake) -> None:
    source = msgspec.structs.replace(fake, market_list=object())  # type: ignore[arg-type]

    with pytest.raises(QuestionRefusedError, match="`recorder markets fake` lists"):
        await asking(venue(lambda n: json.dumps([n, "no", "x"])), source=source)


async def test_a_venue_that_says_nothing_is_not_waited_for_for_ever(asking) -> None:
    with pytest.raises(TransportError) as caught:
        await asking(venue(lambda _: '["a push"]'), timeout_seconds=0.2)

    assert "/ws did not answer about trades of A_B within 0.2 s" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (None, "code 4001, no *** here"),
        (Verdict(action="stop", why="the key is over"), "the key is over"),
    ],
)
async def test_a_connection_that_is_closed_says_why(
    asking, fake, verdict, words
) -> None:
    async def close(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.close(code=4001, message=f"no {KEY} here".encode())
        return socket

    source = msgspec.structs.replace(fake, verdict=lambda _: verdict)

    with pytest.raises(TransportError) as caught:
        await asking(close, source=source)

    text = str(caught.value)
    assert text.endswith(f"instead of answering about trades of A_B: {words}")
    assert KEY not in text


async def test_a_peer_that_vanishes_says_nothing(asking) -> None:
    async def vanish(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        assert request.transport is not None
        request.transport.abort()
        return socket

    with pytest.raises(TransportError, match="the peer vanished without closing"):
        await asking(vanish)


async def test_a_second_question_to_a_peer_that_went_is_an_error(asking) -> None:
    async def once(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str("[1]")
        await socket.close()
        return socket

    with pytest.raises(TransportError, match="trades of C_D"):
        await asking(once, "A_B", "C_D")


async def test_a_socket_that_takes_no_question_is_gone(fake, serve) -> None:
    address = await serve({"/ws": venue(lambda n: json.dumps([n]))})
    async with open_questions(fake, f"ws://{address}/ws", options={}) as questions:

        async def send_frame(*_: object) -> None:
            raise aiohttp.ClientConnectionResetError("closing")

        questions._socket.send_frame = send_frame  # type: ignore[method-assign]
        with pytest.raises(TransportError, match="/ws was gone before it was asked"):
            await questions.ask(QUERY, "A_B", {})


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (None, "answered the WebSocket request with HTTP 403; check --ws-url"),
        (lambda e: Verdict(action="stop", why=f"it says {e.reason}"), "it says no ***"),
    ],
)
async def test_a_handshake_that_is_refused_says_why(
    asking, fake, verdict, words
) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=403, text=f"no {KEY}")

    source = fake
    if verdict is not None:
        source = msgspec.structs.replace(fake, verdict=verdict)

    with pytest.raises(TransportError) as caught:
        await asking(refuse, source=source)

    assert words in str(caught.value)
    assert KEY not in str(caught.value)


async def test_a_handshake_is_not_waited_for_for_ever(asking) -> None:
    over = asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    with pytest.raises(TransportError, match=r"did not answer within 0.2 s; check"):
        await asking(wait, timeout_seconds=0.2)
    over.set()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://127.0.0.1:{port}/", "cannot connect to ws://127.0.0.1:{port}/: "),
        ("ws://a..b/", "is not an address"),
    ],
)
async def test_who_cannot_be_reached_is_told(fake, unused_port, url, words) -> None:
    with pytest.raises(TransportError) as caught:
        async with open_questions(fake, url.format(port=unused_port), options={}):
            pass

    assert words.format(port=unused_port) in str(caught.value)


async def test_headers_of_the_feed_go_with_the_handshake(asking, fake) -> None:
    seen: list[str | None] = []
    handler = venue(lambda n: json.dumps([n]))

    async def note(request: web.Request) -> web.WebSocketResponse:
        seen.append(request.headers.get("X-Key"))
        return await handler(request)

    source = msgspec.structs.replace(
        fake, headers=lambda _options, secrets: {"X-Key": secrets["key"]}
    )
    await asking(note, source=source)

    assert seen == [KEY]
