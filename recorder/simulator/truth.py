"""What really happened: the exchange's own record, for tests to judge by.

Held in memory, written to a folder as JSON lines (`truth_files`), or both.
Book changes are kept as numbers in arrays, 57 bytes each, with a whole book
now and then to start from.
"""

from array import array
from bisect import bisect_right
from typing import Protocol

import msgspec

from recorder.simulator.account_truth import AccountChange
from recorder.simulator.book import ASK, BID
from recorder.simulator.engine import BookChange, Market, Trade
from recorder.simulator.markets import MarketSpec, market_key
from recorder.simulator.numbers import decimal_text


TextLevel = tuple[str, str]
TextBook = tuple[tuple[TextLevel, ...], tuple[TextLevel, ...]]
"""Bids and asks, best first, as decimal texts."""

Fact = str | int | bool | tuple[TextLevel, ...] | None
"""A number as decimal text, a whole number, a flag, levels, or nothing."""
Facts = dict[str, Fact]
"""What one row of a pushed frame says, by the name of the stored column."""

FEEDS = {
    "gate_spot": "v4",
    "gate_v3": "v3",
    "gate_futures": "futures",
    "okx_status": "v5",
    "gate_announcements": "ann",
    "cryptolisting": "listings",
}
"""Under which name the record keeps what a source was sent."""
_BOOK_EVERY = 1_000
"""Changes between two whole books."""


def key_of(feed: str, market: str) -> str:
    """Return under which name the record keeps the market of a feed."""
    return market_key("futures" if feed == "futures" else "spot", market)


class MarketStart(msgspec.Struct, frozen=True, kw_only=True):
    """A market as the record begins.

    Attributes:
        spec: Name and units.
        update_id: Id of the last change before the record.
        bids: (ticks, lots), best first.
        asks: (ticks, lots), best first.
    """

    spec: MarketSpec
    update_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class V3Depth(msgspec.Struct, frozen=True, kw_only=True):
    """A v3 depth frame that was sent, and what its reader holds after it.

    Attributes:
        conn: Number of the v3 connection, from 1, in order of acceptance.
        n: Number of the depth frame on that connection, from 0.
        ts_ns: When it was sent.
        market: The market.
        is_snapshot: True for a clean frame.
        update_id: Id of the market's book when it was sent.
        bids: What a reader of all frames of the connection holds, best first.
        asks: The same for the other side.
        is_exact: Whether that is the exchange's own window; after a dropped
            frame it is not, until the next clean frame.
    """

    conn: int
    n: int
    ts_ns: int
    market: str
    is_snapshot: bool
    update_id: int
    bids: list[TextLevel]
    asks: list[TextLevel]
    is_exact: bool


class FaultDone(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was really performed.

    Attributes:
        ts_ns: When.
        name: Name of the fault.
        feed: A value of `FEEDS`, or ``rest``.
        conn: Number of the connection, from 1, by feed; None where there is
            none.
        market: The market of the frame or request, if it has one.
        stream: ``depth``, ``trades``, ...; None if it hit a connection.
        parameter: Of the stream: ``100ms``, ``1m``; empty if it has none.
        first_update_id: First id of the depth frame it hit.
        last_update_id: Last id of the depth frame it hit.
        trade_ids: Trades in the frame it hit.
    """

    ts_ns: int
    name: str
    feed: str
    conn: int | None = None
    market: str | None = None
    stream: str | None = None
    parameter: str = ""
    first_update_id: int | None = None
    last_update_id: int | None = None
    trade_ids: tuple[int, ...] = ()


class FrameSent(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed frame as handed to a connection; recorded only on request.

    Attributes:
        ts_ns: When.
        feed: ``v4``, ``v3``, ``futures``, ``v5``, ``ann`` or ``listings``.
        conn: Number of the connection.
        n: Number of the frame on the connection, from 0; answers count.
        stream: ``depth``, ``trades``, ..., ``control``.
        market: The market, if it has one.
        first_update_id: Of a v4 depth frame.
        last_update_id: Of a v4 depth frame.
        trade_ids: Trades in it.
        parameter: Of the stream: ``100ms``, ``1m``; empty if it has none.
        is_whole: False if a fault spoiled it: nobody can decode it.
        facts: What it says, row by row; nothing for trades and answers.
    """

    ts_ns: int
    feed: str
    conn: int
    n: int
    stream: str
    market: str | None = None
    first_update_id: int | None = None
    last_update_id: int | None = None
    trade_ids: tuple[int, ...] = ()
    parameter: str = ""
    is_whole: bool = True
    facts: tuple[Facts, ...] = ()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue said of itself: once, whoever was there to hear it.

    Attributes:
        ts_ns: When.
        feed: ``v5``, ``ann`` or ``listings``.
        stream: ``status``, or ``status:summary_fee``.
        option: The option under which a client hears it, ``en``, or who published
            it; empty for all alike.
        facts: What it says.
    """

    ts_ns: int
    feed: str
    stream: str
    option: str = ""
    facts: Facts


class ChangeRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A book change as written: market, id, time, side, ticks, lots."""

    market: str
    update_id: int
    ts_ns: int
    side: int
    price: int
    amount: int


PlainRow = (
    MarketStart | Trade | V3Depth | FaultDone | FrameSent | Notice | AccountChange
)
TruthRow = PlainRow | ChangeRow


class TruthSink(Protocol):
    """Where the record also goes, row by row."""

    def write(self, row: TruthRow) -> None:
        """Take one row."""
        ...  # pragma: no cover - protocol


class MarketTruth:
    """Every book that a market has had since the record began."""

    def __init__(self, start: MarketStart) -> None:
        self.spec = start.spec
        self.first_id = start.update_id
        self._sides = array("b")
        self._prices = array("q")
        self._amounts = array("q")
        self._times = array("q")
        # Best bid price, lots, best ask price, lots; lots 0: no such side.
        self._bbo = array("q")
        self._books: list[tuple[dict[int, int], dict[int, int]]] = [
            (dict(start.bids), dict(start.asks))
        ]
        # The book at some index, walked forward while questions ascend.
        self._cursor = (0, *self._copy(0))
        best_bid = start.bids[0] if start.bids else (0, 0)
        best_ask = start.asks[0] if start.asks else (0, 0)
        self._append_bbo(best_bid, best_ask)

    @property
    def last_id(self) -> int:
        """Id of the last change recorded."""
        return self.first_id + len(self._sides)

    def append(
        self,
        row: ChangeRow,
        best_bid: tuple[int, int],
        best_ask: tuple[int, int],
    ) -> None:
        """Record a change; ids must come one by one.

        Raises:
            ValueError: If an id is missing or comes twice.
        """
        if row.update_id != self.last_id + 1:
            raise ValueError(f"change {row.update_id} after {self.last_id}")
        self._sides.append(row.side)
        self._prices.append(row.price)
        self._amounts.append(row.amount)
        self._times.append(row.ts_ns)
        self._append_bbo(best_bid, best_ask)
        if len(self._sides) % _BOOK_EVERY == 0:
            bids, asks = self._at(len(self._sides))
            self._books.append((dict(bids), dict(asks)))

    def book_at(self, update_id: int, depth: int | None = None) -> TextBook:
        """Return the book right after a change.

        Args:
            update_id: From `first_id` (the book before the first change
                recorded) to `last_id`. Ascending questions are fast.
            depth: Best levels a side; None for all.

        Raises:
            KeyError: If the id is outside the record.
        """
        bids, asks = self._at(self._index(update_id))
        best_bids = sorted(bids, reverse=True)[:depth]
        best_asks = sorted(asks)[:depth]
        return (
            tuple(self._texts(price, bids[price]) for price in best_bids),
            tuple(self._texts(price, asks[price]) for price in best_asks),
        )

    def bbo_at(self, update_id: int) -> tuple[TextLevel | None, TextLevel | None]:
        """Return the best bid and ask right after a change; None if empty.

        Raises:
            KeyError: If the id is outside the record.
        """
        at = 4 * self._index(update_id)
        bid_price, bid_amount, ask_price, ask_amount = self._bbo[at : at + 4]
        return (
            self._texts(bid_price, bid_amount) if bid_amount else None,
            self._texts(ask_price, ask_amount) if ask_amount else None,
        )

    def ts_at(self, update_id: int) -> int | None:
        """Return when a change happened, nanoseconds; None for `first_id`.

        Raises:
            KeyError: If the id is outside the record.
        """
        index = self._index(update_id)
        return self._times[index - 1] if index else None

    def id_at(self, ts_ns: int) -> int:
        """Return the id of the last change at or before an instant."""
        return self.first_id + bisect_right(self._times, ts_ns)

    def _index(self, update_id: int) -> int:
        if not self.first_id <= update_id <= self.last_id:
            raise KeyError(update_id)
        return update_id - self.first_id

    def _at(self, index: int) -> tuple[dict[int, int], dict[int, int]]:
        at, bids, asks = self._cursor
        if index < at or index - at > index % _BOOK_EVERY:
            at = min(index // _BOOK_EVERY, len(self._books) - 1) * _BOOK_EVERY
            bids, asks = self._copy(at // _BOOK_EVERY)
        for k in range(at, index):
            side = bids if self._sides[k] == BID else asks
            if self._amounts[k]:
                side[self._prices[k]] = self._amounts[k]
            else:
                del side[self._prices[k]]
        self._cursor = (index, bids, asks)
        return bids, asks

    def _copy(self, number: int) -> tuple[dict[int, int], dict[int, int]]:
        bids, asks = self._books[number]
        return dict(bids), dict(asks)

    def _append_bbo(self, bid: tuple[int, int], ask: tuple[int, int]) -> None:
        self._bbo.extend((*bid, *ask))

    def _texts(self, price: int, amount: int) -> TextLevel:
        return (
            decimal_text(price, self.spec.price_decimals),
            decimal_text(amount, self.spec.amount_decimals),
        )


class Truth:
    """The record of a whole exchange.

    Attributes:
        markets: Books, by the key of the market; empty unless kept in memory.
        trades: Every trade, in order, history before the start included.
        v3_depths: Every v3 depth frame that could be decoded, in order.
        faults: Every fault performed, in order.
        frames: Every pushed frame, if asked for, in order.
        notices: Everything that was said of the venue itself, in order.
        account: Every change of the account, in order.
    """

    def __init__(
        self,
        *,
        keep: bool = True,
        log_frames: bool = False,
        sink: TruthSink | None = None,
    ) -> None:
        """Make an empty record.

        Args:
            keep: Hold everything in memory; it grows for as long as the
                exchange runs.
            log_frames: Also record each pushed frame.
            sink: Also write each row there.
        """
        self.keep = keep
        self.log_frames = log_frames
        self._sink = sink
        self.markets: dict[str, MarketTruth] = {}
        self.trades: list[Trade] = []
        self.v3_depths: list[V3Depth] = []
        self.faults: list[FaultDone] = []
        self.frames: list[FrameSent] = []
        self.notices: list[Notice] = []
        self.account: list[AccountChange] = []

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be recorded at all."""
        return self.keep or self._sink is not None

    def watch(self, market: Market) -> None:
        """Record a market from now on, and the trades it still remembers."""
        if not self.is_wanted:
            return
        book = market.book
        start = MarketStart(
            spec=market.spec,
            update_id=market.update_id,
            bids=book.top(BID),
            asks=book.top(ASK),
        )
        self.add(start)
        name, key = market.spec.name, market.spec.key

        def traded(trade: Trade) -> None:
            row = trade if key == name else msgspec.structs.replace(trade, market=key)
            self.add(row)

        for trade in market.trades:
            traded(trade)

        def changed(change: BookChange) -> None:
            level = change.level
            row = ChangeRow(
                key,
                change.update_id,
                change.ts_ns,
                level.side,
                level.price,
                level.amount,
            )
            if self._sink is not None:
                self._sink.write(row)
            if self.keep:
                best_bid = book.best(BID) or (0, 0)
                best_ask = book.best(ASK) or (0, 0)
                self.markets[row.market].append(row, best_bid, best_ask)

        market.observers.append(changed)
        market.trade_observers.append(traded)

    def add(self, row: PlainRow) -> None:
        """Record a row of any kind but a book change."""
        if self._sink is not None:
            self._sink.write(row)
        if not self.keep:
            return
        match row:
            case MarketStart():
                self.markets[row.spec.key] = MarketTruth(row)
            case Trade():
                self.trades.append(row)
            case V3Depth():
                self.v3_depths.append(row)
            case FaultDone():
                self.faults.append(row)
            case FrameSent():
                self.frames.append(row)
            case Notice():
                self.notices.append(row)
            case AccountChange():
                self.account.append(row)

    def trades_of(self, market: str) -> list[Trade]:
        """Return every trade of a market, by its key, in order."""
        return [trade for trade in self.trades if trade.market == market]

    def book_at(
        self, market: str, update_id: int, depth: int | None = None
    ) -> TextBook:
        """Return a market's book right after a change; see `MarketTruth`."""
        return self.markets[market].book_at(update_id, depth)

    def bbo_at(
        self, market: str, update_id: int
    ) -> tuple[TextLevel | None, TextLevel | None]:
        """Return a market's best bid and ask right after a change."""
        return self.markets[market].bbo_at(update_id)

    def faults_of(self, name: str, side: str | None = None) -> list[FaultDone]:
        """Return the faults performed under a name, of one feed or all."""
        return [f for f in self.faults if f.name == name and side in {None, f.feed}]
