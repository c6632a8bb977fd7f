"""Both sides of the case: what a store says, and what the exchange knows.

`Evidence` reads a source's rows once and lays them beside what the exchange
sent, chain by chain. Times are nanoseconds. Both clocks are that of this
machine, or what ours showed was noted: then all times are told in real time
(`recorder.judging.lives`).
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from recorder.judging.lives import FOREVER, Lives, run_of
from recorder.judging.shown import LATE_NS
from recorder.model import NO_MARKET, Chain, Gap
from recorder.simulator.truth import FEEDS, FrameSent, Truth, key_of
from recorder.store.listing import Listing


TABLES: Final = (
    *("trades", "depth", "klines", "tickers", "bbo"),
    *("liquidations", "contract_stats", "status", "orders", "balances"),
)
"""The tables that chains fill."""

ANSWERS: Final = frozenset({"query", "none"})
"""Events of rows of our own account that were asked for and not pushed."""

OF_INTERVALS: Final = ("klines", "contract_stats")
"""Those of which each interval is a stream."""

CONTROL: Final = "control"
"""Frames of the session, which carry no rows."""

IN_FLIGHT_NS: Final = 1_000_000_000
"""What is sent over a connection may be on its way so long, or in its buffers."""

ENDS: Final = frozenset({"process_stopped", "process_killed"})
"""Reasons of gaps that say that a run ended."""

FOUND_NS: Final = 20_000_000_000
"""Within this a stream is found silent that was accepted and brings nothing."""

GREETING: Final = frozenset({"listings"})
"""What the truth calls feeds that speak first: of these it notes when it accepted a
connection, for what is said first may be older than what we know of it."""


class Stored(NamedTuple):
    """A stored row.

    Attributes:
        ts_recv: Our clock, nanoseconds.
        conn: Our name of the connection.
        seq: Number of its frame.
        idx: Position in the frame.
        values: All columns, times as nanoseconds.
    """

    ts_recv: int
    conn: str
    seq: int
    idx: int
    values: Mapping[str, Any]


class Covered(NamedTuple):
    """An interval of coverage; one that is still open ends at `FOREVER`."""

    chain: Chain
    job: str
    started_at: int
    ended_at: int


class Evidence:
    """What is known of one source.

    Args:
        listing: The store.
        truth: What the exchange knows of itself, each pushed frame included.
        source: Name of the feed.
        chains: What was to be recorded.
        lives: The runs, and what their clocks showed; None if they all showed
            the exchange's time, one after another.

    Attributes:
        truth: As given.
        listing: As given.
        source: As given.
        chains: As given, sorted.
        feed: Under which name the truth keeps what was sent.
        gaps: The newest revision of each gap, oldest gap first.
        coverage: All intervals, oldest first.
        lives: As given.
        edge_ns: So far two times may be apart that are one in the store.

    Raises:
        ValueError: If the truth has no frames: it was not told to log them.
    """

    def __init__(
        self,
        listing: Listing,
        truth: Truth,
        source: str,
        chains: Iterable[Chain],
        lives: Lives | None = None,
    ) -> None:
        if not truth.log_frames:
            raise ValueError("the exchange must log its frames to be a judge")
        self.listing = listing
        self.truth = truth
        self.source = source
        self.chains = tuple(sorted(chains))
        self.feed = FEEDS[source]
        self.lives = lives
        self.edge_ns = 0 if lives is None else LATE_NS
        newest = _newest(plain(listing.read("gaps", source=source)))
        self.gaps = [gap for gap, _ in newest]
        self.coverage = _coverage(listing, source)
        if lives is not None:
            self.gaps = [_in_real_time(lives, source, *found) for found in newest]
            self.coverage = [
                covered._replace(
                    started_at=lives.told(source, covered.started_at),
                    ended_at=lives.told(source, covered.ended_at),
                )
                for covered in self.coverage
            ]

    @cached_property
    def stored(self) -> Mapping[Chain, list[Stored]]:
        """All rows by chain, in the order of receipt, but those asked for."""
        found: dict[Chain, list[Stored]] = defaultdict(list)
        for table in TABLES:
            for row in plain(self.listing.read(table, source=self.source)):
                if row.get("event") in ANSWERS:
                    continue
                chain = Chain(row["market"] or NO_MARKET, self._stream(table, row))
                at = self.received_at(row["conn"], row["ts_recv"])
                place = at, row["conn"], row["seq"], row["idx"]
                found[chain].append(Stored(*place, row))
        for rows in found.values():
            rows.sort(key=lambda row: row[:4])
        return found

    def received_at(self, conn: str, ts_recv: int) -> int:
        """Return when a row was received, as times are told here."""
        if self.lives is None:
            return ts_recv
        return self.lives.received(self.source, conn, ts_recv)

    def read_after(self, sent_at: int) -> int:
        """Return when what was sent at a time may have been read first.

        Later only if a process stood still then.
        """
        if self.lives is None:
            return sent_at
        return self.lives.read_after(self.source, sent_at)

    def way_ns(self, row: Stored, sent_at: int) -> int:
        """Return how long a row took from the exchange to a process that reads.

        0 of rows that are stored with a later time than that of their receipt.
        """
        if self.lives is not None and self.lives.is_held(row.conn, row.ts_recv):
            return 0
        return row.ts_recv - self.read_after(sent_at)

    def is_twice(self, conns: Collection[str]) -> bool:
        """Return whether an event came too often over connections of ours.

        Each is to be stored once, or once by each of two runs side by side.
        """
        return len(conns) > 1 if self.lives is None else self.lives.is_twice(conns)

    def is_owed(self, conn: int, sent_at: int, *, is_last: bool) -> bool:
        """Return whether what was sent over a connection must be stored.

        A run that begins beside another need not store what the other has; nor
        what it did not read any more, once another has taken over from it.

        Args:
            conn: The exchange's connection.
            sent_at: When it was sent.
            is_last: Whether nothing that was sent later over it is stored.
        """
        ours = self.ours.get(conn)
        if ours is None or self.lives is None:
            return True
        is_left = sent_at > self._read_until.get(ours, FOREVER) - IN_FLIGHT_NS
        if is_last and is_left and self.lives.is_followed(ours):
            return False
        return not self.lives.has_no_account(ours, sent_at)

    @cached_property
    def _read_until(self) -> Mapping[str, int]:
        """When the last row came over each of our connections."""
        last: dict[str, int] = {}
        for rows in self.stored.values():
            for row in rows:
                last[row.conn] = max(row.ts_recv, last.get(row.conn, 0))
        return last

    @cached_property
    def ours(self) -> Mapping[int, str]:
        """Our connections by the exchange's, as far as they were noted."""
        return {theirs: ours for ours, theirs in self._noted.items()}

    @cached_property
    def _noted(self) -> Mapping[str, int]:
        """The exchange's connections by ours, as far as they were noted."""
        if self.lives is None:
            return {}
        accepted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for row in self.truth.accepted:
            if row.feed == self.feed:
                accepted[row.port].append((row.ts_ns, row.conn))
        runs = {life.run for life in self.lives.of(self.source)}
        return {
            # A port may be used again, much later.
            conn: min((abs(at - opened.real), theirs) for at, theirs in found)[1]
            for conn, opened in self.lives.opened.items()
            if run_of(conn) in runs and (found := accepted.get(opened.port))
        }

    @cached_property
    def sent(self) -> Mapping[Chain, dict[int, list[FrameSent]]]:
        """All pushed frames by chain and the exchange's number of the connection."""
        found: dict[Chain, dict[int, list[FrameSent]]] = {}
        for frame in self.truth.frames:
            if frame.feed == self.feed and frame.stream != CONTROL:
                market = frame.market or NO_MARKET
                chain = chain_of(market, frame.stream, frame.parameter)
                by_conn = found.setdefault(chain, {})
                by_conn.setdefault(frame.conn, []).append(frame)
        return found

    def _stream(self, table: str, row: Mapping[str, Any]) -> str:
        if table == "depth":
            return str(row["stream"])
        if table in OF_INTERVALS:
            return f"{table}:{row['interval']}"
        # Of one type among several, or of all alike.
        stream = f"{table}:{row.get('state')}"
        return stream if Chain(NO_MARKET, stream) in self.chains else table

    def key_of(self, chain: Chain) -> str:
        """Return under which name the truth keeps the market of a chain."""
        return key_of(self.feed, chain.market)

    def rows_of(self, chain: Chain) -> list[Stored]:
        """Return the rows of a chain that came over a socket."""
        return [row for row in self.stored.get(chain, ()) if not is_rest(row)]

    def sent_to(self, chain: Chain) -> dict[int, list[FrameSent]]:
        """Return the frames of a chain by connection."""
        return self.sent.get(chain, {})

    def gaps_of(self, chain: Chain, scope: str | None = None) -> list[Gap]:
        """Return the gaps that concern a chain, those of everything included."""
        return [
            gap
            for gap in self.gaps
            if gap.market in (None, chain.market)
            and gap.stream in (None, chain.stream)
            and scope in (None, gap.scope)
        ]

    def conns_of(self, chain: Chain) -> dict[str, int]:
        """Pair our connections that carried a chain with the exchange's.

        Theirs is the first that answered anything after ours was open, or, of a
        venue that speaks first, the last that was accepted before. Of one
        that was killed it is not known when it was opened: then it is the one
        that began to send last before our first row came, for of another, one
        that was killed before it stored anything, we have no row. Where both
        sides noted the port of each connection, it is known.
        """
        if self.lives is not None:
            carrying = self.sent_to(chain)
            return {our: conn for our, conn in self._noted.items() if conn in carrying}
        began: dict[str, int] = {}
        for row in self.rows_of(chain):
            began.setdefault(row.conn, row.ts_recv)
        carried = self.sent_to(chain)
        answered = sorted((self._answered[conn], conn) for conn in carried)
        sent = sorted((frames[0].ts_ns, conn) for conn, frames in carried.items())
        pairs: dict[str, int] = {}
        for conn, at in began.items():
            opened_at = self._opened.get(conn)
            if opened_at is not None:
                place = bisect_left(answered, (opened_at, 0))
                place -= self.feed in GREETING
                if 0 <= place < len(answered):
                    pairs[conn] = answered[place][1]
            elif place := bisect_right(sent, (at, len(self._answered))):
                pairs[conn] = sent[place - 1][1]
        return pairs

    @cached_property
    def _opened(self) -> Mapping[str, int]:
        """When each of our connections was opened that ended in order."""
        rows = plain(self.listing.read("connections", source=self.source))
        return {row["conn"]: row["opened_at"] for row in rows}

    @cached_property
    def _answered(self) -> Mapping[int, int]:
        """When the exchange sent the first frame on each of its connections."""
        found: dict[int, int] = {}
        for frame in self.truth.frames:
            if frame.feed == self.feed:
                found.setdefault(frame.conn, frame.ts_ns)
        return found


def chain_of(market: str, stream: str, parameter: str) -> Chain:
    """Return the chain that a frame or a fault is about."""
    return Chain(market, f"{stream}:{parameter}" if parameter else stream)


def is_rest(row: Stored) -> bool:
    """Return whether a row is an answer by HTTP."""
    return row.conn.endswith(".rest")


def end_of(gap: Gap) -> int:
    """Return the first instant after a gap; `FOREVER` while it lasts."""
    return FOREVER if gap.ended_at is None else gap.ended_at


def contains(gap: Gap, at: int) -> bool:
    """Return whether an instant lies in a gap."""
    return gap.started_at <= at < end_of(gap)


def touches(gap: Gap, first: int, last: int) -> bool:
    """Return whether a gap has an instant in common with an interval."""
    return gap.started_at <= last and first < end_of(gap)


def said(examples: Iterable[object], most: int = 3) -> str:
    """Return the first few of some examples, in words."""
    texts = [str(example) for example in examples]
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + rest


def plain(table: pa.Table) -> list[dict[str, Any]]:
    """Return a table's rows as mappings, times as integer nanoseconds."""
    for number, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            numbers = table.column(number).cast(pa.int64())
            table = table.set_column(number, field.name, numbers)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _in_real_time(lives: Lives, source: str, gap: Gap, runs: Collection[str]) -> Gap:
    """Return a gap with real times, as long as it may be."""
    first = last = lives.bounds(source, gap.started_at, runs)[0]
    if gap.ended_at is not None and gap.ended_at > gap.started_at:
        last = lives.bounds(source, gap.ended_at, runs)[1]
    ended_at = None if gap.ended_at is None else last
    return msgspec.structs.replace(gap, started_at=first, ended_at=ended_at)


def _newest(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Gap, frozenset[str]]]:
    """Return the newest revision of each gap, and which runs had a part in it."""
    newest: dict[str, Mapping[str, Any]] = {}
    runs: dict[str, set[str]] = defaultdict(set)
    for row in sorted(
        rows, key=lambda row: (row["ts_recv"], row["conn"], row["seq"], row["idx"])
    ):
        newest[row["gap_id"]] = row
        runs[row["gap_id"]] |= {run_of(row["conn"]), row["gap_id"].partition(".")[0]}
    names = Gap.__struct_fields__
    gaps = [
        (
            msgspec.convert({name: row[name] for name in names}, Gap),
            frozenset(runs[gap_id]),
        )
        for gap_id, row in newest.items()
    ]
    return sorted(gaps, key=lambda found: (found[0].started_at, found[0].gap_id))


def _coverage(listing: Listing, source: str) -> list[Covered]:
    closed = plain(listing.read("coverage", source=source))
    still_open = [
        row for row in plain(listing.open_coverage()) if row["source"] == source
    ]
    found = [
        Covered(
            Chain(row["market"] or NO_MARKET, row["stream"]),
            row["job"],
            row["started_at"],
            end,
        )
        for rows, is_open in ((closed, False), (still_open, True))
        for row in rows
        for end in [FOREVER if is_open else row["ended_at"]]
    ]
    return sorted(found, key=lambda covered: (covered.started_at, covered.chain))
