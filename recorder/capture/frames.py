"""What becomes of frames, one by one or many at a time."""

from collections.abc import Sequence

from recorder.capture.books import Books
from recorder.capture.handovers import Handovers
from recorder.capture.intake import Intake
from recorder.capture.link import Link, Opcode
from recorder.capture.plain import PlainFrames
from recorder.capture.rows import Rows
from recorder.capture.shedding import LOOK_EVERY, Shedding
from recorder.errors import WireError
from recorder.model import BinaryFrame
from recorder.source import Secrets


class Frames:
    """Takes the frames of all connections of a session.

    Args:
        intake: Makes rows of them.
        rows: Takes those that are kept verbatim.
        books: Are told where one may be missing.
        plain: Reads runs of plain ones.
        shedding: Decides when they are dropped.
        handovers: Are told of those that say nothing.
        secrets: The feed's keys.
        is_archiving: Whether every frame is kept.

    Attributes:
        total: Received so far.
        stopped_at: When the session was stopped, nanoseconds; None if it was not.
            From then on they are counted and left alone.
    """

    def __init__(
        self,
        intake: Intake,
        rows: Rows,
        books: Books,
        plain: PlainFrames,
        shedding: Shedding,
        handovers: Handovers,
        secrets: Secrets,
        *,
        is_archiving: bool,
    ) -> None:
        self.total = 0
        self.stopped_at: int | None = None
        self._intake = intake
        self._rows = rows
        self._books = books
        self._plain = plain
        self._shedding = shedding
        self._handovers = handovers
        self._secrets = secrets
        self._is_archiving = is_archiving

    def take(self, link: Link, ts_recv: int, payload: bytes, *, opcode: Opcode) -> None:
        """Take one frame as it was read from the socket.

        Args:
            link: The connection.
            ts_recv: Our clock at the read, nanoseconds.
            payload: The whole message.
            opcode: ``text`` or ``binary``, as it came.
        """
        seq = link.seq
        link.seq = seq + 1
        link.bytes_total += len(payload)
        self.total += 1
        if self.stopped_at is not None:
            return
        if self._shedding.since is not None:
            self._shedding.drop(link.conn)
            return
        if not seq % LOOK_EVERY:
            self._shedding.look(ts_recv + 1)
        before, link.last_at = link.last_at, ts_recv
        self._take_in(link, before, ts_recv, seq, payload, opcode)

    def take_run(
        self,
        link: Link,
        stamps: range,
        payloads: Sequence[bytes],
        *,
        opcode: Opcode,
    ) -> None:
        """Take frames that were read one right after the other.

        What becomes of them is as if each had been taken by `take`.

        Args:
            link: The connection.
            stamps: Our clock when each was read, nanoseconds, one by one.
            payloads: The messages.
            opcode: ``text`` or ``binary``, of all.
        """
        run = None
        if self.stopped_at is None and opcode == "text":
            run = self._plain.run_of(link, stamps, payloads)
        if run is not None:
            self._shedding.look(stamps[0])
        if run is None or self._shedding.since is not None:
            for ts_recv, payload in zip(stamps, payloads, strict=True):
                self.take(link, ts_recv, payload, opcode=opcode)
            return
        first, before = link.seq, link.last_at
        link.seq = first + len(payloads)
        link.bytes_total += run.size
        self.total += len(payloads)
        left = self._plain.take(link, first, run)
        for place in left.frames:
            at = link.last_at = stamps[place]
            since = stamps[place - 1] if place else before
            self._take_in(link, since, at, first + place, payloads[place], opcode)
        link.last_at = stamps[-1]
        self._plain.pick_up(left.books)

    def _take_in(
        self,
        link: Link,
        before: int,
        ts_recv: int,
        seq: int,
        payload: bytes,
        opcode: Opcode,
    ) -> None:
        """Make rows of a frame; the one before it came at ``before``."""
        # Before anything is made of it: a venue may say back what it was told.
        payload = self._secrets.hide_bytes(payload)
        if opcode == "binary":  # should one of its rows not be storable
            payload = BinaryFrame(payload)
        try:
            unknown = self._intake.take(link, ts_recv, seq, payload)
        except (WireError, ValueError) as exc:  # ids that no update can have
            self._undecodable(link, before, ts_recv, seq, payload, str(exc), opcode)
            return
        if unknown is not None:
            self._rows.keep(
                ts_recv, link.conn, seq, payload, "unknown", unknown, opcode
            )
        elif self._is_archiving:
            self._rows.keep(ts_recv, link.conn, seq, payload, "archive", None, opcode)

    def _undecodable(
        self,
        link: Link,
        before: int,
        ts_recv: int,
        seq: int,
        payload: bytes,
        error: str,
        opcode: Opcode,
    ) -> None:
        """Keep a frame that says nothing we understand; it may have been a row."""
        self._rows.keep(ts_recv, link.conn, seq, payload, "undecodable", error, opcode)
        detail = f"frame {link.conn}/{seq} is in the table frames: {error}"
        self._handovers.spoiled(link, before + 1, ts_recv + 1, detail)
        self.unsure(link, before + 1, "a frame could not be decoded")

    def unsure(self, link: Link, at: int, reason: str) -> None:
        """Note that any book of a connection may lack something from a time on."""
        for chain in link.in_charge(link.chains):
            if chain in self._books:
                self._books.unsure(chain, at, reason)
