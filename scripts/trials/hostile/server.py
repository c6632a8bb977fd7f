"""A small exchange that does to one of its clients' connections what it is told.

It knows one market and speaks the spot protocol as the documents have it. The
connection that asks for the fast depth stream is the victim. Everybody else is
treated well, for it must not suffer.
"""

import asyncio
import contextlib
import json  # noqa: TID251 - shares nothing with the decoders
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from trials.hostile import wire
from trials.hostile.wire import Gone, Peer, Request


MARKET: Final = "BTC_USDT"
VICTIM: Final = "20ms"
EVERY_SECONDS: Final = 0.03

LEFT: Final = (Gone, ConnectionError, ssl.SSLError, TimeoutError)
"""How a connection ends that the client has left."""

Deed: TypeAlias = Callable[[Peer], Awaitable[None]]
"""Done to a connection, in place of what should be done."""


class Server:
    """The exchange; a context manager.

    Attributes:
        context: Its certificate.
        on_socket: Done once to the victim's connection, when it is subscribed.
        on_handshake: Done to the next handshakes, in place of opening.
        on_snapshot: Done to the next request for a book.
        on_list: Done to the first request for the list of markets.
        done: Set when a deed has been done to its end.
        told_at: When each trade was told, nanoseconds; their ids count from 1.
        updates: Changes of the book so far.
        books: How often it has told the book as it should by HTTP.
        pinged: How often the victim has been asked whether it reads.
        answered: The last of these that it has answered: it has read all before.
        broken: Why deeds could not be done, by a mistake of our own.
        strangers: Requests that came to the other host, which nobody should ask.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.on_socket: Deed | None = None
        self.on_handshake: Deed | None = None
        self.on_snapshot: Deed | None = None
        self.on_list: Deed | None = None
        self.done = asyncio.Event()
        self.pinged = 0
        self.answered = 0
        self.told_at: list[int] = []
        self.updates = 1_000
        self.books = 0
        self.broken: list[str] = []
        self.strangers = 0
        self.victim: Peer | None = None
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_busy = False

    async def __aenter__(self) -> "Server":
        for serve in (self._serve, self._note_stranger):
            server = await asyncio.start_server(
                self._kept(serve), "127.0.0.1", 0, ssl=self.context, limit=1 << 20
            )
            self._servers.append(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """Where it listens, with TLS."""
        return int(self._servers[0].sockets[0].getsockname()[1])

    @property
    def other_port(self) -> int:
        """Where the other host listens."""
        return int(self._servers[1].sockets[0].getsockname()[1])

    def drop(self) -> None:
        """Cut the victim's connection."""
        if self.victim is not None:
            self.victim.writer.transport.abort()
            self.victim = None

    def _kept(self, serve: Any) -> Any:
        async def served(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with contextlib.suppress(*LEFT):
                await serve(reader, writer)
            writer.transport.abort()

        return served

    async def _note_stranger(
        self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        if await reader.read(1):
            self.strangers += 1

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                text = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            peer = Peer(reader, writer, Request(text.decode()))
            if peer.asked.is_websocket:
                if self.on_handshake is not None:
                    await self._do(self.on_handshake, peer)
                    return
                await peer.write(wire.switching(peer.asked))
                await self._talk(peer)
                return
            if not await self._answer(peer):
                return

    async def _do(self, deed: Deed, peer: Peer) -> None:
        try:
            await deed(peer)
        except LEFT:
            raise
        except Exception as error:
            self.broken.append(repr(error))
            raise
        finally:
            self.done.set()

    async def _answer(self, peer: Peer) -> bool:
        """Answer an HTTP request; return whether the connection may be used on."""
        if peer.asked.target.startswith("/spot/order_book"):
            deed, self.on_snapshot = self.on_snapshot, None
            self.books += deed is None
            body: Any = {
                "id": self.updates,
                "current": time.time_ns() // 10**6,
                "update": time.time_ns() // 10**6,
                "asks": [["101", "1"]],
                "bids": [["99", "1"]],
            }
        else:
            deed, self.on_list = self.on_list, None
            body = [{"id": MARKET, "base": "BTC", "quote": "USDT"}]
        if deed is not None:
            await self._do(deed, peer)
            return False
        await peer.write(wire.answer(json.dumps(body).encode()))
        return True

    async def _talk(self, peer: Peer) -> None:
        """Answer what is asked over a WebSocket, and push."""
        subscribed = asyncio.Event()
        streams: set[str] = set()
        pushing = asyncio.ensure_future(self._push(peer, subscribed, streams))
        try:
            while True:
                opcode, payload = await peer.read()
                if opcode == wire.CLOSE:
                    return
                if opcode == wire.PONG and payload.isdigit() and peer is self.victim:
                    self.answered = int(payload)
                if opcode != wire.TEXT:
                    continue
                asked = json.loads(payload)
                for said in reply_to(asked):
                    if not (self._is_busy and peer is self.victim):
                        await peer.say(said)
                if asked.get("event") == "subscribe":
                    streams.add(f"{asked['channel']} {asked['payload'][-1]}")
                    if not asked["channel"].endswith("update"):
                        continue
                    if VICTIM in asked["payload"]:
                        self.victim = peer
                    subscribed.set()
        finally:
            pushing.cancel()
            await asyncio.gather(pushing, return_exceptions=True)

    async def _push(
        self, peer: Peer, subscribed: asyncio.Event, streams: set[str]
    ) -> None:
        await subscribed.wait()
        first = self.updates + 1
        try:
            while True:
                await asyncio.sleep(EVERY_SECONDS)
                if peer is self.victim:
                    deed, self.on_socket = self.on_socket, None
                    if deed is not None:
                        self._is_busy = True  # nothing comes in between
                        try:
                            await self._do(deed, peer)
                        finally:
                            self._is_busy = False
                        first = self.updates + 1  # what was not told is missing
                    self.pinged += 1
                    number = str(self.pinged).encode()
                    await peer.write(wire.frame(number, wire.PING))
                else:
                    self.updates += 1
                    self.told_at.append(time.time_ns())
                    await peer.say(trade(len(self.told_at)))
                if first <= self.updates:
                    await peer.say(depth(first, self.updates))
                    first = self.updates + 1
        except Gone:
            return


def reply_to(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the protocol answers."""
    now = time.time_ns() // 10**6
    stamp = {"time": now // 1_000, "time_ms": now}
    if asked["channel"] == "spot.ping":
        return [{**stamp, "channel": "spot.pong", "event": "", "result": None}]
    return [
        {
            **stamp,
            "id": asked["id"],
            "channel": asked["channel"],
            "event": asked["event"],
            "error": None,
            "result": {"status": "success"},
        }
    ]


def push(channel: str, result: Any) -> dict[str, Any]:
    """Return a push as the protocol has it."""
    now = time.time_ns() // 10**6
    said = {"time": now // 1_000, "time_ms": now, "channel": channel}
    return {**said, "event": "update", "result": result}


def trade(number: int, **changes: Any) -> dict[str, Any]:
    """Return a trade."""
    now = time.time_ns() // 10**6
    facts = {
        "id": number,
        "id_market": number,
        "create_time": now // 1_000,
        "create_time_ms": f"{now}.0",
        "side": "buy",
        "currency_pair": MARKET,
        "amount": "1",
        "price": "100",
    }
    return push("spot.trades", {**facts, **changes})


def depth(first: int, last: int, **changes: Any) -> dict[str, Any]:
    """Return changes of the book."""
    amount = str(1 + last % 7)
    facts = {
        "t": time.time_ns() // 10**6,
        "e": "depthUpdate",
        "E": time.time_ns() // 10**9,
        "s": MARKET,
        "U": first,
        "u": last,
        "b": [["99", amount]],
        "a": [["101", amount]],
    }
    return push("spot.order_book_update", {**facts, **changes})
