"""Order books of Gate's WebSocket v4, as far as spot and futures have them alike.

A push of ``order_book_update`` folds the changes ``U`` to ``u`` into absolute
amounts, or is the whole book if it says ``full``. Pushes of it, and those of
``order_book``, name their market but neither speed nor number of levels: a
connection can carry one such stream of a channel.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.source import PlainDepth
from recorder.sources._gate import Id, Moment, depth_stream_of, moment_ns, side_of


ABSENT: Final = msgspec.Raw(b"[]")
"""A side that is not there: it is known by being this very object."""


class Depth(
    msgspec.Struct,
    gc=False,
    rename={
        "market": "s",
        "first_update_id": "U",
        "last_update_id": "u",
        "bids": "b",
        "asks": "a",
        "is_full": "full",
    },
):
    """An order book update.

    A side without a change may be left out, or null. The sides stay raw:
    whether they hold levels is judged by the store, which reads them in bulk.
    """

    t: Moment
    market: str
    last_update_id: Id
    bids: msgspec.Raw = ABSENT
    asks: msgspec.Raw = ABSENT
    first_update_id: Id | None = None
    is_full: bool | None = None


class Books(NamedTuple):
    """The books that one connection carries of a kind whose pushes name no stream.

    Attributes:
        stream: The one stream there can be; empty if there is none.
        depth_limit: Its levels a side.
        markets: Its markets, each under its own name.
    """

    stream: str
    depth_limit: int
    markets: Mapping[str, str]

    @classmethod
    def of(cls, chains: Sequence[Chain], levels: Mapping[str, int]) -> "Books":
        """Return the books of some streams, given with their levels.

        Raises:
            ValueError: If the chains hold several of them.
        """
        mine = [chain for chain in chains if parameter_of(chain.stream) in levels]
        stream = depth_stream_of(mine)
        markets = {chain.market: chain.market for chain in mine}
        return cls(stream, levels.get(parameter_of(stream), 0), markets)

    def update(
        self,
        row: Depth,
        market: str,
        is_window: Callable[[msgspec.Raw, msgspec.Raw], bool],
    ) -> DepthUpdate[RawLevels]:
        """Return what a push of changes says.

        Args:
            row: The push.
            market: What it is about, as it was asked for.
            is_window: Whether levels said to be one change, bids and asks,
                must be the whole window.

        Raises:
            WireError: If it lacks a side or an id that it must have.
        """
        first, last = row.first_update_id, row.last_update_id
        is_whole = row.is_full or False
        bids, asks = side_of(row.bids), side_of(row.asks)
        if is_whole and (bids is ABSENT or asks is ABSENT):
            raise WireError("a whole book without one of its sides")
        if first is None:
            if not is_whole:
                raise WireError("an update without its first id, U")
        elif first > last:
            raise WireError(f"update ids run backwards: {first} to {last}")
        elif first == last and not is_whole:
            is_whole = is_window(bids, asks)
        return DepthUpdate(
            market=market,
            stream=self.stream,
            ts_event=moment_ns(row.t),
            is_snapshot=is_whole,
            first_update_id=first,
            last_update_id=last,
            bids=bids,
            asks=asks,
            depth_limit=self.depth_limit,
        )

    def whole(
        self,
        market: str,
        update_id: int,
        bids: msgspec.Raw,
        asks: msgspec.Raw,
        moment: int,
    ) -> DepthUpdate[RawLevels]:
        """Return what a push of the whole top says; id and time 0 are none."""
        return DepthUpdate(
            market=market,
            stream=self.stream,
            ts_event=moment_ns(moment),
            is_snapshot=True,
            first_update_id=None,
            last_update_id=update_id or None,
            bids=side_of(bids),
            asks=side_of(asks),
            depth_limit=self.depth_limit,
        )


def plan(
    chains: Sequence[Chain], kinds: Sequence[Callable[[str], bool]]
) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection: all that it can tell apart.

    Args:
        chains: Any number; what is given twice is taken once.
        kinds: For each kind of streams of which a connection can carry only
            one: whether a canonical stream is of it.
    """
    groups: list[list[Chain]] = [[]]
    found: tuple[dict[str, list[Chain]], ...] = tuple({} for _ in kinds)
    for chain in dict.fromkeys(chains):
        for is_of_kind, streams in zip(kinds, found, strict=True):
            if is_of_kind(chain.stream):
                streams.setdefault(chain.stream, []).append(chain)
                break
        else:
            groups[0].append(chain)
    for streams in found:
        for place, of_one_stream in enumerate(streams.values()):
            if place == len(groups):
                groups.append([])
            groups[place] += of_one_stream
    return [tuple(group) for group in groups if group]


def parameter_of(stream: str) -> str:
    """Return what stands after the colon of a canonical stream."""
    return stream.partition(":")[2]


def plain(channel: str, books: Books) -> PlainDepth | None:
    """Return how pushes of changes look, if they are plain; None if there are none.

    Args:
        channel: The channel that they come over.
        books: Those of a connection.
    """
    if not books.markets:
        return None
    return PlainDepth(
        frame={
            "time": "number",
            "time_ms": "number",
            "channel": f'"{channel}"',
            "event": '"update"',
            "result": "result",
        },
        result={
            "t": "milliseconds",
            "e": "text",
            "E": "number",
            "l": "text",
            "s": "market",
            "U": "first",
            "u": "last",
            "b": "bids",
            "a": "asks",
        },
        chains={
            name: Chain(market, books.stream) for name, market in books.markets.items()
        },
    )
