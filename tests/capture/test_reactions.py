"""What is done about a connection that failed: decided without a socket."""

import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from recorder.capture.reactions import (
    Reaction,
    backoff_seconds,
    describe,
    pause_seconds,
    reaction,
)
from recorder.source import Backoff, Verdict


def handshake(status):
    return aiohttp.WSServerHandshakeError(None, (), status=status)


@pytest.mark.parametrize(
    ("error", "first"),
    [
        (handshake(301), Reaction.STOP),
        (handshake(400), Reaction.STOP),
        (handshake(403), Reaction.STOP),
        (handshake(404), Reaction.STOP),
        (handshake(408), Reaction.RETRY),
        (handshake(425), Reaction.RETRY),
        (handshake(429), Reaction.RETRY),
        (handshake(200), Reaction.RETRY),
        (handshake(500), Reaction.RETRY),
        (handshake(503), Reaction.RETRY),
        (aiohttp.InvalidURL("x"), Reaction.STOP),
        (UnicodeError("label empty"), Reaction.STOP),
        (aiohttp.ServerDisconnectedError(), Reaction.RETRY),
        (ConnectionResetError(), Reaction.RETRY),
        (TimeoutError(), Reaction.RETRY),
    ],
)
def test_only_what_the_operator_can_mend_stops_and_only_at_first(error, first):
    assert reaction(error, was_connected=False) is first
    assert reaction(error, was_connected=True) is Reaction.RETRY


@pytest.mark.parametrize(
    ("failures", "cap"), [(0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (10**9, 30.0)]
)
def test_the_wait_after_a_failure_is_drawn_from_nothing_to_a_growing_cap(failures, cap):
    usual = Backoff()

    assert backoff_seconds(failures, usual, lambda: 0.0) == 0.0
    assert backoff_seconds(failures, usual, lambda: 0.5) == cap / 2
    assert backoff_seconds(failures, usual, lambda: 0.999) == pytest.approx(cap * 0.999)
    assert 0 <= backoff_seconds(failures, usual) <= cap


def test_where_a_venue_says_how_pauses_grow_none_is_shorter():
    told = Backoff(first_seconds=1.0, max_seconds=300.0, is_drawn=False)

    pauses = [backoff_seconds(failures, told) for failures in range(12)]

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


@pytest.mark.parametrize(
    ("wait", "failures", "pause"),
    [
        (None, 0, 1.0),
        (None, 3, 8.0),
        (60.0, 0, 60.0),
        (60.0, 7, 60.0),
        (0.0, 0, 0.0),
        (-1.0, 0, 0.0),
        # A venue that always says "at once" is not asked without a pause.
        (0.0, 1, 2.0),
        (-1.0, 2, 4.0),
    ],
)
def test_a_stated_wait_is_kept_and_else_pauses_grow(wait, failures, pause):
    told = Backoff(first_seconds=1.0, max_seconds=300.0, is_drawn=False)
    verdict = Verdict(action="retry", why="It says so.", wait_seconds=wait)

    assert pause_seconds(verdict, failures, told) == pause
    assert pause_seconds(None, failures, told) == 2.0**failures


def test_another_failure_of_tls_is_told_in_its_own_words():
    error = ssl.SSLError(1, "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert")
    key = SimpleNamespace(host="x", port=1, ssl=True)

    words = describe(aiohttp.ClientConnectorSSLError(key, error), "wss://x/")

    assert words.startswith("cannot connect to wss://x/: TLS failed: ")
    assert "sslv3 alert" in words
    assert "Operation not permitted" not in words


def test_an_error_without_words_is_described_by_its_name():
    assert (
        describe(ConnectionResetError(), "ws://x/")
        == "ws://x/ failed: ConnectionResetError"
    )
    assert describe(OSError("no route"), "ws://x/") == "ws://x/ failed: no route"
