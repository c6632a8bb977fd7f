"""WebSocket frames and HTTP heads made by hand, legal or not."""

import asyncio
import base64
import hashlib
import json  # noqa: TID251 - shares nothing with the decoders
import struct
from collections.abc import Mapping
from typing import Any, Final


_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LENGTH_2: Final = 126
_LENGTH_8: Final = 127
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def head(
    opcode: int, length: int, *, is_last: bool = True, rsv: int = 0, mask: bool = False
) -> bytes:
    """Return the beginning of a frame.

    Args:
        opcode: Any of four bits.
        length: What it claims to hold.
        is_last: Whether no fragment follows.
        rsv: The three reserved bits.
        mask: Whether it claims to be masked.
    """
    first = (0x80 if is_last else 0) | rsv << 4 | opcode
    masked = 0x80 if mask else 0
    if length < _LENGTH_2:
        return struct.pack(">BB", first, masked | length)
    if length < 1 << 16:
        return struct.pack(">BBH", first, masked | _LENGTH_2, length)
    return struct.pack(">BBQ", first, masked | _LENGTH_8, length)


def frame(payload: bytes, opcode: int = TEXT, **changes: Any) -> bytes:
    """Return a whole frame."""
    return head(opcode, len(payload), **changes) + payload


class Request:
    """The head of an HTTP request."""

    def __init__(self, text: str) -> None:
        first, *lines = text.split("\r\n")
        self.target = first.split(" ")[1]
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines if line)
        }

    @property
    def is_websocket(self) -> bool:
        """Whether it asks for a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"


def switching(asked: Request, extra: str = "", key: str | None = None) -> bytes:
    """Return the answer that opens a WebSocket."""
    asked_key = asked.headers["sec-websocket-key"] if key is None else key
    digest = hashlib.sha1(asked_key.encode() + _MAGIC, usedforsecurity=False).digest()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n{extra}\r\n"
    ).encode()


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """Return a whole HTTP answer."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{headers}\r\n"
    ).encode() + body


class Gone(Exception):  # noqa: N818 - it is what is hoped for
    """The client has left."""


class Peer:
    """One end of a connection, which may send whatever it likes.

    Attributes:
        reader: What the client sends.
        writer: What it is sent.
        asked: The HTTP request with which it began.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: Request
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.asked = asked

    async def write(self, content: bytes) -> None:
        """Send bytes as they are.

        Raises:
            Gone: If nobody takes them.
        """
        await asyncio.sleep(0)  # else nobody hears that the client left
        if self.reader.at_eof() or self.writer.transport.is_closing():
            raise Gone
        try:
            self.writer.write(content)
            await self.writer.drain()
        except (ConnectionError, RuntimeError) as error:  # closed below us
            raise Gone from error

    async def pour(self, piece: bytes, total: int) -> None:
        """Send a piece again and again, so many bytes in all or until nobody reads."""
        for _ in range(max(1, total // len(piece))):
            await self.write(piece)

    async def say(self, said: Mapping[str, Any] | bytes) -> None:
        """Send a text frame."""
        text = said if isinstance(said, bytes) else json.dumps(said).encode()
        await self.write(frame(text))

    async def read(self) -> tuple[int, bytes]:
        """Return opcode and payload of the client's next frame.

        Raises:
            Gone: If none comes.
        """
        try:
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            if length == _LENGTH_2:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == _LENGTH_8:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            mask = await self.reader.readexactly(4)
            content = await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Gone from error
        unmasked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
        return first & 0xF, unmasked
