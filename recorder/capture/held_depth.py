"""Depth messages that wait until another run of the job has ended.

Two connections bring the same book at different times, and each begins in the
midst of what the venue puts into one message. Laid side by side by the time of
their receipt, the messages of two runs would break a book that neither of them
lost. So where ids say what is older, messages of the run that takes over are
stored after those of the other: with a time just after its last, in their order.
A replay goes on from one to the other where their ids meet. Where they do not,
for the venue cuts messages otherwise, the book is asked for anew.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
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

    def of_chains(self, ended_at: int) -> dict[Chain, list[RowTuple]]:
        """Return the messages of each chain, as they are to be stored.

        Args:
            ended_at: Last instant of the other run, nanoseconds.
        """
        found: dict[Chain, list[RowTuple]] = defaultdict(list)
        for row in self._shifted(ended_at):
            found[_chain(_event(row))].append(row)
        return found

    def release(
        self,
        ended_at: int,
        lasts: Mapping[Chain, Last] | None = None,
        torn: Container[Chain] = (),
    ) -> list[RowTuple]:
        """Give all rows back, with times after the last of the other run.

        Args:
            ended_at: Last instant of that run, nanoseconds.
            lasts: Last messages of chains in that run. What is not newer is
                marked as rows that no replay applies: they would show books that
                were there earlier.
            torn: Chains of which no row is to be applied.
        """
        last_ids = {chain: last.update_id for chain, last in (lasts or {}).items()}
        rows = []
        for row in self._shifted(ended_at):
            event = _event(row)
            chain = _chain(event)
            is_old = (event.last_update_id or 0) <= last_ids.get(chain, -1)
            if is_old or chain in torn:
                event = msgspec.structs.replace(event, origin="beside")
            rows.append((*row[:4], event, *row[5:]))
        self._rows = []
        return rows

    def _shifted(self, ended_at: int) -> Iterator[RowTuple]:
        last = ended_at
        for row in sorted(self._rows, key=lambda row: row[:4]):
            last = max(row[0], last + 1)
            yield last, *row[1:]


def _event(row: RowTuple) -> DepthUpdate[RawLevels]:
    event: DepthUpdate[RawLevels] = row[4]
    return event


def _chain(event: DepthUpdate[RawLevels]) -> Chain:
    return Chain(event.market, event.stream)
