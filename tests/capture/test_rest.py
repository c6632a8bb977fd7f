"""HTTP calls: budget, bounds, and what is said when they fail."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from recorder.capture import rest as module
from recorder.capture.rest import (
    DEFAULT_WAIT_SECONDS,
    Budget,
    RestClient,
    fetch_once,
    without_secrets,
)
from recorder.clock import wall_ns
from recorder.errors import ThrottledError, TransportError
from recorder.source import HttpRequest


ASK = HttpRequest(
    path="/book", query=(("m", "A B"), ("m", "C")), headers=(("X-A", "1"),)
)


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
def client_of(http, serve):
    """Make a client of a server with one handler."""

    async def client_of(handler, *, budget=None, **options) -> RestClient:
        address = await serve({"/api/book": handler})
        budget = budget or Budget(1000)
        return RestClient(http, f"http://{address}/api/", budget, **options)

    return client_of


async def test_a_call_carries_query_and_headers_and_returns_the_body(client_of):
    async def answer(request):
        said = [*request.query.getall("m"), request.headers["X-A"]]
        return web.Response(text=",".join(said))

    client = await client_of(answer)

    assert await client.get(ASK) == b"A B,C,1"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "99999"}, 300.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, DEFAULT_WAIT_SECONDS),
        ({}, DEFAULT_WAIT_SECONDS),
    ],
)
async def test_a_429_says_how_long_to_wait(client_of, headers, seconds):
    async def answer(request):
        return web.Response(status=429, headers=headers)

    client = await client_of(answer)

    with pytest.raises(ThrottledError) as caught:
        await client.get(ASK)
    assert caught.value.retry_after_seconds == seconds


async def test_a_429_may_say_when_the_venue_answers_again(client_of):
    async def answer(request):
        at = int(wall_ns() // 1_000_000_000) + 5
        return web.Response(status=429, headers={"X-Reset": str(at)})

    client = await client_of(answer, reset_header="X-Reset")

    with pytest.raises(ThrottledError) as caught:
        await client.get(ASK)
    assert 3.5 < caught.value.retry_after_seconds <= 5


async def test_a_429_holds_back_the_calls_that_wait_already(client_of):
    times = []

    async def answer(request):
        times.append(asyncio.get_running_loop().time())
        if len(times) == 1:
            await asyncio.sleep(0.3)
            return web.Response(status=429, headers={"Retry-After": "1"})
        return web.Response(text="fine")

    client = await client_of(answer, budget=Budget(1.0))

    async def second():
        await asyncio.sleep(0.1)  # waits for its turn when the pause begins
        return await client.get(ASK)

    waiting = asyncio.create_task(client.get(HttpRequest(path="/book")))
    other = asyncio.create_task(second())
    with pytest.raises(ThrottledError):
        await waiting
    assert await other == b"fine"
    assert times[1] - times[0] >= 1.29


async def test_other_answers_than_200_are_failures_with_the_venues_words(client_of):
    async def answer(request):
        return web.Response(status=502, text="bad gateway " + "x" * 500)

    client = await client_of(answer)

    with pytest.raises(
        TransportError, match=r"/api/book answered HTTP 502: bad g"
    ) as e:
        await client.get(ASK)
    assert len(str(e.value)) < 300


async def test_a_redirect_is_not_followed(client_of):
    async def answer(request):
        raise web.HTTPFound("/api/elsewhere")

    client = await client_of(answer)

    with pytest.raises(TransportError, match="answered HTTP 302"):
        await client.get(ASK)


async def test_a_body_that_is_too_large_is_not_read_to_its_end(client_of, monkeypatch):
    monkeypatch.setattr(module, "BODY_MAX_BYTES", 100_000)
    sent = []

    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):  # the client went away
            for _ in range(10_000):
                await response.write(b"x" * 10_000)
                sent.append(10_000)
        return response

    client = await client_of(answer)

    with pytest.raises(TransportError, match="larger than 100000 bytes"):
        await client.get(ASK)
    assert sum(sent) < 50_000_000


async def test_a_server_that_does_not_answer_is_given_up(client_of):
    async def answer(request):
        await asyncio.sleep(5)

    client = await client_of(answer, timeout_seconds=0.1)

    with pytest.raises(TransportError, match="did not answer in time"):
        await client.get(ASK)


async def test_a_server_that_vanishes_in_the_middle_is_a_failure(client_of):
    async def answer(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"some")
        request.transport.abort()
        return response

    client = await client_of(answer)

    with pytest.raises(TransportError, match="/api/book sent an answer that is broken"):
        await client.get(ASK)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "answered with something that is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "something that is not HTTP"),
        (b"", "closed the connection instead of answering"),
        (
            (
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                b"Content-Length: 5\r\n\r\nhello"
            ),
            "sent an answer that is broken off or garbled",
        ),
        (
            b"HTTP/1.1 500 No\r\nContent-Length: 12\r\n\r\n<b>\x1b[31m\r\nno",
            "answered HTTP 500: <b>?[31m no",
        ),
        (b"HTTP/1.1 302 No\r\nContent-Length: 0\r\n\r\n", "answered HTTP 302"),
    ],
)
async def test_what_is_no_answer_is_said_in_plain_words(said, words):
    async def speak(reader, writer):
        await reader.readline()
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError) as caught:
            await fetch_once(f"http://127.0.0.1:{port}", ASK)

    assert str(caught.value).endswith(words)


async def test_a_refused_connection_is_a_failure_without_a_password(unused_port):
    with pytest.raises(TransportError, match="Connection refused") as caught:
        await fetch_once(f"http://user:secret@127.0.0.1:{unused_port}", ASK)
    assert "secret" not in str(caught.value)


async def test_an_address_that_is_none_is_a_failure():
    with pytest.raises(TransportError, match="is not an address"):
        await fetch_once("http://a..b", ASK)


async def test_one_call_needs_no_session(serve):
    async def answer(request):
        return web.Response(body=b"\x00\xff")

    address = await serve({"/book": answer})

    assert await fetch_once(f"http://{address}", ASK) == b"\x00\xff"


# The budget


async def spent(budget, calls):
    """Return when each call was allowed, seconds after the first."""
    loop = asyncio.get_running_loop()
    start, times = loop.time(), []
    for _ in range(calls):
        await budget.take()
        times.append(loop.time() - start)
    return times


async def test_calls_beyond_a_burst_are_paced():
    times = await spent(Budget(20), 24)

    assert times[19] < 0.5
    assert [time >= (n + 1) / 20 - 0.002 for n, time in enumerate(times[20:])] == [
        True
    ] * 4
    assert times[23] < 0.9


async def test_a_slow_budget_allows_one_call_at_once():
    times = await spent(Budget(4), 5)

    assert times[3] < 0.2
    assert 0.24 <= times[4] < 0.8
    assert (await spent(Budget(0.5), 1))[0] < 0.5


async def test_a_budget_without_bursts_keeps_calls_evenly_apart():
    times = await spent(Budget(40, burst=1), 6)

    assert times[0] < 0.02
    assert [at >= n / 40 - 0.002 for n, at in enumerate(times)] == [True] * 6


async def test_a_budget_tells_how_long_the_next_call_has_to_wait():
    budget, loop = Budget(0.01, burst=1), asyncio.get_running_loop()
    now = loop.time()

    assert budget.wait_seconds(now) <= 0
    await budget.take()
    assert 99 < budget.wait_seconds(loop.time()) <= 100
    budget.pause(200)
    assert budget.wait_seconds(loop.time()) > 199


async def test_a_pause_allows_no_call_before_its_end():
    budget = Budget(1000)
    budget.pause(0.2)
    budget.pause(0.1)

    times = await spent(budget, 2)

    assert times[0] >= 0.199


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://api.example/ws/v4/", "wss://api.example/ws/v4/"),
        ("ws://me:pass@127.0.0.1:80/x?token=1#y", "ws://127.0.0.1:80/x"),
        ("ws://host?key=a/b@c", "ws://host"),
        ("nonsense", "nonsense"),
    ],
)
def test_an_address_is_shown_without_secrets(url, shown):
    assert without_secrets(url) == shown
