"""Ids of book changes that a fault took out from between rows of a connection."""

from collections.abc import Sequence
from typing import NamedTuple

from recorder.judging.evidence import Stored
from recorder.model import Gap
from recorder.simulator.truth import FaultDone


class Hole(NamedTuple):
    """Ids that are missing, and when a row showed that they are."""

    first: int
    last: int
    shown_at: int

    def is_named_by(self, gap: Gap) -> bool:
        """Return whether a gap says that they are missing."""
        after, before = gap.after_update_id, gap.before_update_id
        return after is not None and after < self.first and self.last < (before or 0)

    def without(self, rows: Sequence[Stored]) -> "list[Hole]":
        """Return what is left of it where rows brought some of its ids.

        A snapshot on the socket comes in place of the change that it ends with.
        """
        holes = [self]
        for row in rows:
            first, last = row.values["first_update_id"], last_id(row)
            if row.values["is_snapshot"]:
                first = last
            if first is not None:
                holes = [
                    Hole(low, high, self.shown_at)
                    for hole in holes
                    for low, high in (
                        (hole.first, min(hole.last, first - 1)),
                        (max(hole.first, last + 1), hole.last),
                    )
                    if low <= high
                ]
        return holes


def hole_of(fault: FaultDone, rows: list[Stored]) -> Hole | None:
    """Return which ids a fault took out from between rows of its connection."""
    first, last = fault.first_update_id, fault.last_update_id
    if first is None or last is None:
        return None
    if fault.name == "unflagged_full":
        return before_image(rows, first)
    ids = [row.values["last_update_id"] for row in rows]
    # A frame that came late shows nothing if no newer one was faster.
    own = ids.index(last) if last in ids else len(ids)
    before = any(i < first for i in ids[:own])
    after = next((row for row in rows[:own] if last_id(row) > last), None)
    if before and after is not None and not _stands_for_all(after):
        return Hole(first, last, after.ts_recv)
    return None


def names_frame(gap: Gap, fault: FaultDone) -> bool:
    """Return whether a gap says by their ids that the updates of a frame are missing."""
    last = fault.last_update_id
    if last is None:
        return False
    return Hole(fault.first_update_id or last, last, 0).is_named_by(gap)


def last_id(row: Stored) -> int:
    """Return the last id of a row, 0 if it has none."""
    return int(row.values["last_update_id"] or 0)


def _stands_for_all(row: Stored) -> bool:
    """Return whether a row is a whole book that says of no change that it is new."""
    return row.values["is_snapshot"] and row.values["first_update_id"] is None


def before_image(rows: list[Stored], first: int) -> Hole | None:
    """Return the ids that an image jumped over: those between it and rows before.

    The row just before it may have come late, after newer ones.
    """
    newest: int | None = None
    for row in rows:
        if row.values["first_update_id"] == row.values["last_update_id"] == first:
            if newest is None or newest + 1 >= first:
                return None
            return Hole(newest + 1, first - 1, row.ts_recv)
        newest = max(newest or 0, last_id(row))
    return None
