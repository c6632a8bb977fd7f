"""Is every trade of the exchange stored once, or in a gap that says so?"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from recorder.judging.evidence import (
    ENDS,
    FOUND_NS,
    Evidence,
    Stored,
    end_of,
    said,
    touches,
)
from recorder.model import Chain, Gap
from recorder.simulator.engine import Trade


BATCH_NS: Final = 1_000_000_000
"""The older protocol sends trades once a second."""


UNNUMBERED: Final = frozenset({"v3", "futures"})
"""What the truth calls feeds whose trades have no running number: nothing could
reveal that one was not sent."""


_FACTS: Final = (
    *("side", "price", "amount", "ts_event", "market_trade_id"),
    *("is_internal", "stock", "money", "trade_mode"),
)


class TradeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored trades of one market compare.

    Attributes:
        source: Name of the feed.
        chain: The chain.
        expected: Trades of the exchange while it was recorded, and older ones
            that it pushed.
        stored: Those among them that are stored.
        in_gaps: Those that are not, and lie in a gap that says so.
        fetched: Stored trades that were asked for afterwards.
        lost: Ids of those that are missing in silence.
        doubled: Ids that are stored more than once.
        wrong: Ids of stored trades that differ, or never happened.
        complaints: What is wrong, in words.
    """

    source: str
    chain: Chain
    expected: int
    stored: int
    in_gaps: int
    fetched: int = 0
    lost: tuple[int, ...] = ()
    doubled: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    complaints: tuple[str, ...] = ()


def judge_trades(evidence: Evidence, slack_ns: int) -> list[TradeVerdict]:
    """Compare the stored trades of a source with those that happened.

    A trade that is not stored must lie in a gap of rows that was not healed, by
    its running number where the gap names numbers, else by its way to us:
    of each push that carried it, or, if none did, of the one that would have.
    Where trades have no number, nothing is asked of those that were not sent.

    Args:
        evidence: What both sides say.
        slack_ns: How much later than sent a row of this source may have come.
    """
    return [
        _judge(evidence, chain, slack_ns)
        for chain in evidence.chains
        if chain.stream == "trades"
    ]


def _judge(evidence: Evidence, chain: Chain, slack_ns: int) -> TradeVerdict:
    rows = evidence.stored.get(chain, [])
    conns = defaultdict(list)
    for row in rows:
        conns[row.values["trade_id"]].append(row.conn)
    happened = evidence.truth.trades_of(evidence.key_of(chain))
    known = {trade.trade_id: trade for trade in happened}
    wrong = [
        row.values["trade_id"]
        for row in rows
        if row.values["trade_id"] not in known
        or _facts(row) != _true_facts(known[row.values["trade_id"]], row)
    ]
    # A gap that counts as healed misses nothing.
    gaps = [g for g in evidence.gaps_of(chain, "rows") if g.healed_by is None]
    covered = [c for c in evidence.coverage if c.chain == chain]
    began = min((c.started_at for c in covered), default=0)
    ended = max((c.ended_at for c in covered), default=0)
    pushed, unsent = _pushed(evidence, chain), _unsent(evidence, chain)
    unfound = unfound_silence(evidence, chain)
    expected = [
        trade
        for trade in known.values()
        if trade.trade_id in pushed
        or (
            began <= trade.ts_ns < ended
            and trade.trade_id not in unsent
            and not any(start <= trade.ts_ns < end for start, end in unfound)
        )
    ]
    missing = [trade for trade in expected if trade.trade_id not in conns]
    lost = [
        trade.trade_id
        for trade in missing
        if not _is_told(evidence, gaps, trade, pushed.get(trade.trade_id, ()), slack_ns)
    ]
    doubled = [trade_id for trade_id, came in conns.items() if evidence.is_twice(came)]
    about = f"{evidence.source} {chain.market} {chain.stream}"
    complaints = [
        f"{about}: {len(ids)} trades {what}: {said(ids)}"
        for what, ids in (
            ("are lost in silence", lost),
            ("are stored more than once", doubled),
            ("differ from those that happened, or never did", wrong),
        )
        if ids
    ]
    if len(missing) == len(expected):
        complaints.append(f"{about}: no trade is stored")
    return TradeVerdict(
        source=evidence.source,
        chain=chain,
        expected=len(expected),
        stored=len(expected) - len(missing),
        in_gaps=len(missing) - len(lost),
        fetched=sum(row.values["origin"] == "backfill" for row in rows),
        lost=tuple(lost),
        doubled=tuple(doubled),
        wrong=tuple(wrong),
        complaints=tuple(complaints),
    )


def _pushed(evidence: Evidence, chain: Chain) -> Mapping[int, list[int]]:
    """Return when each trade was pushed in a frame that could be read."""
    found: dict[int, list[int]] = {}
    for frames in evidence.sent_to(chain).values():
        for frame in frames:
            for trade_id in frame.trade_ids if frame.is_whole else ():
                found.setdefault(trade_id, []).append(frame.ts_ns)
    return found


def _unsent(evidence: Evidence, chain: Chain) -> frozenset[int]:
    """Return trades of which nobody can know that they were not sent."""
    if evidence.feed not in UNNUMBERED:
        return frozenset()
    return frozenset(
        trade_id
        for fault in evidence.truth.faults_of("drop")
        if (fault.feed, fault.market, fault.stream) == (evidence.feed, *chain)
        for trade_id in fault.trade_ids
    )


def unfound_silence(evidence: Evidence, chain: Chain) -> list[tuple[int, int]]:
    """Return when a chain was accepted, and silent, and its run ended too soon.

    It takes a while to find that nothing comes of what was accepted.
    """
    sent = [
        frame.ts_ns for frames in evidence.sent_to(chain).values() for frame in frames
    ]
    ends = [g.started_at for g in evidence.gaps_of(chain, "rows") if g.reason in ENDS]
    return [
        (fault.ts_ns - BATCH_NS, end)
        for fault in evidence.truth.faults_of("silent_ack")
        if (fault.feed, fault.market, fault.stream) == (evidence.feed, *chain)
        for end in ends
        if fault.ts_ns < end < fault.ts_ns + FOUND_NS
        and not any(fault.ts_ns < at < end for at in sent)
    ]


def _is_told(
    evidence: Evidence,
    gaps: Sequence[Gap],
    trade: Trade,
    pushed: Sequence[int],
    slack_ns: int,
) -> bool:
    """Return whether gaps say that a trade is missing, each time it was pushed."""
    if not pushed:
        late_ns = evidence.read_after(trade.ts_ns + BATCH_NS) - trade.ts_ns
        return any(names(gap, trade, late_ns + slack_ns) for gap in gaps)
    return all(
        any(touches(gap, at, evidence.read_after(at) + slack_ns) for gap in gaps)
        for at in pushed
    )


def names(gap: Gap, trade: Trade, transit_ns: int) -> bool:
    """Return whether a gap says that a trade is missing.

    Args:
        gap: A gap of rows of the trades of its market.
        trade: The trade.
        transit_ns: The longest way of a trade to us, nanoseconds.
    """
    after, before = gap.after_update_id, gap.before_update_id
    if after is not None and before is not None:
        return after < trade.market_trade_id < before
    return gap.started_at <= trade.ts_ns + transit_ns and trade.ts_ns < end_of(gap)


def _facts(row: Stored) -> Sequence[object]:
    return [row.values[name] for name in _FACTS]


def _true_facts(trade: Trade, row: Stored) -> Sequence[object]:
    has_number = row.values["market_trade_id"] is not None
    number = trade.market_trade_id if has_number else None
    price, amount = float(trade.price), float(trade.amount)
    internal = trade.is_internal or None
    # What is pushed beside a trade's number came with it, and history has none of it.
    is_pushed = has_number and row.values["origin"] != "backfill"
    more = (trade.amount, trade.turnover, "0") if is_pushed else (None, None, None)
    return [trade.side, price, amount, trade.ts_ns, number, internal, *more]
