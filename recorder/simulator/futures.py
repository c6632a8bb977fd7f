"""The v4 futures WebSocket of one settle currency, for one form of numbers.

Which form a client is sent it decides by a header while connecting, so
clients of both forms never share a frame and each form has a feed. All feeds
of a settle currency show the same contracts.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from recorder.simulator import facts_futures as facts
from recorder.simulator.asking_futures import INTERVAL_SECONDS, Asking
from recorder.simulator.candles import INTERVALS, Candle
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.depth_futures import (
    FuturesDepthSequence,
    FuturesTopSequence,
)
from recorder.simulator.depth_v4 import Topic
from recorder.simulator.engine import Trade
from recorder.simulator.envelope_v4 import Refusal, Request
from recorder.simulator.feed_v4 import FeedV4
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.obu import Obu, ObuFamily
from recorder.simulator.perpetuals import Liquidation, Perpetual
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Facts
from recorder.simulator.wire_futures import FuturesWire, Object


PERIODS_NS = {"100ms": SECOND_NS // 10, "20ms": SECOND_NS // 50}
TOP_PERIOD_NS = SECOND_NS // 10
OBU_LEVELS = {"400": (400, SECOND_NS // 10), "50": (50, SECOND_NS // 50)}
"""End of an order book stream's name: levels a side and time between frames."""
DECIMAL_HEADER = "X-Gate-Size-Decimal"
"""The HTTP header with which a client asks for sizes as texts: ``1``."""

_CHANNEL_OF = {
    "trades": "trades",
    "tickers": "tickers",
    "klines": "candlesticks",
    "liquidations": "public_liquidates",
    "contract_stats": "contract_stats",
}
_SAME_BEST = 0.1
"""Chance that best levels are sent again because others changed."""


class Futures(FeedV4):
    """The futures feed of one settle currency and one form of numbers."""

    feed: ClassVar[str] = "futures"
    not_json: ClassVar[Refusal | None] = Refusal(1, "request message need json scheme")

    def __init__(
        self,
        perpetuals: Mapping[str, Perpetual],
        settings: Settings,
        context: Context,
        *,
        settle: str,
        is_decimal: bool,
    ) -> None:
        """Begin without connections.

        Args:
            perpetuals: The contracts settled so, by name.
            settings: How it behaves.
            context: Faults and truth.
            settle: ``usdt``; of the random generator.
            is_decimal: Sizes are texts with all digits.
        """
        rng = random.Random(f"{settings.seed}:futures:{settle}:{is_decimal}")
        wire = FuturesWire(settings, rng, is_decimal=is_decimal)
        super().__init__(wire, settings, context, rng)
        self._perpetuals = perpetuals
        self._wire = wire
        self._asking = Asking(perpetuals)
        self._tells_closed = settings.wire_era == "2026"
        self._books: dict[Topic, FuturesDepthSequence | FuturesTopSequence] = {}
        self._bbo_sent: dict[str, tuple[object, ...]] = {}
        self._klines_sent: dict[Topic, tuple[int, int]] = {}
        self._tickers_sent: dict[Topic, int] = {}
        self._due_ns: dict[str, int] = {}
        self._periods_ns = {
            "tickers": int(settings.ticker_seconds * SECOND_NS),
            "klines": int(settings.kline_seconds * SECOND_NS),
            "bbo": int(settings.bbo_seconds * SECOND_NS),
            "contract_stats": int(settings.stats_seconds * SECOND_NS),
        }
        self._obu = Obu(
            ObuFamily(levels=OBU_LEVELS, encode=wire.obu),
            {name: one.market for name, one in perpetuals.items()},
            context,
            seed=settings.seed,
            is_full_first=settings.obu_full_first,
        )

    def topics(self, conn: Connection, request: Request) -> Sequence[Topic] | Refusal:
        """Return what a request is about; one bad contract refuses it all."""
        return self._asking.topics(request, self._topics_of[conn])

    def stream_of(self, topic: Topic) -> str:
        """Return the stream of a topic: ``depth``, ``trades``, ..."""
        return self._asking.stream_of(topic)

    def other(self, conn: Connection, request: Request, now_ns: int) -> bool:
        """Answer a request for streams that bring their snapshot along."""
        if request.channel != "futures.obu":
            return False

        def answer(refusal: Refusal | None) -> None:
            self.answer(conn, request, refusal, now_ns)

        if request.event == "subscribe":
            self._obu.subscribe(conn, request.payload, now_ns, answer)
        elif request.event == "unsubscribe":
            self._obu.unsubscribe(conn, request.payload, answer)
        else:
            answer(Refusal(1, f"unknown event: {request.event}"))
        return True

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        super().closed(conn)
        self._obu.closed(conn)

    def is_subscribed(self, conn: Connection) -> bool:
        """Return whether a connection asked for anything."""
        return super().is_subscribed(conn) or self._obu.has(conn)

    def joining(self, conn: Connection, topic: Topic, now_ns: int) -> None:
        """Prepare for a connection that will be a reader of a topic."""
        stream = self.stream_of(topic)
        if stream == "bbo":
            self._bbo_sent.pop(topic.market, None)
        if stream != "depth":
            return
        sequence = self._books.get(topic)
        if sequence is None:
            sequence = self._books[topic] = self._new_book(topic, now_ns)
        if isinstance(sequence, FuturesTopSequence):
            sequence.join(conn)
        elif self._settings.initial_image:
            sequence.publish(now_ns, self._readers.get(topic, {}))
            conn.push(sequence.image(now_ns))

    def left(self, topic: Topic) -> None:
        """Forget a topic without readers."""
        self._klines_sent.pop(topic, None)
        sequence = self._books.pop(topic, None)
        if isinstance(sequence, FuturesDepthSequence):
            sequence.close()

    def snapshot_given(self, market: str) -> None:
        """Note that the book of a contract as it stands was given by REST."""
        for topic, sequence in self._books.items():
            if topic.market == market and isinstance(sequence, FuturesDepthSequence):
                sequence.window.mark_shown()

    def publish(
        self,
        now_ns: int,
        trades: Sequence[Trade],
        liquidations: Mapping[str, Sequence[Liquidation]],
    ) -> None:
        """Send what is due.

        Args:
            now_ns: The present; the contracts have been advanced to it.
            trades: What was traded since the last call, in order.
            liquidations: What was liquidated, by contract, oldest first.
        """
        if not self._conn_ids:
            return
        self._send_trades(trades, now_ns)
        for topic, sequence in self._books.items():
            if now_ns >= sequence.due_ns:
                sequence.publish(now_ns, self._readers[topic])
        self._obu.publish(now_ns)
        self._send_liquidations(liquidations, now_ns)
        due = {stream for stream in self._periods_ns if self._is_due(stream, now_ns)}
        for topic, readers in list(self._readers.items()):
            if self.stream_of(topic) in due:
                for push in self._timed(topic, now_ns):
                    for conn in readers:
                        conn.push(push)

    def _new_book(
        self, topic: Topic, now_ns: int
    ) -> FuturesDepthSequence | FuturesTopSequence:
        market = self._perpetuals[topic.market].market
        if topic.channel == "order_book":
            return FuturesTopSequence(
                market,
                self._wire,
                self._context,
                levels=int(topic.parameter.removeprefix("top.")),
                period_ns=TOP_PERIOD_NS,
                now_ns=now_ns,
                sends_changes=self._settings.old_book_changes,
            )
        interval, levels = self._asking.speed_of(topic)
        return FuturesDepthSequence(
            market,
            self._wire,
            self._context,
            self._rng,
            levels=levels,
            period_ns=PERIODS_NS[interval],
            now_ns=now_ns,
            name=topic.parameter,
            redundancy=self._settings.redundancy,
        )

    def _send_trades(self, trades: Iterable[Trade], now_ns: int) -> None:
        by_topic: dict[Topic, list[Trade]] = defaultdict(list)
        for trade in trades:
            topic = Topic("trades", trade.market, "")
            if topic in self._readers:
                by_topic[topic].append(trade)
        for topic, own in by_topic.items():
            market = self._perpetuals[topic.market].market
            items = [self._wire.trade(market, trade) for trade in own]
            for part in self._wire.parts(len(own)):
                push = Push(
                    payload=self._wire.several("trades", items[part], now_ns),
                    stream="trades",
                    market=topic.market,
                    trade_ids=tuple(trade.trade_id for trade in own[part]),
                )
                for conn in self._readers[topic]:
                    conn.push(push)

    def _send_liquidations(
        self, liquidations: Mapping[str, Sequence[Liquidation]], now_ns: int
    ) -> None:
        for name, every in liquidations.items():
            if name not in self._perpetuals:
                continue
            readers = {
                **self._readers.get(Topic("public_liquidates", name, ""), {}),
                **self._readers.get(Topic("public_liquidates", "!all", ""), {}),
            }
            told = every if self._settings.liquidation_batches else every[-1:]
            market = self._perpetuals[name].market
            said = [
                (
                    self._wire.liquidation(market, one),
                    facts.liquidation(market, one, self._wire.size_text),
                )
                for one in told
            ]
            topic = Topic("public_liquidates", name, "")
            for push in self._pushes(topic, said, now_ns):
                for conn in readers:
                    conn.push(push)

    def _is_due(self, name: str, now_ns: int) -> bool:
        if now_ns < self._due_ns.get(name, 0):
            return False
        self._due_ns[name] = now_ns + self._periods_ns[name]
        return True

    def _timed(self, topic: Topic, now_ns: int) -> list[Push]:
        """Return what is sent now and then: klines, tickers, best levels, stats."""
        wire, perpetual = self._wire, self._perpetuals[topic.market]
        size = wire.size_text
        if topic.channel == "book_ticker":
            return self._best(topic, perpetual, now_ns)
        said: list[tuple[Object, Facts]] = []
        if topic.channel == "tickers":
            count = self._tickers_sent.get(topic, 0)
            self._tickers_sent[topic] = count + 1
            is_partial = self._tells_closed and count % 2 == 1
            said = [
                (
                    wire.ticker(perpetual, now_ns, is_partial=is_partial),
                    facts.ticker(
                        perpetual,
                        now_ns,
                        size,
                        is_partial=is_partial,
                        tells_funding=self._tells_closed,
                    ),
                )
            ]
        elif topic.channel == "contract_stats":
            seconds = INTERVAL_SECONDS[topic.parameter]
            said = [
                (
                    wire.stats(perpetual, seconds, now_ns),
                    facts.stats(perpetual, seconds, now_ns, size),
                )
            ]
        else:
            kind, _, interval = topic.parameter.rpartition(".")
            for row, is_closed in self._changed_klines(topic, kind, interval, now_ns):
                closed = is_closed if self._tells_closed else None
                kline = wire.kline(perpetual, kind, interval, row)
                told = facts.kline(
                    perpetual,
                    kind,
                    row,
                    size,
                    is_closed=closed,
                    tells_base=self._tells_closed,
                )
                said.append((wire.closed(kline, is_closed=is_closed), told))
        return self._pushes(topic, said, now_ns)

    def _pushes(
        self, topic: Topic, said: Sequence[tuple[Object, Facts]], now_ns: int
    ) -> list[Push]:
        items = [item for item, _ in said]
        told = tuple(fact for _, fact in said)
        stream = self.stream_of(topic)
        return [
            Push(
                payload=self._wire.several(_CHANNEL_OF[stream], items[part], now_ns),
                stream=stream,
                market=topic.market,
                parameter=topic.parameter,
                facts=told[part],
            )
            for part in self._wire.parts(len(said))
            if said
        ]

    def _best(self, topic: Topic, perpetual: Perpetual, now_ns: int) -> list[Push]:
        """Return the best levels if they changed, and at times if others did."""
        market = perpetual.market
        best = (market.book.best(0), market.book.best(1))
        sent = self._bbo_sent.get(topic.market)
        if sent is not None:
            is_same = sent[:2] == best
            is_quiet = sent[2] == market.update_id
            if is_same and (is_quiet or self._rng.random() >= _SAME_BEST):
                return []
        self._bbo_sent[topic.market] = (*best, market.update_id)
        return [
            Push(
                payload=self._wire.book_ticker(market, now_ns),
                stream="bbo",
                market=topic.market,
                facts=(facts.bbo(market, self._wire.size_text),),
            )
        ]

    def _changed_klines(
        self, topic: Topic, kind: str, interval: str, now_ns: int
    ) -> list[tuple[Candle, bool]]:
        """Return klines that changed since the last push, with their flags."""
        perpetual, seconds = self._perpetuals[topic.market], INTERVALS[interval]
        candles = {
            "": perpetual.market.candles,
            "mark": perpetual.mark_candles,
            "index": perpetual.index_candles,
        }[kind]
        rows = candles.rows(seconds)
        if not rows:
            return []
        sent = self._klines_sent.get(topic)
        first = rows[-1].open_at if sent is None else sent[0]
        fresh: list[tuple[Candle, bool]] = []
        for row in reversed(rows):
            if row.open_at < first:
                break
            is_closed = row.open_at + seconds <= now_ns // SECOND_NS
            if (row.open_at, row.trades + is_closed) != sent:
                fresh.append((row, is_closed))
        if fresh:
            row, is_closed = fresh[0]
            # A kline that closes counts as one more change.
            self._klines_sent[topic] = (row.open_at, row.trades + is_closed)
        return fresh[::-1]
