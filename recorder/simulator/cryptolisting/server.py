"""The service as a whole: who is connected, what is announced, what goes wrong.

In tests::

    async with ListingServer(settings_of("C")) as server:
        server.announce(...)  # server.ws_url, server.truth

`Listings` is the same without a port of its own, for a larger application.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import WSMsgType, web

from recorder.clock import Clock, SystemClock
from recorder.simulator.cryptolisting import wire
from recorder.simulator.cryptolisting.client import CLOSES, Client
from recorder.simulator.cryptolisting.door import HEADER, REFUSALS, Door, Refusal
from recorder.simulator.cryptolisting.kinds import PREFIX, SAID
from recorder.simulator.cryptolisting.news import make_news
from recorder.simulator.cryptolisting.settings import ListingSettings
from recorder.simulator.cryptolisting.truth import (
    Entered,
    ListingTruth,
    Made,
    Struck,
    Turned,
)
from recorder.simulator.cryptolisting.wire import Announcement
from recorder.simulator.faults import Fault, FaultPlan
from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.serving import LocalServer, port_of
from recorder.telemetry import SimulatorFault, emit


PATH: Final = "/"
_FEED: Final = "cryptolisting"
_FLUSH_NS: Final = SECOND_NS


class Listings:
    """The service; it serves wherever its routes are served.

    Attributes:
        settings: How it behaves.
        truth: What it really did.
        clients: Open connections, oldest first.
        refusing: Answers to give to the next handshakes, in order.
    """

    def __init__(self, settings: ListingSettings, clock: Clock | None = None) -> None:
        """Get ready.

        Raises:
            ConfigError: If the truth cannot be written.
        """
        self.settings = settings
        self.truth = ListingTruth(keep=settings.keep_truth, folder=settings.truth_dir)
        self.clients: list[Client] = []
        self.refusing: list[Refusal] = []
        self._clock = clock or SystemClock()
        self._rng = random.Random(f"{settings.seed}:cryptolisting")
        self._plan = FaultPlan(settings.faults, seed=settings.seed)
        self._door = Door(settings, self._clock.now_ns())
        self._script = deque(settings.script)
        self._began_ns: int | None = None
        self._accepted = 0
        self._flushed_ns = 0

    def routes(self) -> list[web.RouteDef]:
        """Return where it is served."""
        return [web.get(PATH, self._serve)]

    def order(self, fault: Fault) -> None:
        """Order a fault while the service runs."""
        self._plan.order(fault)

    def announce(
        self,
        title: str,
        tickers: Iterable[str],
        *,
        publisher: str = "binance",
        listing_type: str = "spot_listing",
    ) -> Announcement:
        """Announce something now, to all that want to hear of its publisher."""
        now_ns = self._clock.now_ns()
        news = Announcement(
            title=title,
            tickers=tuple(tickers),
            publisher=publisher,
            listing_type=listing_type,
            detected_ns=now_ns,
            published_ns=now_ns - 5 * MS_NS,
        )
        self.dispatch(news)
        return news

    def dispatch(self, news: Announcement) -> None:
        """Tell an announcement, perhaps once more, to all that want to hear it."""
        now_ns = self._clock.now_ns()
        payload = wire.announcement(self.settings, news, now_ns)
        self.truth.add(Made(ts_ns=now_ns, news=news, payload=payload.decode()))
        for client in list(self.clients):
            if client.guest.wants(news.publisher):
                self._push(client, "announcement", payload)

    def say(self, kind: str, payload: bytes, *, is_text: bool = False) -> None:
        """Send any message to all clients."""
        for client in list(self.clients):
            client.send(kind, payload, is_text=is_text)

    def expire(self, key: str) -> None:
        """Let a key end now: its connections are closed, new ones refused."""
        self._end_key(key, "key_expired")

    def revoke(self, key: str) -> None:
        """Take a key back; the current documents call it invalidated."""
        is_late = self.settings.generation == "C"
        self._end_key(key, "key_invalidated" if is_late else "key_revoked")

    def close_all(self, reason: str) -> None:
        """Close all connections for a reason of `CLOSES`."""
        for client in list(self.clients):
            client.end(reason)

    def drop_all(self) -> None:
        """Drop all TCP connections."""
        for client in list(self.clients):
            client.drop()

    async def run(self) -> None:
        """Do what is due, for ever."""
        last_ns = self._clock.now_ns()
        while True:
            await asyncio.sleep(self.settings.step_seconds)
            now_ns = self._clock.now_ns()
            self._step(now_ns, (now_ns - last_ns) / SECOND_NS)
            last_ns = now_ns

    def close(self) -> None:
        """Drop all connections and write down the rest of the truth."""
        self.drop_all()
        self.truth.close()

    def _step(self, now_ns: int, elapsed: float) -> None:
        if self._began_ns is not None:
            since = (now_ns - self._began_ns) / SECOND_NS
            while self._script and self._script[0].at_seconds <= since:
                line = self._script.popleft()
                self.announce(
                    line.title,
                    line.tickers,
                    publisher=line.publisher,
                    listing_type=line.listing_type,
                )
        if self._rng.random() < self.settings.announcements_per_minute * elapsed / 60:
            self.dispatch(make_news(self._rng, self.settings.generation, now_ns))
        for client in list(self.clients):
            if self._door.expires_in(client.guest.key, now_ns) == 0:
                client.end("key_expired")
            elif now_ns - client.pong_ns > self.settings.pong_seconds * SECOND_NS:
                client.drop()
            else:
                self._keep_up(client, now_ns)
                self._strike_time(client, now_ns, elapsed)
            client.nudge()
        if now_ns - self._flushed_ns >= _FLUSH_NS:
            self._flushed_ns = now_ns
            self.truth.flush()

    def _keep_up(self, client: Client, now_ns: int) -> None:
        """Send what shows a client that the service lives."""
        settings = self.settings
        if now_ns >= client.heartbeat_ns:
            client.heartbeat_ns = now_ns + int(settings.heartbeat_seconds * SECOND_NS)
            if not client.is_mute:
                self._push(client, "heartbeat", wire.heartbeat(settings, now_ns))
        if now_ns >= client.ping_ns:
            client.ping_ns = now_ns + int(settings.ping_seconds * SECOND_NS)
            client.ping()

    def _strike_time(self, client: Client, now_ns: int, elapsed: float) -> None:
        """Perform the faults that come with time."""

        def is_struck(name: str) -> bool:
            return self._strike(name, now_ns, client=client, elapsed=elapsed)

        if is_struck("mute"):
            client.is_mute = True
        if is_struck("stall"):
            client.is_stalled = True
        if is_struck("abort"):
            client.drop()
        for kind in SAID:
            if is_struck(kind):
                client.send(kind, wire.unknown(kind))
        for reason in CLOSES:
            if is_struck(reason):
                client.end(reason)

    def _strike(
        self,
        name: str,
        now_ns: int,
        *,
        client: Client | None = None,
        elapsed: float | None = None,
    ) -> bool:
        """Return whether a fault happens now, and note it."""
        name = f"{PREFIX}{name}"
        if self._plan.strike(name, now_ns, elapsed_seconds=elapsed) is None:
            return False
        conn = None if client is None else client.number
        self.truth.add(Struck(ts_ns=now_ns, name=name, conn=conn))
        emit(SimulatorFault(name=name, feed=_FEED, conn=conn))
        return True

    def _push(self, client: Client, kind: str, payload: bytes) -> None:
        """Send a heartbeat or an announcement, unless a fault has it otherwise."""
        now_ns = self._clock.now_ns()
        if self._strike("malformed", now_ns, client=client):
            client.send(kind, payload[:-1] + b",", is_whole=False)
            return
        is_text = self._strike("text", now_ns, client=client)
        client.send(kind, payload, is_text=is_text)

    def _end_key(self, key: str, reason: str) -> None:
        self._door.revoke(key)
        for client in list(self.clients):
            if client.guest.key.key == key:
                client.end(reason)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        now_ns = self._clock.now_ns()
        # No compression is negotiated; the queue is ours, not the library's.
        socket = web.WebSocketResponse(
            compress=False, autoping=False, timeout=1.0, writer_limit=2**31
        )
        verdict = self._ordered(now_ns)
        if verdict is None and not socket.can_prepare(request).ok:
            is_late = self.settings.generation == "C"
            verdict = REFUSALS["http_426" if is_late else "http_400"]
        guest = verdict or self._door.let_in(
            {HEADER: request.headers.get(HEADER, "")},
            dict(request.query),
            request.remote or "",
            now_ns,
        )
        if isinstance(guest, Refusal):
            return self._refuse(request, guest)
        try:
            await socket.prepare(request)
            transport = request.transport
            if transport is not None:
                self._accepted += 1
                entered_ns = self._clock.now_ns()
                self.truth.add(
                    Entered(
                        ts_ns=entered_ns,
                        conn=self._accepted,
                        port=port_of(transport),
                    )
                )
                client = Client(
                    self._accepted,
                    guest,
                    socket,
                    transport,
                    settings=self.settings,
                    clock=self._clock,
                    truth=self.truth,
                )
                await self._attend(socket, client)
        finally:
            self._door.left(guest)
        return socket

    def _ordered(self, now_ns: int) -> Refusal | None:
        """Return the refusal that was ordered, if any."""
        if self.refusing:
            return self.refusing.pop(0)
        for name, refusal in REFUSALS.items():
            if self._strike(name, now_ns):
                return refusal
        return None

    def _refuse(self, request: web.Request, refusal: Refusal) -> web.Response:
        self.truth.add(
            Turned(
                ts_ns=self._clock.now_ns(), status=refusal.status, error=refusal.error
            )
        )
        facts = dict(refusal.facts)
        if self.settings.is_echoing_keys:
            facts["key"] = request.headers.get(HEADER, "")
        return web.Response(
            status=refusal.status,
            body=wire.body(refusal.error, **facts),
            content_type="application/json",
            headers={"Upgrade": "websocket"} if refusal.status == 426 else None,
        )

    async def _attend(self, socket: web.WebSocketResponse, client: Client) -> None:
        """Serve a client to its end."""
        now_ns = self._clock.now_ns()
        jitter = self._rng.uniform(0, self.settings.first_ping_seconds)
        client.ping_ns = now_ns + int(jitter * SECOND_NS)
        self._welcome(client, now_ns)
        self.clients.append(client)
        self._plan.begin(now_ns)
        self._began_ns = self._began_ns or now_ns
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(client.write())
                await self._listen_to(socket, client)
                if client.is_open:
                    writing.cancel()
        finally:
            client.is_open = False
            self.clients.remove(client)

    def _welcome(self, client: Client, now_ns: int) -> None:
        if self._strike("late_welcome", now_ns, client=client):
            client.send("heartbeat", wire.heartbeat(self.settings, now_ns))
        if self._strike("no_welcome", now_ns, client=client):
            return
        key = client.guest.key
        expires_in = self._door.expires_in(key, now_ns)
        client.send("welcome", wire.welcome(self.settings, key, expires_in))

    async def _listen_to(self, socket: web.WebSocketResponse, client: Client) -> None:
        """Read what a client sends: nothing is expected but PONG."""
        async for message in socket:
            if message.type is WSMsgType.PONG:
                client.pong_ns = self._clock.now_ns()
            elif message.type is WSMsgType.PING:
                if not client.is_stalled:
                    await socket.pong(message.data)
            elif message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                data = message.data
                self._take(client, data.encode() if isinstance(data, str) else data)

    def _take(self, client: Client, data: bytes) -> None:
        """Take a client's message: all it can be is a request for a test."""
        limit = client.heard(len(data))
        if limit is not None:
            client.end(limit)
            return
        if not (self.settings.has_test and wire.is_test_request(data)):
            return
        now_ns = self._clock.now_ns()
        pause_ns = int(self.settings.test_seconds * SECOND_NS)
        if client.test_ns is not None and now_ns < client.test_ns + pause_ns:
            wait = -(-(client.test_ns + pause_ns - now_ns) // SECOND_NS)
            client.send(
                "error", wire.dummy_refused(self.settings, client.guest.key, wait)
            )
            return
        client.test_ns = now_ns
        client.send("test_announcement", wire.dummy_announcement(self.settings, now_ns))


class ListingServer(LocalServer):
    """The service on a local port of its own; a context manager.

    Attributes:
        service: The service itself, once open.
    """

    service: Listings

    def __init__(
        self, settings: ListingSettings | None = None, *, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self.settings = settings or ListingSettings()
        self._clock = clock

    @property
    def ws_url(self) -> str:
        """Address of the WebSocket."""
        return self.ws_url_of(PATH)

    @property
    def truth(self) -> ListingTruth:
        """What it really did."""
        return self.service.truth

    async def _open(self, stack: AsyncExitStack) -> None:
        """Start the service.

        Raises:
            ConfigError: If the port is taken or the truth cannot be written.
        """
        self.service = Listings(self.settings, self._clock)
        stack.callback(self.service.close)
        app = web.Application()
        app.add_routes(self.service.routes())
        await self._listen(app, self.settings.port, stack)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = tasks.create_task(self.service.run())
        stack.callback(running.cancel)
        stack.callback(self.service.drop_all)
