"""What the writer's thread finds in the rows, on its way to the session."""

import threading
from collections.abc import Sequence

import pyarrow as pa

from recorder.capture.books import Books
from recorder.capture.session import Session
from recorder.replay.watch import BookWatch, Crossing
from recorder.store.batch import RowFault


class Findings:
    """Rows that could not be stored, and books that are crossed.

    `faults` and `see` are called in the writer's thread, the rest in the
    loop's.
    """

    def __init__(self) -> None:
        self._watch = BookWatch()
        self._faults: list[RowFault] = []
        self._crossings: list[Crossing] = []
        self._lock = threading.Lock()

    def faults(self, faults: Sequence[RowFault]) -> None:
        """Note rows that could not be stored."""
        with self._lock:
            self._faults.extend(faults)

    def see(self, table: str, _source: str, batch: pa.RecordBatch) -> None:
        """Look for crossed books in a batch that is durable."""
        if table != "depth":
            return
        if crossings := self._watch.see(batch):
            with self._lock:
                self._crossings.extend(crossings)

    def warn(self, books: Books) -> None:
        """Tell the watch of breaks, before the rows that follow them are written."""
        for chain, ts_recv in books.take_lost():
            self._watch.lost(chain, ts_recv)
        for chain, ts_recv in books.take_counted_anew():
            self._watch.counted_anew(chain, ts_recv)

    def tell(self, session: Session) -> None:
        """Tell the session what was found since the last time."""
        with self._lock:
            faults, self._faults = self._faults, []
            crossings, self._crossings = self._crossings, []
        session.spoiled(faults)
        for chain, ts_recv, update_id in crossings:
            session.books.crossed(chain, ts_recv, update_id)
