"""What is done to the victim, and what has to be seen of it afterwards."""

import asyncio
import functools
import gzip
import json  # noqa: TID251 - shares nothing with the decoders
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from trials.hostile import wire
from trials.hostile.names import NAMES
from trials.hostile.server import MARKET, Server, depth, push, reply_to, trade
from trials.hostile.wire import Peer


MEGABYTE: Final = 1 << 20
GIGABYTE: Final = 1 << 30


class Attack(NamedTuple):
    """Something that is done once.

    Attributes:
        name: What it is.
        where: ``socket``: to the victim's open connection. ``handshake``: in
            place of opening its next. ``certificate``: shown at its next.
            ``snapshot``: in place of a book by HTTP. ``list``: in place of the
            list of markets.
        leaves: What tells of it: ``frames``, a row of that table; ``closed``,
            the end of the connection; ``refused``, a line of the log;
            ``rows``, nothing but rows: no frame that could not be decoded.
        words: What stands there, among other words.
        deed: What is done, to be told the server.
        least_levels: A row has so many levels of a side, at least.
        least_rows: There are so many rows, at least.
    """

    name: str
    where: Literal["socket", "handshake", "certificate", "snapshot", "list"]
    leaves: Literal["frames", "closed", "refused", "rows"]
    words: str
    deed: Callable[[Server, Peer], Awaitable[None]]
    least_levels: int = 0
    least_rows: int = 0


async def _frame_of_a_gigabyte(_server: Server, peer: Peer) -> None:
    await peer.write(wire.head(wire.TEXT, GIGABYTE))
    await peer.pour(b"[" * MEGABYTE, GIGABYTE)


async def _endless_fragments(_server: Server, peer: Peer) -> None:
    await peer.write(wire.frame(b"[", is_last=False))
    piece = wire.frame(b"[" * 65_536, 0, is_last=False)
    await peer.pour(piece, GIGABYTE)


async def _tiny_fragments(_server: Server, peer: Peer) -> None:
    await peer.write(wire.frame(b"[", is_last=False))
    piece = wire.frame(b"[", 0, is_last=False) * 10_000
    await peer.pour(piece, 100 * MEGABYTE)


def _frames(*payloads: bytes | dict[str, Any]) -> Any:
    async def send(_server: Server, peer: Peer) -> None:
        for payload in payloads:
            await peer.say(payload)

    return send


def _raw(content: bytes) -> Any:
    async def send(_server: Server, peer: Peer) -> None:
        await peer.write(content)

    return send


def _bytes(*contents: bytes) -> Any:
    async def send(_server: Server, peer: Peer) -> None:
        for content in contents:
            await peer.write(content)
        await _until_gone(peer)

    return send


async def _until_gone(peer: Peer) -> None:
    """Wait until the client leaves: somebody else reads what it sends."""
    while not peer.writer.is_closing():
        await asyncio.sleep(0.01)
        await peer.write(b"")


async def _many_levels(server: Server, peer: Peer) -> None:
    text = json.dumps(depth(server.updates + 1, server.updates + 1, b="@")).encode()
    await peer.say(text.replace(b'"@"', _levels()))


@functools.cache
def _levels() -> bytes:
    levels = ",".join(f"[{price},1]" for price in range(1, 1_000_001))
    return f"[{levels}]".encode()


async def _many_rows(_server: Server, peer: Peer) -> None:
    await peer.say(_rows())


@functools.cache
def _rows() -> bytes:
    rows = [
        {"t": 0, "s": MARKET, "U": at, "u": at, "b": [["99", "1"]]}
        for at in range(10**12, 10**12 + 100_000)
    ]
    return json.dumps(push("spot.order_book_update", rows)).encode()


def prepare(chosen: Collection[Attack]) -> None:
    """Make what is large before it is needed: a server that computes is silent."""
    for one in chosen:
        if make := _LARGE.get(one.deed):
            make()


async def _negative_levels(server: Server, peer: Peer) -> None:
    at = server.updates + 1
    await peer.say(depth(at, at, b=[["-99", "1"], ["98", "-5"]]))
    server.updates = at


def _number(text: str) -> Any:
    async def send(server: Server, peer: Peer) -> None:
        at = server.updates + 1
        said = json.dumps(depth(at, at, b=[["@", "1"]]))
        await peer.say(said.replace('"@"', text).encode())

    return send


async def _market_names(_server: Server, peer: Peer) -> None:
    for name in NAMES:
        await peer.say(trade(10**10, currency_pair=name))
        await peer.say(depth(1, 1, s=name))


async def _endless_names(_server: Server, peer: Peer) -> None:
    for number in range(20_000):
        await peer.say(trade(10**10, currency_pair=f"M{number}_{'x' * 50}"))


async def _endless_keys(_server: Server, peer: Peer) -> None:
    for number in range(3_000):
        await peer.say(trade(1, **{f"key{number}-{place}": 1 for place in range(30)}))


async def _endless_acks(_server: Server, peer: Peer) -> None:
    said = reply_to(
        {"channel": "spot.order_book_update", "event": "subscribe", "id": 1}
    )[0]
    known = wire.frame(json.dumps(said).encode())
    other = wire.frame(json.dumps({**said, "id": 10**6}).encode())
    await peer.pour((known + other) * 100, 6 * MEGABYTE)


async def _endless_pings(_server: Server, peer: Peer) -> None:
    await peer.pour(wire.frame(b"x" * 125, wire.PING) * 100, 8 * MEGABYTE)


async def _pings_and_nothing_read(_server: Server, peer: Peer) -> None:
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        await peer.pour(wire.frame(b"x" * 125, wire.PING) * 100, 64 * MEGABYTE)
    finally:
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def _dripping_frame(_server: Server, peer: Peer) -> None:
    await peer.write(wire.head(wire.TEXT, 1_000))
    while True:
        await peer.write(b"[")
        await asyncio.sleep(0.1)


async def _bomb_on_socket(_server: Server, peer: Peer) -> None:
    await peer.write(wire.frame(_deflated(), rsv=4))
    await _until_gone(peer)


@functools.cache
def _deflated() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b" " * 64 * MEGABYTE) + packer.flush(zlib.Z_SYNC_FLUSH)
    return bomb[:-4]


async def _bomb_by_http(_server: Server, peer: Peer) -> None:
    packed = _packed()
    await peer.write(wire.answer(packed, headers="Content-Encoding: gzip\r\n"))


@functools.cache
def _packed() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b" " * MEGABYTE) for _ in range(256)]
    return b"".join(parts) + packer.flush()


async def _double_bomb_by_http(_server: Server, peer: Peer) -> None:
    packed = gzip.compress(_packed())
    await peer.write(wire.answer(packed, headers="Content-Encoding: gzip, gzip\r\n"))


async def _body_of_a_gigabyte(_server: Server, peer: Peer) -> None:
    await peer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n".encode())
    await peer.pour(b" " * MEGABYTE, GIGABYTE)


async def _endless_chunks(_server: Server, peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    await peer.pour(b"1\r\n \r\n" * 10_000, GIGABYTE)


async def _endless_headers(_server: Server, peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10**6):
        await peer.write(f"X-{number}: {'y' * 4_000}\r\n".encode())


async def _endless_header(_server: Server, peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 101 Switching Protocols\r\nX: ")
    await peer.pour(b"y" * MEGABYTE, GIGABYTE)


async def _endless_informational(_server: Server, peer: Peer) -> None:
    await peer.pour(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000, 64 * MEGABYTE)


async def _cookies(_server: Server, peer: Peer) -> None:
    jar = "".join(f"Set-Cookie: c{n}={'v' * 4_000}\r\n" for n in range(100))
    await peer.write(wire.answer(b"{}", headers=jar))


def _redirect(path: str) -> Any:
    async def send(server: Server, peer: Peer) -> None:
        location = f"https://localhost:{server.other_port}{path}"
        await peer.write(
            wire.answer(b"", "302 Found", headers=f"Location: {location}\r\n")
        )

    return send


async def _dripping_head(_server: Server, peer: Peer) -> None:
    for letter in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"y" * 1_000:
        await peer.write(bytes([letter]))
        await asyncio.sleep(0.1)


async def _dripping_body(_server: Server, peer: Peer) -> None:
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await peer.write(b" ")
        await asyncio.sleep(0.1)


async def _wrong_key(_server: Server, peer: Peer) -> None:
    await peer.write(wire.switching(peer.asked, key="bm90IHRoZSBrZXk="))
    await _until_gone(peer)


async def _compression(server: Server, peer: Peer) -> None:
    extra = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    await peer.write(wire.switching(peer.asked, extra))
    await _bomb_on_socket(server, peer)


async def _other_market(server: Server, peer: Peer) -> None:
    body = {"id": 5, "asks": [["7", "1"]], "bids": [["6", "1"]], "s": "ETH_USDT"}
    await peer.write(wire.answer(json.dumps(body).encode()))


def _body(body: bytes) -> Any:
    async def send(_server: Server, peer: Peer) -> None:
        await peer.write(wire.answer(body))

    return send


async def _hostile_list(_server: Server, peer: Peer) -> None:
    rows = [{"id": name, "base": name, "trade_status": "tradable"} for name in NAMES]
    await peer.write(wire.answer(json.dumps(rows).encode()))


async def _certificate(_server: Server, _peer: Peer) -> None:
    """Nothing more: it was shown."""


def _update(**changes: Any) -> Any:
    async def send(server: Server, peer: Peer) -> None:
        at = server.updates + 1
        await peer.say(depth(at, at, **changes))

    return send


def _nested(count: int) -> bytes:
    said = json.dumps(depth(1, 1, zz="@"))
    return said.replace('"@"', "[" * count + "]" * count).encode()


_TWICE: Final = json.dumps(trade(1)).replace(
    '"result": {', '"result": null, "result": {'
)
_KEYS_TWICE: Final = _TWICE.replace(
    '"price": "100"', '"price": "100", "price": "1e999"'
)


def _sockets() -> Iterator[Attack]:
    def on(name: str, leaves: Any, words: str, deed: Any, **more: Any) -> Attack:
        return Attack(name, "socket", leaves, words, deed, **more)

    yield on("frame of 1 GB", "closed", "exceeds", _frame_of_a_gigabyte)
    yield on("endless fragments", "closed", "exceeds", _endless_fragments)
    yield on("endless fragments of a byte", "closed", "exceeds", _tiny_fragments)
    yield on("10^5 brackets", "frames", "", _frames(b"[" * 100_000))
    yield on("10^6 pairs of brackets", "frames", "", _frames(_nested(1_000_000)))
    yield on(
        "500 pairs of brackets in a key that is new", "rows", "", _update(zz=[[[]]])
    )
    yield on("2,000 pairs in a key that is new", "frames", "", _frames(_nested(2_000)))
    yield on("10^6 levels", "rows", "", _many_levels, least_levels=1_000_000)
    yield on("10^5 rows", "rows", "", _many_rows, least_rows=100_000)
    for text in ("1e999", "NaN", "Infinity", '"1e999"', '"NaN"', '"-Infinity"'):
        yield on(f"price {text}", "frames", "", _number(text))
    yield on("price of 400 digits", "frames", "", _number("7" * 400))
    yield on("negative price and amount", "rows", "", _negative_levels)
    yield on("market names", "frames", "not asked for", _market_names)
    yield on("endless market names", "frames", "not asked for", _endless_names)
    yield on("endless new keys", "frames", "not asked for", _endless_keys)
    yield on("invalid UTF-8", "frames", "UTF-8", _frames(b'{"channel":"\xff\xc3\x28"}'))
    yield on("a key twice", "frames", "", _frames(_TWICE.encode()))
    yield on("price twice", "frames", "", _frames(_KEYS_TWICE.encode()))
    for number in (2**63, 10**30, -1):
        yield on(f"id {number}", "frames", "", _update(u=number))
    for number in (31_556_889_864_403_199 * 10**3, -1):
        yield on(f"time {number}", "frames", "", _update(t=number))
    yield on("time 0", "rows", "", _update(t=0))
    yield on("id 2^63 - 1", "frames", "cannot have", _update(u=2**63 - 1))
    yield on("id 2^63 - 2", "rows", "", _update(u=2**63 - 2))
    yield on("endless acks", "frames", "answers nothing", _endless_acks)
    yield on("endless pings", "rows", "", _endless_pings)
    yield on("pings of who reads nothing", "closed", "", _pings_and_nothing_read)
    yield on("a frame that drips", "closed", "no frame for", _dripping_frame)
    yield on("compressed frame", "closed", "reserved", _bomb_on_socket)
    yield on("RSV bits", "closed", "reserved", _bytes(wire.frame(b"{}", rsv=3)))
    masked = wire.head(wire.TEXT, 2, mask=True) + b"\0\0\0\0{}"
    yield on("masked frame", "frames", "not known", _raw(masked))
    yield on("opcode 3", "closed", "opcode", _bytes(wire.frame(b"{}", 3)))
    yield on(
        "long close", "closed", "125", _bytes(wire.frame(b"x" * 10**6, wire.CLOSE))
    )
    yield on("close code 7", "closed", "7", _bytes(wire.frame(b"\0\7", wire.CLOSE)))
    yield on(
        "close of a byte", "closed", "close", _bytes(wire.frame(b"\3", wire.CLOSE))
    )
    yield on(
        "close that is no UTF-8",
        "closed",
        "",
        _bytes(wire.frame(b"\3\xe8\xff", wire.CLOSE)),
    )
    yield on(
        "fragmented ping",
        "closed",
        "",
        _bytes(wire.frame(b"", wire.PING, is_last=False)),
    )
    yield on("continuation of nothing", "closed", "", _bytes(wire.frame(b"x", 0)))
    yield on("noise", "closed", "", _bytes(bytes(range(256)) * 100))


def _handshakes() -> Iterator[Attack]:
    def on(name: str, words: str, deed: Any, **more: Any) -> Attack:
        return Attack(name, "handshake", "refused", words, deed, **more)

    yield on("redirect of the handshake", "302", _redirect("/ws/v4/"))
    yield on("endless headers", "", _endless_headers)
    yield on("endless header", "", _endless_header)
    yield on("endless 100 Continue", "", _endless_informational)
    yield on("wrong accept key", "", _wrong_key)
    yield on("compression that nobody asked for", "", _compression)
    yield on("body of 1 GB instead of a WebSocket", "200", _body_of_a_gigabyte)
    yield on("handshake that drips", "did not answer", _dripping_head)
    for name, words in (
        ("other name", "localhost"),
        ("expired", "expired"),
        ("self-signed", "self-signed|self signed"),
    ):
        yield Attack(
            f"certificate: {name}", "certificate", "refused", words, _certificate
        )


def _answers() -> Iterator[Attack]:
    def on(name: str, leaves: Any, words: str, deed: Any, **more: Any) -> Attack:
        return Attack(name, "snapshot", leaves, words, deed, **more)

    yield on("snapshot of 1 GB", "refused", "larger", _body_of_a_gigabyte)
    yield on(
        "snapshot of endless chunks",
        "refused",
        "larger|garbled|in time",
        _endless_chunks,
    )
    yield on("snapshot, a gzip bomb", "refused", "larger", _bomb_by_http)
    yield on("snapshot, gzip in gzip", "refused", "", _double_bomb_by_http)
    yield on("snapshot with endless headers", "refused", "", _endless_headers)
    yield on("redirect of a snapshot", "refused", "302", _redirect("/spot/order_book"))
    yield on("snapshot with cookies", "frames", "", _cookies)
    yield on("snapshot of another market", "rows", "", _other_market)
    yield on("snapshot, nested", "frames", "", _body(b"[" * 10**6))
    yield on("snapshot, no UTF-8", "frames", "UTF-8", _body(b'{"id":1,"asks":"\xff"}'))
    yield on(
        "snapshot, id 10^30",
        "frames",
        "",
        _body(b'{"id":1%s,"asks":[],"bids":[]}' % (b"0" * 30)),
    )
    yield on("snapshot that drips", "refused", "in time", _dripping_body)


_LARGE: Final[Mapping[Any, Callable[[], bytes]]] = {
    _many_levels: _levels,
    _many_rows: _rows,
    _bomb_on_socket: _deflated,
    _compression: _deflated,
    _bomb_by_http: _packed,
    _double_bomb_by_http: _packed,
}


def attacks() -> list[Attack]:
    """Return all attacks; that on the list of markets comes first."""
    listed = Attack("market list", "list", "rows", "", _hostile_list)
    return [listed, *_sockets(), *_handshakes(), *_answers()]
