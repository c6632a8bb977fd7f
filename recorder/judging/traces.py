"""Has every fault that was performed left the gap that it must leave?

`TRACES` says for each fault what it must leave. A fault without an entry of
its own leaves nothing, and `WITHOUT_TRACE` says why.

A fault of one connection costs nothing where another carried the chain at that
time and brought what it hit: what is stored is not missing.
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec

from recorder.judging.evidence import (
    ENDS,
    FOUND_NS,
    Evidence,
    chain_of,
    contains,
    plain,
    said,
    touches,
)
from recorder.judging.holes import Hole, hole_of, last_id, names_frame
from recorder.judging.trades import BATCH_NS, UNNUMBERED, names
from recorder.model import Chain, Gap
from recorder.simulator.faults import (
    LISTING_ENDS,
    LISTING_HARMLESS,
    LISTING_MALFORMED,
)
from recorder.simulator.truth import FaultDone


Hit = Literal["frame", "numbers", "book", "connection", "chain"]

ENDINGS: Final = frozenset(
    {
        "connect_lost",
        "venue_upgrade",
        "venue_maintenance",
        "process_stopped",
        "process_killed",
        "stale_stream",
    }
)
"""How a gap of a connection that ended may be called: we may end before we
notice, a stream may be found silent before its connection is, and the venue
may have told of an upgrade or of maintenance before."""


NOT_BEGUN: Final = "not_started"
"""How a gap is called that lasts until a chain is recorded for the first time."""


class Trace(msgspec.Struct, frozen=True):
    """What a fault must leave.

    Attributes:
        hit: What it hits, which decides how its gap is looked for. ``frame``:
            one frame came and could not be decoded. ``numbers``: rows with
            running numbers did not come, between two that did. ``book``: a
            row came that cannot be true. ``connection``: all chains of a
            connection. ``chain``: one chain, of which nothing came.
        reasons: Reasons that the gap may have.
        streams: Only on these streams; empty means on all.
    """

    hit: Hit
    reasons: frozenset[str]
    streams: frozenset[str] = frozenset()


_NUMBERED: Final = frozenset({"depth", "trades"})
# Streams of which others tell, so that a silent one can be found.
_TOLD: Final = frozenset({"depth", "trades", "tickers", "klines", "bbo"})
_SEQUENCE: Final = frozenset({"sequence_gap"})
# Where the ids showed it first, the chain is in that gap already.
_UNDECODABLE: Final = frozenset({"undecodable", "sequence_gap"})

TRACES: Final[dict[str, Trace]] = {
    "drop": Trace("numbers", _SEQUENCE, _NUMBERED),
    "delay": Trace("numbers", _SEQUENCE, frozenset({"depth"})),
    "unflagged_full": Trace("numbers", _SEQUENCE),
    "malformed": Trace("frame", _UNDECODABLE),
    "v3_malformed": Trace("frame", _UNDECODABLE),
    "crossed": Trace("book", frozenset({"crossed"})),
    "stall": Trace("connection", ENDINGS),
    "abort": Trace("connection", ENDINGS),
    "v3_stall": Trace("connection", ENDINGS),
    "v3_abort": Trace("connection", ENDINGS),
    "silent_ack": Trace("chain", ENDINGS | {"not_started"} | _SEQUENCE, _TOLD),
    "v5_malformed": Trace("frame", _UNDECODABLE),
    "v5_stall": Trace("connection", ENDINGS),
    "v5_abort": Trace("connection", ENDINGS),
    "ann_malformed": Trace("frame", _UNDECODABLE),
    "ann_stall": Trace("connection", ENDINGS),
    "ann_abort": Trace("connection", ENDINGS),
    LISTING_MALFORMED: Trace("frame", _UNDECODABLE),
    **dict.fromkeys(LISTING_ENDS, Trace("connection", ENDINGS)),
}
"""Fault to expected trace."""

WITHOUT_TRACE: Final[dict[str, str]] = {
    "duplicate": "nothing is missing; doubled rows are looked for elsewhere",
    "full": "replaces the book by what it is",
    "upgrade": "there is no gap if the next connection was there in time",
    "slow_ack": "the chain is in a gap until the answer comes",
    "handshake_502": "the chains are in a gap until a connection is open",
    "http_429": "the book is in a gap until a snapshot comes",
    "http_502": "the book is in a gap until a snapshot comes",
    "stale_snapshot": "the book is in a gap until a snapshot comes that fits",
    "http_garbled": "what was asked for is asked for again",
    "stale_history": "the gap stays open until the venue tells what came after it",
    "drift": "nothing tells of it until the book is audited",
    "v3_drop": "the protocol has nothing that could reveal it",
    "v3_omit_clean": "the book goes on",
    "v3_error": "the chains are in a gap until a request is accepted",
    "v3_handshake_502": "the chains are in a gap until a connection is open",
    "v5_duplicate": "nothing is missing; doubled rows are looked for elsewhere",
    "v5_error": "the chain is in a gap until a request is accepted",
    "v5_handshake_502": "the chain is in a gap until a connection is open",
    "v5_upgrade": "there is no gap if the next connection was there in time",
    "ann_duplicate": "nothing is missing; doubled rows are looked for elsewhere",
    "ann_error": "the chains are in a gap until a request is accepted",
    "ann_handshake_502": "the chains are in a gap until a connection is open",
    **LISTING_HARMLESS,
}
"""Why the other faults leave no gap of their own."""


class TraceVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the faults of one kind were told.

    Attributes:
        source: Name of the feed.
        fault: Name of the fault.
        performed: How often it was.
        owed: Gaps that those must have left, chain by chain.
        told: Those of them that are there.
        complaints: What is wrong, in words.
    """

    source: str
    fault: str
    performed: int
    owed: int
    told: int
    complaints: tuple[str, ...] = ()


def judge_traces(evidence: Evidence, slack_ns: int) -> list[TraceVerdict]:
    """Look for the trace of every fault that hit what a source recorded.

    Args:
        evidence: What both sides say.
        slack_ns: How much later than sent a row of this source may have come.
    """
    tracer = _Tracer(evidence, slack_ns)
    verdicts = []
    faults = [f for f in evidence.truth.faults if f.feed == evidence.feed]
    for name in sorted({fault.name for fault in faults} & TRACES.keys()):
        performed = [fault for fault in faults if fault.name == name]
        owed = told = 0
        untold: list[str] = []
        for fault in performed:
            for chain, is_told in tracer.look(fault):
                owed += 1
                told += is_told
                if not is_told:
                    untold.append(_text(fault, chain))
        complaint = (
            f"{evidence.source}: {len(untold)} times {name} left no gap that says "
            f"{' or '.join(sorted(TRACES[name].reasons))}"
            f"{' and no frame' if TRACES[name].hit == 'frame' else ''}: {said(untold)}"
        )
        verdicts.append(
            TraceVerdict(
                source=evidence.source,
                fault=name,
                performed=len(performed),
                owed=owed,
                told=told,
                complaints=(complaint,) if untold else (),
            )
        )
    return verdicts


class _Tracer:
    """Looks for the gaps that faults owe."""

    def __init__(self, evidence: Evidence, slack_ns: int) -> None:
        self._evidence = evidence
        self._slack_ns = slack_ns
        kept = plain(
            evidence.listing.read(
                "frames",
                source=evidence.source,
                columns=["ts_recv", "conn", "reason"],
            )
        )
        self._kept = sorted(
            (evidence.received_at(row["conn"], row["ts_recv"]), row["conn"])
            for row in kept
            if row["reason"] == "undecodable"
        )
        self._chains_of: dict[int, dict[Chain, int]] = {}
        self._first_sent: dict[int, int] = {}
        self._last_sent: dict[int, int] = {}
        for chain, by_conn in evidence.sent.items():
            for conn, frames in by_conn.items():
                self._chains_of.setdefault(conn, {})[chain] = frames[0].ts_ns
        # Answers count: a quiet connection is heard by them alone.
        for frame in evidence.truth.frames:
            if frame.feed == evidence.feed:
                last = max(frame.ts_ns, self._last_sent.get(frame.conn, 0))
                self._last_sent[frame.conn] = last
                self._first_sent.setdefault(frame.conn, frame.ts_ns)
        self._ways: dict[
            Hit, Callable[[FaultDone, Trace], Iterable[tuple[Chain, bool]]]
        ] = {
            "frame": self._look_for_frame,
            "numbers": self._look_for_numbers,
            "book": self._look_for_book,
            "connection": self._look_for_connection,
            "chain": self._look_for_chain,
        }

    def look(self, fault: FaultDone) -> Iterable[tuple[Chain, bool]]:
        """Yield the chains that owe a gap for a fault, and whether they have it."""
        trace = TRACES[fault.name]
        if trace.streams and fault.stream not in trace.streams:
            return ()
        return self._ways[trace.hit](fault, trace)

    def _latest(self, sent_at: int) -> int:
        """Return when at the latest something came that was sent at a time."""
        return self._evidence.read_after(sent_at) + self._slack_ns

    def _chain(self, fault: FaultDone) -> Chain | None:
        chain = chain_of(fault.market or "", fault.stream or "", fault.parameter)
        return chain if chain in self._evidence.chains else None

    def _look_for_frame(
        self, fault: FaultDone, trace: Trace
    ) -> Iterable[tuple[Chain, bool]]:
        """Each frame is kept and lies in a gap, unless it did not arrive at all.

        A chain that was not accepted yet, or lacks its first image, is in a gap
        already. Nor need the frame lie in one while another connection carries the
        chain.
        """
        chain = self._chain(fault)
        if chain is None:
            return
        last = self._latest(fault.ts_ns)
        near = [
            gap
            for gap in self._evidence.gaps_of(chain, "rows")
            if touches(gap, fault.ts_ns, last) or names_frame(gap, fault)
        ]
        is_spare = self._carrier(chain, fault.conn or 0, fault.ts_ns) is not None
        ours = self._evidence.ours.get(fault.conn or 0)
        arrived = [
            (at, conn)
            for at, conn in self._kept
            if fault.ts_ns <= at <= last and ours in (None, conn)
        ]
        is_told = any(
            gap.reason in trace.reasons
            or (gap.reason == NOT_BEGUN and arrived and contains(gap, arrived[0][0]))
            for gap in near
        )
        is_lost = any(gap.reason in ENDINGS for gap in near)
        if is_told or (is_spare and not is_lost):
            for frame in arrived[:1]:
                self._kept.remove(frame)  # it is this one and no other
            # Else its connection was left before it came, and others of the
            # chain's frames may have been hit at that time.
            if arrived or not is_spare:
                yield chain, bool(arrived)
        else:
            yield chain, is_lost

    def _look_for_numbers(
        self, fault: FaultDone, trace: Trace
    ) -> Iterable[tuple[Chain, bool]]:
        chain = self._chain(fault)
        if chain is None:
            return
        gaps = self._evidence.gaps_of(chain, "rows")
        if fault.stream == "trades":
            if self._evidence.feed not in UNNUMBERED:
                yield chain, self._are_named(fault, chain, gaps)
            return
        for hole in self._holes(fault, chain):
            yield (
                chain,
                any(
                    gap.reason in trace.reasons and hole.is_named_by(gap)
                    for gap in gaps
                )
                # Who is in a gap already need not tell of another; nor who only
                # records beside one that is, and is believed where that ends.
                or any(
                    contains(gap, at)
                    for gap in gaps
                    for at in (hole.shown_at, fault.ts_ns)
                ),
            )

    def _are_named(self, fault: FaultDone, chain: Chain, gaps: list[Gap]) -> bool:
        """Return whether a gap names each trade of a frame that did not come."""
        rows = self._evidence.stored.get(chain, ())
        stored = {row.values["trade_id"] for row in rows}
        ids = set(fault.trade_ids) - stored
        transit_ns = self._slack_ns + BATCH_NS
        return all(
            any(names(gap, trade, transit_ns) for gap in gaps)
            for trade in self._evidence.truth.trades_of(self._evidence.key_of(chain))
            if trade.trade_id in ids
        )

    def _holes(self, fault: FaultDone, chain: Chain) -> list[Hole]:
        """Return which ids are missing between two rows of one connection.

        None if nothing on the connection could show it: no row before, none
        after, or none in between; nor those that another connection brought.
        """
        ours = self._ours(fault, chain)
        if fault.first_update_id is None or ours is None:
            return []
        all_rows = self._evidence.rows_of(chain)
        rows = [row for row in all_rows if row.conn == ours]
        hole = hole_of(fault, rows)
        if hole is None:
            return []
        return hole.without([row for row in all_rows if row.conn != ours])

    def _ours(self, fault: FaultDone, chain: Chain) -> str | None:
        """Return our name of the connection that a fault hit."""
        conns = self._evidence.conns_of(chain).items()
        return next((ours for ours, theirs in conns if theirs == fault.conn), None)

    def _carrier(self, chain: Chain, conn: int, at: int) -> int | None:
        """Return until when other connections carried a chain, if one did then.

        A quiet chain is carried from before its first frame: since the first answer.
        """
        until: int | None = None
        while True:
            ends = [
                self._last_sent[other]
                for other in self._evidence.sent_to(chain)
                if other != conn
                and self._first_sent[other] <= at <= self._last_sent[other]
            ]
            if not ends or until == max(ends):
                return until
            at = until = max(ends)

    def _look_for_book(
        self, fault: FaultDone, trace: Trace
    ) -> Iterable[tuple[Chain, bool]]:
        """The gap begins with the row, unless the book is not known there.

        One that came late, after newer ones, touches no book; nor does one that
        is not stored, because another connection had brought it as it is.
        """
        chain = self._chain(fault)
        if chain is None:
            return
        ours = self._ours(fault, chain)
        if ours is None and self._carrier(chain, fault.conn or 0, fault.ts_ns):
            return  # nothing of the connection is stored
        newest = 0
        for row in self._evidence.rows_of(chain):
            is_late, newest = last_id(row) < newest, max(newest, last_id(row))
            if row.values["last_update_id"] == fault.last_update_id:
                if is_late or ours not in (None, row.conn):
                    return
                at = row.ts_recv
                gaps = self._evidence.gaps_of(chain)
                is_named = any(
                    gap.reason in trace.reasons
                    and abs(gap.started_at - at) <= self._evidence.edge_ns
                    for gap in gaps
                )
                was_unknown = any(
                    contains(gap, at) and (gap.started_at < at) for gap in gaps
                )
                yield chain, is_named or was_unknown
                return

    def _look_for_connection(
        self, fault: FaultDone, trace: Trace
    ) -> Iterable[tuple[Chain, bool]]:
        """Each chain that the connection carried is in a gap from its last frame on."""
        conn = fault.conn or 0
        last_sent = self._last_sent.get(conn, 0)
        for chain, since in self._chains_of.get(conn, {}).items():
            is_hit = since <= fault.ts_ns and chain in self._evidence.chains
            if is_hit and self._carrier(chain, conn, last_sent) is None:
                latest = self._latest(last_sent)
                gaps = self._evidence.gaps_of(chain, "rows")
                # Nothing was sent until another connection was answered.
                answered = (at for at in self._first_sent.values() if at > last_sent)
                until = max(latest, min(answered, default=latest))
                is_told = any(
                    gap.reason in trace.reasons and touches(gap, last_sent, until)
                    for gap in gaps
                )
                # Who is in a gap already need not tell of another.
                yield chain, is_told or any(contains(gap, latest) for gap in gaps)

    def _look_for_chain(
        self, fault: FaultDone, trace: Trace
    ) -> Iterable[tuple[Chain, bool]]:
        chain, conn = self._chain(fault), fault.conn or 0
        if chain is None:
            return
        at: int | None = fault.ts_ns
        if (until := self._carrier(chain, conn, fault.ts_ns)) is not None:
            # Once nobody carries it any more, something is missing.
            sent = self._evidence.sent_to(chain).get(conn, ())
            at = None if any(frame.ts_ns <= until for frame in sent) else until
        if at is not None:
            # Whose run ended before it was found cannot say it.
            latest = self._latest(at)
            yield (
                chain,
                any(
                    (gap.reason in trace.reasons and touches(gap, at, latest))
                    or (gap.reason in ENDS and at < gap.started_at < at + FOUND_NS)
                    for gap in self._evidence.gaps_of(chain, "rows")
                ),
            )


def _text(fault: FaultDone, chain: Chain) -> str:
    ids = (
        "" if fault.first_update_id is None else f", updates {fault.first_update_id} on"
    )
    return (
        f"{chain.market} {chain.stream} at {fault.ts_ns}, connection {fault.conn}{ids}"
    )
