"""One accepted WebSocket connection: its queue, its faults, its end.

Everything pushed or answered goes through `Connection.push` and
`Connection.reply`; a writer task empties the queue. The queue is bounded: a
client that does not read is dropped and counted.
"""

import asyncio
from collections import Counter, deque

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from recorder.clock import Clock
from recorder.simulator.faults import FaultPlan, Strike
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.serving import port_of
from recorder.simulator.truth import Accepted, Facts, FaultDone, FrameSent, Truth
from recorder.telemetry import SimulatorClientDropped, SimulatorFault, emit


class Push(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A frame of data and what it is about.

    Attributes:
        payload: The frame as text in UTF-8.
        stream: ``depth``, ``trades``, ...
        market: The market; empty for a stream without markets.
        first_update_id: First id of a v4 depth frame.
        last_update_id: Last id of a v4 depth frame.
        trade_ids: Trades in it.
        parameter: Of the stream: ``100ms``, ``1m``; empty if it has none.
        facts: What it says, row by row, for the truth.
    """

    payload: bytes
    stream: str
    market: str
    first_update_id: int | None = None
    last_update_id: int | None = None
    trade_ids: tuple[int, ...] = ()
    parameter: str = ""
    facts: tuple[Facts, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of the exchange share.

    Attributes:
        clock: The exchange's clock.
        plan: Faults to come.
        truth: Where what happened is written.
        counters: ``overflows``, ``idle_closes`` and the like.
        subscribed: Set by the first subscription that was accepted.
    """

    clock: Clock
    plan: FaultPlan
    truth: Truth
    counters: Counter[str]
    subscribed: asyncio.Event = msgspec.field(default_factory=asyncio.Event)

    def accepted(self) -> None:
        """Note a subscription: faults count their time from the first."""
        if not self.subscribed.is_set():
            self.plan.begin(self.clock.now_ns())
            self.subscribed.set()

    def performed(
        self,
        name: str,
        feed: str,
        *,
        conn: int | None = None,
        market: str | None = None,
        push: Push | None = None,
    ) -> None:
        """Write a fault that was just performed into the truth and the log."""
        done = FaultDone(
            ts_ns=self.clock.now_ns(),
            name=name,
            feed=feed,
            conn=conn,
            market=market if push is None else push.market or None,
            stream=None if push is None else push.stream,
            parameter="" if push is None else push.parameter,
            first_update_id=None if push is None else push.first_update_id,
            last_update_id=None if push is None else push.last_update_id,
            trade_ids=() if push is None else push.trade_ids,
        )
        self.truth.add(done)
        self.counters["faults"] += 1
        emit(SimulatorFault(name=name, feed=feed, conn=conn, market=done.market))


class Connection:
    """A client's connection as a feed of the exchange sees it.

    Attributes:
        number: From 1, in order of acceptance, by feed.
        feed: ``v4``, ``v3``, ``futures``, ``v5`` or ``ann``.
        path: Of the address that the client asked for.
        is_open: False as soon as it is to end.
        is_stalled: True if nothing is sent any more.
        active_ns: When something last went either way.
        close_at_ns: When it is to be closed properly; None for never.
        close_code: Code of a proper close.
        close_reason: Words that go with it.
        abort_at_ns: When it is to be dropped; None for never.

    Args:
        number: Its number.
        feed: Its feed.
        socket: Its WebSocket.
        transport: The TCP connection below.
        context: What all parts of the exchange share.
        queue_frames: With more waiting it is dropped.
        lag_seconds: All that is sent takes so long, and keeps its order.
    """

    def __init__(
        self,
        number: int,
        feed: str,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        context: Context,
        queue_frames: int,
        path: str = "",
        lag_seconds: float = 0.0,
    ) -> None:
        self.number = number
        self.feed = feed
        self.path = path
        self.is_open = True
        self.is_stalled = False
        self.active_ns = context.clock.now_ns()
        self.close_at_ns: int | None = None
        self.close_code = int(WSCloseCode.GOING_AWAY)
        self.close_reason = ""
        self.abort_at_ns: int | None = None
        self._socket = socket
        self._transport = transport
        self._context = context
        self._queue_frames = queue_frames
        self._lag_seconds = lag_seconds
        # When each is due, by the loop's clock.
        self._queue: deque[tuple[float, bytes]] = deque()
        self._wake = asyncio.Event()
        self._frames = 0
        # Spot and futures share the faults of v4.
        self._prefix = "" if feed in ("v4", "futures") else f"{feed}_"

    def accepted(self) -> None:
        """Write into the truth that it begins, if frames are to be there."""
        truth, now_ns = self._context.truth, self._context.clock.now_ns()
        if truth.log_frames:
            port = port_of(self._transport)
            truth.add(
                Accepted(ts_ns=now_ns, feed=self.feed, conn=self.number, port=port)
            )

    def reply(self, payload: bytes) -> None:
        """Send an answer; faults of pushed frames do not hit it."""
        self._enqueue(payload, None)

    def push(self, push: Push) -> bool:
        """Send data, unless a fault has it otherwise.

        Returns:
            True if the client can decode the frame when it arrives.
        """
        if not self.is_open or self.is_stalled:
            return False
        strike = self._strike("drop", push)
        if strike:
            self._performed(strike, push)
            return False
        strike = self._strike("malformed", push)
        if strike:
            self._performed(strike, push)
            # A trailing comma, as in the venue's own documents.
            self._enqueue(push.payload[:-1] + b",}", push, is_whole=False)
            return False
        strike = self._strike("delay", push)
        if strike:
            self._performed(strike, push)
            loop = asyncio.get_running_loop()
            loop.call_later(strike.seconds, self._enqueue, push.payload, push)
            return True
        self._enqueue(push.payload, push)
        strike = self._strike("duplicate", push)
        if strike:
            self._performed(strike, push)
            self._enqueue(push.payload, push)
        return True

    def heard(self) -> None:
        """Note that the client sent something."""
        self.active_ns = self._context.clock.now_ns()

    def close(self, code: int, reason: str) -> None:
        """End the connection properly, once what is queued has been sent."""
        self.close_code, self.close_reason = code, reason
        self.is_open = False
        self._wake.set()

    def abort(self) -> None:
        """Drop the TCP connection: the client sees no close frame."""
        self.is_open = False
        self._queue.clear()
        self._transport.abort()
        self._wake.set()

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time, and ends that are due.

        Args:
            now_ns: The present.
            elapsed_seconds: Time since the last call.
        """
        if not self.is_open:
            return
        plan = self._context.plan
        stall, abort = f"{self._prefix}stall", f"{self._prefix}abort"
        strike = plan.strike(stall, now_ns, elapsed_seconds=elapsed_seconds)
        if strike and not self.is_stalled:
            self.is_stalled = True
            if strike.seconds:
                self.abort_at_ns = now_ns + int(strike.seconds * SECOND_NS)
            self._performed(strike, None)
        strike = plan.strike(abort, now_ns, elapsed_seconds=elapsed_seconds)
        if strike:
            self._performed(strike, None)
            self.abort()
        elif self.abort_at_ns is not None and now_ns >= self.abort_at_ns:
            self.abort()
        elif self.close_at_ns is not None and now_ns >= self.close_at_ns:
            self.is_open = False
            self._wake.set()

    async def write(self) -> None:
        """Send what is queued until the connection ends, each frame late by its lag."""
        socket, loop = self._socket, asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                due, payload = self._queue[0]
                if self._lag_seconds and (late := due - loop.time()) > 0:
                    await asyncio.sleep(late)
                    continue  # it may have been dropped meanwhile
                self._queue.popleft()
                try:
                    await socket.send_frame(payload, WSMsgType.TEXT)
                except ConnectionError:
                    # The client is gone; the reading side sees it and ends.
                    self.is_open = False
                    return
            # What was queued before the end is sent, even at the very beginning.
            if not self.is_open:
                break
        if not self._transport.is_closing():
            await socket.close(code=self.close_code, message=self.close_reason.encode())

    def _strike(self, name: str, push: Push) -> Strike | None:
        return self._context.plan.strike(
            f"{self._prefix}{name}",
            self._context.clock.now_ns(),
            stream=push.stream,
            parameter=push.parameter,
            market=push.market,
        )

    def _performed(self, strike: Strike, push: Push | None) -> None:
        self._context.performed(strike.name, self.feed, conn=self.number, push=push)

    def _enqueue(
        self, payload: bytes, push: Push | None, *, is_whole: bool = True
    ) -> None:
        if not self.is_open or self.is_stalled:
            return
        if len(self._queue) >= self._queue_frames:
            self._context.counters["overflows"] += 1
            emit(SimulatorClientDropped(feed=self.feed, conn=self.number))
            self.abort()
            return
        now_ns = self.active_ns = self._context.clock.now_ns()
        truth = self._context.truth
        if truth.log_frames:
            truth.add(
                FrameSent(
                    ts_ns=now_ns,
                    feed=self.feed,
                    conn=self.number,
                    n=self._frames,
                    stream="control" if push is None else push.stream,
                    market=None if push is None else push.market or None,
                    first_update_id=None if push is None else push.first_update_id,
                    last_update_id=None if push is None else push.last_update_id,
                    trade_ids=() if push is None else push.trade_ids,
                    parameter="" if push is None else push.parameter,
                    is_whole=is_whole,
                    facts=() if push is None else push.facts,
                )
            )
        self._frames += 1
        due = asyncio.get_running_loop().time() + self._lag_seconds
        self._queue.append((due, payload))
        self._wake.set()
