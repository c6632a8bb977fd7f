"""What the recorder writes about its own recording."""

from typing import Final, Literal

import msgspec

from recorder.model.market import Levels


Scope = Literal["rows", "book", "times"]

TAKEN_OVER: Final = "take_over"
"""In ``healed_by`` of a gap of no length: another run of the job had begun to
record before this one was missing anything. And in ``closed_by`` of what that
other covered, up to where the first was back."""


_BESIDE: Final = ".beside"


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """An interval in which something is missing; one revision of its row.

    Attributes:
        gap_id: The same for all revisions of one gap.
        market: None means every market of the job.
        stream: None means every stream of the job.
        job: Name of the job that misses it.
        scope: ``rows``: something was sent and is not here. ``book``:
            nothing is missing but the order book is not known. ``times``:
            nothing is missing, but our clock, behind which the wall clock had
            been set, went at half its pace.
        reason: ``connect_lost``, ``sequence_gap``, ``resync``, ...
        started_at: First instant of the gap, our clock, nanoseconds.
        ended_at: First instant after it; None while it lasts.
        after_update_id: Last book change received before it.
        before_update_id: First book change received after it.
        healed_by: How it was filled or shown to be empty; None if it was not.
        detail: One sentence for people.
        ts_event: Always None; a gap is seen by our clock alone.
    """

    gap_id: str
    market: str | None
    stream: str | None
    job: str
    scope: Scope
    reason: str
    started_at: int
    ended_at: int | None = None
    after_update_id: int | None = None
    before_update_id: int | None = None
    healed_by: str | None = None
    detail: str | None = None
    ts_event: int | None = None


def beside(run: str, job: str, reason: str, at: int) -> Gap:
    """Return what is told of a run that only ever recorded beside another.

    Nothing is missing, for the other had the account of the job; but whose rows
    those are must be known, and that no more of them came.

    Args:
        run: Id of the run.
        job: Name of the job.
        reason: Why it ended.
        at: When, our clock, nanoseconds.
    """
    return Gap(
        gap_id=f"{run}{_BESIDE}",
        market=None,
        stream=None,
        job=job,
        scope="rows",
        reason=reason,
        started_at=at,
        ended_at=at,
        healed_by=TAKEN_OVER,
        detail=f"run {run} ended while another run of the job recorded",
    )


def is_beside(gap: Gap) -> bool:
    """Return whether a gap tells of a run that only ever recorded beside another."""
    return gap.healed_by == TAKEN_OVER and gap.gap_id.endswith(_BESIDE)


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """An interval in which everything that was sent is here.

    Attributes:
        market: The venue's spelling; None for streams without markets.
        stream: Canonical stream name.
        job: Name of the job that recorded it.
        started_at: First instant covered, our clock, nanoseconds.
        ended_at: First instant no longer covered.
        closed_by: ``gap``, ``stop``, ``midnight``, ``killed``, ``take_over``.
        ts_event: Always None.
    """

    market: str | None
    stream: str
    job: str
    started_at: int
    ended_at: int
    closed_by: str
    ts_event: int | None = None


class ConnectionLife(msgspec.Struct, frozen=True, kw_only=True):
    """One WebSocket connection from its opening to its end.

    Attributes:
        url: Where it went, without secrets.
        opened_at: Our clock, nanoseconds.
        closed_at: Our clock, nanoseconds.
        close_code: As received; None where the peer just vanished.
        close_reason: As received, or what was seen on our side.
        frames: Frames received.
        bytes: Payload bytes received.
        clock_offset_ms: Venue's clock minus ours, where it could be told.
        market: Always None.
        ts_event: Always None.
    """

    url: str
    opened_at: int
    closed_at: int
    close_code: int | None
    close_reason: str | None
    frames: int
    bytes: int
    clock_offset_ms: float | None = None
    market: str | None = None
    ts_event: int | None = None


class BinaryFrame(bytes):
    """The bytes of a frame that did not come as text."""


class KeptFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame kept verbatim, a row of ``frames``.

    Attributes:
        direction: ``in`` or ``out``.
        opcode: ``text``, ``binary`` or ``http``.
        reason: ``archive``, ``undecodable``, ``unknown`` or ``inexact``.
        payload: The bytes as they were.
        request: What an HTTP body answers; None for frames of a socket.
        error: Why it could not be used; None for archived frames.
        market: None unless the frame is about exactly one market.
        ts_event: Always None.
    """

    direction: Literal["in", "out"]
    opcode: Literal["text", "binary", "http"]
    reason: Literal["archive", "undecodable", "unknown", "inexact"]
    payload: bytes
    request: str | None = None
    error: str | None = None
    market: str | None = None
    ts_event: int | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A whole book derived by us at a rotation, to start a replay from.

    Attributes:
        market: The venue's spelling.
        stream: Canonical stream name.
        last_update_id: Last book change applied; None on streams without ids.
        bids: Best first.
        asks: Best first.
        ts_event: Always None.
    """

    market: str
    stream: str
    last_update_id: int | None
    bids: Levels
    asks: Levels
    ts_event: int | None = None
