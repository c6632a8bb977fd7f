"""The rows of a run on their way to the store, collected by table."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from recorder.capture.link import Link, Opcode
from recorder.capture.seldom import Seldom
from recorder.clock import Clock
from recorder.model import TABLE_OF, FetchedEvent, Gap, KeptFrame, LedgerRow
from recorder.store.batch import RowTuple
from recorder.store.depth_block import DepthBlock, Place
from recorder.telemetry import (
    BookUnknown,
    FrameKept,
    FrameKeptAgain,
    GapOpened,
    GapOpenedAgain,
    emit,
)


ROW_BYTES: Final = 600
"""What a row takes beside its frame; between 500 and 900, with its event."""


OVER_AT_ONCE: Final = frozenset(
    {"sequence_gap", "undecodable", "backpressure", "disk_full", "clock_step"}
)
"""Reasons of gaps that are over when they are noticed."""


UNTOLD: Final = frozenset({"not_started", "process_stopped"})
"""Reasons that the log of a run need not mention: its start and its end."""


class Taken(NamedTuple):
    """Rows that were taken away.

    Attributes:
        rows: By table and source, in the order in which they were put.
        blocks: More rows of depth.
    """

    rows: dict[tuple[str, str], list[RowTuple]]
    blocks: tuple[DepthBlock, ...]


class Rows:
    """Collects rows until they are taken away.

    Args:
        source: Name of the feed.
        run: Id of the run.
        clock: Stamps rows of the ledger.

    Attributes:
        gaps_total: Gaps seen so far.
        on_gap: Told of every gap that the ledger tells of, if there is one.
    """

    def __init__(self, source: str, run: str, clock: Clock) -> None:
        self.gaps_total = 0
        self.on_gap: Callable[[Gap], None] | None = None
        self._payload_bytes = 0
        self._last_payload: bytes | None = None
        self._taken: deque[int] = deque()
        self._taken_total = 0
        self._source = source
        self._ledger_conn = f"{run}.ledger"
        self._ledger_seq = 0
        self._rest_conn = f"{run}.rest"
        self._rest_seq = 0
        self._clock = clock
        self._rows: dict[type, list[RowTuple]] = {}
        self._rows_count = 0
        self._seldom = Seldom()
        self._blocks: list[DepthBlock] = []

    def block(self, places: Sequence[Place], frames: int, size: int) -> DepthBlock:
        """Return a block that has room for some frames.

        Args:
            places: Of all chains of the run of which rows come in blocks.
            frames: How many there are.
            size: Bytes of all.
        """
        if not self._blocks or not self._blocks[-1].has_room(frames, size):
            self._blocks.append(DepthBlock(self._source, places))
        return self._blocks[-1]

    def put(
        self,
        ts_recv: int,
        conn: str,
        seq: int,
        idx: int,
        event: FetchedEvent | LedgerRow,
        payload: bytes | None,
    ) -> None:
        """Append a row.

        Args:
            ts_recv: Our clock when its frame was read, nanoseconds.
            conn: Name of the connection.
            seq: Number of the frame within the connection.
            idx: Position within the frame.
            event: What happened.
            payload: The frame, in case the row cannot be stored as it is.
        """
        rows = self._rows.get(type(event))
        if rows is None:
            rows = self._rows[type(event)] = []
        rows.append((ts_recv, conn, seq, idx, event, payload))
        self._rows_count += 1
        if payload is not self._last_payload and payload is not None:
            self._weigh(payload)

    def rest_frame(self) -> tuple[str, int]:
        """Return the name of the next answer by HTTP: ``conn`` and ``seq``."""
        seq = self._rest_seq
        self._rest_seq += 1
        return self._rest_conn, seq

    def note(self, rows: Sequence[LedgerRow]) -> None:
        """Append rows of the ledger, stamped now, and log the gaps among them."""
        for row in rows:
            seq = self._ledger_seq
            self._ledger_seq += 1
            self.put(self._clock.now_ns(), self._ledger_conn, seq, 0, row, None)
            if isinstance(row, Gap):
                self._tell(row)
                if self.on_gap is not None:
                    self.on_gap(row)

    def revise(self, gap: Gap) -> None:
        """Append a revision of a gap that was told of before, stamped now."""
        seq = self._ledger_seq
        self._ledger_seq += 1
        self.put(self._clock.now_ns(), self._ledger_conn, seq, 0, gap, None)

    def keep(
        self,
        ts_recv: int,
        conn: str,
        seq: int,
        payload: bytes,
        reason: Literal["archive", "undecodable", "unknown"],
        error: str | None,
        opcode: Opcode = "text",
        request: str | None = None,
    ) -> None:
        """Append a frame that was received, verbatim."""
        kept = KeptFrame(
            direction="in",
            opcode=opcode,
            reason=reason,
            payload=payload,
            request=request,
            error=error,
        )
        self.put(ts_recv, conn, seq, 0, kept, None)
        if payload is not self._last_payload:
            self._weigh(payload)
        if error is not None:
            self.tell_kept(ts_recv, conn, seq, reason, error)

    def tell_kept(
        self, ts_recv: int, conn: str, seq: int, reason: str, error: str
    ) -> None:
        """Log a frame that was kept; of many alike, one a minute."""
        count = self._seldom.count((conn, reason), ts_recv)
        kind = FrameKeptAgain if count is None else FrameKept
        emit(
            kind(
                conn=conn,
                seq=seq,
                reason=reason,
                error=error,
                since_last_line=_many(count),
            )
        )

    def keep_sent(self, link: Link, payload: bytes, at: int) -> None:
        """Append a frame that was sent, verbatim, numbered among those sent."""
        kept = KeptFrame(
            direction="out", opcode="text", reason="archive", payload=payload
        )
        seq = link.sent
        link.sent = seq + 1
        self.put(at, f"{link.conn}.out", seq, 0, kept, None)
        self._weigh(payload)

    def _weigh(self, payload: bytes) -> None:
        """Count a frame; the rows of one come one after another, and share it."""
        self._last_payload = payload
        self._payload_bytes += len(payload)

    @property
    def waiting(self) -> int:
        """Rows that wait to be taken."""
        return self._rows_count + sum(block.count for block in self._blocks)

    @property
    def bytes_waiting(self) -> int:
        """About how much memory the rows take that wait to be taken."""
        one_by_one = self._rows_count * ROW_BYTES + self._payload_bytes
        return one_by_one + sum(block.bytes for block in self._blocks)

    @property
    def bytes_held(self) -> int:
        """About how much memory rows take that are not written yet.

        Rows that were taken and are not yet written are among them.
        """
        return self.bytes_waiting + sum(self._taken)

    def written(self, takes: int) -> None:
        """Note that rows are in memory no more.

        Args:
            takes: How many times rows were taken that have been written.
        """
        while len(self._taken) > self._taken_total - takes:
            self._taken.popleft()

    def take(self) -> Taken:
        """Take all rows away."""
        self._taken.append(self.bytes_waiting)
        self._taken_total += 1
        rows, self._rows = self._rows, {}
        blocks, self._blocks = self._blocks, []
        self._rows_count = self._payload_bytes = 0
        self._last_payload = None
        return Taken(
            {(TABLE_OF[kind], self._source): part for kind, part in rows.items()},
            tuple(block for block in blocks if block.count),
        )

    def _tell(self, gap: Gap) -> None:
        """Log a gap once: when it opens, or when it is over at once."""
        is_revision = gap.ended_at is not None and gap.reason not in OVER_AT_ONCE
        if is_revision or gap.healed_by is not None or gap.reason in UNTOLD:
            return
        if gap.scope == "times":
            return  # nothing is missing
        self.gaps_total += 1
        if gap.scope == "book":
            emit(
                BookUnknown(
                    market=gap.market,
                    stream=gap.stream,
                    reason=gap.reason,
                    detail=gap.detail,
                )
            )
            return
        count: int | None = 1
        if gap.reason == "undecodable":  # as many as a venue sends frames
            what = (gap.market, gap.stream, gap.reason)
            count = self._seldom.count(what, gap.ended_at or gap.started_at)
        emit(
            (GapOpenedAgain if count is None else GapOpened)(
                market=gap.market,
                stream=gap.stream,
                reason=gap.reason,
                detail=gap.detail,
                since_last_line=_many(count),
            )
        )


def _many(count: int | None) -> int | None:
    """Return a count that is worth telling."""
    return count if count != 1 else None
