"""Parts of gaps and of time, of which the account of two runs is made. No I/O."""

from collections.abc import Iterable
from typing import Final

import msgspec

from recorder.model import TAKEN_OVER, Gap
from recorder.store.account import Span, ended_gap


FOREVER: Final = (1 << 63) - 1
"""The end of what has not ended."""


def span_of(gap: Gap) -> Span:
    """Return its first instant, and the first one after it."""
    return gap.started_at, FOREVER if gap.ended_at is None else gap.ended_at


def emptied(gap: Gap, *, is_whole: bool) -> Gap:
    """Return a gap of no length, for another run covered it.

    Args:
        gap: The gap.
        is_whole: Whether nothing can be missing where the two meet.
    """
    ended = ended_gap(gap, gap.started_at)
    if not is_whole:
        return ended
    return msgspec.structs.replace(ended, healed_by=TAKEN_OVER)


def naming(gap: Gap, hole: Span) -> Gap:
    """Return a gap that names missing ids."""
    return msgspec.structs.replace(
        gap, after_update_id=hole[0], before_update_id=hole[1]
    )


def of_book(gap: Gap, detail: str) -> Gap:
    """Return a gap of the book in place of one of rows."""
    return msgspec.structs.replace(
        gap,
        scope="book",
        reason="resync",
        detail=detail,
        after_update_id=None,
        before_update_id=None,
        healed_by=None,
    )


def within(spans: Iterable[Span], whole: Span) -> list[Span]:
    """Return the parts of spans that lie in another."""
    clipped = [(max(start, whole[0]), min(end, whole[1])) for start, end in spans]
    return [(start, end) for start, end in clipped if start < end]
