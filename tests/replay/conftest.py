"""A store written row by row, through the real journals and segments."""

import secrets
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from recorder.model import TABLE_OF, Coverage, DepthUpdate, Gap
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.listing import Listing, open_listing
from recorder.store.segment import write_segment
from recorder.store.tables import TABLES


START_NS = 1_700_000_000_000_000_000
"""2023-11-14T22:13:20Z; times of the tests are seconds after it."""

RUN = "20231114T221320-abcdef"


def ns(seconds: float) -> int:
    """Return an instant so many seconds after the start."""
    return START_NS + round(seconds * 1_000) * 1_000_000


class Recorded:
    """Collects rows; each call of `segment` or `journal` writes a file of each kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rows: dict[tuple[str, str], list[tuple]] = {}
        self._files = 0
        self._seq = 0
        self._gaps = 0

    def row(self, at, event, *, source="gate_spot", conn=f"{RUN}.0", seq=None, idx=0):
        """Add an event received at a time in seconds."""
        self._seq += 1
        key = TABLE_OF[type(event)], source
        seq = self._seq if seq is None else seq
        self._rows.setdefault(key, []).append((ns(at), conn, seq, idx, event, b"{}"))

    def depth(self, at, first, last, bids=(), asks=(), *, conn=f"{RUN}.0", **other):
        """Add a depth message."""
        place = {k: other.pop(k) for k in ("source", "seq", "idx") if k in other}
        event = DepthUpdate(
            **{
                "market": "BTC_USDT",
                "stream": "depth:100ms",
                "ts_event": ns(at) - 5_000_000,
                "is_snapshot": False,
                "first_update_id": first,
                "last_update_id": last,
                "bids": levels(bids),
                "asks": levels(asks),
                **other,
            }
        )
        self.row(at, event, conn=conn, **place)

    def image(self, at, last, bids=(), asks=(), *, conn=f"{RUN}.rest", **other):
        """Add a snapshot."""
        other = {"is_snapshot": True, "origin": "rest", **other}
        self.depth(at, None, last, bids, asks, conn=conn, **other)

    def gap(self, started_at, ended_at=None, *, written_at=None, **other):
        """Add a gap; times in seconds."""
        place = {k: other.pop(k) for k in ("source", "conn", "seq") if k in other}
        self._gaps += 1
        event = Gap(
            **{
                "gap_id": f"{RUN}.{self._gaps}",
                "market": "BTC_USDT",
                "stream": "depth:100ms",
                "job": "job",
                "scope": "rows",
                "reason": "connect_lost",
                "started_at": ns(started_at),
                "ended_at": None if ended_at is None else ns(ended_at),
                **other,
            }
        )
        at = started_at if written_at is None else written_at
        self.row(at, event, **{"conn": f"{RUN}.ledger", **place})

    def coverage(self, started_at, ended_at, closed_by="stop", **other):
        """Add an interval of coverage; times in seconds."""
        place = {k: other.pop(k) for k in ("source", "conn", "seq") if k in other}
        event = Coverage(
            **{
                "market": "BTC_USDT",
                "stream": "depth:100ms",
                "job": "job",
                "started_at": ns(started_at),
                "ended_at": ns(ended_at),
                "closed_by": closed_by,
                **other,
            }
        )
        self.row(ended_at, event, **{"conn": f"{RUN}.ledger", **place})

    def segment(self) -> None:
        """Write what was added since the last call as Parquet."""
        for partition, stem, rows in self._take():
            assert write_segment(self.root, partition, stem, rows)

    def journal(self) -> None:
        """Write what was added since the last call as journals."""
        for partition, stem, rows in self._take():
            journal = Journal(self.root, partition, stem)
            for batch in rows.to_batches():
                journal.append(batch)
            journal.close()

    def listing(self) -> Listing:
        """Write what is left as segments and return the listing of it all."""
        self.segment()
        self.root.mkdir(exist_ok=True)
        return open_listing(self.root)

    def _take(self):
        collected, self._rows = self._rows, {}
        for (name, source), rows in collected.items():
            for date in sorted({date_of(row[0]) for row in rows}):
                mine = [row for row in rows if date_of(row[0]) == date]
                built = build(TABLES[name], mine)
                assert not built.faults
                first = min(row[0] for row in mine)
                stem = Stem(first, RUN, self._files)
                self._files += 1
                table = pa.Table.from_batches([built.batch])
                yield Partition(name, source, date), stem, table


def levels(pairs) -> bytes:
    """Return pairs of numbers as a venue sends them."""
    return msgspec.json.encode([[repr(p), repr(a)] for p, a in pairs])


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """A store to be filled."""
    return Recorded(tmp_path / "store")


@pytest.fixture
def new_store(tmp_path: Path):
    """Make any number of stores to be filled."""
    return lambda: Recorded(tmp_path / secrets.token_hex(8))


@pytest.fixture
def at():
    """The instant so many seconds after the start of the data, nanoseconds."""
    return ns
