"""Two runs of one job at the same time: the account of both.

A run that takes over records beside the one before it for a while. That one
keeps the account of the job until it ends, and what the ledger of the new one
says meanwhile is kept in memory (`Kept`). When the old run is over, its account
is on the disk, complete up to the open gap with which it ended, and the new
one's is laid over it:

* What the new run covered is cut out of the gaps of the old one. A gap of
  which nothing is left stays as a row of no length, with `TAKEN_OVER` in
  ``healed_by`` if nothing can be missing where the two meet.
* From where the old run ended, each chain is as the new run knows it. If it
  was covered there, nothing is missing.
* All else that the new run said of the time before is dropped: the old run
  has told it, row by row, and nothing is told twice.

So each instant is covered or missing, and not both, as in one run's account.

Times are our clock, nanoseconds since 1970 UTC; intervals are half-open. This
module does no I/O.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from recorder.model import TAKEN_OVER, Chain, Gap, LedgerRow
from recorder.store.account import (
    Account,
    Held,
    Span,
    ended_gap,
    merged,
    outside,
)
from recorder.store.kept import Kept, chain_of
from recorder.store.ledger import Ledger
from recorder.store.pieces import FOREVER, emptied, naming, of_book, span_of, within
from recorder.store.runfile import RunState


BEHIND: Final = "missed while the run before was behind"
LATER: Final = "its messages of this time are stored after the end of another run"


class Joint(NamedTuple):
    """Whether updates are missing between two runs.

    Attributes:
        is_whole: Whether none is; None if ids do not tell.
        holes: Last id before and first id after those that are missing from where
            the old run ended: also those that we missed while it was behind.
    """

    is_whole: bool | None = None
    holes: tuple[Span, ...] = ()


class _Piece(NamedTuple):
    """A part of one of our gaps."""

    start: int
    end: int
    gap: Gap


class Overlay:
    """Lays the account of a run over that of the one before it.

    Args:
        job: Name of the job of both.
        run: Id of the run that goes on.
        ledger: Its ledger; its accounts become those of the job.
        kept: What it said until now, all of it.
        gaps: The newest revisions of all gaps of the job on the disk.
        began_at: When the run that goes on began, nanoseconds.
        alike_from: From when on the clocks of both showed the same. What the run
            that goes on covered before that is not believed, for nobody knows
            which of the other's instants those are.
        settle_ns: How long it must have covered a chain before the other was
            cut off for nothing to be missing: the other's connection may have
            been behind, and what was sent before ours came over it alone. If it
            is less, the gap has no length, but is not healed.
        joints: For chains with ids, whether updates are missing between the runs,
            however short the time was that both recorded.
    """

    def __init__(
        self,
        job: str,
        run: str,
        ledger: Ledger,
        kept: Kept,
        gaps: Iterable[Gap],
        *,
        began_at: int,
        settle_ns: int,
        alike_from: int = 0,
        joints: Mapping[Chain, Joint] | None = None,
    ) -> None:
        self._job = job
        self._run = run
        self._ledger = ledger
        self._accounts = ledger.opened()
        self._kept = kept
        self._began_at = began_at
        self._alike_from = alike_from
        self._settle_ns = settle_ns
        self._joints = joints or {}
        self._seams: dict[Chain, Gap] = {}
        self._gaps_total = 0
        self._rows: list[LedgerRow] = []
        alike = alike_from, FOREVER
        self._spans = {c: within(self._covered(c), alike) for c in self._accounts}
        self._taken: dict[Chain, list[Span]] = defaultdict(list)
        self._shared: list[Gap] = []
        self._theirs: dict[Chain, list[Gap]] = defaultdict(list)
        self._their_books: dict[Chain, list[Gap]] = defaultdict(list)
        # The gap with which the old run ended comes last.
        for gap in sorted(gaps, key=lambda g: (g.ended_at is None, g.started_at)):
            if gap.scope != "rows":
                self._their_books[chain_of(gap)].append(gap)
            elif gap.stream is None:
                self._shared.append(gap)
            else:
                self._theirs[chain_of(gap)].append(gap)
        self._recorded = {
            chain for chain, found in self._theirs.items() if found[-1].ended_at is None
        }

    def state(self) -> RunState:
        """Return what is open when the old run is over: to be put down first.

        Should this run be killed before anything else is durable, the gap with
        which the old one ended is open still.
        """
        gaps: list[Gap] = []
        for chain, account in self._accounts.items():
            theirs = [*self._theirs[chain], *self._their_books[chain]]
            still_open = [gap for gap in theirs if gap.ended_at is None]
            gaps += still_open
            if not any(gap.scope == "rows" for gap in still_open):
                # The job did not record it until now.
                first = self._kept.gaps(chain, "rows")[:1]
                own = account.rows_gap or ended_gap(first[0], FOREVER)
                gaps.append(msgspec.structs.replace(own, ended_at=None))
        return RunState(gaps=tuple(gaps), is_laid=False)

    def lay(self, at: int) -> list[LedgerRow]:
        """Make the accounts those of the job; return the rows that say so.

        Args:
            at: Now, our clock, nanoseconds.
        """
        if not self._recorded <= self._accounts.keys():
            self._ledger.had_others(at)
        for gap in self._shared:
            self._cut_shared(gap)
        for chain, account in self._accounts.items():
            if chain in self._recorded:
                self._join(chain, account, self._theirs[chain])
            else:
                self._rows += self._kept.coverage(chain)
                pieces = self._pieces(chain, 0)
                self._rows += [self._clipped(piece, chain) for piece in pieces]
                self._rows += self._kept.gaps(chain, "book")
        for chain, theirs in [*self._theirs.items(), *self._their_books.items()]:
            if chain not in self._accounts:
                self._rows += [
                    ended_gap(gap, at, detail="no longer recorded by this job")
                    for gap in theirs
                    if gap.ended_at is None
                ]
        return self._rows

    def reopened(self, chains: Iterable[Chain], ended_at: int) -> list[LedgerRow]:
        """Return what there is to say of books that a replay must lose where we begin.

        Args:
            chains: Whose they are.
            ended_at: Last instant of the old run: after its account had ended if it
                was killed and had stored more by then.
        """
        rows: list[LedgerRow] = []
        for chain in chains:
            seam = self._seams.get(chain)
            if seam is None:
                continue
            gap = msgspec.structs.replace(seam, healed_by=None)
            if seam.healed_by is not None:
                rows.append(gap)
            if span_of(seam)[1] < ended_at:
                rows.append(self._part(gap, chain, ended_at + 1, ended_at + 1))
        return rows

    def unvouched(self, lasts: Mapping[Chain, int]) -> list[LedgerRow]:
        """Return where rows of the old run come after its account had ended.

        It was killed and had stored them by then; what it lost among them nobody
        told, and whether its book was known.

        Args:
            lasts: When it received the last message of books with ids.
        """
        rows: list[LedgerRow] = []
        for chain, last_at in lasts.items():
            seam = self._seams.get(chain)
            if seam is not None and (until := span_of(seam)[1]) <= last_at:
                lost = of_book(seam, "stored by a run that was killed then")
                rows.append(self._part(lost, chain, until, last_at + 1))
        return rows

    def hidden(self, chain: Chain, spans: Iterable[Span]) -> list[LedgerRow]:
        """Return what there is to say of a book that a replay does not have.

        Args:
            chain: Whose it is.
            spans: From when until when.
        """
        seam = self._seams.get(chain)
        if seam is None:
            return []
        lost = of_book(seam, "it is known again at the next row that tells of it")
        return [self._part(lost, chain, *span) for span in spans]

    def _covered(self, chain: Chain) -> list[Span]:
        """Return what we covered of a chain; the last may not have ended."""
        account = self._accounts[chain]
        spans = [(row.started_at, row.ended_at) for row in self._kept.coverage(chain)]
        spans += [(held.started_at, held.ended_at) for held in account.held]
        if account.since is not None:
            spans.append((account.since, FOREVER))
        return merged(spans)

    def _cut_shared(self, gap: Gap) -> None:
        """Cut a gap of the whole job: what is left is a gap for each chain.

        Also if nothing is cut, but the job had chains by then that the old run did
        not record: the gap is none of theirs.
        """
        span = span_of(gap)
        both = self._recorded & self._accounts.keys()
        taken = {chain: within(self._spans[chain], span) for chain in both}
        is_cut = any(taken.values())
        has_others = len(both) < len(self._accounts) and span[1] > self._began_at
        if not is_cut and not has_others:
            return
        is_whole = is_cut and all(self._is_settled(c, gap.started_at) for c in both)
        self._rows.append(emptied(gap, is_whole=is_whole))
        for chain in sorted(self._recorded):
            cut = taken.get(chain, [])
            self._taken[chain] += cut
            self._rows += self._hidden(gap, chain, cut) if chain in self._joints else []
            left = outside(span, cut)
            self._rows += [self._part(gap, chain, *piece) for piece in left]

    def _join(self, chain: Chain, account: Account, theirs: Sequence[Gap]) -> None:
        """Go on with a chain from where the old run ended."""
        spans = self._spans[chain]
        for gap, later in pairwise(theirs):
            if gap.ended_at is None:  # another has taken over from it
                self._rows.append(ended_gap(gap, later.started_at))
                continue
            left = outside(span_of(gap), spans)
            if taken := within(spans, span_of(gap)):
                self._taken[chain] += taken
                self._cut(gap, chain, left)
                self._rows += self._hidden(gap, chain, taken)
            self._name(chain, left)
        if chain not in self._joints:
            self._show(chain, spans)
        last = theirs[-1]
        start = last.started_at
        after = within(spans, (start, FOREVER))
        pieces = self._pieces(chain, max(start, self._alike_from))
        until = self._head(start, pieces)
        own, account.rows_gap = account.rows_gap, last
        if until < FOREVER:
            account.rows_gap = None
            self._seams[chain] = self._seam(chain, last, until)
            self._rows.append(self._seams[chain])
        self._mark(chain, until)
        emitted = set()
        for piece in pieces:
            if piece.end <= until and piece.start < until:
                continue
            mine = self._clipped(piece, chain)
            emitted.add(mine.gap_id)
            self._rows.append(mine)
            if mine.ended_at is None and own is not None:
                account.rows_gap = msgspec.structs.replace(
                    own, started_at=mine.started_at
                )
        closed = account.closed_gap
        if closed is not None and closed.gap_id not in emitted:
            account.closed_gap = None
        is_open = bool(after) and after[-1][1] == FOREVER
        account.since = after.pop()[0] if is_open else None
        held = [Held(*span, TAKEN_OVER) for span in merged(self._taken[chain])]
        account.held = held + [Held(*span, "gap") for span in after]
        self._join_book(chain, account, start)

    def _mark(self, chain: Chain, until: int) -> None:
        """Say where we lost rows of a book without ids, up to where we are believed.

        The time is covered or in a gap of the old run, so these have no length; and
        neither says anything of our connections, on which the book goes on else.
        """
        if chain not in self._joints and self._kept.gaps(chain, "book"):
            self._rows += [
                self._part(piece.gap, chain, piece.start, piece.start)
                for piece in self._pieces(chain, 0)
                if piece.start < until and piece.gap.reason != "not_started"
            ]

    def _seam(self, chain: Chain, last: Gap, until: int) -> Gap:
        """Return the gap with which the old run ended, as it is now.

        It names the ids that are missing there; what else is missing gets gaps of no
        length, for the time is covered.
        """
        start, joint = last.started_at, self._joints.get(chain, Joint())
        holes = list(joint.holes)
        if joint.is_whole is False:
            last = naming(last, holes.pop(0))
        for hole in holes:
            missed = msgspec.structs.replace(last, reason="sequence_gap", detail=BEHIND)
            self._rows.append(self._part(naming(missed, hole), chain, start, start))
        if until > start:
            return ended_gap(last, until)
        is_whole = joint.is_whole
        if is_whole is None:
            is_whole = self._is_settled(chain, start)
        return emptied(last, is_whole=is_whole)

    def _join_book(self, chain: Chain, account: Account, start: int) -> None:
        known_at = start
        for gap in self._kept.gaps(chain, "book"):
            if gap.ended_at is not None and gap.ended_at <= start:
                continue
            mine = msgspec.structs.replace(gap, started_at=max(gap.started_at, start))
            self._rows.append(mine)
            if mine.ended_at is None:
                account.book_gap = mine
            known_at = mine.ended_at or mine.started_at
        self._rows += [
            ended_gap(gap, known_at)
            for gap in self._their_books[chain]
            if gap.ended_at is None
        ]

    def _pieces(self, chain: Chain, start: int) -> list[_Piece]:
        """Return our gaps of a chain from an instant on, in order."""
        return [
            _Piece(max(gap.started_at, start), end, gap)
            for gap in self._kept.gaps(chain, "rows")
            for end in [span_of(gap)[1]]
            if end > start or gap.started_at == end == start
        ]

    def _head(self, start: int, pieces: Iterable[_Piece]) -> int:
        """Return until when the old run's last gap goes on: until we can be believed.

        That we had not begun yet is no reason of its own.
        """
        until = max(start, self._began_at, self._alike_from)
        for piece in pieces:
            if piece.gap.reason == "not_started" and piece.start <= until:
                return piece.end
        return until

    def _is_settled(self, chain: Chain, at: int) -> bool:
        """Return whether a chain had been covered for a while at an instant."""
        return any(
            start + self._settle_ns <= at < end for start, end in self._spans[chain]
        )

    def _cut(self, gap: Gap, chain: Chain, left: Sequence[Span]) -> None:
        """Write what is left of a gap of one chain."""
        if left and left[0][0] == gap.started_at:
            self._rows.append(ended_gap(gap, left[0][1]))
            left = left[1:]
        else:
            is_whole = self._is_settled(chain, gap.started_at)
            self._rows.append(emptied(gap, is_whole=is_whole))
        self._rows += [self._part(gap, chain, *piece) for piece in left]

    def _show(self, chain: Chain, spans: Iterable[Span]) -> None:
        """Cut what we knew of a book without ids out of where the old run did not."""
        mine = [span_of(gap) for gap in self._kept.gaps(chain, "book")]
        known = [piece for span in spans for piece in outside(span, mine)]
        for gap in self._their_books[chain]:
            if gap.ended_at is not None and within(known, span_of(gap)):
                self._cut(gap, chain, outside(span_of(gap), known))

    def _hidden(self, gap: Gap, chain: Chain, taken: Iterable[Span]) -> list[Gap]:
        """Return where the book is not known though its rows are here.

        With ids, what we received in a gap of the old run is stored after its end.
        Without, its book is known there as far as ours was.
        """
        if chain in self._joints:
            lost = of_book(gap, LATER)
            return [self._part(lost, chain, *piece) for piece in taken]
        return [
            self._part(book, chain, *piece)
            for book in self._kept.gaps(chain, "book")
            for piece in within(taken, span_of(book))
        ]

    def _name(self, chain: Chain, left: Sequence[Span]) -> None:
        """Say which of our ids are missing where the old run lacked rows as well.

        The time is in its gap already, so these have no length; and ids tell
        whether a book has lost anything, whatever had befallen us.
        """
        for gap in self._kept.gaps(chain, "rows"):
            both = within(left, span_of(gap))
            if both and None not in (gap.after_update_id, gap.before_update_id):
                at = both[0][0]
                named = msgspec.structs.replace(gap, reason="sequence_gap")
                self._rows.append(self._part(named, chain, at, at))

    def _clipped(self, piece: _Piece, chain: Chain) -> Gap:
        if piece.gap.stream is None:
            return self._part(piece.gap, chain, piece.start, piece.end)
        return msgspec.structs.replace(piece.gap, started_at=piece.start)

    def _part(self, gap: Gap, chain: Chain, start: int, end: int) -> Gap:
        """Return a part of a gap, as a gap of its own of one chain."""
        self._gaps_total += 1
        return msgspec.structs.replace(
            gap,
            gap_id=f"{self._run}.over.{self._gaps_total}",
            market=chain.market or None,
            stream=chain.stream,
            started_at=start,
            ended_at=None if end == FOREVER else end,
        )
