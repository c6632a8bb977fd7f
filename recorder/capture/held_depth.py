"""Depth messages that wait until another run of the job has ended.

Two connections bring the same book at different times, and each begins in the
midst of what the venue puts into one message. Laid side by side by the time of
their receipt, the messages of two runs would break a book that neither of them
lost. So where ids say what is older, messages of the run that takes over are
stored after those of the other: with a time just after its last, in their order.
A replay goes on from one to the other where their ids meet. Where they do not,
for the venue cuts messages otherwise, the book is asked for anew.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.store.batch import RowTuple
from recorder.store.unlaid import Last


BYTES_MAX: Final = 128 << 20
"""How much memory messages that wait may take, about."""

ROW_BYTES: Final = 600
"""What a message takes beside its levels."""


class HeldDepth:
    """Messages of chains with ids, in the order of their receipt.

    Args:
        bytes_max: How much memory they may take; beyond it all are given back
            as they are, and none is held any more.

    Attributes:
        is_full: Whether that happened.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self.is_full = False
        self._bytes_max = bytes_max
        self._bytes = 0
        self._rows: list[RowTuple] = []

    def __len__(self) -> int:
        return len(self._rows)

    def hold(self, rows: Iterable[RowTuple]) -> list[RowTuple]:
        """Take rows of ``depth``; return those to be stored now."""
        left = []
        for row in rows:
            event = _event(row)
            if event.last_update_id is None or self.is_full:
                left.append(row)
            else:
                self._rows.append(row)
                self._bytes += ROW_BYTES + len(event.bids) + len(event.asks)
        if self._bytes > self._bytes_max:
            self.is_full = True
            left, self._rows = self._rows + left, []
        return left

    def joins(self, chain: Chain, last: Last) -> bool:
        """Return whether what is held goes on exactly where another run ended."""
        if self.is_full:
            return False
        mine = [e for row in self._rows if _chain(e := _event(row)) == chain]
        return any(
            event.last_update_id == last.update_id
            or event.first_update_id == last.update_id + 1
            or (event.is_snapshot and (event.last_update_id or 0) > last.update_id)
            for event in mine
        )

    def release(
        self, ended_at: int, torn: Mapping[Chain, Last] | None = None
    ) -> list[RowTuple]:
        """Give all rows back, with times after the last of the other run.

        Args:
            ended_at: Last instant of that run, nanoseconds.
            torn: Chains that do not go on where it ended, with their last messages
                there. Snapshots that are not newer are marked as some that no
                replay applies: they would show books that were there earlier.
        """
        last_ids = {chain: last.update_id for chain, last in (torn or {}).items()}
        rows, last = [], ended_at
        for row in sorted(self._rows, key=lambda row: row[:4]):
            event = _event(row)
            last_id = last_ids.get(_chain(event), -1)
            if event.is_snapshot and (event.last_update_id or 0) <= last_id:
                event = msgspec.structs.replace(event, origin="audit")
            last = max(row[0], last + 1)
            rows.append((last, *row[1:4], event, *row[5:]))
        self._rows = []
        return rows


def _event(row: RowTuple) -> DepthUpdate[RawLevels]:
    event: DepthUpdate[RawLevels] = row[4]
    return event


def _chain(event: DepthUpdate[RawLevels]) -> Chain:
    return Chain(event.market, event.stream)
