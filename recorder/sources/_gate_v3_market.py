"""What is said about markets over one connection of Gate's v3."""

from collections.abc import Mapping, Sequence
from typing import Final

from recorder.model import Chain, DepthUpdate, Origin
from recorder.source import (
    NO_SECRETS,
    BookRule,
    Request,
    Said,
    Secrets,
    Unrecognized,
    table_of,
)
from recorder.sources import _gate_v3_wire as wire
from recorder.sources._gate import (
    depth_stream_of,
    markets_by_table,
    side_of,
    unasked,
)
from recorder.sources._gate_v3_asking import depth_parts
from recorder.sources._gate_v3_rows import kline_of, ticker_of, trade_of
from recorder.sources._gate_v3_talk import Talk, unknown_keys
from recorder.sources._json import (
    DECODE_ERRORS,
    check_utf8,
    decoded,
)


_TABLES: Final = ("trades", "tickers", "klines", "depth")

_DEPTH_MARK: Final = b'"depth.update"'
_DEPTH_MARK_END: Final = 40
_decode_depth: Final = wire.DEPTH_PUSH.decode


class MarketDialogue:
    """The conversation over one connection about markets.

    Args:
        chains: What it is to carry, as `plan` groups them.
        _options: None matter.
        _secrets: None are needed.

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
        self._talk = Talk(chains)
        self._requests = self._talk.requests
        self._later = self._talk.later
        self._clock = self._talk.clock

    def open(self, now_ns: int) -> list[Request]:
        """Return what to send right after connecting, in order."""
        self._clock.begin(now_ns)
        return self._requests.subscribe_all()

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        return self._clock.ping(now_ns)

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
        if self._later.due_ns <= now_ns or self._clock.due_ns <= now_ns:
            said = [*said, *self._talk.due(now_ns)]
        return said

    def due(self, now_ns: int) -> list[Request]:
        """Return what is to be sent because its time has come."""
        return self._requests.due(now_ns)

    def unknown_keys(self, payload: bytes) -> tuple[str, ...]:
        """Return keys of a frame that this feed does not know, as paths.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        return unknown_keys(payload)

    def _on_any(self, payload: bytes, now_ns: int) -> Said:
        frame = decoded(wire.FRAME, payload)
        match frame.method:
            case None:
                return self._talk.answer(frame, now_ns)
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
                ts_event=wire.moment_or_none(depth.current),
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
        times = [wire.seconds_ns(row.time) for row in push.trades]
        origin = self._origin_of(market, ids)
        return [
            trade_of(row, market, ts_event, origin)
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
        return [ticker_of(push.ticker, market)]

    def _on_klines(self, rows: list[wire.Kline]) -> Said:
        said: Said = []
        for row in rows:
            if self._kline is None or row.market != self._kline.market:
                said.append(unasked("klines", row.market))
                continue
            interval = self._kline.stream.partition(":")[2]
            said.append(kline_of(row, self._kline.market, interval))
        return said


def book_rule(stream: str) -> BookRule | None:
    """Return the rule of a canonical stream; None if it has no book."""
    if table_of(stream) != "depth":
        return None
    limit, _ = depth_parts(Chain("", stream))
    return BookRule(has_ids=False, snapshot="in_band", depth_limit=limit)
