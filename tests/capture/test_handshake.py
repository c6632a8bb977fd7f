"""What is learned from a handshake that is answered with something else."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from recorder.capture import handshake as module
from recorder.capture.handshake import (
    BODY_MAX_BYTES,
    RefusedHandshakeError,
    open_http,
    watched_handshakes,
)


KEY = {"X-Key": "s3cret-of-ours"}


@pytest.fixture
async def refusal():
    """Ask for a WebSocket that is refused; return the refusal."""

    async def refusal(address):
        async with (
            aiohttp.ClientSession(trace_configs=[watched_handshakes()]) as http,
            asyncio.timeout(10),
        ):
            with pytest.raises(RefusedHandshakeError) as caught:
                await http.ws_connect(f"ws://{address}/", headers=KEY)
            return caught.value

    return refusal


@asynccontextmanager
async def speaking(*parts):
    """A server that answers any request with these bytes, and then hangs."""
    over = asyncio.Event()

    async def speak(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()


async def test_status_body_and_headers_are_told(serve, refusal):
    async def refuse(request):
        return web.json_response(
            {"error": "too_many"}, status=429, headers={"Retry-After": "7"}
        )

    told = await refusal(await serve({"/": refuse}))

    assert (told.status, told.ending.status, told.ending.code) == (429, 429, None)
    assert told.ending.reason == '{"error": "too_many"}'
    assert told.ending.headers["retry-after"] == "7"


async def test_an_answer_without_a_body_is_told(serve, refusal):
    async def refuse(request):
        return web.Response(status=403)

    told = await refusal(await serve({"/": refuse}))

    assert (told.status, told.ending.reason) == (403, "")


async def test_a_body_that_does_not_end_is_read_for_a_while_only(refusal, monkeypatch):
    monkeypatch.setattr(module, "BODY_SECONDS", 0.1)
    head = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 999\r\n\r\n"

    async with speaking(head, b'{"error":') as address:
        told = await refusal(address)

    assert (told.status, told.ending.reason) == (429, '{"error":')


async def test_of_a_large_body_only_the_beginning_is_read(refusal):
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 1000000000\r\n\r\n"

    async with speaking(head, *[b"x" * 65_536] * 4) as address:
        told = await refusal(address)

    assert told.ending.reason == "x" * BODY_MAX_BYTES


async def test_of_a_body_that_unpacks_to_much_only_the_beginning_is_read(
    serve, refusal
):
    async def refuse(request):
        packed = gzip.compress(b"y" * 50_000_000)
        return web.Response(
            status=403, body=packed, headers={"Content-Encoding": "gzip"}
        )

    told = await refusal(await serve({"/": refuse}))

    assert told.ending.reason == "y" * BODY_MAX_BYTES


async def test_a_body_that_is_no_text_is_told_as_far_as_it_is(serve, refusal):
    async def refuse(request):
        return web.Response(status=400, body=b"\xff\x00\xfe no text")

    told = await refusal(await serve({"/": refuse}))

    assert told.ending.reason == "\ufffd\x00\ufffd no text"


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"\r\nof no told length",
    ],
)
async def test_a_body_that_is_broken_hides_no_status(refusal, body, monkeypatch):
    monkeypatch.setattr(module, "BODY_SECONDS", 0.1)
    async with speaking(b"HTTP/1.1 429 No\r\n" + body) as address:
        told = await refusal(address)

    assert told.status == 429


async def test_a_redirect_is_told_as_one(serve, refusal):
    async def redirect(request):
        raise web.HTTPFound("http://127.0.0.1:9/")

    told = await refusal(await serve({"/": redirect}))

    assert (told.status, told.ending.reason) == (302, "redirect")


async def test_no_form_of_a_refusal_shows_what_was_sent(serve, refusal):
    async def refuse(request):
        assert request.headers["X-Key"] == KEY["X-Key"]
        return web.Response(status=401, text="no")

    told = await refusal(await serve({"/": refuse}))

    shown = f"{told} {told!r} {vars(told)} {told.args}"
    assert KEY["X-Key"] not in shown
    assert "401" in str(told)


async def test_cookies_are_neither_kept_nor_sent_back(serve):
    asked = []

    async def bake(request):
        asked.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "crumb=1; Path=/"})

    address = await serve({"/": bake})
    async with open_http() as http:
        for _ in range(2):
            await (await http.get(f"http://localhost:{address.split(':')[1]}/")).read()

        assert asked == [None, None]
        assert len(http.cookie_jar) == 0
