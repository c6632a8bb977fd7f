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
=============  ======================  ====================================

Subscriptions add up, and no limit on their number is documented, so one
connection carries everything, with one exception: a depth push does not say
at which speed it was subscribed, so each speed has a connection of its own.

Books
-----

A push folds the changes ``U`` to ``u`` into absolute amounts. The base is a
REST snapshot with as many levels as the stream maintains: deeper ones are
cached by the venue for half a minute and never updated by the stream. A push
with ``full`` replaces the book. The whole window may also come without
saying so, with one id as ``U`` and ``u``: in 2021 as the first push of most
markets. It holds no removals, so it must not be taken for that one change;
a push whose one id cannot explain its levels replaces the book as well
(`_gate_spot_wire.is_whole_window`).

Source: protocol facts, section 2 (Gate documents as of 2026-05-27, and
recordings of 2021, 2022 and 2026).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from recorder.errors import WireError
from recorder.model import Bbo, Chain, DepthUpdate, Kline, RawLevels, Ticker, Trade
from recorder.source import (
    NO_SECRETS,
    BookRule,
    HttpRequest,
    Said,
    Secrets,
    SnapshotRule,
    Source,
    StreamKind,
    Witness,
    decimal_ns,
    table_of,
)
from recorder.sources import _gate_spot_wire as wire
from recorder.sources._gate import (
    INTERVAL_SECONDS,
    REST_URL,
    SPOT_MARKETS,
    TICKER_TELLS_OF_TRADES,
    depth_stream_of,
    markets_by_table,
    moment_ns,
    side_of,
    unasked,
)
from recorder.sources._gate_v4 import Conversation, Route
from recorder.sources._gate_v4_asking import Stamped
from recorder.sources._json import DECODE_ERRORS, Known
from recorder.sources._times import MILLISECOND_NS, SECOND_NS


_DEPTH_LEVELS: Final = {"100ms": 100, "20ms": 20}
_LIST_MARKETS: Final = 100
"""Markets in one list: a refused list is halved until the culprit is found,
so a list costs some 14 requests for each bad market."""

_CHANNELS: Final = {
    "trades": "spot.trades",
    "tickers": "spot.tickers",
    "bbo": "spot.book_ticker",
    "klines": "spot.candlesticks",
    "depth": "spot.order_book_update",
}
_LISTED: Final = ("trades", "tickers", "bbo")


_DEPTH_MARK: Final = b'"spot.order_book_update"'
_DEPTH_MARK_END: Final = 120
_decode_depth: Final = wire.DEPTH_PUSH.decode


class Dialogue(Conversation):
    """The conversation over one connection.

    Args:
        chains: What it is to carry, depth of one speed only.
        _options: None are known.
        _secrets: None are known.

    Raises:
        ValueError: If the chains hold depth of two speeds.
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
        self._markets = markets_by_table(chains, _CHANNELS)
        self._depth_markets = self._markets["depth"]
        self._depth_stream = depth_stream_of(chains)
        rule = book_rule(self._depth_stream)
        self._depth_limit = rule.depth_limit if rule else None
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
            Route(_CHANNELS["depth"], wire.PUSHED_DEPTH, wire.DEPTH, self._depth),
        )

    def address(self, chains: Sequence[Chain]) -> tuple[str, list[str]]:
        """Return channel and payload that ask for chains of one request."""
        table, _, parameter = chains[0].stream.partition(":")
        if table in _LISTED:
            payload = [chain.market for chain in chains]
        elif table == "klines":
            payload = [parameter, chains[0].market]
        else:
            payload = [chains[0].market, parameter]
        return _CHANNELS[table], payload

    def batches(self, chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
        """Return the chains, grouped as one request each can carry them."""
        batches: list[tuple[Chain, ...]] = []
        for table in _LISTED:
            listed = [chain for chain in chains if chain.stream == table]
            batches += (
                tuple(listed[at : at + _LIST_MARKETS])
                for at in range(0, len(listed), _LIST_MARKETS)
            )
        batches += ((chain,) for chain in chains if chain.stream not in _LISTED)
        return batches

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

    def _depth(self, row: wire.Depth, _stamp: Stamped | None = None) -> Said:
        market = self._depth_markets.get(row.market)
        if market is None:
            return [unasked("depth", row.market)]
        first, last = row.first_update_id, row.last_update_id
        is_whole = row.is_full or False
        bids, asks = side_of(row.bids), side_of(row.asks)
        if is_whole and (bids is wire.ABSENT or asks is wire.ABSENT):
            raise WireError("a whole book without one of its sides")
        if first is None:
            if not is_whole:
                raise WireError("an update without its first id, U")
        elif first > last:
            raise WireError(f"update ids run backwards: {first} to {last}")
        elif first == last and not is_whole:
            is_whole = wire.is_whole_window(bids, asks)
        return [
            DepthUpdate(
                market=market,
                stream=self._depth_stream,
                ts_event=moment_ns(row.t),
                is_snapshot=is_whole,
                first_update_id=first,
                last_update_id=last,
                bids=bids,
                asks=asks,
                depth_limit=self._depth_limit,
            )
        ]

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


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection: all but a second depth speed."""
    first: list[Chain] = []
    by_speed: dict[str, list[Chain]] = {}
    for chain in dict.fromkeys(chains):
        if table_of(chain.stream) != "depth":
            first.append(chain)
        else:
            by_speed.setdefault(chain.stream, []).append(chain)
    groups = list(by_speed.values()) or [[]]
    groups[0] = first + groups[0]
    return [tuple(group) for group in groups if group]


def book_rule(stream: str) -> BookRule | None:
    """Return the rule of a canonical stream; None if it has no book."""
    table, _, parameter = stream.partition(":")
    if table != "depth":
        return None
    return BookRule(has_ids=True, snapshot="rest", depth_limit=_DEPTH_LEVELS[parameter])


def snapshot_request(chain: Chain, _options: Mapping[str, str]) -> HttpRequest:
    """Return how to ask for a book snapshot as deep as its stream.

    Without ``with_id`` the answer has no id, without ``limit`` 10 levels.
    """
    levels = _DEPTH_LEVELS[chain.stream.partition(":")[2]]
    return HttpRequest(
        path="/spot/order_book",
        query=(
            ("currency_pair", chain.market),
            ("limit", str(levels)),
            ("interval", "0"),
            ("with_id", "true"),
        ),
    )


def snapshot_decode(chain: Chain, body: bytes) -> DepthUpdate[RawLevels]:
    """Return a REST book as a snapshot of a chain.

    Raises:
        WireError: If the body does not fit, also if it carries no id.
    """
    limit = _DEPTH_LEVELS[chain.stream.partition(":")[2]]
    return wire.snapshot_of(chain, body, limit)


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
    doc="Gate spot, WebSocket v4",
    ws_url="wss://api.gateio.ws/ws/v4/",
    rest_url=REST_URL,
    streams=(
        StreamKind(name="trades", doc="Every trade."),
        StreamKind(
            name="depth",
            doc="Order book updates: 100ms has 100 levels a side, 20ms has 20.",
            parameters=tuple(_DEPTH_LEVELS),
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
    rest_per_second=15.0,  # 200 in 10 s are allowed for each address
    reset_header="X-Gate-RateLimit-Reset-Timestamp",
    witnesses=WITNESSES,
    plan=plan,
    dialogue=Dialogue,
    book_rule=book_rule,
    snapshot=SnapshotRule(request=snapshot_request, decode=snapshot_decode),
    market_list=SPOT_MARKETS,
)
