"""What came out of a probe, as plain values that can be printed or encoded."""

from typing import Literal

import msgspec


Outcome = Literal["good", "amiss", "failed"]
"""``good``: it can be recorded. ``amiss``: it can, but rows would be missing
or times wrong. ``failed``: nothing comes of it, or the keys are wrong."""

Severity = Literal["failed", "amiss", "remark"]
"""A ``remark`` is worth knowing and changes no outcome."""

Answer = Literal["accepted", "refused", "unanswered"]

Wholeness = Literal["whole", "broken", "unnumbered"]
"""Whether numbers that the venue gives its messages go on without a hole."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people must know.

    Attributes:
        kind: A word for programs: ``refused``, ``sequence_gap``, ...
        severity: What it means for a recording.
        text: One sentence or two for people.
    """

    kind: str
    severity: Severity
    text: str


class ConnectionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket connection.

    Attributes:
        conn: Its name within the probe.
        open_seconds: How long it was open.
        frames: Received.
        bytes: Received.
        close_code: As received; None where there was none.
        ended: Why it ended; None if it was open to the end of the probe.
    """

    conn: str
    open_seconds: float
    frames: int
    bytes: int
    close_code: int | None = None
    ended: str | None = None


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of one market.

    Attributes:
        stream: Canonical name.
        market: The venue's spelling; None for a stream without markets.
        answer: What the venue made of the subscription.
        words: Its words, if it refused.
        is_about_keys: Whether it refused because of our keys.
        frames: Frames with rows of the stream.
        rows: Rows that would have been stored.
        history: How many of them were of the past.
        sequence: Whether its numbers are whole; None if nothing came that
            could have one.
        first_update_id: Of the first order book update; None without one.
        last_update_id: Of the last one.
        missing: Breaks of the sequence, in words.
        gaps: Other gaps of rows, by reason and in words.
        book: Whether its order book was known at the end; None if it has none.
        book_seconds: How long after the acceptance it was known first.
        snapshots: Book snapshots that were had by HTTP.
        crossings: How often the book was crossed.
    """

    stream: str
    market: str | None
    answer: Answer
    words: str | None = None
    is_about_keys: bool = False
    frames: int = 0
    rows: int = 0
    history: int = 0
    sequence: Wholeness | None = None
    first_update_id: int | None = None
    last_update_id: int | None = None
    missing: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    book: Literal["known", "not known"] | None = None
    book_seconds: float | None = None
    snapshots: int = 0
    crossings: int = 0


class ClockReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far the venue's clock is ahead of ours; below zero it is behind.

    Attributes:
        at_least_seconds: It is not less; None if nothing told.
        at_most_seconds: It is not more; None if only pushes told, of which
            nobody knows how long they took.
        answers: How many answers of ours told a time.
        pushes: How many pushes did.
        ping_seconds: The shortest time that an answer took; None if none came.
    """

    at_least_seconds: float | None = None
    at_most_seconds: float | None = None
    answers: int = 0
    pushes: int = 0
    ping_seconds: float | None = None


class KeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """A key that the feed does not know.

    Attributes:
        key: Its path in a frame.
        frames: Frames that had it, of those searched.
        excerpt: How the first of them begins.
    """

    key: str
    frames: int
    excerpt: str


class KeptReport(msgspec.Struct, frozen=True, kw_only=True):
    """Frames alike that would have been kept verbatim.

    Attributes:
        reason: ``undecodable``, ``unknown`` or ``inexact``.
        error: What is wrong with the first.
        frames: How many.
        excerpt: How the first begins.
    """

    reason: str
    error: str
    frames: int
    excerpt: str


class SaidReport(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the venue said of itself without being asked.

    Attributes:
        kind: As stored in ``status``, or ``leaving``.
        text: In its words.
    """

    kind: str
    text: str


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        source: Name of the feed.
        ws_url: Where its WebSocket was asked, without secrets.
        rest_url: Where its HTTP was; None if there was no need.
        started_at: Our clock, nanoseconds.
        seconds: How long the probe took.
        was_connected: Whether a WebSocket was ever open.
        outcome: In one word.
        findings: The gravest first.
        connections: Those that were open, as they ended.
        streams: What was asked for, in order.
        clock: How the clocks differ.
        unknown_keys: By path.
        kept: Frames that could not be used, the most first.
        said: What the venue said of itself.
        snapshot_failures: Why book snapshots could not be had, each once.
        attempts: Why connections could not be made, each once.
        frames: Received in all.
        frames_searched: Searched for keys not known.
        failure: Why no further attempt would help; None if one might.
        status: HTTP status of the last handshake that was refused.
        refusal: How the body of that answer begins.
    """

    source: str
    ws_url: str
    rest_url: str | None
    started_at: int
    seconds: float
    was_connected: bool
    outcome: Outcome
    findings: tuple[Finding, ...]
    connections: tuple[ConnectionReport, ...]
    streams: tuple[StreamReport, ...]
    clock: ClockReport
    unknown_keys: tuple[KeyReport, ...]
    kept: tuple[KeptReport, ...]
    said: tuple[SaidReport, ...]
    snapshot_failures: tuple[str, ...] = ()
    attempts: tuple[str, ...] = ()
    frames: int = 0
    frames_searched: int = 0
    failure: str | None = None
    status: int | None = None
    refusal: str = ""
