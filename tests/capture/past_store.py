"""A store as a capture would have left it, with a gap in the exchange's past."""

from itertools import count
from pathlib import Path

import msgspec

from recorder.capture.backfill_healing import Pace
from recorder.capture.backfill_offline import Address, Choice, heal_store
from recorder.capture.backfill_stored import Stored
from recorder.model import TABLE_OF, Coverage, Gap, Trade
from recorder.source import NO_SECRETS, resolve_options
from recorder.sources import load
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem, date_of
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.segment import convert
from recorder.store.tables import TABLES


S = 10**9
WAY = 20_000_000
"""How long a trade took to us, nanoseconds."""
RUN = "20240501T120000-abcdef"
PACE = Pace(
    overlap_seconds=0.5,
    first_seconds=0.6,
    settled_seconds=1.5,
    retry_seconds=(0.5,) * 9,
)


class PastStore:
    """What was recorded of one market before and after a gap.

    Args:
        root: Folder of the store; it is made.
        source: Name of the feed.
        trades: All trades of the market, oldest first.
        first: The gap begins just after this one ...
        last: ... and ends just before this one.
    """

    def __init__(self, root: Path, source: str, trades, first: int, last: int) -> None:
        root.mkdir()
        self.root = root
        self.source = source
        self.trades = trades
        self.gap_at = trades[first].ts_ns + WAY + 1
        self.gap_end = trades[last].ts_ns + WAY
        self.lost = [t for t in trades if self.gap_at <= t.ts_ns + WAY < self.gap_end]
        self.kept = [t for t in trades if t not in self.lost]
        self._numbers = count()
        self._seqs = count()

    def rows(self, events, *, is_segment=True):
        """Write (ts_recv, event) pairs of one table."""
        table = TABLES[TABLE_OF[type(events[0][1])]]
        rows = [(ts, f"{RUN}.1", next(self._seqs), 0, e, None) for ts, e in events]
        partition = Partition(table.name, self.source, date_of(events[0][0]))
        stem = Stem(events[0][0], RUN, next(self._numbers))
        journal = Journal(self.root, partition, stem)
        journal.append(build(table, rows, self.source).batch)
        journal.close()
        if is_segment:
            convert(self.root, partition, stem)

    def live(self, trade):
        """Return a trade as it was pushed."""
        has_number = self.source == "gate_spot"
        return trade.ts_ns + WAY, Trade(
            market="BTC_USDT",
            ts_event=trade.ts_ns,
            trade_id=trade.trade_id,
            side=trade.side,
            price=trade.price,
            amount=trade.amount,
            market_trade_id=trade.market_trade_id if has_number else None,
        )

    def record(self, *streams, market="BTC_USDT", **facts):
        """Write what was received, what was covered, and a gap of each stream."""
        for is_after in (False, True):
            part = [t for t in self.kept if (t.ts_ns >= self.gap_at) == is_after]
            if part:
                self.rows([self.live(trade) for trade in part])
        began, ended = self.trades[0].ts_ns, self.trades[-1].ts_ns + S
        spans = ((began, self.gap_at, "gap"), (self.gap_end, ended, "stop"))
        self.rows(
            [
                (
                    ended,
                    Coverage(
                        market=market,
                        stream=stream,
                        job="job",
                        started_at=start,
                        ended_at=end,
                        closed_by=why,
                    ),
                )
                for stream in streams
                for start, end, why in spans
            ]
        )
        gap = Gap(
            gap_id="g",
            market=market,
            stream=None,
            job="job",
            scope="rows",
            reason="connect_lost",
            started_at=self.gap_at,
            ended_at=self.gap_end,
            detail="the peer vanished",
        )
        gap = msgspec.structs.replace(gap, **facts)
        if gap.market is None:
            self.rows([(ended, gap)])
            return
        self.rows(
            [
                (ended, msgspec.structs.replace(gap, gap_id=stream, stream=stream))
                for stream in streams
            ]
        )

    def address(self, exchange):
        """Return how the exchange is reached."""
        feed = load(self.source)
        settings = resolve_options(feed, {})
        return Address(
            source=feed,
            options=settings,
            secrets=NO_SECRETS,
            rest_url=exchange.rest_url,
            ws_url=exchange.ws_urls[self.source],
        )

    async def heal(self, exchange, choice=None, *, pace=PACE):
        """Heal it; return what was told of each gap, by its id."""
        told = []
        await heal_store(
            self.root,
            self.address(exchange),
            choice or Choice(),
            on_told=told.append,
            pace=pace,
        )
        return {one.gap.gap_id: one for one in told}

    def table(self, name):
        """Return the rows of a table."""
        return plain_rows(open_listing(self.root).read(name))

    def gaps(self):
        """Return the newest revision of each gap, by its id."""
        return {gap.gap_id: gap for gap in newest_revisions(self.table("gaps"))}

    def stored(self):
        """Return what is asked about a store."""
        return Stored(open_listing(self.root), self.source)
