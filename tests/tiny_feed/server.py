"""Harbour's own server: two small markets, and what was true of them.

It shares nothing with the feed that reads it. Nothing in it takes a time of
its own: each thing happens because another has happened.
"""

import asyncio
import random
import threading
import time

from aiohttp import WSMsgType, web


MARKETS = ("TULIPS", "COCOA")
STREAMS = ("TRADES", "BOOKS")
PRICES = (range(400, 390, -1), range(401, 411))  # cents, the best first
STEPS = 60
LOST = "TULIPS"


def clock() -> str:
    ns = time.time_ns()
    return f"{ns // 10**9}.{ns % 10**9:09}"


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


class Market:
    """A book whose every change has the next id.

    Attributes:
        trades: What was traded, as it was told.
        books: Bids and asks as (price, amount), the best first, by last id.
        hidden: Ids after which whoever reads along cannot know the book.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._rng = random.Random(name)
        self._id = self._rng.randrange(10**6)
        self._sides: tuple[dict[int, int], ...] = ({}, {})
        self.trades: list[tuple[str, ...]] = []
        self.books: dict[int, tuple[list[tuple[float, float]], ...]] = {}
        self.hidden: set[int] = set()
        self.move()

    def whole(self) -> str:
        """Say the whole book."""
        return "\t".join(
            ["BOOK", self.name, clock(), str(self._id), *map(shown, self._sides)]
        )

    def move(self) -> str:
        """Change some levels, and say so."""
        return self._changed(
            [
                (side, self._rng.choice(PRICES[side]), self._rng.randrange(4))
                for side in self._rng.choices((0, 1), k=self._rng.randint(1, 3))
            ]
        )

    def trade(self) -> list[str]:
        """Take one from a best level if there is one, and say so."""
        side = self._rng.randrange(2)
        price = next((p for p in PRICES[side] if p in self._sides[side]), None)
        if price is None:
            return []
        taker = ("sell", "buy")[side]
        trade = (clock(), str(len(self.trades) + 1), taker, money(price), "1")
        self.trades.append(trade)
        left = self._changed([(side, price, self._sides[side][price] - 1)])
        return ["\t".join(["TRADE", self.name, *trade]), left]

    def hide(self, last_line: str) -> None:
        """Note that the book after a line is not known to who reads along."""
        self.hidden.add(int(last_line.split("\t")[4]))

    def _changed(self, changes: list[tuple[int, int, int]]) -> str:
        first, now = self._id + 1, ({}, {})
        for side, price, amount in changes:
            self._id += 1
            now[side][price] = amount
            self._sides[side][price] = amount
            if not amount:
                del self._sides[side][price]
        self.books[self._id] = tuple(
            [
                (float(money(price)), float(levels[price]))
                for price in prices
                if price in levels
            ]
            for levels, prices in zip(self._sides, PRICES, strict=True)
        )
        ids = [str(first), str(self._id)]
        return "\t".join(["MOVE", self.name, clock(), *ids, *map(shown, now)])


def shown(levels: dict[int, int]) -> str:
    return ",".join(f"{money(price)}*{amount}" for price, amount in levels.items())


class Harbour:
    """The server, in a thread of its own; a context manager.

    Attributes:
        markets: By name.
        over: Set when everything has been sent.
        url: Its address.
    """

    def __init__(self) -> None:
        self.markets = {name: Market(name) for name in MARKETS}
        self.over = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> "Harbour":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._playing.cancel)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._watchers: dict[tuple[str, str], web.WebSocketResponse] = {}
        self._changed = asyncio.Condition()
        app = web.Application()
        app.router.add_get("/lines", self._talk)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"ws://127.0.0.1:{port}/lines"
        self._playing = asyncio.ensure_future(self._play())
        self._ready.set()
        try:
            await self._playing
        except asyncio.CancelledError:
            pass
        finally:
            await runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, *message.data.split("\t"))
        return socket

    async def _answer(
        self,
        socket: web.WebSocketResponse,
        word: str,
        stream: str = "",
        market: str = "",
    ) -> None:
        if word == "HELLO":
            await socket.send_str(f"HELLO\t{clock()}")
        elif market not in self.markets:
            await socket.send_str(f"NO\t{stream}\t{market}\tno such market")
        elif word == "LEAVE":
            self._watchers.pop((stream, market), None)
        elif word == "WATCH":
            await socket.send_str(f"OK\t{stream}\t{market}\t{clock()}")
            is_new = (stream, market) not in self._watchers
            if stream == "BOOKS" and is_new:
                await socket.send_str(self.markets[market].whole())
            async with self._changed:
                self._watchers[stream, market] = socket
                self._changed.notify_all()

    async def _play(self) -> None:
        """Trade; lose a line; trade; lose the connection; trade."""
        await self._all_watched()
        await self._trade()
        market = self.markets[LOST]
        market.hide(market.move())  # sent to nobody
        line = market.move()
        market.hide(line)
        socket = self._watchers.pop(("BOOKS", LOST))
        await socket.send_str(line)
        await self._all_watched()
        await self._trade()
        sockets = set(self._watchers.values())
        self._watchers.clear()
        for socket in sockets:
            await socket.close()
        await self._all_watched()
        await self._trade()
        self.over.set()
        await asyncio.Event().wait()

    async def _all_watched(self) -> None:
        wanted = {(stream, market) for stream in STREAMS for market in MARKETS}
        async with self._changed:
            await self._changed.wait_for(lambda: wanted <= self._watchers.keys())

    async def _trade(self) -> None:
        for _ in range(STEPS):
            for name, market in self.markets.items():
                for line in [market.move(), *market.trade()]:
                    stream = STREAMS[line.startswith("MOVE")]
                    await self._watchers[stream, name].send_str(line)
