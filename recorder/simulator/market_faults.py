"""The faults of the feeds that carry market data, and of REST calls."""

import msgspec

from recorder.simulator.fault_kinds import (
    BOOK,
    FRAME,
    MARKET,
    TIMING,
    WITH_SECONDS,
    FaultKind,
)


STREAMS = (
    "depth",
    "trades",
    "tickers",
    "klines",
    "bbo",
    "liquidations",
    "contract_stats",
)
V3_STREAMS = ("depth", "trades", "tickers", "klines", "orders", "balances")
SILENT_ACK_RANDOM = 0.02
"""Chance of ``silent_ack`` under ``random``; 0 leaves it out there."""

_V4_KINDS = {
    "drop": FaultKind(
        doc="v4: a pushed frame is not sent",
        keys=FRAME,
        streams=STREAMS,
        random=0.002,
    ),
    "duplicate": FaultKind(
        doc="v4: a pushed frame is sent twice",
        keys=FRAME,
        streams=STREAMS,
        random=0.003,
    ),
    "delay": FaultKind(
        doc="v4: a pushed frame comes SECONDS late, after newer ones",
        keys=(*FRAME, "seconds"),
        seconds=0.3,
        streams=STREAMS,
        random=0.002,
    ),
    "malformed": FaultKind(
        doc="v4: a pushed frame is not valid JSON",
        keys=FRAME,
        streams=STREAMS,
        random=0.001,
    ),
    "unflagged_full": FaultKind(
        doc="v4: a depth frame is the whole window with U = u, ids before it lost",
        keys=MARKET,
        random=0.001,
    ),
    "full": FaultKind(
        doc="v4: a depth frame is the whole window, flagged full",
        keys=BOOK,
        random=0.002,
    ),
    "crossed": FaultKind(
        doc="v4: a depth frame carries one more bid, above the best ask",
        keys=BOOK,
        random=0.001,
    ),
    "drift": FaultKind(
        doc="v4: a depth frame carries one more bid that the exchange does not have",
        keys=BOOK,
    ),
    "stall": FaultKind(
        doc="v4: nothing is sent any more; dropped after SECONDS, 0 is never",
        keys=WITH_SECONDS,
        per_second=True,
        random=0.004,
    ),
    "abort": FaultKind(
        doc="v4: the TCP connection is dropped",
        keys=TIMING,
        per_second=True,
        random=0.01,
    ),
    "upgrade": FaultKind(
        doc="v4: spot.system tells all of an upgrade, closed SECONDS later",
        keys=WITH_SECONDS,
        seconds=5.0,
        per_second=True,
        random=0.01,
    ),
    "slow_ack": FaultKind(
        doc="v4: a request is answered SECONDS late",
        keys=WITH_SECONDS,
        seconds=1.0,
        random=0.05,
    ),
    "silent_ack": FaultKind(
        doc="v4: a subscription is accepted, but nothing comes",
        keys=FRAME,
        streams=STREAMS,
        random=SILENT_ACK_RANDOM,
    ),
    "handshake_502": FaultKind(
        doc="v4: the WebSocket handshake is answered with HTTP 502",
        keys=TIMING,
        random=0.1,
    ),
    "http_429": FaultKind(
        doc="REST: the answer is 429, too many requests",
        keys=MARKET,
        random=0.05,
    ),
    "http_502": FaultKind(
        doc="REST: the answer is 502",
        keys=MARKET,
        random=0.05,
    ),
    "http_garbled": FaultKind(
        doc="REST: the answer is half of one",
        keys=MARKET,
    ),
    "stale_history": FaultKind(
        doc="REST: the trades of the last SECONDS are not told yet",
        keys=(*MARKET, "seconds"),
        seconds=3.0,
    ),
    "stale_snapshot": FaultKind(
        doc="REST: the order book is up to SECONDS old",
        keys=(*MARKET, "seconds"),
        seconds=3.0,
        random=0.2,
    ),
}

MARKET_KINDS: dict[str, FaultKind] = {
    **{
        name: msgspec.structs.replace(kind, keys=(*kind.keys, "feed"))
        for name, kind in _V4_KINDS.items()
    },
    "v3_drop": FaultKind(
        doc="v3: a push is not sent, which v3 cannot reveal",
        keys=FRAME,
        streams=V3_STREAMS,
    ),
    "v3_malformed": FaultKind(
        doc="v3: a push is not valid JSON",
        keys=FRAME,
        streams=V3_STREAMS,
        random=0.002,
    ),
    "v3_omit_clean": FaultKind(
        doc="v3: a periodic re-clean does not come",
        keys=MARKET,
        random=0.1,
    ),
    "v3_error": FaultKind(
        doc="v3: a request is answered with error CODE: 3, 5, 1, 2, 4, 6 or 11",
        keys=(*TIMING, "code"),
        codes=(3, 5, 1, 2, 4, 6, 11),
        random=0.05,
    ),
    "v3_stall": FaultKind(
        doc="v3: nothing is sent any more; dropped after SECONDS, 0 is never",
        keys=WITH_SECONDS,
        per_second=True,
        random=0.004,
    ),
    "v3_abort": FaultKind(
        doc="v3: the TCP connection is dropped",
        keys=TIMING,
        per_second=True,
        random=0.01,
    ),
    "v3_handshake_502": FaultKind(
        doc="v3: the WebSocket handshake is answered with HTTP 502",
        keys=TIMING,
        random=0.1,
    ),
}
"""Every fault by name."""
