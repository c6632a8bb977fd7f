"""Made-up lives of a run: rows, breaks, a midnight, rotations, an end.

Time is invented, so that it can be said exactly which rows were durable when.
"""

import random
import threading
from pathlib import Path
from typing import Final, NamedTuple

from recorder.model import TABLE_OF, Chain, DepthUpdate, LedgerRow, Trade
from recorder.store.batch import RowTuple
from recorder.store.layout import DAY_NS, SECOND_NS
from recorder.store.ledger import Ledger
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.revisions import gaps_left_open
from recorder.store.run import Run, open_run
from recorder.store.writer import Flush, Writer
from trials.disk_log import DiskLog


SOURCE: Final = "made_up"
JOB: Final = "trial"
FLUSH_NS: Final = SECOND_NS
MIDNIGHT_NS: Final = 19_700 * DAY_NS
CHAINS: Final = (
    Chain("A", "trades"),
    Chain("B", "trades"),
    Chain("A", "depth:x"),
)

Place = tuple[str, str, int]
"""Table, connection and number of the frame of a row."""


class Made(NamedTuple):
    """A row that was made up.

    Attributes:
        chain: Whose it is.
        ts_recv: When, nanoseconds.
        what: What it says.
        flush: In which flush it was handed over.
    """

    chain: Chain
    ts_recv: int
    what: int
    flush: int


class Work:
    """Lives of a run, one after another, in one store.

    Args:
        root: The store's folder; it does not exist yet.
        log: Is told when a flush is durable.
        seed: Decides everything.

    Attributes:
        made: All rows that were made up.
        through: When each flush was handed over, nanoseconds.
        began_ns: When the first life began.
    """

    def __init__(self, root: Path, log: DiskLog, seed: int) -> None:
        self.made: dict[Place, Made] = {}
        self.through: list[int] = []
        self._root = root
        self._log = log
        self._rng = random.Random(seed)
        self._count = 0
        self.began_ns = MIDNIGHT_NS - self._rng.randint(2, 6) * SECOND_NS
        self._now = self.began_ns

    def live(self, flushes: int) -> None:
        """Live once, to an end in order.

        Args:
            flushes: How often rows are handed over before the end.

        Raises:
            StoreError: If the writer failed.
        """
        if self._root.exists():
            recover(self._root)
        run = open_run(self._root, job=JOB, source=SOURCE, now_ns=self._now)
        left_open = gaps_left_open(open_listing(self._root), JOB)
        ledger = Ledger(JOB, run.id, CHAINS, left_open)
        life = _Life(run, ledger)
        life.note(self._now, ledger.start(self._now))
        if (state := ledger.state()) is not None:
            run.write_state(state, self._now)
        self._log.mark("begun", self._now)
        failed = threading.Event()
        writer = Writer(
            run,
            rotate_seconds=3,
            small_bytes=2_000,
            segment_max_bytes=12_000,
            pauses_seconds=(0.001, 0.01),
            on_error=lambda _: failed.set(),
        )
        writer.start()
        try:
            for _ in range(flushes):
                self._submit(writer, self._second(life), failed)
            self._submit(writer, self._last(life), failed)
        finally:
            writer.close()
        run.release()
        self._now += self._rng.randint(1, 5) * SECOND_NS

    def _submit(self, writer: Writer, flush: Flush, failed: threading.Event) -> None:
        """Hand rows over, and wait until they are durable."""
        done = writer.stats().flushes
        if not writer.submit(flush):
            raise RuntimeError("the writer has no room for one flush")
        while writer.stats().flushes == done and not failed.wait(0.0005):
            pass
        self._log.mark("durable", len(self.through) - 1)

    def _second(self, life: "_Life") -> Flush:
        """Make up what happens in a flush interval."""
        begin, end = self._now, self._now + FLUSH_NS
        for at in sorted(self._rng.sample(range(begin + 1, end), 12)):
            if begin < MIDNIGHT_NS <= at and life.days == 0:
                life.days = 1
                life.note(at, life.ledger.midnight(MIDNIGHT_NS))
            self._something(life, at)
        self._now = end
        return self._flush(life)

    def _something(self, life: "_Life", at: int) -> None:
        chance, ledger = self._rng.random(), life.ledger
        if not life.is_up:
            if chance < 0.5:
                life.is_up = True
                life.last_at = at
                for chain in CHAINS:
                    life.note(at, ledger.covered(chain, at))
        elif chance < 0.04:
            life.is_up = False
            for chain in CHAINS:
                life.note(at, ledger.lost(chain, "connect_lost", life.last_at + 1))
        elif chance < 0.08:
            since = max(life.last_at, at - SECOND_NS)
            ledger.missed_by_any("backpressure", since + 1, at + 1, detail="made up")
            life.last_at = at
        else:
            self._row(life, self._rng.choice(CHAINS), at)

    def _row(self, life: "_Life", chain: Chain, at: int) -> None:
        """Make up a row; of some, the frame is kept as well."""
        self._count += 1
        what = self._count
        life.last_at = at
        conn = f"{life.run.id}.0"
        is_long = self._rng.random() < 0.1
        amount = "0.12345678901234567890" if is_long else f"{what}.5"
        event: Trade[str] | DepthUpdate[bytes]
        if chain.stream == "trades":
            event = Trade(
                market=chain.market,
                ts_event=at,
                trade_id=what,
                side="buy",
                price="1.5",
                amount=amount,
            )
        else:
            event = DepthUpdate(
                market=chain.market,
                stream=chain.stream,
                ts_event=at,
                is_snapshot=False,
                first_update_id=what,
                last_update_id=what,
                bids=b'[["1.5","2"]]',
                asks=b"[]",
                depth_limit=100,
            )
        table = TABLE_OF[type(event)]
        life.rows.setdefault((table, SOURCE), []).append(
            (at, conn, what, 0, event, b"{}")
        )
        self.made[table, conn, what] = Made(chain, at, what, len(self.through))

    def _flush(self, life: "_Life") -> Flush:
        life.note(self._now, life.ledger.due())
        rows, life.rows = life.rows, {}
        self.through.append(self._now)
        return Flush(
            rows=rows,
            through_ns=self._now,
            state=life.ledger.state(dict.fromkeys(CHAINS, 0)),
            heard=(life.last_at + 1,),
        )

    def _last(self, life: "_Life") -> Flush:
        heard = dict.fromkeys(CHAINS, life.last_at + 1)
        life.note(self._now, life.ledger.stop(self._now, heard))
        return self._flush(life)


class _Life:
    """One life: what it has open, and rows that are not handed over yet."""

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self.run = run
        self.ledger = ledger
        self.rows: dict[tuple[str, str], list[RowTuple]] = {}
        self.is_up = False
        self.last_at = 0
        self.days = 0
        self._notes = 0

    def note(self, at: int, rows: "list[LedgerRow]") -> None:
        """Keep rows of the ledger."""
        for row in rows:
            key = TABLE_OF[type(row)], SOURCE
            place = (at, f"{self.run.id}.ledger", self._notes, 0)
            self.rows.setdefault(key, []).append((*place, row, None))
            self._notes += 1
