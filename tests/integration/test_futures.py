"""Futures recorded from the bundled exchange, judged by what it knows of itself."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from recorder import open_store
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.judging import Judgement, judge
from recorder.judging.evidence import chain_of
from recorder.model import Chain
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth
from recorder.store.listing import open_listing
from recorder.verify import verify


CONTRACTS = ("BTC_USDT", "ETH_USDT")
STREAMS = (
    *("trades", "tickers", "bbo", "liquidations", "klines:10s", "klines:mark.10s"),
    *("contract_stats:1m", "contract_stats:1d"),
    *("depth:100ms", "depth:obu.50", "depth:top.20"),
)


def pushed(truth: Truth) -> set[Chain]:
    """Return the chains of which something was sent."""
    return {
        chain_of(frame.market, frame.stream, frame.parameter)
        for frame in truth.frames
        if frame.market is not None
    }


async def recorded(
    root: Path,
    *,
    faults: Sequence[str] = (),
    streams: Sequence[str] = STREAMS,
    markets: Collection[str] = CONTRACTS,
    refused: Collection[Chain] = (),
    **formats: object,
) -> Judgement:
    """Record until all was sent, went wrong and was mended; return what is to be said.

    That is: something of each chain was pushed, each fault was performed, each
    book is known, and what is expected to be refused is.
    """
    settings = Settings(
        seed=3,
        markets=("BTC_USDT",),
        contracts=(*CONTRACTS, "BTC_USD"),
        rate=30.0,
        liquidation_chance=1.0,
        ticker_seconds=0.3,
        kline_seconds=0.3,
        stats_seconds=0.3,
        faults=tuple(map(parse, faults)),
        log_frames=True,
        **formats,
    )
    settle = "btc" if "BTC_USD" in markets else "usdt"
    async with Exchange(settings) as exchange:
        config = CaptureConfig(
            source="gate_futures",
            options={"settle": settle},
            markets=tuple(markets),
            streams=tuple(streams),
            store=root,
            ws_url=exchange.ws_url_futures(settle),
            rest_url=exchange.rest_url,
            flush_seconds=0.2,
            job="futures",
        )
        plan = plan_capture(config)
        capture = Capture(plan)
        running = asyncio.ensure_future(capture.run())
        truth, books = exchange.truth, capture._session.books
        async with asyncio.timeout(60):
            while (  # noqa: ASYNC110 - no event
                not pushed(truth).issuperset(plan.chains)
                or len(truth.faults) < len(faults)
                or books.known_total < books.total
                or len(capture._session.refused) < len(refused)
            ):
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        capture.request_stop()
        result = await running
    assert result.refused.keys() == set(refused)
    chains = set(plan.chains) - set(refused)
    return judge(open_listing(root), truth, {"gate_futures": chains})


async def test_every_row_of_every_stream_is_what_the_exchange_sent(
    tmp_path: Path,
) -> None:
    judgement = await recorded(
        tmp_path,
        faults=[
            "drop:stream=depth,at=0.5",
            "malformed:stream=bbo,at=0.8",
            "drop:stream=depth,parameter=obu.50,at=1",
            "crossed:parameter=100ms,at=1.2",
            "full:at=1.4",
            "abort:at=2",
        ],
    )

    assert judgement.complaints == ()
    assert all(book.equal == book.states > 0 for book in judgement.books)
    stored = {verdict.chain.stream for verdict in judgement.pushes if verdict.stored}
    assert stored == set(STREAMS) - {"trades"}
    assert all(verdict.stored > 0 for verdict in judgement.trades)
    told = {trace.fault for trace in judgement.traces if trace.owed}
    assert told >= {"drop", "malformed", "crossed", "abort"}
    frames = open_store(tmp_path).sql("SELECT reason FROM frames").fetchall()
    assert frames == [("undecodable",)]


@pytest.mark.parametrize(
    "formats",
    [
        {"wire_era": "2021", "futures_shape": "nested", "zero_ack_time_ms": True},
        {"wire_era": "2021", "futures_shape": "object", "null_keys": True},
        {"liquidation_batches": True, "omit_time": True, "initial_image": True},
    ],
    ids=["april 2021", "march 2022", "august 2026"],
)
async def test_the_forms_of_all_years_say_the_same(
    tmp_path: Path, formats: dict[str, object]
) -> None:
    judgement = await recorded(tmp_path, markets=["ETH_USDT"], **formats)

    assert judgement.complaints == ()
    stored = {verdict.chain.stream for verdict in judgement.pushes if verdict.stored}
    assert stored == set(STREAMS) - {"trades"}
    frames = open_store(tmp_path).sql("SELECT error FROM frames").fetchall()
    assert frames == []


async def test_inverse_contracts_are_recorded_from_an_address_of_their_own(
    tmp_path: Path,
) -> None:
    streams = ("trades", "depth:100ms.20", "depth:top.1", "tickers")
    judgement = await recorded(tmp_path, streams=streams, markets=["BTC_USD"])

    assert judgement.complaints == ()
    assert all(book.equal == book.states > 0 for book in judgement.books)


@pytest.mark.parametrize("formats", [{}, {"wire_era": "2021"}], ids=["2026", "2021"])
async def test_a_top_of_the_old_form_is_followed_change_by_change(
    tmp_path: Path, formats: dict[str, object]
) -> None:
    """Sizes are texts, with fractions, in 2026, and whole numbers in 2021."""
    book = Chain("ETH_USDT", "depth:top.5")
    judgement = await recorded(
        tmp_path,
        streams=("trades", "bbo", book.stream),
        markets=[book.market],
        faults=("malformed:stream=depth,at=1.0", "abort:at=2.0"),
        old_book_changes=True,
        **formats,
    )

    assert judgement.complaints == ()
    (verdict,) = judgement.books
    assert verdict.equal == verdict.states > 0
    store = open_store(tmp_path)
    (told,) = store.sql(
        "SELECT count(*) FILTER (is_snapshot), count(*) FILTER (NOT is_snapshot), "
        "count(first_update_id), count(*) - count(last_update_id) FROM depth"
    ).fetchall()
    images, changes, firsts, without_ids = told
    # One at the start, one after each fault.
    assert images == 3 < changes
    assert (firsts, without_ids) == (0, 0)
    assert verify(tmp_path).findings == ()
    afresh = store.sql(
        "SELECT DISTINCT detail FROM gaps WHERE reason = 'sequence_gap'"
    ).fetchall()
    assert afresh == [("it is asked for afresh",)]
