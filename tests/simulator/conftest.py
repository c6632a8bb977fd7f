"""An independent client: aiohttp's own WebSocket and the standard JSON reader."""

import asyncio
import json  # noqa: TID251 - the oracle must not share the simulator's decoder
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest


Frame = dict[str, Any]


class Client:
    """One WebSocket as a client sees it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: list[str] = []
        self.frames: list[Frame] = []
        self.bad: list[str] = []

    async def send(self, **request: object) -> None:
        await self.socket.send_str(json.dumps(request))

    async def subscribe(self, channel: str, *payload: str) -> Frame:
        """Subscribe on v4 and return the answer."""
        await self.send(
            time=1, id=7, channel=channel, event="subscribe", payload=list(payload)
        )
        return await self.until(
            lambda f: f.get("channel") == channel and f.get("event") == "subscribe"
        )

    async def ask(self, method: str, *params: object, number: int = 5) -> Frame:
        """Ask on v3 and return the answer."""
        await self.send(id=number, method=method, params=list(params))
        return await self.until(lambda f: f.get("id") == number)

    async def next(self, seconds: float = 15.0) -> Frame | None:
        """Return the next frame; None for one that is not JSON."""
        message = await self.socket.receive(timeout=seconds)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionResetError(message.type, self.socket.close_code)
        self.texts.append(message.data)
        try:
            frame: Frame = json.loads(message.data)
        except json.JSONDecodeError:
            self.bad.append(message.data)
            return None
        self.frames.append(frame)
        return frame

    async def until(
        self, wanted: Callable[[Frame], bool], seconds: float = 15.0
    ) -> Frame:
        """Read on to the first frame that is wanted."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.next(seconds)
                if frame is not None and wanted(frame):
                    return frame

    async def gather(
        self, count: int, wanted: Callable[[Frame], bool], seconds: float = 20.0
    ) -> list[Frame]:
        """Read on until so many frames are wanted; return those."""
        return [await self.until(wanted, seconds) for _ in range(count)]

    async def pushed(self, count: int, *names: str) -> None:
        """Read on until each of some v4 channels or v3 methods pushed so often."""
        missing = dict.fromkeys(names, count)

        def is_last(frame: Frame) -> bool:
            name = frame.get("method") or frame.get("channel")
            if name in missing and frame.get("event", "update") == "update":
                missing[name] -= 1
            return all(left <= 0 for left in missing.values())

        await self.until(is_last, 20.0)

    async def listen(self, seconds: float) -> None:
        """Read whatever comes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                await self.next(left)
            except TimeoutError:
                return

    async def ended(self, seconds: float = 15.0) -> int | None:
        """Read on to the end of the connection and return the close code."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.next(seconds)
                except ConnectionResetError:
                    return self.socket.close_code

    def updates(self, channel: str) -> list[Frame]:
        """Return the results pushed on a v4 channel."""
        return [
            f["result"]
            for f in self.frames
            if f.get("channel") == channel and f.get("event") == "update"
        ]

    def pushes(self, method: str) -> list[list[Any]]:
        """Return the parameters pushed by a v3 method."""
        return [f["params"] for f in self.frames if f.get("method") == method]


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def connect(http: aiohttp.ClientSession) -> Connect:
    async def open_client(url: str, **headers: str) -> Client:
        return Client(await http.ws_connect(url, compress=15, headers=headers))

    return open_client


@pytest.fixture
def get(
    http: aiohttp.ClientSession,
) -> Callable[..., Awaitable[tuple[int, Any]]]:
    """GET a REST call below a base address: status and decoded body."""

    async def call(
        base: str, path: str, headers: dict[str, str] | None = None, **query: str
    ) -> tuple[int, Any]:
        async with http.get(f"{base}{path}", params=query, headers=headers) as answer:
            return answer.status, json.loads(await answer.text())

    return call
