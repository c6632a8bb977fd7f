"""Gaps of a store healed from the exchange's past, over real sockets."""

import asyncio
import importlib.util
from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recorder.capture import backfill_asking
from recorder.capture.backfill_offline import Choice
from recorder.errors import JobRunningError
from recorder.judging.evidence import Evidence
from recorder.judging.klines import judge_klines
from recorder.model import Chain
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FEEDS, key_of
from recorder.store.layout import backfill_lock_path
from recorder.store.listing import open_listing
from recorder.store.locks import try_lock
from recorder.store.run import open_run


_SPEC = importlib.util.spec_from_file_location(
    "past_store", Path(__file__).parent / "past_store.py"
)
_module = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_module)
PACE, PastStore, S = _module.PACE, _module.PastStore, _module.S

SOURCES = ("gate_spot", "gate_futures", "gate_v3")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(backfill_asking, "FIRST_PAUSE_SECONDS", 0.05)


def exchange_of(*faults, **settings):
    return Exchange(
        Settings(
            rate=0.0,
            contracts=("BTC_USDT",),
            faults=tuple(parse(text) for text in faults),
            **settings,
        )
    )


def store_of(tmp_path, exchange, source="gate_spot", first=60, last=-40):
    trades = exchange.truth.trades_of(key_of(FEEDS[source], "BTC_USDT"))
    return PastStore(tmp_path / "store", source, trades, first, last % len(trades))


def assert_whole(store):
    """Every trade of the exchange is stored once, and as it was."""
    rows = store.table("trades")
    counts = Counter(row["trade_id"] for row in rows)
    assert set(counts) == {trade.trade_id for trade in store.trades}
    assert set(counts.values()) == {1}
    facts = {
        row["trade_id"]: (row["side"], row["price"], row["amount"], row["ts_event"])
        for row in rows
    }
    assert facts == {
        t.trade_id: (t.side, float(t.price), float(t.amount), t.ts_ns)
        for t in store.trades
    }


@pytest.mark.parametrize("source", SOURCES)
async def test_all_that_a_gap_lost_is_stored_once_and_the_gap_is_healed(
    tmp_path, source
):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange, source)
        store.record("trades", "klines:10s")
        told = await store.heal(exchange)
        again = await store.heal(exchange)

    assert len(store.lost) > 100
    assert_whole(store)
    healed = [row for row in store.table("trades") if row["origin"] == "backfill"]
    assert {r["trade_id"] for r in healed} == {t.trade_id for t in store.lost}
    assert {row["conn"].rpartition(".")[2] for row in healed} == {"rest"}
    assert min(row["ts_recv"] for row in healed) > store.trades[-1].ts_ns
    if source != "gate_futures":
        numbers = {t.trade_id: t.market_trade_id for t in store.trades}
        known = {row["trade_id"]: row["market_trade_id"] for row in healed}
        expected = numbers if source == "gate_spot" else dict.fromkeys(numbers)
        assert known == {trade_id: expected[trade_id] for trade_id in known}
    gaps = store.gaps()
    assert {gap.healed_by for gap in gaps.values()} == {"backfill"}
    assert gaps["trades"].detail == (
        f"the peer vanished; backfill: {len(store.lost)} trades fetched"
    )
    assert told["trades"].rows == len(store.lost)
    assert again == {}
    assert len(store.table("gaps")) == 4


@pytest.mark.parametrize("source", SOURCES)
async def test_klines_that_closed_in_a_gap_are_those_of_its_trades(tmp_path, source):
    async with exchange_of(log_frames=True) as exchange:
        store = store_of(tmp_path, exchange, source)
        store.record("klines:10s")
        await store.heal(exchange)

    rows = {row["open_at"]: row for row in store.table("klines")}
    slack = int(PACE.overlap_seconds * S)
    step = 10 * S
    closed = {
        t.ts_ns // step * step
        for t in store.trades
        if store.gap_at - slack < t.ts_ns // step * step + step <= store.gap_end + slack
    }
    assert len(closed) >= 2
    assert set(rows) == closed
    assert len(store.table("klines")) == len(rows)
    for open_at, row in rows.items():
        inside = [t for t in store.trades if open_at <= t.ts_ns < open_at + step]
        prices = [float(t.price) for t in inside]
        assert (row["open"], row["close"]) == (prices[0], prices[-1])
        assert (row["high"], row["low"]) == (max(prices), min(prices))
        assert row["volume"] == float(sum(Decimal(t.amount) for t in inside))
        assert row["origin"] == "backfill"
        assert row["is_closed"] == (True if source == "gate_spot" else None)
    assert store.gaps()["klines:10s"].healed_by == "backfill"

    # So says the judge, and finds what is not so.
    chain = Chain("BTC_USDT", "klines:10s")
    evidence = Evidence(open_listing(store.root), exchange.truth, source, [chain])
    [verdict] = judge_klines(evidence)
    assert (verdict.fetched, verdict.complaints) == (len(rows), ())
    assert verdict.healed >= 2
    [path] = (store.root / "klines").rglob("*.parquet")
    table = pq.ParquetFile(path).read()
    spoiled = table.set_column(
        table.schema.get_field_index("high"),
        table.schema.field("high"),
        pc.add(table["high"], 1.0),
    )
    for wrong, complaint in (
        (spoiled, "are not those of their trades"),
        (pa.concat_tables([table, table]), "are stored more than once"),
        (table.slice(0, 0), "are missing in gaps that count as healed"),
    ):
        pq.write_table(wrong, path)
        evidence = Evidence(open_listing(store.root), exchange.truth, source, [chain])
        [verdict] = judge_klines(evidence)
        assert complaint in " ".join(verdict.complaints)


async def test_what_was_stored_since_is_not_stored_again(tmp_path):
    """Another job had some of it, in a segment and in a journal."""
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades")
        store.rows([store.live(trade) for trade in store.lost[10:20]])
        store.rows([store.live(t) for t in store.lost[30:45]], is_segment=False)
        told = await store.heal(exchange)

    assert told["trades"].rows == len(store.lost) - 25
    assert_whole(store)


@pytest.mark.parametrize("source", SOURCES)
async def test_what_the_venue_has_forgotten_stays_missing_and_is_said_to(
    tmp_path, source
):
    async with exchange_of(history_trades=100) as exchange:
        store = store_of(tmp_path, exchange, source)
        store.record("trades")
        told = await store.heal(exchange)
        before = len(store.table("trades")), len(store.table("gaps"))
        again = await store.heal(exchange)

    gap = store.gaps()["trades"]
    assert gap.healed_by is None
    assert told["trades"].state == again["trades"].state == "partial"
    assert "the venue tells no trade before " in gap.detail
    fetched = [row for row in store.table("trades") if row["origin"] == "backfill"]
    assert 0 < len(fetched) == told["trades"].rows < len(store.lost)
    if source == "gate_spot":
        words = f"{len(fetched)} of at least {len(store.lost)} trades fetched"
        assert words in gap.detail
    assert (len(store.table("trades")), len(store.table("gaps"))) == before
    assert again["trades"].rows == 0


async def test_klines_of_which_the_venue_tells_no_more_stay_missing(tmp_path):
    async with exchange_of(history_seconds=15.0) as exchange:
        store = store_of(tmp_path, exchange)
        store.record("klines:10s")
        told = await store.heal(exchange)

    assert told["klines:10s"].state == "partial"
    assert "the venue does not tell" in store.gaps()["klines:10s"].detail


async def test_pages_lie_beside_one_another_however_many_there_are(
    tmp_path, monkeypatch
):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange, "gate_futures")
        store.record("trades")
        address = store.address(exchange)
        history = tuple(
            msgspec.structs.replace(rule, page_rows=17)
            for rule in address.source.history
        )
        feed = msgspec.structs.replace(address.source, history=history)
        small = msgspec.structs.replace(address, source=feed)
        monkeypatch.setattr(store, "address", lambda _: small)
        await store.heal(exchange)

    assert_whole(store)
    assert store.gaps()["trades"].healed_by == "backfill"


async def test_trouble_that_passes_is_waited_for(tmp_path):
    faults = ("http_429", "http_502", "http_garbled")
    async with exchange_of(*faults, rest_window_seconds=1.0) as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades")
        told = await store.heal(exchange)

    assert told["trades"].state == "healed"
    assert_whole(store)
    [kept] = store.table("frames")
    assert kept["reason"] == "undecodable"
    assert kept["payload"] == b'[{"id": "12'
    assert kept["request"].startswith("/spot/trades?currency_pair=BTC_USDT")


async def test_nonsense_is_no_proof_and_is_kept_once(tmp_path):
    async with exchange_of("http_garbled:probability=1") as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades")
        told = await store.heal(exchange)

    assert told["trades"].state == "partial"
    gap = store.gaps()["trades"]
    assert gap.healed_by is None
    assert "what the venue tells makes no sense" in gap.detail
    assert len(store.table("frames")) == 1


async def test_a_venue_that_cannot_be_asked_changes_nothing(tmp_path):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades")
    told = await store.heal(exchange)

    assert told["trades"].is_trouble
    assert store.gaps()["trades"].detail == "the peer vanished"
    assert len(store.table("gaps")) == 1


async def test_history_that_is_late_is_not_believed(tmp_path):
    async with exchange_of("stale_history:probability=1,seconds=30") as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades")
        told = await store.heal(exchange)

    assert told["trades"].state == "later"
    assert "does not tell yet what came after it" in told["trades"].text
    assert store.gaps()["trades"].healed_by is None


async def test_a_market_the_venue_does_not_have_cannot_be_healed(tmp_path):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades", market="NO_SUCH")
        told = await store.heal(exchange)

    assert told["trades"].state == "partial"
    assert "the venue refuses to tell" in store.gaps()["trades"].detail


@pytest.mark.parametrize(
    "streams", [("trades", "klines:10s"), ("trades", "depth:100ms")]
)
async def test_a_gap_of_everything_is_healed_only_if_all_of_it_is(tmp_path, streams):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange)
        store.record(*streams)
        whole = store.gaps()["trades"]
        changes = {"gap_id": "all", "market": None, "stream": None}
        everything = msgspec.structs.replace(whole, **changes)
        store.rows([(store.trades[-1].ts_ns + 2 * S, everything)])
        told = await store.heal(exchange)

    assert_whole(store)
    gap = store.gaps()["all"]
    if "depth:100ms" in streams:
        assert (told["all"].state, gap.healed_by) == ("partial", None)
        assert "1 other stream has no history" in gap.detail
        assert told["depth:100ms"].state == "unable"
    else:
        assert (told["all"].state, gap.healed_by) == ("healed", "backfill")


async def test_a_market_in_which_nothing_came_since_is_healed_a_while_later(tmp_path):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange, last=-1)
        store.kept = [t for t in store.kept if t.ts_ns < store.gap_at]
        store.record("trades")
        patient = msgspec.structs.replace(PACE, settled_seconds=3_600.0)
        early = await store.heal(exchange, pace=patient)
        quick = msgspec.structs.replace(PACE, settled_seconds=0.0)
        late = await store.heal(exchange, pace=quick)

    assert early["trades"].state == "later"
    assert late["trades"].state == "healed"
    assert_whole(store)


async def test_only_what_is_chosen_is_healed(tmp_path):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades", "klines:10s")
        for choice in (
            Choice(market="ETH_USDT"),
            Choice(start_ns=store.gap_end),
            Choice(end_ns=store.gap_at),
        ):
            assert await store.heal(exchange, choice) == {}
        chosen = Choice(
            market="BTC_USDT", start_ns=store.gap_end - 1, end_ns=store.gap_at + 1
        )
        assert set(await store.heal(exchange, chosen)) == {"trades", "klines:10s"}


async def test_only_one_heals_a_feed_at_a_time(tmp_path):
    async with exchange_of() as exchange:
        store = store_of(tmp_path, exchange)
        store.record("trades")
        path = backfill_lock_path(store.root, store.source)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = try_lock(path)
        healing = asyncio.create_task(store.heal(exchange))
        while not list((store.root / ".recorder" / "runs").glob("*.json")):  # noqa: ASYNC110 - a file says so
            await asyncio.sleep(0.01)
        # A capture is at it: whoever comes waits until it is done.
        with pytest.raises(JobRunningError):
            open_run(store.root, job="backfill-gate_spot", source="gate_spot", now_ns=1)
        assert not healing.done()
        lock.release()
        told = await healing

    assert told["trades"].state == "healed"
    assert_whole(store)
