"""The whole look at a store, in the order in which it is done.

Files first, then the ledger: so the ledger is never older than the rows that it
is to explain. Each file is read once, a piece at a time; the depth files once
more, chain by chain, to replay their books.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from recorder.clock import wall_ns
from recorder.counts import counted
from recorder.errors import StoreError
from recorder.model import Chain
from recorder.store.layout import INTERNAL, SECOND_NS, date_of, list_files
from recorder.store.listing import check_store, open_listing
from recorder.verify.books import BookCheck
from recorder.verify.chains import (
    OF_CHAINS,
    ChainCheck,
    parts_of,
    trade_numbers,
)
from recorder.verify.checks.accounts import audit, ends
from recorder.verify.checks.rows import Ints
from recorder.verify.doubles import TradeIds, find_shared, read_places, read_trades
from recorder.verify.files import FileCheck, Piece, Range, Summary
from recorder.verify.findings import Checked, Finding, Findings, Report
from recorder.verify.ledger import (
    LEDGER_TABLES,
    Ledgers,
    SourceLedger,
    read_ledgers,
)
from recorder.verify.reading import DataFile, list_data, numbers, texts
from recorder.verify.residue import check_residue


SETTLE_NS: Final = 60 * SECOND_NS
"""What a living run received within this it may not have told all about."""

NUMBERS_MAX: Final = 900_000
"""Files that a run itself writes are numbered below this."""

TROUBLE: Final = frozenset({"disk_full"})
"""Reasons of gaps of a run that could not always make its files."""


class Asked(NamedTuple):
    """What is to be looked at.

    Attributes:
        source: Only this feed; None means all.
        markets: Only these markets; None means all.
        start_ns: Only rows received from then on, nanoseconds; None for all.
        end_ns: Only rows received before; None for all.
    """

    source: str | None = None
    markets: frozenset[str] | None = None
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self == Asked()

    def has_market(self, market: str) -> bool:
        """Return whether a market is to be looked at."""
        return self.markets is None or market in self.markets

    def has_time(self, start: int, end: int) -> bool:
        """Return whether an interval has an instant that is to be looked at."""
        return (self.end_ns is None or start < self.end_ns) and (
            self.start_ns is None or end > self.start_ns
        )


def verify(
    root: Path,
    *,
    source: str | None = None,
    markets: Collection[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
) -> Report:
    """Check a whole store, or what of it is asked for; nothing is changed.

    Args:
        root: The store's folder.
        source: Only this feed.
        markets: Only these markets: their books, their accounts, their trades.
            Files are looked at as a whole.
        start_ns: Only files that may hold rows received from then on, our
            clock, nanoseconds.
        end_ns: Only files that may hold rows received before.

    Raises:
        ConfigError: If there is no such store.
        StoreError: If it may not be read. Files that are damaged are findings.
    """
    check_store(root)
    chosen = frozenset(markets) if markets is not None else None
    return _Look(root, Asked(source, chosen, start_ns, end_ns)).report()


class _Look:
    """One look at a store."""

    def __init__(self, root: Path, asked: Asked) -> None:
        self._root = root
        self._asked = asked
        self._findings = Findings()
        self._checked = Checked()
        self._horizon_ns = wall_ns() - SETTLE_NS
        self._books: dict[str, set[Chain]] = defaultdict(set)
        self._broken: dict[tuple[str, str], int] = defaultdict(int)

    def report(self) -> Report:
        """Look at everything; return what was found."""
        files = [file for file in list_data(self._root) if self._is_asked(file)]
        ledgers = read_ledgers(self._root)
        self._checked.runs_alive = len(ledgers.alive)
        groups: dict[tuple[str, str], list[DataFile]] = defaultdict(list)
        for file in files:
            groups[file.partition.source, file.partition.table].append(file)
        for name in sorted({name for name, _ in groups} | set(ledgers.by_source)):
            if self._asked.source in (None, name):
                self._check_source(name, groups, ledgers.of(name))
        if self._asked.start_ns is None and self._asked.end_ns is None:
            self._check_numbers(files, ledgers)
        if self._asked.is_all:
            check_residue(self._root, self._findings, ledgers)
        return self._findings.report(str(self._root), self._checked)

    def _is_asked(self, file: DataFile) -> bool:
        asked = self._asked
        return (
            asked.source in (None, file.partition.source)
            and (asked.end_ns is None or file.stem.first_ts_recv < asked.end_ns)
            and (
                asked.start_ns is None or file.partition.date >= date_of(asked.start_ns)
            )
        )

    def _check_source(
        self,
        source: str,
        groups: dict[tuple[str, str], list[DataFile]],
        ledger: SourceLedger,
    ) -> None:
        if not ledger.is_whole:
            self._findings.skip(
                f"{source}: its accounts and books, for files of its ledger cannot "
                "be read"
            )
        chains = ChainCheck(ledger, self._findings, self._horizon_ns)
        for (name, table), files in sorted(groups.items()):
            if name == source:
                self._check_table(table, files, ledger, chains)
        if not ledger.is_whole:
            return
        chains.close()
        self._check_accounts(ledger)
        if self._broken[source, "depth"]:
            self._findings.skip(f"{source}: its books, for depth files cannot be read")
        elif self._books[source]:
            self._check_books(source, ledger)

    def _check_books(self, source: str, ledger: SourceLedger) -> None:
        try:
            listing = open_listing(self._root)
        except StoreError as error:  # a run file that is no run file
            self._findings.skip(f"{source}: its books, for {error}")
            return
        books = BookCheck(
            listing,
            ledger,
            self._findings,
            self._checked,
            self._horizon_ns,
            (self._asked.start_ns, self._asked.end_ns),
        )
        for chain in sorted(self._books[source]):
            books.check(chain)

    def _check_table(
        self,
        table: str,
        files: Sequence[DataFile],
        ledger: SourceLedger,
        chains: ChainCheck,
    ) -> None:
        """Check the files of one table of one source, and what they share."""
        summaries: list[Summary] = []
        trades: dict[str, list[tuple[DataFile, dict[str, Range]]]] = defaultdict(list)
        for file in files:
            check = FileCheck(self._root, file, self._findings)
            ids = TradeIds()
            for piece in check.pieces():
                self._take(file, piece, ledger, chains, ids)
            summary = check.summary()
            summaries.append(summary)
            self._checked.files += 1
            self._checked.rows += summary.rows
            self._checked.bytes += file.bytes
            self._broken[file.partition.source, table] += not summary.is_right
            ranges, twice = ids.close()
            trades[file.stem.run].append((file, ranges))
            for market, found in twice.items():
                self._tell_trades(file, market, found)
        self._check_shared(summaries)
        for of_run in trades.values():
            for common in find_shared(of_run, read_trades):
                self._tell_trades(common.other, common.group, common.numbers)

    def _take(
        self,
        file: DataFile,
        piece: Piece,
        ledger: SourceLedger,
        chains: ChainCheck,
        ids: TradeIds,
    ) -> None:
        """Take the rows of a file for what is checked over several files."""
        table, numbered = file.partition.table, None
        if table in LEDGER_TABLES:
            self._check_intervals(file, piece)
        elif table == "depth":
            self._note_books(file.partition.source, piece)
        elif table == "trades":
            self._note_trades(piece, ids)
            numbered = trade_numbers(piece)
        if table not in OF_CHAINS or not ledger.is_whole:
            return
        for part in parts_of(table, piece):
            if self._asked.has_market(part.chain.market):
                of_part = None if numbered is None else numbered[part.where]
                chains.take(part, of_part)

    def _note_books(self, source: str, piece: Piece) -> None:
        _, streams = texts(piece.rows, "stream")
        pairs = np.unique(np.stack([piece.keys.market, piece.streams]), axis=1)
        for market, stream in pairs.T.tolist():
            chain = Chain(piece.markets[market] or "", streams[stream] or "")
            if self._asked.has_market(chain.market):
                self._books[source].add(chain)

    def _note_trades(self, piece: Piece, ids: TradeIds) -> None:
        known = numbers(piece.rows, "trade_id")
        for code in np.unique(piece.keys.market).tolist():
            market = piece.markets[code] or ""
            if self._asked.has_market(market):
                ids.note(market, known[piece.keys.market == code])

    def _tell_trades(self, file: DataFile, market: str, twice: Ints) -> None:
        self._findings.add(
            Finding(
                kind="doubled_trades",
                detail=f"{counted(twice.size, 'id')}, the first is {twice[0]}",
                path=str(file.path.relative_to(self._root)),
                source=file.partition.source,
                table="trades",
                market=market,
                count=twice.size,
            )
        )

    def _check_shared(self, summaries: Sequence[Summary]) -> None:
        """Look for the same place of the same frame in two files."""
        readable = [(s.file, s.places) for s in summaries if s.is_right]
        for found in find_shared(readable, read_places):
            other = found.one.path.relative_to(self._root)
            named = f"place of {found.group} is", f"places of {found.group} are"
            shared = counted(found.numbers.size, *named)
            self._findings.add(
                Finding(
                    kind="doubled_rows",
                    detail=f"{shared} also in {other}",
                    path=str(found.other.path.relative_to(self._root)),
                    source=found.other.partition.source,
                    table=found.other.partition.table,
                    count=found.numbers.size,
                )
            )

    def _check_intervals(self, file: DataFile, piece: Piece) -> None:
        ended = numbers(piece.rows, "ended_at", -1)
        started = numbers(piece.rows, "started_at")
        is_gap = file.partition.table == "gaps"  # one may have no length
        wrong = (ended >= 0) & ((ended < started) if is_gap else (ended <= started))
        if wrong.any():
            count = int(wrong.sum())
            self._findings.add(
                Finding(
                    kind="impossible_interval",
                    detail=f"{counted(count, 'row')}, the first begins at "
                    f"{started[wrong][0]}",
                    path=str(file.path.relative_to(self._root)),
                    source=file.partition.source,
                    table=file.partition.table,
                    count=count,
                )
            )

    def _check_accounts(self, ledger: SourceLedger) -> None:
        if not ledger.is_settled:
            self._findings.skip(
                f"{ledger.source}: its accounts, for they change all the time"
            )
            return
        living = {ledger.jobs[run] for run in ledger.alive}
        for job in sorted(ledger.dead_jobs):
            self._findings.skip(
                f"{ledger.source}: the accounts of job {job}, for a run of it died"
            )
        for (job, chain), spans in sorted(ledger.spans().items()):
            if job in ledger.dead_jobs or not self._asked.has_market(chain.market):
                continue
            self._checked.chains += 1
            for fault in audit(spans):
                if self._asked.has_time(fault.start, fault.end):
                    self._add_fault(
                        ledger, job, chain, fault.kind, fault.detail, *fault[1:3]
                    )
            if job not in living and ends(spans):
                last = max(span.end for span in spans)
                detail = "nothing is said of the time after"
                self._add_fault(ledger, job, chain, "ledger_ends", detail, last, None)

    def _add_fault(
        self,
        ledger: SourceLedger,
        job: str,
        chain: Chain,
        kind: str,
        detail: str,
        start: int,
        end: int | None,
    ) -> None:
        self._findings.add(
            Finding(
                kind=kind,
                detail=detail,
                source=ledger.source,
                market=chain.market or None,
                stream=chain.stream,
                job=job,
                started_at=start,
                ended_at=end,
            )
        )

    def _check_numbers(self, files: Sequence[DataFile], ledgers: Ledgers) -> None:
        """Look for files that a run wrote and that are gone."""
        missing = _missing(files, self._root)
        alive = {run.run for run in ledgers.alive}
        if missing.keys() & alive:  # they may have come between two looks
            missing = _missing(list_data(self._root), self._root)
        troubled = {
            said.run
            for ledger in ledgers.by_source.values()
            for said in ledger.gaps
            if said.gap.reason in TROUBLE
        }
        for run, numbers_ in sorted(missing.items()):
            if run in troubled:
                continue
            some = ", ".join(map(str, numbers_[:5]))
            more = f" and {len(numbers_) - 5} more" if len(numbers_) > 5 else ""
            self._findings.add(
                Finding(
                    kind="missing_file",
                    detail=f"of run {run} the files numbered {some}{more}",
                    count=len(numbers_),
                )
            )


def _missing(files: Sequence[DataFile], root: Path) -> dict[str, list[int]]:
    """Return the numbers that are not among the files of each run."""
    seen: dict[str, set[int]] = defaultdict(set)
    for file in files:
        seen[file.stem.run].add(file.stem.number)
    for _, stem, _ in list_files(root / INTERNAL / "torn", ".arrow"):
        if stem.run in seen:
            seen[stem.run].add(stem.number)
    found = {}
    for run, having in seen.items():
        own = {number for number in having if number < NUMBERS_MAX}
        gone = sorted(set(range(max(own, default=-1) + 1)) - own)
        if gone:
            found[run] = gone
    return found
