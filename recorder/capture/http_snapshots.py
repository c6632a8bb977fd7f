"""Answers to requests for book snapshots by HTTP: stored, kept or told of."""

from recorder.capture.books import Books
from recorder.capture.complaints import KEPT_EVERY, Complaints
from recorder.capture.rows import Rows
from recorder.errors import WireError
from recorder.model import Chain
from recorder.source import HttpRequest, Secrets, Source
from recorder.telemetry import (
    SnapshotFailed,
    SnapshotFailedAgain,
    SnapshotsStillFailing,
    emit,
)


class HttpSnapshots:
    """Takes what a venue answers when it is asked for a book.

    Args:
        source: The feed.
        books: Told of each snapshot, and of those that cannot be had.
        rows: Takes bodies to keep.
        secrets: Are blotted out of what the venue answers.
        is_archiving: Whether every body is kept.
    """

    def __init__(
        self,
        source: Source,
        books: Books,
        rows: Rows,
        secrets: Secrets,
        *,
        is_archiving: bool,
    ) -> None:
        self._source = source
        self._books = books
        self._rows = rows
        self._secrets = secrets
        self._is_archiving = is_archiving
        self._complaints = Complaints()

    def take(
        self,
        chain: Chain,
        epoch: int,
        request: HttpRequest,
        ts_recv: int,
        body: bytes,
    ) -> None:
        """Take the answer to a snapshot request of the given epoch."""
        rule = self._source.snapshot
        if rule is None:
            raise ValueError(f"{self._source.name} has no snapshots by HTTP")
        conn, seq = self._rows.rest_frame()
        body = self._secrets.hide_bytes(body)
        asked = request.target
        try:
            event = rule.decode(chain, body)
            self._books.snapshot(chain, epoch, ts_recv, conn, seq, event, body)
        except (WireError, ValueError) as exc:
            why = str(exc)
            # Its words may name a number of each body; its class does not.
            before = self._complaints.again(chain, type(exc).__name__)
            # The same page every few seconds tells no more than the first.
            if self._is_archiving or before % KEPT_EVERY == 0:
                self._rows.keep(
                    ts_recv, conn, seq, body, "undecodable", why, "http", asked
                )
            else:
                emit(SnapshotFailedAgain(market=chain.market, why=why))
            self._books.snapshot_failed(chain, epoch, ts_recv)
            return
        self._complaints.over(chain)
        if self._is_archiving:
            self._rows.keep(ts_recv, conn, seq, body, "archive", None, "http", asked)

    def failed(self, chain: Chain, why: str) -> None:
        """Tell of a request without an answer, once for each kind of why."""
        kind = (
            SnapshotFailedAgain
            if self._complaints.again(chain, why)
            else SnapshotFailed
        )
        emit(kind(market=chain.market, why=self._secrets.hide(why)))

    def tick(self, now: int) -> None:
        """Tell now and then of books of which no snapshot can be had."""
        if failing := self._complaints.due(now):
            emit(SnapshotsStillFailing(books=failing))
