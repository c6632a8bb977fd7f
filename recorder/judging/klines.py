"""Are klines that were fetched afterwards those of the exchange's trades?"""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from recorder.judging.evidence import Evidence, said
from recorder.model import Chain
from recorder.simulator.candles import INTERVALS
from recorder.simulator.engine import Trade


_SECOND_NS: Final = 1_000_000_000


class KlineVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the fetched klines of one chain compare.

    Attributes:
        source: Name of the feed.
        chain: The chain.
        fetched: Klines that were fetched afterwards.
        healed: Klines that closed within gaps that count as healed.
        complaints: What is wrong, in words.
    """

    source: str
    chain: Chain
    fetched: int
    healed: int
    complaints: tuple[str, ...] = ()


def judge_klines(evidence: Evidence) -> list[KlineVerdict]:
    """Compare the fetched klines of a source with those of its trades.

    Each is stored once and is made of exactly the trades of its interval; and
    where a gap counts as healed, none is missing that closed well within it.
    Klines of other prices than those of trades are not judged.

    Args:
        evidence: What both sides say.
    """
    return [
        _judge(evidence, chain, INTERVALS[interval] * _SECOND_NS)
        for chain in evidence.chains
        for table, _, interval in [chain.stream.partition(":")]
        if table == "klines" and interval in INTERVALS
    ]


def _judge(evidence: Evidence, chain: Chain, step: int) -> KlineVerdict:
    rows = [row.values for row in evidence.stored.get(chain, ())]
    fetched = [row for row in rows if row["origin"] == "backfill"]
    by_interval: dict[int, list[Trade]] = {}
    for trade in evidence.truth.trades_of(evidence.key_of(chain)):
        by_interval.setdefault(trade.ts_ns // step * step, []).append(trade)
    whole = {at: _facts(trades) for at, trades in by_interval.items()}
    wrong = [
        row["open_at"] for row in fetched if _said(row) != whole.get(row["open_at"])
    ]
    counts = Counter(row["open_at"] for row in fetched)
    doubled = [at for at, count in counts.items() if count > 1]
    healed = {
        at
        for gap in evidence.gaps_of(chain, "rows")
        if gap.healed_by == "backfill" and gap.ended_at is not None
        for at in by_interval
        if gap.started_at <= at + step < gap.ended_at
    }
    # Some venues do not say that one is closed: then its last push is like it.
    closed = {
        row["open_at"]
        for row in rows
        if row["is_closed"] or _said(row) == whole.get(row["open_at"])
    }
    about = f"{evidence.source} {chain.market} {chain.stream}"
    complaints = [
        f"{about}: {len(times)} fetched klines {what}: {said(sorted(times))}"
        for what, times in (
            ("are not those of their trades", wrong),
            ("are stored more than once", doubled),
            ("are missing in gaps that count as healed", healed - closed),
        )
        if times
    ]
    return KlineVerdict(
        source=evidence.source,
        chain=chain,
        fetched=len(fetched),
        healed=len(healed),
        complaints=tuple(complaints),
    )


def _said(row: Mapping[str, Any]) -> list[float | None]:
    return [row[name] for name in ("open", "close", "high", "low", "volume")]


def _facts(trades: Sequence[Trade]) -> list[float | None]:
    """Return open, close, high, low and volume of some trades, oldest first."""
    prices = [float(trade.price) for trade in trades]
    volume = float(sum(Decimal(trade.amount) for trade in trades))
    return [prices[0], prices[-1], max(prices), min(prices), volume]
