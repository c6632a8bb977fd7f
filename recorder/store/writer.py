"""The writer thread: the one place where captured rows meet the disk.

A flush is done in this order, so that a kill between any two steps leaves
the store telling the truth: rows into journals, each synced; then the run
file, if something opened or closed, with the time through which it holds;
then the heartbeat, for one newer than the state beside it would claim coverage
inside a gap; then the callbacks. Only after that are journals turned into
segments.

What the disk refuses for now (`DiskError`) is tried again until it is done,
in the same order, while the rows wait in memory: `recorder.store.patience`.
Whatever else fails ends the writer: it takes no more rows, says so through
``on_error``, and `Writer.close` raises it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import count
from queue import Full, Queue
from threading import Thread
from typing import Final, TypeAlias, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder.errors import StoreError
from recorder.model import Gap
from recorder.store.batch import Built, RowFault, RowTuple, build
from recorder.store.conversions import Conversions
from recorder.store.depth_block import DepthBlock, laid_together
from recorder.store.disk import store_error, told
from recorder.store.journal import Journal
from recorder.store.layout import DAY_NS, SECOND_NS, Partition, Stem, date_of
from recorder.store.patience import LOST, PAUSES_SECONDS, Patience
from recorder.store.run import Run, RunState
from recorder.store.tables import TABLES
from recorder.telemetry import FrameInexact, StoreFailed, emit


T = TypeVar("T")

Key: TypeAlias = tuple[str, str]
"""(table, source)."""

GRACE_SECONDS: Final = 3.0
"""How long the end of a run waits for a disk that refuses."""

IN_JOURNALS: Final = "the rows are safe in journals; the next start makes Parquet"

# Rows are synced in this order: what they tell about comes before the ledger,
# and an end of coverage before the gap that follows it.
_PLACE: Final = {"frames": 1, "connections": 2, "coverage": 3, "gaps": 4}


class Flush(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to write, and what is known once they are durable.

    Attributes:
        rows: By (table, source), in the order of arrival.
        blocks: More rows of depth, of one source.
        through_ns: With these, every row received up to then was handed over.
        state: What is open now; None if that did not change.
        heard: For each connection, first instant at which nothing was heard
            any more over it.
        counted_ns: What a clock showed at that time that nobody sets; None if it
            is not known.
    """

    rows: dict[Key, list[RowTuple]]
    through_ns: int
    blocks: tuple[DepthBlock, ...] = ()
    state: RunState | None = None
    heard: tuple[int, ...] = ()
    counted_ns: int | None = None


class WriterStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer has done so far.

    Attributes:
        rows: Durable rows by table.
        flushes: Written, each as a whole.
        through_ns: Every row received up to then is durable; 0 at first.
    """

    rows: dict[str, int]
    through_ns: int
    flushes: int = 0


class Writer:
    """Turns flushes into journals and journals into segments, in one thread.

    Args:
        run: The run whose rows they are.
        rotate_seconds: Journals become segments at multiples of this, by the
            clock.
        segment_max_bytes: And as soon as they are this large.
        small_bytes: A smaller one waits until midnight UTC or the end.
        queue_flushes: How many flushes may wait; `submit` refuses more.
        pauses_seconds: First and longest time between two tries of what the
            disk refuses.
        grace_seconds: How long `close` tries that.
        on_faults: Called with rows that could not be stored.
        on_batch: Called with (table, source, batch) once it is durable; returns
            the gaps that what it finds begins, to be known even if the run is killed.
        on_error: Called once, when the writer ends because of an error.

    The callbacks are called in the writer's thread.
    """

    def __init__(
        self,
        run: Run,
        *,
        rotate_seconds: float = 900.0,
        segment_max_bytes: int = 64 << 20,
        small_bytes: int = 1 << 20,
        queue_flushes: int = 4,
        pauses_seconds: tuple[float, float] = PAUSES_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
        on_faults: Callable[[list[RowFault]], None] | None = None,
        on_batch: Callable[[str, str, pa.RecordBatch], Sequence[Gap]] | None = None,
        on_error: Callable[[StoreError], None] | None = None,
    ) -> None:
        self._run = run
        self._rotate_ns = int(rotate_seconds * SECOND_NS)
        self._segment_max_bytes = segment_max_bytes
        self._small_bytes = small_bytes
        self._on_faults = on_faults
        self._on_batch = on_batch
        self._on_error = on_error
        self._queue: Queue[Flush | None] = Queue(queue_flushes)
        # What is logged there is of the same feed as what is logged here.
        work = copy_context().run
        self._thread = Thread(target=work, args=(self._work,), name="writer")
        self._patience = Patience(pauses_seconds)
        self._grace_seconds = grace_seconds
        self._conversions = Conversions(run.root)
        self._journals: dict[Partition, Journal] = {}
        self._numbers = count()
        self._slot: int | None = None
        self._error: StoreError | None = None
        self._stats = WriterStats(rows={}, through_ns=0)

    def start(self) -> None:
        """Start the thread. It runs until `close`."""
        self._thread.start()

    def submit(self, flush: Flush) -> bool:
        """Hand over rows without waiting.

        Returns:
            False if too many flushes wait: the caller keeps the rows.

        Raises:
            StoreError: If the writer has failed: it takes no more.
        """
        if self._error is not None:
            raise self._error
        try:
            self._queue.put_nowait(flush)
        except Full:
            return False
        return True

    def hurry(self) -> None:
        """Wait for a disk that refuses no longer than a moment from now on."""
        self._patience.hurry(self._grace_seconds)

    @property
    def trouble(self) -> str | None:
        """What the disk refuses now, in words; None if nothing."""
        return self._patience.trouble

    def close(self) -> None:
        """Write what was submitted, turn all journals into segments, and end.

        Raises:
            StoreError: If anything failed since the start. Journals that are
                left are read as they are, and converted by `recover`.
        """
        self.hurry()
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except Full:  # busy; or it failed, and nobody takes from the queue
                continue
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stats(self) -> WriterStats:
        """Return what was done so far; may be called from any thread."""
        return self._stats

    def _work(self) -> None:
        try:
            while (flush := self._queue.get()) is not None:
                self._write(flush)
                through_ns = flush.through_ns
                del flush  # or its rows stay until the next one comes
                self._rotate(through_ns)
            self._end_journals(list(self._journals))
            self._insist(self._conversions.do_all, IN_JOURNALS)
            self._patience.over()
        except StoreError as error:
            self._fail(error)
        except OSError as error:
            self._fail(store_error(f"write to the store {self._run.root}", error))
        except BaseException as error:
            # A mistake of ours: whoever waits for rows must hear of it too.
            self._fail(StoreError(f"the writer died of {error!r}"))
            raise
        finally:
            for journal in self._journals.values():
                with suppress(StoreError):  # it is told already
                    journal.close()

    def _fail(self, error: StoreError) -> None:
        self._error = error
        emit(StoreFailed(why=str(error)))
        if self._on_error is not None:
            self._on_error(error)

    def _write(self, flush: Flush) -> None:
        """Make a flush durable, then tell: of faults before that it is."""
        built = self._patience.insist(partial(_build_within_memory, flush))
        rows = dict(self._stats.rows)
        for key, result in built.items():
            for date, batch in split_by_date(result.batch):
                self._append(Partition(*key, date), batch)
                rows[key[0]] = rows.get(key[0], 0) + batch.num_rows
        if (state := flush.state) is not None:
            self._insist(partial(self._run.write_state, state, flush.through_ns))
        found: list[Gap] = []
        if self._on_batch is not None:
            for (table, source), result in built.items():
                if result.batch.num_rows:
                    found += self._on_batch(table, source, result.batch)
        if found:
            self._insist(partial(self._run.note_found, found))
        synced = {j.stem.number: j.bytes for j in self._journals.values()}
        synced |= self._conversions.synced
        beat = flush.through_ns, flush.heard, synced, flush.counted_ns
        self._insist(partial(self._run.heartbeat, *beat))
        self._patience.over()
        faults = [fault for result in built.values() for fault in result.faults]
        if faults and self._on_faults is not None:
            self._on_faults(faults)
        self._stats = msgspec.structs.replace(
            self._stats,
            rows=rows,
            through_ns=flush.through_ns,
            flushes=self._stats.flushes + 1,
        )

    def _insist(self, work: Callable[[], T], else_: str = LOST) -> T:
        """Do some work in the store, as soon as it is there and the disk lets us."""
        return self._patience.insist(partial(self._in_place, work), else_)

    def _in_place(self, work: Callable[[], T]) -> T:
        try:
            was_away = self._run.check_place()
        except StoreError:
            self._doubt_journals()
            raise
        if was_away:
            self._doubt_journals()
        self._run.check()
        return work()

    def _doubt_journals(self) -> None:
        for journal in self._journals.values():
            journal.doubt()

    def _append(self, partition: Partition, batch: pa.RecordBatch) -> None:
        """Append rows of one date to their journal."""
        first = pc.min(batch["ts_recv"]).value
        journal = self._journals.get(partition)
        if journal is not None and first < journal.stem.first_ts_recv:
            # Readers trust the name: nothing in a file is older than it says.
            self._end_journals([partition])
            journal = None
        if journal is None:
            journal = self._insist(partial(self._new_journal, partition, first))
            self._journals[partition] = journal
        journal.take(batch)
        self._insist(journal.finish)

    def _new_journal(self, partition: Partition, first: int) -> Journal:
        stem = Stem(first, self._run.id, next(self._numbers))
        return Journal(self._run.root, partition, stem, is_living=True)

    def _rotate(self, now_ns: int) -> None:
        """Convert the journals whose time has come."""
        today = date_of(now_ns)
        slot = now_ns // self._rotate_ns
        is_new_slot = self._slot not in (None, slot)
        self._slot = slot
        self._end_journals(
            [
                partition
                for partition, journal in self._journals.items()
                if partition.date < today
                or journal.bytes >= self._segment_max_bytes
                or (is_new_slot and journal.bytes >= self._small_bytes)
            ]
        )
        self._conversions.do_due()

    def _end_journals(self, partitions: list[Partition]) -> None:
        """Append no more to some journals; they are to become segments."""
        for partition in partitions:
            self._conversions.add(self._journals.pop(partition))


def _build_within_memory(flush: Flush) -> dict[Key, Built]:
    with told("make room for rows"):
        return build_all(flush.rows, flush.blocks)


def build_all(
    rows: dict[Key, list[RowTuple]], blocks: Sequence[DepthBlock]
) -> dict[Key, Built]:
    """Return record batches, with the frames that they want kept among them.

    Returns:
        In the order in which they are to be written.
    """
    built: dict[Key, Built] = {}
    frames = {
        source: list(part)
        for (table, source), part in rows.items()
        if table == "frames"
    }
    kept: dict[tuple[str, str, int], RowTuple] = {}
    for (table, source), part in rows.items():
        if table != "frames" and part:
            built[table, source] = result = build(TABLES[table], part, source)
            for row in result.kept:
                kept.setdefault((source, row[1], row[2]), row)
    for (source, conn, seq), row in kept.items():
        frames.setdefault(source, []).append(row)
        if row[4].reason == "inexact":
            emit(FrameInexact(conn=conn, seq=seq, error=row[4].error))
    if blocks:
        key = "depth", blocks[0].source
        batches = [block.batch() for block in blocks]
        others = built.get(key)
        if others is not None:
            batches.append(others.batch)
        batch = laid_together(batches)
        built[key] = (
            Built(batch, [], []) if others is None else others._replace(batch=batch)
        )
    for source, part in frames.items():
        built["frames", source] = build(TABLES["frames"], part, source)
    return dict(sorted(built.items(), key=lambda item: _PLACE.get(item[0][0], 0)))


def split_by_date(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the rows of each UTC date of ``ts_recv``, oldest date first."""
    days = batch["ts_recv"].cast(pa.int64()).to_numpy() // DAY_NS
    for day in np.unique(days).tolist():
        mask = days == day
        part = batch if mask.all() else batch.filter(pa.array(mask))
        yield date_of(day * DAY_NS), part
