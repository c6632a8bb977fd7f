"""P1: what it costs to make a frame's bytes a row of an Arrow batch.

The whole way that a capture goes is walked: the feed's dialogue, the
sequence check and the doubles filter of the session, rows, record batches
with every level parsed and every number checked. It is compared with doing
nothing but decode the same frames into typed objects, dropped at once.
"""

import gc
from collections.abc import Callable
from time import process_time
from typing import NamedTuple

import msgspec

from benchmarks.frames import Load
from recorder.capture.doubles import Doubles
from recorder.capture.link import Link
from recorder.capture.plain import warm_up as warm_up_plain
from recorder.capture.session import Session
from recorder.clock import SystemClock
from recorder.model import Chain
from recorder.simulator.wire_v4 import plain_answer
from recorder.sources import load as load_source
from recorder.store.ledger import Ledger
from recorder.store.levels import warm_up
from recorder.store.writer import Flush, build_all


FLUSH_FRAMES = 25_000
"""Frames between two flushes: what a second brings at the full load."""

RUN_FRAMES = 100
"""Frames that one read of a socket brings at the full load."""

_SNAPSHOTS_DUE_NS = 10_000_000_000


class Costs(NamedTuple):
    """CPU seconds for each run of a load.

    Attributes:
        ours: From bytes to batches.
        bare: The plain typed decode.
        decode: The part of ours that the feed takes: bytes to events.
        build: The part of ours that makes batches of rows.
    """

    ours: list[float]
    bare: list[float]
    decode: list[float]
    build: list[float]


class _DepthResult(msgspec.Struct, gc=False):
    t: int
    e: str
    E: int
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _Depth(msgspec.Struct, gc=False):
    time: int
    channel: str
    event: str
    result: _DepthResult
    time_ms: int | None = None


class _TradeResult(msgspec.Struct, gc=False):
    id: int
    create_time: int
    create_time_ms: str
    side: str
    currency_pair: str
    amount: str
    price: str
    id_market: int | None = None
    range: str | None = None


class _Trade(msgspec.Struct, gc=False):
    time: int
    channel: str
    event: str
    result: _TradeResult
    time_ms: int | None = None


BARE = {
    "depth": msgspec.json.Decoder(_Depth).decode,
    "trades": msgspec.json.Decoder(_Trade).decode,
}


def measure(load: Load, stream: str, runs: int) -> Costs:
    """Return the costs of frames, kinds of runs taking turns.

    Args:
        load: The frames, all of one stream.
        stream: ``depth:100ms`` or ``trades``.
        runs: How often each kind is run.

    Raises:
        RuntimeError: If what came out is not what went in.
    """
    bare = BARE[stream.partition(":")[0]]
    warm_up()
    warm_up_plain()
    costs = Costs([], [], [], [])
    gc.collect()
    gc.freeze()  # a capture has no such lists of frames to search through
    _run_ours(load._replace(frames=load.frames[:FLUSH_FRAMES]), stream)
    for _ in range(runs):
        total, build_part = _run_ours(load, stream)
        costs.ours.append(total)
        costs.build.append(build_part)
        costs.bare.append(_run_bare(load, bare))
        costs.decode.append(_run_decode(load, stream))
    gc.unfreeze()
    return costs


def _run_ours(load: Load, stream: str) -> tuple[float, float]:
    """Return CPU seconds in all, and those that building batches took."""
    session, link = _ready(load, stream)
    frames = session.frames
    stamp = link.last_at
    total = built = 0.0
    rows = 0
    for start in range(0, len(load.frames), FLUSH_FRAMES):
        part = load.frames[start : start + FLUSH_FRAMES]
        stamps = range(stamp + 1, stamp + 1 + len(part))
        stamp += len(part)
        began = process_time()
        for first in range(0, len(part), RUN_FRAMES):
            run = slice(first, first + RUN_FRAMES)
            frames(link, stamps[run], part[run], opcode="text")
        taken = process_time()
        rows += _build(session.take(stamp), stream)
        ended = process_time()
        total += ended - began
        built += ended - taken
    if rows != len(load.frames):
        raise RuntimeError(f"{len(load.frames)} frames gave {rows} rows of {stream}")
    return total, built


def _build(flush: Flush, stream: str) -> int:
    """Make batches of everything; return the rows of the stream's table."""
    rows = 0
    for (name, _), made in build_all(flush.rows, flush.blocks).items():
        if name == stream.partition(":")[0] and not (made.kept or made.faults):
            rows = made.batch.num_rows
    return rows


def _run_bare(load: Load, decode: Callable[[bytes], object]) -> float:
    frames = load.frames
    began = process_time()
    for payload in frames:
        decode(payload)
    return process_time() - began


def _run_decode(load: Load, stream: str) -> float:
    _, link = _ready(load, stream)
    receive = link.dialogue.receive
    now = link.last_at
    frames = load.frames
    began = process_time()
    for payload in frames:
        receive(payload, now)
    return process_time() - began


def _ready(load: Load, stream: str) -> tuple[Session, Link]:
    """Return a session with everything subscribed and every book known."""
    source = load_source("gate_spot")
    chains = [Chain(market, stream) for market in load.markets]
    clock = SystemClock()
    session = Session(
        source,
        {},
        chains,
        run="bench",
        clock=clock,
        ledger=Ledger("bench", "bench", chains),
        doubles=Doubles(),
    )
    link = session.opened("bench.0", source.ws_url, chains, clock.now_ns())
    while link.outbox:
        request = link.outbox.popleft()
        session.sent(link, request, clock.now_ns())
        answer, _ = plain_answer(request.payload.decode(), clock.now_ns())
        if answer is not None:
            session.frame(link, clock.now_ns(), answer, opcode="text")
    numbers = {market: number for number, market in enumerate(load.markets)}
    rule = source.snapshot
    while rule and (due := session.books.next_due(clock.now_ns() + _SNAPSHOTS_DUE_NS)):
        chain, epoch = due
        now = clock.now_ns()
        body = load.snapshot(numbers[chain.market], now // 10**6)
        session.snapshots.take(chain, epoch, rule.request(chain, {}), now, body)
    if session.books.known_total != session.books.total:
        raise RuntimeError("not every book is known before the first frame")
    session.take(clock.now_ns())
    return session, link
