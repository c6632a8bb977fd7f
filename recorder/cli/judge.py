"""Is what was recorded what the exchange did? For the simulator, who knows.

The oracle is the simulator's own record (`recorder.simulator.truth`), made by
its matching engine and sharing no code with what is judged. Used by the demo,
by the tests and by ``scripts/soak``.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from recorder.model import DepthUpdate, Gap, Level, Levels, Row
from recorder.replay import OrderBook, replay
from recorder.simulator.truth import Truth, V3Depth
from recorder.store.listing import Listing
from recorder.store.revisions import newest_revisions, plain_rows


BEST_LEVELS: Final = 10
"""Levels a side that are compared: every stream maintains that many."""

TRANSIT_NS: Final = 1_500_000_000
"""The longest way of a trade to us: the old protocol sends once a second."""


class BookVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the replayed states of one book compare.

    Attributes:
        source: Name of the feed.
        market: The market.
        stream: The depth stream.
        states: Known states after a message.
        equal: Those that equal the exchange's own.
        unknown: Messages after which the book was not known.
        first_difference: The first state that differs, in words.
    """

    source: str
    market: str
    stream: str
    states: int
    equal: int
    unknown: int
    first_difference: str | None = None


class TradeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored trades of one market compare.

    Attributes:
        source: Name of the feed.
        market: The market.
        expected: Trades of the exchange while it was recorded.
        stored: Those among them that are stored, and right.
        in_gaps: Those that are not, and lie in a gap that says so.
        lost: Ids of those that are missing in silence.
        doubled: Ids that are stored more than once.
        wrong: Ids of stored trades that differ, or never happened.
    """

    source: str
    market: str
    expected: int
    stored: int
    in_gaps: int
    lost: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()

    @property
    def is_right(self) -> bool:
        """Whether nothing is lost in silence, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)


def judge_books(listing: Listing, truth: Truth, source: str) -> list[BookVerdict]:
    """Replay every book of a source and compare each known state.

    Args:
        listing: The store.
        truth: What the exchange knows of itself.
        source: Name of the feed.

    Returns:
        A verdict for each recorded book, sorted by market and stream.
    """
    windows = _windows_by_conn(listing, truth, source)
    books: dict[tuple[str, str], OrderBook] = {}
    tallies: dict[tuple[str, str], _Tally] = defaultdict(_Tally)
    for row in replay(listing, source=source, streams=["depth"]):
        event = row.event
        if isinstance(event, Gap):
            for book in books.values():
                book.apply(event)
            continue
        if not isinstance(event, DepthUpdate):
            continue
        key = (event.market, event.stream)
        book = books.setdefault(key, OrderBook())
        book.apply(event, conn=row.conn)
        expected = _expected(truth, windows, row, book)
        tallies[key].add(row, book, expected)
    return [
        tally.verdict(source, market, stream)
        for (market, stream), tally in sorted(tallies.items())
    ]


class _Tally:
    def __init__(self) -> None:
        self._states = self._equal = self._unknown = 0
        self._first: str | None = None

    def add(
        self, row: Row, book: OrderBook, expected: tuple[Levels, Levels] | None
    ) -> None:
        """Compare a book with what it should be after a row."""
        if not book.is_known:
            self._unknown += 1
            return
        self._states += 1
        shown = book.top(BEST_LEVELS)
        if shown == expected:
            self._equal += 1
        elif self._first is None:
            self._first = (
                f"after frame {row.conn}/{row.seq}, update {book.last_update_id}: "
                f"shown {shown}, expected {expected}"
            )

    def verdict(self, source: str, market: str, stream: str) -> BookVerdict:
        """Return the result for one book."""
        return BookVerdict(
            source=source,
            market=market,
            stream=stream,
            states=self._states,
            equal=self._equal,
            unknown=self._unknown,
            first_difference=self._first,
        )


def _expected(
    truth: Truth,
    windows: dict[str, Iterator[V3Depth]],
    row: Row,
    book: OrderBook,
) -> tuple[Levels, Levels] | None:
    """Return the exchange's own book after a row; None if it has none.

    With ids the applied id says which. Without, the n-th depth row of a
    connection is the n-th depth frame that was sent over it.
    """
    event = row.event
    if isinstance(event, DepthUpdate) and event.last_update_id is None:
        window = next(windows[row.conn], None)
        if window is None or not window.is_exact or window.market != event.market:
            return None
        return _levels(window.bids), _levels(window.asks)
    if not book.is_known or book.last_update_id is None:
        return None
    assert isinstance(event, DepthUpdate)  # noqa: S101 - the caller checked it
    bids, asks = truth.book_at(event.market, book.last_update_id, BEST_LEVELS)
    return _levels(bids), _levels(asks)


def _levels(texts: Sequence[tuple[str, str]]) -> Levels:
    pairs: list[Level] = [(float(price), float(amount)) for price, amount in texts]
    return tuple(pairs[:BEST_LEVELS])


def _windows_by_conn(
    listing: Listing, truth: Truth, source: str
) -> dict[str, Iterator[V3Depth]]:
    """Pair our connections that carried id-less depth with the exchange's.

    Ours is the one that began to send last before our first row came: of
    another, one that was killed before it stored anything, we have no row.
    """
    rows = plain_rows(
        listing.read(
            "depth", source=source, columns=["ts_recv", "conn", "last_update_id"]
        )
    )
    began: dict[str, int] = {}
    for row in rows:
        if row["last_update_id"] is None:
            conn, ts_recv = str(row["conn"]), int(str(row["ts_recv"]))
            began[conn] = min(ts_recv, began.get(conn, ts_recv))
    sent: dict[int, list[V3Depth]] = defaultdict(list)
    for window in truth.v3_depths:
        sent[window.conn].append(window)
    theirs = sorted(sent.values(), key=lambda windows: windows[0].ts_ns)
    starts = [windows[0].ts_ns for windows in theirs]
    return {
        conn: iter(theirs[bisect_right(starts, at) - 1] if at >= starts[0] else ())
        for conn, at in began.items()
    }


def judge_trades(listing: Listing, truth: Truth, source: str) -> list[TradeVerdict]:
    """Compare the stored trades of a source with those that happened.

    A trade that is not stored must lie in a gap of rows, by its running
    number where the gap names numbers, else by the time of its way to us.

    Args:
        listing: The store.
        truth: What the exchange knows of itself.
        source: Name of the feed.

    Returns:
        A verdict for each market with coverage of trades.
    """
    coverage = [
        row
        for row in plain_rows(listing.read("coverage", source=source))
        if row["stream"] == "trades"
    ]
    gaps = [
        gap
        for gap in newest_revisions(plain_rows(listing.read("gaps", source=source)))
        if gap.scope == "rows" and gap.stream in (None, "trades")
    ]
    stored: dict[str, list[dict[str, object]]] = defaultdict(list)
    for trade in plain_rows(listing.read("trades", source=source)):
        stored[str(trade["market"])].append(trade)
    verdicts = []
    for market in sorted({str(row["market"]) for row in coverage}):
        mine = [row for row in coverage if row["market"] == market]
        began = min(int(str(row["started_at"])) for row in mine)
        ended = max(int(str(row["ended_at"])) for row in mine)
        verdicts.append(
            _judge_market(source, market, truth, stored[market], gaps, began, ended)
        )
    return verdicts


def _judge_market(
    source: str,
    market: str,
    truth: Truth,
    rows: list[dict[str, object]],
    gaps: list[Gap],
    began: int,
    ended: int,
) -> TradeVerdict:
    counts = Counter(int(str(row["trade_id"])) for row in rows)
    facts = {
        int(str(row["trade_id"])): (row["side"], row["price"], row["amount"])
        for row in rows
    }
    mine = [gap for gap in gaps if gap.market in (None, market)]
    known = {trade.trade_id: trade for trade in truth.trades_of(market)}
    wrong = [
        trade_id
        for trade_id, fact in facts.items()
        if trade_id not in known
        or fact
        != (
            known[trade_id].side,
            float(known[trade_id].price),
            float(known[trade_id].amount),
        )
    ]
    # A trade just before the end may still have been on its way.
    expected = [t for t in known.values() if began <= t.ts_ns <= ended - TRANSIT_NS]
    missing = [t for t in expected if t.trade_id not in facts]
    lost = [
        t.trade_id
        for t in missing
        if not any(_names(gap, t.market_trade_id, t.ts_ns) for gap in mine)
    ]
    return TradeVerdict(
        source=source,
        market=market,
        expected=len(expected),
        stored=len(expected) - len(missing),
        in_gaps=len(missing) - len(lost),
        lost=tuple(lost),
        doubled=tuple(trade_id for trade_id, n in counts.items() if n > 1),
        wrong=tuple(wrong),
    )


def _names(gap: Gap, number: int, ts_ns: int) -> bool:
    """Return whether a gap says that a trade is missing."""
    if gap.after_update_id is not None and gap.before_update_id is not None:
        return gap.after_update_id < number < gap.before_update_id
    ended_at = gap.ended_at if gap.ended_at is not None else ts_ns + 1
    return gap.started_at <= ts_ns + TRANSIT_NS and ts_ns < ended_at
