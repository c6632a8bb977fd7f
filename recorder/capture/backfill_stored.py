"""What a store holds already, as far as healing asks: gaps, trades, klines.

A store is read file by file, and of each only what is asked about is kept. Times
are our clock, nanoseconds since 1970 UTC, unless said otherwise.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from recorder.capture.bridge import Known
from recorder.model import Chain, Gap
from recorder.store.account import Span
from recorder.store.listing import Listing, Segment
from recorder.store.reading import last_row_ns, read_segment, select_rows
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.tables import TABLES


SEARCHED_MAX: Final = 64
"""Segments searched for the last trade of a market in which little happens."""

HOUR_NS: Final = 3_600_000_000_000
DAY_NS: Final = 24 * HOUR_NS
EARLIER_NS: Final = 600_000_000_000
"""Rows of a time may have been received so long before it, if clocks disagree."""

_BACKFILL: Final = "backfill"
_TRADE: Final = ("ts_recv", "ts_event", "trade_id", "market_trade_id", "origin")

Pushed: TypeAlias = tuple[int, Known]
"""When a trade was pushed, our clock, and the trade."""


class Ends(NamedTuple):
    """The trades between which those of a gap lie.

    Attributes:
        low: The last known before it, the venue's clock; None if there is none.
        high: One that came after it; None if none did.
        since_ns: No trade between the two was received before.
    """

    low: Known | None
    high: Known | None
    since_ns: int


class Stored:
    """The rows of one feed in a store at one instant.

    Args:
        listing: The store.
        source: Name of the feed.
    """

    def __init__(self, listing: Listing, source: str) -> None:
        self._listing = listing
        self._source = source
        self._last: dict[Path, int] = {}
        self._since: dict[tuple[str, str, str], int] | None = None

    def gaps(
        self, job: str | None = None, ids: Collection[str] | None = None
    ) -> list[Gap]:
        """Return the gaps of rows that have not been healed, oldest first.

        Args:
            job: Only those of this job.
            ids: Only these. A store of months has very many, and to make an
                object of each takes time of those that record.
        """
        rows = self._listing.read("gaps", source=self._source)
        if job is not None:
            rows = rows.filter(pc.equal(rows["job"], pa.scalar(job)))
        if ids is not None:
            wanted = pa.array(ids, pa.string())
            rows = rows.filter(
                pc.is_in(rows["gap_id"].cast(pa.string()), value_set=wanted)
            )
        return [
            gap
            for gap in newest_revisions(plain_rows(rows))
            if gap.scope == "rows" and gap.healed_by is None
        ]

    def was_recorded(self, job: str, chain: Chain, before_ns: int) -> bool:
        """Return whether a job covered a chain at some time before an instant."""
        began = self._began().get((job, *chain))
        return began is not None and began < before_ns

    def _began(self) -> dict[tuple[str, str, str], int]:
        """Return since when each job has recorded each chain."""
        if self._since is None:
            names = ["job", "market", "stream", "started_at"]
            rows = self._listing.read("coverage", source=self._source, columns=names)
            self._since = {}
            for row in plain_rows(rows):
                key = row["job"], row["market"] or "", row["stream"]
                at: int = row["started_at"]  # type: ignore[assignment]
                self._since[key] = min(at, self._since.get(key, at))  # type: ignore[index,arg-type]
        return self._since

    def chains(self) -> dict[str, set[Chain]]:
        """Return what each job has recorded."""
        names = ["job", "market", "stream"]
        rows = self._listing.read("coverage", source=self._source, columns=names)
        still = self._listing.open_coverage()
        still = still.filter(pc.equal(still["source"], pa.scalar(self._source)))
        found: dict[str, set[Chain]] = {}
        for part in (rows, still):
            columns = (part[name].to_pylist() for name in names)
            for job, market, stream in set(zip(*columns, strict=True)):
                found.setdefault(job, set()).add(Chain(market or "", stream))
        return found

    def ends(self, market: str, start_ns: int, end_ns: int, overlap_ns: int) -> Ends:
        """Return the trades around a gap.

        What was pushed may have overtaken what was executed before it. So the
        ends lie a little outside the gap, where there are trades.

        Args:
            market: The venue's spelling.
            start_ns: First instant of the gap.
            end_ns: First instant after it.
            overlap_ns: How far outside.
        """
        at = start_ns - overlap_ns
        low = self._before(market, at)
        if low is None:
            low = self._edge(market, at, start_ns, is_last=False)
        high = self._edge(market, end_ns, end_ns + overlap_ns, is_last=True)
        if high is None:
            high = self._after(market, end_ns + overlap_ns)
        since_ns = start_ns if low is None else low[0]
        return Ends(low and low[1], high and high[1], since_ns - EARLIER_NS)

    def _before(self, market: str, end_ns: int) -> Pushed | None:
        """Return the last trade pushed before a time."""
        for span in (HOUR_NS, DAY_NS):
            found = self._edge(market, end_ns - span, end_ns, is_last=True)
            if found is not None:
                return found
        parts = self._parts("trades", _TRADE, market, None, end_ns)
        found_in = (_edge_of(rows, is_last=True) for rows in parts)
        return next((found for found in found_in if found is not None), None)

    def _after(self, market: str, start_ns: int) -> Pushed | None:
        """Return the first trade pushed at or after a time."""
        for span in (HOUR_NS, DAY_NS):
            found = self._edge(market, start_ns, start_ns + span, is_last=False)
            if found is not None:
                return found
        # Some later one does as well, and the newest are found soon.
        parts = self._parts("trades", _TRADE, market, start_ns, None)
        found_in = (_edge_of(rows, is_last=False) for rows in parts)
        return next((found for found in found_in if found is not None), None)

    def _edge(
        self, market: str, start_ns: int, end_ns: int, *, is_last: bool
    ) -> Pushed | None:
        """Return the trade of the highest, or the lowest, id pushed within a time."""
        parts = self._parts("trades", _TRADE, market, start_ns, end_ns)
        found = [edge for rows in parts if (edge := _edge_of(rows, is_last=is_last))]
        choose = max if is_last else min
        return choose(found, key=lambda edge: edge[1].trade_id or 0, default=None)

    def trade_ids(self, market: str, ids: Collection[int], since_ns: int) -> set[int]:
        """Return those among some ids that are stored.

        Args:
            market: The venue's spelling.
            ids: The ids.
            since_ns: None of them was received before.
        """
        wanted = pa.array(ids, pa.int64())
        found: set[int] = set()
        for rows in self._parts("trades", ["trade_id"], market, since_ns, None):
            mask = pc.is_in(rows["trade_id"], value_set=wanted)
            stored = rows["trade_id"].filter(mask).to_pylist()
            found.update(number for number in stored if number is not None)
        return found

    def trades_within(self, market: str, holes: Collection[Span], since_ns: int) -> int:
        """Return how many trades are stored whose ids lie in some ranges.

        Args:
            market: The venue's spelling.
            holes: Ids between which they lie, those not included.
            since_ns: None of them was received before.
        """
        found: set[int] = set()
        for rows in self._parts("trades", ["trade_id"], market, since_ns, None):
            ids = rows["trade_id"]
            for below, above in holes:
                is_above = pc.greater(ids, pa.scalar(below))
                is_below = pc.less(ids, pa.scalar(above))
                inside = ids.filter(pc.and_(is_above, is_below)).to_pylist()
                found.update(number for number in inside if number is not None)
        return len(found)

    def klines(
        self, chain: Chain, opened: range, since_ns: int
    ) -> dict[int, list[tuple[object, ...]]]:
        """Return what is stored of some klines, by opening time.

        Args:
            chain: Whose.
            opened: Opening times.
            since_ns: None of them was received before.

        Returns:
            Of each row: closed flag, then open, high, low, close, volume and
            turnover as stored.
        """
        values = ["is_closed", "open", "high", "low", "close", "volume", "turnover"]
        names = ["interval", "open_at", *values]
        interval = chain.stream.partition(":")[2]
        found: dict[int, list[tuple[object, ...]]] = {}
        for part in self._parts("klines", names, chain.market, since_ns, None):
            is_ours = pc.equal(part["interval"].cast(pa.string()), pa.scalar(interval))
            for row in plain_rows(part.filter(is_ours)):
                at: int = row["open_at"]  # type: ignore[assignment]
                if at in opened:
                    found.setdefault(at, []).append(tuple(row[n] for n in values))
        return found

    def kline_ends(
        self, chain: Chain, start_ns: int, end_ns: int
    ) -> tuple[int | None, int | None]:
        """Return which klines were pushed around a gap, by opening time.

        Args:
            chain: Whose.
            start_ns: First instant of the gap.
            end_ns: First instant after it.

        Returns:
            The last one before it and the first one after it; None of one that was
            not pushed within ten minutes.
        """
        interval = chain.stream.partition(":")[2]
        window = start_ns - EARLIER_NS, end_ns + EARLIER_NS
        names = ["ts_recv", "interval", "open_at", "origin"]
        pushed: list[tuple[int, int]] = []
        for part in self._parts("klines", names, chain.market, *window):
            pushed += [
                (row["ts_recv"], row["open_at"])  # type: ignore[misc]
                for row in plain_rows(part)
                if row["interval"] == interval and row["origin"] != _BACKFILL
            ]
        before = max((found for found in pushed if found[0] < start_ns), default=None)
        after = min((found for found in pushed if found[0] >= end_ns), default=None)
        return before and before[1], after and after[1]

    def _parts(
        self,
        table: str,
        names: Sequence[str],
        market: str,
        start_ns: int | None,
        end_ns: int | None,
    ) -> Iterator[pa.Table]:
        """Yield a market's rows file by file, journals first, then the newest."""
        window = start_ns, end_ns
        columns = list(names)
        parts: Iterable[pa.Table] = (
            part.rows for part in self._listing.journals(table, source=self._source)
        )
        for rows in parts:
            yield select_rows(rows, columns, [market], window)
        segments = sorted(
            self._listing.segments(
                table, source=self._source, start_ns=start_ns, end_ns=end_ns
            ),
            key=lambda segment: segment.first_ts_recv,
            reverse=True,
        )
        if start_ns is None:
            segments = segments[:SEARCHED_MAX]
        for segment in segments:
            if start_ns is not None and self._last_row_ns(segment) < start_ns:
                continue
            yield read_segment(segment.path, TABLES[table], columns, [market], window)

    def _last_row_ns(self, segment: Segment) -> int:
        """Return when the last row of a segment was received."""
        if segment.path not in self._last:
            self._last[segment.path] = last_row_ns(segment.path)
        return self._last[segment.path]


def _edge_of(rows: pa.Table, *, is_last: bool) -> Pushed | None:
    """Return the pushed trade of the highest, or the lowest, id among some rows."""
    is_pushed = pc.not_equal(rows["origin"].cast(pa.string()), pa.scalar(_BACKFILL))
    rows = rows.filter(pc.and_(pc.is_valid(rows["trade_id"]), is_pushed))
    if not rows.num_rows:
        return None
    ids = rows["trade_id"]
    best = pc.max(ids) if is_last else pc.min(ids)
    [row] = plain_rows(rows.slice(pc.index(ids, best).as_py(), 1))
    received: int = row["ts_recv"]  # type: ignore[assignment]
    executed: int | None = row["ts_event"]  # type: ignore[assignment]
    number: int | None = row["market_trade_id"]  # type: ignore[assignment]
    ns = received if executed is None else executed
    return received, Known(ns, best.as_py(), number)
