"""P1: what it costs to make a frame's bytes a row of an Arrow batch.

The whole way that a capture goes is walked: the feed's dialogue, the
sequence check and the doubles filter of the session, rows, record batches
with every level parsed and every number checked. It is compared with doing
nothing but decode the same frames into typed objects, dropped at once.
"""

import gc
from collections.abc import Callable, Iterator
from time import process_time
from typing import NamedTuple

import pyarrow as pa

from benchmarks.answers import DECODE, told_by_frames, told_by_rows
from benchmarks.made_frames import Load
from benchmarks.report import WrongAnswerError
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


SOURCE = "gate_spot"

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
        decode: The part of ours that the feed would take, were frames taken
            one by one: bytes to events.
        build: The part of ours that makes batches of rows.
        theirs: A peer.
    """

    ours: list[float]
    bare: list[float]
    decode: list[float]
    build: list[float]
    theirs: list[float]


def measure(
    load: Load, stream: str, runs: int, peer: Callable[[], float] | None = None
) -> Costs:
    """Return the costs of frames, kinds of runs taking turns.

    Args:
        load: The frames, all of one stream.
        stream: ``depth:100ms`` or ``trades``.
        runs: How often each kind is run.
        peer: Returns what a run of it cost.

    Raises:
        WrongAnswerError: If what came out is not what went in.
    """
    bare = DECODE[stream.partition(":")[0]]
    costs = Costs([], [], [], [], [])
    _compare(load, stream)
    gc.collect()
    gc.freeze()  # a capture has no such lists of frames to search through
    for _ in range(runs):
        total = built = 0.0
        for _, session_seconds, build_seconds in _flushes(load, stream):
            total += session_seconds + build_seconds
            built += build_seconds
        costs.ours.append(total)
        costs.build.append(built)
        costs.bare.append(_run_bare(load, bare))
        costs.decode.append(_run_decode(load, stream))
        if peer is not None:
            costs.theirs.append(peer())
    gc.unfreeze()
    return costs


def _compare(load: Load, stream: str) -> None:
    """Hold what the recorder makes of frames to what they say."""
    table = stream.partition(":")[0]
    told = told_by_rows(rows_of(load, stream), table)
    told_by_frames(load.frames, table).compare(told, "the record batches")


def rows_of(load: Load, stream: str) -> pa.Table:
    """Return the rows of frames, as they come out."""
    return pa.Table.from_batches([rows for rows, _, _ in _flushes(load, stream)])


def _flushes(load: Load, stream: str) -> Iterator[tuple[pa.RecordBatch, float, float]]:
    """Yield the rows of a flush, and the CPU seconds of session and building."""
    warm_up()
    warm_up_plain()
    session, link = _ready(load, stream)
    frames = session.frames
    stamp = link.last_at
    for start in range(0, len(load.frames), FLUSH_FRAMES):
        part = load.frames[start : start + FLUSH_FRAMES]
        stamps = range(stamp + 1, stamp + 1 + len(part))
        stamp += len(part)
        began = process_time()
        for first in range(0, len(part), RUN_FRAMES):
            run = slice(first, first + RUN_FRAMES)
            frames(link, stamps[run], part[run], opcode="text")
        taken = process_time()
        flush = session.take(stamp)
        built = _build(flush, stream)
        ended = process_time()
        if built.num_rows != len(part):
            raise WrongAnswerError(f"{len(part)} frames gave {built.num_rows} rows")
        yield built, taken - began, ended - taken


def _build(flush: Flush, stream: str) -> pa.RecordBatch:
    """Make batches of everything; return that of the stream's table."""
    found: pa.RecordBatch | None = None
    for (name, _), made in build_all(flush.rows, flush.blocks).items():
        if name == stream.partition(":")[0] and not (made.kept or made.faults):
            found = made.batch
    if found is None:
        raise WrongAnswerError(f"frames of {stream} gave no rows, or wrong ones")
    return found


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
    source = load_source(SOURCE)
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
