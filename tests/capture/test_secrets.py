"""Keys that a venue repeats: wherever it says them, they are not stored."""

import logging

import msgspec
import pytest

from recorder.capture.doubles import Doubles
from recorder.capture.session import Session
from recorder.model import Chain
from recorder.source import Secrets
from recorder.store.ledger import Ledger


KEY = "dsk_0123456789abcdef"
CHAIN = Chain("BTC_USDT", "trades")


@pytest.fixture
def session(fake, make_clock):
    return Session(
        fake,
        {},
        [CHAIN],
        run="run",
        clock=make_clock(10**18),
        ledger=Ledger("job", "run", [CHAIN]),
        doubles=Doubles(),
        secrets=Secrets({"key": KEY}),
        is_archiving=True,
    )


def stored(session):
    """Everything that is to be written, by table."""
    rows = session.take(10**18).rows
    return {name: [row[4] for row in part] for (name, _), part in rows.items()}


def test_a_key_in_a_frame_is_blotted_out_of_rows_frames_and_logs(session, caplog):
    caplog.set_level(logging.DEBUG, logger="recorder")
    link = session.opened("run.0", "ws://x/", [CHAIN], 1)
    for number, payload in enumerate(
        (
            msgspec.json.encode([["ok", [CHAIN]], ["status", f"welcome {KEY}"]]),
            msgspec.json.encode([["what", f"is {KEY}"]]),
            f"[broken {KEY}".encode(),
        )
    ):
        session.frame(link, 10**18 + number, payload, opcode="binary")

    session.closed(link, 10**18 + 9, 1000, f"expired: {KEY}")
    session.tick(10**18 + 10)
    tables = stored(session)

    assert tables["status"][0].payload == "welcome ***"
    assert [kept.reason for kept in tables["frames"]] == [
        "archive",
        "unknown",
        "undecodable",
    ]
    assert all(b"***" in kept.payload for kept in tables["frames"])
    assert tables["connections"][0].close_reason == "expired: ***"
    assert KEY not in repr(tables)
    assert KEY not in repr([vars(record) for record in caplog.records])


def test_the_size_of_what_came_is_that_of_what_was_sent(session):
    link = session.opened("run.0", "ws://x/", [CHAIN], 1)
    payload = msgspec.json.encode([["status", KEY]])

    session.frame(link, 10**18, payload, opcode="text")
    session.closed(link, 10**18 + 1, None, None)

    assert stored(session)["connections"][0].bytes == len(payload)
