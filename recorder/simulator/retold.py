"""What the listing service did, told in the record of the exchange.

The service keeps a record of its own, in its own words. Here each row of it
becomes rows of the exchange's record, which judges and trials read.
"""

from collections import deque
from typing import Final

from recorder.simulator.cryptolisting.kinds import SAID, SPOILS
from recorder.simulator.cryptolisting.truth import (
    Ended,
    Entered,
    Made,
    Pushed,
    Struck,
    TruthRow,
    Turned,
)
from recorder.simulator.cryptolisting.wire import US_NS
from recorder.simulator.truth import (
    FEEDS,
    Accepted,
    Facts,
    FaultDone,
    FrameSent,
    Notice,
    Truth,
)


LISTINGS: Final = FEEDS["cryptolisting"]
STREAM: Final = "status"

_KEPT: Final = 1_000
"""Announcements of which it is remembered what they say, as they may be queued."""


class Retold:
    """Tells what happens to the service, row by row.

    Nothing is told of answers to what a client asks, for nobody has to ask.

    Args:
        truth: The exchange's record.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._news: deque[tuple[str, Facts]] = deque(maxlen=_KEPT)
        self._frames: dict[int, int] = {}
        self._said: set[str] = set()

    def tell(self, row: TruthRow) -> None:
        """Take a row of the service's record."""
        match row:
            case Made():
                self._made(row)
            case Entered():
                self._entered(row)
            case Pushed():
                self._pushed(row)
            case Struck():
                self._truth.add(
                    FaultDone(
                        ts_ns=row.ts_ns,
                        name=row.name,
                        feed=LISTINGS,
                        conn=row.conn,
                        stream=STREAM if row.name in SPOILS else None,
                    )
                )
            case Turned() | Ended():
                pass  # the fault that had it so was told

    def _entered(self, row: Entered) -> None:
        if self._truth.log_frames:
            self._truth.add(
                Accepted(ts_ns=row.ts_ns, feed=LISTINGS, conn=row.conn, port=row.port)
            )
        self._sent(row, "control")

    def _made(self, row: Made) -> None:
        news = row.news
        facts = _facts(
            kind="announcement",
            payload=row.payload,
            state=news.listing_type,
            title=news.title,
            publisher=news.publisher,
            ts_event=news.detected_ns // US_NS * US_NS,
            markets=",".join(news.tickers) or None,
        )
        self._news.append((row.payload, facts))
        self._notice(row.ts_ns, facts, news.publisher)

    def _pushed(self, row: Pushed) -> None:
        facts = self._facts_of(row) if row.is_whole else None
        if facts is not None and row.kind != "announcement":
            content = f"{row.kind} {row.payload}"
            if content not in self._said:
                self._said.add(content)
                self._notice(row.ts_ns, facts)
        self._sent(row, STREAM, () if facts is None else (facts,))

    def _facts_of(self, row: Pushed) -> Facts | None:
        """Return what the row of a message says; None if it is to have none."""
        if row.kind == "welcome":
            return _facts(kind="welcome", payload=row.payload)
        if row.kind in SAID:
            return _facts(kind="notice", payload=row.payload, state=row.kind)
        for payload, facts in reversed(self._news):
            if payload == row.payload:
                return facts
        return None

    def _sent(
        self, row: Entered | Pushed, stream: str, facts: tuple[Facts, ...] = ()
    ) -> None:
        if not self._truth.log_frames:
            return
        number = self._frames.get(row.conn, 0)
        self._frames[row.conn] = number + 1
        self._truth.add(
            FrameSent(
                ts_ns=row.ts_ns,
                feed=LISTINGS,
                conn=row.conn,
                n=number,
                stream=stream,
                is_whole=row.is_whole if isinstance(row, Pushed) else True,
                facts=facts,
            )
        )

    def _notice(self, ts_ns: int, facts: Facts, option: str = "") -> None:
        self._truth.add(
            Notice(
                ts_ns=ts_ns, feed=LISTINGS, stream=STREAM, option=option, facts=facts
            )
        )


def _facts(
    *,
    kind: str,
    payload: str,
    state: str | None = None,
    title: str | None = None,
    publisher: str | None = None,
    ts_event: int | None = None,
    markets: str | None = None,
) -> Facts:
    return {
        "kind": kind,
        "state": state,
        "title": title,
        "url": None,
        "publisher": publisher,
        "starts_at": None,
        "ends_at": None,
        "ts_event": ts_event,
        "markets": markets,
        "payload": payload,
    }
