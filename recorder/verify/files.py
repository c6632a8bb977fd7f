"""One file: can all of it be read, and is it what its name and footer say?"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recorder.counts import counted
from recorder.store.layout import date_of
from recorder.store.reading import TABLE_KEY, VERSION_KEY
from recorder.store.tables import TABLES, Table
from recorder.verify.checks import rows as checks
from recorder.verify.checks.rows import Ints, Keys
from recorder.verify.findings import Finding, Findings
from recorder.verify.reading import (
    BROKEN,
    DataFile,
    numbers,
    pieces,
    seals_of,
    texts,
)


TOLERANCE_NS: Final = 1_000_000_000
"""By how much our clock may be behind the venue's before it is said."""

STREAM_COLUMNS: Final = {
    "depth": "stream",
    "klines": "interval",
    "contract_stats": "interval",
    "gaps": "stream",
    "coverage": "stream",
}
"""The column that tells streams of a market apart."""

SHARED_PLACES: Final = frozenset({"frames"})
"""Tables in which a frame may have a row for each of several reasons."""

Range: TypeAlias = tuple[int, int]
"""Lowest and highest number."""


class Piece(NamedTuple):
    """Some rows of a file, and the numbers that checks ask for.

    Attributes:
        rows: All columns.
        keys: What they are sorted by.
        markets: Text of each market number.
        conns: Text of each connection number.
        streams: Number of each row's stream among those of its market.
    """

    rows: pa.Table
    keys: Keys
    markets: Sequence[str | None]
    conns: Sequence[str | None]
    streams: Ints


class Summary(NamedTuple):
    """What is remembered of a file when it is closed.

    Attributes:
        file: Which.
        rows: How many it has.
        places: By connection: the lowest and highest place in its frames.
        is_right: Whether it could be read to its end.
    """

    file: DataFile
    rows: int
    places: dict[str, Range]
    is_right: bool


class FileCheck:
    """Checks one file while its pieces are read.

    Args:
        root: The store's folder.
        file: The file.
        findings: Told of what is wrong.
    """

    def __init__(self, root: Path, file: DataFile, findings: Findings) -> None:
        self._file = file
        self._table: Table = TABLES[file.partition.table]
        self._findings = findings
        self._path = str(file.path.relative_to(root))
        self._rows = 0
        self._span: Range | None = None
        self._last: pa.Table | None = None
        self._places: dict[str, list[Ints]] = defaultdict(list)
        self._doubled = self._early = self._backward = self._unsorted = 0
        self._worst_ns = 0
        self._foreign: set[str] = set()
        self._is_right = True

    def pieces(self) -> Iterator[Piece]:
        """Yield the rows, checked; stop where the file cannot be read."""
        try:
            if self._file.is_journal:
                self._check_seals()
            elif not self._check_schema():
                self._is_right = False
                return
            for rows in pieces(self._file):
                if rows.num_rows:
                    piece = self._piece(rows)
                    self._check(piece)
                    yield piece
        except BROKEN as error:
            self._is_right = False
            self._add("unreadable_file", str(error))

    def summary(self) -> Summary:
        """Return what is to be remembered; call it once all was read."""
        if self._is_right:
            self._check_whole()
        places = {
            conn: (int(min(p.min() for p in parts)), int(max(p.max() for p in parts)))
            for conn, parts in self._places.items()
        }
        return Summary(self._file, self._rows, places, self._is_right)

    def _add(self, kind: str, detail: str, count: int = 1) -> None:
        partition = self._file.partition
        self._findings.add(
            Finding(
                kind=kind,
                detail=detail,
                path=self._path,
                source=partition.source,
                table=partition.table,
                started_at=self._span and self._span[0],
                ended_at=self._span and self._span[1] + 1,
                count=count,
            )
        )

    def _check_seals(self) -> None:
        seals = seals_of(self._file)
        if seals.is_damaged:
            what = f"{seals.torn_bytes} bytes behind its last whole row cannot be read"
            self._add("damaged_journal", what)

    def _check_schema(self) -> bool:
        """Check the footer's names and types; return whether rows can be read."""
        schema = pq.read_schema(self._file.path)
        facts = schema.metadata or {}
        name = facts.get(TABLE_KEY, b"").decode(errors="replace")
        version = facts.get(VERSION_KEY, b"").decode(errors="replace")
        if name != self._table.name or version != str(self._table.version):
            self._add(
                "unknown_schema",
                f"it holds {name or 'an unnamed table'} v{version or '?'}, not "
                f"{self._table.name} v{self._table.version}",
            )
            return False
        if not schema.equals(self._table.schema):
            self._add("wrong_columns", _difference(schema, self._table.schema))
            return False
        return True

    def _piece(self, rows: pa.Table) -> Piece:
        market, markets = texts(rows, "market")
        conn, conns = texts(rows, "conn")
        keys = Keys(
            market,
            numbers(rows, "ts_recv"),
            conn,
            numbers(rows, "seq"),
            numbers(rows, "idx"),
        )
        column = STREAM_COLUMNS.get(self._table.name)
        streams = np.zeros(rows.num_rows, np.int64)
        if column is not None:
            streams, _ = texts(rows, column)
        return Piece(rows, keys, markets, conns, streams)

    def _check(self, piece: Piece) -> None:
        keys = piece.keys
        self._rows += keys.ts_recv.size
        first, last = int(keys.ts_recv.min()), int(keys.ts_recv.max())
        if self._span is not None:
            first, last = min(first, self._span[0]), max(last, self._span[1])
        self._span = first, last
        if not self._file.is_journal:
            self._unsorted += checks.unsorted_at(keys).size
            self._check_border(piece.rows)
        group = keys.market * (int(piece.streams.max(initial=0)) + 1) + piece.streams
        self._backward += checks.backward_at(keys, group).size
        self._check_events(piece)
        self._note_places(piece)

    def _check_border(self, rows: pa.Table) -> None:
        """Check the order across the border to the piece before."""
        names = ["market", "ts_recv", "conn", "seq", "idx"]
        if self._last is not None:
            both = pa.concat_tables([self._last, rows.slice(0, 1).select(names)])
            self._unsorted += checks.unsorted_at(sort_keys(both)).size
        self._last = rows.slice(rows.num_rows - 1).select(names)

    def _check_events(self, piece: Piece) -> None:
        events = numbers(piece.rows, "ts_event", 0)
        early = checks.early_at(piece.keys.ts_recv, events, TOLERANCE_NS)
        if early.size:
            self._early += early.size
            worst = int((events[early] - piece.keys.ts_recv[early]).max())
            self._worst_ns = max(self._worst_ns, worst)

    def _note_places(self, piece: Piece) -> None:
        kind = kinds_of(piece.rows) if self._table.name in SHARED_PLACES else None
        numbered = checks.places(piece.keys.seq, piece.keys.idx, kind)
        for code in np.unique(piece.keys.conn).tolist():
            conn = piece.conns[code] or ""
            self._places[conn].append(numbered[piece.keys.conn == code])
            if conn.partition(".")[0] != self._file.stem.run:
                self._foreign.add(conn)

    def _check_whole(self) -> None:
        """Check what only the whole file tells."""
        if self._span is not None:
            self._check_place(*self._span)
            self._tell_counts()
        elif not self._file.is_journal:
            self._add("empty_file", "it has no rows")

    def _check_place(self, first: int, last: int) -> None:
        """Check that rows are of the file's day, name, run and footer."""
        partition, stem = self._file.partition, self._file.stem
        days = {date_of(first), date_of(last)} - {partition.date}
        if days:
            self._add("wrong_partition", f"it has rows of {' and '.join(sorted(days))}")
        if first < stem.first_ts_recv:
            self._add("wrong_name", f"its first row was received at {first}")
        if self._foreign:
            some = ", ".join(sorted(self._foreign)[:3])
            self._add("foreign_rows", f"it has rows of {some}")
        if not self._file.is_journal:
            self._check_footer(first, last)

    def _tell_counts(self) -> None:
        for parts in self._places.values():
            self._doubled += checks.doubled(np.concatenate(parts)).size
        for count, kind, one, many, what in (
            (
                *(self._unsorted, "unsorted_rows", "row comes", "rows come"),
                "before the row in front",
            ),
            (
                *(self._backward, "backward_time", "frame comes", "frames come"),
                "before an earlier one",
            ),
            (
                *(self._doubled, "doubled_rows", "place has", "places have"),
                "more than one row",
            ),
        ):
            if count:
                self._add(kind, f"{counted(count, one, many)} {what}", count)
        if self._early:
            worst = f"by {self._worst_ns / 1e9:.3f} s at most"
            self._add(
                "early_rows", f"{counted(self._early, 'row')}, {worst}", self._early
            )

    def _check_footer(self, first: int, last: int) -> None:
        said = pq.read_schema(self._file.path).metadata or {}
        partition, stem = self._file.partition, self._file.stem
        if said.get(b"recorder.source", b"").decode() != partition.source:
            of = said.get(b"recorder.source", b"?").decode(errors="replace")
            self._add("wrong_partition", f"it holds rows of the source {of}")
        wanted = {
            "run": stem.run,
            "rows": self._rows,
            "first_ts_recv": first,
            "last_ts_recv": last,
        }
        wrong = [
            f"{name} {text} instead of {value}"
            for name, value in wanted.items()
            if (
                text := said.get(f"recorder.{name}".encode(), b"nothing").decode(
                    errors="replace"
                )
            )
            != str(value)
        ]
        if wrong:
            self._add("footer_disagrees", f"its footer says {', '.join(wrong)}")


def kinds_of(rows: pa.Table) -> Ints:
    """Return a number for the reason for which each frame was kept."""
    codes, reasons = texts(rows, "reason")
    number = {"archive": 0, "inexact": 1, "undecodable": 2, "unknown": 3}
    return np.array([number.get(r or "", 4) for r in reasons], np.int64)[codes]


def sort_keys(rows: pa.Table) -> Keys:
    """Return the sort keys of rows."""
    return Keys(
        texts(rows, "market")[0],
        numbers(rows, "ts_recv"),
        texts(rows, "conn")[0],
        numbers(rows, "seq"),
        numbers(rows, "idx"),
    )


def _difference(found: pa.Schema, wanted: pa.Schema) -> str:
    """Return in words what two schemas do not have in common."""
    missing = [name for name in wanted.names if name not in found.names]
    added = [name for name in found.names if name not in wanted.names]
    other = [
        f"{field.name} is {found.field(field.name).type}, not {field.type}"
        for field in wanted
        if field.name in found.names and not found.field(field.name).equals(field)
    ]
    parts = [f"{', '.join(missing)} missing"] if missing else []
    parts += [f"{', '.join(added)} added"] if added else []
    return "; ".join([*parts, *other]) or "its columns are in another order"
