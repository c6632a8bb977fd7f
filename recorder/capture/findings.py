"""What the writer's thread finds in the rows, on its way to the session and back."""

import threading
from collections.abc import Sequence

import pyarrow as pa

from recorder.capture.session import Session
from recorder.capture.wrong_books import crossed_by
from recorder.model import Gap
from recorder.replay.audits import Compared
from recorder.replay.watch import BookWatch, Crossing
from recorder.store.batch import RowFault


class Findings:
    """Rows that could not be stored, books that are crossed or were audited.

    Args:
        run: Id of the run.
        job: Name of its job.

    `faults` and `see` are called in the writer's thread, the rest in the
    loop's.
    """

    def __init__(self, run: str = "", job: str = "") -> None:
        self._run, self._job = run, job
        self._watch = BookWatch()
        self._faults: list[RowFault] = []
        self._crossings: list[Crossing] = []
        self._compared: list[Compared] = []
        self._lock = threading.Lock()

    def faults(self, faults: Sequence[RowFault]) -> None:
        """Note rows that could not be stored."""
        with self._lock:
            self._faults.extend(faults)

    def see(self, table: str, _source: str, batch: pa.RecordBatch) -> list[Gap]:
        """Look for crossed books in a batch that is durable; return their gaps."""
        if table != "depth":
            return []
        crossings = self._watch.see(batch)
        compared = self._watch.take_compared()
        if crossings or compared:
            with self._lock:
                self._crossings.extend(crossings)
                self._compared.extend(compared)
        return [
            Gap(
                gap_id=f"{self._run}.found.{stream}.{market}.{ts_recv}",
                market=market,
                stream=stream,
                job=self._job,
                scope="book",
                reason="crossed",
                started_at=ts_recv,
                detail=crossed_by(update_id),
            )
            for (market, stream), ts_recv, update_id in crossings
        ]

    def warn(self, session: Session) -> None:
        """Tell the watch of breaks, before the rows that follow them are written.

        And of snapshots to compare books with.
        """
        books = session.books
        for order in session.audits.take_orders():
            self._watch.compare(order)
        for chain, ts_recv in books.take_wrong():
            self._watch.wrong(chain, ts_recv)
        for chain, ts_recv in books.take_lost():
            self._watch.lost(chain, ts_recv)
        for chain, ts_recv in books.take_counted_anew():
            self._watch.counted_anew(chain, ts_recv)

    def tell(self, session: Session, now: int) -> None:
        """Tell the session what was found since the last time.

        Args:
            session: Takes it.
            now: Our clock, nanoseconds.
        """
        with self._lock:
            faults, self._faults = self._faults, []
            crossings, self._crossings = self._crossings, []
            compared, self._compared = self._compared, []
        session.spoiled(faults)
        for chain, ts_recv, update_id in crossings:
            session.books.crossed(chain, ts_recv, update_id)
        session.audits.settle(compared, now)
