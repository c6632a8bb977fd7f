"""Real stores of a few rows, made by the store package itself."""

from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from recorder.model import TABLE_OF, Coverage, DepthUpdate, Gap, StatusEvent, Trade
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.segment import convert
from recorder.store.tables import TABLES


RUN = "20240501T120000-abcdef"


class StoreMaker:
    """Puts rows into a store, as a capture would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.noon = 1_714_564_800_000_000_000  # 2024-05-01T12:00:00Z
        self.day = 86_400_000_000_000
        self._numbers = count()
        self._seqs = count()

    def journal(self, events, *, source="gate_spot", conn=f"{RUN}.1"):
        """Write (ts_recv, event) pairs of one table and date to a journal."""
        table = TABLES[TABLE_OF[type(events[0][1])]]
        rows = [(ts, conn, next(self._seqs), 0, e, None) for ts, e in events]
        partition = Partition(table.name, source, date_of(events[0][0]))
        stem = Stem(events[0][0], RUN, next(self._numbers))
        journal = Journal(self.root, partition, stem)
        built = build(table, rows, source)
        assert built.batch.num_rows == len(events)
        journal.append(built.batch)
        journal.close()
        return partition, stem

    def segment(self, events, **where):
        """Write (ts_recv, event) pairs to a segment; return its path."""
        partition, stem = self.journal(events, **where)
        path = convert(self.root, partition, stem)
        assert path is not None
        return path

    def trade(self, number, *, at=None, market="BTC_USDT", price="100.5", amount="2"):
        ts = self.noon + number if at is None else at
        return ts, Trade(
            market=market,
            ts_event=ts - 5,
            trade_id=number,
            side="sell" if number % 2 else "buy",
            price=price,
            amount=amount,
        )

    def depth(self, number, bids, asks, *, is_snapshot=False, market="BTC_USDT"):
        return self.noon + number, DepthUpdate(
            market=market,
            stream="depth:100ms",
            ts_event=None,
            is_snapshot=is_snapshot,
            first_update_id=None if is_snapshot else number,
            last_update_id=number,
            bids=bids,
            asks=asks,
            depth_limit=100,
            origin="rest" if is_snapshot else "live",
        )

    def gap(self, number, gap_id, **facts):
        return self.noon + number, Gap(
            gap_id=gap_id,
            job="job",
            **{
                "market": "BTC_USDT",
                "stream": "depth:100ms",
                "scope": "rows",
                "reason": "connect_lost",
                "started_at": self.noon,
                **facts,
            },
        )

    def status(self, number, **facts):
        return self.noon + number, StatusEvent(
            **{"kind": "maintenance", "payload": "{}", **facts}
        )

    def coverage(self, number, **facts):
        return self.noon + number, Coverage(
            started_at=self.noon,
            ended_at=self.noon + number,
            closed_by="stop",
            **{"job": "job", "market": "BTC_USDT", "stream": "trades", **facts},
        )


@pytest.fixture
def maker(tmp_path):
    root = tmp_path / "store"
    root.mkdir()
    return StoreMaker(root)


@pytest.fixture
def fetch():
    """Return a relation's rows as Python values, times as nanoseconds."""

    def fetch(relation):
        table = pa.RecordBatchReader.from_stream(relation).read_all()
        for number, field in enumerate(table.schema):
            if pa.types.is_timestamp(field.type):
                times = table.column(number).cast(pa.int64())
                table = table.set_column(number, field.name, times)
        return table.to_pylist()

    return fetch
