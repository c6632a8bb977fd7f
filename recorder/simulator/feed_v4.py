"""What a socket of v4 does whatever its channels mean.

It answers requests and pings, knows who subscribed to what, drops
connections that are idle, and performs the faults of a connection.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.depth_v4 import Topic
from recorder.simulator.envelope_v4 import (
    EnvelopeV4,
    Refusal,
    Request,
    decode_request,
)
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.settings import Settings


class FeedV4(ABC):
    """One address of the exchange and those who are connected to it."""

    feed: ClassVar[str]
    """What faults and truth call it."""
    not_json: ClassVar[Refusal | None] = None
    """The answer to text that is not JSON; None if it gets none."""

    def __init__(
        self,
        wire: EnvelopeV4,
        settings: Settings,
        context: Context,
        rng: random.Random,
    ) -> None:
        """Begin without connections.

        Args:
            wire: Encodes answers.
            settings: How long a connection may be idle.
            context: Faults and truth.
            rng: Makes the names of connections.
        """
        self._envelope = wire
        self._settings = settings
        self._context = context
        self._rng = rng
        self._conn_ids: dict[Connection, str] = {}
        self._topics_of: dict[Connection, set[Topic]] = {}
        # A dict serves as a set that keeps its order.
        self._readers: dict[Topic, dict[Connection, None]] = {}

    @abstractmethod
    def topics(self, conn: Connection, request: Request) -> Sequence[Topic] | Refusal:
        """Return what a request is about; one bad market refuses it all."""

    @abstractmethod
    def stream_of(self, topic: Topic) -> str:
        """Return the stream of a topic: ``depth``, ``trades``, ..."""

    @abstractmethod
    def joining(self, conn: Connection, topic: Topic, now_ns: int) -> None:
        """Prepare for a connection that will be a reader of a topic."""

    @abstractmethod
    def left(self, topic: Topic) -> None:
        """Forget a topic without readers."""

    def other(self, conn: Connection, request: Request, now_ns: int) -> bool:
        """Answer a request that is not about topics; return whether it was one."""
        return False

    def opened(self, conn: Connection) -> None:
        """Welcome a connection; the venue says nothing."""
        self._conn_ids[conn] = f"{self._rng.getrandbits(64):016x}"
        self._topics_of[conn] = set()

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        for topic in self._topics_of.pop(conn):
            self._leave(conn, topic)
        del self._conn_ids[conn]

    def is_subscribed(self, conn: Connection) -> bool:
        """Return whether a connection asked for anything."""
        return bool(self._topics_of[conn])

    async def receive(self, conn: Connection, text: str) -> None:
        """Answer what a client sent."""
        request = decode_request(text)
        context = self._context
        if request is None:
            request = self.not_json
        if request is None:
            return
        strike = context.plan.strike("slow_ack", context.clock.now_ns())
        if strike:
            context.performed("slow_ack", self.feed, conn=conn.number)
            await asyncio.sleep(strike.seconds)
        now_ns = context.clock.now_ns()
        if isinstance(request, Refusal):
            self.answer(conn, Request(channel="", event=""), request, now_ns)
        elif request.channel == f"{self._envelope.prefix}.ping":
            conn.reply(self._envelope.pong(request, self._conn_ids[conn], now_ns))
        elif not self.other(conn, request, now_ns):
            self._subscribe(conn, request, now_ns)

    def answer(
        self,
        conn: Connection,
        request: Request,
        refusal: Refusal | None,
        now_ns: int,
    ) -> None:
        """Answer a request: accepted, or refused."""
        conn_id = self._conn_ids[conn]
        conn.reply(self._envelope.answer(request, refusal, conn_id, now_ns))

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time, and drop idle connections."""
        if self._topics_of:
            plan = self._context.plan
            strike = plan.strike("upgrade", now_ns, elapsed_seconds=elapsed_seconds)
            if strike:
                notice = self._envelope.upgrade(now_ns)
                for conn in self._topics_of:
                    self._context.performed("upgrade", self.feed, conn=conn.number)
                    conn.reply(notice)
                    conn.close_at_ns = now_ns + int(strike.seconds * SECOND_NS)
        settings = self._settings
        for conn in list(self._topics_of):
            conn.strike_time(now_ns, elapsed_seconds)
            seconds = (
                settings.idle_subscribed_seconds
                if self.is_subscribed(conn)
                else settings.idle_unsubscribed_seconds
            )
            is_idle = now_ns - conn.active_ns >= seconds * SECOND_NS
            if conn.is_open and not conn.is_stalled and is_idle:
                self._context.counters["idle_closes"] += 1
                conn.abort()

    def _subscribe(self, conn: Connection, request: Request, now_ns: int) -> None:
        topics = self.topics(conn, request)
        refusal = topics if isinstance(topics, Refusal) else None
        self.answer(conn, request, refusal, now_ns)
        if isinstance(topics, Refusal):
            return
        for topic in topics:
            if request.event == "subscribe":
                self._join(conn, topic, now_ns)
            elif topic in self._topics_of[conn]:
                self._topics_of[conn].remove(topic)
                self._leave(conn, topic)

    def _join(self, conn: Connection, topic: Topic, now_ns: int) -> None:
        context, stream = self._context, self.stream_of(topic)
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
            context.performed("silent_ack", self.feed, conn=conn.number, push=push)
            return
        if topic in self._topics_of[conn]:
            return
        self.joining(conn, topic, now_ns)
        self._topics_of[conn].add(topic)
        self._readers.setdefault(topic, {})[conn] = None

    def _leave(self, conn: Connection, topic: Topic) -> None:
        del self._readers[topic][conn]
        if not self._readers[topic]:
            del self._readers[topic]
            self.left(topic)
