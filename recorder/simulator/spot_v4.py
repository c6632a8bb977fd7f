"""The v4 spot WebSocket: requests, subscriptions, and who is sent what.

One frame sequence for each (market, interval) of the order book is shared by
all its subscribers, so two connections of one client see the same frames.
"""

import asyncio
import random
from collections.abc import Sequence
from functools import partial

import msgspec

from recorder.simulator import facts
from recorder.simulator.candles import INTERVALS, Candle
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.depth_v4 import DepthSequence, Topic
from recorder.simulator.engine import Engine, Trade
from recorder.simulator.envelope_v4 import Refusal, Request, decode_request
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.obu import Obu, ObuFamily
from recorder.simulator.settings import Settings
from recorder.simulator.top import TopSequence
from recorder.simulator.truth import Facts
from recorder.simulator.wire_v4 import V4Wire


BOOK_INTERVALS = {"100ms": (100, SECOND_NS // 10), "20ms": (20, SECOND_NS // 50)}
"""Interval of the order book: levels a side and time between frames."""
OBU = "spot.obu"
OBU_LEVELS = {"400": (400, SECOND_NS // 10), "50": (50, SECOND_NS // 50)}
"""End of an order book stream's name: levels a side and time between frames."""
TOP_LEVELS = ("5", "10", "20", "50", "100")
"""Levels of the whole top of a book; 30 is documented and refused."""
TOP_INTERVALS = {"100ms": SECOND_NS // 10, "1000ms": SECOND_NS}
EVENTS = {"subscribe", "unsubscribe"}
STREAM_OF = {
    "spot.trades": "trades",
    "spot.tickers": "tickers",
    "spot.candlesticks": "klines",
    "spot.book_ticker": "bbo",
    "spot.order_book_update": "depth",
    "spot.order_book": "depth",
}


class SpotV4:
    """The v4 spot feed of the exchange."""

    def __init__(self, engine: Engine, settings: Settings, context: Context) -> None:
        self._engine = engine
        self._settings = settings
        self._context = context
        rng = random.Random(f"{settings.seed}:v4")
        self._rng = rng
        self._wire = V4Wire(settings, rng)
        self._conn_ids: dict[Connection, str] = {}
        self._topics_of: dict[Connection, set[Topic]] = {}
        # By stream. A dict serves as a set that keeps its order.
        self._readers: dict[str, dict[Topic, dict[Connection, None]]] = {
            stream: {} for stream in STREAM_OF.values()
        }
        self._sequences: dict[Topic, DepthSequence | TopSequence] = {}
        self._obu = Obu(
            ObuFamily(levels=OBU_LEVELS, encode=self._wire.obu),
            engine.markets,
            context,
            seed=settings.seed,
            is_full_first=settings.obu_full_first,
        )
        self._bbo_sent: dict[str, tuple[object, object]] = {}
        self._klines_sent: dict[Topic, tuple[int, int]] = {}
        self._due_ns: dict[str, int] = {}
        self._periods_ns = {
            "tickers": int(settings.ticker_seconds * SECOND_NS),
            "klines": int(settings.kline_seconds * SECOND_NS),
            "bbo": int(settings.bbo_seconds * SECOND_NS),
        }

    def opened(self, conn: Connection) -> None:
        """Welcome a connection; the venue says nothing."""
        self._conn_ids[conn] = f"{self._rng.getrandbits(64):016x}"
        self._topics_of[conn] = set()

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        for topic in self._topics_of.pop(conn):
            self._leave(conn, topic)
        self._obu.closed(conn)
        del self._conn_ids[conn]

    async def receive(self, conn: Connection, text: str) -> None:
        """Answer what a client sent; text that is not JSON gets no answer."""
        request = decode_request(text)
        if request is None:
            return
        context = self._context
        strike = context.plan.strike("slow_ack", context.clock.now_ns())
        if strike:
            context.performed("slow_ack", "v4", conn=conn.number)
            await asyncio.sleep(strike.seconds)
        now_ns = context.clock.now_ns()
        conn_id = self._conn_ids[conn]
        if isinstance(request, Refusal):
            empty = Request(channel="", event="")
            conn.reply(self._wire.answer(empty, request, conn_id, now_ns))
            return
        if request.channel == "spot.ping":
            conn.reply(self._wire.pong(request, conn_id, now_ns))
            return
        if request.channel == OBU and request.event in EVENTS:
            self._receive_obu(conn, request, now_ns)
            return
        topics = self._topics(request)
        refusal = topics if isinstance(topics, Refusal) else None
        conn.reply(self._wire.answer(request, refusal, conn_id, now_ns))
        if isinstance(topics, Refusal):
            return
        for topic in topics:
            if request.event == "unsubscribe":
                if topic in self._topics_of[conn]:
                    self._topics_of[conn].remove(topic)
                    self._leave(conn, topic)
            else:
                self._join(conn, topic, now_ns)

    def publish(self, now_ns: int, trades: Sequence[Trade]) -> None:
        """Send what is due.

        Args:
            now_ns: The present; the engine has been advanced to it.
            trades: What was traded since the last call, in order.
        """
        for trade in trades:
            self._send_trade(trade, now_ns)
        for topic, sequence in self._sequences.items():
            if now_ns >= sequence.due_ns:
                sequence.publish(now_ns, self._readers["depth"][topic])
        self._obu.publish(now_ns)
        for stream in self._periods_ns:
            if not self._is_due(stream, now_ns):
                continue
            for topic, readers in self._readers[stream].items():
                for push in self._timed(topic, stream, now_ns):
                    for conn in readers:
                        conn.push(push)

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time, and drop idle connections."""
        if self._topics_of:
            plan = self._context.plan
            strike = plan.strike("upgrade", now_ns, elapsed_seconds=elapsed_seconds)
            if strike:
                notice = self._wire.upgrade(now_ns)
                for conn in self._topics_of:
                    self._context.performed("upgrade", "v4", conn=conn.number)
                    conn.reply(notice)
                    conn.close_at_ns = now_ns + int(strike.seconds * SECOND_NS)
        settings = self._settings
        for conn, topics in list(self._topics_of.items()):
            conn.strike_time(now_ns, elapsed_seconds)
            seconds = (
                settings.idle_subscribed_seconds
                if topics or self._obu.has(conn)
                else settings.idle_unsubscribed_seconds
            )
            is_idle = now_ns - conn.active_ns >= seconds * SECOND_NS
            if conn.is_open and not conn.is_stalled and is_idle:
                self._context.counters["idle_closes"] += 1
                conn.abort()

    def snapshot_given(self, market: str) -> None:
        """Note that the book of a market as it stands was given by REST."""
        for interval in BOOK_INTERVALS:
            topic = Topic("spot.order_book_update", market, interval)
            sequence = self._sequences.get(topic)
            if isinstance(sequence, DepthSequence):
                sequence.window.mark_shown()

    def _receive_obu(self, conn: Connection, request: Request, now_ns: int) -> None:
        def answer(refusal: Refusal | None) -> None:
            conn_id = self._conn_ids[conn]
            conn.reply(self._wire.answer(request, refusal, conn_id, now_ns))

        if request.event == "unsubscribe":
            self._obu.unsubscribe(conn, request.payload, answer)
        else:
            self._obu.subscribe(conn, request.payload, now_ns, answer)

    def _join(self, conn: Connection, topic: Topic, now_ns: int) -> None:
        stream = STREAM_OF[topic.channel]
        context = self._context
        context.accepted()
        strike = context.plan.strike(
            "silent_ack",
            now_ns,
            stream=stream,
            parameter=topic.parameter,
            market=topic.market,
        )
        if strike:
            push = Push(
                payload=b"",
                stream=stream,
                market=topic.market,
                parameter=topic.parameter,
            )
            context.performed("silent_ack", "v4", conn=conn.number, push=push)
            return
        if topic in self._topics_of[conn]:
            return
        if stream == "depth":
            self._join_book(conn, topic, now_ns)
        if stream == "bbo":
            self._bbo_sent.pop(topic.market, None)
        self._topics_of[conn].add(topic)
        self._readers[stream].setdefault(topic, {})[conn] = None

    def _join_book(self, conn: Connection, topic: Topic, now_ns: int) -> None:
        sequence = self._sequences.get(topic)
        if sequence is None:
            sequence = self._sequences[topic] = self._new_sequence(topic, now_ns)
        if isinstance(sequence, TopSequence):
            sequence.join(conn)
        elif self._settings.initial_image:
            sequence.publish(now_ns, self._readers["depth"].get(topic, {}))
            conn.push(sequence.image(now_ns))

    def _new_sequence(self, topic: Topic, now_ns: int) -> DepthSequence | TopSequence:
        market = self._engine.markets[topic.market]
        if topic.channel == "spot.order_book_update":
            depth, period_ns = BOOK_INTERVALS[topic.parameter]
            return DepthSequence(
                market,
                self._wire,
                self._context,
                name=topic.parameter,
                depth=depth,
                period_ns=period_ns,
                now_ns=now_ns,
            )
        levels, _, interval = topic.parameter.removeprefix("top.").partition("@")
        depth = int(levels)
        return TopSequence(
            market,
            partial(self._wire.order_book, depth=depth),
            self._context,
            name=topic.parameter,
            depth=depth,
            period_ns=TOP_INTERVALS[interval or "100ms"],
            now_ns=now_ns,
        )

    def _leave(self, conn: Connection, topic: Topic) -> None:
        topics = self._readers[STREAM_OF[topic.channel]]
        del topics[topic][conn]
        if topics[topic]:
            return
        del topics[topic]
        self._klines_sent.pop(topic, None)
        sequence = self._sequences.pop(topic, None)
        if isinstance(sequence, DepthSequence):
            sequence.close()

    def _send_trade(self, trade: Trade, now_ns: int) -> None:
        topic = Topic("spot.trades", trade.market, "")
        readers = self._readers["trades"].get(topic)
        if not readers:
            return
        push = Push(
            payload=self._wire.trade(trade, now_ns),
            stream="trades",
            market=trade.market,
            trade_ids=(trade.trade_id,),
        )
        for conn in readers:
            conn.push(push)

    def _is_due(self, name: str, now_ns: int) -> bool:
        if now_ns < self._due_ns.get(name, 0):
            return False
        self._due_ns[name] = now_ns + self._periods_ns[name]
        return True

    def _timed(self, topic: Topic, stream: str, now_ns: int) -> list[Push]:
        market = self._engine.markets[topic.market]
        said: list[tuple[bytes, Facts]] = []
        if stream == "tickers":
            ticker = self._wire.ticker(market, now_ns)
            if ticker is not None:
                said = [(ticker, facts.ticker_v4(market, now_ns))]
        elif stream == "bbo":
            bests = (market.book.best(0), market.book.best(1))
            if self._bbo_sent.get(topic.market) != bests:
                self._bbo_sent[topic.market] = bests
                said = [(self._wire.book_ticker(market, now_ns), facts.bbo(market))]
        else:
            for row, is_closed in self._changed_klines(topic, now_ns):
                payload = self._wire.kline(
                    market, topic.parameter, row, now_ns, is_closed=is_closed
                )
                is_told = self._settings.wire_era == "2026"
                closed = is_closed if is_told else None
                volume = market.amount_text(row.volume) if is_told else None
                told = facts.kline(market, row, volume=volume, is_closed=closed)
                said.append((payload, told))
        return [
            Push(
                payload=payload,
                stream=stream,
                market=topic.market,
                parameter=topic.parameter,
                facts=(fact,),
            )
            for payload, fact in said
        ]

    def _changed_klines(self, topic: Topic, now_ns: int) -> list[tuple[Candle, bool]]:
        """Return klines that changed since the last push, with their flags."""
        seconds = INTERVALS[topic.parameter]
        rows = self._engine.markets[topic.market].candles.rows(seconds)
        if not rows:
            return []
        sent = self._klines_sent.get(topic)
        newest = rows[-1].open_at
        fresh: list[tuple[Candle, bool]] = []
        for row in reversed(rows):
            if sent is None and row.open_at < newest:
                break
            if sent is not None and row.open_at < sent[0]:
                break
            is_closed = row.open_at + seconds <= now_ns // SECOND_NS
            if (row.open_at, row.trades + is_closed) != sent:
                fresh.append((row, is_closed))
        if fresh:
            row, is_closed = fresh[0]
            # A kline that closes counts as one more change.
            self._klines_sent[topic] = (row.open_at, row.trades + is_closed)
        return fresh[::-1]

    def _topics(self, request: Request) -> tuple[Topic, ...] | Refusal:
        """Return what a request is about; one bad market refuses it all."""
        if request.channel not in STREAM_OF.keys() | {OBU}:
            return Refusal(2, f"Unknown channel {request.channel}")
        if request.event not in EVENTS:
            return Refusal(1, f"unknown event: {request.event}")
        try:
            payload = msgspec.convert(request.payload, tuple[str, ...])
        except msgspec.ValidationError:
            payload = ()
        if not payload:
            return Refusal(2, "invalid argument: payload")
        if request.channel == "spot.candlesticks":
            return self._kline_topics(payload)
        if request.channel == "spot.order_book_update":
            return self._book_topics(payload)
        if request.channel == "spot.order_book":
            return self._top_topics(payload)
        for name in payload:
            if name not in self._engine.markets:
                return Refusal(2, f"unknown currency pair: {name}")
        return tuple(Topic(request.channel, name, "") for name in payload)

    def _kline_topics(self, payload: tuple[str, ...]) -> tuple[Topic, ...] | Refusal:
        if len(payload) != 2:
            return Refusal(2, "invalid argument: payload is [interval, pair]")
        interval, name = payload
        if interval not in INTERVALS:
            return Refusal(2, f"incorrect interval specified: {interval}")
        if name not in self._engine.markets:
            return Refusal(2, f"unknown currency pair: {name}")
        return (Topic("spot.candlesticks", name, interval),)

    def _book_topics(self, payload: tuple[str, ...]) -> tuple[Topic, ...] | Refusal:
        if len(payload) != 2:
            return Refusal(2, "invalid argument: payload is [pair, interval]")
        name, interval = payload
        if name not in self._engine.markets:
            return Refusal(2, f"unknown currency pair: {name}")
        if interval not in BOOK_INTERVALS:
            return Refusal(2, f"incorrect update interval specified: {interval}")
        return (Topic("spot.order_book_update", name, interval),)

    def _top_topics(self, payload: tuple[str, ...]) -> tuple[Topic, ...] | Refusal:
        if len(payload) != 3:
            return Refusal(2, "invalid argument: payload is [pair, level, interval]")
        name, levels, interval = payload
        if name not in self._engine.markets:
            return Refusal(2, f"unknown currency pair: {name}")
        if levels not in TOP_LEVELS:
            return Refusal(2, f"provided level not supported: {levels}")
        if interval not in TOP_INTERVALS:
            return Refusal(2, f"incorrect update interval specified: {interval}")
        parameter = f"top.{levels}" + ("" if interval == "100ms" else f"@{interval}")
        return (Topic("spot.order_book", name, parameter),)
