"""Gate spot, WebSocket v3: the venue's older protocol.

A request is ``{"id", "method", "params"}``, its answer has the same id and
nothing else that tells what it answers. A push has a method and no id.

Streams and methods
-------------------

=============  ==========  =========================================
stream         method      a connection carries
=============  ==========  =========================================
trades         trades.*    any number of markets, in one list
tickers        ticker.*    any number of markets, in one list
depth:30       depth.*     any number of markets, of one parameter
depth:30@0.01  depth.*     the same; prices aggregated to 0.01
klines:1m      kline.*     one market of one interval
orders         order.*     our own, of any number of markets
balances       balance.*   our own, of all currencies
=============  ==========  =========================================

A second ``depth.subscribe`` or ``kline.subscribe`` replaces the first, and a
push names neither its limit nor its interval: hence one parameter, and one
kline, for each connection. ``depth:30`` and ``depth:30@0`` are the same.
The documents say of a kline's interval only that it is a whole number of
seconds (their examples use 1800), so those of the newer protocol are offered.

Orders and balances need keys, shown by ``server.sign``. APIv4 keys are shown
to ``wss://ws.gate.io/v4/``, which speaks this same protocol and is not the
venue's newer one. Orders are asked for by market, as all streams are; null,
which means all markets, is not used, for nobody could say of which market
something is missing.

Books
-----

A clean push is the whole book, every other one has absolute amounts for what
changed in the window of so many levels; ``"0"`` removes, also what was only
pushed out of the window. There are no ids, so a lost push cannot be seen;
about once a minute a clean push mends the book.

Source: protocol facts, section 1 (Gate documents of 2020-07-27 and
2026-05-27, recordings of 2021).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from recorder.model import Chain
from recorder.source import (
    NO_SECRETS,
    Dialogue,
    Option,
    Secret,
    Secrets,
    Source,
    StreamKind,
    Witness,
    table_of,
    told_of_maintenance,
)
from recorder.sources._gate import (
    INTERVAL_SECONDS,
    REST_URL,
    SPOT_MARKETS,
    TICKER_TELLS_OF_TRADES,
)
from recorder.sources._gate_v3_account import AccountDialogue
from recorder.sources._gate_v3_history import HISTORY
from recorder.sources._gate_v3_market import MarketDialogue, book_rule
from recorder.sources._gate_v3_parameters import AGGREGATIONS, LIMITS
from recorder.sources._gate_v3_queries import QUERIES


_DEPTH_PARAMETERS: Final = tuple(
    f"{limit}{suffix}"
    for limit in LIMITS
    for suffix in ("", *(f"@{step}" for step in AGGREGATIONS))
)

_CONNECTION_MARKETS: Final = 250
"""Markets of one connection. After a refusal each market is tried alone, up
to three times (trades, tickers, depth), and all of that must be over within
the time that a subscription may stay unanswered."""

_PRIVATE: Final = ("orders", "balances")


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection.

    The first carries trades, tickers, one depth parameter and one kline;
    each further depth parameter and each further kline has its own. Beyond
    so many markets there is a set of connections for each so many of them.
    What needs keys is apart: whatever the venue thinks of them, the markets
    are recorded.
    """
    private = [c for c in dict.fromkeys(chains) if table_of(c.stream) in _PRIVATE]
    markets = [c for c in chains if table_of(c.stream) not in _PRIVATE]
    return [
        *_plan_markets(markets),
        *(
            tuple(private[at : at + _CONNECTION_MARKETS])
            for at in range(0, len(private), _CONNECTION_MARKETS)
        ),
    ]


def _plan_markets(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    groups: list[list[Chain]] = [[]]
    klines: list[Chain] = []
    markets = list(dict.fromkeys(chain.market for chain in chains))
    for at in range(0, len(markets), _CONNECTION_MARKETS):
        part = set(markets[at : at + _CONNECTION_MARKETS])
        shared: list[Chain] = []
        by_depth: dict[str, list[Chain]] = {}
        for chain in dict.fromkeys(chains):
            table = table_of(chain.stream)
            if chain.market not in part:
                continue
            if table == "depth":
                by_depth.setdefault(chain.stream, []).append(chain)
            elif table == "klines":
                klines.append(chain)
            else:
                shared.append(chain)
        depths = list(by_depth.values())
        groups += [[*shared, *(depths[0] if depths else ())], *depths[1:]]
    groups = [group for group in groups if group] or [[]]
    groups[0] += klines[:1]
    groups += [[chain] for chain in klines[1:]]
    return [tuple(group) for group in groups if group]


def dialogue(
    chains: Sequence[Chain],
    options: Mapping[str, str],
    secrets: Secrets = NO_SECRETS,
) -> Dialogue:
    """Return the conversation for the chains of one connection."""
    if chains and table_of(chains[0].stream) in _PRIVATE:
        return AccountDialogue(chains, options, secrets)
    return MarketDialogue(chains, options, secrets)


WITNESSES: Final = (
    TICKER_TELLS_OF_TRADES,
    Witness(
        by="klines",
        of=("trades", "tickers"),
        grown=("volume",),
        within=("open_at",),
        signs=2,
    ),
    # How soon these follow is not documented. A book may be as before once an
    # order has come and been filled between two pushes.
    Witness(by="trades", of=("tickers", "klines", "depth"), signs=10),
)
"""A trade shows in the trades, the ticker and the kline; all come about once
a second."""

SOURCE: Final = Source(
    name="gate_v3",
    verdict=told_of_maintenance,
    doc="Gate spot, WebSocket v3",
    ws_url="wss://ws.gate.io/{keys}/",
    rest_url=REST_URL,
    streams=(
        StreamKind(name="trades", doc="Every trade, and the last 100 at the start."),
        StreamKind(
            name="depth",
            doc="Order book of so many levels a side; @ aggregates prices.",
            parameters=_DEPTH_PARAMETERS,
            default="30",
            aliases=tuple((f"{limit}@0", str(limit)) for limit in LIMITS),
        ),
        StreamKind(
            name="klines",
            doc="Open, high, low, close and volume of an interval.",
            parameters=tuple(INTERVAL_SECONDS),
        ),
        StreamKind(name="tickers", doc="Summary of 24 hours."),
        StreamKind(
            name="orders",
            doc="Our own orders: those open at the start, and what becomes of them.",
            needs=("key", "secret"),
            has_bursts=True,
        ),
        StreamKind(
            name="balances",
            doc="Our own balances, of all currencies.",
            has_markets=False,
            needs=("key", "secret"),
            has_bursts=True,
        ),
    ),
    options=(
        Option(
            name="keys",
            doc="Whether the keys of the account are v3 keys or APIv4 keys.",
            choices=("v3", "v4"),
            default="v3",
        ),
    ),
    secrets=(
        Secret(name="key", env="GATE_API_KEY", doc="Key of our own account."),
        Secret(name="secret", env="GATE_API_SECRET", doc="Its secret."),
    ),
    requests_per_second=40.0,  # 50 are allowed
    connections_max=300,  # documented, for each address
    history_trades=100,
    witnesses=WITNESSES,
    plan=plan,
    dialogue=dialogue,
    book_rule=book_rule,
    market_list=SPOT_MARKETS,
    queries=QUERIES,
    history=HISTORY,
)
