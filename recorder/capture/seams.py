"""Where the books of two runs of a job meet: what a replay makes of it.

A run that takes over stores its depth messages after the last one of the other
(`recorder.capture.held_depth`). A replay comes to them with the book of the other
run, or without one. So that the capture knows exactly what a replay knows, both are
compared: the messages are judged here as a replay judges them. Where the two come
to the same, the book goes on. Where they do not, it is asked for anew, and nothing
that was received before is applied (`Seam.is_torn`).

Whether any update is missing between the runs is another question, which the ids
alone decide (`joint`).

No I/O; times are our clock, nanoseconds.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from recorder.capture.books import Books
from recorder.continuity import Continuity
from recorder.model import Chain, DepthUpdate, Gap, LedgerRow, RawLevels
from recorder.replay.book import (
    is_of_nobody,
    is_of_the_clock,
    is_taken_over,
    is_told_by_ids,
)
from recorder.store.account import Span
from recorder.store.batch import RowTuple
from recorder.store.overlay import Joint
from recorder.store.unlaid import Last
from recorder.transitions import IN_BAND, NO_ID, PROVEN


class Seam(NamedTuple):
    """What a replay knows of a book after the messages of both runs.

    Attributes:
        is_torn: Whether that is not what the capture knows.
        unknown: When it does not have the book among messages that are stored
            later than they came, from when until when.
        continuity: What it knows if the messages that waited are not applied.
    """

    is_torn: bool
    unknown: tuple[Span, ...]
    continuity: Continuity


def joint(
    rows: Iterable[RowTuple], last: Last, stored_at: int, *, has_updates: bool
) -> Joint:
    """Return whether the updates of a run go on where another ended.

    Args:
        rows: Messages of the chain that waited, as they are to be stored.
        last: The last message that the other run stored.
        stored_at: Until when they are stored later than they came; of what is
            missing after it, the ledger of their run tells as of all else.
        has_updates: Whether there are any: not where each message is the whole book.
    """
    if not has_updates:
        return Joint()
    spans = [
        (*span, at)
        for at, _, _, _, event, _ in rows
        if (span := _changes(event)) is not None
    ]
    theirs = last.update_id
    holes, top = [], theirs
    for first, until, at in spans:
        if max(first, until) <= top:
            continue  # also one that comes late: the book was lost without it
        if first > top + 1 and (top == theirs or at <= stored_at):
            holes.append((top, first))
        top = max(top, until)
    meets = top > theirs or any(until == theirs for _, until, _ in spans)
    is_torn_off = bool(holes) and holes[0][0] == theirs
    return Joint(is_whole=not is_torn_off if meets else None, holes=tuple(holes))


def _changes(event: DepthUpdate[RawLevels]) -> Span | None:
    """Return the first and last change of an update.

    Of a snapshot on the socket, what comes before does not come on it: none, after
    its own. One that was asked for tells of no update.
    """
    first, until = event.first_update_id, event.last_update_id
    if until is None:
        return None
    if event.is_snapshot:
        return (until + 1, until) if event.origin == "live" else None
    return None if first is None else (first, until)


def seam(
    mine: Continuity,
    last: Last,
    rows: Sequence[RowTuple],
    gaps: Iterable[Gap],
    *,
    was_known: bool,
) -> Seam:
    """Return what a replay knows after the messages of both runs.

    Args:
        mine: What the capture knows of the chain.
        last: The last message that the other run stored.
        rows: The chain's messages that waited, as they are to be stored.
        gaps: What is told of the chain from the other run's end on.
        was_known: Whether a replay has the book of the other run at its end.
    """
    told = [gap for gap in gaps if gap.scope == "rows"]
    marks = [(at, 0, is_doubt) for gap in told for at, is_doubt in _marks(gap)]
    newer = [
        (row[0], 1, row[4])
        for row in rows
        if (row[4].last_update_id or 0) > last.update_id
    ]
    ended_at = min((gap.started_at for gap in told), default=last.at)
    chain = _at_end(last, was_known=was_known)
    lost_at = None if was_known else ended_at
    unknown: list[Span] = []
    for at, _, step in sorted([*marks, *newer], key=itemgetter(0, 1)):
        if isinstance(step, bool):
            _tell(chain, is_doubt=step)
        else:
            _take(chain, step)
        if not chain.is_live:
            lost_at = at if lost_at is None else lost_at
        elif lost_at is not None:
            unknown.append((lost_at, at))
            lost_at = None
    return Seam(not chain.is_as(mine), tuple(unknown), _bare(last, rows, was_known))


def joints(
    books: Books,
    theirs: Mapping[Chain, Last],
    rows: Mapping[Chain, list[RowTuple]],
    stored_at: int,
) -> dict[Chain, Joint]:
    """Return of chains with ids whether updates are missing between two runs.

    Args:
        books: What the capture knows.
        theirs: The last message of each chain that the other run stored.
        rows: Messages that waited, as they are to be stored, by chain.
        stored_at: Until when they are stored later than they came.
    """
    return {
        chain: joint(
            rows.get(chain, ()),
            last,
            stored_at,
            has_updates=books[chain].rule.snapshot != "each",
        )
        for chain, last in theirs.items()
        if chain in books
    }


def seams(
    books: Books,
    theirs: Mapping[Chain, Last],
    rows: Mapping[Chain, list[RowTuple]],
    laid: Iterable[LedgerRow],
    unknown: Container[Chain],
    *,
    is_full: bool = False,
) -> dict[Chain, Seam]:
    """Return what a replay knows of each book after the messages of both runs.

    Args:
        books: What the capture knows.
        theirs: The last message of each chain that the other run stored.
        rows: Messages that waited, as they are to be stored, by chain.
        laid: What the ledger says of both runs.
        unknown: Chains of which a replay has no book where the other run ended.
        is_full: Whether messages were stored without waiting: then all are torn.

    Returns:
        Nothing of chains of which nothing came.
    """
    gaps: dict[Chain, dict[str, Gap]] = defaultdict(dict)
    for row in laid:
        if isinstance(row, Gap):
            gaps[Chain(row.market or "", row.stream or "")][row.gap_id] = row
    found = {}
    for chain, last in theirs.items():
        if chain not in books or books[chain].continuity.received == NO_ID:
            continue
        told = [*gaps[Chain("", "")].values(), *gaps[chain].values()]
        one = seam(
            books[chain].continuity,
            last,
            rows.get(chain, ()),
            [gap for gap in told if (gap.ended_at or gap.started_at) >= last.at],
            was_known=chain not in unknown,
        )
        found[chain] = one._replace(is_torn=one.is_torn or is_full)
    return found


def unknown_at_end(
    gaps: Iterable[Gap], theirs: Mapping[Chain, Last], ended_at: int
) -> set[Chain]:
    """Return the chains of which a replay has no book where the other run ended.

    It waited for a snapshot, or lacked something at its end.

    Args:
        gaps: All of that run.
        theirs: The last message of each chain that it stored.
        ended_at: When it ended, nanoseconds.
    """
    oldest = min((last.at for last in theirs.values()), default=0)
    unknown: set[Chain] = set()
    for gap in gaps:
        if gap.ended_at is None or gap.ended_at > oldest:
            about = Chain(gap.market or "", gap.stream or "")
            named = theirs if gap.stream is None else theirs.keys() & {about}
            unknown.update(
                chain
                for chain in named
                if is_unknown_at_end(gap, theirs[chain], ended_at)
            )
    return unknown


def is_unknown_at_end(gap: Gap, last: Last, ended_at: int) -> bool:
    """Return whether a replay has no book at the end of a run, because of a gap.

    Args:
        gap: A gap of that run, of the chain.
        last: The last message of the chain that it stored.
        ended_at: When it ended, nanoseconds.
    """
    if gap.scope == "book":
        return (gap.ended_at or ended_at) >= ended_at
    is_of_rows = gap.scope == "rows" and gap.reason != "clock_step"
    return is_of_rows and gap.ended_at is not None and gap.ended_at > last.at


def _at_end(last: Last, *, was_known: bool) -> Continuity:
    """Return what a replay knows of a chain at the end of the other run."""
    chain = Continuity()
    if last.is_image:
        chain.snapshot(last.update_id, IN_BAND)
    else:
        chain.went_on(last.update_id)
    if not was_known:
        chain.crossed()
    return chain


def _bare(last: Last, rows: Sequence[RowTuple], was_known: bool) -> Continuity:  # noqa: FBT001 - private
    """Return what a replay knows if none of some messages is applied."""
    newest = max((row[4].last_update_id or 0 for row in rows), default=0)
    if newest > last.update_id:  # a snapshot must not be older than these
        last, was_known = Last(newest, last.at), False
    chain = _at_end(last, was_known=was_known)
    chain.lost()
    return chain


def _marks(gap: Gap) -> list[tuple[int, bool]]:
    """Return when a gap says that messages may be missing; whether ids would tell."""
    if is_of_the_clock(gap) or is_taken_over(gap):
        return []
    if is_told_by_ids(gap):
        ends = (gap.started_at, gap.ended_at) if is_of_nobody(gap) else ()
        return [(end, True) for end in ends if end is not None]
    return [(gap.started_at, False)]


def _tell(chain: Continuity, *, is_doubt: bool) -> None:
    if is_doubt:
        chain.doubted()
    else:
        chain.lost()


def _take(chain: Continuity, event: DepthUpdate[RawLevels]) -> None:
    if event.is_snapshot:
        origin = IN_BAND if event.origin == "live" else PROVEN
        chain.snapshot(event.last_update_id, origin)
    else:
        chain.update(event.first_update_id, event.last_update_id)
