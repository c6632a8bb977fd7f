"""Is every book that replay shows the exchange's own, and unknown for a reason?

Three ways to see a book are judged: the plain `OrderBook` after each message,
`bbo` after each message, and `book_at` at instants of three kinds: those of
messages, those between two messages, and those inside gaps.

Which book it should be is not asked of the code that replays. With ids it is
the one after the newest change that any stored row of the chain tells of:
what is older is in it, and a book from which something is missing must not
be shown. Without ids it is the one that the exchange noted when it sent the
frame that was stored as this row.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Final, TypeAlias

import msgspec

from recorder.judging.alignment import Alignment
from recorder.judging.evidence import (
    ENDS,
    Evidence,
    Stored,
    contains,
    end_of,
    is_rest,
    plain,
    said,
    touches,
)
from recorder.model import UNAPPLIED, Chain, DepthUpdate, Gap, Level, Levels
from recorder.replay import BookView, OrderBook, bbo, book_at, replay
from recorder.replay.book import is_taken_over
from recorder.simulator.truth import V3Depth


BEST_LEVELS: Final = 10
"""Levels a side that are compared after each message, if the stream has so many."""

SAMPLES: Final = 4
"""Instants of each kind at which a book is asked for."""

BESIDE_NS: Final = 5_000_000_000
"""Two runs that record a book without ids side by side both bring it so often."""

UNTOLD_NS: Final = 2_000_000_000
"""A book is found to be wrong within so much of the row that shows it, and that is
told in the next flush."""

Sides: TypeAlias = tuple[Levels, Levels]
Expected: TypeAlias = Callable[[int, int], Sides | None]
"""Gives the book after the n-th row, to so many levels; None if it has none."""


class BookVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the replayed states of one book compare.

    Attributes:
        source: Name of the feed.
        chain: The chain.
        states: Known states after a message.
        equal: Those that equal the exchange's own.
        unknown: Messages after which the book was not known.
        quotes: Rows of `bbo` that are known.
        samples: Instants at which `book_at` was asked.
        complaints: What is wrong, in words.
    """

    source: str
    chain: Chain
    states: int
    equal: int
    unknown: int
    quotes: int
    samples: int
    complaints: tuple[str, ...] = ()


def judge_books(
    evidence: Evidence, alignments: Mapping[Chain, Alignment], seed: int = 1
) -> list[BookVerdict]:
    """Judge every book of a source.

    Args:
        evidence: What both sides say.
        alignments: Which stored row was carried by which frame.
        seed: Decides the instants at which books are asked for.
    """
    return [
        _Judge(evidence, chain, alignments[chain], seed).verdict()
        for chain in evidence.chains
        if chain.stream.startswith("depth")
    ]


class _Judge:
    """Judges one book."""

    def __init__(
        self, evidence: Evidence, chain: Chain, alignment: Alignment, seed: int
    ) -> None:
        self._evidence = evidence
        self._chain = chain
        self._rows = evidence.stored.get(chain, [])
        # Nothing is missing where our clock only went slowly.
        self._gaps = [gap for gap in evidence.gaps_of(chain) if gap.scope != "times"]
        self._kills = [g for g in self._gaps if g.reason == "process_killed"]
        self._ends = [
            gap.started_at
            for gap in self._gaps
            if gap.ended_at == gap.started_at or gap.reason in ENDS
        ]
        self._has_ids = all(row.values["last_update_id"] for row in self._rows)
        self._rng = random.Random(f"{seed}:{evidence.source}:{chain}")  # noqa: S311
        self._expected = _expected(evidence, chain, self._rows, alignment)
        self._about = f"{evidence.source} {chain.market} {chain.stream}"
        self._complaints: list[str] = []

    def verdict(self) -> BookVerdict:
        """Return how the book was shown in each of the three ways."""
        states = equal = quotes = samples = 0
        if self._rows:  # replay refuses a book that was never recorded
            states, equal = self._judge_messages()
            quotes = self._judge_quotes()
            samples = self._judge_instants()
            self._judge_ids()
        if not states:
            self._complaints.append(f"{self._about}: the book was never known")
        return BookVerdict(
            source=self._evidence.source,
            chain=self._chain,
            states=states,
            equal=equal,
            unknown=len(self._rows) - states,
            quotes=quotes,
            samples=samples,
            complaints=tuple(self._complaints),
        )

    def _judge_messages(self) -> tuple[int, int]:
        """Judge the plain book; return its known states, and those that are right."""
        states = equal = imaged_at = 0
        levels = min(BEST_LEVELS, self._levels)
        wrong: list[str] = []
        untold: list[str] = []
        for at, book in self._books():
            row = self._rows[at]
            if row.values["is_snapshot"]:
                imaged_at = row.ts_recv
            if not book.is_known:
                if not self._is_excused(row) and not self._is_left(
                    imaged_at, row.ts_recv
                ):
                    untold.append(_place(row))
                continue
            states += 1
            shown, numbers = book.top(levels), self._numbers(row.ts_recv, at)
            if any(shown == self._expected(n, levels) for n in numbers):
                equal += 1
            else:
                expected = self._expected(at, levels)
                wrong.append(f"{_place(row)} shows {shown}, expected {expected}")
        self._complain("book states are not the exchange's", wrong, most=1)
        self._complain("messages without a known book lie in no gap", untold)
        return states, equal

    def _books(self) -> Iterator[tuple[int, OrderBook]]:
        """Yield the plain book after each stored row, with the row's number."""
        market, stream = self._chain
        book = OrderBook()
        places = {row[1:4]: number for number, row in enumerate(self._rows)}
        for row in replay(
            self._evidence.listing,
            source=self._evidence.source,
            markets=[market],
            streams=[stream],
        ):
            if isinstance(row.event, Gap):
                book.apply(row.event)
            elif isinstance(row.event, DepthUpdate):
                book.apply(row.event, conn=row.conn)
                yield places[row.conn, row.seq, row.idx], book

    def _judge_quotes(self) -> int:
        """Judge `bbo`; return how many of its rows are known."""
        market, stream = self._chain
        table = bbo(
            self._evidence.listing,
            source=self._evidence.source,
            market=market,
            stream=stream,
        )
        if table.num_rows != len(self._rows):
            self._complaints.append(
                f"{self._about}: bbo has {table.num_rows} rows for "
                f"{len(self._rows)} messages"
            )
            return 0
        known = 0
        wrong: list[str] = []
        untold: list[str] = []
        for at, quote in enumerate(plain(table)):
            row = self._rows[at]
            if not quote["known"]:
                if not self._is_excused(row):
                    untold.append(_place(row))
                continue
            known += 1
            shown = (
                _best(quote["bid_price"], quote["bid_amount"]),
                _best(quote["ask_price"], quote["ask_amount"]),
            )
            if quote["ts_recv"] != row.ts_recv or shown not in [
                self._expected(n, 1) for n in self._numbers(row.ts_recv, at)
            ]:
                wrong.append(
                    f"{_place(row)} shows {shown}, expected {self._expected(at, 1)}"
                )
        self._complain("quotes of bbo are not the exchange's", wrong, most=1)
        self._complain("quotes of bbo are unknown and lie in no gap", untold)
        return known

    def _judge_instants(self) -> int:
        """Judge `book_at`; return how often it was asked."""
        times = [row.ts_recv for row in self._rows]
        if len(times) < 2:
            return 0
        wrong: list[str] = []
        untold: list[str] = []
        across: list[str] = []
        # What one run did not know without ids, another may have known.
        hiding = [gap for gap in self._gaps if self._has_ids or gap.scope == "rows"]
        asked = self._instants(times)
        for at_ns, number in asked:
            view = self._ask(at_ns)
            if view.known and any(contains(gap, at_ns) for gap in hiding):
                across.append(str(at_ns))
            elif not view.known and not self._is_told(at_ns):
                untold.append(str(at_ns))
            elif view.known and (view.bids, view.asks) not in [
                self._expected(n, self._levels) for n in self._numbers(at_ns, number)
            ]:
                wrong.append(str(at_ns))
        self._complain("books of book_at are not the exchange's", wrong)
        self._complain("instants are unknown to book_at and lie in no gap", untold)
        self._complain("books are shown by book_at inside a gap", across)
        return len(asked)

    def _judge_ids(self) -> None:
        """Judge whether updates are missing between two rows, and no gap says so.

        Those for which a snapshot on the socket stands are not missing.
        """
        ids = [
            (row.values["first_update_id"], row.values["last_update_id"])
            for row in self._rows
        ]
        gaps = [g for g in self._gaps if g.scope == "rows" and not is_taken_over(g)]
        silent: list[str] = []
        top, before = -1, 0
        for row, (first, last) in zip(self._rows, ids, strict=True):
            if last is None or is_rest(row):
                continue
            is_hole = top >= 0 and first is not None and first > top + 1
            if is_hole and not any(
                f is not None and f < first and until > top for f, until in ids
            ):
                is_told = any(
                    gap.after_update_id == top or touches(gap, before, row.ts_recv)
                    for gap in gaps
                )
                if not is_told:
                    silent.append(f"{top + 1} to {first - 1} before {_place(row)}")
            top, before = max(top, last), row.ts_recv
        self._complain("times updates are missing in silence", silent)

    def _numbers(self, at_ns: int, number: int) -> list[int]:
        """Return the rows whose books may be shown at an instant.

        Without ids each connection brings a book of its own, at its own pace.
        """
        if self._has_ids:
            return [number]
        last: dict[str, int] = {}
        since = at_ns - BESIDE_NS
        # Instants that a clock skipped are no time, though a run beside it shows them.
        since -= sum(
            end_of(gap) - gap.started_at
            for gap in self._gaps
            if gap.reason == "clock_step" and touches(gap, since, at_ns)
        )
        for earlier in range(number, -1, -1):
            row = self._rows[earlier]
            if row.ts_recv < since:
                break
            last.setdefault(row.conn, earlier)
        return [number, *last.values()]

    @property
    def _levels(self) -> int:
        """Levels a side that the stream maintains."""
        limits = [row.values["depth_limit"] for row in self._rows]
        return min((limit for limit in limits if limit), default=BEST_LEVELS)

    def _instants(self, times: Sequence[int]) -> list[tuple[int, int]]:
        """Return instants to ask at, each with the number of the row before."""
        chosen = self._rng.sample(range(len(times) - 1), min(SAMPLES, len(times) - 1))
        instants = [times[number] for number in chosen]
        instants += [(times[number] + times[number + 1]) // 2 for number in chosen]
        inside = [
            (gap.started_at + min(end_of(gap), times[-1] + 1)) // 2
            for gap in self._gaps
            if gap.started_at <= times[-1] and end_of(gap) > times[0]
        ]
        instants += self._rng.sample(inside, min(2 * SAMPLES, len(inside)))
        return [(at, _last_before(times, at)) for at in instants if at >= times[0]]

    def _ask(self, at_ns: int) -> BookView:
        market, stream = self._chain
        return book_at(
            self._evidence.listing,
            source=self._evidence.source,
            market=market,
            stream=stream,
            at_ns=at_ns,
            levels=self._levels,
        )

    def _is_excused(self, row: Stored) -> bool:
        """Return whether a book need not be known after a row."""
        return row.values["origin"] in UNAPPLIED or self._is_told(row.ts_recv)

    def _is_told(self, at_ns: int) -> bool:
        """Return whether the ledger says that the book is not known.

        Who was killed could not tell of what it had found wrong just before.
        """
        return self._is_in_gap(at_ns) or any(
            gap.started_at - UNTOLD_NS <= at_ns <= gap.started_at for gap in self._kills
        )

    def _is_in_gap(self, at_ns: int) -> bool:
        return any(contains(gap, at_ns) for gap in self._gaps)

    def _is_left(self, imaged_at: int, at_ns: int) -> bool:
        """Return whether a plain book without ids follows a connection that is lost.

        It follows the one whose snapshot came last, until the next snapshot. Where
        another run showed the book, a gap of no length is left of the loss.
        """
        return not self._has_ids and any(
            imaged_at <= end <= at_ns for end in self._ends
        )

    def _complain(self, what: str, examples: list[str], most: int = 3) -> None:
        if examples:
            self._complaints.append(
                f"{self._about}: {len(examples)} {what}: {said(examples, most)}"
            )


def _expected(
    evidence: Evidence, chain: Chain, rows: Sequence[Stored], alignment: Alignment
) -> Expected:
    """Return what gives the exchange's own book after each row of a chain."""
    ids = [row.values["last_update_id"] for row in rows]
    if all(last is not None for last in ids):
        newest = list(accumulate(ids, max))
        return partial(_by_id, evidence, evidence.key_of(chain), newest)
    sent = _noted(evidence)
    windows = {
        _key(row): sent.get((frame.conn, frame.n)) for row, frame in alignment.given
    }
    return partial(_by_frame, [windows.get(_key(row)) for row in rows])


def _by_id(
    evidence: Evidence, key: str, newest: Sequence[int], at: int, depth: int
) -> Sides | None:
    try:
        bids, asks = evidence.truth.book_at(key, newest[at], depth)
    except KeyError:
        return None
    return _floats(bids, depth), _floats(asks, depth)


def _by_frame(windows: Sequence[V3Depth | None], at: int, depth: int) -> Sides | None:
    window = windows[at]
    if window is None or not window.is_exact:
        return None
    return _floats(window.bids, depth), _floats(window.asks, depth)


def _noted(evidence: Evidence) -> dict[tuple[int, int], V3Depth]:
    """Return what the exchange noted of each frame without ids, by its place."""
    frames: dict[int, list[int]] = {}
    for frame in evidence.truth.frames:
        is_depth = frame.feed == evidence.feed and frame.stream == "depth"
        if is_depth and frame.is_whole:
            frames.setdefault(frame.conn, []).append(frame.n)
    noted: dict[tuple[int, int], V3Depth] = {}
    for window in evidence.truth.v3_depths:
        places = frames.get(window.conn, [])
        if window.n < len(places):
            noted[window.conn, places[window.n]] = window
    return noted


def _floats(texts: Sequence[tuple[str, str]], depth: int) -> Levels:
    pairs: list[Level] = [(float(price), float(amount)) for price, amount in texts]
    return tuple(pairs[:depth])


def _best(price: float | None, amount: float | None) -> Levels:
    return () if price is None or amount is None else ((price, amount),)


def _last_before(times: Sequence[int], at: int) -> int:
    return sum(time <= at for time in times) - 1


def _key(row: Stored) -> tuple[str, int, int]:
    return row.conn, row.seq, row.idx


def _place(row: Stored) -> str:
    return f"the row {row.conn}/{row.seq} received at {row.ts_recv}"
