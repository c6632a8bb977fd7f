"""A venue that says back what it was told: no row, log or error has a key in it."""

import asyncio
import logging

import aiohttp
import msgspec
import pytest
from aiohttp import web

from recorder.capture.connection import Connection
from recorder.capture.doubles import Doubles
from recorder.capture.handshake import watched_handshakes
from recorder.capture.reactions import RefusedError
from recorder.capture.rest import Budget
from recorder.capture.session import Session
from recorder.clock import SystemClock
from recorder.model import Chain
from recorder.source import HttpRequest, Request, Secrets, Verdict
from recorder.store.ledger import Ledger
from recorder.telemetry import Signal


KEY = "k3y-of-our-account"
SPELLED = "".join(f"\\u{ord(character):04x}" for character in KEY)
CHAINS = (Chain("BTC_USDT", "trades"), Chain("BTC_USDT", "depth:10"))


@pytest.fixture
def session(fake):
    return Session(
        fake,
        {},
        CHAINS,
        run="run",
        clock=SystemClock(),
        ledger=Ledger("job", "run", CHAINS),
        doubles=Doubles(),
        secrets=Secrets({"key": KEY}),
        is_archiving=True,
    )


def said(session: Session, caplog: pytest.LogCaptureFixture) -> str:
    """All that a session wrote down, as one text."""
    flush = session.take(1)
    signals = [getattr(record, "signal", None) for record in caplog.records]
    assert all(isinstance(signal, Signal) for signal in signals)
    return repr((flush, signals, session.refused, [r.args for r in caplog.records]))


@pytest.mark.parametrize("told", [KEY, SPELLED])
@pytest.mark.parametrize(
    "frame",
    [
        '[["what","you are TOLD"]]',
        '[["no",[["BTC_USDT","trades"]],"key TOLD is not valid"]]',
        '[["trade","TOLD",7]]',
        '[["trade","BTC_USDT",7,"TOLD"]]',
        '[["status","TOLD"]]',
        '[["send","TOLD"]]',
        "TOLD",
        '{"TOLD":1}',
    ],
)
def test_no_frame_brings_a_key_into_rows_or_logs(session, caplog, frame, told) -> None:
    caplog.set_level(logging.DEBUG, "recorder")
    link = session.opened("run.0", "ws://x/", CHAINS, 1)

    session.frame(link, 2, frame.replace("TOLD", told).encode(), opcode="text")

    assert not link.outbox or KEY not in repr(link.outbox)
    text = said(session, caplog)
    assert "***" in text
    assert KEY not in text
    assert SPELLED.replace("\\", "\\\\") not in text


def test_no_answer_by_http_brings_a_key_into_rows_or_logs(session, caplog) -> None:
    caplog.set_level(logging.DEBUG, "recorder")
    request = HttpRequest(path="/book")

    session.snapshots.take(CHAINS[1], 0, request, 2, f"no {KEY}".encode())
    session.snapshots.failed(CHAINS[1], f"HTTP 401: {KEY} is not valid")

    text = said(session, caplog)
    assert text.count("***") > 1
    assert KEY not in text


def test_a_frame_with_a_key_is_sent_and_not_kept(session, caplog) -> None:
    link = session.opened("run.0", "ws://x/", CHAINS, 1)

    session.sent(link, Request(payload=b"sign", is_secret=True), 2)
    session.sent(link, Request(payload=b"other"), 2)

    text = said(session, caplog)
    assert "b'sign'" not in text
    assert "b'other'" in text


@pytest.mark.parametrize("status", [None, 403])
async def test_no_end_of_a_connection_brings_a_key_into_rows_or_logs(
    fake, session, serve, caplog, status
) -> None:
    caplog.set_level(logging.DEBUG, "recorder")

    async def refuse(request):
        if status:
            return web.Response(status=status, text=f"who is {KEY}?")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=4001, message=f"who is {KEY}?".encode())
        return socket

    def verdict(ending):
        return Verdict(action="stop", why=f"the venue said: {ending.reason}")

    session.source = msgspec.structs.replace(fake, verdict=verdict)
    address = await serve({"/ws": refuse})
    async with aiohttp.ClientSession(trace_configs=[watched_handshakes()]) as http:
        connection = Connection(
            http,
            f"ws://{address}/ws",
            session,
            CHAINS,
            clock=SystemClock(),
            name=lambda: "run.0",
            connects=Budget(1000),
        )
        async with asyncio.timeout(10):
            with pytest.raises(RefusedError) as caught:
                await connection.run()

    assert str(caught.value) == "the venue said: who is ***?"
    assert "***" in repr(connection.last_failure)
    assert KEY not in said(session, caplog)
