"""What Gate's v3 was asked over a connection, and what its answers mean.

Subscribing replaces: whatever is to be changed about a list, the whole list
is asked for again. A list is refused as a whole for one bad market. Asking
for a part of it would end what is running, so after a refusal each market is
tried with the matching query, which disturbs nothing, and then those that
were answered are subscribed.

Of all balances the documents say that null asks for them, and that the list
of currencies is an array; their own example of a query has an empty one. So
the empty list is asked for first, and null if that is refused. Should the
venue accept an empty list and mean no currency by it (viabtc_exchange_server,
a public server with the same methods, does), its pushes never come, and
balances are known as of each time they are asked for.

Trouble of the server itself (codes 2, 3, 5) is no refusal: the same is asked
again, with growing pauses, a few times.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from recorder.model import Chain
from recorder.source import (
    Refused,
    Reply,
    Request,
    Send,
    Subscribed,
    Unrecognized,
    table_of,
)
from recorder.sources._gate import (
    INTERVAL_SECONDS,
    Status,
)
from recorder.sources._gate_v3_wire import Frame, Numbers
from recorder.sources._json import (
    decoded,
)
from recorder.sources._later import (
    TRIES,
    Later,
    wait_ns,
)


_API: Final = {
    "trades": "trades",
    "tickers": "ticker",
    "klines": "kline",
    "depth": "depth",
    "orders": "order",
    "balances": "balance",
}
_METHOD_NOT_FOUND: Final = 4
TROUBLE: Final = (2, 3, 5)
"""Codes of the server's own trouble: internal error, unavailable, timeout."""

_TICKER_SECONDS: Final = 86_400
_STATUS: Final = msgspec.json.Decoder(Status)


class _Trial:
    """Markets of a refused list, each being tried alone."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self.chains = tuple(chains)
        self.left = len(self.chains)
        self.good: set[Chain] = set()


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request; ``trial`` is set if it is a query that tries one market."""

    chains: tuple[Chain, ...]
    trial: _Trial | None = None
    is_tried: bool = False
    tries: int = 1


class Requests:
    """The requests of one connection.

    Args:
        chains: What the connection is to carry.
        numbers: Numbers all requests of the connection.

    Attributes:
        later: What is to be asked again.
    """

    __slots__ = ("_lists", "_numbers", "_open", "later")

    def __init__(self, chains: Sequence[Chain], numbers: Numbers) -> None:
        self._lists: dict[str, list[Chain]] = {}
        for chain in dict.fromkeys(chains):
            self._lists.setdefault(table_of(chain.stream), []).append(chain)
        self._numbers = numbers
        self._open: dict[int, _Asked] = {}
        self.later: Later[_Asked] = Later()

    def subscribe_all(self, tables: Collection[str] | None = None) -> list[Request]:
        """Return one request for each list, but for what was refused.

        Args:
            tables: Whose lists; None for all.
        """
        return [
            self._subscribe(_Asked(chains=tuple(listed)))
            for table, listed in self._lists.items()
            if listed and (tables is None or table in tables)
        ]

    def answer(self, frame: Frame, now_ns: int) -> list[Reply]:
        """Return what an answer means for what was asked.

        Raises:
            WireError: If its result does not fit.
        """
        words = words_of(frame)
        asked = None if frame.id is None else self._open.pop(frame.id, None)
        if asked is None:
            return [Unrecognized(error=f"answers nothing that was asked: {words}")]
        code = frame.error.code if frame.error else None
        if code in TROUBLE and asked.tries < TRIES:
            again = msgspec.structs.replace(asked, tries=asked.tries + 1)
            self.later.put(again, now_ns + wait_ns(asked.tries))
            return []
        if asked.trial is not None:
            is_good = frame.error is None
            return self._tried(asked, asked.trial, words, is_good=is_good)
        if frame.error is None:
            status = decoded(_STATUS, frame.result).status
            if status == "success":
                return [Subscribed(chains=asked.chains)]
            words = f"status {status!r}"
        return self._refused(asked, code, words)

    def due(self, now_ns: int) -> list[Request]:
        """Return what is to be asked again by now."""
        return [
            self._query(asked) if asked.trial else self._subscribe(asked)
            for asked in self.later.take(now_ns)
        ]

    def _refused(self, asked: _Asked, code: int | None, words: str) -> list[Reply]:
        # Another form would tell nothing more: the answer is not about what
        # was asked for, or that was tried before.
        if asked.is_tried or code in TROUBLE or code == _METHOD_NOT_FOUND:
            return [self._refuse(asked, words)]
        if table_of(asked.chains[0].stream) == "balances":
            again = msgspec.structs.replace(asked, is_tried=True)
            return [Send(requests=(self._subscribe(again),))]
        if len(asked.chains) == 1:
            return [self._refuse(asked, words)]
        trial = _Trial(asked.chains)
        queries = (
            self._query(_Asked(chains=(chain,), trial=trial)) for chain in trial.chains
        )
        return [Send(requests=tuple(queries))]

    def _tried(
        self, asked: _Asked, trial: _Trial, words: str, *, is_good: bool
    ) -> list[Reply]:
        replies: list[Reply] = []
        trial.left -= 1
        if is_good:
            trial.good.update(asked.chains)
        else:
            replies.append(self._refuse(asked, words))
        if trial.left == 0 and trial.good:
            good = tuple(chain for chain in trial.chains if chain in trial.good)
            request = self._subscribe(_Asked(chains=good, is_tried=True))
            replies.append(Send(requests=(request,)))
        return replies

    def _refuse(self, asked: _Asked, words: str) -> Refused:
        # What was refused must not spoil the list when it is asked again.
        listed = self._lists[table_of(asked.chains[0].stream)]
        listed[:] = [chain for chain in listed if chain not in asked.chains]
        reason = words if asked.tries == 1 else f"{words} (asked {asked.tries} times)"
        return Refused(chains=asked.chains, reason=reason)

    def _subscribe(self, asked: _Asked) -> Request:
        table = table_of(asked.chains[0].stream)
        params: list[object] | None
        if table == "balances":
            params = None if asked.is_tried else []
        elif table == "klines":
            params = [asked.chains[0].market, _kline_seconds(asked.chains[0])]
        elif table == "depth":
            params = [[chain.market, *depth_parts(chain)] for chain in asked.chains]
        else:
            params = [chain.market for chain in asked.chains]
        return self._request(f"{_API[table]}.subscribe", params, asked)

    def _query(self, asked: _Asked) -> Request:
        chain = asked.chains[0]
        table = table_of(chain.stream)
        params: list[object]
        if table == "depth":
            params = [chain.market, *depth_parts(chain)]
        elif table == "trades":
            params = [chain.market, 1, 0]
        elif table == "orders":
            params = [chain.market, 0, 1]
        else:
            params = [chain.market, _TICKER_SECONDS]
        return self._request(f"{_API[table]}.query", params, asked)

    def _request(
        self, method: str, params: list[object] | None, asked: _Asked
    ) -> Request:
        number, payload = self._numbers.frame(method, params)
        self._open[number] = asked
        return Request(payload=payload, chains=asked.chains)


def words_of(frame: Frame) -> str:
    """Return what an answer says went wrong."""
    return frame.error.words() if frame.error else "no error"


def depth_parts(chain: Chain) -> tuple[int, str]:
    """Return limit and price aggregation of a depth chain, ``"0"`` for none."""
    limit, _, aggregation = chain.stream.partition(":")[2].partition("@")
    return int(limit), aggregation or "0"


def _kline_seconds(chain: Chain) -> int:
    return INTERVAL_SECONDS[chain.stream.partition(":")[2]]
