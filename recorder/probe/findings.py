"""What of a probe people must know, in words, the gravest first.

A pure function of the report: what is not in there is not judged.
"""

from collections.abc import Iterator
from typing import Final

from recorder.counts import counted
from recorder.probe.report import (
    ClockReport,
    Finding,
    Outcome,
    ProbeReport,
    Severity,
    StreamReport,
)


CLOCK_SECONDS: Final = 0.5
"""A clock that is surely further off than this makes ``ts_recv`` misleading."""

LATE_SECONDS: Final = 1.5
"""No push takes so long on a healthy line."""

SHOWN: Final = 3
"""Of many things alike, so many are named."""

SAID_SHOWN: Final = 10
"""Of what a venue says of itself, so much is repeated."""

_GRAVITY: Final[tuple[Severity, ...]] = ("failed", "amiss", "remark")

_HINTS: Final = {
    401: "it wants a key, or another one",
    403: "it does not serve this machine, or not with this key: a firewall may be "
    "in the way, or a country that it leaves out",
    404: "nothing is at this path; check --ws-url and -O",
    426: "it speaks no WebSocket at this path; check --ws-url",
    429: "too many connections come from here; wait a while",
}


def judge(report: ProbeReport) -> tuple[Outcome, tuple[Finding, ...]]:
    """Return what a report comes to, and its findings.

    Args:
        report: Its own ``outcome`` and ``findings`` are left alone.
    """
    found = [
        *_of_connections(report),
        *_of_answers(report),
        *(finding for stream in report.streams for finding in _of_stream(stream)),
        *_of_frames(report),
        *_of_clock(report.clock),
        *_of_silence(report),
        *_of_notes(report),
    ]
    found.sort(key=lambda finding: _GRAVITY.index(finding.severity))
    worst = found[0].severity if found else "remark"
    return "good" if worst == "remark" else worst, tuple(found)


def _of_connections(report: ProbeReport) -> Iterator[Finding]:
    if report.failure is not None or not report.was_connected:
        why = (
            report.failure
            or "; ".join(report.attempts)
            or "There was no time to connect"
        )
        words = [why]
        if report.refusal:
            words.append(f"its words: {report.refusal}")
        is_about_keys = any(stream.is_about_keys for stream in report.streams)
        if not is_about_keys and (hint := _hint(report.status)) is not None:
            words.append(hint)  # the feed itself knows better what the matter is
        yield Finding(
            kind="unreachable" if report.status is None else "handshake_refused",
            severity="failed",
            text=". ".join(word[0].upper() + word[1:] for word in words),
        )
        return
    for why in report.attempts:
        yield Finding(
            kind="connect_failed",
            severity="amiss",
            text=f"A connection could not be made, or not be kept: {why}",
        )
    if report.streams and all(x.answer == "refused" for x in report.streams):
        return  # then nothing holds a connection open
    for life in report.connections:
        if life.ended is not None:
            code = "" if life.close_code is None else f" with code {life.close_code}"
            yield Finding(
                kind="connection_lost",
                severity="amiss",
                text=f"Connection {life.conn} ended after {life.open_seconds:.1f} s"
                f"{code}: {life.ended}",
            )


def _hint(status: int | None) -> str | None:
    if status is None:
        return None
    if 300 <= status < 400:
        return "it sends elsewhere; give that address with --ws-url"
    if status >= 500:
        return "its servers are out of order; try again later"
    return _HINTS.get(status)


def _of_answers(report: ProbeReport) -> Iterator[Finding]:
    if not report.was_connected:
        return
    is_any = any(stream.answer == "accepted" for stream in report.streams)
    severity: Severity = "amiss" if is_any else "failed"
    for stream in report.streams:
        if stream.is_about_keys:
            yield Finding(
                kind="keys_refused",
                severity="failed",
                text=f"{_name(stream)}: refused because of the keys, in the venue's "
                f"words: {stream.words}; check the environment variables that "
                "`recorder capture --help` names",
            )
        elif stream.answer == "refused":
            yield Finding(
                kind="refused",
                severity=severity,
                text=f"{_name(stream)}: refused, in the venue's words: {stream.words}",
            )
        elif stream.answer == "unanswered":
            yield Finding(
                kind="unanswered",
                severity=severity,
                text=f"{_name(stream)}: asked for and not answered"
                + ("" if is_any else "; check that --ws-url is an address of it"),
            )


def _of_stream(stream: StreamReport) -> Iterator[Finding]:
    name = _name(stream)
    if stream.missing:
        yield Finding(
            kind="sequence_gap",
            severity="amiss",
            text=f"{name}: the sequence is broken, missing are "
            f"{_several(stream.missing)}",
        )
    for words in stream.gaps:
        yield Finding(kind="gap", severity="amiss", text=f"{name}: {words}")
    if stream.crossings:
        yield Finding(
            kind="crossed",
            severity="amiss",
            text=f"{name}: the order book was crossed {_times(stream.crossings)}",
        )
    if stream.answer == "accepted" and stream.book == "not known":
        yield Finding(
            kind="book_not_known",
            severity="amiss",
            text=f"{name}: the order book was {_why_not_known(stream)}",
        )


def _why_not_known(stream: StreamReport) -> str:
    if stream.book_seconds is not None:
        return "known, and not any more at the end"
    if stream.snapshots:
        came = counted(
            stream.snapshots,
            "snapshot came by HTTP, and did not fit",
            "snapshots came by HTTP, and none fitted",
        )
        return f"never known: {came} the updates"
    return "never known: no snapshot came"


def _of_frames(report: ProbeReport) -> Iterator[Finding]:
    for why in report.snapshot_failures:
        yield Finding(
            kind="snapshot_failed",
            severity="amiss",
            text=f"A book snapshot could not be had: {why}",
        )
    for kept in report.kept:
        if kept.reason == "undecodable":
            words = "could not be decoded"
        elif kept.reason == "unknown":
            words = "of a kind not known"
        else:
            words = "with a number that no double holds, to be kept as well"
        yield Finding(
            kind=f"{kept.reason}_frame",
            severity="remark" if kept.reason == "inexact" else "amiss",
            text=f"{counted(kept.frames, 'frame')} {words} ({kept.error}): {kept.excerpt}",
        )
    for key in report.unknown_keys:
        yield Finding(
            kind="unknown_key",
            severity="remark",
            text=f"Key {key.key} is not known, its values would not be stored; "
            f"{counted(key.frames, 'frame')} with it, such as {key.excerpt}",
        )


def _of_clock(clock: ClockReport) -> Iterator[Finding]:
    least, most = clock.at_least_seconds, clock.at_most_seconds
    if least is not None and least > CLOCK_SECONDS:
        words = "is ahead of ours"
    elif most is not None and most < -CLOCK_SECONDS:
        words = "is behind ours"
    elif least is not None and most is None and least < -LATE_SECONDS:
        words = "seems to be behind ours, or its pushes take long"
    else:
        return
    yield Finding(
        kind="clock",
        severity="amiss",
        text=f"The venue's clock {words} ({clock_words(clock)}). Most likely this "
        "machine's clock is wrong, and ts_recv with it: have it set by NTP",
    )


def clock_words(clock: ClockReport) -> str:
    """Return how far the venue's clock is off, and how sure that is."""
    least, most = clock.at_least_seconds, clock.at_most_seconds
    if least is None:
        return "not known: nothing told a time"
    if most is None:
        return (
            f"{span(least)} or more, by {counted(clock.pushes, 'push', 'pushes')}; how much more, "
            "nobody knows: that long they were on their way"
        )
    middle, half = (least + most) / 2, (most - least) / 2
    return (
        f"{span(middle)}, give or take {span(half).lstrip('+')}, by "
        f"{counted(clock.answers, 'answer')} and {counted(clock.pushes, 'push', 'pushes')}"
    )


def span(seconds: float) -> str:
    """Return a difference of times, signed, with as many digits as mean something."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:+.1f} ms"
    return f"{seconds:+.3f} s"


def _of_silence(report: ProbeReport) -> Iterator[Finding]:
    accepted = [stream for stream in report.streams if stream.answer == "accepted"]
    silent = [stream for stream in accepted if stream.rows == stream.history]
    rows = dict.fromkeys((stream.market for stream in accepted), 0)
    for stream in accepted:
        rows[stream.market] += stream.rows - stream.history
    of_markets = [stream for stream in accepted if stream.market is not None]
    if of_markets and not any(rows.values()):
        yield Finding(
            kind="nothing_came",
            severity="amiss",
            text=f"All subscriptions were accepted, and nothing came of them in "
            f"{report.seconds:.0f} s; probe longer, or a market that is traded more",
        )
        return
    for stream in silent:
        yield Finding(
            kind="silent",
            severity="remark",
            text=f"{_name(stream)}: accepted, but nothing came in "
            f"{report.seconds:.0f} s{_perhaps(stream, rows[stream.market])}",
        )


def _perhaps(stream: StreamReport, others: int) -> str:
    """Return what silence may mean, given the rows of its market's other streams."""
    if stream.market is None:
        return ", as is usual where there is seldom something to tell"
    aside = (
        f", while {counted(others, 'row')} of other streams of it did" if others else ""
    )
    return (
        f"{aside}. That may be a quiet time, or a stream that does not work; probe "
        "longer to tell"
    )


def _of_notes(report: ProbeReport) -> Iterator[Finding]:
    for said in report.said[:SAID_SHOWN]:
        yield Finding(
            kind=said.kind,
            severity="remark",
            text=f"The venue said, as {said.kind}: {said.text}",
        )
    if (more := len(report.said) - SAID_SHOWN) > 0:
        yield Finding(
            kind="more_said",
            severity="remark",
            text=f"It said {counted(more, 'thing')} more",
        )


def _name(stream: StreamReport) -> str:
    if stream.market is None:
        return stream.stream
    return f"{stream.stream} of {stream.market}"


def _several(items: tuple[str, ...]) -> str:
    more = len(items) - SHOWN
    shown = "; ".join(items[:SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
