"""Gate futures, WebSocket v4: perpetual contracts of one settle currency.

Streams and channels
--------------------

===================  ==========================  ===========================
stream               channel                     one request carries
===================  ==========================  ===========================
trades               futures.trades              a list of contracts
tickers              futures.tickers             a list of contracts
bbo                  futures.book_ticker         a list of contracts
liquidations         futures.public_liquidates   a list of contracts
klines:1m            futures.candlesticks        one contract
klines:mark.1m       futures.candlesticks        one contract; mark price
klines:index.1m      futures.candlesticks        one contract; index price
contract_stats:1m    futures.contract_stats      one contract
depth:100ms          futures.order_book_update   one contract; 100 levels
depth:100ms.50       futures.order_book_update   one contract; 50, or 20
depth:20ms           futures.order_book_update   one contract; 20 levels
depth:obu.400        futures.obu                 a list of contracts
depth:top.20         futures.order_book          one contract; 1 to 100
===================  ==========================  ===========================

Pushes of order book updates, of whole tops and of statistics do not say with
which speed, levels or interval they were asked for. So a connection has one
stream of each; all else shares one.

Numbers
-------

Amounts are in contracts; the list of contracts says what one is worth.
Sizes are whole numbers, with what is less than a contract cut off, unless a
header asks for texts with all digits. It is sent, and both forms are read.

A result may be one object, an array, or an array of arrays: what the
documents show, recordings show otherwise. A ticker may leave out what did not
change. A trade has no size of 0: it would have no side.

Books
-----

As on spot (`_gate_v4_books`, `_gate_obu`), but that updates repeat levels
which did not change, and that ``order_book`` has an older form. That one tells
whole tops and, in between or ever after, changes: prices with sizes that are
below 0 for asks, and removals of no side. A change tells one id, so a lost one
leaves no trace; where one may have been lost, the book is unknown until it is
told as a whole again, and it is asked for afresh. That each change of a top is
told, also of a level that moves into it, is what the documents say of it.

Trades have no running number, so a lost one leaves no trace.

Source: protocol facts, section 3 (Gate documents of 2023 to 2026-08, and
recordings of 2020 to 2026).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from recorder.model import Chain
from recorder.source import (
    NO_SECRETS,
    Option,
    Said,
    Secrets,
    SnapshotRule,
    Source,
    StreamKind,
    Witness,
    told_of_maintenance,
)
from recorder.sources import (
    _gate_futures_books as books,
    _gate_futures_rows as rows,
    _gate_futures_wire as wire,
    _gate_obu,
)
from recorder.sources._gate import REST_URL, markets_by_table, unasked
from recorder.sources._gate_futures_history import HISTORY, kline_name
from recorder.sources._gate_futures_markets import CONTRACTS
from recorder.sources._gate_v4 import Conversation, Route
from recorder.sources._gate_v4_asking import Envelope, Stamped, batched, items_of
from recorder.sources._gate_v4_books import Books, Depth
from recorder.sources._json import Known, decoded


KLINE_INTERVALS: Final = (
    *("10s", "1m", "5m", "15m", "30m"),
    *("1h", "4h", "8h", "1d", "7d"),
)
STATS_INTERVALS: Final = (
    *("1s", "10s", "1m", "5m", "15m", "30m"),
    *("1h", "4h", "8h", "1d", "3d", "7d"),
)
_PRICES: Final = ("mark", "index")
_LIST_MARKETS: Final = 100
"""Contracts in one list: a refused list is halved until the culprit is found,
so a list costs some 14 requests for each bad contract."""

_CHANNELS: Final = {
    "trades": "futures.trades",
    "tickers": "futures.tickers",
    "bbo": "futures.book_ticker",
    "liquidations": "futures.public_liquidates",
    "klines": "futures.candlesticks",
    "contract_stats": "futures.contract_stats",
}
_LISTED: Final = ("trades", "tickers", "bbo", "liquidations")


class Dialogue(Conversation):
    """The conversation over one connection.

    Args:
        chains: What it is to carry, as `_gate_futures_books.plan` groups them.
        _options: What is settled in which currency is known by the address.
        _secrets: None are known.

    Raises:
        ValueError: If the chains hold streams that only their connections
            would tell apart.
    """

    prefix: ClassVar[str] = "futures"
    requests_per_second: ClassVar[int] = 100
    known: ClassVar[Mapping[str, Known]] = wire.KNOWN

    def __init__(
        self,
        chains: Sequence[Chain],
        _options: Mapping[str, str],
        _secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._markets = markets_by_table(chains, (*_CHANNELS, "depth"))
        self._updates = Books.of(chains, books.UPDATES)
        self._tops = Books.of(chains, books.TOPS)
        self._obu = _gate_obu.ObuStreams(chains)
        # A push of a kline names interval and market in one text.
        self._klines: dict[str, Chain] = {}
        intervals: set[str] = set()
        for chain in chains:
            table, _, parameter = chain.stream.partition(":")
            if table == "klines":
                interval, name = kline_name(chain)
                self._klines[f"{interval}_{name}"] = chain
            elif table == "contract_stats":
                intervals.add(parameter)
        if len(intervals) > 1:
            raise ValueError("one connection cannot carry statistics of two intervals")
        self._stats_interval = next(iter(intervals), "")
        super().__init__(chains)

    def routes(self) -> Sequence[Route[Any]]:
        """Return how pushes are understood, one for each channel."""
        return (
            Route(_CHANNELS["trades"], wire.PUSHED_TRADES, wire.TRADE, self._trade),
            Route(_CHANNELS["tickers"], wire.PUSHED_TICKERS, wire.TICKER, self._ticker),
            Route(_CHANNELS["bbo"], wire.PUSHED_BBO, wire.BBO, self._bbo),
            Route(_CHANNELS["klines"], wire.PUSHED_KLINES, wire.KLINE, self._kline),
            Route(
                _CHANNELS["liquidations"],
                wire.PUSHED_LIQUIDATIONS,
                wire.LIQUIDATION,
                self._liquidation,
            ),
            Route(
                _CHANNELS["contract_stats"],
                wire.PUSHED_STATS,
                wire.STATS,
                self._stats,
            ),
            Route(books.UPDATE_CHANNEL, wire.PUSHED_DEPTH, wire.DEPTH, self._depth),
            Route(books.TOP_CHANNEL, wire.PUSHED_TOP, wire.TOP, self._top, event="all"),
            Route(
                books.OBU_CHANNEL,
                _gate_obu.PUSHED_OBU,
                _gate_obu.OBU,
                self._obu.make,
            ),
        )

    def other(self, frame: Envelope, now_ns: int) -> Said | None:
        """Return what a push says that goes no route: changes of whole tops.

        All of a push that is about one contract is one message.

        Raises:
            WireError: If it does not fit.
        """
        if (frame.channel, frame.event) != (books.TOP_CHANNEL, "update"):
            return None
        changes: dict[str, list[wire.Change]] = {}
        for raw in items_of(frame.result):
            change = decoded(wire.CHANGE, raw)
            changes.setdefault(change.contract, []).append(change)
        said: Said = []
        for contract, mine in changes.items():
            market = self._tops.markets.get(contract)
            if market is None:
                said.append(unasked("depth", contract))
            else:
                said.append(rows.changed_top(self._tops, market, mine, frame))
        return said

    def address(self, chains: Sequence[Chain]) -> tuple[str, list[str]]:
        """Return channel and payload that ask for chains of one request."""
        table, _, parameter = chains[0].stream.partition(":")
        if _gate_obu.is_obu(chains[0].stream):
            return books.OBU_CHANNEL, [_gate_obu.name_of(chain) for chain in chains]
        if table == "depth":
            return books.address(chains[0])
        if table in _LISTED:
            payload = [chain.market for chain in chains]
        elif table == "klines":
            payload = [*kline_name(chains[0])]
        else:
            payload = [chains[0].market, parameter]
        return _CHANNELS[table], payload

    def batches(self, chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
        """Return the chains, grouped as one request each can carry them."""
        return batched(
            chains,
            (
                *((table.__eq__, _LIST_MARKETS) for table in _LISTED),
                (_gate_obu.is_obu, _gate_obu.LIST_STREAMS),
            ),
        )

    def _depth(self, row: Depth, _stamp: Stamped) -> Said:
        market = self._updates.markets.get(row.market)
        if market is None:
            return [unasked("depth", row.market)]
        return [self._updates.update(row, market, wire.is_whole_window)]

    def _top(self, row: wire.Top, _stamp: Stamped) -> Said:
        market = self._tops.markets.get(row.contract)
        if market is None:
            return [unasked("depth", row.contract)]
        return [self._tops.whole(market, row.id, row.bids, row.asks, row.t)]

    def _trade(self, row: wire.Trade, _stamp: Stamped) -> Said:
        market = self._markets["trades"].get(row.contract)
        if market is None:
            return [unasked("trades", row.contract)]
        return [rows.trade(market, row)]

    def _kline(self, row: wire.Kline, stamp: Stamped) -> Said:
        chain = self._klines.get(row.name)
        if chain is None:
            return [unasked("klines", row.name)]
        return [rows.kline(chain, row, stamp)]

    def _ticker(self, row: wire.Ticker, stamp: Stamped) -> Said:
        market = self._markets["tickers"].get(row.contract)
        if market is None:
            return [unasked("tickers", row.contract)]
        return [rows.ticker(market, row, stamp)]

    def _bbo(self, row: wire.Bbo, _stamp: Stamped) -> Said:
        market = self._markets["bbo"].get(row.market)
        if market is None:
            return [unasked("bbo", row.market)]
        return [rows.bbo(market, row)]

    def _liquidation(self, row: wire.Liquidation, _stamp: Stamped) -> Said:
        market = self._markets["liquidations"].get(row.contract)
        if market is None:
            return [unasked("liquidations", row.contract)]
        return [rows.liquidation(market, row)]

    def _stats(self, row: wire.Stats, _stamp: Stamped) -> Said:
        market = self._markets["contract_stats"].get(row.contract)
        if market is None:
            return [unasked("contract_stats", row.contract)]
        return [rows.statistics(market, self._stats_interval, row)]


_KLINES: Final = "klines:[0-9]*"
"""Klines of trades; those of other prices have a word before their interval."""

WITNESSES: Final = (
    Witness(
        by="tickers",
        of=("trades",),
        changed=("last",),
        grown=("base_volume",),
        signs=2,
    ),
    Witness(
        by=_KLINES,
        of=("trades", "tickers", _KLINES),
        grown=("volume",),
        within=("open_at",),
        signs=2,
    ),
    Witness(
        by="bbo",
        of=("depth",),
        changed=("bid_price", "bid_amount", "ask_price", "ask_amount"),
        signs=3,
    ),
    # A trade by which the insurance fund takes over a position is no trade of
    # the book, and in no kline. An order may come and be filled between two
    # pushes, and leave the book as it was.
    Witness(by="trades", of=("tickers", _KLINES, "bbo", "depth"), signs=10),
    Witness(by="tickers", of=(_KLINES,), changed=("last",), signs=10),
    # How often klines of these prices are pushed is not documented.
    Witness(by="tickers", of=("klines:mark.*",), changed=("mark_price",), signs=10),
    Witness(by="tickers", of=("klines:index.*",), changed=("index_price",), signs=10),
)
"""A trade shows in the trades at once, in ticker and kline soon after; the best
prices are those of the book."""

SOURCE: Final = Source(
    name="gate_futures",
    verdict=told_of_maintenance,
    doc="Gate futures (perpetual contracts), WebSocket v4",
    ws_url="wss://fx-ws.gateio.ws/v4/ws/{settle}",
    rest_url=REST_URL,
    streams=(
        StreamKind(name="trades", doc="Every trade, amounts in contracts."),
        StreamKind(
            name="depth",
            doc="Order book: changes (100ms has 100 levels a side, 20ms has 20); "
            "changes with their snapshot (obu.400, obu.50); the whole top (top.20).",
            parameters=books.PARAMETERS,
            default="100ms",
        ),
        StreamKind(
            name="klines",
            doc="Open, high, low, close and volume of an interval; those of the "
            "mark or index price as mark.1m, index.1m.",
            parameters=(
                *KLINE_INTERVALS,
                *(f"{kind}.{i}" for kind in _PRICES for i in KLINE_INTERVALS),
            ),
        ),
        StreamKind(
            name="tickers",
            doc="Summary of 24 hours, mark and index price, funding, open interest.",
        ),
        StreamKind(name="bbo", doc="Best bid and offer, as they change."),
        StreamKind(
            name="liquidations", doc="Positions closed by force.", has_bursts=True
        ),
        StreamKind(
            name="contract_stats",
            doc="Long to short ratios, liquidations and open interest of an interval.",
            parameters=STATS_INTERVALS,
        ),
    ),
    options=(
        Option(
            name="settle",
            doc="What the contracts are settled in.",
            choices=("usdt", "btc", "usd1"),
            default="usdt",
        ),
    ),
    headers=lambda _options, _secrets: dict((books.SIZES_AS_TEXT,)),
    requests_per_second=float(Dialogue.requests_per_second),
    connections_max=300,  # documented, for each address
    rest_per_second=15.0,  # 200 in 10 s are allowed for each address
    reset_header="X-Gate-RateLimit-Reset-Timestamp",
    witnesses=WITNESSES,
    plan=books.plan,
    dialogue=Dialogue,
    book_rule=books.book_rule,
    snapshot=SnapshotRule(request=books.snapshot_request, decode=books.snapshot_decode),
    market_list=CONTRACTS,
    history=HISTORY,
    plain=books.plain,
)
