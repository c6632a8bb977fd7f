"""Probes over real sockets: what is wrong with a venue is in the report."""

import asyncio

import pytest
from aiohttp import web

from recorder.clock import SystemClock, wall_ns
from recorder.probe.choice import choose
from recorder.probe.report import Finding
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.sources import _gate_spot_wire as wire


SPOT = ("trades", "depth", "klines:10s", "tickers", "bbo")


def place(exchange):
    return {"ws_url": exchange.ws_url_spot, "rest_url": exchange.rest_url}


def settings(*faults, **changes):
    return Settings(
        seed=5,
        rate=60.0,
        ticker_seconds=0.25,
        kline_seconds=0.25,
        faults=tuple(parse(fault) for fault in faults),
        **changes,
    )


def by_stream(report):
    return {(stream.stream, stream.market): stream for stream in report.streams}


def is_lively(report):
    """Every stream has rows and every book is known, and answers came."""
    return report.clock.answers >= 5 and all(
        stream.rows > 2 and stream.book in {"known", None} for stream in report.streams
    )


async def test_a_venue_that_works_is_good_and_all_of_it_is_told(look):
    async with Exchange(settings()) as exchange:
        report = await look(until=is_lively, streams=SPOT, **place(exchange))
        sent = exchange.truth.trades_of("BTC_USDT")

    assert (report.outcome, report.findings) == ("good", ())
    streams = by_stream(report)
    assert [name for name, _ in streams] == [
        "trades",
        "depth:100ms",
        "klines:10s",
        "tickers",
        "bbo",
    ]
    assert {stream.answer for stream in report.streams} == {"accepted"}
    trades = streams["trades", "BTC_USDT"]
    assert trades.sequence == "whole"
    assert trades.frames == trades.rows <= len(sent)
    depth = streams["depth:100ms", "BTC_USDT"]
    assert (depth.sequence, depth.book, depth.crossings) == ("whole", "known", 0)
    assert depth.last_update_id > depth.first_update_id
    assert depth.snapshots >= 1
    assert depth.book_seconds < report.seconds
    clock = report.clock
    assert -0.5 < clock.at_least_seconds <= 0 <= clock.at_most_seconds < 0.5
    assert clock.pushes >= trades.rows
    (life,) = report.connections
    assert (life.ended, life.close_code, life.frames) == (None, None, report.frames)
    assert report.frames_searched == report.frames


async def test_a_feed_without_ids_has_books_and_no_sequence(look):
    async with Exchange(settings(v3_batch_seconds=0.2)) as exchange:
        report = await look(
            "gate_v3",
            until=lambda report: all(
                stream.rows > stream.history and stream.book in {"known", None}
                for stream in report.streams
            ),
            streams=("trades", "depth"),
            ws_url=exchange.ws_url_v3,
            rest_url=exchange.rest_url,
        )

    assert (report.outcome, report.findings) == ("good", ())
    trades, depth = report.streams
    assert (depth.sequence, depth.book, depth.last_update_id) == (
        "unnumbered",
        "known",
        None,
    )
    assert (trades.sequence, trades.history) == (None, 100)
    assert report.rest_url is None


async def test_what_is_wrong_with_the_streams_is_named(look, found, text_of):
    orders = (
        "drop:stream=depth,market=BTC_USDT,at=1",
        "silent_ack:stream=trades,market=ETH_USDT",
        "malformed:stream=tickers,at=0.5",
    )
    wanted = {"sequence_gap", "silent", "undecodable_frame", "refused"}

    async with Exchange(settings(*orders)) as exchange:
        report = await look(
            until=found(*wanted),
            markets=("BTC_USDT", "ETH_USDT", "NOPE_USDT"),
            streams=("trades", "depth", "tickers"),
            **place(exchange),
        )
        (dropped,) = [f for f in exchange.truth.faults if f.name == "drop"]

    assert report.outcome == "amiss"
    assert {f.kind for f in report.findings} >= wanted
    streams = by_stream(report)
    (words,) = streams["depth:100ms", "BTC_USDT"].missing
    first, last = dropped.first_update_id, dropped.last_update_id
    assert words == f"{last - first + 1} between {first - 1} and {last + 1}"
    assert text_of(report, "sequence_gap") == (
        f"depth:100ms of BTC_USDT: the sequence is broken, missing are {words}"
    )
    assert streams["depth:100ms", "BTC_USDT"].sequence == "broken"
    assert streams["depth:100ms", "ETH_USDT"].sequence == "whole"
    refused = [stream for stream in report.streams if stream.answer == "refused"]
    assert [stream.market for stream in refused] == ["NOPE_USDT"] * 3
    assert all("NOPE_USDT" in stream.words for stream in refused)
    assert text_of(report, "silent").startswith(
        "trades of ETH_USDT: accepted, but nothing came in "
    )
    (kept,) = report.kept
    assert (kept.reason, kept.frames) == ("undecodable", 1)
    assert '"spot.tickers"' in kept.excerpt
    assert kept.excerpt in text_of(report, "undecodable_frame")


async def test_keys_that_the_feed_does_not_know_are_named(
    look, found, text_of, monkeypatch
):
    known = wire.KNOWN["spot.tickers"]
    less = {key: value for key, value in known.items() if key != "high_24h"}
    monkeypatch.setitem(wire.KNOWN, "spot.tickers", less)

    async with Exchange(settings()) as exchange:
        report = await look(
            until=found("unknown_key"), streams=("tickers",), **place(exchange)
        )

    assert report.outcome == "good"
    (key,) = report.unknown_keys
    assert (key.key, key.frames) == ("result.high_24h", report.streams[0].frames)
    text = text_of(report, "unknown_key")
    assert text.startswith("Key result.high_24h is not known")
    assert '"high_24h"' in text


def shifted(seconds):
    """Return the clock of a machine that is set wrong, so far ahead."""
    return SystemClock(wall=lambda: wall_ns() + int(seconds * 1_000_000_000))


@pytest.mark.parametrize(
    ("ahead", "words"), [(3.0, "is behind ours (-"), (-3.0, "is ahead of ours (+")]
)
async def test_a_clock_that_is_off_is_named(look, found, text_of, ahead, words):
    async with Exchange(settings()) as exchange:
        report = await look(
            until=lambda report: report.clock.answers,
            clock=shifted(ahead),
            streams=("trades",),
            **place(exchange),
        )

    assert report.outcome == "amiss"
    clock = report.clock
    assert clock.at_least_seconds <= -ahead <= clock.at_most_seconds
    assert clock.at_most_seconds - clock.at_least_seconds < 2
    assert text_of(report, "clock").startswith(f"The venue's clock {words}")


async def test_a_clock_of_which_only_pushes_tell_is_named_with_doubt(
    look, found, text_of
):
    async with Exchange(settings()) as exchange:
        report = await look(
            "gate_v3",
            until=lambda report: report.clock.pushes >= 5,
            clock=shifted(3.0),
            streams=("trades",),
            ws_url=exchange.ws_url_v3,
        )

    assert report.clock.at_most_seconds is None
    assert "seems to be behind ours, or its pushes take long" in text_of(
        report, "clock"
    )


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "It wants a key, or another one"),
        (403, "It does not serve this machine"),
        (404, "Nothing is at this path"),
        (429, "Too many connections come from here"),
        (503, "Its servers are out of order"),
    ],
)
async def test_a_refused_handshake_is_explained(
    look, serve, text_of, with_secret, status, hint
):
    async def refuse(_request):
        return web.Response(status=status, text="go away, dsk_123\nat once")

    host = await serve({"/": refuse})
    choice = await choose(
        "gate_spot", markets=("X_Y",), streams=("trades",), ws_url=f"ws://{host}/"
    )

    report = await look(
        plan=with_secret(choice.plan, "dsk_123"), until=lambda report: False
    )

    assert report.outcome == "failed"
    assert report.status == status
    text = text_of(report, "handshake_refused")
    assert f"HTTP {status}" in text
    assert "Its words: go away, *** at once" in text
    assert hint in text
    assert "dsk_123" not in repr(report)
    assert [stream.answer for stream in report.streams] == ["unanswered"]


async def test_a_redirect_is_not_followed_and_named(look, serve, text_of):
    async def elsewhere(_request):
        return web.Response(status=302, headers={"Location": "/there"})

    host = await serve({"/": elsewhere})

    report = await look(
        until=lambda report: False,
        markets=("X_Y",),
        streams=("trades",),
        ws_url=f"ws://{host}/",
    )

    assert "It sends elsewhere" in text_of(report, "handshake_refused")


async def test_nobody_listening_is_told_at_once(look, unused_port, text_of):
    report = await look(
        until=lambda report: False,
        markets=("X_Y",),
        streams=("trades",),
        ws_url=f"ws://127.0.0.1:{unused_port}/",
    )

    assert report.outcome == "failed"
    assert report.connections == ()
    assert "Connection refused" in text_of(report, "unreachable")
    assert report.seconds < 30


async def test_a_stranger_that_answers_nothing_is_named(look, serve, text_of):
    async def ignore(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str('{"channel": "chat", "event": "hello"}')
        async for _message in socket:
            pass
        return socket

    host = await serve({"/": ignore})

    report = await look(
        until=lambda report: report.frames,
        markets=("X_Y",),
        streams=("trades",),
        ws_url=f"ws://{host}/",
    )

    assert report.outcome == "failed"
    assert text_of(report, "unanswered") == (
        "trades of X_Y: asked for and not answered; check that --ws-url is an "
        "address of it"
    )
    assert "of a kind not known" in text_of(report, "unknown_frame")
    assert "hello" in text_of(report, "unknown_frame")


async def test_all_refused_fails_and_ends_at_once(look):
    async with Exchange(settings()) as exchange:
        report = await look(
            until=lambda report: False,
            markets=("NOPE_USDT",),
            streams=("trades", "depth"),
            **place(exchange),
        )

    assert report.outcome == "failed"
    assert [f.kind for f in report.findings] == ["refused", "refused"]


async def test_a_lost_connection_and_what_was_said_before_are_named(
    look, found, text_of
):
    orders = ("upgrade:at=0.3,seconds=0.3",)

    async with Exchange(settings(*orders)) as exchange:
        report = await look(
            until=found("upgrade", "connection_lost"),
            streams=("trades",),
            **place(exchange),
        )

    assert "closed for a service upgrade" in text_of(report, "upgrade")
    assert report.outcome == "amiss"
    assert text_of(report, "connection_lost").startswith("Connection probe.0 ended")


async def test_a_book_without_a_snapshot_is_named_with_its_reason(look, found, text_of):
    orders = ("http_502:market=BTC_USDT,probability=1",)

    async with Exchange(settings(*orders)) as exchange:
        report = await look(
            until=found("snapshot_failed", "book_not_known"),
            markets=("BTC_USDT",),
            streams=("depth",),
            **place(exchange),
        )

    assert report.outcome == "amiss"
    assert "answered HTTP 502" in text_of(report, "snapshot_failed")
    assert text_of(report, "book_not_known") == (
        "depth:100ms of BTC_USDT: the order book was never known: no snapshot came"
    )


async def test_a_crossed_book_is_named(look, found, text_of):
    orders = ("crossed:market=BTC_USDT,at=1",)

    async with Exchange(settings(*orders)) as exchange:
        report = await look(
            until=found("crossed"),
            markets=("BTC_USDT",),
            streams=("depth",),
            **place(exchange),
        )

    assert text_of(report, "crossed") == (
        "depth:100ms of BTC_USDT: the order book was crossed once"
    )


async def test_the_time_ends_a_probe(look):
    async with Exchange(settings()) as exchange:
        choice = await choose("gate_spot", streams=("trades",), **place(exchange))
        from recorder.probe.run import Probe

        report = await asyncio.wait_for(Probe(choice.plan, 0.5).run(), 60)

    assert 0.5 <= report.seconds < 30
    assert all(isinstance(finding, Finding) for finding in report.findings)
