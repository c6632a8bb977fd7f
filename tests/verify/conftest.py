"""A clean store of two runs, to be looked at whole and with something planted in it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorder.model import (
    TABLE_OF,
    Bbo,
    ConnectionLife,
    Coverage,
    DepthUpdate,
    Gap,
    KeptFrame,
    Kline,
    StatusEvent,
    Trade,
)
from recorder.store.batch import build
from recorder.store.layout import Partition, Stem, date_of, segment_path
from recorder.store.segment import write_segment
from recorder.store.tables import TABLES
from recorder.verify import Report, verify


SECOND = 1_000_000_000
NOON = 1_714_564_800 * SECOND  # 2024-05-01T12:00:00Z
FIRST, SECOND_RUN = "20240501T120000-aaaaaa", "20240501T130000-bbbbbb"
SOURCE, JOB = "gate_spot", "job"
MARKETS = ("BTC_USDT", "ETH_USDT")
CHAINS = [
    *((market, stream) for market in MARKETS for stream in ("trades", "depth:100ms")),
    ("BTC_USDT", "bbo"),
    ("BTC_USDT", "klines:1m"),
    (None, "status"),
]
HOUR = 3600 * SECOND
BEGAN, ENDED = SECOND, 600 * SECOND
"""When the chains of a run were accepted, and when it stopped, since its start."""

Change = Callable[[pa.Table], pa.Table]


class Case(NamedTuple):
    """A store on the disk, and how to spoil it."""

    root: Path

    def paths(self, table: str, run: str = FIRST) -> list[Path]:
        found = (self.root / table).rglob(f"*_{run}_*.parquet")
        return sorted(found, key=lambda path: int(path.stem.rpartition("_")[2]))

    def path(self, table: str, run: str = FIRST) -> Path:
        return self.paths(table, run)[0]

    def change(
        self, path: Path, change: Change, *, facts: bool = True, sort: bool = True
    ) -> None:
        """Write a file anew, as the recorder would have, but for what is told."""
        rows = pq.ParquetFile(path).read()
        old = dict(pq.read_schema(path).metadata)
        changed = change(rows)
        assert not changed.equals(rows)
        if sort:
            keys = ("market", "ts_recv", "conn", "seq", "idx")
            plain = changed.set_column(
                changed.schema.get_field_index("conn"),
                "conn",
                changed["conn"].cast(pa.string()),
            )
            plain = plain.set_column(
                changed.schema.get_field_index("market"),
                "market",
                changed["market"].cast(pa.string()),
            )
            changed = plain.sort_by([(key, "ascending") for key in keys]).cast(
                changed.schema
            )
        if facts and changed.num_rows:
            times = changed["ts_recv"].cast(pa.int64()).to_pylist()
            old[b"recorder.rows"] = str(changed.num_rows).encode()
            old[b"recorder.first_ts_recv"] = str(min(times)).encode()
            old[b"recorder.last_ts_recv"] = str(max(times)).encode()
        pq.write_table(
            changed.replace_schema_metadata(old), path, write_page_checksum=True
        )

    def edit(self, path: Path, where: Callable[[dict], bool], **values: object) -> None:
        """Change values of the rows that fit; times are nanoseconds."""
        self.change(path, lambda rows: edited(rows, where, values))

    def without(self, path: Path, where: Callable[[dict], bool]) -> None:
        """Take the rows that fit out of a file."""
        self.change(
            path,
            lambda rows: rows.filter(
                pa.array([not where(row) for row in plain(rows)], pa.bool_())
            ),
        )

    def verified(self, **asked: object) -> Report:
        return verify(self.root, **asked)


def plain(rows: pa.Table) -> list[dict]:
    for number, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(
                number, field.name, rows[field.name].cast(pa.int64())
            )
    return rows.to_pylist()


def edited(rows: pa.Table, where: Callable[[dict], bool], values: dict) -> pa.Table:
    listed = plain(rows)
    for row in listed:
        if where(row):
            row.update(values)
    schema = rows.schema
    columns = []
    for field in schema:
        column = [row[field.name] for row in listed]
        if pa.types.is_timestamp(field.type):
            columns.append(pa.array(column, pa.int64()).cast(field.type))
        elif pa.types.is_dictionary(field.type):
            columns.append(pa.array(column, pa.string()).cast(field.type))
        else:
            columns.append(pa.array(column, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


class Maker:
    """Writes the files of one run, as its capture would have."""

    def __init__(self, root: Path, run: str, start: int) -> None:
        self.root, self.run, self.start = root, run, start
        self._number = self._seq = 0
        self._rows: dict[str, list[tuple]] = {}

    def row(self, at: int, event: object, conn: str = "0", seq: int | None = None):
        self._seq += 1
        place = (
            self.start + at,
            f"{self.run}.{conn}",
            self._seq if seq is None else seq,
        )
        rows = self._rows.setdefault(TABLE_OF[type(event)], [])
        rows.append((*place, 0, event, b"{}"))

    def flush(self) -> None:
        """Write a file of each table that has rows."""
        for table, rows in sorted(self._rows.items()):
            built = build(TABLES[table], rows, SOURCE)
            assert built.batch.num_rows == len(rows)
            first = min(row[0] for row in rows)
            partition = Partition(table, SOURCE, date_of(first))
            stem = Stem(first, self.run, self._number)
            self._number += 1
            write_segment(
                self.root, partition, stem, pa.Table.from_batches([built.batch])
            )
            assert segment_path(self.root, partition, stem).exists()
        self._rows.clear()

    def market(self, market: str, begin: int, end: int, first: int) -> None:
        """Add a snapshot's worth of rows, one of each kind in two seconds."""
        for step in range(begin, end):
            at = BEGAN + step * SECOND
            if step == begin:
                self.row(at, book(market, None, first + step - 1), "rest")
            self.row(at + 10, book(market, first + step, first + step))
            self.row(
                at + 20,
                Trade(
                    market=market,
                    ts_event=self.start + at,
                    trade_id=first + step,
                    side="buy",
                    price="100.5",
                    amount="1",
                    market_trade_id=first + step,
                ),
            )

    def ledger(self, kind: str, at: int, **facts: object) -> None:
        made = Coverage if kind == "coverage" else Gap
        times = {
            name: None if facts[name] is None else self.start + facts[name]
            for name in ("started_at", "ended_at")
            if name in facts
        }
        self.row(at, made(**{"job": JOB, **facts, **times}), "ledger")


def book(market: str, first: int | None, last: int) -> DepthUpdate:
    return DepthUpdate(
        market=market,
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=first is None,
        first_update_id=first,
        last_update_id=last,
        bids=b'[["100","1"],["99","2"]]' if first is None else b'[["100","3"]]',
        asks=b'[["101","1"],["102","2"]]' if first is None else b"[]",
        depth_limit=100,
        origin="rest" if first is None else "live",
    )


def record(root: Path, run: str, start: int, first: int, before: str | None) -> None:
    """Write what one run stores: ten minutes, in two files of a table."""
    maker = Maker(root, run, start)
    for number, (market, stream) in enumerate(CHAINS, 1):
        whose = {"market": market, "stream": stream, "scope": "rows"}
        opened = {"gap_id": f"{run}.{number}", "reason": "not_started", "started_at": 0}
        if before is not None:  # the gap that the run before left open goes on
            opened = {
                "gap_id": f"{before}.{100 + number}",
                "reason": "process_stopped",
                "started_at": ENDED - HOUR,
            }
        maker.ledger("gap", 1, **whose, **opened, ended_at=BEGAN)
        is_book = stream.startswith("depth")
        if is_book:
            maker.ledger(
                "gap",
                BEGAN - 1,
                **whose | {"scope": "book"},
                gap_id=f"{run}.{number}.book",
                reason="resync",
                started_at=BEGAN - 1,
                ended_at=BEGAN + 1,
            )
    for market in MARKETS:
        maker.market(market, 0, 250, first)
    for step in range(5):
        at = BEGAN + step * 60 * SECOND
        maker.row(at + 30, kline(start + at))
        maker.row(
            at + 31,
            Bbo(
                market="BTC_USDT",
                ts_event=None,
                update_id=step + first,
                bid_price="100",
                bid_amount="1",
                ask_price="101",
                ask_amount="1",
            ),
        )
    maker.row(BEGAN + 40, StatusEvent(kind="maintenance", payload=f'{{"of":"{run}"}}'))
    maker.row(
        BEGAN + 50,
        KeptFrame(
            direction="in", opcode="text", reason="unknown", payload=b"?", error="why"
        ),
    )
    maker.flush()
    for market in MARKETS:
        maker.market(market, 250, 500, first)
    maker.row(
        ENDED + 5,
        ConnectionLife(
            url="ws://x",
            opened_at=start,
            closed_at=start + ENDED,
            close_code=1000,
            close_reason="",
            frames=2_000,
            bytes=1,
        ),
    )
    for number, (market, stream) in enumerate(CHAINS, 101):
        whose = {"market": market, "stream": stream}
        middle = 300 * SECOND
        for begin, end, why in (
            (BEGAN, middle, "midnight"),
            (middle, ENDED, "stop"),
        ):
            maker.ledger(
                "coverage",
                ENDED + number,
                **whose,
                started_at=begin,
                ended_at=end,
                closed_by=why,
            )
        maker.ledger(
            "gap",
            ENDED + number,
            **whose,
            scope="rows",
            gap_id=f"{run}.{number}",
            reason="process_stopped",
            started_at=ENDED,
        )
    maker.flush()


def kline(open_at: int) -> Kline:
    return Kline(
        market="BTC_USDT",
        ts_event=None,
        interval="1m",
        open_at=open_at,
        open="1",
        high="2",
        low="1",
        close="2",
        volume="3",
        turnover="4",
        is_closed=None,
    )


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean store: a run, and a later one that goes on where it stopped."""
    root = tmp_path_factory.mktemp("verified") / "store"
    root.mkdir()
    record(root, FIRST, NOON, 1_000, None)
    record(root, SECOND_RUN, NOON + HOUR, 5_000, FIRST)
    return root


@pytest.fixture
def case(whole: Path, tmp_path: Path) -> Case:
    """A copy of the store, to be spoiled."""
    import shutil

    root = tmp_path / "store"
    shutil.copytree(whole, root)
    return Case(root)


@pytest.fixture
def start_of_day() -> int:
    """An instant of the day after the store's."""
    return NOON + 12 * HOUR
