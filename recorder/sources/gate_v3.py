"""Gate spot, WebSocket v3: the venue's older protocol.

A request is ``{"id", "method", "params"}``, its answer has the same id and
nothing else that tells what it answers. A push has a method and no id.

Streams and methods
-------------------

=============  ==========  =========================================
stream         method      a connection carries
=============  ==========  =========================================
trades         trades.*    any number of markets, in one list
tickers        ticker.*    any number of markets, in one list
depth:30       depth.*     any number of markets, of one parameter
depth:30@0.01  depth.*     the same; prices aggregated to 0.01
klines:1m      kline.*     one market of one interval
=============  ==========  =========================================

A second ``depth.subscribe`` or ``kline.subscribe`` replaces the first, and a
push names neither its limit nor its interval: hence one parameter, and one
kline, for each connection. ``depth:30`` and ``depth:30@0`` are the same.
The documents say of a kline's interval only that it is a whole number of
seconds (their examples use 1800), so those of the newer protocol are offered.

Books
-----

A clean push is the whole book, every other one has absolute amounts for what
changed in the window of so many levels; ``"0"`` removes, also what was only
pushed out of the window. There are no ids, so a lost push cannot be seen;
about once a minute a clean push mends the book.

Source: protocol facts, section 1 (Gate documents of 2020-07-27 and
2026-05-27, recordings of 2021).
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from recorder.model import Chain, DepthUpdate, Kline, Origin, Ticker, Trade
from recorder.source import (
    NO_SECRETS,
    BookRule,
    Heartbeat,
    Request,
    Said,
    Secrets,
    Source,
    StreamKind,
    Unrecognized,
    Witness,
    decimal_ns,
    table_of,
)
from recorder.sources import _gate_v3_wire as wire
from recorder.sources._gate import (
    INTERVAL_SECONDS,
    REST_URL,
    SPOT_MARKETS,
    TICKER_TELLS_OF_TRADES,
    depth_stream_of,
    markets_by_table,
    side_of,
    unasked,
)
from recorder.sources._gate_v3_asking import Requests, depth_parts
from recorder.sources._json import (
    DECODE_ERRORS,
    NULL,
    check_utf8,
    decoded,
    unknown_paths,
    value_of,
)
from recorder.sources._times import SECOND_NS


_LIMITS: Final = (1, 5, 10, 20, 30)
_AGGREGATIONS: Final = (
    "0.00000001",
    "0.0000001",
    "0.000001",
    "0.00001",
    "0.0001",
    "0.001",
    "0.01",
    "0.1",
)
_DEPTH_PARAMETERS: Final = tuple(
    f"{limit}{suffix}"
    for limit in _LIMITS
    for suffix in ("", *(f"@{step}" for step in _AGGREGATIONS))
)

_TABLES: Final = ("trades", "tickers", "klines", "depth")
_CONNECTION_MARKETS: Final = 250
"""Markets of one connection. After a refusal each market is tried alone, up
to three times (trades, tickers, depth), and all of that must be over within
the time that a subscription may stay unanswered."""

_PONG: Final = b'"pong"'
_DEPTH_MARK: Final = b'"depth.update"'
_DEPTH_MARK_END: Final = 40
_decode_depth: Final = wire.DEPTH_PUSH.decode


class Dialogue:
    """The conversation over one connection.

    Args:
        chains: What it is to carry, as `plan` groups them.
        _options: None are known.
        _secrets: None are known.

    Raises:
        ValueError: If one connection cannot carry these chains.
    """

    def __init__(
        self,
        chains: Sequence[Chain],
        _options: Mapping[str, str],
        _secrets: Secrets = NO_SECRETS,
    ) -> None:
        klines = {chain for chain in chains if table_of(chain.stream) == "klines"}
        if len(klines) > 1:
            raise ValueError("one connection cannot carry two klines")
        self._kline = next(iter(klines), None)
        self._depth_stream = depth_stream_of(chains)
        rule = book_rule(self._depth_stream)
        self._depth_limit = rule.depth_limit if rule else None
        self._markets = markets_by_table(chains, _TABLES)
        self._depth_markets = self._markets["depth"]
        self._awaiting_history = set(self._markets["trades"])
        self._repushed: set[str] = set()
        self._newest_trade: dict[str, int] = {}
        self._requests = Requests(chains)
        self._later = self._requests.later

    def open(self, now_ns: int) -> list[Request]:
        """Return what to send right after connecting, in order."""
        del now_ns  # nothing in a request depends on it
        return self._requests.subscribe_all()

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        del now_ns
        return self._requests.ping()

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to have these chains started afresh.

        Subscribing replaces, so the others of their list start afresh too.
        """
        del now_ns
        tables = {table_of(chain.stream) for chain in chains}
        if "trades" in tables:
            self._repushed.update(self._markets["trades"])
        return self._requests.subscribe_all(tables)

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to ask for accepted chains once more.

        The list is replaced by itself; trades begin with the latest again, so
        none is missing, and books with a clean push.
        """
        return self.resubscribe(chains, now_ns)

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Return what a frame says, in the order of the frame.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        if not payload.isascii():
            check_utf8(payload)
        said: Said | None = None
        # Most frames are depth. This decoder takes nothing else, so a frame
        # that only looks like depth goes the long way, as any other does.
        if payload.find(_DEPTH_MARK, 0, _DEPTH_MARK_END) > 0:
            try:
                said = self._on_depth(_decode_depth(payload).params)
            except DECODE_ERRORS:
                said = None
        if said is None:
            said = self._on_any(payload, now_ns)
        if self._later.due_ns <= now_ns:
            said = [*said, *self._requests.again(now_ns)]
        return said

    def unknown_keys(self, payload: bytes) -> tuple[str, ...]:
        """Return keys of a frame that this feed does not know, as paths.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        return unknown_paths(payload, wire.known_of(value_of(payload, "method")))

    def _on_any(self, payload: bytes, now_ns: int) -> Said:
        frame = decoded(wire.FRAME, payload)
        match frame.method:
            case None:
                # A pong may come with an id that is not the ping's.
                if frame.error is None and bytes(frame.result) == _PONG:
                    return [Heartbeat()]
                return [*self._requests.answer(frame, now_ns)]
            case "depth.update":
                return self._on_depth(decoded(wire.DEPTH, frame.params))
            case "trades.update":
                return self._on_trades(decoded(wire.TRADES, frame.params))
            case "ticker.update":
                return self._on_ticker(decoded(wire.TICKER, frame.params))
            case "kline.update":
                return self._on_klines(decoded(wire.KLINES, frame.params))
            case method:
                return [Unrecognized(error=f"not known: method {method!r}")]

    def _on_depth(self, push: wire.DepthParams) -> Said:
        market = self._depth_markets.get(push.market)
        if market is None:
            return [unasked("depth", push.market)]
        depth = push.depth
        return [
            DepthUpdate(
                market=market,
                stream=self._depth_stream,
                ts_event=(
                    None
                    if depth.current == NULL
                    else _seconds_ns(depth.current) or None
                ),
                is_snapshot=push.is_clean,
                first_update_id=None,
                last_update_id=None,
                bids=side_of(depth.bids),
                asks=side_of(depth.asks),
                depth_limit=self._depth_limit,
            )
        ]

    def _on_trades(self, push: wire.TradesParams) -> Said:
        market = self._markets["trades"].get(push.market)
        if market is None:
            return [unasked("trades", push.market)]
        ids = [row.id for row in push.trades]
        times = [_seconds_ns(row.time) for row in push.trades]
        origin = self._origin_of(market, ids)
        return [
            Trade(
                market=market,
                ts_event=ts_event,
                trade_id=row.id,
                side=row.type,
                price=row.price,
                amount=row.amount,
                origin=origin,
            )
            for row, ts_event in zip(push.trades, times, strict=True)
        ]

    def _origin_of(self, market: str, ids: Sequence[int]) -> Origin:
        """Return whether a push is the history that follows a subscription.

        The first push of a market on a connection is. After subscribing
        again, live pushes may still precede it; they have nothing that was
        seen before, the history has.
        """
        newest = self._newest_trade.get(market, -1)
        self._newest_trade[market] = max(newest, *ids) if ids else newest
        if market in self._awaiting_history:
            self._awaiting_history.discard(market)
            return "history"
        if market in self._repushed and ids and min(ids) <= newest:
            self._repushed.discard(market)
            return "history"
        return "live"

    def _on_ticker(self, push: wire.TickerParams) -> Said:
        market = self._markets["tickers"].get(push.market)
        if market is None:
            return [unasked("tickers", push.market)]
        row = push.ticker
        return [
            Ticker(
                market=market,
                ts_event=None,
                last=row.last or None,
                open=row.open or None,
                high=row.high or None,
                low=row.low or None,
                change_pct=row.change or None,
                base_volume=row.base_volume or None,
                quote_volume=row.quote_volume or None,
                period_s=row.period,
            )
        ]

    def _on_klines(self, rows: list[wire.Kline]) -> Said:
        said: Said = []
        for row in rows:
            if self._kline is None or row.market != self._kline.market:
                said.append(unasked("klines", row.market))
                continue
            said.append(
                Kline(
                    market=self._kline.market,
                    ts_event=None,
                    interval=self._kline.stream.partition(":")[2],
                    open_at=row.time * SECOND_NS,
                    open=row.open,
                    high=row.high,
                    low=row.low,
                    close=row.close,
                    volume=row.volume,
                    turnover=row.turnover,
                    is_closed=row.is_closed,
                )
            )
        return said


def _seconds_ns(raw: msgspec.Raw) -> int:
    return decimal_ns(bytes(raw).decode(), SECOND_NS)


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection.

    The first carries trades, tickers, one depth parameter and one kline;
    each further depth parameter and each further kline has its own. Beyond
    so many markets there is a set of connections for each so many of them.
    """
    groups: list[list[Chain]] = [[]]
    klines: list[Chain] = []
    markets = list(dict.fromkeys(chain.market for chain in chains))
    for at in range(0, len(markets), _CONNECTION_MARKETS):
        part = set(markets[at : at + _CONNECTION_MARKETS])
        shared: list[Chain] = []
        by_depth: dict[str, list[Chain]] = {}
        for chain in dict.fromkeys(chains):
            table = table_of(chain.stream)
            if chain.market not in part:
                continue
            if table == "depth":
                by_depth.setdefault(chain.stream, []).append(chain)
            elif table == "klines":
                klines.append(chain)
            else:
                shared.append(chain)
        depths = list(by_depth.values())
        groups += [[*shared, *(depths[0] if depths else ())], *depths[1:]]
    groups = [group for group in groups if group] or [[]]
    groups[0] += klines[:1]
    groups += [[chain] for chain in klines[1:]]
    return [tuple(group) for group in groups if group]


def book_rule(stream: str) -> BookRule | None:
    """Return the rule of a canonical stream; None if it has no book."""
    if table_of(stream) != "depth":
        return None
    limit, _ = depth_parts(Chain("", stream))
    return BookRule(has_ids=False, snapshot="in_band", depth_limit=limit)


WITNESSES: Final = (
    TICKER_TELLS_OF_TRADES,
    Witness(
        by="klines",
        of=("trades", "tickers"),
        grown=("volume",),
        within=("open_at",),
        signs=2,
    ),
    # How soon these follow is not documented. A book may be as before once an
    # order has come and been filled between two pushes.
    Witness(by="trades", of=("tickers", "klines", "depth"), signs=10),
)
"""A trade shows in the trades, the ticker and the kline; all come about once
a second."""

SOURCE: Final = Source(
    name="gate_v3",
    doc="Gate spot, WebSocket v3",
    ws_url="wss://ws.gate.io/v3/",
    rest_url=REST_URL,
    streams=(
        StreamKind(name="trades", doc="Every trade, and the last 100 at the start."),
        StreamKind(
            name="depth",
            doc="Order book of so many levels a side; @ aggregates prices.",
            parameters=_DEPTH_PARAMETERS,
            default="30",
            aliases=tuple((f"{limit}@0", str(limit)) for limit in _LIMITS),
        ),
        StreamKind(
            name="klines",
            doc="Open, high, low, close and volume of an interval.",
            parameters=tuple(INTERVAL_SECONDS),
        ),
        StreamKind(name="tickers", doc="Summary of 24 hours."),
    ),
    requests_per_second=40.0,  # 50 are allowed
    history_trades=100,
    witnesses=WITNESSES,
    plan=plan,
    dialogue=Dialogue,
    book_rule=book_rule,
    market_list=SPOT_MARKETS,
)
