"""What the ledger of a run says while another keeps the account of their job.

It is not stored: it is laid over the account of the other once that has ended
(`recorder.store.overlay`). No I/O.
"""

from collections import defaultdict
from collections.abc import Iterable

from recorder.model import Chain, Coverage, Gap, LedgerRow


class Kept:
    """What a ledger says of a run that is beside another, and is not stored."""

    def __init__(self) -> None:
        self._coverage: dict[Chain, list[Coverage]] = defaultdict(list)
        self._gaps: dict[str, Gap] = {}

    def see(self, rows: Iterable[object]) -> None:
        """Take rows of the ledger, in their order."""
        for row in rows:
            if isinstance(row, Gap):
                self._gaps[row.gap_id] = row
            elif isinstance(row, Coverage):
                self._coverage[chain_of(row)].append(row)

    def coverage(self, chain: Chain) -> list[Coverage]:
        """Return the intervals of a chain that the ledger does not hold any more."""
        return self._coverage[chain]

    def untold(self, rows: Iterable[LedgerRow]) -> frozenset[str]:
        """Return the gaps that are not to be revised any more, by their ids.

        Args:
            rows: What is stored of all that was kept.
        """
        told = {row.gap_id: row for row in rows if isinstance(row, Gap)}
        return frozenset(
            gap_id
            for gap_id, gap in self._gaps.items()
            if gap_id not in told
            or (gap.ended_at is not None and told[gap_id].started_at != gap.started_at)
        )

    def gaps(self, chain: Chain, scope: str) -> list[Gap]:
        """Return the gaps of a chain, those of the whole job among them, in order."""
        mine = [
            gap
            for gap in self._gaps.values()
            if gap.scope == scope and (gap.stream is None or chain_of(gap) == chain)
        ]
        return sorted(mine, key=lambda gap: gap.started_at)


def chain_of(row: Gap | Coverage) -> Chain:
    """Return the chain that a row of the ledger is about."""
    return Chain(row.market or "", row.stream or "")
