"""Healed rows on their way to the store, among all others of a run."""

from collections.abc import Callable, Container, Iterable
from typing import Final

from recorder.capture.backfill_page import Page
from recorder.capture.complaints import KEPT_EVERY
from recorder.capture.doubles import Doubles
from recorder.capture.pool import MEMORY_BYTES
from recorder.capture.rows import Rows
from recorder.model import Chain, Gap, Trade
from recorder.source import PastEvent
from recorder.telemetry import HistoryUseless, emit


BYTES_MAX: Final = MEMORY_BYTES // 8
"""What rows may take that wait for the disk, before some of ours join them."""


class BackfillRows:
    """Takes rows of the past into the rows of a run.

    Args:
        rows: Those of the run.
        doubles: Told of trades, so that a late push of one is not stored.
        bytes_max: What rows may take that wait for the disk, before some of
            ours join them.
        is_archiving: Whether every answer is kept.
    """

    def __init__(
        self,
        rows: Rows,
        doubles: Doubles,
        *,
        is_archiving: bool,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        self._rows = rows
        self._bytes_max = bytes_max
        self._doubles = doubles
        self._is_archiving = is_archiving
        self._useless = 0

    def on_gap(self, see: Callable[[Gap], None]) -> None:
        """Have every gap told to somebody."""
        self._rows.on_gap = see

    @property
    def is_crowded(self) -> bool:
        """Whether enough rows wait for the disk."""
        return self._rows.bytes_held > self._bytes_max

    def watch(self, markets: Iterable[str]) -> None:
        """Note the trades that are pushed of some markets, and of no others."""
        self._doubles.watch(markets)

    def pushed(self, market: str) -> Container[int]:
        """Return ids of trades pushed of a market since it is watched."""
        return self._doubles.watched(market)

    def frame(self, page: Page) -> tuple[str, int]:
        """Return the name of an answer."""
        conn, seq = self._rows.rest_frame()
        if self._is_archiving:
            self._rows.keep(
                page.ts_recv,
                conn,
                seq,
                page.body,
                "archive",
                None,
                page.opcode,
                page.request,
            )
        return conn, seq

    def put(
        self, page: Page, frame: tuple[str, int], idx: int, event: PastEvent
    ) -> None:
        """Store a row."""
        self._rows.put(page.ts_recv, *frame, idx, event, page.body)
        if isinstance(event, Trade):
            self._doubles.backfilled(event)

    def revise(self, gap: Gap) -> None:
        """Store a revision of a gap."""
        self._rows.revise(gap)

    def useless(
        self, chain: Chain, ts_recv: int, body: bytes, request: str, why: str
    ) -> None:
        """Keep an answer that makes no sense: the first, and one in a hundred."""
        conn, seq = self._rows.rest_frame()
        if self._is_archiving or self._useless % KEPT_EVERY == 0:
            self._rows.keep(
                ts_recv, conn, seq, body, "undecodable", why, "http", request
            )
        self._useless += 1
        emit(HistoryUseless(market=chain.market, request=request, why=why))
