"""Gate spot, WebSocket v4.

Streams and channels
--------------------

=============  ======================  ====================================
stream         channel                 one request carries
=============  ======================  ====================================
trades         spot.trades             a list of markets
tickers        spot.tickers            a list of markets
bbo            spot.book_ticker        a list of markets
klines:1m      spot.candlesticks       one market
depth:100ms    spot.order_book_update  one market; 100 levels a side
depth:20ms     spot.order_book_update  one market; 20 levels a side
depth:obu.400  spot.obu                a list of markets; 400 levels a side
depth:obu.50   spot.obu                a list of markets; 50 levels a side
depth:top.20   spot.order_book         one market; 5 to 100 levels a side
=============  ======================  ====================================

Subscriptions add up, and no limit on their number is documented, so one
connection carries everything, with one exception: pushes of the channels
``order_book_update`` and ``order_book`` do not say at which speed, or with
how many levels, they were subscribed. So a connection has one stream of each.

Books
-----

Where they come from, `_gate_spot_books` says. A push of
``order_book_update`` folds the changes ``U`` to ``u`` into absolute amounts.
The base is a REST snapshot with as many levels as the stream maintains:
deeper ones are cached by the venue for half a minute and never updated by the
stream. A push with ``full`` replaces the book. The whole window may also come
without saying so, with one id as ``U`` and ``u``: in 2021 as the first push
of most markets. It holds no removals, so it must not be taken for that one
change; a push whose one id cannot explain its levels replaces the book as
well (`_gate_spot_wire.is_whole_window`).

``obu`` brings its snapshot on the socket (`_gate_obu`). ``order_book`` sends
the whole top whenever it changed: each push is the book, and a lost one
leaves no trace but that the next came late.

One counter for each market numbers its book's changes, so the ids of all
channels are of the same series.

Source: protocol facts, section 2 (Gate documents as of 2026-05-27, and
recordings of 2021, 2022 and 2026).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from recorder.model import Bbo, Chain, Kline, Ticker, Trade
from recorder.source import (
    NO_SECRETS,
    Said,
    Secrets,
    SnapshotRule,
    Source,
    StreamKind,
    Witness,
    decimal_ns,
    told_of_maintenance,
)
from recorder.sources import (
    _gate_obu,
    _gate_spot_books as books,
    _gate_spot_wire as wire,
)
from recorder.sources._gate import (
    INTERVAL_SECONDS,
    REST_URL,
    SPOT_MARKETS,
    TICKER_TELLS_OF_TRADES,
    markets_by_table,
    moment_ns,
    unasked,
)
from recorder.sources._gate_spot_history import HISTORY
from recorder.sources._gate_v4 import Conversation, Route
from recorder.sources._gate_v4_asking import Stamped, batched
from recorder.sources._gate_v4_books import Books, Depth
from recorder.sources._json import DECODE_ERRORS, Known, text_as_sent
from recorder.sources._times import MILLISECOND_NS, SECOND_NS


_LIST_MARKETS: Final = 100
"""Markets in one list: a refused list is halved until the culprit is found,
so a list costs some 14 requests for each bad market."""

_CHANNELS: Final = {
    "trades": "spot.trades",
    "tickers": "spot.tickers",
    "bbo": "spot.book_ticker",
    "klines": "spot.candlesticks",
}
_LISTED: Final = ("trades", "tickers", "bbo")


_DEPTH_MARK: Final = b'"spot.order_book_update"'
_DEPTH_MARK_END: Final = 120
_decode_depth: Final = wire.DEPTH_PUSH.decode


class Dialogue(Conversation):
    """The conversation over one connection.

    Args:
        chains: What it is to carry, as `_gate_spot_books.plan` groups them.
        _options: None are known.
        _secrets: None are known.

    Raises:
        ValueError: If the chains hold depth streams that only their
            connections would tell apart.
    """

    prefix: ClassVar[str] = "spot"
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
        self._depth_markets = self._updates.markets
        self._tops = Books.of(chains, books.TOPS)
        self._obu = _gate_obu.ObuStreams(chains)
        # A push of a kline names interval and market in one text.
        self._klines: dict[str, tuple[str, str]] = {}
        for market, stream in chains:
            table, _, interval = stream.partition(":")
            if table == "klines":
                self._klines[f"{interval}_{market}"] = (interval, market)
        super().__init__(chains)

    def routes(self) -> Sequence[Route[Any]]:
        """Return how pushes are understood, one for each channel."""
        return (
            Route(_CHANNELS["trades"], wire.PUSHED_TRADE, wire.TRADE, self._trade),
            Route(_CHANNELS["tickers"], wire.PUSHED_TICKER, wire.TICKER, self._ticker),
            Route(_CHANNELS["bbo"], wire.PUSHED_BBO, wire.BBO, self._bbo),
            Route(_CHANNELS["klines"], wire.PUSHED_KLINE, wire.KLINE, self._kline),
            Route(books.UPDATE_CHANNEL, wire.PUSHED_DEPTH, wire.DEPTH, self._depth),
            Route(books.TOP_CHANNEL, wire.PUSHED_TOP, wire.TOP, self._top),
            Route(
                books.OBU_CHANNEL,
                _gate_obu.PUSHED_OBU,
                _gate_obu.OBU,
                self._obu.make,
            ),
        )

    def address(self, chains: Sequence[Chain]) -> tuple[str, list[str]]:
        """Return channel and payload that ask for chains of one request."""
        table, _, parameter = chains[0].stream.partition(":")
        if table == "depth":
            return books.address(chains)
        if table in _LISTED:
            payload = [chain.market for chain in chains]
        else:
            payload = [parameter, chains[0].market]
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

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Return what a frame says, in the order of the frame.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        # Most frames are depth. This decoder takes nothing else, so a frame
        # that only looks like depth goes the long way, as any other does.
        if (
            payload.find(_DEPTH_MARK, 0, _DEPTH_MARK_END) > 0
            and payload.isascii()
            and self._later.due_ns > now_ns
        ):
            try:
                row = _decode_depth(payload).result
            except DECODE_ERRORS:
                return super().receive(payload, now_ns)
            return self._depth(row)
        return super().receive(payload, now_ns)

    def _depth(self, row: Depth, _stamp: Stamped | None = None) -> Said:
        market = self._depth_markets.get(row.market)
        if market is None:
            return [unasked("depth", row.market)]
        return [self._updates.update(row, market, wire.is_whole_window)]

    def _top(self, row: wire.Top, _stamp: Stamped) -> Said:
        market = self._tops.markets.get(row.market)
        if market is None:
            return [unasked("depth", row.market)]
        return [self._tops.whole(market, row.update_id, row.bids, row.asks, row.t)]

    def _trade(self, row: wire.Trade, _stamp: Stamped) -> Said:
        market = self._markets["trades"].get(row.currency_pair)
        if market is None:
            return [unasked("trades", row.currency_pair)]
        first, last = row.range_ids()
        return [
            Trade(
                market=market,
                ts_event=decimal_ns(row.create_time_ms, MILLISECOND_NS),
                trade_id=row.id,
                side=row.side,
                price=row.price,
                amount=row.amount,
                market_trade_id=row.id_market,
                range_first=first,
                range_last=last,
                stock=text_as_sent(row.stock),
                money=text_as_sent(row.money),
                trade_mode=text_as_sent(row.trade_mode),
            )
        ]

    def _kline(self, row: wire.Kline, stamp: Stamped) -> Said:
        asked = self._klines.get(row.name)
        if asked is None:
            return [unasked("klines", row.name)]
        interval, market = asked
        return [
            Kline(
                market=market,
                ts_event=stamp.ts_event(),
                interval=interval,
                open_at=decimal_ns(row.t, SECOND_NS),
                open=row.open,
                high=row.high,
                low=row.low,
                close=row.close,
                volume=row.volume or None,
                turnover=row.turnover or None,
                is_closed=row.is_closed,
            )
        ]

    def _ticker(self, row: wire.Ticker, stamp: Stamped) -> Said:
        market = self._markets["tickers"].get(row.currency_pair)
        if market is None:
            return [unasked("tickers", row.currency_pair)]
        # An empty string stands for "none", as on an empty side of a book.
        return [
            Ticker(
                market=market,
                ts_event=stamp.ts_event(),
                last=row.last or None,
                bid=row.highest_bid or None,
                ask=row.lowest_ask or None,
                high=row.high_24h or None,
                low=row.low_24h or None,
                change_pct=row.change_percentage or None,
                base_volume=row.base_volume or None,
                quote_volume=row.quote_volume or None,
            )
        ]

    def _bbo(self, row: wire.Bbo, _stamp: Stamped) -> Said:
        market = self._markets["bbo"].get(row.market)
        if market is None:
            return [unasked("bbo", row.market)]
        # 0 stands for "none" in t and u.
        return [
            Bbo(
                market=market,
                ts_event=moment_ns(row.t),
                update_id=row.update_id or None,
                bid_price=row.bid_price or None,
                bid_amount=row.bid_amount or None,
                ask_price=row.ask_price or None,
                ask_amount=row.ask_amount or None,
            )
        ]


WITNESSES: Final = (
    TICKER_TELLS_OF_TRADES,
    Witness(by="tickers", of=("bbo", "depth"), changed=("bid", "ask"), signs=3),
    Witness(
        by="klines",
        of=("trades", "tickers", "klines"),
        grown=("volume", "turnover"),
        within=("open_at",),
        signs=2,
    ),
    Witness(by="trades", of=("tickers", "klines"), signs=2),
    Witness(
        by="bbo",
        of=("depth",),
        changed=("bid_price", "bid_amount", "ask_price", "ask_amount"),
        signs=3,
    ),
    # An order may come and be filled between two pushes, and leave the book
    # as it was.
    Witness(by="trades", of=("bbo", "depth"), signs=10),
)
"""A trade shows in the trades at once, in the ticker within a second, in the
kline within two; the best prices of ticker and bbo are those of the book."""

SOURCE: Final = Source(
    name="gate_spot",
    verdict=told_of_maintenance,
    doc="Gate spot, WebSocket v4",
    ws_url="wss://api.gateio.ws/ws/v4/",
    rest_url=REST_URL,
    streams=(
        StreamKind(name="trades", doc="Every trade."),
        StreamKind(
            name="depth",
            doc="Order book: changes (100ms has 100 levels a side, 20ms has 20); "
            "changes with their snapshot (obu.400, obu.50); the whole top (top.20).",
            parameters=books.PARAMETERS,
            default="100ms",
        ),
        StreamKind(
            name="klines",
            doc="Open, high, low, close and volume of an interval, every 2 s.",
            parameters=tuple(INTERVAL_SECONDS),
        ),
        StreamKind(name="tickers", doc="Summary of 24 hours, every second."),
        StreamKind(name="bbo", doc="Best bid and offer, every 10 ms."),
    ),
    requests_per_second=float(Dialogue.requests_per_second),
    connections_max=300,  # documented, for each address
    rest_per_second=15.0,  # 200 in 10 s are allowed for each address
    reset_header="X-Gate-RateLimit-Reset-Timestamp",
    witnesses=WITNESSES,
    plan=books.plan,
    dialogue=Dialogue,
    book_rule=books.book_rule,
    snapshot=SnapshotRule(request=books.snapshot_request, decode=books.snapshot_decode),
    market_list=SPOT_MARKETS,
    history=HISTORY,
    plain=books.plain,
)
