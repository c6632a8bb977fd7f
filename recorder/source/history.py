"""What a venue tells afterwards of what was missed: its history, as data.

Generic code decides what to ask for, judges whether the answers leave nothing
out, and stores what is new. A feed says how a page is asked for, and what the
answer says.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, Kline, Trade
from recorder.source.http import HttpRequest
from recorder.source.queries import Query, Value


PastEvent: TypeAlias = Trade[str] | Kline[str]
"""What history is made of."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a page is to hold; a bound that is None is none.

    Attributes:
        limit: How many at most.
        since_id: Rows of this id and above.
        until_id: Rows of this id and below.
        from_ns: Rows at or after this time, the venue's clock, nanoseconds;
            a whole second.
        to_ns: Rows at or before it, likewise.
        skip: So many rows of that range are known: those that the venue
            tells first.
    """

    limit: int
    since_id: int | None = None
    until_id: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    skip: int = 0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A page that is asked for over the WebSocket.

    Attributes:
        query: One of the feed's.
        market: The venue's spelling.
        values: All parameters of the query.
    """

    query: Query
    market: str
    values: Mapping[str, Value]

    @property
    def target(self) -> str:
        """The question as people read it."""
        said = "".join(f" {name}={value}" for name, value in self.values.items())
        return f"{self.query.name} {self.market}{said}"


def _no_body(_chain: Chain, _body: bytes) -> tuple[PastEvent, ...]:
    raise WireError("this history is not told by HTTP")


def _no_end(_chain: Chain) -> int | None:
    return None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """How rows of one table are had afterwards.

    A page leaves out nothing between its first and its last row. Trades have
    an id and a time each; ids increase within a market.

    Attributes:
        table: ``trades`` or ``klines``.
        page_rows: The largest page.
        paging: How the next page is named. ``until_id``: the newest rows up
            to an id. ``since_id``: rows from an id on; of too many the venue
            may tell the first or the last. ``time``: rows of a range of time,
            and how many of them to skip. Klines are paged by time.
        step_ns: Length of a kline's interval, nanoseconds; None if it has
            none that is fixed. Klines begin at multiples of it.
        reach_ns: How far back the venue tells, nanoseconds; None if it does
            not say.
        ask: The request of a page, with the feed's options.
        decode: An answer by HTTP as rows, in the venue's order, with origin
            ``backfill``; raises `WireError`. Answers to questions are decoded
            by their query.
    """

    table: Literal["trades", "klines"]
    page_rows: int
    paging: Literal["until_id", "since_id", "time"] = "time"
    step_ns: Callable[[Chain], int | None] = _no_end
    reach_ns: Callable[[Chain], int | None] = _no_end
    ask: Callable[[Chain, Mapping[str, str], Wanted], HttpRequest | Question]
    decode: Callable[[Chain, bytes], tuple[PastEvent, ...]] = _no_body
