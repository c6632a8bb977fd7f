"""What Gate's v3 tells afterwards, over the WebSocket: trades and klines.

``trades.query`` takes the least id that is wanted, and no other bound: of
more trades than its limit the newest are told, as far as is known, so that
older ones cannot be had. The documents state no largest limit and no reach.
"""

from collections.abc import Mapping
from typing import Final

from recorder.model import Chain
from recorder.source import History, Question, Wanted
from recorder.sources._gate_history import step_of
from recorder.sources._gate_v3_queries import QUERIES


TRADES_MAX: Final = 1_000
POINTS_MAX: Final = 1_000

_QUERIES: Final = {query.name: query for query in QUERIES}


def _ask_trades(chain: Chain, _options: Mapping[str, str], wanted: Wanted) -> Question:
    return Question(
        query=_QUERIES["trades"],
        market=chain.market,
        values={"limit": wanted.limit, "last-id": wanted.since_id or 0},
    )


def _interval(chain: Chain) -> str:
    return chain.stream.partition(":")[2]


def _ask_klines(chain: Chain, _options: Mapping[str, str], wanted: Wanted) -> Question:
    return Question(
        query=_QUERIES["kline"],
        market=chain.market,
        values={
            "interval": _interval(chain),
            "from": wanted.from_ns or 0,
            # The query leaves its end out.
            "to": (wanted.to_ns or 0) + 1,
        },
    )


HISTORY: Final = (
    History(
        table="trades",
        page_rows=TRADES_MAX,
        paging="since_id",
        ask=_ask_trades,
    ),
    History(
        table="klines",
        page_rows=POINTS_MAX,
        step_ns=lambda chain: step_of(_interval(chain)),
        ask=_ask_klines,
    ),
)
