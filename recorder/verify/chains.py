"""Whose rows are these? Rows of all tables laid beside the ledger, chain by chain.

A gap of some reasons says that nothing came any more over the connections that
had carried the chain: rows of those inside it contradict it. Rows of the next
connection may come before the acceptance that ends the gap, and what was
fetched later is no contradiction either.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from recorder.counts import counted
from recorder.model import NO_MARKET, Chain
from recorder.replay.book import run_of_gap
from recorder.store.layout import SECOND_NS
from recorder.verify.checks.accounts import FOREVER
from recorder.verify.checks.ids import Gaps, Hole, TradeNumbers, unexplained
from recorder.verify.checks.rows import Ints, Truths, runs_of
from recorder.verify.files import STREAM_COLUMNS, Piece
from recorder.verify.findings import Finding, Findings
from recorder.verify.ledger import GapSaid, SourceLedger
from recorder.verify.reading import numbers, texts


SILENT: Final = frozenset({"connect_lost", "venue_upgrade", "process_stopped"})
"""Reasons of gaps that say that a connection brought nothing any more."""

STOP: Final = "process_stopped"
STOP_NS: Final = 60 * SECOND_NS
"""A gap of a stop begins no later than what it can vouch for. Where one connection
was about to take over from another, rows of both came after that."""

LEFT: Final = ".over."
"""In the ids of gaps that a run which took over wrote of what was left of others."""

UNASKED: Final = "status"
"""The table in which a venue may say things that nobody asked for."""

CONNS_REMEMBERED: Final = 8
"""Connections of a chain of which it is remembered when they began to bring it."""

OF_CHAINS: Final = frozenset(
    {
        *("trades", "depth", "klines", "tickers", "bbo"),
        *("liquidations", "contract_stats", "status", "orders", "balances"),
    }
)
"""Tables that chains fill."""


class Part(NamedTuple):
    """Rows of one chain and one run, in the order of a file.

    Attributes:
        table: Their table.
        chain: The chain as the rows tell it: its stream may lack a parameter.
        run: The run that received them.
        times: ``ts_recv``.
        conns: Number of each row's connection.
        names: What those numbers mean.
        is_live: Which rows came over a socket as they happened.
        where: Which rows of the piece they are.
    """

    table: str
    chain: Chain
    run: str
    times: Ints
    conns: Ints
    names: Sequence[str | None]
    is_live: Truths
    where: Ints


def parts_of(table: str, piece: Piece) -> Iterator[Part]:
    """Yield the rows of a piece by chain and run."""
    is_live = np.array(
        [not (name or "").endswith(".rest") for name in piece.conns], np.bool_
    )[piece.keys.conn]
    if "origin" in piece.rows.schema.names:
        codes, origins = texts(piece.rows, "origin")
        is_live &= np.array([o == "live" for o in origins], np.bool_)[codes]
    runs, run_of = _runs(piece)
    names = _stream_names(table, piece.rows)
    for start, end in runs_of(piece.keys.market):
        market = piece.markets[int(piece.keys.market[start])] or NO_MARKET
        streams, of_run = piece.streams[start:end], run_of[start:end]
        for stream in np.unique(streams).tolist():
            for run in np.unique(of_run[streams == stream]).tolist():
                where = start + np.flatnonzero((streams == stream) & (of_run == run))
                yield Part(
                    table,
                    Chain(market, names[stream]),
                    runs[run],
                    piece.keys.ts_recv[where],
                    piece.keys.conn[where],
                    piece.conns,
                    is_live[where],
                    where,
                )


def _runs(piece: Piece) -> tuple[list[str], Ints]:
    """Return the runs of a piece, and the number of each row's."""
    of_conn = [(name or "").partition(".")[0] for name in piece.conns]
    runs = sorted(set(of_conn))
    place = {run: number for number, run in enumerate(runs)}
    numbers_of = np.array([place[run] for run in of_conn], np.int64)
    return runs, numbers_of[piece.keys.conn]


def _stream_names(table: str, rows: pa.Table) -> list[str]:
    column = STREAM_COLUMNS.get(table)
    if column is None:
        return [table]
    _, found = texts(rows, column)
    return [(n or "") if table == "depth" else f"{table}:{n}" for n in found]


class ChainCheck:
    """Lays rows beside the ledger of their source.

    Args:
        ledger: Of the source.
        findings: Told of what is wrong.
        horizon_ns: Rows of living runs received later are not judged yet.
    """

    def __init__(
        self, ledger: SourceLedger, findings: Findings, horizon_ns: int
    ) -> None:
        self._ledger = ledger
        self._findings = findings
        self._horizon_ns = horizon_ns
        self._first: dict[tuple[str, Chain], int] = {}
        self._untold: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._silences: dict[tuple[str, str, Chain], tuple[Gaps, Ints]] = {}
        self._began: dict[Chain, dict[str, int]] = defaultdict(dict)
        self._numbers: dict[tuple[str, Chain], TradeNumbers] = {}
        self._chains: dict[tuple[str, str, str], list[Chain]] = defaultdict(list)
        for job, chain in ledger.spans():
            table = chain.stream.partition(":")[0]
            self._chains[job, table, chain.market].append(chain)

    def take(self, part: Part, numbered: Ints | None = None) -> None:
        """Take rows.

        Args:
            part: The rows, oldest first; of each chain in the order of time.
            numbered: The running number of each, where they have one, else -1.
        """
        job = self._ledger.jobs.get(part.run)
        self._check_told(part, job)
        if job is not None:
            self._check_silence(part, job)
        if numbered is not None:
            keep = part.is_live & (numbered >= 0)
            if part.run in self._ledger.alive:
                keep &= part.times < self._horizon_ns
            key = part.run, part.chain
            known = self._numbers.setdefault(key, TradeNumbers())
            known.follow(numbered[keep], part.times[keep])

    def close(self) -> None:
        """Tell what only all rows together show."""
        for (run, table, market), (at, count) in sorted(self._untold.items()):
            self._findings.add(
                Finding(
                    kind="no_ledger",
                    detail=f"{counted(count, 'row')} of run {run}, the first without a word",
                    source=self._ledger.source,
                    table=table,
                    market=market or None,
                    job=self._ledger.jobs.get(run),
                    started_at=at,
                    count=count,
                )
            )
        for (run, chain), seen in self._numbers.items():
            if seen.is_proved:
                job = self._ledger.jobs.get(run)
                gaps = gaps_of_rows(self._ledger, job, chain)
                for hole in unexplained(seen.holes, gaps):
                    if not self._has_other(run, chain, hole):
                        self._findings.add(self._missing_trades(job, chain, hole))

    def _has_other(self, run: str, chain: Chain, hole: Hole) -> bool:
        """Return whether a run beside it, of the same job, has what one lacks."""
        job = self._ledger.jobs.get(run)
        return any(
            seen.has(hole.after + 1, hole.before - 1)
            for (other, its), seen in self._numbers.items()
            if its == chain and other != run and self._ledger.jobs.get(other) == job
        )

    def _missing_trades(self, job: str | None, chain: Chain, hole: Hole) -> Finding:
        count = hole.before - hole.after - 1
        return Finding(
            kind="missing_trades",
            detail=f"{count} between the numbers {hole.after} and {hole.before}",
            source=self._ledger.source,
            table="trades",
            market=chain.market,
            stream=chain.stream,
            job=job,
            started_at=hole.since,
            ended_at=hole.until,
            count=count,
        )

    def _check_told(self, part: Part, job: str | None) -> None:
        """Note rows received before the ledger speaks of their chain, or ever.

        Of a run that never had the account it says whose rows they are, no more.
        """
        if part.run in self._ledger.only_beside:
            return
        chains = self._named(part, job) if job is not None else []
        if job is not None and part.table == UNASKED and not chains:
            return
        first = min((self._first_of(job or "", c) for c in chains), default=FOREVER)
        early = part.times < first
        if early.any():
            key = part.run, part.table, part.chain.market
            at, count = self._untold.get(key, (FOREVER, 0))
            at = min(at, int(part.times[early].min()))
            self._untold[key] = at, count + int(early.sum())

    def _named(self, part: Part, job: str) -> list[Chain]:
        """Return the chains of the ledger that rows may be of."""
        found = self._chains.get((job, part.table, part.chain.market), [])
        exact = [chain for chain in found if chain.stream == part.chain.stream]
        if exact or part.table in STREAM_COLUMNS:
            return exact
        # Of our own account, and of announcements: the stream has no column.
        return found or self._chains.get((job, part.table, NO_MARKET), [])

    def _first_of(self, job: str, chain: Chain) -> int:
        key = job, chain
        if key not in self._first:
            spans = self._ledger.spans()[key]
            self._first[key] = min((span.start for span in spans), default=FOREVER)
        return self._first[key]

    def _check_silence(self, part: Part, job: str) -> None:
        """Look for rows of connections in gaps that say that they were silent."""
        if part.run in self._ledger.only_beside:
            return
        began = self._began[part.chain]
        live = part.conns[part.is_live]
        times = part.times[part.is_live]
        for code in np.unique(live).tolist():
            name = part.names[code] or ""
            began.setdefault(name, int(times[live == code].min()))
        while len(began) > CONNS_REMEMBERED:
            del began[min(began, key=lambda name: began[name])]
        gaps, starts = self._silence_of(job, part.run, part.chain)
        inside = gaps.hold(times)
        if not inside.any():
            return
        start = starts[np.searchsorted(starts, times[inside], side="right") - 1]
        first = np.array(
            [began.get(part.names[c] or "", FOREVER) for c in live[inside].tolist()],
            np.int64,
        )
        wrong = first < start
        suspects = np.stack([live[inside], start], axis=1)[wrong]
        for code, lost_at in np.unique(suspects, axis=0).tolist():
            if self._ledger.goes_on(part.names[code] or "", lost_at):
                wrong &= (live[inside] != code) | (start != lost_at)
        if wrong.any():
            at = times[inside][wrong]
            self._findings.add(
                Finding(
                    kind="rows_in_gap",
                    detail=f"{counted(at.size, 'row')} in a gap that began at {start[wrong][0]}",
                    source=self._ledger.source,
                    table=part.table,
                    market=part.chain.market or None,
                    stream=part.chain.stream,
                    job=job,
                    started_at=int(at.min()),
                    ended_at=int(at.max()) + 1,
                    count=at.size,
                )
            )

    def _silence_of(self, job: str, run: str, chain: Chain) -> tuple[Gaps, Ints]:
        """Return the gaps in which a run's connections are said to be silent.

        Another run beside it may have heard the chain all the same, and not be
        believed, because their clocks were apart.
        """
        key = job, run, chain
        if key not in self._silences:
            silent = sorted(
                {
                    (said.start + (STOP_NS if said.gap.reason == STOP else 0), said.end)
                    for said in self._ledger.gaps_of(job, chain, "rows")
                    if said.gap.reason in SILENT
                    and said.gap.healed_by is None
                    and said.start < said.end - STOP_NS * (said.gap.reason == STOP)
                    and run_of_gap(said.gap) == run
                    and LEFT not in said.gap.gap_id
                }
            )
            starts = np.array([start for start, _ in silent], np.int64)
            self._silences[key] = Gaps(silent), starts
        return self._silences[key]


def gaps_of_rows(ledger: SourceLedger, job: str | None, chain: Chain) -> Gaps:
    """Return the gaps of rows of a chain, of one job, or of all."""
    return spans_of(ledger.gaps_of(job, chain, "rows"))


def spans_of(gaps: Iterable[GapSaid]) -> Gaps:
    """Return gaps to be asked for instants."""
    return Gaps((said.start, said.end) for said in gaps)


def trade_numbers(piece: Piece) -> Ints:
    """Return the running numbers of rows of ``trades``."""
    return numbers(piece.rows, "market_trade_id")
