"""All verdicts about a store, and whether there is anything to complain about."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import msgspec

from recorder.judging.accounts import (
    LEDGER_IS_EXACT,
    AccountVerdict,
    judge_accounts,
)
from recorder.judging.books import BookVerdict, judge_books
from recorder.judging.evidence import TABLES, Evidence, plain
from recorder.judging.klines import KlineVerdict, judge_klines
from recorder.judging.lives import Lives
from recorder.judging.notices import NoticeVerdict, judge_notices, longest_way_ns
from recorder.judging.pushes import PushVerdict, align_all, judge_pushes, slack_of
from recorder.judging.traces import TraceVerdict, judge_traces
from recorder.judging.trades import TradeVerdict, judge_trades
from recorder.model import Chain
from recorder.simulator.truth import Truth
from recorder.store.listing import Listing


NAMED: Final = (*TABLES, "coverage", "connections")
"""Tables in which no two rows have the same place in the same frame."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """All verdicts.

    Attributes:
        books: One for each depth chain.
        pushes: One for each chain that none of the others judges.
        trades: One for each chain of trades.
        klines: One for each chain of klines, about those fetched afterwards.
        notices: One for each chain on which a venue speaks of itself.
        traces: One for each fault that was performed, by source.
        accounts: One for each chain.
        doubles: Complaints about rows with the same place.
    """

    books: tuple[BookVerdict, ...] = ()
    pushes: tuple[PushVerdict, ...] = ()
    trades: tuple[TradeVerdict, ...] = ()
    klines: tuple[KlineVerdict, ...] = ()
    notices: tuple[NoticeVerdict, ...] = ()
    traces: tuple[TraceVerdict, ...] = ()
    accounts: tuple[AccountVerdict, ...] = ()
    doubles: tuple[str, ...] = ()

    @property
    def complaints(self) -> tuple[str, ...]:
        """All that is wrong, in words; empty if the store holds what it promises."""
        markets = (self.books, self.pushes, self.trades, self.klines)
        groups = (*markets, self.notices, self.traces, self.accounts)
        return self.doubles + tuple(
            complaint
            for group in groups
            for verdict in group
            for complaint in verdict.complaints
        )


def judge(
    listing: Listing,
    truth: Truth,
    asked: Mapping[str, Collection[Chain]],
    *,
    options: Collection[str] = (),
    ledger_is_exact: bool = LEDGER_IS_EXACT,
    lives: Lives | None = None,
    seed: int = 1,
) -> Judgement:
    """Compare a store, in which nobody records any more, with the truth.

    Args:
        listing: The store.
        truth: What the exchange knows of itself, each pushed frame included.
        asked: What was to be recorded, by source.
        options: Under which options venues were heard; see `judge_notices`.
        ledger_is_exact: See `judge_accounts`.
        lives: The runs, and what their clocks showed; None if they all showed
            the exchange's time, one after another.
        seed: Decides the instants at which books are asked for.

    Raises:
        ValueError: If the truth has no frames, or nothing was asked for.
        StoreError: If the store's files cannot be read.
    """
    if not any(asked.values()):
        raise ValueError("nothing was to be recorded: there is nothing to judge")
    books: list[BookVerdict] = []
    pushes: list[PushVerdict] = []
    trades: list[TradeVerdict] = []
    klines: list[KlineVerdict] = []
    notices: list[NoticeVerdict] = []
    traces: list[TraceVerdict] = []
    accounts: list[AccountVerdict] = []
    for source, chains in sorted(asked.items()):
        evidence = Evidence(listing, truth, source, chains)
        shown = evidence
        if lives is not None:
            evidence = Evidence(listing, truth, source, chains, lives)
        alignments = align_all(evidence)
        slack_ns = slack_of(evidence, alignments, longest_way_ns(evidence))
        # Readers of a store have no time but what our clock showed.
        books += judge_books(shown, alignments, seed)
        pushes += judge_pushes(evidence, alignments, slack_ns)
        trades += judge_trades(evidence, slack_ns)
        klines += judge_klines(evidence)
        notices += judge_notices(evidence, slack_ns, options)
        traces += judge_traces(evidence, slack_ns)
        accounts += judge_accounts(shown, is_exact=ledger_is_exact)
    return Judgement(
        books=tuple(books),
        pushes=tuple(pushes),
        trades=tuple(trades),
        klines=tuple(klines),
        notices=tuple(notices),
        traces=tuple(traces),
        accounts=tuple(accounts),
        doubles=tuple(_doubles(listing)),
    )


def _doubles(listing: Listing) -> list[str]:
    """Return complaints about rows that have the same place in the same frame."""
    complaints = []
    for table in NAMED:
        rows = plain(listing.read(table, columns=["conn", "seq", "idx"]))
        places = Counter((row["conn"], row["seq"], row["idx"]) for row in rows)
        doubled = [place for place, count in places.items() if count > 1]
        if doubled:
            complaints.append(
                f"{table}: {len(doubled)} places in frames have more than one row"
            )
    return complaints
