"""What really happened: the exchange's own record, for tests to judge by.

Held in memory, written to a folder as JSON lines (`truth_files`), or both.
"""

from typing import Protocol

import msgspec

from recorder.simulator.account_truth import AccountChange
from recorder.simulator.book import ASK, BID
from recorder.simulator.engine import BookChange, Market, Trade
from recorder.simulator.market_truth import (
    ChangeRow,
    MarketStart,
    MarketTruth,
    TextBook,
    TextLevel,
)
from recorder.simulator.markets import market_key


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


def key_of(feed: str, market: str) -> str:
    """Return under which name the record keeps the market of a feed."""
    return market_key("futures" if feed == "futures" else "spot", market)


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


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that was accepted; recorded only where frames are.

    Attributes:
        ts_ns: When.
        feed: ``v4``, ``v3``, ``futures``, ``v5``, ``ann`` or ``listings``.
        conn: Number of the connection.
        port: The client's TCP port; 0 if it was gone already.
    """

    ts_ns: int
    feed: str
    conn: int
    port: int


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


PlainRow = (
    MarketStart
    | Trade
    | V3Depth
    | FaultDone
    | FrameSent
    | Accepted
    | Notice
    | AccountChange
)
TruthRow = PlainRow | ChangeRow


_LISTS: dict[type, str] = {
    Trade: "trades",
    V3Depth: "v3_depths",
    FaultDone: "faults",
    FrameSent: "frames",
    Accepted: "accepted",
    Notice: "notices",
    AccountChange: "account",
}
"""Where rows of a kind are kept, by attribute."""


class TruthSink(Protocol):
    """Where the record also goes, row by row."""

    def write(self, row: TruthRow) -> None:
        """Take one row."""
        ...  # pragma: no cover - protocol


class Truth:
    """The record of a whole exchange.

    Attributes:
        markets: Books, by the key of the market; empty unless kept in memory.
        trades: Every trade, in order, history before the start included.
        v3_depths: Every v3 depth frame that could be decoded, in order.
        faults: Every fault performed, in order.
        frames: Every pushed frame, if asked for, in order.
        accepted: Every connection, if frames were asked for, in order.
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
        self.accepted: list[Accepted] = []
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
        if isinstance(row, MarketStart):
            self.markets[row.spec.key] = MarketTruth(row)
        else:
            getattr(self, _LISTS[type(row)]).append(row)

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
