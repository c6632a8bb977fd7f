"""Serves a recorded session instead of a market.

A recording is JSON lines ``{"at", "kind", "url"?, "data"}``. The frames that
its client received are sent to ours, in order; the recorded answers to
requests are left out, for our client asks other things in another order, and
each of its requests is answered here. REST bodies are served at their paths
from the beginning on.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import WSMsgType, web

from recorder.clock import monotonic_ns, wall_ns
from recorder.errors import ConfigError
from recorder.simulator import wire_v3
from recorder.simulator.numbers import SECOND_NS
from recorder.simulator.serving import (
    LocalServer,
    converse,
    serve_forever,
    sleep_until,
)
from recorder.simulator.wire_v4 import plain_answer


V3_PATH = "/v3/"


class PlaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording is played.

    Attributes:
        port: TCP port on 127.0.0.1; 0 takes any that is free.
        speed: 1 is the original timing, 2 twice as fast; None is as fast as
            the client reads.
        settle_seconds: Frames start to come when a client has subscribed
            and then asked nothing for so long.
        close_after_seconds: The socket is closed so long after the last
            frame; None keeps it open.
    """

    port: int = 0
    speed: float | None = None
    settle_seconds: float = 0.3
    close_after_seconds: float | None = None


class _Line(msgspec.Struct, frozen=True):
    """One line of a recording; `at` in unix seconds."""

    at: float
    kind: str
    url: str = ""
    data: str = ""


class _Envelope(msgspec.Struct, frozen=True):
    """What tells an answer from data, in both protocols."""

    channel: str = ""
    event: str = ""
    method: str | None = None
    id: int | None = None


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded session.

    Attributes:
        path: Path of its WebSocket, ``/v3/``.
        frames: Frames of data: seconds after the first one, and the text.
        bodies: REST bodies by path and market (or contract), in order.
    """

    path: str
    frames: tuple[tuple[float, bytes], ...]
    bodies: dict[tuple[str, str | None], list[bytes]]


def load_recording(file: Path) -> Recording:
    """Return a recorded session.

    Raises:
        ConfigError: If the file cannot be read or is not a recording.
    """
    try:
        lines = [
            msgspec.json.decode(line, type=_Line)
            for line in file.read_bytes().splitlines()
        ]
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file} is not a recording: {error}") from error
    paths = [urlsplit(line.url).path for line in lines if line.kind == "connect"]
    data = [line for line in lines if line.kind == "recv" and not _is_answer(line.data)]
    if not paths or not data:
        raise ConfigError(f"{file} is not a recording of a WebSocket session")
    bodies: dict[tuple[str, str | None], list[bytes]] = {}
    for line in lines:
        if line.kind == "http":
            parts = urlsplit(line.url)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            bodies.setdefault(_body_key(parts.path, query), []).append(
                line.data.encode()
            )
    return Recording(
        path=paths[0],
        frames=tuple((line.at - data[0].at, line.data.encode()) for line in data),
        bodies=bodies,
    )


class Player(LocalServer):
    """Serves a recording on one local port; a context manager.

    Attributes:
        recording: What is played.
        frames_sent: Frames of data sent so far, over all connections.
        finished: Set once a connection was sent the last frame.
    """

    def __init__(self, file: Path, settings: PlaySettings | None = None) -> None:
        """Read the recording.

        Raises:
            ConfigError: If the file cannot be read or is not a recording.
        """
        super().__init__()
        self.recording = load_recording(file)
        self.frames_sent = 0
        self.finished = asyncio.Event()
        self._settings = settings or PlaySettings()
        self._sockets: dict[web.WebSocketResponse, None] = {}
        self._bodies_left = {k: list(v) for k, v in self.recording.bodies.items()}

    @property
    def ws_url(self) -> str:
        """Address of the WebSocket, with the path of the recording."""
        return self.ws_url_of(self.recording.path)

    async def _open(self, stack: AsyncExitStack) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        await self._listen(app, self._settings.port, stack)
        stack.push_async_callback(self._close_all)

    async def _close_all(self) -> None:
        for socket in list(self._sockets):
            await socket.close(code=1001)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "Upgrade" in request.headers:
            return await self._play(request)
        await request.read()
        bodies = self._bodies_left.get(_body_key(request.path, request.query))
        if not bodies:
            return web.json_response(
                {"label": "NOT_FOUND", "message": "not in the recording"}, status=404
            )
        # The last body of a call stays, for it may be asked for again.
        body = bodies.pop(0) if len(bodies) > 1 else bodies[0]
        return web.Response(body=body, content_type="application/json")

    async def _play(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, timeout=1.0)
        await socket.prepare(request)
        self._sockets[socket] = None
        is_v3 = self.recording.path == V3_PATH
        try:
            await converse(
                socket,
                lambda text: _answer(text, is_v3=is_v3),
                lambda: self._send_frames(socket),
                self._settings.settle_seconds,
            )
        finally:
            del self._sockets[socket]
        return socket

    async def _send_frames(self, socket: web.WebSocketResponse) -> None:
        settings = self._settings
        start_ns = monotonic_ns()
        for offset, payload in self.recording.frames:
            if settings.speed is not None:
                await sleep_until(start_ns + int(offset / settings.speed * SECOND_NS))
            try:
                await socket.send_frame(payload, WSMsgType.TEXT)
            except ConnectionError:
                return  # the client is gone; the reading side ends
            self.frames_sent += 1
        self.finished.set()
        if settings.close_after_seconds is not None:
            await asyncio.sleep(settings.close_after_seconds)
            await socket.close(code=1000)


async def play_forever(
    file: Path,
    settings: PlaySettings | None = None,
    on_ready: Callable[[Player], None] | None = None,
) -> None:
    """Serve a recording until cancelled.

    Args:
        file: The recording.
        settings: How it is played.
        on_ready: Called once connections are accepted.

    Raises:
        ConfigError: If the file is not a recording or the port is taken.
    """
    await serve_forever(Player(file, settings), on_ready)


def _body_key(path: str, query: Mapping[str, str]) -> tuple[str, str | None]:
    market = query.get("currency_pair") or query.get("contract")
    return path.rstrip("/"), market


def _is_answer(text: str) -> bool:
    """Return whether a recorded frame answers a request of its client."""
    envelope = msgspec.json.decode(text, type=_Envelope)
    if envelope.channel:
        return envelope.event in {"subscribe", "unsubscribe"} or (
            envelope.channel.endswith(".pong")
        )
    return envelope.method is None


def _answer(text: str, *, is_v3: bool) -> tuple[bytes | None, bool]:
    """Return the answer to a request, and whether it subscribes to something."""
    if not is_v3:
        return plain_answer(text, wall_ns())
    request = wire_v3.decode_request(text)
    if request is None:
        return None, False
    result: object = {"status": "success"}
    if request.method == "server.ping":
        result = "pong"
    elif request.method == "server.time":
        result = wall_ns() // SECOND_NS
    answer = wire_v3.success(request.id, result)
    return answer, request.method.endswith(".subscribe")
