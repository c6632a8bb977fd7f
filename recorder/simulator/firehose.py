"""Rendered depth frames, sent as fast as they are read: for load and benchmarks.

Markets, ids and levels are made up by arithmetic, but every frame is valid
and every chain of updates whole: each market's ids run on without holes, its
book is never crossed, and its REST snapshot holds the book before the first
frame. Frames are rendered before the first client comes and are written many
at a time, past the WebSocket library, so that the sender costs next to
nothing.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec
from aiohttp import web

from recorder.clock import monotonic_ns, wall_ns
from recorder.errors import ConfigError
from recorder.simulator.markets import generated_names
from recorder.simulator.numbers import MS_NS, SECOND_NS, decimal_text, fixed_text
from recorder.simulator.serving import (
    REST_ROOT,
    LocalServer,
    converse,
    serve_forever,
    sleep_until,
)
from recorder.simulator.wire_v4 import plain_answer


LEVELS = 100
"""Price steps a side that a market uses: all of them fit its window."""
WS_PATH = "/ws/v4/"
_WRITE_FRAMES = 256
_BUFFER_BYTES = 4 * 2**20
_POLL_SECONDS = 0.001


class FirehoseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and how fast.

    Attributes:
        port: TCP port on 127.0.0.1; 0 takes any that is free.
        seed: Decides the levels.
        markets: How many markets take turns: ``SIM0001_USDT`` and so on.
        frames: How many frames each connection is sent. They are held in
            memory, half a kilobyte each.
        trade_share: Share of the frames that are trades; the rest are order
            book updates of 2 to 24 levels.
        frames_per_second: Pace; None is as fast as the client reads.
        settle_seconds: Frames start to come when a client has subscribed
            and then asked nothing for so long.
    """

    port: int = 0
    seed: int = 1
    markets: int = 10
    frames: int = 100_000
    trade_share: float = 0.0
    frames_per_second: float | None = None
    settle_seconds: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: With a sentence that says what is wrong.
        """
        if self.markets < 1 or self.frames < 1 or not 0 <= self.trade_share <= 1:
            raise ConfigError(
                "a firehose needs a market, a frame and a share of trades from 0 to 1"
            )


class _Ladder:
    """A made-up market: asks above a fixed middle, bids below it."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self.name = name
        self.middle = rng.randint(100_000, 9_000_000)
        self.update_id = rng.randrange(10**9, 10**11)
        self.trade_id = rng.randrange(10**8, 10**9)
        self.market_trade_id = rng.randrange(10**6)
        self.sides = (
            [rng.randrange(1, 10**8) for _ in range(LEVELS)],
            [rng.randrange(1, 10**8) for _ in range(LEVELS)],
        )

    def price(self, side: int, place: int) -> str:
        ticks = self.middle + (place + 1) * (1 if side else -1)
        return decimal_text(ticks, 4)

    def levels(self, side: int) -> list[tuple[str, str]]:
        return [
            (self.price(side, place), decimal_text(lots, 6))
            for place, lots in enumerate(self.sides[side])
            if lots
        ]

    def depth(self, rng: random.Random, now_ns: int) -> dict[str, object]:
        """Change some levels and return the update that says so."""
        count = rng.randint(2, 24)
        changed: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
        for flat in rng.sample(range(2 * LEVELS), count):
            side, place = divmod(flat, LEVELS)
            lots = 0 if rng.random() < 0.2 else rng.randrange(1, 10**8)
            self.sides[side][place] = lots
            changed[side].append((self.price(side, place), decimal_text(lots, 6)))
        first = self.update_id + 1
        self.update_id += count
        return {
            "t": now_ns // MS_NS,
            "l": "100",
            "e": "depthUpdate",
            "E": now_ns // SECOND_NS,
            "s": self.name,
            "U": first,
            "u": self.update_id,
            "b": changed[0],
            "a": changed[1],
        }

    def trade(self, rng: random.Random, now_ns: int) -> dict[str, object]:
        """Return a trade somewhere near the middle."""
        self.trade_id += rng.randint(1, 4)
        self.market_trade_id += 1
        return {
            "id": self.trade_id,
            "id_market": self.market_trade_id,
            "create_time": now_ns // SECOND_NS,
            "create_time_ms": fixed_text(now_ns // 100, 4),
            "side": rng.choice(("buy", "sell")),
            "currency_pair": self.name,
            "amount": decimal_text(rng.randrange(1, 10**8), 6),
            "price": self.price(rng.randrange(2), 0),
            "range": f"{self.market_trade_id}-{self.market_trade_id}",
        }


class Firehose(LocalServer):
    """Serves rendered v4 frames on one local port; a context manager.

    Attributes:
        settings: What is sent.
        markets: Names of the markets.
        frames: The frames without their WebSocket headers, in order.
        books: By market, the REST answer: the book before the first frame.
        bytes_total: Bytes written for one connection, headers included.
        finished: Set once a connection was sent the last frame.
    """

    def __init__(self, settings: FirehoseSettings | None = None) -> None:
        """Render everything; 100,000 frames take two seconds or so."""
        super().__init__()
        self.settings = settings or FirehoseSettings()
        self.markets = generated_names(self.settings.markets)
        self.finished = asyncio.Event()
        self.books: dict[str, bytes] = {}
        self.frames: list[bytes] = []
        self._chunks: list[bytes] = []
        self._transports: dict[asyncio.Transport, None] = {}
        self._render()
        self.bytes_total = sum(map(len, self._chunks))

    @property
    def ws_url_spot(self) -> str:
        """Address of the v4 spot WebSocket."""
        return self.ws_url_of(WS_PATH)

    async def _open(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_get(WS_PATH, self._pour)
        app.router.add_get(f"{REST_ROOT}/spot/order_book", self._order_book)
        app.router.add_get(f"{REST_ROOT}/spot/currency_pairs", self._market_list)
        await self._listen(app, self.settings.port, stack)
        stack.callback(self._drop_all)

    def _drop_all(self) -> None:
        for transport in self._transports:
            transport.abort()

    def _render(self) -> None:
        settings = self.settings
        rng = random.Random(f"{settings.seed}:firehose")
        ladders = [_Ladder(name, rng) for name in self.markets]
        start_ns = wall_ns()
        encode = msgspec.json.Encoder().encode
        for ladder in ladders:
            self.books[ladder.name] = encode(
                {
                    "id": ladder.update_id,
                    "current": start_ns // MS_NS,
                    "update": start_ns // MS_NS,
                    "asks": ladder.levels(1),
                    "bids": ladder.levels(0),
                }
            )
        for number in range(settings.frames):
            ladder = ladders[number % len(ladders)]
            now_ns = start_ns + number * 10_000
            is_trade = rng.random() < settings.trade_share
            channel = "spot.trades" if is_trade else "spot.order_book_update"
            result = (
                ladder.trade(rng, now_ns) if is_trade else ladder.depth(rng, now_ns)
            )
            self.frames.append(
                encode(
                    {
                        "time": now_ns // SECOND_NS,
                        "time_ms": now_ns // MS_NS,
                        "channel": channel,
                        "event": "update",
                        "result": result,
                    }
                )
            )
        for start in range(0, len(self.frames), _WRITE_FRAMES):
            frames = self.frames[start : start + _WRITE_FRAMES]
            self._chunks.append(b"".join(map(_framed, frames)))

    async def _order_book(self, request: web.Request) -> web.Response:
        await request.read()
        body = self.books.get(request.query.get("currency_pair", ""))
        if body is None:
            return web.json_response(
                {"label": "INVALID_CURRENCY_PAIR", "message": "Invalid currency pair"},
                status=400,
            )
        return web.Response(body=body, content_type="application/json")

    async def _market_list(self, request: web.Request) -> web.Response:
        await request.read()
        rows = [
            {"id": name, "base": name.partition("_")[0], "quote": "USDT"}
            | {"trade_status": "tradable"}
            for name in self.markets
        ]
        return web.json_response(rows)

    async def _pour(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:  # pragma: no cover - the client is gone already
            return socket
        self._transports[transport] = None
        try:
            await converse(
                socket,
                lambda text: plain_answer(text, wall_ns()),
                lambda: self._send_chunks(transport),
                self.settings.settle_seconds,
            )
        finally:
            del self._transports[transport]
        return socket

    async def _send_chunks(self, transport: asyncio.Transport) -> None:
        pace = self.settings.frames_per_second
        start_ns = monotonic_ns()
        for number, chunk in enumerate(self._chunks):
            if pace is not None:
                due_ns = int(number * _WRITE_FRAMES / pace * SECOND_NS)
                await sleep_until(start_ns + due_ns)
            await _drained(transport, _BUFFER_BYTES)
            if transport.is_closing():
                return
            transport.write(chunk)
        await _drained(transport, 0)
        self.finished.set()


async def _drained(transport: asyncio.Transport, size: int) -> None:
    """Wait until no more than `size` bytes wait to be sent.

    The library's own flow control does not see what is written past it.
    """
    while (  # noqa: ASYNC110 - a transport has no event to wait for
        transport.get_write_buffer_size() > size and not transport.is_closing()
    ):
        await asyncio.sleep(_POLL_SECONDS)


def _framed(payload: bytes) -> bytes:
    """Return a text message of a server as it goes over the wire (RFC 6455)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 2**16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


async def serve_firehose(
    settings: FirehoseSettings | None = None,
    on_ready: Callable[[Firehose], None] | None = None,
) -> None:
    """Serve rendered frames until cancelled.

    Args:
        settings: What is sent.
        on_ready: Called once connections are accepted.

    Raises:
        ConfigError: If the port is taken.
    """
    await serve_forever(Firehose(settings), on_ready)
