"""Answers to requests for a venue's list of markets: stored, or kept."""

from collections.abc import Sequence

from recorder.capture.rows import Rows
from recorder.errors import WireError
from recorder.model import Market
from recorder.source import HttpRequest


class HttpMarkets:
    """Takes lists of markets.

    Args:
        rows: Takes the markets, and bodies to keep.
        is_archiving: Whether every body is kept.
    """

    def __init__(self, rows: Rows, *, is_archiving: bool) -> None:
        self._rows = rows
        self._is_archiving = is_archiving

    def take(
        self,
        request: HttpRequest,
        ts_recv: int,
        body: bytes,
        markets: Sequence[Market[str]],
    ) -> None:
        """Store a list: a row a market.

        Args:
            request: What was asked.
            ts_recv: Our clock when it was answered, nanoseconds.
            body: The answer.
            markets: What it says.

        Raises:
            WireError: If there are none.
        """
        if not markets:
            raise WireError("it is empty")
        conn, seq = self._rows.rest_frame()
        for idx, market in enumerate(markets):
            self._rows.put(ts_recv, conn, seq, idx, market, body)
        if self._is_archiving:
            self._rows.keep(
                ts_recv, conn, seq, body, "archive", None, "http", request.target
            )

    def keep(self, request: HttpRequest, ts_recv: int, body: bytes, why: str) -> None:
        """Keep an answer that is no list of markets."""
        conn, seq = self._rows.rest_frame()
        self._rows.keep(
            ts_recv, conn, seq, body, "undecodable", why, "http", request.target
        )
