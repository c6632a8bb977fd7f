"""Rows counted instead of stored.

They go through the very step that makes record batches of them, and books
through the very watch that a capture has, so that what a store would refuse
is found here, too.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from recorder.capture.findings import Findings
from recorder.model import (
    NO_MARKET,
    TABLE_OF,
    Chain,
    ConnectionLife,
    Coverage,
    DepthUpdate,
    Gap,
    KeptFrame,
    StatusEvent,
    Trade,
)
from recorder.source import table_of
from recorder.store.batch import RowTuple, build
from recorder.store.tables import TABLES
from recorder.store.writer import Flush


TOLD_ELSEWHERE: Final = frozenset(
    {
        "not_started",
        "process_stopped",
        "connect_lost",
        "subscription_rejected",
        "undecodable",
    }
)
"""Reasons of gaps that a report tells by answers, connections and frames."""


class ChainTally(msgspec.Struct):
    """What came of one chain.

    Attributes:
        frames: Frames with rows of it.
        rows: Rows.
        history: Rows of the past among them.
        first_update_id: Of the first update.
        last_update_id: Of the last.
        is_numbered: Whether its trades carry a running number.
        missing: Breaks of its sequence, by gap.
        gaps: Gaps of its rows of which nothing else tells, by gap.
        crossings: Times when its book was crossed, by gap.
        last_frame: Connection and number of the last frame with a row.
    """

    frames: int = 0
    rows: int = 0
    history: int = 0
    first_update_id: int | None = None
    last_update_id: int | None = None
    is_numbered: bool = False
    missing: dict[str, Gap] = {}
    gaps: dict[str, Gap] = {}
    crossings: dict[str, Gap] = {}
    last_frame: tuple[str, int] = ("", -1)


class Kept(msgspec.Struct):
    """Frames kept for one reason.

    Attributes:
        error: What is wrong with the first.
        payload: The first.
        frames: How many.
    """

    error: str
    payload: bytes
    frames: int = 0


class Tally:
    """Counts what a session hands over.

    Args:
        chains: What was asked for.
        findings: Told of rows that cannot be stored, and shown each batch.

    Attributes:
        chains: What came, by chain.
        kept: Frames that could not be used, by reason and kind of error.
        lives: Connections that ended, with their names.
        said: What the venue said of itself.
        takes: How often rows were handed over.
    """

    def __init__(self, chains: Iterable[Chain], findings: Findings) -> None:
        self.chains = {chain: ChainTally() for chain in chains}
        self.kept: dict[tuple[str, str], Kept] = {}
        self.lives: list[tuple[str, ConnectionLife]] = []
        self.said: list[StatusEvent] = []
        self.takes = 0
        self._findings = findings
        self._by_table: dict[tuple[str, str], Chain] = {}
        for chain in self.chains:
            self._by_table.setdefault((chain.market, table_of(chain.stream)), chain)

    def take(self, flush: Flush) -> None:
        """Count rows; may be called in a thread, once at a time."""
        self.takes += 1
        for (table, source), rows in flush.rows.items():
            for row in rows:
                self._count(row)
            built = build(TABLES[table], rows, source)
            self._findings.faults(built.faults)
            self._keep(built.kept)
            self._findings.see(table, source, built.batch)

    def _keep(self, rows: Sequence[RowTuple]) -> None:
        for row in rows:
            self._on_kept(row[4])

    def _count(self, row: RowTuple) -> None:
        _, conn, seq, _, event, _ = row
        match event:
            case Gap():
                self._on_gap(event)
            case KeptFrame():
                self._on_kept(event)
            case ConnectionLife():
                self.lives.append((conn, event))
            case Coverage():
                pass
            case _:
                self._on_event(conn, seq, event)

    def _on_event(self, conn: str, seq: int, event: Any) -> None:
        if isinstance(event, StatusEvent):
            self.said.append(event)
        chain = self._chain_of(event)
        if chain is None:
            return
        tally = self.chains[chain]
        if isinstance(event, DepthUpdate):
            if event.origin != "live":
                return  # asked for by HTTP
            last = event.last_update_id
            if tally.first_update_id is None:
                tally.first_update_id = event.first_update_id or last
            tally.last_update_id = last
        tally.rows += 1
        if tally.last_frame != (conn, seq):
            tally.last_frame = (conn, seq)
            tally.frames += 1
        if isinstance(event, Trade):
            tally.history += event.origin != "live"
            tally.is_numbered |= event.market_trade_id is not None

    def _chain_of(self, event: Any) -> Chain | None:
        """Return the chain that an event belongs to, if it was asked for."""
        market = event.market or NO_MARKET
        table = TABLE_OF[type(event)]
        stream = getattr(event, "stream", None)
        if stream is None:
            stream = f"{table}:{getattr(event, 'interval', '')}"
        if (chain := Chain(market, stream)) in self.chains:
            return chain
        found = self._by_table.get((market, table))
        return found or self._by_table.get((NO_MARKET, table))

    def _on_gap(self, gap: Gap) -> None:
        """Note the newest revision of a gap, if it is one chain's."""
        if gap.stream is None:
            return
        tally = self.chains.get(Chain(gap.market or NO_MARKET, gap.stream))
        if tally is None:
            return
        if gap.reason == "crossed":
            tally.crossings[gap.gap_id] = gap
        elif gap.reason == "sequence_gap":
            tally.missing[gap.gap_id] = gap
        elif gap.scope == "rows" and gap.reason not in TOLD_ELSEWHERE:
            tally.gaps[gap.gap_id] = gap

    def _on_kept(self, frame: KeptFrame) -> None:
        error = frame.error or ""
        # Words of an error may hold a number; what it begins with does not, but
        # for an inexact number itself.
        key = frame.reason, "" if frame.reason == "inexact" else error[:40]
        kept = self.kept.setdefault(key, Kept(error, frame.payload))
        kept.frames += 1
