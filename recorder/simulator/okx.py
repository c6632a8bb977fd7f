"""OKX v5's public WebSocket, of which it serves the channel ``status``.

A connection is closed with code 4004 if nothing is subscribed over it for 30
seconds, or if nothing goes either way for so long; a client keeps a quiet one
alive with the text ``ping``. Each channel of a request is answered on its
own, and the latest change is pushed after each subscription.
"""

import random
from collections import deque

import msgspec

from recorder.simulator import wire_okx
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.maintenance import Maintenance, Maintenances
from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.truth import Notice
from recorder.simulator.wire_okx import Arg, Request


STREAM = "status"
FEED = "v5"
_OPS = ("subscribe", "unsubscribe")
_HOUR_NS = 3_600 * SECOND_NS


class OkxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How it behaves.

    Attributes:
        change_seconds: How often a maintenance changes; 0 is never, unless
            `OkxStatus.change` is called.
        has_history: Whether there is a latest change from the start on.
        env: ``1`` production, ``2`` demo trading.
        idle_seconds: A connection without subscription or traffic is closed
            after so long.
        connects_per_second: More connections are refused.
        operations_per_hour: More requests of a connection are refused.
        tells_connections: After each subscription tell how many there are.
    """

    change_seconds: float = 20.0  # seldom on the venue; often enough to watch
    has_history: bool = True
    env: str = "1"
    idle_seconds: float = 30.0  # as documented
    connects_per_second: int = 3  # as documented
    operations_per_hour: int = 480  # as documented
    tells_connections: bool = False


class _Session:
    """What is known of a connection."""

    __slots__ = ("conn_id", "is_subscribed", "operations", "unsubscribed_ns")

    def __init__(self, conn_id: str, now_ns: int) -> None:
        self.conn_id = conn_id
        self.is_subscribed = False
        self.unsubscribed_ns = now_ns
        self.operations: deque[int] = deque()


class OkxStatus:
    """The feed.

    Attributes:
        maintenances: What the venue tells of.
    """

    def __init__(self, settings: OkxSettings, context: Context, seed: int) -> None:
        self._settings = settings
        self._context = context
        self._rng = random.Random(f"{seed}:{FEED}")
        self.maintenances = Maintenances(
            self._rng,
            unit_ms=max(1, int(settings.change_seconds * 1_000)),
            env=settings.env,
            has_history=settings.has_history,
        )
        self._sessions: dict[Connection, _Session] = {}
        self._connects: deque[int] = deque()
        self._due_ns: int | None = None
        if self.maintenances.latest is not None:
            self._tell(self.maintenances.latest)

    def admits(self, now_ns: int) -> bool:
        """Count an attempt to connect; return whether it is not one too many."""
        connects = self._connects
        _forget(connects, now_ns - SECOND_NS)
        if len(connects) >= self._settings.connects_per_second:
            return False
        connects.append(now_ns)
        return True

    def opened(self, conn: Connection) -> None:
        """Welcome a connection; the venue says nothing."""
        conn_id = f"{self._rng.getrandbits(32):08x}"
        self._sessions[conn] = _Session(conn_id, self._context.clock.now_ns())

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        del self._sessions[conn]

    def receive(self, conn: Connection, text: str) -> None:
        """Answer what a client sent."""
        if text == "ping":
            conn.reply(b"pong")
            return
        session = self._sessions[conn]
        request = wire_okx.decode_request(text)
        if not isinstance(request, Request):
            conn.reply(wire_okx.invalid_request(request, text, session.conn_id))
            return
        code = self._refusal(session, request)
        args = wire_okx.decode_args(request.args)
        if code is None and args is None:
            code = wire_okx.INVALID_ARGS
        if code is not None:
            conn.reply(wire_okx.failure(request.id, code, session.conn_id))
            return
        for arg in args or ():
            self._answer(conn, session, request, arg)

    def publish(self, now_ns: int) -> None:
        """Change maintenances, as often as it is time."""
        period_ns = int(self._settings.change_seconds * SECOND_NS)
        if not period_ns:
            return
        if self._due_ns is None:
            self._due_ns = now_ns + period_ns
        while now_ns >= self._due_ns:
            self._due_ns += period_ns
            self.change()

    def change(self) -> tuple[Maintenance, ...]:
        """Change a maintenance, now and then two, and tell all subscribers.

        Returns:
            What changed.
        """
        now_ns = self._context.clock.now_ns()
        changes = self.maintenances.step(now_ns // MS_NS)
        for change in changes:
            self._tell(change)
        push = _push(changes)
        for conn, session in self._sessions.items():
            if session.is_subscribed:
                conn.push(push)
        return changes

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time, and close idle connections."""
        sessions = list(self._sessions.items())
        if sessions:
            plan = self._context.plan
            strike = plan.strike("v5_upgrade", now_ns, elapsed_seconds=elapsed_seconds)
            if strike:
                for conn, session in sessions:
                    self._context.performed("v5_upgrade", FEED, conn=conn.number)
                    conn.reply(wire_okx.upgrade(session.conn_id))
                    conn.close_at_ns = now_ns + int(strike.seconds * SECOND_NS)
        limit_ns = int(self._settings.idle_seconds * SECOND_NS)
        for conn, session in sessions:
            conn.strike_time(now_ns, elapsed_seconds)
            if not conn.is_open or conn.is_stalled:
                continue
            since_ns = conn.active_ns
            if not session.is_subscribed:
                since_ns = min(since_ns, session.unsubscribed_ns)
            if now_ns - since_ns >= limit_ns:
                self._context.counters["idle_closes"] += 1
                words = f"No data received in {self._settings.idle_seconds:g}s"
                conn.close(wire_okx.NO_DATA, words)

    def _refusal(self, session: _Session, request: Request) -> int | None:
        """Return the error code of a request that is refused as a whole."""
        if request.op == "login":
            return wire_okx.WRONG_URL
        if request.op not in _OPS:
            return wire_okx.INVALID_OP
        now_ns = self._context.clock.now_ns()
        _forget(session.operations, now_ns - _HOUR_NS)
        if len(session.operations) >= self._settings.operations_per_hour:
            return wire_okx.TOO_FREQUENT
        session.operations.append(now_ns)
        return None

    def _answer(
        self, conn: Connection, session: _Session, request: Request, arg: Arg
    ) -> None:
        """Answer one channel of a request."""
        context = self._context
        now_ns = context.clock.now_ns()
        if arg.channel != STREAM:
            conn.reply(wire_okx.unknown_channel(request, arg, session.conn_id))
            return
        if request.op == "unsubscribe":
            if session.is_subscribed:
                session.is_subscribed = False
                session.unsubscribed_ns = now_ns
            conn.reply(wire_okx.ack(request, arg, session.conn_id))
            return
        strike = context.plan.strike("v5_error", now_ns)
        if strike:
            context.performed("v5_error", FEED, conn=conn.number)
            conn.reply(wire_okx.failure(request.id, strike.code, session.conn_id))
            return
        session.is_subscribed = True
        context.accepted()
        conn.reply(wire_okx.ack(request, arg, session.conn_id))
        if self._settings.tells_connections:
            count = sum(other.is_subscribed for other in self._sessions.values())
            conn.reply(wire_okx.connection_count(count, session.conn_id))
        if self.maintenances.latest is not None:
            conn.push(_push((self.maintenances.latest,)))

    def _tell(self, change: Maintenance) -> None:
        self._context.truth.add(
            Notice(
                ts_ns=self._context.clock.now_ns(),
                feed=FEED,
                stream=STREAM,
                facts=wire_okx.facts(change),
            )
        )


def _push(changes: tuple[Maintenance, ...]) -> Push:
    return Push(
        payload=wire_okx.status(changes),
        stream=STREAM,
        market="",
        facts=tuple(wire_okx.facts(change) for change in changes),
    )


def _forget(times: deque[int], before_ns: int) -> None:
    while times and times[0] <= before_ns:
        times.popleft()
