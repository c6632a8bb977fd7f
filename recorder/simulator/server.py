"""The exchange as a whole: markets, feeds and REST on one local port.

In tests::

    async with Exchange(Settings(seed=7)) as exchange:
        ...  # exchange.ws_url_spot, exchange.ws_url_v3,
        # exchange.ws_url_futures("usdt"), exchange.rest_url

As a program: `run_forever`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec
from aiohttp import WSMsgType, web

from recorder.clock import Clock, SystemClock
from recorder.simulator.account import Account, Change
from recorder.simulator.account_truth import beginning, changed
from recorder.simulator.announcements import Announcements
from recorder.simulator.connection import Connection, Context
from recorder.simulator.cryptolisting.server import PATH as LISTINGS_PATH, Listings
from recorder.simulator.engine import Engine
from recorder.simulator.faults import Fault, FaultPlan
from recorder.simulator.feed_v4 import FeedV4
from recorder.simulator.futures_side import FuturesSide
from recorder.simulator.markets import market_spec
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.okx import OkxStatus
from recorder.simulator.rest import RestApi
from recorder.simulator.retold import Retold
from recorder.simulator.serving import LocalServer, serve_forever
from recorder.simulator.settings import Settings
from recorder.simulator.snapshots import Snapshots
from recorder.simulator.spot_v4 import SpotV4
from recorder.simulator.truth import Truth
from recorder.simulator.truth_files import TruthFiles
from recorder.simulator.v3 import SpotV3


PATHS = {
    "v4": ("/ws/v4/", "/ws/v4"),
    # The same protocol at both; the second wants APIv4 keys.
    "v3": ("/v3/", "/v3", "/v4/", "/v4"),
    "futures": ("/v4/ws/{settle}", "/v4/ws/{settle}/"),
    "v5": ("/ws/v5/public",),
    "ann": ("/ws/v4/ann", "/ws/v4/ann/"),
}
_FLUSH_NS = SECOND_NS

Feed = SpotV4 | SpotV3 | FeedV4 | OkxStatus | Announcements


class Exchange(LocalServer):
    """A local exchange; a context manager that serves while it is open.

    Attributes:
        settings: How it behaves.
        truth: What really happened.
        counters: ``faults``, ``overflows``, ``idle_closes``, ``steps``, and
            connections accepted as ``v4``, ``v3``, ``futures``, ``v5`` and
            ``ann``.
        engine: The spot markets; made when the exchange opens.
        account: The one account that v3 tells of; made when the exchange opens.
        futures: The contracts; made when the exchange opens.
        listings: The listing service; made when the exchange opens.
        okx: The feed of OKX; made when the exchange opens.
        announcements: That of announcements; made when the exchange opens.
    """

    engine: Engine
    account: Account
    futures: FuturesSide
    listings: Listings
    okx: OkxStatus
    announcements: Announcements

    def __init__(
        self, settings: Settings | None = None, *, clock: Clock | None = None
    ) -> None:
        super().__init__()
        self.settings = settings or Settings()
        self.counters: Counter[str] = Counter()
        self.truth = Truth(keep=False)
        self._clock = clock or SystemClock()
        self._is_paused = False
        self._files: TruthFiles | None = None
        self._connections: dict[str, dict[Connection, None]] = {
            name: {} for name in PATHS
        }

    @property
    def ws_url_spot(self) -> str:
        """Address of the v4 spot WebSocket."""
        return self.ws_url_of(PATHS["v4"][0])

    @property
    def ws_url_v3(self) -> str:
        """Address of the v3 WebSocket."""
        return self.ws_url_of(PATHS["v3"][0])

    @property
    def ws_url_v3_apiv4(self) -> str:
        """Address of the v3 WebSocket for APIv4 keys."""
        return self.ws_url_of(PATHS["v3"][2])

    def ws_url_futures(self, settle: str) -> str:
        """Return the address of the WebSocket of contracts settled so."""
        return self.ws_url_of(PATHS["futures"][0].format(settle=settle))

    @property
    def ws_urls(self) -> dict[str, str]:
        """Addresses of its markets, by the name of the feed that reads them.

        Of contracts, of one settle currency; without contracts there is none.
        """
        urls = {"gate_spot": self.ws_url_spot, "gate_v3": self.ws_url_v3}
        for settle in self.futures.settles[:1]:
            urls["gate_futures"] = self.ws_url_futures(settle)
        return urls

    @property
    def status_urls(self) -> dict[str, str]:
        """Addresses of feeds without markets, by the name of the feed."""
        return {
            "cryptolisting": self.ws_url_of(LISTINGS_PATH),
            "okx_status": self.ws_url_of(PATHS["v5"][0]),
            "gate_announcements": self.ws_url_of(PATHS["ann"][0]),
        }

    @property
    def keys(self) -> dict[str, dict[str, str]]:
        """Keys that it takes: by the name of the feed, and what the feed calls them."""
        key, secret = self.settings.v3_keys
        return {
            "cryptolisting": {"key": self.listings.settings.keys[0].key},
            "gate_v3": {"key": key, "secret": secret},
        }

    async def _open(self, stack: AsyncExitStack) -> None:
        """Make the markets and start to serve.

        Raises:
            ConfigError: If the port is taken or the truth cannot be written.
        """
        settings = self.settings
        if settings.truth_dir is not None:
            self._files = TruthFiles(settings.truth_dir)
            stack.callback(self._files.close)
        self._build()
        stack.callback(self.listings.close)
        await self._listen(self._app(), settings.port, stack)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stepping = tasks.create_task(self._run())
        stack.callback(stepping.cancel)
        listing = tasks.create_task(self.listings.run())
        stack.callback(listing.cancel)
        stack.callback(self.listings.drop_all)
        stack.callback(self.drop_connections)

    def order(self, fault: Fault) -> None:
        """Order a fault while the exchange runs; its ``at`` counts as for the others."""
        self._plan.order(fault)
        self.listings.order(fault)

    async def subscribed(self) -> None:
        """Wait until a first subscription has been accepted."""
        await self._context.subscribed.wait()

    def pause(self) -> None:
        """Stop the markets and what the venue says of itself.

        What is due of markets is still sent, requests are answered.
        """
        self._is_paused = True

    def drop_connections(self, feed: str | None = None) -> None:
        """Drop the TCP connections of a feed, a key of `PATHS`, or of all."""
        for name, connections in self._connections.items():
            if feed in {None, name}:
                for conn in list(connections):
                    conn.abort()

    def _build(self) -> None:
        settings = self.settings
        start_ns = self._clock.now_ns()
        self.truth = Truth(
            keep=settings.keep_truth,
            log_frames=settings.log_frames,
            sink=self._files,
        )
        self._plan = FaultPlan(settings.faults, seed=settings.seed)
        self._context = Context(
            clock=self._clock,
            plan=self._plan.of("v4"),
            truth=self.truth,
            counters=self.counters,
        )
        self.engine = Engine(
            [market_spec(name) for name in settings.all_markets()],
            seed=settings.seed,
            rates=settings.rates(),
            start_ns=start_ns,
            warmup_events=settings.warmup_events,
        )
        self.futures = FuturesSide(settings, self._context, start_ns)
        for engine in (self.engine, self.futures.engine):
            for market in engine.markets.values():
                self.truth.watch(market)
        self._spot = SpotV4(self.engine, settings, self._context)
        self.account = Account(
            [self.engine.markets[name] for name in settings.all_markets()],
            seed=settings.seed,
            start_ns=start_ns,
            seconds=settings.account_seconds,
            open_orders=settings.account_orders,
        )
        for row in beginning(self.account, start_ns):
            self.truth.add(row)
        self._v3 = SpotV3(self.engine, self.account, settings, self._context)
        self.okx = OkxStatus(settings.okx, self._context, settings.seed)
        self.announcements = Announcements(settings, self._context)
        self._snapshots = Snapshots(self.engine, settings, self._context)
        self._snapshots.on_taken = self._spot.snapshot_given
        self.listings = Listings(
            msgspec.structs.replace(
                settings.listings,
                seed=settings.seed,
                faults=settings.faults,
                truth_dir=settings.truth_dir,
                keep_truth=settings.keep_truth,
            ),
            self._clock,
        )
        if self.truth.is_wanted:
            self.listings.truth.observers.append(Retold(self.truth).tell)

    def _app(self) -> web.Application:
        app = web.Application()
        rest = RestApi(self.engine, self.settings, self._context, self._snapshots)
        app.add_routes(rest.routes())
        app.add_routes(self.listings.routes())
        app.add_routes(self.futures.routes())
        for path in PATHS["v4"]:
            app.router.add_get(path, self._serve_v4)
        for path in PATHS["v3"]:
            app.router.add_get(path, self._serve_v3)
        for path in PATHS["futures"]:
            app.router.add_get(path, self._serve_futures)
        for path in PATHS["v5"]:
            app.router.add_get(path, self._serve_v5)
        for path in PATHS["ann"]:
            app.router.add_get(path, self._serve_ann)
        return app

    async def _run(self) -> None:
        """Advance the markets and send what is due, for ever."""
        step = self.settings.step_seconds
        last_ns = self._clock.now_ns()
        flushed_ns = last_ns
        while True:
            await asyncio.sleep(step)
            now_ns = self._clock.now_ns()
            trades = [] if self._is_paused else self.engine.advance(now_ns)
            done = [] if self._is_paused else self.futures.advance(now_ns)
            self._snapshots.publish(now_ns)
            self._spot.publish(now_ns, trades)
            self._v3.publish(now_ns, trades, self._advance_account(now_ns))
            self.futures.publish(now_ns, done)
            if not self._is_paused:
                self.okx.publish(now_ns)
                self.announcements.publish(now_ns)
            self.announcements.repeat(now_ns)
            elapsed = (now_ns - last_ns) / SECOND_NS
            self._spot.strike_time(now_ns, elapsed)
            self._v3.strike_time(now_ns, elapsed)
            self.futures.strike_time(now_ns, elapsed)
            self.okx.strike_time(now_ns, elapsed)
            self.announcements.strike_time(now_ns, elapsed)
            self.counters["steps"] += 1
            last_ns = now_ns
            if self._files is not None and now_ns - flushed_ns >= _FLUSH_NS:
                flushed_ns = now_ns
                self._files.flush()

    def _advance_account(self, now_ns: int) -> list[Change]:
        changes = [] if self._is_paused else self.account.advance(now_ns)
        for change in changes:
            for row in changed(change, self.account.user):
                self.truth.add(row)
        return changes

    async def _serve_v4(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "v4", self._spot, "handshake_502")

    async def _serve_v3(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(request, "v3", self._v3, "v3_handshake_502")

    async def _serve_futures(self, request: web.Request) -> web.StreamResponse:
        feed = self.futures.feed_for(request)
        if feed is None:
            return web.Response(status=404, text="Not Found")
        return await self._serve(request, "futures", feed, "handshake_502")

    async def _serve_v5(self, request: web.Request) -> web.StreamResponse:
        if not self.okx.admits(self._clock.now_ns()):
            return web.Response(status=429, text="Too Many Requests")
        return await self._serve(request, "v5", self.okx, "v5_handshake_502")

    async def _serve_ann(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(
            request, "ann", self.announcements, "ann_handshake_502"
        )

    async def _serve(
        self, request: web.Request, name: str, feed: Feed, fault: str
    ) -> web.StreamResponse:
        plan = self._plan.of(name)
        if plan.strike(fault, self._clock.now_ns()):
            self._context.performed(fault, name)
            return web.Response(status=502, text="Bad Gateway")
        # The venue negotiates no compression; its TCP ends are not graceful.
        socket = web.WebSocketResponse(compress=False, autoping=False, timeout=1.0)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:  # pragma: no cover - the client is gone already
            return socket
        self.counters[name] += 1
        conn = Connection(
            self.counters[name],
            name,
            socket,
            transport,
            msgspec.structs.replace(self._context, plan=plan),
            self.settings.queue_frames,
            request.path,
            self.settings.lag_of(self.counters[name]),
        )
        self._connections[name][conn] = None
        conn.accepted()
        feed.opened(conn)
        try:
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(conn.write())
                await self._read(socket, conn, feed)
                writing.cancel()
        finally:
            conn.is_open = False
            feed.closed(conn)
            del self._connections[name][conn]
        return socket

    async def _read(
        self, socket: web.WebSocketResponse, conn: Connection, feed: Feed
    ) -> None:
        async for message in socket:
            conn.heard()
            if message.type is WSMsgType.PING and not conn.is_stalled:
                await socket.pong(message.data)
            elif message.type is WSMsgType.TEXT and isinstance(feed, SpotV4 | FeedV4):
                await feed.receive(conn, message.data)
            elif message.type is WSMsgType.TEXT:
                feed.receive(conn, message.data)


async def run_forever(
    settings: Settings, on_ready: Callable[[Exchange], None] | None = None
) -> None:
    """Serve until cancelled.

    The truth is not held in memory, whatever the settings say, for that
    would grow for ever; give a `truth_dir` to keep it.

    Args:
        settings: How the exchange behaves.
        on_ready: Called once connections are accepted.

    Raises:
        ConfigError: If the port is taken or the truth cannot be written.
    """
    lean = msgspec.structs.replace(settings, keep_truth=False)
    await serve_forever(Exchange(lean), on_ready)
