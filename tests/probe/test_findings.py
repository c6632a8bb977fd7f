"""What a report comes to, by the report alone."""

import msgspec
import pytest

from recorder.probe.findings import clock_words, judge, span
from recorder.probe.report import (
    ClockReport,
    ConnectionReport,
    KeptReport,
    ProbeReport,
    SaidReport,
    StreamReport,
)


def stream(**facts):
    return StreamReport(
        **{
            "stream": "trades",
            "market": "A_B",
            "answer": "accepted",
            "frames": 5,
            "rows": 9,
            **facts,
        }
    )


def report(*streams, **facts):
    return ProbeReport(
        **{
            "source": "fake",
            "ws_url": "ws://venue.example",
            "rest_url": None,
            "started_at": 0,
            "seconds": 30.0,
            "was_connected": True,
            "outcome": "good",
            "findings": (),
            "connections": (),
            "streams": streams or (stream(),),
            "clock": ClockReport(),
            "unknown_keys": (),
            "kept": (),
            "said": (),
            **facts,
        }
    )


def judged(*streams, **facts):
    outcome, findings = judge(report(*streams, **facts))
    return outcome, [(f.kind, f.text) for f in findings]


def test_nothing_amiss_is_good():
    assert judged() == ("good", [])


@pytest.mark.parametrize(
    ("others", "aside"),
    [
        ((), None),
        ((stream(market="C_D"),), ""),
        (
            (stream(stream="bbo", rows=7),),
            ", while 7 rows of other streams of it did",
        ),
    ],
)
def test_silence_is_a_remark_unless_all_is_silent(others, aside):
    silent = stream(rows=100, history=100)

    outcome, found = judged(silent, *others)

    if aside is None:
        assert outcome == "amiss"
        assert found[0][0] == "nothing_came"
        return
    assert outcome == "good"
    assert found == [
        (
            "silent",
            (
                f"trades of A_B: accepted, but nothing came in 30 s{aside}. That may be "
                "a quiet time, or a stream that does not work; probe longer to tell"
            ),
        )
    ]


def test_silence_is_usual_for_a_stream_without_markets():
    outcome, found = judged(stream(stream="status", market=None, rows=0))

    assert outcome == "good"
    assert found == [
        (
            "silent",
            (
                "status: accepted, but nothing came in 30 s, as is usual where there is "
                "seldom something to tell"
            ),
        )
    ]


def test_the_gravest_come_first():
    outcome, found = judged(
        stream(rows=0),
        stream(stream="bbo"),
        stream(stream="depth:1", answer="refused", words="no such level"),
        stream(stream="depth:2", answer="unanswered"),
    )

    assert outcome == "amiss"
    assert [kind for kind, _ in found] == ["refused", "unanswered", "silent"]
    assert found[0][1] == (
        "depth:1 of A_B: refused, in the venue's words: no such level"
    )
    assert found[1][1] == "depth:2 of A_B: asked for and not answered"


def test_keys_that_are_not_accepted_fail_whatever_else_works():
    outcome, found = judged(
        stream(),
        stream(
            stream="orders", answer="refused", words="bad signature", is_about_keys=True
        ),
    )

    assert outcome == "failed"
    assert found == [
        (
            "keys_refused",
            (
                "orders of A_B: refused because of the keys, in the venue's words: bad "
                "signature; check the environment variables that `recorder capture "
                "--help` names"
            ),
        )
    ]


def test_breaks_beyond_three_are_counted():
    missing = tuple(f"1 between {n} and {n + 2}" for n in range(5))

    _, found = judged(stream(missing=missing))

    assert found == [
        (
            "sequence_gap",
            (
                "trades of A_B: the sequence is broken, missing are 1 between 0 and 2; "
                "1 between 1 and 3; 1 between 2 and 4; and 2 more"
            ),
        )
    ]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "never known: no snapshot came"),
        (
            {"snapshots": 4},
            "never known: 4 snapshots came by HTTP, and none fitted the updates",
        ),
        ({"book_seconds": 0.4, "snapshots": 1}, "known, and not any more at the end"),
    ],
)
def test_a_book_that_is_not_known_is_told_with_a_reason(facts, words):
    outcome, found = judged(stream(book="not known", **facts))

    assert outcome == "amiss"
    assert found == [("book_not_known", f"trades of A_B: the order book was {words}")]


def test_other_gaps_crossings_and_ends_are_amiss():
    life = ConnectionReport(
        conn="probe.0", open_seconds=3.21, frames=4, bytes=5, ended="gone"
    )
    coded = msgspec.structs.replace(life, conn="probe.1", close_code=1001)
    whole = msgspec.structs.replace(life, ended=None)

    outcome, found = judged(
        stream(gaps=("stale_stream: tickers changed",), crossings=2),
        connections=(life, coded, whole),
        attempts=("HTTP 502",),
        snapshot_failures=("HTTP 429 (3 times)",),
    )

    assert outcome == "amiss"
    assert found == [
        ("connect_failed", "A connection could not be made, or not be kept: HTTP 502"),
        ("connection_lost", "Connection probe.0 ended after 3.2 s: gone"),
        (
            "connection_lost",
            "Connection probe.1 ended after 3.2 s with code 1001: gone",
        ),
        ("gap", "trades of A_B: stale_stream: tickers changed"),
        ("crossed", "trades of A_B: the order book was crossed 2 times"),
        ("snapshot_failed", "A book snapshot could not be had: HTTP 429 (3 times)"),
    ]


@pytest.mark.parametrize(
    ("reason", "outcome", "words"),
    [
        ("undecodable", "amiss", "2 frames could not be decoded (why): {..."),
        ("unknown", "amiss", "2 frames of a kind not known (why): {..."),
        (
            "inexact",
            "good",
            (
                "2 frames with a number that no double holds, to be kept as well "
                "(why): {..."
            ),
        ),
    ],
)
def test_frames_that_cannot_be_used_are_shown(reason, outcome, words):
    kept = KeptReport(reason=reason, error="why", frames=2, excerpt="{...")

    assert judged(kept=(kept,)) == (outcome, [(f"{reason}_frame", words)])


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        ({"failure": "it will not"}, None, "It will not"),
        ({"attempts": ("a", "b")}, None, "A; b"),
        ({}, None, "There was no time to connect"),
        (
            {"failure": "no", "refusal": "bad gateway"},
            502,
            "No. Its words: bad gateway. Its servers are out of order; try again later",
        ),
        ({"failure": "no"}, 418, "No"),
    ],
)
def test_nothing_reached_fails_with_the_reason_alone(facts, status, words):
    kind = "unreachable" if status is None else "handshake_refused"

    outcome, found = judged(
        stream(answer="unanswered"), was_connected=False, status=status, **facts
    )

    assert outcome == "failed"
    assert found == [(kind, words)]


def test_a_handshake_refused_for_its_key_is_not_guessed_about():
    refused = stream(answer="refused", is_about_keys=True)

    outcome, found = judged(
        refused, was_connected=False, status=403, failure="get another key"
    )

    assert outcome == "failed"
    assert found == [("handshake_refused", "Get another key")]


def test_much_that_was_said_is_cut():
    said = tuple(SaidReport(kind="notice", text=str(n)) for n in range(12))

    outcome, found = judged(said=said)

    assert outcome == "good"
    assert found[0] == ("notice", "The venue said, as notice: 0")
    assert [kind for kind, _ in found] == ["notice"] * 10 + ["more_said"]
    assert found[-1][1] == "It said 2 things more"


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (None, None, None),
        (-0.4, 0.4, None),
        (-2.0, 2.0, None),  # all that is sure is that nothing is
        (0.51, 0.52, "is ahead of ours (+515.0 ms, give or take 5.0 ms, by 1 answer"),
        (-3.0, -2.5, "is behind ours (-2.750 s, give or take 250.0 ms, by 1 answer"),
        (0.6, None, "is ahead of ours (+600.0 ms or more, by 4 pushes"),
        (-1.4, None, None),
        (-1.6, None, "seems to be behind ours, or its pushes take long (-1.600 s or"),
    ],
)
def test_a_clock_is_told_when_it_is_surely_off(least, most, words):
    clock = ClockReport(
        at_least_seconds=least, at_most_seconds=most, answers=1, pushes=4
    )

    outcome, found = judged(clock=clock)

    assert outcome == ("good" if words is None else "amiss")
    assert [text[:60] for _, text in found] == (
        [] if words is None else [f"The venue's clock {words}"[:60]]
    )
    assert clock_words(ClockReport()) == "not known: nothing told a time"


def test_small_differences_have_more_digits():
    assert [span(x) for x in (0.0, 0.0123, -0.9, 1.0, -3.25)] == [
        "+0.0 ms",
        "+12.3 ms",
        "-900.0 ms",
        "+1.000 s",
        "-3.250 s",
    ]
