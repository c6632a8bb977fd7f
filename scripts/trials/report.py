"""What the trials share: what is recorded, and how verdicts are told."""

from collections import Counter
from pathlib import Path

from recorder.config import CaptureConfig
from recorder.counts import counted
from recorder.judging import Judgement
from recorder.judging.evidence import plain
from recorder.simulator.cryptolisting.settings import settings_of
from recorder.simulator.okx import OkxSettings
from recorder.simulator.server import Exchange
from recorder.store.listing import Listing
from recorder.verify import verify


MARKETS = ("BTC_USDT", "ETH_USDT", "GT_USDT", "SOL_USDT")
STREAMS = {
    "gate_spot": (
        *("trades", "bbo", "tickers", "klines:1m", "depth:100ms", "depth:20ms"),
        *("depth:obu.400", "depth:obu.50", "depth:top.20", "depth:top.5"),
    ),
    "gate_v3": ("trades", "depth:30", "tickers", "klines:1m"),
    "okx_status": ("status",),
    "gate_announcements": ("status:summary_all", "status:summary_listing"),
}
CONTRACTS = MARKETS[:2]
FUTURES = {
    "gate_futures": (
        *("trades", "bbo", "tickers", "klines:1m", "klines:mark.1m"),
        *("contract_stats:1m", "depth:100ms", "depth:obu.50"),
    ),
}
LISTINGS = {"cryptolisting": ("status",)}
WITHOUT_MARKETS = {"okx_status", "gate_announcements", "cryptolisting"}
OPTIONS = {"gate_announcements": {"lang": "both"}}
LANGUAGES = ("en", "cn")
"""What is heard under those options."""
MISMATCH = "audit_mismatch"
OFTEN = {
    "okx": OkxSettings(change_seconds=0.3),
    "ann_seconds": 0.3,
    "ann_cached_seconds": 0.1,
    "listings": settings_of("C", announcements_per_minute=200.0, heartbeat_seconds=1.0),
    "account_seconds": 0.1,
}
"""Settings with which the exchange says something of itself all the time."""
FLUSH_SECONDS = 0.5
AUDIT_SECONDS = 2.0
"""So often each book is compared with the exchange's: it must never differ."""


def config(root: Path, exchange: Exchange, source: str) -> CaptureConfig:
    """Return what to record of a source."""
    return CaptureConfig(
        source=source,
        markets=_markets_of(source),
        streams=(STREAMS | FUTURES | LISTINGS)[source],
        store=root,
        options=OPTIONS.get(source, {}),
        ws_url=(exchange.ws_urls | exchange.status_urls)[source],
        rest_url=exchange.rest_url,
        job=f"soak-{source}",
        flush_seconds=FLUSH_SECONDS,
        rotate_seconds=20,
        audit_seconds=AUDIT_SECONDS,
    )


def _markets_of(source: str) -> tuple[str, ...]:
    if source in WITHOUT_MARKETS:
        return ()
    return CONTRACTS if source in FUTURES else MARKETS


def report(
    root: Path, listing: Listing, judgement: Judgement, *, warns: bool = True
) -> list[str]:
    """Print figures and complaints; return the complaints.

    Args:
        root: The store.
        listing: Its files.
        judgement: All verdicts.
        warns: Whether what `recorder verify` only warns of is a complaint.
    """
    for books in judgement.books:
        print(
            f"{books.source} {books.chain.market} {books.chain.stream}: {books.equal} of "
            f"{books.states} known book states are right, {books.unknown} unknown; "
            f"{books.quotes} quotes, {books.samples} instants"
        )
    for pushes in judgement.pushes:
        print(
            f"{pushes.source} {pushes.chain.market} {pushes.chain.stream}: "
            f"{pushes.stored} of {pushes.sent} rows stored, {pushes.repeated} repeated, "
            f"{pushes.in_gaps} in gaps"
        )
    for trades in judgement.trades:
        print(
            f"{trades.source} {trades.chain.market} trades: {trades.stored} of "
            f"{trades.expected} stored, {trades.in_gaps} in gaps, "
            f"{trades.fetched} fetched afterwards, {len(trades.lost)} lost"
        )
    for klines in judgement.klines:
        print(
            f"{klines.source} {klines.chain.market} {klines.chain.stream}: "
            f"{klines.fetched} fetched afterwards, {klines.healed} closed in gaps "
            "that were healed"
        )
    for notices in judgement.notices:
        print(
            f"{notices.source} {notices.chain.stream}: {notices.stored} of "
            f"{notices.said} messages stored, {notices.in_gaps} in gaps; one of "
            f"before was pushed {counted(notices.repeated, 'time')}"
        )
    for trace in judgement.traces:
        print(
            f"{trace.source} {trace.fault}: performed {counted(trace.performed, 'time')}, "
            f"{trace.told} of {trace.owed} gaps told"
        )
    covered = sum(account.covered_ns for account in judgement.accounts)
    missing = sum(account.missing_ns for account in judgement.accounts)
    print(
        f"{covered / (covered + missing or 1):.1%} of the time of "
        f"{len(judgement.accounts)} chains is covered"
    )
    reasons = Counter(
        (row["reason"], row["scope"], row["gap_id"])
        for row in plain(listing.read("gaps"))
    )
    told = Counter(f"{reason}/{scope}" for reason, scope, _ in reasons)
    print("gaps:", dict(sorted(told.items())))
    complaints = [*judgement.complaints, *look_at(root, warns=warns)]
    # No fault of a trial makes a book drift.
    wrong = [row for row in plain(listing.read("gaps")) if row["reason"] == MISMATCH]
    complaints += [f"a right book was called wrong: {row['detail']}" for row in wrong]
    for complaint in complaints:
        print("FAIL ", complaint)
    return complaints


def look_at(root: Path, *, warns: bool = True) -> list[str]:
    """Have the store verified, by itself and without the truth; return complaints.

    Args:
        root: The store.
        warns: Whether warnings are complaints.
    """
    found = verify(root)
    print(
        f"verified: {found.checked.files} files, {found.checked.rows} rows, "
        f"{found.checked.books} books, {found.checked.chains} accounts; "
        f"{found.errors} errors, {found.warnings} warnings"
    )
    return [
        f"{f.kind}: {f.source} {f.table} {f.market} {f.stream} {f.path} {f.detail}"
        for f in found.findings
        if warns or f.severity == "error"
    ]
